/* The folder table between three threads. The reader's thread (reader.c) gathers (wd, name) and knows no path. The loop
 * turns them into paths and tells them. The scanner's threads add and remove watches.
 *
 * Why nothing is lost in between: the scanner adds a watch, then puts it into the table, and only then lists the
 * folder. An event whose watch is not in the table is either older than the listing, which shows what it was about, or
 * of a folder that left; then the event of its parent tells, and if it came back somewhere, the scan of that place
 * watches it anew and lists it after that. So an unknown wd may be dropped (pitfalls 1.1, 1.6, 1.8).
 *
 * watches.c is the half of it that the scanner's threads call; this one is the loop's. */
#include "watch/watches.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/random.h>

#define STEP 4096u                        /* events told in one turn of the loop */
#define STEP_PATHS ((size_t) 512 * 1024)  /* or about so many bytes of paths */
#define KEEP_PATHS ((size_t) 1024 * 1024) /* a larger buffer is freed after use */

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
        w->add = add ? add : watches_add_by_fd;
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

int64_t watcher_stuck(Watcher *w) {
        return reader_stuck(w->reader);
}
