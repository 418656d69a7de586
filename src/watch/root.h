/* The root of a mapping and opening beneath it. The root is opened per piece of work and closed again (pitfalls 2.8):
 * even an O_PATH descriptor keeps a disk from being unmounted. Nothing here follows a symlink (5.3). Blocking: workers
 * only. */
#pragma once

#include "util/error.h"
#include "util/stamp.h"

/* What makes a root this root (pitfalls 7.2). All zero: not pinned yet, matches anything. */
typedef struct RootId {
        uint8_t fs_uuid[16]; /* FS_IOC_GETFSUUID, else the by-uuid link of its device, else zero: not compared. FUSE
                              * and the like: "type" and its magic number, so that it differs from its mount point. */
        uint64_t ino;        /* 0: not stable on this file system */
        int64_t btime_ns;
} RootId;

bool root_id_equal(const RootId *a,
                   const RootId *b) _pure_; /* a zero uuid, inode or btime on either side is not compared */
bool root_id_is_null(const RootId *id) _pure_;

typedef enum RootState {
        ROOT_OK,
        ROOT_MISSING,    /* no folder there (ENOENT, ENOTDIR, or a symlink in the path) */
        ROOT_REPLACED,   /* a folder, but not `pinned` */
        ROOT_UNREADABLE, /* EACCES, EIO, ESTALE, ...: unknown, never empty */
} RootState;

typedef struct RootFs {
        const char *name; /* for status, static; "?" if unknown */
        uint32_t magic;
        bool tells;         /* every change is reported by inotify, since none can be made elsewhere (pitfalls 2.4) */
        bool inodes_stable; /* over a remount and over time (4.1) */
        bool stores_hide;   /* a store through a mapping never shows in the time stamps (4.3) */
        bool knows_holes;   /* SEEK_DATA may be believed: to ZFS, what was not on the disk yet once was a hole */
} RootFs;

const RootFs *root_fs(int fd); /* static */

/* Opens `folder` (absolute) from "/" without following any symlink and compares its identity with `pinned`. On ROOT_OK
 * sets *ret_fd (a readable directory), *ret_id, *ret_mnt (STATX_MNT_ID) and *ret_fs (NULL: not wanted). Otherwise `e`
 * says why, and on ROOT_REPLACED *ret_id is that of the folder that is there; ROOT_UNREADABLE may be for want of
 * descriptors or memory, error_is_shortage(-e->code). */
RootState root_open(const char *folder, const RootId *pinned, int *ret_fd, RootId *ret_id, uint64_t *ret_mnt,
                    const RootFs **ret_fs, Error *e);

/* openat2 with RESOLVE_BENEATH|NO_SYMLINKS|NO_MAGICLINKS, in steps for paths beyond PATH_MAX; component-wise
 * O_PATH|O_NOFOLLOW on kernels without openat2; EAGAIN retried. "" is `dirfd` itself. A symlink at the end opens as
 * itself with O_PATH|O_NOFOLLOW, and is -ELOOP (or -ENOTDIR) else. Returns an fd (caller closes) or a negative errno.
 */
int root_openat(int dirfd, const char *path, int flags);

/* The mount that `fd` is on: STATX_MNT_ID (pitfalls 2.5), or what /proc says on kernels before 5.8; 0 if neither. */
struct statx;
uint64_t root_mount(int fd, const struct statx *stx);
