/* The fingerprint of a file (pitfalls 4.1): what the scan compares, the journal keeps and a copy is matched by. Plain
 * value. */
#pragma once

#include "util/macro.h"

#include <sys/stat.h>

typedef struct Stamp {
        uint64_t size;    /* bytes */
        int64_t mtime_ns; /* since 1970; any value a file system can hold */
        int64_t ctime_ns;
        int64_t btime_ns; /* 0: the file system does not know it */
        uint64_t ino;     /* 0: not stable on this file system (vfat, FUSE): left out of comparisons */
        uint32_t mode;    /* st_mode with type bits */
        uint32_t uid, gid;
        uint32_t nlink; /* not part of any comparison */
} Stamp;

/* what stamp_from_statx() wants to be asked for */
#define STAMP_MASK (STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID)

struct statx;
void stamp_from_statx(Stamp *ret, const struct statx *stx);

/* Nothing differs in any direction: size, mtime, ctime, inode, btime, mode, owner. Only then may a scan skip the file.
 */
bool stamp_equal(const Stamp *a, const Stamp *b) _pure_;

/* The same file with the same bytes under another name: inode, btime, size and mtime (pitfalls 1.3). False if either
 * has no inode. ctime is left out, since a rename sets it. */
bool stamp_moved(const Stamp *a, const Stamp *b) _pure_;

/* What the blob's metadata says about the file differs: mtime, mode, owner. */
bool stamp_metadata_equal(const Stamp *a, const Stamp *b) _pure_;
