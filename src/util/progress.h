/* Does somebody get on? Decided by a counter of the steps that were done, never by time alone: who has nothing to do is
 * not stuck (pitfalls 11.7). Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct Progress {
        uint64_t count; /* at the last look */
        int64_t since;  /* the look that found it there first, with something to do; 0: none */
} Progress;

/* Since when, in ns, looks have found work to do and `count` where it was; 0: it gets on, or is idle. */
int64_t progress_stuck(Progress *p, uint64_t count, bool idle, int64_t now);
