/* A TCP peer for test-http: speaks as little HTTP as a script wants. One thread per connection; a script says what to
 * do with each request that arrives. Not a stand-in for any service: it breaks rules that a service keeps. */
#pragma once

#include "util/macro.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define PEERS_MAX 64

typedef struct Server Server;
typedef struct Peer {
        Server *server;
        pthread_t thread;
        int fd;
        unsigned number;     /* of this connection, from 0 */
        unsigned request;    /* of this request on it, from 0 */
        char data[65536];    /* head, and what arrived of the body with it */
        size_t size, first;  /* bytes in `data`; bytes the first read gave */
        size_t head;         /* where the body begins */
        char name[64];       /* the path without its '/' */
        uint64_t body, rest; /* Content-Length; what peer_body() still has to read */
} Peer;

typedef bool (*PlayFn)(Peer *p); /* false: close */

struct Server {
        int fd;
        unsigned port;
        PlayFn play;
        pthread_t thread;
        pthread_mutex_t lock;
        pthread_cond_t changed;
        Peer *peers[PEERS_MAX];
        unsigned n_peers, n_open, max_open, n_requests, n_waiting;
        bool gate, stop;
        char last[65536];  /* the last request's head */
        size_t last_first; /* and its Peer.first */
        char names[1024];  /* of all requests, each followed by a blank */
};

static inline bool peer_say_bytes(Peer *p, const void *bytes, size_t size) {
        const char *b = bytes;

        while (size > 0) {
                ssize_t n = send(p->fd, b, size, MSG_NOSIGNAL);

                if (n <= 0)
                        return false;
                b += n;
                size -= (size_t) n;
        }
        return true;
}

static inline bool peer_say(Peer *p, const char *text) {
        return peer_say_bytes(p, text, strlen(text));
}

static inline bool peer_body(Peer *p) { /* reads it and throws it away */
        while (p->rest > 0) {
                char some[65536];
                ssize_t n = recv(p->fd, some, MIN(p->rest, (uint64_t) sizeof(some)), 0);

                if (n <= 0)
                        return false;
                p->rest -= (uint64_t) n;
        }
        return true;
}

/* Reads and says that all is well. */
static inline bool peer_ok(Peer *p) {
        return peer_body(p) && peer_say(p, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
}

static inline bool peer_reset(Peer *p) {
        struct linger now = { .l_onoff = 1 };

        (void) setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
        return false;
}

/* Until server_open(); false if the server is stopped first. */
static inline bool peer_wait(Peer *p) {
        Server *s = p->server;
        bool gate;

        (void) pthread_mutex_lock(&s->lock);
        s->n_waiting++;
        while (!s->gate && !s->stop)
                (void) pthread_cond_wait(&s->changed, &s->lock);
        s->n_waiting--;
        gate = s->gate;
        (void) pthread_mutex_unlock(&s->lock);
        return gate;
}

static inline bool peer_head(Peer *p) {
        Server *s = p->server;
        const char *end = NULL, *length;

        p->size = p->first = 0;
        while (!end) {
                ssize_t n = recv(p->fd, p->data + p->size, sizeof(p->data) - 1 - p->size, 0);

                if (n <= 0)
                        return false;
                if (p->size == 0)
                        p->first = (size_t) n;
                p->size += (size_t) n;
                p->data[p->size] = '\0';
                end = strstr(p->data, "\r\n\r\n");
        }
        p->head = (size_t) (end - p->data) + 4;
        length = strstr(p->data, "Content-Length: ");
        p->body = length && length < end ? strtoull(length + 16, NULL, 10) : 0;
        p->rest = p->body - MIN(p->body, p->size - p->head);
        p->name[0] = '\0';
        (void) sscanf(p->data, "%*s %*[/]%63[^ ]", p->name);

        (void) pthread_mutex_lock(&s->lock);
        s->n_requests++;
        (void) snprintf(s->last, sizeof(s->last), "%.*s", (int) p->head, p->data);
        s->last_first = p->first;
        (void) snprintf(s->names + strlen(s->names), sizeof(s->names) - strlen(s->names), "%s ", p->name);
        (void) pthread_mutex_unlock(&s->lock);
        return true;
}

static inline void *peer_run(void *userdata) {
        Peer *p = userdata;
        Server *s = p->server;
        int fd = p->fd;

        for (; peer_head(p); p->request++)
                if (!s->play(p))
                        break;
        (void) pthread_mutex_lock(&s->lock);
        p->fd = -1;
        s->n_open--;
        (void) pthread_mutex_unlock(&s->lock);
        (void) close(fd);
        return NULL;
}

static inline void *server_run(void *userdata) {
        Server *s = userdata;

        for (;;) {
                Peer *p;
                int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);

                if (fd < 0)
                        return NULL;
                (void) pthread_mutex_lock(&s->lock);
                p = s->n_peers < PEERS_MAX && !s->stop ? calloc(1, sizeof(*p)) : NULL;
                if (p) {
                        p->server = s;
                        p->fd = fd;
                        p->number = s->n_peers;
                        s->peers[s->n_peers++] = p;
                        s->n_open++;
                        s->max_open = MAX(s->max_open, s->n_open);
                        (void) pthread_create(&p->thread, NULL, peer_run, p);
                } else
                        (void) close(fd);
                (void) pthread_mutex_unlock(&s->lock);
        }
}

static inline void server_start(Server *s, PlayFn play) {
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t size = sizeof(a);

        *s = (Server){ .play = play,
                       .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
                       .lock = PTHREAD_MUTEX_INITIALIZER,
                       .changed = PTHREAD_COND_INITIALIZER };
        if (s->fd < 0 || bind(s->fd, (struct sockaddr *) &a, sizeof(a)) < 0 || listen(s->fd, 64) < 0 ||
            getsockname(s->fd, (struct sockaddr *) &a, &size) < 0 ||
            pthread_create(&s->thread, NULL, server_run, s) != 0)
                abort();
        s->port = ntohs(a.sin_port);
}

static inline void server_open(Server *s) {
        (void) pthread_mutex_lock(&s->lock);
        s->gate = true;
        (void) pthread_cond_broadcast(&s->changed);
        (void) pthread_mutex_unlock(&s->lock);
}

/* Afterwards no thread of it is left, and its fields may be read without the lock. Can be called twice. */
static inline void server_stop(Server *s) {
        if (s->fd < 0)
                return;
        (void) pthread_mutex_lock(&s->lock);
        s->stop = true;
        (void) pthread_cond_broadcast(&s->changed);
        (void) shutdown(s->fd, SHUT_RDWR);
        for (unsigned i = 0; i < s->n_peers; i++)
                if (s->peers[i]->fd >= 0)
                        (void) shutdown(s->peers[i]->fd, SHUT_RDWR);
        (void) pthread_mutex_unlock(&s->lock);
        (void) pthread_join(s->thread, NULL);
        for (unsigned i = 0; i < s->n_peers; i++) {
                (void) pthread_join(s->peers[i]->thread, NULL);
                free(s->peers[i]);
        }
        (void) close(s->fd);
        s->fd = -1;
}

static inline unsigned server_count(Server *s, const unsigned *what) {
        unsigned n;

        (void) pthread_mutex_lock(&s->lock);
        n = *what;
        (void) pthread_mutex_unlock(&s->lock);
        return n;
}
