/* What is found gone while a decision about all that wait is written row by row comes after that decision: nobody
 * decided about it (pitfalls 7.4, 7.5). */
#include "engine-fixture.h"
#include "sync/guard.h"
#include "util/clock.h"

static Row row;

/* A job has a confirmed file, which waited for a person once if it is `held`. */
static Job *claim(Mapping *m, const char *path, bool held, bool moved) {
        Job *job;

        row = (Row){ .confirmed = true, .etag = "\"e\"", .state = PATH_PENDING, .held = held, .moved = moved };
        row.path_size = (size_t) snprintf(row.path, sizeof(row.path), "%s", path);
        row_claim(&row);
        assert_int_equal(journal_put(m->sync->journal, m->record.id, &row, NULL), 0);
        assert_int_equal(job_new(&job, m, &row), 0);
        return job;
}

static const Row *get(const Mapping *m, const char *path) {
        assert_int_equal(journal_get(m->sync->journal, m->record.id, path, strlen(path), &row, NULL), 1);
        return &row;
}

static void find_gone(Mapping *m, const char *path, bool held, bool moved) {
        job_park(claim(m, path, held, moved), PATH_GONE, 1, NULL);
}

/* `then`: what a person says before the first decision stands in every row; 0: nothing. */
static void decide_beside(unsigned first, unsigned then) {
        _cleanup_(sd_event_unrefp) sd_event *loop = NULL;
        _cleanup_(engine_freep) Engine *engine = NULL;
        char name[16];
        int64_t before;
        Mapping *m;

        assert_true(sd_event_new(&loop) >= 0);
        put("azsyncd.yaml", DEV);
        engine = make_engine(loop);
        apply(engine, "");
        m = engine->sync.mappings[0];
        for (unsigned i = 0; i <= JOURNAL_CARRY_STEP; i++) {
                (void) snprintf(name, sizeof(name), "f%05u", i);
                find_gone(m, name, first != DECISION_HOLD, false);
        }
        assert_int_equal(guard_decide(m, first, NULL), 0);
        if (then != 0)
                assert_int_equal(guard_decide(m, then, NULL), 0);
        assert_int_equal(m->record.decision, first | then);

        before = clock_boot();
        find_gone(m, "late", false, false);
        find_gone(m, "late again", true, false);
        find_gone(m, "late and moved", false, true);
        assert_true(get(m, "late")->state == PATH_PENDING && row.due > before);
        assert_true(get(m, "late again")->state == PATH_PENDING && row.due > before);
        while (m->record.decision != 0)
                guard_carry(m);
        assert_true(get(m, "late")->state == PATH_PENDING && !row.approved && !row.kept && !row.held);
        assert_true(get(m, "late again")->state == PATH_PENDING && !row.approved && !row.kept && row.held);
        assert_int_equal(get(m, "late and moved")->state, PATH_GONE);

        /* and then it is asked about */
        find_gone(m, "late", false, false);
        find_gone(m, "late again", true, false);
        assert_int_equal(get(m, "late")->state, PATH_GONE);
        assert_int_equal(get(m, "late again")->state, PATH_HELD);
}

static void test_held(void **state) {
        decide_beside(DECISION_HOLD, 0);
}

static void test_approved(void **state) {
        decide_beside(DECISION_APPROVE, 0);
}

static void test_rejected(void **state) {
        decide_beside(DECISION_REJECT, 0);
}

static void test_held_and_approved(void **state) {
        decide_beside(DECISION_HOLD, DECISION_APPROVE);
}

static void test_held_and_rejected(void **state) {
        decide_beside(DECISION_HOLD, DECISION_REJECT);
}

int main(void) {
        const struct CMUnitTest tests[] = { CONFIG_TEST(test_held), CONFIG_TEST(test_approved),
                                            CONFIG_TEST(test_rejected), CONFIG_TEST(test_held_and_approved),
                                            CONFIG_TEST(test_held_and_rejected) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
