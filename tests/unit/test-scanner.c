/* The walk's thread and the loop: batches, back-pressure, ends, and the watcher beside it: whatever happens while a
 * tree is scanned is seen or told (pitfalls 1.1, 1.2). */
#include "deep.h"
#include "patience.h"
#include "watch/scanner.h"

#include <pthread.h>

#define FILES 4000u

typedef struct Fixture {
        sd_event *loop;
        Watcher *w;
        Scanner *s;
        size_t seen, batches, largest;
        unsigned ends;
        ScanEnd end;
        char *last;
        size_t at_most;        /* taken of a batch; 0: all */
        unsigned ends_refused; /* so often */
        bool refuse;
        bool sorted, free_in_seen, free_in_end, again_in_end;
        bool found[FILES]; /* "f%u", anywhere */
        char *branches[16384];
        size_t n_branches;
        bool barrier;
} Fixture;

static Fixture f;

static void note(const char *path) {
        const char *name = strrchr(path, '/');
        unsigned i;

        if (sscanf(name ? name + 1 : path, "f%u", &i) == 1 && i < FILES) /* NOLINT(cert-err34-c) */
                f.found[i] = true;
}

static size_t on_seen(const Seen *seen, size_t n, void *userdata) {
        assert_ptr_equal(userdata, &f);
        assert_true(n > 0 && n <= 512);
        assert_true(scanner_busy(f.s));
        if (f.at_most > 0 && n > f.at_most)
                n = f.at_most;
        if (f.refuse) { /* not now */
                f.refuse = false;
                return 0;
        }
        f.refuse = f.at_most > 0;
        f.batches++;
        f.seen += n;
        f.largest = MAX(f.largest, n);
        for (size_t i = 0; i < n; i++) {
                assert_int_equal(strlen(seen[i].path), seen[i].size);
                note(seen[i].path);
                if (f.last && !seen[i].folder && strcmp(f.last, seen[i].path) >= 0)
                        f.sorted = false;
                free(f.last);
                f.last = strdup(seen[i].path);
        }
        if (f.free_in_seen)
                f.s = scanner_free(f.s);
        return n;
}

static bool on_end(const ScanEnd *end, void *userdata) {
        if (f.ends_refused > 0) {
                f.ends_refused--;
                return false;
        }
        f.ends++;
        f.end = *end;
        assert_false(scanner_busy(f.s));
        if (f.again_in_end) {
                f.again_in_end = false;
                assert_int_equal(scanner_start(f.s, ""), 0);
                assert_int_equal(scanner_start(f.s, ""), -EBUSY);
        }
        if (f.free_in_end)
                f.s = scanner_free(f.s);
        return true;
}

static void on_news(const char *path, unsigned news, void *userdata) {
        assert_int_equal(news & WATCH_OVERFLOW, 0);
        note(path);
        if (news & WATCH_SUBTREE) {
                assert_true(f.n_branches < ELEMENTSOF(f.branches));
                f.branches[f.n_branches++] = strdup(path);
        }
}

static void on_barrier(void *userdata) {
        f.barrier = true;
}

static void begin_with(bool watch, ScanFilterFn filter) {
        static const ScannerCallbacks callbacks = { .seen = on_seen, .end = on_end };
        ScannerOptions options = { .folder = root, .filter = filter };

        memset(&f, 0, sizeof(f));
        f.sorted = true;
        assert_int_equal(sd_event_new(&f.loop), 0);
        if (watch)
                assert_int_equal(watcher_new(&f.w, f.loop, on_news, &f, NULL), 0);
        options.watcher = f.w;
        assert_int_equal(scanner_new(&f.s, f.loop, &options, &callbacks, &f, NULL), 0);
}

static void begin(bool watch) {
        begin_with(watch, NULL);
}

static void end(void) {
        f.s = scanner_free(f.s);
        f.w = watcher_free(f.w);
        f.loop = sd_event_unref(f.loop);
        free(f.last);
        for (size_t i = 0; i < f.n_branches; i++)
                free(f.branches[i]);
        f.n_branches = 0;
}

static void turn(void) {
        assert_true(sd_event_run(f.loop, PATIENCE) > 0);
}

static void scan(const char *path) {
        unsigned before = f.ends;

        f.seen = f.batches = 0;
        free(TAKE_PTR(f.last));
        assert_int_equal(scanner_start(f.s, path), 0);
        while (f.ends == before)
                turn();
}

static void settle(void) {
        f.barrier = false;
        assert_int_equal(watcher_barrier(f.w, on_barrier, &f), 0);
        while (!f.barrier)
                turn();
}

static void make_files(unsigned n) {
        for (unsigned i = 0; i < n; i++) {
                char name[16];

                (void) snprintf(name, sizeof(name), "f%u", i);
                assert_int_equal(mknod(at(name), S_IFREG | 0600, 0), 0);
        }
}

static void test_batches(void **state) {
        make_files(FILES); /* more than the walker may have in store */
        begin(false);
        for (unsigned i = 0; i < 2; i++) {
                scan("");
                assert_int_equal(f.seen, FILES);
                assert_true(f.sorted && f.batches >= FILES / 512 && f.largest == 512);
                assert_true(f.end.complete && f.end.root_state == ROOT_OK);
                assert_int_equal(f.end.folders, 1);
                assert_string_equal(f.last, "f999");
                assert_int_equal(scanner_stuck(f.s), 0);
        }
        for (unsigned i = 0; i < FILES; i++)
                assert_true(f.found[i]);
        end();
}

/* Whoever takes them takes as many as it has time for, perhaps none. */
static void test_taken_in_parts(void **state) {
        make_files(FILES);
        begin(false);
        f.at_most = 100;
        f.ends_refused = 3;
        scan("");
        assert_int_equal(f.seen, FILES);
        assert_int_equal(f.ends_refused, 0);
        assert_int_equal(f.largest, 100);
        assert_true(f.sorted && f.end.complete);
        assert_false(scanner_busy(f.s));
        assert_int_equal(scanner_start(f.s, ""), 0); /* freed with a batch half taken */
        for (unsigned i = 0; i < 4; i++)
                turn();
        end();
}

static void test_branches_and_absence(void **state) {
        make_dir("d", 0755);
        put("d/f1", "x");
        put("f2", "x");
        begin(true);
        scan("");
        assert_int_equal(f.seen, 2);
        assert_int_equal(watcher_watches(f.w), 2);
        scan("d");
        assert_int_equal(f.seen, 1);
        assert_string_equal(f.last, "d/f1");
        scan("f2");
        assert_int_equal(f.seen, 1);
        scan("nothing");
        assert_int_equal(f.seen, 0);
        assert_true(f.end.complete);

        /* pitfalls 1.5: what is no folder any more is not watched either */
        {
                char away[128];

                (void) snprintf(away, sizeof(away), "%s/away", top);
                assert_int_equal(rename(at("d"), away), 0);
                scan("d");
                assert_int_equal(f.seen, 0);
                assert_int_equal(watcher_watches(f.w), 1);
                put("d", "a file now");
                scan("d");
                assert_int_equal(f.seen, 1);
                assert_int_equal(watcher_watches(f.w), 1);
        }
        end();
}

static void test_root_gone(void **state) {
        RootId other = { .ino = 1, .btime_ns = 1 };

        begin(true);
        scan("");
        assert_true(f.end.complete);
        scanner_pin(f.s, &f.end.root_id);
        scan("");
        assert_true(f.end.complete);
        scanner_pin(f.s, &other);
        scan("");
        assert_false(f.end.complete);
        assert_int_equal(f.end.root_state, ROOT_REPLACED);
        assert_int_equal(rmdir(root), 0);
        scan("");
        assert_int_equal(f.end.root_state, ROOT_MISSING);
        assert_true(f.end.error.text[0]);
        end();
}

static void test_again_and_freed_in_callbacks(void **state) {
        make_files(1000);
        begin(false);
        f.again_in_end = true;
        assert_int_equal(scanner_start(f.s, ""), 0);
        assert_int_equal(scanner_start(f.s, ""), -EBUSY);
        while (f.ends < 2)
                turn();
        assert_int_equal(f.seen, 2000);
        f.free_in_end = true;
        assert_int_equal(scanner_start(f.s, ""), 0);
        while (f.s)
                turn();
        end();

        begin(false);
        f.free_in_seen = true;
        assert_int_equal(scanner_start(f.s, ""), 0);
        while (f.s)
                turn();
        assert_int_equal(f.batches, 1);
        assert_int_equal(f.ends, 0);
        end();
}

/* Cancelled at any moment: while it walks, and while it waits for the loop. */
static void test_cancelled(void **state) {
        make_files(FILES);
        for (unsigned turns = 0; turns < 12; turns++) {
                begin(turns % 2);
                assert_int_equal(scanner_start(f.s, ""), 0);
                for (unsigned i = 0; i < turns / 2; i++)
                        turn();
                end();
        }
}

static ScanFilter filter(const char *path, size_t size, bool folder, void *userdata) {
        return strcmp(path, "f3") == 0 ? SCAN_EXCLUDE : SCAN_TAKE;
}

static void test_filter(void **state) {
        make_files(10);
        begin_with(false, filter);
        scan("");
        assert_int_equal(f.seen, 10);
        end();
}

/* The table of watches after moves, deletions and lost news is that of the tree (pitfalls 1.7). */
static void test_watches_follow(void **state) {
        char from[512];

        make_dir("a", 0755);
        make_dir("a/b", 0755);
        make_dir("a/b/c", 0755);
        make_dir("gone", 0755);
        make_dir("gone/too", 0755);
        make_dir("a-b", 0755);
        begin(true);
        scan("");
        assert_int_equal(f.end.folders, 7);
        assert_int_equal(f.end.unwatched, 0);
        assert_int_equal(watcher_watches(f.w), 7);
        (void) snprintf(from, sizeof(from), "%s", at("a/b"));
        assert_int_equal(rename(from, at("a-b/moved")), 0);
        (void) snprintf(from, sizeof(from), "%s", at("gone/too"));
        assert_int_equal(rename(from, at("a/b")), 0);
        assert_int_equal(rmdir(at("gone")), 0);
        scan("");
        assert_int_equal(f.end.unwatched, 0);
        settle();
        assert_int_equal(watcher_watches(f.w), 6);
        memset(f.found, 0, sizeof(f.found));
        put("a-b/moved/c/f1", "x");
        put("a/b/f2", "x");
        settle();
        assert_true(f.found[1] && f.found[2]);
        end();
}

/* Makes, moves and removes folders with files in them as fast as it can. The last place of each file is known. */
static void *storm(void *userdata) {
        for (unsigned i = 0; i < FILES; i++) {
                char path[256], other[256];
                int n = snprintf(path, sizeof(path), "%s/s%u", root, i % 97), fd;

                if (mkdir(path, 0755) < 0 && errno != EEXIST)
                        return userdata;
                n += snprintf(path + n, sizeof(path) - (size_t) n, "/t%u", i);
                if (mkdir(path, 0755) < 0)
                        return userdata;
                (void) snprintf(path + n, sizeof(path) - (size_t) n, "/f%u", i);
                fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
                if (fd < 0 || close(fd) < 0)
                        return userdata;
                path[n] = '\0';
                if (i % 3 == 0) { /* pitfalls 1.4 */
                        (void) snprintf(other, sizeof(other), "%s/s%u/moved%u", root, (i * 7) % (MIN(i, 96U) + 1), i);
                        if (rename(path, other) < 0)
                                return userdata;
                }
        }
        return NULL;
}

/* As the engine does it: what is told as a branch is scanned, and in the end every file was seen or told. */
static void test_nothing_is_missed(void **state) {
        pthread_t thread;
        void *result = NULL;
        bool done = false;
        char *branch;

        begin(true);
        assert_int_equal(pthread_create(&thread, NULL, storm, &f), 0);
        scan("");
        for (;;) {
                if (!done && pthread_tryjoin_np(thread, &result) == 0) {
                        assert_null(result);
                        done = true;
                }
                settle();
                if (f.n_branches == 0) {
                        if (done)
                                break;
                        continue;
                }
                /* the newest first, for the order must not matter */
                branch = f.branches[--f.n_branches];
                scan(branch);
                free(branch);
                assert_true(f.end.complete);
        }
        for (unsigned i = 0; i < FILES; i++)
                assert_true(f.found[i]);
        {
                unsigned watched = watcher_watches(f.w);

                /* and from now on each is watched where it is */
                scan("");
                assert_int_equal(f.seen, FILES);
                assert_int_equal(f.end.folders, watched);
                assert_int_equal(watcher_watches(f.w), watched);
        }
        end();
}

static int clean_up(void **state) {
        return tear_down_deep(state);
}

#define SCANNER_TEST(name) cmocka_unit_test_setup_teardown(name, set_up_shm, clean_up)

int main(void) {
        const struct CMUnitTest tests[] = {
                SCANNER_TEST(test_batches),
                SCANNER_TEST(test_taken_in_parts),
                SCANNER_TEST(test_branches_and_absence),
                SCANNER_TEST(test_root_gone),
                SCANNER_TEST(test_again_and_freed_in_callbacks),
                SCANNER_TEST(test_cancelled),
                SCANNER_TEST(test_filter),
                SCANNER_TEST(test_watches_follow),
                SCANNER_TEST(test_nothing_is_missed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
