#include "watch/walk.h"

#include "util/buf.h"
#include "util/path.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#define OPEN_MAX_LEVELS                                                                              \
        32u /* folders kept open; those further up are opened again when the walk comes back to them \
             */
#define EAGAIN_TRIES 8u
#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC)

typedef struct Level {
        int fd;
        Listing listing;
        size_t at;        /* next entry */
        size_t path_size; /* of the folder's path */
} Level;

typedef struct State {
        const Walk *walk;
        ScanEnd *end;
        int root_fd;
        uint64_t root_mnt;
        bool inodes_stable;
        bool no_openat2;
        bool stopped;
        Buf path; /* of the folder in work; then of the entry */
        Level *levels;
        size_t n, room;
        char *buffer; /* for listing_read() */
} State;

static void state_done(State *s) {
        while (s->n > 0) {
                Level *level = &s->levels[--s->n];

                closep(&level->fd);
                listing_done(&level->listing);
        }
        free(s->levels);
        free(s->buffer);
        buf_done(&s->path);
        closep(&s->root_fd);
}

static const char *path_of(const State *s) {
        return buf_text(&s->path);
}

static void path_cut(State *s, size_t size) {
        assert(size <= s->path.size);

        if (s->path.data) {
                s->path.size = size;
                s->path.data[size] = '\0';
        }
}

static bool alive(State *s) {
        if (!s->stopped && !s->walk->alive(s->walk->userdata))
                s->stopped = true;
        return !s->stopped;
}

static void stop(State *s, int err, const char *doing) {
        s->stopped = true;
        (void) error_os(&s->end->error, err, "%s", doing);
}

static void emit(State *s, SeenKind kind, bool folder, int err, const Stamp *stamp) {
        Seen seen = { .path = path_of(s), .size = s->path.size, .kind = kind, .folder = folder, .error = err };

        seen.unreadable = err == EACCES || err == EPERM;
        if (stamp)
                seen.stamp = *stamp;
        if (!s->stopped && !s->walk->emit(&seen, s->walk->userdata))
                s->stopped = true;
}

/* Gone, or another kind of thing by now: not seen, and not said to be absent either. Its event, or the next scan, tells
 * what came instead. */
static bool is_gone(int err) {
        return err == ENOENT || err == ENOTDIR || err == ELOOP;
}

static int look(const State *s, int fd, const char *name, int flags, Stamp *ret, uint64_t *ret_mnt) {
        struct statx stx;

        if (statx(fd, name, flags | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STAMP_MASK, &stx) < 0)
                return -errno;
        stamp_from_statx(ret, &stx);
        if (!s->inodes_stable)
                ret->ino = 0;
        /* before Linux 5.8: a file that is a mount by itself is not recognised; a folder is, by root_mount() */
        *ret_mnt = stx.stx_mask & STATX_MNT_ID ? stx.stx_mnt_id
                   : flags & AT_EMPTY_PATH     ? root_mount(fd, &stx)
                                               : s->root_mnt;
        return 0;
}

/* Opens a child folder. -EXDEV: another mount stands there (2.5); it is not even touched then, be it dead. */
static int open_child(State *s, int parent, const char *name) {
        struct open_how how = {
                .flags = FOLDER_FLAGS,
                .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
        };
        _cleanup_close_ int fd = -1;
        uint64_t mnt = 0;
        Stamp stamp = { 0 };
        int r;

        for (unsigned tries = 0; !s->no_openat2; tries++) {
                fd = (int) syscall(SYS_openat2, parent, name, &how, sizeof(how));
                if (fd >= 0)
                        return TAKE_FD(fd);
                if (errno == ENOSYS || errno == EPERM) /* EPERM: perhaps a seccomp filter that does not know the call */
                        break;
                if (errno != EAGAIN || tries == EAGAIN_TRIES) /* a rename or mount somewhere else just now */
                        return -errno;
        }
        s->no_openat2 = s->no_openat2 || errno == ENOSYS;
        fd = root_openat(parent, name, FOLDER_FLAGS);
        r = fd < 0 ? fd : look(s, fd, "", AT_EMPTY_PATH, &stamp, &mnt);
        if (r < 0)
                return r;
        return mnt != s->root_mnt ? -EXDEV : TAKE_FD(fd);
}

/* Opens a folder by its whole path, for coming back to it and for the parent of a branch. */
static int open_path(const State *s, const char *path) {
        _cleanup_close_ int fd = root_openat(s->root_fd, path[0] ? path : ".", FOLDER_FLAGS);
        uint64_t mnt = 0;
        Stamp stamp = { 0 };
        int r;

        if (fd < 0)
                return fd;
        r = look(s, fd, "", AT_EMPTY_PATH, &stamp, &mnt);
        if (r < 0)
                return r;
        return mnt != s->root_mnt ? -EXDEV : TAKE_FD(fd);
}

/* --- watching --- */

static bool still_there(const char *path, int fd, void *userdata) {
        const State *s = userdata;
        _cleanup_close_ int other = root_openat(s->root_fd, path[0] ? path : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
        struct stat a, b;

        return other >= 0 && fstat(other, &a) == 0 && fstat(fd, &b) == 0 && a.st_dev == b.st_dev &&
               a.st_ino == b.st_ino;
}

static void watch(State *s, int fd) {
        ScanEnd *end = s->end;
        bool first = end->unwatched == 0; /* its reason stands for all: 100,000 of them need not be put in words */
        WatchAdd added;

        if (!s->walk->watcher || !alive(s))
                return;
        added = watcher_add(s->walk->watcher, path_of(s), fd, still_there, s, first ? &end->error : NULL);
        end->unwatched += added != WATCH_ADDED && added != WATCH_MOVED;
}

static void unwatch(State *s) {
        if (s->walk->watcher && alive(s))
                watcher_remove(s->walk->watcher, path_of(s));
}

/* What the kernel did not say because its queue was full is put right here (1.7). */
static void unwatch_others(State *s, const Listing *l) {
        _cleanup_free_ const char **names = NULL;
        size_t n = 0;

        if (!s->walk->watcher || !alive(s))
                return;
        for (size_t i = 0; i < l->n; i++)
                n += l->entries[i].type == DT_DIR || l->entries[i].type == DT_UNKNOWN;
        if (n > 0) {
                names = calloc(n, sizeof(*names));
                if (!names)
                        return; /* stale watches cost a little memory, no more */
                n = 0;
                for (size_t i = 0; i < l->n; i++)
                        if (l->entries[i].type == DT_DIR || l->entries[i].type == DT_UNKNOWN)
                                names[n++] = l->entries[i].name;
        }
        watcher_keep_only(s->walk->watcher, path_of(s), names, n);
}

/* Every folder from "/" down to the one that the root is in. */
static void watch_above(const State *s) {
        _cleanup_free_ char *path = strdup(s->walk->folder);
        int fds[WATCH_ABOVE_MAX];
        size_t n = 0;

        if (!s->walk->watcher || !path)
                return;
        for (char *slash = strrchr(path, '/'); slash && slash != path && n < ELEMENTSOF(fds);
             slash = strrchr(path, '/')) {
                *slash = '\0';
                fds[n] = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                n += fds[n] >= 0;
        }
        watcher_above(s->walk->watcher, fds, n);
        for (size_t i = 0; i < n; i++)
                (void) close(fds[i]);
}

/* --- looking --- */

static void see(State *s, const Stamp *stamp, uint64_t mnt) {
        if (mnt != s->root_mnt)
                emit(s, SEEN_MOUNT, false, 0, stamp);
        else if (S_ISREG(stamp->mode))
                emit(s, SEEN_FILE, false, 0, stamp);
        else if (S_ISLNK(stamp->mode))
                emit(s, SEEN_SYMLINK, false, 0, stamp);
        else
                emit(s, SEEN_SPECIAL, false, 0, stamp);
}

static void see_empty_folder(State *s, int fd) {
        uint64_t mnt = 0;
        Stamp stamp = { 0 };
        int r = look(s, fd, "", AT_EMPTY_PATH, &stamp, &mnt);

        if (r < 0)
                emit(s, SEEN_UNKNOWN, true, -r, NULL);
        else
                emit(s, SEEN_EMPTY_FOLDER, true, 0, &stamp);
}

static int push(State *s, int fd, const Listing *l) {
        if (s->n == s->room) {
                size_t room = s->room * 2 + 16;
                Level *levels = reallocarray(s->levels, room, sizeof(*levels));

                if (!levels)
                        return -ENOMEM;
                s->levels = levels;
                s->room = room;
        }
        if (s->n >= OPEN_MAX_LEVELS) {
                Level *far = &s->levels[s->n - OPEN_MAX_LEVELS];

                closep(&far->fd);
                far->fd = -1;
        }
        s->levels[s->n++] = (Level){ .fd = fd, .listing = *l, .path_size = s->path.size };
        return 0;
}

/* Deleted since it was opened: then its listing is no broken one (4.12), but of nothing. */
static bool is_deleted(int fd) {
        struct stat st;

        return fstat(fd, &st) == 0 && st.st_nlink == 0;
}

/* The open folder at the present path: watch first, then list (1.1). Takes `fd`. A negative errno: nothing can be said
 * of what is in it. */
static int enter(State *s, int folder_fd) {
        _cleanup_close_ int fd = folder_fd;
        _cleanup_(listing_done) Listing listing = { 0 };
        int r;

        watch(s, fd);
        if (s->stopped)
                return 0;
        r = listing_read(&listing, fd, s->buffer, s->walk->getdents);
        if (r == -ENOENT && s->path.size > 0 && is_deleted(fd)) {
                unwatch(s);
                return 0;
        }
        if (r < 0)
                return r;
        s->end->folders++;
        unwatch_others(s, &listing);
        if (listing.n == 0) {
                if (s->path.size > 0)
                        see_empty_folder(s, fd);
                return 0;
        }
        r = push(s, fd, &listing);
        if (r < 0)
                return r;
        (void) TAKE_FD(fd);
        listing = (Listing){ 0 };
        return 0;
}

/* Returns false if the entry is not to be looked at. */
static bool filter(State *s, bool folder) {
        ScanFilter verdict = SCAN_TAKE;

        if (s->path.size > WALK_PATH_MAX)
                verdict = SCAN_TOO_LONG;
        else if (s->walk->filter)
                verdict = s->walk->filter(path_of(s), s->path.size, folder, s->walk->userdata);
        if (verdict == SCAN_TAKE)
                return true;
        if (folder)
                unwatch(s);
        emit(s, verdict == SCAN_EXCLUDE ? SEEN_EXCLUDED : SEEN_TOO_LONG, folder, 0, NULL);
        return false;
}

static void visit_folder(State *s, int parent, const char *name) {
        int fd = open_child(s, parent, name), r;

        if (fd == -EXDEV || is_gone(-fd))
                unwatch(s);
        if (fd == -EXDEV)
                emit(s, SEEN_MOUNT, true, 0, NULL);
        if (fd == -EXDEV || is_gone(-fd))
                return;
        r = fd < 0 ? fd : enter(s, fd);
        if (r < 0) /* ENOENT too, if it is still there: a listing that is cut short proves nothing (4.12) */
                emit(s, SEEN_UNKNOWN, true, -r, NULL);
}

static void visit_other(State *s, int parent, const char *name, bool unknown) {
        uint64_t mnt = 0;
        Stamp stamp = { 0 };
        int r = look(s, parent, name, 0, &stamp, &mnt);

        if (r < 0 && !is_gone(-r))
                emit(s, SEEN_UNKNOWN, unknown, -r, NULL);
        else if (r >= 0 && !S_ISDIR(stamp.mode))
                see(s, &stamp, mnt);
        else if (r >= 0 && unknown) /* else it is a folder only since it was listed: as is_gone() */
                visit_folder(s, parent, name);
}

static void visit(State *s, int parent, const ListingEntry *e) {
        bool folder = e->type == DT_DIR || e->type == DT_UNKNOWN;

        if ((s->path.size > 0 && buf_puts(&s->path, "/") < 0) || buf_append(&s->path, e->name, e->size) < 0) {
                stop(s, ENOMEM, "walking the folder");
                return;
        }
        if (!filter(s, folder))
                return;
        if (e->type == DT_DIR)
                visit_folder(s, parent, e->name);
        else
                visit_other(s, parent, e->name, folder);
}

/* Opens the level's folder again. If that fails, what is left in it is unknown, name by name: something beneath it has
 * been reported already, so the folder itself cannot be any more, in the order that is promised. */
static bool reopen(State *s, Level *level) {
        const ListingEntry *e = &level->listing.entries[level->at];
        int fd = open_path(s, path_of(s));

        if (fd >= 0) {
                level->fd = fd;
                return true;
        }
        if (is_gone(-fd)) {
                level->at = level->listing.n;
                return false;
        }
        level->at++;
        if ((s->path.size > 0 && buf_puts(&s->path, "/") < 0) || buf_append(&s->path, e->name, e->size) < 0)
                stop(s, ENOMEM, "walking the folder");
        else
                emit(s, SEEN_UNKNOWN, e->type == DT_DIR || e->type == DT_UNKNOWN, -fd, NULL);
        return false;
}

static void walk_levels(State *s) {
        while (s->n > 0 && alive(s)) {
                Level *level = &s->levels[s->n - 1];

                path_cut(s, level->path_size);
                if (level->at == level->listing.n) {
                        closep(&level->fd);
                        listing_done(&level->listing);
                        s->n--;
                } else if (level->fd >= 0 || reopen(s, level))
                        visit(s, level->fd, &level->listing.entries[level->at++]);
        }
}

/* --- one branch --- */

/* Is a folder above `path` excluded or too long to be walked? Then the scan of everything would not have come here. */
static bool filter_above(State *s, const char *path) {
        for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
                _cleanup_free_ char *above = strndup(path, (size_t) (slash - path));
                ScanFilter verdict;

                if (!above) {
                        stop(s, ENOMEM, "walking the folder");
                        return false;
                }
                verdict = s->walk->filter && alive(s)
                                  ? s->walk->filter(above, (size_t) (slash - path), true, s->walk->userdata)
                                  : SCAN_TAKE;
                if (verdict == SCAN_TAKE)
                        continue;
                unwatch(s);
                emit(s, verdict == SCAN_EXCLUDE ? SEEN_EXCLUDED : SEEN_TOO_LONG, true, 0, NULL);
                return false;
        }
        return true;
}

/* What `path`, the present one, is: nobody has listed its parent. */
static void begin_at(State *s, const char *path) {
        const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
        _cleanup_free_ char *above = strndup(path, slash ? (size_t) (slash - path) : 0);
        _cleanup_close_ int parent = -1;
        uint64_t mnt = 0;
        Stamp stamp = { 0 };
        int r;

        if (!above) {
                stop(s, ENOMEM, "walking the folder");
                return;
        }
        parent = open_path(s, above);
        r = parent < 0 ? parent : look(s, parent, name, 0, &stamp, &mnt);
        if (is_gone(-r)) {
                unwatch(s); /* moved out, or deleted: or files that left the tree would be heard of (1.5) */
        } else if (r == -EXDEV) {
                unwatch(s);
                emit(s, SEEN_MOUNT, true, 0, NULL);
        } else if (r < 0) {
                emit(s, SEEN_UNKNOWN, true, -r, NULL);
        } else if (S_ISDIR(stamp.mode)) {
                if (filter(s, true))
                        visit_folder(s, parent, name);
        } else {
                unwatch(s);
                if (filter(s, false))
                        see(s, &stamp, mnt);
        }
}

/* As much of the path as a walk from above would have reached: one name too many, if it is too long. */
static size_t within_reach(const char *path) {
        size_t size = strlen(path), at = WALK_PATH_MAX;

        if (size <= at)
                return size;
        at += path[at] == '/';
        return at + strcspn(path + at, "/");
}

static void begin(State *s, const char *path) {
        _cleanup_free_ char *reach = strndup(path, within_reach(path));
        int r;

        if (!reach || buf_puts(&s->path, reach) < 0) {
                stop(s, ENOMEM, "walking the folder");
                return;
        }
        if (reach[0]) {
                if (!filter_above(s, reach) || !alive(s))
                        return;
                if (strlen(reach) > WALK_PATH_MAX)
                        (void) filter(s, true);
                else
                        begin_at(s, reach);
                return;
        }
        r = open_path(s, "");
        if (r >= 0)
                watch_above(s);
        if (r >= 0)
                r = enter(s, r);
        if (r < 0) {
                s->end->root_state = ROOT_UNREADABLE;
                (void) error_os(&s->end->error, -r, "listing the folder %s", PATH_SHOWN(s->walk->folder));
                s->stopped = true;
        }
}

/* Mounted over or replaced while we walked? Then what was not seen proves nothing (2.1). */
static void check_root_again(const State *s, ScanEnd *end) {
        _cleanup_close_ int fd = -1;
        Error e = ERROR_NULL;
        RootState state;
        RootId id;
        uint64_t mnt = 0;

        state = root_open(s->walk->folder, &end->root_id, &fd, &id, &mnt, NULL, &e);
        if (state == ROOT_OK && mnt != s->root_mnt) {
                state = ROOT_REPLACED;
                (void) error_set(&e, -ESTALE, ERROR_OS, ESTALE, "the folder %s was mounted over while it was scanned",
                                 PATH_SHOWN(s->walk->folder));
        }
        end->root_state = state;
        end->complete = state == ROOT_OK;
        if (state != ROOT_OK)
                end->error = e;
}

void walk_branch(const Walk *walk, const char *path, ScanEnd *ret) {
        _cleanup_(state_done) State s = { .walk = walk, .end = ret, .root_fd = -1 };
        const RootFs *fs;

        assert(walk && walk->folder && walk->alive && walk->emit && path && path[0] != '/' && ret);

        *ret = (ScanEnd){ .fs_name = "?" };
        ret->root_state =
                root_open(walk->folder, &walk->pinned, &s.root_fd, &ret->root_id, &s.root_mnt, &fs, &ret->error);
        if (ret->root_state != ROOT_OK)
                return;
        s.path = BUF_INIT(WALK_PATH_MAX + NAME_MAX + 2);
        s.inodes_stable = fs->inodes_stable;
        ret->fs_tells = fs->tells;
        ret->fs_name = fs->name;
        s.buffer = malloc(LISTING_ROOM);
        if (s.buffer) {
                begin(&s, path);
                walk_levels(&s);
        } else
                stop(&s, ENOMEM, "walking the folder");
        if (!s.stopped)
                check_root_again(&s, ret);
}
