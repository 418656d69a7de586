/* A large file goes up in blocks that are cut by its content (chunk/cut.h), so that of a changed file only the blocks
 * that the service does not have are sent. What it has, Get Block List tells: nothing that could be wrong is kept in
 * the journal, and a crash costs no more than what was in flight. The commit is conditional; nothing is visible before
 * it.
 *
 * Another program may have left unfinished blocks under the name, and the service takes no ids of another length beside
 * them: for a week, for ever if somebody goes on trying. They cannot be deleted, and to commit something else first, as
 * is often done, would show a blob that no file ever was. So ours take on the length of theirs. The commit then drops
 * what it does not name. */
#include "sync/flight.h"

#include "azure/mime.h"
#include "util/clock.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define READ_AHEAD 3u                      /* one is read, one summed up, one waits for either */
#define UNASKED_MOST (4 * SYNC_SMALL_MAX)  /* a new file so small is not worth the question */
#define TURN (UINT64_C(64) << 20)          /* so much before it gives way to a shorter one */
#define BLOCKS_PAUSE (3600 * NSEC_PER_SEC) /* the service drops forgotten blocks after a week */

struct Upload {
        Job *job;
        SourceFile *file;
        bool hash_first; /* before anything is sent: it may turn out to be what is there already */
        bool hash_only, giving_way, finishing, end, staged;
        unsigned n_reading; /* blocks */
        unsigned average_log2;
        Cuts cuts;
        uint64_t offset, known; /* bytes read; of them, not to be sent */
        uint64_t turn;          /* the offset when it got its memory */
        int64_t took;           /* ns: reading and hashing, so far */
        Rate rate;
        BlockList list; /* what the blob will consist of */
        Flight flight;
};

static void upload_pump(struct Upload *u);
static void upload_begin(Job *job);

void upload_free(struct Upload *u) {
        if (!u)
                return;
        flight_done(&u->flight);
        source_file_close(u->file);
        free(u->list.text);
        free(u);
}

uint64_t upload_sent(const struct Upload *u) {
        return u->known + flight_sent(&u->flight);
}

Rate *upload_rate(struct Upload *u) {
        return &u->rate;
}

static void upload_drop(Job *job) {
        upload_free(TAKE_PTR(job->upload));
        job_give_back(job);
}

void uploads_stop(Mapping *m) {
        Job *job = m->jobs;

        while (job)
                if (job->upload && !job->call) {
                        upload_drop(job);
                        job_release(job, 0, false, false, NULL);
                        job = m->jobs; /* others may have ended with it */
                } else
                        job = job->next;
}

bool upload_staged(const Job *job) {
        return job->upload && job->upload->staged;
}

static void upload_fail(Job *job) {
        upload_drop(job);
        job_release(job, NSEC_PER_SEC, true, false, "out of memory");
}

/* Also by growing for ever: what it costs to find that out is a reason to let it rest. */
static void upload_changed(Job *job) {
        if (job->upload->took > 0)
                settle_took(job->mapping->settle, job->row.path, clock_boot(), job->upload->took);
        upload_drop(job);
        job_release(job, job_pause(job), true, false, "it changed while it was read");
}

/* --- what is there --- */

static unsigned id_size(const Job *job) {
        return job->blocks.id_size > 0 ? job->blocks.id_size : BLOCK_ID_SIZE;
}

static int on_listed_block(const ListedBlock *block, void *userdata) {
        Job *job = userdata;

        return blocks_known(&job->blocks, block->id, block->size, block->committed);
}

static void on_listed(const BlobAnswer *answer, void *userdata) {
        Job *job = userdata;

        job_answered(job, answer);
        job->blocks_asked = true;
        if (answer->verdict != VERDICT_OK && answer->verdict != VERDICT_MISSING) {
                upload_drop(job);
                job_failed(job, answer, false);
                return;
        }
        if (id_size(job) < BLOCK_ID_LEAST || id_size(job) > BLOCK_ID_MOST || id_size(job) == job->refused_id_size) {
                upload_drop(job);
                job_release(job, BLOCKS_PAUSE, true, false,
                            "another program has left unfinished blocks under this name, beside which the service "
                            "takes none of ours; it drops them after a week");
                return;
        }
        upload_begin(job);
}

static void upload_ask(Job *job) {
        Mapping *m = job->mapping;

        blocks_done(&job->blocks);
        if (!job_may_send(job))
                return;
        if (account_sent(m->account, blob_get_block_list(m->account->client, m->config->container, job->name,
                                                         on_listed_block, on_listed, job, &job->call)) < 0)
                upload_fail(job);
}

/* The service refuses our blocks because of those that are there. */
static void upload_refused(Job *job) {
        job->refused_id_size = id_size(job);
        upload_start(job, false);
}

/* --- the commit --- */

static void on_committed(const BlobAnswer *answer, void *userdata) {
        Job *job = userdata;

        job_answered(job, answer);
        if (answer->verdict == VERDICT_OK) {
                job->mapping->uploaded_files++;
                upload_drop(job);
                job_confirm(job, answer->etag);
                return;
        }
        if (answer->verdict != VERDICT_CHANGED) { /* staged blocks stay for another commit only within this job */
                upload_drop(job);
                job->blocks_asked = false;
                job->blocks_unsure = true;
        }
        if (answer->verdict == VERDICT_BLOCKS_FOREIGN)
                upload_refused(job);
        else
                job_failed(job, answer, true);
}

void upload_commit(Job *job, const char *etag) {
        struct Upload *u = job->upload;
        Mapping *m = job->mapping;
        BlobCondition condition = { .if_match = etag, .if_absent = !etag };
        BlobMeta meta = job_meta(job);
        const char **ids;
        int r = -ENOMEM;

        ids = block_list_ids(&u->list);
        if (ids)
                r = account_sent(m->account,
                                 blob_put_block_list(m->account->client, m->config->container, job->name, ids,
                                                     u->list.n, job->md5, mime_from_path(job->row.path), &meta,
                                                     &condition, on_committed, job, &job->call));
        free(ids);
        if (r < 0)
                job_release(job, NSEC_PER_SEC, true, false, "out of memory");
}

/* Everything that was under way has come back: what now? */
static void upload_over(struct Upload *u) {
        Job *job = u->job;

        if (u->flight.failed) {
                BlobAnswer failure = u->flight.failure;

                upload_drop(job);
                job->have_bytes = false;
                job->blocks_asked = false; /* some were noted as sent and were not */
                job->blocks_unsure = true;
                if (failure.verdict == VERDICT_BLOCKS_FOREIGN)
                        upload_refused(job);
                else
                        job_failed(job, &failure, false); /* blocks are not visible: nothing is in doubt */
                return;
        }
        if (u->hash_only)
                upload_drop(job);
        else
                u->staged = true;
        job_plan(job);
}

static void on_finished(const SourceAnswer *answer, void *userdata) {
        struct Upload *u = userdata;
        Job *job = u->job;

        u->finishing = false;
        u->took = answer->took_ns;
        job->fuzzy = answer->look == LOOK_REGULAR && answer->read == SOURCE_CHANGED && job_may_mark(job);
        if (answer->look != LOOK_REGULAR || (answer->read == SOURCE_CHANGED && !job->fuzzy)) {
                upload_changed(job);
                return;
        }
        if (job->fuzzy)
                job->stamp.size = u->offset; /* less if it shrank */
        else {
                job->stamp.size = answer->stamp.size; /* more if it grew */
                job->row.unrest = 0;
        }
        job->prefix = answer->read == SOURCE_PREFIX;
        job->have_bytes = true;
        job->size = (size_t) job->stamp.size;
        job->read_ns = u->took;
        settle_took(job->mapping->settle, job->row.path, clock_boot(), u->took);
        memcpy(job->md5, answer->md5, sizeof(job->md5));
        source_file_close(TAKE_PTR(u->file));
        if (u->flight.n == 0)
                upload_over(u);
}

/* --- block by block --- */

/* The next block of the list; sent unless the service has it. */
static int take_block(struct Upload *u, const SourceAnswer *answer) {
        Job *job = u->job;
        char id[BLOCK_ID_ROOM];
        int r;

        block_id(answer->sha256, u->average_log2, id_size(job), id);
        r = block_list_add(&u->list, id);
        if (r < 0)
                return r;
        if (blocks_have(&job->blocks, id, answer->size)) {
                u->known += answer->size;
                return 0;
        }
        r = blocks_add(&job->blocks, id, answer->size); /* once is enough, should it come again */
        return r < 0 ? r : flight_send(&u->flight, answer, id);
}

/* With what is there asked for anew: some were noted as sent and were not. */
static void upload_again(Job *job) {
        bool hash_first = job->upload->hash_first;

        upload_drop(job);
        job->blocks_asked = false;
        job->blocks_unsure = true;
        upload_start(job, hash_first);
}

static void on_block_read(const SourceAnswer *answer, void *userdata) {
        struct Upload *u = userdata;
        Job *job = u->job;
        int r = 0;

        u->n_reading--;
        u->took = MAX(u->took, answer->took_ns);
        if (answer->look != LOOK_REGULAR || (answer->read == SOURCE_CHANGED && !job_may_mark(job))) {
                upload_changed(job);
                return;
        }
        u->end |= answer->end;
        u->offset += answer->size;
        if (u->hash_only)
                u->known += answer->size;
        else if (answer->size > 0 && !u->flight.failed)
                r = take_block(u, answer);
        if (r == -E2BIG) { /* cut into many small ones, on purpose perhaps */
                job->average_least = u->average_log2 + 1;
                upload_again(job);
                return;
        }
        if (r < 0) {
                upload_fail(job);
                return;
        }
        upload_pump(u);
}

static size_t least_room(unsigned average_log2) {
        return (size_t) 3 << average_log2; /* one block, and half of one that was read behind its end */
}

static bool may_read(const struct Upload *u) {
        size_t rest = u->cuts.average, reading = (u->n_reading + 1) * u->cuts.maximum;

        return u->n_reading < READ_AHEAD && u->n_reading + u->flight.n < MAX(flight_most(&u->flight), 2U) &&
               u->flight.bytes + reading + rest <= u->job->reserved;
}

static uint64_t left(const struct Upload *u) {
        return u->job->stamp.size - MIN(u->offset, u->job->stamp.size);
}

static void want_memory(struct Upload *u, void (*then)(Job *job)) {
        size_t least = least_room(u->average_log2);

        u->job->left = left(u);
        if (job_want_memory(u->job, LINE_LARGE, least, least + (u->hash_only ? 1 : FLIGHT_MAX) * u->cuts.maximum, then))
                then(u->job);
}

/* Between two blocks a file needs no memory. A shorter one that waits for it need not wait for all of this one. */
static bool gives_way(struct Upload *u) {
        const Job *first = u->job->mapping->lines[LINE_LARGE].first;

        u->giving_way =
                u->giving_way || (first && u->offset - u->turn >= TURN && first->left < left(u) / LARGE_SHORTER);
        return u->giving_way;
}

static void upload_go_on(Job *job) {
        struct Upload *u = job->upload;

        u->giving_way = false;
        u->turn = u->offset;
        if (job_may_send(job)) /* it may have waited for long */
                upload_pump(u);
}

static void upload_pump(struct Upload *u) {
        int r = 0;

        if (u->finishing)
                return;
        if (u->flight.failed || (u->end && !u->file)) {
                if (u->flight.n == 0)
                        upload_over(u);
                return;
        }
        if (!u->end && gives_way(u)) {
                if (u->n_reading == 0 && u->flight.n == 0)
                        want_memory(u, upload_go_on);
                return;
        }
        while (r >= 0 && !u->end && may_read(u)) {
                r = source_file_read(u->file, &u->cuts, u->flight.by_md5, on_block_read, u);
                u->n_reading += r >= 0;
        }
        if (r >= 0 && u->end && u->n_reading == 0) {
                r = source_file_finish(u->file, on_finished, u);
                u->finishing = true;
        }
        if (r < 0)
                upload_fail(u->job);
}

static void on_landed(Job *job, int r) {
        if (r < 0)
                upload_fail(job);
        else
                upload_pump(job->upload);
}

/* --- the beginning --- */

static void on_opened(const SourceAnswer *answer, void *userdata) {
        struct Upload *u = userdata;
        Job *job = u->job;

        if (answer->look == LOOK_REGULAR) { /* it may have waited for long since it was looked at */
                job->stamp = answer->stamp;
                if (job_saw(job))
                        return;
        }
        if (answer->look != LOOK_REGULAR || (answer->read == SOURCE_CHANGED && !job_may_mark(job))) {
                upload_changed(job);
                return;
        }
        u->end = answer->stamp.size == 0;
        upload_pump(u);
}

static void upload_open(Job *job) {
        struct Upload *u = job->upload;

        if (!job_may_send(job)) /* it may have waited for long */
                return;
        u->rate = (Rate){ .at = clock_boot() };
        flight_init(&u->flight, job, on_landed);
        if (source_file_open(job->mapping->source, job->row.path, on_opened, u, &u->file) < 0)
                upload_fail(job);
}

/* A block has to be in memory whole, and there are 50,000 of them. A sparse file of the 190 TiB that the service takes
 * costs its owner nothing, and must not cost us all the memory there is (5.8). */
static bool too_large(Job *job, unsigned most) {
        struct Upload *u = job->upload;
        char text[160];

        if (u->average_log2 <= most && job->stamp.size <= blocks_most(u->average_log2))
                return false;
        (void) snprintf(text, sizeof(text),
                        "larger than %llu GiB, for which there would have to be more memory: in azsyncd.yaml; or "
                        "exclude it, or split it",
                        (unsigned long long) (blocks_most(most) >> 30));
        upload_drop(job);
        job_park(job, PATH_FAILED, 0, text);
        return true;
}

/* What the service has is known, or is nothing. */
static void upload_begin(Job *job) {
        struct Upload *u = job->upload;
        unsigned most = CUT_AVERAGE_MOST_LOG2;

        while (most > CUT_AVERAGE_LEAST_LOG2 && least_room(most) > job->mapping->sync->memory)
                most--;
        u->hash_only = u->hash_first && job->blocks.average_log2 == 0;
        u->average_log2 = MAX(blocks_average(&job->blocks, job->stamp.size, most), job->average_least);
        u->cuts = cuts_of(u->average_log2);
        u->list.id_room = BASE64_ROOM(id_size(job));
        if (too_large(job, most))
                return;
        want_memory(u, upload_open);
}

void upload_start(Job *job, bool hash_first) {
        /* its mode or owner has changed and nothing else, as far as the stamp is to be believed: without the question
         */
        bool alike = hash_first && !job->row.content && !job->row.doubt && stamp_moved(&job->row.stamp, &job->stamp);
        bool unsure = job->row.confirmed || job->row.doubt || job->row.attempts > 0 || job->blocks_unsure ||
                      job->stamp.size > UNASKED_MOST;

        assert(!job->upload);

        job_give_back(job);
        if (!job_set_apart(job))
                return;
        job->have_bytes = false;
        job->upload = calloc(1, sizeof(*job->upload));
        if (!job->upload) {
                upload_fail(job);
                return;
        }
        job->upload->job = job;
        job->upload->hash_first = hash_first;
        if (unsure && !alike && !job->blocks_asked)
                upload_ask(job);
        else
                upload_begin(job);
}
