#include "journal/repair.h"

#include "journal/state.h"
#include "util/clock.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define ASIDE ".aside" /* to be read once more */

/* Both files of a database, or neither (9.3); the log first, for a database never belongs to a log that it did not
 * write. */
static int move(const char *path, const char *from, const char *to, Error *e) {
        static const char *const suffixes[] = { "-wal", "" };
        char old[4200], new[4200];

        for (size_t i = 0; i < ELEMENTSOF(suffixes); i++) {
                (void) snprintf(old, sizeof(old), "%s%s%s", path, from, suffixes[i]);
                (void) snprintf(new, sizeof(new), "%s%s%s", path, to, suffixes[i]);
                if (rename(old, new) == 0)
                        continue;
                if (errno == ENOENT && i == 0) { /* no log: nor may there be one of another database */
                        (void) unlink(new);
                        continue;
                }
                return error_os(e, errno, "putting the damaged journal aside as %s", new);
        }
        return 0;
}

int repair_put_aside(const char *path, Error *e) {
        return move(path, "", ASIDE, e);
}

/* --- held deletions --- */

static void marker(const Journal *j, char ret[static 4200]) {
        (void) snprintf(ret, 4200, "%s.held", j->path);
}

bool repair_marked(const Journal *j) {
        char path[4200];

        marker(j, path);
        return access(path, F_OK) == 0;
}

void repair_mark(Journal *j) {
        _cleanup_close_ int fd = -1, dir_fd = -1;
        char path[4200];

        if (repair_marked(j))
                return;
        marker(j, path);
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return; /* full: nor can the journal be written */
        *strrchr(path, '/') = '\0';
        dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir_fd >= 0)
                (void) fsync(dir_fd);
}

void repair_unmark(Journal *j) {
        sqlite3_stmt *stmt;
        char path[4200];
        bool holding;

        if (!repair_marked(j))
                return;
        stmt = journal_stmt(j, STMT_HOLDING);
        holding = sqlite3_step(stmt) != SQLITE_ROW || sqlite3_column_int(stmt, 0) != 0;
        stmt_resetp(&stmt);
        if (holding)
                return;
        marker(j, path);
        (void) unlink(path);
}

/* --- what persons decided --- */

static int open_old(const char *path, sqlite3 **ret) {
        sqlite3 *db = NULL;

        if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL) !=
                    SQLITE_OK ||
            sqlite3_exec(db, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA trusted_schema = OFF", NULL, NULL, NULL) !=
                    SQLITE_OK) {
                (void) sqlite3_close(db);
                return -EUCLEAN;
        }
        (void) sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        *ret = db;
        return 0;
}

static int64_t count_tallied(sqlite3 *old, int64_t mapping) {
        sqlite3_stmt *stmt = NULL;
        int64_t n = 0;

        if (sqlite3_prepare_v2(old, "SELECT count(*) FROM path WHERE mapping = ?1 AND tallied", -1, &stmt, NULL) ==
            SQLITE_OK) {
                (void) sqlite3_bind_int64(stmt, 1, mapping);
                if (sqlite3_step(stmt) == SQLITE_ROW)
                        n = sqlite3_column_int64(stmt, 0);
        }
        (void) sqlite3_finalize(stmt);
        return n;
}

/* How deletions ended that were let go is forgotten with their rows: they are taken for carried out, now. */
static int salvage_window(Journal *j, sqlite3 *old, int64_t from, int64_t to, Error *e) {
        JournalMinute now = { to, clock_wall() / JOURNAL_MINUTE, count_tallied(old, from), 0 };
        sqlite3_stmt *stmt = NULL;
        int r = 0;

        if (sqlite3_prepare_v2(old, "SELECT " WINDOW_COLUMNS " FROM window WHERE mapping = ?1", -1, &stmt, NULL) ==
            SQLITE_OK) {
                (void) sqlite3_bind_int64(stmt, 1, from);
                while (r >= 0 && sqlite3_step(stmt) == SQLITE_ROW) {
                        JournalMinute m;

                        (void) facts_read_minute(stmt, &m);
                        m.mapping = to;
                        if (m.minute == now.minute) {
                                now.deletions += m.deletions;
                                now.overwrites = m.overwrites;
                        } else
                                r = facts_put_minute(j, &m, e);
                }
        }
        (void) sqlite3_finalize(stmt);
        return r < 0 ? r : facts_put_minute(j, &now, e);
}

static int salvage_mapping(Journal *j, sqlite3 *old, const char *name, const JournalMapping *was, Error *e) {
        JournalMapping now;
        int r = journal_mapping(j, name, &now, e);

        if (r < 0 || now.destination[0] != '\0') /* taken over already, before a crash */
                return r;
        now.paused = was->paused;
        now.met = was->met;
        now.suspect |= was->suspect || was->decision != 0;
        memcpy(now.destination, was->destination, sizeof(now.destination));
        memcpy(now.root, was->root, sizeof(now.root));
        r = journal_mapping_put(j, &now, e);
        return r < 0 ? r : salvage_window(j, old, was->id, now.id, e);
}

static int salvage(Journal *j, sqlite3 *old, Error *e) {
        sqlite3_stmt *stmt = NULL;
        int r = 0;

        if (sqlite3_prepare_v2(old, "SELECT " MAPPING_COLUMNS " FROM mapping", -1, &stmt, NULL) == SQLITE_OK)
                while (r >= 0 && sqlite3_step(stmt) == SQLITE_ROW) {
                        const char *name = (const char *) sqlite3_column_text(stmt, 1);
                        JournalMapping was;

                        if (facts_read_mapping(stmt, &was) && name)
                                r = salvage_mapping(j, old, name, &was, e);
                }
        (void) sqlite3_finalize(stmt);
        return r;
}

int repair_salvage(Journal *j, Error *e) {
        sqlite3 *old = NULL;
        char aside[4200];
        int r = 0;

        (void) snprintf(aside, sizeof(aside), "%s" ASIDE, j->path);
        if (access(aside, F_OK) < 0)
                return 0;
        if (open_old(aside, &old) >= 0) {
                r = salvage(j, old, e);
                (void) sqlite3_close(old);
        }
        if (r >= 0)
                r = journal_commit_durable(j, e);
        if (r >= 0)
                r = move(j->path, ASIDE, REPAIR_SUFFIX, e);
        return r < 0 ? r : 1;
}
