/* What a peer may answer, and what we send. */
#include "asking.h"

/* --- answers that are not what they should be (pitfalls 10.1, 10.2, 10.3, 10.9) --- */

#define RESET 1 /* afterwards, instead of closing */
#define KEEP 2  /* leave it open */

static const struct Cut {
        const char *name, *answer;
        int after;
        CURLcode result, or_result;
        long status;
        const char *body;
} cuts[] = {
        { "whole", "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok", KEEP, CURLE_OK, CURLE_OK, 201, "ok" },
        { "chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", KEEP, CURLE_OK,
          CURLE_OK, 200, "ok" },
        { "until-close", "HTTP/1.1 200 OK\r\n\r\nok", 0, CURLE_OK, CURLE_OK, 200, "ok" },
        { "old", "HTTP/1.0 200 OK\r\n\r\nok", 0, CURLE_OK, CURLE_OK, 200, "ok" },
        { "lf", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", KEEP, CURLE_OK, CURLE_OK, 200, "ok" },
        { "none", "HTTP/1.1 204 No Content\r\n\r\n", KEEP, CURLE_OK, CURLE_OK, 204, "" },
        { "interim", "HTTP/1.1 100 Continue\r\nETag: \"no\"\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
          KEEP, CURLE_OK, CURLE_OK, 201, "" },
        { "hints", "HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\nHTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy", KEEP,
          CURLE_OK, CURLE_OK, 503, "busy" },
        { "trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nETag: \"no\"\r\n\r\n", KEEP,
          CURLE_OK, CURLE_OK, 200, "ok" },
        { "redirect", "HTTP/1.1 307 Elsewhere\r\nLocation: /whole\r\nContent-Length: 0\r\n\r\n", KEEP, CURLE_OK,
          CURLE_OK, 307, "" },
        { "unauthorized", "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n", KEEP,
          CURLE_OK, CURLE_OK, 401, "" },
        /* below: never CURLE_OK, and no status before the header was whole */
        { "nothing", "", 0, CURLE_GOT_NOTHING, CURLE_RECV_ERROR, 0, "" },
        { "nothing-reset", "", RESET, CURLE_RECV_ERROR, CURLE_RECV_ERROR, 0, "" },
        { "cut-status", "HTTP/1.1 20", 0, CURLE_PARTIAL_FILE, CURLE_GOT_NOTHING, 0, "" },
        { "cut-line", "HTTP/1.1 201 Created\r\nETag: \"0x8D", 0, CURLE_PARTIAL_FILE, CURLE_PARTIAL_FILE, 0, "" },
        { "cut-lines", "HTTP/1.1 201 Created\r\nETag: \"0x8D\"\r\n", 0, CURLE_PARTIAL_FILE, CURLE_PARTIAL_FILE, 0, "" },
        { "cut-interim", "HTTP/1.1 100 Continue\r\n\r\n", 0, CURLE_PARTIAL_FILE, CURLE_GOT_NOTHING, 0, "" },
        { "cut-body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok", 0, CURLE_PARTIAL_FILE, CURLE_PARTIAL_FILE, 200,
          "ok" },
        { "cut-chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok", 0, CURLE_PARTIAL_FILE,
          CURLE_RECV_ERROR, 200, "ok" },
        { "cut-last", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", 0, CURLE_PARTIAL_FILE,
          CURLE_RECV_ERROR, 200, "ok" },
        { "bad-chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", KEEP, CURLE_RECV_ERROR,
          CURLE_WRITE_ERROR, 200, "" },
        { "garbage", "SSH-2.0-OpenSSH_9.2\r\n\r\n", 0, CURLE_UNSUPPORTED_PROTOCOL, CURLE_WEIRD_SERVER_REPLY, 0, "" },
        { "bad-length", "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", KEEP, CURLE_FILESIZE_EXCEEDED,
          CURLE_WEIRD_SERVER_REPLY, 0, "" },
};

static bool play_cut(Peer *p) {
        for (size_t i = 0; i < ELEMENTSOF(cuts); i++)
                if (strcmp(cuts[i].name, p->name) == 0) {
                        (void) peer_body(p);
                        (void) peer_say(p, cuts[i].answer);
                        return cuts[i].after == RESET ? peer_reset(p) : cuts[i].after == KEEP;
                }
        return false;
}

static void answers(void **state) {
        server_start(&server, play_cut);
        for (size_t i = 0; i < ELEMENTSOF(cuts); i++) {
                const struct Cut *c = &cuts[i];
                Outcome o;
                char value[16];

                http_pool_drop_idle(pool); /* each on a connection of its own: no repeats */
                o = once(&(HttpSend){ .url = url(c->name), .body = "12345", .body_size = 5 });
                if (o.result != c->result && o.result != c->or_result)
                        fail_msg("%s: %d %s", c->name, o.result, o.error);
                assert_int_equal(o.status, c->status);
                assert_string_equal(o.body, c->body);
                assert_true(o.sent);
                assert_int_equal(o.body_sent, 5);
                if (c->result == CURLE_OK)
                        assert_int_equal(http_header(o.headers, "ETag", value, sizeof(value)), -ENOENT);
        }
        server_stop(&server);
        assert_int_equal(server.n_requests, ELEMENTSOF(cuts)); /* none was followed or repeated */
}

static bool play_flood(Peer *p) {
        static const char line[] = "X-Flood: 0123456789012345678901234567890123456789\r\n";
        static const char interim[] = "HTTP/1.1 102 Processing\r\n\r\n";
        bool going = peer_body(p);

        if (strcmp(p->name, "lines") == 0) {
                going &= peer_say(p, "HTTP/1.1 200 OK\r\n");
                while (going)
                        going = peer_say(p, line);
        } else if (strcmp(p->name, "line") == 0) {
                going &= peer_say(p, "HTTP/1.1 200 OK\r\nX: ");
                while (going)
                        going = peer_say_bytes(p, "01234567", 8);
        } else if (strcmp(p->name, "interims") == 0) {
                while (going)
                        going = peer_say(p, interim);
        } else {
                going &= peer_say(p, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n");
                while (going)
                        going = peer_say(p, line);
        }
        return false;
}

static bool play_bodies(Peer *p) {
        static const char some[4096] = "body";
        bool going = peer_body(p) &&
                     peer_say(p, strcmp(p->name, "error") == 0 ? "HTTP/1.1 500 No\r\n\r\n" : "HTTP/1.1 200 OK\r\n\r\n");

        while (going)
                going = peer_say_bytes(p, some, sizeof(some));
        return false;
}

/* pitfalls 10.9: each of these peers sends without an end. That the test ends at all is the point. */
static void floods(void **state) {
        static const char *const names[] = { "lines", "line", "interims", "trailers" };

        server_start(&server, play_flood);
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                Outcome o = once(&(HttpSend){ .method = "GET", .url = url(names[i]) });

                assert_int_not_equal(o.result, CURLE_OK);
        }
}

static int count_bytes(const char *bytes, size_t size, void *userdata) {
        *(uint64_t *) userdata += size;
        return *(uint64_t *) userdata > 1000000 ? -ECANCELED : 0;
}

static uint64_t sunk;

static int sink(const char *bytes, size_t size, void *userdata) {
        return count_bytes(bytes, size, &sunk);
}

static void endless_bodies(void **state) {
        Outcome o;

        server_start(&server, play_bodies);
        o = once(&(HttpSend){ .method = "GET" });
        assert_int_equal(o.result, CURLE_WRITE_ERROR);
        assert_int_equal(o.status, 200);
        assert_true(o.body_size <= (size_t) 64 * 1024);

        o = once(&(HttpSend){ .method = "GET", .max_answer = 300000 });
        assert_int_equal(o.result, CURLE_WRITE_ERROR);
        assert_in_range(o.body_size, 200000, 300000);

        o = once(&(HttpSend){
                .method = "GET", .max_answer = 3000000, .url = url("error") }); /* for the good case only */
        assert_int_equal(o.result, CURLE_WRITE_ERROR);
        assert_int_equal(o.status, 500);
        assert_true(o.body_size <= (size_t) 64 * 1024);

        sunk = 0;
        o = once(&(HttpSend){ .method = "GET", .sink = sink }); /* which has enough after 1,000,000 */
        assert_int_equal(o.result, CURLE_WRITE_ERROR);
        assert_true(sunk > 1000000);
        assert_int_equal(o.body_size, 0);

        sunk = 0;
        o = once(&(HttpSend){ .method = "GET", .sink = sink, .max_answer = 100000 });
        assert_int_equal(o.result, CURLE_WRITE_ERROR);
        assert_true(sunk > 0 && sunk <= 100000);

        sunk = 0;
        o = once(&(HttpSend){ .method = "GET", .sink = sink, .url = url("error") }); /* an error is no download */
        assert_int_equal(o.result, CURLE_WRITE_ERROR);
        assert_int_equal(sunk, 0);
}

/* --- the request on the wire --- */

static void wire(void **state) {
        static const char *const headers[] = { "x-ms-date: now", "x-empty:", "x-blank:   " };
        static const char *const ours[] = { "x-ms-a: 1;",       "X-MS-b:2",  "x-ms-c:",
                                            "x-ms-d: 4",        "x-ms-e: 5", "Content-Type: a/b",
                                            "If-None-Match: *", "x-ms-f: 6", "x-ms-g: 7" };
        static const char *const typed[] = { "content-type: text/plain", "Accept: a/b" };
        static const struct {
                HttpSend send;
                const char *text;
                size_t first; /* head and body in one segment */
        } cases[] = {
                { { .method = "PUT", .headers = headers, .n_headers = 3, .body = "12345", .body_size = 5 },
                  "PUT /%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUser-Agent: test/1\r\nx-ms-date: "
                  "now\r\nx-empty:\r\nx-blank:\r\n"
                  "Content-Length: 5\r\n\r\n",
                  5 },
                { { .method = "HEAD" }, "HEAD /%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUser-Agent: test/1\r\n\r\n", 0 },
                { { .method = "PUT" },
                  "PUT /%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUser-Agent: test/1\r\nContent-Length: 0\r\n\r\n",
                  0 },
                { { .method = "GET", .headers = typed, .n_headers = 2 },
                  "GET /%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUser-Agent: test/1\r\ncontent-type: text/plain\r\n"
                  "Accept: a/b\r\n\r\n",
                  0 },
                { { .method = "PUT", .headers = ours, .n_headers = 9 },
                  "PUT /%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUser-Agent: test/1\r\nx-ms-a: 1;\r\nX-MS-b:2\r\n"
                  "x-ms-c:\r\nx-ms-d: 4\r\nx-ms-e: 5\r\nContent-Type: a/b\r\nIf-None-Match: *\r\nx-ms-f: 6\r\n"
                  "x-ms-g: 7\r\nContent-Length: 0\r\n\r\n",
                  0 },
                { { .method = "DELETE" },
                  "DELETE /%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUser-Agent: test/1\r\n\r\n",
                  0 },
                { { .method = "POST", .headers = typed, .n_headers = 1, .body_size = 60000 },
                  "POST /%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUser-Agent: test/1\r\ncontent-type: text/plain\r\n"
                  "Content-Length: 60000\r\n\r\n",
                  1 },
                { { .method = "PUT", .body_size = 1000000 },
                  "PUT /%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUser-Agent: test/1\r\nContent-Length: 1000000\r\n\r\n",
                  1 },
        };

        server_start(&server, peer_ok);
        for (unsigned round = 0; round < 3; round++) /* each after each other on one handle */
                for (size_t k = 0; k < ELEMENTSOF(cases); k++) {
                        size_t i = (k * (round + 1)) % ELEMENTSOF(cases);
                        HttpSend send = cases[i].send;
                        const char *path = "a/../%2e/./b//c?x=%2F";
                        char expected[1024], part[256];
                        Outcome o;

                        /* nothing in the path is tidied up: it is what was signed (pitfalls 6.4) */
                        (void) snprintf(part, sizeof(part), "http://127.0.0.1:%u/%s", server.port, path);
                        send.url = part;
                        if (send.body_size > 5)
                                send.body = large;
                        o = once(&send);
                        assert_int_equal(o.result, CURLE_OK);
                        assert_int_equal(o.status, 201);
                        assert_true(o.sent);
                        assert_int_equal(o.body_sent, send.body_size);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
                        (void) snprintf(expected, sizeof(expected), cases[i].text, path, server.port);
#pragma GCC diagnostic pop
                        assert_string_equal(server.last, expected);
                        if (send.body_size <= 60000)
                                assert_true(server.last_first > strlen(expected) || send.body_size == 0);
                        if (send.body_size == 5)
                                assert_int_equal(server.last_first, strlen(expected) + 5);
                }
        server_stop(&server);
        assert_int_equal(server.n_peers, 1);
}

/* One handle after another URL: what it keeps of the last one's is its host, and only if that is the same. */
static void urls(void **state) {
        static const struct {
                const char *host, *rest, *sent;
        } cases[] = {
                { "127.0.0.1", "/a", "/a" },
                { "127.0.0.1", "/b?c=d/e", "/b?c=d/e" },
                { "localhost", "/f", "/f" },
                { "127.0.0.1", "/g/../h", "/g/../h" },
                { "127.0.0.1", "", "/" },
                { "127.0.0.1", "/i", "/i" },
                { "127.0.0.1", "/j#fragment", "/j" },
                { "localhost", "?k", "/?k" },
                { "localhost", "/l", "/l" },
                { "127.0.0.1", "//m", "//m" },
        };

        server_start(&server, peer_ok);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char text[128], expected[256];
                Outcome o;

                (void) snprintf(text, sizeof(text), "http://%s:%u%s", cases[i].host, server.port, cases[i].rest);
                o = once(&(HttpSend){ .method = "GET", .url = text });
                assert_int_equal(o.result, CURLE_OK);
                (void) snprintf(expected, sizeof(expected),
                                "GET %s HTTP/1.1\r\nHost: %s:%u\r\nUser-Agent: test/1\r\n\r\n", cases[i].sent,
                                cases[i].host, server.port);
                assert_string_equal(server.last, expected);
        }
}

static void refused_input(void **state) {
        static const struct {
                const char *method, *url, *header;
                size_t body_size;
        } cases[] = {
                { "PUT", "http://127.0.0.1:1/", "x: a\r\ny: b", 0 }, /* pitfalls 6.8: request splitting */
                { "PUT", "http://127.0.0.1:1/", "x: a\n", 0 },
                { "PUT", "http://127.0.0.1:1/", "x: a\r", 0 },
                { "PUT", "http://127.0.0.1:1/", "x", 0 },
                { "PUT", "http://127.0.0.1:1/", "", 0 },
                { "PUT", "http://127.0.0.1:1/", ": a", 0 },
                { "PUT", "http://127.0.0.1:1/a b", "x: a", 0 },
                { "PUT", "http://127.0.0.1:1/a\r\nb", "x: a", 0 },
                { "PUT", "http://127.0.0.1:1/\xc3\xa9", "x: a", 0 },
                { "PUT", "", "x: a", 0 },
                { "GET", "http://127.0.0.1:1/", "x: a", 5 },
                { "P\r\n", "http://127.0.0.1:1/", "x: a", 0 },
                { "", "http://127.0.0.1:1/", "x: a", 0 },
                { "AVERYLONGMETHODNAME", "http://127.0.0.1:1/", "x: a", 0 },
        };
        Outcome o = { 0 };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                HttpSend send = { .method = cases[i].method,
                                  .url = cases[i].url,
                                  .headers = &cases[i].header,
                                  .n_headers = 1,
                                  .body = "12345",
                                  .body_size = cases[i].body_size,
                                  .fn = note,
                                  .userdata = &o };

                assert_int_equal(http_send(pool, &send, NULL), -EINVAL);
        }
        o = once(&(HttpSend){ .url = "ftp://127.0.0.1/x" });
        assert_int_equal(o.result, CURLE_UNSUPPORTED_PROTOCOL);
        assert_false(o.sent);
        o = once(&(HttpSend){ .url = "file:///etc/passwd", .method = "GET" });
        assert_int_equal(o.result, CURLE_UNSUPPORTED_PROTOCOL);
}

static void header_values(void **state) {
        static const struct {
                const char *headers, *name;
                int r;
                const char *value;
        } cases[] = {
                { "HTTP/1.1 200 OK\r\nETag: \"x\"\r\n", "etag", 0, "\"x\"" },
                { "HTTP/1.1 200 OK\r\nETag: \"x\"\r\n", "ETag:", -ENOENT, "" },
                { "HTTP/1.1 200 OK\r\nETag: \"x\"\r\n", "tag", -ENOENT, "" },
                { "HTTP/1.1 200 OK\r\nETag: \"x\"\r\n", "ETa", -ENOENT, "" },
                { "HTTP/1.1 200 OK\nA:\t b c \t\r\nB: 2", "a", 0, "b c" },
                { "HTTP/1.1 200 OK\nA:\t b c \t\r\nB: 2", "B", 0, "2" },
                { "A:\r\n", "a", 0, "" },
                { "A: \r\n", "a", 0, "" },
                { "A : 1\r\n", "a", -ENOENT, "" },
                { "A: 1\r\nX: y\r\na: 1\r\n", "A", 0, "1" },
                { "A: 1\r\nX: y\r\na: 2\r\n", "A", -EINVAL, "" },
                { "A: 1\r\na: \r\n", "A", -EINVAL, "" },
                { "A: 1\r\n 2\r\n", "A", -EINVAL, "" },
                { "A: 12345678\r\n", "A", -ENOSPC, "" },
                { "A: 1234567\r\n", "A", 0, "1234567" },
                { "", "A", -ENOENT, "" },
                { "\r\n\r\nA", "A", -ENOENT, "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char value[8] = "";

                assert_int_equal(http_header(cases[i].headers, cases[i].name, value, sizeof(value)), cases[i].r);
                assert_string_equal(value, cases[i].value);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(header_values),
                cmocka_unit_test_setup_teardown(answers, set_up, tear_down),
                cmocka_unit_test_setup_teardown(floods, set_up, tear_down),
                cmocka_unit_test_setup_teardown(endless_bodies, set_up, tear_down),
                cmocka_unit_test_setup_teardown(wire, set_up, tear_down),
                cmocka_unit_test_setup_teardown(urls, set_up, tear_down),
                cmocka_unit_test_setup_teardown(refused_input, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, make_large, free_large);
}
