/* Connection strings (azure-blob.md 2.3). Pure. */
#pragma once

#include "util/error.h"

typedef struct Connection {
        char *account;  /* "" if it cannot be told */
        char *endpoint; /* URL without a trailing '/' or query */
        char *key;      /* Base64; NULL if there is a SAS */
        char *sas;      /* without '?'; NULL if there is a key */
} Connection;

/* -EINVAL with words that hold nothing of the string's secret parts. */
int connection_parse(Connection *ret, const char *text, Error *e) _must_check_;
void connection_done(Connection *c); /* wipes */
