/* The brake on deletions (pitfalls 7.4): no local accident may empty the cloud. Decides by numbers alone; who counts,
 * and what is held, is guard.c's second half. Changes that empty a file count as deletions (5.9); confirmed moves do
 * not; nor does what a person approved. */
#pragma once

#include "sync/state.h"

#define GUARD_SMALL 20u /* up to so many known files a percentage means nothing */

typedef struct GuardInput {
        uint64_t waiting; /* deletions decided and not carried out, held ones included */
        uint64_t done;    /* carried out within the window */
        uint64_t known;   /* files confirmed at the window's beginning: those of now and the `done` ones */
        unsigned max_files, max_percent;
        bool suspect; /* what was held, or carried out, may be forgotten */
} GuardInput;

/* Files that were there when the window began. What a write in doubt left (a crash before its confirmation) was not
 * confirmed, and is a file of ours all the same once it is to be deleted. */
uint64_t guard_known(const GuardInput *in) _pure_;
bool guard_trips(const GuardInput *in) _pure_;
/* Most files were overwritten within the window (ransomware does that): worth a loud warning, not a hold. */
bool guard_warns(uint64_t overwritten, uint64_t known) _pure_;

/* Asked before deletions are claimed. `settled`: nothing is under way that may turn one of them into a move. True:
 * those that are left (moves, approved ones, or all of them) may go. */
bool guard_lets(Mapping *m, bool settled);
/* A deletion of `row` begins. It counts once, however often it has to be tried; the row remembers that it does. */
void guard_tally(Mapping *m, Row *row);
/* It did not happen after all, or is decided anew. */
void guard_untally(Mapping *m, Row *row);
void guard_overwritten(Mapping *m, Row *row); /* its bytes are replaced by others */
