#include "util/workers.h"

#include "util/clock.h"
#include "util/thread.h"

#include <assert.h>
#include <stdatomic.h>
#include <sys/eventfd.h>

/* The threads share a Pool with the loop, and nothing else. It is counted, because a thread that is stuck in the kernel
 * outlives its Workers and still needs the lock when it comes back. The lock is held for a few instructions only, never
 * across run(), done() or drop(). */

#define STACK_SIZE ((size_t) 256 * 1024)  /* our works keep their data on the heap; the default would be 8 MiB each */
#define SPAWN_AGAIN_USEC UINT64_C(100000) /* no thread could be started (TasksMax, memory): how soon to try again */

typedef struct Pool Pool;

typedef struct Thread {
        Pool *pool;
        int64_t since; /* boot time at which its present work began; 0: none */
} Thread;

typedef struct List {
        Work *first, **end;
} List;

struct Pool {
        pthread_mutex_t lock;
        pthread_cond_t wake; /* there is work, or `closed` */
        atomic_uint refs;    /* Workers, and each thread */
        int eventfd;         /* readable: `finished` is or was not empty */
        List queue, finished;
        unsigned waiting; /* length of `queue` */
        unsigned idle;    /* threads that wait for `wake` */
        unsigned started, max;
        bool closed; /* threads end as soon as they can, and drop their work themselves */
        Thread threads[];
};

struct Workers {
        Pool *pool;
        sd_event_source *source;
        sd_event_source *again; /* on only while work waits and there is no thread at all */
        List taken;             /* finished work whose turn to be told has not come */
        unsigned queued;
        bool telling; /* done() runs: workers_free() may be called from there, and leaves the struct to on_finished() */
        bool freed;
};

static void list_init(List *l) {
        l->first = NULL;
        l->end = &l->first;
}

static void list_append(List *l, Work *work) {
        work->next = NULL;
        *l->end = work;
        l->end = &work->next;
}

static Work *list_pop(List *l) {
        Work *work = l->first;

        if (work) {
                l->first = work->next;
                if (!l->first)
                        l->end = &l->first;
                work->next = NULL;
        }
        return work;
}

static void list_move(List *to, List *from) {
        if (!from->first)
                return;
        *to->end = from->first;
        to->end = from->end;
        list_init(from);
}

static void work_drop(Work *work) {
        if (work->drop)
                work->drop(work);
}

static void pool_unref(Pool *p) {
        if (atomic_fetch_sub(&p->refs, 1) > 1)
                return;
        closep(&p->eventfd);
        (void) pthread_cond_destroy(&p->wake);
        (void) pthread_mutex_destroy(&p->lock);
        free(p);
}

/* Called with the lock held; comes back with it held. */
static void pool_work(Pool *p, Thread *t, Work *work) {
        bool tell, drop;

        t->since = clock_boot();
        (void) pthread_mutex_unlock(&p->lock);
        work->run(work);

        (void) pthread_mutex_lock(&p->lock);
        t->since = 0;
        drop = p->closed;
        tell = !drop && !p->finished.first; /* otherwise whoever came before us has told, and all are taken at once */
        if (!drop)
                list_append(&p->finished, work);
        if (!drop && !tell)
                return;

        /* Outside the lock: the loop wakes up at once, and would run into it. The descriptor lives as long as we do. */
        (void) pthread_mutex_unlock(&p->lock);
        if (drop)
                work_drop(work);
        else
                (void) eventfd_write(p->eventfd, 1);
        (void) pthread_mutex_lock(&p->lock);
}

static void *thread_main(void *userdata) {
        Thread *t = userdata;
        Pool *p = t->pool;

        (void) pthread_mutex_lock(&p->lock);
        while (!p->closed) {
                Work *work = list_pop(&p->queue);

                if (work) {
                        p->waiting--;
                        pool_work(p, t, work);
                } else {
                        p->idle++;
                        (void) pthread_cond_wait(&p->wake, &p->lock);
                        p->idle--;
                }
        }
        (void) pthread_mutex_unlock(&p->lock);
        pool_unref(p);
        return NULL;
}

/* Called with the lock held: one thread more if there is more work than threads that wait for some. */
static void pool_spawn(Pool *p) {
        Thread *t;

        if (p->waiting <= p->idle || p->started == p->max)
                return;
        t = p->threads + p->started;
        t->pool = p;
        (void) atomic_fetch_add(&p->refs, 1);
        if (thread_start(NULL, "worker", STACK_SIZE, thread_main, t) < 0) {
                (void) atomic_fetch_sub(&p->refs, 1); /* cannot be the last: the caller has one */
                return;
        }
        p->started++;
}

static int on_again(sd_event_source *s, uint64_t usec, void *userdata) {
        Workers *w = userdata;
        bool none;

        (void) pthread_mutex_lock(&w->pool->lock);
        pool_spawn(w->pool);
        none = w->pool->started == 0;
        (void) pthread_mutex_unlock(&w->pool->lock);
        if (none) {
                (void) sd_event_source_set_time_relative(s, SPAWN_AGAIN_USEC);
                (void) sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
        }
        return 0;
}

static int on_finished(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        Workers *w = userdata;
        eventfd_t n;
        Work *work;

        (void) eventfd_read(fd, &n); /* before the list is taken, so that what comes between is told again */
        (void) pthread_mutex_lock(&w->pool->lock);
        list_move(&w->taken, &w->pool->finished);
        (void) pthread_mutex_unlock(&w->pool->lock);

        w->telling = true;
        while (!w->freed && (work = list_pop(&w->taken))) {
                w->queued--;
                work->done(work);
        }
        w->telling = false;
        if (w->freed)
                free(w);
        return 0;
}

static Pool *pool_new(unsigned threads) {
        Pool *p = calloc(1, sizeof(*p) + threads * sizeof(Thread));

        if (!p)
                return NULL;
        p->eventfd = -1;
        p->max = threads;
        atomic_init(&p->refs, 1);
        list_init(&p->queue);
        list_init(&p->finished);
        (void) pthread_mutex_init(&p->lock, NULL);
        (void) pthread_cond_init(&p->wake, NULL);
        return p;
}

int workers_new(Workers **ret, sd_event *loop, unsigned threads, Error *e) {
        _cleanup_(workers_freep) Workers *w = NULL;
        int r;

        assert(ret && loop && threads > 0);

        w = calloc(1, sizeof(*w));
        if (!w)
                return error_oom(e);
        list_init(&w->taken);
        w->pool = pool_new(threads);
        if (!w->pool)
                return error_oom(e);
        w->pool->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (w->pool->eventfd < 0)
                return error_os(e, errno, "creating an eventfd");
        r = sd_event_add_io(loop, &w->source, w->pool->eventfd, EPOLLIN, on_finished, w);
        if (r < 0)
                return error_os(e, -r, "watching an eventfd");
        r = sd_event_add_time_relative(loop, &w->again, CLOCK_MONOTONIC, SPAWN_AGAIN_USEC, 0, on_again, w);
        if (r >= 0)
                r = sd_event_source_set_enabled(w->again, SD_EVENT_OFF);
        if (r < 0)
                return error_os(e, -r, "creating a timer");
        *ret = TAKE_PTR(w);
        return 0;
}

/* Moves every work that is not running to `drop`. */
static void pool_close(Pool *p, List *drop) {
        (void) pthread_mutex_lock(&p->lock);
        p->closed = true;
        list_move(drop, &p->queue);
        list_move(drop, &p->finished);
        p->waiting = 0;
        (void) pthread_cond_broadcast(&p->wake);
        (void) pthread_mutex_unlock(&p->lock);
}

Workers *workers_free(Workers *w) {
        List drop;
        Work *work;

        if (!w)
                return NULL;
        (void) sd_event_source_disable_unref(w->source);
        (void) sd_event_source_disable_unref(w->again);
        list_init(&drop);
        list_move(&drop, &w->taken);
        if (w->pool) {
                pool_close(w->pool, &drop);
                pool_unref(w->pool);
        }
        w->freed = true;
        if (!w->telling)
                free(w);
        while ((work = list_pop(&drop)))
                work_drop(work);
        return NULL;
}

void workers_submit(Workers *w, Work *work) {
        Pool *p = w->pool;
        bool none;

        assert(work->run && work->done);

        w->queued++;
        (void) pthread_mutex_lock(&p->lock);
        list_append(&p->queue, work);
        p->waiting++;
        pool_spawn(p);
        none = p->started == 0;
        (void) pthread_cond_signal(&p->wake);
        (void) pthread_mutex_unlock(&p->lock);

        if (none) {
                (void) sd_event_source_set_time_relative(w->again, SPAWN_AGAIN_USEC);
                (void) sd_event_source_set_enabled(w->again, SD_EVENT_ONESHOT);
        }
}

unsigned workers_queued(const Workers *w) {
        return w->queued;
}

int64_t workers_stuck(const Workers *w) {
        Pool *p = w->pool;
        int64_t oldest = 0;

        (void) pthread_mutex_lock(&p->lock);
        for (unsigned i = 0; i < p->started; i++)
                if (p->threads[i].since != 0 && (oldest == 0 || p->threads[i].since < oldest))
                        oldest = p->threads[i].since;
        (void) pthread_mutex_unlock(&p->lock);
        return oldest == 0 ? 0 : MAX(clock_boot() - oldest, 1);
}
