/* One path from claim to confirmed: look (and read), plan, act, and plan again when the service says that the world is
 * different. Its requests are in send.c, the ways out in outcome.c. */
#include "sync/state.h"

#include "sync/plan.h"
#include "util/blobname.h"
#include "util/clock.h"

#include <assert.h>
#include <string.h>

#define GIVEN_UP_PAUSE (5 * NSEC_PER_SEC)
#define ROUNDS_MAX 8u
#define ROOM_TO_GROW SYNC_FIRST_ROOM /* until it is read, and while it is */

static void job_read(Job *job);

int job_new(Job **ret, Mapping *m, const Row *row) {
        Job *job = calloc(1, offsetof(Job, row) + row_size(row));

        if (!job)
                return -ENOMEM;
        job->mapping = m;
        memcpy(&job->row, row, row_size(row));
        job->gen = row->gen;
        job->claimed = journal_sequence_last(m->sync->journal);
        job->unlooked = true;
        job->sending.mapping = m;
        job->next = m->jobs;
        if (m->jobs)
                m->jobs->prev = job;
        m->jobs = job;
        jobs_add(job);
        m->n_jobs++;
        m->n_unlooked++;
        *ret = job;
        return 0;
}

static void job_looked(Job *job) {
        if (!job->unlooked)
                return;
        job->unlooked = false;
        job->mapping->n_unlooked--;
        job->mapping->n_arriving -= job->was_gone;
}

Job *job_free(Job *job) {
        Mapping *m;

        if (!job)
                return NULL;
        m = job->mapping;
        job_looked(job);
        if (job->wanted > 0)
                job_unwait(job);
        if (job->call) {
                blob_cancel(job->call);
                account_forget(m->account);
        }
        throttle_drop(&job->sending);
        if (job->batch)
                deletions_drop(job);
        jobs_remove(job);
        upload_free(job->upload);
        blocks_done(&job->blocks);
        job_give_back(job);
        m->n_started -= job->started;
        m->n_apart -= job->apart;
        if (job->prev)
                job->prev->next = job->next;
        else
                m->jobs = job->next;
        if (job->next)
                job->next->prev = job->prev;
        m->n_jobs--;
        free(job->name);
        free(job);
        return NULL;
}

/* --- acting --- */

bool job_set_apart(Job *job) {
        Mapping *m = job->mapping;

        if (job->apart)
                return true;
        if (m->n_apart >= APART_MAX) {
                job_release(job, 0, false, false, NULL);
                return false;
        }
        job->apart = true;
        if (++m->n_apart == APART_MAX)
                m->apart_full = clock_boot();
        sync_kick(m->sync); /* another one may be started in its place */
        return true;
}

static Job *job_of(Sending *g) {
        return (Job *) (void *) ((char *) g - offsetof(Job, sending));
}

static void on_turn(Sending *g) {
        job_read(job_of(g));
}

/* All of its bytes, in one piece of memory. Where a limit holds back what is large, it waits before it has memory. */
static void job_read(Job *job) {
        if (job->stamp.size > HTTP_PIECE && throttle_rate(job->mapping) > 0) {
                if (!job_set_apart(job))
                        return;
                if (!throttle_turn(&job->sending, on_turn))
                        return;
        }
        if (job_want_memory(job, LINE_SMALL, job->stamp.size, job->stamp.size + ROOM_TO_GROW, job_look))
                job_look(job);
}

static void on_admitted(Sending *g) {
        Job *job = job_of(g);

        job->rounds--; /* nothing has changed but the time */
        job_plan(job);
}

/* A folder that the walk could not list is told of by no row from now on, and by none while this one had something to
 * do in its place: the walk has to say it again. So if the folder is gone, and rows of what was in it are left: the
 * event of that may be unread yet. */
static void walk_again(const Job *job) {
        Mapping *m = job->mapping;

        if (job->look != LOOK_FOLDER &&
            journal_below(m->sync->journal, m->record.id, job->row.path, job->row.path_size, NULL) == 0)
                return;
        mapping_scan(m, job->row.path);
        waits_restarted(m->sync, m->config->name); /* what it finds may be as old as their question */
}

void job_plan(Job *job) {
        Mapping *m = job->mapping;
        PlanInput in = {
                .look = job->look,
                .stamp = job->look == LOOK_ABSENT ? NULL : &job->stamp,
                .md5 = job->have_bytes ? job->md5 : NULL,
                .row = &job->row,
                .was_gone = job->was_gone,
                .remote = job->remote,
                .blob = &job->blob,
                .fuzzy = job->fuzzy,
                .writer = m->writer,
                .keep_deleted = m->config->deletes == DELETES_KEEP,
                .overwrite = m->config->conflict == CONFLICT_OVERWRITE,
        };
        Plan p = plan(&in);

        if (++job->rounds > ROUNDS_MAX) {
                job_release(job, job_backoff(job, 0), true, true, "the blob keeps changing while it is looked at");
                return;
        }
        switch (p.action) {
        case ACTION_READ:
                if (rename_try(job))
                        return;
                if (job->stamp.size > SYNC_SMALL_MAX) {
                        if (job_rest(job))
                                return;
                        /* hashed first if it may turn out to be what is there already */
                        upload_start(job, job->row.confirmed || job->row.doubt);
                        return;
                }
                job_read(job);
                return;
        case ACTION_SETTLE:
                job_settle(job, p.etag);
                return;
        case ACTION_FORGET:
                /* A write that was given up (a kill, a reload) may be a moment behind the question: ask once more
                 * before the row goes, for after that only a listing would find what it left. */
                if (job->row.doubt && !job->row.confirmed && job->row.attempts == 0) {
                        job_release(job, GIVEN_UP_PAUSE, true, true, "a write that was given up may still arrive");
                        return;
                }
                walk_again(job);
                job_forget(job);
                return;
        case ACTION_SKIP:
                walk_again(job);
                row_unconfirm(&job->row);
                job_park(job, PATH_SKIPPED, 0, p.reason);
                return;
        case ACTION_KEEP:
                walk_again(job);
                job_park(job, PATH_SKIPPED, 0, p.reason);
                return;
        case ACTION_GONE:
                job_park(job, PATH_GONE, clock_boot() + mapping_delete_delay(m), p.reason);
                return;
        case ACTION_CONFLICT:
                job_park(job, PATH_CONFLICT, 0, p.reason);
                return;
        case ACTION_DELETE:
                /* asking took its time: look again, right before (L2). What was heard of meanwhile cancels it (7.8) */
                if (!job->fresh)
                        job_look(job);
                else if (job_is_hinted(job))
                        job_release(job, 0, false, false, NULL);
                else
                        deletions_join(job, p.etag);
                return;
        case ACTION_UPLOAD:
                if (upload_staged(job)) {
                        upload_commit(job, p.etag);
                        return;
                }
                if (job->by_blocks) {
                        if (job_may_send(job))
                                upload_start(job, false);
                        return;
                }
                if (!job->buffer &&
                    job->stamp.size > 0) { /* hashed, or hoped to be a copy: its bytes are not at hand */
                        if (job->stamp.size > SYNC_SMALL_MAX) {
                                if (job_may_send(job))
                                        upload_start(job, false);
                        } else
                                job_read(job);
                        return;
                }
                break;
        default:
                break;
        }
        if (p.action == ACTION_UPLOAD && !throttle_admit(&job->sending, job->size, on_admitted))
                return;
        if (job_may_send(job))
                job_send(job, &p);
}

/* --- looking --- */

/* A file has come where a person had rejected the deletion of one: that decision is over, and must be known to be
 * before anything is sent, or after a power cut what was sent would be taken for the blob that has to stay. */
static int job_unkeep(Job *job) {
        Mapping *m = job->mapping;
        Journal *j = m->sync->journal;
        Row now;
        int r = journal_get(j, m->record.id, job->row.path, job->row.path_size, &now, NULL);

        job->row.kept = now.kept = false;
        if (r > 0)
                r = journal_put(j, m->record.id, &now, NULL);
        return r < 0 ? r : journal_commit_durable(j, NULL);
}

bool job_saw(Job *job) {
        bool regular = job->look == LOOK_REGULAR;

        links_former(job);
        jobs_saw(job, regular ? &job->stamp : NULL);
        if (!regular || !links_hint(job))
                return false;
        job_release(job, job_pause(job), true, false, "another name of it has seen a later state");
        return true;
}

static void on_looked(const SourceAnswer *answer, void *userdata) {
        Job *job = userdata;
        Mapping *m = job->mapping;

        job->waiting = false;
        job_looked(job);
        if (answer->look == LOOK_REGULAR && answer->stamp.size > 0) {
                /* It is back: no deletion after all, unless a request for it may have been sent, and what a person
                 * decided about that one is over (7.5, 7.8). */
                job->row.approved = false;
                job->row.tallied &= job->row.doubt;
                if (job->row.kept && job_unkeep(job) < 0) {
                        job_release(job, 0, false, false, NULL);
                        return;
                }
        }
        job->fresh = true;
        job->looked_at = clock_boot();
        job->look = answer->look;
        job->stamp = answer->stamp;
        if (answer->look != LOOK_NO_ROOT && answer->look != LOOK_UNKNOWN && answer->look != LOOK_UNREADABLE &&
            job_saw(job))
                return;
        switch (answer->look) {
        case LOOK_NO_ROOT:
                mapping_block(m, BLOCK_ROOT, "%s", answer->error.text);
                job_release(job, 0, false, false, NULL);
                return;
        case LOOK_UNREADABLE:
                job_park_failed(job, &answer->error);
                return;
        case LOOK_UNKNOWN:
                if (error_is_shortage(-answer->error.code))
                        accounts_short(m->sync);
                job_release(job, MAX(LOCAL_RETRY, job_backoff(job, 0)), true, false, answer->error.text);
                return;
        case LOOK_REGULAR:
                if (job->unnamed) {
                        job_park(job, PATH_FAILED, 0, job->unnamed);
                        return;
                }
                job->fuzzy = answer->read == SOURCE_CHANGED;
                if (job->fuzzy && !job_may_mark(job)) {
                        job_release(job, job_pause(job), true, false, "it changed while it was read");
                        return;
                }
                if (answer->read == SOURCE_WHOLE || answer->read == SOURCE_PREFIX || job->fuzzy) {
                        job->have_bytes = true;
                        job->prefix = answer->read == SOURCE_PREFIX;
                        job->size = answer->size;
                        job->stamp.size = answer->size; /* fewer if it shrank under a fuzzy copy */
                        if (!job->fuzzy)
                                job->row.unrest = 0;
                        memcpy(job->md5, answer->md5, sizeof(job->md5));
                        free(job->buffer);
                        job->buffer = source_take_buffer(answer);
                        if (!job->row.confirmed && rename_try(job))
                                return;
                }
                break;
        default:
                if (job->unnamed) /* nothing can stand there in the cloud */
                        row_unconfirm(&job->row);
                break;
        }
        job_plan(job);
}

void job_look(Job *job) {
        Mapping *m = job->mapping;
        int r;

        if (job->reserved > 0)
                r = source_read(m->source, job->row.path, job->reserved, on_looked, job);
        else
                r = source_look(m->source, job->row.path, on_looked, job);
        if (r < 0)
                job_release(job, LOCAL_RETRY, true, false, "out of memory");
        else
                job->waiting = true;
}

/* -EMSGSIZE: no blob can have this name; `job->name` stays NULL, and `unnamed` says why. */
static int job_set_name(Job *job) {
        _cleanup_buf_ Buf name = BUF_INIT((size_t) 4 * ROW_PATH_MAX);
        BlobName verdict = BLOB_NAME_TOO_LONG;
        int r = blobname_from_path(&name, job->mapping->config->prefix, job->row.path, job->row.path_size, &verdict);

        if (r < 0 && r != -EMSGSIZE)
                return r;
        if (r == -EMSGSIZE || verdict != BLOB_NAME_OK) {
                job->unnamed = blobname_verdict_text(r < 0 ? BLOB_NAME_TOO_LONG : verdict);
                return 0;
        }
        job->name = TAKE_PTR(name.data);
        return 0;
}

void job_start(Job *job) {
        Mapping *m = job->mapping;

        job->started = true;
        m->n_started++;
        if (job_set_name(job) < 0) {
                job_release(job, LOCAL_RETRY, true, false, "out of memory");
                return;
        }
        /* a deletion, what a stamp may settle, and what has no name need no bytes; for the rest one trip gets them if
         * the file is small */
        if (!job->was_gone && !job->unnamed && (!job->row.confirmed || job->row.content || job->row.doubt) &&
            !job_want_memory(job, LINE_SMALL, SYNC_FIRST_ROOM, SYNC_FIRST_ROOM, job_look))
                return;
        job_look(job);
}
