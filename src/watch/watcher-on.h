/* A watcher on an inotify instance and a way to add watches that somebody else provides: for tests, which need a queue
 * that is full before anyone reads it, and limits that are reached without changing the machine's. */
#pragma once

#include "watch/watcher.h"

/* Returns a watch descriptor or a negative errno. */
typedef int (*WatcherAddFn)(int inotify_fd, int folder_fd, uint32_t mask);

/* Takes `inotify_fd`, also when it fails. `add` NULL: the kernel's. */
int watcher_new_on(Watcher **ret, sd_event *loop, int inotify_fd, WatcherAddFn add, WatcherFn fn, void *userdata,
                   Error *e) _must_check_;
