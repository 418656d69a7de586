/* The requests of one job, one for each thing that plan() may want, and what their answers mean for it. Those of large
 * files are in upload.c, those of several jobs in deletions.c, those of renames in rename.c. */
#include "sync/state.h"

#include "azure/mime.h"
#include "sync/guard.h"
#include "util/clock.h"

#include <assert.h>
#include <string.h>

#define SLOW_RETRY (120 * NSEC_PER_SEC) /* leases, rehydration: minutes */
#define CORRUPTED_MAX 5u

BlobMeta job_meta(const Job *job) {
        return (BlobMeta){
                .writer = job->mapping->writer, .generation = job->gen, .stamp = &job->stamp, .fuzzy = job->fuzzy
        };
}

static void job_heard(Job *job, const BlobAnswer *answer) {
        Mapping *m = job->mapping;

        job->call = NULL;
        job->fresh = false;
        m->requests += answer->requested;
        m->uploaded_bytes += answer->body_sent;
        throttle_ended(&job->sending, answer->body_sent);
        if (answer->verdict != VERDICT_OK && answer->verdict != VERDICT_MISSING && answer->error.text[0])
                mapping_note_error(m, answer->error.text);
}

void job_answered(Job *job, const BlobAnswer *answer) {
        account_judge(job->mapping->account, job->mapping, answer);
        job_heard(job, answer);
}

void job_failed(Job *job, const BlobAnswer *answer, bool write) {
        Mapping *m = job->mapping;
        const char *text = answer->error.text;

        switch (answer->verdict) {
        case VERDICT_OFFLINE:
        case VERDICT_BUSY:
        case VERDICT_DENIED:
        case VERDICT_CLOCK:
        case VERDICT_TLS:
                /* the account's trouble, not this path's; a 500 may have acted all the same */
                job_release(job, 0, false, write && answer->verdict == VERDICT_BUSY, NULL);
                return;
        case VERDICT_CHANGED:
        case VERDICT_MISSING:
        case VERDICT_SOURCE_CHANGED:
                job->remote = REMOTE_UNASKED;
                job->row.doubt = true;
                (void) jobs_set_source(job, NULL);
                job_plan(job);
                return;
        case VERDICT_CORRUPTED:
                if (job->row.attempts >= CORRUPTED_MAX)
                        job_park_failed(job, &answer->error);
                else
                        job_release(job, job_pause(job), true, false, text);
                return;
        case VERDICT_LEASED:
        case VERDICT_LATER:
                job_release(job, SLOW_RETRY, true, false, text);
                return;
        case VERDICT_ARCHIVED:
        case VERDICT_PERMANENT:
        case VERDICT_SNAPSHOTS:
                job_park_failed(job, &answer->error);
                return;
        case VERDICT_NO_CONTAINER:
                contact_lost(m);
                job_release(job, 0, false, false, NULL);
                return;
        default: /* RETRY, UNKNOWN; BLOCKS_GONE: either the commit had succeeded, or all of them are sent again */
                job_release(job, job_backoff(job, answer->retry_after_ns), true,
                            write && answer->verdict != VERDICT_RETRY, text);
                return;
        }
}

static void on_head(const BlobAnswer *answer, void *userdata) {
        Job *job = userdata;

        job_answered(job, answer);
        /* Whatever was decided about a deletion was about the blob that the row tells of, which is not there any more.
         */
        if (!job->was_gone && (answer->verdict == VERDICT_MISSING ||
                               (answer->verdict == VERDICT_OK && strcmp(job->row.etag, answer->etag) != 0))) {
                guard_done(job->mapping, &job->row);
                job->row.approved = job->row.moved = false;
        }
        if (answer->verdict == VERDICT_OK) {
                job->remote = REMOTE_PRESENT;
                job->blob = answer->props;
                memcpy(job->blob.etag, answer->etag, sizeof(job->blob.etag));
                mapping_note_writer(job->mapping, &job->blob);
        } else if (answer->verdict == VERDICT_MISSING) {
                job->remote = REMOTE_ABSENT;
                if (job->row.confirmed && !job->row.foreign && job->look == LOOK_REGULAR)
                        contact_doubt(job->mapping); /* somebody deletes there, or it is another container */
        } else {
                job_failed(job, answer, false);
                return;
        }
        job_plan(job);
}

static void on_put(const BlobAnswer *answer, void *userdata) {
        Job *job = userdata;

        job_answered(job, answer);
        if (answer->verdict != VERDICT_OK) {
                /* "it exists", twice, and it does not: Azurite says so of a name with unfinished blocks. The commit of
                 * a block list is not refused. */
                job->by_blocks = answer->verdict == VERDICT_CHANGED && job->remote == REMOTE_ABSENT;
                job_failed(job, answer, true);
                return;
        }
        job->mapping->uploaded_files++;
        job_confirm(job, answer->etag);
}

static void on_metadata(const BlobAnswer *answer, void *userdata) {
        Job *job = userdata;

        job_answered(job, answer);
        if (answer->verdict != VERDICT_OK)
                job_failed(job, answer, true);
        else
                job_confirm(job, answer->etag);
}

void job_deleted(Job *job, const BlobAnswer *answer) {
        job_heard(job, answer);
        if (answer->verdict != VERDICT_OK && answer->verdict != VERDICT_MISSING) {
                job_failed(job, answer, true);
                return;
        }
        job->mapping->deleted_files += answer->verdict == VERDICT_OK;
        guard_done(job->mapping, &job->row);
        row_unconfirm(&job->row);
        job->remote = REMOTE_ABSENT;
        job_plan(job); /* nothing there, nothing here: forget, or skip */
}

static void on_deleted(const BlobAnswer *answer, void *userdata) {
        Job *job = userdata;

        account_judge(job->mapping->account, job->mapping, answer);
        job_deleted(job, answer);
}

bool job_may_send(Job *job) {
        if (mapping_runs(job->mapping) && account_may_send(job->mapping->account, clock_boot()))
                return true;
        job_release(job, 0, false, false, NULL);
        return false;
}

static int request(Job *job, const Plan *p) {
        const Mapping *m = job->mapping;
        BlobClient *client = m->account->client;
        const char *container = m->config->container;
        BlobCondition condition = { .if_match = p->etag, .if_absent = !p->etag };
        BlobMeta meta = job_meta(job);

        switch (p->action) {
        case ACTION_ASK:
                return blob_head(client, container, job->name, on_head, job, &job->call);
        case ACTION_UPLOAD:
                return blob_put(client, container, job->name, job->buffer ? job->buffer : "", job->size, job->md5,
                                mime_from_path(job->row.path), &meta, &condition, on_put, job, &job->call);
        default:
                assert(p->action == ACTION_METADATA);
                return blob_set_metadata(client, container, job->name, &meta, &condition, on_metadata, job, &job->call);
        }
}

void job_send(Job *job, const Plan *p) {
        if (account_sent(job->mapping->account, request(job, p)) < 0)
                job_release(job, LOCAL_RETRY, true, false, "out of memory");
        else if (p->action == ACTION_UPLOAD)
                throttle_began(&job->sending, job->call, job->size);
}

void job_delete(Job *job, const char *etag) {
        Mapping *m = job->mapping;

        if (job_may_send(job) &&
            account_sent(m->account, blob_delete(m->account->client, m->config->container, job->name, etag, on_deleted,
                                                 job, &job->call)) < 0)
                job_release(job, LOCAL_RETRY, true, false, "out of memory");
}
