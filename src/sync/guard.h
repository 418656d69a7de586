/* The brake on deletions (pitfalls 7.4): no local accident may empty the cloud. Decides by numbers alone; who counts,
 * and what is held, is guard.c's second half. Changes that empty a file count as deletions (5.9); confirmed moves do
 * not; nor does what a person approved.
 *
 * Each deletion counts once, in one of three places: as waiting, while nobody has let it go; by its row's `tallied`,
 * from its claim, which is on the disk before the request leaves, until it is known how that ended, for it may act at
 * any time between; and in the window, for an hour from then on. */
#pragma once

#include "sync/state.h"

#define GUARD_SMALL 20u /* up to so many known files a percentage means nothing */

typedef struct GuardInput {
        uint64_t waiting; /* deletions decided and not let go, held ones included */
        uint64_t done;    /* carried out within the window, or let go and in doubt */
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
 * those that are left (moves, approved ones, or all of them) may go. False, too, until what was decided stands in every
 * row. */
bool guard_lets(Mapping *m, bool settled);
/* What is decided (DECISION_*) is durable when it returns, and counts from then on; a negative errno: it is not
 * decided. */
int guard_decide(Mapping *m, unsigned decision, Error *e) _must_check_;
void guard_carry(Mapping *m); /* the next few rows of it, if there are any */
/* A deletion of `row` is let go, however often it has to be tried. */
void guard_tally(Mapping *m, Row *row);
/* If one was: it was carried out, as far as anybody can tell. */
void guard_done(Mapping *m, Row *row);
void guard_overwritten(Mapping *m, Row *row); /* its bytes are replaced by others */
