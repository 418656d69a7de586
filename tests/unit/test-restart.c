/* A mapping that begins anew in the same process (its threads hang in a mount, or the journal was replaced) still hears
 * of the next change of the mounts (pitfalls 2.1, 2.6), and forgets nothing that an event told or a person decided. The
 * table of mounts is the test's own, and SQLite's fsync comes through this file. */
#include "engine-fixture.h"
#include "sync/guard.h"
#include "util/clock.h"
#include "watch/mounts.h"

#include <sqlite3.h>
#include <sys/syscall.h>

static bool sync_fails;

int fdatasync(int fd) {
        if (sync_fails) {
                errno = EIO;
                return -1;
        }
        return (int) syscall(SYS_fdatasync, fd);
}

struct Mounts {
        MountsFn fn;
        void *userdata;
};

static uint64_t table = 1;

int mounts_new(Mounts **ret, sd_event *loop, MountsFn fn, void *userdata, Error *e) {
        Mounts *m = calloc(1, sizeof(*m));

        assert_non_null(m);
        *m = (Mounts){ fn, userdata };
        *ret = m;
        return 0;
}

Mounts *mounts_free(Mounts *m) {
        free(m);
        return NULL;
}

void mounts_ask(Mounts *m) {
        m->fn(&BUF_INIT(1), m->userdata);
}

uint64_t mounts_digest(const char *text, const char *folder) {
        return table;
}

/* The table is looked at, after a change or without one. True: the folder will be compared. */
static bool asks(Sync *s, bool changed) {
        uint64_t before = s->mappings[0]->scans_asked;

        table += changed;
        mounts_ask(s->mounts);
        return s->mappings[0]->scans_asked > before;
}

static Engine *start(sd_event *loop) {
        Engine *engine = make_engine(loop);

        put("azsyncd.yaml", DEV);
        apply(engine, "");
        return engine;
}

/* What is not committed is lost. */
static void break_journal(Sync *s) {
        uint64_t n, all;

        (void) sqlite3_hard_heap_limit64(1);
        assert_int_equal(journal_expected(s->journal, s->mappings[0]->record.id, &n, &all, NULL), -ENOMEM);
        (void) sqlite3_hard_heap_limit64(0);
        assert_true(journal_broken(s->journal));
}

static void run_until_whole(sd_event *loop, const Sync *s) {
        sync_fails = false;
        while (journal_broken(s->journal))
                assert_true(sd_event_run(loop, UINT64_MAX) >= 0);
}

/* As soon as it can be: that the bytes of a path called "stored" have changed is in the journal. */
static void is_told(sd_event *loop, const Sync *s) {
        Row row;

        run_until_whole(loop, s);
        assert_true(s->mappings[0]->record.id > 0);
        assert_int_equal(journal_get(s->journal, s->mappings[0]->record.id, "stored", 6, &row, NULL), 1);
        assert_true(row.content);
}

static void test_mounts_after_restart(void **state) {
        _cleanup_(sd_event_unrefp) sd_event *loop = NULL;
        _cleanup_(engine_freep) Engine *engine = NULL;
        Error e = ERROR_NULL;
        Sync *s;

        assert_true(sd_event_new(&loop) >= 0);
        engine = start(loop);
        s = &engine->sync;
        assert_false(asks(s, false));
        assert_true(asks(s, true));

        s->mappings[0]->stuck = true;
        assert_int_equal(engine_do(engine, ENGINE_RESCAN, "m", &e), 0); /* as whatever else restarts it */
        assert_false(s->mappings[0]->stuck);
        assert_true(asks(s, true)); /* at once: looking at the table is what would hide it */
        assert_false(asks(s, false));

        s->mappings[0]->stuck = true;
        table++;
        mounts_ask(s->mounts); /* what it hung in may be gone: restarted by the change itself */
        assert_false(s->mappings[0]->stuck);
        assert_true(asks(s, true));
        assert_false(asks(s, false));
}

/* The journal was out of order when the mapping was made, so it begins anew when that can be written: no stamp need
 * tell of what an event told meanwhile (pitfalls 4.3, 9.4). */
static void test_told_is_kept(void **state) {
        _cleanup_(sd_event_unrefp) sd_event *loop = NULL;
        _cleanup_(engine_freep) Engine *engine = NULL;
        Sync *s;

        assert_true(sd_event_new(&loop) >= 0);
        engine = start(loop);
        s = &engine->sync;
        assert_int_equal(sync_commit(s), 0);
        break_journal(s);
        sync_restart(s, 0);
        assert_int_equal(s->mappings[0]->record.id, 0);
        mapping_hint(s->mappings[0], "stored", true, clock_boot(), 0);
        is_told(loop, s);
}

/* Likewise a reload that changes the mapping, and the counters run on: they are the process's. */
static void test_told_is_kept_by_a_reload(void **state) {
        _cleanup_(sd_event_unrefp) sd_event *loop = NULL;
        _cleanup_(engine_freep) Engine *engine = NULL;
        Sync *s;

        assert_true(sd_event_new(&loop) >= 0);
        engine = start(loop);
        s = &engine->sync;
        assert_int_equal(sync_commit(s), 0);
        break_journal(s);
        s->mappings[0]->uploaded_files = 7;
        mapping_hint(s->mappings[0], "stored", true, clock_boot(), 0);
        apply(engine, "rescan: 2h\n");
        assert_int_equal(s->mappings[0]->config->rescan_ns, 7200 * NSEC_PER_SEC);
        assert_int_equal(s->mappings[0]->uploaded_files, 7);
        is_told(loop, s);
}

/* So many deletions wait. */
static void make_gone(Mapping *m, unsigned n) {
        for (unsigned i = 0; i < n; i++) {
                Row row = { .confirmed = true, .etag = "\"e\"" };

                row.path_size = (size_t) snprintf(row.path, sizeof(row.path), "f%05u", i);
                row_park(&row, 0, PATH_GONE, 1, NULL);
                assert_int_equal(journal_put(m->sync->journal, m->record.id, &row, NULL), 0);
        }
        assert_int_equal(sync_commit(m->sync), 0);
}

static uint64_t count_held(const Mapping *m) {
        return journal_counts(m->sync->journal, m->record.id)->state[PATH_HELD];
}

static Mapping *started_with_gone(unsigned n, sd_event **ret_loop, Engine **ret_engine) {
        assert_true(sd_event_new(ret_loop) >= 0);
        *ret_engine = start(*ret_loop);
        make_gone((*ret_engine)->sync.mappings[0], n);
        return (*ret_engine)->sync.mappings[0];
}

/* The last step of a decision is lost with its transaction, and the decision is not: that it is over is forgotten, too.
 * What is held must not be let go by what a restart would not believe (pitfalls 7.5, 9.1). */
static void test_last_step_is_lost(void **state) {
        _cleanup_(sd_event_unrefp) sd_event *loop = NULL;
        _cleanup_(engine_freep) Engine *engine = NULL;
        const unsigned n = JOURNAL_CARRY_STEP + 7;
        Mapping *m = started_with_gone(n, &loop, &engine);

        assert_int_equal(guard_decide(m, DECISION_HOLD, NULL), 0);
        assert_int_equal(m->record.decision, DECISION_HOLD);
        guard_carry(m);
        assert_int_equal(m->record.decision, 0);
        assert_int_equal(count_held(m), n);
        break_journal(&engine->sync);
        run_until_whole(loop, &engine->sync);
        assert_ptr_equal(m, engine->sync.mappings[0]);
        assert_int_equal(count_held(m), n);
}

/* A commit that failed may be on the disk all the same (9.5). */
static void test_decided_and_failed(void **state) {
        _cleanup_(sd_event_unrefp) sd_event *loop = NULL;
        _cleanup_(engine_freep) Engine *engine = NULL;
        const unsigned n = JOURNAL_CARRY_STEP + 7;
        Mapping *m = started_with_gone(n, &loop, &engine);

        sync_fails = true;
        assert_true(guard_decide(m, DECISION_HOLD, NULL) < 0);
        assert_int_equal(m->record.decision, 0);
        run_until_whole(loop, &engine->sync);
        assert_int_equal(count_held(m), n);
}

/* Likewise another destination: the mapping is another one in the journal. */
static void test_approved_and_failed(void **state) {
        _cleanup_(sd_event_unrefp) sd_event *loop = NULL;
        _cleanup_(engine_freep) Engine *engine = NULL;
        Error e = ERROR_NULL;
        int64_t before;
        Mapping *m;

        assert_true(sd_event_new(&loop) >= 0);
        engine = start(loop);
        apply(engine, "prefix: elsewhere\n");
        m = engine->sync.mappings[0];
        assert_int_equal(m->block, BLOCK_DESTINATION);
        assert_int_equal(sync_commit(m->sync), 0);
        before = m->record.id;
        sync_fails = true;
        assert_true(engine_do(engine, ENGINE_APPROVE, "m", &e) < 0);
        assert_true(m->record.id == before && m->block == BLOCK_DESTINATION);
        run_until_whole(loop, &engine->sync);
        m = engine->sync.mappings[0];
        assert_true(m->record.id != before && m->block != BLOCK_DESTINATION);
        assert_string_equal(m->record.destination, m->url);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                CONFIG_TEST(test_mounts_after_restart),     CONFIG_TEST(test_told_is_kept),
                CONFIG_TEST(test_told_is_kept_by_a_reload), CONFIG_TEST(test_last_step_is_lost),
                CONFIG_TEST(test_decided_and_failed),       CONFIG_TEST(test_approved_and_failed)
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
