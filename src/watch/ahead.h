/* Folders that a walk will come to soon, done by other threads meanwhile: the walk offers them in its order, and takes
 * each when it gets there, done or not. So the order of what is told stays that of one thread. Bounded in folders and
 * in memory. Used by walk.c only, from the walk's thread. */
#pragma once

#include "watch/folder.h"

typedef struct Ahead Ahead;

#define AHEAD_OF_ONE 32u /* folders in one folder, at most */

/* The threads are started with the first offer. NULL: no memory. */
Ahead *ahead_new(WalkRoot *root, unsigned threads);
Ahead *ahead_free(Ahead *a); /* waits for its threads, each of which ends with its folder */
DEFINE_CLEANUP(Ahead *, ahead_free);

unsigned ahead_room(const Ahead *a); /* so many may be on offer in one folder now */
/* Entry `at` of the folder at depth `level`, open as `parent` until ahead_release(); `name` is there as long. False: no
 * memory. */
bool ahead_offer(Ahead *a, size_t level, size_t at, int parent, const char *name, const char *path);
/* True: done, into `ret`. False: not offered, not begun, or to be done again by the walk itself. While another thread
 * is at it, does what comes after it. */
bool ahead_take(Ahead *a, size_t level, size_t at, char *buffer, Folder *ret);
/* The folder at `level` is about to be closed: whoever uses it is waited for. `drop`: what was done in it, too. */
void ahead_release(Ahead *a, size_t level, bool drop);
