/* Connections, limits, and requests that start and end each other. */
#include "asking.h"

#include <fcntl.h>
#include <netdb.h>
#include <stdatomic.h>
#include <sys/resource.h>

/* --- connections --- */

static void kept(void **state) {
        server_start(&server, peer_ok);
        for (unsigned i = 0; i < 5; i++)
                assert_int_equal(once(&(HttpSend){ .body = "1", .body_size = 1 }).result, CURLE_OK);
        assert_int_equal(server_count(&server, &server.n_peers), 1);
        http_pool_drop_idle(pool);
        run_until_closed();
        assert_int_equal(once(&(HttpSend){ .body = "1", .body_size = 1 }).result, CURLE_OK);
        http_pool_drop_idle(pool);
        http_pool_drop_idle(pool);
        run_until_closed();
        assert_int_equal(once(&(HttpSend){ .body = "1", .body_size = 1 }).result, CURLE_OK);
        server_stop(&server);
        assert_int_equal(server.n_peers, 3);
}

static bool play_gate(Peer *p) {
        return peer_wait(p) && peer_ok(p);
}

static bool play_victim(Peer *p) {
        return (strcmp(p->name, "victim") != 0 || peer_wait(p)) && peer_ok(p);
}

/* pitfalls 11.2. Returns what there were. */
static struct rlimit no_descriptors(void) {
        struct rlimit before, none;

        assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
        none = (struct rlimit){ .rlim_max = before.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
        return before;
}

static void drop_without_descriptors(void) {
        struct rlimit before = no_descriptors();

        http_pool_drop_idle(pool);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static unsigned descriptors(void) {
        unsigned n = 0;

        for (int fd = 0; fd < 1024; fd++)
                n += fcntl(fd, F_GETFD) >= 0;
        return n;
}

/* What libcurl takes for itself, if it can. */
static unsigned descriptors_of_curl(void) {
        unsigned before = descriptors(), n;
        CURLM *curl = curl_multi_init();

        n = descriptors() - before;
        (void) curl_multi_cleanup(curl);
        return n;
}

/* No descriptor is needed to give back those that are kept. While a request runs, they are given back with the next
 * one, which libcurl looks at them for once a second. */
static void none_left(void **state) {
        int64_t end = clock_boot() + PATIENCE_NS;
        Outcome o[6] = { 0 };
        unsigned of_curl = descriptors_of_curl(), before;

        server_start(&server, play_gate);
        before = descriptors();
        for (unsigned i = 0; i < 5; i++)
                ask(&(HttpSend){ .body = "1", .body_size = 1 }, &o[i]);
        run_until_count(&server.n_waiting, 5);
        server_open(&server);
        run_until(5);
        assert_int_equal(descriptors(), before + 10); /* both ends are ours */
        drop_without_descriptors();
        before -= of_curl; /* of the old one; there were none for the new one */
        while (descriptors() > before && clock_boot() < end)
                assert_true(sd_event_run(loop, 5000) >= 0);
        assert_int_equal(descriptors(), before);

        server.gate = false; /* no peer is waiting, so no thread looks at it */
        for (unsigned i = 0; i < 5; i++)
                ask(&(HttpSend){ .body = "1", .body_size = 1 }, &o[i]);
        run_until_count(&server.n_waiting, 5);
        server.play = play_victim;
        server_open(&server);
        run_until(10);
        server.gate = false;
        ask(&(HttpSend){ .body = "1", .body_size = 1, .url = url("victim") }, &o[5]);
        run_until_count(&server.n_waiting, 1);
        assert_int_equal(descriptors(), before + 10);
        drop_without_descriptors();
        while (descriptors() > before + 4 && clock_boot() < end)
                assert_int_equal(once(&(HttpSend){ .body = "1", .body_size = 1 }).result, CURLE_OK);
        assert_int_equal(descriptors(), before + 4);
        server_open(&server);
        while (o[5].calls == 0 && clock_boot() < end)
                assert_true(sd_event_run(loop, 5000) >= 0);
        assert_int_equal(o[5].result, CURLE_OK);
}

/* What runs when the connections are dropped ends as it would have. */
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
        assert_int_equal(server.n_peers, 8);
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
        /* pitfalls 10.4: libcurl sends it again on a new connection; we count both */
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

/* Nobody listens on the port, and nobody else can until the socket is closed. */
static int port_of_nobody(void) {
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t size = sizeof(a);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_int_equal(bind(fd, (const struct sockaddr *) &a, sizeof(a)), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *) &a, &size), 0);
        server.port = ntohs(a.sin_port);
        return fd;
}

static void refused(void **state) {
        _cleanup_close_ int fd = port_of_nobody();
        Outcome o;

        assert_true(fd >= 0);
        o = once(&(HttpSend){ .body = "1", .body_size = 1 });
        assert_int_equal(o.result, CURLE_COULDNT_CONNECT);
        assert_false(o.sent);
        assert_int_equal(o.body_sent, 0);
        assert_int_equal(o.status, 0);
        assert_int_equal(o.shortage, 0);
}

/* pitfalls 11.2: it is not the peer who is out of reach. */
static void no_socket(void **state) {
        _cleanup_close_ int fd = port_of_nobody(); /* a server's thread would need descriptors, too */
        struct rlimit before;
        Outcome o;

        assert_true(fd >= 0);
        before = no_descriptors();
        o = once(&(HttpSend){ .body = "1", .body_size = 1 });
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_int_equal(o.result, CURLE_COULDNT_CONNECT);
        assert_int_equal(o.shortage, EMFILE);
        assert_false(o.sent);
        o = once(&(HttpSend){ .body = "1", .body_size = 1 });
        assert_int_equal(o.result, CURLE_COULDNT_CONNECT);
        assert_int_equal(o.shortage, 0);
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

static unsigned seen[16]; /* requests that the server had met when the n-th ended */

static void note_seen(const HttpAnswer *a, void *userdata) {
        note(a, userdata);
        seen[finished] = server_count(&server, &server.n_requests);
}

/* A higher limit lets those in that wait; a lower one ends nothing, and nothing more begins until it is kept. */
static void limits(void **state) {
        Outcome o[10] = { 0 };

        server_start(&server, play_gate);
        start_with(&(HttpPoolOptions){ .max_connections = 2 });
        for (unsigned i = 0; i < ELEMENTSOF(o); i++)
                ask(&(HttpSend){ .body = "1", .body_size = 1, .fn = note_seen }, &o[i]);
        run_until_count(&server.n_waiting, 2);
        http_pool_limit(pool, 5);
        run_until_count(&server.n_waiting, 5);
        assert_int_equal(server_count(&server, &server.n_requests), 5);
        http_pool_limit(pool, 1);
        server_open(&server);
        run_until(ELEMENTSOF(o));
        server_stop(&server);
        for (unsigned i = 1; i <= ELEMENTSOF(o); i++)
                assert_int_equal(seen[i], MAX(i, 5U));
        assert_int_equal(server.n_peers, 5);
}

#define TAKES (20 * NSEC_PER_MSEC)

static bool play_slow(Peer *p) {
        struct timespec t = { .tv_nsec = TAKES };

        return peer_body(p) && nanosleep(&t, NULL) == 0 && (strcmp(p->name, "cut") != 0) &&
               peer_say(p, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
}

/* It is less than the peer took only if we lost the processor between the sending and the look at the clock. */
static bool takes(const HttpSend *send) {
        int64_t end = clock_boot() + PATIENCE_NS;

        while (once(send).latency_ns < TAKES)
                if (clock_boot() > end)
                        return false;
        return true;
}

/* What the service took; of what came back broken, or was sent twice, nobody knows. */
static void latency(void **state) {
        server_start(&server, play_slow);
        for (unsigned i = 0; i < 3; i++)
                assert_true(takes(&(HttpSend){ .body = "1", .body_size = 1 }));
        assert_true(takes(&(HttpSend){ .method = "DELETE" }));
        assert_int_equal(once(&(HttpSend){ .body = "1", .body_size = 1, .url = url("cut") }).latency_ns, 0);
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

/* --- time limits (pitfalls 10.8): no length of time is asserted, only that each of these ends --- */

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

static bool play_work(Peer *p) {
        return peer_body(p) && peer_wait(p) && peer_ok(p);
}

/* What is the work of many requests may take longer than one; the handle that it had does not. */
static void patience(void **state) {
        Outcome many = { 0 };

        server_start(&server, play_work);
        start_with(&(HttpPoolOptions){ .max_connections = 8, .stall_ns = NSEC_PER_SEC });
        ask(&(HttpSend){ .body = "many", .body_size = 4, .patience_ns = 300 * NSEC_PER_SEC }, &many);
        run_until_count(&server.n_waiting, 1);
        for (size_t i = 0; i < 2; i++)
                assert_int_equal(once(&(HttpSend){ .body = "one", .body_size = 3 }).result, CURLE_OPERATION_TIMEDOUT);
        assert_int_equal(many.calls, 0);
        server_open(&server);
        run_until(3);
        assert_int_equal(many.result, CURLE_OK);
        server.gate = false;
        assert_int_equal(once(&(HttpSend){ .body = "one", .body_size = 3 }).result, CURLE_OPERATION_TIMEDOUT);
}

static bool play_half_body(Peer *p) {
        return p->size > 0 && peer_wait(p) && peer_ok(p);
}

static void progress(void **state) {
        int64_t end = clock_boot() + PATIENCE_NS;
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

/* --- 100-continue (pitfalls 10.7), and an answer that comes before the body went out (pitfalls 10.2) --- */

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

/* Libcurl waits for leave for a second, and a peer's thread for a processor perhaps longer: then once more. */
static void expect(void **state) {
        int64_t end = clock_boot() + PATIENCE_NS;
        Outcome o;

        server_start(&server, play_expect);
        do
                o = once(&(HttpSend){
                        .body = large, .body_size = 1000000, .expect_continue = true, .url = url("grant") });
        while (o.result != CURLE_OK && clock_boot() < end);
        assert_int_equal(o.result, CURLE_OK);
        assert_int_equal(o.status, 201);
        assert_int_equal(o.body_sent, 1000000);
        assert_non_null(strstr(server.last, "\r\nExpect: 100-continue\r\n"));

        do
                o = once(&(HttpSend){
                        .body = large, .body_size = LARGE, .expect_continue = true, .url = url("refuse") });
        while (o.body_sent > 0 && clock_boot() < end);
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
        _cleanup_close_ int fd = -1;
        Outcome o;
        char proxy[64], expected[128];

        server_start(&server, peer_ok);
        assert_int_equal(setenv("http_proxy", "http://127.0.0.1:1", 1), 0); /* pitfalls 10.19 */
        assert_int_equal(setenv("ALL_PROXY", "http://127.0.0.1:1", 1), 0);
        assert_int_equal(setenv("NO_PROXY", "*", 1), 0);
        o = once(&(HttpSend){ .method = "GET" });
        assert_int_equal(o.result, CURLE_OK);

        (void) snprintf(proxy, sizeof(proxy), "http://u:secret@127.0.0.1:%u", server.port);
        start_with(&(HttpPoolOptions){ .max_connections = 8, .proxy = proxy, .user_agent = "test/1" });
        for (size_t i = 0; i < 4; i++) { /* the whole URL, of one host and another */
                static const char *const targets[] = { "far.invalid/a", "far.invalid/b?c", "away.invalid/d",
                                                       "far.invalid/e/../f" };
                char where[64];

                (void) snprintf(where, sizeof(where), "http://%s", targets[i]);
                o = once(&(HttpSend){ .method = "GET", .url = where });
                assert_int_equal(o.result, CURLE_OK);
                (void) snprintf(expected, sizeof(expected), "GET %s HTTP/1.1\r\nHost: %.*s\r\n", where,
                                (int) strcspn(targets[i], "/"), targets[i]);
                assert_int_equal(strncmp(server.last, expected, strlen(expected)), 0);
                assert_non_null(strstr(server.last, "\r\nUser-Agent: test/1\r\n"));
        }

        server_stop(&server);
        fd = port_of_nobody(); /* what is said about a failure holds no password */
        (void) snprintf(proxy, sizeof(proxy), "http://u:secret@127.0.0.1:%u", server.port);
        start_with(&(HttpPoolOptions){ .max_connections = 8, .proxy = proxy });
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
        int64_t end = clock_boot() + PATIENCE_NS;
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
                cmocka_unit_test_setup_teardown(kept, set_up, tear_down),
                cmocka_unit_test_setup_teardown(none_left, set_up, tear_down),
                cmocka_unit_test_setup_teardown(drop_while_busy, set_up, tear_down),
                cmocka_unit_test_setup_teardown(repeats, set_up, tear_down),
                cmocka_unit_test_setup_teardown(refused, set_up, tear_down),
                cmocka_unit_test_setup_teardown(no_socket, set_up, tear_down),
                cmocka_unit_test_setup_teardown(queue, set_up, tear_down),
                cmocka_unit_test_setup_teardown(limits, set_up, tear_down),
                cmocka_unit_test_setup_teardown(latency, set_up, tear_down),
                cmocka_unit_test_setup_teardown(callbacks, set_up, tear_down),
                cmocka_unit_test_setup_teardown(silence, set_up, tear_down),
                cmocka_unit_test_setup_teardown(patience, set_up, tear_down),
                cmocka_unit_test_setup_teardown(progress, set_up, tear_down),
                cmocka_unit_test_setup_teardown(expect, set_up, tear_down),
                cmocka_unit_test_setup_teardown(proxies, set_up, tear_down),
                cmocka_unit_test_setup_teardown(slow_names, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, make_large, free_large);
}
