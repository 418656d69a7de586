/* What no client can do to the server, however hostile or slow. */
#include "azsyncd/control.h"
#include "control-fixture.h"
#include "control/address.h"

#include <fcntl.h>
#include <sys/stat.h>

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
                for (unsigned i = 0; i < 50 && f->engine.n_status == asked; i++)
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
                        f->engine.mappings = fixture_mappings + 1,
                        f->engine.n_mappings = 2; /* `documents` is reloaded away */
        } while (after);
        assert_int_equal(p.n, 500 + 700);
        assert_int_equal(p.pages, 3);
}

/* A page is bounded in bytes too, and is made only when the last one was written out. */
static void test_queue_unread(void **state) {
        static const FakeMapping deep[] = { { "deep", 297, 20000, NULL }, { "flat", 3, 0, NULL } };
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
        assert_int_equal(p.n, 300);
        assert_true(p.biggest < 20);
        assert_int_equal(297 % p.biggest, 0); /* or the case of a page that is full where a mapping ends is not met */
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

/* Pitfalls 11.9: what is not Varlink, or too long, is told so and shown out. */
static void test_hostile(void **state) {
        Fixture *f = *state;
        _cleanup_client_ Client garbage = client_open(f), endless = client_open(f), good = client_open(f);
        _cleanup_free_ char *much = malloc((size_t) 2 * AZSYNC_REQUEST_MAX);

        assert_non_null(much);
        memset(much, '{', (size_t) 2 * AZSYNC_REQUEST_MAX);
        client_ask(&garbage, "GET / HTTP/1.1\r\n\r\n");
        client_ask(&garbage, INFO);
        client_expect(&garbage, FAILED("this is not a Varlink call"));
        client_expect_end(&garbage);
        client_send(&endless, much, (size_t) 2 * AZSYNC_REQUEST_MAX);
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

        for (unsigned full = 0; full < 20;) { /* until nothing moves any more */
                for (unsigned i = 0; i < 100; i++)
                        if (send(c.fd, request, sizeof(request), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
                                full++;
                                break;
                        } else {
                                sent++;
                        }
                for (unsigned i = 0; i < 100; i++)
                        assert_true(sd_event_run(f->loop, 0) >= 0);
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

/* However many strangers there are, root finds room. */
static void test_crowd_of_strangers(void **state) {
        Fixture *f = *state;
        Client crowd[SERVER_STRANGERS_MAX];

        if (geteuid() != 0)
                skip();
        for (size_t i = 0; i <= SERVER_STRANGERS_MAX; i++) {
                Client c;

                assert_int_equal(seteuid(65534), 0);
                c = client_open(f);
                assert_int_equal(seteuid(0), 0);
                client_ask(&c, INFO);
                if (i < SERVER_STRANGERS_MAX) {
                        client_expect(&c, INFO_REPLY);
                        crowd[i] = c;
                } else {
                        client_expect(&c, FAILED("too many clients; try again later"));
                        client_close(&c);
                }
        }
        {
                _cleanup_client_ Client root = client_open(f);

                client_ask(&root, INFO);
                client_expect(&root, INFO_REPLY);
        }
        for (size_t i = 0; i < SERVER_STRANGERS_MAX; i++)
                client_close(&crowd[i]);
}

static void test_time_limits(void **state) {
        Fixture *f = *state;

        fixture_serve_anew(f, &(ServerOptions){ .idle_ns = 30 * NSEC_PER_MSEC, .stuck_ns = 3600 * NSEC_PER_SEC });
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

        fixture_serve_anew(f, &(ServerOptions){ .idle_ns = 3600 * NSEC_PER_SEC, .stuck_ns = 30 * NSEC_PER_MSEC });
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

static void hold_up_the_loop(void) {
        const struct timespec longer = { .tv_nsec = 100 * NSEC_PER_MSEC };

        (void) nanosleep(&longer, NULL);
}

/* Time that the loop itself has lost is no client's fault: what it has asked, and what it would take, is seen first. */
static void test_time_lost_by_us(void **state) {
        Fixture *f = *state;
        Client c[16];

        fixture_serve_anew(f, &(ServerOptions){ .idle_ns = 30 * NSEC_PER_MSEC, .stuck_ns = 3600 * NSEC_PER_SEC });
        for (size_t i = 0; i < ELEMENTSOF(c); i++) {
                c[i] = client_open(f);
                client_ask(&c[i], INFO);
        }
        for (size_t i = 0; i < ELEMENTSOF(c); i++)
                turn(f); /* one is let in, or answered */
        hold_up_the_loop();
        for (size_t i = 0; i < ELEMENTSOF(c); i++)
                client_expect(&c[i], INFO_REPLY);
        for (size_t i = 0; i < ELEMENTSOF(c); i++)
                client_close(&c[i]);

        fixture_serve_anew(f, &(ServerOptions){ .idle_ns = 3600 * NSEC_PER_SEC, .stuck_ns = 30 * NSEC_PER_MSEC });
        for (size_t i = 0; i < ELEMENTSOF(c); i++) {
                c[i] = client_open(f);
                client_ask(&c[i], WAIT_ALL);
        }
        PUMP(f, f->engine.n_waits == ELEMENTSOF(c));
        fake_answer_waits(&f->engine, WAIT_IN_SYNC, NULL);
        hold_up_the_loop();
        for (size_t i = 0; i < ELEMENTSOF(c); i++)
                client_expect(&c[i], IN_SYNC);
        for (size_t i = 0; i < ELEMENTSOF(c); i++)
                client_close(&c[i]);
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
                server_reloaded(f->server, "m.yaml:1:1: private");
                fake_change(&f->engine);
                PUMP(f, client_has(&root) && client_has(&c));
                assert_non_null(strstr(root.in.data, "secret"));
                assert_null(strstr(c.in.data, "secret"));
                assert_non_null(strstr(root.in.data, "private"));
                assert_null(strstr(c.in.data, "private"));
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

        assert_int_equal(fixture_serve(f, NULL, &second, &e), -EADDRINUSE);
        assert_non_null(strstr(e.text, "another azsyncd is running"));
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(unlink(path), 0); /* whoever tidies up there does not make room for a second one */
        assert_int_equal(fixture_serve(f, NULL, &second, &e), -EADDRINUSE);
        f->server = server_free(f->server);
        assert_int_equal(stat(path, &st), -1);

        /* somebody listens there without our lock */
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        address_make(&address, f->dir, -1);
        assert_int_equal(bind(fd, (const struct sockaddr *) &address, sizeof(address)), 0);
        assert_int_equal(listen(fd, 0), 0);
        assert_int_equal(fixture_serve(f, NULL, &second, &e), -EADDRINUSE);
        assert_int_equal(fixture_serve(f, NULL, &second, &e), -EADDRINUSE); /* its backlog is full now */
        assert_int_equal(close(fd), 0);
        fixture_serve_anew(f, NULL); /* and now he is dead */
        {
                _cleanup_client_ Client c = client_open(f);

                client_ask(&c, INFO);
                client_expect(&c, INFO_REPLY);
        }

        f->server = server_free(f->server);
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        (void) close(fd);
        assert_int_equal(fixture_serve(f, NULL, &second, &e), -EEXIST);
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
        const struct CMUnitTest tests[] = {
                TEST(test_watch_unread),
                TEST(test_queue),
                TEST(test_queue_cursor),
                TEST(test_queue_unread),
                TEST(test_queue_client_leaves),
                TEST(test_hostile),
                TEST(test_asks_without_reading),
                TEST(test_crowd),
                TEST(test_crowd_of_strangers),
                TEST(test_time_limits),
                TEST(test_time_lost_by_us),
                TEST(test_stranger),
                TEST(test_socket),
                TEST(test_long_path),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
