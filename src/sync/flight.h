/* The blocks of one large file that are on their way to the service: each with its checksum, within the bandwidth, and
 * none again that has arrived. Holds their bytes until then. Part of an upload, which decides what is sent. */
#pragma once

#include "sync/state.h"

#define FLIGHT_MAX 8u /* blocks of one file, at most */

typedef struct Flight Flight;

typedef struct FlyingBlock {
        Flight *flight;
        BlobCall *call;
        char *data; /* NULL: the place is free */
        size_t size;
        uint64_t crc64;
        uint8_t md5[16]; /* if the service takes no CRC64 */
        char id[BLOCK_ID_ROOM];
        Sending sending;
        bool waits;
} FlyingBlock;

/* One of them has come back, whether it arrived or not. Negative: it could not be sent, for want of memory. */
typedef void (*FlightFn)(Job *job, int r);

struct Flight {
        Job *job;
        FlightFn landed;
        bool by_md5;           /* no CRC64: the account's service does not know it */
        unsigned n, n_waiting; /* blocks; those of them that are not sent yet, for others are */
        size_t bytes;          /* of those n */
        uint64_t arrived;      /* bytes that the service has taken */
        bool failed;           /* the first failure; the others are waited for */
        BlobAnswer failure;
        FlyingBlock blocks[FLIGHT_MAX];
};

unsigned flight_most(const Flight *f); /* blocks that it may have under way just now */
void flight_init(Flight *f, Job *job, FlightFn landed);
void flight_done(Flight *f); /* cancels what is under way */
int flight_send(Flight *f, const SourceAnswer *block,
                const char *id) _must_check_; /* takes its bytes; n < FLIGHT_MAX */
uint64_t flight_sent(const Flight *f);        /* bytes, to the last one on the line */
