#include "control/server.h"

#include "azsyncd/control.h"
#include "control/address.h"
#include "fake-engine.h"
#include "util/clock.h"

#include <fcntl.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define PATIENCE_NS (20 * NSEC_PER_SEC) /* for what has to come; nothing is asserted about how fast */

static const FakeMapping mappings[] = {
        { "documents", 1234, 0, "dir/secret: gone" },
        { "empty", 0, 0, NULL },
        { "photos", 700, 0, NULL },
};

typedef struct Fixture {
        char base[64], dir[128];
        sd_event *loop;
        Engine engine;
        Server *server;
        int reload_result;
        const char *reload_report;
        unsigned n_reloads;
} Fixture;

static int on_reload(Buf *report, Error *e, void *userdata) {
        Fixture *f = userdata;

        f->n_reloads++;
        assert_int_equal(buf_puts(report, f->reload_report), 0);
        return f->reload_result < 0 ? error_set(e, f->reload_result, ERROR_CONFIG, 3, "first complaint") : 0;
}

static int serve(Fixture *f, const ServerOptions *limits, Server **ret, Error *e) {
        ServerOptions o = {
                .runtime_dir = f->dir,
                .engine = &f->engine,
                .reload = on_reload,
                .userdata = f,
                .idle_ns = limits ? limits->idle_ns : 0,
                .stuck_ns = limits ? limits->stuck_ns : 0,
        };

        return server_new(ret, f->loop, &o, e);
}

static void serve_anew(Fixture *f, const ServerOptions *limits) {
        Error e = ERROR_NULL;

        f->server = server_free(f->server);
        if (serve(f, limits, &f->server, &e) < 0)
                fail_msg("%s", e.text);
}

static int set_up(void **state) {
        Fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        f->engine.mappings = mappings;
        f->engine.n_mappings = ELEMENTSOF(mappings);
        f->reload_report = "";
        (void) strcpy(f->base, "/tmp/azsync-test-XXXXXX");
        assert_non_null(mkdtemp(f->base));
        assert_int_equal(chmod(f->base, 0755), 0); /* for the stranger */
        (void) snprintf(f->dir, sizeof(f->dir), "%s/run", f->base);
        assert_true(sd_event_new(&f->loop) >= 0);
        serve_anew(f, NULL);
        *state = f;
        return 0;
}

static int tear_down(void **state) {
        Fixture *f = *state;

        server_free(f->server);
        sd_event_unref(f->loop);
        assert_null(f->engine.waits);
        assert_int_equal(rmdir(f->dir), 0); /* nothing is left behind */
        assert_int_equal(rmdir(f->base), 0);
        free(f);
        return 0;
}

static void turn(Fixture *f) {
        assert_true(sd_event_run(f->loop, 20 * 1000) >= 0);
}

#define PUMP(f, condition)                                          \
        do {                                                        \
                int64_t _end = clock_boot() + PATIENCE_NS;          \
                while (!(condition)) {                              \
                        if (clock_boot() > _end)                    \
                                fail_msg("waited: %s", #condition); \
                        turn(f);                                    \
                }                                                   \
        } while (0)

/* --- a client --- */

typedef struct Client {
        Fixture *f;
        int fd;
        Buf in;
        bool eof;
} Client;

static void client_close(Client *c) {
        closep(&c->fd);
        c->fd = -1;
        buf_done(&c->in);
}
#define _cleanup_client_ _cleanup_(client_close)

static Client client_open(Fixture *f) {
        Client c = { .f = f, .in = BUF_INIT(64 * 1024 * 1024) };
        struct sockaddr_un address;

        address_make(&address, f->dir, -1);
        c.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(c.fd >= 0);
        assert_int_equal(connect(c.fd, (const struct sockaddr *) &address, sizeof(address)), 0);
        return c;
}

static void client_send(Client *c, const char *text, size_t size) {
        while (size > 0) {
                ssize_t n = send(c->fd, text, size, MSG_NOSIGNAL | MSG_DONTWAIT);

                if (n < 0 && errno == EAGAIN) {
                        turn(c->f);
                        continue;
                }
                if (n < 0)
                        return; /* hung up: the answer says why */
                text += n;
                size -= (size_t) n;
        }
}

static void client_ask(Client *c, const char *text) {
        client_send(c, text, strlen(text) + 1);
}

/* What has come so far: true if that is a whole message, or the end. */
static bool client_has(Client *c) {
        char chunk[65536];
        ssize_t n;

        if (c->in.size > 0 && memchr(c->in.data, '\0', c->in.size))
                return true;
        n = recv(c->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
        if (n > 0)
                assert_int_equal(buf_append(&c->in, chunk, (size_t) n), 0);
        else if (n == 0 || (errno != EAGAIN && errno != EINTR))
                c->eof = true;
        return c->eof || (c->in.size > 0 && memchr(c->in.data, '\0', c->in.size));
}

/* The next message, or NULL: the server has hung up. */
static json_t *client_next(Client *c) {
        size_t size;
        json_t *message;

        PUMP(c->f, client_has(c));
        if (c->in.size == 0 || !memchr(c->in.data, '\0', c->in.size))
                return NULL;
        size = strlen(c->in.data);
        message = json_loadb(c->in.data, size, 0, NULL);
        assert_non_null(message);
        buf_consume(&c->in, size + 1);
        return message;
}

static void client_expect(Client *c, const char *expected) {
        json_t *got = client_next(c), *want = json_loads(expected, 0, NULL);
        _cleanup_free_ char *text = got ? json_dumps(got, 0) : NULL;

        assert_non_null(want);
        if (!got || !json_equal(got, want))
                fail_msg("expected %s, got %s", expected, text ? text : "the end");
        json_decref(got);
        json_decref(want);
}

static void client_expect_end(Client *c) {
        assert_null(client_next(c));
}

static json_int_t client_next_files(Client *c) {
        json_t *m = client_next(c), *first;
        json_int_t files;

        assert_non_null(m);
        assert_true(json_is_true(json_object_get(m, "continues")));
        first = json_array_get(json_object_get(json_object_get(m, "parameters"), "mappings"), 0);
        files = json_integer_value(json_object_get(first, "files"));
        json_decref(m);
        return files;
}

#define WAIT_ALL "{\"method\":\"io.azsync.Wait\"}"
#define WATCH "{\"method\":\"io.azsync.Status\",\"more\":true}"
#define IN_SYNC "{\"parameters\":{\"result\":\"in_sync\",\"why\":\"\"}}"
#define PAUSE "{\"method\":\"io.azsync.Pause\"}"
#define OK "{\"parameters\":{}}"
#define INFO "{\"method\":\"org.varlink.service.GetInfo\"}"
#define INFO_REPLY                                                                                       \
        "{\"parameters\":{\"vendor\":\"azsyncd\",\"product\":\"azsyncd\",\"version\":\"" AZSYNCD_VERSION \
        "\",\"url\":\"\",\"interfaces\":[\"org.varlink.service\",\"io.azsync\"]}}"
#define NO_SUCH "{\"error\":\"io.azsync.NoSuchMapping\",\"parameters\":{\"mapping\":\"nope\"}}"
#define FAILED(text) "{\"error\":\"io.azsync.Failed\",\"parameters\":{\"message\":\"" text "\"}}"

/* --- tests --- */

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
        assert_null(f->engine.listener);
        client_expect_end(&c);
        client_expect_end(&w);
}

static void test_watch(void **state) {
        Fixture *f = *state;
        _cleanup_client_ Client c = client_open(f), d = client_open(f);
        unsigned asked;

        client_ask(&c, WATCH);
        assert_int_equal(client_next_files(&c), 0);
        fake_change(&f->engine);
        assert_int_equal(client_next_files(&c), 1);

        /* one who comes in between sees what is, not what was made for the last change */
        f->engine.files = 7;
        client_ask(&d, WATCH);
        assert_int_equal(client_next_files(&d), 7);

        /* many changes at once are one piece of news, made once for all who watch */
        asked = f->engine.n_status;
        for (unsigned i = 0; i < 100; i++)
                fake_change(&f->engine);
        assert_int_equal(client_next_files(&c), 107);
        assert_int_equal(client_next_files(&d), 107);
        assert_int_equal(f->engine.n_status, asked + 1);
}

/* A client that does not read: the kernel's buffer fills, then one reply waits, and nothing more is even asked for. */
static void test_watch_unread(void **state) {
        Fixture *f = *state;
        _cleanup_client_ Client c = client_open(f), d = client_open(f);
        _cleanup_free_ char *name = malloc(40001);
        FakeMapping big = { name, 0, 0, NULL };
        unsigned asked, told = 0;
        int64_t last = -1;

        assert_non_null(name);
        memset(name, 'n', 40000);
        name[40000] = '\0';
        f->engine.mappings = &big;
        f->engine.n_mappings = 1;
        client_ask(&c, WATCH);
        PUMP(f, f->engine.n_status == 1);
        for (;;) { /* until it is full: a whole round of news without one for him */
                asked = f->engine.n_status;
                fake_change(&f->engine);
                for (unsigned i = 0; i < 12 && f->engine.n_status == asked; i++)
                        turn(f);
                if (f->engine.n_status == asked)
                        break;
                assert_true(++told < 1000);
        }
        client_ask(&d, WATCH); /* others are served */
        assert_int_equal(client_next_files(&d), (int64_t) f->engine.files);
        /* when he reads again, he gets what was on the way, and then the present */
        while (last != (int64_t) f->engine.files) {
                int64_t files = client_next_files(&c);

                assert_true(files > last);
                last = files;
        }
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

typedef struct Pages {
        unsigned n, pages, biggest;
        char mapping[32];
        unsigned next; /* number that the next path has to begin with */
} Pages;

static void take_page(Pages *p, json_t *items) {
        unsigned n = (unsigned) json_array_size(items);

        p->n += n;
        p->pages++;
        p->biggest = MAX(p->biggest, n);
        for (unsigned i = 0; i < n; i++) {
                json_t *item = json_array_get(items, i);
                const char *mapping = json_string_value(json_object_get(item, "mapping"));

                if (strcmp(mapping, p->mapping) != 0) {
                        assert_true(strcmp(mapping, p->mapping) > 0);
                        (void) snprintf(p->mapping, sizeof(p->mapping), "%s", mapping);
                        p->next = 0;
                }
                assert_int_equal(strtoul(json_string_value(json_object_get(item, "path")), NULL, 10), p->next);
                p->next++;
        }
}

static Pages client_queue(Client *c, const char *request) {
        Pages p = { 0 };

        client_ask(c, request);
        for (;;) {
                json_t *m = client_next(c);
                bool more = json_is_true(json_object_get(m, "continues"));

                take_page(&p, json_object_get(json_object_get(m, "parameters"), "items"));
                assert_true(json_is_null(json_object_get(json_object_get(m, "parameters"), "next")));
                json_decref(m);
                if (!more)
                        return p;
        }
}

static void test_queue(void **state) {
        Fixture *f = *state;
        _cleanup_client_ Client c = client_open(f);
        Pages p = client_queue(&c, "{\"method\":\"io.azsync.Queue\",\"more\":true}");

        assert_int_equal(p.n, 1934);
        assert_int_equal(p.biggest, 500);
        assert_int_equal(p.pages, 4);
        p = client_queue(&c, "{\"method\":\"io.azsync.Queue\",\"more\":true,\"parameters\":{\"mapping\":\"photos\"}}");
        assert_int_equal(p.n, 700);
        p = client_queue(&c, "{\"method\":\"io.azsync.Queue\",\"parameters\":{\"mapping\":\"empty\"}}");
        assert_int_equal(p.n, 0);
        client_ask(&c, "{\"method\":\"io.azsync.Queue\",\"parameters\":{\"mapping\":\"nope\"}}");
        client_expect(&c, NO_SUCH);
        client_ask(&c, "{\"method\":\"io.azsync.Queue\",\"parameters\":{\"after\":\"nope\"}}");
        client_expect(&c, "{\"error\":\"org.varlink.service.InvalidParameter\",\"parameters\":{\"parameter\":\"after\"}"
                          "}");
        f->engine.n_mappings = 0;
        p = client_queue(&c, "{\"method\":\"io.azsync.Queue\",\"more\":true}");
        assert_int_equal(p.n, 0);
}

/* Page by page with the cursor, on a connection of its own each. */
static void test_queue_cursor(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *after = NULL;
        Pages p = { 0 };

        do {
                _cleanup_client_ Client c = client_open(f);
                _cleanup_free_ char *request = NULL;
                json_t *m = json_pack("{s:s, s:{s:s?}}", "method", "io.azsync.Queue", "parameters", "after", after);
                const char *next;

                request = json_dumps(m, 0);
                json_decref(m);
                client_ask(&c, request);
                m = client_next(&c);
                assert_null(json_object_get(m, "continues"));
                take_page(&p, json_object_get(json_object_get(m, "parameters"), "items"));
                next = json_string_value(json_object_get(json_object_get(m, "parameters"), "next"));
                free(after);
                after = next ? strdup(next) : NULL;
                json_decref(m);
                if (p.pages == 1)
                        f->engine.mappings = mappings + 1, f->engine.n_mappings = 2; /* `documents` is reloaded away */
        } while (after);
        assert_int_equal(p.n, 500 + 700);
        assert_int_equal(p.pages, 3);
}

/* A page is bounded in bytes too, and is made only when the last one was written out. */
static void test_queue_unread(void **state) {
        static const FakeMapping deep[] = { { "deep", 300, 20000, NULL }, { "flat", 3, 0, NULL } };
        Fixture *f = *state;
        _cleanup_client_ Client c = client_open(f), d = client_open(f);
        Pages p = { 0 };
        bool more = true;

        f->engine.mappings = deep;
        f->engine.n_mappings = 2;
        client_ask(&c, "{\"method\":\"io.azsync.Queue\",\"more\":true}");
        for (unsigned i = 0; i < 10; i++) {
                client_ask(&d, INFO); /* others are served */
                client_expect(&d, INFO_REPLY);
        }
        assert_true(f->engine.n_queue <= 2);
        while (more) {
                json_t *m = client_next(&c);

                more = json_is_true(json_object_get(m, "continues"));
                take_page(&p, json_object_get(json_object_get(m, "parameters"), "items"));
                json_decref(m);
        }
        assert_int_equal(p.n, 303);
        assert_true(p.biggest < 20);
}

static void test_queue_client_leaves(void **state) {
        static const FakeMapping deep = { "deep", 3000, 20000, NULL };
        Fixture *f = *state;
        _cleanup_client_ Client c = client_open(f), d = client_open(f);

        f->engine.mappings = &deep;
        f->engine.n_mappings = 1;
        client_ask(&c, "{\"method\":\"io.azsync.Queue\",\"more\":true}");
        PUMP(f, client_has(&c));
        client_close(&c);
        client_ask(&d, INFO);
        client_expect(&d, INFO_REPLY);
        assert_true(f->engine.n_queue < 10);
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

/* Pitfalls 11.9: what is not Varlink, or too long, is told so and shown out. */
static void test_hostile(void **state) {
        Fixture *f = *state;
        _cleanup_client_ Client garbage = client_open(f), endless = client_open(f), good = client_open(f);
        _cleanup_free_ char *much = malloc(2 * AZSYNC_REQUEST_MAX);

        assert_non_null(much);
        memset(much, '{', 2 * AZSYNC_REQUEST_MAX);
        client_ask(&garbage, "GET / HTTP/1.1\r\n\r\n");
        client_ask(&garbage, INFO);
        client_expect(&garbage, FAILED("this is not a Varlink call"));
        client_expect_end(&garbage);
        client_send(&endless, much, 2 * AZSYNC_REQUEST_MAX);
        client_expect(&endless, FAILED("the request is longer than 64 KiB"));
        client_expect_end(&endless);
        client_ask(&good, INFO);
        client_expect(&good, INFO_REPLY);
}

/* A client that asks and asks and never reads holds one answer; when it reads, none is missing. */
static void test_asks_without_reading(void **state) {
        Fixture *f = *state;
        _cleanup_client_ Client c = client_open(f), d = client_open(f);
        static const char request[] = "{\"method\":\"io.azsync.Status\"}";
        unsigned sent = 0;

        for (unsigned full = 0; full < 50;) { /* until nothing moves any more */
                if (send(c.fd, request, sizeof(request), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
                        full++;
                else
                        sent++;
                turn(f);
        }
        assert_true(f->engine.n_status < sent);
        client_ask(&d, INFO);
        client_expect(&d, INFO_REPLY);
        for (unsigned i = 0; i < sent; i++) {
                json_t *m = client_next(&c);

                assert_non_null(m);
                json_decref(m);
        }
}

static void test_crowd(void **state) {
        Fixture *f = *state;
        Client crowd[SERVER_PEERS_MAX];

        for (size_t i = 0; i < SERVER_PEERS_MAX; i++) {
                crowd[i] = client_open(f);
                client_ask(&crowd[i], INFO);
                client_expect(&crowd[i], INFO_REPLY);
        }
        {
                _cleanup_client_ Client late = client_open(f);

                client_expect(&late, FAILED("too many clients; try again later"));
                client_expect_end(&late);
        }
        client_close(&crowd[5]);
        for (unsigned i = 0;; i++) { /* his place is free as soon as he is seen to have left */
                _cleanup_client_ Client late = client_open(f);
                json_t *m;
                bool ok;

                client_ask(&late, INFO);
                m = client_next(&late);
                ok = json_object_get(m, "error") == NULL;
                json_decref(m);
                if (ok)
                        break;
                assert_true(i < 100);
        }
        for (size_t i = 0; i < SERVER_PEERS_MAX; i++)
                client_close(&crowd[i]);
}

static void test_time_limits(void **state) {
        Fixture *f = *state;

        serve_anew(f, &(ServerOptions){ .idle_ns = 30 * NSEC_PER_MSEC, .stuck_ns = 3600 * NSEC_PER_SEC });
        {
                _cleanup_client_ Client waiting = client_open(f), watching = client_open(f);

                client_ask(&waiting, WAIT_ALL);
                client_ask(&watching, WATCH);
                (void) client_next_files(&watching);
                PUMP(f, f->engine.waits);
                for (unsigned i = 0; i < 3; i++) { /* others come, say nothing, and are shown out meanwhile */
                        _cleanup_client_ Client idle = client_open(f);

                        client_expect_end(&idle);
                }
                fake_answer_waits(&f->engine, WAIT_IN_SYNC, NULL);
                client_expect(&waiting, IN_SYNC);
                client_expect_end(&waiting);
                fake_change(&f->engine);
                assert_int_equal(client_next_files(&watching), 1);
        }

        serve_anew(f, &(ServerOptions){ .idle_ns = 3600 * NSEC_PER_SEC, .stuck_ns = 30 * NSEC_PER_MSEC });
        {
                static const FakeMapping deep = { "deep", 300, 20000, NULL };
                _cleanup_client_ Client slow = client_open(f), deaf = client_open(f), fine = client_open(f);

                client_ask(&fine, INFO);
                client_expect(&fine, INFO_REPLY);
                client_send(&slow, "{\"meth", 6);
                for (int64_t end = clock_boot() + PATIENCE_NS; !client_has(&slow);) { /* trickling does not help */
                        assert_true(clock_boot() < end);
                        client_send(&slow, " ", 1);
                        turn(f);
                }
                client_expect_end(&slow);
                f->engine.mappings = &deep;
                f->engine.n_mappings = 1;
                client_ask(&deaf, "{\"method\":\"io.azsync.Queue\",\"more\":true}");
                PUMP(f, f->engine.n_queue > 0);
                client_ask(&fine, WAIT_ALL);
                for (unsigned i = 0; i < 3; i++) { /* others are stuck later than he */
                        _cleanup_client_ Client later = client_open(f);

                        client_send(&later, "{", 1);
                        client_expect_end(&later);
                }
                assert_int_equal(f->engine.n_queue, 1); /* still the first page, and then the end */
                for (json_t *m; (m = client_next(&deaf));)
                        json_decref(m);
                assert_true(f->engine.n_queue <= 2);
                fake_answer_waits(&f->engine, WAIT_IN_SYNC, NULL);
                client_expect(&fine, IN_SYNC);
        }
}

/* Root and our own user may do all; the socket's group sees states and counts. */
static void test_stranger(void **state) {
        static const char *const denied[] = { "Queue", "Rescan", "Retry", "Pause", "Resume", "Reload" };
        Fixture *f = *state;
        json_t *m, *list, *one;
        Client c;

        if (geteuid() != 0)
                skip();
        assert_int_equal(seteuid(65534), 0); /* what connect() leaves for SO_PEERCRED */
        c = client_open(f);
        assert_int_equal(seteuid(0), 0);

        for (size_t i = 0; i < ELEMENTSOF(denied); i++) {
                char text[128];

                (void) snprintf(text, sizeof(text), "{\"method\":\"io.azsync.%s\"}", denied[i]);
                client_ask(&c, text);
                client_expect(&c,
                              "{\"error\":\"io.azsync.PermissionDenied\",\"parameters\":{\"message\":\"only root and "
                              "the user that azsyncd runs as may do this\"}}");
        }
        client_ask(&c, "{\"method\":\"io.azsync.Pause\",\"oneway\":true}");
        client_ask(&c, INFO);
        client_expect(&c, INFO_REPLY);
        assert_int_equal(f->engine.n_verbs + f->n_reloads + f->engine.n_queue, 0);

        client_ask(&c, "{\"method\":\"io.azsync.Status\",\"parameters\":{\"mapping\":\"documents\"}}");
        m = client_next(&c);
        list = json_object_get(json_object_get(m, "parameters"), "mappings");
        one = json_array_get(list, 0);
        assert_string_equal(json_string_value(json_object_get(one, "last_error")), "");
        one = json_array_get(json_object_get(one, "in_flight"), 0);
        assert_string_equal(json_string_value(json_object_get(one, "path")), "");
        assert_int_equal(json_integer_value(json_object_get(one, "size")), 2);
        json_decref(m);

        client_ask(&c, WATCH); /* the news for him are not those for root */
        {
                _cleanup_client_ Client root = client_open(f);

                client_ask(&root, WATCH);
                (void) client_next_files(&root);
                (void) client_next_files(&c);
                fake_change(&f->engine);
                PUMP(f, client_has(&root) && client_has(&c));
                assert_non_null(strstr(root.in.data, "secret"));
                assert_null(strstr(c.in.data, "secret"));
        }
        client_close(&c);
}

/* Pitfalls 11.9, and: a socket of a dead daemon is replaced, a live one is not taken away. */
static void test_socket(void **state) {
        Fixture *f = *state;
        Server *second = NULL;
        Error e = ERROR_NULL;
        struct sockaddr_un address;
        struct stat st;
        char path[256];
        int fd;

        (void) snprintf(path, sizeof(path), "%s/%s", f->dir, AZSYNC_SOCKET_NAME);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode, S_IFSOCK | 0660);
        assert_int_equal(stat(f->dir, &st), 0);
        assert_int_equal(st.st_mode & 022, 0);

        assert_int_equal(serve(f, NULL, &second, &e), -EADDRINUSE);
        assert_non_null(strstr(e.text, "another azsyncd is running"));
        assert_int_equal(stat(path, &st), 0);
        f->server = server_free(f->server);
        assert_int_equal(stat(path, &st), -1);

        /* somebody listens there without our lock */
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        address_make(&address, f->dir, -1);
        assert_int_equal(bind(fd, (const struct sockaddr *) &address, sizeof(address)), 0);
        assert_int_equal(listen(fd, 0), 0);
        assert_int_equal(serve(f, NULL, &second, &e), -EADDRINUSE);
        assert_int_equal(serve(f, NULL, &second, &e), -EADDRINUSE); /* its backlog is full now */
        assert_int_equal(close(fd), 0);
        serve_anew(f, NULL); /* and now he is dead */
        {
                _cleanup_client_ Client c = client_open(f);

                client_ask(&c, INFO);
                client_expect(&c, INFO_REPLY);
        }

        f->server = server_free(f->server);
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        (void) close(fd);
        assert_int_equal(serve(f, NULL, &second, &e), -EEXIST);
        assert_int_equal(unlink(path), 0);
        assert_null(second);
}

static void test_long_path(void **state) {
        Fixture *f = *state;
        _cleanup_close_ int dir_fd = -1;
        struct sockaddr_un address;
        Server *s = NULL;
        Error e = ERROR_NULL;
        char dir[300];
        int fd;

        (void) snprintf(dir, sizeof(dir), "%s/%0200d", f->base, 1);
        assert_int_equal(server_new(&s, f->loop, &(ServerOptions){ .runtime_dir = dir, .engine = &f->engine }, &e), 0);
        dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert_true(dir_fd >= 0);
        address_make(&address, dir, dir_fd);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fd, (const struct sockaddr *) &address, sizeof(address)), 0);
        (void) close(fd);
        server_free(s);
        assert_int_equal(rmdir(dir), 0);
}

int main(void) {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(test_service),
                TEST(test_status),
                TEST(test_pieces),
                TEST(test_wait),
                TEST(test_wait_client_leaves),
                TEST(test_wait_ended_by_another),
                TEST(test_server_goes_with_waits),
                TEST(test_watch),
                TEST(test_watch_unread),
                TEST(test_watch_ends_with_mapping),
                TEST(test_queue),
                TEST(test_queue_cursor),
                TEST(test_queue_unread),
                TEST(test_queue_client_leaves),
                TEST(test_verbs),
                TEST(test_oneway),
                TEST(test_reload),
                TEST(test_hostile),
                TEST(test_asks_without_reading),
                TEST(test_crowd),
                TEST(test_time_limits),
                TEST(test_stranger),
                TEST(test_socket),
                TEST(test_long_path),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
