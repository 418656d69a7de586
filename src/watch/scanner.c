/* The thread around a walk and the queue of what it saw. See scanner.h; the walk is walk.c. */
#include "watch/scanner.h"

#include "util/buf.h"
#include "util/clock.h"
#include "watch/walk.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>

#define BATCH 512u
#define BATCHES_MAX 4u

typedef struct Batch {
        struct Batch *next;
        Seen seen[BATCH];
        size_t offsets[BATCH];
        size_t n;
        Buf paths;
        bool last; /* with `end` */
        ScanEnd end;
} Batch;

/* Shared by the thread and the loop; freed by whoever lets go last, for a thread may be stuck in the kernel for ever
 * (pitfalls 2.6). */
typedef struct Shared {
        pthread_mutex_t lock;
        pthread_cond_t cond;
        unsigned refs;
        bool cancelled, started, walking;
        char *folder, *branch; /* branch: to be scanned; the thread takes it */
        Walk walk;
        Batch *first, **last; /* done, not taken */
        unsigned queued;
        int64_t stepped_at; /* boot ns of the walker's last sign of life; 0: idle */
        int fd;
        Batch *filling; /* the thread's own */
} Shared;

struct Scanner {
        Shared *shared;
        sd_event_source *source;
        ScannerCallbacks callbacks;
        void *userdata;
        bool busy;
};

static void batch_free(Batch *b) {
        if (!b)
                return;
        buf_done(&b->paths);
        free(b);
}

static void shared_unref(Shared *s) {
        bool last;

        (void) pthread_mutex_lock(&s->lock);
        last = --s->refs == 0;
        (void) pthread_mutex_unlock(&s->lock);
        if (!last)
                return;
        while (s->first) {
                Batch *b = s->first;

                s->first = b->next;
                batch_free(b);
        }
        batch_free(s->filling);
        closep(&s->fd);
        (void) pthread_mutex_destroy(&s->lock);
        (void) pthread_cond_destroy(&s->cond);
        free(s->folder);
        free(s->branch);
        free(s);
}

static void wake(int fd) {
        uint64_t one = 1;

        (void) !write(fd, &one, sizeof(one));
}

/* Hands the filled batch over; waits while the loop has enough. False: cancelled. */
static bool hand_over(Shared *s) {
        Batch *b = TAKE_PTR(s->filling);
        bool cancelled;

        for (size_t i = 0; i < b->n; i++)
                b->seen[i].path = b->paths.data + b->offsets[i];
        (void) pthread_mutex_lock(&s->lock);
        while (!s->cancelled && s->queued >= BATCHES_MAX) {
                s->stepped_at = clock_boot(); /* the loop is what it waits for, not a file system */
                (void) pthread_cond_wait(&s->cond, &s->lock);
        }
        cancelled = s->cancelled;
        if (!cancelled) {
                *s->last = b;
                s->last = &b->next;
                s->queued++;
                s->stepped_at = b->last ? 0 : clock_boot();
                wake(s->fd);
        }
        (void) pthread_mutex_unlock(&s->lock);
        if (cancelled)
                batch_free(b);
        return !cancelled;
}

static Batch *batch_new(void) {
        Batch *b = malloc(sizeof(*b));

        if (!b)
                return NULL;
        b->next = NULL;
        b->n = 0;
        b->last = false;
        b->paths = BUF_INIT((size_t) BATCH * 8800);
        return b;
}

static bool on_emit(const Seen *seen, void *userdata) {
        Shared *s = userdata;
        Batch *b;

        if (!s->filling)
                s->filling = batch_new();
        b = s->filling;
        if (!b)
                return false;
        b->offsets[b->n] = b->paths.size;
        if (buf_append(&b->paths, seen->path, seen->size + 1) < 0)
                return false;
        b->seen[b->n++] = *seen;
        return b->n < BATCH || hand_over(s);
}

static bool on_alive(void *userdata) {
        Shared *s = userdata;
        bool cancelled;

        (void) pthread_mutex_lock(&s->lock);
        cancelled = s->cancelled;
        s->stepped_at = clock_boot();
        (void) pthread_mutex_unlock(&s->lock);
        return !cancelled;
}

static void scan(Shared *s, const char *branch) {
        Walk walk;
        ScanEnd end;

        (void) pthread_mutex_lock(&s->lock);
        walk = s->walk;
        (void) pthread_mutex_unlock(&s->lock);
        walk_branch(&walk, branch, &end);
        if (!s->filling)
                s->filling = batch_new();
        if (!s->filling)
                return; /* out of memory: the scan never ends, and status shows it as scanning */
        s->filling->last = true;
        s->filling->end = end;
        (void) hand_over(s);
}

static void *thread(void *userdata) {
        Shared *s = userdata;

        for (;;) {
                _cleanup_free_ char *branch = NULL;

                (void) pthread_mutex_lock(&s->lock);
                while (!s->cancelled && !s->branch)
                        (void) pthread_cond_wait(&s->cond, &s->lock);
                branch = TAKE_PTR(s->branch);
                if (s->cancelled) {
                        (void) pthread_mutex_unlock(&s->lock);
                        break;
                }
                (void) pthread_mutex_unlock(&s->lock);
                scan(s, branch);
                (void) pthread_mutex_lock(&s->lock);
                s->walking = false;
                (void) pthread_cond_broadcast(&s->cond);
                (void) pthread_mutex_unlock(&s->lock);
        }
        shared_unref(s);
        return NULL;
}

static int on_batches(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Scanner *scanner = userdata;
        Shared *s = scanner->shared;
        uint64_t n;
        Batch *b;

        (void) !read(fd, &n, sizeof(n));
        (void) pthread_mutex_lock(&s->lock);
        b = s->first;
        if (b) { /* one a turn, so that the loop's other work comes in between */
                s->first = b->next;
                if (!s->first)
                        s->last = &s->first;
                else
                        wake(s->fd);
                s->queued--;
                (void) pthread_cond_broadcast(&s->cond);
        }
        (void) pthread_mutex_unlock(&s->lock);
        if (!b)
                return 0;
        if (b->n > 0)
                scanner->callbacks.seen(b->seen, b->n, scanner->userdata);
        if (b->last) {
                scanner->busy = false;
                scanner->callbacks.end(&b->end, scanner->userdata);
        }
        batch_free(b);
        return 0;
}

int scanner_new(Scanner **ret, sd_event *loop, const ScannerOptions *options, const ScannerCallbacks *callbacks,
                void *userdata, Error *e) {
        _cleanup_(scanner_freep) Scanner *scanner = NULL;
        Shared *s;
        int r;

        assert(ret && loop && options && options->folder && callbacks && callbacks->seen && callbacks->end);

        scanner = calloc(1, sizeof(*scanner));
        s = calloc(1, sizeof(*s));
        if (!scanner || !s) {
                free(s);
                return error_oom(e);
        }
        scanner->shared = s;
        scanner->callbacks = *callbacks;
        scanner->userdata = userdata;
        (void) pthread_mutex_init(&s->lock, NULL);
        (void) pthread_cond_init(&s->cond, NULL);
        s->refs = 1;
        s->last = &s->first;
        s->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        s->folder = strdup(options->folder);
        if (s->fd < 0)
                return error_os(e, errno, "making an eventfd");
        if (!s->folder)
                return error_oom(e);
        s->walk = (Walk){
                .folder = s->folder,
                .pinned = options->pinned,
                .watcher = options->watcher,
                .filter = options->filter,
                .filter_data = options->filter_data,
                .emit = on_emit,
                .alive = on_alive,
                .userdata = s,
        };
        r = sd_event_add_io(loop, &scanner->source, s->fd, EPOLLIN, on_batches, scanner);
        if (r < 0)
                return error_os(e, -r, "starting the scanner");
        *ret = TAKE_PTR(scanner);
        return 0;
}

Scanner *scanner_free(Scanner *scanner) {
        struct timespec until;
        Shared *s;

        if (!scanner)
                return NULL;
        s = scanner->shared;
        (void) sd_event_source_disable_unref(scanner->source);
        (void) pthread_mutex_lock(&s->lock);
        s->cancelled = true;
        (void) pthread_cond_broadcast(&s->cond);
        (void) clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += 1;
        while (s->walking && !s->branch && pthread_cond_timedwait(&s->cond, &s->lock, &until) == 0)
                ;
        (void) pthread_mutex_unlock(&s->lock);
        shared_unref(s);
        free(scanner);
        return NULL;
}

void scanner_pin(Scanner *scanner, const RootId *pinned) {
        (void) pthread_mutex_lock(&scanner->shared->lock);
        scanner->shared->walk.pinned = *pinned;
        (void) pthread_mutex_unlock(&scanner->shared->lock);
}

static int start_thread(Shared *s) {
        pthread_attr_t attr;
        sigset_t all, old;
        pthread_t t;
        int r;

        (void) sigfillset(&all);
        (void) pthread_sigmask(SIG_SETMASK, &all, &old);
        (void) pthread_attr_init(&attr);
        (void) pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
        (void) pthread_attr_setstacksize(&attr, (size_t) 512 * 1024); /* the listing's buffer is 64 KiB of it */
        s->refs++;
        r = pthread_create(&t, &attr, thread, s);
        if (r != 0)
                s->refs--;
        else
                s->started = true;
        (void) pthread_attr_destroy(&attr);
        (void) pthread_sigmask(SIG_SETMASK, &old, NULL);
        return -r;
}

int scanner_start(Scanner *scanner, const char *path) {
        Shared *s = scanner->shared;
        char *branch;
        int r = 0;

        if (scanner->busy)
                return -EBUSY;
        branch = strdup(path);
        if (!branch)
                return -ENOMEM;
        (void) pthread_mutex_lock(&s->lock);
        if (!s->started)
                r = start_thread(s);
        if (r >= 0) {
                s->branch = branch;
                s->walking = true;
                s->stepped_at = clock_boot();
                (void) pthread_cond_broadcast(&s->cond);
        }
        (void) pthread_mutex_unlock(&s->lock);
        if (r < 0) {
                free(branch);
                return r;
        }
        scanner->busy = true;
        return 0;
}

bool scanner_busy(const Scanner *scanner) {
        return scanner->busy;
}

int64_t scanner_stuck(const Scanner *scanner) {
        Shared *s = scanner->shared;
        int64_t at;

        (void) pthread_mutex_lock(&s->lock);
        at = s->stepped_at;
        (void) pthread_mutex_unlock(&s->lock);
        return at > 0 ? clock_boot() - at : 0;
}
