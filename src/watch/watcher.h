/* Watches a tree with inotify and says which paths may have changed. Never reads file contents or touches the journal.
 * Promise: after a change, the callback names the path, or a folder above it with WATCH_SUBTREE. A thread of its own
 * does nothing but drain the kernel's queue into a merged set (pitfalls 1.9). One inotify instance and one Watcher per
 * mapping. Folders are added by the scanner as it walks (watch, then list: 1.1). Owned by sync/mapping. */
#pragma once

#include "util/error.h"
#include "util/macro.h"

#include <systemd/sd-event.h>

typedef struct Watcher Watcher;

typedef enum WatchNews {
        WATCH_CONTENT = 1 << 0, /* bytes may have changed (MODIFY, CLOSE_WRITE): the stamp must not be believed (4.3) */
        WATCH_CLOSED = 1 << 1,  /* CLOSE_WRITE or MOVED_TO: probably complete */
        WATCH_NAME = 1 << 2,    /* CREATE, DELETE, MOVED_*: the name may have come or gone */
        WATCH_ATTRIB = 1 << 3,
        WATCH_SUBTREE = 1 << 4,  /* everything at and beneath `path` is in doubt: scan it ("" = the whole tree) */
        WATCH_OVERFLOW = 1 << 5, /* with SUBTREE and "": the kernel or our own set dropped events */
        WATCH_ROOT = 1 << 6,     /* the root itself moved, vanished or was unmounted: check its identity */
} WatchNews;

/* On the loop; path relative, "" = root. News of a folder and of another object of the same name come in two calls. */
typedef void (*WatcherFn)(const char *path, unsigned news, void *userdata);
typedef void (*WatcherBarrierFn)(void *userdata); /* on the loop */

/* Fails with -EMFILE (too many instances or descriptors) and a text that says which limit to raise (1.12). */
int watcher_new(Watcher **ret, sd_event *loop, WatcherFn fn, void *userdata, Error *e) _must_check_;
Watcher *watcher_free(Watcher *w); /* no callback comes after; may be called from inside one */
DEFINE_CLEANUP(Watcher *, watcher_free);
/* For a scanner, whose thread may be stuck in the kernel when the watcher is freed: what it calls afterwards touches
 * nothing that is gone. Each reference is given back by watcher_unref(). */
Watcher *watcher_ref(Watcher *w);
Watcher *watcher_unref(Watcher *w);
DEFINE_CLEANUP(Watcher *, watcher_unref);

/* Calls `fn` once everything that the kernel had queued when this was called has been told through WatcherFn. */
int watcher_barrier(Watcher *w, WatcherBarrierFn fn, void *userdata) _must_check_;

int64_t watcher_stuck(Watcher *w);          /* as reader_stuck() */
unsigned watcher_watches(const Watcher *w); /* folders watched now */

/* --- for the scanner, from its threads --- */
typedef enum WatchAdd {
        WATCH_ADDED,   /* new, or known already under this very path */
        WATCH_MOVED,   /* was known under another path that is gone: the whole branch moved here, in one update (1.4) */
        WATCH_SHARED,  /* the same folder is alive under another path too (bind mount, 1.14): poll this one */
        WATCH_LIMIT,   /* fs.inotify.max_user_watches reached: poll this one; `e` says what to do (1.12) */
        WATCH_REFUSED, /* anything else; `e` says why */
} WatchAdd;

/* Watches the open folder `fd`, which is at `path`; to be listed afterwards,
 * never before (1.1). `exists` is asked, outside any lock, whether the folder is still at another path it was known
 * under; NULL: it is not. */
WatchAdd watcher_add(Watcher *w, const char *path, int fd, bool (*exists)(const char *path, int fd, void *userdata),
                     void *userdata, Error *e);
/* Watches the `n` open folders that stand above the root, for being moved or deleted alone: of that the root hears
 * nothing, and would be taken for the one at its path (2.2). Told as WATCH_ROOT. What was given before and is not among
 * them is dropped. As far as it can be had: one that may not be read cannot be watched. */
#define WATCH_ABOVE_MAX 64u
void watcher_above(Watcher *w, const int *fds, size_t n);
/* `path` is no folder any more: drops its branch and the watches in it (1.5). No-op if unknown. */
void watcher_remove(Watcher *w, const char *path);
/* After `path` was listed: drops the branches of children not in `names`, which are sorted as a walk meets them: by
 * memcmp of the names with '/' at their end (1.7). */
void watcher_keep_only(Watcher *w, const char *path, const char *const *names, size_t n);
