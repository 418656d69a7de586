#include "sync/state.h"

#include "util/clock.h"

#include <limits.h>

#define MINUTE (60 * NSEC_PER_SEC)
#define PIECES                                                                                                \
        20u /* a second, as far as that makes them smaller than HTTP_PIECE: so nobody waits long for his next \
             */
#define PIECE_LEAST 1024u
#define RATE_PER_LARGE (UINT64_C(1) << 20) /* for each such part of a rate one large body may be under way */

/* --- rates --- */

static uint64_t at(const Bandwidth *limit, unsigned minute) {
        return limit ? bandwidth_at(limit, minute) : 0;
}

static bool timed(const Bandwidth *limit) {
        return limit && limit->n_spans > 0;
}

/* Timetables change at full minutes only, and are looked at while something is sent: no timer goes for them alone. */
static void look_up(Sync *s, int64_t now) {
        int64_t wall = clock_wall();
        unsigned minute = bandwidth_minute(wall);
        bool any = timed(s->bandwidth);

        bucket_set_rate(&s->bucket, at(s->bandwidth, minute), now);
        for (size_t i = 0; i < s->n_mappings; i++) {
                Throttle *t = &s->mappings[i]->throttle;

                bucket_set_rate(&t->bucket, at(t->limit, minute), now);
                any |= timed(t->limit);
        }
        s->rates_until = any ? now + MINUTE - wall % MINUTE : INT64_MAX;
}

static void look_up_if_due(Sync *s, int64_t now) {
        if (now >= s->rates_until)
                look_up(s, now);
}

static uint64_t rate_of(const Mapping *m) {
        uint64_t all = m->sync->bucket.rate, own = m->throttle.bucket.rate;

        return all == 0 || own == 0 ? MAX(all, own) : MIN(all, own);
}

uint64_t throttle_rate(Mapping *m) {
        look_up_if_due(m->sync, clock_boot());
        return rate_of(m);
}

static size_t piece_of(uint64_t rate) {
        return rate == 0 ? HTTP_PIECE : (size_t) MIN(MAX(rate / PIECES, (uint64_t) PIECE_LEAST), (uint64_t) HTTP_PIECE);
}

static unsigned turns_of(const Mapping *m) {
        uint64_t rate = rate_of(m);

        return rate == 0 ? UINT_MAX : (unsigned) MAX(rate / RATE_PER_LARGE, UINT64_C(1));
}

/* --- lines --- */

void throttle_init(Throttle *t, const Bandwidth *limit) {
        *t = (Throttle){ .limit = limit };
        t->bytes.last = &t->bytes.first;
        t->turns.last = &t->turns.first;
}

static void join(Sending *g, SendingLine *line) {
        g->line = line;
        g->next = NULL;
        *line->last = g;
        line->last = &g->next;
        line->n++;
}

static void leave(Sending *g) {
        SendingLine *line = g->line;

        if (!line)
                return;
        for (Sending **seat = &line->first; *seat; seat = &(*seat)->next)
                if (*seat == g) {
                        *seat = g->next;
                        if (!*seat)
                                line->last = seat;
                        break;
                }
        line->n--;
        g->line = NULL;
        g->mapping->sync->n_waiting -= line == &g->mapping->throttle.bytes;
}

/* When the next one can be served; INT64_MAX: nobody waits for time to pass. */
static int64_t next_due(const Sync *s, int64_t now) {
        int64_t due = INT64_MAX, shared = s->bucket.rate > 0 ? s->bucket.paid_at : now;
        bool waits = false;

        for (size_t i = 0; i < s->n_mappings; i++) {
                const Mapping *m = s->mappings[i];
                const Throttle *t = &m->throttle;

                if (t->turns.first && t->n_under_way < turns_of(m))
                        return now;
                waits |= t->bytes.first || t->turns.first;
                if (t->bytes.first)
                        due = MIN(due, MAX(shared, t->bucket.rate > 0 ? t->bucket.paid_at : now));
        }
        return waits ? MIN(due, s->rates_until) : INT64_MAX;
}

static void arm(Sync *s, int64_t now) {
        int64_t due = next_due(s, now);

        if (due == INT64_MAX)
                timer_stop(s->throttle);
        else
                timer_set(s->throttle, due);
}

/* --- bytes --- */

static void pay(Mapping *m, int64_t bytes, int64_t now) {
        bucket_take(&m->throttle.bucket, bytes, now);
        bucket_take(&m->sync->bucket, bytes, now);
}

static void take(Sending *g, size_t bytes, int64_t now) {
        pay(g->mapping, (int64_t) bytes, now);
        g->taken += bytes;
        g->granted += bytes;
        g->mapping->throttle.served += bytes;
}

static bool open_to(const Mapping *m, int64_t now) {
        return bucket_open(&m->throttle.bucket, now) && bucket_open(&m->sync->bucket, now);
}

static bool take_now(Sending *g, size_t bytes) {
        Mapping *m = g->mapping;
        Sync *s = m->sync;
        int64_t now = clock_boot();

        look_up_if_due(s, now);
        /* nor before others who wait for what all have in common */
        if (!m->throttle.bytes.first && (s->bucket.rate == 0 || s->n_waiting == 0) && open_to(m, now)) {
                take(g, bytes, now);
                return true;
        }
        if (!m->throttle.bytes.first)
                m->throttle.served = MAX(m->throttle.served, s->served);
        g->wanted = bytes;
        join(g, &m->throttle.bytes);
        s->n_waiting++;
        arm(s, now);
        return false;
}

bool throttle_admit(Sending *g, size_t size, SendingFn resume) {
        g->resume = resume;
        return size == 0 || size > HTTP_PIECE || g->granted >= size || take_now(g, size);
}

static size_t on_piece(size_t size, void *userdata) {
        Sending *g = userdata;

        if (g->granted == 0 && (g->line || !take_now(g, MIN(size, piece_of(throttle_rate(g->mapping))))))
                return 0;
        size = MIN(size, g->granted);
        g->granted -= size;
        return size;
}

/* --- turns --- */

bool throttle_turn(Sending *g, SendingFn resume) {
        Throttle *t = &g->mapping->throttle;

        g->resume = resume;
        if (g->has_turn || throttle_rate(g->mapping) == 0)
                return true;
        if (!t->turns.first && t->n_under_way < turns_of(g->mapping)) {
                g->has_turn = true;
                t->n_under_way++;
                return true;
        }
        join(g, &t->turns);
        return false;
}

static void end_turn(Sending *g) {
        Throttle *t = &g->mapping->throttle;

        if (!g->has_turn)
                return;
        g->has_turn = false;
        t->n_under_way--;
        if (t->turns.first)
                timer_set(g->mapping->sync->throttle, clock_boot()); /* not from here: a request is just ending */
}

/* --- a request --- */

void throttle_began(Sending *g, BlobCall *call, size_t size) {
        if (size <= HTTP_PIECE) {
                g->granted = 0;
                return;
        }
        g->call = call;
        blob_call_pace(call, on_piece, g);
}

void throttle_ended(Sending *g, uint64_t sent) {
        leave(g);
        pay(g->mapping, (int64_t) sent - (int64_t) g->taken, clock_boot()); /* repeats; what it needed no more */
        g->granted = 0;
        g->taken = 0;
        g->call = NULL;
        end_turn(g);
}

void throttle_drop(Sending *g) {
        leave(g);
        if (g->granted > 0)
                pay(g->mapping, -(int64_t) g->granted, clock_boot());
        g->granted = 0;
        g->taken = 0;
        g->call = NULL;
        end_turn(g);
}

/* --- service --- */

/* Who had least so far, of those that may have something now. */
static Mapping *next_mapping(const Sync *s, int64_t now) {
        Mapping *next = NULL;

        for (size_t i = 0; i < s->n_mappings; i++) {
                Mapping *m = s->mappings[i];

                if (m->throttle.bytes.first && open_to(m, now) && (!next || m->throttle.served < next->throttle.served))
                        next = m;
        }
        return next;
}

static void go_on(Sending *g) {
        leave(g);
        if (g->call)
                blob_call_resume(g->call);
        else
                g->resume(g);
}

void throttle_serve(void *userdata) {
        Sync *s = userdata;
        int64_t now = clock_boot();
        Mapping *m;

        look_up_if_due(s, now);
        while ((m = next_mapping(s, now))) {
                Sending *g = m->throttle.bytes.first;

                s->served = m->throttle.served;
                take(g, g->wanted, now);
                go_on(g);
        }
        for (size_t i = 0; i < s->n_mappings; i++) {
                Throttle *t = &s->mappings[i]->throttle;

                while (t->turns.first && t->n_under_way < turns_of(s->mappings[i])) {
                        t->turns.first->has_turn = true;
                        t->n_under_way++;
                        go_on(t->turns.first);
                }
        }
        arm(s, now);
        sync_kick(s); /* whoever could not start because of those who waited */
}

void throttle_apply(Sync *s, const Config *config) {
        s->bandwidth = &config->bandwidth;
        for (size_t i = 0; i < s->n_mappings; i++) {
                const MappingConfig *c = config_find(config, s->mappings[i]->config->name);

                s->mappings[i]->throttle.limit = c ? &c->bandwidth : NULL;
        }
        s->rates_until = 0;
        throttle_serve(s);
}
