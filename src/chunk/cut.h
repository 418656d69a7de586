/* Where a file is cut into blocks: by its content, so that an edit moves only the cuts near it (FastCDC: Xia and
 * others, USENIX ATC 2016). Pure, and the same on every machine: the cuts depend on the bytes and on `Cuts` alone,
 * never on how the bytes are fed. The rules are part of what is stored (CUT_VERSION goes into every block's id): a
 * change of any of them is a new version.
 *
 *   - A gear hash of the last 64 bytes cuts where its upper bits are zero: two bits more than the average asks for
 *     before the average is reached, two fewer after it. Never before the minimum, always at the maximum.
 *   - Zeros are cut at their edges, so that all that is sent of a sparse file is its data and one block of zeros: a run
 *     of `minimum` or more zeros begins a block, and is cut each `average` and where it ends. */
#pragma once

#include "util/macro.h"

#define CUT_VERSION 2u
#define CUT_AVERAGE_LEAST_LOG2 22u /* 4 MiB */
#define CUT_AVERAGE_MOST_LOG2 26u  /* 64 MiB */

typedef struct Cuts {
        size_t minimum, average, maximum; /* bytes: average / 2, a power of two, average * 2 */
} Cuts;

Cuts cuts_of(unsigned average_log2);
/* The smallest average of which `blocks` make up `size` bytes. Blocks are a sixth longer than that as a rule, and could
 * all be a quarter as long if somebody wanted them to. */
unsigned cut_average_log2(uint64_t size, uint64_t blocks);

typedef struct Cutter {
        Cuts cuts;
        size_t at;     /* bytes of this block so far */
        size_t zeros;  /* of them, at the end: zero bytes */
        uint64_t gear; /* of the last 64 */
} Cutter;

void cutter_init(Cutter *c, const Cuts *cuts);
/* The next `size` bytes. 0: the block goes on. Otherwise it ends after so many bytes from its beginning, which may be
 * fewer than were fed before: whatever is behind them belongs to the next block, and is to be fed again. */
size_t cutter_feed(Cutter *c, const void *data, size_t size);
