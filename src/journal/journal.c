/* The open journal: its statements, its transaction, and what a failure does to both. Opening it is open.c. */
#include "journal/journal.h"

#include "journal/repair.h"
#include "journal/state.h"
#include "util/clock.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#define CHECKPOINT_FRAMES 4000 /* 16 MB: the log grows no further (9.8) */

/* journal-sql.h writes states as numbers */
static_assert(PATH_CLEAN == 0 && PATH_PENDING == 1 && PATH_CLAIMED == 2 && PATH_GONE == 3 && PATH_HELD == 5,
              "the numbers in journal-sql.h are those of PathState");

static const char *const statements[_STMTS] = {
#define X(name, heat, sql) [STMT_##name] = sql,
        JOURNAL_STATEMENTS(X)
#undef X
};

/* Prepared when first needed: a journal is opened anew after each trouble, and most of its statements are for rare
 * things. NULL: it is closed, or that failed, and the step with it will, too. */
sqlite3_stmt *journal_stmt(Journal *j, int id) {
        if (!j->stmt[id] && j->db)
                (void) sqlite3_prepare_v3(j->db, statements[id], -1, SQLITE_PREPARE_PERSISTENT, &j->stmt[id], NULL);
        return j->stmt[id];
}

int journal_out_of_order(const Journal *j, Error *e) {
        if (e)
                *e = j->trouble;
        return j->trouble.code < 0 ? j->trouble.code : -EIO;
}

/* Whatever failed to be written is gone with its transaction: SQLite rolls back by itself on some errors and not on
 * others. Whoever runs into it, and whether or not it is passed on: the journal's owner is told. */
int journal_fail(Journal *j, int rc, Error *e, const char *what) {
        Error why = ERROR_NULL;
        int r;

        if (!j->db)
                return journal_out_of_order(j, e);
        if (rc == SQLITE_MISUSE) /* it was not even prepared */
                rc = sqlite3_extended_errcode(j->db);
        r = schema_error(j->db, rc, &why, what);
        if (e)
                *e = why;
        if (!sqlite3_get_autocommit(j->db))
                (void) sqlite3_exec(j->db, "ROLLBACK", NULL, NULL, NULL);
        j->in_transaction = false;
        j->damaged |= r == -EUCLEAN;
        if (!j->broken) {
                j->broken = true;
                j->trouble = why;
                if (j->on_trouble)
                        j->on_trouble(j->userdata);
        }
        return r;
}

int journal_step(Journal *j, int id, Error *e, const char *what) {
        _cleanup_(stmt_resetp) sqlite3_stmt *stmt = journal_stmt(j, id);
        int rc = sqlite3_step(stmt);

        return rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : journal_fail(j, rc, e, what);
}

int journal_begin(Journal *j, Error *e) {
        int r;

        if (j->broken)
                return journal_out_of_order(j, e);
        if (j->in_transaction)
                return 0;
        r = journal_step(j, STMT_BEGIN, e, "beginning");
        if (r >= 0)
                j->in_transaction = true;
        return r;
}

int journal_meta_get(Journal *j, const char *key, char *ret, size_t room, Error *e) {
        _cleanup_(stmt_resetp) sqlite3_stmt *stmt = journal_stmt(j, STMT_META_GET);
        int rc;

        (void) sqlite3_bind_text(stmt, 1, key, -1, SQLITE_STATIC);
        rc = sqlite3_step(stmt);
        if (rc == SQLITE_ROW) {
                const char *text = (const char *) sqlite3_column_text(stmt, 0);

                (void) snprintf(ret, room, "%s", text ? text : "");
                return 1;
        }
        return rc == SQLITE_DONE ? 0 : journal_fail(j, rc, e, "reading");
}

int journal_meta_put(Journal *j, const char *key, const char *value, Error *e) {
        int r = journal_begin(j, e);

        if (r < 0)
                return r;
        (void) sqlite3_bind_text(journal_stmt(j, STMT_META_PUT), 1, key, -1, SQLITE_STATIC);
        (void) sqlite3_bind_text(journal_stmt(j, STMT_META_PUT), 2, value, -1, SQLITE_STATIC);
        return journal_step(j, STMT_META_PUT, e, "writing");
}

void journal_listen(Journal *j, void (*fn)(void *userdata), void *userdata) {
        j->on_trouble = fn;
        j->userdata = userdata;
}

const Error *journal_trouble(const Journal *j) {
        return &j->trouble;
}

int journal_commit(Journal *j, Error *e) {
        int r;

        if (!j->in_transaction)
                return j->broken ? journal_out_of_order(j, e) : 0;
        if (j->holds)
                repair_mark(j);
        j->holds = false;
        r = journal_step(j, STMT_COMMIT, e, "committing");
        if (r < 0)
                return r;
        j->in_transaction = false;
        return j->frames >= CHECKPOINT_FRAMES ? journal_checkpoint(j, e) : 0;
}

/* SQLite's own automatic checkpoint drops its errors, and a failed fsync is one that must not be missed (9.5). */
int journal_checkpoint(Journal *j, Error *e) {
        int rc;

        if (j->broken || j->in_transaction)
                return j->broken ? journal_out_of_order(j, e) : 0;
        rc = sqlite3_wal_checkpoint_v2(j->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
        if (rc != SQLITE_OK)
                return journal_fail(j, rc, e, "checkpointing");
        j->frames = 0;
        return 0;
}

int journal_commit_durable(Journal *j, Error *e) {
        char mark[24];
        int r;

        if (!j->in_transaction)
                return journal_commit(j, e);
        /* the pragma cannot change inside a transaction: what was gathered goes first, then a small write that is
         * synced with it. Its value has to be another one each time: SQLite does not write a page that would stay as it
         * is, and without a frame there is nothing that it would sync. */
        r = journal_commit(j, e);
        if (r < 0)
                return r;
        j->durable = MAX(j->durable + 1, clock_wall());
        (void) snprintf(mark, sizeof(mark), "%" PRId64, j->durable);
        (void) sqlite3_exec(j->db, "PRAGMA synchronous = FULL", NULL, NULL, NULL);
        r = journal_meta_put(j, "durable", mark, e);
        if (r >= 0)
                r = journal_commit(j, e);
        (void) sqlite3_exec(j->db, "PRAGMA synchronous = NORMAL", NULL, NULL, NULL);
        return r;
}

bool journal_open_transaction(const Journal *j) {
        return j->in_transaction;
}

bool journal_broken(const Journal *j) {
        return j->broken;
}

int64_t journal_sequence(Journal *j, int64_t wall_now) {
        j->sequence = MAX(j->sequence + 1, wall_now);
        return j->sequence;
}

int64_t journal_sequence_last(const Journal *j) {
        return j->sequence;
}
