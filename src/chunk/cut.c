#include "chunk/cut.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

#define WINDOW 64u
#define STEP 4096u /* zeros are looked for in steps of so many bytes; a run of `minimum` fills many of them */

static uint64_t table[256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) from 0: any fixed random numbers will do. */
static void fill_table(void) {
        uint64_t state = 0;

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);

                z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
                z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
                table[i] = z ^ (z >> 31);
        }
}

Cuts cuts_of(unsigned average_log2) {
        size_t average = (size_t) 1 << average_log2;

        assert(average_log2 >= 13 && average_log2 < 40);

        return (Cuts){ .minimum = average / 2, .average = average, .maximum = average * 2 };
}

unsigned cut_average_log2(uint64_t size, uint64_t blocks) {
        unsigned log2 = CUT_AVERAGE_LEAST_LOG2;

        while (log2 < CUT_AVERAGE_MOST_LOG2 && size >> log2 > blocks)
                log2++;
        return log2;
}

void cutter_init(Cutter *c, const Cuts *cuts) {
        (void) pthread_once(&once, fill_table);
        *c = (Cutter){ .cuts = *cuts };
}

static size_t cut_at(Cutter *c, size_t length) {
        c->at = c->zeros = 0;
        c->gear = 0;
        return length;
}

/* How many zero bytes there are at the beginning, or the end. */
static size_t leading(const uint8_t *data, size_t size) {
        size_t n = 0;

        if (size > 0 && data[0] == 0 && memcmp(data, data + 1, size - 1) == 0)
                return size;
        while (data[n] == 0)
                n++;
        return n;
}

static size_t trailing(const uint8_t *data, size_t size) {
        size_t n = 0;

        while (data[size - 1 - n] == 0)
                n++;
        return n;
}

/* The first place from `from` on at which the hash asks for a cut; 0: none in these bytes. */
static size_t gear_scan(Cutter *c, const uint8_t *data, size_t size, size_t from) {
        const uint64_t before = ~(~UINT64_C(0) >> (unsigned) (__builtin_ctzll(c->cuts.average) + 2)),
                       after = ~(~UINT64_C(0) >> (unsigned) (__builtin_ctzll(c->cuts.average) - 2));
        size_t i = 0, warm, strict;
        uint64_t h = c->gear;

        if (c->at + size <= from)
                return 0;
        i = from > c->at ? from - c->at : 0;
        /* until the minimum: only to fill the window */
        warm = c->cuts.minimum > c->at ? MIN(c->cuts.minimum - c->at, size) : 0;
        strict = c->cuts.average > c->at ? MIN(c->cuts.average - c->at, size) : 0;
        for (; i < warm; i++)
                h = (h << 1) + table[data[i]];
        for (; i < strict; i++) {
                h = (h << 1) + table[data[i]];
                if ((h & before) == 0)
                        return i + 1;
        }
        for (; i < size; i++) {
                h = (h << 1) + table[data[i]];
                if ((h & after) == 0)
                        return i + 1;
        }
        c->gear = h;
        return 0;
}

static size_t feed_step(Cutter *c, const uint8_t *data, size_t size) {
        size_t zeros = leading(data, size), found;
        bool only_zeros = c->zeros == c->at; /* so far, the whole block */

        if (only_zeros && c->at + zeros >= c->cuts.average)
                return cut_at(c, c->cuts.average);
        if (only_zeros && zeros < size && c->at + zeros >= c->cuts.minimum)
                return cut_at(c, c->at + zeros);
        if (!only_zeros && c->zeros + zeros >= c->cuts.minimum)
                return cut_at(c, c->at - c->zeros);
        found = gear_scan(c, data, size, c->cuts.minimum - WINDOW);
        if (found > 0)
                return cut_at(c, c->at + found);
        c->at += size;
        c->zeros = zeros == size ? c->zeros + size : trailing(data, size);
        return c->at == c->cuts.maximum ? cut_at(c, c->at) : 0;
}

size_t cutter_feed(Cutter *c, const void *data, size_t size) {
        const uint8_t *bytes = data;

        while (size > 0) {
                size_t n = MIN(MIN(size, (size_t) STEP), c->cuts.maximum - c->at), length = feed_step(c, bytes, n);

                if (length > 0)
                        return length;
                bytes += n;
                size -= n;
        }
        return 0;
}
