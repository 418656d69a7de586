/* A mapping that begins anew in the same process (its threads hang in a mount, or the journal was replaced) still hears
 * of the next change of the mounts (pitfalls 2.1, 2.6), and forgets nothing that an event told. The table of mounts is
 * the test's own. */
#include "config-fixture.h"
#include "sync/state.h"
#include "util/clock.h"
#include "watch/mounts.h"

#include <sqlite3.h>

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

/* One mapping, which says `more`, too. */
static void apply(Engine *engine, const char *more) {
        FILE *f = fopen(at("mappings.d/m.yaml"), "we");
        Error e = ERROR_NULL;
        Loaded l;

        assert_non_null(f);
        assert_true(fprintf(f, "account: dev\ncontainer: files\nfolder: %s/folder\n%s", root, more) > 0);
        assert_int_equal(fclose(f), 0);
        l = load();
        assert_string_equal(buf_text(&l.report), "");
        assert_int_equal(engine_apply(engine, TAKE_PTR(l.config), &e), 0);
        loaded_done(&l);
        assert_int_equal(engine->sync.n_mappings, 1);
}

static Engine *start(sd_event *loop) {
        EngineOptions options = { .state_dir = top };
        Error e = ERROR_NULL;
        Engine *engine;

        make_dir("folder", 0755);
        put("azsyncd.yaml", DEV);
        assert_int_equal(engine_new(&engine, loop, &options, &e), 0);
        apply(engine, "");
        return engine;
}

static void break_journal(Sync *s) {
        uint64_t n, all;

        assert_int_equal(sync_commit(s), 0);
        (void) sqlite3_hard_heap_limit64(1);
        assert_int_equal(journal_expected(s->journal, s->mappings[0]->record.id, &n, &all, NULL), -ENOMEM);
        (void) sqlite3_hard_heap_limit64(0);
        assert_true(journal_broken(s->journal));
}

/* As soon as it can be: that the bytes of a path called "stored" have changed is in the journal. */
static void is_told(sd_event *loop, const Sync *s) {
        Row row;

        while (journal_broken(s->journal))
                assert_true(sd_event_run(loop, UINT64_MAX) >= 0);
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
        break_journal(s);
        s->mappings[0]->uploaded_files = 7;
        mapping_hint(s->mappings[0], "stored", true, clock_boot(), 0);
        apply(engine, "rescan: 2h\n");
        assert_int_equal(s->mappings[0]->config->rescan_ns, 7200 * NSEC_PER_SEC);
        assert_int_equal(s->mappings[0]->uploaded_files, 7);
        is_told(loop, s);
}

int main(void) {
        const struct CMUnitTest tests[] = { CONFIG_TEST(test_mounts_after_restart), CONFIG_TEST(test_told_is_kept),
                                            CONFIG_TEST(test_told_is_kept_by_a_reload) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
