/* What is asked of many of the journal's rows, or done to all of them. */
#include "journal/state.h"

#include <assert.h>
#include <string.h>

/* The counters know that no row is in this state: whoever is idle asks after every event. */
static bool none_in(const Journal *j, int64_t mapping, PathState state) {
        for (size_t i = 0; i < j->n_counts && !j->broken; i++)
                if (j->counts[i].mapping == mapping)
                        return j->counts[i].counts.state[state] == 0;
        return false;
}

static int each_row(Journal *j, int id, int64_t mapping, JournalRowFn fn, void *userdata, Error *e) {
        _cleanup_(stmt_resetp) sqlite3_stmt *stmt = journal_stmt(j, id);
        Row row;
        int rc;

        while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
                int r;

                rows_take(j, mapping, stmt, &row);
                r = fn(&row, userdata);
                if (r < 0)
                        return r;
        }
        return rc == SQLITE_DONE ? 0 : journal_fail(j, rc, e, "reading");
}

int journal_due(Journal *j, int64_t mapping, PathState state, int64_t now, unsigned limit, JournalRowFn fn,
                void *userdata, Error *e) {
        sqlite3_stmt *stmt;

        if (none_in(j, mapping, state))
                return 0;
        stmt = journal_stmt(j, STMT_ROW_DUE);
        (void) sqlite3_bind_int64(stmt, 1, mapping);
        (void) sqlite3_bind_int(stmt, 2, (int) state);
        (void) sqlite3_bind_int64(stmt, 3, now);
        (void) sqlite3_bind_int64(stmt, 4, limit);
        return each_row(j, STMT_ROW_DUE, mapping, fn, userdata, e);
}

int journal_fresh(Journal *j, int64_t mapping, int64_t after, int64_t now, unsigned limit, JournalRowFn fn,
                  void *userdata, Error *e) {
        sqlite3_stmt *stmt;

        if (none_in(j, mapping, PATH_PENDING))
                return 0;
        stmt = journal_stmt(j, STMT_ROW_FRESH);
        (void) sqlite3_bind_int64(stmt, 1, mapping);
        (void) sqlite3_bind_int(stmt, 2, (int) PATH_PENDING);
        (void) sqlite3_bind_int64(stmt, 3, now);
        (void) sqlite3_bind_int64(stmt, 4, limit);
        (void) sqlite3_bind_int64(stmt, 5, after);
        return each_row(j, STMT_ROW_FRESH, mapping, fn, userdata, e);
}

int journal_next_due(Journal *j, int64_t mapping, PathState state, int64_t *ret_due, Error *e) {
        _cleanup_(stmt_resetp) sqlite3_stmt *stmt = NULL;
        int rc;

        if (none_in(j, mapping, state))
                return 0;
        stmt = journal_stmt(j, STMT_NEXT_DUE);
        (void) sqlite3_bind_int64(stmt, 1, mapping);
        (void) sqlite3_bind_int(stmt, 2, (int) state);
        rc = sqlite3_step(stmt);
        if (rc == SQLITE_ROW) {
                *ret_due = sqlite3_column_int64(stmt, 0);
                return 1;
        }
        return rc == SQLITE_DONE ? 0 : journal_fail(j, rc, e, "reading what is due");
}

int journal_untried(Journal *j, int64_t mapping, unsigned attempts, int64_t before, Error *e) {
        _cleanup_(stmt_resetp) sqlite3_stmt *stmt = NULL;
        int rc;

        if (none_in(j, mapping, PATH_PENDING))
                return 0;
        stmt = journal_stmt(j, STMT_UNTRIED);
        (void) sqlite3_bind_int64(stmt, 1, mapping);
        (void) sqlite3_bind_int(stmt, 2, (int) attempts);
        (void) sqlite3_bind_int64(stmt, 3, before);
        rc = sqlite3_step(stmt);
        return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : journal_fail(j, rc, e, "reading what is due");
}

int journal_nth_due(Journal *j, int64_t mapping, PathState state, int64_t after, unsigned n, int64_t *ret_due,
                    Error *e) {
        _cleanup_(stmt_resetp) sqlite3_stmt *stmt = journal_stmt(j, STMT_NTH_DUE);
        int rc;

        (void) sqlite3_bind_int64(stmt, 1, mapping);
        (void) sqlite3_bind_int(stmt, 2, (int) state);
        (void) sqlite3_bind_int64(stmt, 3, after);
        (void) sqlite3_bind_int64(stmt, 4, n);
        rc = sqlite3_step(stmt);
        if (rc == SQLITE_DONE)
                return 0;
        if (rc != SQLITE_ROW)
                return journal_fail(j, rc, e, "reading what is due");
        *ret_due = sqlite3_column_int64(stmt, 0);
        return 1;
}

int journal_oldest(Journal *j, int64_t mapping, int64_t *ret_first, Error *e) {
        _cleanup_(stmt_resetp) sqlite3_stmt *stmt = NULL;
        int rc;

        if (none_in(j, mapping, PATH_PENDING) && none_in(j, mapping, PATH_CLAIMED) && none_in(j, mapping, PATH_GONE))
                return 0;
        stmt = journal_stmt(j, STMT_OLDEST);
        (void) sqlite3_bind_int64(stmt, 1, mapping);
        rc = sqlite3_step(stmt);
        if (rc == SQLITE_DONE)
                return 0;
        if (rc != SQLITE_ROW)
                return journal_fail(j, rc, e, "reading the oldest change");
        *ret_first = sqlite3_column_int64(stmt, 0);
        return 1;
}

static int page_add(JournalPage *page, sqlite3_stmt *stmt, Row *row) {
        bool intact = rows_read(stmt, row);
        size_t need = page->paths_size + row->path_size + 1;

        if (need > page->paths_room) {
                size_t room = MAX(need, page->paths_room * 2);
                char *paths = realloc(page->paths, room);

                if (!paths)
                        return -ENOMEM;
                page->paths = paths;
                page->paths_room = room;
        }
        memcpy(page->paths + page->paths_size, row->path, row->path_size + 1);
        page->rows[page->n++] = (struct JournalSeen){ .path = page->paths_size,
                                                      .size = row->path_size,
                                                      .stamp = row->stamp,
                                                      .seen_ino = row->seen_ino,
                                                      .seen_ctime = row->seen_ctime,
                                                      .state = row->state,
                                                      .confirmed = row->confirmed,
                                                      .intact = intact };
        page->paths_size = need;
        return 0;
}

int journal_branch(Journal *j, int64_t mapping, const char *after, size_t after_size, const char *before,
                   size_t before_size, JournalPage *page, Error *e) {
        static const uint8_t last[ROW_PATH_MAX / 32] = { [0 ... ROW_PATH_MAX / 32 - 1] = 0xff };
        _cleanup_(stmt_resetp) sqlite3_stmt *stmt = journal_stmt(j, STMT_BRANCH);
        Row row;
        int rc;

        page->n = page->paths_size = 0;
        (void) sqlite3_bind_int64(stmt, 1, mapping);
        /* a NULL pointer would bind as NULL, and nothing is greater than that */
        (void) sqlite3_bind_blob(stmt, 2, after ? after : "", (int) after_size, SQLITE_STATIC);
        (void) sqlite3_bind_blob(stmt, 3, before ? (const void *) before : last,
                                 (int) (before ? before_size : sizeof(last)), SQLITE_STATIC);
        (void) sqlite3_bind_int(stmt, 4, (int) ELEMENTSOF(page->rows));
        while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
                if (page_add(page, stmt, &row) < 0)
                        return error_oom(e);
        return rc == SQLITE_DONE ? 0 : journal_fail(j, rc, e, "reading a branch");
}

void journal_page_done(JournalPage *page) {
        free(page->paths);
        page->paths = NULL;
        page->paths_room = page->n = 0;
}

int journal_below(Journal *j, int64_t mapping, const char *path, size_t size, Error *e) {
        _cleanup_(stmt_resetp) sqlite3_stmt *stmt = journal_stmt(j, STMT_BELOW);
        int rc;

        (void) sqlite3_bind_int64(stmt, 1, mapping);
        (void) sqlite3_bind_blob(stmt, 2, path, (int) size, SQLITE_STATIC);
        rc = sqlite3_step(stmt);
        return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : journal_fail(j, rc, e, "reading");
}

uint64_t journal_rows_added(const Journal *j) {
        return j->rows_added;
}

int journal_listed(Journal *j, int64_t mapping, const char *path, size_t size, int64_t listing, Error *e) {
        sqlite3_stmt *stmt = journal_stmt(j, STMT_LISTED);
        int r = journal_begin(j, e);

        if (r < 0)
                return r;
        (void) sqlite3_bind_int64(stmt, 1, mapping);
        (void) sqlite3_bind_blob(stmt, 2, path, (int) size, SQLITE_STATIC);
        (void) sqlite3_bind_int64(stmt, 3, listing);
        r = journal_step(j, STMT_LISTED, e, "writing");
        return r < 0 ? r : sqlite3_changes(j->db) > 0;
}

int journal_unlisted(Journal *j, int64_t mapping, int64_t listing, const char *after, unsigned limit,
                     JournalListedFn fn, void *userdata, Error *e) {
        _cleanup_(stmt_resetp) sqlite3_stmt *stmt = journal_stmt(j, STMT_UNLISTED);
        unsigned n = 0;
        int rc;

        (void) sqlite3_bind_int64(stmt, 1, mapping);
        (void) sqlite3_bind_blob(stmt, 2, after, (int) strlen(after), SQLITE_STATIC);
        (void) sqlite3_bind_int64(stmt, 3, listing);
        (void) sqlite3_bind_int64(stmt, 4, limit);
        while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
                int r = fn(sqlite3_column_blob(stmt, 0), (size_t) sqlite3_column_bytes(stmt, 0),
                           sqlite3_column_int(stmt, 1), userdata);

                if (r < 0)
                        return r;
                n++;
        }
        return rc == SQLITE_DONE ? n == limit : journal_fail(j, rc, e, "reading what was not listed");
}

int journal_expected(Journal *j, int64_t mapping, uint64_t *ret, uint64_t *ret_confirmed, Error *e) {
        _cleanup_(stmt_resetp) sqlite3_stmt *stmt = journal_stmt(j, STMT_EXPECTED);
        int rc;

        (void) sqlite3_bind_int64(stmt, 1, mapping);
        rc = sqlite3_step(stmt);
        if (rc != SQLITE_ROW)
                return journal_fail(j, rc, e, "counting what should be in the container");
        *ret = (uint64_t) sqlite3_column_int64(stmt, 0);
        *ret_confirmed = (uint64_t) sqlite3_column_int64(stmt, 1);
        return 0;
}

int journal_queue(Journal *j, int64_t mapping, const char *after, unsigned limit, JournalRowFn fn, void *userdata,
                  Error *e) {
        const JournalCounts *c = journal_counts(j, mapping);
        uint64_t n = 0;
        int id;

        /* few: gather by the index and sort; many: they stand close together in path order */
        for (size_t s = PATH_CLEAN + 1; s < _PATH_STATES; s++)
                n += c->state[s];
        id = n <= 4096 ? STMT_QUEUE_FEW : STMT_QUEUE_MANY;
        (void) sqlite3_bind_int64(journal_stmt(j, id), 1, mapping);
        (void) sqlite3_bind_blob(journal_stmt(j, id), 2, after ? after : "", after ? (int) strlen(after) : 0,
                                 SQLITE_TRANSIENT);
        (void) sqlite3_bind_int64(journal_stmt(j, id), 3, limit);
        return each_row(j, id, mapping, fn, userdata, e);
}

int journal_by_inode(Journal *j, int64_t mapping, uint64_t ino, const char *after, unsigned limit, JournalRowFn fn,
                     void *userdata, Error *e) {
        sqlite3_stmt *stmt = journal_stmt(j, STMT_BY_INODE);

        (void) sqlite3_bind_int64(stmt, 1, mapping);
        (void) sqlite3_bind_int64(stmt, 2, (int64_t) ino);
        (void) sqlite3_bind_int64(stmt, 3, limit);
        (void) sqlite3_bind_blob(stmt, 4, after, (int) strlen(after), SQLITE_STATIC);
        return each_row(j, STMT_BY_INODE, mapping, fn, userdata, e);
}

int journal_inode_due(Journal *j, int64_t mapping, uint64_t ino, Error *e) {
        _cleanup_(stmt_resetp) sqlite3_stmt *stmt = journal_stmt(j, STMT_INODE_DUE);
        int rc;

        (void) sqlite3_bind_int64(stmt, 1, mapping);
        (void) sqlite3_bind_int64(stmt, 2, (int64_t) ino);
        rc = sqlite3_step(stmt);
        return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : journal_fail(j, rc, e, "reading");
}

int journal_release(Journal *j, int64_t mapping, PathState state, int64_t first, Error *e) {
        sqlite3_stmt *stmt = journal_stmt(j, STMT_RELEASE);
        JournalCounts *c = counts_of(j, mapping);
        uint64_t n;
        int r;

        assert(state == PATH_PENDING || state == PATH_FAILED || state == PATH_CONFLICT);

        if (!c)
                return error_oom(e);
        r = journal_begin(j, e);
        if (r < 0)
                return r;
        (void) sqlite3_bind_int64(stmt, 1, mapping);
        (void) sqlite3_bind_int(stmt, 2, (int) state);
        (void) sqlite3_bind_int64(stmt, 3, first);
        (void) sqlite3_bind_int(stmt, 4, state == PATH_PENDING ? 0 : -1); /* those that are due need no release */
        (void) sqlite3_bind_int(stmt, 5, JOURNAL_RELEASE_STEP);
        r = journal_step(j, STMT_RELEASE, e, "releasing");
        if (r < 0)
                return r;
        n = (uint64_t) sqlite3_changes64(j->db);
        c->state[state] -= n;
        c->state[PATH_PENDING] += n;
        return n == JOURNAL_RELEASE_STEP;
}

int journal_unclaim(Journal *j, int64_t mapping, Error *e) {
        JournalCounts *c = counts_of(j, mapping);
        int r;

        if (!c)
                return error_oom(e);
        if (none_in(j, mapping, PATH_CLAIMED))
                return 0;
        r = journal_begin(j, e);
        if (r < 0)
                return r;
        (void) sqlite3_bind_int64(journal_stmt(j, STMT_UNCLAIM), 1, mapping);
        r = journal_step(j, STMT_UNCLAIM, e, "taking claims back");
        if (r < 0)
                return r;
        c->state[PATH_PENDING] += (uint64_t) sqlite3_changes64(j->db);
        c->state[PATH_CLAIMED] -= (uint64_t) sqlite3_changes64(j->db);
        return 0;
}
