/* Where a mapping goes, as a person types it:
 *   https://HOST[:PORT]/CONTAINER[/PREFIX]                the account is the host's first label
 *   http://127.0.0.1:PORT/ACCOUNT/CONTAINER[/PREFIX]      an address or localhost: the account is in the path
 *   NAME/CONTAINER[/PREFIX]                               NAME is an account of azsyncd.yaml
 * In a URL, PREFIX is percent-encoded. What follows the endpoint of an account that is known is always its container.
 * Everybody on a machine can read a command line, so a secret in it is refused, and nothing of it comes back in a
 * message. Pure. */
#pragma once

#include "config/config.h"

typedef struct Destination {
        const AccountConfig *known; /* borrowed from the Config; NULL: it is a new one */
        char *endpoint;             /* URL without a trailing '/' */
        char *container;
        char *prefix; /* "" */
} Destination;

/* `account`: the name of the account to take, or of the one that is to be made; NULL: whichever is there. */
int destination_parse(Destination *ret, const char *text, const char *account, const Config *config,
                      Error *e) _must_check_;
void destination_done(Destination *d);
