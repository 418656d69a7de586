/* The journal on a disk that is full, fails, or changes what was written (pitfalls 9.1-9.8), and one that is killed as
 * it writes. SQLite's system calls come through this file first. */
#include "journal-fixture.h"

#include <sys/syscall.h>
#include <sys/wait.h>

static unsigned n_synced, killed_at; /* the write that does not come to pass; 0: none */
static bool disk_full, sync_fails;

int fdatasync(int fd) {
        n_synced++;
        if (sync_fails) {
                errno = EIO;
                return -1;
        }
        return (int) syscall(SYS_fdatasync, fd);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at) {
        if (killed_at > 0 && --killed_at == 0)
                _exit(1);
        if (disk_full) {
                errno = ENOSPC;
                return -1;
        }
        return syscall(SYS_pwrite64, fd, bytes, size, at);
}

/* pitfalls 9.1: what a person decided has reached the disk when the call returns, also if nothing was changed by it */
static void test_durable(void **state) {
        Journal *j = open_journal();
        JournalMapping m;

        assert_int_equal(journal_mapping(j, "photos", &m, NULL), 0);
        assert_int_equal(journal_commit(j, NULL), 0);
        for (unsigned i = 0; i < 6; i++) {
                unsigned before = n_synced;

                m.paused = i / 2 % 2;
                assert_int_equal(journal_mapping_put(j, &m, NULL), 0);
                assert_int_equal(journal_commit_durable(j, NULL), 0);
                assert_int_equal(n_synced, before + 1);
                assert_int_equal(journal_mapping_put(j, &m, NULL), 0);
                assert_int_equal(journal_commit(j, NULL), 0);
                assert_int_equal(n_synced, before + 1);
        }
        journal_close(j);
}

/* pitfalls 9.5: a failed fsync is fatal for the connection; wherever it fails, it is noticed */
static void test_fsync_fails(void **state) {
        unsigned told = 0;
        Error e = ERROR_NULL;
        Journal *j = open_journal();
        int64_t m = mapping(j);

        journal_listen(j, count_call, &told);
        confirm(j, m, "before");
        assert_int_equal(journal_commit(j, NULL), 0);
        hint(j, m, "lost or not");
        sync_fails = true;
        assert_int_equal(journal_commit_durable(j, &e), -EIO);
        assert_true(journal_broken(j) && told == 1);
        assert_int_equal(journal_commit(j, &e), -EIO);
        assert_int_equal(told, 1);
        sync_fails = false;
        assert_int_equal(journal_recover(j, &e), 0);
        assert_false(journal_broken(j));
        assert_int_equal(state_of(j, m, "before"), PATH_CLEAN);
        assert_int_equal(journal_counts(j, m)->files, 1);

        /* without synchronous=FULL the disk is asked by checkpoints only, and SQLite's own drop the answer */
        sync_fails = true;
        for (unsigned i = 0; i < 10000 && !journal_broken(j); i++) {
                hint(j, m, i % 2 ? "a" : "b");
                (void) !journal_commit(j, NULL);
        }
        assert_true(journal_broken(j) && told == 2);
        sync_fails = false;
        assert_int_equal(journal_recover(j, &e), 0);
        journal_close(j);
}

/* pitfalls 9.4: reads go on, nothing half-written stays, and it goes on when there is room */
static void test_disk_full(void **state) {
        unsigned told = 0;
        Error e = ERROR_NULL;
        Journal *j = open_journal();
        int64_t m = mapping(j);
        Row *row = calloc(1, sizeof(*row));

        assert_non_null(row);
        journal_listen(j, count_call, &told);
        confirm(j, m, "before");
        assert_int_equal(journal_commit(j, NULL), 0);
        hint(j, m, "new");
        disk_full = true;
        assert_int_equal(journal_commit(j, &e), -ENOSPC);
        assert_true(journal_broken(j) && told == 1);
        assert_non_null(strstr(journal_trouble(j)->text, "full"));
        assert_int_equal(journal_get(j, m, "new", 3, row, NULL), 0);
        assert_int_equal(journal_put(j, m, row, &e), -ENOSPC);

        /* as long as it is full, also if it cannot even be opened, every call says so, and none falls over */
        assert_int_equal(journal_recover(j, &e), -ENOSPC);
        assert_true(journal_get(j, m, "before", 6, row, &e) >= 0);
        assert_int_equal(journal_mapping(j, "other", &(JournalMapping){ 0 }, &e), -ENOSPC);
        disk_full = false;
        assert_int_equal(journal_recover(j, &e), 0);
        assert_int_equal(told, 1);
        assert_int_equal(journal_counts(j, m)->files, 1);
        assert_int_equal(journal_counts(j, m)->state[PATH_PENDING], 0);
        hint(j, m, "new");
        assert_int_equal(journal_commit(j, NULL), 0);
        free(row);
        journal_close(j);
}

/* A journal that cannot be opened again, as on a disk that went read-only, stays broken and harmless. */
static void test_cannot_reopen(void **state) {
        Error e = ERROR_NULL;
        Journal *j = open_journal();
        int64_t m = mapping(j), due;
        Row *row = calloc(1, sizeof(*row));
        char path[128], away[160];

        assert_non_null(row);
        confirm(j, m, "a");
        assert_int_equal(journal_commit(j, NULL), 0);
        (void) snprintf(path, sizeof(path), "%s/journal.db", dir);
        (void) snprintf(away, sizeof(away), "%s.away", path);
        assert_int_equal(rename(path, away), 0);
        assert_int_equal(symlink("nowhere", path), 0); /* O_NOFOLLOW refuses it */
        assert_true(journal_recover(j, &e) < 0);
        assert_true(journal_get(j, m, "a", 1, row, &e) < 0);
        row->path[0] = 'a';
        row->path_size = 1;
        assert_true(journal_put(j, m, row, &e) < 0);
        assert_true(journal_next_due(j, m, PATH_PENDING, &due, NULL) < 0);
        assert_true(journal_decide(j, &(JournalMapping){ .id = m }, DECISION_HOLD, NULL) < 0);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(rename(away, path), 0);
        assert_int_equal(journal_recover(j, &e), 0);
        assert_int_equal(journal_get(j, m, "a", 1, row, &e), 1);

        /* somebody removed it: another one is made, and whoever has numbers of the old one is told */
        assert_int_equal(unlink(path), 0);
        assert_int_equal(journal_recover(j, &e), 1);
        assert_int_equal(journal_recover(j, &e), 0);
        free(row);
        journal_close(j);
}

/* full from the start: it opens all the same, broken */
static void test_full_from_the_start(void **state) {
        Error e = ERROR_NULL;
        bool quarantined;
        Journal *j = NULL;

        disk_full = true;
        assert_int_equal(journal_open(&j, dir, &quarantined, &e), 0);
        assert_true(journal_broken(j) && !quarantined);
        assert_non_null(strstr(journal_trouble(j)->text, "full"));
        assert_int_equal(journal_recover(j, &e), -ENOSPC);
        disk_full = false;
        assert_int_equal(journal_recover(j, &e), 1);
        hint(j, mapping(j), "a");
        journal_close(j);
}

/* True: it was killed at its n-th write. */
static bool make_and_die(unsigned n) {
        pid_t pid = fork();
        int status;

        assert_true(pid >= 0);
        if (pid == 0) {
                bool quarantined;
                Journal *j;

                killed_at = n;
                _exit(journal_open(&j, dir, &quarantined, NULL) < 0 ? 2 : 0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
        return WEXITSTATUS(status) == 1;
}

/* pitfalls 9.10: made in one transaction: it is whole, or made anew; nobody takes it for a damaged one. */
static void test_killed_while_made(void **state) {
        unsigned n = 1;

        for (bool killed = true; killed; n++) {
                bool quarantined;
                Journal *j;

                killed = make_and_die(n);
                assert_int_equal(journal_open(&j, dir, &quarantined, NULL), 0);
                assert_false(quarantined || journal_broken(j));
                confirm(j, mapping(j), "a");
                assert_int_equal(journal_commit(j, NULL), 0);
                journal_close(j);
                assert_int_equal(teardown(state), 0);
                assert_int_equal(mkdir(dir, 0700), 0);
        }
        assert_true(n > 4);
}

/* 9.8 */
static void test_log_is_bounded(void **state) {
        Journal *j = open_journal();
        int64_t m = mapping(j);
        char path[128], name[32];
        struct stat st;

        (void) snprintf(path, sizeof(path), "%s/journal.db-wal", dir);
        for (unsigned i = 0; i < 20000; i++) {
                (void) snprintf(name, sizeof(name), "%u", i * 7919 % 500);
                hint(j, m, name);
                assert_int_equal(journal_commit(j, NULL), 0);
        }
        assert_int_equal(stat(path, &st), 0);
        assert_in_range(st.st_size, 1, 4200 * (4096 + 24));
        journal_close(j);
}

static int put_right(void **state) {
        disk_full = sync_fails = false;
        return teardown(state);
}

#define DISK_TEST(f) cmocka_unit_test_setup_teardown(f, setup, put_right)

int main(void) {
        const struct CMUnitTest tests[] = {
                DISK_TEST(test_durable),           DISK_TEST(test_fsync_fails),         DISK_TEST(test_disk_full),
                DISK_TEST(test_cannot_reopen),     DISK_TEST(test_full_from_the_start), DISK_TEST(test_log_is_bounded),
                DISK_TEST(test_killed_while_made),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
