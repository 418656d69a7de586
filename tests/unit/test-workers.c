#include "patience.h"
#include "util/thread.h"
#include "util/workers.h"

#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#if defined(__has_feature)
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

typedef struct Item {
        Work work;
        sem_t *started, *go; /* a work that is stuck until somebody posts `go` */
        void (*in_done)(struct Item *item);
        unsigned runs, dones, drops;
        atomic_bool dropped; /* for a drop in another thread */
} Item;

static sd_event *loop;
static Workers *workers;
static pthread_t loop_thread;
static unsigned dones;

static void run(Work *w) {
        Item *item = (Item *) w;

        if (pthread_equal(pthread_self(), loop_thread))
                abort();
        item->runs++;
        if (item->started)
                (void) sem_post(item->started);
        if (item->go)
                (void) sem_wait(item->go);
}

static void done(Work *w) {
        Item *item = (Item *) w;

        assert_true(pthread_equal(pthread_self(), loop_thread));
        item->dones++;
        dones++;
        if (item->in_done)
                item->in_done(item);
}

static void drop(Work *w) {
        Item *item = (Item *) w;

        item->drops++;
        atomic_store(&item->dropped, true);
}

static void submit(Item *item) {
        item->work = (Work){ .run = run, .done = done, .drop = drop };
        workers_submit(workers, &item->work);
}

static void run_until(unsigned n) {
        while (dones < n)
                assert_true(sd_event_run(loop, PATIENCE) > 0);
}

static int set_up(void **state) {
        dones = 0;
        loop_thread = pthread_self();
        return sd_event_new(&loop) < 0 ? -1 : 0;
}

static int tear_down(void **state) {
        workers = workers_free(workers);
        loop = sd_event_unref(loop);
        return 0;
}

static void start(unsigned threads) {
        Error e = ERROR_NULL;

        assert_int_equal(workers_new(&workers, loop, threads, &e), 0);
}

static void test_all_come_back(void **state) {
        static Item items[5000];

        for (unsigned threads = 1; threads <= 4; threads++) {
                memset(items, 0, sizeof(items));
                dones = 0;
                start(threads);
                for (size_t i = 0; i < ELEMENTSOF(items); i++)
                        submit(items + i);
                assert_int_equal(workers_queued(workers), ELEMENTSOF(items));
                run_until(ELEMENTSOF(items));
                for (size_t i = 0; i < ELEMENTSOF(items); i++) {
                        assert_int_equal(items[i].runs, 1);
                        assert_int_equal(items[i].dones, 1);
                        assert_int_equal(items[i].drops, 0);
                }
                assert_int_equal(workers_queued(workers), 0);
                assert_int_equal(workers_stuck(workers), 0);
                assert_int_equal(sd_event_run(loop, 0), 0); /* quiet */
                workers = workers_free(workers);
        }
}

static void again(Item *item) {
        if (dones < 20000)
                submit(item);
}

/* Round after round, so that the wake-ups of both sides meet in every order. */
static void test_ping_pong(void **state) {
        static Item items[3];

        memset(items, 0, sizeof(items));
        start(2);
        for (size_t i = 0; i < ELEMENTSOF(items); i++) {
                items[i].in_done = again;
                submit(items + i);
        }
        run_until(20000);
}

/* Works run side by side, and no more of them than threads. */
static void test_side_by_side(void **state) {
        Item items[3] = { 0 };
        sem_t started, go;

        assert_int_equal(sem_init(&started, 0, 0), 0);
        assert_int_equal(sem_init(&go, 0, 0), 0);
        start(2);
        for (size_t i = 0; i < 3; i++) {
                items[i].started = &started;
                items[i].go = &go;
                submit(items + i);
        }
        assert_int_equal(sem_wait(&started), 0);
        assert_int_equal(sem_wait(&started), 0);
        assert_int_equal(sem_trywait(&started), -1);
        assert_true(workers_stuck(workers) > 0);
        assert_int_equal(workers_queued(workers), 3);
        for (size_t i = 0; i < 3; i++)
                (void) sem_post(&go);
        run_until(3);
        (void) sem_destroy(&started);
        (void) sem_destroy(&go);
}

static void free_workers(Item *item) {
        workers = workers_free(workers);
}

/* What is queued, finished, or finished and taken is dropped once; nothing is told any more. */
static void test_free_drops(void **state) {
        for (unsigned round = 0; round < 100; round++) {
                Item items[64] = { 0 };
                unsigned told = 0;

                dones = 0;
                start(1 + round % 3);
                if (round % 2 == 0)
                        items[round % ELEMENTSOF(items)].in_done = free_workers; /* from within done() */
                for (size_t i = 0; i < ELEMENTSOF(items); i++)
                        submit(items + i);
                while (round % 2 == 0 && workers)
                        assert_true(sd_event_run(loop, PATIENCE) > 0);
                workers = workers_free(workers);
                threads_wait(PATIENCE_NS); /* what was running is dropped there */
                for (size_t i = 0; i < ELEMENTSOF(items); i++) {
                        assert_int_equal(items[i].dones + items[i].drops, 1);
                        told += items[i].dones;
                }
                assert_int_equal(told, dones);
                assert_int_equal(sd_event_run(loop, 0), 0);
                assert_int_equal(told, dones);
        }
}

/* 2.6: a thread that never comes back holds nobody up, and drops its work when it does. */
static void test_stuck(void **state) {
        static Item stuck, waiting;
        static sem_t started, go;

        assert_int_equal(sem_init(&started, 0, 0), 0);
        assert_int_equal(sem_init(&go, 0, 0), 0);
        stuck = (Item){ .started = &started, .go = &go };
        start(1);
        submit(&stuck);
        submit(&waiting);
        assert_int_equal(sem_wait(&started), 0);
        assert_true(workers_stuck(workers) > 0);
        workers = workers_free(workers);
        assert_false(atomic_load(&stuck.dropped)); /* its memory is still in use */
        assert_true(atomic_load(&waiting.dropped));

        assert_int_equal(sem_post(&go), 0);
        threads_wait(PATIENCE_NS);
        assert_true(atomic_load(&stuck.dropped));
        assert_int_equal(stuck.dones, 0);
}

static void see_signals(Work *w) {
        sigset_t set;

        (void) pthread_sigmask(SIG_BLOCK, NULL, &set);
        if (sigismember(&set, SIGTERM) == 1 && sigismember(&set, SIGHUP) == 1 && sigismember(&set, SIGCHLD) == 1)
                ((Item *) w)->runs++;
}

static void test_signals(void **state) {
        Item item = { .work = { .run = see_signals, .done = done } };
        sigset_t set;

        start(1);
        workers_submit(workers, &item.work);
        run_until(1);
        assert_int_equal(item.runs, 1);
        assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &set), 0);
        assert_int_equal(sigismember(&set, SIGTERM), 0); /* ours are as they were */
}

/* 11.2: no thread can be started. The work waits, is not lost, and runs when one can be. */
static void test_no_thread(void **state) {
        struct rlimit old, none;
        Item item = { 0 };

        if (SANITIZED)
                skip(); /* a sanitizer ends the program where it gets no memory */
        start(1);
        assert_int_equal(getrlimit(RLIMIT_AS, &old), 0);
        none = (struct rlimit){ .rlim_cur = 1, .rlim_max = old.rlim_max };
        if (setrlimit(RLIMIT_AS, &none) < 0)
                skip();
        submit(&item);
        assert_int_equal(setrlimit(RLIMIT_AS, &old), 0);
        run_until(1);
        assert_int_equal(item.dones, 1);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(test_all_come_back), TEST(test_ping_pong), TEST(test_side_by_side), TEST(test_free_drops),
                TEST(test_stuck),         TEST(test_signals),   TEST(test_no_thread),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
