/* What a person gives when asked how to log in to an account: its key, a shared access signature (alone, or the URL it
 * hangs on), or a connection string. Pure. */
#pragma once

#include "config/config.h"

typedef struct Login {
        AuthMethod method;
        char *secret; /* Base64 key, or the SAS without '?' */
} Login;

/* For the account at `endpoint`. -EINVAL with words that hold nothing of it: it is none of these, or one for another
 * account. */
int login_parse(Login *ret, const char *text, const char *endpoint, Error *e) _must_check_;
void login_done(Login *l); /* wipes */
