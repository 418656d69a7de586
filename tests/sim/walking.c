/* A walk that is no snapshot: it goes step by step while the tree changes under it, watches a folder before it lists
 * it, and a listing takes time, too. Stands in for watch/scanner.c; the order and the words are those of scanner.h. */
#include "sim.h"

#include "watch/scanner.h"

#include <assert.h>
#include <string.h>

#define LEVELS 16
#define NAMES_MAX 48
#define SEEN_MAX 8

typedef struct Name {
        char name[NAME_ROOM];
        uint64_t id;
        bool folder;
} Name;

typedef struct Level {
        Inode *folder;
        char path[PATH_ROOM];
        Name names[NAMES_MAX];
        unsigned n, at;
        bool listing; /* begun and not at its end */
} Level;

struct Scanner {
        char *folder;
        RootId pinned;
        Watcher *watcher;
        ScanFilterFn filter;
        void *filter_data;
        ScannerCallbacks callbacks;
        void *userdata;
        bool busy, calling, freed;
        char branch[PATH_ROOM];
        Level levels[LEVELS];
        unsigned n_levels;
        bool begun, stopped, ended;
        uint64_t mount_id;
        Inode *root;
        ScanEnd end;
        Seen seen[SEEN_MAX];
        char paths[SEEN_MAX][PATH_ROOM];
        unsigned n_seen, told;
        Happening *next;
};

static int64_t slowness, begun_at, complete_from;

RootState sim_root_state(const RootId *pinned, RootId *ret_id, Error *e) {
        const Inode *root = tree_root_now();

        if (!root) {
                (void) error_set(e, -ENOENT, ERROR_OS, ENOENT, "the folder is missing");
                return ROOT_MISSING;
        }
        if (world.mounted == MOUNT_UNREADABLE) {
                (void) error_set(e, -EIO, ERROR_OS, EIO, "the folder cannot be read");
                return ROOT_UNREADABLE;
        }
        *ret_id = (RootId){ .ino = root->ino, .btime_ns = root->btime };
        ret_id->fs_uuid[0] = world.mounted == MOUNT_EMPTY ? 2 : 1;
        if (root_id_equal(pinned, ret_id))
                return ROOT_OK;
        (void) error_set(e, -ESTALE, ERROR_OS, ESTALE, "the folder is another one");
        return ROOT_REPLACED;
}

/* --- what is seen --- */

static void emit(Scanner *s, const char *path, SeenKind kind, bool folder, int err, const Inode *i) {
        Seen *seen = &s->seen[s->n_seen];

        assert(s->n_seen < SEEN_MAX);
        (void) snprintf(s->paths[s->n_seen], PATH_ROOM, "%s", path);
        *seen = (Seen){ .path = s->paths[s->n_seen],
                        .size = strlen(path),
                        .kind = kind,
                        .folder = folder,
                        .error = err,
                        .unreadable = err == EACCES };
        if (i)
                seen->stamp = inode_stamp(i);
        s->n_seen++;
        SAY("walk: sees %s as %d%s", path, (int) kind, folder ? "/" : "");
}

static bool filter(Scanner *s, const char *path, bool folder) {
        ScanFilter verdict = s->filter(path, strlen(path), folder, s->filter_data);

        if (verdict == SCAN_TAKE)
                return true;
        if (folder && s->watcher)
                watch_drop(s->watcher, path);
        emit(s, path, verdict == SCAN_EXCLUDE ? SEEN_EXCLUDED : SEEN_TOO_LONG, folder, 0, NULL);
        return false;
}

static void see(Scanner *s, const char *path, const Inode *i) {
        emit(s, path, S_ISREG(i->mode) ? SEEN_FILE : S_ISLNK(i->mode) ? SEEN_SYMLINK : SEEN_SPECIAL, false, 0, i);
}

/* --- folders --- */

static int by_name(const void *a, const void *b) {
        const Name *x = a, *y = b;
        char p[NAME_ROOM + 1], q[NAME_ROOM + 1];

        (void) snprintf(p, sizeof(p), "%s%s", x->name, x->folder ? "/" : "");
        (void) snprintf(q, sizeof(q), "%s%s", y->name, y->folder ? "/" : "");
        return strcmp(p, q);
}

static void name_add(Level *l, const Entry *e) {
        if (l->n == NAMES_MAX)
                return;
        l->names[l->n] = (Name){ .id = e->id, .folder = inode_is_folder(e->inode) };
        (void) snprintf(l->names[l->n++].name, NAME_ROOM, "%s", e->name);
}

/* Listing has begun: what is there now, and still there at its end, is in it. Of the rest it may hold some. */
static void enter(Scanner *s, const char *path, Inode *folder) {
        Level *l = &s->levels[s->n_levels];

        if (s->watcher)
                watch_folder(s->watcher, path, folder, &s->end.unwatched);
        if (s->n_levels == LEVELS)
                abort();
        s->n_levels++;
        l->folder = folder;
        (void) snprintf(l->path, sizeof(l->path), "%s", path);
        l->n = l->at = 0;
        l->listing = true;
        for (const Entry *e = folder->entries; e; e = e->next)
                name_add(l, e);
}

static bool still_in(const Inode *folder, uint64_t id) {
        for (const Entry *e = folder->entries; e; e = e->next)
                if (e->id == id)
                        return true;
        return false;
}

static bool known(const Level *l, uint64_t id, const char *name) {
        for (unsigned i = 0; i < l->n; i++)
                if (l->names[i].id == id || strcmp(l->names[i].name, name) == 0)
                        return true;
        return false;
}

static void listed(Scanner *s, Level *l) {
        const char *folders[NAMES_MAX];
        unsigned n = 0;

        l->listing = false;
        if (l->folder->nlink == 0) { /* deleted meanwhile */
                if (s->watcher)
                        watch_drop(s->watcher, l->path);
                s->n_levels--;
                return;
        }
        if (chance(BY_SCAN, (unsigned) (slowness > 0 ? 30 : 0))) { /* cut short: EIO */
                char path[PATH_ROOM];

                (void) snprintf(path, sizeof(path), "%s", l->path);
                s->n_levels--;
                if (path[0] == '\0') {
                        s->end.root_state = ROOT_UNREADABLE;
                        (void) error_set(&s->end.error, -EIO, ERROR_OS, EIO, "listing the folder");
                        s->stopped = true;
                } else
                        emit(s, path, SEEN_UNKNOWN, true, EIO, NULL);
                return;
        }
        for (unsigned i = l->n; i-- > 0;)
                if (!still_in(l->folder, l->names[i].id) && below(BY_SCAN, 2))
                        l->names[i] = l->names[--l->n];
        for (const Entry *e = l->folder->entries; e; e = e->next)
                if (!known(l, e->id, e->name) && below(BY_SCAN, 2))
                        name_add(l, e);
        qsort(l->names, l->n, sizeof(l->names[0]), by_name);
        s->end.folders++;
        for (unsigned i = 0; i < l->n; i++)
                if (l->names[i].folder)
                        folders[n++] = l->names[i].name;
        if (s->watcher)
                watch_keep_only(s->watcher, l->path, folders, n);
        if (l->n == 0) {
                if (l->path[0])
                        emit(s, l->path, SEEN_EMPTY_FOLDER, true, 0, l->folder);
                s->n_levels--;
        }
}

static void visit_folder(Scanner *s, Inode *parent, const char *name, const char *path) {
        Entry *e = entry_of(parent, name);

        if (!e || !inode_is_folder(e->inode)) {
                if (s->watcher)
                        watch_drop(s->watcher, path);
        } else if (e->inode->unreadable)
                emit(s, path, SEEN_UNKNOWN, true, EACCES, NULL);
        else
                enter(s, path, e->inode);
}

static void visit(Scanner *s, Level *l) {
        const Name *name = &l->names[l->at++];
        char path[PATH_ROOM];
        Entry *e;

        if (snprintf(path, sizeof(path), "%s%s%s", l->path, l->path[0] ? "/" : "", name->name) >= (int) sizeof(path))
                return; /* the model does not go that deep */
        if (!filter(s, path, name->folder))
                return;
        if (name->folder) {
                visit_folder(s, l->folder, name->name, path);
                return;
        }
        e = entry_of(l->folder, name->name);
        if (e && l->folder->unreadable)
                emit(s, path, SEEN_UNKNOWN, false, EACCES, NULL);
        else if (e && !inode_is_folder(e->inode))
                see(s, path, e->inode);
}

/* As walk.c's begin_at() and filter_above(). */
static void begin_branch(Scanner *s) {
        const char *name;
        Inode *parent = parent_of(s->branch, &name);
        Entry *e = entry_of(parent, name);

        for (const char *slash = strchr(s->branch, '/'); slash; slash = strchr(slash + 1, '/')) {
                char above[PATH_ROOM];

                (void) snprintf(above, sizeof(above), "%.*s", (int) (slash - s->branch), s->branch);
                if (!filter(s, above, true))
                        return;
        }
        for (const Inode *i = parent; i; i = i->parent)
                if (i->unreadable) {
                        emit(s, s->branch, SEEN_UNKNOWN, true, EACCES, NULL);
                        return;
                }
        if (e && inode_is_folder(e->inode)) {
                if (filter(s, s->branch, true))
                        visit_folder(s, parent, name, s->branch);
                return;
        }
        if (s->watcher)
                watch_drop(s->watcher, s->branch);
        if (e && filter(s, s->branch, false))
                see(s, s->branch, e->inode);
}

/* --- steps --- */

static void on_step(void *data);

static void step_later(Scanner *s) {
        s->next = after(between(BY_SCAN, 2000, slowness > 0 ? slowness : SECOND / 500), on_step, s);
}

static bool finish(Scanner *s) {
        ScanEnd end;

        if (!s->ended && !s->stopped && s->end.root_state == ROOT_OK) {
                RootId id;

                s->end.root_state = sim_root_state(&s->end.root_id, &id, &s->end.error);
                if (s->end.root_state == ROOT_REPLACED)
                        s->end.root_id = id;
                else if (s->end.root_state == ROOT_OK && world.mount_id != s->mount_id)
                        s->end.root_state = ROOT_REPLACED;
                s->end.complete =
                        s->end.root_state == ROOT_OK && (world.calm || !chance(BY_SCAN, 3)); /* out of memory */
        }
        s->ended = true;
        end = s->end; /* the callback may start the next one */
        s->busy = false;
        if (s->branch[0] == '\0' && end.complete)
                complete_from = begun_at;
        SAY("walk: of \"%s\" ends, %s", s->branch, end.complete ? "complete" : "incomplete");
        if (s->callbacks.end(&end, s->userdata))
                return true;
        s->busy = true;
        return false;
}

static void walk(Scanner *s) {
        if (!s->begun) {
                s->begun = true;
                s->end.root_state = sim_root_state(&s->pinned, &s->end.root_id, &s->end.error);
                s->mount_id = world.mount_id;
                s->root = tree_root_now();
                s->stopped = s->end.root_state != ROOT_OK;
                if (!s->stopped && s->branch[0])
                        begin_branch(s);
                else if (!s->stopped)
                        enter(s, "", s->root);
        } else {
                Level *l = &s->levels[s->n_levels - 1];

                if (l->listing)
                        listed(s, l);
                else if (l->at == l->n)
                        s->n_levels--;
                else
                        visit(s, l);
        }
}

static bool hand_over(Scanner *s) {
        unsigned n = 1 + below(BY_SCAN, s->n_seen - s->told);

        n = (unsigned) s->callbacks.seen(s->seen + s->told, n, s->userdata);
        for (; n > 0; n--, s->told++)
                if (s->seen[s->told].kind == SEEN_FILE)
                        check_met(s->paths[s->told]);
        if (s->freed || s->told < s->n_seen)
                return false;
        s->n_seen = s->told = 0;
        return true;
}

static void on_step(void *data) {
        Scanner *s = data;
        bool more = !s->begun || (s->n_levels > 0 && !s->stopped);

        s->next = NULL;
        s->calling = true;
        if (s->told > 0 || s->n_seen == SEEN_MAX - 2 || (s->n_seen > 0 && (!more || below(BY_SCAN, 4) == 0))) {
                (void) hand_over(s);
                more = true;
        } else if (more)
                walk(s);
        else
                more = !finish(s);
        s->calling = false;
        if (s->freed)
                free(s);
        else if (more)
                step_later(s);
}

/* --- watch/scanner.h --- */

int scanner_new(Scanner **ret, sd_event *loop, const ScannerOptions *options, const ScannerCallbacks *callbacks,
                void *userdata, Error *e) {
        Scanner *s = calloc(1, sizeof(*s));

        assert(s);
        complete_from = 0;
        check_none_met();
        s->pinned = options->pinned;
        s->watcher = options->watcher;
        s->filter = options->filter;
        s->filter_data = options->filter_data;
        s->callbacks = *callbacks;
        s->userdata = userdata;
        *ret = s;
        return 0;
}

Scanner *scanner_free(Scanner *s) {
        if (!s)
                return NULL;
        call_off(s->next);
        s->freed = true;
        if (!s->calling)
                free(s);
        return NULL;
}

void scanner_pin(Scanner *s, const RootId *pinned) {
        s->pinned = *pinned;
}

int scanner_start(Scanner *s, const char *path) {
        if (s->busy)
                return -EBUSY;
        if (!world.calm && chance(BY_SCAN, 5))
                return -ENOMEM;
        SAY("walk: begins at \"%s\"", path);
        begun_at = now();
        s->busy = true;
        s->begun = s->stopped = s->ended = false;
        s->n_levels = s->n_seen = s->told = 0;
        s->end = (ScanEnd){ .fs_tells = !kernel_is_deaf(), .fs_name = "ext4" };
        (void) snprintf(s->branch, sizeof(s->branch), "%s", path);
        step_later(s);
        return 0;
}

bool scanner_busy(const Scanner *s) {
        return s->busy;
}

int64_t scanner_stuck(const Scanner *s) {
        return 0;
}

void walk_slowly(int64_t most) {
        slowness = most;
}

int64_t walked_from(void) {
        return complete_from;
}
