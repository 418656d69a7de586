/* The blocking walk of one branch: watch, then list, then look, then descend, in the journal's order. Runs in the
 * scanner's thread; says what it sees through `emit`. */
#pragma once

#include "watch/scanner.h"

typedef struct Walk {
        const char *folder; /* the root, absolute */
        RootId pinned;
        Watcher *watcher; /* NULL: do not watch */
        ScanFilterFn filter;
        void *filter_data;
        /* false: stop (cancelled). `path` is borrowed for the call. */
        bool (*emit)(const Seen *seen, void *userdata);
        bool (*alive)(void *userdata); /* false: stop, and touch watcher and filter no more */
        void *userdata;
} Walk;

void walk_branch(const Walk *walk, const char *branch, ScanEnd *ret);
