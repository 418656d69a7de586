/* The order of a walk, which is that of the journal: against find(1), sorted. */
#include "walking.h"

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

int main(void) {
        const struct CMUnitTest tests[] = {
                WALK_TEST(test_order),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
