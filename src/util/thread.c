#include "util/thread.h"

#include "util/clock.h"

#include <signal.h>
#include <stdio.h>
#include <time.h>

#define ASK_STACK ((size_t) 256 * 1024)

/* How many detached threads there are. The conditions go by CLOCK_MONOTONIC, which a change of date leaves alone. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ended;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static unsigned detached;

static void monotonic(pthread_cond_t *cond) {
        pthread_condattr_t attr;

        /* these cannot fail in glibc with such arguments */
        (void) pthread_condattr_init(&attr);
        (void) pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        (void) pthread_cond_init(cond, &attr);
        (void) pthread_condattr_destroy(&attr);
}

static void init(void) {
        monotonic(&ended);
}

static struct timespec in_future(int64_t ns) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        ns += (int64_t) ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
        return (struct timespec){ .tv_sec = ns / NSEC_PER_SEC, .tv_nsec = ns % NSEC_PER_SEC };
}

typedef struct Start {
        char name[16];
        void *(*fn)(void *userdata);
        void *userdata;
} Start;

static void *detached_main(void *userdata) {
        Start start = *(Start *) userdata;

        free(userdata);
        (void) pthread_setname_np(pthread_self(), start.name);
        (void) start.fn(start.userdata);
        (void) pthread_mutex_lock(&lock);
        detached--;
        (void) pthread_cond_broadcast(&ended);
        (void) pthread_mutex_unlock(&lock);
        return NULL;
}

static int create(pthread_t *ret, size_t stack, bool join, void *(*fn)(void *), void *userdata) {
        pthread_attr_t attr;
        sigset_t all, old;
        int r;

        r = pthread_attr_init(&attr);
        if (r != 0)
                return -r;
        (void) pthread_attr_setstacksize(&attr, stack);
        (void) pthread_attr_setdetachstate(&attr, join ? PTHREAD_CREATE_JOINABLE : PTHREAD_CREATE_DETACHED);
        (void) sigfillset(&all);
        (void) pthread_sigmask(SIG_SETMASK, &all, &old);
        r = pthread_create(ret, &attr, fn, userdata);
        (void) pthread_sigmask(SIG_SETMASK, &old, NULL);
        (void) pthread_attr_destroy(&attr);
        return -r;
}

int thread_start(pthread_t *ret, const char *name, size_t stack, void *(*fn)(void *), void *userdata) {
        _cleanup_free_ Start *start = NULL;
        pthread_t thread;
        int r;

        if (ret) {
                r = create(ret, stack, true, fn, userdata);
                if (r >= 0)
                        (void) pthread_setname_np(*ret, name);
                return r;
        }
        (void) pthread_once(&once, init);
        start = calloc(1, sizeof(*start));
        if (!start)
                return -ENOMEM;
        *start = (Start){ .fn = fn, .userdata = userdata };
        (void) snprintf(start->name, sizeof(start->name), "%s", name);
        (void) pthread_mutex_lock(&lock); /* it ends after it was counted */
        r = create(&thread, stack, false, detached_main, start);
        if (r >= 0) {
                detached++;
                start = NULL; /* the thread has it */
        }
        (void) pthread_mutex_unlock(&lock);
        return r;
}

void threads_wait(int64_t ns) {
        struct timespec until = in_future(ns);

        (void) pthread_once(&once, init);
        (void) pthread_mutex_lock(&lock);
        while (detached > 0 && pthread_cond_timedwait(&ended, &lock, &until) == 0)
                ;
        (void) pthread_mutex_unlock(&lock);
}

typedef struct Ask {
        pthread_mutex_t lock;
        pthread_cond_t done;
        bool answered, left; /* the thread is through; the caller has gone */
        void (*fn)(void *userdata);
        void (*drop)(void *userdata);
        void *userdata;
} Ask;

static void ask_free(Ask *a) {
        (void) pthread_cond_destroy(&a->done);
        (void) pthread_mutex_destroy(&a->lock);
        free(a);
}

static void *ask_main(void *userdata) {
        Ask *a = userdata;
        bool left;

        a->fn(a->userdata);
        (void) pthread_mutex_lock(&a->lock);
        a->answered = true;
        left = a->left;
        (void) pthread_cond_signal(&a->done);
        (void) pthread_mutex_unlock(&a->lock);
        if (left) { /* else the caller frees it */
                a->drop(a->userdata);
                ask_free(a);
        }
        return NULL;
}

bool thread_ask(void (*fn)(void *userdata), void (*drop)(void *userdata), void *userdata, int64_t *left) {
        struct timespec until = in_future(MAX(*left, INT64_C(0)));
        int64_t began = clock_boot();
        Ask *a = calloc(1, sizeof(*a));
        bool answered;

        if (!a) {
                drop(userdata);
                return false;
        }
        (void) pthread_mutex_init(&a->lock, NULL);
        monotonic(&a->done);
        a->fn = fn;
        a->drop = drop;
        a->userdata = userdata;
        if (thread_start(NULL, "ask", ASK_STACK, ask_main, a) < 0) {
                drop(userdata);
                ask_free(a);
                return false;
        }
        (void) pthread_mutex_lock(&a->lock);
        while (!a->answered && pthread_cond_timedwait(&a->done, &a->lock, &until) == 0)
                ;
        answered = a->answered;
        a->left = !answered;
        (void) pthread_mutex_unlock(&a->lock);
        if (answered)
                ask_free(a);
        *left -= MIN(clock_boot() - began, *left);
        return answered;
}
