/* The scanner's half of the watcher: watches are added, and removed, under `adding`.
 *
 * Only the scanner's threads remove watches from the kernel, and only one of them at a time adds or removes. Else one
 * could remove a watch that another had just been given again for the same folder. The loop merely forgets those which
 * the kernel has dropped. */
#include "watch/watches.h"

#include "util/path.h"

#include <assert.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>

#define MASK                                                                                            \
        (IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE | \
         IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)

unsigned watcher_watches(const Watcher *w) {
        pthread_mutex_t *lock = (pthread_mutex_t *) &w->lock; /* nothing else of it changes */
        size_t n;

        (void) pthread_mutex_lock(lock);
        n = tree_size(w->tree);
        (void) pthread_mutex_unlock(lock);
        return (unsigned) n;
}

/* A thread with a working directory of its own may go to the folder for a moment; back at once, or it would pin the
 * mount (2.8). The process's own thread never: its directory is everybody's. */
static bool may_go(void) {
        static _Thread_local enum { UNKNOWN, YES, NO } may;

        if (may == UNKNOWN)
                may = gettid() != getpid() && unshare(CLONE_FS) == 0 ? YES : NO;
        return may == YES;
}

/* By the open folder, whatever its path means by now, and however long that is (1.15): as "." at three quarters of what
 * its name in /proc costs. */
int watches_add_by_fd(int inotify_fd, int folder_fd, uint32_t mask) {
        char path[64];
        int wd;

        if (may_go() && fchdir(folder_fd) == 0) { /* or it may be read, but not entered */
                wd = inotify_add_watch(inotify_fd, ".", mask);
                wd = wd < 0 ? -errno : wd;
                if (chdir("/") == 0)
                        return wd;
        }
        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", folder_fd);
        wd = inotify_add_watch(inotify_fd, path, mask);
        return wd < 0 ? -errno : wd;
}

/* Without the lock: removing a watch may be what frees a deleted folder on disk. */
static void remove_watches(Watcher *w, TreeNode *dropped) {
        int wd;

        while (tree_dropped(&dropped, &wd))
                (void) inotify_rm_watch(w->inotify_fd, wd); /* EINVAL: the kernel had dropped it, and said so or not */
}

static unsigned limit_now(void) {
        _cleanup_close_ int fd = open("/proc/sys/fs/inotify/max_user_watches", O_RDONLY | O_CLOEXEC);
        char text[32] = { 0 };

        return fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 ? (unsigned) strtoul(text, NULL, 10) : 0;
}

static WatchAdd say_limit(Watcher *w, const char *path, Error *e) {
        if (e) {
                unsigned limit = limit_now(), wanted = 524288;

                while (wanted / 2 < limit && wanted < 1U << 30)
                        wanted *= 2;
                (void) error_set(e, -ENOSPC, ERROR_OS, ENOSPC,
                                 "no inotify watch left at folder %u of this mapping (fs.inotify.max_user_watches is "
                                 "%u for all of this user's programs): sysctl fs.inotify.max_user_watches=%u, and the "
                                 "same line in /etc/sysctl.d/60-azsyncd.conf; first unwatched folder: %s",
                                 watcher_watches(w) + 1, limit, wanted, PATH_SHOWN(path[0] ? path : "."));
        }
        return WATCH_LIMIT;
}

static int put(Watcher *w, const char *path, int wd) {
        TreeNode *dropped = NULL, *n;
        int r;

        (void) pthread_mutex_lock(&w->lock);
        r = tree_put(w->tree, path, wd, &dropped);
        n = r < 0 ? tree_by_wd(w->tree, wd) : NULL;
        if (n)
                tree_cut(w->tree, n, &dropped);
        (void) pthread_mutex_unlock(&w->lock);
        remove_watches(w, dropped);
        if (r < 0 && !n)
                (void) inotify_rm_watch(w->inotify_fd, wd);
        return r;
}

/* Drops what is known at `path`. `watched`: only if that is watched itself. True: there was something. */
static bool cut(Watcher *w, const char *path, bool watched) {
        TreeNode *dropped = NULL, *n;

        (void) pthread_mutex_lock(&w->lock);
        n = tree_find(w->tree, path);
        if (n && watched && tree_wd(n) < 0)
                n = NULL;
        if (n)
                tree_cut(w->tree, n, &dropped);
        (void) pthread_mutex_unlock(&w->lock);
        remove_watches(w, dropped);
        return n != NULL;
}

/* Is `wd` known under another path? Sets *ret_path to it; caller frees. */
static int known_elsewhere(Watcher *w, const char *path, int wd, char **ret_path) {
        const TreeNode *n;
        int r = 0;

        (void) pthread_mutex_lock(&w->lock);
        n = tree_by_wd(w->tree, wd);
        if (n && n != tree_find(w->tree, path)) {
                size_t size = tree_path_size(n);
                char *other = malloc(size + 1);

                r = other ? 1 : -ENOMEM;
                if (other) {
                        tree_path(n, other);
                        other[size] = '\0';
                        *ret_path = other;
                }
        }
        (void) pthread_mutex_unlock(&w->lock);
        return r;
}

static WatchAdd add(Watcher *w, const char *path, int fd, bool (*exists)(const char *path, int fd, void *userdata),
                    void *userdata, Error *e) {
        _cleanup_free_ char *other = NULL;
        WatchAdd added = WATCH_ADDED;
        int wd, r;

        wd = w->add(w->inotify_fd, fd, MASK);
        /* A folder that is watched already gives its number even then. So a watch that we know here is of one that
         * stood here before, and what it holds may be just what is missing. */
        if (wd == -ENOSPC && cut(w, path, true))
                wd = w->add(w->inotify_fd, fd, MASK);
        if (wd == -ENOSPC)
                return say_limit(w, path, e);
        if (wd < 0) {
                (void) error_os(e, -wd, "watching the folder %s", PATH_SHOWN(path[0] ? path : "."));
                return WATCH_REFUSED;
        }
        r = known_elsewhere(w, path, wd, &other);
        if (r > 0) {
                if (exists && exists(other, fd, userdata)) {
                        (void) error_set(e, -EEXIST, ERROR_OS, EEXIST,
                                         "the folder %s is also at another path of the mapping (a bind mount?) and can "
                                         "be watched at one of them only",
                                         PATH_SHOWN(path[0] ? path : "."));
                        (void) cut(w, path, false); /* whatever folder was here before */
                        return WATCH_SHARED;
                }
                added = WATCH_MOVED;
        }
        if (r >= 0)
                r = put(w, path, wd);
        if (r < 0) {
                (void) error_oom(e);
                return WATCH_REFUSED;
        }
        return added;
}

WatchAdd watcher_add(Watcher *w, const char *path, int fd, bool (*exists)(const char *path, int fd, void *userdata),
                     void *userdata, Error *e) {
        WatchAdd added;

        assert(w && path && path[0] != '/' && fd >= 0);

        (void) pthread_mutex_lock(&w->adding);
        added = add(w, path, fd, exists, userdata, e);
        (void) pthread_mutex_unlock(&w->adding);
        return added;
}

void watcher_above(Watcher *w, const int *fds, size_t n) {
        int now[WATCH_ABOVE_MAX], before[WATCH_ABOVE_MAX];
        size_t n_now = 0, n_before;

        (void) pthread_mutex_lock(&w->adding);
        for (size_t i = 0; i < MIN(n, (size_t) WATCH_ABOVE_MAX); i++) {
                int wd = w->add(w->inotify_fd, fds[i], IN_MOVE_SELF | IN_DELETE_SELF | IN_ONLYDIR);

                if (wd >= 0)
                        now[n_now++] = wd;
        }
        (void) pthread_mutex_lock(&w->lock);
        n_before = w->n_above;
        memcpy(before, w->above, n_before * sizeof(*before));
        memcpy(w->above, now, n_now * sizeof(*now));
        w->n_above = n_now;
        (void) pthread_mutex_unlock(&w->lock);
        for (size_t i = 0; i < n_before; i++) {
                bool kept = false;

                for (size_t k = 0; k < n_now; k++)
                        kept |= now[k] == before[i];
                if (!kept)
                        (void) inotify_rm_watch(w->inotify_fd, before[i]); /* as in remove_watches() */
        }
        (void) pthread_mutex_unlock(&w->adding);
}

void watcher_remove(Watcher *w, const char *path) {
        assert(w && path && path[0] != '/');

        (void) pthread_mutex_lock(&w->adding);
        (void) cut(w, path, false);
        (void) pthread_mutex_unlock(&w->adding);
}

void watcher_keep_only(Watcher *w, const char *path, const char *const *names, size_t n) {
        TreeNode *dropped = NULL, *node;

        assert(w && path && path[0] != '/' && (names || n == 0));

        (void) pthread_mutex_lock(&w->adding);
        (void) pthread_mutex_lock(&w->lock);
        node = tree_find(w->tree, path);
        if (node)
                tree_keep_only(w->tree, node, names, n, &dropped);
        (void) pthread_mutex_unlock(&w->lock);
        remove_watches(w, dropped);
        (void) pthread_mutex_unlock(&w->adding);
}
