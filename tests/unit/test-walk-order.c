/* The order of a walk, which is that of the journal: against find(1), sorted. */
#include "walking.h"

#include "watch/watcher-on.h"

#include <stdatomic.h>
#include <sys/inotify.h>
#include <sys/syscall.h>

typedef struct Key {
        char *bytes; /* the path, with a '/' after a folder's */
        size_t size;
} Key;

static int compare_keys(const void *a, const void *b) {
        const Key *x = a, *y = b;
        int c = memcmp(x->bytes, y->bytes, MIN(x->size, y->size));

        return c != 0 ? c : (x->size > y->size) - (x->size < y->size);
}

static uint64_t random_state;

static unsigned random_below(unsigned n) {
        random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407u;
        return (unsigned) (random_state >> 33) % n;
}

/* Names that differ about where '/' stands among the bytes. */
static void random_tree(int fd, unsigned depth) {
        static const char *const names[] = { "a",   "a-",  "a-b", "a.txt", "a0", "a\x01", "a\xff",
                                             "ab",  "b",   "-",   " ",     "a/", "\xff",  "\n",
                                             "a!b", "aa",  "a.",  "a.b",   "A",  "\x01",  "a-b-c",
                                             "a-.", "a..", "é",   "...",   "a~", "0",     "a b" };

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                int child;

                if (strchr(names[i], '/') || random_below(3) == 0)
                        continue;
                if (depth == 0 || random_below(5) < 3) {
                        child = openat(fd, names[i], O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
                        assert_true(child >= 0);
                        assert_int_equal(close(child), 0);
                        continue;
                }
                assert_int_equal(mkdirat(fd, names[i], 0755), 0);
                child = openat(fd, names[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                assert_true(child >= 0);
                if (random_below(4) > 0)
                        random_tree(child, depth - 1);
                assert_int_equal(close(child), 0);
        }
}

/* What find(1) says, sorted. */
static size_t oracle(Key *keys, size_t room) {
        char command[256], type;
        size_t n = 0;
        FILE *p;

        (void) snprintf(command, sizeof(command), "find %s -mindepth 1 \\( ! -type d -o -empty \\) -printf '%%y%%P\\0'",
                        root);
        p = popen(command, "re"); /* NOLINT(cert-env33-c) */
        assert_non_null(p);
        while (fread(&type, 1, 1, p) == 1) {
                char *line = NULL;
                size_t line_room = 0;
                ssize_t size = getdelim(&line, &line_room, '\0', p);

                assert_true(size > 0 && n < room);
                if (type == 'd') {
                        line = realloc(line, (size_t) size + 2);
                        assert_non_null(line);
                        line[size - 1] = '/';
                        line[size] = '\0';
                        size++;
                }
                keys[n++] = (Key){ line, (size_t) size - 1 };
        }
        assert_int_equal(pclose(p), 0);
        qsort(keys, n, sizeof(*keys), compare_keys);
        return n;
}

static void test_order(void **state) {
        for (unsigned round = 0; round < 3; round++) {
                static Key keys[ELEMENTSOF(got)];
                _cleanup_close_ int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                ScanEnd end;
                size_t n;

                random_state = round + 1;
                random_tree(fd, 3);
                n = oracle(keys, ELEMENTSOF(keys));
                end = scan("");
                assert_true(end.complete);
                assert_int_equal(end.root_state, ROOT_OK);
                print_message("%zu paths\n", n);
                assert_int_equal(n_got, n);
                for (size_t i = 0; i < n; i++) {
                        bool folder = keys[i].bytes[keys[i].size - 1] == '/';

                        assert_int_equal(got[i].seen.kind, folder ? SEEN_EMPTY_FOLDER : SEEN_FILE);
                        if (folder)
                                keys[i].bytes[keys[i].size - 1] = '\0';
                        assert_string_equal(got[i].path, keys[i].bytes);
                        free(keys[i].bytes);
                }
                assert_int_equal(tear_down_deep(state), 0);
                assert_int_equal(set_up_shm(state), 0);
        }
}

/* --- watch, then list (pitfalls 1.1, 1.2): what comes in between is told, or listed --- */

static _Thread_local ino_t watched;
static atomic_uint listings;

static int add_noted(int inotify_fd, int folder_fd, uint32_t mask) {
        char path[64];
        struct stat st;

        assert_int_equal(fstat(folder_fd, &st), 0);
        watched = st.st_ino;
        (void) snprintf(path, sizeof(path), "/proc/self/fd/%i", folder_fd);
        return inotify_add_watch(inotify_fd, path, mask);
}

static ssize_t getdents_noted(int fd, void *buffer, size_t room) {
        struct stat st;

        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_ino, watched);
        listings++;
        return syscall(SYS_getdents64, fd, buffer, room);
}

static void no_news(const char *path, unsigned news, void *userdata) {
}

static void test_watched_before_listed(void **state) {
        Walk walk = walk_of();
        sd_event *loop = NULL;

        make_dir("a", 0755);
        make_dir("a/b", 0755);
        make_dir("c", 0755);
        make_dir("d", 0755);
        put("a/b/file", "x");
        assert_int_equal(sd_event_new(&loop), 0);
        assert_int_equal(watcher_new_on(&walk.watcher, loop, inotify_init1(IN_NONBLOCK | IN_CLOEXEC), add_noted,
                                        no_news, NULL, NULL),
                         0);
        walk.getdents = getdents_noted;
        listings = 0;
        assert_true(scan_with(&walk, "").complete);
        assert_int_equal(watcher_watches(walk.watcher), 5);
        assert_true(listings >= 5);
        watcher_free(walk.watcher);
        sd_event_unref(loop);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                WALK_TEST(test_order),
                WALK_TEST(test_watched_before_listed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
