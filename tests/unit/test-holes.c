/* Large files with holes: zeros that are not read. */
#include "scratch.h"
#include "watch/read.h"
#include "watch/reading.h"
#include "watch/root.h"

#define SIZE ((size_t) 8 << 20)

static const RootId any;

static void nothing(void) {
}

static void make_sparse(void) {
        _cleanup_close_ int fd = open(at("f"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        assert_int_equal(ftruncate(fd, (off_t) SIZE), 0);
        assert_int_equal(pwrite(fd, "data", 4, 3000001), 4);
}

static void fill_hole(void) {
        _cleanup_close_ int fd = open(at("f"), O_WRONLY | O_CLOEXEC);

        assert_int_equal(pwrite(fd, "more", 4, (off_t) SIZE / 2), 4);
}

static void cut_in_hole(void) {
        assert_int_equal(truncate(at("f"), (off_t) SIZE / 2 + 1), 0);
}

static void grow_by_hole(void) {
        assert_int_equal(truncate(at("f"), (off_t) SIZE + 12345), 0);
}

static uint64_t bytes_read(void) {
        FILE *io = fopen("/proc/self/io", "re");
        unsigned long long n = 0;

        assert_non_null(io);
        assert_int_equal(fscanf(io, "rchar: %llu", &n), 1);
        (void) fclose(io);
        return n;
}

static void expect_same(int fd, const char *data, size_t size) {
        _cleanup_free_ char *there = malloc(size);

        assert_int_equal(pread(fd, there, size, 0), size);
        assert_memory_equal(data, there, size);
}

/* The change comes after an eighth of the file. */
static void read_sparse(void (*change)(void), SourceRead read, size_t size) {
        _cleanup_(read_file_freep) ReadFile *f = read_file_new(root, &any, "f");
        _cleanup_free_ char *got = calloc(1, 2 * SIZE);
        _cleanup_close_ int fd = -1;
        const Cuts cuts = cuts_of(16);
        SourceAnswer a = { 0 };
        size_t n = 0, zeros = 0;
        uint64_t before;

        make_sparse();
        fd = open(at("f"), O_RDONLY | O_CLOEXEC);
        before = bytes_read();
        read_file_open(f, &a);
        while (!a.end) {
                _cleanup_free_ char *data = NULL;

                if (n > SIZE / 8 && n - a.size <= SIZE / 8)
                        change();
                read_file_block(f, &cuts, true, &a, &data);
                assert_int_equal(a.look, LOOK_REGULAR);
                assert_true(read_file_sum(f, data, a.size));
                assert_md5(a.md5, data, a.size);
                memcpy(got + n, data, a.size);
                n += a.size;
                zeros += a.size == cuts.average;
        }
        while (!read_file_finish(f, &a))
                ;
        assert_int_equal(a.read, read);
        assert_true(zeros > 50);
        if (root_fs(fd)->knows_holes)
                assert_true(bytes_read() - before < SIZE / 8);
        assert_md5(a.md5, got, n);
        if (read != SOURCE_CHANGED) {
                assert_int_equal(n, size);
                expect_same(fd, got, n);
        }
}

/* What happens to a hole while it is said to be zeros is noticed as any other change. */
static void test_holes(void **state) {
        read_sparse(nothing, SOURCE_WHOLE, SIZE);
        read_sparse(fill_hole, SOURCE_CHANGED, 0);
        read_sparse(cut_in_hole, SOURCE_CHANGED, 0);
        read_sparse(grow_by_hole, SOURCE_PREFIX, SIZE + 12345);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_holes),
                cmocka_unit_test_setup_teardown(test_holes, set_up_shm, tear_down),
        };
        Error e = ERROR_NULL;

        if (reading_setup(&e) < 0) {
                print_error("%s\n", e.text);
                return 1;
        }
        return cmocka_run_group_tests(tests, NULL, NULL);
}
