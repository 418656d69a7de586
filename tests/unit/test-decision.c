/* Decisions about many deletions at once (pitfalls 7.4, 7.5, 9.1): each counts from the moment that it is made, however
 * few rows have been written so far, and over a kill. */
#include "journal-fixture.h"

#include <sys/wait.h>

#define GONE 10u

static void name_of(unsigned i, char ret[static 16]) {
        (void) snprintf(ret, 16, "gone%02u", i);
}

/* Ten that wait; one that was moved, one that was let go, one that is approved already: none of these can be held. */
static void make_gone(Journal *j, int64_t m) {
        static const char *const others[] = { "moved", "let go", "approved" };
        char name[16];
        Row *row;

        for (unsigned i = 0; i < GONE; i++) {
                name_of(i, name);
                confirm(j, m, name);
                park(j, m, name, PATH_GONE);
        }
        for (unsigned i = 0; i < ELEMENTSOF(others); i++) {
                confirm(j, m, others[i]);
                row = get(j, m, others[i], 1);
                row->moved = i == 0;
                row->tallied = i == 1;
                row->approved = i == 2;
                row_park(row, row->gen, PATH_GONE, 1, NULL);
                put(j, m, row);
        }
}

static void assert_counts(Journal *j, int64_t m, uint64_t gone, uint64_t held, uint64_t skipped, uint64_t undecided) {
        const JournalCounts *c = journal_counts(j, m);

        assert_int_equal(c->state[PATH_GONE], gone);
        assert_int_equal(c->state[PATH_HELD], held);
        assert_int_equal(c->state[PATH_SKIPPED], skipped);
        assert_int_equal(c->deletions, undecided);
        assert_int_equal(c->tallied, 1);
}

static void assert_rows(Journal *j, int64_t m, PathState state, bool approved, bool kept) {
        char name[16];

        for (unsigned i = 0; i < GONE; i++) {
                Row *row;

                name_of(i, name);
                row = get(j, m, name, 1);
                assert_true(row->confirmed && row->state == state && row->approved == approved && row->kept == kept);
                assert_int_equal(row->held, state == PATH_HELD);
                free(row);
        }
        assert_int_equal(state_of(j, m, "moved"), PATH_GONE);
        assert_int_equal(state_of(j, m, "let go"), PATH_GONE);
        assert_int_equal(state_of(j, m, "approved"), PATH_GONE);
}

static unsigned written_as(Journal *j, const char *condition) {
        char table[96];

        (void) snprintf(table, sizeof(table), "path WHERE %s", condition);
        return rows_in(j, table);
}

static int count_held(const Row *row, void *userdata) {
        *(unsigned *) userdata += row->state == PATH_HELD;
        return 0;
}

/* A decision, or a step of it, committed, and then a kill. */
static void step_and_die(unsigned decision, unsigned limit) {
        pid_t pid = fork();
        int status;

        assert_true(pid >= 0);
        if (pid == 0) {
                bool quarantined;
                JournalMapping m;
                Journal *j;

                if (journal_open(&j, dir, &quarantined, NULL) < 0 || journal_mapping(j, "photos", &m, NULL) < 0 ||
                    (decision != 0 && journal_decide(j, &m, decision, NULL) < 0) ||
                    (limit > 0 && journal_carry(j, &m, limit, NULL) < 0) || journal_commit_durable(j, NULL) < 0)
                        _exit(1);
                _exit(0); /* and no close */
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

static void test_killed_between_steps(void **state) {
        Journal *j = open_journal();
        int64_t id = mapping(j);
        JournalMapping m;
        unsigned held = 0, steps = 0;

        make_gone(j, id);
        journal_close(j);

        step_and_die(DECISION_HOLD, 0);
        j = open_journal();
        id = mapping(j);
        assert_int_equal(written_as(j, "state = 5"), 0);
        assert_counts(j, id, 3, GONE, 0, GONE);
        assert_rows(j, id, PATH_HELD, false, false);
        assert_int_equal(journal_queue(j, id, NULL, 100, count_held, &held, NULL), 0);
        assert_int_equal(held, GONE);
        journal_close(j);

        step_and_die(0, 4);
        j = open_journal();
        id = mapping(j);
        assert_in_range(written_as(j, "state = 5"), 1, 4);
        assert_counts(j, id, 3, GONE, 0, GONE);
        assert_rows(j, id, PATH_HELD, false, false);
        journal_close(j);

        /* a person does not wait for that */
        step_and_die(DECISION_APPROVE, 1);
        j = open_journal();
        assert_int_equal(journal_mapping(j, "photos", &m, NULL), 0);
        assert_int_equal(m.decision, DECISION_HOLD | DECISION_APPROVE);
        assert_counts(j, m.id, GONE + 3, 0, 0, 0);
        assert_rows(j, m.id, PATH_GONE, true, false);
        while (journal_carry(j, &m, 2, NULL) > 0) {
                assert_counts(j, m.id, GONE + 3, 0, 0, 0);
                assert_rows(j, m.id, PATH_GONE, true, false);
                steps++;
        }
        assert_true(steps > 3 && m.decision == 0);
        assert_counts(j, m.id, GONE + 3, 0, 0, 0);
        journal_close(j);

        /* and so it is written */
        j = open_journal();
        assert_int_equal(journal_mapping(j, "photos", &m, NULL), 0);
        assert_int_equal(m.decision, 0);
        assert_int_equal(written_as(j, "state = 3 AND approved = 1 AND held = 0"), GONE + 1);
        assert_counts(j, m.id, GONE + 3, 0, 0, 0);
        journal_close(j);
}

/* What happens to a row in between happens to a decided one. */
static void test_rejected_in_steps(void **state) {
        Journal *j = open_journal();
        int64_t id = mapping(j);
        JournalMapping m;
        Row *row;

        make_gone(j, id);
        decide(j, DECISION_HOLD, 100);
        assert_counts(j, id, 3, GONE, 0, GONE);
        assert_int_equal(journal_mapping(j, "photos", &m, NULL), 0);
        assert_int_equal(journal_decide(j, &m, DECISION_REJECT, NULL), 0);
        assert_int_equal(journal_carry(j, &m, 3, NULL), 1);
        assert_rows(j, id, PATH_SKIPPED, false, true);
        assert_counts(j, id, 3, 0, GONE, 0);
        assert_int_equal(journal_counts(j, id)->files, 3 + GONE - 3);
        hint(j, id, "gone09");
        row = get(j, id, "gone09", 1);
        assert_true(row->state == PATH_PENDING && row->kept && !row->held);
        free(row);
        assert_int_equal(journal_carry(j, &m, 100, NULL), 0);
        assert_int_equal(written_as(j, "state = 7 AND approved = 2 AND first = 0"), GONE - 1);
        assert_counts(j, id, 3, 0, GONE - 1, 0);
        assert_int_equal(journal_counts(j, id)->files, 3);
        journal_close(j);
}

/* A row whose sum is wrong does not become a right one; it is looked at, and a person asked again. */
static void test_damaged_row(void **state) {
        Journal *j = open_journal();
        int64_t id = mapping(j);
        Row *row;

        make_gone(j, id);
        decide(j, DECISION_HOLD, 4);
        assert_int_equal(journal_commit(j, NULL), 0);
        assert_int_equal(
                sqlite3_exec(j->db, "UPDATE path SET marked = 5 WHERE name = CAST('gone03' AS BLOB)", NULL, NULL, NULL),
                SQLITE_OK);
        decide(j, DECISION_APPROVE, 4);
        row = get(j, id, "gone03", 1);
        assert_true(row->state == PATH_PENDING && row->held && row->doubt && !row->approved && !row->confirmed);
        free(row);
        assert_counts(j, id, GONE + 2, 0, 0, 0);
        journal_close(j);
}

/* A transaction that is lost takes the steps in it back, and not the decision. */
static void test_lost_step(void **state) {
        Error e = ERROR_NULL;
        Journal *j = open_journal();
        int64_t id = mapping(j);
        JournalMapping m;

        make_gone(j, id);
        assert_int_equal(journal_mapping(j, "photos", &m, NULL), 0);
        assert_int_equal(journal_decide(j, &m, DECISION_HOLD, NULL), 0);
        assert_int_equal(journal_commit_durable(j, NULL), 0);
        assert_int_equal(journal_carry(j, &m, 4, NULL), 1); /* lost in the middle, */
        assert_true(journal_fail(j, SQLITE_IOERR, &e, "pulling the plug") < 0);
        assert_int_equal(journal_recover(j, &e), 0);
        while (journal_carry(j, &m, 4, NULL) > 0) /* and at its end */
                ;
        assert_int_equal(m.decision, 0);
        assert_int_equal(written_as(j, "state = 5"), GONE);
        assert_true(journal_fail(j, SQLITE_IOERR, &e, "pulling the plug") < 0);
        assert_int_equal(journal_recover(j, &e), 0);
        assert_int_equal(written_as(j, "state = 5"), 0);
        assert_int_equal(journal_mapping(j, "photos", &m, NULL), 0);
        assert_int_equal(m.decision, DECISION_HOLD);
        assert_counts(j, id, 3, GONE, 0, GONE);
        while (journal_carry(j, &m, 4, NULL) > 0)
                ;
        assert_int_equal(written_as(j, "state = 5"), GONE);
        journal_close(j);
}

/* A mapping that goes elsewhere: nothing is known of it at once, whatever is left to be removed; others are left alone.
 */
static void test_wipe(void **state) {
        Journal *j = open_journal();
        JournalMapping m, other;
        int64_t before;
        int r;

        assert_int_equal(journal_mapping(j, "photos", &m, NULL), 0);
        assert_int_equal(journal_mapping(j, "other", &other, NULL), 0);
        confirm(j, other.id, "stays");
        make_gone(j, m.id);
        assert_int_equal(journal_window_add(j, m.id, clock_wall() / JOURNAL_MINUTE, 7, 0, NULL), 0);
        m.paused = true;
        before = m.id;
        assert_int_equal(journal_wipe(j, "photos", &m, NULL), 0);
        assert_true(m.id != before && m.id != other.id);
        assert_int_equal(journal_counts(j, m.id)->files, 0);
        free(get(j, m.id, "gone01", 0));
        assert_int_equal(deletions(j, m.id, clock_wall() / JOURNAL_MINUTE), 7);
        confirm(j, m.id, "gone01");
        assert_int_equal(journal_sweep(j, 4, NULL), 1);
        assert_in_range(rows_in(j, "path"), 3, GONE + 2);
        journal_close(j);

        j = open_journal();
        assert_int_equal(mapping(j), m.id);
        do
                r = journal_sweep(j, 4, NULL);
        while (r > 0);
        assert_int_equal(r, 0);
        assert_int_equal(rows_in(j, "path"), 2);
        assert_int_equal(rows_in(j, "mapping"), 2);
        assert_int_equal(rows_in(j, "window"), 1);
        free(get(j, m.id, "gone01", 1));
        free(get(j, other.id, "stays", 1));
        assert_int_equal(journal_mapping(j, "photos", &m, NULL), 0);
        assert_true(m.paused);
        journal_close(j);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_killed_between_steps, setup, teardown),
                cmocka_unit_test_setup_teardown(test_rejected_in_steps, setup, teardown),
                cmocka_unit_test_setup_teardown(test_damaged_row, setup, teardown),
                cmocka_unit_test_setup_teardown(test_lost_step, setup, teardown),
                cmocka_unit_test_setup_teardown(test_wipe, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
