/* SipHash-1-3 (Aumasson and Bernstein) of a number and some bytes. File names are chosen by whoever may write to the
 * folder: with a hash they could foresee, a few thousand of them would turn every look-up into a search. Pure. */
#pragma once

#include "util/macro.h"

#include <string.h>

typedef struct HashSeed {
        uint64_t k0, k1;
} HashSeed;

static inline uint64_t hash_rotate(uint64_t x, unsigned n) {
        return (x << n) | (x >> (64 - n));
}

static inline void hash_round(uint64_t v[static 4]) {
        v[0] += v[1];
        v[1] = hash_rotate(v[1], 13) ^ v[0];
        v[0] = hash_rotate(v[0], 32);
        v[2] += v[3];
        v[3] = hash_rotate(v[3], 16) ^ v[2];
        v[0] += v[3];
        v[3] = hash_rotate(v[3], 21) ^ v[0];
        v[2] += v[1];
        v[1] = hash_rotate(v[1], 17) ^ v[2];
        v[2] = hash_rotate(v[2], 32);
}

static inline void hash_word(uint64_t v[static 4], uint64_t word) {
        v[3] ^= word;
        hash_round(v);
        v[0] ^= word;
}

static inline uint32_t hash_of(const HashSeed *seed, uint64_t number, const char *bytes, size_t size) {
        uint64_t v[4] = { seed->k0 ^ UINT64_C(0x736f6d6570736575), seed->k1 ^ UINT64_C(0x646f72616e646f6d),
                          seed->k0 ^ UINT64_C(0x6c7967656e657261), seed->k1 ^ UINT64_C(0x7465646279746573) };
        uint64_t word, last = (uint64_t) size << 56;

        hash_word(v, number);
        for (; size >= sizeof(word); size -= sizeof(word), bytes += sizeof(word)) {
                memcpy(&word, bytes, sizeof(word));
                hash_word(v, word);
        }
        for (size_t i = 0; i < size; i++)
                last |= (uint64_t) (uint8_t) bytes[i] << (8 * i);
        hash_word(v, last);
        v[2] ^= 0xff;
        for (unsigned i = 0; i < 3; i++)
                hash_round(v);
        word = v[0] ^ v[1] ^ v[2] ^ v[3];
        return (uint32_t) (word ^ (word >> 32));
}
