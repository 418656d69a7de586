/* How many requests an account may have in flight. Pure: it is told what begins and what is answered, and says the
 * limit; it knows no clock and sends nothing. sync/account asks it. The rule and where it comes from: pace.c. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define PACE_SAMPLES 64u

/* Latencies are compared within a kind only: a service takes a HEAD sooner than a write. */
typedef enum PaceKind {
        PACE_READ,
        PACE_WRITE, /* with a small body */
        PACE_DELETE,
        PACE_COPY,
        PACE_OTHER, /* takes as long as it has to: a large body, a listing */
        _PACE_KINDS = PACE_OTHER,
} PaceKind;

typedef struct PaceRecord {
        int64_t ns[PACE_SAMPLES]; /* the latest of this round, in a ring */
        unsigned n;               /* of this round */
        int64_t best;             /* the lowest median of a round within the window; 0: none yet */
} PaceRecord;

typedef struct Pace {
        unsigned limit;
        unsigned most;              /* never more */
        unsigned threshold;         /* doubling ends here */
        bool doubling;              /* and has not ended yet */
        bool fixed;                 /* the limit is what somebody wants it to be */
        bool full;                  /* this round had as many in flight as it might */
        unsigned left;              /* answers until this round is over */
        unsigned strained;          /* rounds in a row that answered late */
        unsigned cut;               /* answers still to come to what was sent under a higher limit */
        int64_t answered_at, since; /* boot ns: the last answer; the window's beginning */
        PaceRecord records[_PACE_KINDS];
} Pace;

void pace_init(Pace *p, unsigned most, bool fixed);
void pace_set(Pace *p, unsigned most, bool fixed); /* the same, unless that is what holds already */

/* `in_flight` counts the request that is meant. */
void pace_began(Pace *p, unsigned in_flight, int64_t now);
void pace_slow_down(Pace *p, unsigned in_flight); /* it was throttled, or timed out */
void pace_short(Pace *p, unsigned in_flight); /* this machine has nothing for so many; all in flight are to come yet */
/* It was answered. `latency_ns`: from its bytes' way out to the first byte of its answer; 0: not known. */
void pace_answered(Pace *p, unsigned in_flight, PaceKind kind, int64_t latency_ns, int64_t now);
