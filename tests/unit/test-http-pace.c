/* A body that is told how fast to leave: whole and in order whatever the pieces, for as long as it takes, and given up
 * only when it is the peer that does not move. */
#include "asking.h"

#define BODY ((size_t) 1000 * 1000)

static char *body;

typedef struct Pacer {
        HttpRequest *request;
        sd_event_source *timer;
        size_t piece, granted, given;
        uint64_t wait_us;
        unsigned asked, waits;
        bool refuse; /* never again */
} Pacer;

static size_t on_piece(size_t size, void *userdata) {
        Pacer *p = userdata;

        p->asked++;
        if (p->granted == 0 || p->refuse) {
                p->waits++;
                if (!p->refuse)
                        assert_true(sd_event_source_set_time_relative(p->timer, p->wait_us) >= 0 &&
                                    sd_event_source_set_enabled(p->timer, SD_EVENT_ONESHOT) >= 0);
                return 0;
        }
        size = MIN(size, p->granted);
        p->granted -= size;
        p->given += size;
        return size;
}

static int on_time(sd_event_source *source, uint64_t usec, void *userdata) {
        Pacer *p = userdata;

        p->granted = p->piece;
        http_resume(p->request);
        return 0;
}

static void pace(Pacer *p, const char *name, size_t size, Outcome *o) {
        assert_true(sd_event_add_time(loop, &p->timer, CLOCK_MONOTONIC, 0, 1, on_time, p) >= 0);
        assert_true(sd_event_source_set_enabled(p->timer, SD_EVENT_OFF) >= 0);
        p->request = ask(&(HttpSend){ .body = body, .body_size = size, .url = url(name) }, o);
        http_pace(p->request, on_piece, p);
}

static void pace_done(Pacer *p) {
        p->timer = sd_event_source_disable_unref(p->timer);
}

/* Compares the body with what it has to be. */
static bool play_compare(Peer *p) {
        size_t at = p->size - p->head;
        bool same = memcmp(p->data + p->head, body, at) == 0;

        while (p->rest > 0) {
                char some[65536];
                ssize_t n = recv(p->fd, some, MIN(p->rest, (uint64_t) sizeof(some)), 0);

                if (n <= 0)
                        return false;
                same &= memcmp(some, body + at, (size_t) n) == 0;
                at += (size_t) n;
                p->rest -= (uint64_t) n;
        }
        return peer_say(p, same ? "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
                                : "HTTP/1.1 400 Other\r\nContent-Length: 0\r\n\r\n");
}

static void pieces(void **state) {
        static const size_t sizes[] = { 10007, 65536, 100000, BODY };

        server_start(&server, play_compare);
        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                Pacer p = { .piece = sizes[i], .wait_us = 10 };
                Outcome o = { 0 };

                pace(&p, "x", BODY, &o);
                run_until((unsigned) i + 1);
                assert_int_equal(o.result, CURLE_OK);
                assert_int_equal(o.status, 201);
                assert_int_equal(o.body_sent, BODY);
                assert_int_equal(p.given, BODY);
                assert_int_equal(p.waits, (BODY + sizes[i] - 1) / sizes[i]);
                pace_done(&p);
        }
        assert_int_equal(server.n_requests, ELEMENTSOF(sizes));
}

/* A small one is not asked about: header and body leave together. */
static void small_ones(void **state) {
        Pacer p = { .piece = 1 };
        Outcome o = { 0 };

        server_start(&server, play_compare);
        pace(&p, "x", HTTP_PIECE, &o);
        run_until(1);
        assert_int_equal(o.status, 201);
        assert_int_equal(p.asked, 0);
        pace_done(&p);
}

/* Each wait is longer than a silence of the peer may be, and the whole longer than the overall limit. */
static void longer_than_limits(void **state) {
        Outcome o = { .result = CURLE_OPERATION_TIMEDOUT };

        server_start(&server, play_compare);
        /* the peer is silent, too, while its thread waits for a processor: the longer all is, the less that is */
        for (unsigned s = 1; s <= 32 && o.result == CURLE_OPERATION_TIMEDOUT; s *= 2) {
                Pacer p = { .piece = 30000, .wait_us = s * UINT64_C(2500000) };

                start_with(&(HttpPoolOptions){ .max_connections = 8, .stall_ns = s * NSEC_PER_SEC });
                pace(&p, "x", 100000, &o);
                run_until(finished + 1);
                assert_true(p.waits == 4 || o.result == CURLE_OPERATION_TIMEDOUT);
                pace_done(&p);
        }
        assert_int_equal(o.result, CURLE_OK);
        assert_int_equal(o.status, 201);
}

/* Takes all and says nothing; or takes nothing. */
static bool play_silent(Peer *p) {
        if (strcmp(p->name, "mute") == 0)
                (void) peer_body(p);
        (void) peer_wait(p);
        return false;
}

static void silence_is_noticed(void **state) {
        Pacer mute = { .piece = 50000, .wait_us = 1500000 }, deaf = { .piece = LARGE, .wait_us = 1500000 };
        Outcome o[2] = { 0 };

        server_start(&server, play_silent);
        start_with(&(HttpPoolOptions){ .max_connections = 8, .stall_ns = NSEC_PER_SEC });
        pace(&mute, "mute", 100000, &o[0]);
        pace(&deaf, "deaf", LARGE, &o[1]);
        run_until(2);
        assert_int_equal(o[0].result, CURLE_OPERATION_TIMEDOUT);
        assert_int_equal(o[0].body_sent, 100000);
        assert_true(o[1].result != CURLE_OK);
        assert_true(o[1].body_sent < LARGE);
        pace_done(&mute);
        pace_done(&deaf);
}

/* A request that waits can be cancelled; the next one on its handle waits for nobody, and has its limits. */
static void cancelled(void **state) {
        Pacer p = { .piece = 50000, .refuse = true };
        int64_t end = clock_boot() + PATIENCE_NS;
        Outcome o = { 0 };

        server_start(&server, play_silent);
        start_with(&(HttpPoolOptions){ .max_connections = 8, .stall_ns = NSEC_PER_SEC });
        pace(&p, "x", BODY, &o);
        while (p.waits == 0) {
                assert_true(clock_boot() < end);
                assert_true(sd_event_run(loop, PATIENCE) >= 0);
        }
        http_cancel(p.request);
        assert_int_equal(o.calls, 0);
        pace_done(&p);

        o = once(&(HttpSend){ .body = body, .body_size = 5, .url = url("mute") });
        assert_int_equal(o.result, CURLE_OPERATION_TIMEDOUT);
}

/* The kept connection turns out to be closed: libcurl begins the body anew on another one. */
static bool play_close_second(Peer *p) {
        if (p->number == 0 && p->request == 1) {
                char some[1];

                return recv(p->fd, some, 1, 0) < 0; /* closes after the first byte, without an answer */
        }
        return play_compare(p);
}

static void begun_again(void **state) {
        Pacer p = { .piece = 1000, .granted = 1000, .wait_us = 10 };
        Outcome o;

        server_start(&server, play_close_second);
        o = once(&(HttpSend){ .body = body, .body_size = 5 });
        assert_int_equal(o.status, 201);
        o = (Outcome){ 0 };
        pace(&p, "x", BODY, &o);
        run_until(2);
        if (o.result == CURLE_OK) { /* it depends on who is first; what arrived is whole in any case */
                assert_int_equal(o.status, 201);
                assert_true(o.body_sent >= BODY);
        }
        pace_done(&p);
}

static int make_body(void **state) {
        body = malloc(LARGE);
        for (size_t i = 0; body && i < LARGE; i++)
                body[i] = (char) (i * 2654435761U >> 13);
        return body ? 0 : -1;
}

static int free_body(void **state) {
        free(TAKE_PTR(body));
        return 0;
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(pieces, set_up, tear_down),
                cmocka_unit_test_setup_teardown(small_ones, set_up, tear_down),
                cmocka_unit_test_setup_teardown(longer_than_limits, set_up, tear_down),
                cmocka_unit_test_setup_teardown(silence_is_noticed, set_up, tear_down),
                cmocka_unit_test_setup_teardown(cancelled, set_up, tear_down),
                cmocka_unit_test_setup_teardown(begun_again, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, make_body, free_body);
}
