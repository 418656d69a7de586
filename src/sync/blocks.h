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

/* log2 of the average that a file of `size` bytes is cut by. A blob keeps its own until it outgrows it, or there is
 * memory for `most` only: with another one it is sent whole again. */
unsigned blocks_average(const Blocks *b, uint64_t size, unsigned most) _pure_;
uint64_t blocks_most(unsigned average_log2) _pure_; /* bytes of a file that may be cut so */

/* The ids that a blob is put together from, in order. All zero but for id_room at first; the owner frees `text`. */
typedef struct BlockList {
        char *text;     /* each ended by NUL, in id_room bytes */
        size_t id_room; /* BASE64_ROOM() of what all of them have */
        size_t n, room;
} BlockList;

int block_list_add(BlockList *l, const char *id) _must_check_; /* -E2BIG: more than the service takes; -ENOMEM */
const char **block_list_ids(const BlockList *l) _must_check_;  /* pointers into `text`; caller frees; NULL: no memory */
