/* Memory for SQLite, which asks for a piece 20,000 times in a history: one thread, and for each size a list of what was
 * given back. AddressSanitizer gets to see each piece instead. */
#include "sim.h"

#include <sqlite3.h>
#include <string.h>

#define SMALL 1024u /* up to it in steps of 16; above, a quarter of the power of two below */
#define LARGE 65536u
#define CLASSES (SMALL / 16 + 1 + 4 * 6)
#define BLOCK ((size_t) 1 << 20)

typedef struct Piece {
        size_t size; /* without this */
        union {
                struct Piece *next;
                uint8_t bytes[16];
        };
} Piece;

static Piece *spare[CLASSES];
static uint8_t *block;
static size_t block_left;

/* Rounds *size up to what is given. */
static unsigned class_of(size_t *size) {
        unsigned power, quarter;

        if (*size <= SMALL) {
                *size = (MAX(*size, (size_t) 1) + 15) / 16 * 16;
                return (unsigned) (*size / 16);
        }
        power = 63 - (unsigned) __builtin_clzl(*size - 1);
        quarter = (unsigned) ((*size - 1) >> (power - 2)) & 3;
        *size = (size_t) (5 + quarter) << (power - 2);
        return SMALL / 16 + 1 + (power - 10) * 4 + quarter;
}

static Piece *piece_of(void *bytes) {
        return (Piece *) ((uint8_t *) bytes - offsetof(Piece, bytes));
}

static void *m_malloc(int n) {
        size_t size = (size_t) n;
        Piece *piece;

        if (size > LARGE)
                piece = malloc(offsetof(Piece, bytes) + size);
        else {
                unsigned class = class_of(&size);
                size_t need = offsetof(Piece, bytes) + size;

                piece = spare[class];
                if (piece)
                        spare[class] = piece->next;
                else {
                        if (block_left < need) {
                                block = malloc(BLOCK);
                                block_left = block ? BLOCK : 0;
                        }
                        piece = block_left >= need ? (Piece *) (void *) block : NULL;
                        block += piece ? need : 0;
                        block_left -= piece ? need : 0;
                }
        }
        if (!piece)
                return NULL;
        piece->size = size;
        return piece->bytes;
}

static void m_free(void *bytes) {
        Piece *piece = piece_of(bytes);
        size_t size = piece->size;

        if (size > LARGE) {
                free(piece);
                return;
        }
        piece->next = spare[class_of(&size)];
        spare[class_of(&size)] = piece;
}

static int m_size(void *bytes) {
        return bytes ? (int) piece_of(bytes)->size : 0;
}

static int m_round(int n) {
        size_t size = (size_t) n;

        if (size <= LARGE)
                (void) class_of(&size);
        return (int) ((size + 7) / 8 * 8);
}

static void *m_realloc(void *bytes, int n) {
        void *more = m_malloc(n);

        if (!more)
                return NULL;
        memcpy(more, bytes, (size_t) MIN(n, m_size(bytes)));
        m_free(bytes);
        return more;
}

static int m_begin(void *data) {
        return SQLITE_OK;
}

static void m_end(void *data) {
}

#if defined(__has_feature)
#define SANITIZED (__has_feature(address_sanitizer))
#elif defined(__SANITIZE_ADDRESS__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

int memory_register(void) {
        static const sqlite3_mem_methods methods = {
                m_malloc, m_free, m_realloc, m_size, m_round, m_begin, m_end, NULL
        };

        return SANITIZED ? SQLITE_OK : sqlite3_config(SQLITE_CONFIG_MALLOC, &methods);
}
