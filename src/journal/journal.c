#include "journal/journal.h"

#include "journal/repair.h"
#include "journal/state.h"
#include "util/clock.h"
#include "util/places.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define CHECKPOINT_FRAMES 4000 /* 16 MB: the log grows no further (9.8) */
#define ROOM 131072

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

static void sql_resum(sqlite3_context *context, int n, sqlite3_value **values) {
        sqlite3_result_int64(context,
                             (int64_t) row_resum((uint64_t) sqlite3_value_int64(values[0]),
                                                 (RowField) sqlite3_value_int(values[1]),
                                                 sqlite3_value_int64(values[2]), sqlite3_value_int64(values[3])));
}

static int on_wal(void *userdata, sqlite3 *db, const char *name, int frames) {
        Journal *j = userdata;

        j->frames = frames;
        return SQLITE_OK;
}

static void journal_unprepare(Journal *j) {
        for (size_t i = 0; i < _STMTS; i++) {
                (void) sqlite3_finalize(j->stmt[i]);
                j->stmt[i] = NULL;
        }
}

static int out_of_order(const Journal *j, Error *e) {
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
                return out_of_order(j, e);
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
                return out_of_order(j, e);
        if (j->in_transaction)
                return 0;
        r = journal_step(j, STMT_BEGIN, e, "beginning");
        if (r >= 0)
                j->in_transaction = true;
        return r;
}

static int meta_get(Journal *j, const char *key, char *ret, size_t room, Error *e) {
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

static int meta_put(Journal *j, const char *key, const char *value, Error *e) {
        int r = journal_begin(j, e);

        if (r < 0)
                return r;
        (void) sqlite3_bind_text(journal_stmt(j, STMT_META_PUT), 1, key, -1, SQLITE_STATIC);
        (void) sqlite3_bind_text(journal_stmt(j, STMT_META_PUT), 2, value, -1, SQLITE_STATIC);
        return journal_step(j, STMT_META_PUT, e, "writing");
}

static int read_boot_id(char ret[static 64]) {
        _cleanup_close_ int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
        ssize_t n = fd >= 0 ? read(fd, ret, 63) : -1;

        ret[MAX(n, 0)] = '\0';
        ret[strcspn(ret, "\n")] = '\0';
        return 0;
}

/* What the last process left: due times of another boot mean nothing. If the machine went down under it, the newest
 * confirmations may be lost, and so may the newest changes of the folders, which fell back to what the journal says: no
 * scan would see that the cloud is ahead of both. So every container is listed again. And a file overwritten in place
 * may have its new bytes under its old stamp (ext4 and xfs write the two at different times): so every file is read
 * again; what turns out to be the same is not sent. */
static int journal_start(Journal *j, Error *e) {
        char boot[64], old[64] = "", clean[8] = "";
        sqlite3_stmt *stmt;
        int r, rc;

        (void) read_boot_id(boot);
        r = meta_get(j, "boot", old, sizeof(old), e);
        if (r >= 0)
                r = meta_get(j, "clean", clean, sizeof(clean), e);
        if (r >= 0 && strcmp(boot, old) != 0) {
                r = journal_begin(j, e);
                if (r >= 0)
                        r = journal_step(j, STMT_UNDUE, e, "recovering");
                if (r >= 0)
                        r = meta_put(j, "boot", boot, e);
                if (r >= 0 && strcmp(clean, "yes") != 0)
                        r = journal_step(j, STMT_CUT_OFF, e, "recovering");
        }
        /* also if it says so: who wrote that may have been killed before it reached the disk */
        if (r >= 0 && (strcmp(clean, "no") != 0 || !j->started))
                r = meta_put(j, "clean", "no", e);
        if (r >= 0 && j->in_transaction) /* or it would say "yes" after a power cut */
                r = journal_commit_durable(j, e);
        if (r < 0)
                return r;
        j->started = j->wiped = true;

        stmt = journal_stmt(j, STMT_LAST_FIRST);
        rc = sqlite3_step(stmt);
        if (rc == SQLITE_ROW)
                j->sequence = MAX(j->sequence, sqlite3_column_int64(stmt, 0));
        stmt_resetp(&stmt);
        return rc == SQLITE_ROW ? 0 : journal_fail(j, rc, e, "reading");
}

static int take_lock(const char *state_dir, Error *e) {
        _cleanup_close_ int fd = -1;
        char path[4096];
        int r;

        r = place_make(state_dir, 0700);
        if (r < 0)
                return error_os(e, -r, "making the state directory %s", state_dir);
        if (snprintf(path, sizeof(path), "%s/lock", state_dir) >= (int) sizeof(path))
                return error_os(e, ENAMETOOLONG, "the state directory");
        /* not a pid file: the kernel drops it with the process (pitfalls 9.9) */
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return error_os(e, errno, "opening %s", path);
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
                if (errno == EWOULDBLOCK)
                        return error_set(e, -EBUSY, ERROR_OS, EBUSY, "another azsyncd uses the state directory %s",
                                         state_dir);
                return error_os(e, errno, "locking %s", path);
        }
        return TAKE_FD(fd);
}

static Journal *journal_free(Journal *j) {
        if (!j)
                return NULL;
        journal_unprepare(j);
        (void) sqlite3_close(j->db);
        closep(&j->lock_fd);
        counts_drop(j);
        free(j->counts);
        free(j);
        return NULL;
}
DEFINE_CLEANUP(Journal *, journal_free);

static void journal_unload(Journal *j) {
        journal_unprepare(j);
        (void) sqlite3_close(j->db);
        j->db = NULL;
        j->in_transaction = false;
        j->frames = 0;
}

static int journal_load(Journal *j, Error *e) {
        int r = schema_open(&j->db, j->path, e);

        if (r < 0)
                return r;
        (void) sqlite3_wal_hook(j->db, on_wal, j);
        if (sqlite3_create_function(j->db, "resum", 4, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL, sql_resum, NULL,
                                    NULL) != SQLITE_OK)
                return error_oom(e);
        return 0;
}

/* Opens what is there; what is damaged is put aside first, and read once more for what persons decided (9.7). 1: it is
 * another journal than the one before. Negative: j->trouble says why; it is closed. */
static int journal_reopen(Journal *j) {
        char id[sizeof(j->id)] = "";
        Error e = ERROR_NULL;
        int r;

        journal_unload(j);
        j->broken = false; /* as far as the calls below are concerned */
        r = j->damaged ? -EUCLEAN : journal_load(j, &j->trouble);
        if (r == -EUCLEAN) {
                journal_unload(j);
                r = repair_put_aside(j->path, &e);
                if (r >= 0) {
                        j->damaged = false;
                        j->quarantined = true;
                        r = journal_load(j, &e);
                }
        }
        if (r >= 0)
                r = repair_salvage(j, &e);
        if (r >= 0)
                r = journal_start(j, &e);
        if (r >= 0)
                r = meta_get(j, "id", id, sizeof(id), &e);
        if (r < 0) {
                journal_unload(j);
                j->broken = true;
                if (e.code < 0)
                        j->trouble = e;
                return r;
        }
        r = strcmp(id, j->id) != 0;
        memcpy(j->id, id, sizeof(id));
        return r;
}

int journal_open(Journal **ret, const char *state_dir, bool *ret_quarantined, Error *e) {
        _cleanup_(journal_freep) Journal *j = NULL;
        int r;

        assert(ret && state_dir && ret_quarantined);

        j = calloc(1, sizeof(*j));
        if (!j)
                return error_oom(e);
        j->lock_fd = -1;
        r = take_lock(state_dir, e);
        if (r < 0)
                return r;
        j->lock_fd = r;
        if (snprintf(j->path, sizeof(j->path), "%s/journal.db", state_dir) >= (int) sizeof(j->path))
                return error_os(e, ENAMETOOLONG, "the state directory");

        r = journal_reopen(j);
        if (r < 0 && r != -ENOSPC) {
                (void) out_of_order(j, e);
                return r;
        } /* full is no reason not to watch, and to say so in status: it goes on when there is room (9.4) */
        *ret_quarantined = j->quarantined;
        if (j->quarantined)
                (void) error_set(e, -EUCLEAN, ERROR_SQLITE, SQLITE_CORRUPT, "%.380s; put aside as %s", j->trouble.text,
                                 REPAIR_KEPT);
        *ret = TAKE_PTR(j);
        return 0;
}

void journal_listen(Journal *j, void (*fn)(void *userdata), void *userdata) {
        j->on_trouble = fn;
        j->userdata = userdata;
}

const Error *journal_trouble(const Journal *j) {
        return &j->trouble;
}

Journal *journal_close(Journal *j) {
        if (!j)
                return NULL;
        j->on_trouble = NULL;
        if (!j->broken && meta_put(j, "clean", "yes", NULL) >= 0 && journal_commit(j, NULL) >= 0) {
                repair_unmark(j);
                (void) sqlite3_wal_checkpoint_v2(j->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
        }
        return journal_free(j);
}

int journal_commit(Journal *j, Error *e) {
        int r;

        if (!j->in_transaction)
                return j->broken ? out_of_order(j, e) : 0;
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
                return j->broken ? out_of_order(j, e) : 0;
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
        r = meta_put(j, "durable", mark, e);
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

/* Room for what a busy moment writes, or the next moment would find it full again. Of bytes that no file system makes
 * fewer. */
static int take_room(Journal *j, Error *e) {
        static const int steps[] = { STMT_ROOM_TAKE, STMT_ROOM_GIVE };
        _cleanup_free_ uint64_t *noise = malloc(ROOM);
        uint64_t word = (uint64_t) clock_wall() | 1;
        int r = 0;

        if (!noise)
                return error_oom(e);
        for (size_t i = 0; i < ROOM / sizeof(*noise); i++) {
                word ^= word << 13; /* Marsaglia's xorshift */
                word ^= word >> 7;
                word ^= word << 17;
                noise[i] = word;
        }
        (void) sqlite3_bind_blob(journal_stmt(j, STMT_ROOM_TAKE), 1, noise, ROOM, SQLITE_STATIC);
        for (size_t i = 0; i < ELEMENTSOF(steps) && r >= 0; i++) {
                r = journal_begin(j, e);
                if (r >= 0)
                        r = journal_step(j, steps[i], e, "trying to write");
                if (r >= 0)
                        r = journal_commit(j, e);
        }
        return r;
}

int journal_recover(Journal *j, Error *e) {
        void (*on_trouble)(void *) = TAKE_PTR(j->on_trouble);
        int r;

        assert(j);

        /* after a failed fsync the kernel calls its pages clean: only a fresh look at the file proves anything (9.5) */
        r = journal_reopen(j);
        if (r > 0) {
                j->another = true;
                counts_drop(j);
        }
        if (r >= 0)
                r = take_room(j, NULL);
        for (size_t i = 0; i < j->n_counts && r >= 0; i++)
                r = counts_load(j, &j->counts[i], NULL);
        j->on_trouble = on_trouble;
        if (r < 0)
                return out_of_order(j, e);
        r = j->another;
        if (r > 0 && e)
                *e = j->trouble;
        j->another = false;
        return r;
}

int64_t journal_sequence(Journal *j, int64_t wall_now) {
        j->sequence = MAX(j->sequence + 1, wall_now);
        return j->sequence;
}

int64_t journal_sequence_last(const Journal *j) {
        return j->sequence;
}
