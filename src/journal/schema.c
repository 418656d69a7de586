#include "journal/schema.h"

#include "journal/journal-sql.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define VERSION_MAX 1000 /* of any azsyncd to come; whatever is above is a flipped bit */

int schema_error(sqlite3 *db, int rc, Error *e, const char *what) {
        int code;

        if (db && (rc & 0xff) == SQLITE_BUSY)
                return error_set(e, -EBUSY, ERROR_SQLITE, rc,
                                 "journal: %s is locked by another program, which has to end first (%s)",
                                 sqlite3_db_filename(db, "main"), what);
        switch (rc & 0xff) {
        case SQLITE_FULL:
                code = -ENOSPC;
                break;
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
                code = -EUCLEAN;
                break;
        case SQLITE_NOMEM:
                code = -ENOMEM;
                break;
        default:
                code = -EIO;
        }
        return error_set(e, code, ERROR_SQLITE, rc, "journal: %s: %s", what,
                         db ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
}

/* The same while it is opened: our statements are right, so if one makes no sense, the file is damaged. */
static int open_error(sqlite3 *db, int rc, Error *e, const char *what) {
        if ((rc & 0xff) == SQLITE_ERROR)
                return error_set(e, -EUCLEAN, ERROR_SQLITE, rc, "journal: damaged: %s: %s", what, sqlite3_errmsg(db));
        return schema_error(db, rc, e, what);
}

static int run(sqlite3 *db, const char *sql, Error *e) {
        int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);

        return rc == SQLITE_OK ? 0 : open_error(db, rc, e, "setting up");
}

static int ask_int(sqlite3 *db, const char *sql, int *ret, Error *e) {
        sqlite3_stmt *stmt = NULL;
        int rc, value = 0;

        rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
        if (rc == SQLITE_OK) {
                rc = sqlite3_step(stmt);
                if (rc == SQLITE_ROW) {
                        value = sqlite3_column_int(stmt, 0);
                        rc = SQLITE_OK;
                }
        }
        (void) sqlite3_finalize(stmt);
        if (rc != SQLITE_OK)
                return open_error(db, rc, e, "reading");
        *ret = value;
        return 0;
}

/* Everything but the contents of rows, whose sums are for that: the tree, the order, each index against its table (1 M
 * rows take 0.9 s). What cannot be read is as good as damaged: it will not be any better the next time. */
static int check(sqlite3 *db, Error *e) {
        sqlite3_stmt *stmt = NULL;
        int rc, r = 0;

        rc = sqlite3_prepare_v2(db, "PRAGMA integrity_check(1)", -1, &stmt, NULL);
        if (rc == SQLITE_OK)
                rc = sqlite3_step(stmt);
        if (rc == SQLITE_IOERR_READ)
                r = error_set(e, -EUCLEAN, ERROR_SQLITE, rc, "journal: cannot be read: %s", sqlite3_errmsg(db));
        else if (rc != SQLITE_ROW)
                r = open_error(db, rc, e, "checking");
        else {
                const char *text = (const char *) sqlite3_column_text(stmt, 0);

                if (!text || strcmp(text, "ok") != 0)
                        r = error_set(e, -EUCLEAN, ERROR_SQLITE, SQLITE_CORRUPT, "journal: damaged: %s",
                                      text ? text : "?");
        }
        (void) sqlite3_finalize(stmt);
        return r;
}

/* A flipped bit in a CREATE statement may leave one that means something else. SQLite keeps their texts as they were
 * given. */
static int check_schema(sqlite3 *db, Error *e) {
        sqlite3_stmt *stmt = NULL;
        int rc, r = 0;

        rc = sqlite3_prepare_v2(
                db, "SELECT group_concat(sql || ';', '') FROM (SELECT sql FROM sqlite_schema ORDER BY rowid)", -1,
                &stmt, NULL);
        if (rc == SQLITE_OK)
                rc = sqlite3_step(stmt);
        if (rc != SQLITE_ROW)
                r = open_error(db, rc, e, "reading");
        else {
                const char *text = (const char *) sqlite3_column_text(stmt, 0);

                if (!text || strcmp(text, JOURNAL_SCHEMA) != 0)
                        r = error_set(e, -EUCLEAN, ERROR_SQLITE, SQLITE_CORRUPT,
                                      "journal: damaged: its tables are not those of this version");
        }
        (void) sqlite3_finalize(stmt);
        return r;
}

static int make(sqlite3 *db, Error *e) {
        char sql[160];
        int r;

        /* one transaction: a crash in it leaves an empty file, which is made anew */
        r = run(db, "BEGIN IMMEDIATE;" JOURNAL_SCHEMA, e);
        if (r < 0)
                return r;
        (void) snprintf(sql, sizeof(sql),
                        "INSERT INTO meta (key, value) VALUES ('id', hex(randomblob(16)));"
                        "PRAGMA user_version = %i; COMMIT;",
                        JOURNAL_SCHEMA_VERSION);
        return run(db, sql, e);
}

static int migrate(sqlite3 *db, Error *e) {
        int version = 0, r;

        r = ask_int(db, "PRAGMA user_version", &version, e);
        if (r < 0)
                return r;
        if (version < 0 || version > VERSION_MAX)
                return error_set(e, -EUCLEAN, ERROR_SQLITE, version, "journal: damaged: its version is %i", version);
        if (version > JOURNAL_SCHEMA_VERSION)
                return error_set(e, -EPROTO, ERROR_SQLITE, version,
                                 "journal: written by a newer azsyncd (schema %i, this one knows %i): install that "
                                 "version again, or move the journal away to start with a new one",
                                 version, JOURNAL_SCHEMA_VERSION);
        if (version == 0)
                return make(db, e);
        r = check(db, e);
        return r < 0 ? r : check_schema(db, e);
}

int schema_open(sqlite3 **ret, const char *path, Error *e) {
        _cleanup_close_ int fd = -1;
        sqlite3 *db = NULL;
        int rc, r;

        assert(ret && path);

        /* made by us, so that it never has wider permissions, whatever the umask; the WAL inherits them */
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return error_os(e, errno, "opening the journal %s", path);
        if (fchmod(fd, 0600) < 0)
                return error_os(e, errno, "restricting the journal %s", path);
        closep(&fd); /* before SQLite opens it: closing a second descriptor later would drop its locks (9.3) */
        fd = -1;

        rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
        if (rc != SQLITE_OK) {
                r = open_error(db, rc, e, "opening");
                (void) sqlite3_close(db);
                return r;
        }
        (void) sqlite3_busy_timeout(db, 2000);
        (void) sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);

        /* exclusive before WAL: no shared memory file, so no SIGBUS on a full disk (9.2) */
        r = run(db,
                "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                "PRAGMA mmap_size = 0; PRAGMA cache_size = -8192; PRAGMA temp_store = MEMORY;"
                "PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = 67108864; PRAGMA trusted_schema = OFF;",
                e);
        if (r >= 0 && sqlite3_db_readonly(db, "main") != 0) /* not the file, which is open: its header says so */
                r = error_set(e, -EUCLEAN, ERROR_SQLITE, SQLITE_READONLY, "journal: damaged: its header is not ours");
        if (r >= 0)
                r = migrate(db, e);
        if (r < 0) {
                (void) sqlite3_close(db);
                return r;
        }
        *ret = db;
        return 0;
}
