/* The thread around a walk, and the queue of what it saw. The walk itself is walk.c. The thread is counted as a user of
 * the Shared, for it may be stuck in the kernel when the scanner is freed, for ever perhaps (pitfalls 2.6); when it
 * comes back it finds `cancelled` and leaves. */
#include "watch/scanner.h"

#include "util/buf.h"
#include "util/clock.h"
#include "util/thread.h"
#include "watch/walk.h"

#include <assert.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#define BATCH 512u
#define BATCH_PATHS ((size_t) 256 * 1024) /* a batch is handed over when its paths take that much */
#define BATCHES_MAX 4u                    /* the walker waits while so many have not been taken */
#define STACK_SIZE ((size_t) 256 * 1024)
#define ALONE 16u /* folders */
#define FILES_LEAST 1024u

typedef struct Batch {
        struct Batch *next;
        size_t n;
        Buf paths;
        size_t offsets[BATCH]; /* `paths` may move while it grows */
        Seen seen[BATCH];
} Batch;

typedef struct Shared {
        pthread_mutex_t lock; /* never held across a call into the file system */
        pthread_cond_t changed;
        unsigned refs;
        int news_fd; /* a semaphore: one count for each batch and each end */
        char *folder;
        Watcher *watcher;
        ScanFilterFn filter;
        void *filter_data;
        Batch *filling; /* the walker's own */
        /* under the lock */
        RootId pinned;
        bool cancelled;
        bool running; /* the thread is there */
        char *branch; /* to be scanned */
        int64_t step; /* boot ns of the walker's last sign of life; 0: it has nothing to do, or waits for us */
        Batch *first, **last;
        unsigned queued;
        bool ended;
        ScanEnd end;
} Shared;

struct Scanner {
        Shared *shared;
        sd_event_source *on_news;
        ScannerCallbacks callbacks;
        void *userdata;
        bool busy;
        Batch *taking; /* of which `taken` have been told */
        size_t taken;
        bool ending; /* with `end` */
        ScanEnd end;
        bool calling, freed; /* a callback runs, and has freed the scanner: the struct is left to on_news() */
};

static Batch *batch_free(Batch *b) {
        if (b) {
                buf_done(&b->paths);
                free(b);
        }
        return NULL;
}
DEFINE_CLEANUP(Batch *, batch_free);

static void shared_unref(Shared *s) {
        unsigned left;

        (void) pthread_mutex_lock(&s->lock);
        left = --s->refs;
        (void) pthread_mutex_unlock(&s->lock);
        if (left > 0)
                return;
        while (s->first) {
                Batch *b = s->first;

                s->first = b->next;
                batch_free(b);
        }
        batch_free(s->filling);
        closep(&s->news_fd);
        watcher_unref(s->watcher);
        (void) pthread_cond_destroy(&s->changed);
        (void) pthread_mutex_destroy(&s->lock);
        free(s->folder);
        free(s->branch);
        free(s);
}

/* --- the walker's thread --- */

static bool on_alive(void *userdata) {
        Shared *s = userdata;
        int64_t now = clock_boot();
        bool cancelled;

        (void) pthread_mutex_lock(&s->lock);
        cancelled = s->cancelled;
        s->step = now;
        (void) pthread_mutex_unlock(&s->lock);
        return !cancelled;
}

/* Under the lock, because the filter's data lives only as long as the scanner. */
static ScanFilter on_filter(const char *path, size_t size, bool folder, void *userdata) {
        Shared *s = userdata;
        ScanFilter verdict = SCAN_EXCLUDE;

        (void) pthread_mutex_lock(&s->lock);
        if (!s->cancelled)
                verdict = s->filter(path, size, folder, s->filter_data);
        (void) pthread_mutex_unlock(&s->lock);
        return verdict;
}

/* Waits while the loop has enough to do. False: cancelled. */
static bool hand_over(Shared *s) {
        _cleanup_(batch_freep) Batch *b = TAKE_PTR(s->filling);
        bool cancelled;

        if (!b)
                return true;
        for (size_t i = 0; i < b->n; i++)
                b->seen[i].path = b->paths.data + b->offsets[i];
        (void) pthread_mutex_lock(&s->lock);
        while (!s->cancelled && s->queued >= BATCHES_MAX) {
                s->step = 0;
                (void) pthread_cond_wait(&s->changed, &s->lock);
        }
        cancelled = s->cancelled;
        if (!cancelled) {
                s->step = clock_boot();
                b->next = NULL;
                *s->last = b;
                s->last = &b->next;
                s->queued++;
                b = NULL;
                (void) eventfd_write(s->news_fd, 1);
        }
        (void) pthread_mutex_unlock(&s->lock);
        return !cancelled;
}

static Batch *batch_new(void) {
        Batch *b = malloc(sizeof(*b)); /* not zeroed: mostly it is a handful of entries */

        if (b) {
                b->n = 0;
                b->paths = BUF_INIT(BATCH_PATHS + 2 * WALK_PATH_MAX);
        }
        return b;
}

static bool on_emit(const Seen *seen, void *userdata) {
        Shared *s = userdata;
        Batch *b = s->filling ? s->filling : batch_new();

        s->filling = b;
        if (!b || buf_append(&b->paths, seen->path, seen->size + 1) < 0)
                return false; /* no memory: the scan ends incomplete */
        b->offsets[b->n] = b->paths.size - seen->size - 1;
        b->seen[b->n++] = *seen;
        return (b->n < BATCH && b->paths.size < BATCH_PATHS) || hand_over(s);
}

static void put_end(Shared *s, const ScanEnd *end) {
        (void) pthread_mutex_lock(&s->lock);
        s->end = *end;
        s->ended = true;
        s->step = 0;
        (void) eventfd_write(s->news_fd, 1);
        (void) pthread_cond_broadcast(&s->changed);
        (void) pthread_mutex_unlock(&s->lock);
}

/* What is not cached yet is waited for most of the time, so there are more than processors (4.10). They hold many
 * descriptors: where few may be open there are none (11.2). */
static unsigned helpers(void) {
        long processors = sysconf(_SC_NPROCESSORS_ONLN);
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur < FILES_LEAST)
                return 0;
        return (unsigned) MIN(MAX(2 * processors, 4L), 8L) - 1;
}

static void scan(Shared *s, const char *branch, const RootId *pinned) {
        Walk walk = {
                .folder = s->folder,
                .pinned = *pinned,
                .watcher = s->watcher,
                .alive = on_alive,
                .filter = s->filter ? on_filter : NULL,
                .emit = on_emit,
                .userdata = s,
                .threads = helpers(),
                .alone = ALONE,
        };
        ScanEnd end;

        walk_branch(&walk, branch, &end);
        if (!hand_over(s))
                end.complete = false;
        if (!end.complete && end.root_state == ROOT_OK && end.error.code == 0)
                (void) error_set(&end.error, -ECANCELED, ERROR_OS, ECANCELED,
                                 "the scan was cancelled, or ran out of memory");
        put_end(s, &end);
}

static void *scanner_main(void *userdata) {
        Shared *s = userdata;

        for (;;) {
                _cleanup_free_ char *branch = NULL;
                RootId pinned;
                bool go;

                (void) pthread_mutex_lock(&s->lock);
                while (!s->cancelled && !s->branch)
                        (void) pthread_cond_wait(&s->changed, &s->lock);
                branch = TAKE_PTR(s->branch);
                pinned = s->pinned;
                go = !s->cancelled;
                (void) pthread_mutex_unlock(&s->lock);
                if (!go)
                        break;
                scan(s, branch, &pinned);
        }
        shared_unref(s);
        return NULL;
}

static int start_thread(Shared *s) {
        int r;

        s->refs++;
        r = thread_start(NULL, "scanner", STACK_SIZE, scanner_main, s);
        if (r < 0)
                s->refs--;
        return r;
}

/* --- the loop --- */

/* The next batch, or the end. */
static void take(Scanner *scanner) {
        Shared *s = scanner->shared;

        (void) pthread_mutex_lock(&s->lock);
        if (s->first) {
                scanner->taking = s->first;
                scanner->taken = 0;
                s->first = s->first->next;
                if (!s->first)
                        s->last = &s->first;
                s->queued--;
                (void) pthread_cond_broadcast(&s->changed);
        } else if (s->ended) {
                s->ended = false;
                scanner->end = s->end;
                scanner->ending = true;
        }
        (void) pthread_mutex_unlock(&s->lock);
}

static void tell_seen(Scanner *scanner) {
        Batch *b = scanner->taking;
        size_t n = scanner->callbacks.seen(b->seen + scanner->taken, b->n - scanner->taken, scanner->userdata);

        assert(n <= b->n - scanner->taken);
        scanner->taken += n;
        if (scanner->taken == b->n)
                scanner->taking = batch_free(b);
}

static void tell_end(Scanner *scanner) {
        scanner->ending = scanner->busy = false; /* the callback may start the next scan */
        if (!scanner->callbacks.end(&scanner->end, scanner->userdata))
                scanner->ending = scanner->busy = true;
}

static void scanner_dispose(Scanner *scanner) {
        batch_free(scanner->taking);
        free(scanner);
}

/* At most one batch a turn, so that the loop's other work comes in between. */
static int on_news(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Scanner *scanner = userdata;
        eventfd_t n;

        if (eventfd_read(fd, &n) < 0)
                return 0;
        if (!scanner->taking && !scanner->ending)
                take(scanner);
        scanner->calling = true;
        if (scanner->taking)
                tell_seen(scanner);
        else if (scanner->ending)
                tell_end(scanner);
        scanner->calling = false;
        if (scanner->freed)
                scanner_dispose(scanner);
        else if (scanner->taking || scanner->ending)
                (void) eventfd_write(fd, 1); /* the rest in the next turn */
        return 0;
}

static int shared_new(Shared **ret, const ScannerOptions *options, Error *e) {
        Shared *s = calloc(1, sizeof(*s));
        char *folder = strdup(options->folder);
        int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);

        if (!s || !folder || fd < 0) {
                int r = fd < 0 ? error_os(e, errno, "making an eventfd") : error_oom(e);

                free(s);
                free(folder);
                closep(&fd);
                return r;
        }
        (void) pthread_mutex_init(&s->lock, NULL);
        (void) pthread_cond_init(&s->changed, NULL);
        s->refs = 1;
        s->news_fd = fd;
        s->folder = folder;
        s->watcher = options->watcher ? watcher_ref(options->watcher) : NULL;
        s->filter = options->filter;
        s->filter_data = options->filter_data;
        s->pinned = options->pinned;
        s->last = &s->first;
        *ret = s;
        return 0;
}

int scanner_new(Scanner **ret, sd_event *loop, const ScannerOptions *options, const ScannerCallbacks *callbacks,
                void *userdata, Error *e) {
        _cleanup_(scanner_freep) Scanner *scanner = NULL;
        int r;

        assert(ret && loop && options && options->folder && options->folder[0] == '/');
        assert(callbacks && callbacks->seen && callbacks->end);

        scanner = calloc(1, sizeof(*scanner));
        if (!scanner)
                return error_oom(e);
        scanner->callbacks = *callbacks;
        scanner->userdata = userdata;
        r = shared_new(&scanner->shared, options, e);
        if (r < 0)
                return r;
        assert(scanner->shared);
        r = sd_event_add_io(loop, &scanner->on_news, scanner->shared->news_fd, EPOLLIN, on_news, scanner);
        if (r < 0)
                return error_os(e, -r, "adding the scanner to the loop");
        *ret = TAKE_PTR(scanner);
        return 0;
}

Scanner *scanner_free(Scanner *scanner) {
        Shared *s;

        if (!scanner)
                return NULL;
        scanner->on_news = sd_event_source_disable_unref(scanner->on_news);
        s = TAKE_PTR(scanner->shared);
        scanner->freed = true;
        if (!scanner->calling)
                scanner_dispose(scanner);
        if (!s)
                return NULL;
        (void) pthread_mutex_lock(&s->lock);
        s->cancelled = true;
        (void) pthread_cond_broadcast(&s->changed);
        (void) pthread_mutex_unlock(&s->lock);
        shared_unref(s);
        return NULL;
}

void scanner_pin(Scanner *scanner, const RootId *pinned) {
        Shared *s = scanner->shared;

        (void) pthread_mutex_lock(&s->lock);
        s->pinned = *pinned;
        (void) pthread_mutex_unlock(&s->lock);
}

int scanner_start(Scanner *scanner, const char *path) {
        Shared *s = scanner->shared;
        _cleanup_free_ char *branch = NULL;
        int r = 0;

        assert(path && path[0] != '/');

        if (scanner->busy)
                return -EBUSY;
        branch = strdup(path);
        if (!branch)
                return -ENOMEM;
        (void) pthread_mutex_lock(&s->lock);
        if (!s->running)
                r = start_thread(s);
        if (r >= 0) {
                s->running = true;
                s->branch = TAKE_PTR(branch);
                s->step = clock_boot();
                (void) pthread_cond_broadcast(&s->changed);
        }
        (void) pthread_mutex_unlock(&s->lock);
        scanner->busy = r >= 0;
        return r;
}

bool scanner_busy(const Scanner *scanner) {
        return scanner->busy;
}

int64_t scanner_stuck(const Scanner *scanner) {
        Shared *s = scanner->shared;
        int64_t since;

        (void) pthread_mutex_lock(&s->lock);
        since = s->step;
        (void) pthread_mutex_unlock(&s->lock);
        return since > 0 ? MAX(clock_boot() - since, (int64_t) 1) : 0;
}
