/* A mapping whose threads do not come back from its file system, a network drive without its server mostly (pitfalls
 * 2.6). That is its own trouble: status names it, the log says it once, and neither the other mappings nor the watchdog
 * are concerned (11.7), since a restart would only run into it again. */
#include "sync/state.h"

#include "azsyncd/messages.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/path.h"

#include <stdio.h>
#include <string.h>

#define STUCK (60 * NSEC_PER_SEC)       /* one step, a folder listed or 4 MiB read, takes no honest disk so long */
#define STUCK_LEAST (15 * NSEC_PER_SEC) /* whatever the test speed-up: a disk is not faster for it */

int64_t mapping_stuck(const Mapping *m) {
        return MAX(source_stuck(m->source), scanner_stuck(m->scanner));
}

static void begin(Mapping *m, int64_t age) {
        LogRecord l = LOG_HERE;

        m->stuck = true;
        mapping_fields(&l, m->config);
        log_commit(&l, LOG_WARNING, MSG_FOLDER_STUCK,
                   "%s: the file system of %s has not answered for %lld s (is it a mount that hangs?). Other mappings "
                   "go on.",
                   m->config->name, PATH_SHOWN(m->config->folder), (long long) (age / NSEC_PER_SEC));
        sync_touch(m->sync);
}

static void end(Mapping *m) {
        LogRecord l = LOG_HERE;

        m->stuck = false;
        mapping_fields(&l, m->config);
        log_commit(&l, LOG_NOTICE, MSG_FOLDER_ANSWERS, "%s: the file system of %s answers again.", m->config->name,
                   PATH_SHOWN(m->config->folder));
        sync_touch(m->sync);
}

void stuck_watch(void *mapping) {
        int64_t now = clock_boot(), most = MAX(clock_policy(STUCK), STUCK_LEAST), age;
        Mapping *m = mapping;

        age = mapping_stuck(m);
        if (age >= most && !m->stuck)
                begin(m, age);
        else if (age < most && m->stuck)
                end(m);
        if (age == 0)
                timer_stop(m->stuck_timer); /* nothing is under way: nothing ticks */
        else if (timer_get(m->stuck_timer) <= now)
                timer_set(m->stuck_timer, now + (age < most ? most - age : most));
}
