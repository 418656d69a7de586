#include "control/server.h"

#include "azsyncd/control.h"
#include "control/address.h"
#include "control/peer.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/path.h"

#include <assert.h>
#include <string.h>
#include <sys/epoll.h>

#define NEWS_EVERY_NS (100 * NSEC_PER_MSEC)
#define ACCEPT_PAUSE_NS NSEC_PER_SEC

struct Server {
        sd_event *loop;
        Control control;
        PeerOptions peer_options;
        Listener listener;
        sd_event_source *io;
        Timer *accept_again; /* out of descriptors or memory */
        Timer *news;
        int64_t told_ns; /* when the watching peers were last told, boot time */
        Peer *peers[SERVER_PEERS_MAX];
};

static void on_gone(Peer *peer, void *userdata) {
        Server *s = userdata;

        for (size_t i = 0; i < ELEMENTSOF(s->peers); i++)
                if (s->peers[i] == peer)
                        s->peers[i] = peer_free(peer);
}

static void news_arm(void *userdata) {
        Server *s = userdata;

        if (timer_get(s->news) == 0)
                timer_set(s->news, MAX(clock_boot(), s->told_ns + NEWS_EVERY_NS));
}

/* From within the engine: only notes it. */
static void on_change(void *userdata) {
        Server *s = userdata;
        bool any = false;

        for (size_t i = 0; i < ELEMENTSOF(s->peers); i++)
                if (s->peers[i] && peer_watches(s->peers[i])) {
                        peer_changed(s->peers[i]);
                        any = true;
                }
        if (any)
                news_arm(s);
}

static void on_news(void *userdata) {
        Server *s = userdata;

        s->told_ns = clock_boot();
        for (size_t i = 0; i < ELEMENTSOF(s->peers); i++)
                if (s->peers[i])
                        peer_tell(s->peers[i]);
        control_forget_news(&s->control);
}

/* The slot for one more peer; NULL: full, for him. */
static Peer **peer_slot(Server *s, bool trusted) {
        size_t strangers = 0;
        Peer **slot = NULL;

        for (size_t i = 0; i < ELEMENTSOF(s->peers); i++)
                if (!s->peers[i])
                        slot = &s->peers[i];
                else if (!peer_trusted(s->peers[i]))
                        strangers++;
        return trusted || strangers < SERVER_STRANGERS_MAX ? slot : NULL;
}

static void welcome(Server *s, int accepted) {
        _cleanup_close_ int fd = accepted;
        struct ucred who;
        socklen_t length = sizeof(who);
        Error e = ERROR_NULL;
        Peer **slot;

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &length) < 0 || length != sizeof(who))
                return;
        slot = peer_slot(s, credentials_trusted(&who));
        if (!slot) {
                _cleanup_buf_ Buf reply = BUF_INIT(4096);

                if (reply_error_text(&reply, CONTROL_ERROR_FAILED, "message", "too many clients; try again later") == 0)
                        (void) send(fd, reply.data, reply.size, MSG_NOSIGNAL | MSG_DONTWAIT);
                return;
        }
        if (peer_new(slot, &s->peer_options, TAKE_FD(fd), &who, &e) < 0)
                log_debug("control: %s", e.text);
}

static int on_accept(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Server *s = userdata;
        int accepted = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (accepted >= 0) {
                welcome(s, accepted);
        } else if (error_is_shortage(errno) || errno == ENOBUFS) {
                /* the client stays in the backlog, so the descriptor stays ready: without a pause we would spin */
                (void) sd_event_source_set_enabled(s->io, SD_EVENT_OFF);
                timer_set(s->accept_again, clock_boot() + ACCEPT_PAUSE_NS);
                engine_short(s->control.engine);
        }
        return 0; /* every other error is that of a client who has left */
}

static void on_accept_again(void *userdata) {
        Server *s = userdata;

        (void) sd_event_source_set_enabled(s->io, SD_EVENT_ON);
}

int server_new(Server **ret, sd_event *loop, const ServerOptions *options, Error *e) {
        _cleanup_(server_freep) Server *s = calloc(1, sizeof(*s));
        int r;

        assert(ret && loop && options && options->runtime_dir && options->engine);

        if (!s)
                return error_oom(e);
        s->listener = LISTENER_INIT;
        s->loop = sd_event_ref(loop);
        s->control = (Control){
                .engine = options->engine,
                .reload = options->reload,
                .userdata = options->userdata,
                .started_ns = clock_boot(),
                .news = { BUF_INIT(AZSYNC_MESSAGE_MAX), BUF_INIT(AZSYNC_MESSAGE_MAX) },
        };
        s->peer_options = (PeerOptions){
                .control = &s->control,
                .loop = loop,
                .idle_ns = options->idle_ns > 0 ? options->idle_ns : 300 * NSEC_PER_SEC,
                .stuck_ns = options->stuck_ns > 0 ? options->stuck_ns : 30 * NSEC_PER_SEC,
                .gone = on_gone,
                .behind = news_arm,
                .userdata = s,
        };
        r = timer_new(&s->accept_again, loop, on_accept_again, s, e);
        if (r >= 0)
                r = timer_new(&s->news, loop, on_news, s, e);
        if (r >= 0)
                r = listener_open(&s->listener, options->runtime_dir, e);
        if (r < 0)
                return r;
        r = sd_event_add_io(loop, &s->io, s->listener.fd, EPOLLIN, on_accept, s);
        if (r < 0)
                return error_os(e, -r, "watching the control socket");
        engine_listen(s->control.engine, on_change, s);
        *ret = TAKE_PTR(s);
        return 0;
}

void server_reloaded(Server *s, const char *complaint) {
        if (!s)
                return;
        s->control.refused_ns = complaint ? clock_wall() : 0;
        if (complaint)
                (void) path_display(complaint, strcspn(complaint, "\n"), s->control.refused,
                                    sizeof(s->control.refused));
        on_change(s);
}

Server *server_free(Server *s) {
        if (!s)
                return NULL;
        for (size_t i = 0; i < ELEMENTSOF(s->peers); i++)
                peer_free(s->peers[i]);
        (void) sd_event_source_disable_unref(s->io);
        timer_free(s->accept_again);
        timer_free(s->news);
        listener_close(&s->listener);
        for (size_t i = 0; i < ELEMENTSOF(s->control.news); i++)
                buf_done(&s->control.news[i]);
        sd_event_unref(s->loop);
        free(s);
        return NULL;
}
