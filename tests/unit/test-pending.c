#include "watch/pending.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>

#include <cmocka.h>

#define ENTRIES_MAX (1u << 18) /* as in pending.c */

static Pending *made(void) {
        Pending *p = NULL;

        assert_int_equal(pending_new(&p), 0);
        assert_int_equal(pending_count(p), 0);
        assert_false(pending_overflowed(p));
        return p;
}

static void add(Pending *p, int wd, uint32_t mask, const char *name) {
        pending_add(p, wd, mask, name, strlen(name));
}

static void assert_entry(const Pending *p, size_t i, int wd, uint32_t mask, const char *name) {
        PendingEvent e = pending_get(p, i);

        assert_int_equal(e.wd, wd);
        assert_int_equal(e.mask, mask);
        assert_string_equal(e.name, name);
}

static void test_merge(void **state) {
        _cleanup_(pending_freep) Pending *p = made();

        add(p, 1, IN_CREATE, "a");
        add(p, 2, IN_CREATE, "a");
        add(p, 1, IN_MODIFY, "ab");
        add(p, 1, IN_DELETE_SELF, "");
        add(p, 1, IN_CLOSE_WRITE, "a");
        add(p, 1, IN_IGNORED, "");
        assert_int_equal(pending_count(p), 4);
        assert_entry(p, 0, 1, IN_CREATE | IN_CLOSE_WRITE, "a");
        assert_entry(p, 1, 2, IN_CREATE, "a");
        assert_entry(p, 2, 1, IN_MODIFY, "ab");
        assert_entry(p, 3, 1, IN_DELETE_SELF | IN_IGNORED, "");
        pending_clear(p);
        assert_int_equal(pending_count(p), 0);
        add(p, 1, IN_DELETE, "a");
        assert_int_equal(pending_count(p), 1);
        assert_entry(p, 0, 1, IN_DELETE, "a");
}

/* A name that was a folder and a file in turn: the scan of the one does not say what happened to the other (4.3). */
static void test_folder_and_file(void **state) {
        _cleanup_(pending_freep) Pending *p = made();

        add(p, 1, IN_MODIFY, "a");
        add(p, 1, IN_MOVED_FROM, "a");
        add(p, 1, IN_CREATE | IN_ISDIR, "a");
        add(p, 1, IN_DELETE | IN_ISDIR, "a");
        add(p, 1, IN_MOVED_TO, "a");
        assert_int_equal(pending_count(p), 2);
        assert_entry(p, 0, 1, IN_MODIFY | IN_MOVED_FROM | IN_MOVED_TO, "a");
        assert_entry(p, 1, 1, IN_CREATE | IN_DELETE | IN_ISDIR, "a");
}

static void test_overflow(void **state) {
        _cleanup_(pending_freep) Pending *p = made();
        char name[32];

        for (unsigned i = 0; i < ENTRIES_MAX; i++) {
                (void) snprintf(name, sizeof(name), "%u", i);
                add(p, 1, IN_CREATE, name);
        }
        assert_false(pending_overflowed(p));
        assert_int_equal(pending_count(p), ENTRIES_MAX);
        add(p, 1, IN_MODIFY, "77"); /* known: it fits */
        assert_false(pending_overflowed(p));
        assert_entry(p, 77, 1, IN_CREATE | IN_MODIFY, "77");
        add(p, 1, IN_CREATE, "one more");
        assert_true(pending_overflowed(p));
        assert_int_equal(pending_count(p), 0);
        add(p, 1, IN_CREATE, "whatever"); /* everything is in doubt already */
        assert_true(pending_overflowed(p));
        assert_int_equal(pending_count(p), 0);
        pending_clear(p);
        assert_false(pending_overflowed(p));
        add(p, 1, IN_CREATE, "a");
        assert_int_equal(pending_count(p), 1);
        pending_overflow(p); /* the kernel's */
        assert_true(pending_overflowed(p));
        assert_int_equal(pending_count(p), 0);
}

/* Long names: the bytes are bounded too. */
static void test_bytes_bounded(void **state) {
        _cleanup_(pending_freep) Pending *p = made();
        char name[256];

        memset(name, 'x', sizeof(name) - 1);
        name[sizeof(name) - 1] = '\0';
        for (unsigned i = 0; i < ENTRIES_MAX && !pending_overflowed(p); i++) {
                (void) snprintf(name, sizeof(name), "%u", i);
                name[strlen(name)] = 'x';
                add(p, 1, IN_CREATE, name);
        }
        assert_true(pending_overflowed(p));
}

/* Against a list that is searched from its start. */
static void test_random(void **state) {
        _cleanup_(pending_freep) Pending *p = made();
        struct {
                int wd;
                uint32_t mask;
                char name[8];
        } naive[2000];

        srand(7);
        for (unsigned round = 0; round < 30; round++) {
                size_t n = 0;

                for (unsigned i = 0; i < 3000; i++) {
                        int wd = rand() % 10;
                        uint32_t mask = (1U << rand() % 12) | (rand() % 4 == 0 ? IN_ISDIR : 0);
                        char name[8] = "";
                        size_t at = 0;

                        for (int k = rand() % 3; k > 0; k--)
                                name[strlen(name)] = (char) (1 + rand() % 8 * 31);
                        while (at < n && !(naive[at].wd == wd && strcmp(naive[at].name, name) == 0 &&
                                           ((naive[at].mask ^ mask) & IN_ISDIR) == 0))
                                at++;
                        if (at == n) {
                                assert_true(n < ELEMENTSOF(naive));
                                naive[n].wd = wd;
                                naive[n].mask = 0;
                                memcpy(naive[n++].name, name, sizeof(name));
                        }
                        naive[at].mask |= mask;
                        add(p, wd, mask, name);
                }
                assert_int_equal(pending_count(p), n);
                for (size_t i = 0; i < n; i++)
                        assert_entry(p, i, naive[i].wd, naive[i].mask, naive[i].name);
                pending_clear(p);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_merge),         cmocka_unit_test(test_folder_and_file),
                cmocka_unit_test(test_overflow),      cmocka_unit_test(test_bytes_bounded),
                cmocka_unit_test(test_random),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
