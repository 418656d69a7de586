/* The journal's rows, one by one: reading and writing. */
#include "journal/state.h"

#include <assert.h>
#include <string.h>

enum { APPROVED = 1, KEPT = 2 }; /* bits of the column `approved` */

static bool row_is_file(const Row *row) {
        return row->confirmed && !row->kept;
}

static void row_remember(Row *row) {
        row->stored.state = row->state;
        row->stored.file = row_is_file(row);
        row->stored.marked = row->marked != 0;
        row->stored.counted = row_is_deletion(row);
        row->stored.tallied = row->tallied;
        row->stored.size = row->stamp.size;
}

/* True if there is one; as much of it as there is room for, "" if there is none. */
static bool read_text(sqlite3_stmt *stmt, int column, char *ret, size_t room) {
        const void *text = sqlite3_column_text(stmt, column);
        size_t size = MIN((size_t) sqlite3_column_bytes(stmt, column), room - 1);

        if (text)
                memcpy(ret, text, size);
        ret[text ? size : 0] = '\0';
        return text != NULL;
}

bool rows_read(sqlite3_stmt *stmt, Row *row) {
        int size = sqlite3_column_bytes(stmt, 0);
        int64_t state = sqlite3_column_int64(stmt, 12);

        row->path_size = MIN((size_t) size, (size_t) ROW_PATH_MAX);
        if (row->path_size > 0)
                memcpy(row->path, sqlite3_column_blob(stmt, 0), row->path_size);
        row->path[row->path_size] = '\0';
        row->exists = true;
        row->confirmed = read_text(stmt, 1, row->etag, sizeof(row->etag));
        row->foreign = sqlite3_column_int(stmt, 2);
        row->has_md5 = sqlite3_column_bytes(stmt, 3) == (int) sizeof(row->md5);
        if (row->has_md5)
                memcpy(row->md5, sqlite3_column_blob(stmt, 3), sizeof(row->md5));
        else
                memset(row->md5, 0, sizeof(row->md5));
        row->stamp = (Stamp){
                .size = (uint64_t) sqlite3_column_int64(stmt, 4),
                .mtime_ns = sqlite3_column_int64(stmt, 5),
                .ctime_ns = sqlite3_column_int64(stmt, 6),
                .btime_ns = sqlite3_column_int64(stmt, 7),
                .ino = (uint64_t) sqlite3_column_int64(stmt, 8),
                .mode = (uint32_t) sqlite3_column_int64(stmt, 9),
                .uid = (uint32_t) sqlite3_column_int64(stmt, 10),
                .gid = (uint32_t) sqlite3_column_int64(stmt, 11),
        };
        row->state = state >= 0 && state < _PATH_STATES ? (PathState) state : PATH_CLEAN; /* the sum tells */
        row->content = sqlite3_column_int(stmt, 13);
        row->doubt = sqlite3_column_int(stmt, 14);
        row->unrest = sqlite3_column_int64(stmt, 15);
        row->marked = sqlite3_column_int64(stmt, 16);
        row->gen = (uint64_t) sqlite3_column_int64(stmt, 17);
        row->due = sqlite3_column_int64(stmt, 18);
        row->first = sqlite3_column_int64(stmt, 19);
        row->attempts = (unsigned) sqlite3_column_int(stmt, 20);
        row->seen_ino = (uint64_t) sqlite3_column_int64(stmt, 21);
        (void) read_text(stmt, 22, row->reason, sizeof(row->reason));
        row->approved = sqlite3_column_int(stmt, 23) & APPROVED;
        row->kept = sqlite3_column_int(stmt, 23) & KEPT;
        row->moved = sqlite3_column_int(stmt, 24);
        row->tallied = sqlite3_column_int(stmt, 25);
        row->held = sqlite3_column_int(stmt, 26);
        row->changed = sqlite3_column_int64(stmt, 27);
        row->seen_ctime = sqlite3_column_int64(stmt, 28);
        row->due_ino = (uint64_t) sqlite3_column_int64(stmt, 29);
        row_remember(row);
        return (uint64_t) sqlite3_column_int64(stmt, 30) == row_checksum(row);
}

/* A wrong row is no more right for what is decided about it: held, it is looked at anew, and then held again. */
void rows_take(const Journal *j, int64_t mapping, sqlite3_stmt *stmt, Row *row) {
        unsigned decision = decision_of(j, mapping);

        if (rows_read(stmt, row)) {
                row_decide(row, decision);
                return;
        }
        row_distrust(row);
        if (row->state == PATH_HELD && (decision & (DECISION_APPROVE | DECISION_REJECT)))
                row->state = PATH_PENDING;
}

int journal_get(Journal *j, int64_t mapping, const char *path, size_t size, Row *ret, Error *e) {
        _cleanup_(stmt_resetp) sqlite3_stmt *stmt = journal_stmt(j, STMT_ROW_GET);
        int rc;

        if (size > ROW_PATH_MAX)
                return error_set(e, -ENAMETOOLONG, ERROR_OS, ENAMETOOLONG, "path longer than %i bytes", ROW_PATH_MAX);
        (void) sqlite3_bind_int64(stmt, 1, mapping);
        (void) sqlite3_bind_blob(stmt, 2, path, (int) size, SQLITE_STATIC);
        rc = sqlite3_step(stmt);
        if (rc == SQLITE_ROW) {
                rows_take(j, mapping, stmt, ret);
                return 1;
        }
        if (rc != SQLITE_DONE)
                return journal_fail(j, rc, e, "reading");
        memset(ret, 0, offsetof(Row, path));
        memcpy(ret->path, path, size);
        ret->path[size] = '\0';
        ret->path_size = size;
        return 0;
}

static void counts_change(Journal *j, int64_t mapping, const Row *row, bool forget) {
        JournalCounts *c = counts_of(j, mapping);

        if (!c)
                return;
        if (row->exists) {
                c->state[row->stored.state]--;
                c->busy -= row->stored.marked;
                c->deletions -= row->stored.counted;
                c->waiting -= row->stored.counted && row->stored.state == PATH_GONE;
                c->tallied -= row->stored.tallied;
                c->files -= row->stored.file;
                c->empty -= row->stored.file && row->stored.size == 0;
                c->bytes -= row->stored.file ? row->stored.size : 0;
        }
        if (!forget) {
                c->state[row->state]++;
                c->busy += row->marked != 0;
                c->deletions += row_is_deletion(row);
                c->waiting += row_is_deletion(row) && row->state == PATH_GONE;
                c->tallied += row->tallied;
                c->files += row_is_file(row);
                c->empty += row_is_file(row) && row->stamp.size == 0;
                c->bytes += row_is_file(row) ? row->stamp.size : 0;
        }
}

/* Indexed, so only those that there are. */
static void bind_inode(sqlite3_stmt *stmt, int at, uint64_t ino) {
        (void) (ino ? sqlite3_bind_int64(stmt, at, (int64_t) ino) : sqlite3_bind_null(stmt, at));
}

/* Binds all that both of them write, and writes it. */
static int write_row(Journal *j, int id, int64_t mapping, const Row *row, Error *e) {
        sqlite3_stmt *stmt = journal_stmt(j, id);
        int c = 1;

        (void) sqlite3_bind_int64(stmt, c++, mapping);
        (void) sqlite3_bind_blob(stmt, c++, row->path, (int) row->path_size, SQLITE_STATIC);
        (void) (row->confirmed ? sqlite3_bind_text(stmt, c, row->etag, -1, SQLITE_STATIC) : sqlite3_bind_null(stmt, c));
        c++;
        (void) sqlite3_bind_int(stmt, c++, row->foreign);
        (void) (row->has_md5 ? sqlite3_bind_blob(stmt, c, row->md5, sizeof(row->md5), SQLITE_STATIC)
                             : sqlite3_bind_null(stmt, c));
        c++;
        (void) sqlite3_bind_int64(stmt, c++, (int64_t) row->stamp.size);
        (void) sqlite3_bind_int64(stmt, c++, row->stamp.mtime_ns);
        (void) sqlite3_bind_int64(stmt, c++, row->stamp.ctime_ns);
        (void) sqlite3_bind_int64(stmt, c++, row->stamp.btime_ns);
        bind_inode(stmt, c++, row->stamp.ino);
        (void) sqlite3_bind_int64(stmt, c++, row->stamp.mode);
        (void) sqlite3_bind_int64(stmt, c++, row->stamp.uid);
        (void) sqlite3_bind_int64(stmt, c++, row->stamp.gid);
        (void) sqlite3_bind_int(stmt, c++, (int) row->state);
        (void) sqlite3_bind_int(stmt, c++, row->content);
        (void) sqlite3_bind_int(stmt, c++, row->doubt);
        (void) sqlite3_bind_int64(stmt, c++, row->unrest);
        (void) sqlite3_bind_int64(stmt, c++, row->marked);
        (void) sqlite3_bind_int64(stmt, c++, (int64_t) row->gen);
        (void) sqlite3_bind_int64(stmt, c++, row->due);
        (void) sqlite3_bind_int64(stmt, c++, row->first);
        (void) sqlite3_bind_int(stmt, c++, (int) row->attempts);
        bind_inode(stmt, c++, row->seen_ino);
        (void) (row->reason[0] ? sqlite3_bind_text(stmt, c, row->reason, -1, SQLITE_STATIC)
                               : sqlite3_bind_null(stmt, c));
        c++;
        (void) sqlite3_bind_int(stmt, c++, (row->approved ? APPROVED : 0) | (row->kept ? KEPT : 0));
        (void) sqlite3_bind_int(stmt, c++, row->moved);
        (void) sqlite3_bind_int(stmt, c++, row->tallied);
        (void) sqlite3_bind_int(stmt, c++, row->held);
        (void) sqlite3_bind_int64(stmt, c++, row->changed);
        (void) sqlite3_bind_int64(stmt, c++, row->seen_ctime);
        bind_inode(stmt, c++, row->due_ino);
        (void) sqlite3_bind_int64(stmt, c++, (int64_t) row_checksum(row));
        return journal_step(j, id, e, "writing");
}

static int row_written(Journal *j, int64_t mapping, Row *row) {
        j->holds |= row->state == PATH_HELD;
        j->rows_added += !row->exists;
        counts_change(j, mapping, row, false);
        row->exists = true;
        row_remember(row);
        return 0;
}

static int begin_write(Journal *j, int64_t mapping, const Row *row, Error *e) {
        assert(row->path_size > 0);

        return counts_of(j, mapping) ? journal_begin(j, e) : error_oom(e);
}

int journal_put(Journal *j, int64_t mapping, Row *row, Error *e) {
        int r = begin_write(j, mapping, row, e);

        if (r >= 0 && row->exists) {
                r = write_row(j, STMT_ROW_SET, mapping, row, e);
                row->exists = r < 0 || sqlite3_changes(j->db) > 0; /* forgotten meanwhile, and counted so */
        }
        if (r >= 0 && !row->exists)
                r = write_row(j, STMT_ROW_ADD, mapping, row, e);
        return r < 0 ? r : row_written(j, mapping, row);
}

int journal_claim(Journal *j, int64_t mapping, Row *row, Error *e) {
        sqlite3_stmt *stmt = journal_stmt(j, STMT_ROW_CLAIM);
        int r = begin_write(j, mapping, row, e);

        if (r < 0)
                return r;
        (void) sqlite3_bind_int64(stmt, 1, mapping);
        (void) sqlite3_bind_blob(stmt, 2, row->path, (int) row->path_size, SQLITE_STATIC);
        (void) sqlite3_bind_int(stmt, 3, (int) row->state);
        (void) sqlite3_bind_int(stmt, 4, row->tallied);
        (void) sqlite3_bind_int64(stmt, 5, (int64_t) row_checksum(row));
        r = journal_step(j, STMT_ROW_CLAIM, e, "writing");
        return r < 0 ? r : row_written(j, mapping, row);
}

int journal_forget(Journal *j, int64_t mapping, Row *row, Error *e) {
        sqlite3_stmt *stmt = journal_stmt(j, STMT_ROW_FORGET);
        int r;

        if (!row->exists)
                return 0;
        r = journal_begin(j, e);
        if (r < 0)
                return r;
        (void) sqlite3_bind_int64(stmt, 1, mapping);
        (void) sqlite3_bind_blob(stmt, 2, row->path, (int) row->path_size, SQLITE_STATIC);
        r = journal_step(j, STMT_ROW_FORGET, e, "forgetting");
        if (r < 0)
                return r;
        if (sqlite3_changes(j->db) > 0)
                counts_change(j, mapping, row, true);
        row->exists = false;
        return 0;
}
