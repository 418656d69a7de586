/* The watcher under load and at its ends: a full queue, barriers in a storm, bounded steps, great depth, and being
 * freed at the wrong moment (pitfalls 1.1, 1.9). */
#include "watching.h"

#include <dirent.h>
#include <pthread.h>

static unsigned number(const char *path) {
        FILE *file = fopen(path, "re");
        unsigned n = 0;

        if (file) {
                if (fscanf(file, "%u", &n) != 1) /* NOLINT(cert-err34-c) */
                        n = 0;
                (void) fclose(file);
        }
        return n;
}

static int make_long_name(char letter) {
        char name[256] = "";

        memset(name, letter, sizeof(name) - 1);
        return open(at(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}

/* pitfalls 1.9: the queue is full before anyone reads it. That it was is said last, after more than one read can hold:
 * who comes to the barrier sooner has not heard of it. */
static void test_overflow_of_the_kernel(void **state) {
        unsigned queue = number("/proc/sys/fs/inotify/max_queued_events");
        int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), a, b;

        if (queue == 0 || queue > 200000)
                skip();
        assert_true(fd >= 0);
        assert_true(inotify_add_watch(fd, root, IN_MODIFY) > 0);
        a = make_long_name('a');
        b = make_long_name('b');
        assert_true(a >= 0 && b >= 0);
        for (unsigned i = 0; i < queue + 10; i++) /* in turn, or the kernel merges them */
                assert_int_equal(pwrite(i % 2 ? a : b, "x", 1, 0), 1);
        assert_int_equal(close(a), 0);
        assert_int_equal(close(b), 0);

        memset(&f, 0, sizeof(f));
        assert_int_equal(sd_event_new(&f.loop), 0);
        assert_int_equal(watcher_new_on(&f.w, f.loop, fd, NULL, on_news, &f, NULL), 0);
        settle(&f);
        assert_int_equal(told(&f, ""), WATCH_SUBTREE | WATCH_OVERFLOW);
        /* and it goes on */
        forget(&f);
        assert_int_equal(add(&f, ""), WATCH_ADDED);
        put("c", "x");
        settle(&f);
        assert_true(told(&f, "c") & WATCH_CONTENT);
        assert_int_equal(told(&f, ""), 0);
        end(&f);
}

typedef struct Storm {
        pthread_t thread;
        unsigned from;
} Storm;

static void *storm(void *userdata) {
        Storm *s = userdata;

        for (unsigned i = 0; i < 3000; i++) {
                char path[128];
                int fd;

                (void) snprintf(path, sizeof(path), "%s/storm-%u", root, s->from + i);
                fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
                if (fd < 0 || write(fd, "x", 1) != 1 || close(fd) < 0)
                        return userdata;
        }
        return NULL;
}

typedef struct Waiting {
        bool put, told;
} Waiting;

static Waiting waiting[100];
static unsigned n_reached; /* of their barriers */

/* Where the reader gets no processor for so long that the kernel's queue is full, all that was put is told at once. */
static void on_mine(const char *path, unsigned what, void *userdata) {
        unsigned i;

        if (what & WATCH_OVERFLOW)
                for (i = 0; i < ELEMENTSOF(waiting); i++)
                        waiting[i].told |= waiting[i].put;
        if ((what & WATCH_CONTENT) && sscanf(path, "mine-%u", &i) == 1) /* NOLINT(cert-err34-c) */
                waiting[i].told = true;
}

static void on_reached(void *userdata) {
        const Waiting *w = userdata;

        assert_ptr_equal(w, &waiting[n_reached]);
        assert_true(w->told);
        n_reached++;
}

/* Whatever goes on beside it, a barrier comes after all that was before it, and barriers come in order. */
static void test_barriers_in_a_storm(void **state) {
        static Fixture quiet;
        Storm storms[2];

        memset(&f, 0, sizeof(f));
        assert_int_equal(sd_event_new(&f.loop), 0);
        assert_int_equal(watcher_new(&f.w, f.loop, on_mine, NULL, NULL), 0);
        assert_int_equal(add(&f, ""), WATCH_ADDED);
        begin(&quiet);
        for (size_t i = 0; i < ELEMENTSOF(storms); i++) {
                storms[i].from = (unsigned) i * 3000;
                assert_int_equal(pthread_create(&storms[i].thread, NULL, storm, &storms[i]), 0);
        }
        for (unsigned i = 0; i < ELEMENTSOF(waiting); i++) {
                char name[32];

                (void) snprintf(name, sizeof(name), "mine-%u", i);
                put(name, "x");
                waiting[i].put = true;
                assert_int_equal(watcher_barrier(f.w, on_reached, &waiting[i]), 0);
                if (i % 3 == 0) /* several are on their way */
                        assert_true(sd_event_run(f.loop, 0) >= 0);
        }
        while (n_reached < ELEMENTSOF(waiting))
                assert_true(sd_event_run(f.loop, PATIENCE) > 0);
        for (size_t i = 0; i < ELEMENTSOF(storms); i++) {
                void *result;

                assert_int_equal(pthread_join(storms[i].thread, &result), 0);
                assert_null(result);
        }
        end(&f);
        end(&quiet);
}

/* Steps are bounded, so that the loop's other work comes in between; and none is left out. */
static void test_bounded_steps(void **state) {
        size_t most = 0;

        begin(&f);
        for (unsigned i = 0; i < 12000; i++) {
                char name[32];

                (void) snprintf(name, sizeof(name), "f%u", i);
                assert_int_equal(mknod(at(name), S_IFREG | 0600, 0), 0); /* one event each, or the queue is too short */
        }
        assert_int_equal(watcher_barrier(f.w, on_barrier, &f), 0);
        while (f.barriers == 0) {
                size_t before = f.total;

                assert_true(sd_event_run(f.loop, PATIENCE) > 0);
                most = MAX(most, f.total - before);
        }
        assert_int_equal(f.total, 12000);
        assert_true(most <= 4096);
        end(&f);
}

/* pitfalls 1.1 in small: watch, then list, and whatever is not in the listing is told. */
static void *make_trees(void *userdata) {
        for (unsigned i = 0; i < 400; i++) {
                char path[256];
                int n = snprintf(path, sizeof(path), "%s/t%u", root, i), fd;

                if (mkdir(path, 0755) < 0)
                        return userdata;
                for (unsigned k = 0; k < 3; k++) {
                        n += snprintf(path + n, sizeof(path) - (size_t) n, "/%c", 'a' + (int) k);
                        if (mkdir(path, 0755) < 0)
                                return userdata;
                }
                (void) snprintf(path + n, sizeof(path) - (size_t) n, "/f");
                fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
                if (fd < 0 || close(fd) < 0)
                        return userdata;
        }
        return NULL;
}

static bool seen_files[400];

static void note(const char *path) {
        unsigned i;
        char rest[16];

        if (sscanf(path, "t%u/a/b/c/%15s", &i, rest) == 2 && i < ELEMENTSOF(seen_files)) /* NOLINT(cert-err34-c) */
                seen_files[i] = true;
}

static void watch_and_list(Fixture *fixture, const char *path) {
        int fd = open(at(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct dirent *de;
        unsigned asked;
        DIR *dir;

        if (fd < 0)
                return;
        assert_int_equal(watcher_add(fixture->w, path, fd, exists, &asked, NULL), WATCH_ADDED);
        dir = fdopendir(fd);
        assert_non_null(dir);
        while ((de = readdir(dir)))
                if (de->d_name[0] != '.') {
                        char child[256];

                        (void) snprintf(child, sizeof(child), "%s/%.60s", path, de->d_name);
                        if (de->d_type == DT_DIR)
                                watch_and_list(fixture, child);
                        else
                                note(child);
                }
        assert_int_equal(closedir(dir), 0);
}

static void test_watch_then_list_misses_nothing(void **state) {
        pthread_t thread;
        void *result;
        bool done = false;

        memset(seen_files, 0, sizeof(seen_files));
        begin(&f);
        assert_int_equal(pthread_create(&thread, NULL, make_trees, &f), 0);
        for (unsigned quiet = 0; quiet < 2;) {
                settle(&f);
                quiet = done && f.n == 0 ? quiet + 1 : 0;
                for (size_t i = 0; i < f.n; i++) {
                        note(f.news[i].path);
                        if (f.news[i].what & WATCH_SUBTREE)
                                watch_and_list(&f, f.news[i].path);
                }
                forget(&f);
                if (!done && pthread_tryjoin_np(thread, &result) == 0) {
                        assert_null(result);
                        done = true;
                }
        }
        for (size_t i = 0; i < ELEMENTSOF(seen_files); i++)
                assert_true(seen_files[i]);
        end(&f);
}

static void add_deep(const char *path, int fd) {
        assert_int_equal(watcher_add(f.w, path, fd, NULL, NULL, NULL), WATCH_ADDED);
}

/* pitfalls 1.15, 6.7: by the open folder, deeper than any path the kernel takes. */
static void test_deep(void **state) {
        _cleanup_close_ int fd = -1, file = -1;
        char path[8192] = "";

        begin(&f);
        fd = deep_make(path, 30, add_deep);
        settle(&f);
        forget(&f);
        file = openat(fd, "f", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(file >= 0 && strlen(path) > 4096);
        memcpy(path + strlen(path), "/f", 3);
        expect(&f, path, WATCH_NAME);
        end(&f);
}

static void test_freed_in_callback(void **state) {
        begin(&f);
        f.free_in_callback = true;
        for (unsigned i = 0; i < 10; i++) {
                char name[8];

                (void) snprintf(name, sizeof(name), "f%u", i);
                put(name, "x");
        }
        assert_int_equal(watcher_barrier(f.w, on_barrier, &f), 0);
        while (f.w)
                assert_true(sd_event_run(f.loop, PATIENCE) > 0);
        assert_int_equal(f.total, 1);
        assert_int_equal(f.barriers, 0);
        end(&f);
}

/* A scanner may be stuck when the watcher goes: what it does afterwards is of no effect, and harms nobody. */
static void test_used_after_free_by_a_scanner(void **state) {
        Watcher *kept;

        begin(&f);
        make_dir("d", 0755);
        kept = watcher_ref(f.w);
        f.w = watcher_free(f.w);
        f.w = kept;
        assert_int_equal(add(&f, "d"), WATCH_ADDED);
        watcher_keep_only(kept, "", NULL, 0);
        watcher_remove(kept, "d");
        f.w = watcher_unref(kept);
        end(&f);
}

/* Idle means idle: without events the loop is never woken, and who does not read is not stuck (pitfalls 11.7). */
static void test_idle(void **state) {
        begin(&f);
        settle(&f);
        assert_int_equal(watcher_stuck(f.w), 0);
        for (unsigned i = 0; i < 10; i++)
                (void) sd_event_run(f.loop, 0);
        assert_int_equal(sd_event_run(f.loop, 50000), 0);
        assert_int_equal(watcher_stuck(f.w), 0);
        end(&f);
}

/* in memory: making thousands of files on a disk takes its time */
#define STORM_TEST(name) cmocka_unit_test_setup_teardown(name, set_up_shm, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                STORM_TEST(test_overflow_of_the_kernel),
                STORM_TEST(test_barriers_in_a_storm),
                STORM_TEST(test_bounded_steps),
                STORM_TEST(test_watch_then_list_misses_nothing),
                TEST(test_freed_in_callback),
                TEST(test_used_after_free_by_a_scanner),
                TEST(test_idle),
                cmocka_unit_test_setup_teardown(test_deep, set_up, tear_down_deep),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
