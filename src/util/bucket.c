#include "util/bucket.h"

#include "util/clock.h"

#define BURST (100 * NSEC_PER_MSEC)
#define MOST ((double) INT64_MAX / 4)

static int64_t cost(uint64_t rate, double bytes) {
        double ns = bytes * (double) NSEC_PER_SEC / (double) rate;

        return (int64_t) MAX(MIN(ns, MOST), -MOST);
}

void bucket_set_rate(Bucket *b, uint64_t rate, int64_t now) {
        double owed = b->rate > 0 ? (double) (b->paid_at - now) * (double) b->rate / (double) NSEC_PER_SEC : 0;

        if (rate == b->rate)
                return;
        b->rate = rate;
        b->paid_at = now + (rate > 0 && owed > 0 ? cost(rate, owed) : 0);
}

void bucket_take(Bucket *b, int64_t bytes, int64_t now) {
        if (b->rate > 0)
                b->paid_at = MAX(b->paid_at, now - BURST) + cost(b->rate, (double) bytes);
}

bool bucket_open(const Bucket *b, int64_t now) {
        return b->rate == 0 || b->paid_at <= now;
}
