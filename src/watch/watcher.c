#include "watch/watcher.h"

#include "util/path.h"
#include "watch/event.h"
#include "watch/pending.h"
#include "watch/tree.h"

#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>

#define READ_ROOM ((size_t) 256 * 1024)
#define STEP 4096u /* events told in one turn of the loop */
#define PATH_ROOM 65536u
#define MASK                                                                                            \
        (IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE | \
         IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)

typedef struct Barrier {
        struct Barrier *next;
        WatcherBarrierFn fn;
        void *userdata;
} Barrier;

struct Watcher {
        int inotify_fd, control_fd, news_fd;
        pthread_t thread;
        bool running;
        sd_event_source *source;
        WatcherFn fn;
        void *userdata;
        pthread_mutex_t lock; /* guards what follows; never held across a call into a file system */
        Pending *gathered;    /* the reader adds */
        Barrier *asked, *reached;
        bool stop;
        Tree *tree;
        /* the loop's own */
        Pending *telling;
        size_t told;
        Barrier *telling_barriers;
};

static void wake(int fd) {
        uint64_t one = 1;

        (void) !write(fd, &one, sizeof(one));
}

static void clear(int fd) {
        uint64_t n;

        (void) !read(fd, &n, sizeof(n));
}

/* --- the reader's thread: reads, merges, nothing else --- */

/* Everything that the kernel has for us now. */
static void drain(Watcher *w, char *bytes) {
        ssize_t n;

        while ((n = read(w->inotify_fd, bytes, READ_ROOM)) > 0) {
                size_t at = 0, used;
                WatchEvent e;

                (void) pthread_mutex_lock(&w->lock);
                while ((used = event_parse(bytes + at, (size_t) n - at, &e)) > 0) {
                        if (e.mask & IN_Q_OVERFLOW)
                                pending_overflow(w->gathered);
                        else
                                pending_add(w->gathered, e.wd, e.mask, e.name, e.size);
                        at += used;
                }
                (void) pthread_mutex_unlock(&w->lock);
        }
}

static void *reader(void *userdata) {
        Watcher *w = userdata;
        _cleanup_free_ char *bytes = malloc(READ_ROOM);
        struct pollfd fds[] = { { .fd = w->inotify_fd, .events = POLLIN }, { .fd = w->control_fd, .events = POLLIN } };

        while (bytes && poll(fds, ELEMENTSOF(fds), -1) >= 0) {
                Barrier *asked;
                bool stop;

                if (fds[1].revents)
                        clear(w->control_fd);
                (void) pthread_mutex_lock(&w->lock);
                stop = w->stop;
                asked = w->asked;
                w->asked = NULL;
                (void) pthread_mutex_unlock(&w->lock);
                if (stop)
                        break;
                drain(w, bytes); /* after the barriers were taken: what was queued before them is in the set now */
                (void) pthread_mutex_lock(&w->lock);
                while (asked) {
                        Barrier *b = asked;

                        asked = b->next;
                        b->next = w->reached;
                        w->reached = b;
                }
                (void) pthread_mutex_unlock(&w->lock);
                wake(w->news_fd);
        }
        return NULL;
}

/* --- the loop --- */

/* A watch that is gone: its node too, if it is still that one's (1.6). */
static void forget_watch(int wd, void *userdata) {
        (void) inotify_rm_watch(((Watcher *) userdata)->inotify_fd, wd);
}

static void tell(Watcher *w, const PendingEvent *e) {
        _cleanup_buf_ Buf path = BUF_INIT(PATH_ROOM);
        unsigned news = event_news(e->mask, e->name[0] != '\0');
        TreeNode *n;
        bool root;
        int r = 0;

        (void) pthread_mutex_lock(&w->lock);
        n = tree_by_wd(w->tree, e->wd);
        /* Unknown or stale: safe to drop, since the scanner makes a watch known before it lists the folder, so whatever
         * happened before that is in the listing (1.1, 1.8). */
        if (!n) {
                (void) pthread_mutex_unlock(&w->lock);
                return;
        }
        root = n == tree_find(w->tree, "");
        r = tree_path(n, &path);
        if (e->mask & (IN_IGNORED | IN_UNMOUNT))
                tree_remove(w->tree, n, forget_watch, w);
        (void) pthread_mutex_unlock(&w->lock);

        if (e->name[0] == '\0' && !root && !(e->mask & IN_UNMOUNT))
                return; /* the parent's event tells */
        if (r >= 0 && e->name[0] != '\0') {
                if (path.size > 0)
                        r = buf_puts(&path, "/");
                if (r >= 0)
                        r = buf_puts(&path, e->name);
        }
        if (r < 0)
                w->fn("", WATCH_SUBTREE | WATCH_OVERFLOW, w->userdata); /* a path beyond all bounds, or no memory */
        else if (news)
                w->fn(buf_text(&path), news, w->userdata);
}

static void take(Watcher *w) {
        Pending *empty = w->telling;
        Barrier *reached;

        (void) pthread_mutex_lock(&w->lock);
        w->telling = w->gathered;
        w->gathered = empty;
        reached = w->reached;
        w->reached = NULL;
        (void) pthread_mutex_unlock(&w->lock);
        w->told = 0;
        while (reached) { /* in the order asked */
                Barrier *b = reached;

                reached = b->next;
                b->next = w->telling_barriers;
                w->telling_barriers = b;
        }
}

static int on_wake(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Watcher *w = userdata;
        size_t end;

        clear(fd);
        if (w->told == pending_count(w->telling)) {
                pending_clear(w->telling);
                take(w);
        }
        if (pending_overflowed(w->telling))
                w->fn("", WATCH_SUBTREE | WATCH_OVERFLOW, w->userdata);
        end = MIN(w->told + STEP, pending_count(w->telling));
        for (; w->told < end; w->told++) {
                PendingEvent e = pending_get(w->telling, w->told);

                tell(w, &e);
        }
        if (w->told < pending_count(w->telling)) {
                wake(w->news_fd); /* the rest in the next turn, and whatever came meanwhile after it */
                return 0;
        }
        while (w->telling_barriers) {
                Barrier *b = w->telling_barriers;

                w->telling_barriers = b->next;
                b->fn(b->userdata);
                free(b);
        }
        (void) pthread_mutex_lock(&w->lock);
        if (pending_count(w->gathered) > 0 || pending_overflowed(w->gathered) || w->reached)
                wake(w->news_fd); /* came in while we told */
        (void) pthread_mutex_unlock(&w->lock);
        return 0;
}

static int start_reader(Watcher *w) {
        sigset_t all, old;
        int r;

        (void) sigfillset(&all);
        (void) pthread_sigmask(SIG_SETMASK, &all, &old);
        r = pthread_create(&w->thread, NULL, reader, w);
        (void) pthread_sigmask(SIG_SETMASK, &old, NULL);
        w->running = r == 0;
        return -r;
}

int watcher_new(Watcher **ret, sd_event *loop, WatcherFn fn, void *userdata, Error *e) {
        _cleanup_(watcher_freep) Watcher *w = NULL;
        int r;

        assert(ret && loop && fn);

        w = calloc(1, sizeof(*w));
        if (!w)
                return error_oom(e);
        w->inotify_fd = w->control_fd = w->news_fd = -1;
        w->fn = fn;
        w->userdata = userdata;
        (void) pthread_mutex_init(&w->lock, NULL);
        if (tree_new(&w->tree) < 0 || pending_new(&w->gathered) < 0 || pending_new(&w->telling) < 0)
                return error_oom(e);
        w->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        if (w->inotify_fd < 0)
                return errno == EMFILE
                               ? error_set(e, -EMFILE, ERROR_OS, EMFILE,
                                           "no inotify instance left: raise fs.inotify.max_user_instances (sysctl "
                                           "fs.inotify.max_user_instances=1024, and in a file in /etc/sysctl.d/), or "
                                           "LimitNOFILE=")
                               : error_os(e, errno, "starting inotify");
        w->control_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        w->news_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (w->control_fd < 0 || w->news_fd < 0)
                return error_os(e, errno, "making an eventfd");
        r = sd_event_add_io(loop, &w->source, w->news_fd, EPOLLIN, on_wake, w);
        if (r >= 0)
                r = start_reader(w);
        if (r < 0)
                return error_os(e, -r, "starting the watcher");
        *ret = TAKE_PTR(w);
        return 0;
}

static void free_barriers(Barrier *b) {
        while (b) {
                Barrier *next = b->next;

                free(b);
                b = next;
        }
}

Watcher *watcher_free(Watcher *w) {
        if (!w)
                return NULL;
        if (w->running) {
                (void) pthread_mutex_lock(&w->lock);
                w->stop = true;
                (void) pthread_mutex_unlock(&w->lock);
                wake(w->control_fd);
                (void) pthread_join(w->thread, NULL); /* it touches no file system: it always comes */
        }
        (void) sd_event_source_disable_unref(w->source);
        closep(&w->inotify_fd);
        closep(&w->control_fd);
        closep(&w->news_fd);
        free_barriers(w->asked);
        free_barriers(w->reached);
        free_barriers(w->telling_barriers);
        pending_free(w->gathered);
        pending_free(w->telling);
        tree_free(w->tree);
        (void) pthread_mutex_destroy(&w->lock);
        free(w);
        return NULL;
}

int watcher_barrier(Watcher *w, WatcherBarrierFn fn, void *userdata) {
        Barrier *b = calloc(1, sizeof(*b));

        if (!b)
                return -ENOMEM;
        b->fn = fn;
        b->userdata = userdata;
        (void) pthread_mutex_lock(&w->lock);
        b->next = w->asked;
        w->asked = b;
        (void) pthread_mutex_unlock(&w->lock);
        wake(w->control_fd);
        return 0;
}

unsigned watcher_watches(const Watcher *w) {
        Watcher *mutable = (Watcher *) w;
        size_t n;

        (void) pthread_mutex_lock(&mutable->lock);
        n = tree_size(w->tree);
        (void) pthread_mutex_unlock(&mutable->lock);
        return (unsigned) n;
}

/* --- the scanner's thread --- */

static WatchAdd say_limit(const Watcher *w, const char *path, Error *e) {
        unsigned n = watcher_watches(w);

        (void) error_set(e, -ENOSPC, ERROR_OS, ENOSPC,
                         "the limit of inotify watches is reached at %s after %u folders (fs.inotify.max_user_watches, "
                         "shared by all of "
                         "this user's programs): sysctl fs.inotify.max_user_watches=%u, and the same line in "
                         "/etc/sysctl.d/60-azsyncd.conf",
                         PATH_SHOWN(path), n, MAX(n, 65536U) * 4);
        return WATCH_LIMIT;
}

WatchAdd watcher_add(Watcher *w, const char *path, int fd, bool (*exists)(const char *path, int fd, void *userdata),
                     void *userdata, Error *e) {
        _cleanup_buf_ Buf known = BUF_INIT(PATH_ROOM);
        WatchAdd added = WATCH_ADDED;
        char link[64];
        TreeNode *n;
        int wd, r;

        /* by the descriptor: whatever the name means by now (1.15) */
        (void) snprintf(link, sizeof(link), "/proc/self/fd/%i", fd);
        wd = inotify_add_watch(w->inotify_fd, link, MASK);
        if (wd < 0) {
                if (errno == ENOSPC)
                        return say_limit(w, path, e);
                (void) error_os(e, errno, "watching %s", PATH_SHOWN(path));
                return WATCH_REFUSED;
        }
        (void) pthread_mutex_lock(&w->lock);
        n = tree_by_wd(w->tree, wd);
        r = n ? tree_path(n, &known) : tree_add(w->tree, path, wd);
        (void) pthread_mutex_unlock(&w->lock);

        if (n && r >= 0 && strcmp(buf_text(&known), path) != 0) {
                if (exists && exists(buf_text(&known), fd, userdata))
                        return WATCH_SHARED;
                added = WATCH_MOVED;
                (void) pthread_mutex_lock(&w->lock);
                n = tree_by_wd(w->tree, wd); /* the loop may have dropped it meanwhile */
                r = n ? tree_move(w->tree, n, path) : tree_add(w->tree, path, wd);
                (void) pthread_mutex_unlock(&w->lock);
        }
        if (r < 0) {
                /* its parent is not watched either: nobody could say where an event of it belongs */
                (void) inotify_rm_watch(w->inotify_fd, wd);
                (void) error_os(e, -r, "watching %s", PATH_SHOWN(path));
                return WATCH_REFUSED;
        }
        return added;
}

void watcher_remove(Watcher *w, const char *path) {
        TreeNode *n;

        (void) pthread_mutex_lock(&w->lock);
        n = tree_find(w->tree, path);
        if (n)
                tree_remove(w->tree, n, forget_watch, w);
        (void) pthread_mutex_unlock(&w->lock);
}

void watcher_keep_only(Watcher *w, const char *path, const char *const *names, size_t count) {
        TreeNode *n;

        (void) pthread_mutex_lock(&w->lock);
        n = tree_find(w->tree, path);
        if (n)
                tree_keep_only(w->tree, n, names, count, forget_watch, w);
        (void) pthread_mutex_unlock(&w->lock);
}
