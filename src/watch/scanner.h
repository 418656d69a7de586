/* Walks a tree in bounded steps and reports what it saw, in memcmp order of the paths, which is the journal's order.
 * Reports, decides nothing. Watches each folder before listing it. A folder that cannot be listed to its end is
 * reported as unknown, never as empty (pitfalls 4.12). One thread per scanner; batches come on the loop; the walker
 * waits while more than a few batches have not been taken. */
#pragma once

#include "util/error.h"
#include "util/stamp.h"
#include "watch/root.h"
#include "watch/watcher.h"

typedef struct Scanner Scanner;

typedef enum SeenKind {
        SEEN_FILE,         /* regular: stamp is set */
        SEEN_SYMLINK,      /* stamp set */
        SEEN_SPECIAL,      /* FIFO, socket, device; stamp set */
        SEEN_EMPTY_FOLDER, /* a folder holding nothing at all; stamp set */
        SEEN_MOUNT,        /* another mount: not descended into (2.5); everything beneath is unknown */
        SEEN_UNKNOWN,  /* could not be looked at or listed to its end: `path` and everything beneath is unknown; error
                          set */
        SEEN_EXCLUDED, /* the filter said so; for a folder, nothing beneath was looked at */
        SEEN_TOO_LONG, /* the filter said so: no blob beneath can be named; for a folder, nothing beneath was looked at
                        */
} SeenKind;

typedef struct Seen {
        const char *path; /* relative to the root; valid during the callback */
        size_t size;      /* of path */
        SeenKind kind;
        bool folder;     /* EXCLUDED, TOO_LONG, UNKNOWN: it is (or may be) a folder, so the branch is meant */
        bool unreadable; /* UNKNOWN: because of EACCES or EPERM */
        int error;       /* UNKNOWN: errno */
        Stamp stamp;
} Seen;

typedef enum ScanFilter { SCAN_TAKE, SCAN_EXCLUDE, SCAN_TOO_LONG } ScanFilter;
typedef ScanFilter (*ScanFilterFn)(const char *path, size_t size, bool folder,
                                   void *userdata); /* in the walker's thread; pure */

typedef struct ScanEnd {
        RootState root_state; /* ROOT_OK, or why nothing at all can be said */
        RootId root_id;
        bool fs_tells;               /* inotify can be believed on this file system */
        const char *fs_name;         /* static */
        bool complete;               /* false: cancelled, or the root could not be opened */
        unsigned folders, unwatched; /* `unwatched`: over the watch limit, or shared: to be polled */
        Error error;                 /* first reason for unwatched, or why not complete */
} ScanEnd;

typedef struct ScannerCallbacks {
        void (*seen)(const Seen *seen, size_t n, void *userdata); /* a batch, on the loop */
        void (*end)(const ScanEnd *end, void *userdata);          /* once per scan, after its last batch */
} ScannerCallbacks;

typedef struct ScannerOptions {
        const char *folder;  /* absolute; copied */
        RootId pinned;       /* null: any root will do */
        Watcher *watcher;    /* NULL: do not watch (poll, --once) */
        ScanFilterFn filter; /* NULL: take everything */
        void *filter_data;   /* outlives the scanner */
} ScannerOptions;

int scanner_new(Scanner **ret, sd_event *loop, const ScannerOptions *options, const ScannerCallbacks *callbacks,
                void *userdata, Error *e) _must_check_;
Scanner *scanner_free(Scanner *s); /* cancels; no callback comes after; a walker stuck in the kernel is left behind */
DEFINE_CLEANUP(Scanner *, scanner_free);
void scanner_pin(Scanner *s, const RootId *pinned); /* for scans started from now on */

/* Scans the branch at `path` ("" = all). If `path` is no folder, it reports what is there (nothing, if it is absent).
 * -EBUSY while a scan runs. Each scan that was started ends with `end`. */
int scanner_start(Scanner *s, const char *path) _must_check_;
bool scanner_busy(const Scanner *s);
int64_t scanner_stuck(const Scanner *s); /* ns since the walker last made a step; 0: idle */
