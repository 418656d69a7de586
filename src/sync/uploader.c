/* Takes what is due from the journal, in turns over the mappings, and keeps at most so many jobs at work per account.
 * Rows are claimed, and the claim committed, before their first request: after a crash it says whose outcome is unknown
 * (pitfalls L3). */
#include "sync/guard.h"

#include "util/clock.h"

#include <assert.h>
#include <string.h>

#define CLAIM_MAX 512u   /* rows of one claim: 5 ms */
#define STOCK_LEAST 256u /* jobs to have: few large claims cost less than many small ones, each with its commit */
#define WAITING_MAX 16u  /* jobs with bytes in memory that the bandwidth holds back; more would come no earlier */
#define STORED_SOON (2 * NSEC_PER_SEC)

typedef struct Claim {
        Mapping *mapping;
        Row *rows[CLAIM_MAX]; /* row_size() of each */
        unsigned n;
} Claim;

static int on_due(const Row *row, void *userdata) {
        Claim *c = userdata;
        Row *copy;

        if (c->n == CLAIM_MAX)
                return 0;
        copy = malloc(row_size(row));
        if (!copy)
                return -ENOMEM;
        memcpy(copy, row, row_size(row));
        c->rows[c->n++] = copy;
        return 0;
}

/* Into the ready list. */
static void make_ready(Job *job) {
        Mapping *m = job->mapping;

        job->next_ready = NULL;
        *m->ready_last = job;
        m->ready_last = &job->next_ready;
        m->n_ready++;
}

/* The same file under another name, which is not in the cloud yet: never the deletion first (pitfalls 8). */
static bool stored_elsewhere_soon(const Mapping *m, const Row *row) {
        if (row->stamp.ino == 0)
                return false;
        if (jobs_inode_due(m, row->stamp.ino))
                return true;
        return journal_inode_due(m->sync->journal, m->record.id, row->stamp.ino, NULL) != 0;
}

static int claim_one(Mapping *m, Row *row) {
        Sync *s = m->sync;
        Job *job = NULL;
        bool gone;
        int r;

        gone = row->state == PATH_GONE;
        if (jobs_busy_with(
                    m, row->path)) /* claimed already, or the source of a rename under way (8: never delete first) */
                return 0;
        if (gone && stored_elsewhere_soon(m, row)) {
                if (mapping_polled(m)) /* there, `due` tells when it was found gone */
                        return 0;
                row->due = clock_boot() + clock_policy(STORED_SOON); /* others have their turn meanwhile */
                return journal_put(s->journal, m->record.id, row, NULL);
        }
        if (gone)
                guard_tally(m, row); /* with the claim, so that no crash forgets it */
        row_claim(row);
        r = journal_claim(s->journal, m->record.id, row, NULL);
        if (r < 0)
                return r;
        r = job_new(&job, m, row);
        if (r < 0)
                return r;
        job->was_gone = gone;
        m->n_arriving += gone;
        make_ready(job);
        return 0;
}

/* Where events do not tell of a new name, only a walk that began after the old one was found gone can have met it
 * (4.11): that walk is asked for when the deletion is due. Returns until when the walks that were suffice. */
static int64_t walked_until(Mapping *m, int64_t now) {
        int64_t due, met = m->walked_from + mapping_delete_delay(m);
        int r;

        if (!mapping_polled(m))
                return INT64_MAX;
        if (m->walked_from == 0)
                return -1;
        r = journal_next_due(m->sync->journal, m->record.id, PATH_GONE, &due, NULL);
        if (r > 0 && due > met && due <= now)
                mapping_scan(m, "");
        return met;
}

/* A deletion waits for every change that was due before it, and for all that a scan has met: one of them may turn out
 * to be the same file under a new name. The scan may have met that after the old one was found gone, and at its very
 * end: so both would be claimed at once. */
static bool deletions_may_run(Mapping *m, int64_t *ret_before) {
        int64_t due;
        int r;

        if (m->n_unlooked > 0 || mapping_scanning(m) || !m->scanned_once) /* a whole scan, too (pitfalls 8, 9.7) */
                return false;
        r = journal_next_due(m->sync->journal, m->record.id, PATH_PENDING, &due, NULL);
        if (r < 0 || (r > 0 && due <= m->compared_until))
                return false;
        *ret_before = r > 0 ? due : INT64_MAX;
        return true;
}

/* What became due last has a part of each claim, or it would wait for all of a backlog of a million. If so many large
 * files wait already that more would be put back, it has all: what came before may be nothing else. */
static int claim_pending(Mapping *m, int64_t now, unsigned room, Claim *c) {
        bool full = m->n_apart >= APART_MAX;
        unsigned fresh = full ? room : room / 4 + 1;
        int r;

        r = journal_fresh(m->sync->journal, m->record.id, full ? m->apart_full : -1, now, fresh, on_due, c, NULL);
        if (r < 0 || full || c->n < fresh || c->n == room) /* fewer than were asked for: that is all there is */
                return r;
        return journal_due(m->sync->journal, m->record.id, PATH_PENDING, now, room - c->n, on_due, c, NULL);
}

static bool claim(Mapping *m, int64_t now, unsigned room) {
        Claim c = { .mapping = m };
        Sync *s = m->sync;
        int64_t before;
        int r;

        r = claim_pending(m, now, MIN(room, CLAIM_MAX), &c);
        if (r >= 0 && c.n < room && deletions_may_run(m, &before) && deletions_room(m) > 0 &&
            !deletions_follow(m, now) && guard_lets(m, before > now && m->n_copying == 0))
                r = journal_due(s->journal, m->record.id, PATH_GONE, MIN(MIN(now, before), walked_until(m, now)),
                                MIN(MIN(room, CLAIM_MAX), deletions_room(m)), on_due, &c, NULL);
        for (unsigned i = 0; i < c.n; i++) {
                if (r >= 0)
                        r = claim_one(m, c.rows[i]);
                free(c.rows[i]);
        }
        return c.n > 0;
}

/* So many jobs may be at work for the account's limit to be what holds requests back: some look or read meanwhile, and
 * when they are through, their requests wait in the client's pool. */
static unsigned at_work(const Account *a) {
        return a->pace.limit + a->pace.limit / 4 + 2;
}

static unsigned small_ones(const Mapping *m) {
        return m->n_started - m->n_apart;
}

/* Only requests count against the account, for a job that looks or reads may be stuck in a mount that hangs: so each
 * mapping has a bound of its own. While the account's gate is not open, one job at a time finds out whether it is. */
static bool may_start(const Mapping *m, int64_t now) {
        const Account *a = m->account;

        if (a->gate != GATE_OPEN)
                return account_may_send(a, now) && small_ones(m) == 0;
        return a->in_flight < at_work(a) + a->n_large && /* a block of each, if there are so many */
               small_ones(m) < at_work(a) && m->throttle.bytes.n < WAITING_MAX + m->throttle.n_under_way;
}

/* True: rows were claimed. */
static bool serve(Mapping *m, int64_t now) {
        unsigned stock = m->account->gate == GATE_OPEN ? MAX(2 * m->account->pace.limit, STOCK_LEAST) : 2;
        unsigned n_jobs = m->n_jobs - m->n_apart - m->n_batched;

        if (!mapping_runs(m) && m->block != BLOCK_CONTAINER && m->block != BLOCK_CONTENTS)
                return false;
        if (!m->record.contacted) {
                if (!m->record.paused)
                        contact_run(m);
                return false;
        }
        if (!may_start(m, now) || m->n_ready > stock / 8 || n_jobs >= stock)
                return false;
        return claim(m, now, stock - n_jobs);
}

static void start_ready(Mapping *m, int64_t now) {
        while (m->ready_first && mapping_runs(m) && may_start(m, now)) {
                Job *job = m->ready_first;

                m->ready_first = job->next_ready;
                if (!m->ready_first)
                        m->ready_last = &m->ready_first;
                m->n_ready--;
                job->next_ready = NULL;
                job_start(job);
        }
}

/* What was claimed and cannot be started now goes back, so that it is not in doubt after a crash. */
static void return_ready(Mapping *m) {
        while (m->ready_first) {
                Job *job = m->ready_first;

                m->ready_first = job->next_ready;
                m->n_ready--;
                job_release(job, 0, false, false, NULL);
        }
        m->ready_last = &m->ready_first;
}

/* Their claims are not in the journal: what they would do, nobody would know of after a crash (pitfalls L3). Claims of
 * an earlier turn go with them; the journal takes those back when it recovers. */
static void drop_ready(Mapping *m) {
        while (m->ready_first) {
                Job *job = m->ready_first;

                m->ready_first = job->next_ready;
                m->n_ready--;
                job->next_ready = NULL;
                job_free(job);
        }
        m->ready_last = &m->ready_first;
}

void uploader_run(Sync *s, int64_t now) {
        bool claimed = false;

        if (s->closing || journal_broken(s->journal) || s->n_mappings == 0)
                return;
        s->turn = (s->turn + 1) % s->n_mappings;
        for (size_t i = 0; i < s->n_mappings; i++)
                claimed |= serve(s->mappings[(s->turn + i) % s->n_mappings], now);
        if (claimed && sync_commit(s) < 0) {
                for (size_t i = 0; i < s->n_mappings; i++)
                        drop_ready(s->mappings[i]);
                return;
        }
        for (size_t i = 0; i < s->n_mappings; i++) {
                Mapping *m = s->mappings[(s->turn + i) % s->n_mappings];

                start_ready(m, now);
                if (!mapping_runs(m) || m->account->gate != GATE_OPEN)
                        return_ready(m);
                deletions_leave(m);
        }
        sync_touch(s);
}

static int64_t mapping_next(Mapping *m, int64_t now) {
        Journal *j = m->sync->journal;
        int64_t next = INT64_MAX, due;

        if (m->record.paused || (m->block != BLOCK_NONE && m->block != BLOCK_CONTAINER && m->block != BLOCK_CONTENTS))
                return next;
        if (!m->record.contacted) {
                if (m->contact != CONTACT_NONE)
                        return next;
                next = m->contact_at;
        } else {
                if (journal_next_due(j, m->record.id, PATH_PENDING, &due, NULL) > 0)
                        next = due;
                /* one that is due, and was not claimed, may wait for just that */
                if (journal_next_due(j, m->record.id, PATH_GONE, &due, NULL) > 0 &&
                    (due > now || m->account->gate != GATE_OPEN))
                        next = MIN(next, due);
                if (next == INT64_MAX)
                        return next;
        }
        if (m->account->gate != GATE_OPEN)
                next = MAX(next, m->account->retry_at);
        /* due already, yet not started by the run at `now`: the end of a job or a scan kicks us */
        return next <= now ? INT64_MAX : next;
}

int64_t uploader_next(Sync *s, int64_t now) {
        int64_t next = INT64_MAX;

        for (size_t i = 0; i < s->n_mappings; i++)
                next = MIN(next, mapping_next(s->mappings[i], now));
        return next;
}
