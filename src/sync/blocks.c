#include "sync/blocks.h"

#include "chunk/cut.h"

#include <search.h>
#include <string.h>

typedef struct Known {
        uint64_t size;
        char id[];
} Known;

void block_id(const uint8_t sha256[static 32], unsigned average_log2, unsigned size, char ret[static BLOCK_ID_ROOM]) {
        uint8_t id[BLOCK_ID_MOST] = { CUT_VERSION, (uint8_t) average_log2 };

        memcpy(id + 2, sha256, BLOCK_ID_SIZE - 2);
        base64_encode(id, size, ret);
}

static int compare(const void *a, const void *b) {
        const Known *x = a, *y = b;

        return x->size != y->size ? (x->size > y->size) - (x->size < y->size) : strcmp(x->id, y->id);
}

int blocks_add(Blocks *b, const char *id, uint64_t size) {
        size_t n = strlen(id) + 1;
        Known *known = malloc(sizeof(*known) + n);
        Known **found;

        if (!known)
                return -ENOMEM;
        known->size = size;
        memcpy(known->id, id, n);
        found = tsearch(known, &b->set, compare);
        if (!found || *found != known)
                free(known);
        return found ? 0 : -ENOMEM;
}

bool blocks_have(const Blocks *b, const char *id, uint64_t size) {
        size_t n = strlen(id) + 1;
        _cleanup_free_ Known *key = malloc(sizeof(*key) + n);

        if (!key) /* sent once more: no harm */
                return false;
        key->size = size;
        memcpy(key->id, id, n);
        return tfind(key, &b->set, compare) != NULL;
}

int blocks_known(Blocks *b, const char *id, uint64_t size, bool committed) {
        uint8_t bytes[BLOCK_ID_MOST + 2];
        bool ours;
        size_t n = 0;

        if (base64_decode(id, strlen(id), bytes, sizeof(bytes), &n) < 0)
                return 0;
        ours = n >= BLOCK_ID_LEAST && bytes[0] == CUT_VERSION && bytes[1] >= CUT_AVERAGE_LEAST_LOG2 &&
               bytes[1] <= CUT_AVERAGE_MOST_LOG2;
        if (!committed || (ours && !b->staged))
                b->id_size = (unsigned) n;
        b->staged |= !committed;
        if (!ours)
                return 0;
        b->average_log2 = MAX(b->average_log2, (unsigned) bytes[1]);
        return blocks_add(b, id, size);
}

void blocks_done(Blocks *b) {
        tdestroy(b->set, free);
        *b = (Blocks){ 0 };
}
