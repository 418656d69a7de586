/* What the tests of the connection pool share: a loop, a pool, a peer, and one request at a time. Included once per
 * program. */
#pragma once

#include "http/http.h"
#include "patience.h"
#include "peer.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

typedef struct Outcome {
        long status;
        uint64_t body_sent;
        size_t body_size;
        unsigned calls;
        CURLcode result;
        int shortage;
        int64_t latency_ns;
        bool sent;
        char headers[16385], body[256], error[CURL_ERROR_SIZE];
} Outcome;

static sd_event *loop;
static HttpPool *pool;
static Server server = { .fd = -1 };
static unsigned finished;
static char *large;
#define LARGE ((size_t) 32 * 1024 * 1024) /* more than socket buffers hold */

static inline void start_with(const HttpPoolOptions *options) {
        Error e = ERROR_NULL;

        pool = http_pool_free(pool);
        assert_int_equal(http_pool_new(&pool, loop, options, &e), 0);
}

static inline int set_up(void **state) {
        finished = 0;
        if (sd_event_new(&loop) < 0)
                return -1;
        start_with(&(HttpPoolOptions){ .max_connections = 8, .user_agent = "test/1", .stall_ns = PATIENCE_NS });
        return 0;
}

static inline int tear_down(void **state) {
        pool = http_pool_free(pool);
        server_stop(&server);
        loop = sd_event_unref(loop);
        return 0;
}

static inline void note(const HttpAnswer *a, void *userdata) {
        Outcome *o = userdata;

        finished++;
        o->calls++;
        o->result = a->result;
        o->shortage = a->shortage;
        o->status = a->status;
        o->sent = a->sent;
        o->body_sent = a->body_sent;
        o->body_size = a->body_size;
        o->latency_ns = a->latency_ns;
        (void) snprintf(o->headers, sizeof(o->headers), "%s", a->headers);
        (void) snprintf(o->body, sizeof(o->body), "%s", a->body);
        (void) snprintf(o->error, sizeof(o->error), "%s", a->error);
        assert_int_equal(strlen(a->headers) <= (size_t) 16 * 1024, true);
}

static inline const char *url(const char *name) {
        static char text[2][128];
        static unsigned which;

        which ^= 1;
        (void) snprintf(text[which], sizeof(text[which]), "http://127.0.0.1:%u/%s", server.port, name);
        return text[which];
}

static inline HttpRequest *ask(const HttpSend *send, Outcome *o) {
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

static inline void run_until(unsigned n) {
        int64_t end = clock_boot() + PATIENCE_NS;

        while (finished < n) {
                assert_true(clock_boot() < end);
                assert_true(sd_event_run(loop, PATIENCE) >= 0);
        }
}

static inline void run_until_count(const unsigned *what, unsigned n) {
        int64_t end = clock_boot() + PATIENCE_NS;

        while (server_count(&server, what) < n) {
                assert_true(clock_boot() < end);
                assert_true(sd_event_run(loop, 5000) >= 0);
        }
}

/* The peers' threads have seen the connections end. */
static inline void run_until_closed(void) {
        int64_t end = clock_boot() + PATIENCE_NS;

        while (server_count(&server, &server.n_open) > 0) {
                assert_true(clock_boot() < end);
                assert_true(sd_event_run(loop, 5000) >= 0);
        }
}

static inline Outcome once(const HttpSend *send) {
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

static inline int make_large(void **state) {
        large = calloc(1, LARGE);
        return large ? 0 : -1;
}

static inline int free_large(void **state) {
        free(TAKE_PTR(large));
        return 0;
}
