/* The blocking walk of one branch: open, watch, list, look, descend (pitfalls 1.1), in the order of scanner.h. Runs in
 * the scanner's thread, with others that do folders ahead of it; knows neither the loop nor batches. Iterative, with a
 * bounded number of open folders, so that a tree may be as deep as it likes (6.7). */
#pragma once

#include "watch/listing.h"
#include "watch/scanner.h"

typedef struct Walk {
        const char *folder; /* the root, absolute */
        RootId pinned;
        Watcher *watcher; /* NULL: do not watch */
        /* Asked before each step; false: end as soon as possible. */
        bool (*alive)(void *userdata);
        ScanFilter (*filter)(const char *path, size_t size, bool folder, void *userdata); /* NULL: take everything */
        bool (*emit)(const Seen *seen, void *userdata); /* false: end; `seen` is borrowed for the call */
        void *userdata;
        unsigned threads;       /* besides the caller's; 0: none */
        unsigned alone;         /* so many folders are done without them: most branches are small */
        ListingReadFn getdents; /* NULL but in tests; in any of the threads */
} Walk;

/* A longer path than this is not descended into: no blob can have that name, whatever its prefix. */
#define WALK_PATH_MAX ((size_t) 8192)

/* Walks the branch at `path`, "" for all. */
void walk_branch(const Walk *walk, const char *path, ScanEnd *ret);
