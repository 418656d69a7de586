/* Who may send next where bandwidth is limited (src/sync/throttle.c). Rates are so low that whoever is served leaves
 * the bucket closed for minutes; the test opens it again. */
#include "sync/state.h"

#include "util/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MAPPINGS 3u
#define BODIES 40u
#define KIB ((size_t) 1024)

static Sync sync_;
static Mapping mappings[MAPPINGS], *list[MAPPINGS];
static Sending bodies[MAPPINGS][BODIES];
static Bandwidth limits[MAPPINGS + 1]; /* the last one: of all */
static unsigned n_resumed[MAPPINGS];
static Sending *last;
static sd_event *loop;

static void on_work(void *userdata) {
}

static int set_up(void **state) {
        Error e = ERROR_NULL;

        memset(mappings, 0, sizeof(mappings));
        memset(bodies, 0, sizeof(bodies));
        memset(limits, 0, sizeof(limits));
        memset(n_resumed, 0, sizeof(n_resumed));
        sync_ = (Sync){ .mappings = list, .n_mappings = MAPPINGS, .bandwidth = &limits[MAPPINGS] };
        if (sd_event_new(&loop) < 0 || timer_new(&sync_.throttle, loop, throttle_serve, &sync_, &e) < 0 ||
            defer_new(&sync_.work, loop, on_work, NULL, &e) < 0)
                return -1;
        for (unsigned i = 0; i < MAPPINGS; i++) {
                list[i] = &mappings[i];
                mappings[i].sync = &sync_;
                throttle_init(&mappings[i].throttle, &limits[i]);
                for (unsigned k = 0; k < BODIES; k++)
                        bodies[i][k].mapping = &mappings[i];
        }
        return 0;
}

static int tear_down(void **state) {
        timer_free(sync_.throttle);
        defer_free(sync_.work);
        loop = sd_event_unref(loop);
        return 0;
}

static void on_resume(Sending *g) {
        n_resumed[g->mapping - mappings]++;
        last = g;
}

/* As if time had passed: all is paid for. One is served, and closes it again. */
static void pass_time(void) {
        sync_.bucket.paid_at = 0;
        for (unsigned i = 0; i < MAPPINGS; i++)
                mappings[i].throttle.bucket.paid_at = 0;
        throttle_serve(&sync_);
}

static void test_no_limit(void **state) {
        for (unsigned k = 0; k < BODIES; k++)
                assert_true(throttle_admit(&bodies[0][k], 64 * KIB, on_resume));
        assert_int_equal(timer_get(sync_.throttle), 0);
        assert_true(throttle_turn(&bodies[1][0], on_resume));
        assert_int_equal(throttle_rate(&mappings[0]), 0);
}

static void test_in_order(void **state) {
        limits[0].rate = KIB;
        assert_true(throttle_admit(&bodies[0][0], 64 * KIB, on_resume));
        for (unsigned k = 1; k < 4; k++)
                assert_false(throttle_admit(&bodies[0][k], 64 * KIB, on_resume));
        assert_true(throttle_admit(&bodies[0][4], 0, on_resume));        /* nothing to send */
        assert_true(throttle_admit(&bodies[1][0], 64 * KIB, on_resume)); /* not its limit */
        assert_true(timer_get(sync_.throttle) > 0);
        throttle_serve(&sync_);
        assert_int_equal(n_resumed[0], 0); /* not before it is paid for */
        pass_time();
        assert_ptr_equal(last, &bodies[0][1]);
        throttle_drop(&bodies[0][2]);
        pass_time();
        assert_ptr_equal(last, &bodies[0][3]);
        assert_true(throttle_admit(&bodies[0][3], 64 * KIB, on_resume)); /* it has got them by now */
        assert_int_equal(sync_.n_waiting, 0);
        assert_int_equal(timer_get(sync_.throttle), 0); /* nobody waits: no timer */
}

/* Equal parts in bytes, whatever the size of a request, and nothing to make up for from the time before. */
static void test_mappings_share(void **state) {
        limits[MAPPINGS].rate = KIB;
        assert_true(throttle_admit(&bodies[2][0], 64 * KIB, on_resume));
        for (unsigned k = 1; k < 33; k++)
                assert_false(throttle_admit(&bodies[0][k], 4 * KIB, on_resume));
        for (unsigned k = 1; k < 9; k++)
                assert_false(throttle_admit(&bodies[1][k], 64 * KIB, on_resume));
        for (unsigned k = 0; k < 34; k++)
                pass_time();
        assert_in_range(n_resumed[0], 31, 32);
        assert_in_range(n_resumed[1], 2, 3);

        /* the third comes late: it gets its part from now on, not all until it has caught up */
        for (unsigned k = 1; k < 33; k++)
                assert_false(throttle_admit(&bodies[2][k], 4 * KIB, on_resume));
        n_resumed[1] = 0;
        for (unsigned k = 0; k < 20; k++)
                pass_time();
        assert_true(n_resumed[1] >= 1);
        assert_true(n_resumed[2] >= 15);
}

/* A mapping's own limit and that of all: the lower one counts, and who waits for his own holds up nobody else. */
static void test_both_limits(void **state) {
        limits[0].rate = KIB;
        limits[MAPPINGS].rate = 1024 * KIB;
        assert_int_equal(throttle_rate(&mappings[0]), KIB);
        assert_int_equal(throttle_rate(&mappings[1]), 1024 * KIB);
        assert_true(throttle_admit(&bodies[0][0], 64 * KIB, on_resume));
        assert_false(throttle_admit(&bodies[0][1], 64 * KIB, on_resume));
        sync_.bucket.paid_at = 0;
        assert_false(throttle_admit(&bodies[1][0], 64 * KIB, on_resume)); /* in line, as somebody is waiting, */
        throttle_serve(&sync_);                                           /* but at once */
        assert_ptr_equal(last, &bodies[1][0]);
        assert_int_equal(n_resumed[0], 0);
}

/* Large bodies: as many at once as the rate is good for. */
static void test_turns(void **state) {
        limits[0].rate = 2 << 20;
        for (unsigned k = 0; k < 2; k++)
                assert_true(throttle_turn(&bodies[0][k], on_resume));
        assert_true(throttle_turn(&bodies[0][1], on_resume)); /* has it already */
        for (unsigned k = 2; k < 5; k++)
                assert_false(throttle_turn(&bodies[0][k], on_resume));
        throttle_serve(&sync_);
        assert_int_equal(n_resumed[0], 0);
        throttle_ended(&bodies[0][0], 0);
        throttle_serve(&sync_);
        assert_int_equal(n_resumed[0], 1);
        assert_ptr_equal(last, &bodies[0][2]);
        throttle_drop(&bodies[0][3]);
        throttle_drop(&bodies[0][1]);
        throttle_serve(&sync_);
        assert_ptr_equal(last, &bodies[0][4]);
        throttle_drop(&bodies[0][2]);
        throttle_drop(&bodies[0][4]);
        assert_int_equal(mappings[0].throttle.n_under_way, 0);
        limits[0].rate = KIB; /* one, however slow */
        sync_.rates_until = 0;
        assert_true(throttle_turn(&bodies[0][0], on_resume));
        assert_false(throttle_turn(&bodies[0][1], on_resume));
}

/* What was sent counts, not what was meant to be. */
static void test_settled(void **state) {
        int64_t began = clock_boot();

        limits[0].rate = KIB;
        assert_true(throttle_admit(&bodies[0][0], 64 * KIB, on_resume));
        throttle_began(&bodies[0][0], NULL, 64 * KIB);
        throttle_ended(&bodies[0][0], 0); /* the connection could not be made */
        assert_true(throttle_admit(&bodies[0][1], 64 * KIB, on_resume));
        throttle_drop(&bodies[0][1]); /* it never began */
        assert_true(throttle_admit(&bodies[0][2], KIB, on_resume));
        throttle_began(&bodies[0][2], NULL, KIB);
        throttle_ended(&bodies[0][2], 128 * KIB); /* sent again, by libcurl */
        assert_true(mappings[0].throttle.bucket.paid_at > began + 100 * NSEC_PER_SEC);
}

/* A reload: at once. */
static void test_lifted(void **state) {
        static Config config; /* no limits */
        static MappingConfig c = { .name = (char *) "m" };

        limits[0].rate = KIB;
        for (unsigned i = 0; i < MAPPINGS; i++)
                mappings[i].config = &c;
        assert_true(throttle_admit(&bodies[0][0], 64 * KIB, on_resume));
        for (unsigned k = 1; k < 10; k++)
                assert_false(throttle_admit(&bodies[0][k], 64 * KIB, on_resume));
        assert_true(throttle_turn(&bodies[0][10], on_resume));
        assert_false(throttle_turn(&bodies[0][11], on_resume));
        throttle_apply(&sync_, &config);
        assert_int_equal(n_resumed[0], 10);
        assert_int_equal(throttle_rate(&mappings[0]), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_no_limit, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_in_order, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_mappings_share, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_both_limits, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_turns, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_settled, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_lifted, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
