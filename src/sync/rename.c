/* Renames are not an event type: a new path whose file (inode, btime, size, mtime) equals a confirmed path that is gone
 * is copied on the server, and the old name is deleted by its own row, later. One rule for online, offline and folder
 * moves (pitfalls 1.3). */
#include "sync/state.h"

#include "util/blobname.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/path.h"

#include <stdio.h>
#include <string.h>

#define SOURCE_BUSY (50 * NSEC_PER_MSEC)

typedef struct Candidate {
        const Job *job;
        Row row;
        bool found;
} Candidate;

static int on_candidate(const Row *row, void *userdata) {
        Candidate *c = userdata;

        if (c->found || !row->confirmed || row->foreign || row->marked != 0 || row->doubt ||
            strcmp(row->path, c->job->row.path) == 0 || !stamp_moved(&row->stamp, &c->job->stamp))
                return 0;
        /* bytes may have changed without the stamp telling (4.3): then only the MD5 proves it */
        if (c->job->have_bytes && row->has_md5 ? memcmp(row->md5, c->job->md5, sizeof(row->md5)) != 0
                                               : row->content || c->job->row.content)
                return 0;
        memcpy(&c->row, row, row_size(row));
        c->found = true;
        return 0;
}

/* Its content is safe under the new name: to the guard its end is no deletion (7.4). */
static void mark_moved(Job *job) {
        Mapping *m = job->mapping;
        Row row;
        int r;

        r = journal_get(m->sync->journal, m->record.id, job->source_path, strlen(job->source_path), &row, NULL);
        if (r > 0) {
                row.moved = true;
                if (row.state == PATH_HELD)
                        row_park(&row, row.gen, PATH_GONE, clock_boot(), NULL);
                r = journal_put(m->sync->journal, m->record.id, &row, NULL);
        }
        if (r < 0)
                log_debug("%s: %s: that it was moved is lost with the journal", m->config->name,
                          PATH_SHOWN(job->source_path));
}

static void on_copied(const BlobAnswer *answer, void *userdata) {
        Job *job = userdata;

        job_answered(job, answer);
        if (answer->verdict == VERDICT_OK && strcmp(answer->copy_status, "pending") != 0) {
                job->mapping->copied_files++;
                mark_moved(job);
                job_confirm(job, answer->etag);
                return;
        }
        if (answer->verdict == VERDICT_OK) {
                /* still copying: the source stays (azure-blob.md 1.4); what stands there then is asked for */
                job_release(job, NSEC_PER_SEC, true, true, "the service is still copying it");
                return;
        }
        job->have_bytes = false; /* the MD5 was the source's; whatever comes next reads the file */
        job_give_back(job);
        if (answer->verdict == VERDICT_SOURCE_CHANGED || answer->verdict == VERDICT_CHANGED ||
            answer->verdict == VERDICT_MISSING) {
                (void) jobs_set_source(job, NULL);
                job_release(job, SOURCE_BUSY, true, true, NULL); /* in doubt, so it is asked for before it is sent */
                return;
        }
        job_failed(job, answer, true);
}

static void rename_send(Job *job) {
        Mapping *m = job->mapping;
        _cleanup_buf_ Buf source = BUF_INIT(16384);
        BlobCondition condition = { .if_match = job->row.confirmed ? job->row.etag : NULL,
                                    .if_absent = !job->row.confirmed };
        BlobMeta meta = job_meta(job);
        BlobName verdict;
        int r;

        if (!job_may_send(job))
                return;
        r = blobname_from_path(&source, m->config->prefix, job->source_path, strlen(job->source_path), &verdict);
        if (r >= 0)
                r = account_sent(m->account,
                                 blob_copy(m->account->client, m->config->container, job->name, source.data,
                                           job->source_etag, &meta, &condition, on_copied, job, &job->call));
        if (r < 0)
                job_release(job, SOURCE_BUSY, true, false, NULL);
}

static void on_source_looked(const SourceAnswer *answer, void *userdata) {
        Job *job = userdata;

        job->waiting = false;
        if (answer->look == LOOK_ABSENT) {
                rename_send(job);
                return;
        }
        /* still there (a hard link), or unknown: an ordinary upload */
        (void) jobs_set_source(job, NULL);
        job->have_bytes = job->buffer != NULL;
        job->rounds++;
        job_plan(job);
}

bool rename_try(Job *job) {
        Mapping *m = job->mapping;
        Candidate c; /* its row is not cleared: it is large */

        if (job->unmoved || job->stamp.size == 0 || job->rounds > 1 || job->row.doubt || job->row.foreign ||
            job->source_path || m->config->account->method == AUTH_SAS)
                return false;
        c.job = job;
        c.found = false;
        if (journal_by_inode(m->sync->journal, m->record.id, job->stamp.ino, "", 16, on_candidate, &c, NULL) < 0 ||
            !c.found)
                return false;
        if (jobs_busy_with(m, c.row.path)) {
                /* its own job is at work on it: wait for that, it is short */
                job_release(job, SOURCE_BUSY, false, false, NULL);
                return true;
        }
        if (!jobs_set_source(job, c.row.path))
                return false;
        (void) snprintf(job->source_etag, sizeof(job->source_etag), "%s", c.row.etag);
        if (!job->have_bytes && c.row.has_md5) {
                memcpy(job->md5, c.row.md5, sizeof(job->md5));
                job->have_bytes = true; /* what the copy will hold */
        }
        if (source_look(m->source, job->source_path, on_source_looked, job) < 0) {
                job_release(job, SOURCE_BUSY, true, false, "out of memory");
                return true;
        }
        job->waiting = true;
        return true;
}
