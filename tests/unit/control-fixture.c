#include "control-fixture.h"

#include "control/address.h"

#include <sys/stat.h>

const FakeMapping fixture_mappings[3] = {
        { "documents", 1234, 0, "dir/secret: gone" },
        { "empty", 0, 0, NULL },
        { "photos", 700, 0, NULL },
};

static int on_reload(Buf *report, Error *e, void *userdata) {
        Fixture *f = userdata;

        f->n_reloads++;
        assert_int_equal(buf_puts(report, f->reload_report), 0);
        return f->reload_result < 0 ? error_set(e, f->reload_result, ERROR_CONFIG, 3, "first complaint") : 0;
}

int fixture_serve(Fixture *f, const ServerOptions *limits, Server **ret, Error *e) {
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

void fixture_serve_anew(Fixture *f, const ServerOptions *limits) {
        Error e = ERROR_NULL;

        f->server = server_free(f->server);
        if (fixture_serve(f, limits, &f->server, &e) < 0)
                fail_msg("%s", e.text);
}

int fixture_set_up(void **state) {
        Fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        f->engine.mappings = fixture_mappings;
        f->engine.n_mappings = ELEMENTSOF(fixture_mappings);
        f->reload_report = "";
        (void) strcpy(f->base, "/tmp/azsync-test-XXXXXX");
        assert_non_null(mkdtemp(f->base));
        assert_int_equal(chmod(f->base, 0755), 0); /* for the stranger */
        (void) snprintf(f->dir, sizeof(f->dir), "%s/run", f->base);
        assert_true(sd_event_new(&f->loop) >= 0);
        fixture_serve_anew(f, NULL);
        *state = f;
        return 0;
}

int fixture_tear_down(void **state) {
        Fixture *f = *state;

        server_free(f->server);
        sd_event_unref(f->loop);
        assert_null(f->engine.waits);
        assert_int_equal(rmdir(f->dir), 0); /* nothing is left behind */
        assert_int_equal(rmdir(f->base), 0);
        free(f);
        return 0;
}

void turn(Fixture *f) {
        assert_true(sd_event_run(f->loop, 5000) >= 0);
}

void quiet(Fixture *f) {
        int64_t end = clock_boot() + PATIENCE_NS;

        while (sd_event_run(f->loop, 5000) != 0)
                assert_true(clock_boot() < end);
}

/* --- a client --- */

void client_close(Client *c) {
        closep(&c->fd);
        c->fd = -1;
        buf_done(&c->in);
}

Client client_open(Fixture *f) {
        Client c = { .f = f, .in = BUF_INIT((size_t) 64 << 20) };
        struct sockaddr_un address;

        address_make(&address, f->dir, -1);
        c.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(c.fd >= 0);
        assert_int_equal(connect(c.fd, (const struct sockaddr *) &address, sizeof(address)), 0);
        return c;
}

void client_send(Client *c, const char *text, size_t size) {
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

void client_ask(Client *c, const char *text) {
        client_send(c, text, strlen(text) + 1);
}

/* What has come so far: true if that is a whole message, or the end. */
bool client_has(Client *c) {
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
json_t *client_next(Client *c) {
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

void client_expect(Client *c, const char *expected) {
        json_t *got = client_next(c), *want = json_loads(expected, 0, NULL);
        _cleanup_free_ char *text = got ? json_dumps(got, 0) : NULL;

        assert_non_null(want);
        if (!got || !json_equal(got, want))
                fail_msg("expected %s, got %s", expected, text ? text : "the end");
        json_decref(got);
        json_decref(want);
}

void client_expect_end(Client *c) {
        assert_null(client_next(c));
}

json_int_t client_next_files(Client *c) {
        json_t *m = client_next(c), *first;
        json_int_t files;

        assert_non_null(m);
        assert_true(json_is_true(json_object_get(m, "continues")));
        first = json_array_get(json_object_get(json_object_get(m, "parameters"), "mappings"), 0);
        files = json_integer_value(json_object_get(first, "files"));
        json_decref(m);
        return files;
}
