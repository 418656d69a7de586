/* A token bucket, kept as the moment at which everything taken so far will be paid for. Whoever finds it open takes
 * what he needs, however much, and it is closed until then: so no size is too large for it, and none waits for ever. A
 * tenth of a second that nobody used may be made up for. Pure. */
#pragma once

#include "util/macro.h"

#include <stdint.h>

typedef struct Bucket {
        uint64_t rate;   /* bytes per second; 0: no limit */
        int64_t paid_at; /* boot ns */
} Bucket;

void bucket_set_rate(Bucket *b, uint64_t rate, int64_t now); /* what is owed stays owed, in bytes */
void bucket_take(Bucket *b, int64_t bytes, int64_t now);     /* negative: they come back */
bool bucket_open(const Bucket *b, int64_t now) _pure_;
