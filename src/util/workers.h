/* A few threads for what would block: opening, reading, hashing, walking. One set per mapping, so that a mount that
 * hangs holds up its own mapping only (pitfalls 2.6). Work is handed in and comes back on the loop's thread; nothing
 * else is shared. Threads start with the first work and wait without ticking. */
#pragma once

#include "util/error.h"
#include "util/macro.h"

#include <systemd/sd-event.h>

typedef struct Workers Workers;
typedef struct Work Work;

/* Embedded first in the caller's own struct. */
struct Work {
        void (*run)(Work *w); /* in a worker thread */
        void (*done)(
                Work *w); /* on the loop, once, after run; owns the memory again. Not called after workers_free(). */
        void (*drop)(Work *w); /* instead of done when the workers are freed; may be NULL */
        Work *next;            /* the pool's own */
};

int workers_new(Workers **ret, sd_event *loop, unsigned threads, Error *e) _must_check_;
/* Gives up, and waits for nobody: queued work is dropped; running work is left to its thread, which drops it when it
 * comes back, be that never (it is stuck in the kernel). threads_wait() gives them a moment at the end of all. */
Workers *workers_free(Workers *w);
DEFINE_CLEANUP(Workers *, workers_free);

void workers_submit(Workers *w, Work *work);
unsigned workers_queued(const Workers *w); /* handed in and not come back yet */
/* Age of the oldest running work in ns (boot time); 0 if none: how the watchdog and status see a stuck mount. */
int64_t workers_stuck(const Workers *w);
