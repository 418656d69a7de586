/* A journal whose bytes are not those that were written (pitfalls 9.6, 9.7): what is not believed, what is taken over
 * into a new one, and that no deletion goes ahead on the strength of it. */
#include "journal-fixture.h"

#include "journal/journal-sql.h"

/* --- decisions --- */

/* What changes many rows at once leaves right sums right, and wrong ones wrong. */
static void test_sums_follow(void **state) {
        Journal *j = open_journal();
        int64_t m = mapping(j);
        Row *row;

        confirm(j, m, "good");
        confirm(j, m, "bad");
        park(j, m, "good", PATH_GONE);
        park(j, m, "bad", PATH_GONE);
        assert_int_equal(journal_commit(j, NULL), 0);
        assert_int_equal(
                sqlite3_exec(j->db, "UPDATE path SET moved = 1 WHERE name = CAST('bad' AS BLOB)", NULL, NULL, NULL),
                SQLITE_OK);
        row = get(j, m, "bad", 1);
        assert_true(row->held && row->doubt && !row->moved && !row->confirmed && row->state == PATH_PENDING);
        free(row);
        decide(j, DECISION_HOLD, 3);
        row = get(j, m, "good", 1);
        assert_true(row->confirmed && row->held && row->state == PATH_HELD);
        free(row);
        decide(j, DECISION_APPROVE, 3);
        row = get(j, m, "good", 1);
        assert_true(row->confirmed && row->approved && !row->held && row->state == PATH_GONE);
        row_claim(row);
        put(j, m, row);
        assert_int_equal(journal_unclaim(j, m, NULL), 0);
        row = get(j, m, "good", 1);
        assert_true(row->confirmed && row->doubt && row->approved && row->state == PATH_PENDING);
        free(row);
        assert_int_equal(journal_release(j, m, PATH_PENDING, 1, NULL), 0);
        row = get(j, m, "good", 1);
        assert_true(row->confirmed && !row->held);
        free(row);
        row = get(j, m, "bad", 1);
        assert_true(row->held && !row->approved);
        put(j, m, row); /* known to be suspect now, and that is kept */
        row = get(j, m, "bad", 1);
        assert_true(row->held && row->doubt);
        row_settle(row, row->gen, &(Stamp){ .size = 1 }, 1);
        assert_false(row->held);
        free(row);
        journal_close(j);
}

/* each unchecked bit of a row that a deletion hangs on */
static void test_flipped_decisions(void **state) {
        static const char *const flips[] = { "approved = 1",        "moved = 1",
                                             "state = 3",           "state = 1",
                                             "doubt = 1",           "content = 1",
                                             "marked = 99",         "approved = 1, state = 3",
                                             "held = 0, state = 1", "held = 0" };

        for (size_t i = 0; i < ELEMENTSOF(flips); i++) {
                Journal *j = open_journal();
                int64_t m = mapping(j);
                char name[16], sql[160];
                Row *row;

                (void) snprintf(name, sizeof(name), "f%zu", i);
                confirm(j, m, name);
                park(j, m, name, PATH_GONE);
                decide(j, DECISION_HOLD, 3);
                assert_int_equal(journal_commit(j, NULL), 0);
                (void) snprintf(sql, sizeof(sql), "UPDATE path SET %s WHERE name = CAST('%s' AS BLOB)", flips[i], name);
                assert_int_equal(sqlite3_exec(j->db, sql, NULL, NULL, NULL), SQLITE_OK);
                row = get(j, m, name, 1);
                assert_true(row->held && !row->approved && !row->moved && row->state != PATH_GONE);
                free(row);
                journal_close(j);
        }
}

static void test_mapping_sum(void **state) {
        static const char *const flips[] = { "root = zeroblob(32)", "destination = 'x'", "contacted = 1",
                                             "suspect = 1",         "scan = 0",          "last_sync = 5" };
        Journal *j = open_journal();

        for (size_t i = 0; i < ELEMENTSOF(flips); i++) {
                char name[16], sql[160];
                JournalMapping m;

                (void) snprintf(name, sizeof(name), "m%zu", i);
                assert_int_equal(journal_mapping(j, name, &m, NULL), 0);
                memset(m.root, 7, sizeof(m.root));
                (void) snprintf(m.destination, sizeof(m.destination), "https://there");
                m.paused = true;
                assert_int_equal(journal_mapping_put(j, &m, NULL), 0);
                assert_int_equal(journal_mapping(j, name, &m, NULL), 0);
                assert_true(m.paused && m.root[31] == 7 && !m.damaged && !m.suspect);
                assert_int_equal(journal_commit(j, NULL), 0);
                (void) snprintf(sql, sizeof(sql), "UPDATE mapping SET %s WHERE name = '%s'", flips[i], name);
                assert_int_equal(sqlite3_exec(j->db, sql, NULL, NULL, NULL), SQLITE_OK);
                assert_int_equal(journal_mapping(j, name, &m, NULL), 0);
                assert_true(m.damaged && m.suspect && m.paused && m.met && !m.contacted && m.destination[0] == '\0' &&
                            m.root[31] == 0);
                assert_int_equal(journal_mapping_put(j, &m, NULL), 0);
                assert_int_equal(journal_mapping(j, name, &m, NULL), 0);
                assert_true(m.suspect && !m.damaged);
        }
        journal_close(j);
}

/* pitfalls 7.4: an hour, no more rows than minutes, a clock that is set back, and a minute that was damaged */
static void test_window(void **state) {
        Journal *j = open_journal();
        int64_t m = mapping(j);

        for (int64_t minute = 1000; minute < 1200; minute++)
                assert_int_equal(journal_window_add(j, m, minute, 2, 1, NULL), 0);
        assert_int_equal(deletions(j, m, 1199), 120);
        assert_int_equal(deletions(j, m, 1229), 60);
        assert_int_equal(rows_in(j, "window"), 60);
        /* set back by two hours: nothing is forgotten, and it does not stay for ever either */
        assert_int_equal(deletions(j, m, 1079), 120);
        assert_int_equal(journal_window_add(j, m, 1079, 1, 0, NULL), 0);
        assert_int_equal(deletions(j, m, 1079), 121);
        assert_int_equal(rows_in(j, "window"), 1);
        assert_int_equal(deletions(j, m, 1139), 0);

        assert_int_equal(journal_commit(j, NULL), 0);
        assert_int_equal(sqlite3_exec(j->db, "UPDATE window SET deletions = 0, minute = 3", NULL, NULL, NULL),
                         SQLITE_OK);
        assert_true(deletions(j, m, 2000) == UINT64_MAX);
        assert_true(deletions(j, m, 2059) == UINT64_MAX);
        assert_int_equal(deletions(j, m, 2060), 0);
        journal_close(j);
}

/* pitfalls 9.7: put aside whole; what persons decided is taken over, and held deletions make the new one careful. */
static void test_salvage(void **state) {
        int64_t minute = clock_wall() / JOURNAL_MINUTE;
        Error e = ERROR_NULL;
        Journal *j = open_journal();
        JournalMapping m;
        bool quarantined;
        char path[128];
        struct stat st;
        Row *row;
        int fd;

        assert_int_equal(journal_mapping(j, "held", &m, NULL), 0);
        fill(j, m.id);
        (void) snprintf(m.destination, sizeof(m.destination), "https://held");
        assert_int_equal(journal_mapping_put(j, &m, NULL), 0);
        assert_int_equal(journal_window_add(j, m.id, minute - 1, 5, 0, NULL), 0);
        assert_int_equal(journal_window_add(j, m.id, minute, 2, 0, NULL), 0);
        row = get(j, m.id, "d0/file007.txt", 1);
        row->tallied = true; /* let go, and in doubt */
        put(j, m.id, row);
        assert_int_equal(journal_mapping(j, "quiet", &m, NULL), 0);
        (void) snprintf(m.destination, sizeof(m.destination), "https://quiet");
        memset(m.root, 9, sizeof(m.root));
        m.paused = m.contacted = m.met = true;
        assert_int_equal(journal_mapping_put(j, &m, NULL), 0);
        journal_close(j);
        /* an index that does not agree: found by the check at the start, and the tables can be read */
        (void) snprintf(path, sizeof(path), "%s/journal.db", dir);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0 && fstat(fd, &st) == 0);
        (void) close(fd);
        {
                sqlite3 *db;

                assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
                assert_int_equal(
                        sqlite3_exec(db,
                                     "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, "
                                     "'state > 0', 'state > 1') WHERE name = 'path_work'",
                                     NULL, NULL, NULL),
                        SQLITE_OK);
                (void) sqlite3_close(db);
        }
        assert_int_equal(journal_open(&j, dir, &quarantined, &e), 0);
        assert_true(quarantined);
        assert_non_null(strstr(e.text, "journal.db.damaged"));
        (void) snprintf(path, sizeof(path), "%s/journal.db.damaged", dir);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(rows_in(j, "path"), 0);
        assert_int_equal(journal_mapping(j, "held", &m, NULL), 0);
        assert_true(m.suspect && m.scan && !m.paused && !m.contacted);
        assert_string_equal(m.destination, "https://held");
        assert_int_equal(deletions(j, m.id, clock_wall() / JOURNAL_MINUTE), 8);
        assert_int_equal(journal_mapping(j, "quiet", &m, NULL), 0);
        assert_int_equal(deletions(j, m.id, clock_wall() / JOURNAL_MINUTE), 0);
        assert_true(m.suspect && m.paused && m.met && !m.contacted && m.root[31] == 9);
        journal_close(j);
}

/* a bit in a CREATE statement that leaves a sound database with another meaning */
static void test_other_schema(void **state) {
        Error e = ERROR_NULL;
        Journal *j = open_journal();
        bool quarantined;
        char path[128];
        sqlite3 *db;

        fill(j, mapping(j));
        journal_close(j);
        (void) snprintf(path, sizeof(path), "%s/journal.db", dir);
        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db,
                                      "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, "
                                      "'scan INTEGER NOT NULL DEFAULT 1', 'scan INTEGER NOT NULL DEFAULT 0')",
                                      NULL, NULL, NULL),
                         SQLITE_OK);
        (void) sqlite3_close(db);
        assert_int_equal(journal_open(&j, dir, &quarantined, &e), 0);
        assert_true(quarantined);
        journal_close(j);
        assert_int_equal(journal_open(&j, dir, &quarantined, &e), 0);
        assert_false(quarantined);
        journal_close(j);
}

/* pitfalls 9.6, 7.5: that something is held outlives the journal, however little of that can be read */
static void test_held_is_not_forgotten(void **state) {
        Journal *j = open_journal();
        char path[128], marker[160];
        JournalMapping m;

        (void) snprintf(path, sizeof(path), "%s/journal.db", dir);
        (void) snprintf(marker, sizeof(marker), "%s.held", path);
        confirm(j, mapping(j), "a");
        confirm(j, mapping(j), "b");
        assert_int_equal(journal_commit(j, NULL), 0);
        assert_int_equal(access(marker, F_OK), -1);
        park(j, mapping(j), "a", PATH_GONE);
        decide(j, DECISION_HOLD, 3);
        assert_int_equal(journal_commit_durable(j, NULL), 0);
        assert_int_equal(access(marker, F_OK), 0);
        journal_close(j);
        assert_int_equal(access(marker, F_OK), 0);
        assert_int_equal(unlink(path), 0);

        j = open_journal();
        assert_int_equal(journal_mapping(j, "photos", &m, NULL), 0);
        assert_true(m.suspect);
        journal_close(j); /* and not until that is over */
        j = open_journal();
        assert_int_equal(journal_mapping(j, "photos", &m, NULL), 0);
        assert_true(m.suspect);
        m.suspect = false;
        assert_int_equal(journal_mapping_put(j, &m, NULL), 0);
        journal_close(j);
        assert_int_equal(access(marker, F_OK), -1);

        j = open_journal();
        confirm(j, mapping(j), "b");
        park(j, mapping(j), "b", PATH_HELD);
        assert_int_equal(journal_commit(j, NULL), 0);
        assert_int_equal(access(marker, F_OK), 0);
        decide(j, DECISION_APPROVE, 3);
        journal_close(j);
        assert_int_equal(access(marker, F_OK), -1);
}

/* killed between putting aside and taking over: done at the next start */
static void test_salvage_after_a_kill(void **state) {
        Journal *j = open_journal();
        char path[128], aside[160];
        JournalMapping m;

        assert_int_equal(journal_mapping(j, "photos", &m, NULL), 0);
        m.paused = true;
        assert_int_equal(journal_mapping_put(j, &m, NULL), 0);
        journal_close(j);
        (void) snprintf(path, sizeof(path), "%s/journal.db", dir);
        (void) snprintf(aside, sizeof(aside), "%s.aside", path);
        assert_int_equal(rename(path, aside), 0);
        j = open_journal();
        assert_int_equal(journal_mapping(j, "photos", &m, NULL), 0);
        assert_true(m.paused);
        assert_int_equal(access(aside, F_OK), -1);
        journal_close(j);
}

/* found in the middle of work: broken, and whole again as another journal */
static void test_damaged_at_run_time(void **state) {
        static char noise[4096];
        unsigned told = 0;
        Error e = ERROR_NULL;
        Journal *j = open_journal();
        int64_t m = mapping(j);
        Row *row = calloc(1, sizeof(*row));
        struct stat st;
        char path[128];

        assert_non_null(row);
        journal_listen(j, count_call, &told);
        fill(j, m);
        assert_int_equal(journal_commit(j, NULL), 0);
        assert_int_equal(journal_checkpoint(j, NULL), 0);
        (void) snprintf(path, sizeof(path), "%s/journal.db", dir);
        assert_int_equal(stat(path, &st), 0);
        memset(noise, 0x5a, sizeof(noise));
        for (off_t at = 4096; at < st.st_size; at += 4096)
                scribble("journal.db", at, noise, sizeof(noise));
        (void) sqlite3_db_release_memory(j->db);
        assert_int_equal(journal_get(j, m, "d0/file000.txt", 14, row, &e), -EUCLEAN);
        assert_true(told == 1 && journal_broken(j));
        assert_int_equal(journal_recover(j, &e), 1);
        assert_int_equal(journal_counts(j, m)->files, 0);
        hint(j, mapping(j), "again");
        assert_int_equal(journal_commit(j, NULL), 0);
        free(row);
        journal_close(j);
}

/* --- bytes that flip --- */

static uint64_t random_state;

static unsigned dice(unsigned n) {
        random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return (unsigned) (random_state >> 33) % n;
}

static void copy_file(const char *from, const char *to) {
        static char bytes[1 << 20];
        int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        ssize_t n;

        assert_true(in >= 0 && out >= 0);
        while ((n = read(in, bytes, sizeof(bytes))) > 0)
                assert_int_equal(write(out, bytes, (size_t) n), n);
        (void) close(in);
        (void) close(out);
}

static void flip(const char *path, unsigned n) {
        int fd = open(path, O_RDWR | O_CLOEXEC);
        struct stat st = { 0 };

        assert_true(fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0);
        while (n-- > 0) {
                off_t at = dice((unsigned) st.st_size);
                uint8_t byte;

                assert_int_equal(pread(fd, &byte, 1, at), 1);
                byte ^= (uint8_t) (1 + dice(255));
                assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        }
        (void) close(fd);
}

typedef struct Known {
        unsigned rows, unfit;
} Known;

/* Whatever a row says after the flips is either what was written, or is not believed; and no deletion goes ahead. */
static int check_row(const Row *row, void *userdata) {
        Known *known = userdata;

        known->rows++;
        known->unfit += row->held;
        if (row->held)
                assert_true(row->doubt && !row->confirmed && !row->approved && !row->moved && row->state != PATH_GONE);
        else {
                assert_true(row->confirmed && row->stamp.size == 10 && row->stamp.mtime_ns == -5);
                assert_memory_equal(row->md5, "0123456789abcde", 16);
                assert_string_equal(row->etag, "\"e\"");
                assert_true(!row->approved && !row->moved);
                assert_true(row->state == PATH_CLEAN || row->state == PATH_HELD || row->state == PATH_PENDING);
        }
        return 0;
}

static void check_rows(Journal *j, int64_t m, Known *known) {
        static JournalPage page;

        for (const char *after = NULL;; after = page.paths + page.rows[page.n - 1].path) {
                char last[ROW_PATH_MAX + 1] = "";

                if (after)
                        (void) snprintf(last, sizeof(last), "%s", after);
                assert_int_equal(journal_branch(j, m, last, strlen(last), NULL, 0, &page, NULL), 0);
                if (page.n == 0)
                        break;
                for (size_t i = 0; i < page.n; i++) {
                        Row *row = calloc(1, sizeof(*row));

                        assert_non_null(row);
                        assert_int_equal(
                                journal_get(j, m, page.paths + page.rows[i].path, page.rows[i].size, row, NULL), 1);
                        (void) check_row(row, known);
                        free(row);
                }
        }
        journal_page_done(&page);
}

/* pitfalls 9.6: AZSYNC_SEED=N begins with that seed. */
static void test_flipped_bytes(void **state) {
        const char *first = getenv("AZSYNC_SEED"), *often = getenv("AZSYNC_ROUNDS");
        unsigned long seed = first ? strtoul(first, NULL, 10) : 1, rounds = often ? strtoul(often, NULL, 10) : 0;
        unsigned whole = 0, aside = 0, refused = 0, unfit = 0;
        char files[4][128];
        Journal *j = open_journal();
        bool quarantined;

        if (rounds == 0)
                rounds = 500;
        for (unsigned i = 0; i < 4; i++)
                (void) snprintf(files[i], sizeof(files[i]), "%s/%s", dir,
                                ((const char *[]){ "journal.db", "journal.db-wal", "db", "wal" })[i]);
        fill(j, mapping(j));
        assert_int_equal(journal_commit(j, NULL), 0);
        assert_int_equal(journal_checkpoint(j, NULL), 0);
        for (unsigned i = 0; i < 300; i += 60) { /* and some in the log */
                char name[32];

                (void) snprintf(name, sizeof(name), "d%u/file%03u.txt", i / 100, i);
                hint(j, mapping(j), name);
        }
        assert_int_equal(journal_commit(j, NULL), 0);
        copy_file(files[0], files[2]);
        copy_file(files[1], files[3]);
        journal_close(j);

        for (unsigned long n = 0; n < rounds; n++, seed++) {
                Error e = ERROR_NULL;
                Known known = { 0 };
                JournalMapping m;
                int r;

                random_state = seed;
                copy_file(files[2], files[0]);
                copy_file(files[3], files[1]);
                flip(files[dice(4) == 0], 1 + dice(8));
                r = journal_open(&j, dir, &quarantined, &e);
                if (r == -EPROTO) { /* the version itself became a larger one: a person is asked */
                        refused++;
                        continue;
                }
                if (r < 0)
                        print_error("seed %lu: %s\n", seed, e.text);
                assert_int_equal(r, 0);
                assert_false(journal_broken(j));
                assert_int_equal(journal_mapping(j, "photos", &m, NULL), 0);
                for (size_t s = 0; s < _PATH_STATES; s++)
                        assert_in_range(journal_counts(j, m.id)->state[s], 0, 300);
                check_rows(j, m.id, &known);
                if (known.rows != (quarantined ? 0U : 300U))
                        print_error("seed %lu: %u rows\n", seed, known.rows);
                assert_int_equal(known.rows, quarantined ? 0 : 300);
                *(quarantined ? &aside : &whole) += 1;
                unfit += known.unfit;
                journal_close(j);
        }
        print_message("%lu journals with flipped bytes: %u usable, %u rows of theirs not believed; %u put aside, %u "
                      "refused\n",
                      rounds, whole, unfit, aside, refused);
        assert_true(whole > 0 && aside > 0 && unfit > 0);
}

/* thousands of openings: no disk is asked to sync */
static int in_memory(void **state) {
        (void) snprintf(dir, sizeof(dir), "/dev/shm/azsync-journal-XXXXXX");
        return mkdtemp(dir) ? 0 : setup(state);
}

/* pitfalls 9.10: one that a newer azsyncd wrote has other tables, too, and is no damaged one for that. */
static void test_newer_schema(void **state) {
        Error e = ERROR_NULL;
        Journal *j = open_journal();
        bool quarantined;
        char sql[96];

        (void) snprintf(sql, sizeof(sql), "CREATE TABLE more (x); PRAGMA user_version = %i",
                        JOURNAL_SCHEMA_VERSION + 1);
        assert_int_equal(sqlite3_exec(j->db, sql, NULL, NULL, NULL), SQLITE_OK);
        journal_close(j);
        for (unsigned i = 0; i < 2; i++) { /* and is still there afterwards */
                assert_int_equal(journal_open(&j, dir, &quarantined, &e), -EPROTO);
                assert_non_null(strstr(e.text, "newer azsyncd"));
        }
}

/* Whoever is to end it has to know what it holds. */
static void test_locked(void **state) {
        Error e = ERROR_NULL;
        sqlite3 *other = NULL;
        Journal *j = NULL;
        bool quarantined;
        char path[128];

        journal_close(open_journal());
        (void) snprintf(path, sizeof(path), "%s/journal.db", dir);
        assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
        assert_int_equal(sqlite3_exec(other, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(journal_open(&j, dir, &quarantined, &e), -EBUSY);
        assert_non_null(strstr(e.text, path));
        assert_non_null(strstr(e.text, "locked by another program"));
        assert_int_equal(sqlite3_close(other), SQLITE_OK);
        journal_close(open_journal());
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_sums_follow, in_memory, teardown),
                cmocka_unit_test_setup_teardown(test_flipped_decisions, in_memory, teardown),
                cmocka_unit_test_setup_teardown(test_mapping_sum, in_memory, teardown),
                cmocka_unit_test_setup_teardown(test_window, in_memory, teardown),
                cmocka_unit_test_setup_teardown(test_salvage, in_memory, teardown),
                cmocka_unit_test_setup_teardown(test_other_schema, in_memory, teardown),
                cmocka_unit_test_setup_teardown(test_newer_schema, in_memory, teardown),
                cmocka_unit_test_setup_teardown(test_locked, in_memory, teardown),
                cmocka_unit_test_setup_teardown(test_held_is_not_forgotten, in_memory, teardown),
                cmocka_unit_test_setup_teardown(test_salvage_after_a_kill, in_memory, teardown),
                cmocka_unit_test_setup_teardown(test_damaged_at_run_time, in_memory, teardown),
                cmocka_unit_test_setup_teardown(test_flipped_bytes, in_memory, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
