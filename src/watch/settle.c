#include "watch/settle.h"

#include "util/clock.h"
#include "watch/watcher.h"

#include <assert.h>
#include <string.h>
#include <sys/random.h>

/* The rules, in policy time (pitfalls 4.8):
 *
 * - closed after writing, or moved here: now
 * - a name came or went, or ATTRIB alone: SETTLE after this news. A linked or O_TMPFILE name gets nothing more, a copy
 *   under way gets more
 * - written, not closed: PAUSE after the last such news
 * - changed soon after it was sent, more than ALLOWANCE times (one comes back every REFILL): not before WAIT has passed
 *   since the first unsent change. "Soon" is within twice the last WAIT, but at least within 2 * CALM. WAIT is
 *   FIRST_WAIT, then doubles with each such round up to BOUND. A later change starts anew: 0
 * - in any case at most BOUND after the first unsent change; but
 * - reading it took T: not before 10 T have passed. A log of 100 GiB that grows by the second may have a tenth of a
 *   core, not all of it
 *
 * So a file that a person or a build saves again and again is sent at once each time; one that is written every second
 * for ever is sent at once for most of a minute, then less and less often, in the end every 30 s; one that is held open
 * and written all the time is sent every 30 s.
 *
 * Paths are known by a keyed hash of 64 bits. Where two meet, one waits a little longer. So an entry has a fixed size
 * and nothing is allocated after settle_new(). */

#define SETTLE (100 * NSEC_PER_MSEC)
#define PAUSE (500 * NSEC_PER_MSEC)
#define FIRST_WAIT (500 * NSEC_PER_MSEC)
#define CALM (2 * NSEC_PER_SEC)
#define BOUND (30 * NSEC_PER_SEC)
#define ALLOWANCE 40
#define REFILL (10 * NSEC_PER_SEC)
#define REST 10
#define REST_LEAST (100 * NSEC_PER_MSEC) /* shorter ones are not worth being remembered */

#define NONE UINT32_MAX

typedef struct Entry {
        uint64_t key;
        int64_t first;         /* first change since it was sent; 0: none */
        int64_t sent;          /* 0: not since it is remembered */
        int64_t open_until;    /* last MODIFY without close, plus PAUSE; 0: closed */
        int64_t wait;          /* of this round, in policy time; 0: calm */
        int64_t rest;          /* news of its bytes alone are not due before; 0: of no weight */
        int64_t refilled;      /* when the allowance last got one back */
        uint32_t spent;        /* of the allowance */
        uint32_t chain;        /* next in the same bucket */
        uint32_t older, newer; /* by last news */
} Entry;

struct Settle {
        uint64_t seed;
        uint32_t max, used, mask;
        uint32_t oldest, newest;
        uint32_t *buckets;
        Entry entries[];
};

int settle_new(Settle **ret, size_t max_paths) {
        _cleanup_(settle_freep) Settle *s = NULL;
        uint32_t n = 16;

        assert(ret && max_paths > 0 && max_paths < NONE / 4);

        while (n < max_paths)
                n *= 2;
        s = malloc(sizeof(*s) + max_paths * sizeof(Entry)); /* remember() fills each before its first use */
        if (!s)
                return -ENOMEM;
        *s = (Settle){ .max = (uint32_t) max_paths, .mask = n - 1, .oldest = NONE, .newest = NONE };
        s->buckets = malloc(n * sizeof(*s->buckets));
        if (!s->buckets)
                return -ENOMEM;
        memset(s->buckets, 0xff, n * sizeof(*s->buckets)); /* NONE */
        /* Whoever may choose file names shall not choose collisions. If it fails, they are merely slow. */
        (void) !getrandom(&s->seed, sizeof(s->seed), GRND_NONBLOCK);
        *ret = TAKE_PTR(s);
        return 0;
}

Settle *settle_free(Settle *s) {
        if (s) {
                free(s->buckets);
                free(s);
        }
        return NULL;
}

/* FNV-1a from a secret start, and a final mix so that the low bits serve as bucket (Stafford's variant 13). */
static uint64_t key_of(const Settle *s, const char *path) {
        uint64_t h = s->seed ^ UINT64_C(0xcbf29ce484222325);

        for (; *path; path++)
                h = (h ^ (uint8_t) *path) * UINT64_C(0x100000001b3);
        h = (h ^ (h >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        h = (h ^ (h >> 27)) * UINT64_C(0x94d049bb133111eb);
        return h ^ (h >> 31);
}

static uint32_t find(const Settle *s, uint64_t key) {
        uint32_t i = s->buckets[key & s->mask];

        while (i != NONE && s->entries[i].key != key)
                i = s->entries[i].chain;
        return i;
}

static void age_remove(Settle *s, uint32_t i) {
        Entry *e = s->entries + i;

        if (e->older == NONE)
                s->oldest = e->newer;
        else
                s->entries[e->older].newer = e->newer;
        if (e->newer == NONE)
                s->newest = e->older;
        else
                s->entries[e->newer].older = e->older;
}

static void age_append(Settle *s, uint32_t i) {
        Entry *e = s->entries + i;

        e->older = s->newest;
        e->newer = NONE;
        if (s->newest == NONE)
                s->oldest = i;
        else
                s->entries[s->newest].newer = i;
        s->newest = i;
}

static void forget(Settle *s, uint32_t i) {
        uint32_t *link = s->buckets + (s->entries[i].key & s->mask);

        while (*link != i)
                link = &s->entries[*link].chain;
        *link = s->entries[i].chain;
        age_remove(s, i);
}

static Entry *remember(Settle *s, uint64_t key) {
        uint32_t i = find(s, key), *bucket = s->buckets + (key & s->mask);

        if (i != NONE) {
                age_remove(s, i);
        } else {
                if (s->used < s->max) {
                        i = s->used++;
                } else {
                        i = s->oldest;
                        forget(s, i);
                }
                s->entries[i] = (Entry){ .key = key, .chain = *bucket };
                *bucket = i;
        }
        age_append(s, i);
        return s->entries + i;
}

/* The first change after it was sent: how long does this round last at least? */
static void begin_round(Entry *e, int64_t now) {
        int64_t soon = clock_policy(2 * MAX(e->wait, CALM));

        int64_t refills = (now - e->refilled) / clock_policy(REFILL);

        e->first = now;
        if (refills > 0) {
                e->spent -= (uint32_t) MIN(refills, (int64_t) e->spent);
                e->refilled = now;
        }
        if (e->sent == 0 || now - e->sent >= soon)
                e->wait = 0;
        else if (e->wait == 0 && e->spent < ALLOWANCE)
                e->spent++;
        else
                e->wait = e->wait == 0 ? FIRST_WAIT : MIN(2 * e->wait, BOUND);
}

int64_t settle_news(Settle *s, const char *path, unsigned news, int64_t now) {
        Entry *e;
        int64_t due;

        assert(s && path && now > 0);

        if (news & WATCH_SUBTREE)
                return now; /* not one file's news */
        e = remember(s, key_of(s, path));
        if (e->first == 0)
                begin_round(e, now);

        if (news & WATCH_CLOSED)
                e->open_until = 0;
        else if (news & WATCH_CONTENT)
                e->open_until = now + clock_policy(PAUSE);

        due = news & (WATCH_CLOSED | WATCH_CONTENT) ? now : now + clock_policy(SETTLE);
        due = MAX(due, e->open_until);
        due = MAX(due, e->first + clock_policy(e->wait));
        due = MIN(due, e->first + clock_policy(BOUND));
        if (!(news & ~(unsigned) (WATCH_CLOSED | WATCH_CONTENT))) /* else it may be another file, or none */
                due = MAX(due, e->rest);
        return MAX(due, now);
}

void settle_took(Settle *s, const char *path, int64_t now, int64_t took) {
        int64_t rest = took > 0 ? REST * MIN(took, INT64_MAX / 2 / REST) : 0;
        uint64_t key = key_of(s, path);
        uint32_t i = find(s, key);

        if (rest >= REST_LEAST)
                remember(s, key)->rest = now + clock_policy(rest);
        else if (i != NONE)
                s->entries[i].rest = 0;
}

int64_t settle_rest(const Settle *s, const char *path) {
        uint32_t i = find(s, key_of(s, path));

        return i == NONE ? 0 : s->entries[i].rest;
}

void settle_sent(Settle *s, const char *path, int64_t now) {
        uint32_t i = find(s, key_of(s, path));

        /* What is not remembered had no news lately. Remembering it now would push out those that did, in a first
         * upload of a million files. */
        if (i == NONE)
                return;
        s->entries[i].sent = now;
        s->entries[i].first = 0;
}
