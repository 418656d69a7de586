#include "sync/blocks.h"

#include "chunk/cut.h"

#include <search.h>
#include <string.h>

#define BLOCKS_FULL (BLOCKS_MAX * UINT64_C(3) / 4) /* of average size; they are a sixth longer, as a rule */

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

uint64_t blocks_most(unsigned average_log2) {
        return BLOCKS_FULL << average_log2;
}

unsigned blocks_average(const Blocks *b, uint64_t size, unsigned most) {
        return b->average_log2 > 0 && b->average_log2 <= most && size <= blocks_most(b->average_log2)
                       ? b->average_log2
                       : cut_average_log2(size, BLOCKS_MAX / 2);
}

int block_list_add(BlockList *l, const char *id) {
        if (l->n == BLOCKS_MAX)
                return -E2BIG;
        if (l->n == l->room) {
                size_t room = MIN(2 * l->room + 64, (size_t) BLOCKS_MAX);
                char *more = reallocarray(l->text, room, l->id_room);

                if (!more)
                        return -ENOMEM;
                l->text = more;
                l->room = room;
        }
        memcpy(l->text + l->n++ * l->id_room, id, strlen(id) + 1);
        return 0;
}

const char **block_list_ids(const BlockList *l) {
        const char **ids = calloc(MAX(l->n, (size_t) 1), sizeof(*ids));

        for (size_t i = 0; ids && i < l->n; i++)
                ids[i] = l->text + i * l->id_room;
        return ids;
}
