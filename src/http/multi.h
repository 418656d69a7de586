/* libcurl's multi interface driven by an sd-event loop: sockets, timer, finished transfers. Knows no requests. */
#pragma once

#include "util/error.h"

#include <curl/curl.h>
#include <systemd/sd-event.h>

typedef struct Multi Multi;

/* A transfer ended; it is off the multi already. From the loop, outside libcurl: may start and stop transfers. */
typedef void (*MultiDoneFn)(CURL *easy, CURLcode result, void *userdata);

/* `user_timeout_ms`: TCP_USER_TIMEOUT of every connection. */
int multi_new(Multi **ret, sd_event *loop, unsigned max_kept, unsigned user_timeout_ms, MultiDoneFn done,
              void *userdata, Error *e) _must_check_;
Multi *multi_free(Multi *m); /* nothing may be running on it; not from a MultiDoneFn */
DEFINE_CLEANUP(Multi *, multi_free);

/* The sockets that a transfer asked for: libcurl does not tell why one could not be made. */
typedef struct MultiSockets {
        Multi *multi;
        int shortage; /* EMFILE or ENFILE if there was no descriptor for one; else 0 */
} MultiSockets;

/* `sockets` is filled, and stays where it is until the transfer has ended. 0, -ENOMEM */
int multi_start(Multi *m, CURL *easy, MultiSockets *sockets) _must_check_;
void multi_stop(Multi *m, CURL *easy);        /* its MultiDoneFn does not come */
void multi_keep(Multi *m, unsigned max_kept); /* from now on */
/* Closes the connections that are kept; allowed in a MultiDoneFn. libcurl has no call for that, so it is another CURLM
 * afterwards; while transfers run, they are hung up, and closed when the next transfer begins. Needs no descriptor. */
void multi_drop_kept(Multi *m);
