#include "watch/walk.h"

#include "util/buf.h"
#include "watch/listing.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define PATH_MOST ((size_t) 8192) /* no longer path can become a blob name */
#define OPEN_LEVELS 48u           /* folders kept open; deeper ones are opened again on the way back */
#define LOOK_MASK (STATX_BASIC_STATS | STATX_BTIME)
#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)

typedef struct Level {
        int fd;
        Listing listing;
        size_t at;
        size_t path_size; /* of this folder's path */
        bool watched;
} Level;

typedef struct State {
        const Walk *walk;
        ScanEnd *end;
        int root_fd;
        uint64_t root_mnt;
        bool inodes; /* stable on this file system */
        Buf path;
        Level *levels;
        size_t n, room;
        bool stopped;
} State;

static void levels_done(State *s) {
        while (s->n > 0) {
                s->n--;
                closep(&s->levels[s->n].fd);
                listing_done(&s->levels[s->n].listing);
        }
        free(s->levels);
}

static void emit(State *s, SeenKind kind, bool folder, int error, const Stamp *stamp) {
        Seen seen = {
                .path = buf_text(&s->path),
                .size = s->path.size,
                .kind = kind,
                .folder = folder,
                .unreadable = error == EACCES || error == EPERM,
                .error = error,
        };

        if (stamp)
                seen.stamp = *stamp;
        if (!s->walk->emit(&seen, s->walk->userdata))
                s->stopped = true;
}

static void cut_path(State *s, size_t size) {
        s->path.size = size;
        if (s->path.data)
                s->path.data[size] = '\0';
}

static bool push_name(State *s, const char *name, size_t size) {
        if (s->path.size > 0 && buf_puts(&s->path, "/") < 0)
                return false;
        return buf_append(&s->path, name, size) >= 0;
}

static bool look(State *s, int fd, const char *name, int flags, Stamp *ret, uint64_t *ret_mnt) {
        struct statx stx;

        if (statx(fd, name, flags | AT_NO_AUTOMOUNT, LOOK_MASK | STATX_MNT_ID, &stx) < 0)
                return false;
        stamp_from_statx(ret, &stx);
        if (!s->inodes)
                ret->ino = 0;
        *ret_mnt = stx.stx_mask & STATX_MNT_ID ? stx.stx_mnt_id : s->root_mnt;
        return true;
}

/* A leaf: whatever is there now, which need not be what the listing said. */
static void leaf(State *s, int fd, const char *name) {
        uint64_t mnt;
        Stamp stamp;

        if (!look(s, fd, name, AT_SYMLINK_NOFOLLOW, &stamp, &mnt)) {
                if (errno != ENOENT && errno != ENOTDIR)
                        emit(s, SEEN_UNKNOWN, false, errno, NULL);
                return; /* gone meanwhile: not seen */
        }
        if (mnt != s->root_mnt)
                emit(s, SEEN_MOUNT, true, 0, &stamp);
        else if (S_ISREG(stamp.mode))
                emit(s, SEEN_FILE, false, 0, &stamp);
        else if (S_ISLNK(stamp.mode))
                emit(s, SEEN_SYMLINK, false, 0, &stamp);
        else if (!S_ISDIR(stamp.mode)) /* became a folder meanwhile: its event tells */
                emit(s, SEEN_SPECIAL, false, 0, &stamp);
}

/* Is the folder `fd` still at `path` too? (A bind mount shows one folder twice: pitfalls 1.14.) */
static bool still_there(const char *path, int fd, void *userdata) {
        State *s = userdata;
        _cleanup_close_ int other = root_openat(s->root_fd, path, FOLDER_FLAGS);
        struct stat a, b;

        return other >= 0 && fstat(other, &a) == 0 && fstat(fd, &b) == 0 && a.st_ino == b.st_ino &&
               a.st_dev == b.st_dev;
}

/* The owner may have gone while a call into the file system hung: its watcher and filter went with it. */
static bool alive(State *s) {
        if (!s->stopped && !s->walk->alive(s->walk->userdata))
                s->stopped = true;
        return !s->stopped;
}

static bool watch(State *s, int fd) {
        Error e = ERROR_NULL;
        WatchAdd added;

        if (!s->walk->watcher || !alive(s))
                return false;
        added = watcher_add(s->walk->watcher, buf_text(&s->path), fd, still_there, s, &e);
        if (added == WATCH_ADDED || added == WATCH_MOVED)
                return true;
        if (s->end->unwatched++ == 0 && e.code < 0)
                s->end->error = e;
        return false;
}

static void keep_only(State *s, const Listing *l) {
        _cleanup_free_ const char **names = NULL;
        size_t n = 0;

        /* the entries are in path order; folders among themselves are too, except that "a" and "a-b" may be swapped:
         * sorted by name then */
        names = calloc(MAX(l->n, (size_t) 1), sizeof(*names));
        if (!names)
                return; /* stale watches only cost memory */
        for (size_t i = 0; i < l->n; i++)
                if (l->entries[i].type == DT_DIR) {
                        size_t at = n++;

                        for (; at > 0 && strcmp(names[at - 1], l->entries[i].name) > 0; at--)
                                names[at] = names[at - 1];
                        names[at] = l->entries[i].name;
                }
        watcher_keep_only(s->walk->watcher, buf_text(&s->path), names, n);
}

/* Enters the open folder at s->path: watch first, list after (1.1). Takes `fd`. */
static void enter(State *s, int fd) {
        _cleanup_close_ int owned = fd;
        Level level = { .fd = -1, .path_size = s->path.size };
        uint64_t mnt;
        Stamp stamp;
        int r;

        if (!look(s, owned, "", AT_EMPTY_PATH, &stamp, &mnt)) {
                emit(s, SEEN_UNKNOWN, true, errno, NULL);
                return;
        }
        if (mnt != s->root_mnt) { /* another mount's disappearance would be a mass delete in disguise (2.5) */
                emit(s, SEEN_MOUNT, true, 0, &stamp);
                return;
        }
        level.watched = watch(s, owned);
        r = listing_read(&level.listing, owned);
        if (r < 0) {
                if (r != -ENOENT)
                        emit(s, SEEN_UNKNOWN, true, -r, NULL);
                return;
        }
        s->end->folders++;
        if (level.watched && alive(s))
                keep_only(s, &level.listing);
        if (level.listing.n == 0) {
                if (s->path.size > 0)
                        emit(s, SEEN_EMPTY_FOLDER, true, 0, &stamp);
                listing_done(&level.listing);
                return;
        }
        if (s->n == s->room) {
                size_t room = s->room * 2 + 16;
                Level *more = realloc(s->levels, room * sizeof(*more));

                if (!more) {
                        listing_done(&level.listing);
                        emit(s, SEEN_UNKNOWN, true, ENOMEM, NULL);
                        return;
                }
                s->levels = more;
                s->room = room;
        }
        if (s->n >= OPEN_LEVELS)
                closep(&s->levels[s->n - OPEN_LEVELS].fd), s->levels[s->n - OPEN_LEVELS].fd = -1;
        level.fd = TAKE_FD(owned);
        s->levels[s->n++] = level;
}

static void folder(State *s, int parent, const char *name) {
        int fd = openat(parent, name, FOLDER_FLAGS);

        if (fd < 0) {
                if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP)
                        emit(s, SEEN_UNKNOWN, true, errno, NULL);
                return;
        }
        enter(s, fd);
}

static void entry(State *s, Level *level, const ListingEntry *e) {
        bool is_folder = e->type == DT_DIR;

        if (!alive(s))
                return;
        if (!push_name(s, e->name, e->size) || s->path.size > PATH_MOST) {
                cut_path(s, MIN(s->path.size, PATH_MOST));
                emit(s, SEEN_TOO_LONG, true, 0, NULL);
                return;
        }
        switch (s->walk->filter ? s->walk->filter(buf_text(&s->path), s->path.size, is_folder, s->walk->filter_data)
                                : SCAN_TAKE) {
        case SCAN_EXCLUDE:
                emit(s, SEEN_EXCLUDED, is_folder, 0, NULL);
                return;
        case SCAN_TOO_LONG:
                emit(s, SEEN_TOO_LONG, is_folder, 0, NULL);
                return;
        case SCAN_TAKE:
                break;
        }
        if (is_folder)
                folder(s, level->fd, e->name);
        else
                leaf(s, level->fd, e->name);
}

static void walk_levels(State *s) {
        while (s->n > 0 && !s->stopped) {
                Level *level = &s->levels[s->n - 1];

                cut_path(s, level->path_size);
                if (level->at == level->listing.n) {
                        closep(&level->fd);
                        listing_done(&level->listing);
                        s->n--;
                        continue;
                }
                if (level->fd < 0) {
                        level->fd = root_openat(s->root_fd, s->path.size > 0 ? buf_text(&s->path) : ".", FOLDER_FLAGS);
                        if (level->fd < 0) { /* the rest of it cannot be seen */
                                int error = -level->fd;

                                level->fd = -1;
                                level->at = level->listing.n;
                                if (error != ENOENT && s->path.size > 0)
                                        emit(s, SEEN_UNKNOWN, true, error, NULL);
                                continue;
                        }
                }
                entry(s, level, &level->listing.entries[level->at++]);
        }
}

/* The branch itself: a folder, a leaf, or nothing. */
static void begin(State *s, const char *branch) {
        const char *slash = strrchr(branch, '/');
        _cleanup_close_ int fd = -1;

        if (buf_puts(&s->path, branch) < 0) {
                s->stopped = true;
                return;
        }
        fd = root_openat(s->root_fd, branch[0] ? branch : ".", FOLDER_FLAGS);
        if (fd >= 0) {
                enter(s, TAKE_FD(fd));
                return;
        }
        if (fd == -EACCES || (fd != -ENOENT && fd != -ENOTDIR && fd != -ELOOP)) {
                emit(s, SEEN_UNKNOWN, true, -fd, NULL);
                return;
        }
        if (s->walk->watcher && alive(s))
                watcher_remove(s->walk->watcher, branch);
        if (fd == -ENOENT)
                return;
        if (slash) {
                _cleanup_free_ char *parent = strndup(branch, (size_t) (slash - branch));
                _cleanup_close_ int dir = parent ? root_openat(s->root_fd, parent, FOLDER_FLAGS) : -1;

                if (dir >= 0)
                        leaf(s, dir, slash + 1);
        } else if (branch[0])
                leaf(s, s->root_fd, branch);
}

void walk_branch(const Walk *walk, const char *branch, ScanEnd *ret) {
        _cleanup_close_ int root_fd = -1;
        State s = { .walk = walk, .end = ret, .path = BUF_INIT(PATH_MOST + 512) };
        Error e = ERROR_NULL;
        RootId again;
        uint64_t mnt;

        assert(walk && branch && ret);

        *ret = (ScanEnd){ 0 };
        ret->root_state = root_open(walk->folder, &walk->pinned, &root_fd, &ret->root_id, &s.root_mnt, &e);
        if (ret->root_state != ROOT_OK) {
                ret->error = e;
                return;
        }
        s.root_fd = root_fd;
        s.inodes = root_fs_inodes_stable(root_fd);
        ret->fs_tells = root_fs_tells(root_fd, &ret->fs_name);
        begin(&s, branch);
        walk_levels(&s);
        levels_done(&s);
        buf_done(&s.path);
        if (s.stopped)
                return;

        /* mounted over or replaced while we walked? Then what was not seen proves nothing (2.1). */
        closep(&root_fd);
        root_fd = -1;
        ret->root_state = root_open(walk->folder, &ret->root_id, &root_fd, &again, &mnt, &e);
        if (ret->root_state != ROOT_OK || mnt != s.root_mnt) {
                if (ret->root_state != ROOT_OK)
                        ret->error = e;
                return;
        }
        ret->complete = true;
}
