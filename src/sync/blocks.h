/* The blocks of one blob: their ids, and which of them the service has already. An id is CUT_VERSION, the logarithm of
 * the cuts' average, and the hash of the content: so a blob tells by itself how it was cut, the same bytes are stored
 * once, and two overlapping uploads of one blob cannot commit each other's bytes (pitfalls 10.18; azure-blob.md 7).
 * Pure; the text of an id is its Base64. */
#pragma once

#include "util/encode.h"

#define BLOCK_ID_SIZE 32u  /* bytes */
#define BLOCK_ID_LEAST 16u /* 112 bits of hash; shorter ones could meet */
#define BLOCK_ID_MOST 64u  /* the service's bound */
#define BLOCK_ID_ROOM BASE64_ROOM(BLOCK_ID_MOST)
#define BLOCKS_MAX 50000u /* of one blob (azure-blob.md 1.2) */

/* `size`: BLOCK_ID_SIZE, unless those that are there demand another one: then with zeros behind the hash, or with less
 * of it. */
void block_id(const uint8_t sha256[static 32], unsigned average_log2, unsigned size, char ret[static BLOCK_ID_ROOM]);

typedef struct Blocks {
        void *set;             /* of tsearch(3) */
        unsigned average_log2; /* of the blocks of ours; 0: there are none */
        unsigned id_size;      /* bytes of the ids that a new one has to be like; 0: there are none */
        bool staged;           /* they are of unfinished blocks */
} Blocks;

/* What Get Block List shows. -ENOMEM. */
int blocks_known(Blocks *b, const char *id, uint64_t size, bool committed) _must_check_;
int blocks_add(Blocks *b, const char *id, uint64_t size) _must_check_; /* sent by ourselves */
bool blocks_have(const Blocks *b, const char *id, uint64_t size);      /* id and size both */
void blocks_done(Blocks *b);
