#include "util/timer.h"

#include "util/clock.h"

#include <assert.h>
#include <time.h>

struct Timer {
        sd_event_source *source;
        TimerFn fn;
        void *userdata;
        int64_t at; /* 0: not set */
};

struct Defer {
        sd_event_source *source;
        TimerFn fn;
        void *userdata;
};

static int on_time(sd_event_source *source, uint64_t usec, void *userdata) {
        Timer *t = userdata;

        t->at = 0;
        t->fn(t->userdata);
        return 0;
}

int timer_new(Timer **ret, sd_event *loop, TimerFn fn, void *userdata, Error *e) {
        _cleanup_(timer_freep) Timer *t = calloc(1, sizeof(*t));
        int r;

        assert(ret && loop && fn);

        if (!t)
                return error_oom(e);
        t->fn = fn;
        t->userdata = userdata;
        /* 250 us of slack lets the kernel gather wake-ups, yet is nothing next to a request */
        r = sd_event_add_time(loop, &t->source, CLOCK_BOOTTIME, UINT64_MAX, 250, on_time, t);
        if (r >= 0)
                r = sd_event_source_set_enabled(t->source, SD_EVENT_OFF);
        if (r < 0)
                return error_os(e, -r, "making a timer");
        *ret = TAKE_PTR(t);
        return 0;
}

Timer *timer_free(Timer *t) {
        if (!t)
                return NULL;
        (void) sd_event_source_disable_unref(t->source);
        free(t);
        return NULL;
}

void timer_set(Timer *t, int64_t boot_ns) {
        assert(t);

        boot_ns = MAX(boot_ns, INT64_C(1));
        if (t->at == boot_ns)
                return;
        t->at = boot_ns;
        (void) sd_event_source_set_time(t->source, (uint64_t) ((boot_ns + NSEC_PER_USEC - 1) / NSEC_PER_USEC));
        (void) sd_event_source_set_enabled(t->source, SD_EVENT_ONESHOT);
}

void timer_stop(Timer *t) {
        if (!t || t->at == 0)
                return;
        t->at = 0;
        (void) sd_event_source_set_enabled(t->source, SD_EVENT_OFF);
}

int64_t timer_get(const Timer *t) {
        return t->at;
}

static int on_defer(sd_event_source *source, void *userdata) {
        Defer *d = userdata;

        d->fn(d->userdata);
        return 0;
}

int defer_new(Defer **ret, sd_event *loop, TimerFn fn, void *userdata, Error *e) {
        _cleanup_(defer_freep) Defer *d = calloc(1, sizeof(*d));
        int r;

        assert(ret && loop && fn);

        if (!d)
                return error_oom(e);
        d->fn = fn;
        d->userdata = userdata;
        r = sd_event_add_defer(loop, &d->source, on_defer, d);
        if (r >= 0)
                r = sd_event_source_set_priority(d->source, SD_EVENT_PRIORITY_NORMAL + 10);
        if (r >= 0)
                r = sd_event_source_set_enabled(d->source, SD_EVENT_OFF);
        if (r < 0)
                return error_os(e, -r, "making a deferred call");
        *ret = TAKE_PTR(d);
        return 0;
}

Defer *defer_free(Defer *d) {
        if (!d)
                return NULL;
        (void) sd_event_source_disable_unref(d->source);
        free(d);
        return NULL;
}

void defer_arm(Defer *d) {
        (void) sd_event_source_set_enabled(d->source, SD_EVENT_ONESHOT);
}
