/* Tells when the network may have come or changed: an address or a route was added (rtnetlink). For whoever waits for a
 * service that cannot be reached: back-off ends early (pitfalls 10.10). Many news at once are one. */
#pragma once

#include "util/error.h"

#include <systemd/sd-event.h>

typedef struct Network Network;
typedef void (*NetworkFn)(void *userdata);

int network_new(Network **ret, sd_event *loop, NetworkFn fn, void *userdata, Error *e) _must_check_;
Network *network_free(Network *n);
DEFINE_CLEANUP(Network *, network_free);
