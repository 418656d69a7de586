/* A damaged journal (pitfalls 9.7): it is put aside, whole and for good, and what persons decided is taken over from it
 * into the new one as far as it can be read. Everything else is found out anew. Used by open.c; the mark, also where
 * rows and records are written. */
#pragma once

#include "journal/journal.h"

/* Where it is kept. The next one takes its place, so that a bad disk is not filled up with them. */
#define REPAIR_SUFFIX ".damaged"
#define REPAIR_KEPT "journal.db" REPAIR_SUFFIX

/* Moves the database and its log aside together. Until repair_salvage() is done with it, a crash finds it again. */
int repair_put_aside(const char *path, Error *e) _must_check_;
/* If there is one put aside: carries over each mapping's pins, pause and guard window, and names it for whoever wants
 * to look. 1: there was. */
int repair_salvage(Journal *j, Error *e) _must_check_;

/* That deletions are held is remembered outside of the database, too, by an empty file: or damage to it, or its loss,
 * would let them go ahead. It may say so for too long, never for too short a time. */
void repair_mark(Journal *j);
void repair_unmark(Journal *j); /* if that is over */
bool repair_marked(const Journal *j);
