/* What a small request costs is mostly system calls and callbacks, so three are spared here:
 *
 * - The sockets have an epoll set of their own, and the loop watches that. sd-event asks its whole set again for each
 *   callback, so that a hundred sockets with an answer each would be looked at a hundred times a hundred times.
 * - When libcurl no longer looks at a socket (its connection is kept), the socket stays in the epoll set as it is. Most
 *   requests therefore need no epoll_ctl() at all. If something happens on a kept connection (the peer closes it, as a
 *   rule), it is taken out; libcurl finds out itself before it uses that connection again.
 * - libcurl moves its timer with every request. A later deadline leaves the timer source alone; it then fires early
 *   once and is set anew. "At once" is a defer source, not a timer.
 *
 * The second is safe for sockets made by open_socket() only, whose closing close_socket() sees. Others (the resolver's
 * socket pair) are closed behind our back and are taken out when libcurl says so. */
#include "http/multi.h"

#include "util/clock.h"
#include "util/log.h"

#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define AGAIN_NS (100 * NSEC_PER_MSEC)
#define EVENTS_AT_ONCE 64 /* others on the loop have their turn after so many */

typedef struct Sock {
        uint32_t events; /* as in the epoll set; 0: it is not in there */
        bool ours;       /* close_socket() will tell */
        bool kept;       /* libcurl does not look at it now */
} Sock;

struct Multi {
        CURLM *curl;
        sd_event *loop;
        sd_event_source *timer, *kick, *ready;
        int epoll;
        int64_t wanted_ns, armed_ns; /* boot time; INT64_MAX: not at all */
        int64_t again_ns;            /* likewise; ours, after a failure of libcurl's */
        Sock **socks;                /* by file descriptor */
        size_t n_socks;
        unsigned running, max_kept, user_timeout_ms;
        MultiDoneFn done;
        void *userdata;
};

static Sock *sock_find(const Multi *m, int fd) {
        return (size_t) fd < m->n_socks ? m->socks[fd] : NULL;
}

static void sock_watch(Multi *m, Sock *s, int fd, uint32_t events) {
        struct epoll_event e = { .events = events, .data.fd = fd };
        int op = events == 0 ? EPOLL_CTL_DEL : s->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

        if (events == s->events)
                return;
        if (epoll_ctl(m->epoll, op, fd, &e) < 0)
                log_debug("watching a socket: %s", strerror(errno));
        else
                s->events = events;
}

static void sock_forget(Multi *m, int fd) {
        Sock *s = sock_find(m, fd);

        if (!s)
                return;
        m->socks[fd] = NULL;
        sock_watch(m, s, fd, 0);
        free(s);
}

static Sock *sock_new(Multi *m, int fd, bool ours) {
        Sock *s;

        if ((size_t) fd >= m->n_socks) {
                size_t n = MAX((size_t) fd + 1, m->n_socks * 2 + 64);
                Sock **grown = reallocarray(m->socks, n, sizeof(void *));

                if (!grown)
                        return NULL;
                for (size_t i = m->n_socks; i < n; i++)
                        grown[i] = NULL;
                m->socks = grown;
                m->n_socks = n;
        }
        s = malloc(sizeof(*s));
        if (!s)
                return NULL;
        *s = (Sock){ .ours = ours };
        m->socks[fd] = s;
        return s;
}

static void arm(Multi *m, int64_t at_ns) {
        uint64_t usec = (uint64_t) (at_ns / NSEC_PER_USEC) + 1;
        int r;

        r = sd_event_source_set_time(m->timer, usec);
        if (r >= 0)
                r = sd_event_source_set_enabled(m->timer, SD_EVENT_ONESHOT);
        if (r < 0)
                log_debug("setting curl's timer: %d", r);
        m->armed_ns = at_ns;
}

/* Out of memory, libcurl stops where it is: it sets no timer, and may have lost sight of a transfer. Whatever it missed
 * it finds out when it is asked again, which nobody else might do. */
static void act_again(Multi *m) {
        m->again_ns = clock_boot() + AGAIN_NS;
        if (m->again_ns < m->armed_ns)
                arm(m, m->again_ns);
}

static void act(Multi *m, curl_socket_t fd, int what) {
        CURLMsg *msg;
        CURLMcode code;
        int n;

        code = curl_multi_socket_action(m->curl, fd, what, &n);
        if (code != CURLM_OK) {
                log_debug("curl_multi_socket_action: %s", curl_multi_strerror(code));
                act_again(m);
        }
        while ((msg = curl_multi_info_read(m->curl, &n))) { /* until dry: one wake-up can finish many */
                CURL *easy = msg->easy_handle;
                CURLcode result = msg->data.result; /* msg dies with the handle: copy first */

                if (msg->msg != CURLMSG_DONE)
                        continue;
                multi_stop(m, easy);
                m->done(easy, result, m->userdata);
        }
}

static void on_io(Multi *m, int fd, uint32_t revents) {
        Sock *s = sock_find(m, fd); /* what came before it may have closed it, and even made another one of its number:
                                       libcurl does not mind looking at that */
        int what = 0;

        if (!s || s->events == 0)
                return;
        if (s->kept) {
                sock_watch(m, s, fd, 0);
                return;
        }
        if (revents & EPOLLIN)
                what |= CURL_CSELECT_IN;
        if (revents & EPOLLOUT)
                what |= CURL_CSELECT_OUT;
        if (revents & (EPOLLERR | EPOLLHUP)) /* IN: libcurl then asks the socket itself what is wrong */
                what |= CURL_CSELECT_ERR | CURL_CSELECT_IN;
        act(m, fd, what);
}

static int on_ready(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct epoll_event events[EVENTS_AT_ONCE];
        Multi *m = userdata;
        int n = epoll_wait(fd, events, EVENTS_AT_ONCE, 0);

        for (int i = 0; i < n; i++)
                on_io(m, events[i].data.fd, events[i].events);
        return 0;
}

static uint32_t events_of(int what) {
        switch (what) {
        case CURL_POLL_IN:
                return EPOLLIN;
        case CURL_POLL_OUT:
                return EPOLLOUT;
        case CURL_POLL_INOUT:
                return EPOLLIN | EPOLLOUT;
        default:
                return 0;
        }
}

/* A failure here leaves the transfer to libcurl's own timer, which looks at the sockets too, and to its time limits.
 * Returning -1 instead would end every other transfer of the multi. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *userdata, void *socketp) {
        Multi *m = userdata;
        Sock *s = sock_find(m, fd);

        if (what == CURL_POLL_REMOVE) {
                if (s && s->ours)
                        s->kept = true;
                else
                        sock_forget(m, fd);
                return 0;
        }

        if (!s)
                s = sock_new(m, fd, false);
        if (!s)
                return 0;
        s->kept = false;
        sock_watch(m, s, fd, events_of(what));
        return 0;
}

static curl_socket_t open_socket(void *userdata, curlsocktype purpose, struct curl_sockaddr *a) {
        MultiSockets *sockets = userdata;
        Multi *m = sockets->multi;
        int fd;

        if (purpose != CURLSOCKTYPE_IPCXN)
                return CURL_SOCKET_BAD;
        fd = socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
        if (fd < 0) {
                if (errno == EMFILE || errno == ENFILE)
                        sockets->shortage = errno;
                return CURL_SOCKET_BAD;
        }
        sock_forget(m, fd); /* whatever had this number is closed */
        if (!sock_new(m, fd, true)) {
                (void) close(fd);
                return CURL_SOCKET_BAD;
        }
        /* Catches what the low-speed limit does not: a peer that is gone while our bytes wait in the kernel (10.8). */
        if (a->family == AF_INET || a->family == AF_INET6)
                (void) setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &m->user_timeout_ms, sizeof(m->user_timeout_ms));
        return fd;
}

static int close_socket(void *userdata, curl_socket_t fd) {
        sock_forget(userdata, fd);
        return close(fd);
}

static int on_curl_timer(CURLM *curl, long timeout_ms, void *userdata) {
        Multi *m = userdata;

        if (timeout_ms == 0)
                (void) sd_event_source_set_enabled(m->kick, SD_EVENT_ONESHOT);
        m->wanted_ns = timeout_ms <= 0 ? INT64_MAX : clock_boot() + timeout_ms * NSEC_PER_MSEC;
        if (m->wanted_ns < m->armed_ns)
                arm(m, m->wanted_ns);
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Multi *m = userdata;
        int64_t now = clock_boot(), next;

        m->armed_ns = INT64_MAX;
        next = MIN(m->wanted_ns, m->again_ns);
        if (next == INT64_MAX)
                return 0;
        if (now < next) {
                arm(m, next);
                return 0;
        }
        if (now >= m->wanted_ns)
                m->wanted_ns = INT64_MAX;
        if (now >= m->again_ns)
                m->again_ns = INT64_MAX;
        if (m->wanted_ns != INT64_MAX) /* told once: libcurl does not repeat it */
                arm(m, m->wanted_ns);
        act(m, CURL_SOCKET_TIMEOUT, 0);
        return 0;
}

static int on_kick(sd_event_source *source, void *userdata) {
        Multi *m = userdata;

        act(m, CURL_SOCKET_TIMEOUT, 0);
        return 0;
}

static CURLM *curl_new(Multi *m) {
        CURLM *curl = curl_multi_init();
        CURLMcode code = CURLM_OK;

        if (!curl)
                return NULL;
        code |= curl_multi_setopt(curl, CURLMOPT_SOCKETFUNCTION, on_socket);
        code |= curl_multi_setopt(curl, CURLMOPT_SOCKETDATA, m);
        code |= curl_multi_setopt(curl, CURLMOPT_TIMERFUNCTION, on_curl_timer);
        code |= curl_multi_setopt(curl, CURLMOPT_TIMERDATA, m);
        code |= curl_multi_setopt(curl, CURLMOPT_PIPELINING, (long) CURLPIPE_NOTHING);
        code |= curl_multi_setopt(curl, CURLMOPT_MAXCONNECTS, (long) m->max_kept);
        if (code == CURLM_OK)
                return curl;
        (void) curl_multi_cleanup(curl);
        return NULL;
}

static int set_up(Multi *m) {
        int r;

        r = sd_event_add_time(m->loop, &m->timer, CLOCK_BOOTTIME, 0, 5000, on_timer, m); /* 5 ms is exact enough */
        if (r >= 0)
                r = sd_event_source_set_enabled(m->timer, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_defer(m->loop, &m->kick, on_kick, m);
        if (r >= 0)
                r = sd_event_source_set_enabled(m->kick, SD_EVENT_OFF);
        if (r >= 0)
                r = (m->epoll = epoll_create1(EPOLL_CLOEXEC)) < 0 ? -errno : 0;
        if (r >= 0)
                r = sd_event_add_io(m->loop, &m->ready, m->epoll, EPOLLIN, on_ready, m);
        return r < 0 ? r : 0;
}

int multi_new(Multi **ret, sd_event *loop, unsigned max_kept, unsigned user_timeout_ms, MultiDoneFn done,
              void *userdata, Error *e) {
        _cleanup_(multi_freep) Multi *m = NULL;
        int r;

        assert(ret && loop && max_kept > 0 && done);

        m = calloc(1, sizeof(*m));
        if (!m)
                return error_oom(e);
        m->loop = sd_event_ref(loop);
        m->epoll = -1;
        m->wanted_ns = m->armed_ns = m->again_ns = INT64_MAX;
        m->max_kept = max_kept;
        m->user_timeout_ms = user_timeout_ms;
        m->done = done;
        m->userdata = userdata;
        m->curl = curl_new(m);
        if (!m->curl)
                return error_oom(e);
        r = set_up(m);
        if (r < 0)
                return error_os(e, -r, "setting up curl");

        *ret = TAKE_PTR(m);
        return 0;
}

Multi *multi_free(Multi *m) {
        if (!m)
                return NULL;
        assert(m->running == 0);

        if (m->curl)
                (void) curl_multi_cleanup(m->curl); /* closes the kept connections through close_socket() */
        for (size_t i = 0; i < m->n_socks; i++)
                sock_forget(m, (int) i);
        free(m->socks);
        (void) sd_event_source_disable_unref(m->timer);
        (void) sd_event_source_disable_unref(m->kick);
        (void) sd_event_source_disable_unref(m->ready);
        closep(&m->epoll);
        (void) sd_event_unref(m->loop);
        free(m);
        return NULL;
}

int multi_start(Multi *m, CURL *easy, MultiSockets *sockets) {
        CURLcode code = CURLE_OK;

        *sockets = (MultiSockets){ .multi = m };
        /* A connection remembers who closes it, so that is the multi that owns it. */
        code |= curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
        code |= curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, sockets);
        code |= curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
        code |= curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, m);
        if (code != CURLE_OK || curl_multi_add_handle(m->curl, easy) != CURLM_OK)
                return -ENOMEM;
        m->running++;
        return 0;
}

void multi_stop(Multi *m, CURL *easy) {
        CURLMcode code;

        assert(m->running > 0);

        code = curl_multi_remove_handle(m->curl, easy);
        assert(code == CURLM_OK);
        (void) code;
        m->running--;
}

void multi_keep(Multi *m, unsigned max_kept) {
        CURLMcode code = curl_multi_setopt(m->curl, CURLMOPT_MAXCONNECTS, (long) max_kept);

        assert(code == CURLM_OK);
        (void) code;
        m->max_kept = max_kept;
}

void multi_drop_kept(Multi *m) {
        CURLM *fresh;

        if (m->running > 0) { /* libcurl closes what it finds dead, which it asks before it takes a kept one */
                for (size_t fd = 0; fd < m->n_socks; fd++)
                        if (m->socks[fd] && m->socks[fd]->ours && m->socks[fd]->kept)
                                (void) shutdown((int) fd, SHUT_RDWR);
                return;
        }
        fresh = curl_new(m);
        if (!fresh) {
                log_debug("kept connections stay: out of memory");
                return;
        }
        (void) curl_multi_cleanup(m->curl);
        m->curl = fresh;
        m->wanted_ns = INT64_MAX;
}
