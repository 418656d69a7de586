/* The order of a walk, which is that of the journal: against find(1), sorted. */
#include "walking.h"

#include "watch/watches.h"

#include <dlfcn.h>
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
        struct stat st;

        assert_int_equal(fstat(folder_fd, &st), 0);
        watched = st.st_ino;
        return watches_add_by_fd(inotify_fd, folder_fd, mask);
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

/* Returns its inotify instance. */
static int watch_noted(Walk *walk, sd_event *loop) {
        int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

        assert_int_equal(watcher_new_on(&walk->watcher, loop, fd, add_noted, no_news, NULL, NULL), 0);
        walk->getdents = getdents_noted;
        listings = 0;
        return fd;
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
        (void) watch_noted(&walk, loop);
        assert_true(scan_with(&walk, "").complete);
        assert_int_equal(watcher_watches(walk.watcher), 5);
        assert_true(listings >= 5);
        watcher_free(walk.watcher);
        sd_event_unref(loop);
}

/* Is it the kernel's? */
static bool is_watched(int inotify_fd, const char *path) {
        char name[64], line[256];
        bool found = false;
        struct stat st;
        FILE *f;

        assert_int_equal(stat(path, &st), 0);
        (void) snprintf(name, sizeof(name), "/proc/self/fdinfo/%i", inotify_fd);
        f = fopen(name, "re");
        assert_non_null(f);
        while (fgets(line, sizeof(line), f)) {
                const char *ino = strstr(line, " ino:");

                found |= ino && strtoull(ino + strlen(" ino:"), NULL, 16) == st.st_ino;
        }
        assert_int_equal(fclose(f), 0);
        return found;
}

/* --- what is opened is what is watched and listed (pitfalls 1.15) --- */

static atomic_bool swap;

/* At `path`, if it is "a", stands a link to the folder "outside" from now on; once. */
static void swap_name(const char *path) {
        char away[128], outside[128];

        if (strcmp(path, "a") != 0 || !atomic_exchange(&swap, false))
                return;
        (void) snprintf(away, sizeof(away), "%s/away", top);
        (void) snprintf(outside, sizeof(outside), "%s/outside", top);
        assert_int_equal(rename(at("a"), away), 0);
        assert_int_equal(symlink(outside, at("a")), 0);
}

/* The walk's openat2() comes through here, and the getdents64() of getdents_noted(), which has an argument less. */
long syscall(long number, ...) {
        static long (*real)(long number, ...);
        size_t n = number == SYS_openat2 ? 4 : 3;
        long a[4] = { 0 }, r;
        va_list list;

        va_start(list, number);
        for (size_t i = 0; i < n; i++)
                a[i] = va_arg(list, long);
        va_end(list);
        if (!real)
                real = (long (*)(long, ...)) dlsym(RTLD_NEXT, "syscall");
        r = real(number, a[0], a[1], a[2], a[3]);
        if (number == SYS_openat2 && r >= 0)
                swap_name((const char *) a[1]);
        return r;
}

static void test_swapped_name(void **state) {
        Walk walk = walk_of();
        char path[128];
        sd_event *loop = NULL;
        int fd;

        make_dir("a", 0755);
        make_dir("a/in", 0755);
        put("a/in/file", "x");
        (void) snprintf(path, sizeof(path), "%s/outside", top);
        assert_int_equal(mkdir(path, 0755), 0);
        assert_int_equal(sd_event_new(&loop), 0);
        fd = watch_noted(&walk, loop);
        atomic_store(&swap, true);
        assert_true(scan_with(&walk, "").complete);
        assert_false(atomic_load(&swap));
        expect("a/in/file", SEEN_FILE, false);
        assert_false(is_watched(fd, path));
        (void) snprintf(path, sizeof(path), "%s/away", top);
        assert_true(is_watched(fd, path));
        watcher_free(walk.watcher);
        sd_event_unref(loop);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                WALK_TEST(test_order),
                WALK_TEST(test_watched_before_listed),
                WALK_TEST(test_swapped_name),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
