/* One folder of a walk: opened, watched, then listed (pitfalls 1.1), and what is in it looked at. Knows no order and
 * tells nobody: several threads may each do a folder of one walk. Blocking. */
#pragma once

#include "watch/walk.h"

#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>

/* What the threads of a walk share. */
typedef struct WalkRoot {
        const Walk *walk;
        int fd;
        uint64_t mnt;
        bool inodes_stable;
        atomic_bool no_openat2;
        atomic_bool said; /* by the thread that fills `why` */
        Error why;        /* the first reason for a folder that is not watched: it stands for all */
} WalkRoot;

typedef struct Sight {
        int error; /* errno; else `stamp` and `mnt` are set */
        uint64_t mnt;
        Stamp stamp;
} Sight;

typedef enum FolderOutcome {
        FOLDER_LISTED,  /* `listing` holds something */
        FOLDER_EMPTY,   /* `self` is set */
        FOLDER_GONE,    /* nothing to be said: it is not there any more, or something else is */
        FOLDER_MOUNT,   /* another mount stands there (2.5) */
        FOLDER_UNKNOWN, /* `error`: it cannot be opened, or not be listed to its end (4.12) */
} FolderOutcome;

typedef struct Folder {
        FolderOutcome outcome;
        int error;
        bool unwatched;
        int fd; /* open if LISTED, unless nobody needs it any more; else -1 */
        Listing listing;
        Sight self;
        Sight *sights; /* of the first `n_sights` entries, but for those that are or may be folders */
        size_t n_sights;
} Folder;

#define FOLDER_NULL      \
        (Folder) {       \
                .fd = -1 \
        }
#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC)

static inline bool folder_perhaps(const ListingEntry *e) {
        return e->type == DT_DIR || e->type == DT_UNKNOWN;
}

/* Gone, or another kind of thing by now: not seen, and not said to be absent either. Its event, or the next scan, tells
 * what came instead. */
static inline bool folder_gone(int err) {
        return err == ENOENT || err == ENOTDIR || err == ELOOP;
}

void folder_look(const WalkRoot *root, int fd, const char *name, int flags, Sight *ret);
/* Opens a folder by its whole path, "" the root itself. A negative errno; -EXDEV: another mount. */
int folder_open(const WalkRoot *root, const char *path);

/* The folder `name` in `parent`; `path` is its own. `buffer`: LISTING_ROOM bytes. `ret` is to be given to
 * folder_done(). */
void folder_visit(WalkRoot *root, int parent, const char *name, const char *path, char *buffer, Folder *ret);
void folder_enter(WalkRoot *root, int fd, const char *path, char *buffer, Folder *ret); /* one that is open; takes it */
/* Looks at its entries already, at most `max`. */
void folder_look_ahead(const WalkRoot *root, Folder *f, size_t max);
void folder_unwatch(const WalkRoot *root, const char *path);
void folder_done(Folder *f);
