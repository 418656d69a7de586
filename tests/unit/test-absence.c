/* Absence needs proof (L2, pitfalls 4.12, 5.5): every system call of a look and of a walk fails once with every error
 * there is, and from each call on for good. Whatever fails, a file that is there is never said to be absent, and one
 * that is not there only by calls that all worked. */
#include "walking.h"
#include "watch/read.h"

#include <dlfcn.h>
#include <sys/syscall.h>

static struct {
        unsigned calls, from;
        bool for_good;
        int error;
        char path[600]; /* that the first failed call was about; "" for one without */
} fault;

/* The call that `from` names fails, and with `for_good` all that follow. */
static bool fails(const char *path) {
        if (++fault.calls < fault.from || fault.error == 0 || (fault.calls > fault.from && !fault.for_good))
                return false;
        if (fault.calls == fault.from)
                (void) snprintf(fault.path, sizeof(fault.path), "%s", path);
        errno = fault.error;
        return true;
}

/* Those of libc, for the whole program: openat2 and getdents64 have no other way to the kernel here. Six arguments are
 * taken, as libc does, whether or not as many were given. */
__attribute__((no_sanitize("address"))) long syscall(long number, ...) {
        static long (*real)(long, ...);
        long a[6];
        va_list ap;

        va_start(ap, number);
        for (size_t i = 0; i < ELEMENTSOF(a); i++)
                a[i] = va_arg(ap, long);
        va_end(ap);
        if (!real)
                *(void **) &real = dlsym(RTLD_NEXT, "syscall");
        if (number == SYS_openat2 && fails((const char *) a[1])) // NOLINT(performance-no-int-to-ptr)
                return -1;
        if (number == SYS_getdents64 && fails(""))
                return -1;
        return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int statx(int fd, const char *path, int flags, unsigned mask, struct statx *ret) {
        static int (*real)(int, const char *, int, unsigned, struct statx *);

        if (!real)
                *(void **) &real = dlsym(RTLD_NEXT, "statx");
        return fails(path) ? -1 : real(fd, path, flags, mask, ret);
}

static const int errors[] = { EACCES,  EPERM,        EMFILE, ENFILE, ENOMEM, EIO,       ESTALE, ELOOP,
                              ENOTDIR, ENAMETOOLONG, EAGAIN, EINTR,  ENODEV, ETIMEDOUT, EINVAL, EOVERFLOW };

static void arm(unsigned from, int error, bool for_good) {
        fault.calls = 0;
        fault.from = from;
        fault.error = error;
        fault.for_good = for_good;
        fault.path[0] = '\0';
}

/* --- one look --- */

static const RootId any;

static SourceAnswer look_failing(const char *path, unsigned from, int error, bool for_good) {
        SourceAnswer a;

        arm(from, error, for_good);
        read_look(root, &any, path, &a);
        fault.error = 0;
        return a;
}

/* What may fail, and absence be proven all the same: what is tried again, and the first attempt at the whole path,
 * since the proof goes its own way. */
static bool may_be_absent(const char *path, int error) {
        return error == EAGAIN || error == EINTR ||
               ((error == ELOOP || error == ENOTDIR) && strcmp(fault.path, path) == 0);
}

static unsigned try_look(const char *path, bool there, int error, bool for_good) {
        unsigned tried = 0, from = 0;

        do {
                SourceAnswer a = look_failing(path, ++from, error, for_good);

                if (fault.calls < from)
                        break; /* there are not so many calls */
                tried++;
                if (a.look == LOOK_ABSENT && (there || for_good || !may_be_absent(path, error)))
                        fail_msg("%s: absent, though call %u (\"%s\") failed: %s", path, from, fault.path,
                                 strerror(error));
                if (a.look == LOOK_UNREADABLE)
                        assert_true(error == EACCES || error == EPERM);
                if (a.look == LOOK_UNREADABLE || a.look == LOOK_UNKNOWN || a.look == LOOK_NO_ROOT)
                        assert_true(a.error.code < 0 && a.error.text[0] != '\0'); /* L5: it is named */
                else
                        assert_true(a.look == LOOK_ABSENT || a.look == LOOK_REGULAR);
        } while (from < 1000);
        return tried;
}

static void make_tree(void) {
        make_dir("a", 0755);
        make_dir("a/b", 0755);
        make_dir("a/b/c", 0755);
        make_dir("a/empty", 0755);
        put("file", "x");
        put("a/file", "x");
        put("a/b/c/file", "x");
        put("a/b/c/other", "x");
        put("a/b.txt", "x");
        put("z", "x");
}

static void test_look(void **state) {
        static const struct {
                const char *path;
                bool there;
                unsigned least; /* calls: the root, the name; then the proof, folder by folder, and the root again */
        } cases[] = {
                { "file", true, 4 },     { "a/file", true, 4 },        { "a/b/c/file", true, 4 },
                { "missing", false, 7 }, { "a/missing", false, 9 },    { "a/b/c/missing", false, 13 },
                { "a/x/y/z", false, 9 }, { "file/beneath", false, 7 },
        };

        make_tree();
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                assert_int_equal(look_failing(cases[i].path, 0, 0, false).look,
                                 cases[i].there ? LOOK_REGULAR : LOOK_ABSENT);
                for (size_t k = 0; k < ELEMENTSOF(errors); k++)
                        for (unsigned for_good = 0; for_good < 2; for_good++)
                                assert_true(try_look(cases[i].path, cases[i].there, errors[k], for_good) >=
                                            cases[i].least);
        }
}

/* --- a walk --- */

/* "not seen" would make it a candidate for deletion */
static bool accounted_for(const char *path) {
        for (size_t i = 0; i < n_got; i++) {
                const char *p = got[i].path;
                size_t n = strlen(p);

                if (strcmp(p, path) == 0)
                        return true;
                if (got[i].seen.kind == SEEN_UNKNOWN && got[i].seen.folder && strncmp(p, path, n) == 0 &&
                    path[n] == '/')
                        return true;
        }
        return false;
}

static unsigned try_walk(const char *const *files, size_t n_files, const char *branch, int error, bool for_good) {
        unsigned tried = 0, from = 0;

        do {
                size_t n = strlen(branch);
                ScanEnd end;

                arm(++from, error, for_good);
                end = scan(branch);
                fault.error = 0;
                if (fault.calls < from)
                        break;
                tried++;
                if (!end.complete) { /* then nothing is concluded, and why is said */
                        assert_true(end.error.text[0] != '\0');
                        continue;
                }
                for (size_t i = 0; i < n_files; i++)
                        if (strncmp(files[i], branch, n) == 0 && !accounted_for(files[i]))
                                fail_msg("%s: neither seen nor unknown, though call %u (\"%s\") failed: %s", files[i],
                                         from, fault.path, strerror(error));
        } while (from < 1000);
        return tried;
}

/* A name that a rename takes away meanwhile, or that is something else by now, is a candidate like any other: ELOOP and
 * ENOTDIR are left out, and a look decides (test_look). */
static void test_walk(void **state) {
        static const char *const files[] = { "a/b.txt", "a/b/c/file", "a/b/c/other", "a/file", "file", "z" };

        make_tree();
        for (size_t k = 0; k < ELEMENTSOF(errors); k++)
                for (unsigned for_good = 0; for_good < 2 && errors[k] != ELOOP && errors[k] != ENOTDIR; for_good++) {
                        assert_true(try_walk(files, ELEMENTSOF(files), "", errors[k], for_good) >= 20);
                        assert_true(try_walk(files, ELEMENTSOF(files), "a", errors[k], for_good) >= 15);
                        assert_true(try_walk(files, ELEMENTSOF(files), "a/b/c", errors[k], for_good) >= 8);
                }
}

/* Folders far up are closed on the way down, and opened again for what is left in them. */
static void test_deep_walk(void **state) {
        static const char *const files[] = { "z", "d/z", "d/d/z", "d/d/d/z", "d/d/d/d/z" };
        char path[2 * 40 + 1] = "d";

        make_dir(path, 0755);
        for (size_t n = 1; n + 2 < sizeof(path); n += 2) {
                memcpy(path + n, "/d", 3);
                make_dir(path, 0755);
        }
        for (size_t i = 0; i < ELEMENTSOF(files); i++)
                put(files[i], "x");
        assert_true(try_walk(files, ELEMENTSOF(files), "", EIO, false) > 100);
        assert_true(try_walk(files, ELEMENTSOF(files), "", EMFILE, true) > 100);
}

int main(void) {
        const struct CMUnitTest tests[] = { WALK_TEST(test_look), WALK_TEST(test_walk), WALK_TEST(test_deep_walk) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
