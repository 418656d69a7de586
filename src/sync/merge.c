/* What a scan saw against what the journal knows, in one pass over both in the same order. Decides nothing but which
 * paths are worth a look: what is not seen is a candidate only (pitfalls 4.11), and what could not be listed is
 * unknown, never empty (4.12). */
#include "sync/state.h"

#include "util/clock.h"

#include <assert.h>
#include <string.h>

struct Merge {
        Mapping *mapping;
        char *branch;
        size_t branch_size;
        char *end; /* rows of the branch are below this; NULL: no bound */
        JournalPage page;
        size_t at;  /* next row of the page */
        bool more;  /* the journal may hold rows after the page */
        char *last; /* path the page ends with */
        size_t last_size;
        /* Rows not seen under their own name yet which may be a folder's (skipped, failed): a walk comes to a folder
         * only where "name/" stands in the order, after "name-x" and "name.x". Paths ended by NUL, in order. */
        Buf deferred;
        bool own_row; /* the row of the branch's own name is still to be met */
        Buf unknown;  /* branch about which nothing may be concluded, ended by '/'; "" : none */
        Buf excluded; /* likewise: its rows are forgotten */
        bool failed;
};

static int path_compare(const char *a, size_t na, const char *b, size_t nb) {
        int c = memcmp(a, b, MIN(na, nb));

        return c != 0 ? c : (na > nb) - (na < nb);
}

static int merge_page(struct Merge *g) {
        Mapping *m = g->mapping;
        Error e = ERROR_NULL;
        int r;

        r = sync_journal(m->sync,
                         journal_branch(m->sync->journal, m->record.id, g->last, g->last_size, g->end,
                                        g->end ? strlen(g->end) : 0, &g->page, &e),
                         &e);
        if (r < 0) {
                g->failed = true;
                return r;
        }
        g->at = 0;
        g->more = g->page.n == ELEMENTSOF(g->page.rows);
        if (g->page.n > 0) {
                const struct JournalSeen *row = &g->page.rows[g->page.n - 1];
                char *last = malloc(row->size + 1);

                if (!last) {
                        g->failed = true;
                        return -ENOMEM;
                }
                memcpy(last, g->page.paths + row->path, row->size + 1);
                free(g->last);
                g->last = last;
                g->last_size = row->size;
        }
        return 0;
}

struct Merge *merge_new(Mapping *m, const char *branch) {
        struct Merge *g = calloc(1, sizeof(*g));

        if (!g)
                return NULL;
        g->mapping = m;
        g->branch_size = strlen(branch);
        g->deferred = BUF_INIT((size_t) 1 << 20);
        g->unknown = BUF_INIT(ROW_PATH_MAX + 2);
        g->excluded = BUF_INIT(ROW_PATH_MAX + 2);
        g->branch = strdup(branch);
        if (g->branch_size > 0) {
                /* the rows beneath "b" are those between "b/" and "b0", since '0' follows '/' */
                g->last = malloc(g->branch_size + 2);
                g->end = malloc(g->branch_size + 2);
                if (g->last && g->end) {
                        memcpy(g->last, branch, g->branch_size);
                        memcpy(g->end, branch, g->branch_size);
                        memcpy(g->last + g->branch_size, "/", 2);
                        memcpy(g->end + g->branch_size, "0", 2);
                        g->last_size = g->branch_size + 1;
                }
                g->own_row = true;
        }
        if (!g->branch || (g->branch_size > 0 && (!g->last || !g->end)) || merge_page(g) < 0)
                return merge_free(g);
        return g;
}

struct Merge *merge_free(struct Merge *g) {
        if (!g)
                return NULL;
        journal_page_done(&g->page);
        buf_done(&g->deferred);
        buf_done(&g->unknown);
        buf_done(&g->excluded);
        free(g->last);
        free(g->end);
        free(g->branch);
        free(g);
        return NULL;
}

static bool beneath(const Buf *folder, const char *path, size_t size) {
        return folder->size > 0 && size >= folder->size && memcmp(path, folder->data, folder->size) == 0;
}

static void set_branch(Buf *b, const Seen *seen) {
        buf_clear(b);
        if (buf_append(b, seen->path, seen->size) < 0 || buf_puts(b, "/") < 0)
                buf_clear(b);
}

static int load(struct Merge *g, const char *path, size_t size, Row *row) {
        Mapping *m = g->mapping;
        Error e = ERROR_NULL;

        return sync_journal(m->sync, journal_get(m->sync->journal, m->record.id, path, size, row, &e), &e);
}

static void store(struct Merge *g, Row *row) {
        Mapping *m = g->mapping;
        Error e = ERROR_NULL;

        if (sync_journal(m->sync, journal_put(m->sync->journal, m->record.id, row, &e), &e) < 0)
                g->failed = true;
}

static void hint(struct Merge *g, const char *path, size_t size) {
        Sync *s = g->mapping->sync;
        Row row;

        if (load(g, path, size, &row) < 0) {
                g->failed = true;
                return;
        }
        row_hint(&row, false, clock_boot(), journal_sequence(s->journal, clock_wall()));
        store(g, &row);
}

static void park(struct Merge *g, const Seen *seen, PathState state, const char *reason) {
        Row row;

        if (load(g, seen->path, seen->size, &row) < 0) {
                g->failed = true;
                return;
        }
        if (row.confirmed || row.state == PATH_CLAIMED) {
                hint(g, seen->path, seen->size); /* a blob stands under this name: a job sees to it */
                return;
        }
        if (row.exists && row.state == state && strcmp(row.reason, reason) == 0)
                return;
        row.first = 0;
        row_park(&row, row.gen, state, 0, reason);
        store(g, &row);
}

/* No longer ours to mirror; its blob stays (pitfalls 7.6). */
static void forget(struct Merge *g, Row *row) {
        Mapping *m = g->mapping;
        Error e = ERROR_NULL;

        if (sync_journal(m->sync, journal_forget(m->sync->journal, m->record.id, row, &e), &e) < 0)
                g->failed = true;
}

static void missing(struct Merge *g, const char *path, size_t size, PathState state) {
        if (beneath(&g->unknown, path, size))
                return;
        if (beneath(&g->excluded, path, size)) {
                Row row;

                if (state != PATH_CLAIMED && load(g, path, size, &row) > 0)
                        forget(g, &row);
                return;
        }
        if (!row_is_unsynced(state) && state != PATH_HELD)
                hint(g, path, size);
}

static bool is_branch(const Seen *seen) {
        return seen->folder || seen->kind == SEEN_MOUNT || seen->kind == SEEN_EMPTY_FOLDER;
}

/* Deferred rows whose "name/" is behind us were not met: they are candidates like any other. `key` NULL: the end. */
static void settle_deferred(struct Merge *g, const char *key, size_t size, const Seen *met) {
        size_t at = 0;

        while (at < g->deferred.size) {
                char *path = g->deferred.data + at;
                size_t n = strlen(path), i = 0;

                if (met && is_branch(met) && met->size == n && memcmp(met->path, path, n) == 0)
                        ; /* met */
                else if (key) {
                        int c = memcmp(path, key, MIN(n, size));

                        if (c > 0 || (c == 0 && (n >= size || key[n] < '/'))) /* "path/" is still ahead */
                                i = 1;
                        if (i == 0)
                                hint(g, path, n);
                } else
                        hint(g, path, n);
                if (i == 1) {
                        at += n + 1;
                        continue;
                }
                memmove(path, path + n + 1, g->deferred.size - at - n - 1);
                g->deferred.size -= n + 1;
        }
}

static void not_seen(struct Merge *g, const char *path, size_t size, PathState state, bool confirmed) {
        if (!confirmed && (state == PATH_SKIPPED || state == PATH_FAILED) &&
            buf_append(&g->deferred, path, size + 1) >= 0)
                return;
        missing(g, path, size, state);
}

static void compare(struct Merge *g, const Seen *seen, const Stamp *stamp, PathState state, bool confirmed,
                    bool intact) {
        switch (seen->kind) {
        case SEEN_FILE:
                if (state == PATH_CLEAN && intact && confirmed && stamp_equal(stamp, &seen->stamp))
                        return;
                if (state == PATH_PENDING || state == PATH_CLAIMED)
                        return;
                if (state == PATH_CONFLICT && stamp_equal(stamp, &seen->stamp))
                        return;
                hint(g, seen->path, seen->size);
                return;
        case SEEN_SYMLINK:
                park(g, seen, PATH_SKIPPED, "symbolic link: not stored yet");
                return;
        case SEEN_SPECIAL:
                park(g, seen, PATH_SKIPPED, "not a regular file (pipe, socket or device)");
                return;
        case SEEN_EMPTY_FOLDER:
                park(g, seen, PATH_SKIPPED, "empty folder: not stored yet");
                return;
        case SEEN_MOUNT:
                park(g, seen, PATH_SKIPPED, "another file system is mounted here: map it by itself");
                return;
        case SEEN_TOO_LONG:
                park(g, seen, PATH_FAILED, "too long or too deep for a blob name; so is everything beneath");
                return;
        case SEEN_UNKNOWN:
                park(g, seen, PATH_FAILED,
                     seen->unreadable ? "cannot be read: permission denied" : "cannot be read: input/output error");
                return;
        case SEEN_EXCLUDED:
                break;
        }
}

/* A folder of which only this one line is said: its own row is met here, whatever its place in the order. */
static void merge_branch(struct Merge *g, const Seen *seen) {
        Row row;

        if (seen->kind == SEEN_EXCLUDED) {
                set_branch(&g->excluded, seen);
                return;
        }
        if (seen->kind != SEEN_EMPTY_FOLDER)
                set_branch(&g->unknown, seen);
        if (load(g, seen->path, seen->size, &row) < 0) {
                g->failed = true;
                return;
        }
        compare(g, seen, &row.stamp, row.exists ? row.state : PATH_CLEAN, row.confirmed, true);
}

/* Passes the rows that stand before `key` (NULL: all of them). 1: the next row is `key` itself. */
static int merge_advance(struct Merge *g, const char *key, size_t size) {
        for (;;) {
                const struct JournalSeen *row;
                int c;

                if (g->at == g->page.n) {
                        if (!g->more || merge_page(g) < 0)
                                return 0;
                        continue;
                }
                row = &g->page.rows[g->at];
                c = key ? path_compare(g->page.paths + row->path, row->size, key, size) : -1;
                if (c >= 0)
                        return c == 0;
                g->at++;
                not_seen(g, g->page.paths + row->path, row->size, row->state, row->confirmed);
        }
}

static void merge_one(struct Merge *g, const Seen *seen) {
        _cleanup_buf_ Buf key = BUF_INIT(ROW_PATH_MAX + 1024);
        const struct JournalSeen *row;
        bool branch = is_branch(seen);
        Row own;

        if (buf_append(&key, seen->path, seen->size) < 0 || (branch && buf_puts(&key, "/") < 0)) {
                g->failed = true;
                return;
        }
        if (g->own_row && seen->size == g->branch_size) {
                /* the branch's own name stands before its '/' range in the order: met by itself */
                g->own_row = false;
                if (!branch && load(g, seen->path, seen->size, &own) >= 0)
                        compare(g, seen, &own.stamp, own.exists ? own.state : PATH_CLEAN, own.confirmed, true);
        } else if (merge_advance(g, key.data, key.size) > 0) {
                row = &g->page.rows[g->at++];
                if (seen->kind == SEEN_EXCLUDED) {
                        if (load(g, seen->path, seen->size, &own) > 0 && own.state != PATH_CLAIMED)
                                forget(g, &own);
                } else
                        compare(g, seen, &row->stamp, row->state, row->confirmed, row->intact);
        } else if (!branch && seen->kind != SEEN_EXCLUDED)
                compare(g, seen, &(Stamp){ 0 }, PATH_CLEAN, false, true);
        if (branch)
                merge_branch(g, seen);
        settle_deferred(g, key.data, key.size, seen);
}

void merge_seen(struct Merge *g, const Seen *seen, size_t n) {
        for (size_t i = 0; i < n && !g->failed; i++)
                merge_one(g, &seen[i]);
        sync_touch(g->mapping->sync);
        sync_kick(g->mapping->sync);
}

void merge_end(struct Merge *g, bool complete) {
        Mapping *m = g->mapping;

        if (complete && !g->failed) {
                if (g->own_row) {
                        Row row;

                        if (load(g, g->branch, g->branch_size, &row) > 0)
                                missing(g, g->branch, g->branch_size, row.state);
                }
                (void) merge_advance(g, NULL, 0);
                settle_deferred(g, NULL, 0, NULL);
        }
        if (!complete || g->failed)
                m->record.scan = true; /* owed again */
        sync_touch(m->sync);
        sync_kick(m->sync);
}
