/* Threads that may be stuck for ever (pitfalls 2.6): who asks is not held up, and what they share goes with the last.
 */
#include "patience.h"
#include "util/thread.h"

#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

typedef struct Question {
        sem_t *wait; /* the answer does not come before it is posted */
        bool answered, dropped;
        sem_t gone;
} Question;

static void answer(void *userdata) {
        Question *q = userdata;

        if (q->wait)
                (void) sem_wait(q->wait);
        q->answered = true;
}

static void drop(void *userdata) {
        Question *q = userdata;

        q->dropped = true;
        (void) sem_post(&q->gone);
}

static void test_answered(void **state) {
        int64_t left = PATIENCE_NS;
        Question q = { 0 };

        assert_true(thread_ask(answer, drop, &q, &left));
        assert_true(q.answered && !q.dropped);
        assert_true(left > 0 && left < PATIENCE_NS);
}

static void test_no_answer(void **state) {
        int64_t left = NSEC_PER_MSEC;
        static Question q;
        sem_t wait;

        assert_int_equal(sem_init(&wait, 0, 0), 0);
        assert_int_equal(sem_init(&q.gone, 0, 0), 0);
        q.wait = &wait;
        assert_false(thread_ask(answer, drop, &q, &left));
        assert_int_equal(left, 0);   /* others that ask after this one have no patience left */
        threads_wait(NSEC_PER_MSEC); /* gives up */
        assert_false(q.dropped);

        assert_int_equal(sem_post(&wait), 0);
        assert_int_equal(sem_wait(&q.gone), 0);
        assert_true(q.answered && q.dropped);
        threads_wait(PATIENCE_NS);
        (void) sem_destroy(&wait);
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_answered), cmocka_unit_test(test_no_answer) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
