/* A large file goes up in blocks that are cut by its content (chunk/cut.h), so that of a changed file only the blocks
 * that the service does not have are sent. What it has, Get Block List tells: nothing that could be wrong is kept in
 * the journal, and a crash costs no more than what was in flight. The commit is conditional; nothing is visible before
 * it.
 *
 * Another program may have left unfinished blocks under the name, and the service takes no ids of another length beside
 * them: for a week, for ever if somebody goes on trying. They cannot be deleted, and to commit something else first, as
 * is often done, would show a blob that no file ever was. So ours take on the length of theirs. The commit then drops
 * what it does not name. */
#include "sync/state.h"

#include "azsyncd/messages.h"
#include "azure/mime.h"
#include "chunk/crc64.h"
#include "util/clock.h"
#include "util/log.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define BLOCKS_FULL (BLOCKS_MAX * UINT64_C(3) / 4) /* of average size; they are a sixth longer, as a rule */
#define IN_FLIGHT 8u                               /* blocks of one file, at most */
#define READ_AHEAD 3u                              /* one is read, one summed up, one waits for either */
#define UNASKED_MOST (4 * SYNC_SMALL_MAX)          /* a new file so small is not worth the question */
#define TURN (UINT64_C(64) << 20)                  /* so much before it gives way to a shorter one */
#define BLOCKS_PAUSE (3600 * NSEC_PER_SEC)         /* the service drops forgotten blocks after a week */

typedef struct Flying {
        struct Upload *upload;
        BlobCall *call;
        char *data;
        size_t size;
        uint64_t crc64;
        uint8_t md5[16]; /* if the service takes no CRC64 */
        char id[BLOCK_ID_ROOM];
        Sending sending;
} Flying;

struct Upload {
        Job *job;
        SourceFile *file;
        bool hash_first; /* before anything is sent: it may turn out to be what is there already */
        bool hash_only, giving_way, finishing, end, staged;
        bool by_md5;                  /* no CRC64 */
        unsigned n_reading, n_flying; /* blocks that are read; that are sent */
        size_t flying;                /* bytes of the latter */
        unsigned average_log2;
        Cuts cuts;
        uint64_t offset, done; /* bytes read; sent, or known to be there */
        uint64_t turn;         /* the offset when it got its memory */
        int64_t took;          /* ns: reading and hashing, so far */
        Rate rate;
        char *ids; /* Base64, each ended by NUL, all of `id_room` bytes */
        size_t n_ids, ids_room, id_room;
        Flying blocks[IN_FLIGHT];
        bool failed; /* the first failure; the others in flight are waited for */
        BlobAnswer failure;
};

static void upload_pump(struct Upload *u);
static void upload_begin(Job *job);

void upload_free(struct Upload *u) {
        if (!u)
                return;
        for (size_t i = 0; i < IN_FLIGHT; i++) {
                if (u->blocks[i].call) {
                        blob_cancel(u->blocks[i].call);
                        account_forget(u->job->mapping->account);
                }
                if (u->blocks[i].data)
                        throttle_drop(&u->blocks[i].sending);
                free(u->blocks[i].data);
        }
        source_file_close(u->file);
        free(u->ids);
        free(u);
}

uint64_t upload_sent(const struct Upload *u) {
        uint64_t sent = u->done;

        for (size_t i = 0; i < IN_FLIGHT; i++)
                if (u->blocks[i].call)
                        sent += blob_call_sent(u->blocks[i].call);
        return sent;
}

Rate *upload_rate(struct Upload *u) {
        return &u->rate;
}

bool upload_staged(const Job *job) {
        return job->upload && job->upload->staged;
}

static void upload_drop(Job *job) {
        upload_free(TAKE_PTR(job->upload));
        job_give_back(job);
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

        ids = calloc(MAX(u->n_ids, (size_t) 1), sizeof(*ids));
        for (size_t i = 0; ids && i < u->n_ids; i++)
                ids[i] = u->ids + i * u->id_room;
        if (ids)
                r = account_sent(m->account, blob_put_block_list(m->account->client, m->config->container, job->name,
                                                                 ids, u->n_ids, job->md5, mime_from_path(job->row.path),
                                                                 &meta, &condition, on_committed, job, &job->call));
        free(ids);
        if (r < 0)
                job_release(job, NSEC_PER_SEC, true, false, "out of memory");
}

/* Everything that was under way has come back: what now? */
static void upload_over(struct Upload *u) {
        Job *job = u->job;

        if (u->failed) {
                BlobAnswer failure = u->failure;

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
        if (u->n_flying == 0)
                upload_over(u);
}

static void on_turn(Sending *g);

static void landed(Flying *b) {
        struct Upload *u = b->upload;

        free(b->data);
        b->data = NULL;
        u->n_flying--;
        u->flying -= b->size;
        upload_pump(u);
}

/* --- block by block --- */

/* pitfalls 10.17: a checksum that is right and refused all the same is one that the service does not know. */
static void note_refused_crc(struct Upload *u, const Flying *b, Verdict verdict) {
        Account *a = u->job->mapping->account;

        if (a->no_crc64 || (verdict != VERDICT_CRC_REFUSED &&
                            (verdict != VERDICT_CORRUPTED || crc64(0, b->data, b->size) != b->crc64)))
                return;
        a->no_crc64 = true;
        LogRecord l = LOG_HERE;
        log_field(&l, "AZSYNC_ACCOUNT=%s", a->name);
        log_commit(&l, LOG_NOTICE, MSG_NO_CRC64,
                   "Account %s: the service refuses CRC64 checksums; blocks are sent with MD5 instead.", a->name);
}

static void on_block_sent(const BlobAnswer *answer, void *userdata) {
        Flying *b = userdata;
        struct Upload *u = b->upload;
        Job *job = u->job;
        Mapping *m = job->mapping;

        b->call = NULL;
        m->requests += answer->requested;
        m->uploaded_bytes += answer->body_sent;
        throttle_ended(&b->sending, answer->body_sent);
        account_judge(m->account, m, answer);
        if (answer->verdict == VERDICT_OK)
                u->done += b->size;
        else if (!u->failed) {
                note_refused_crc(u, b, answer->verdict);
                u->failed = true;
                u->failure = *answer;
                u->failure.marker = NULL;
                mapping_note_error(m, answer->error.text);
        }
        landed(b);
}

static int flying_send(Flying *b) {
        struct Upload *u = b->upload;
        const Mapping *m = u->job->mapping;
        BlobCheck check = { .crc64 = b->crc64, .md5 = u->by_md5 ? b->md5 : NULL };
        int r;

        if (!throttle_turn(&b->sending, on_turn))
                return 0;
        r = account_sent(m->account, blob_put_block(m->account->client, m->config->container, u->job->name, b->id,
                                                    b->data, b->size, &check, on_block_sent, b, &b->call));
        if (r >= 0)
                throttle_began(&b->sending, b->call, b->size);
        return r;
}

static void on_turn(Sending *g) {
        Flying *b = (Flying *) (void *) ((char *) g - offsetof(Flying, sending));
        Job *job = b->upload->job;

        if (b->upload->failed) { /* it need not be sent any more */
                throttle_drop(g);
                landed(b);
        } else if (flying_send(b) < 0)
                upload_fail(job);
}

/* The next block of the list; sent unless the service has it. */
static int take_block(struct Upload *u, const SourceAnswer *answer) {
        Job *job = u->job;
        char *text = u->ids + u->n_ids * u->id_room;
        Flying *b = u->blocks;

        block_id(answer->sha256, u->average_log2, id_size(job), text);
        u->n_ids++;
        if (blocks_have(&job->blocks, text, answer->size)) {
                u->done += answer->size;
                return 0;
        }
        if (blocks_add(&job->blocks, text, answer->size) < 0) /* once is enough, should it come again */
                return -ENOMEM;
        while (b->data) /* may_read() saw to it that one is free */
                b++;
        *b = (Flying){ .upload = u,
                       .data = source_take_buffer(answer),
                       .size = answer->size,
                       .crc64 = answer->crc64,
                       .sending.mapping = job->mapping };
        memcpy(b->md5, answer->md5, sizeof(b->md5));
        memcpy(b->id, text, u->id_room);
        u->n_flying++;
        u->flying += b->size;
        return flying_send(b);
}

/* As many as the service takes. False: they are too many, or memory is out. */
static bool room_for_id(struct Upload *u) {
        size_t room = MIN(2 * u->ids_room + 64, (size_t) BLOCKS_MAX);
        char *more;

        if (u->n_ids < u->ids_room)
                return true;
        more = u->n_ids < BLOCKS_MAX ? reallocarray(u->ids, room, u->id_room) : NULL;
        if (!more)
                return false;
        u->ids = more;
        u->ids_room = room;
        return true;
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

        u->n_reading--;
        u->took = MAX(u->took, answer->took_ns);
        if (answer->look != LOOK_REGULAR || (answer->read == SOURCE_CHANGED && !job_may_mark(job))) {
                upload_changed(job);
                return;
        }
        u->end |= answer->end;
        u->offset += answer->size;
        if (u->hash_only)
                u->done += answer->size;
        else if (answer->size > 0 && !u->failed) {
                if (u->n_ids == BLOCKS_MAX) { /* cut into many small ones, on purpose perhaps */
                        job->average_least = u->average_log2 + 1;
                        upload_again(job);
                        return;
                }
                if (!room_for_id(u) || take_block(u, answer) < 0) {
                        upload_fail(job);
                        return;
                }
        }
        upload_pump(u);
}

/* All large files of an account together leave half of its connections to small ones. */
static unsigned at_once(const struct Upload *u) {
        const Account *a = u->job->mapping->account;

        return MIN(IN_FLIGHT, MAX(a->pace.limit / 2 / MAX(a->n_large, 1U), 1U));
}

static size_t least_room(unsigned average_log2) {
        return (size_t) 3 << average_log2; /* one block, and half of one that was read behind its end */
}

static bool may_read(const struct Upload *u) {
        size_t rest = u->cuts.average, reading = (u->n_reading + 1) * u->cuts.maximum;

        return u->n_reading < READ_AHEAD && u->n_reading + u->n_flying < MAX(at_once(u), 2U) &&
               u->flying + reading + rest <= u->job->reserved;
}

static uint64_t left(const struct Upload *u) {
        return u->job->stamp.size - MIN(u->offset, u->job->stamp.size);
}

static void want_memory(struct Upload *u, void (*then)(Job *job)) {
        size_t least = least_room(u->average_log2);

        u->job->left = left(u);
        if (job_want_memory(u->job, LINE_LARGE, least, least + (u->hash_only ? 1 : IN_FLIGHT) * u->cuts.maximum, then))
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
        if (u->failed || (u->end && !u->file)) {
                if (u->n_flying == 0)
                        upload_over(u);
                return;
        }
        if (!u->end && gives_way(u)) {
                if (u->n_reading == 0 && u->n_flying == 0)
                        want_memory(u, upload_go_on);
                return;
        }
        while (r >= 0 && !u->end && may_read(u)) {
                r = source_file_read(u->file, &u->cuts, u->by_md5, on_block_read, u);
                u->n_reading += r >= 0;
        }
        if (r >= 0 && u->end && u->n_reading == 0) {
                r = source_file_finish(u->file, on_finished, u);
                u->finishing = true;
        }
        if (r < 0)
                upload_fail(u->job);
}

/* --- the beginning --- */

static void on_opened(const SourceAnswer *answer, void *userdata) {
        struct Upload *u = userdata;
        Job *job = u->job;

        if (answer->look != LOOK_REGULAR || (answer->read == SOURCE_CHANGED && !job_may_mark(job))) {
                upload_changed(job);
                return;
        }
        job->stamp = answer->stamp;
        u->end = answer->stamp.size == 0;
        upload_pump(u);
}

static void upload_open(Job *job) {
        struct Upload *u = job->upload;

        if (!job_may_send(job)) /* it may have waited for long */
                return;
        u->rate = (Rate){ .at = clock_boot() };
        u->by_md5 = job->mapping->account->no_crc64;
        if (source_file_open(job->mapping->source, job->row.path, on_opened, u, &u->file) < 0)
                upload_fail(job);
}

/* A blob keeps its cuts until it outgrows them: with others it would be sent whole again. */
static unsigned average_for(const Job *job) {
        unsigned kept = job->blocks.average_log2;

        if (kept == 0 || job->stamp.size >> kept > BLOCKS_FULL)
                kept = cut_average_log2(job->stamp.size, BLOCKS_MAX / 2);
        return MAX(kept, job->average_least);
}

/* A block has to be in memory whole, and there are 50,000 of them. A sparse file of the 190 TiB that the service takes
 * costs its owner nothing, and must not cost us all the memory there is (5.8). */
static bool too_large(Job *job) {
        struct Upload *u = job->upload;
        unsigned most = CUT_AVERAGE_MOST_LOG2;
        char text[160];

        while (most > CUT_AVERAGE_LEAST_LOG2 && least_room(most) > job->mapping->sync->memory)
                most--;
        if (u->average_log2 <= most && job->stamp.size >> u->average_log2 <= BLOCKS_FULL)
                return false;
        (void) snprintf(text, sizeof(text),
                        "larger than %llu GiB, for which there would have to be more memory: in azsyncd.yaml; or "
                        "exclude it, or split it",
                        (unsigned long long) (((uint64_t) BLOCKS_FULL << most) >> 30));
        upload_drop(job);
        job_park(job, PATH_FAILED, 0, text);
        return true;
}

/* What the service has is known, or is nothing. */
static void upload_begin(Job *job) {
        struct Upload *u = job->upload;

        u->hash_only = u->hash_first && job->blocks.average_log2 == 0;
        u->average_log2 = average_for(job);
        u->cuts = cuts_of(u->average_log2);
        u->id_room = BASE64_ROOM(id_size(job));
        if (too_large(job))
                return;
        want_memory(u, upload_open);
}

void upload_start(Job *job, bool hash_first) {
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
        if (unsure && !job->blocks_asked)
                upload_ask(job);
        else
                upload_begin(job);
}
