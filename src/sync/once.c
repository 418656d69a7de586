/* When --once ends: all is in sync, or what is not is the next run's business. */
#include "sync/state.h"

#include "util/clock.h"

#define FAILURES 5u                   /* in a row: an account, a container or the journal is given up */
#define ATTEMPTS 5u                   /* a path is, */
#define PATIENCE (300 * NSEC_PER_SEC) /* or if it has to wait for longer */

/* What fails again and again, or has to wait for long, is the next run's business. True also if nobody can tell:
 * the journal is out of order then. */
static bool waits(const Mapping *m) {
        Journal *j = m->sync->journal;

        return m->n_jobs > 0 || m->retrying != RETRY_NONE || journal_counts(j, m->record.id)->state[PATH_GONE] > 0 ||
               journal_untried(j, m->record.id, ATTEMPTS, clock_boot() + clock_policy(PATIENCE), NULL) != 0;
}

static bool is_over(const Sync *s, bool *ret_in_sync) {
        bool in_sync = true;

        for (size_t i = 0; i < s->n_mappings; i++) {
                const Mapping *m = s->mappings[i];
                bool given_up = m->record.paused || m->block != BLOCK_NONE || m->contact_failures >= FAILURES ||
                                (m->account->gate != GATE_OPEN &&
                                 (m->account->gate == GATE_DENIED || m->account->failures >= FAILURES));

                if (mapping_in_sync(m))
                        continue;
                in_sync = false;
                if (m->stuck)
                        continue; /* for ever, perhaps */
                if (given_up && m->n_jobs == 0 && !mapping_scanning(m))
                        continue;
                if (waits(m) || mapping_scanning(m) || !m->record.contacted || !m->scanned_once)
                        return false;
        }
        *ret_in_sync = in_sync;
        return true;
}

void once_check(Sync *s, bool committed) {
        bool in_sync = false;

        if (!s->once_done)
                return;
        if (committed ? is_over(s, &in_sync) : s->recover_attempts > FAILURES)
                TAKE_PTR(s->once_done)(in_sync, s->once_data);
}
