/* The rule is TCP's (RFC 5681), with requests for segments: begin small, double with each round trip, and from a
 * threshold on add a little; what the service refuses (503, 429) or leaves unanswered halves it, once per round trip.
 * A round trip is as many answers as were in flight at most when it began. It counts for growth only if the limit was
 * what held requests back, or a quiet day would raise it (RFC 7661 says why not). After a minute without an answer the
 * connections are closed, and it begins small again.
 *
 * Unlike TCP's, our path rarely loses anything when it is full: a service, or our own processor, just answers later.
 * So latency ends the doubling, as in HyStart++ (RFC 9406): the round's median against the best one of the last
 * minutes. A round that is late is given another one, for making connections takes time, too. If that is late as well,
 * the limit goes to where the same throughput would have been had at a latency that is fine, which is Little's law
 * (throughput = in flight / latency), and the step of the "gradient" limiters. Later on, lateness only stops the
 * growth: it may be the service's own, and if so, fewer requests would only send less.
 *
 * The best latency must not be believed for ever: a route changes, and what was measured while much was in flight is
 * not the best. So every few minutes it is measured anew with half the limit, which then grows back, as BBR does. */
#include "sync/pace.h"

#include "util/clock.h"
#include "util/macro.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define FIRST 16u
#define STEP 4u                     /* per round, beyond the threshold */
#define ROUND_LEAST 16u             /* answers */
#define SAMPLES_LEAST 8u            /* to tell from; HyStart++ wants as many, too */
#define SLACK (4 * NSEC_PER_MSEC)   /* later by so little means nothing */
#define STRAINED_MOST 2u            /* rounds */
#define WINDOW (300 * NSEC_PER_SEC) /* how long the best latency is believed */
#define IDLE (60 * NSEC_PER_SEC)    /* so long are connections kept */

static unsigned length(const Pace *p) {
        return MAX(p->limit, ROUND_LEAST);
}

static void begin_round(Pace *p) {
        p->left = length(p);
        p->full = false;
        for (size_t i = 0; i < _PACE_KINDS; i++)
                p->records[i].n = 0;
}

static void begin_window(Pace *p, int64_t now) {
        p->since = now;
        p->strained = 0;
        p->doubling = true;
        for (size_t i = 0; i < _PACE_KINDS; i++)
                p->records[i].best = 0;
}

void pace_init(Pace *p, unsigned most, bool fixed) {
        assert(p && most > 0);

        *p = (Pace){ .limit = fixed ? most : MIN(FIRST, most),
                     .most = most,
                     .threshold = most,
                     .doubling = true,
                     .fixed = fixed };
        begin_round(p);
}

void pace_set(Pace *p, unsigned most, bool fixed) {
        if (p->most != most || p->fixed != fixed)
                pace_init(p, most, fixed);
}

void pace_began(Pace *p, unsigned in_flight, int64_t now) {
        p->full |= in_flight >= p->limit;
        if (p->fixed || p->answered_at == 0 || now - p->answered_at < IDLE)
                return;
        p->answered_at = now;
        p->limit = MIN(FIRST, p->limit);
        p->cut = 0;
        begin_window(p, now);
        begin_round(p);
}

/* What is in flight was sent under the old limit, so its answers say nothing of the new one. */
static void lower(Pace *p, unsigned limit, unsigned in_flight) {
        p->limit = limit;
        p->cut = in_flight - 1; /* the one that was just answered is over */
        p->strained = 0;
}

static void halve(Pace *p, unsigned in_flight) {
        if (p->fixed)
                return;
        lower(p, MAX(p->limit / 2, 1U), in_flight);
        p->threshold = p->limit;
        p->doubling = false;
        begin_round(p);
}

void pace_slow_down(Pace *p, unsigned in_flight) {
        if (p->cut > 0)
                p->cut--;
        else
                halve(p, in_flight);
}

void pace_short(Pace *p, unsigned in_flight) {
        halve(p, in_flight + 1);
}

static int by_size(const void *a, const void *b) {
        int64_t x = *(const int64_t *) a, y = *(const int64_t *) b;

        return (x > y) - (x < y);
}

/* The round's median as a part of what is fine, 1 being just fine; 0: too few answers to tell. */
static double strain_of(PaceRecord *r) {
        unsigned n = MIN(r->n, PACE_SAMPLES);
        int64_t median, bound;

        if (n < SAMPLES_LEAST)
                return 0;
        qsort(r->ns, n, sizeof(r->ns[0]), by_size); /* the round is over: their order is of no use */
        median = r->ns[n / 2];
        if (r->best == 0 || median < r->best)
                r->best = median;
        bound = r->best + MAX(r->best / 2, SLACK);
        return (double) median / (double) bound;
}

static void grow(Pace *p) {
        p->doubling &= p->limit < p->threshold;
        p->limit = p->doubling ? MIN(2 * p->limit, p->threshold) : MIN(p->limit + STEP, p->most);
}

static void end_round(Pace *p, unsigned in_flight, int64_t now) {
        unsigned floor = MAX(p->limit / 2, MIN(FIRST, p->limit));
        double strain = 0;

        for (size_t i = 0; i < _PACE_KINDS; i++)
                strain = MAX(strain, strain_of(&p->records[i]));

        if (now - p->since >= WINDOW) {
                p->threshold = p->limit;
                lower(p, floor, in_flight);
                begin_window(p, now);
        } else if (strain > 1) {
                if (++p->strained >= STRAINED_MOST && p->doubling) {
                        lower(p, MAX((unsigned) ((double) p->limit / strain), floor), in_flight);
                        p->threshold = p->limit;
                        p->doubling = false;
                }
        } else if (strain > 0) {
                p->strained = 0;
                if (p->full)
                        grow(p);
        }
        begin_round(p);
}

void pace_answered(Pace *p, unsigned in_flight, PaceKind kind, int64_t latency_ns, int64_t now) {
        if (p->since == 0)
                p->since = now;
        p->answered_at = now;
        if (p->cut > 0) {
                p->cut--;
                return;
        }
        if (p->fixed)
                return;
        if (kind < _PACE_KINDS && latency_ns > 0 && p->left <= length(p) / 2) { /* before, the limit was another */
                PaceRecord *r = &p->records[kind];

                r->ns[r->n++ % PACE_SAMPLES] = latency_ns;
        }
        if (--p->left == 0)
                end_round(p, in_flight, now);
}
