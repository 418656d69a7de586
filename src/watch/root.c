#include "watch/root.h"

#include "util/clock.h"
#include "util/path.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/btrfs.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#define NO_LINKS (RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)
#define O_PATH_FLAGS (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) /* openat2 refuses any other beside O_PATH */
#define STEP_FLAGS (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define EAGAIN_TRIES 8

#ifndef FS_IOC_GETFSUUID /* Linux 6.9 */
struct fsuuid2 {
        __u8 len;
        __u8 uuid[16];
};
#define FS_IOC_GETFSUUID _IOR(0x15, 0, struct fsuuid2)
#endif

static const RootFs file_systems[] = {
        { "ext2/3/4", 0xef53, true, true, false, true },
        { "xfs", 0x58465342, true, true, false, true },
        { "btrfs", 0x9123683e, true, true, false, true },
        { "tmpfs", 0x01021994, true, true, true, true },
        { "f2fs", 0xf2f52010, true, true, false, true },
        { "zfs", 0x2fc12fc1, true, true, false, false },
        { "bcachefs", 0xca451a4e, true, true, false, false },
        { "overlay", 0x794c7630, false, true, false, false }, /* changes made in its layers are not reported (2.3) */
        { "nfs", 0x6969, false, true, false, false },
        { "ceph", 0x00c36400, false, true, false, false },
        { "gfs2", 0x01161970, false, true, false, false },
        { "ocfs2", 0x7461636f, false, true, false, false },
        { "reiserfs", 0x52654973, false, true, false, false },
        { "jfs", 0x3153464a, false, true, false, false },
        { "nilfs2", 0x3434, false, true, false, false },
        { "ntfs3", 0x7366746e, false, true, false, false },
        { "ramfs", 0x858458f6, false, true, true, false },
        { "squashfs", 0x73717368, false, true, false, false },
        { "erofs", 0xe0f5e1e2, false, true, false, false },
        { "iso9660", 0x9660, false, false, false, false },
        { "udf", 0x15013346, false, false, false, false },
        { "vfat", 0x4d44, false, false, false, false },
        { "exfat", 0x2011bab0, false, false, false, false },
        { "ntfs", 0x5346544e, false, false, false, false },
        { "fuse", 0x65735546, false, false, false, false },
        { "smb", 0x517b, false, false, false, false },
        { "cifs", 0xff534d42, false, false, false, false },
        { "smb2", 0xfe534d42, false, false, false, false },
        { "9p", 0x01021997, false, false, false, false },
        { "afs", 0x5346414f, false, false, false, false },
        { "vboxsf", 0x786f4256, false, false, false, false },
};

const RootFs *root_fs(int fd) {
        static const RootFs unknown = { .name = "?" };
        struct statfs st;

        if (fstatfs(fd, &st) < 0)
                return &unknown;
        for (size_t i = 0; i < ELEMENTSOF(file_systems); i++)
                if (file_systems[i].magic == (uint32_t) st.f_type)
                        return file_systems + i;
        return &unknown;
}

/* ---- opening ---- */

/* Asked once, of "/", which can be opened whatever the rights: a seccomp filter that does not know the call may answer
 * EPERM, which would otherwise look like a question of rights. */
static bool have_openat2(void) {
        static _Atomic int known; /* 0: not asked; 1: yes; 2: no. Every thread would find the same. */
        int n = atomic_load_explicit(&known, memory_order_relaxed);

        if (n == 0) {
                struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = NO_LINKS };
                _cleanup_close_ int fd = (int) syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof(how));

                n = fd >= 0 || (errno != ENOSYS && errno != EPERM) ? 1 : 2;
                atomic_store_explicit(&known, n, memory_order_relaxed);
        }
        return n == 1;
}

static int open_by_openat2(int dirfd, const char *path, int flags, uint64_t resolve) {
        struct open_how how = { .flags = (uint32_t) flags, .resolve = resolve };

        /* EAGAIN: a rename somewhere, or a lease being broken (5.1); the latter stays, and the caller looks later. */
        for (unsigned i = 0;; i++) {
                int fd = (int) syscall(SYS_openat2, dirfd, path, &how, sizeof(how));

                if (fd >= 0)
                        return fd;
                if ((errno != EAGAIN && errno != EINTR) || i == EAGAIN_TRIES)
                        return -errno;
        }
}

/* One component, not through a symlink. */
static int open_component(int dirfd, const char *name, int flags) {
        _cleanup_close_ int fd = openat(dirfd, name, flags | O_NOFOLLOW);
        struct stat st;

        if (fd < 0)
                return -errno;
        /* With O_PATH and O_NOFOLLOW a symlink opens as itself; openat2 does so only if the caller said O_NOFOLLOW. */
        if ((flags & (O_PATH | O_NOFOLLOW)) == O_PATH) {
                if (fstat(fd, &st) < 0)
                        return -errno;
                if (S_ISLNK(st.st_mode))
                        return -ELOOP;
        }
        return TAKE_FD(fd);
}

/* What openat2 does, for kernels before 5.6. */
static int open_by_walk(int dirfd, const char *path, int flags, uint64_t resolve) {
        _cleanup_close_ int held = -1;
        char name[NAME_MAX + 1];
        int at = dirfd;

        if (path[0] == '/') {
                if (resolve & RESOLVE_BENEATH)
                        return -EXDEV;
                held = open("/", STEP_FLAGS);
                if (held < 0)
                        return -errno;
                at = held;
        }
        for (;;) {
                size_t n;
                int fd;

                path += strspn(path, "/");
                n = strcspn(path, "/");
                if (n > NAME_MAX)
                        return -ENAMETOOLONG;
                if (n == 0) /* "/", or "a/" */
                        return open_component(at, ".", flags);
                memcpy(name, path, n);
                name[n] = '\0';
                if ((resolve & RESOLVE_BENEATH) && strcmp(name, "..") == 0)
                        return -EXDEV;
                path += n;
                if (path[0] == '\0')
                        return open_component(at, name, flags);
                fd = open_component(at, name, STEP_FLAGS);
                if (fd < 0)
                        return fd;
                closep(&held);
                held = at = fd;
        }
}

static int open_step(int dirfd, const char *path, int flags, uint64_t resolve) {
        return have_openat2() ? open_by_openat2(dirfd, path, flags, resolve)
                              : open_by_walk(dirfd, path, flags, resolve);
}

/* The kernel takes at most PATH_MAX bytes at once (6.7): go down in as few steps as that allows. */
static int open_long(int dirfd, const char *path, int flags, uint64_t resolve) {
        _cleanup_close_ int held = -1;
        char part[PATH_MAX];
        size_t left = strlen(path);

        if (flags & O_PATH)
                flags &= O_PATH_FLAGS;
        flags |= O_CLOEXEC;
        while (left >= PATH_MAX) {
                const char *slash = memrchr(path, '/', PATH_MAX - 1);
                size_t n = slash ? (size_t) (slash - path) : 0;
                int fd;

                if (n == 0)
                        return -ENAMETOOLONG;
                memcpy(part, path, n);
                part[n] = '\0';
                fd = open_step(held < 0 ? dirfd : held, part, STEP_FLAGS, resolve);
                if (fd < 0)
                        return fd;
                closep(&held);
                held = fd;
                resolve |= RESOLVE_BENEATH; /* whatever comes now is relative */
                path += n + 1;
                left -= n + 1;
        }
        return open_step(held < 0 ? dirfd : held, path[0] != '\0' ? path : ".", flags, resolve);
}

int root_openat(int dirfd, const char *path, int flags) {
        assert(dirfd >= 0 && path && !(flags & (O_CREAT | O_TRUNC)));

        return open_long(dirfd, path, flags, NO_LINKS | RESOLVE_BENEATH);
}

/* ---- identity ---- */

uint64_t root_mount(int fd, const struct statx *stx) {
        char path[64], line[128];
        unsigned long long id = 0;
        FILE *f;

        if (stx->stx_mask & STATX_MNT_ID)
                return stx->stx_mnt_id;
        /* before Linux 5.8 */
        (void) snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
        f = fopen(path, "re");
        if (!f)
                return 0;
        while (fgets(line, sizeof(line), f))
                if (strncmp(line, "mnt_id:", 7) == 0) {
                        id = strtoull(line + 7, NULL, 10);
                        break;
                }
        (void) fclose(f);
        return id;
}

/* The name of a link in by-uuid: hex digits and '-', shorter ones filled with zeros (vfat has 8 digits). */
static bool uuid_parse(const char *name, uint8_t ret[static 16]) {
        unsigned n = 0;

        memset(ret, 0, 16);
        for (; *name; name++) {
                unsigned digit;

                if (*name == '-')
                        continue;
                if (*name >= '0' && *name <= '9')
                        digit = (unsigned) (*name - '0');
                else if ((*name | 0x20) >= 'a' && (*name | 0x20) <= 'f')
                        digit = (unsigned) ((*name | 0x20) - 'a') + 10;
                else
                        return false;
                if (n == 32)
                        return false;
                ret[n / 2] |= (uint8_t) (digit << (n % 2 ? 0 : 4));
                n++;
        }
        return n > 0;
}

static bool uuid_by_link(uint32_t major, uint32_t minor, uint8_t ret[static 16]) {
        DIR *dir = opendir("/dev/disk/by-uuid");
        const struct dirent *de;
        bool found = false;
        struct stat st;

        if (!dir)
                return false;
        while (!found && (de = readdir(dir)))
                found = fstatat(dirfd(dir), de->d_name, &st, 0) == 0 && S_ISBLK(st.st_mode) &&
                        st.st_rdev == makedev(major, minor) && uuid_parse(de->d_name, ret);
        (void) closedir(dir);
        return found;
}

static const char type_tag[4] = { 't', 'y', 'p', 'e' };

static void identify(int fd, const struct statx *stx, const RootFs *fs, RootId *ret) {
        struct btrfs_ioctl_fs_info_args info = { 0 };
        struct fsuuid2 uuid = { 0 };
        Stamp stamp;

        stamp_from_statx(&stamp, stx);
        *ret = (RootId){ .ino = fs->inodes_stable ? stamp.ino : 0, .btime_ns = stamp.btime_ns };
        if (ioctl(fd, FS_IOC_GETFSUUID, &uuid) == 0 && uuid.len > 0 && uuid.len <= sizeof(ret->fs_uuid)) {
                memcpy(ret->fs_uuid, uuid.uuid, uuid.len);
        } else if (fs->magic ==
                   BTRFS_SUPER_MAGIC) { /* no device of its own, so no link leads to it; this ioctl is older */
                if (ioctl(fd, BTRFS_IOC_FS_INFO, &info) == 0)
                        memcpy(ret->fs_uuid, info.fsid, sizeof(ret->fs_uuid));
        } else if (!uuid_by_link(stx->stx_dev_major, stx->stx_dev_minor, ret->fs_uuid) && !fs->inodes_stable) {
                struct statfs st;
                uint32_t magic = fs->magic == 0 && fstatfs(fd, &st) == 0 ? (uint32_t) st.f_type : fs->magic;

                /* FUSE and the like have nothing that lasts over a remount. So that the empty folder left behind by an
                 * unmount is still told apart, their type stands for the UUID. */
                memcpy(ret->fs_uuid, type_tag, sizeof(type_tag));
                memcpy(ret->fs_uuid + sizeof(type_tag), &magic, sizeof(magic));
        }
}

/* The root is opened for each piece of work, and what kind of file system it is on takes five more calls (or a search
 * for its link, before Linux 6.9): remember the last answer. It holds only for the same mount of the same device
 * showing the same root, so that it cannot outlive a change of disks. */
static const RootFs *identify_remembered(int fd, const struct statx *stx, uint64_t mnt, RootId *ret) {
        static _Thread_local struct {
                uint64_t mnt, ino;
                uint32_t major, minor;
                struct statx_timestamp btime;
                const RootFs *fs;
                RootId id;
        } last;
        bool born = (stx->stx_mask & STATX_BTIME) && (stx->stx_btime.tv_sec != 0 || stx->stx_btime.tv_nsec != 0);

        if (!born || mnt == 0 || last.mnt != mnt || last.ino != stx->stx_ino || last.major != stx->stx_dev_major ||
            last.minor != stx->stx_dev_minor || last.btime.tv_sec != stx->stx_btime.tv_sec ||
            last.btime.tv_nsec != stx->stx_btime.tv_nsec) {
                last.fs = root_fs(fd);
                identify(fd, stx, last.fs, &last.id);
                last.mnt = born && last.fs->magic != 0 ? mnt : 0;
                last.ino = stx->stx_ino;
                last.major = stx->stx_dev_major;
                last.minor = stx->stx_dev_minor;
                last.btime = stx->stx_btime;
        }
        *ret = last.id;
        return last.fs;
}

static bool uuid_known(const RootId *id) {
        static const uint8_t zero[sizeof(id->fs_uuid)];

        return memcmp(id->fs_uuid, zero, sizeof(zero)) != 0;
}

static bool uuid_is_type(const RootId *id) {
        return memcmp(id->fs_uuid, type_tag, sizeof(type_tag)) == 0;
}

/* A type is compared with nothing known too: only a file system of another kind has neither UUID nor type. */
static bool uuid_differs(const RootId *a, const RootId *b) {
        bool compare = (uuid_known(a) && uuid_known(b)) || uuid_is_type(a) || uuid_is_type(b);

        return compare && memcmp(a->fs_uuid, b->fs_uuid, sizeof(a->fs_uuid)) != 0;
}

bool root_id_equal(const RootId *a, const RootId *b) {
        return !uuid_differs(a, b) && (a->ino == 0 || b->ino == 0 || a->ino == b->ino) &&
               (a->btime_ns == 0 || b->btime_ns == 0 || a->btime_ns == b->btime_ns);
}

bool root_id_is_null(const RootId *id) {
        return !uuid_known(id) && id->ino == 0 && id->btime_ns == 0;
}

static RootState failed(const char *folder, int err, Error *e) {
        switch (err) {
        case ENOENT:
                (void) error_set(e, -ENOENT, ERROR_OS, ENOENT, "the folder %s does not exist", PATH_SHOWN(folder));
                return ROOT_MISSING;
        case ENOTDIR:
                (void) error_set(e, -ENOTDIR, ERROR_OS, ENOTDIR, "%s is not a folder, or not in one",
                                 PATH_SHOWN(folder));
                return ROOT_MISSING;
        case ELOOP:
                (void) error_set(e, -ELOOP, ERROR_OS, ELOOP, "%s is a symbolic link, or is reached through one",
                                 PATH_SHOWN(folder));
                return ROOT_MISSING;
        default:
                (void) error_os(e, err, "opening the folder %s", PATH_SHOWN(folder));
                return ROOT_UNREADABLE;
        }
}

RootState root_open(const char *folder, const RootId *pinned, int *ret_fd, RootId *ret_id, uint64_t *ret_mnt,
                    const RootFs **ret_fs, Error *e) {
        _cleanup_close_ int fd = -1;
        const RootFs *fs;
        struct statx stx;
        uint64_t mnt;
        RootId id;

        assert(folder && folder[0] == '/' && ret_fd && ret_id && ret_mnt);

        /* O_RDONLY, not O_PATH: a root that may not be listed cannot be mirrored, and an automount is mounted by it. */
        fd = open_long(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY | O_NOCTTY | O_CLOEXEC, NO_LINKS);
        if (fd < 0)
                return failed(folder, -fd, e);
        if (statx(fd, "", AT_EMPTY_PATH, STAMP_MASK, &stx) < 0)
                return failed(folder, errno == ENOENT ? EIO : errno, e);
        mnt = root_mount(fd, &stx);
        fs = identify_remembered(fd, &stx, mnt, &id);

        if (pinned && !root_id_is_null(pinned) && !root_id_equal(pinned, &id)) {
                (void) error_set(e, -ESTALE, ERROR_OS, ESTALE, "the folder %s is %s", PATH_SHOWN(folder),
                                 uuid_differs(pinned, &id) ? "on another file system than before (is its disk mounted?)"
                                                           : "not the one that was mirrored so far");
                *ret_id = id;
                return ROOT_REPLACED;
        }
        *ret_fd = TAKE_FD(fd);
        *ret_id = id;
        *ret_mnt = mnt;
        if (ret_fs)
                *ret_fs = fs;
        return ROOT_OK;
}
