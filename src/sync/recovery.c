/* The journal is out of order: its disk is full or fails, or it is damaged (pitfalls 9.4-9.7). Nothing is uploaded or
 * deleted meanwhile; it is closed, opened, checked and tried again, each time after a longer pause. Then everything is
 * compared, since whatever could not be written is forgotten; and if it is another journal, every mapping begins anew.
 */
#include "sync/state.h"

#include "azsyncd/messages.h"
#include "util/backoff.h"
#include "util/clock.h"
#include "util/log.h"

#define PAUSE_MOST (30 * NSEC_PER_SEC)
#define HELD_WELL (60 * NSEC_PER_SEC) /* in order for so long: the next trouble is a new one */

static bool is_worth_a_line(unsigned attempts) {
        return (attempts & (attempts - 1)) == 0; /* the first, second, fourth, ... of a spell (11.10) */
}

static void later(Sync *s) {
        s->recover_attempts++;
        timer_set(s->recover, clock_boot() + clock_policy(backoff_ceiling(s->recover_attempts, PAUSE_MOST)));
}

/* Called from inside whatever failed: notes it, and no more. */
static void on_trouble(void *userdata) {
        Sync *s = userdata;

        if (s->closing)
                return;
        for (size_t i = 0; i < s->n_mappings; i++)
                s->mappings[i]->record.scan = true;
        if (clock_boot() - s->recovered_at > clock_policy(HELD_WELL))
                s->recover_attempts = 0;
        later(s);
        if (is_worth_a_line(s->recover_attempts)) {
                const Error *why = journal_trouble(s->journal);
                LogRecord l = LOG_HERE;

                log_field_error(&l, why);
                log_commit(&l, LOG_ERR, MSG_JOURNAL_TROUBLE,
                           "%s. Nothing is uploaded or deleted until it can be written again.", why->text);
        }
        defer_arm(s->settled); /* status changed, and --once may have to give up */
}

/* What is decided, and whether it is the same destination still, is what is on the disk: a commit that failed may be
 * there. */
static bool is_known(Mapping *m) {
        JournalMapping now;

        if (journal_mapping(m->sync->journal, m->config->name, &now, NULL) < 0)
                return true; /* it is out of order again */
        m->record.decision = now.decision;
        return now.id == m->record.id;
}

static void go_on(Mapping *m) {
        Sync *s = m->sync;

        /* jobs that ended meanwhile could not say so; one that is still at work says it when it ends */
        if (journal_unclaim(s->journal, m->record.id, NULL) < 0)
                return;
        mapping_tell_again(m);
        mapping_save(m, true); /* what was decided meanwhile */
        listing_drop(m);       /* its marks went with what could not be written */
        mapping_scan(m, "");
        waits_restarted(s, m->config->name); /* all of that is as old as it was, and has a new place in the sequence */
}

static void on_recover(void *userdata) {
        Sync *s = userdata;
        Error e = ERROR_NULL;
        int r = journal_recover(s->journal, &e);

        if (r < 0) {
                later(s);
                defer_arm(s->settled);
                return;
        }
        s->recovered_at = clock_boot();
        if (r > 0) {
                LogRecord l = LOG_HERE;

                log_field_error(&l, &e);
                log_commit(&l, LOG_ERR, MSG_JOURNAL_TROUBLE,
                           "The journal is a new one (%s); it is rebuilt from the folders and the containers.", e.text);
        } else if (is_worth_a_line(s->recover_attempts)) {
                LogRecord l = LOG_HERE;

                log_commit(&l, LOG_NOTICE, MSG_JOURNAL_TROUBLE,
                           "The journal can be written again; comparing every folder.");
        }
        for (size_t i = s->n_mappings; i-- > 0;)
                if (r > 0 || s->mappings[i]->record.id == 0 || !is_known(s->mappings[i]))
                        sync_restart(s, i); /* its record is of another journal, or of none */
                else
                        go_on(s->mappings[i]);
        sync_touch(s);
        sync_kick(s);
}

int recovery_new(Sync *s, Error *e) {
        int r = timer_new(&s->recover, s->loop, on_recover, s, e);

        if (r < 0)
                return r;
        journal_listen(s->journal, on_trouble, s);
        if (journal_broken(s->journal)) /* its disk was full at the start already */
                on_trouble(s);
        return 0;
}
