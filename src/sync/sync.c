/* What every file of sync/ asks of the daemon's one Sync: that its work goes on, that what was written is committed. */
#include "sync/state.h"

#include "util/clock.h"

#include <string.h>
#include <sys/random.h>

#define GROUP_COMMIT (50 * NSEC_PER_MSEC) /* 9.1 */
#define BUSY_JOBS 16u                     /* from here on writes are gathered */

Mapping *sync_find(const Sync *s, const char *name) {
        for (size_t i = 0; i < s->n_mappings; i++)
                if (strcmp(s->mappings[i]->config->name, name) == 0)
                        return s->mappings[i];
        return NULL;
}

void sync_kick(Sync *s) {
        if (!s->closing)
                defer_arm(s->work);
}

void sync_touch(Sync *s) {
        unsigned jobs = 0;

        if (s->closing)
                return;
        for (size_t i = 0; i < s->n_mappings; i++)
                jobs += s->mappings[i]->n_jobs;
        if (jobs < BUSY_JOBS)
                defer_arm(s->settled);
        /* a walk keeps the loop from being idle for as long as it lasts, and the transaction grows */
        if (timer_get(s->commit) == 0)
                timer_set(s->commit, clock_boot() + GROUP_COMMIT);
}

uint64_t sync_random(void) {
        uint64_t n = 0;

        (void) getrandom(&n, sizeof(n), GRND_NONBLOCK);
        return n;
}

int sync_commit(Sync *s) {
        int r = s->durable ? journal_commit_durable(s->journal, NULL) : journal_commit(s->journal, NULL);

        s->durable = false;
        for (size_t i = 0; i < s->n_mappings && r >= 0; i++) {
                buf_clear(&s->mappings[i]->told);
                s->mappings[i]->told_more = false;
        }
        return r;
}
