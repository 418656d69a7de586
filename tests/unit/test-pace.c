/* How many requests at once (src/sync/pace.c), against services that exist as formulas: each request takes its turn at
 * one processor for `work`, and its answer is `way` under way. */
#include "sync/pace.h"

#include "util/clock.h"
#include "util/macro.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define US NSEC_PER_USEC
#define MS NSEC_PER_MSEC
#define S NSEC_PER_SEC

static Pace pace;
static int64_t now, served_at, ends[4096], begins[4096];
static unsigned first, in_flight;

static void start(unsigned most, bool fixed) {
        now = S;
        served_at = 0;
        first = in_flight = 0;
        pace_init(&pace, most, fixed);
}

static void begin(int64_t work, int64_t way) {
        unsigned at = (first + in_flight++) % ELEMENTSOF(ends);

        served_at = MAX(served_at, now) + work;
        begins[at] = now;
        ends[at] = served_at + way;
        pace_began(&pace, in_flight, now);
}

/* `n` answers, with as many requests in flight as there may be, or as `supply` lets. Returns how long that took. */
static int64_t run(unsigned n, PaceKind kind, int64_t work, int64_t way, unsigned supply) {
        int64_t from = now;

        while (n-- > 0) {
                while (in_flight < MIN(pace.limit, supply))
                        begin(work, way);
                now = MAX(now, ends[first]);
                pace_answered(&pace, in_flight, kind, now - begins[first], now);
                first = (first + 1) % ELEMENTSOF(ends);
                in_flight--;
        }
        return now - from;
}

static void drain(void) {
        while (in_flight > 0) {
                now = MAX(now, ends[first]);
                pace_answered(&pace, in_flight, PACE_WRITE, now - begins[first], now);
                first = (first + 1) % ELEMENTSOF(ends);
                in_flight--;
        }
}

/* A line that is long and not full: doubling from 16 gives 512 within six round trips. */
static void test_far(void **state) {
        start(512, false);
        assert_int_equal(pace.limit, 16);
        (void) run(16, PACE_WRITE, 0, 20 * MS, UINT32_MAX);
        assert_int_equal(pace.limit, 32);
        assert_in_range(run(16 + 32 + 64 + 128 + 256, PACE_WRITE, 0, 20 * MS, UINT32_MAX), 0, 120 * MS);
        assert_int_equal(pace.limit, 512);
        (void) run(100000, PACE_WRITE, 0, 20 * MS, UINT32_MAX);
        assert_int_equal(pace.limit, 512);
}

/* The peer's processor, or ours, is what takes the time: more at once would only wait longer. */
static void test_near(void **state) {
        start(512, false);
        (void) run(10000, PACE_WRITE, 100 * US, 0, UINT32_MAX);
        assert_in_range(pace.limit, 16, 80);
        (void) run(1000000, PACE_WRITE, 100 * US, 0, UINT32_MAX);
        assert_in_range(pace.limit, 16, 80);
}

/* As many as the processor takes within the way there and back, and half of that more. */
static void test_between(void **state) {
        start(512, false);
        (void) run(10000, PACE_WRITE, 100 * US, 20 * MS, UINT32_MAX);
        assert_in_range(pace.limit, 200, 330);
        (void) run(1000000, PACE_WRITE, 100 * US, 20 * MS, UINT32_MAX);
        assert_in_range(pace.limit, 200, 330);
}

/* It says nothing of 512 at once that 10 at once are answered well. */
static void test_unused(void **state) {
        start(512, false);
        (void) run(1000, PACE_WRITE, 0, 20 * MS, 10);
        assert_int_equal(pace.limit, 16);
        (void) run(100000, PACE_WRITE, 0, 20 * MS, 50);
        assert_int_equal(pace.limit, 64);
}

/* Large bodies and listings take as long as they take. */
static void test_large(void **state) {
        start(512, false);
        (void) run(10000, PACE_OTHER, 0, 20 * MS, UINT32_MAX);
        assert_int_equal(pace.limit, 16);
        (void) run(10, PACE_WRITE, 0, 0, UINT32_MAX); /* latency 0: not known */
        assert_int_equal(pace.limit, 16);
}

/* Deletions are quick, and what comes after them is not late for that. */
static void test_kinds(void **state) {
        start(512, false);
        (void) run(16 + 32, PACE_DELETE, 0, 5 * MS, UINT32_MAX);
        assert_int_equal(pace.limit, 64);
        (void) run(64 + 128 + 256 + 64, PACE_WRITE, 0, 20 * MS, UINT32_MAX);
        assert_int_equal(pace.limit, 512);
}

/* One throttled answer halves, the others of the same round trip do not; then growth is additive. */
static void test_throttled(void **state) {
        start(512, false);
        (void) run(2000, PACE_WRITE, 0, 20 * MS, UINT32_MAX);
        assert_int_equal(pace.limit, 512);
        in_flight = 512;
        for (unsigned i = 0; i < 512; i++)
                pace_slow_down(&pace, in_flight--);
        assert_int_equal(pace.limit, 256);
        pace_slow_down(&pace, 1);
        assert_int_equal(pace.limit, 128);
        first = in_flight = 0;
        (void) run(128, PACE_WRITE, 0, 20 * MS, UINT32_MAX);
        assert_int_equal(pace.limit, 132);
        (void) run(132, PACE_WRITE, 0, 20 * MS, UINT32_MAX);
        assert_int_equal(pace.limit, 136);
        for (unsigned i = 0; i < 20; i++) {
                drain();
                pace_slow_down(&pace, 1);
        }
        assert_int_equal(pace.limit, 1);
        (void) run(16, PACE_WRITE, 0, 20 * MS, UINT32_MAX);
        assert_int_equal(pace.limit, 5);
}

/* Answers to what was sent before the cut say that it is over, whatever they are. */
static void test_cut_over(void **state) {
        start(512, false);
        in_flight = 16;
        pace_slow_down(&pace, in_flight--);
        for (unsigned i = 0; i < 15; i++)
                pace_answered(&pace, in_flight--, PACE_OTHER, 0, now);
        assert_int_equal(pace.limit, 8);
        pace_slow_down(&pace, 8);
        assert_int_equal(pace.limit, 4);
}

/* Nothing was answered when this machine ran short, so all that is in flight is yet to say that it is over. */
static void test_short(void **state) {
        start(512, false);
        in_flight = 16;
        pace_short(&pace, in_flight);
        assert_int_equal(pace.limit, 8);
        while (in_flight > 0)
                pace_slow_down(&pace, in_flight--);
        assert_int_equal(pace.limit, 8);
        pace_short(&pace, 0);
        pace_slow_down(&pace, 1);
        assert_int_equal(pace.limit, 2);
        start(64, true);
        pace_short(&pace, 8);
        assert_int_equal(pace.limit, 64);
}

/* The service takes longer than it did: no growth, but what was right stays. One late round is not the end of doubling.
 */
static void test_late(void **state) {
        unsigned before;

        start(512, false);
        (void) run(16, PACE_WRITE, 0, 20 * MS, UINT32_MAX);
        (void) run(1, PACE_WRITE, 0, 20 * MS, UINT32_MAX);
        now += 30 * MS;
        (void) run(31, PACE_WRITE, 0, 20 * MS, UINT32_MAX);
        assert_int_equal(pace.strained, 1);
        assert_int_equal(pace.limit, 32);
        (void) run(32, PACE_WRITE, 0, 20 * MS, UINT32_MAX);
        assert_int_equal(pace.limit, 64);

        start(512, false);
        (void) run(5000, PACE_WRITE, 100 * US, 20 * MS, UINT32_MAX);
        before = pace.limit;
        (void) run(10 * before, PACE_WRITE, 100 * US, 60 * MS, UINT32_MAX);
        assert_in_range(pace.limit, before, before + 4);
}

/* ... until what was the best is forgotten: then the new latency is as good as the old one was. */
static void test_window(void **state) {
        start(512, false);
        (void) run(16 + 32, PACE_WRITE, 0, 20 * MS, UINT32_MAX);
        assert_int_equal(pace.limit, 64);
        (void) run(64 * 100, PACE_WRITE, 0, 200 * MS, UINT32_MAX);
        assert_in_range(pace.limit, 16, 64);
        while (now < 310 * S)
                (void) run(100, PACE_WRITE, 0, 200 * MS, UINT32_MAX);
        (void) run(100000, PACE_WRITE, 0, 200 * MS, UINT32_MAX);
        assert_int_equal(pace.limit, 512);
        /* and a queue of our own making is not taken for the way there and back, hours later either */
        start(512, false);
        while (now < 3600 * S)
                (void) run(1000, PACE_WRITE, 1 * MS, 20 * MS, UINT32_MAX);
        assert_in_range(pace.limit, 20, 64);
}

/* After a minute of silence the connections are gone, and 512 new ones at once are not what a service expects. */
static void test_idle(void **state) {
        start(512, false);
        (void) run(5000, PACE_WRITE, 0, 20 * MS, UINT32_MAX);
        drain();
        now += 59 * S;
        (void) run(1, PACE_WRITE, 0, 20 * MS, 1);
        assert_int_equal(pace.limit, 512);
        now += 61 * S;
        (void) run(1, PACE_WRITE, 0, 20 * MS, 1);
        assert_int_equal(pace.limit, 16);
        (void) run(16 + 32 + 64, PACE_WRITE, 0, 20 * MS, UINT32_MAX);
        assert_in_range(pace.limit, 64, 128);
}

static void test_fixed(void **state) {
        start(7, true);
        (void) run(10000, PACE_WRITE, 0, 20 * MS, UINT32_MAX);
        pace_slow_down(&pace, 7);
        now += 100 * S;
        (void) run(1, PACE_WRITE, 100 * MS, 20 * MS, 1);
        assert_int_equal(pace.limit, 7);
        pace_set(&pace, 512, false);
        assert_int_equal(pace.limit, 16);
        (void) run(16, PACE_WRITE, 0, 20 * MS, UINT32_MAX);
        assert_int_equal(pace.limit, 32);
        pace_set(&pace, 512, false); /* another reload, and nothing of it is new */
        assert_int_equal(pace.limit, 32);
        pace_set(&pace, 512, true);
        assert_int_equal(pace.limit, 512);
        start(5, false); /* descriptors for no more */
        (void) run(10000, PACE_WRITE, 0, 20 * MS, UINT32_MAX);
        assert_int_equal(pace.limit, 5);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_far),       cmocka_unit_test(test_near),     cmocka_unit_test(test_between),
                cmocka_unit_test(test_unused),    cmocka_unit_test(test_large),    cmocka_unit_test(test_kinds),
                cmocka_unit_test(test_throttled), cmocka_unit_test(test_cut_over), cmocka_unit_test(test_short),
                cmocka_unit_test(test_late),      cmocka_unit_test(test_window),   cmocka_unit_test(test_idle),
                cmocka_unit_test(test_fixed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
