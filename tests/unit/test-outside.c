/* What becomes of a jump of the clock (pitfalls 10.12): every folder is compared, every connection made anew, and who
 * waits for the service waits no longer. */
#include "engine-fixture.h"
#include "jumping.h"
#include "patience.h"
#include "peer.h"

static Server server;

static bool busy(Peer *p) {
        return peer_body(p) && peer_say(p, "HTTP/1.1 503 Service Unavailable\r\nx-ms-request-id: 1\r\n"
                                           "Content-Length: 0\r\n\r\n");
}

static bool is_refused(const Mapping *m) {
        return m->account->gate != GATE_OPEN;
}

static bool is_scanned(const Mapping *m) {
        return m->scans_done > 0;
}

static bool is_asked_twice(const Mapping *m) {
        return server_count(&server, &server.n_requests) == 2;
}

static void run_until(sd_event *loop, bool (*condition)(const Mapping *m), const Mapping *m) {
        int64_t end = clock_boot() + PATIENCE_NS;

        while (!condition(m)) {
                assert_true(clock_boot() < end);
                assert_true(sd_event_run(loop, 10 * NSEC_PER_MSEC / NSEC_PER_USEC) >= 0);
        }
}

static void test_jump(void **state) {
        _cleanup_(sd_event_unrefp) sd_event *loop = NULL;
        _cleanup_(engine_freep) Engine *engine = NULL;
        char accounts[512];
        uint64_t scans;
        Mapping *m;

        jumping_or_skip();
        assert_true(sd_event_new(&loop) >= 0);
        engine = make_engine(loop);
        awake_for(3600); /* while there is one thread; the kernel does not say so yet */
        server_start(&server, busy);
        (void) snprintf(accounts, sizeof(accounts),
                        "accounts:\n  dev: {account: dev, endpoint: 'http://127.0.0.1:%u/dev', "
                        "auth: {method: shared-key, key: " KEY "}}\n",
                        server.port);
        put_mode("azsyncd.yaml", accounts, 0600);
        apply(engine, "");
        m = engine->sync.mappings[0];
        run_until(loop, is_refused, m);
        m->account->retry_at = clock_boot() + 3600 * NSEC_PER_SEC;
        run_until(loop, is_scanned, m);
        assert_int_equal(server_count(&server, &server.n_requests), 1);
        scans = m->scans_asked;

        set_clock();
        run_until(loop, is_asked_twice, m);
        assert_int_equal(server_count(&server, &server.n_peers), 2);
        assert_int_equal(m->scans_asked, scans + 1);
        server_stop(&server);
}

int main(void) {
        const struct CMUnitTest tests[] = { CONFIG_TEST(test_jump) };

        alone();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
