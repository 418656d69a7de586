/* Deletions that travel together: up to 256 in a request (azure-blob.md 1.7). Each job looks as ever, right before
 * (L2), then joins the batch that is being gathered. That leaves when it is full or as soon as no other deletion is
 * about to join; so one that is alone goes at once, by a request of its own. Behind a mount that is slow, or hangs,
 * nobody waits long enough for a look to grow old. The files of a folder are found gone, and so become due, one after
 * the other: while that goes on, up to a limit, they are not even claimed, for such a wait belongs before the look.
 *
 * What each job hears is what it would have heard alone. What failed once goes alone from then on: whatever a box on
 * the way makes of batches, it cannot hold a deletion up for ever. */
#include "sync/state.h"

#include "util/clock.h"
#include "util/log.h"

#include <assert.h>

#define FOLLOWS (100 * NSEC_PER_MSEC)      /* what becomes due so soon after another travels with it, */
#define FOLLOWS_LEAST NSEC_PER_SEC         /* but nothing waits for more for longer than this, */
#define FOLLOWS_MOST (5 * NSEC_PER_SEC)    /* or than `delete-delay` again, which is no more than this */
#define WAIT_MOST (250 * NSEC_PER_MSEC)    /* from the first look in a batch to its departure */
#define LOOK_HOLDS (NSEC_PER_SEC)          /* if the loop itself was held up: looked at anew */
#define TRAVELLING_MOST 4u                 /* batches at once: a thousand jobs */
#define REFUSED_PAUSE (900 * NSEC_PER_SEC) /* then one is tried again: rights and boxes on the way change */

typedef struct Batch Batch;
struct Batch {
        Batch *next, *prev; /* of those that travel */
        Mapping *mapping;
        BlobCall *call; /* NULL: it is being gathered */
        unsigned n;
        Job *jobs[BATCH_MAX]; /* the first n; NULL: it has heard its answer, or has ended */
        bool troubled;        /* the account: what it is told instead of the whole's answer */
        BlobAnswer trouble;
};

static Job *take_out(Batch *b, unsigned at) {
        Job *job = b->jobs[at];
        Mapping *m = b->mapping;

        if (!job)
                return NULL;
        b->jobs[at] = NULL;
        job->batch = NULL;
        job->started = true; /* in a batch it does not count as one at work */
        m->n_started++;
        m->n_batched--;
        return job;
}

static void put_in(Batch *b, Job *job) {
        Mapping *m = b->mapping;

        job->batch = b;
        job->batch_at = b->n;
        b->jobs[b->n++] = job;
        m->n_started -= job->started;
        job->started = false;
        m->n_apart -= job->apart; /* a file came back, waited to be sent, and is gone again */
        job->apart = false;
        m->n_batched++;
}

static void batch_free(Batch *b) {
        Mapping *m = b->mapping;

        if (m->gathering == b)
                m->gathering = NULL;
        if (b->prev)
                b->prev->next = b->next;
        else if (m->travelling == b)
                m->travelling = b->next;
        if (b->next)
                b->next->prev = b->prev;
        free(b);
}

void deletions_drop(Job *job) {
        (void) take_out(job->batch, job->batch_at);
}

void deletions_close(Mapping *m) {
        while (m->travelling) {
                if (m->travelling->call) {
                        blob_cancel(m->travelling->call);
                        account_forget(m->account);
                }
                batch_free(m->travelling);
        }
        if (m->gathering)
                batch_free(m->gathering);
}

/* --- the answer --- */

/* What is the account's trouble closes its gate, whichever of them it was that met it. */
static bool is_trouble(Verdict v) {
        return v == VERDICT_BUSY || v == VERDICT_DENIED || v == VERDICT_CLOCK;
}

static void on_item(size_t number, const BlobAnswer *answer, void *userdata) {
        Batch *b = userdata;
        Job *job = take_out(b, (unsigned) number);

        if (is_trouble(answer->verdict) && !b->troubled) {
                b->troubled = true;
                b->trouble = *answer;
        }
        if (job)
                job_deleted(job, answer);
}

/* The service answered, and did nothing: it does not take batches, or not with these rights. */
static bool is_refusal(const Batch *b, const BlobAnswer *whole) {
        switch (whole->verdict) {
        case VERDICT_DENIED:
                return b->mapping->config->account->method ==
                       AUTH_SAS; /* may be for blobs and not for batches; a key is for both */
        case VERDICT_PERMANENT:
        case VERDICT_MISSING:
        case VERDICT_CHANGED:
        case VERDICT_LATER:
        case VERDICT_LEASED:
        case VERDICT_SNAPSHOTS:
        case VERDICT_ARCHIVED:
                return true;
        default:
                return false;
        }
}

static void on_batch(const BlobAnswer *whole, void *userdata) {
        Batch *b = userdata;
        Mapping *m = b->mapping;
        Account *a = m->account;
        bool refused = is_refusal(b, whole);

        b->call = NULL;
        m->requests += whole->requested;
        /* an answer that cannot be relied on (a 500 without a word, a gateway's page): who knows what it is made by */
        if (refused || (whole->verdict == VERDICT_UNKNOWN && whole->error.domain == ERROR_AZURE)) {
                a->single_until = clock_boot() + clock_policy(REFUSED_PAUSE);
                log_debug("account %s: deletions go one by one for now: %s", a->name, whole->error.text);
        }
        if (refused)
                account_forget(a); /* the next deletion will tell whether it is the account's trouble */
        else
                account_judge(a, m, b->troubled ? &b->trouble : whole);
        for (unsigned i = 0; i < b->n; i++) {
                BlobAnswer answer = *whole;
                Job *job = take_out(b, i);

                answer.requested = false; /* counted once */
                answer.body_sent = 0;
                if (job && refused)
                        job_release(job, 0, false, false, NULL);
                else if (job)
                        job_deleted(job, &answer);
        }
        m->n_started--;
        batch_free(b);
        sync_kick(m->sync);
}

/* --- departure --- */

/* Takes out whoever cannot go: its path was heard of meanwhile, or its look has grown old. */
static void sort_out(Batch *b) {
        int64_t now = clock_boot();
        unsigned n = 0;

        for (unsigned i = 0; i < b->n; i++) {
                Job *job = b->jobs[i];

                if (!job)
                        continue;
                if (now - job->looked_at > LOOK_HOLDS)
                        job_look(take_out(b, i));
                else if (job_is_hinted(job))
                        job_release(take_out(b, i), 0, false, false, NULL);
                else {
                        b->jobs[i] = NULL;
                        b->jobs[n] = job;
                        job->batch_at = n++;
                }
        }
        b->n = n;
}

static int batch_send(Batch *b) {
        BlobDeletion items[BATCH_MAX];
        Mapping *m = b->mapping;
        unsigned n = b->n;
        int r;

        for (unsigned i = 0; i < n; i++)
                items[i] = (BlobDeletion){ b->jobs[i]->name, b->jobs[i]->batch_etag };
        r = account_sent(m->account, blob_delete_batch(m->account->client, m->config->container, items, n, on_item,
                                                       on_batch, b, &b->call));
        if (r < 0)
                return r;
        m->n_started++; /* a request is one, whatever it carries */
        b->next = m->travelling;
        if (b->next)
                b->next->prev = b;
        m->travelling = b;
        b->n = (unsigned) r;
        for (unsigned i = b->n; i < n; i++) /* their names are too long for one request */
                job_look(take_out(b, i));
        return 0;
}

/* Back into the queue: they are claimed and looked at again. */
static void turn_back(Batch *b, int64_t wait_ns, const char *reason) {
        for (unsigned i = 0; i < b->n; i++)
                if (b->jobs[i])
                        job_release(take_out(b, i), wait_ns, wait_ns > 0, false, reason);
        b->n = 0;
}

static void depart(Mapping *m) {
        Batch *b = TAKE_PTR(m->gathering);
        Account *a = m->account;

        if (m->follow_until > clock_boot())
                timer_set(m->depart, m->follow_until);
        else
                timer_stop(m->depart);
        if (!mapping_runs(m) || !account_may_send(a, clock_boot()))
                turn_back(b, 0, NULL);
        sort_out(b);
        if (b->n == 1) {
                Job *job = take_out(b, 0);

                job_delete(job, job->batch_etag);
        } else if (b->n > 1) {
                if (batch_send(b) >= 0)
                        return;
                turn_back(b, LOCAL_RETRY, "out of memory");
        }
        batch_free(b);
}

void deletions_leave(Mapping *m) {
        if (m->gathering && m->n_arriving == 0)
                depart(m);
}

void deletions_time(void *mapping) {
        Mapping *m = mapping;

        if (m->gathering)
                depart(m);
        else
                sync_kick(m->sync);
}

/* The first one makes the batch. */
static bool gather(Mapping *m) {
        if (m->gathering)
                return true;
        m->gathering = calloc(1, sizeof(*m->gathering));
        if (!m->gathering)
                return false;
        m->gathering->mapping = m;
        timer_set(m->depart, clock_boot() + WAIT_MOST);
        return true;
}

static bool goes_alone(const Job *job) {
        const Account *a = job->mapping->account;

        return job->row.attempts > 0 || a->gate != GATE_OPEN || clock_boot() < a->single_until;
}

void deletions_join(Job *job, const char *etag) {
        Mapping *m = job->mapping;

        assert(job->fresh && !job->batch && job->name);

        if (goes_alone(job) || !gather(m)) {
                job_delete(job, etag);
                return;
        }
        job->batch_etag = etag;
        put_in(m->gathering, job);
        if (m->gathering->n == BATCH_MAX)
                depart(m);
        else
                sync_kick(m->sync); /* which claims more, and calls deletions_leave() */
}

bool deletions_follow(Mapping *m, int64_t now) {
        Journal *j = m->sync->journal;
        int64_t due, id = m->record.id, most = MIN(mapping_delete_delay(m), FOLLOWS_MOST);

        if (now < m->follow_until)
                return true;
        if (m->gathering || now < m->account->single_until)
                return false;
        if (journal_next_due(j, id, PATH_GONE, &due, NULL) <= 0 || now - due >= MAX(most, FOLLOWS_LEAST))
                return false;
        if (journal_nth_due(j, id, PATH_GONE, now, 0, &due, NULL) <= 0 || due - now > FOLLOWS)
                return false;
        if (journal_nth_due(j, id, PATH_GONE, -1, BATCH_MAX - 1, &due, NULL) > 0 && due <= now)
                return false; /* a batch is full without them */
        m->follow_until = now + FOLLOWS / 2;
        timer_set(m->depart, m->follow_until);
        return true;
}

unsigned deletions_room(const Mapping *m) {
        unsigned n = 0;

        if (clock_boot() < m->account->single_until)
                return BATCH_MAX;
        for (const Batch *b = m->travelling; b; b = b->next)
                n++;
        if (n >= TRAVELLING_MOST)
                return 0;
        n = (m->gathering ? m->gathering->n : 0) + m->n_arriving;
        return n < BATCH_MAX ? BATCH_MAX - n : 0;
}
