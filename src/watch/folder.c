#include "watch/folder.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>

#define EAGAIN_TRIES 8u

void folder_done(Folder *f) {
        closep(&f->fd);
        listing_done(&f->listing);
        free(f->sights);
        *f = FOLDER_NULL;
}

/* --- looking --- */

void folder_look(const WalkRoot *root, int fd, const char *name, int flags, Sight *ret) {
        struct statx stx;

        *ret = (Sight){ 0 };
        if (statx(fd, name, flags | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STAMP_MASK, &stx) < 0) {
                ret->error = errno;
                return;
        }
        stamp_from_statx(&ret->stamp, &stx);
        if (!root->inodes_stable)
                ret->stamp.ino = 0;
        /* before Linux 5.8: a file that is a mount by itself is not recognised; a folder is, by root_mount() */
        ret->mnt = stx.stx_mask & STATX_MNT_ID ? stx.stx_mnt_id
                   : flags & AT_EMPTY_PATH     ? root_mount(fd, &stx)
                                               : root->mnt;
}

void folder_look_ahead(const WalkRoot *root, Folder *f, size_t max) {
        size_t n = MIN(f->listing.n, max);
        bool all = n == f->listing.n;

        if (f->outcome != FOLDER_LISTED)
                return;
        f->sights = malloc(n * sizeof(*f->sights));
        if (!f->sights)
                return;
        f->n_sights = n;
        for (size_t i = 0; i < n; i++)
                if (folder_perhaps(&f->listing.entries[i]))
                        all = false;
                else
                        folder_look(root, f->fd, f->listing.entries[i].name, 0, &f->sights[i]);
        if (all) {
                closep(&f->fd);
                f->fd = -1;
        }
}

/* --- opening --- */

/* The mount that an open folder is on has to be the root's. */
static int on_mount(const WalkRoot *root, int fd) {
        Sight self;

        folder_look(root, fd, "", AT_EMPTY_PATH, &self);
        return self.error ? -self.error : self.mnt != root->mnt ? -EXDEV : 0;
}

int folder_open(const WalkRoot *root, const char *path) {
        _cleanup_close_ int fd = root_openat(root->fd, path[0] ? path : ".", FOLDER_FLAGS);
        int r = fd < 0 ? fd : on_mount(root, fd);

        return r < 0 ? r : TAKE_FD(fd);
}

/* -EXDEV: another mount stands there (2.5); it is not even touched then, be it dead. */
static int open_child(WalkRoot *root, int parent, const char *name) {
        struct open_how how = {
                .flags = FOLDER_FLAGS,
                .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
        };
        _cleanup_close_ int fd = -1;
        int r;

        for (unsigned tries = 0; !root->no_openat2; tries++) {
                fd = (int) syscall(SYS_openat2, parent, name, &how, sizeof(how));
                if (fd >= 0)
                        return TAKE_FD(fd);
                if (errno == ENOSYS)
                        root->no_openat2 = true;
                if (errno == ENOSYS || errno == EPERM) /* EPERM: perhaps a seccomp filter that does not know the call */
                        break;
                if (errno != EAGAIN || tries == EAGAIN_TRIES) /* a rename or mount somewhere else just now */
                        return -errno;
        }
        fd = root_openat(parent, name, FOLDER_FLAGS);
        r = fd < 0 ? fd : on_mount(root, fd);
        return r < 0 ? r : TAKE_FD(fd);
}

/* --- watching --- */

static bool still_there(const char *path, int fd, void *userdata) {
        const WalkRoot *root = userdata;
        _cleanup_close_ int other = root_openat(root->fd, path[0] ? path : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
        struct stat a, b;

        return other >= 0 && fstat(other, &a) == 0 && fstat(fd, &b) == 0 && a.st_dev == b.st_dev &&
               a.st_ino == b.st_ino;
}

static void watch(WalkRoot *root, const char *path, Folder *f) {
        Error why = ERROR_NULL;
        WatchAdd added;

        if (!root->walk->watcher)
                return;
        /* 100,000 reasons need not be put in words */
        added = watcher_add(root->walk->watcher, path, f->fd, still_there, root, root->said ? NULL : &why);
        f->unwatched = added != WATCH_ADDED && added != WATCH_MOVED;
        if (f->unwatched && !atomic_exchange(&root->said, true))
                root->why = why;
}

void folder_unwatch(const WalkRoot *root, const char *path) {
        if (root->walk->watcher)
                watcher_remove(root->walk->watcher, path);
}

/* What the kernel did not say because its queue was full is put right here (1.7). */
static void unwatch_others(const WalkRoot *root, const char *path, const Listing *l) {
        _cleanup_free_ const char **names = NULL;
        size_t n = 0;

        if (!root->walk->watcher)
                return;
        for (size_t i = 0; i < l->n; i++)
                n += folder_perhaps(&l->entries[i]);
        if (n > 0) {
                names = calloc(n, sizeof(*names));
                if (!names)
                        return; /* stale watches cost a little memory, no more */
                n = 0;
                for (size_t i = 0; i < l->n; i++)
                        if (folder_perhaps(&l->entries[i]))
                                names[n++] = l->entries[i].name;
        }
        watcher_keep_only(root->walk->watcher, path, names, n);
}

/* --- the whole --- */

/* Deleted since it was opened: then its listing is no broken one (4.12), but of nothing. */
static bool is_deleted(int fd) {
        struct stat st;

        return fstat(fd, &st) == 0 && st.st_nlink == 0;
}

void folder_enter(WalkRoot *root, int fd, const char *path, char *buffer, Folder *ret) {
        int r;

        *ret = (Folder){ .fd = fd };
        watch(root, path, ret);
        r = listing_read(&ret->listing, fd, buffer, root->walk->getdents);
        if (r < 0) { /* ENOENT too, if it is still there: a listing that is cut short proves nothing (4.12) */
                bool deleted = r == -ENOENT && path[0] && is_deleted(fd);

                ret->outcome = deleted ? FOLDER_GONE : FOLDER_UNKNOWN;
                ret->error = -r;
                if (deleted)
                        folder_unwatch(root, path);
        } else {
                unwatch_others(root, path, &ret->listing);
                ret->outcome = ret->listing.n > 0 ? FOLDER_LISTED : FOLDER_EMPTY;
                if (ret->listing.n > 0)
                        return;
                folder_look(root, fd, "", AT_EMPTY_PATH, &ret->self);
        }
        closep(&ret->fd);
        ret->fd = -1;
}

void folder_visit(WalkRoot *root, int parent, const char *name, const char *path, char *buffer, Folder *ret) {
        int fd = open_child(root, parent, name);

        if (fd >= 0) {
                folder_enter(root, fd, path, buffer, ret);
                return;
        }
        *ret = FOLDER_NULL;
        ret->error = -fd;
        ret->outcome = fd == -EXDEV ? FOLDER_MOUNT : folder_gone(-fd) ? FOLDER_GONE : FOLDER_UNKNOWN;
        if (ret->outcome != FOLDER_UNKNOWN)
                folder_unwatch(root, path);
}
