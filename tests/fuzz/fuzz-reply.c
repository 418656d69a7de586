/* What a hostile program sends that listens where azsyncd should, through azsyncctl: messages ended by NULs. Nothing
 * that it shows may hold what a terminal acts upon (pitfalls 6.8). */
#include "azsyncd/control.h"
#include "ctl/client.h"
#include "ctl/queue.h"
#include "ctl/status.h"
#include "util/clock.h"
#include "util/path.h"

#include <string.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW (INT64_C(1790000000) * NSEC_PER_SEC)
#define ROOM ((size_t) 16 * 1024 * 1024)

static void check(bool holds) {
        if (!holds)
                abort();
}

static void check_shown(const Text *t) {
        const char *text = buf_text(&t->buf);

        check(t->r == 0 || t->r == -EMSGSIZE);
        check(strlen(text) == t->buf.size && utf8_valid(text, t->buf.size));
        for (const char *p = text; *p; p++)
                check(*p == '\n' || ((uint8_t) *p >= ' ' && *p != 0x7F));
        check(!strstr(text, "\xC2\x9B")); /* the one-character form of ESC [ */
}

static void show(const Reply *reply) {
        const StatusStyle style = { .now_ns = NOW, .old_s = 1.5 };
        QueueTable table = { .now_ns = NOW };
        _cleanup_text_ Text status = TEXT_INIT(ROOM), queue = TEXT_INIT(ROOM), checked = TEXT_INIT(ROOM);
        int lines;

        status_render(&status, reply->parameters, &style);
        check_shown(&status);
        lines = status_attention(&checked, reply->parameters);
        check_shown(&checked);
        check((lines > 0) == (checked.buf.size > 0));
        queue_render(&queue, &table, json_object_get(reply->parameters, "items"));
        check_shown(&queue);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_client_ Client c = CLIENT_INIT;
        int ends[2], r = 0;

        /* what a socket holds at once, so that one thread can write and then read */
        check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
        c = (Client){ .fd = ends[0], .output = -1, .in = BUF_INIT(AZSYNC_MESSAGE_MAX) };
        size = MIN(size, (size_t) 64 * 1024);
        check(size == 0 || send(ends[1], data, size, MSG_NOSIGNAL) == (ssize_t) size);
        (void) close(ends[1]);
        client_peek(&c);
        while (r == 0) {
                _cleanup_reply_ Reply reply = { 0 };
                Error e = ERROR_NULL;

                r = client_receive(&c, 0, &reply, &e);
                check((r == 0) == (reply.message != NULL) && (r == 0 || e.text[0] != '\0'));
                if (r == 0)
                        show(&reply);
                else if (r == -EPROTO) /* azsyncctl ends here; the fuzzer has the next message */
                        r = 0;
        }
        check(r == -ECONNRESET);
        return 0;
}
