#include "watch/pending.h"

#include <string.h>

#define ENTRIES_MAX ((size_t) 1 << 18)
#define NAMES_MAX ((size_t) 32 * 1024 * 1024)
#define FIRST_ROOM ((size_t) 64)

typedef struct Entry {
        int wd;
        uint32_t mask;
        uint32_t hash;
        uint32_t name; /* offset in `names` */
} Entry;

struct Pending {
        Entry *entries;
        size_t n, room;
        uint32_t *slots; /* index + 1; 2 * room of them */
        char *names;
        size_t names_size, names_room;
        bool overflow;
};

int pending_new(Pending **ret) {
        Pending *p = calloc(1, sizeof(*p));

        if (!p)
                return -ENOMEM;
        *ret = p;
        return 0;
}

Pending *pending_free(Pending *p) {
        if (!p)
                return NULL;
        free(p->entries);
        free(p->slots);
        free(p->names);
        free(p);
        return NULL;
}

static uint32_t hash_of(int wd, const char *name, size_t size) {
        uint64_t h = (uint32_t) wd * UINT64_C(0x9e3779b97f4a7c15);

        for (size_t i = 0; i < size; i++)
                h = (h ^ (uint8_t) name[i]) * UINT64_C(0x100000001b3);
        return (uint32_t) (h ^ (h >> 32));
}

static bool grow(Pending *p) {
        size_t room = p->room > 0 ? p->room * 2 : FIRST_ROOM;
        Entry *entries = realloc(p->entries, room * sizeof(*entries));
        uint32_t *slots;

        if (!entries)
                return false;
        p->entries = entries;
        slots = calloc(room * 2, sizeof(*slots));
        if (!slots)
                return false;
        for (size_t i = 0; i < p->n; i++) {
                size_t at = entries[i].hash & (room * 2 - 1);

                while (slots[at])
                        at = (at + 1) & (room * 2 - 1);
                slots[at] = (uint32_t) i + 1;
        }
        free(p->slots);
        p->slots = slots;
        p->room = room;
        return true;
}

static bool keep_name(Pending *p, const char *name, size_t size, uint32_t *ret) {
        if (p->names_size + size + 1 > p->names_room) {
                size_t room = MAX(p->names_room * 2 + 4096, p->names_size + size + 1);
                char *names = room <= NAMES_MAX ? realloc(p->names, room) : NULL;

                if (!names)
                        return false;
                p->names = names;
                p->names_room = room;
        }
        memcpy(p->names + p->names_size, name, size);
        p->names[p->names_size + size] = '\0';
        *ret = (uint32_t) p->names_size;
        p->names_size += size + 1;
        return true;
}

void pending_add(Pending *p, int wd, uint32_t mask, const char *name, size_t size) {
        uint32_t hash = hash_of(wd, name, size), kept;
        size_t at;

        if (p->overflow)
                return; /* everything is in doubt already */
        if (p->n == p->room && (p->n == ENTRIES_MAX || !grow(p))) {
                pending_overflow(p);
                return;
        }
        for (at = hash & (p->room * 2 - 1); p->slots[at]; at = (at + 1) & (p->room * 2 - 1)) {
                Entry *e = &p->entries[p->slots[at] - 1];

                if (e->hash == hash && e->wd == wd && strncmp(p->names + e->name, name, size) == 0 &&
                    p->names[e->name + size] == '\0') {
                        e->mask |= mask;
                        return;
                }
        }
        if (!keep_name(p, name, size, &kept)) {
                pending_overflow(p);
                return;
        }
        p->entries[p->n++] = (Entry){ .wd = wd, .mask = mask, .hash = hash, .name = kept };
        p->slots[at] = (uint32_t) p->n;
}

void pending_overflow(Pending *p) {
        pending_clear(p);
        p->overflow = true;
}

bool pending_overflowed(const Pending *p) {
        return p->overflow;
}

size_t pending_count(const Pending *p) {
        return p->n;
}

PendingEvent pending_get(const Pending *p, size_t i) {
        return (PendingEvent){ p->entries[i].wd, p->entries[i].mask, p->names + p->entries[i].name };
}

void pending_clear(Pending *p) {
        if (p->room > 16 * FIRST_ROOM) { /* a storm's memory is given back */
                free(p->entries);
                free(p->slots);
                free(p->names);
                *p = (Pending){ 0 };
                return;
        }
        if (p->slots)
                memset(p->slots, 0, 2 * p->room * sizeof(*p->slots));
        p->n = p->names_size = 0;
        p->overflow = false;
}
