/* What a scan saw against what the journal knows, in one pass over both in the same order. Decides nothing but which
 * paths are worth a look: what is not seen is a candidate only (pitfalls 4.11), and what could not be listed is
 * unknown, never empty (4.12).
 *
 * A page of rows may be older than events that came while it was merged: whatever is about to be written is read again
 * first. Rows may be added, too, by a listing of the container say, and their files be gone again before anything
 * watches their folder: then the page is read again. A folder that was deleted offline may have a million rows, so each
 * call does a bounded part. */
#include "sync/guard.h"

#include "util/clock.h"

#include <assert.h>
#include <string.h>

/* What one call may cost: a row passed is 1. About 10 ms. */
#define STEP 8192
#define WRITE_COST 16 /* read again, changed and written */

struct Merge {
        Mapping *mapping;
        char *branch;
        size_t branch_size;
        char *end;      /* rows of the branch are below this; NULL: no bound */
        size_t at;      /* next row of the page */
        bool more;      /* the journal may hold rows after the page */
        uint64_t added; /* journal_rows_added() when it was read */
        Buf passed;     /* all rows up to this path are done with */
        /* Rows not seen under their own name yet which may be a folder's (skipped, failed): a walk comes to a folder
         * only where "name/" stands in the order, after "name-x" and "name.x". A stack of paths, each ended by NUL:
         * what is above one begins with it, and its "name/" comes first. */
        Buf deferred;
        bool own_row; /* the row of the branch's own name is still to be met */
        Buf unknown;  /* branch about which nothing may be concluded, ended by '/'; "" : none */
        Buf excluded; /* likewise: its rows are forgotten */
        int left;     /* of STEP */
        bool failed;
        JournalPage page;
};

static int path_compare(const char *a, size_t na, const char *b, size_t nb) {
        int c = memcmp(a, b, MIN(na, nb));

        return c != 0 ? c : (na > nb) - (na < nb);
}

static int merge_page(struct Merge *g) {
        Mapping *m = g->mapping;
        int r;

        r = journal_branch(m->sync->journal, m->record.id, g->passed.data, g->passed.size, g->end,
                           g->end ? strlen(g->end) : 0, &g->page, NULL);
        if (r < 0) {
                g->failed = true;
                return r;
        }
        g->at = 0;
        g->more = g->page.n == ELEMENTSOF(g->page.rows);
        g->added = journal_rows_added(m->sync->journal);
        return 0;
}

static void pass(struct Merge *g, const char *path, size_t size) {
        buf_clear(&g->passed);
        if (buf_append(&g->passed, path, size) < 0)
                g->failed = true;
}

struct Merge *merge_new(Mapping *m, const char *branch) {
        struct Merge *g = malloc(sizeof(*g));

        if (!g)
                return NULL;
        memset(g, 0, offsetof(struct Merge, page.rows)); /* the rows, 60 kB, are only read once they are filled */
        g->mapping = m;
        g->branch_size = strlen(branch);
        g->passed = BUF_INIT(ROW_PATH_MAX + 2);
        g->deferred = BUF_INIT((size_t) 256 * 1024);
        g->unknown = BUF_INIT(ROW_PATH_MAX + 2);
        g->excluded = BUF_INIT(ROW_PATH_MAX + 2);
        g->branch = strdup(branch);
        if (g->branch_size > 0) {
                /* the rows beneath "b" are those between "b/" and "b0", since '0' follows '/' */
                g->end = malloc(g->branch_size + 2);
                if (g->end) {
                        memcpy(g->end, branch, g->branch_size);
                        memcpy(g->end + g->branch_size, "0", 2);
                }
                if (buf_printf(&g->passed, "%s/", branch) < 0)
                        g->failed = true;
                g->own_row = true;
        }
        if (!g->branch || (g->branch_size > 0 && !g->end) || g->failed || merge_page(g) < 0)
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
        buf_done(&g->passed);
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
        int r = journal_get(m->sync->journal, m->record.id, path, size, row, NULL);

        g->left -= WRITE_COST;
        if (r < 0)
                g->failed = true;
        return r;
}

static void store(struct Merge *g, Row *row) {
        Mapping *m = g->mapping;

        g->added += !row->exists; /* where the walk is, and so behind what the page is asked for */
        if (journal_put(m->sync->journal, m->record.id, row, NULL) < 0)
                g->failed = true;
}

static void hint(struct Merge *g, Row *row) {
        row_hint(row, g->mapping->record.reread, clock_boot(),
                 journal_sequence(g->mapping->sync->journal, clock_wall()));
        store(g, row);
}

/* The job that is at work on it looked before the walk came by, and saw something else; it would confirm what is no
 * longer so. `seen` NULL: no regular file. */
static bool is_overtaken(const struct Merge *g, const char *path, const Stamp *seen) {
        const Job *job = jobs_at(g->mapping, path);

        if (!job)
                return false;
        if (job->unlooked)
                return job->waiting; /* it may have looked, and its answer be on the way */
        if (job->look != LOOK_REGULAR)
                return seen != NULL;
        return !seen || !stamp_equal(&job->stamp, seen);
}

/* There is no file: a job will see that anyway, or a person has to decide first, or has decided that the blob stays. */
static bool is_left_alone(const struct Merge *g, const Row *row) {
        if (row->state == PATH_CLAIMED && !row->kept)
                return !is_overtaken(g, row->path, NULL);
        return row_is_unsynced(row->state) || row->state == PATH_HELD || (row->kept && row->state != PATH_FAILED);
}

/* The blob that a person wants to keep is all that the row is for: it may tell of what cannot be read there now, too.
 */
static bool is_free(const Row *row) {
        return row->kept && (row->state == PATH_SKIPPED || row->state == PATH_FAILED);
}

/* No longer ours to mirror; its blob stays (pitfalls 7.6). */
static void forget(struct Merge *g, Row *row) {
        Mapping *m = g->mapping;

        if (row->state == PATH_CLAIMED) /* its job ends first; the next scan sees to it */
                return;
        guard_done(m, row);
        if (journal_forget(m->sync->journal, m->record.id, row, NULL) < 0)
                g->failed = true;
}

/* --- rows that were not seen --- */

static void missing(struct Merge *g, const char *path, size_t size) {
        Row row;

        if (load(g, path, size, &row) <= 0)
                return;
        if (beneath(&g->excluded, path, size))
                forget(g, &row);
        else if (!is_left_alone(g, &row))
                hint(g, &row);
}

/* The deferred rows whose "name/" is behind `key` were not met. `met`: the folder of which `key` speaks, whose row is.
 * NULL: the end. */
static void settle_deferred(struct Merge *g, const char *key, size_t size, const Seen *met) {
        while (g->deferred.size > 0 && !g->failed) {
                const char *before = memrchr(g->deferred.data, '\0', g->deferred.size - 1);
                const char *path = before ? before + 1 : g->deferred.data;
                size_t n = strlen(path);
                int c = key ? memcmp(path, key, MIN(n, size)) : -1;

                if (c > 0 || (c == 0 && (n >= size || key[n] < '/'))) /* "name/" is still ahead */
                        return;
                if (!met || met->size != n || memcmp(met->path, path, n) != 0)
                        missing(g, path, n);
                g->deferred.size -= n + 1;
        }
}

static void not_seen(struct Merge *g, const struct JournalSeen *row) {
        const char *path = g->page.paths + row->path;

        if (beneath(&g->unknown, path, row->size))
                return;
        if ((row->state == PATH_FAILED || (row->state == PATH_SKIPPED && !row->confirmed)) &&
            buf_append(&g->deferred, path, row->size + 1) >= 0)
                return;
        missing(g, path, row->size);
}

/* Passes the rows that stand before `key` (NULL: all of them). 1: the next row is `key` itself; -EAGAIN: there are more
 * than one call may pass. */
static int merge_advance(struct Merge *g, const char *key, size_t size) {
        while (!g->failed) {
                const struct JournalSeen *row;
                const char *path;
                int c;

                if (g->added != journal_rows_added(g->mapping->sync->journal) || (g->at == g->page.n && g->more)) {
                        if (merge_page(g) < 0)
                                return 0;
                        continue;
                }
                if (g->at == g->page.n)
                        return 0;
                row = &g->page.rows[g->at];
                path = g->page.paths + row->path;
                c = key ? path_compare(path, row->size, key, size) : -1;
                if (c >= 0)
                        return c == 0;
                if (g->left-- <= 0)
                        return -EAGAIN;
                settle_deferred(g, path, row->size, NULL);
                not_seen(g, row);
                pass(g, path, row->size);
                g->at++;
        }
        return 0;
}

/* --- what was seen --- */

static bool is_up_to_date(const Seen *seen, const struct JournalSeen *row) {
        switch (row->state) {
        case PATH_CLEAN:
                return row->confirmed && stamp_equal(&row->stamp, &seen->stamp);
        case PATH_PENDING:
                return true; /* a job will look */
        case PATH_FAILED:
                return false; /* tried again */
        default:              /* it waits, for delete-delay or a person: nothing new */
                return row->seen_ino == seen->stamp.ino && row->seen_ctime == seen->stamp.ctime_ns;
        }
}

/* Of what the page says, equal stamps alone mean the same however old it is. A row that was to be looked at, or was
 * gone, may by now be confirmed as it was before this sight. */
static bool is_page_enough(const Seen *seen, const struct JournalSeen *known) {
        return known && known->intact && (known->state == PATH_CLEAN || known->state == PATH_CONFLICT) &&
               is_up_to_date(seen, known);
}

/* Nothing new: a job has it, or will look, or it waits as it is. */
static bool is_current(const struct Merge *g, const Seen *seen, const Row *row) {
        const struct JournalSeen known = { .stamp = row->stamp,
                                           .seen_ino = row->seen_ino,
                                           .seen_ctime = row->seen_ctime,
                                           .state = row->state,
                                           .confirmed = row->confirmed };

        if (row->state == PATH_CLAIMED && !is_overtaken(g, row->path, &seen->stamp))
                return true;
        return row->exists && is_up_to_date(seen, &known);
}

/* Which file is here is known from now on, however long its look is put off: by one event after the other, or because
 * it fails. True: the row says so now, and did not before. */
static bool meet(const struct Merge *g, Row *row, uint64_t ino) {
        Job *job = row->state == PATH_CLAIMED ? jobs_at(g->mapping, row->path) : NULL;
        uint64_t before = row->due_ino;

        row_met(row, ino);
        if (job) /* which writes the row when it ends */
                row_met(&job->row, ino);
        return row->due_ino != before;
}

/* `known`: its row in the page, or NULL. */
static void merge_file(struct Merge *g, const Seen *seen, const struct JournalSeen *known) {
        bool believe = !g->mapping->record.reread, met;
        Row row;

        if (believe && is_page_enough(seen, known))
                return;
        if (load(g, seen->path, seen->size, &row) < 0)
                return;
        met = meet(g, &row, seen->stamp.ino);
        if (!believe || !is_current(g, seen, &row))
                hint(g, &row);
        else if (met) {
                row.gen += row.state == PATH_PENDING; /* by an event, to a time that may be behind any deletion's */
                store(g, &row);
        }
}

static void park(struct Merge *g, const Seen *seen, PathState state, const char *reason) {
        Row row;

        if (load(g, seen->path, seen->size, &row) < 0)
                return;
        if ((row.confirmed || row.doubt || row.state == PATH_CLAIMED) && !(state == PATH_FAILED && is_free(&row))) {
                if (!is_left_alone(g, &row))
                        hint(g, &row); /* a blob stands under this name, or may: a job sees to it */
                return;
        }
        if (row.exists && row.state == state && strcmp(row.reason, reason) == 0)
                return;
        if (row.state == PATH_PENDING && state == PATH_SKIPPED && seen->kind != SEEN_MOUNT)
                return; /* by news that may be younger than this sight: a job looks */
        row_saw(&row, NULL);
        if (state != PATH_FAILED) /* by policy: not unsynced */
                row.first = 0;
        else if (row.first == 0)
                row.first = journal_sequence(g->mapping->sync->journal, clock_wall());
        row_park(&row, row.gen, state, 0, reason);
        store(g, &row);
        if (state == PATH_FAILED)
                mapping_complain(g->mapping, state, row.path, reason, NULL);
}

static void merge_excluded(struct Merge *g, const Seen *seen) {
        Row row;

        if (load(g, seen->path, seen->size, &row) <= 0)
                return;
        /* The pattern may be for folders only, so a file of this name that was mirrored is as good as deleted. */
        if (!seen->folder || (!row.confirmed && !row.doubt))
                forget(g, &row);
        else if (!is_left_alone(g, &row))
                hint(g, &row);
}

static void merge_kind(struct Merge *g, const Seen *seen, const struct JournalSeen *known) {
        switch (seen->kind) {
        case SEEN_FILE:
                merge_file(g, seen, known);
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
                merge_excluded(g, seen);
                return;
        }
}

/* False: to be called again with the same. */
static bool merge_one(struct Merge *g, const Seen *seen) {
        _cleanup_buf_ Buf key = BUF_INIT(ROW_PATH_MAX + 1);
        const struct JournalSeen *known = NULL;
        int r = 0;

        if (seen->size > ROW_PATH_MAX)
                return true; /* a row cannot have that name, and the filter has named the folder it is in */
        if (buf_append(&key, seen->path, seen->size) < 0 || (seen->folder && buf_puts(&key, "/") < 0)) {
                g->failed = true;
                return true;
        }
        if (g->branch_size > 0 && seen->size == g->branch_size)
                g->own_row = false; /* the branch's own name stands before its range in the order: met by itself */
        else {
                r = merge_advance(g, key.data, key.size);
                if (r == -EAGAIN)
                        return false;
                pass(g, key.data, key.size);
        }
        if (r > 0)
                known = &g->page.rows[g->at++];
        settle_deferred(g, key.data, key.size, seen->folder ? seen : NULL);
        merge_kind(g, seen, known);
        if (seen->folder && seen->kind == SEEN_EXCLUDED)
                set_branch(&g->excluded, seen);
        else if (seen->folder && seen->kind != SEEN_EMPTY_FOLDER)
                set_branch(&g->unknown, seen);
        return true;
}

static void merge_touched(const struct Merge *g) {
        sync_touch(g->mapping->sync);
        sync_kick(g->mapping->sync);
}

size_t merge_seen(struct Merge *g, const Seen *seen, size_t n) {
        size_t i = 0;

        g->left = STEP;
        while (i < n && g->left > 0 && !g->failed && merge_one(g, &seen[i]))
                i++;
        merge_touched(g);
        return g->failed ? n : i;
}

bool merge_failed(const struct Merge *g) {
        return g->failed;
}

bool merge_end(struct Merge *g, bool complete) {
        Mapping *m = g->mapping;

        g->left = STEP;
        if (complete && !g->failed) {
                if (merge_advance(g, NULL, 0) == -EAGAIN) {
                        merge_touched(g);
                        return false;
                }
                settle_deferred(g, NULL, 0, NULL);
                if (g->own_row && !g->failed)
                        missing(g, g->branch, g->branch_size);
        }
        if (!complete || g->failed)
                m->record.scan = true; /* owed again */
        merge_touched(g);
        return true;
}
