/* What a reload with another configuration may not do: end azsyncd, or let go what waits for a person. */
#include "engine-fixture.h"
#include "sync/state.h"

static Engine *start(sd_event *loop) {
        Engine *engine = make_engine(loop);

        put("azsyncd.yaml", DEV);
        apply(engine, "");
        return engine;
}

/* The folder is compared to the end, once more. */
static void compare(sd_event *loop, Mapping *m) {
        uint64_t asked;

        mapping_scan(m, "");
        asked = m->scans_asked;
        while (m->scans_done < asked)
                assert_true(sd_event_run(loop, UINT64_MAX) >= 0);
}

static void move(const char *from, const char *to) {
        _cleanup_free_ char *old = strdup(at(from));

        assert_int_equal(rename(old, at(to)), 0);
}

/* Its name is the person's own: another one, with all else alike, is another account to us. */
static void test_renamed_account(void **state) {
        _cleanup_(sd_event_unrefp) sd_event *loop = NULL;
        _cleanup_(engine_freep) Engine *engine = NULL;
        const Sync *s;

        assert_true(sd_event_new(&loop) >= 0);
        engine = start(loop);
        s = &engine->sync;
        put("azsyncd.yaml", "accounts:\n  prod:\n    connection-string: UseDevelopmentStorage=true\n");
        apply(engine, "");
        assert_int_equal(s->n_accounts, 1);
        assert_ptr_equal(s->mappings[0]->account, s->accounts[0]);
}

/* Only a person ends that: not the folder either, which is missing for a while (pitfalls 7.2). */
static void test_destination_waits_for_a_person(void **state) {
        _cleanup_(sd_event_unrefp) sd_event *loop = NULL;
        _cleanup_(engine_freep) Engine *engine = NULL;
        Error e = ERROR_NULL;
        Mapping *m;

        assert_true(sd_event_new(&loop) >= 0);
        engine = start(loop);
        compare(loop, engine->sync.mappings[0]);
        move("folder", "away");
        apply(engine, "prefix: elsewhere\n");
        m = engine->sync.mappings[0];
        assert_int_equal(m->block, BLOCK_DESTINATION);
        compare(loop, m);
        assert_int_equal(m->block, BLOCK_DESTINATION);
        move("away", "folder");
        compare(loop, m);
        assert_int_equal(m->block, BLOCK_DESTINATION);
        assert_int_equal(engine_do(engine, ENGINE_APPROVE, "m", &e), 0);
        assert_int_equal(m->block, BLOCK_NONE);
        assert_string_equal(m->record.destination, m->url);
}

/* Another mapping writes to the same place, above or below it: what is known to be there has to be listed again. */
static void test_taken_over(void **state) {
        static const struct {
                const char *destination;
                bool contacted;
        } others[] = { { "http://a/box/p", false },
                       { "http://a/box", false },
                       { "http://a/box/p/q", false },
                       { "http://a/box/pq", true },
                       { "http://a/bo", true },
                       { "http://b/box/p", true },
                       { "", true },
                       { "http://a/box/q", true },
                       { "http://a/box/%", true } };
        _cleanup_(sd_event_unrefp) sd_event *loop = NULL;
        _cleanup_(engine_freep) Engine *engine = NULL;
        JournalMapping m, mine;
        Journal *j;
        char name[8];

        assert_true(sd_event_new(&loop) >= 0);
        engine = make_engine(loop);
        j = engine->sync.journal;
        assert_int_equal(journal_mapping(j, "mine", &mine, NULL), 0);
        mine.contacted = true;
        (void) snprintf(mine.destination, sizeof(mine.destination), "http://a/box/p");
        assert_int_equal(journal_mapping_put(j, &mine, NULL), 0);
        for (size_t i = 0; i < ELEMENTSOF(others); i++) {
                (void) snprintf(name, sizeof(name), "m%zu", i);
                assert_int_equal(journal_mapping(j, name, &m, NULL), 0);
                m.contacted = true;
                (void) snprintf(m.destination, sizeof(m.destination), "%s", others[i].destination);
                assert_int_equal(journal_mapping_put(j, &m, NULL), 0);
        }
        assert_int_equal(journal_take_over(j, &mine, NULL), 0);
        assert_int_equal(journal_mapping(j, "mine", &mine, NULL), 0);
        assert_true(mine.contacted);
        for (size_t i = 0; i < ELEMENTSOF(others); i++) {
                (void) snprintf(name, sizeof(name), "m%zu", i);
                assert_int_equal(journal_mapping(j, name, &m, NULL), 0);
                assert_false(m.damaged);
                assert_true(m.met);
                assert_int_equal(m.contacted, others[i].contacted);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                CONFIG_TEST(test_renamed_account),
                CONFIG_TEST(test_destination_waits_for_a_person),
                CONFIG_TEST(test_taken_over),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
