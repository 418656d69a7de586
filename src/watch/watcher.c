/* The folder table between three threads. The reader's thread (reader.c) gathers (wd, name) and knows no path. The loop
 * turns them into paths and tells them. The scanner's threads add and remove watches.
 *
 * Why nothing is lost in between: the scanner adds a watch, then puts it into the table, and only then lists the
 * folder. An event whose watch is not in the table is either older than the listing, which shows what it was about, or
 * of a folder that left; then the event of its parent tells, and if it came back somewhere, the scan of that place
 * watches it anew and lists it after that. So an unknown wd may be dropped (pitfalls 1.1, 1.6, 1.8).
 *
 * Only the scanner's threads remove watches from the kernel, and only one of them at a time adds or removes. Else one
 * could remove a watch that another had just been given again for the same folder. The loop merely forgets those which
 * the kernel has dropped. */
#include "watch/watcher.h"

#include "util/path.h"
#include "watch/reader.h"
#include "watch/tree.h"
#include "watch/watcher-on.h"

#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/random.h>

#define STEP 4096u                        /* events told in one turn of the loop */
#define STEP_PATHS ((size_t) 512 * 1024)  /* or about so many bytes of paths */
#define KEEP_PATHS ((size_t) 1024 * 1024) /* a larger buffer is freed after use */
#define MASK                                                                                            \
        (IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE | \
         IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)

typedef struct Telling {
        size_t path; /* offset */
        unsigned news;
} Telling;

typedef struct Barrier {
        struct Barrier *next;
        uint64_t number;
        WatcherBarrierFn fn;
        void *userdata;
} Barrier;

struct Watcher {
        atomic_uint refs;
        int inotify_fd; /* open as long as anyone may add to it: the number must not come to mean another instance */
        WatcherAddFn add;
        pthread_mutex_t adding; /* the scanner's threads among themselves; may be held for as long as a mount hangs */
        pthread_mutex_t lock;   /* guards `tree` and `above`; held for memory operations only (2.6) */
        Tree *tree;
        int above[WATCH_ABOVE_MAX]; /* watches of the folders above the root */
        size_t n_above;

        /* the loop's own */
        bool closed;
        int news_fd;
        Reader *reader;
        sd_event_source *on_news, *on_rest;
        WatcherFn fn;
        void *userdata;
        bool news;        /* the reader has something */
        bool busy;        /* `set` is being told */
        Pending *set;     /* from the reader */
        size_t told;      /* entries of `set` */
        uint64_t reached; /* barrier behind `set` */
        bool unmounted;   /* told, in this set */
        Barrier *first, **last;
        Telling *tellings; /* of one step */
        size_t n_tellings;
        char *paths;
        size_t paths_size, paths_room;
        bool lost; /* no memory to tell it all */
};

/* --- the loop: from events to paths, with the lock held --- */

static char *path_room(Watcher *w, size_t size) {
        if (w->paths_room - w->paths_size < size) {
                size_t room = MAX(w->paths_room * 2, w->paths_size + size + 4096);
                char *paths = realloc(w->paths, room);

                if (!paths)
                        return NULL;
                w->paths = paths;
                w->paths_room = room;
        }
        return w->paths + w->paths_size;
}

/* The path of `name` in the folder `n`. Returns its offset, or SIZE_MAX without memory. */
static size_t path_add(Watcher *w, const TreeNode *n, const char *name, size_t size) {
        size_t at = w->paths_size, folder = tree_path_size(n);
        bool slash = folder > 0 && size > 0;
        char *path = path_room(w, folder + slash + size + 1);

        if (!path) {
                w->lost = true;
                return SIZE_MAX;
        }
        tree_path(n, path);
        if (slash)
                path[folder] = '/';
        memcpy(path + folder + slash, name, size);
        path[folder + slash + size] = '\0';
        w->paths_size += folder + slash + size + 1;
        return at;
}

static void telling_add(Watcher *w, size_t path, unsigned news) {
        if (path != SIZE_MAX)
                w->tellings[w->n_tellings++] = (Telling){ path, news };
}

static void resolve_self(Watcher *w, const TreeNode *n, unsigned what) {
        unsigned news = 0;

        /* Every folder of the file system says so, in no order; once is enough. */
        if ((what & EVENT_UNMOUNTED) && !w->unmounted) {
                w->unmounted = true;
                news |= WATCH_ROOT | WATCH_SUBTREE;
        }
        /* Of any other folder its parent's event tells. */
        if (tree_is_root(n) && (what & (EVENT_GONE | EVENT_MOVED)))
                news |= WATCH_ROOT;
        if (tree_is_root(n) && (what & EVENT_CHANGED))
                news |= WATCH_ATTRIB | WATCH_SUBTREE;
        if (news)
                telling_add(w, path_add(w, tree_find(w->tree, ""), "", 0), news);
}

static bool is_above(const Watcher *w, int wd) {
        for (size_t i = 0; i < w->n_above; i++)
                if (w->above[i] == wd)
                        return true;
        return false;
}

static void resolve(Watcher *w, const Event *event) {
        const unsigned of_file = WATCH_CONTENT | WATCH_CLOSED | WATCH_NAME;
        unsigned news = event->what & (EVENT_GONE - 1);
        TreeNode *n = tree_by_wd(w->tree, event->wd);

        if (!n && (event->what & (EVENT_GONE | EVENT_MOVED)) && is_above(w, event->wd))
                telling_add(w, path_add(w, tree_find(w->tree, ""), "", 0), WATCH_ROOT);
        if (!n)
                return; /* see above */
        resolve_self(w, n, event->what);
        if (news) {
                size_t path = path_add(w, n, event->name, event->size);

                if ((news & of_file) || !(news & WATCH_SUBTREE))
                        telling_add(w, path, news & ~(unsigned) WATCH_SUBTREE);
                if (news & WATCH_SUBTREE)
                        telling_add(w, path, news & (WATCH_SUBTREE | WATCH_ATTRIB));
        }
        if (event->what & EVENT_DEAD)
                tree_forget(w->tree, n);
}

static void resolve_step(Watcher *w) {
        size_t end = MIN(pending_count(w->set), w->told + STEP);

        w->n_tellings = w->paths_size = 0;
        (void) pthread_mutex_lock(&w->lock);
        for (; w->told < end && w->paths_size < STEP_PATHS; w->told++) {
                Event event = pending_get(w->set, w->told);

                resolve(w, &event);
        }
        (void) pthread_mutex_unlock(&w->lock);
}

/* --- the loop: telling --- */

static void call(Watcher *w, const char *path, unsigned news) {
        if (!w->closed)
                w->fn(path, news, w->userdata);
}

static void call_barriers(Watcher *w) {
        while (!w->closed && w->first && w->first->number <= w->reached) {
                _cleanup_free_ Barrier *b = w->first;

                w->first = b->next;
                if (!w->first)
                        w->last = &w->first;
                b->fn(b->userdata);
        }
}

static void take(Watcher *w) {
        w->reached = reader_take(w->reader, &w->set);
        w->told = 0;
        w->unmounted = false;
        w->news = false;
        w->busy = true;
        w->lost = pending_overflowed(w->set);
}

static void finish(Watcher *w) {
        pending_clear(w->set);
        w->busy = false;
        if (w->paths_room > KEEP_PATHS) {
                free(TAKE_PTR(w->paths));
                w->paths_room = 0;
        }
        call_barriers(w);
}

/* One bounded step; the rest in the loop's next turn. */
static void step(Watcher *w) {
        if (!w->busy && !w->news)
                return;
        if (!w->busy)
                take(w);
        resolve_step(w);
        if (w->lost) {
                w->lost = false;
                call(w, "", WATCH_SUBTREE | WATCH_OVERFLOW);
        }
        for (size_t i = 0; i < w->n_tellings && !w->closed; i++)
                call(w, w->paths + w->tellings[i].path, w->tellings[i].news);
        if (!w->closed && w->told == pending_count(w->set))
                finish(w);
        if (!w->closed && (w->busy || w->news))
                (void) sd_event_source_set_enabled(w->on_rest, SD_EVENT_ONESHOT);
}

static int on_rest(sd_event_source *s, void *userdata) {
        _cleanup_(watcher_unrefp) Watcher *w = watcher_ref(userdata);

        step(w);
        return 0;
}

static int on_news(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        _cleanup_(watcher_unrefp) Watcher *w = watcher_ref(userdata);
        eventfd_t n;

        (void) eventfd_read(fd, &n);
        w->news = true;
        if (!w->busy) /* else `on_rest` is armed */
                step(w);
        return 0;
}

/* --- life --- */

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
static int add_by_fd(int inotify_fd, int folder_fd, uint32_t mask) {
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

static int watcher_start(Watcher *w, sd_event *loop, Error *e) {
        HashSeed seed = { 0 };
        int r;

        (void) !getrandom(&seed, sizeof(seed), 0);
        if (tree_new(&w->tree, &seed) < 0 || pending_new(&w->set, &seed) < 0)
                return error_oom(e);
        w->tellings = calloc((size_t) STEP * 3, sizeof(*w->tellings)); /* one event gives at most three */
        if (!w->tellings)
                return error_oom(e);
        w->news_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (w->news_fd < 0)
                return error_os(e, errno, "making an eventfd");
        r = sd_event_add_io(loop, &w->on_news, w->news_fd, EPOLLIN, on_news, w);
        if (r >= 0)
                r = sd_event_add_defer(loop, &w->on_rest, on_rest, w);
        if (r >= 0)
                r = sd_event_source_set_enabled(w->on_rest, SD_EVENT_OFF);
        if (r < 0)
                return error_os(e, -r, "adding the watcher to the loop");
        return reader_new(&w->reader, w->inotify_fd, w->news_fd, &seed, e);
}

int watcher_new_on(Watcher **ret, sd_event *loop, int inotify_fd, WatcherAddFn add, WatcherFn fn, void *userdata,
                   Error *e) {
        _cleanup_close_ int owned = inotify_fd;
        _cleanup_(watcher_freep) Watcher *w = NULL;
        int r;

        assert(ret && loop && inotify_fd >= 0 && fn);

        w = calloc(1, sizeof(*w));
        if (!w)
                return error_oom(e);
        atomic_init(&w->refs, 1);
        w->inotify_fd = TAKE_FD(owned);
        w->news_fd = -1;
        w->add = add ? add : add_by_fd;
        w->fn = fn;
        w->userdata = userdata;
        w->last = &w->first;
        w->adding = (pthread_mutex_t) PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP; /* mostly for less than a sleep costs */
        (void) pthread_mutex_init(&w->lock, NULL);
        r = watcher_start(w, loop, e);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(w);
        return 0;
}

int watcher_new(Watcher **ret, sd_event *loop, WatcherFn fn, void *userdata, Error *e) {
        int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

        if (fd < 0 && errno == EMFILE)
                return error_set(e, -EMFILE, ERROR_OS, EMFILE,
                                 "no inotify instance to be had: this user's limit, fs.inotify.max_user_instances, is "
                                 "reached (sysctl fs.inotify.max_user_instances=1024, and the same line in a file "
                                 "/etc/sysctl.d/60-azsyncd.conf), or that of open files (LimitNOFILE=)");
        if (fd < 0)
                return error_os(e, errno, "starting inotify");
        return watcher_new_on(ret, loop, fd, NULL, fn, userdata, e);
}

Watcher *watcher_ref(Watcher *w) {
        (void) atomic_fetch_add_explicit(&w->refs, 1, memory_order_relaxed);
        return w;
}

Watcher *watcher_unref(Watcher *w) {
        if (!w || atomic_fetch_sub_explicit(&w->refs, 1, memory_order_acq_rel) > 1)
                return NULL;
        closep(&w->inotify_fd);
        tree_free(w->tree);
        pending_free(w->set);
        free(w->tellings);
        free(w->paths);
        (void) pthread_mutex_destroy(&w->adding);
        (void) pthread_mutex_destroy(&w->lock);
        free(w);
        return NULL;
}

Watcher *watcher_free(Watcher *w) {
        if (!w)
                return NULL;
        w->closed = true;
        w->on_news = sd_event_source_disable_unref(w->on_news);
        w->on_rest = sd_event_source_disable_unref(w->on_rest);
        w->reader = reader_free(w->reader);
        closep(&w->news_fd);
        w->news_fd = -1;
        while (w->first) {
                _cleanup_free_ Barrier *b = w->first;

                w->first = b->next;
        }
        return watcher_unref(w);
}

int watcher_barrier(Watcher *w, WatcherBarrierFn fn, void *userdata) {
        Barrier *b;

        assert(w && !w->closed && fn);

        b = malloc(sizeof(*b));
        if (!b)
                return -ENOMEM;
        *b = (Barrier){ .number = reader_barrier(w->reader), .fn = fn, .userdata = userdata };
        *w->last = b;
        w->last = &b->next;
        return 0;
}

static size_t watches(Watcher *w) {
        size_t n;

        (void) pthread_mutex_lock(&w->lock);
        n = tree_size(w->tree);
        (void) pthread_mutex_unlock(&w->lock);
        return n;
}

int64_t watcher_stuck(Watcher *w) {
        return reader_stuck(w->reader);
}

unsigned watcher_watches(const Watcher *w) {
        return (unsigned) watches((Watcher *) w);
}

/* --- the scanner's threads: under `adding` --- */

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
                                 "no inotify watch left at folder %zu of this mapping (fs.inotify.max_user_watches is "
                                 "%u for all of this user's programs): sysctl fs.inotify.max_user_watches=%u, and the "
                                 "same line in /etc/sysctl.d/60-azsyncd.conf; first unwatched folder: %s",
                                 watches(w) + 1, limit, wanted, PATH_SHOWN(path[0] ? path : "."));
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
