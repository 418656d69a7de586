/* The thread that does nothing but drain an inotify queue into a merged set, so that the queue does not overflow while
 * the loop is busy (pitfalls 1.9). It sleeps in poll(), reads, merges, and tells the loop by an eventfd when the set is
 * not empty any more: no stat, no path, no log line. Owned by watcher.c. */
#pragma once

#include "util/error.h"
#include "watch/pending.h"

typedef struct Reader Reader;

/* Borrows `inotify_fd` (non-blocking) and `news_fd` (an eventfd, written when there is something to take). */
int reader_new(Reader **ret, int inotify_fd, int news_fd, const HashSeed *seed, Error *e) _must_check_;
Reader *reader_free(Reader *r); /* waits for the thread, which never blocks in a file system */
DEFINE_CLEANUP(Reader *, reader_free);

/* Exchanges `*set`, which is empty, for what was gathered. Returns the number of the last barrier that is behind it:
 * all that the kernel had queued when that barrier was asked for is in this set or in an earlier one. */
uint64_t reader_take(Reader *r, Pending **set);
/* ns for which the thread has not read although the kernel had something queued: it has died, or deadlocked. Asked now
 * and then, from the loop. */
int64_t reader_stuck(Reader *r);
uint64_t reader_barrier(Reader *r); /* asks for one more; returns its number: 1, 2, ... */
