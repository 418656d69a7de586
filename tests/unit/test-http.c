#include "http/http.h"
#include "peer.h"
#include "util/clock.h"

#include <assert.h>
#include <netdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>

#include <cmocka.h>

#define PATIENCE UINT64_C(60000000) /* us: for what must happen, whatever the machine does */

typedef struct Outcome {
        long status;
        uint64_t body_sent;
        size_t body_size;
        unsigned calls;
        CURLcode result;
        bool sent;
        char headers[16385], body[256], error[CURL_ERROR_SIZE];
} Outcome;

static sd_event *loop;
static HttpPool *pool;
static Server server = { .fd = -1 };
static unsigned finished;
static char *large;
#define LARGE ((size_t) 32 * 1024 * 1024) /* more than socket buffers hold */

static void start_with(const HttpPoolOptions *options) {
        Error e = ERROR_NULL;

        pool = http_pool_free(pool);
        assert_int_equal(http_pool_new(&pool, loop, options, &e), 0);
}

static int set_up(void **state) {
        finished = 0;
        if (sd_event_new(&loop) < 0)
                return -1;
        start_with(&(HttpPoolOptions){ .max_connections = 8, .user_agent = "test/1" });
        return 0;
}

static int tear_down(void **state) {
        pool = http_pool_free(pool);
        server_stop(&server);
        loop = sd_event_unref(loop);
        return 0;
}

static void note(const HttpAnswer *a, void *userdata) {
        Outcome *o = userdata;

        finished++;
        o->calls++;
        o->result = a->result;
        o->status = a->status;
        o->sent = a->sent;
        o->body_sent = a->body_sent;
        o->body_size = a->body_size;
        (void) snprintf(o->headers, sizeof(o->headers), "%s", a->headers);
        (void) snprintf(o->body, sizeof(o->body), "%s", a->body);
        (void) snprintf(o->error, sizeof(o->error), "%s", a->error);
        assert_int_equal(strlen(a->headers) <= (size_t) 16 * 1024, true);
}

static const char *url(const char *name) {
        static char text[2][128];
        static unsigned which;

        which ^= 1;
        (void) snprintf(text[which], sizeof(text[which]), "http://127.0.0.1:%u/%s", server.port, name);
        return text[which];
}

static HttpRequest *ask(const HttpSend *send, Outcome *o) {
        HttpSend s = *send;
        HttpRequest *r = NULL;

        s.fn = s.fn ? s.fn : note;
        s.userdata = o;
        s.method = s.method ? s.method : "PUT";
        s.url = s.url ? s.url : url("x");
        assert_int_equal(http_send(pool, &s, &r), 0);
        assert_non_null(r);
        return r;
}

static void run_until(unsigned n) {
        int64_t end = clock_boot() + (int64_t) PATIENCE * NSEC_PER_USEC;

        while (finished < n) {
                assert_true(clock_boot() < end);
                assert_true(sd_event_run(loop, PATIENCE) >= 0);
        }
}

static void run_until_count(const unsigned *what, unsigned n) {
        int64_t end = clock_boot() + (int64_t) PATIENCE * NSEC_PER_USEC;

        while (server_count(&server, what) < n) {
                assert_true(clock_boot() < end);
                assert_true(sd_event_run(loop, 5000) >= 0);
        }
}

static Outcome once(const HttpSend *send) {
        Outcome o = { 0 };

        ask(send, &o);
        run_until(finished + 1);
        assert_int_equal(o.calls, 1);
        if (o.result == CURLE_OK)
                assert_string_equal(o.error, "");
        else
                assert_string_not_equal(o.error, "");
        return o;
}

/* --- answers that are not what they should be (10.1, 10.2, 10.3, 10.9) --- */

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
        static const char some[4096] = "body";
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
        } else if (strcmp(p->name, "trailers") == 0) {
                going &= peer_say(p, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n");
                while (going)
                        going = peer_say(p, line);
        } else {
                going &= peer_say(p, p->name);
                going &= peer_say(p, strcmp(p->name, "error") == 0 ? "HTTP/1.1 500 No\r\n\r\n"
                                                                   : "HTTP/1.1 200 OK\r\n\r\n");
                while (going)
                        going = peer_say_bytes(p, some, sizeof(some));
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

/* 10.9: each of these peers sends without an end. That the test ends at all is the point. */
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

                        /* nothing in the path is tidied up: it is what was signed (6.4) */
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

static void refused_input(void **state) {
        static const struct {
                const char *method, *url, *header;
                size_t body_size;
        } cases[] = {
                { "PUT", "http://127.0.0.1:1/", "x: a\r\ny: b", 0 }, /* 6.8: request splitting */
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

/* --- connections --- */

static void kept(void **state) {
        server_start(&server, peer_ok);
        for (unsigned i = 0; i < 5; i++)
                assert_int_equal(once(&(HttpSend){ .body = "1", .body_size = 1 }).result, CURLE_OK);
        assert_int_equal(server_count(&server, &server.n_peers), 1);
        http_pool_drop_idle(pool);
        assert_int_equal(once(&(HttpSend){ .body = "1", .body_size = 1 }).result, CURLE_OK);
        http_pool_drop_idle(pool);
        http_pool_drop_idle(pool);
        assert_int_equal(once(&(HttpSend){ .body = "1", .body_size = 1 }).result, CURLE_OK);
        server_stop(&server);
        assert_int_equal(server.n_peers, 3);
        assert_int_equal(server.max_open <= 2, true); /* the old one was closed, not left */
}

static bool play_gate(Peer *p) {
        return peer_wait(p) && peer_ok(p);
}

/* What runs when the connections are dropped ends as it would have; what comes after gets a new one. */
static void drop_while_busy(void **state) {
        Outcome o[12] = { 0 };

        server_start(&server, play_gate);
        for (unsigned i = 0; i < 8; i++) {
                ask(&(HttpSend){ .body = "1", .body_size = 1 }, &o[i]);
                run_until_count(&server.n_waiting, i + 1);
                http_pool_drop_idle(pool);
                http_pool_drop_idle(pool);
        }
        server_open(&server);
        run_until(8);
        for (unsigned i = 8; i < ELEMENTSOF(o); i++) {
                ask(&(HttpSend){ .body = "1", .body_size = 1 }, &o[i]);
                run_until(i + 1);
        }
        for (unsigned i = 0; i < ELEMENTSOF(o); i++)
                assert_int_equal(o[i].result, CURLE_OK);
        server_stop(&server);
        assert_in_range(server.n_peers, 8, 9);
}

/* The second request on each connection is answered by closing it. */
static bool play_second(Peer *p) {
        if (p->request == 0)
                return peer_wait(p) && peer_ok(p);
        (void) peer_body(p);
        return false;
}

static void repeats(void **state) {
        Outcome o[3] = { 0 }, again;

        server_start(&server, play_second);
        server_open(&server);
        assert_int_equal(once(&(HttpSend){ .body = "12345", .body_size = 5 }).body_sent, 5);
        /* 10.4: libcurl sends it again on a new connection; we count both */
        again = once(&(HttpSend){ .body = "12345", .body_size = 5, .url = url("twice") });
        assert_int_equal(again.result, CURLE_OK);
        assert_int_equal(again.body_sent, 10);
        again = once(&(HttpSend){ .body = large, .body_size = 1000000, .url = url("large") });
        assert_int_equal(again.result, CURLE_OK);
        assert_in_range(again.body_sent, 1000000, 2000000);
        http_pool_drop_idle(pool);

        server.gate = false; /* no peer is waiting, so no thread looks at it */
        for (unsigned i = 0; i < ELEMENTSOF(o); i++)
                ask(&(HttpSend){ .body = "12345", .body_size = 5 }, &o[i]);
        run_until_count(&server.n_waiting, ELEMENTSOF(o)); /* so three connections */
        server_open(&server);
        run_until(6);
        /* all three fail it: it is not sent a third time */
        again = once(&(HttpSend){ .body = "12345", .body_size = 5, .url = url("thrice") });
        assert_int_equal(again.result, CURLE_RECV_ERROR);
        assert_true(again.sent);
        assert_int_equal(again.body_sent, 10);
        server_stop(&server);
        assert_non_null(strstr(server.names, "x twice twice large large x x x thrice thrice "));
        assert_null(strstr(server.names, "thrice thrice thrice"));
}

static void refused(void **state) {
        Outcome o;

        server_start(&server, peer_ok);
        server_stop(&server);
        o = once(&(HttpSend){ .body = "1", .body_size = 1 });
        assert_int_equal(o.result, CURLE_COULDNT_CONNECT);
        assert_false(o.sent);
        assert_int_equal(o.body_sent, 0);
        assert_int_equal(o.status, 0);
}

static void queue(void **state) {
        Outcome o[10] = { 0 };
        HttpRequest *r[10];

        server_start(&server, play_gate);
        start_with(&(HttpPoolOptions){ .max_connections = 2 });
        for (unsigned i = 0; i < 10; i++)
                r[i] = ask(&(HttpSend){ .body = "1", .body_size = 1 }, &o[i]);
        run_until_count(&server.n_waiting, 2);
        http_cancel(r[1]); /* running: the next one takes its place */
        http_cancel(r[5]); /* waiting */
        run_until_count(&server.n_waiting, 3);
        server_open(&server);
        run_until(8);
        server_stop(&server);
        for (unsigned i = 0; i < 10; i++) {
                assert_int_equal(o[i].calls, i == 1 || i == 5 ? 0 : 1);
                assert_int_equal(o[i].result, CURLE_OK);
        }
        assert_in_range(server.max_open, 2, 3); /* the server may see the cancelled one end late */
        assert_int_equal(server.n_requests, 9);
}

/* --- callbacks that start and cancel --- */

static HttpRequest *victim;

static void start_more(const HttpAnswer *a, void *userdata) {
        Outcome *o = userdata;

        note(a, o);
        if (finished < 200)
                ask(&(HttpSend){ .body = "1", .body_size = 1, .fn = start_more }, o);
}

static void cancel_other(const HttpAnswer *a, void *userdata) {
        note(a, userdata);
        if (victim)
                http_cancel(TAKE_PTR(victim));
        http_pool_drop_idle(pool);
}

static bool play_victim(Peer *p) {
        return (strcmp(p->name, "victim") != 0 || peer_wait(p)) && peer_ok(p);
}

static void callbacks(void **state) {
        Outcome more = { 0 }, killed = { 0 }, killer = { 0 };

        server_start(&server, play_victim);
        ask(&(HttpSend){ .body = "1", .body_size = 1, .fn = start_more }, &more);
        run_until(200);
        assert_int_equal(more.calls, 200);
        assert_int_equal(server_count(&server, &server.n_peers), 1);

        victim = ask(&(HttpSend){ .body = "1", .body_size = 1, .url = url("victim") }, &killed);
        run_until_count(&server.n_waiting, 1);
        ask(&(HttpSend){ .body = "1", .body_size = 1, .fn = cancel_other }, &killer);
        run_until(201);
        assert_null(victim);
        server_open(&server);
        assert_int_equal(once(&(HttpSend){ .body = "1", .body_size = 1 }).result, CURLE_OK);
        assert_int_equal(killed.calls, 0);

        /* freed with one that runs and nine that wait */
        server.gate = false;
        start_with(&(HttpPoolOptions){ .max_connections = 1 });
        for (unsigned i = 0; i < 10; i++)
                ask(&(HttpSend){ .body = "1", .body_size = 1, .url = url("victim") }, &killed);
        run_until_count(&server.n_waiting, 1);
        pool = http_pool_free(pool);
        while (sd_event_run(loop, 0) > 0)
                ;
        assert_int_equal(killed.calls, 0);
}

/* --- time limits (10.8): no length of time is asserted, only that each of these ends --- */

static bool play_silence(Peer *p) {
        if (strcmp(p->name, "deaf") != 0)
                (void) peer_body(p);
        if (strcmp(p->name, "half") == 0)
                (void) peer_say(p, "HTTP/1.1 201 Created\r\nContent-Le");
        if (strcmp(p->name, "drip") == 0) {
                (void) peer_say(p, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
                while (peer_say(p, "x"))
                        (void) usleep(1700000); /* the peer's pace, under one byte a second */
        }
        return peer_wait(p);
}

static void silence(void **state) {
        static const struct {
                const char *name;
                size_t size;
        } cases[] = { { "mute", 5 }, { "half", 5 }, { "drip", 5 }, { "deaf", LARGE } };
        Outcome o[ELEMENTSOF(cases)] = { 0 };

        server_start(&server, play_silence);
        start_with(&(HttpPoolOptions){ .max_connections = 8, .stall_ns = NSEC_PER_SEC });
        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                ask(&(HttpSend){ .body = large, .body_size = cases[i].size, .url = url(cases[i].name) }, &o[i]);
        run_until(ELEMENTSOF(cases));
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                assert_true(o[i].result == CURLE_OPERATION_TIMEDOUT || o[i].result == CURLE_SEND_ERROR ||
                            o[i].result == CURLE_RECV_ERROR);
                assert_true(o[i].sent);
        }
        assert_true(o[3].body_sent > 0 && o[3].body_sent < LARGE);
}

static bool play_half_body(Peer *p) {
        return p->size > 0 && peer_wait(p) && peer_ok(p);
}

static void progress(void **state) {
        int64_t end = clock_boot() + (int64_t) PATIENCE * NSEC_PER_USEC;
        HttpRequest *r;
        Outcome o = { 0 };

        server_start(&server, play_half_body);
        r = ask(&(HttpSend){ .body = large, .body_size = LARGE }, &o);
        assert_int_equal(http_request_sent(r), 0);
        while (http_request_sent(r) == 0) {
                assert_true(clock_boot() < end);
                assert_true(sd_event_run(loop, 100000) >= 0);
        }
        assert_true(http_request_sent(r) < LARGE);
        server_open(&server);
        run_until(1);
        assert_int_equal(o.result, CURLE_OK);
        assert_int_equal(o.body_sent, LARGE);
}

/* --- 100-continue (10.7), and an answer that comes before the body went out (10.2) --- */

static bool play_expect(Peer *p) {
        if (strcmp(p->name, "grant") == 0)
                return p->size == p->head && peer_say(p, "HTTP/1.1 100 Continue\r\n\r\n") && peer_ok(p);
        if (strcmp(p->name, "refuse") == 0)
                return peer_say(p, "HTTP/1.1 403 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno") &&
                       peer_wait(p);
        if (strcmp(p->name, "early") == 0)
                return peer_say(p, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n") && peer_wait(p);
        return peer_ok(p);
}

static void expect(void **state) {
        Outcome o;

        server_start(&server, play_expect);
        o = once(&(HttpSend){ .body = large, .body_size = 1000000, .expect_continue = true, .url = url("grant") });
        assert_int_equal(o.result, CURLE_OK);
        assert_int_equal(o.status, 201);
        assert_int_equal(o.body_sent, 1000000);
        assert_non_null(strstr(server.last, "\r\nExpect: 100-continue\r\n"));

        o = once(&(HttpSend){ .body = large, .body_size = LARGE, .expect_continue = true, .url = url("refuse") });
        assert_int_equal(o.status, 403);
        assert_string_equal(o.body, "no");
        assert_int_equal(o.body_sent, 0);
        assert_true(o.sent);

        o = once(&(HttpSend){ .body = large, .body_size = 100000, .expect_continue = true, .url = url("ignore") });
        assert_int_equal(o.status, 201);
        assert_int_equal(o.body_sent, 100000);
        assert_int_equal(o.result, CURLE_OK);

        start_with(&(HttpPoolOptions){ .max_connections = 8, .stall_ns = NSEC_PER_SEC });
        o = once(&(HttpSend){ .body = large, .body_size = LARGE, .url = url("early") });
        assert_true(o.result != CURLE_OK || o.body_sent < LARGE); /* azure/blob looks at both */
}

/* --- proxies and names --- */

static void proxies(void **state) {
        Outcome o;
        char proxy[64], expected[128];

        server_start(&server, peer_ok);
        assert_int_equal(setenv("http_proxy", "http://127.0.0.1:1", 1), 0); /* 10.19 */
        assert_int_equal(setenv("ALL_PROXY", "http://127.0.0.1:1", 1), 0);
        assert_int_equal(setenv("NO_PROXY", "*", 1), 0);
        o = once(&(HttpSend){ .method = "GET" });
        assert_int_equal(o.result, CURLE_OK);

        (void) snprintf(proxy, sizeof(proxy), "http://u:secret@127.0.0.1:%u", server.port);
        start_with(&(HttpPoolOptions){ .max_connections = 8, .proxy = proxy });
        o = once(&(HttpSend){ .method = "GET", .url = "http://far.invalid/a" });
        assert_int_equal(o.result, CURLE_OK);
        (void) snprintf(expected, sizeof(expected), "GET http://far.invalid/a HTTP/1.1\r\nHost: far.invalid\r\n");
        assert_int_equal(strncmp(server.last, expected, strlen(expected)), 0);

        server_stop(&server); /* what is said about a failure holds no password */
        o = once(&(HttpSend){ .method = "GET", .url = "http://far.invalid/a?sig=secret" });
        assert_int_not_equal(o.result, CURLE_OK);
        assert_false(o.sent);
        assert_null(strstr(o.error, "secret"));
        assert_int_equal(unsetenv("http_proxy") | unsetenv("ALL_PROXY") | unsetenv("NO_PROXY"), 0);
}

static pthread_mutex_t names = PTHREAD_MUTEX_INITIALIZER;
static atomic_uint names_asked, names_answered;

/* In the place of libc's, also for libcurl: a name server that does not answer until the test lets go of `names`. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **ret);
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **ret) {
        atomic_fetch_add(&names_asked, 1);
        (void) pthread_mutex_lock(&names);
        (void) pthread_mutex_unlock(&names);
        atomic_fetch_add(&names_answered, 1);
        return EAI_AGAIN;
}

/* A look-up that hangs holds up neither other requests, nor cancelling, nor freeing the pool. Would they wait for it,
 * this test would hang, since it lets go only afterwards. */
static void slow_names(void **state) {
        int64_t end = clock_boot() + (int64_t) PATIENCE * NSEC_PER_USEC;
        Outcome o = { 0 }, other = { 0 };
        HttpRequest *r;

        server_start(&server, peer_ok);
        (void) pthread_mutex_lock(&names);
        r = ask(&(HttpSend){ .url = "http://slow.invalid/" }, &o);
        ask(&(HttpSend){ .url = "http://slower.invalid/" }, &other);
        while (atomic_load(&names_asked) < 2) {
                assert_true(clock_boot() < end);
                assert_true(sd_event_run(loop, 5000) >= 0);
        }
        assert_int_equal(once(&(HttpSend){ .body = "1", .body_size = 1 }).result, CURLE_OK);
        http_cancel(r);
        pool = http_pool_free(pool);
        (void) pthread_mutex_unlock(&names);
        while (atomic_load(&names_answered) < 2)
                (void) usleep(1000);
        assert_int_equal(o.calls + other.calls, 0);

        start_with(&(HttpPoolOptions){ .max_connections = 8 });
        o = once(&(HttpSend){ .url = "http://gone.invalid/" });
        assert_int_equal(o.result, CURLE_COULDNT_RESOLVE_HOST);
        assert_false(o.sent);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(header_values),
                cmocka_unit_test_setup_teardown(answers, set_up, tear_down),
                cmocka_unit_test_setup_teardown(floods, set_up, tear_down),
                cmocka_unit_test_setup_teardown(endless_bodies, set_up, tear_down),
                cmocka_unit_test_setup_teardown(wire, set_up, tear_down),
                cmocka_unit_test_setup_teardown(refused_input, set_up, tear_down),
                cmocka_unit_test_setup_teardown(kept, set_up, tear_down),
                cmocka_unit_test_setup_teardown(drop_while_busy, set_up, tear_down),
                cmocka_unit_test_setup_teardown(repeats, set_up, tear_down),
                cmocka_unit_test_setup_teardown(refused, set_up, tear_down),
                cmocka_unit_test_setup_teardown(queue, set_up, tear_down),
                cmocka_unit_test_setup_teardown(callbacks, set_up, tear_down),
                cmocka_unit_test_setup_teardown(silence, set_up, tear_down),
                cmocka_unit_test_setup_teardown(progress, set_up, tear_down),
                cmocka_unit_test_setup_teardown(expect, set_up, tear_down),
                cmocka_unit_test_setup_teardown(proxies, set_up, tear_down),
                cmocka_unit_test_setup_teardown(slow_names, set_up, tear_down),
        };
        int r;

        large = calloc(1, LARGE);
        if (!large)
                return 1;
        r = cmocka_run_group_tests(tests, NULL, NULL);
        free(large);
        return r;
}
