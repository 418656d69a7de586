/* When the watchdog is not fed (pitfalls 11.7): a counter that stands while there is work, looked at now and then. */
#include "util/macro.h"
#include "util/progress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static void test_looks(void **state) {
        static const struct {
                int64_t now;
                uint64_t count;
                bool idle;
                int64_t stuck;
        } looks[] = {
                { 10, 0, true, 0 },   /* idle from the beginning */
                { 20, 0, false, 0 },  /* work came between the looks: no time has passed yet */
                { 30, 0, false, 10 }, /* and nothing was done */
                { 45, 1, false, 0 },  /* one step: it gets on, however slowly */
                { 60, 1, false, 15 },    { 1000, 1, false, 955 },
                { 1010, 1, true, 0 },  /* what was there is gone */
                { 5000, 1, false, 0 }, /* the idle time does not count */
                { 5001, 1, false, 1 },   { 5002, 7, true, 0 },
                { 6000, 900, false, 0 }, /* busy at every look, and moving */
                { 7000, 901, false, 0 }, { 8000, 902, false, 0 },
        };
        Progress p = { 0 };

        for (size_t i = 0; i < ELEMENTSOF(looks); i++) {
                int64_t stuck = progress_stuck(&p, looks[i].count, looks[i].idle, looks[i].now);

                if (stuck != looks[i].stuck)
                        fail_msg("look %zu: %lld", i, (long long) stuck);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_looks) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
