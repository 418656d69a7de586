#include "ctl/client.h"

#include "azsyncd/control.h"
#include "control/address.h"
#include "util/clock.h"
#include "util/places.h"

#include <assert.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

#define CONNECT_PATIENCE_S 10 /* a full backlog: the daemon is busy or stuck */

void client_close(Client *c) {
        closep(&c->fd);
        c->fd = -1;
        buf_done(&c->in);
}

void reply_done(Reply *r) {
        json_decref(r->message);
        *r = (Reply){ 0 };
}

static int client_connect(Client *ret, const char *dir, Error *e) {
        const struct timeval patience = { .tv_sec = CONNECT_PATIENCE_S };
        _cleanup_close_ int fd = -1, dir_fd = -1;
        struct sockaddr_un address;

        dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (dir_fd < 0)
                return error_os(e, errno, "%s", dir);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return error_os(e, errno, "making a socket");
        address_make(&address, dir, dir_fd);
        if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0 ||
            connect(fd, (const struct sockaddr *) &address, sizeof(address)) < 0)
                return error_os(e, errno, "%s/%s", dir, AZSYNC_SOCKET_NAME);
        *ret = (Client){ .fd = TAKE_FD(fd), .output = -1, .in = BUF_INIT(AZSYNC_MESSAGE_MAX) };
        return 0;
}

/* Where a daemon may listen: at most two places, in the order to try them. */
static size_t runtime_dirs(const char *named, char ret[2][PATH_MAX]) {
        bool system = geteuid() == 0;

        if (named)
                (void) snprintf(ret[0], PATH_MAX, "%s", named);
        else
                place_default(PLACE_RUNTIME, system, ret[0], PATH_MAX);
        if (named || system || getenv("RUNTIME_DIRECTORY"))
                return 1;
        place_default(PLACE_RUNTIME, true, ret[1], PATH_MAX);
        return 2;
}

int client_open(Client *ret, const char *runtime_dir, Error *e) {
        char dirs[2][PATH_MAX];
        size_t n = runtime_dirs(runtime_dir, dirs);
        int r = -ENOENT;

        assert(ret);

        for (size_t i = 0; i < n; i++) {
                r = client_connect(ret, dirs[i], e);
                if (r == 0)
                        return 0;
                /* one that is there but does not let us in says more than one that is not there */
                if (r != -ENOENT && r != -ECONNREFUSED)
                        break;
        }
        if (r == -ENOENT || r == -ECONNREFUSED)
                return error_set(e, r, ERROR_OS, -r, "no azsyncd is listening on %s/%s: systemctl start azsyncd",
                                 dirs[n - 1], AZSYNC_SOCKET_NAME);
        if (r == -EACCES)
                return error_prefix(e, r, "may not talk to azsyncd (ask as root, or join the socket's group)");
        if (r == -EAGAIN)
                return error_set(e, r, ERROR_OS, EAGAIN, "azsyncd does not take the call: it is overloaded or stuck");
        return error_prefix(e, r, "cannot talk to azsyncd");
}

/* 0: ready; -ETIMEDOUT; -EPIPE */
static int client_poll(const Client *c, short events, int64_t deadline, Error *e) {
        for (;;) {
                struct pollfd p[] = { { .fd = c->fd, .events = events }, { .fd = c->output } };
                int64_t left_ms =
                        deadline == CLIENT_NO_DEADLINE
                                ? -1
                                : MAX((deadline - clock_boot() + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC, INT64_C(0));
                int n = poll(p, ELEMENTSOF(p), (int) MIN(left_ms, (int64_t) INT_MAX));

                if (n > 0 && p[1].revents != 0) /* asked for nothing: it can only have broken */
                        return error_set(e, -EPIPE, ERROR_OS, EPIPE, "nobody reads the output any more");
                if (n > 0)
                        return 0;
                if (n < 0 && errno != EINTR)
                        return error_os(e, errno, "waiting for azsyncd");
                if (n == 0 && left_ms < INT_MAX)
                        return error_set(e, -ETIMEDOUT, ERROR_OS, ETIMEDOUT, "azsyncd does not answer");
        }
}

static int client_gone(Error *e) {
        return error_set(e, -ECONNRESET, ERROR_OS, ECONNRESET, "azsyncd has hung up: it was stopped or restarted");
}

int client_send(Client *c, const char *method, json_t *parameters, bool more, Error *e) {
        int64_t deadline = clock_boot() + CLIENT_PATIENCE_NS;
        _cleanup_free_ char *text = NULL;
        json_t *message;
        size_t size;
        int r;

        if (!parameters)
                return error_oom(e);
        message = json_pack("{s:o, s:o}", "method", json_sprintf("%s.%s", AZSYNC_INTERFACE, method), "parameters",
                            parameters);
        if (message && (!more || json_object_set_new(message, "more", json_true()) == 0))
                text = json_dumps(message, JSON_COMPACT);
        json_decref(message);
        if (!text)
                return error_oom(e);
        size = strlen(text) + 1;
        if (size > AZSYNC_REQUEST_MAX)
                return error_set(e, -EMSGSIZE, ERROR_PROTOCOL, 0, "too many names in one call");
        for (size_t sent = 0; sent < size;) {
                ssize_t n = send(c->fd, text + sent, size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);

                if (n >= 0) {
                        sent += (size_t) n;
                        continue;
                }
                if (errno == EPIPE || errno == ECONNRESET)
                        return 0; /* it may have said why: the answer will tell */
                if (errno != EAGAIN && errno != EINTR)
                        return error_os(e, errno, "calling azsyncd");
                r = client_poll(c, POLLOUT, deadline, e);
                if (r < 0)
                        return r;
        }
        return 0;
}

bool client_pending(const Client *c) {
        return c->in.size > 0 && memchr(c->in.data, '\0', c->in.size);
}

/* 1: something came; 0: nothing now */
static int client_read(Client *c, Error *e) {
        char chunk[16384];
        ssize_t n = recv(c->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
        int r;

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n == 0 || (n < 0 && errno == ECONNRESET))
                return client_gone(e);
        if (n < 0)
                return error_os(e, errno, "listening to azsyncd");
        r = buf_append(&c->in, chunk, (size_t) n);
        if (r == -EMSGSIZE)
                return error_set(e, -EPROTO, ERROR_PROTOCOL, 0, "azsyncd's answer is too long");
        return r < 0 ? error_oom(e) : 1;
}

void client_peek(Client *c) {
        while (!client_pending(c) && client_read(c, NULL) > 0)
                ;
}

static int reply_parse(Reply *ret, const char *text, size_t size, Error *e) {
        Reply reply = { .message = json_loadb(text, size, 0, NULL) };
        json_t *error = json_object_get(reply.message, "error");

        reply.parameters = json_object_get(reply.message, "parameters");
        if (reply.message && !reply.parameters && json_object_set_new(reply.message, "parameters", json_object()) == 0)
                reply.parameters = json_object_get(reply.message, "parameters");
        if (!json_is_object(reply.parameters) || (error && !json_is_string(error))) {
                json_decref(reply.message);
                return error_set(e, -EPROTO, ERROR_PROTOCOL, 0, "what listens there does not speak Varlink");
        }
        reply.error = json_string_value(error);
        reply.continues = json_is_true(json_object_get(reply.message, "continues"));
        *ret = reply;
        return 0;
}

int client_receive(Client *c, int64_t deadline, Reply *ret, Error *e) {
        size_t size;
        int r;

        while (!client_pending(c)) {
                r = client_read(c, e);
                if (r == 0)
                        r = client_poll(c, POLLIN, deadline, e);
                if (r < 0)
                        return r;
        }
        size = strlen(c->in.data);
        r = reply_parse(ret, c->in.data, size, e);
        buf_consume(&c->in, size + 1);
        return r;
}
