/* From a file to a journal that works, at the start and after each trouble, and its end. */
#include "journal/repair.h"
#include "journal/state.h"
#include "util/clock.h"
#include "util/places.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define ROOM 131072

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
        r = journal_meta_get(j, "boot", old, sizeof(old), e);
        if (r >= 0)
                r = journal_meta_get(j, "clean", clean, sizeof(clean), e);
        if (r >= 0 && strcmp(boot, old) != 0) {
                r = journal_begin(j, e);
                if (r >= 0)
                        r = journal_step(j, STMT_UNDUE, e, "recovering");
                if (r >= 0)
                        r = journal_meta_put(j, "boot", boot, e);
                if (r >= 0 && strcmp(clean, "yes") != 0)
                        r = journal_step(j, STMT_CUT_OFF, e, "recovering");
        }
        /* also if it says so: who wrote that may have been killed before it reached the disk */
        if (r >= 0 && (strcmp(clean, "no") != 0 || !j->started))
                r = journal_meta_put(j, "clean", "no", e);
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
                r = journal_meta_get(j, "id", id, sizeof(id), &e);
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
                (void) journal_out_of_order(j, e);
                return r;
        } /* full is no reason not to watch, and to say so in status: it goes on when there is room (9.4) */
        *ret_quarantined = j->quarantined;
        if (j->quarantined)
                (void) error_set(e, -EUCLEAN, ERROR_SQLITE, SQLITE_CORRUPT, "%.380s; put aside as %s", j->trouble.text,
                                 REPAIR_KEPT);
        *ret = TAKE_PTR(j);
        return 0;
}

Journal *journal_close(Journal *j) {
        if (!j)
                return NULL;
        j->on_trouble = NULL;
        if (!j->broken && journal_meta_put(j, "clean", "yes", NULL) >= 0 && journal_commit(j, NULL) >= 0) {
                repair_unmark(j);
                (void) sqlite3_wal_checkpoint_v2(j->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
        }
        return journal_free(j);
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
                return journal_out_of_order(j, e);
        r = j->another;
        if (r > 0 && e)
                *e = j->trouble;
        j->another = false;
        return r;
}
