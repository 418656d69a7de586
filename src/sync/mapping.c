/* What every file of sync/ asks of a mapping, and tells it: does it run, is it in sync, what blocks it, and the marks
 * that news of a path leave in the journal. */
#include "sync/state.h"

#include "azsyncd/messages.h"
#include "util/clock.h"
#include "util/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void mapping_save(Mapping *m, bool durable) {
        Sync *s = m->sync;
        int r = journal_mapping_put(s->journal, &m->record, NULL);

        if (r >= 0 && durable)
                r = journal_commit_durable(s->journal, NULL);
        if (r >= 0 && durable)
                r = journal_checkpoint(s->journal, NULL);
        if (r >= 0)
                sync_touch(s);
}

void mapping_note_writer(Mapping *m, const ListedBlob *blob) {
        if (m->two_hosts || blob->writer[0] == '\0' || strcmp(blob->writer, m->writer) == 0)
                return;
        m->two_hosts = true;

        LogRecord l = LOG_HERE;
        mapping_fields(&l, m->config);
        log_commit(&l, LOG_WARNING, MSG_TWO_HOSTS,
                   "%s: blobs at %s were written by another azsyncd (another machine, or a mapping of another name). "
                   "If it is "
                   "still in use, each needs a prefix of its own: what differs is kept as it is there.",
                   m->config->name, m->url);
}

void mapping_block(Mapping *m, Block block, const char *format, ...) {
        char why[sizeof(m->why)];
        va_list ap;
        bool said;

        /* until a person has decided about that, whatever else is the matter may not take its place: it would end it */
        if (m->block == BLOCK_DESTINATION)
                return;
        va_start(ap, format);
        (void) vsnprintf(why, sizeof(why), format, ap);
        va_end(ap);
        said = m->block == block && strcmp(m->why, why) == 0;
        m->block = block;
        (void) snprintf(m->why, sizeof(m->why), "%s", why);
        if (block == BLOCK_ROOT)
                timer_set(m->retry, clock_boot() + clock_policy(ROOT_RETRY));
        if (!said) {
                LogRecord l = LOG_HERE;

                mapping_fields(&l, m->config);
                log_field(&l, "AZSYNC_ERROR=%s", why);
                log_commit(&l, LOG_WARNING, MSG_MAPPING_BLOCKED,
                           "%s: blocked: %s. Nothing is uploaded or deleted meanwhile.", m->config->name, why);
                mapping_note_error(m, why);
        }
        sync_touch(m->sync);
}

void mapping_unblock(Mapping *m) {
        if (m->block == BLOCK_NONE)
                return;
        m->block = BLOCK_NONE;
        m->why[0] = '\0';

        LogRecord l = LOG_HERE;
        mapping_fields(&l, m->config);
        log_commit(&l, LOG_NOTICE, MSG_MAPPING_RESUMED, "%s: goes on.", m->config->name);
        sync_touch(m->sync);
        sync_kick(m->sync);
}

int64_t mapping_delete_delay(const Mapping *m) {
        return m->sync->once ? 0 : clock_policy(m->config->delete_delay_ns);
}

bool mapping_runs(const Mapping *m) {
        return !m->record.paused && m->block == BLOCK_NONE;
}

bool mapping_excluded(const Mapping *m, const char *path, bool folder) {
        return m->config->exclude && ignore_match_deep(m->config->exclude, path, folder);
}

uint64_t mapping_pending(const Mapping *m) {
        const JournalCounts *c = journal_counts(m->sync->journal, m->record.id);

        return c->state[PATH_PENDING] + c->state[PATH_CLAIMED] + c->state[PATH_GONE];
}

bool mapping_scanning(const Mapping *m) {
        return m->running.path || m->n_branches > 0;
}

bool mapping_in_sync(const Mapping *m) {
        const JournalCounts *c = journal_counts(m->sync->journal, m->record.id);

        return mapping_runs(m) && m->record.contacted && m->scanned_once && !m->record.scan && !mapping_scanning(m) &&
               !journal_broken(m->sync->journal) && c->busy == 0 && mapping_pending(m) == 0 &&
               c->state[PATH_FAILED] == 0 && c->state[PATH_HELD] == 0 && c->state[PATH_CONFLICT] == 0;
}

const char *mapping_state(Mapping *m) {
        const JournalCounts *c = journal_counts(m->sync->journal, m->record.id);
        bool work = mapping_pending(m) > 0 || !m->record.contacted;

        if (c->state[PATH_FAILED] > 0)
                return "failed";
        if (journal_broken(m->sync->journal) || m->block != BLOCK_NONE || m->stuck ||
            (m->account->gate == GATE_DENIED && work))
                return "blocked";
        if (m->record.paused)
                return "paused";
        if (c->state[PATH_HELD] > 0)
                return "held";
        if (mapping_scanning(m) || m->record.scan)
                return "scanning";
        if ((m->account->gate == GATE_OFFLINE || m->contact_failures > 0) && work)
                return "offline";
        return work || c->busy > 0 ? "syncing" : "idle";
}

/* --- marks --- */

/* A folder that was listed as empty is not any more. */
static int hint_parent(Mapping *m, const char *path) {
        const char *slash = strrchr(path, '/');
        Row row;
        int r;

        if (!slash || slash == path)
                return 0;
        r = journal_get(m->sync->journal, m->record.id, path, (size_t) (slash - path), &row, NULL);
        if (r > 0 && row.state == PATH_SKIPPED) {
                row_hint(&row, false, clock_boot(), journal_sequence(m->sync->journal, clock_wall()));
                r = journal_put(m->sync->journal, m->record.id, &row, NULL);
        }
        return r;
}

void mapping_hint(Mapping *m, const char *path, bool content, int64_t due, int64_t first) {
        Sync *s = m->sync;
        Job *job;
        Row row;
        int r;

        if (content)
                m->told_more |= buf_append(&m->told, path, strlen(path) + 1) < 0;
        r = journal_get(s->journal, m->record.id, path, strlen(path), &row, NULL);
        if (r == -ENAMETOOLONG)
                return; /* the scanner has named the branch */
        if (r == 0)
                r = hint_parent(m, path);
        if (r >= 0) {
                row_hint(&row, content, due, first > 0 ? first : journal_sequence(s->journal, clock_wall()));
                r = journal_put(s->journal, m->record.id, &row, NULL);
        }
        job = r >= 0 && first > 0 && row.state == PATH_CLAIMED ? jobs_at(m, path) : NULL;
        if (job) /* which is to leave behind what is that old */
                job->claimed = MIN(job->claimed, first);
        sync_touch(s);
        sync_kick(s);
}

void mapping_tell_again(Mapping *m) {
        Buf told = m->told;

        m->told = BUF_INIT(told.ceiling);
        m->record.reread |= m->told_more;
        for (size_t at = 0; at < told.size; at += strlen(told.data + at) + 1)
                mapping_hint(m, told.data + at, true, clock_boot(), 0);
        buf_done(&told);
}

void mapping_age(Mapping *m, const char *path, bool content, int64_t first) {
        Journal *j = m->sync->journal;
        Row row;
        int r = journal_get(j, m->record.id, path, strlen(path), &row, NULL);

        if (r > 0) {
                row_age(&row, content, first);
                r = journal_put(j, m->record.id, &row, NULL);
        }
        if (r >= 0)
                sync_touch(m->sync);
}
