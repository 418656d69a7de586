#include "sync/guard.h"

#include "azsyncd/messages.h"
#include "util/clock.h"
#include "util/log.h"

#include <assert.h>
#include <inttypes.h>

uint64_t guard_known(const GuardInput *in) {
        return MAX(in->known, in->waiting + in->done);
}

bool guard_trips(const GuardInput *in) {
        uint64_t n = in->waiting + in->done;
        uint64_t known = guard_known(in);

        if (in->waiting == 0)
                return false;
        if (in->suspect || n > in->max_files)
                return true;
        return known > GUARD_SMALL && n * 100 > (uint64_t) in->max_percent * known;
}

bool guard_warns(uint64_t overwritten, uint64_t known) {
        return known > GUARD_SMALL && overwritten * 2 > known;
}

static int64_t this_minute(void) {
        return clock_wall() / JOURNAL_MINUTE;
}

int guard_decide(Mapping *m, unsigned decision, Error *e) {
        Journal *j = m->sync->journal;
        unsigned before = m->record.decision;
        int r = journal_decide(j, &m->record, decision, e);

        if (r >= 0) /* if they are few, these are all */
                r = journal_carry(j, &m->record, JOURNAL_CARRY_STEP, e);
        if (r >= 0)
                r = journal_commit_durable(j, e);
        if (r < 0) {
                m->record.decision = before;
                return r;
        }
        sync_touch(m->sync);
        sync_kick(m->sync);
        return 0;
}

void guard_carry(Mapping *m) {
        int r;

        if (m->record.decision == 0)
                return;
        r = journal_carry(m->sync->journal, &m->record, JOURNAL_CARRY_STEP, NULL);
        sync_touch(m->sync);
        if (r > 0)
                sync_kick(m->sync);
}

bool guard_lets(Mapping *m, bool settled) {
        Sync *s = m->sync;
        const JournalCounts *c = journal_counts(s->journal, m->record.id);
        uint64_t held = c->state[PATH_HELD], emptied;
        JournalWindow w = { 0 };
        GuardInput in;
        int r;

        if (m->record.decision != 0) /* the next few rows first */
                return false;
        if (c->deletions == 0)
                return true;
        r = journal_window(s->journal, m->record.id, this_minute(), &w, NULL);
        if (r < 0)
                return false;
        /* what was emptied is a file still; it was overwritten, too, and is empty now: no more can have been */
        emptied = MIN(MIN(c->empty, w.overwrites), w.deletions);
        in = (GuardInput){ .waiting = c->deletions,
                           .done = w.deletions + c->tallied,
                           .known = c->files + w.deletions - emptied,
                           .max_files = m->config->guard_files,
                           .max_percent = m->config->guard_percent,
                           .suspect = m->record.suspect || w.unknown };
        if (!guard_trips(&in))
                return true;
        if (!settled)
                return false; /* it may look better in a moment */
        /* what is found gone and not carried out is held, durably: a person's word must not be forgotten (9.1) */
        if (c->waiting > 0 && guard_decide(m, DECISION_HOLD, NULL) < 0)
                return false;
        if (held == 0) {
                LogRecord l = LOG_HERE;

                mapping_fields(&l, m->config);
                log_commit(&l, LOG_ERR, MSG_DELETIONS_HELD,
                           "%s: %" PRIu64 " of %" PRIu64 " files %s gone or emptied within an hour%s. Nothing of it is "
                           "deleted in the cloud until: azsyncctl approve %s (or reject).",
                           m->config->name, in.waiting + in.done, guard_known(&in),
                           in.waiting + in.done == 1 ? "is" : "are",
                           in.suspect ? ", and the journal that would know about earlier ones was damaged"
                                      : ", more than delete-guard allows",
                           m->config->name);
        }
        sync_touch(s);
        return m->record.decision == 0;
}

void guard_tally(Mapping *m, Row *row) {
        if (row->approved || row->moved)
                return;
        row->tallied = true;
        m->sync->durable = true;
}

void guard_done(Mapping *m, Row *row) {
        if (row->tallied && journal_window_add(m->sync->journal, m->record.id, this_minute(), 1, 0, NULL) >= 0)
                row->tallied = false;
}

void guard_overwritten(Mapping *m, Row *row) {
        Sync *s = m->sync;
        int64_t now = clock_wall(), window = JOURNAL_MINUTE * JOURNAL_WINDOW_MINUTES;
        uint64_t known = journal_counts(s->journal, m->record.id)->files;
        JournalWindow w = { 0 };
        int r;

        /* one file counts once, however often it is saved */
        if (row->changed != 0 && now - row->changed < window && now >= row->changed)
                return;
        row->changed = now;
        r = journal_window_add(s->journal, m->record.id, this_minute(), 0, 1, NULL);
        if (r >= 0)
                r = journal_window(s->journal, m->record.id, this_minute(), &w, NULL);
        if (r < 0 || !guard_warns(w.overwrites, known) || (m->warned_at != 0 && now - m->warned_at < window))
                return;
        m->warned_at = now;
        LogRecord l = LOG_HERE;
        mapping_fields(&l, m->config);
        log_commit(&l, LOG_ERR, MSG_MASS_OVERWRITE,
                   "%s: %llu of %llu files were overwritten within an hour. If nobody meant that, it may be "
                   "ransomware: azsyncctl pause %s, "
                   "and restore older versions of the blobs.",
                   m->config->name, (unsigned long long) w.overwrites, (unsigned long long) known, m->config->name);
}
