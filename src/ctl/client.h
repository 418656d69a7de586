/* azsyncctl's end of the control socket: one connection, one call at a time. Every wait has an end, and what the daemon
 * sends has a limit. */
#pragma once

#include "util/buf.h"
#include "util/error.h"

#include <jansson.h>

#define CLIENT_PATIENCE_NS (INT64_C(60) * 1000 * 1000 * 1000) /* for an answer that should come at once */
#define CLIENT_NO_DEADLINE INT64_MAX

typedef struct Client {
        int fd;
        int output; /* -1, or what answers are written to: who waits for one learns that nobody reads there any more */
        Buf in;
} Client;
#define CLIENT_INIT ((Client){ .fd = -1, .output = -1 })

/* Connects to the socket in `runtime_dir`; NULL: $RUNTIME_DIRECTORY, or else the usual places, one's own first.
 * -EACCES: not allowed to; -ENOENT: nobody listens; both with what to do about it. */
int client_open(Client *ret, const char *runtime_dir, Error *e) _must_check_;
void client_close(Client *c);
#define _cleanup_client_ _cleanup_(client_close)

typedef struct Reply {
        json_t *message;
        json_t *parameters; /* never NULL; borrowed from `message` */
        const char *error;  /* NULL: it went well */
        bool continues;
} Reply;
void reply_done(Reply *r);
#define _cleanup_reply_ _cleanup_(reply_done)

/* `method` without its interface; `parameters` are taken, and NULL means that making them ran out of memory */
int client_send(Client *c, const char *method, json_t *parameters, bool more, Error *e) _must_check_;
/* 0; -ETIMEDOUT: not until `deadline` (boot ns); -ECONNRESET: the daemon has gone; -EPIPE: `output`'s reader
 * has; -EPROTO, -ENOMEM */
int client_receive(Client *c, int64_t deadline, Reply *ret, Error *e) _must_check_;
bool client_pending(const Client *c); /* a whole message is here already */

/* Takes in what has come, without waiting. */
void client_peek(Client *c);
