/* Jumps of the clock: pitfalls 10.12. The rule by itself; nobody's clock is set for it. */
#include "util/jump.h"

#include "util/clock.h"
#include "util/macro.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define S NSEC_PER_SEC

static void test_rule(void **state) {
        static const struct {
                int64_t wall, awake, jumped;
        } cases[] = {
                { 1000 * S, 0, 0 },
                { 5000 * S, 4000 * S, 0 },         /* time passes for both */
                { 5010 * S, 4000 * S, 0 },         /* 10 s by hand */
                { 5030 * S, 4000 * S, 0 },         /* 30 s */
                { 5031 * S, 4000 * S, 31 * S },    /* steps add up */
                { 5031 * S, 4000 * S, 0 },         /* told once */
                { 8700 * S, 4069 * S, 3600 * S },  /* an hour asleep, and a minute awake */
                { 5100 * S, 4069 * S, -3600 * S }, /* set back */
                { 5100 * S, 4069 * S, 0 },
        };
        int64_t apart = 1000 * S;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                if (jump_judge(&apart, cases[i].wall, cases[i].awake) != cases[i].jumped)
                        fail_msg("case %zu", i);
}

static void on_jump(int64_t jumped_ns, void *userdata) {
        fail_msg("the clock did not jump");
}

static void test_quiet(void **state) {
        _cleanup_(jump_freep) Jump *j = NULL;
        sd_event *loop = NULL;
        Error e = ERROR_NULL;

        assert_true(sd_event_new(&loop) >= 0);
        assert_int_equal(jump_new(&j, loop, on_jump, NULL, &e), 0);
        assert_int_equal(sd_event_run(loop, 0), 0); /* the timer that never ends has not ended */
        j = jump_free(j);
        sd_event_unref(loop);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_rule),
                cmocka_unit_test(test_quiet),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
