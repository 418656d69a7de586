/* The control socket: RUNTIME_DIR/io.azsync, Varlink (control/interface.c has the methods). Lives on the loop's thread;
 * no client, however hostile, makes it wait. Created by daemon/main after the engine and freed right before it:
 * from then on, the engine must not tell of changes any more. */
#pragma once

#include "sync/engine.h"
#include "util/buf.h"

#include <systemd/sd-event.h>

#define SERVER_PEERS_MAX 64u
#define SERVER_STRANGERS_MAX 48u /* of them neither root nor our own user: there is always room for who can help */

typedef struct ServerOptions {
        const char *runtime_dir; /* made with mode 0755 if it is missing */
        Engine *engine;          /* borrowed */
        /* Reads the configuration again and puts it in force: 0, with warnings in `report`, or negative, with every
         * complaint in `report`, a line each, and the old configuration still in force. */
        int (*reload)(Buf *report, Error *e, void *userdata);
        void *userdata;
        int64_t idle_ns, stuck_ns; /* 0: 5 min and 30 s; tests are in more of a hurry */
} ServerOptions;

typedef struct Server Server;

/* -EADDRINUSE: another azsyncd is running. */
int server_new(Server **ret, sd_event *loop, const ServerOptions *options, Error *e) _must_check_;
/* Status tells of a reload that was refused, by its first `complaint`, until another is not: NULL. No server: nothing.
 */
void server_reloaded(Server *s, const char *complaint);
Server *server_free(Server *s); /* hangs up on every client and removes the socket */
DEFINE_CLEANUP(Server *, server_free);
