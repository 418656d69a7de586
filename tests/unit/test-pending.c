/* The merged set between the reader's thread and the loop (pitfalls 1.9, 1.10). */
#include "watch/pending.h"
#include "watch/watcher.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static const HashSeed seed = { 1, 2 };

static void add(Pending *p, int wd, const char *name, unsigned what) {
        Event e = { .wd = wd, .what = what, .name = name, .size = strlen(name) };

        pending_add(p, &e);
}

static void expect(const Pending *p, size_t i, int wd, const char *name, unsigned what) {
        Event e = pending_get(p, i);

        assert_int_equal(e.wd, wd);
        assert_string_equal(e.name, name);
        assert_int_equal(e.size, strlen(name));
        assert_int_equal(e.what, what);
}

static void test_merge(void **state) {
        _cleanup_(pending_freep) Pending *p = NULL;

        assert_int_equal(pending_new(&p, &seed), 0);
        assert_true(pending_empty(p));
        for (unsigned i = 0; i < 1000000; i++)
                add(p, 1, "log", WATCH_CONTENT);
        add(p, 2, "log", WATCH_NAME); /* another folder */
        add(p, 1, "lo", WATCH_NAME);
        add(p, 1, "log", WATCH_CONTENT | WATCH_CLOSED);
        add(p, 1, "", EVENT_CHANGED);
        assert_int_equal(pending_count(p), 4);
        expect(p, 0, 1, "log", WATCH_CONTENT | WATCH_CLOSED);
        expect(p, 1, 2, "log", WATCH_NAME);
        expect(p, 2, 1, "lo", WATCH_NAME);
        expect(p, 3, 1, "", EVENT_CHANGED);
        assert_false(pending_empty(p));
        pending_clear(p);
        assert_true(pending_empty(p));
        assert_int_equal(pending_count(p), 0);
        add(p, 1, "log", WATCH_NAME);
        expect(p, 0, 1, "log", WATCH_NAME);
}

/* IGNORED ends a watch: told before what came earlier, it would make that unknown. */
static void test_dead_stays_last(void **state) {
        _cleanup_(pending_freep) Pending *p = NULL;

        assert_int_equal(pending_new(&p, &seed), 0);
        add(p, 1, "", EVENT_CHANGED);
        add(p, 1, "f", WATCH_NAME);
        add(p, 1, "", EVENT_DEAD);
        for (int wd = 2; wd < 5000; wd++) /* through a few growths */
                add(p, wd, "", EVENT_DEAD);
        add(p, 1, "", EVENT_GONE);
        expect(p, 0, 1, "", EVENT_CHANGED | EVENT_GONE);
        expect(p, 1, 1, "f", WATCH_NAME);
        expect(p, 2, 1, "", EVENT_DEAD);
        expect(p, 5000, 4999, "", EVENT_DEAD);
        assert_int_equal(pending_count(p), 5001);
}

static void test_order_and_growth(void **state) {
        _cleanup_(pending_freep) Pending *p = NULL;
        char name[32];

        assert_int_equal(pending_new(&p, &seed), 0);
        for (unsigned round = 0; round < 2; round++) {
                for (unsigned i = 0; i < 100000; i++) {
                        (void) snprintf(name, sizeof(name), "name-%u", i);
                        add(p, (int) (i % 7) + 1, name, round == 0 ? WATCH_NAME : WATCH_CONTENT);
                }
                assert_int_equal(pending_count(p), 100000);
        }
        for (unsigned i = 0; i < 100000; i++) {
                (void) snprintf(name, sizeof(name), "name-%u", i);
                expect(p, i, (int) (i % 7) + 1, name, WATCH_NAME | WATCH_CONTENT);
        }
        assert_false(pending_overflowed(p));
}

/* The kernel's overflow leaves what we have; ours drops it. Both are over with pending_clear(). */
static void test_overflow(void **state) {
        _cleanup_(pending_freep) Pending *p = NULL;
        char name[256];

        assert_int_equal(pending_new(&p, &seed), 0);
        add(p, 1, "f", WATCH_CONTENT);
        add(p, -1, "", WATCH_SUBTREE | WATCH_OVERFLOW);
        add(p, 1, "g", WATCH_CONTENT);
        assert_true(pending_overflowed(p));
        assert_int_equal(pending_count(p), 2);
        pending_clear(p);
        assert_true(pending_empty(p));

        for (unsigned i = 0; i <= PENDING_MAX; i++) {
                (void) snprintf(name, sizeof(name), "%u", i);
                assert_false(pending_overflowed(p));
                add(p, 1, name, WATCH_NAME);
        }
        assert_true(pending_overflowed(p));
        assert_int_equal(pending_count(p), 0);
        add(p, 1, "later", WATCH_NAME);
        assert_int_equal(pending_count(p), 0);
        pending_clear(p);
        add(p, 1, "later", WATCH_NAME);
        assert_int_equal(pending_count(p), 1);
        pending_clear(p);

        memset(name, 'x', 255); /* names long enough to meet the other bound first */
        name[255] = '\0';
        for (unsigned i = 0; !pending_overflowed(p); i++) {
                name[0] = (char) (i % 250 + 1);
                name[1] = (char) (i / 250 % 250 + 1);
                name[2] = (char) (i / 62500 + 1);
                assert_true(i < PENDING_MAX);
                add(p, 1, name, WATCH_NAME);
                assert_true((size_t) pending_count(p) * 256 <= PENDING_NAMES_MAX);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_merge),
                cmocka_unit_test(test_dead_stays_last),
                cmocka_unit_test(test_order_and_growth),
                cmocka_unit_test(test_overflow),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
