/* A large file goes up in blocks (azure-blob.md 1.2). Block ids are a version byte and the hash of the content, so
 * that two overlapping uploads of one blob cannot commit each other's bytes (pitfalls 10.18). The commit is
 * conditional; nothing is visible before it.
 *
 * Another program may have left unfinished blocks under the name, and the service takes no ids of another length beside
 * them: for a week, for ever if somebody goes on trying. They cannot be deleted, and to commit something else first, as
 * is often done, would show a blob that no file ever was. So ours take on the length of theirs: as zero bytes behind
 * the hash, or as a shorter hash. The commit then drops what it does not name. */
#include "sync/state.h"

#include "azure/mime.h"
#include "util/clock.h"
#include "util/encode.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define BLOCK_MIN ((uint64_t) 4 * 1024 * 1024)
#define BLOCKS_MAX 50000u
#define BLOCKS_IN_FLIGHT 4u
#define BLOCK_MOST (UINT64_C(4000) * 1024 * 1024)
#define BLOCK_ID_VERSION 0x01
#define ID_SIZE 32u
#define ID_LEAST 16u /* bytes: 120 bits of hash; shorter ones could meet */
#define ID_MOST 64u
#define BLOCKS_PAUSE (3600 * NSEC_PER_SEC) /* the service drops forgotten blocks after a week */

typedef struct Flying {
        struct Upload *upload;
        BlobCall *call;
        char *data;
        size_t size;
        uint8_t md5[16];
        const char *id;
        Sending sending;
} Flying;

struct Upload {
        Job *job;
        SourceFile *file;
        bool hash_only, reading, end, staged;
        unsigned at_once; /* blocks that may be in flight: all of them in memory */
        uint64_t block_size, offset, sent;
        char *ids; /* Base64, each ended by NUL, all of `id_room` bytes */
        size_t n_ids, id_room;
        Flying blocks[BLOCKS_IN_FLIGHT];
        unsigned n_flying;
        bool failed; /* the first failure; the others in flight are waited for */
        BlobAnswer failure;
};

static void upload_pump(struct Upload *u);

void upload_free(struct Upload *u) {
        if (!u)
                return;
        for (size_t i = 0; i < BLOCKS_IN_FLIGHT; i++) {
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
        uint64_t sent = u->sent;

        for (size_t i = 0; i < BLOCKS_IN_FLIGHT; i++)
                if (u->blocks[i].call)
                        sent += blob_call_sent(u->blocks[i].call);
        return sent;
}

bool upload_staged(const Job *job) {
        return job->upload && job->upload->staged;
}

static void upload_drop(Job *job) {
        upload_free(TAKE_PTR(job->upload));
        job_give_back(job);
}

/* A block has to be in memory whole, and there are 50,000 of them. A sparse file of the 190 TiB that the service takes
 * costs its owner nothing, and must not cost us all the memory there is (5.8). */
static uint64_t block_most(const Job *job) {
        return MIN((uint64_t) job->mapping->sync->memory, BLOCK_MOST);
}

static bool too_large(Job *job) {
        uint64_t most = block_most(job) * BLOCKS_MAX;
        char text[160];

        if (job->stamp.size <= most)
                return false;
        (void) snprintf(text, sizeof(text),
                        "larger than %llu GiB, for which there would have to be more memory: in azsyncd.yaml; or "
                        "exclude it, or split it",
                        (unsigned long long) (most >> 30));
        upload_drop(job);
        job_park(job, PATH_FAILED, 0, text);
        return true;
}

static const char *id_at(const struct Upload *u, size_t i) {
        return u->ids + i * u->id_room;
}

static int on_listed_block(const ListedBlock *block, void *userdata) {
        Job *job = userdata;
        uint8_t id[ID_MOST + 2];
        size_t size = 0;

        if (!block->committed && base64_decode(block->id, strlen(block->id), id, sizeof(id), &size) >= 0)
                job->staged_id = (unsigned) size;
        return 0;
}

static void on_staged_known(const BlobAnswer *answer, void *userdata) {
        Job *job = userdata;
        unsigned theirs = job->staged_id, ours = job->id_size > 0 ? job->id_size : ID_SIZE;

        job_answered(job, answer);
        if (answer->verdict != VERDICT_OK && answer->verdict != VERDICT_MISSING)
                job_failed(job, answer, false);
        else if (theirs >= ID_LEAST && theirs <= ID_MOST && theirs != ours) {
                job->id_size = theirs;
                if (job_may_send(job))
                        upload_start(job, false);
        } else
                job_release(job, BLOCKS_PAUSE, true, false,
                            "another program has left unfinished blocks under this name, beside which the service "
                            "takes none of ours; it drops them after a week");
}

/* The service refuses our blocks because of those that are there. */
static void upload_ask_staged(Job *job) {
        Mapping *m = job->mapping;

        job->staged_id = 0;
        if (!job_may_send(job))
                return;
        if (account_sent(m->account, blob_get_block_list(m->account->client, m->config->container, job->name,
                                                         on_listed_block, on_staged_known, job, &job->call)) < 0)
                job_release(job, NSEC_PER_SEC, true, false, "out of memory");
}

static void upload_changed(Job *job) {
        upload_drop(job);
        job_release(job, job_pause(job), true, false, "it changed while it was read");
}

static void on_committed(const BlobAnswer *answer, void *userdata) {
        Job *job = userdata;

        job_answered(job, answer);
        if (answer->verdict == VERDICT_OK) {
                job->mapping->uploaded_files++;
                upload_drop(job);
                job_confirm(job, answer->etag);
                return;
        }
        if (answer->verdict != VERDICT_CHANGED) /* staged blocks stay for another commit only within this job */
                upload_drop(job);
        if (answer->verdict == VERDICT_BLOCKS_FOREIGN)
                upload_ask_staged(job);
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
                ids[i] = id_at(u, i);
        if (ids)
                r = account_sent(m->account, blob_put_block_list(m->account->client, m->config->container, job->name,
                                                                 ids, u->n_ids, job->md5, mime_from_path(job->row.path),
                                                                 &meta, &condition, on_committed, job, &job->call));
        free(ids);
        if (r < 0)
                job_release(job, NSEC_PER_SEC, true, false, "out of memory");
}

static uint64_t block_size_of(const Job *job) {
        /* half the blocks there are, as far as memory allows: the file may grow while it is read */
        return MIN(MAX(BLOCK_MIN, job->stamp.size / (BLOCKS_MAX / 2) + 1), block_most(job));
}

/* Everything that was under way has come back: what now? */
static void upload_over(struct Upload *u) {
        Job *job = u->job;

        if (u->failed) {
                BlobAnswer failure = u->failure;

                upload_drop(job);
                job->have_bytes = false;
                if (failure.verdict == VERDICT_BLOCKS_FOREIGN)
                        upload_ask_staged(job);
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

        u->reading = false;
        job->fuzzy = answer->look == LOOK_REGULAR && answer->read == SOURCE_CHANGED && u->end && job_may_mark(job);
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
        upload_pump(u);
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
                u->sent += b->size;
        else if (!u->failed) {
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
        int r;

        if (!throttle_turn(&b->sending, on_turn))
                return 0;
        r = account_sent(m->account, blob_put_block(m->account->client, m->config->container, u->job->name, b->id,
                                                    b->data, b->size, b->md5, on_block_sent, b, &b->call));
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
        } else if (flying_send(b) < 0) {
                upload_drop(job);
                job_release(job, NSEC_PER_SEC, true, false, "out of memory");
        }
}

static int send_block(struct Upload *u, char *data, size_t size, const SourceAnswer *answer) {
        Job *job = u->job;
        Flying *b = u->blocks;
        uint8_t id[ID_MOST] = { BLOCK_ID_VERSION };
        char *text = u->ids + u->n_ids * u->id_room;

        while (b->data) /* the caller saw to it that one is free */
                b++;
        memcpy(id + 1, answer->sha256, ID_SIZE - 1);
        base64_encode(id, job->id_size > 0 ? job->id_size : ID_SIZE, text);
        *b = (Flying){ .upload = u, .data = data, .size = size, .id = text, .sending.mapping = job->mapping };
        memcpy(b->md5, answer->md5, sizeof(b->md5));
        u->n_ids++;
        u->n_flying++;
        return flying_send(b);
}

static void on_block_read(const SourceAnswer *answer, void *userdata) {
        struct Upload *u = userdata;
        Job *job = u->job;

        u->reading = false;
        if (answer->look != LOOK_REGULAR || (answer->read == SOURCE_CHANGED && !job_may_mark(job))) {
                upload_changed(job);
                return;
        }
        u->end = answer->end;
        u->offset += answer->size;
        if (!u->hash_only && answer->size > 0 && !u->failed) {
                char *data = source_take_buffer(answer);

                if (u->n_ids == BLOCKS_MAX) {
                        free(data);
                        upload_changed(job);
                        return;
                }
                if (send_block(u, data, answer->size, answer) < 0) {
                        upload_drop(job);
                        job_release(job, NSEC_PER_SEC, true, false, "out of memory");
                        return;
                }
        }
        upload_pump(u);
}

/* All large files of an account together leave half of its connections to small ones. */
static unsigned at_once(const struct Upload *u) {
        const Account *a = u->job->mapping->account;

        return MIN(u->at_once, MAX(a->pace.limit / 2 / MAX(a->n_large, 1U), 1U));
}

static void upload_pump(struct Upload *u) {
        Job *job = u->job;
        int r;

        if (u->reading)
                return;
        if (u->failed || (u->end && !u->file)) {
                if (u->n_flying == 0)
                        upload_over(u);
                return;
        }
        if (!u->end && u->n_flying >= at_once(u))
                return;
        u->reading = true;
        r = u->end ? source_file_finish(u->file, on_finished, u)
                   : source_file_read(u->file, (size_t) u->block_size, on_block_read, u);
        if (r < 0) {
                upload_drop(job);
                job_release(job, NSEC_PER_SEC, true, false, "out of memory");
        }
}

static void on_opened(const SourceAnswer *answer, void *userdata) {
        struct Upload *u = userdata;
        Job *job = u->job;

        u->reading = false;
        if (answer->look != LOOK_REGULAR || (answer->read == SOURCE_CHANGED && !job_may_mark(job))) {
                upload_changed(job);
                return;
        }
        job->stamp = answer->stamp;
        if (too_large(job))
                return;
        u->block_size = block_size_of(job);
        u->at_once = (unsigned) MAX(MIN(job->reserved / u->block_size, (uint64_t) BLOCKS_IN_FLIGHT), UINT64_C(1));
        if (!u->hash_only) {
                u->id_room = BASE64_ROOM(job->id_size > 0 ? job->id_size : ID_SIZE);
                /* a file that grows is followed until it has twice this size */
                u->ids = calloc(MIN(2 * (size_t) (answer->stamp.size / u->block_size) + 3, (size_t) BLOCKS_MAX),
                                u->id_room);
                if (!u->ids) {
                        upload_drop(job);
                        job_release(job, NSEC_PER_SEC, true, false, "out of memory");
                        return;
                }
        }
        u->end = answer->stamp.size == 0;
        upload_pump(u);
}

static void upload_open(Job *job) {
        struct Upload *u = job->upload;

        if (!job_may_send(job)) /* it may have waited for long */
                return;
        if (source_file_open(job->mapping->source, job->row.path, on_opened, u, &u->file) < 0) {
                upload_drop(job);
                job_release(job, NSEC_PER_SEC, true, false, "out of memory");
        } else
                u->reading = true;
}

void upload_start(Job *job, bool hash_only) {
        size_t block = (size_t) block_size_of(job);

        assert(!job->upload);

        job_give_back(job);
        if (too_large(job) || !job_set_apart(job))
                return;
        job->have_bytes = false;
        job->upload = calloc(1, sizeof(*job->upload));
        if (!job->upload) {
                job_release(job, NSEC_PER_SEC, true, false, "out of memory");
                return;
        }
        job->upload->job = job;
        job->upload->hash_only = hash_only;
        if (job_want_memory(job, LINE_LARGE, block, hash_only ? block : block * BLOCKS_IN_FLIGHT, upload_open))
                upload_open(job);
}
