/* A journal in a folder of the test's own, and what is done to it again and again. */
#pragma once

#include "journal/state.h"
#include "util/clock.h"

#include <fcntl.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64];

static inline Journal *open_journal(void) {
        Error e = ERROR_NULL;
        Journal *j = NULL;
        bool quarantined;
        int r = journal_open(&j, dir, &quarantined, &e);

        if (r < 0)
                print_error("%s\n", e.text);
        assert_int_equal(r, 0);
        return j;
}

static inline Row *get(Journal *j, int64_t m, const char *path, int expect) {
        Row *row = calloc(1, sizeof(*row));

        assert_non_null(row);
        assert_int_equal(journal_get(j, m, path, strlen(path), row, NULL), expect);
        return row;
}

static inline void put(Journal *j, int64_t m, Row *row) {
        assert_int_equal(journal_put(j, m, row, NULL), 0);
        free(row);
}

static inline int64_t mapping(Journal *j) {
        JournalMapping m;

        assert_int_equal(journal_mapping(j, "photos", &m, NULL), 0);
        return m.id;
}

static inline void confirm(Journal *j, int64_t m, const char *path) {
        static const uint8_t md5[16] = "0123456789abcde";
        Stamp stamp = { .size = 10,
                        .mtime_ns = -5,
                        .ctime_ns = 6,
                        .btime_ns = 7,
                        .ino = UINT64_MAX - 1,
                        .mode = 0100600,
                        .uid = 3,
                        .gid = 4 };
        Row *row = get(j, m, path, 0);

        row_hint(row, true, 1, journal_sequence(j, 1));
        row_claim(row);
        row_confirm(row, row->gen, &stamp, "\"e\"", md5, 5);
        put(j, m, row);
}

/* `step` rows at a time */
static inline void decide(Journal *j, unsigned decision, unsigned step) {
        JournalMapping m;
        int r;

        assert_int_equal(journal_mapping(j, "photos", &m, NULL), 0);
        assert_int_equal(journal_decide(j, &m, decision, NULL), 0);
        do
                r = journal_carry(j, &m, step, NULL);
        while (r > 0);
        assert_true(r == 0 && m.decision == 0);
}

static inline void count_call(void *userdata) {
        (*(unsigned *) userdata)++;
}

static inline void hint(Journal *j, int64_t m, const char *path) {
        Row *row = calloc(1, sizeof(*row));

        assert_non_null(row);
        assert_true(journal_get(j, m, path, strlen(path), row, NULL) >= 0);
        row_hint(row, true, 7, journal_sequence(j, 7));
        put(j, m, row);
}

static inline void park(Journal *j, int64_t m, const char *path, PathState state) {
        Row *row = get(j, m, path, 1);

        row_park(row, row->gen, state, 1, "parked");
        put(j, m, row);
}

static inline PathState state_of(Journal *j, int64_t m, const char *path) {
        Row *row = get(j, m, path, 1);
        PathState state = row->state;

        free(row);
        return state;
}

static inline unsigned rows_in(Journal *j, const char *table) {
        sqlite3_stmt *stmt = NULL;
        char sql[160];
        unsigned n;

        (void) snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s", table);
        assert_int_equal(sqlite3_prepare_v2(j->db, sql, -1, &stmt, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
        n = (unsigned) sqlite3_column_int(stmt, 0);
        (void) sqlite3_finalize(stmt);
        return n;
}

static inline uint64_t deletions(Journal *j, int64_t m, int64_t minute) {
        JournalWindow w = { 0 };

        assert_int_equal(journal_window(j, m, minute, &w, NULL), 0);
        return w.unknown ? UINT64_MAX : w.deletions;
}

static inline void fill(Journal *j, int64_t m) {
        char name[32];

        for (unsigned i = 0; i < 300; i++) {
                (void) snprintf(name, sizeof(name), "d%u/file%03u.txt", i / 100, i);
                confirm(j, m, name);
                if (i % 50 == 1)
                        park(j, m, name, PATH_HELD);
                if (i % 50 == 2)
                        hint(j, m, name);
        }
}

static inline void scribble(const char *name, off_t at, const char *bytes, size_t size) {
        char path[128];
        int fd;

        (void) snprintf(path, sizeof(path), "%s/%s", dir, name);
        fd = open(path, O_WRONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(pwrite(fd, bytes, size, at), (ssize_t) size);
        (void) close(fd);
}

static inline int setup(void **state) {
        (void) snprintf(dir, sizeof(dir), "/tmp/azsync-journal-XXXXXX");
        return mkdtemp(dir) ? 0 : -1;
}

static inline int teardown(void **state) {
        char command[128];

        (void) snprintf(command, sizeof(command), "rm -rf -- %s", dir);
        return system(command); /* NOLINT(cert-env33-c) */
}
