#include "watch/pending.h"

#include "watch/watcher.h"

#include <assert.h>
#include <string.h>

#define FIRST_ROOM ((size_t) 64)
#define FIRST_NAMES ((size_t) 2048)
#define KEEP_ROOM ((size_t) 4096) /* entries; a larger set is freed once it is empty */

typedef struct Entry {
        int wd;
        uint32_t what;
        uint32_t hash;
        uint32_t name; /* offset */
        uint32_t size; /* of name */
} Entry;

struct Pending {
        HashSeed seed;
        Entry *entries;
        size_t n, room;
        uint32_t *slots; /* index + 1, 0: free; twice as many as `room` */
        char *names;
        size_t names_size, names_room;
        bool overflow;
        bool dropped; /* our own bound was passed: entries make no difference any more */
};

static_assert(PENDING_MAX % FIRST_ROOM == 0 && PENDING_MAX < UINT32_MAX && PENDING_NAMES_MAX < UINT32_MAX, "offsets");

int pending_new(Pending **ret, const HashSeed *seed) {
        Pending *p = calloc(1, sizeof(*p));

        if (!p)
                return -ENOMEM;
        p->seed = *seed;
        *ret = p;
        return 0;
}

static void release(Pending *p) {
        free(TAKE_PTR(p->entries));
        free(TAKE_PTR(p->slots));
        free(TAKE_PTR(p->names));
        p->n = p->room = p->names_size = p->names_room = 0;
}

Pending *pending_free(Pending *p) {
        if (p) {
                release(p);
                free(p);
        }
        return NULL;
}

static uint32_t *slot_of(uint32_t *slots, size_t n_slots, uint32_t hash) {
        size_t at = hash & (n_slots - 1);

        while (slots[at] != 0)
                at = (at + 1) & (n_slots - 1);
        return slots + at;
}

static bool grow(Pending *p) {
        size_t room = p->room > 0 ? p->room * 2 : FIRST_ROOM;
        _cleanup_free_ uint32_t *slots = NULL;
        Entry *entries;

        if (room > PENDING_MAX)
                return false;
        slots = calloc(room * 2, sizeof(*slots));
        entries = slots ? reallocarray(p->entries, room, sizeof(*entries)) : NULL;
        if (!entries)
                return false;
        p->entries = entries;
        p->room = room;
        for (size_t i = 0; i < p->n; i++)
                if (!(entries[i].what & EVENT_DEAD))
                        *slot_of(slots, room * 2, entries[i].hash) = (uint32_t) i + 1;
        free(p->slots);
        p->slots = TAKE_PTR(slots);
        return true;
}

static bool make_room_for_name(Pending *p, size_t size) {
        size_t room = p->names_room > 0 ? p->names_room * 2 : FIRST_NAMES;
        char *names;

        if (p->names_room - p->names_size > size)
                return true;
        room = MIN(room, PENDING_NAMES_MAX);
        if (room - p->names_size <= size)
                return false;
        names = realloc(p->names, room);
        if (!names)
                return false;
        p->names = names;
        p->names_room = room;
        return true;
}

/* Past the bound: everything will be looked at, so nothing more needs to be said of anything. */
static void drop_all(Pending *p) {
        release(p);
        p->overflow = p->dropped = true;
}

static void append(Pending *p, const Event *e, uint32_t hash) {
        if ((p->n == p->room && !grow(p)) || !make_room_for_name(p, e->size)) {
                drop_all(p);
                return;
        }
        assert(p->slots && p->names);
        /* IGNORED is the last word on a watch: it must not be merged into, and so told with, an earlier one, or what
         * came in between would find the watch unknown. */
        if (!(e->what & EVENT_DEAD))
                *slot_of(p->slots, p->room * 2, hash) = (uint32_t) p->n + 1;
        memcpy(p->names + p->names_size, e->name, e->size);
        p->names[p->names_size + e->size] = '\0';
        p->entries[p->n++] = (Entry){ e->wd, e->what, hash, (uint32_t) p->names_size, (uint32_t) e->size };
        p->names_size += e->size + 1;
}

void pending_add(Pending *p, const Event *e) {
        uint32_t hash;

        if (p->dropped)
                return;
        if (e->what & WATCH_OVERFLOW) {
                pending_overflow(p);
                return;
        }
        hash = hash_of(&p->seed, (uint32_t) e->wd, e->name, e->size);
        if (p->slots && !(e->what & EVENT_DEAD))
                for (size_t mask = p->room * 2 - 1, at = hash & mask; p->slots[at] != 0; at = (at + 1) & mask) {
                        Entry *known = &p->entries[p->slots[at] - 1];

                        if (known->hash == hash && known->wd == e->wd && known->size == e->size &&
                            memcmp(p->names + known->name, e->name, e->size) == 0) {
                                known->what |= e->what;
                                return;
                        }
                }
        append(p, e, hash);
}

void pending_overflow(Pending *p) {
        p->overflow = true;
}

bool pending_overflowed(const Pending *p) {
        return p->overflow;
}

bool pending_empty(const Pending *p) {
        return p->n == 0 && !p->overflow;
}

size_t pending_count(const Pending *p) {
        return p->n;
}

Event pending_get(const Pending *p, size_t i) {
        const Entry *e;

        assert(i < p->n);
        e = p->entries + i;
        return (Event){ .wd = e->wd, .what = e->what, .name = p->names + e->name, .size = e->size };
}

void pending_clear(Pending *p) {
        p->overflow = p->dropped = false;
        if (p->room > KEEP_ROOM) {
                release(p);
                return;
        }
        if (p->n > 0)
                memset(p->slots, 0, p->room * 2 * sizeof(*p->slots));
        p->n = p->names_size = 0;
}
