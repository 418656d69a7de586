/* Finds one path beneath a root and says what is there, or proves that nothing is (law L2, pitfalls 2.5, 4.12, 5.3).
 * Blocking: workers only. Used by read.c. */
#pragma once

#include "watch/source.h"

#include <sys/stat.h>

/* A root for one piece of work. */
typedef struct LookRoot {
        const char *folder; /* the caller's */
        int fd;
        RootId id;
        uint64_t mnt;
        const RootFs *fs;
} LookRoot;

#define LOOK_ROOT_NULL ((LookRoot){ .fd = -1 }) /* _cleanup_(look_leave) */

/* False: not the right root; `ret` is the answer. */
bool look_enter(LookRoot *root, const char *folder, const RootId *pinned, SourceAnswer *ret);
void look_leave(LookRoot *root);

/* What statx says about an open file. The stamp keeps the inode number even where it is not stable: within one piece of
 * work it is. */
typedef struct Glance {
        Stamp stamp;
        uint32_t major, minor;
        uint64_t mnt;
} Glance;

int glance(int fd, Glance *ret);                                 /* 0 or a negative errno */
bool glance_same_inode(const Glance *a, const Glance *b) _pure_; /* the same file, whatever happened to it */
bool glance_equal(const Glance *a, const Glance *b) _pure_;      /* and nothing happened to it */
Stamp look_stamp(const LookRoot *root, const Glance *g);         /* for an answer */
void look_errno(SourceAnswer *ret, int err, const char *doing, const char *path); /* UNREADABLE or UNKNOWN */

/* Fills look, stamp and error of `ret`. If something is there, sets *ret_fd to it (O_PATH) and *ret_glance. */
void look_at(const LookRoot *root, const char *path, SourceAnswer *ret, int *ret_fd, Glance *ret_glance);
