/* The brake's numbers (pitfalls 7.4): "more than", never "at least"; a percentage only above 20 files. */
#include "merge-fixture.h"

#include "sync/guard.h"

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

/* As many are gone as do not fit into one step: none of them may go before all are held (7.4). */
static void test_holds_in_steps(void **state) {
        static const MappingConfig strict = { .name = (char *) "m",
                                              .account = &account_config,
                                              .container = (char *) "c",
                                              .guard_files = 5,
                                              .guard_percent = 50 };
        const unsigned n = 2 * JOURNAL_CARRY_STEP + 7;
        const JournalCounts *c;
        unsigned steps = 0;
        char name[16];

        mapping.config = &strict;
        for (unsigned i = 0; i < n; i++) {
                (void) snprintf(name, sizeof(name), "f%05u", i);
                make_row(name, PATH_GONE, true, 1);
        }
        assert_false(guard_lets(&mapping, false)); /* it may look better in a moment */
        assert_int_equal(journal_counts(sync_of.journal, mapping.record.id)->state[PATH_GONE], n);
        do {
                assert_false(guard_lets(&mapping, true));
                c = journal_counts(sync_of.journal, mapping.record.id);
                assert_int_equal(c->state[PATH_HELD], n);
                assert_int_equal(c->state[PATH_GONE], 0);
                assert_int_equal(get(name)->state, PATH_HELD);
                guard_carry(&mapping);
                steps++;
        } while (mapping.record.decision != 0 && steps < 10);
        assert_int_equal(steps, 2);
        assert_true(guard_lets(&mapping, true)); /* what is left: moves, and what was approved */
        assert_int_equal(journal_counts(sync_of.journal, mapping.record.id)->state[PATH_HELD], n);

        assert_int_equal(guard_decide(&mapping, DECISION_APPROVE, NULL), 0);
        assert_false(guard_lets(&mapping, true));
        assert_int_equal(journal_counts(sync_of.journal, mapping.record.id)->deletions, 0);
        while (mapping.record.decision != 0)
                guard_carry(&mapping);
        assert_true(guard_lets(&mapping, true));
        assert_true(get(name)->state == PATH_GONE && get(name)->approved);
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_trips), cmocka_unit_test(test_warns),
                                            cmocka_unit_test_setup_teardown(test_holds_in_steps, open_journal,
                                                                            close_journal) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
