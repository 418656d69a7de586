/* Time that jumps: happenings of the world, the daemon's timers and deferred calls, and every chance that is taken.
 * Stands in for util/timer.c, and for the clocks and getrandom(2). */
#include "sim.h"

#include "util/clock.h"
#include "util/timer.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>
#include <sys/random.h>

struct Happening {
        int64_t at;
        uint64_t number;
        HappenFn fn; /* NULL: called off */
        void *data;
};

struct Timer {
        Timer *next;
        int64_t at; /* boot ns; 0: not set */
        TimerFn fn;
        void *userdata;
};

struct Defer {
        Defer *next;
        bool armed;
        TimerFn fn;
        void *userdata;
};

static struct {
        int64_t now, boot, wall;
        Happening **heap;
        size_t n, room;
        uint64_t number;
        uint64_t seed, counters[_STREAMS], trace;
        Timer *timers;
        Defer *defers;
} t;

bool verbose;

void say(const char *format, ...) {
        va_list ap;

        printf("%14.6f  ", (double) t.now / 1e9);
        va_start(ap, format);
        (void) vprintf(format, ap);
        va_end(ap);
        (void) putchar('\n');
}

/* --- chance --- */

static uint64_t scramble(uint64_t x) {
        x += UINT64_C(0x9e3779b97f4a7c15);
        x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
        return x ^ (x >> 31);
}

/* Each stream counts by itself, so that an operation left out changes as little as possible of the rest. */
uint64_t draw(Stream s) {
        return scramble(scramble(t.seed * _STREAMS + s) + t.counters[s]++);
}

unsigned below(Stream s, unsigned n) {
        return n > 0 ? (unsigned) (draw(s) % n) : 0;
}

bool chance(Stream s, unsigned per_mille) {
        return below(s, 1000) < per_mille;
}

int64_t between(Stream s, int64_t least, int64_t most) {
        int64_t span = MAX(most - least, INT64_C(1));
        unsigned bits = 64 - (unsigned) __builtin_clzll((unsigned long long) span);

        span = MIN(span, INT64_C(1) << (1 + below(s, bits)));
        return least + (int64_t) (draw(s) % (uint64_t) span);
}

ssize_t getrandom(void *buffer, size_t size, unsigned flags) {
        for (size_t at = 0; at < size; at += 8) {
                uint64_t word = draw(BY_DAEMON);

                memcpy((char *) buffer + at, &word, MIN((size_t) 8, size - at));
        }
        return (ssize_t) size;
}

void mix(uint64_t word) {
        t.trace = scramble(t.trace ^ word);
}

uint64_t trace(void) {
        return t.trace;
}

/* --- clocks --- */

int64_t now(void) {
        return t.now;
}

int64_t wall(void) {
        return t.wall + t.now;
}

void wall_jump(int64_t by) {
        t.wall += by;
}

void clock_reboot(void) {
        t.boot = 20 * SECOND - t.now;
}

int64_t __wrap_clock_boot(void);
int64_t __wrap_clock_wall(void);
int64_t __wrap_clock_tick(void);
int64_t __wrap_clock_policy(int64_t wait_ns);

int64_t __wrap_clock_boot(void) {
        return t.boot + t.now;
}

int64_t __wrap_clock_wall(void) {
        return wall();
}

int64_t __wrap_clock_tick(void) {
        return JIFFY;
}

int64_t __wrap_clock_policy(int64_t wait_ns) {
        return wait_ns;
}

/* --- happenings --- */

static bool before(const Happening *a, const Happening *b) {
        return a->at != b->at ? a->at < b->at : a->number < b->number;
}

static void sift(size_t i) {
        for (;;) {
                size_t child = 2 * i + 1, least = i;

                for (size_t k = child; k < child + 2 && k < t.n; k++)
                        if (before(t.heap[k], t.heap[least]))
                                least = k;
                if (least == i)
                        return;
                Happening *swap = t.heap[i];
                t.heap[i] = t.heap[least];
                t.heap[least] = swap;
                i = least;
        }
}

Happening *after(int64_t delay, HappenFn fn, void *data) {
        Happening *h = malloc(sizeof(*h));
        size_t i;

        if (t.n == t.room) {
                t.room = t.room * 2 + 64;
                t.heap = reallocarray(t.heap, t.room, sizeof(*t.heap));
        }
        assert(h && t.heap);
        *h = (Happening){ t.now + MAX(delay, INT64_C(0)), t.number++, fn, data };
        i = t.n++;
        for (; i > 0 && before(h, t.heap[(i - 1) / 2]); i = (i - 1) / 2)
                t.heap[i] = t.heap[(i - 1) / 2];
        t.heap[i] = h;
        return h;
}

void call_off(Happening *h) {
        if (h)
                h->fn = NULL;
}

static Happening *pop(void) {
        Happening *h = t.heap[0];

        t.heap[0] = t.heap[--t.n];
        if (t.n > 0)
                sift(0);
        return h;
}

static void drop_called_off(void) {
        while (t.n > 0 && !t.heap[0]->fn)
                free(pop());
}

static Timer *next_timer(void) {
        Timer *first = NULL;

        for (Timer *timer = t.timers; timer; timer = timer->next)
                if (timer->at > 0 && (!first || timer->at < first->at))
                        first = timer;
        return first;
}

static Defer *armed_defer(void) {
        Defer *found = NULL;
        unsigned n = 0;

        for (Defer *d = t.defers; d; d = d->next)
                if (d->armed && below(BY_TIME, ++n) == 0)
                        found = d;
        return found;
}

bool clock_step(int64_t limit) {
        Timer *timer = next_timer();
        Defer *d = NULL;
        int64_t at, by_timer = timer ? MAX(timer->at - t.boot, t.now) : INT64_MAX;

        drop_called_off();
        at = MIN(by_timer, t.n > 0 ? t.heap[0]->at : INT64_MAX);
        if (at > t.now && (d = armed_defer()))
                at = t.now;
        if (at > limit) {
                t.now = MAX(t.now, limit);
                return false;
        }
        t.now = MAX(t.now, at);
        mix((uint64_t) t.now);
        if (d) {
                d->armed = false;
                d->fn(d->userdata);
        } else if (by_timer <= t.now && (t.n == 0 || t.heap[0]->at > t.now || below(BY_TIME, 2))) {
                timer->at = 0;
                timer->fn(timer->userdata);
        } else {
                Happening h = *t.heap[0];

                free(pop());
                h.fn(h.data);
        }
        t.now += 1000 + (int64_t) (draw(BY_TIME) & 0x3fff); /* work takes time: some us */
        return true;
}

void clock_begin(uint64_t seed) {
        memset(t.counters, 0, sizeof(t.counters));
        t.seed = scramble(seed);
        t.trace = 0;
        t.now = 0;
        t.boot = HOUR;
        t.wall = INT64_C(1750000000) * SECOND;
        t.number = 0;
        assert(!t.timers && !t.defers);
}

void clock_end(void) {
        while (t.n > 0)
                free(pop());
}

/* --- util/timer.h --- */

int timer_new(Timer **ret, sd_event *loop, TimerFn fn, void *userdata, Error *e) {
        Timer *timer = calloc(1, sizeof(*timer));

        assert(timer);
        *timer = (Timer){ .next = t.timers, .fn = fn, .userdata = userdata };
        t.timers = timer;
        *ret = timer;
        return 0;
}

Timer *timer_free(Timer *timer) {
        Timer **at = &t.timers;

        while (timer && *at != timer)
                at = &(*at)->next;
        if (timer)
                *at = timer->next;
        free(timer);
        return NULL;
}

void timer_set(Timer *timer, int64_t boot_ns) {
        timer->at = MAX(boot_ns, INT64_C(1));
}

void timer_stop(Timer *timer) {
        if (timer)
                timer->at = 0;
}

int64_t timer_get(const Timer *timer) {
        return timer->at;
}

int defer_new(Defer **ret, sd_event *loop, TimerFn fn, void *userdata, Error *e) {
        Defer *d = calloc(1, sizeof(*d));

        assert(d);
        *d = (Defer){ .next = t.defers, .fn = fn, .userdata = userdata };
        t.defers = d;
        *ret = d;
        return 0;
}

Defer *defer_free(Defer *d) {
        Defer **at = &t.defers;

        while (d && *at != d)
                at = &(*at)->next;
        if (d)
                *at = d->next;
        free(d);
        return NULL;
}

void defer_arm(Defer *d) {
        d->armed = true;
}
