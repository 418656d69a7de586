/* The brake's numbers (pitfalls 7.4): "more than", never "at least"; a percentage only above 20 files. */
#include "sync/guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static void test_trips(void **state) {
        static const struct {
                GuardInput in;
                bool trips;
        } cases[] = {
                { { .waiting = 0, .done = 5000, .known = 6000, .max_files = 1000, .max_percent = 50 },
                  false }, /* nothing to hold */
                { { .waiting = 1000, .known = 100000, .max_files = 1000, .max_percent = 50 }, false },
                { { .waiting = 1001, .known = 100000, .max_files = 1000, .max_percent = 50 }, true },
                { { .waiting = 1, .done = 1000, .known = 100000, .max_files = 1000, .max_percent = 50 },
                  true }, /* drip by drip */
                { { .waiting = 1, .done = 999, .known = 100000, .max_files = 1000, .max_percent = 50 }, false },
                { { .waiting = 50, .known = 100, .max_files = 1000, .max_percent = 50 }, false },
                { { .waiting = 51, .known = 100, .max_files = 1000, .max_percent = 50 }, true },
                { { .waiting = 20, .known = 20, .max_files = 1000, .max_percent = 50 },
                  false }, /* few files: no percentage */
                { { .waiting = 21, .known = 21, .max_files = 1000, .max_percent = 50 }, true },
                { { .waiting = 2, .known = 20, .max_files = 1, .max_percent = 50 },
                  true }, /* onedrive #2487: two passed a limit of one */
                { { .waiting = 100, .known = 100, .max_files = 1000, .max_percent = 100 }, false },
                { { .waiting = 23, .known = 21, .max_files = 1000, .max_percent = 100 },
                  false }, /* two of them were never confirmed: a crash left them in doubt */
                { { .waiting = 23, .known = 12, .max_files = 1000, .max_percent = 50 }, true },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                if (guard_trips(&cases[i].in) != cases[i].trips)
                        fail_msg("case %zu", i);
}

static void test_warns(void **state) {
        assert_false(guard_warns(20, 20));
        assert_false(guard_warns(50, 100));
        assert_true(guard_warns(51, 100));
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_trips), cmocka_unit_test(test_warns) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
