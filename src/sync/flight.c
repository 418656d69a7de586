#include "sync/flight.h"

#include "azsyncd/messages.h"
#include "chunk/crc64.h"
#include "util/log.h"

#include <assert.h>
#include <string.h>

void flight_init(Flight *f, Job *job, FlightFn landed) {
        f->job = job;
        f->landed = landed;
        f->by_md5 = job->mapping->account->no_crc64;
}

void flight_done(Flight *f) {
        for (size_t i = 0; i < FLIGHT_MAX; i++) {
                FlyingBlock *b = &f->blocks[i];

                if (b->call) {
                        blob_cancel(b->call);
                        account_forget(f->job->mapping->account);
                }
                if (b->data)
                        throttle_drop(&b->sending);
                free(b->data);
        }
}

/* All large files of an account together leave half of its connections to small ones. */
unsigned flight_most(const Flight *f) {
        const Account *a = f->job->mapping->account;

        return MIN(FLIGHT_MAX, MAX(a->pace.limit / 2 / MAX(a->n_large, 1U), 1U));
}

uint64_t flight_sent(const Flight *f) {
        uint64_t sent = f->arrived;

        for (size_t i = 0; i < FLIGHT_MAX; i++)
                if (f->blocks[i].call)
                        sent += blob_call_sent(f->blocks[i].call);
        return sent;
}

static void drop(FlyingBlock *b) {
        Flight *f = b->flight;

        free(b->data);
        b->data = NULL;
        f->n--;
        f->bytes -= b->size;
        f->n_waiting -= b->waits;
}

static int send_block(FlyingBlock *b);

static int send_waiting(Flight *f) {
        int r = 0;

        for (FlyingBlock *b = f->blocks; r >= 0 && b < f->blocks + FLIGHT_MAX; b++) {
                if (!b->data || !b->waits)
                        continue;
                if (f->failed)
                        drop(b);
                else if (f->n - f->n_waiting < flight_most(f)) {
                        b->waits = false;
                        f->n_waiting--;
                        r = send_block(b);
                }
        }
        return r;
}

static void landed(FlyingBlock *b) {
        Flight *f = b->flight;

        drop(b);
        f->landed(f->job, send_waiting(f));
}

/* pitfalls 10.17: a checksum that is right and refused all the same is one that the service does not know. */
static void note_refused_crc(Flight *f, const FlyingBlock *b, Verdict verdict) {
        Account *a = f->job->mapping->account;

        if (a->no_crc64 || (verdict != VERDICT_CRC_REFUSED &&
                            (verdict != VERDICT_CORRUPTED || crc64(0, b->data, b->size) != b->crc64)))
                return;
        a->no_crc64 = true;
        LogRecord l = LOG_HERE;
        log_field(&l, "AZSYNC_ACCOUNT=%s", a->name);
        log_commit(&l, LOG_NOTICE, MSG_NO_CRC64,
                   "Account %s: the service refuses CRC64 checksums; blocks are sent with MD5 instead.", a->name);
}

static void on_sent(const BlobAnswer *answer, void *userdata) {
        FlyingBlock *b = userdata;
        Flight *f = b->flight;
        Mapping *m = f->job->mapping;

        b->call = NULL;
        m->requests += answer->requested;
        m->uploaded_bytes += answer->body_sent;
        throttle_ended(&b->sending, answer->body_sent);
        account_judge(m->account, m, answer);
        if (answer->verdict == VERDICT_OK)
                f->arrived += b->size;
        else if (!f->failed) {
                note_refused_crc(f, b, answer->verdict);
                f->failed = true;
                f->failure = *answer;
                f->failure.marker = NULL;
                mapping_note_error(m, answer->error.text);
        }
        landed(b);
}

static void on_turn(Sending *g);

static int send_block(FlyingBlock *b) {
        const Flight *f = b->flight;
        const Mapping *m = f->job->mapping;
        BlobCheck check = { .crc64 = b->crc64, .md5 = f->by_md5 ? b->md5 : NULL };
        int r;

        if (!throttle_turn(&b->sending, on_turn))
                return 0;
        r = account_sent(m->account, blob_put_block(m->account->client, m->config->container, f->job->name, b->id,
                                                    b->data, b->size, &check, on_sent, b, &b->call));
        if (r >= 0)
                throttle_began(&b->sending, b->call, b->size);
        return r;
}

static void on_turn(Sending *g) {
        FlyingBlock *b = (FlyingBlock *) (void *) ((char *) g - offsetof(FlyingBlock, sending));
        Flight *f = b->flight;
        int r;

        if (f->failed) { /* it need not be sent any more */
                throttle_drop(g);
                landed(b);
                return;
        }
        r = send_block(b);
        if (r < 0)
                f->landed(f->job, r);
}

int flight_send(Flight *f, const SourceAnswer *block, const char *id) {
        FlyingBlock *b = f->blocks;

        assert(f->n < FLIGHT_MAX);

        while (b->data)
                b++;
        *b = (FlyingBlock){ .flight = f,
                            .data = source_take_buffer(block),
                            .size = block->size,
                            .crc64 = block->crc64,
                            .sending.mapping = f->job->mapping };
        memcpy(b->md5, block->md5, sizeof(b->md5));
        memcpy(b->id, id, strlen(id) + 1);
        b->waits = f->n - f->n_waiting >= flight_most(f);
        f->n++;
        f->n_waiting += b->waits;
        f->bytes += b->size;
        return b->waits ? 0 : send_block(b);
}
