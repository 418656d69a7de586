/* Holds back bodies so that `bandwidth` is kept: by each mapping, and by all together.
 *
 * A small body is one packet or two: it is admitted before its request begins, and so waits without a connection. A
 * larger one (above HTTP_PIECE) asks for each piece; of those a mapping has no more under way than its rate is good
 * for, or they would sit on all the connections. Either way bytes are given out in one line per mapping, and mappings
 * that wait for what they have in common get equal parts of it. What was really sent in the end is what counts. */
#pragma once

#include "azure/blob.h"
#include "config/bandwidth.h"
#include "util/bucket.h"
#include "util/timer.h"

typedef struct Sending Sending;
typedef void (*SendingFn)(Sending *g); /* it may go on */

/* The body of one request. Lies in a job, or in a block on its way; only `mapping` is set before. */
struct Sending {
        struct Mapping *mapping;
        Sending *next; /* in its line */
        struct SendingLine *line;
        SendingFn resume;
        BlobCall *call; /* under way, piece by piece */
        size_t wanted;  /* bytes that it waits for */
        size_t granted; /* taken and not sent yet */
        uint64_t taken; /* in all */
        bool has_turn;  /* as one of a few large ones */
};

typedef struct SendingLine {
        Sending *first, **last;
        unsigned n;
} SendingLine;

typedef struct Throttle {
        const Bandwidth *limit; /* of the configuration in force; NULL: none */
        Bucket bucket;
        SendingLine bytes, turns; /* who waits for what */
        unsigned n_under_way;     /* that have their turn */
        uint64_t served;          /* bytes that it had, or was not there to ask for */
} Throttle;

/* False: it waits, and resume() comes. */
bool throttle_admit(Sending *g, size_t size, SendingFn resume); /* bytes for all of a small body; else true */
bool throttle_turn(Sending *g, SendingFn resume);               /* one of the few large ones that are under way */
void throttle_began(Sending *g, BlobCall *call, size_t size);   /* the request with the body */
void throttle_ended(Sending *g, uint64_t sent);                 /* it was answered */
void throttle_drop(Sending *g);                                 /* there is none, or it was cancelled */
