/* The order of a walk, and what it tells. What is done in one folder is folder.c; which are done by other threads
 * meanwhile, ahead.c. */
#include "watch/walk.h"

#include "util/buf.h"
#include "util/path.h"
#include "watch/ahead.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#define OPEN_MAX_LEVELS                                                                              \
        32u /* folders kept open; those further up are opened again when the walk comes back to them \
             */

typedef struct Level {
        Folder folder;
        size_t at;        /* next entry */
        size_t path_size; /* of the folder's path */
        size_t offered;   /* entries before this one are, or need not be */
        unsigned ahead;   /* of them, those still to come */
} Level;

typedef struct State {
        const Walk *walk;
        ScanEnd *end;
        WalkRoot root;
        Ahead *ahead; /* NULL: one thread */
        bool stopped;
        Buf path; /* of the folder in work; then of the entry */
        Level *levels;
        size_t n, room;
        char *buffer; /* for listing_read() */
} State;

static void state_done(State *s) {
        ahead_free(s->ahead); /* first: it uses the rest */
        while (s->n > 0)
                folder_done(&s->levels[--s->n].folder);
        free(s->levels);
        free(s->buffer);
        buf_done(&s->path);
        closep(&s->root.fd);
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

static bool path_add(State *s, const ListingEntry *e) {
        if ((s->path.size == 0 || buf_puts(&s->path, "/") >= 0) && buf_append(&s->path, e->name, e->size) >= 0)
                return true;
        stop(s, ENOMEM, "walking the folder");
        return false;
}

static void emit(State *s, SeenKind kind, bool folder, int err, const Stamp *stamp) {
        Seen seen = { .path = path_of(s), .size = s->path.size, .kind = kind, .folder = folder, .error = err };

        /* Not to be named as unreadable. ENOMEM may be that of a folder that is too large to be listed. */
        if (error_is_shortage(err) && err != ENOMEM) {
                stop(s, err, "walking the folder");
                return;
        }
        seen.unreadable = err == EACCES || err == EPERM;
        if (stamp)
                seen.stamp = *stamp;
        if (!s->stopped && !s->walk->emit(&seen, s->walk->userdata))
                s->stopped = true;
}

static void unwatch(State *s) {
        if (alive(s))
                folder_unwatch(&s->root, path_of(s));
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

/* --- what was seen --- */

static void see(State *s, const Sight *sight) {
        const Stamp *stamp = &sight->stamp;

        if (sight->mnt != s->root.mnt)
                emit(s, SEEN_MOUNT, false, 0, stamp);
        else if (S_ISREG(stamp->mode))
                emit(s, SEEN_FILE, false, 0, stamp);
        else if (S_ISLNK(stamp->mode))
                emit(s, SEEN_SYMLINK, false, 0, stamp);
        else
                emit(s, SEEN_SPECIAL, false, 0, stamp);
}

static void push(State *s, Folder *f) {
        if (s->n == s->room) {
                size_t room = s->room * 2 + 16;
                Level *levels = reallocarray(s->levels, room, sizeof(*levels));

                if (!levels) {
                        folder_done(f);
                        stop(s, ENOMEM, "walking the folder");
                        return;
                }
                s->levels = levels;
                s->room = room;
        }
        if (s->n >= OPEN_MAX_LEVELS) {
                Level *far = &s->levels[s->n - OPEN_MAX_LEVELS];

                if (far->ahead > 0)
                        ahead_release(s->ahead, s->n - OPEN_MAX_LEVELS, false);
                closep(&far->folder.fd);
                far->folder.fd = -1;
        }
        s->levels[s->n++] = (Level){ .folder = *f, .path_size = s->path.size };
}

static void pop(State *s) {
        Level *level = &s->levels[s->n - 1];

        if (level->ahead > 0)
                ahead_release(s->ahead, s->n - 1, true);
        folder_done(&level->folder);
        s->n--;
}

/* What became of the folder at the present path; takes it. */
static void enter(State *s, Folder *f) {
        s->end->unwatched += f->unwatched;
        s->end->folders += f->outcome == FOLDER_LISTED || f->outcome == FOLDER_EMPTY;
        switch (f->outcome) {
        case FOLDER_LISTED:
                push(s, f);
                return;
        case FOLDER_EMPTY:
                if (s->path.size > 0 && f->self.error)
                        emit(s, SEEN_UNKNOWN, true, f->self.error, NULL);
                else if (s->path.size > 0)
                        emit(s, SEEN_EMPTY_FOLDER, true, 0, &f->self.stamp);
                break;
        case FOLDER_MOUNT:
                emit(s, SEEN_MOUNT, true, 0, NULL);
                break;
        case FOLDER_UNKNOWN:
                emit(s, SEEN_UNKNOWN, true, f->error, NULL);
                break;
        case FOLDER_GONE:
                break;
        }
        folder_done(f);
}

/* --- in order --- */

static ScanFilter judge(State *s, bool folder) {
        if (s->path.size > WALK_PATH_MAX)
                return SCAN_TOO_LONG;
        return s->walk->filter ? s->walk->filter(path_of(s), s->path.size, folder, s->walk->userdata) : SCAN_TAKE;
}

/* Returns false if the entry is not to be looked at. */
static bool filter(State *s, bool folder) {
        ScanFilter v = judge(s, folder);

        if (v == SCAN_TAKE)
                return true;
        if (folder)
                unwatch(s);
        emit(s, v == SCAN_EXCLUDE ? SEEN_EXCLUDED : SEEN_TOO_LONG, folder, 0, NULL);
        return false;
}

static void visit_folder(State *s, int parent, const char *name) {
        Folder f;

        folder_visit(&s->root, parent, name, path_of(s), s->buffer, &f);
        enter(s, &f);
}

/* `known`: what another thread saw, or NULL. */
static void visit_other(State *s, int parent, const char *name, bool unknown, const Sight *known) {
        Sight sight;

        if (known)
                sight = *known;
        else
                folder_look(&s->root, parent, name, 0, &sight);
        if (sight.error && !folder_gone(sight.error))
                emit(s, SEEN_UNKNOWN, unknown, sight.error, NULL);
        else if (!sight.error && !S_ISDIR(sight.stamp.mode))
                see(s, &sight);
        else if (!sight.error && unknown) /* else it is a folder only since it was listed: as folder_gone() */
                visit_folder(s, parent, name);
}

static bool is_sighted(const Level *level, size_t at) {
        return at < level->folder.n_sights && !folder_perhaps(&level->folder.listing.entries[at]);
}

/* The entry `at` of the uppermost level. */
static void visit(State *s, size_t at) {
        Level *level = &s->levels[s->n - 1];
        const ListingEntry *e = &level->folder.listing.entries[at];
        const Sight *known = is_sighted(level, at) ? &level->folder.sights[at] : NULL;
        Folder f;

        if (!path_add(s, e) || !filter(s, folder_perhaps(e)))
                return;
        level->ahead -= e->ahead;
        if (e->ahead && ahead_take(s->ahead, s->n - 1, at, s->buffer, &f))
                enter(s, &f);
        else if (e->type == DT_DIR)
                visit_folder(s, level->folder.fd, e->name);
        else
                visit_other(s, level->folder.fd, e->name, folder_perhaps(e), known);
}

/* Opens the level's folder again. If that fails, what is left in it is unknown, name by name: something beneath it has
 * been reported already, so the folder itself cannot be any more, in the order that is promised. */
static bool reopen(State *s, Level *level) {
        const ListingEntry *e = &level->folder.listing.entries[level->at];
        int fd = folder_open(&s->root, path_of(s));

        if (fd >= 0) {
                level->folder.fd = fd;
                return true;
        }
        if (folder_gone(-fd)) {
                level->at = level->folder.listing.n;
                return false;
        }
        level->at++;
        if (path_add(s, e))
                emit(s, SEEN_UNKNOWN, folder_perhaps(e), -fd, NULL);
        return false;
}

/* The next folders in this one, but for the one that the walk is about to enter itself. */
static void offer(State *s, Level *level) {
        const Listing *l = &level->folder.listing;
        unsigned room;

        if (!s->ahead || level->offered == l->n || level->ahead > AHEAD_OF_ONE / 2 || s->end->folders < s->walk->alone)
                return;
        level->offered = MAX(level->offered, level->at + 1);
        for (room = ahead_room(s->ahead); level->offered < l->n && level->ahead < room; level->offered++) {
                ListingEntry *e = &l->entries[level->offered];

                if (e->type != DT_DIR)
                        continue;
                if (!path_add(s, e))
                        return;
                e->ahead = judge(s, true) == SCAN_TAKE &&
                           ahead_offer(s->ahead, s->n - 1, level->offered, level->folder.fd, e->name, path_of(s));
                level->ahead += e->ahead;
                path_cut(s, level->path_size);
        }
}

static void walk_levels(State *s) {
        while (s->n > 0 && alive(s)) {
                Level *level = &s->levels[s->n - 1];

                path_cut(s, level->path_size);
                if (level->at == level->folder.listing.n)
                        pop(s);
                else if (is_sighted(level, level->at))
                        visit(s, level->at++);
                else if (level->folder.fd >= 0 || reopen(s, level)) {
                        offer(s, level);
                        visit(s, level->at++);
                }
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
        Sight sight = { 0 };
        int err;

        if (!above) {
                stop(s, ENOMEM, "walking the folder");
                return;
        }
        parent = folder_open(&s->root, above);
        if (parent >= 0)
                folder_look(&s->root, parent, name, 0, &sight);
        err = parent < 0 ? -parent : sight.error;
        if (folder_gone(err)) {
                unwatch(s); /* moved out, or deleted: or files that left the tree would be heard of (1.5) */
        } else if (err == EXDEV) {
                unwatch(s);
                emit(s, SEEN_MOUNT, true, 0, NULL);
        } else if (err) {
                emit(s, SEEN_UNKNOWN, true, err, NULL);
        } else if (S_ISDIR(sight.stamp.mode)) {
                if (filter(s, true))
                        visit_folder(s, parent, name);
        } else {
                unwatch(s);
                if (filter(s, false))
                        see(s, &sight);
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
        Folder f;
        int fd;

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
        fd = folder_open(&s->root, "");
        if (fd >= 0) {
                watch_above(s);
                folder_enter(&s->root, fd, "", s->buffer, &f);
        }
        if (fd < 0 || f.outcome == FOLDER_UNKNOWN) {
                s->end->root_state = ROOT_UNREADABLE;
                (void) error_os(&s->end->error, fd < 0 ? -fd : f.error, "listing the folder %s",
                                PATH_SHOWN(s->walk->folder));
                s->stopped = true;
        } else
                enter(s, &f);
}

/* Mounted over or replaced while we walked? Then what was not seen proves nothing (2.1). */
static void check_root_again(const State *s, ScanEnd *end) {
        _cleanup_close_ int fd = -1;
        Error e = ERROR_NULL;
        RootState state;
        RootId id;
        uint64_t mnt = 0;

        state = root_open(s->walk->folder, &end->root_id, &fd, &id, &mnt, NULL, &e);
        if (state == ROOT_OK && mnt != s->root.mnt) {
                state = ROOT_REPLACED;
                (void) error_set(&e, -ESTALE, ERROR_OS, ESTALE, "the folder %s was mounted over while it was scanned",
                                 PATH_SHOWN(s->walk->folder));
        } else if (state == ROOT_REPLACED)
                end->root_id = id;
        end->root_state = state;
        end->complete = state == ROOT_OK;
        if (state != ROOT_OK)
                end->error = e;
}

void walk_branch(const Walk *walk, const char *path, ScanEnd *ret) {
        _cleanup_(state_done) State s = { .walk = walk, .end = ret, .root = { .walk = walk, .fd = -1 } };
        WalkRoot *root = &s.root;
        const RootFs *fs;

        assert(walk && walk->folder && walk->alive && walk->emit && path && path[0] != '/' && ret);

        *ret = (ScanEnd){ .fs_name = "?" };
        ret->root_state =
                root_open(walk->folder, &walk->pinned, &root->fd, &ret->root_id, &root->mnt, &fs, &ret->error);
        if (ret->root_state != ROOT_OK)
                return;
        s.path = BUF_INIT(WALK_PATH_MAX + NAME_MAX + 2);
        root->inodes_stable = fs->inodes_stable;
        ret->fs_tells = fs->tells;
        ret->fs_name = fs->name;
        s.buffer = malloc(LISTING_ROOM);
        s.ahead = walk->threads > 0 ? ahead_new(root, walk->threads) : NULL;
        if (s.buffer) {
                begin(&s, path);
                walk_levels(&s);
        } else
                stop(&s, ENOMEM, "walking the folder");
        s.ahead = ahead_free(s.ahead); /* from here on `root` is this thread's alone */
        if (ret->unwatched > 0 && ret->error.code == 0)
                ret->error = root->why;
        if (!s.stopped)
                check_root_again(&s, ret);
}
