/* How fast one core looks for cuts in random bytes, where every byte has to be looked at, and in zeros; and the
 * checksum of blocks beside it. The best of five rounds each. */
#include "chunk/cut.h"
#include "chunk/crc64.h"
#include "util/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define SIZE ((size_t) 256 << 20)
#define PIECE ((size_t) 256 * 1024) /* as watch/read.c feeds it: still in the caches */
#define ROUNDS 5

static size_t cut(const char *data) {
        const Cuts cuts = cuts_of(CUT_AVERAGE_LEAST_LOG2);
        Cutter c;
        size_t blocks = 0;

        for (size_t begin = 0, at = 0; at < SIZE; blocks++) {
                size_t length = 0;

                cutter_init(&c, &cuts);
                for (begin = at; length == 0 && at < SIZE; at += PIECE)
                        length = cutter_feed(&c, data + at, MIN(PIECE, SIZE - at));
                if (length > 0)
                        at = begin + length;
        }
        return blocks;
}

static size_t sum(const char *data) {
        uint64_t crc = 0;

        for (size_t at = 0; at < SIZE; at += PIECE)
                crc = crc64(crc, data + at, PIECE);
        return (size_t) crc;
}

static void measure(const char *name, size_t (*work)(const char *data), const char *data) {
        static volatile size_t kept; /* or the work might be left out */
        int64_t best = INT64_MAX;

        for (int i = 0; i < ROUNDS; i++) {
                int64_t began = clock_boot();

                kept = work(data);
                best = MIN(best, clock_boot() - began);
        }
        (void) kept;
        printf("%-22s %6.2f GB/s\n", name, (double) SIZE / (double) best);
}

int main(void) {
        char *data = calloc(1, SIZE);

        if (!data)
                return 1;
        measure("cuts in zeros", cut, data);
        for (size_t at = 0; at < SIZE; at += 256)
                if (getrandom(data + at, 256, 0) != 256)
                        return 1;
        measure("cuts in random bytes", cut, data);
        measure("CRC64", sum, data);
        free(data);
        return 0;
}
