#include "watch/reader.h"

#include "util/clock.h"
#include "util/progress.h"
#include "util/thread.h"

#include <assert.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>

#define READ_ROOM ((size_t) 256 * 1024)
#define STACK_SIZE ((size_t) 128 * 1024)

struct Reader {
        int inotify_fd, news_fd; /* borrowed */
        int control_fd;
        char *bytes; /* the thread's own */
        pthread_t thread;
        bool running;
        atomic_ullong reads;  /* done by the thread */
        Progress progress;    /* as the loop sees it */
        pthread_mutex_t lock; /* guards what follows; held for memory operations only */
        Pending *set;
        uint64_t asked, reached; /* barriers */
        bool told;               /* the loop knows that there is something to take */
        bool stop;
};

/* With the lock held. True: the loop has to be woken, after the lock is released. */
static bool tell(Reader *r) {
        bool first = !r->told;

        r->told = true;
        return first;
}

/* `bytes` NULL: they could not be read, whatever they were. */
static void merge(Reader *r, const char *bytes, size_t size) {
        bool wake = false;
        size_t at = 0;
        Event event;
        int n = -EIO;

        (void) pthread_mutex_lock(&r->lock);
        while (bytes && (n = event_next(bytes, size, &at, &event)) > 0)
                pending_add(r->set, &event);
        if (n < 0) /* not what a kernel writes: the rest is lost, so look at everything */
                pending_overflow(r->set);
        if (!pending_empty(r->set))
                wake = tell(r);
        (void) pthread_mutex_unlock(&r->lock);
        if (wake)
                (void) eventfd_write(r->news_fd, 1);
}

/* One read. Returns the bytes, 0 if there is nothing now, or a negative errno. */
static ssize_t drain(Reader *r) {
        ssize_t n = read(r->inotify_fd, r->bytes, READ_ROOM);

        atomic_fetch_add_explicit(&r->reads, 1, memory_order_relaxed);
        if (n > 0)
                merge(r, r->bytes, (size_t) n);
        else if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        return n;
}

/* All that is queued now is read before the barrier counts as reached; what comes while we read need not be, or a storm
 * would put it off for ever. */
static void pass_barrier(Reader *r, uint64_t asked) {
        int queued = 0;
        bool wake;

        if (ioctl(r->inotify_fd, FIONREAD, &queued) < 0)
                queued = INT_MAX; /* until the queue is empty, then */
        while (queued > 0) {
                ssize_t n = drain(r);

                if (n <= 0)
                        break;
                queued -= (int) n;
        }
        (void) pthread_mutex_lock(&r->lock);
        r->reached = asked;
        wake = tell(r);
        (void) pthread_mutex_unlock(&r->lock);
        if (wake)
                (void) eventfd_write(r->news_fd, 1);
}

/* Returns false to stop. */
static bool obey(Reader *r) {
        uint64_t asked, reached;
        eventfd_t n;
        bool stop;

        (void) eventfd_read(r->control_fd, &n);
        (void) pthread_mutex_lock(&r->lock);
        stop = r->stop;
        asked = r->asked;
        reached = r->reached;
        (void) pthread_mutex_unlock(&r->lock);
        if (!stop && asked > reached)
                pass_barrier(r, asked);
        return !stop;
}

static void *reader_main(void *userdata) {
        Reader *r = userdata;
        struct pollfd fds[] = { { .fd = r->control_fd, .events = POLLIN }, { .fd = r->inotify_fd, .events = POLLIN } };

        for (;;) {
                if (poll(fds, ELEMENTSOF(fds), -1) < 0)
                        continue; /* EINTR; ENOMEM passes */
                if (fds[0].revents && !obey(r))
                        return NULL;
                /* one read a turn: a storm must not keep us from what the loop asks */
                if (fds[1].revents && drain(r) < 0) {
                        /* cannot happen; if it does, say that events are lost, and do not spin */
                        fds[1].fd = -1;
                        merge(r, NULL, 0);
                }
        }
}

int reader_new(Reader **ret, int inotify_fd, int news_fd, const HashSeed *seed, Error *e) {
        _cleanup_(reader_freep) Reader *r = NULL;
        int k;

        assert(ret && inotify_fd >= 0 && news_fd >= 0 && seed);

        r = calloc(1, sizeof(*r));
        if (!r)
                return error_oom(e);
        r->inotify_fd = inotify_fd;
        r->news_fd = news_fd;
        r->control_fd = -1;
        (void) pthread_mutex_init(&r->lock, NULL);
        r->bytes = malloc(READ_ROOM);
        if (!r->bytes || pending_new(&r->set, seed) < 0)
                return error_oom(e);
        r->control_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (r->control_fd < 0)
                return error_os(e, errno, "making an eventfd");
        k = thread_start(&r->thread, "inotify", STACK_SIZE, reader_main, r);
        r->running = k == 0;
        if (k < 0)
                return error_os(e, -k, "starting the thread that reads inotify events");
        *ret = TAKE_PTR(r);
        return 0;
}

Reader *reader_free(Reader *r) {
        if (!r)
                return NULL;
        if (r->running) {
                (void) pthread_mutex_lock(&r->lock);
                r->stop = true;
                (void) pthread_mutex_unlock(&r->lock);
                (void) eventfd_write(r->control_fd, 1);
                (void) pthread_join(r->thread, NULL);
        }
        closep(&r->control_fd);
        pending_free(r->set);
        (void) pthread_mutex_destroy(&r->lock);
        free(r->bytes);
        free(r);
        return NULL;
}

uint64_t reader_take(Reader *r, Pending **set) {
        Pending *empty = *set;
        uint64_t reached;

        assert(pending_empty(empty));

        (void) pthread_mutex_lock(&r->lock);
        *set = r->set;
        r->set = empty;
        r->told = false;
        reached = r->reached;
        (void) pthread_mutex_unlock(&r->lock);
        return reached;
}

int64_t reader_stuck(Reader *r) {
        unsigned long long reads = atomic_load_explicit(&r->reads, memory_order_relaxed);
        int queued = 0;

        return progress_stuck(&r->progress, reads, ioctl(r->inotify_fd, FIONREAD, &queued) == 0 && queued == 0,
                              clock_boot());
}

uint64_t reader_barrier(Reader *r) {
        uint64_t number;

        (void) pthread_mutex_lock(&r->lock);
        number = ++r->asked;
        (void) pthread_mutex_unlock(&r->lock);
        (void) eventfd_write(r->control_fd, 1);
        return number;
}
