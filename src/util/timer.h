/* One-shot timers and "when there is nothing more urgent", on the loop. All of sync/ waits through these two and asks
 * util/clock for the time, so that the simulator in tests/sim can stand in for both files and own time. */
#pragma once

#include "util/error.h"
#include "util/macro.h"

#include <systemd/sd-event.h>

typedef struct Timer Timer;
typedef void (*TimerFn)(void *userdata); /* may set or free its own timer */

int timer_new(Timer **ret, sd_event *loop, TimerFn fn, void *userdata, Error *e) _must_check_;
Timer *timer_free(Timer *t);
DEFINE_CLEANUP(Timer *, timer_free);

void timer_set(Timer *t,
               int64_t boot_ns); /* absolute (clock_boot()), replaces what was set; in the past: as soon as possible */
void timer_stop(Timer *t);
int64_t timer_get(const Timer *t); /* 0: not set */

/* Runs `fn` once the loop has handled what is ready now; arming it again before that is free. */
typedef struct Defer Defer;
int defer_new(Defer **ret, sd_event *loop, TimerFn fn, void *userdata, Error *e) _must_check_;
Defer *defer_free(Defer *d);
DEFINE_CLEANUP(Defer *, defer_free);
void defer_arm(Defer *d);
