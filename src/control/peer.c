#include "control/peer.h"

#include "azsyncd/control.h"
#include "util/clock.h"

#include <assert.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>

#define BUFFER_KEPT 16384u /* what a client that is idle keeps of its buffers */

/* What the time limit is for. */
typedef enum Limit {
        LIMIT_NONE,    /* waiting for us, or watching */
        LIMIT_IDLE,    /* nothing asked */
        LIMIT_REQUEST, /* a request is begun and not ended: counts from its first byte, however it trickles */
        LIMIT_ANSWER,  /* an answer waits to be taken: counts from the last byte taken */
} Limit;

struct Peer {
        const PeerOptions *options;
        int fd;
        sd_event_source *io;
        Timer *timer;
        Limit limit;
        bool progress; /* the time limit starts anew */

        Buf in;
        Buf out; /* one reply at most, but for the error of a peer that cannot be talked to */
        size_t sent;
        bool eof;     /* it will send no more */
        bool gone;    /* nobody reads the answers */
        bool closing; /* is shown out once it has read the last answer */
        int failed;   /* negative: cannot go on */
        Call call;
};

bool credentials_trusted(const struct ucred *who) {
        return who->uid == 0 || who->uid == geteuid();
}

bool peer_trusted(const Peer *p) {
        return p->call.trusted;
}

bool peer_watches(const Peer *p) {
        return p->call.state == CALL_WATCH;
}

static size_t request_size(const Peer *p, bool *ret_whole) {
        const char *end = p->in.size > 0 ? memchr(p->in.data, '\0', p->in.size) : NULL;

        *ret_whole = end;
        return end ? (size_t) (end - p->in.data) : p->in.size;
}

/* Is there something to do that needs nothing more from the client? */
static bool has_work(const Peer *p) {
        bool whole;

        if (p->failed < 0 || p->out.size > 0 || p->call.state == CALL_QUEUE)
                return true;
        if (p->call.state != CALL_NONE)
                return false;
        (void) request_size(p, &whole);
        return whole || p->closing || p->eof || p->in.size == p->in.ceiling;
}

/* The end is not seen before all that was asked for is done: it may have been a oneway call. */
static bool wants_input(const Peer *p) {
        return !p->eof && p->call.state == CALL_NONE && !has_work(p);
}

static Limit limit_now(const Peer *p) {
        if (p->out.size > 0 || p->call.state == CALL_QUEUE) /* the next page waits for room, too */
                return LIMIT_ANSWER;
        if (p->call.state != CALL_NONE)
                return LIMIT_NONE;
        return p->in.size > 0 ? LIMIT_REQUEST : LIMIT_IDLE;
}

/* Sets what the loop waits for. EPOLLOUT also means "one more turn": a socket that can be written to is ready at once,
 * and the other clients have had their turn in between. */
static void peer_arm(Peer *p) {
        uint32_t events = (wants_input(p) ? EPOLLIN : 0) | (has_work(p) ? EPOLLOUT : 0);
        Limit limit = limit_now(p);

        (void) sd_event_source_set_io_events(p->io, events);
        if (limit == p->limit && !p->progress)
                return;
        p->limit = limit;
        p->progress = false;
        if (limit == LIMIT_NONE)
                timer_stop(p->timer);
        else
                timer_set(p->timer, clock_boot() + (limit == LIMIT_IDLE ? p->options->idle_ns : p->options->stuck_ns));
}

static void peer_leave(Peer *p) {
        p->gone = true;
        buf_clear(&p->out);
        p->sent = 0;
        call_stop(&p->call);
}

static void peer_read(Peer *p) {
        char chunk[16384];
        size_t room = MIN(sizeof(chunk), p->in.ceiling - p->in.size);
        ssize_t n;

        if (room == 0)
                return;
        n = recv(p->fd, chunk, room, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0)
                p->eof = true;
        else if (buf_append(&p->in, chunk, (size_t) n) < 0)
                p->failed = -ENOMEM;
}

static void peer_write(Peer *p) {
        ssize_t n;

        if (p->out.size == 0)
                return;
        n = send(p->fd, p->out.data + p->sent, p->out.size - p->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
                peer_leave(p);
                return;
        }
        if (n <= 0)
                return;
        p->sent += (size_t) n;
        p->progress = true;
        if (p->sent < p->out.size)
                return;
        p->sent = 0;
        if (p->out.room > BUFFER_KEPT)
                buf_done(&p->out);
        else
                buf_clear(&p->out);
        if (p->call.state == CALL_WATCH && p->call.dirty)
                p->options->behind(p->options->userdata);
}

static void peer_show_out(Peer *p, const char *why) {
        p->closing = true;
        p->failed = reply_error_text(&p->out, CONTROL_ERROR_FAILED, "message", why);
}

/* Starts on the next request, if there is one whole. */
static void peer_next(Peer *p) {
        _cleanup_request_ Request request = { 0 };
        bool whole;
        size_t size = request_size(p, &whole);
        int r;

        if (!whole) {
                if (p->in.size == p->in.ceiling)
                        peer_show_out(p, "the request is longer than 64 KiB");
                return;
        }
        r = protocol_parse(&request, p->in.data, size, &p->out);
        buf_consume(&p->in, size + 1);
        if (p->in.size == 0 && p->in.room > BUFFER_KEPT)
                buf_done(&p->in);
        p->progress = true;
        if (r == 0)
                p->failed = call_start(&p->call, p->options->loop, &request);
        else if (r == -EPROTO)
                peer_show_out(p, "this is not a Varlink call");
        else if (r != -EBADMSG)
                p->failed = r;
}

static bool peer_ended(const Peer *p) {
        if (p->failed < 0)
                return true;
        if (p->out.size > 0 || p->call.state != CALL_NONE)
                return false;
        return p->closing || p->eof;
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Peer *p = userdata;

        if (events & (EPOLLHUP | EPOLLERR) && !p->gone)
                peer_leave(p);
        if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && wants_input(p))
                peer_read(p);
        peer_write(p);
        if (p->out.size == 0 && p->failed == 0) {
                if (p->call.state == CALL_QUEUE)
                        p->failed = call_more(&p->call);
                else if (p->call.state == CALL_NONE && !p->closing)
                        peer_next(p);
                if (p->gone)
                        peer_leave(p); /* drops the answer */
                peer_write(p);
        }
        if (peer_ended(p))
                p->options->gone(p, p->options->userdata);
        else
                peer_arm(p);
        return 0;
}

/* What the client is waited for has come, and it is the loop that was held up. That a begun request trickles on is no
 * excuse. */
static bool is_ours(const Peer *p) {
        struct pollfd fd = { .fd = p->fd, .events = p->limit == LIMIT_IDLE ? POLLIN : POLLOUT };

        return p->limit != LIMIT_REQUEST && poll(&fd, 1, 0) > 0;
}

static void on_limit(void *userdata) {
        Peer *p = userdata;

        if (is_ours(p)) {
                p->progress = true;
                peer_arm(p); /* its turn comes next */
        } else
                p->options->gone(p, p->options->userdata);
}

static void on_ready(int r, void *userdata) {
        Peer *p = userdata;

        /* called from within the engine: the answer is written in the peer's own turn, for that may free it */
        p->failed = r;
        peer_arm(p);
}

void peer_changed(Peer *p) {
        if (p->call.state == CALL_WATCH)
                p->call.dirty = true;
}

void peer_tell(Peer *p) {
        if (p->call.state != CALL_WATCH || !p->call.dirty || p->out.size > 0 || p->failed < 0)
                return;
        p->failed = call_more(&p->call);
        peer_arm(p);
}

int peer_new(Peer **ret, const PeerOptions *options, int fd, const struct ucred *who, Error *e) {
        _cleanup_close_ int owned = fd;
        _cleanup_(peer_freep) Peer *p = calloc(1, sizeof(*p));
        int r;

        assert(ret && options && fd >= 0 && who);

        if (!p)
                return error_oom(e);
        p->fd = -1;
        p->options = options;
        p->in = BUF_INIT(AZSYNC_REQUEST_MAX + 1); /* and the NUL */
        p->out = BUF_INIT(AZSYNC_MESSAGE_MAX);
        p->call = (Call){
                .control = options->control,
                .trusted = credentials_trusted(who),
                .uid = who->uid,
                .pid = who->pid,
                .out = &p->out,
                .ready = on_ready,
                .userdata = p,
        };
        r = timer_new(&p->timer, options->loop, on_limit, p, e);
        if (r < 0)
                return r;
        r = sd_event_add_io(options->loop, &p->io, fd, EPOLLIN, on_io, p);
        if (r < 0)
                return error_os(e, -r, "watching a client's socket");
        p->fd = TAKE_FD(owned);
        peer_arm(p);
        *ret = TAKE_PTR(p);
        return 0;
}

Peer *peer_free(Peer *p) {
        if (!p)
                return NULL;
        call_stop(&p->call);
        (void) sd_event_source_disable_unref(p->io);
        timer_free(p->timer);
        closep(&p->fd);
        buf_done(&p->in);
        buf_done(&p->out);
        free(p);
        return NULL;
}
