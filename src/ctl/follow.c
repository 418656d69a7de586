#include "ctl/follow.h"

#include "control/json.h"
#include "control/protocol.h"
#include "ctl/text.h"
#include "util/clock.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define GRACE (2 * NSEC_PER_SEC) /* azsyncd counts, too; this is for one that is stuck */

static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig) {
        interrupted = 1;
}

static int ask(const Where *w, Client *c, const char *method, json_t *parameters, bool more, Error *e) {
        int r = client_open(c, w->runtime_dir, e);

        if (r < 0) {
                json_decref(parameters);
                return r;
        }
        return client_send(c, method, parameters, more, e);
}

static void draw(const json_t *status, const char *name) {
        _cleanup_text_ Text t = TEXT_INIT(4096);
        const json_t *m = json_array_get(json_object_get(status, "mappings"), 0);

        text_printf(&t, "\r\033[K%s: %s, ", name, json_get_text(m, "state"));
        text_things(&t, json_get_count(m, "files"), "file", "files");
        text_puts(&t, " in the cloud, ");
        text_count(&t, json_get_count(m, "pending"));
        text_puts(&t, " to do");
        (void) fputs(buf_text(&t.buf), stderr);
        (void) fflush(stderr);
}

/* All that has come of its status. */
static void show_news(Client *c, const char *name) {
        client_peek(c);
        while (client_pending(c)) {
                _cleanup_reply_ Reply reply = { 0 };

                if (client_receive(c, 0, &reply, NULL) < 0 || reply.error) {
                        client_close(c);
                        return;
                }
                draw(reply.parameters, name);
                client_peek(c);
        }
}

/* Until there is an answer in `wait`, the time is up, or somebody has lost patience. */
static void wait_for(Client *wait, Client *status, const char *name, int64_t deadline) {
        while (!interrupted && !client_pending(wait)) {
                struct pollfd fds[] = { { .fd = wait->fd, .events = POLLIN }, { .fd = status->fd, .events = POLLIN } };
                int64_t left = (deadline - clock_boot()) / NSEC_PER_MSEC;

                if (left <= 0 || (poll(fds, ELEMENTSOF(fds), (int) left) < 0 && errno != EINTR))
                        return;
                if (status->fd >= 0)
                        show_news(status, name);
                if (fds[1].revents & (POLLHUP | POLLERR))
                        client_close(status);
                client_peek(wait);
                if (fds[0].revents & (POLLHUP | POLLERR))
                        return;
        }
}

static Followed verdict(Client *wait, char *ret_why, size_t room) {
        _cleanup_reply_ Reply reply = { 0 };
        Error e = ERROR_NULL;
        const char *result;

        if (interrupted && !client_pending(wait))
                return FOLLOWED_GOING_ON;
        if (client_receive(wait, clock_boot(), &reply, &e) < 0) {
                (void) snprintf(ret_why, room, "%s", e.text);
                return FOLLOWED_FAILED;
        }
        if (reply.error) {
                (void) snprintf(ret_why, room, "%s", reply.error);
                return strcmp(reply.error, CONTROL_ERROR_NO_SUCH_MAPPING) == 0 ? FOLLOWED_UNKNOWN : FOLLOWED_FAILED;
        }
        result = json_get_text(reply.parameters, "result");
        (void) snprintf(ret_why, room, "%s", json_get_text(reply.parameters, "why"));
        return strcmp(result, "in_sync") == 0 ? FOLLOWED_IN_SYNC
               : strcmp(result, "stuck") == 0 ? FOLLOWED_STUCK
                                              : FOLLOWED_GOING_ON;
}

Followed follow(const Where *w, const char *name, int64_t ns, bool show, char *ret_why, size_t room) {
        _cleanup_client_ Client wait = CLIENT_INIT, status = CLIENT_INIT;
        struct sigaction action = { .sa_handler = on_interrupt }, before;
        json_t *one = json_pack("{s:s}", "mapping", name),
               *names = json_pack("{s:[s], s:f}", "mappings", name, "timeout_s", (double) ns / (double) NSEC_PER_SEC);
        Error e = ERROR_NULL;
        Followed ret;

        ret_why[0] = '\0';
        if (show && ask(w, &status, "Status", one, true, NULL) < 0)
                client_close(&status);
        else if (!show)
                json_decref(one);
        if (ask(w, &wait, "Wait", names, false, &e) < 0) {
                (void) snprintf(ret_why, room, "%s", e.text);
                return FOLLOWED_FAILED;
        }
        (void) sigemptyset(&action.sa_mask);
        (void) sigaction(SIGINT, &action, &before);
        wait_for(&wait, &status, name, clock_boot() + ns + GRACE);
        ret = verdict(&wait, ret_why, room);
        (void) sigaction(SIGINT, &before, NULL);
        if (show)
                (void) fputs("\r\033[K", stderr);
        return ret;
}
