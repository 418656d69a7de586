/* One client of the control socket: reads its requests, has them answered in order, writes the answers, and shows it
 * out when it is idle or stuck for too long. Whatever it sends or does not read, it costs a bounded amount of memory,
 * and one request per turn of the loop. */
#pragma once

#include "control/call.h"

#include <sys/socket.h>

typedef struct Peer Peer;

typedef struct PeerOptions {
        Control *control;
        sd_event *loop;
        int64_t idle_ns;  /* how long it may stay connected without asking anything */
        int64_t stuck_ns; /* how long it may take to send a request, or not take anything of an answer */
        /* has ended; has to be freed, which may be done right here */
        void (*gone)(Peer *peer, void *userdata);
        /* watches the status and has room for news that it missed */
        void (*behind)(void *userdata);
        void *userdata;
} PeerOptions;

/* Takes the non-blocking `fd` over, also if it fails. `options` has to outlive the peer. */
int peer_new(Peer **ret, const PeerOptions *options, int fd, const struct ucred *who, Error *e) _must_check_;
Peer *peer_free(Peer *p);
DEFINE_CLEANUP(Peer *, peer_free);

bool peer_trusted(const Peer *p);
bool peer_watches(const Peer *p);
void peer_changed(Peer *p); /* what Status shows has changed */
void peer_tell(Peer *p);    /* sends the news, if there are any and it keeps up */
bool credentials_trusted(const struct ucred *who);
