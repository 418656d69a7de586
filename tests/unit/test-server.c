/* What the server answers. What it lets nobody do is in test-server-limits.c. */
#include "control-fixture.h"

#include <sys/socket.h>

static void test_service(void **state) {
        _cleanup_client_ Client c = client_open(*state);
        json_t *m;

        client_ask(&c, INFO);
        client_expect(&c, INFO_REPLY);
        client_ask(&c, "{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{\"interface\":"
                       "\"io.azsync\"}}");
        m = client_next(&c);
        assert_non_null(strstr(json_string_value(json_object_get(json_object_get(m, "parameters"), "description")),
                               "method Wait("));
        json_decref(m);
        client_ask(&c, "{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{\"interface\":"
                       "\"io.nope\"}}");
        client_expect(&c, "{\"error\":\"org.varlink.service.InterfaceNotFound\",\"parameters\":{\"interface\":\"io."
                          "nope\"}}");
}

static void test_status(void **state) {
        Fixture *f = *state;
        _cleanup_client_ Client c = client_open(f);
        json_t *m, *p, *list;

        client_ask(&c, "{\"method\":\"io.azsync.Status\"}");
        m = client_next(&c);
        p = json_object_get(m, "parameters");
        list = json_object_get(p, "mappings");
        assert_null(json_object_get(m, "continues"));
        assert_string_equal(json_string_value(json_object_get(p, "version")), AZSYNCD_VERSION);
        assert_int_equal(json_integer_value(json_object_get(p, "pid")), getpid());
        assert_true(json_number_value(json_object_get(p, "uptime_s")) >= 0);
        assert_string_equal(json_string_value(json_object_get(p, "summary")), "3 mappings");
        assert_int_equal(json_array_size(list), 3);
        json_decref(m);

        client_ask(&c, "{\"method\":\"io.azsync.Status\",\"parameters\":{\"mapping\":\"photos\"}}");
        m = client_next(&c);
        list = json_object_get(json_object_get(m, "parameters"), "mappings");
        assert_int_equal(json_array_size(list), 1);
        assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "name")), "photos");
        json_decref(m);

        client_ask(&c, "{\"method\":\"io.azsync.Status\",\"parameters\":{\"mapping\":\"nope\"}}");
        client_expect(&c, NO_SUCH);
        client_ask(&c, "{\"method\":\"io.azsync.Status\",\"more\":true,\"parameters\":{\"mapping\":\"nope\"}}");
        client_expect(&c, NO_SUCH);
        client_ask(&c, INFO); /* the stream that never began does not stand in the way */
        client_expect(&c, INFO_REPLY);
}

/* A reload that was refused is told until another one is not, to whoever watches at once. */
static void test_refused_reload(void **state) {
        Fixture *f = *state;
        _cleanup_client_ Client c = client_open(f);
        json_t *m, *refusal;

        client_ask(&c, "{\"method\":\"io.azsync.Status\",\"more\":true}");
        for (unsigned round = 0; round < 3; round++) {
                m = client_next(&c);
                refusal = json_object_get(json_object_get(m, "parameters"), "reload_failed");
                if (round == 1) {
                        assert_string_equal(json_string_value(json_object_get(refusal, "error")), "m.yaml:1:1: \\x1b");
                        assert_int_equal(strspn(json_string_value(json_object_get(refusal, "at")), "0123456789-:.TZ"),
                                         json_string_length(json_object_get(refusal, "at")));
                        assert_true(json_string_length(json_object_get(refusal, "at")) > 0);
                } else
                        assert_true(json_is_null(refusal));
                json_decref(m);
                server_reloaded(f->server, round == 0 ? "m.yaml:1:1: \033\nm.yaml:2:1: more" : NULL);
        }
}

/* However the bytes come, requests are answered one by one, in order. */
static void test_pieces(void **state) {
        static const char three[] = INFO "\0" PAUSE "\0{\"method\":\"io.azsync.Nope\"}";
        Fixture *f = *state;
        _cleanup_client_ Client c = client_open(f);

        for (unsigned round = 0; round < 2; round++) {
                if (round == 0)
                        client_send(&c, three, sizeof(three));
                else
                        for (size_t i = 0; i < sizeof(three); i++) {
                                client_send(&c, three + i, 1);
                                turn(f);
                        }
                client_expect(&c, INFO_REPLY);
                client_expect(&c, OK);
                client_expect(&c, "{\"error\":\"org.varlink.service.MethodNotFound\",\"parameters\":{\"method\":\"io."
                                  "azsync.Nope\"}}");
        }
        assert_int_equal(f->engine.n_verbs, 2);
}

static void test_wait(void **state) {
        Fixture *f = *state;
        _cleanup_client_ Client c = client_open(f);

        client_ask(&c, WAIT_ALL);
        client_ask(&c, PAUSE); /* waits for its turn */
        PUMP(f, f->engine.waits);
        quiet(f);
        assert_int_equal(f->engine.n_verbs, 0);
        fake_answer_waits(&f->engine, WAIT_IN_SYNC, NULL);
        client_expect(&c, IN_SYNC);
        client_expect(&c, OK);

        client_ask(&c, "{\"method\":\"io.azsync.Wait\",\"parameters\":{\"mappings\":[\"photos\",\"empty\"],\"timeout_"
                       "s\":1000}}");
        PUMP(f, f->engine.waits);
        fake_answer_waits(&f->engine, WAIT_HOPELESS, "photos: 1 failed");
        client_expect(&c, "{\"parameters\":{\"result\":\"stuck\",\"why\":\"photos: 1 failed\"}}");

        client_ask(&c, "{\"method\":\"io.azsync.Wait\",\"parameters\":{\"timeout_s\":0.01}}");
        client_expect(&c, "{\"parameters\":{\"result\":\"timed_out\",\"why\":\"\"}}");
        assert_int_equal(f->engine.n_cancelled, 1);

        client_ask(&c, "{\"method\":\"io.azsync.Wait\",\"parameters\":{\"mappings\":[\"photos\",\"nope\"]}}");
        client_expect(&c, NO_SUCH);
        assert_int_equal(f->engine.n_waits, 3);
}

/* A wait ends with the client who asked; but one who only has nothing more to say still gets his answer. */
static void test_wait_client_leaves(void **state) {
        Fixture *f = *state;
        _cleanup_client_ Client c = client_open(f), half = client_open(f);

        client_ask(&c, WAIT_ALL);
        client_ask(&half, WAIT_ALL);
        assert_int_equal(shutdown(half.fd, SHUT_WR), 0);
        PUMP(f, f->engine.n_waits == 2);
        client_close(&c);
        PUMP(f, f->engine.n_cancelled == 1);
        quiet(f);
        fake_answer_waits(&f->engine, WAIT_IN_SYNC, NULL);
        client_expect(&half, IN_SYNC);
        client_expect_end(&half);
}

/* The engine answers waits of others from within what one client asks for. */
static void test_wait_ended_by_another(void **state) {
        Fixture *f = *state;
        _cleanup_client_ Client waiting = client_open(f), gone = client_open(f), pausing = client_open(f);

        f->engine.pause_ends_waits = true;
        client_ask(&waiting, WAIT_ALL);
        client_ask(&gone, WAIT_ALL);
        PUMP(f, f->engine.n_waits == 2);
        client_ask(&pausing, PAUSE);
        client_close(&gone);
        client_expect(&pausing, OK);
        client_expect(&waiting, "{\"parameters\":{\"result\":\"stuck\",\"why\":\"paused\"}}");
}

static void test_server_goes_with_waits(void **state) {
        Fixture *f = *state;
        _cleanup_client_ Client c = client_open(f), w = client_open(f);

        client_ask(&c, WAIT_ALL);
        client_ask(&w, WATCH);
        (void) client_next_files(&w);
        PUMP(f, f->engine.waits);
        f->server = server_free(f->server);
        assert_int_equal(f->engine.n_cancelled, 1);
        client_expect_end(&c);
        client_expect_end(&w);
}

static void test_watch(void **state) {
        Fixture *f = *state;
        _cleanup_client_ Client c = client_open(f), d = client_open(f), e = client_open(f);
        unsigned asked;

        client_ask(&c, WATCH);
        assert_int_equal(client_next_files(&c), 0);
        quiet(f);
        fake_change(&f->engine);
        assert_int_equal(client_next_files(&c), 1);

        /* one who comes in between sees what is, not what was made for the last change */
        f->engine.files = 7;
        client_ask(&d, WATCH);
        assert_int_equal(client_next_files(&d), 7);
        f->engine.files = 8;
        client_ask(&e, WATCH);
        assert_int_equal(client_next_files(&e), 8);

        /* many changes at once are one piece of news, made once for all who watch */
        asked = f->engine.n_status;
        for (unsigned i = 0; i < 100; i++)
                fake_change(&f->engine);
        assert_int_equal(client_next_files(&c), 108);
        assert_int_equal(client_next_files(&d), 108);
        assert_int_equal(f->engine.n_status, asked + 1);
}

static void test_watch_ends_with_mapping(void **state) {
        Fixture *f = *state;
        _cleanup_client_ Client c = client_open(f);

        client_ask(&c, "{\"method\":\"io.azsync.Status\",\"more\":true,\"parameters\":{\"mapping\":\"photos\"}}");
        (void) client_next_files(&c);
        f->engine.n_mappings = 1;
        fake_change(&f->engine);
        client_expect(&c, "{\"error\":\"io.azsync.NoSuchMapping\",\"parameters\":{\"mapping\":\"photos\"}}");
        client_ask(&c, INFO);
        client_expect(&c, INFO_REPLY);
}

static void test_verbs(void **state) {
        static const struct {
                const char *method;
                EngineVerb verb;
        } verbs[] = {
                { "Rescan", ENGINE_RESCAN }, { "Retry", ENGINE_RETRY },     { "Pause", ENGINE_PAUSE },
                { "Resume", ENGINE_RESUME }, { "Approve", ENGINE_APPROVE }, { "Reject", ENGINE_REJECT },
        };
        Fixture *f = *state;
        _cleanup_client_ Client c = client_open(f);

        for (size_t i = 0; i < ELEMENTSOF(verbs); i++) {
                char text[128];

                (void) snprintf(text, sizeof(text),
                                "{\"method\":\"io.azsync.%s\",\"parameters\":{\"mapping\":\"photos\"}}",
                                verbs[i].method);
                client_ask(&c, text);
                client_expect(&c, OK);
                assert_int_equal(f->engine.verb, verbs[i].verb);
                assert_string_equal(f->engine.verb_mapping, "photos");
        }
        client_ask(&c, "{\"method\":\"io.azsync.Rescan\"}");
        client_expect(&c, OK);
        assert_string_equal(f->engine.verb_mapping, "(all)");
        client_ask(&c, "{\"method\":\"io.azsync.Pause\",\"parameters\":{\"mapping\":\"nope\"}}");
        client_expect(&c, NO_SUCH);
        f->engine.verb_result = -ESRCH;
        client_ask(&c, "{\"method\":\"io.azsync.Approve\",\"parameters\":{\"mapping\":\"photos\"}}");
        client_expect(&c, "{\"error\":\"io.azsync.NothingToDo\",\"parameters\":{\"message\":\"in words\"}}");
        f->engine.verb_result = -EIO;
        client_ask(&c, PAUSE);
        client_expect(&c, FAILED("in words"));
}

/* A oneway call is done even if the client is gone before it is read, and is never answered. */
static void test_oneway(void **state) {
        Fixture *f = *state;
        _cleanup_client_ Client c = client_open(f), d = client_open(f);

        client_ask(&c, "{\"method\":\"io.azsync.Pause\",\"oneway\":true}");
        client_ask(&c, "{\"method\":\"io.azsync.Wait\",\"oneway\":true}");
        client_ask(&c, "{\"method\":\"io.azsync.Queue\",\"oneway\":true}");
        client_ask(&c, "{\"method\":\"io.azsync.Nope\",\"oneway\":true}");
        client_ask(&c, INFO);
        client_expect(&c, INFO_REPLY);

        client_ask(&d, "{\"method\":\"io.azsync.Rescan\",\"oneway\":true}");
        client_ask(&d, INFO);
        client_ask(&d, "{\"method\":\"io.azsync.Retry\",\"oneway\":true}");
        client_close(&d);
        PUMP(f, f->engine.n_verbs == 3);
        assert_int_equal(f->engine.verb, ENGINE_RETRY);
}

static void test_reload(void **state) {
        Fixture *f = *state;
        _cleanup_client_ Client c = client_open(f);

        client_ask(&c, "{\"method\":\"io.azsync.Reload\"}");
        client_expect(&c, "{\"parameters\":{\"warnings\":[]}}");
        f->reload_report = "a: one\nb: two\n";
        client_ask(&c, "{\"method\":\"io.azsync.Reload\"}");
        client_expect(&c, "{\"parameters\":{\"warnings\":[\"a: one\",\"b: two\"]}}");
        f->reload_result = -EINVAL;
        client_ask(&c, "{\"method\":\"io.azsync.Reload\"}");
        client_expect(&c, "{\"error\":\"io.azsync.ReloadFailed\",\"parameters\":{\"errors\":[\"a: one\",\"b: two\"]}}");
        f->reload_report = "";
        client_ask(&c, "{\"method\":\"io.azsync.Reload\"}");
        client_expect(&c, "{\"error\":\"io.azsync.ReloadFailed\",\"parameters\":{\"errors\":[\"first complaint\"]}}");
        assert_int_equal(f->n_reloads, 4);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_service),
                TEST(test_status),
                TEST(test_refused_reload),
                TEST(test_pieces),
                TEST(test_wait),
                TEST(test_wait_client_leaves),
                TEST(test_wait_ended_by_another),
                TEST(test_server_goes_with_waits),
                TEST(test_watch),
                TEST(test_watch_ends_with_mapping),
                TEST(test_verbs),
                TEST(test_oneway),
                TEST(test_reload),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
