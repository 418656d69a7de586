#include "watch/look.h"

#include "util/path.h"

#include <assert.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#define LOOK_TRIES 4 /* the name came back while its absence was being proven: look again */

bool look_enter(LookRoot *root, const char *folder, const RootId *pinned, SourceAnswer *ret) {
        *root = (LookRoot){ .folder = folder, .fd = -1 };
        ret->root_state = root_open(folder, pinned, &root->fd, &root->id, &root->mnt, &root->fs, &ret->error);
        if (ret->root_state != ROOT_OK) {
                ret->look = error_is_shortage(-ret->error.code) ? LOOK_UNKNOWN : LOOK_NO_ROOT;
                return false;
        }
        return true;
}

void look_leave(LookRoot *root) {
        closep(&root->fd);
        root->fd = -1;
}

int glance(int fd, Glance *ret) {
        struct statx stx;

        if (statx(fd, "", AT_EMPTY_PATH, STAMP_MASK, &stx) < 0)
                return -errno;
        stamp_from_statx(&ret->stamp, &stx);
        ret->major = stx.stx_dev_major;
        ret->minor = stx.stx_dev_minor;
        ret->mnt = root_mount(fd, &stx);
        return 0;
}

bool glance_same_inode(const Glance *a, const Glance *b) {
        return a->stamp.ino == b->stamp.ino && a->stamp.btime_ns == b->stamp.btime_ns && a->major == b->major &&
               a->minor == b->minor && a->mnt == b->mnt && ((a->stamp.mode ^ b->stamp.mode) & S_IFMT) == 0;
}

bool glance_equal(const Glance *a, const Glance *b) {
        return glance_same_inode(a, b) && stamp_equal(&a->stamp, &b->stamp);
}

Stamp look_stamp(const LookRoot *root, const Glance *g) {
        Stamp stamp = g->stamp;

        if (!root->fs->inodes_stable)
                stamp.ino = 0;
        return stamp;
}

void look_errno(SourceAnswer *ret, int err, const char *doing, const char *path) {
        ret->look = err == EACCES || err == EPERM ? LOOK_UNREADABLE : LOOK_UNKNOWN;
        if (err == EAGAIN) /* 5.1: what a leased file says at once, instead of waiting up to 45 s for its holder */
                (void) error_set(&ret->error, -EAGAIN, ERROR_OS, EAGAIN, "%s %s: held by a lease of another program",
                                 doing, PATH_SHOWN(path));
        else
                (void) error_os(&ret->error, err, "%s %s", doing, PATH_SHOWN(path));
}

static bool on_root_mount(const LookRoot *root, const Glance *g, const char *path, SourceAnswer *ret) {
        if (g->mnt == root->mnt)
                return true;
        ret->look = LOOK_UNKNOWN;
        (void) error_set(&ret->error, -EXDEV, ERROR_OS, EXDEV, "%s: on another file system", PATH_SHOWN(path));
        return false;
}

/* The absence held in the root that was opened at first: is that one still *the* root? */
static void absent_if_same_root(const LookRoot *root, SourceAnswer *ret) {
        _cleanup_(look_leave) LookRoot now = LOOK_ROOT_NULL;

        if (!look_enter(&now, root->folder, &root->id, ret))
                return;
        if (now.mnt == root->mnt) {
                ret->look = LOOK_ABSENT;
                return;
        }
        ret->look = LOOK_UNKNOWN;
        (void) error_set(&ret->error, -EAGAIN, ERROR_OS, EAGAIN, "%s was mounted anew while it was looked at",
                         PATH_SHOWN(root->folder));
}

/* Walks down to the first name that is missing. What proves absence: a folder that can be opened and does not know the
 * name, or something that is no folder (a symlink too, since none is followed) where the path needs one. Returns false
 * if all of the path is there again. */
static bool prove_absence(const LookRoot *root, const char *path, SourceAnswer *ret) {
        _cleanup_close_ int held = -1, listable = -1;
        char name[NAME_MAX + 1];
        const char *p = path;
        int at = root->fd;

        for (;;) {
                _cleanup_close_ int fd = -1;
                size_t n = strcspn(p, "/");
                Glance g = { 0 };
                int r;

                if (n > NAME_MAX) {
                        look_errno(ret, ENAMETOOLONG, "looking for", path);
                        return true;
                }
                memcpy(name, p, n);
                name[n] = '\0';
                fd = root_openat(at, name, O_PATH | O_NOFOLLOW);
                if (fd == -ENOENT)
                        break;
                r = fd < 0 ? fd : glance(fd, &g);
                if (r < 0) {
                        look_errno(ret, -r, "looking for", path);
                        return true;
                }
                if (!on_root_mount(root, &g, path, ret))
                        return true;
                p += n;
                if (*p == '\0')
                        return false;
                if (!S_ISDIR(g.stamp.mode)) {
                        absent_if_same_root(root, ret);
                        return true;
                }
                p++;
                closep(&held);
                held = at = TAKE_FD(fd);
        }
        /* A folder that cannot be opened is as little evidence as one that cannot be listed. */
        listable = root_openat(at, "", O_RDONLY | O_DIRECTORY | O_NONBLOCK);
        if (listable < 0)
                look_errno(ret, -listable, "opening the folder of", path);
        else
                absent_if_same_root(root, ret);
        return true;
}

static Look look_of_mode(uint32_t mode) {
        switch (mode & S_IFMT) {
        case S_IFREG:
                return LOOK_REGULAR;
        case S_IFLNK:
                return LOOK_SYMLINK;
        case S_IFDIR:
                return LOOK_FOLDER;
        default:
                return LOOK_SPECIAL;
        }
}

void look_at(const LookRoot *root, const char *path, SourceAnswer *ret, int *ret_fd, Glance *ret_glance) {
        _cleanup_close_ int fd = -1;
        Glance g = { 0 };
        int r;

        assert(root->fd >= 0 && path[0] != '/');

        for (unsigned i = 0;; i++) {
                /* O_PATH: opening a FIFO would wake its writer, and opening a device may do anything (5.1). */
                fd = root_openat(root->fd, path, O_PATH | O_NOFOLLOW);
                if (fd != -ENOENT && fd != -ENOTDIR && fd != -ELOOP)
                        break;
                if (prove_absence(root, path, ret))
                        return;
                if (i == LOOK_TRIES) {
                        ret->look = LOOK_UNKNOWN;
                        (void) error_set(&ret->error, -EAGAIN, ERROR_OS, EAGAIN, "%s comes and goes", PATH_SHOWN(path));
                        return;
                }
        }
        r = fd < 0 ? fd : glance(fd, &g);
        if (r < 0) {
                look_errno(ret, -r, "looking for", path);
                return;
        }
        if (!on_root_mount(root, &g, path, ret))
                return;
        ret->look = look_of_mode(g.stamp.mode);
        ret->stamp = look_stamp(root, &g);
        *ret_glance = g;
        *ret_fd = TAKE_FD(fd);
}
