/* The journal: pitfalls 8.1, 9.1-9.9. A real SQLite file in a folder of the test's own. */
#include "journal-fixture.h"

#include "journal/journal-sql.h"

#include <sys/wait.h>

static void test_rows_survive(void **state) {
        Journal *j = open_journal();
        int64_t m = mapping(j);
        JournalMapping other;
        static const char odd[] = "a\xff\n\x01";
        Row *row;

        confirm(j, m, odd);
        assert_int_equal(journal_mapping(j, "another", &other, NULL), 0);
        row = get(j, m, "b", 0);
        row_hint(row, true, 42, journal_sequence(j, 99));
        put(j, m, row);
        for (unsigned i = 0; i < 2; i++) { /* whatever state the newest is in, and whosever it is */
                row = get(j, other.id, i == 0 ? "failed" : "older", 0);
                row_hint(row, true, 42, 500 - i);
                put(j, other.id, row);
        }
        park(j, other.id, "failed", PATH_FAILED);
        journal_close(j);

        j = open_journal();
        m = mapping(j);
        row = get(j, m, odd, 1);
        assert_true(row->confirmed && row->has_md5 && !row->content && row->state == PATH_CLEAN);
        assert_true(row->stamp.ino == UINT64_MAX - 1 && row->stamp.mtime_ns == -5 && row->stamp.size == 10);
        assert_string_equal(row->etag, "\"e\"");
        free(row);
        row = get(j, m, "b", 1);
        assert_true(row->state == PATH_PENDING && row->content && row->first == 99 && row->gen == 1);
        free(row);
        assert_int_equal(journal_counts(j, m)->files, 1);
        assert_int_equal(journal_counts(j, m)->bytes, 10);
        assert_int_equal(journal_counts(j, m)->state[PATH_PENDING], 1);
        assert_int_equal(journal_sequence(j, 1), 501); /* rises over restarts too */
        journal_close(j);
}

/* pitfalls 8.1: a hint that comes while a job runs is never covered by that job's confirmation */
static void test_generation(void **state) {
        Row row = { .path = "x", .path_size = 1 };
        Stamp stamp = { .size = 1 };
        uint64_t gen;

        row_hint(&row, true, 10, 100);
        row_claim(&row);
        gen = row.gen;
        row_hint(&row, true, 20, 200);
        assert_int_equal(row.state, PATH_CLAIMED);
        row_confirm(&row, gen, &stamp, "\"1\"", NULL, 150);
        assert_int_equal(row.state, PATH_PENDING);
        assert_true(row.content);
        assert_int_equal(row.due, 20);
        assert_int_equal(row.first, 150); /* not younger than the hint, so that `wait` cannot miss it */
        row_claim(&row);
        row_confirm(&row, row.gen, &stamp, "\"2\"", NULL, 300);
        assert_int_equal(row.state, PATH_CLEAN);
        assert_int_equal(row.first, 0);
}

/* The same bytes again: what was confirmed is confirmed once more, under its own ETag */
static void test_confirmed_again(void **state) {
        Row row = { .path = "x", .path_size = 1 };
        Stamp stamp = { .size = 1 };
        uint8_t md5[16] = { 7 };

        row_hint(&row, true, 10, 100);
        row_claim(&row);
        row_confirm(&row, row.gen, &stamp, "\"1\"", md5, 100);
        row_hint(&row, true, 20, 200);
        row_claim(&row);
        row_confirm(&row, row.gen, &stamp, row.etag, md5, 200);
        assert_int_equal(row.state, PATH_CLEAN);
        assert_string_equal(row.etag, "\"1\"");
}

/* pitfalls 7.8: any new event cancels a pending deletion */
static void test_hint_cancels(void **state) {
        static const PathState parked[] = { PATH_GONE, PATH_HELD, PATH_FAILED, PATH_CONFLICT, PATH_SKIPPED };

        for (size_t i = 0; i < sizeof(parked) / sizeof(parked[0]); i++) {
                Row row = { .path = "x", .path_size = 1 };

                row_park(&row, 0, parked[i], 5, "why");
                assert_int_equal(row.state, parked[i]);
                row_hint(&row, false, 9, 9);
                assert_int_equal(row.state, PATH_PENDING);
                assert_string_equal(row.reason, "");
                row_park(&row, 0, parked[i], 5, "stale"); /* by a job that began before the hint */
                assert_int_equal(row.state, PATH_PENDING);
        }
}

static Row *gone(Journal *j, int64_t m, const char *path) {
        Row *row;

        confirm(j, m, path);
        row = get(j, m, path, 1);
        row_park(row, row->gen, PATH_GONE, 5, NULL);
        return row;
}

/* 7.4: a deletion counts once: while it waits, or since it was let go; and what was let go cannot be held any more */
static void test_deletions(void **state) {
        Journal *j = open_journal();
        int64_t m = mapping(j);
        const JournalCounts *c;
        Row *row = gone(j, m, "let go");

        row->tallied = true;
        put(j, m, row);
        put(j, m, gone(j, m, "waits"));
        row = gone(j, m, "moved");
        row->moved = true;
        put(j, m, row);
        for (unsigned i = 0; i < 2; i++) { /* as kept up to date, and as counted anew */
                c = journal_counts(j, m);
                assert_int_equal(c->deletions, 1);
                assert_int_equal(c->tallied, 1);
                assert_true(c->files == 3 && c->empty == 0);
                journal_close(j);
                j = open_journal();
                m = mapping(j);
        }
        decide(j, DECISION_HOLD, 3);
        c = journal_counts(j, m);
        assert_int_equal(c->state[PATH_HELD], 1);
        assert_int_equal(c->state[PATH_GONE], 2);

        row = get(j, m, "let go", 1);
        assert_true(row->tallied && row->state == PATH_GONE);
        row_distrust(row); /* its count is not lost with the rest */
        assert_true(row->tallied);
        assert_int_equal(journal_forget(j, m, row, NULL), 0);
        free(row);
        assert_int_equal(journal_counts(j, m)->tallied, 0);
        row = get(j, m, "waits", 1);
        row_confirm(row, row->gen, &(Stamp){ 0 }, "\"2\"", NULL, 0);
        put(j, m, row);
        assert_int_equal(journal_counts(j, m)->deletions, 0);
        for (unsigned i = 0; i < 2; i++) { /* as kept up to date, and as counted anew */
                c = journal_counts(j, m);
                assert_true(c->files == 2 && c->empty == 1);
                journal_close(j);
                j = open_journal();
                m = mapping(j);
        }
        journal_close(j);
}

/* L4: whatever a killed process had claimed is in doubt */
static void test_claims_after_a_crash(void **state) {
        int status;
        pid_t pid = fork();
        Journal *j;
        Row *row;

        assert_true(pid >= 0);
        if (pid == 0) {
                bool quarantined;
                JournalMapping m;
                Row *r = calloc(1, sizeof(*r));

                if (!r || journal_open(&j, dir, &quarantined, NULL) < 0 || journal_mapping(j, "photos", &m, NULL) < 0 ||
                    journal_get(j, m.id, "claimed", 7, r, NULL) != 0)
                        _exit(1);
                row_hint(r, true, 1, journal_sequence(j, 5));
                row_claim(r);
                _exit(journal_put(j, m.id, r, NULL) < 0 || journal_commit(j, NULL) < 0); /* and no close: a kill */
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        j = open_journal();
        assert_int_equal(journal_unclaim(j, mapping(j), NULL), 0);
        row = get(j, mapping(j), "claimed", 1);
        assert_true(row->state == PATH_PENDING && row->doubt);
        assert_int_equal(row->gen, 2); /* and a job that had it confirms nothing any more (8.1) */
        free(row);
        assert_int_equal(journal_counts(j, mapping(j))->state[PATH_PENDING], 1);
        assert_int_equal(journal_counts(j, mapping(j))->state[PATH_CLAIMED], 0);
        journal_close(j);
}

/* The counters say whether anything is due: two who know of the same row must not make them forget it. */
static void test_forgotten_meanwhile(void **state) {
        Journal *j = open_journal();
        int64_t m = mapping(j), due;
        Row *row, *same;

        hint(j, m, "a");
        row = get(j, m, "a", 1);
        same = get(j, m, "a", 1);
        assert_int_equal(journal_forget(j, m, same, NULL), 0);
        assert_int_equal(journal_next_due(j, m, PATH_PENDING, &due, NULL), 0);
        same->exists = true;
        assert_int_equal(journal_forget(j, m, same, NULL), 0);
        free(same);
        put(j, m, row);
        assert_int_equal(journal_counts(j, m)->state[PATH_PENDING], 1);
        assert_int_equal(journal_next_due(j, m, PATH_PENDING, &due, NULL), 1);
        assert_int_equal(due, 7);
        journal_close(j);
}

/* pitfalls 9.9 */
static void test_one_at_a_time(void **state) {
        Error e = ERROR_NULL;
        Journal *j = open_journal(), *other = NULL;
        bool quarantined;

        assert_int_equal(journal_open(&other, dir, &quarantined, &e), -EBUSY);
        assert_non_null(strstr(e.text, "another azsyncd"));
        journal_close(j);
}

static void test_permissions(void **state) {
        char path[128];
        struct stat st;

        journal_close(open_journal());
        (void) snprintf(path, sizeof(path), "%s/journal.db", dir);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_equal(stat(dir, &st), 0);
        assert_int_equal(st.st_mode & 0077, 0);
}

/* pitfalls 9.6, 9.7: put aside, kept, and a new one is begun */
static void test_damaged_is_put_aside(void **state) {
        Error e = ERROR_NULL;
        Journal *j = open_journal();
        bool quarantined = false;

        confirm(j, mapping(j), "a");
        journal_close(j);
        scribble("journal.db", 0, "this is no database", 19);
        assert_int_equal(journal_open(&j, dir, &quarantined, &e), 0);
        assert_true(quarantined);
        assert_non_null(strstr(e.text, "put aside"));
        free(get(j, mapping(j), "a", 0));
        journal_close(j);
}

/* pitfalls 9.6: one flipped byte inside a row passes quick_check; the row's own sum does not let it pass */
static void test_flipped_byte(void **state) {
        Journal *j = open_journal();
        char path[128], *bytes;
        struct stat st;
        Row *row;
        size_t at;
        int fd;

        confirm(j, mapping(j), "flip-me");
        journal_close(j);
        (void) snprintf(path, sizeof(path), "%s/journal.db", dir);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0 && fstat(fd, &st) == 0);
        bytes = malloc((size_t) st.st_size);
        assert_non_null(bytes);
        assert_int_equal(pread(fd, bytes, (size_t) st.st_size, 0), st.st_size);
        (void) close(fd);
        for (at = 0; memcmp(bytes + at, "0123456789abcde", 15) != 0; at++)
                assert_true(at + 16 < (size_t) st.st_size);
        free(bytes);
        scribble("journal.db", (off_t) at, "X", 1);
        j = open_journal();
        row = get(j, mapping(j), "flip-me", 1);
        assert_false(row->confirmed);
        assert_true(row->doubt);
        free(row);
        journal_close(j);
}

static void execute(const char *sql) {
        char path[128];
        sqlite3 *db;

        (void) snprintf(path, sizeof(path), "%s/journal.db", dir);
        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(db);
}

/* 8: the machine went down under the last process: the container is listed, and all is read again. A mere kill loses
 * nothing, and an end in order, before the machine was started anew, neither. */
static void test_power_cut(void **state) {
        static const struct {
                const char *sql;
                bool contacted;
        } cases[] = {
                { "UPDATE meta SET value = 'no' WHERE key = 'clean'", true },
                { "UPDATE meta SET value = 'another' WHERE key = 'boot'", true },
                { "UPDATE meta SET value = 'no' WHERE key = 'clean'; UPDATE meta SET value = 'another' WHERE key = "
                  "'boot'",
                  false },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                Journal *j = open_journal();
                JournalMapping m;

                assert_int_equal(journal_mapping(j, "photos", &m, NULL), 0);
                m.contacted = true;
                assert_int_equal(journal_mapping_put(j, &m, NULL), 0);
                journal_close(j);
                execute(cases[i].sql);
                j = open_journal();
                assert_int_equal(journal_mapping(j, "photos", &m, NULL), 0);
                if (m.contacted != cases[i].contacted || m.reread == cases[i].contacted)
                        fail_msg("case %zu", i);
                assert_true(m.met); /* and never made again */
                journal_close(j);
        }
}

/* Its blob must be there: what a listing without it is a surprise for */
static void test_expected(void **state) {
        Journal *j = open_journal();
        int64_t m = mapping(j);
        uint64_t n, all;
        Row *row;

        for (int i = 0; i < 5; i++) {
                char name[8];

                (void) snprintf(name, sizeof(name), "%i", i);
                confirm(j, m, name);
        }
        assert_int_equal(journal_expected(j, m, &n, &all, NULL), 0);
        assert_int_equal(n, 5);
        assert_int_equal(all, 5);
        row = get(j, m, "0", 1);
        row_hint(row, true, 1, 1);
        assert_true(row_expected(row));
        put(j, m, row);
        row = get(j, m, "1", 1);
        row->doubt = true;
        assert_false(row_expected(row));
        put(j, m, row);
        row = get(j, m, "2", 1);
        row_park(row, row->gen, PATH_GONE, 1, NULL);
        assert_false(row_expected(row));
        put(j, m, row);
        row = get(j, m, "3", 1);
        row->approved = true;
        assert_false(row_expected(row));
        put(j, m, row);
        row = get(j, m, "new", 0);
        row_hint(row, true, 1, 1);
        assert_false(row_expected(row));
        put(j, m, row);
        assert_int_equal(journal_expected(j, m, &n, &all, NULL), 0);
        assert_int_equal(n, 2);
        assert_int_equal(all, 5);
        journal_close(j);
}

static int count_path(const Row *row, void *userdata) {
        (*(unsigned *) userdata)++;
        return 0;
}

static int note_name(const Row *row, void *userdata) {
        (void) strcat(userdata, row->path);
        return 0;
}

static void test_due(void **state) {
        char names[16];
        Journal *j = open_journal();
        int64_t m = mapping(j), due, first;
        unsigned n = 0;

        for (int i = 0; i < 10; i++) {
                char name[8];
                Row *row;

                (void) snprintf(name, sizeof(name), "%i", i);
                row = get(j, m, name, 0);
                row_hint(row, false, 100 + i, journal_sequence(j, 1000 + i));
                put(j, m, row);
        }
        assert_int_equal(journal_due(j, m, PATH_PENDING, 104, 100, count_path, &n, NULL), 0);
        assert_int_equal(n, 5);
        n = 0;
        assert_int_equal(journal_due(j, m, PATH_PENDING, 1000, 3, count_path, &n, NULL), 0);
        assert_int_equal(n, 3);
        assert_int_equal(journal_nth_due(j, m, PATH_PENDING, -1, 9, &due, NULL), 1);
        assert_int_equal(due, 109);
        assert_int_equal(journal_nth_due(j, m, PATH_PENDING, 104, 0, &due, NULL), 1);
        assert_int_equal(due, 105);
        assert_int_equal(journal_nth_due(j, m, PATH_PENDING, 104, 5, &due, NULL), 0);
        assert_int_equal(journal_nth_due(j, m, PATH_GONE, -1, 0, &due, NULL), 0);
        names[0] = '\0';
        assert_int_equal(journal_fresh(j, m, -1, 107, 3, note_name, names, NULL), 0);
        assert_string_equal(names, "765"); /* the newest first, of what is due */
        names[0] = '\0';
        assert_int_equal(journal_fresh(j, m, 107, 1000, 3, note_name, names, NULL), 0);
        assert_string_equal(names, "98");
        assert_int_equal(journal_next_due(j, m, PATH_PENDING, &due, NULL), 1);
        assert_int_equal(due, 100);
        assert_int_equal(journal_next_due(j, m, PATH_GONE, &due, NULL), 0);
        assert_int_equal(journal_oldest(j, m, &first, NULL), 1);
        assert_int_equal(first, 1000);
        {
                Row *row = get(j, m, "3", 1);
                uint64_t gen = row->gen;

                row_claim(row);
                row->tallied = true;
                assert_int_equal(journal_claim(j, m, row, NULL), 0);
                free(row);
                row = get(j, m, "3", 1); /* its sum agrees, or it would come back in doubt */
                assert_int_equal(row->state, PATH_CLAIMED);
                assert_true(row->tallied);
                assert_false(row->doubt);
                assert_int_equal(row->gen, gen);
                free(row);
                assert_int_equal(journal_counts(j, m)->state[PATH_CLAIMED], 1);
                assert_int_equal(journal_counts(j, m)->state[PATH_PENDING], 9);
        }
        journal_close(j);
}

/* pitfalls 6.9: memcmp order, and a branch is what stands between "b/" and "b0" */
static void test_branch_order(void **state) {
        static const char *const names[] = { "a", "b", "b!x", "b-x", "b.x", "b/1", "b/\xff", "b/c/d", "b0", "c" };
        static const char *const expect[] = { "b/1", "b/c/d", "b/\xff" };
        Journal *j = open_journal();
        JournalPage *page = calloc(1, sizeof(*page));
        int64_t m = mapping(j);

        assert_non_null(page);
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                confirm(j, m, names[i]);
        assert_int_equal(journal_branch(j, m, "b/", 2, "b0", 2, page, NULL), 0);
        assert_int_equal(page->n, 3);
        for (size_t i = 0; i < 3; i++)
                assert_string_equal(page->paths + page->rows[i].path, expect[i]);
        assert_int_equal(journal_branch(j, m, NULL, 0, NULL, 0, page, NULL), 0);
        assert_int_equal(page->n, sizeof(names) / sizeof(names[0]));
        journal_page_done(page);
        free(page);
        confirm(j, m, "\xff/\xfe");
        assert_true(journal_below(j, m, "b", 1, NULL) == 1 && journal_below(j, m, "\xff", 1, NULL) == 1);
        assert_true(journal_below(j, m, "b0", 2, NULL) == 0 && journal_below(j, m, "b-", 2, NULL) == 0);
        journal_close(j);
}

/* A statement is prepared when it is first needed: whatever fails then is told as any other trouble. */
static void test_statement_without_memory(void **state) {
        Error e = ERROR_NULL;
        Journal *j = open_journal();
        int64_t m = mapping(j);
        uint64_t n, all;

        assert_int_equal(journal_commit(j, NULL), 0);
        (void) sqlite3_hard_heap_limit64(1);
        assert_int_equal(journal_expected(j, m, &n, &all, &e), -ENOMEM);
        (void) sqlite3_hard_heap_limit64(0);
        assert_true(journal_broken(j));
        assert_int_equal(journal_recover(j, &e), 0);
        assert_int_equal(journal_expected(j, m, &n, &all, &e), 0);
        journal_close(j);
}

static void no_sum(sqlite3_context *context, int n, sqlite3_value **values) {
        sqlite3_result_int(context, 0);
}

/* HOT statements may not walk the whole table, nor all of a mapping, nor all that is in work */
static void test_query_plans(void **state) {
        static const struct {
                const char *name, *heat, *sql;
        } all[] = {
#define X(name, heat, sql) { #name, #heat, sql },
                JOURNAL_STATEMENTS(X)
#undef X
        };
        sqlite3 *db;

        assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, JOURNAL_SCHEMA, NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_create_function(db, "resum", 4, SQLITE_UTF8, NULL, no_sum, NULL, NULL), SQLITE_OK);
        for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
                sqlite3_stmt *stmt;
                char sql[4096];

                if (strcmp(all[i].heat, "HOT") != 0)
                        continue;
                (void) snprintf(sql, sizeof(sql), "EXPLAIN QUERY PLAN %s", all[i].sql);
                assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
                while (sqlite3_step(stmt) == SQLITE_ROW) {
                        const char *detail = (const char *) sqlite3_column_text(stmt, 3);

                        bool walks = strncmp(detail, "SCAN", 4) == 0 || strstr(detail, "TEMP B-TREE") ||
                                     (strstr(detail, " path ") &&
                                      (strstr(detail, "(mapping=?)") || strstr(detail, "state>?")));

                        if (walks)
                                print_error("%s: %s\n", all[i].name, detail);
                        assert_false(walks);
                }
                sqlite3_finalize(stmt);
        }
        sqlite3_close(db);
}

/* pitfalls 10.3, 10.14: only what a listing did not show is missing, whatever was listed before */
static int on_listed_row(const char *path, size_t size, bool missing, void *userdata) {
        char *text = userdata;

        (void) snprintf(text + strlen(text), 64 - strlen(text), "%s%.*s ", missing ? "!" : "", (int) size, path);
        return 0;
}

static void test_listing(void **state) {
        Journal *j = open_journal();
        int64_t m = mapping(j);
        char text[64] = "";
        Row *row;

        confirm(j, m, "a");
        confirm(j, m, "b");
        confirm(j, m, "c");
        put(j, m, get(j, m, "d", 0)); /* not confirmed: cannot be missing */
        assert_int_equal(journal_listed(j, m, "a", 1, 7, NULL), 1);
        assert_int_equal(journal_listed(j, m, "a", 1, 7, NULL), 0); /* on two pages: counted once */
        assert_int_equal(journal_listed(j, m, "c", 1, 7, NULL), 1);
        assert_int_equal(journal_listed(j, m, "nonesuch", 8, 7, NULL), 0);
        row = get(j, m, "c", 1);
        row_hint(row, false, 1, 1);
        put(j, m, row); /* writing the row keeps the mark */
        assert_int_equal(journal_unlisted(j, m, 7, "", 2, on_listed_row, text, NULL), 1);
        assert_string_equal(text, "a !b ");
        text[0] = '\0';
        assert_int_equal(journal_unlisted(j, m, 7, "b", 3, on_listed_row, text, NULL), 0);
        assert_string_equal(text, "c d ");
        text[0] = '\0';
        assert_int_equal(journal_unlisted(j, m, 8, "", 100, on_listed_row, text, NULL), 0);
        assert_string_equal(text, "!a !b !c d ");
        journal_close(j);
}

static void test_contact_survives(void **state) {
        Journal *j = open_journal();
        JournalMapping m;

        assert_int_equal(journal_mapping(j, "photos", &m, NULL), 0);
        assert_false(m.contacted || m.met || m.resend);
        m.met = m.resend = true;
        assert_int_equal(journal_mapping_put(j, &m, NULL), 0);
        journal_close(j);
        j = open_journal();
        assert_int_equal(journal_mapping(j, "photos", &m, NULL), 0);
        assert_true(!m.contacted && m.met && m.resend);
        m.contacted = true;
        m.met = m.resend = false; /* as an azsyncd wrote it that knew only this */
        assert_int_equal(journal_mapping_put(j, &m, NULL), 0);
        assert_int_equal(journal_mapping(j, "photos", &m, NULL), 0);
        assert_true(m.contacted && m.met && !m.resend);
        journal_close(j);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_rows_survive, setup, teardown),
                cmocka_unit_test(test_generation),
                cmocka_unit_test(test_confirmed_again),
                cmocka_unit_test(test_hint_cancels),
                cmocka_unit_test_setup_teardown(test_deletions, setup, teardown),
                cmocka_unit_test_setup_teardown(test_claims_after_a_crash, setup, teardown),
                cmocka_unit_test_setup_teardown(test_forgotten_meanwhile, setup, teardown),
                cmocka_unit_test_setup_teardown(test_one_at_a_time, setup, teardown),
                cmocka_unit_test_setup_teardown(test_statement_without_memory, setup, teardown),
                cmocka_unit_test_setup_teardown(test_permissions, setup, teardown),
                cmocka_unit_test_setup_teardown(test_damaged_is_put_aside, setup, teardown),
                cmocka_unit_test_setup_teardown(test_flipped_byte, setup, teardown),
                cmocka_unit_test_setup_teardown(test_power_cut, setup, teardown),
                cmocka_unit_test_setup_teardown(test_expected, setup, teardown),
                cmocka_unit_test_setup_teardown(test_due, setup, teardown),
                cmocka_unit_test_setup_teardown(test_branch_order, setup, teardown),
                cmocka_unit_test_setup_teardown(test_listing, setup, teardown),
                cmocka_unit_test_setup_teardown(test_contact_survives, setup, teardown),
                cmocka_unit_test(test_query_plans),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
