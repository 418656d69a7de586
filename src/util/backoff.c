#include "util/backoff.h"

#include "util/clock.h"

int64_t backoff_ceiling(unsigned attempt, int64_t cap_ns) {
        unsigned doublings = attempt > 0 ? attempt - 1 : 0;
        int64_t base = 800 * NSEC_PER_MSEC;

        if (doublings >= 32 || base > (cap_ns >> doublings))
                return cap_ns;
        return base << doublings;
}

int64_t backoff_delay(unsigned attempt, int64_t cap_ns, int64_t retry_after_ns, uint64_t random) {
        int64_t ceiling = backoff_ceiling(attempt, cap_ns);
        int64_t least = ceiling / 4;
        int64_t delay = least + (int64_t) (random % (uint64_t) (ceiling - least + 1));

        return MAX(delay, retry_after_ns);
}

int64_t backoff_spread(int64_t period_ns, uint64_t random) {
        return period_ns - period_ns / 4 + (int64_t) (random % (uint64_t) (period_ns / 2 + 1));
}
