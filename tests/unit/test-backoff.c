/* Waits and how they are spread: pitfalls 4.10, 10.10. */
#include "util/backoff.h"

#include "util/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MS NSEC_PER_MSEC
#define CAP (60 * NSEC_PER_SEC)
#define HOSTS 1000
#define PARTS 10

static void test_ceiling(void **state) {
        static const struct {
                unsigned attempt;
                int64_t ceiling;
        } cases[] = {
                { 0, 800 * MS }, { 1, 800 * MS },     { 2, 1600 * MS }, { 7, 51200 * MS }, { 8, CAP }, /* 102.4 s */
                { 33, CAP },     { 4000000000, CAP },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                assert_int_equal(backoff_ceiling(cases[i].attempt, CAP), cases[i].ceiling);
}

static void test_delay(void **state) {
        assert_int_equal(backoff_delay(1, CAP, 0, 0), 200 * MS);
        assert_int_equal(backoff_delay(1, CAP, 0, (uint64_t) (600 * MS)), 800 * MS);
        assert_int_equal(backoff_delay(1, CAP, 0, (uint64_t) (600 * MS) + 1), 200 * MS);
        assert_int_equal(backoff_delay(1, CAP, 5000 * MS, UINT64_MAX), 5000 * MS); /* as long as was asked for */
        for (uint64_t random = UINT64_MAX; random > 0; random /= 3) {
                int64_t delay = backoff_delay(9, CAP, 0, random);

                assert_true(delay >= CAP / 4 && delay <= CAP);
        }
}

static void test_spread_ends(void **state) {
        static const int64_t periods[] = { 1, 2, 3, 5, 1000, 3600 * NSEC_PER_SEC, 30 * 86400 * NSEC_PER_SEC };

        for (size_t i = 0; i < ELEMENTSOF(periods); i++) {
                int64_t p = periods[i], least = p - p / 4, most = least + p / 2;

                assert_int_equal(backoff_spread(p, 0), least);
                assert_int_equal(backoff_spread(p, (uint64_t) (p / 2)), most);
                assert_int_equal(backoff_spread(p, (uint64_t) (p / 2) + 1), least);
                assert_true(most - p <= p / 4 + 1);
        }
        assert_int_equal(backoff_spread(0, UINT64_MAX), 0);
}

/* A thousand hosts that began together: every twentieth of the period has its share of them. */
static void test_spread_evenly(void **state) {
        const int64_t period = 3600 * NSEC_PER_SEC;
        unsigned hosts[PARTS] = { 0 };
        uint64_t random = 1;

        for (unsigned n = 0; n < HOSTS; n++) {
                int64_t at;

                random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
                at = backoff_spread(period, random) - (period - period / 4);
                assert_in_range(at, 0, period / 2);
                hosts[MIN(at * PARTS / (period / 2), (int64_t) PARTS - 1)]++;
        }
        for (unsigned i = 0; i < PARTS; i++)
                assert_in_range(hosts[i], HOSTS / PARTS / 2, HOSTS / PARTS * 3 / 2);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_ceiling),
                cmocka_unit_test(test_delay),
                cmocka_unit_test(test_spread_ends),
                cmocka_unit_test(test_spread_evenly),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
