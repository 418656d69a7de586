/* The ways out of a job. Each reads the row as it is by then, writes what was found out into it, and ends the job; what
 * a hint has overtaken stays pending (pitfalls 8.1). */
#include "sync/state.h"

#include "azsyncd/messages.h"
#include "sync/guard.h"
#include "util/backoff.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/path.h"

#include <string.h>

#define CHANGED_PAUSE (500 * NSEC_PER_MSEC) /* it moved while we read it: let it rest, longer each time */
#define DECIDING_PAUSE NSEC_PER_SEC
#define CHANGED_MOST (15 * NSEC_PER_SEC)
#define NEVER_RESTS (600 * NSEC_PER_SEC) /* pitfalls 4.7 */
#define RETRY_CAP (60 * NSEC_PER_SEC)

/* The row as it is now: a hint may have come since the claim; what we know of the blob is in job->row. */
static int job_reload(Job *job) {
        Mapping *m = job->mapping;
        Row now;
        int r;

        r = journal_get(m->sync->journal, m->record.id, job->row.path, job->row.path_size, &now, NULL);
        if (r < 0)
                return r;
        job->row.exists = now.exists;
        job->row.stored = now.stored;
        job->row.gen = now.gen;
        job->row.due = now.due;
        job->row.content |= now.content;
        job->row.held = now.held;
        if (now.first != 0 && now.first < job->row.first) { /* another name of its file told of an older change */
                job->row.first = now.first;
                job->claimed = MIN(job->claimed, now.first);
        }
        return 0;
}

static void job_end(Job *job) {
        Sync *s = job->mapping->sync;

        job_free(job);
        job_memory(s);
        sync_touch(s);
        sync_kick(s);
}

/* While the journal is out of order it can note no news: there may be some. */
bool job_is_hinted(Job *job) {
        return journal_broken(job->mapping->sync->journal) || job_reload(job) < 0 || job->row.gen != job->gen;
}

static void job_store(Job *job) {
        if (journal_put(job->mapping->sync->journal, job->mapping->record.id, &job->row, NULL) < 0)
                log_debug("%s: %s: what was found out is lost with the journal", job->mapping->config->name,
                          PATH_SHOWN(job->row.path));
        job_end(job);
}

void job_forget(Job *job) {
        Mapping *m = job->mapping;
        int r = job_reload(job);

        if (job->row.doubt && !job->row.confirmed)
                contact_may_appear(m);
        if (r >= 0 && job->row.gen != job->gen) {
                job_release(job, 0, false, false, NULL);
                return;
        }
        if (r >= 0) {
                guard_done(m, &job->row);
                r = journal_forget(m->sync->journal, m->record.id, &job->row, NULL);
        }
        if (r < 0)
                log_debug("%s: %s: stays in the journal until that is whole again", m->config->name,
                          PATH_SHOWN(job->row.path));
        job_end(job);
}

void job_release(Job *job, int64_t wait_ns, bool attempted, bool doubt, const char *reason) {
        int r = job_reload(job);

        if (r < 0) {
                job_end(job);
                return;
        }
        row_release(&job->row, job->gen, wait_ns > 0 ? clock_boot() + clock_policy(wait_ns) : 0, attempted, doubt,
                    reason);
        job_store(job);
}

bool job_rest(Job *job) {
        const Mapping *m = job->mapping;
        int64_t until = m->sync->once ? 0 : settle_rest(m->settle, job->row.path); /* --once shall come to its end */

        if (until <= clock_boot())
                return false;
        if (job_reload(job) < 0) {
                job_end(job);
                return true;
        }
        row_release(&job->row, job->gen, until, false, false, "it takes long to read, and was read not long ago");
        job_store(job);
        return true;
}

/* A write of ours whose answer was lost is what is to be deleted: then its ETag tells whether it was. */
static void job_adopt(Job *job) {
        const ListedBlob *b = &job->blob;

        if (job->remote != REMOTE_PRESENT || !job->row.confirmed || strcmp(b->writer, job->mapping->writer) != 0)
                return;
        memcpy(job->row.etag, b->etag, sizeof(job->row.etag));
        job->row.stamp.size = b->size;
        job->row.has_md5 = b->has_md5;
        memcpy(job->row.md5, b->md5, sizeof(job->row.md5));
}

static void park(Job *job, PathState state, int64_t due, const char *reason, const Error *why) {
        Mapping *m = job->mapping;
        int r = job_reload(job);

        if (r < 0) {
                job_end(job);
                return;
        }
        /* what keeps this name from the cloud need not keep the others */
        links_read(job);
        if (state != PATH_GONE) /* it may stay so for long */
                guard_done(m, &job->row);
        else
                job_adopt(job);
        row_park(&job->row, job->gen, state, due, reason);
        /* all that wait or are held have been decided about; this one comes later */
        if (m->record.decision != 0 && row_is_deletion(&job->row))
                row_release(&job->row, job->gen, clock_boot() + clock_policy(DECIDING_PAUSE), false, false, NULL);
        if (state == PATH_FAILED || state == PATH_CONFLICT)
                mapping_complain(m, state, job->row.path, reason, why);
        job_store(job);
}

void job_park(Job *job, PathState state, int64_t due, const char *reason) {
        park(job, state, due, reason, NULL);
}

void job_park_failed(Job *job, const Error *why) {
        park(job, PATH_FAILED, 0, why->text, why);
}

void job_confirm(Job *job, const char *etag) {
        Mapping *m = job->mapping;
        unsigned before = job->row.attempts;
        int64_t pause = job_pause(job);
        int r = job_reload(job);

        links_read(job);
        if (r >= 0) {
                if (job->stamp.size == 0) /* if it was emptied, that is carried out by now */
                        guard_done(m, &job->row);
                if (job->row.confirmed && job->row.has_md5 && job->have_bytes &&
                    memcmp(job->row.md5, job->md5, 16) != 0)
                        guard_overwritten(m, &job->row);
                if (job->fuzzy)
                        row_mark(&job->row, job->gen, &job->stamp, etag, job->md5, clock_wall(),
                                 clock_boot() + clock_policy(CHANGED_MOST));
                else
                        row_confirm(&job->row, job->gen, &job->stamp, etag, job->have_bytes ? job->md5 : NULL,
                                    job->claimed);
                if (job->prefix && job->row.state == PATH_CLEAN)
                        row_grew(&job->row, before + 1, clock_boot() + clock_policy(pause), job->claimed);
                settle_sent(m->settle, job->row.path, clock_boot());
                if (job->read_ns == 0) /* whatever large file stood here is no longer the matter */
                        settle_took(m->settle, job->row.path, clock_boot(), 0);
        }
        if (r < 0)
                job_end(job);
        else
                job_store(job);
}

void job_settle(Job *job, const char *etag) {
        int r;

        if (job->have_bytes) {
                job_confirm(job, etag);
                return;
        }
        r = job_reload(job);
        if (r < 0) {
                job_end(job);
                return;
        }
        row_settle(&job->row, job->gen, &job->stamp, job->claimed);
        job_store(job);
}

bool job_may_mark(Job *job) {
        int64_t now = clock_wall(), rest = clock_policy(NEVER_RESTS);

        row_unrest(&job->row, now);
        return now - job->row.unrest >= rest &&
               (job->row.marked == 0 || now - job->row.marked >= rest || now < job->row.marked);
}

int64_t job_backoff(const Job *job, int64_t asked_ns) {
        return backoff_delay(job->row.attempts + 1, RETRY_CAP, asked_ns, sync_random());
}

int64_t job_pause(const Job *job) {
        return MIN(CHANGED_PAUSE << MIN(job->row.attempts, 5U), CHANGED_MOST);
}
