/* Walks a tree in bounded steps and reports what it saw, in memcmp order of the paths, where a folder (an empty one, or
 * one that stands for its whole branch) counts as its path with '/' at the end: so the order is the journal's, and what
 * is said of a branch comes where its rows are. Each path at most once; the root itself never. What is gone, or became
 * something else, between being listed and being looked at is not reported. Reports, decides nothing. Watches each
 * folder before listing it. A folder that cannot be listed to its end is reported as unknown, never as empty (pitfalls
 * 4.12). One thread per scanner; batches come on the loop; the walker waits while more than a few batches have not been
 * taken. */
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
        SEEN_MOUNT,        /* another mount, of a folder (no stamp) or a file: not looked into (2.5); all is unknown */
        SEEN_UNKNOWN,      /* could not be looked at, or not be listed to its end: unknown, and so is all beneath it */
        SEEN_EXCLUDED,     /* the filter said so; for a folder, nothing beneath was looked at */
        SEEN_TOO_LONG,     /* the filter said so, or longer than 8 KiB: no blob can have the name; as above */
} SeenKind;

typedef struct Seen {
        const char *path; /* relative to the root; valid during the callback */
        size_t size;      /* of path */
        SeenKind kind;
        bool folder;     /* it is, or UNKNOWN: may be, a folder; so, but for EMPTY_FOLDER, the branch is meant */
        bool unreadable; /* UNKNOWN: because of EACCES or EPERM */
        int error;       /* UNKNOWN: errno */
        Stamp stamp;
} Seen;

typedef enum ScanFilter { SCAN_TAKE, SCAN_EXCLUDE, SCAN_TOO_LONG } ScanFilter;
typedef ScanFilter (*ScanFilterFn)(const char *path, size_t size, bool folder,
                                   void *userdata); /* in the walker's thread, under a lock; pure */

typedef struct ScanEnd {
        RootState root_state; /* ROOT_OK, or why nothing at all can be said */
        RootId root_id;       /* ROOT_OK: the root's; ROOT_REPLACED: of what stands in its place */
        bool fs_tells;        /* inotify can be believed on this file system */
        const char *fs_name;  /* static */
        bool complete;        /* false: the root is not OK, or memory ran out: what was not seen proves nothing */
        unsigned folders, unwatched; /* `unwatched`: over the watch limit, or shared: to be polled */
        Error error;                 /* first reason for unwatched, or why not complete */
} ScanEnd;

typedef struct ScannerCallbacks {
        /* A batch, on the loop. Returns how many it took: the others come again in the loop's next turn. */
        size_t (*seen)(const Seen *seen, size_t n, void *userdata);
        /* Once per scan, after its last batch was taken. False: not done yet, call again in the loop's next turn. */
        bool (*end)(const ScanEnd *end, void *userdata);
} ScannerCallbacks;

typedef struct ScannerOptions {
        const char *folder;  /* absolute; copied */
        RootId pinned;       /* null: any root will do */
        Watcher *watcher;    /* NULL: do not watch (poll, --once) */
        ScanFilterFn filter; /* NULL: take everything */
        void *filter_data;   /* outlives the scanner; not used after scanner_free(), even if the walker is stuck */
} ScannerOptions;

int scanner_new(Scanner **ret, sd_event *loop, const ScannerOptions *options, const ScannerCallbacks *callbacks,
                void *userdata, Error *e) _must_check_;
/* Cancels, and waits for nobody; no callback comes after; may be called from inside one. The walker ends at its next
 * step, be that never (it is stuck in the kernel). */
Scanner *scanner_free(Scanner *s);
DEFINE_CLEANUP(Scanner *, scanner_free);
void scanner_pin(Scanner *s, const RootId *pinned); /* for scans started from now on */

/* Scans the branch at `path` ("" = all). If `path` is no folder, it reports what is there (nothing, if it is absent).
 * -EBUSY while a scan runs. Each scan that was started ends with `end`. */
int scanner_start(Scanner *s, const char *path) _must_check_;
bool scanner_busy(const Scanner *s);
int64_t scanner_stuck(const Scanner *s); /* ns since the walker last made a step; 0: idle, or waiting for the loop */
