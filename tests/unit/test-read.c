/* Reading files that will not hold still. Most cases go step by step, so that what happens between two of them is
 * certain; the races are counted, not timed. */
#include "scratch.h"
#include "util/clock.h"
#include "watch/read.h"
#include "watch/reading.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <sys/uio.h>

#define FIXED(size) ((Cuts){ 64, 64, (size) }) /* blocks of so many bytes, if those are few */

#define RACE_NS (3 * NSEC_PER_SEC / 2) /* at most */
#define RACE_READS 4000U

static const RootId any;

static SourceAnswer look(const char *path) {
        SourceAnswer a;

        read_look(root, &any, path, &a);
        return a;
}

static SourceAnswer whole(const char *path, char **ret_data) {
        SourceAnswer a;

        free(*ret_data);
        *ret_data = NULL;
        read_whole(root, &any, path, SIZE_MAX, &a, ret_data);
        return a;
}

static void test_whole(void **state) {
        _cleanup_free_ char *data = NULL;
        SourceAnswer a;

        put("file", "hello");
        a = whole("file", &data);
        assert_int_equal(a.read, SOURCE_WHOLE);
        assert_int_equal(a.size, 5);
        assert_int_equal(a.stamp.size, 5);
        assert_memory_equal(data, "hello", 5);
        assert_md5(a.md5, "hello", 5);
        assert_true(S_ISREG(a.stamp.mode));
        assert_int_equal(a.stamp.nlink, 1);
        assert_true(a.stamp.ino != 0);

        put("empty", "");
        a = whole("empty", &data);
        assert_int_equal(a.read, SOURCE_WHOLE);
        assert_int_equal(a.size, 0);
        assert_non_null(data);
        assert_md5(a.md5, "", 0);

        free(TAKE_PTR(data));
        read_whole(root, &any, "file", 4, &a, &data); /* no room */
        assert_int_equal(a.look, LOOK_REGULAR);
        assert_int_equal(a.read, SOURCE_UNREAD);
        assert_int_equal(a.stamp.size, 5);
        assert_null(data);
        read_whole(root, &any, "file", 5, &a, &data);
        assert_int_equal(a.read, SOURCE_WHOLE);
}

static void test_tick(void **state) {
        for (unsigned i = 0; i < 5; i++) {
                _cleanup_(read_file_freep) ReadFile *f = read_file_new(root, &any, "f");
                SourceAnswer a;

                put("f", "x"); /* pitfalls 4.2: read only when its stamp is a step old */
                read_file_open(f, &a);
                assert_int_equal(a.look, LOOK_REGULAR);
                assert_true(clock_wall() - MAX(a.stamp.mtime_ns, a.stamp.ctime_ns) >= clock_tick());
        }
}

/* pitfalls 4.2: stamps in the future, or with whole seconds, neither hang nor are believed too early. */
static void test_odd_times(void **state) {
        const struct timespec future[2] = { { .tv_sec = INT64_C(4102444800), .tv_nsec = 7 },
                                            { .tv_sec = INT64_C(4102444800), .tv_nsec = 7 } };
        const struct timespec old[2] = { { .tv_sec = 0 }, { .tv_sec = 0 } };
        _cleanup_free_ char *data = NULL;

        put("file", "x");
        assert_int_equal(utimensat(AT_FDCWD, at("file"), future, 0), 0);
        assert_int_equal(whole("file", &data).read, SOURCE_WHOLE);
        assert_int_equal(utimensat(AT_FDCWD, at("file"), old, 0), 0);
        assert_int_equal(whole("file", &data).read, SOURCE_WHOLE);
}

/* ---- what happens while it is being read ---- */

static void grow(void) {
        _cleanup_close_ int fd = open(at("f"), O_WRONLY | O_APPEND | O_CLOEXEC);

        assert_int_equal(write(fd, "more", 4), 4);
}

static void overwrite(void) {
        _cleanup_close_ int fd = open(at("f"), O_WRONLY | O_CLOEXEC);

        assert_int_equal(write(fd, "X", 1), 1);
}

static void overwrite_and_grow(void) {
        overwrite();
        grow();
}

/* The other order: "Xontent" alone never was in the file. */
static void grow_and_overwrite(void) {
        grow();
        overwrite();
}

/* As `cat longer >file`: its beginning never was, at any length. */
static void write_longer(void) {
        put("f", "abcdefghijkl");
}

static void grow_too_far(void) {
        assert_int_equal(truncate(at("f"), 15), 0);
}

static void shorten(void) {
        assert_int_equal(truncate(at("f"), 3), 0);
}

static void shorten_and_grow(void) {
        assert_int_equal(truncate(at("f"), 3), 0);
        assert_int_equal(truncate(at("f"), 1 << 20), 0);
}

static void replace(void) {
        char other[600];

        put("other", "content");
        (void) snprintf(other, sizeof(other), "%s", at("other"));
        assert_int_equal(rename(other, at("f")), 0);
}

static void replace_and_grow(void) {
        replace();
        grow();
}

static void take_away(void) {
        assert_int_equal(unlink(at("f")), 0);
}

static void change_mode(void) {
        assert_int_equal(chmod(at("f"), 0600), 0);
}

static void set_back(void) { /* pitfalls 4.1: in any direction */
        const struct timespec t[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };

        assert_int_equal(utimensat(AT_FDCWD, at("f"), t, 0), 0);
}

static void nothing(void) {
}

static void remove_root(void) {
        char away[100];

        (void) snprintf(away, sizeof(away), "%s/away", top);
        assert_int_equal(rename(root, away), 0);
}

/* A file in three blocks, or four if it grows; the change comes before block `when` (3: after the last). */
static SourceAnswer read_in_blocks(void (*change)(void), unsigned when, char **ret_bytes, size_t *ret_size) {
        _cleanup_(read_file_freep) ReadFile *f = read_file_new(root, &any, "f");
        _cleanup_free_ char *bytes = malloc(64);
        SourceAnswer a;
        size_t n = 0;

        assert_non_null(f);
        assert_non_null(bytes);
        read_file_open(f, &a);
        assert_int_equal(a.look, LOOK_REGULAR);
        assert_int_equal(a.read, SOURCE_UNREAD);
        for (unsigned i = 0; i < 4 && !a.end; i++) {
                _cleanup_free_ char *data = NULL;
                uint8_t sha256[32];

                if (i == when)
                        change();
                read_file_block(f, &FIXED(3), true, &a, &data);
                assert_non_null(data);
                assert_true(read_file_sum(f, data, a.size));
                assert_int_equal(EVP_Digest(data, a.size, sha256, NULL, EVP_sha256(), NULL), 1);
                assert_memory_equal(a.sha256, sha256, sizeof(sha256));
                assert_md5(a.md5, data, a.size);
                memcpy(bytes + n, data, a.size);
                n += a.size;
                if (a.read == SOURCE_WHOLE) {
                        assert_int_equal(a.size, MIN(a.stamp.size - 3 * i, UINT64_C(3)));
                        assert_int_equal(a.end, n == a.stamp.size);
                } else {
                        assert_int_equal(a.read, SOURCE_CHANGED);
                        assert_true(a.end);
                }
        }
        assert_true(a.end);
        if (when == 3)
                change();
        while (!read_file_finish(f, &a))
                ;
        *ret_bytes = TAKE_PTR(bytes);
        *ret_size = n;
        return a;
}

static void test_changes_between_steps(void **state) {
        static const struct {
                void (*change)(void);
                SourceRead read[4]; /* before block 0, 1, 2, and at the end */
                const char *sent;   /* of a PREFIX before the end: a state that was there */
        } cases[] = {
#define ALWAYS(x) { x, x, x, x }
                { nothing, ALWAYS(SOURCE_WHOLE), NULL },
                { grow, ALWAYS(SOURCE_PREFIX), "contentmore" }, /* pitfalls 4.7 */
                { grow_too_far, { SOURCE_CHANGED, SOURCE_CHANGED, SOURCE_CHANGED, SOURCE_PREFIX }, NULL },
                { overwrite, ALWAYS(SOURCE_CHANGED), NULL },
                /* what was not read yet when it changed is what both readings saw: a state that was there */
                { overwrite_and_grow,
                  { SOURCE_PREFIX, SOURCE_CHANGED, SOURCE_CHANGED, SOURCE_CHANGED },
                  "Xontentmore" },
                { grow_and_overwrite,
                  { SOURCE_PREFIX, SOURCE_CHANGED, SOURCE_CHANGED, SOURCE_CHANGED },
                  "Xontentmore" },
                { write_longer, { SOURCE_PREFIX, SOURCE_CHANGED, SOURCE_CHANGED, SOURCE_CHANGED }, "abcdefghijkl" },
                { shorten, ALWAYS(SOURCE_CHANGED), NULL },
                { shorten_and_grow, ALWAYS(SOURCE_CHANGED), NULL },
                { replace, ALWAYS(SOURCE_CHANGED), NULL },
                { replace_and_grow, ALWAYS(SOURCE_CHANGED), NULL },
                { take_away, ALWAYS(SOURCE_CHANGED), NULL },
                { change_mode, ALWAYS(SOURCE_CHANGED), NULL },
                { set_back, ALWAYS(SOURCE_CHANGED), NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                for (unsigned when = 0; when < 4; when++) {
                        _cleanup_free_ char *bytes = NULL;
                        size_t size;
                        SourceAnswer a;

                        put("f", "content");
                        a = read_in_blocks(cases[i].change, when, &bytes, &size);
                        assert_int_equal(a.look, LOOK_REGULAR);
                        assert_int_equal(a.read, cases[i].read[when]);
                        if (a.read != SOURCE_CHANGED)
                                assert_int_equal(size, a.stamp.size);
                        if (a.read == SOURCE_PREFIX) {
                                const char *sent = when < 3 ? cases[i].sent : "content";

                                assert_int_equal(size, strlen(sent));
                                assert_memory_equal(bytes, sent, size);
                        }
                        assert_md5(a.md5, bytes, size); /* of a changed one too: it may become the copy of 4.7 */
                        (void) unlink(at("f"));
                }
}

/* The file itself is as it was, and no longer at its path: only the last step of 4.4 sees this. */
static void test_folder_goes_while_reading(void **state) {
        static const char *const instead[] = { "missing", "folder", "link" };

        make_dir("d", 0755);
        put("d/f", "content");
        for (size_t i = 0; i < ELEMENTSOF(instead); i++) {
                _cleanup_(read_file_freep) ReadFile *f = read_file_new(root, &any, "d/f");
                _cleanup_free_ char *data = NULL;
                char dir[512], away[512];
                SourceAnswer a;

                (void) snprintf(dir, sizeof(dir), "%s", at("d"));
                (void) snprintf(away, sizeof(away), "%s", at("away"));
                read_file_open(f, &a);
                read_file_block(f, &FIXED(7), false, &a, &data);
                assert_true(read_file_sum(f, data, a.size));
                assert_int_equal(a.read, SOURCE_WHOLE);
                assert_int_equal(rename(dir, away), 0);
                if (i == 1) {
                        make_dir("d", 0755);
                        put("d/f", "content");
                } else if (i == 2) {
                        assert_int_equal(symlink("away", dir), 0);
                }
                assert_true(read_file_finish(f, &a));
                assert_int_equal(a.look, LOOK_REGULAR);
                assert_int_equal(a.read, SOURCE_CHANGED);
                if (i == 1)
                        assert_int_equal(unlink(at("d/f")), 0);
                (void) remove(dir);
                assert_int_equal(rename(away, dir), 0);
        }
}

static void test_root_goes_while_reading(void **state) {
        _cleanup_free_ char *bytes = NULL;
        SourceAnswer a;
        size_t size;

        put("f", "content");
        a = read_in_blocks(remove_root, 3, &bytes, &size);
        assert_int_equal(a.look, LOOK_NO_ROOT);
        assert_int_equal(a.root_state, ROOT_MISSING);
}

/* A prefix larger than one step of the second reading. */
static void test_large_prefix(void **state) {
        _cleanup_(read_file_freep) ReadFile *f = read_file_new(root, &any, "f");
        unsigned steps = 0;
        SourceAnswer a;
        uint64_t size = UINT64_C(70) << 20;

        put("f", "");
        assert_int_equal(truncate(at("f"), (off_t) size), 0);
        read_file_open(f, &a);
        do {
                const Cuts cuts = cuts_of(22);
                _cleanup_free_ char *data = NULL;

                read_file_block(f, &cuts, false, &a, &data);
                assert_true(read_file_sum(f, data, a.size));
                assert_int_equal(a.read, SOURCE_WHOLE);
        } while (!a.end);
        grow();
        while (!read_file_finish(f, &a))
                steps++;
        assert_int_equal(a.read, SOURCE_PREFIX);
        assert_int_equal(a.stamp.size, size);
        assert_int_equal(steps, 2);
}

/* Not even the address space has room for such a block; what AddressSanitizer would say of it is of no interest. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
        return "allocator_may_return_null=1";
}

/* pitfalls 11.3: no memory for a block, and the next one has been asked for already. */
static void test_no_memory(void **state) {
        _cleanup_(read_file_freep) ReadFile *f = read_file_new(root, &any, "f");
        const Cuts cuts[] = { cuts_of(13), { 64, 64, SIZE_MAX }, cuts_of(13) };
        FILE *file = fopen(at("f"), "we");
        uint64_t x = 1;
        SourceAnswer a;

        assert_non_null(file);
        for (unsigned i = 0; i < 20000; i++, x = x * UINT64_C(6364136223846793005) + 1)
                assert_true(fprintf(file, "%020llu", (unsigned long long) x) == 20);
        assert_int_equal(fclose(file), 0);
        if (truncate(at("f"), (off_t) 1 << 43) < 0)
                skip();
        read_file_open(f, &a);
        for (size_t i = 0; i < ELEMENTSOF(cuts); i++) {
                _cleanup_free_ char *data = NULL;

                read_file_block(f, &cuts[i], false, &a, &data);
                assert_int_equal(a.look == LOOK_REGULAR, data != NULL);
                assert_true(i == 1 || data);
        }
}

/* pitfalls 4.3: a store into a page that is dirty already changes no stamp, unless the page is cleaned after the first
 * fstat. On tmpfs no page is ever clean: the second reading sees it. */
static void test_mmap(void **state) {
        _cleanup_(read_file_freep) ReadFile *f = read_file_new(root, &any, "f");
        _cleanup_close_ int fd = -1;
        _cleanup_free_ char *data = NULL;
        SourceAnswer a;
        char *map;

        put("f", "content");
        fd = open(at("f"), O_RDWR | O_CLOEXEC);
        map = mmap(NULL, 7, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        assert_true(map != MAP_FAILED);
        map[0] = 'C';
        read_file_open(f, &a);
        assert_int_equal(a.look, LOOK_REGULAR);
        read_file_block(f, &FIXED(7), false, &a, &data);
        assert_true(read_file_sum(f, data, a.size));
        assert_memory_equal(data, "Content", 7);
        map[1] = 'O';
        while (!read_file_finish(f, &a))
                ;
        assert_int_equal(a.read, SOURCE_CHANGED);
        assert_int_equal(munmap(map, 7), 0);
}

/* ---- races ---- */

#define TORN_PART ((size_t) 1 << 20)
#define TORN_PARTS_MAX 128

typedef struct Rewriter {
        int fd, parts;
        int64_t pause; /* up to, between two writes, so that quiet moments exist */
} Rewriter;

static void *rewriter(void *userdata) {
        const Rewriter *w = userdata;
        char *part = malloc(TORN_PART);
        struct iovec iov[TORN_PARTS_MAX];

        for (int k = 0; k < w->parts; k++)
                iov[k] = (struct iovec){ .iov_base = part, .iov_len = TORN_PART };
        for (unsigned i = 1; part && !atomic_load(&stop); i++) {
                struct timespec pause = { .tv_nsec = (i * 2654435761U >> 4) % w->pause };

                memset(part, (int) (i & 0xff), TORN_PART);
                if (pwritev(w->fd, iov, w->parts, 0) != (ssize_t) (TORN_PART * (size_t) w->parts))
                        break;
                (void) nanosleep(&pause, NULL);
        }
        free(part);
        return NULL;
}

static void rewriter_start(Rewriter *w, pthread_t *ret) {
        put("f", "");
        w->fd = open(at("f"), O_RDWR | O_CLOEXEC);
        assert_true(w->fd >= 0);
        assert_int_equal(ftruncate(w->fd, (off_t) (TORN_PART * (size_t) w->parts)), 0);
        atomic_store(&stop, false);
        assert_int_equal(pthread_create(ret, NULL, rewriter, w), 0);
}

static void rewriter_stop(const Rewriter *w, pthread_t id) {
        atomic_store(&stop, true);
        (void) pthread_join(id, NULL);
        (void) close(w->fd);
}

/* pitfalls 4.4: a large write(2) sets the stamp first and copies later. Each version is uniform, so a mixture shows:
 * where the stamp is still that of read_file_open(), the first and the last byte must be of one version. Two bytes are
 * read rather than all, since that takes no time in which the write under way could come to its end. The write has to
 * take longer than a tick, or waiting for that would be enough. */
static void test_torn(void **state) {
        static Rewriter w = { .parts = TORN_PARTS_MAX, .pause = 8 * NSEC_PER_MSEC };
        int64_t until = clock_boot() + RACE_NS;
        unsigned n = 0, quiet = 0;
        struct statfs fs;
        pthread_t writer;

        assert_int_equal(statfs(root, &fs), 0);
        if (fs.f_bavail * (uint64_t) fs.f_bsize < TORN_PART * TORN_PARTS_MAX * 4)
                w.parts = 24; /* a small /dev/shm: will seldom notice anything */
        rewriter_start(&w, &writer);
        for (; n < RACE_READS && quiet < 200 && clock_boot() < until; n++) {
                _cleanup_(read_file_freep) ReadFile *f = read_file_new(root, &any, "f");
                off_t end = (off_t) (TORN_PART * (size_t) w.parts) - 1;
                char first, last;
                SourceAnswer a, b;

                read_file_open(f, &a);
                assert_int_equal(a.look, LOOK_REGULAR);
                assert_int_equal(pread(w.fd, &last, 1, end), 1);
                assert_int_equal(pread(w.fd, &first, 1, 0), 1);
                b = look("f");
                if (!stamp_equal(&a.stamp, &b.stamp))
                        continue;
                quiet++;
                assert_int_equal(first, last);
        }
        rewriter_stop(&w, writer);
        print_message("%u readings, %u of them quiet, none torn\n", n, quiet);
}

/* The same by whole readings, which need longer pauses. */
static void test_torn_whole(void **state) {
        static Rewriter w = { .parts = 9, .pause = 60 * NSEC_PER_MSEC };
        const size_t size = 9 * TORN_PART;
        _cleanup_free_ char *data = NULL;
        int64_t until = clock_boot() + RACE_NS;
        unsigned n = 0, wholes = 0;
        pthread_t writer;
        SourceAnswer a;

        rewriter_start(&w, &writer);
        for (; n < RACE_READS && wholes < 20 && clock_boot() < until; n++) {
                a = whole("f", &data);
                assert_int_equal(a.look, LOOK_REGULAR);
                assert_true(a.read == SOURCE_WHOLE || a.read == SOURCE_CHANGED);
                if (a.read == SOURCE_CHANGED)
                        continue;
                wholes++;
                assert_int_equal(a.size, size);
                assert_memory_equal(data, data + 1, size - 1);
        }
        rewriter_stop(&w, writer);
        print_message("%u readings, %u whole, none torn\n", n, wholes);
        a = whole("f", &data);
        assert_int_equal(a.read, SOURCE_WHOLE);
        assert_memory_equal(data, data + 1, size - 1);
}

#define LOG_LINES 4000000U /* of 64 bytes: 256 MB, then the writer has ended */

static void *appender(void *userdata) {
        int fd = *(int *) userdata;
        char line[64];

        for (unsigned i = 0; i < LOG_LINES && !atomic_load(&stop); i++) {
                for (unsigned k = 0; k < sizeof(line); k++)
                        line[k] = (char) ('a' + (i * sizeof(line) + k) % 23);
                if (write(fd, line, sizeof(line)) != (ssize_t) sizeof(line))
                        break;
        }
        return NULL;
}

/* pitfalls 4.7: a log that is written all the time can be sent all the same, and what is sent is a prefix of it. On a
 * loaded machine the first readings may all fit between two turns of the writer, and are whole; the longer the file,
 * the less so: time ends the race only after the first prefix. */
static void test_log(void **state) {
        static int fd;
        _cleanup_free_ char *data = NULL;
        int64_t until = clock_boot() + RACE_NS;
        uint64_t size = 0;
        unsigned prefixes = 0;
        pthread_t writer;

        put("f", "");
        fd = open(at("f"), O_WRONLY | O_APPEND | O_CLOEXEC);
        atomic_store(&stop, false);
        assert_int_equal(pthread_create(&writer, NULL, appender, &fd), 0);
        while (size < LOG_LINES * UINT64_C(64) && prefixes < 20 && (prefixes == 0 || clock_boot() < until)) {
                SourceAnswer a = whole("f", &data);

                assert_int_equal(a.look, LOOK_REGULAR);
                size = a.stamp.size;
                if (a.read == SOURCE_CHANGED)
                        continue;
                prefixes += a.read == SOURCE_PREFIX;
                assert_int_equal(a.size, a.stamp.size);
                assert_md5(a.md5, data, a.size);
                for (size_t i = 0; i < a.size; i++)
                        if (data[i] != (char) ('a' + i % 23))
                                fail_msg("byte %zu is no prefix", i);
        }
        atomic_store(&stop, true);
        (void) pthread_join(writer, NULL);
        (void) close(fd);
        assert_true(prefixes > 0);
}

int main(void) {
#define TEST_SHM(name) cmocka_unit_test_setup_teardown(name, set_up_shm, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(test_whole),
                TEST(test_tick),
                TEST(test_odd_times),
                TEST(test_changes_between_steps),
                TEST(test_folder_goes_while_reading),
                TEST(test_root_goes_while_reading),
                TEST(test_large_prefix),
                TEST(test_no_memory),
                TEST(test_mmap),
                TEST_SHM(test_mmap),
                TEST_SHM(test_torn),
                TEST_SHM(test_torn_whole),
                TEST(test_log),
        };
        Error e = ERROR_NULL;

        if (reading_setup(&e) < 0) {
                print_error("%s\n", e.text);
                return 1;
        }
        return cmocka_run_group_tests(tests, NULL, NULL);
}
