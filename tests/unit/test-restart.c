/* A mapping that begins anew in the same process (its threads hang in a mount, or the journal was replaced) still hears
 * of the next change of the mounts (pitfalls 2.1, 2.6). The table of mounts is the test's own. */
#include "config-fixture.h"
#include "sync/state.h"
#include "watch/mounts.h"

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

static void test_mounts_after_restart(void **state) {
        _cleanup_(engine_freep) Engine *engine = NULL;
        EngineOptions options = { .state_dir = top };
        sd_event *loop = NULL;
        Error e = ERROR_NULL;
        Loaded l;
        Sync *s;

        make_dir("folder", 0755);
        put("azsyncd.yaml", DEV);
        FILE *f = fopen(at("mappings.d/m.yaml"), "we");
        assert_non_null(f);
        assert_true(fprintf(f, "account: dev\ncontainer: files\nfolder: %s/folder\n", root) > 0);
        assert_int_equal(fclose(f), 0);
        l = load();
        assert_string_equal(buf_text(&l.report), "");
        assert_true(sd_event_new(&loop) >= 0);
        assert_int_equal(engine_new(&engine, loop, &options, &e), 0);
        assert_int_equal(engine_apply(engine, TAKE_PTR(l.config), &e), 0);
        loaded_done(&l);
        s = &engine->sync;
        assert_int_equal(s->n_mappings, 1);
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
        engine = engine_free(engine);
        (void) sd_event_unref(loop);
}

int main(void) {
        const struct CMUnitTest tests[] = { CONFIG_TEST(test_mounts_after_restart) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
