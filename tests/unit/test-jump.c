/* Jumps of the clock: pitfalls 10.12. The rule by itself, and what the kernel tells. */
#include "jumping.h"
#include "util/clock.h"
#include "util/jump.h"

#include <stdbool.h>

#define S NSEC_PER_SEC
#define LEAST (3500 * S) /* two clocks are not looked at in one instant */
#define MOST (3700 * S)

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

static void note_jump(int64_t jumped_ns, void *userdata) {
        *(int64_t *) userdata += jumped_ns;
}

/* Whatever the kernel has told by now is heard: how far the clock jumped, as told. */
static int64_t heard(sd_event *loop, int64_t *jumped) {
        *jumped = 0;
        while (sd_event_run(loop, 0) > 0)
                ;
        return *jumped;
}

/* Told each time that the clock is set, but only of what came apart. */
static void test_told(void **state) {
        _cleanup_(jump_freep) Jump *j = NULL;
        int64_t jumped = 0;
        sd_event *loop = NULL;
        Error e = ERROR_NULL;

        jumping_or_skip();
        assert_true(sd_event_new(&loop) >= 0);
        assert_int_equal(jump_new(&j, loop, note_jump, &jumped, &e), 0);
        set_clock();
        assert_int_equal(heard(loop, &jumped), 0); /* by next to nothing */
        awake_for(3600);
        assert_int_equal(heard(loop, &jumped), 0); /* nobody asks before the kernel says so */
        set_clock();
        assert_in_range(-heard(loop, &jumped), LEAST, MOST);
        set_clock();
        assert_int_equal(heard(loop, &jumped), 0); /* told once */
        awake_for(0);
        set_clock();
        assert_in_range(heard(loop, &jumped), LEAST, MOST);
        j = jump_free(j);
        sd_event_unref(loop);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_rule),
                cmocka_unit_test(test_quiet),
                cmocka_unit_test(test_told),
        };

        alone();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
