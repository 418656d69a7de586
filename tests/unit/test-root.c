#include "watch/root.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>

#include <cmocka.h>

#define NOBODY 65534

static char top[64];

static const char *at(const char *path) {
        static char room[4][256];
        static unsigned n;
        char *r = room[n++ % 4];

        (void) snprintf(r, sizeof(room[0]), "%s/%s", top, path);
        return r;
}

static int set_up(void **state) {
        const char *tmp = getenv("TMPDIR");

        (void) snprintf(top, sizeof(top), "%.30s/azsync-root-XXXXXX", tmp ? tmp : "/tmp");
        if (!mkdtemp(top) || chmod(top, 0755) < 0)
                return -1;
        if (mkdir(at("root"), 0755) < 0 || mkdir(at("root/dir"), 0755) < 0 || mkdir(at("root/dir/inner"), 0755) < 0 ||
            symlink("dir", at("root/link")) < 0 || symlink("root", at("link")) < 0 ||
            symlink("..", at("root/up")) < 0 || symlink("/", at("root/slash")) < 0 || mkdir(at("closed"), 0) < 0)
                return -1;
        closep(&(int){ open(at("root/dir/file"), O_CREAT | O_WRONLY | O_CLOEXEC, 0644) });
        return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        return remove(path);
}

static int tear_down(void **state) {
        return nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static RootState open_root(const char *folder, const RootId *pinned, RootId *ret_id) {
        _cleanup_close_ int fd = -1;
        uint64_t mnt = 0;
        Error e = ERROR_NULL;
        RootState state = root_open(folder, pinned, &fd, ret_id, &mnt, NULL, &e);

        assert_int_equal(state == ROOT_OK, fd >= 0);
        assert_int_equal(state == ROOT_OK, mnt != 0);
        assert_int_equal(state == ROOT_OK, e.text[0] == '\0');
        assert_int_equal(state == ROOT_OK, e.code == 0);
        return state;
}

static void test_states(void **state) {
        static const struct {
                const char *folder;
                RootState state, as_nobody;
        } cases[] = {
                { "root", ROOT_OK, ROOT_OK },
                { "root/", ROOT_OK, ROOT_OK },
                { "root/dir", ROOT_OK, ROOT_OK },
                { "missing", ROOT_MISSING, ROOT_MISSING },
                { "missing/dir", ROOT_MISSING, ROOT_MISSING },
                { "root/dir/file", ROOT_MISSING, ROOT_MISSING },
                { "root/dir/file/x", ROOT_MISSING, ROOT_MISSING },
                { "link", ROOT_MISSING,
                  ROOT_MISSING }, /* pitfalls 5.3: whoever owns the folder above could point it anywhere */
                { "link/dir", ROOT_MISSING, ROOT_MISSING },
                { "root/slash", ROOT_MISSING, ROOT_MISSING },
                { "closed", ROOT_OK, ROOT_UNREADABLE }, /* unknown, never empty */
                { "closed/x", ROOT_MISSING, ROOT_UNREADABLE },
        };
        RootId id;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                RootState as_nobody;

                if (geteuid() == 0)
                        assert_int_equal(open_root(at(cases[i].folder), NULL, &id), cases[i].state);
                (void) setfsuid(NOBODY);
                as_nobody = open_root(at(cases[i].folder), NULL, &id);
                (void) setfsuid(geteuid());
                assert_int_equal(as_nobody, cases[i].as_nobody);
        }
}

/* pitfalls 7.2 */
static void test_identity(void **state) {
        RootId id, again, other, null = { 0 };

        assert_int_equal(open_root(at("root"), &null, &id), ROOT_OK);
        assert_false(root_id_is_null(&id));
        assert_true(root_id_is_null(&null));
        assert_int_equal(open_root(at("root"), &id, &again), ROOT_OK);
        assert_memory_equal(&id, &again, sizeof(id));

        /* another folder, also if it came to have the same name */
        assert_int_equal(open_root(at("root/dir"), &id, &other), ROOT_REPLACED);
        assert_int_equal(rename(at("root"), at("away")), 0);
        assert_int_equal(open_root(at("root"), &id, &other), ROOT_MISSING);
        assert_int_equal(mkdir(at("root"), 0755), 0);
        assert_int_equal(open_root(at("root"), &id, &other), ROOT_REPLACED);
        assert_int_equal(open_root(at("root"), NULL, &other), ROOT_OK);
        assert_false(root_id_equal(&id, &other));

        /* it moves with the folder, not with the name */
        assert_int_equal(open_root(at("away"), &id, &other), ROOT_OK);
        /* what happens inside does not change it */
        assert_int_equal(mkdir(at("away/new"), 0755), 0);
        assert_int_equal(chmod(at("away"), 0700), 0);
        assert_int_equal(open_root(at("away"), &id, &other), ROOT_OK);
        assert_memory_equal(&id, &other, sizeof(id));
}

static void test_id_equal(void **state) {
        static const struct {
                RootId a, b;
                bool equal;
        } cases[] = {
                { { { 1 }, 2, 3 }, { { 1 }, 2, 3 }, true },
                { { { 1 }, 2, 3 }, { { 9 }, 2, 3 }, false }, /* a copy of the disk's content on another disk */
                { { { 1 }, 2, 3 }, { { 1 }, 9, 3 }, false },
                { { { 1 }, 2, 3 }, { { 1 }, 2, 9 }, false }, /* pitfalls 4.1: the inode number was used again */
                { { { 0 }, 2, 3 }, { { 1 }, 2, 3 }, true },  /* an older kernel, or no udev */
                { { { 1 }, 2, 0 }, { { 1 }, 2, 3 }, true },
                { { { 1 }, 0, 0 }, { { 1 }, 2, 3 }, true },
                { { { 0 }, 2, 3 }, { { 1 }, 2, 4 }, false },
                /* FUSE, and the folder it was mounted on, whose UUID is or is not known */
                { { "type\1\2", 0, 0 }, { "type\1\2", 0, 0 }, true },
                { { "type\1\2", 0, 0 }, { "type\1\3", 0, 0 }, false },
                { { "type\1\2", 0, 0 }, { { 1 }, 2, 3 }, false },
                { { "type\1\2", 0, 0 }, { { 0 }, 2, 3 }, false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                assert_int_equal(root_id_equal(&cases[i].a, &cases[i].b), cases[i].equal);
                assert_int_equal(root_id_equal(&cases[i].b, &cases[i].a), cases[i].equal);
        }
}

static void test_openat(void **state) {
        enum { LINK = O_PATH | O_NOFOLLOW };
        static const struct {
                const char *path;
                int flags;
                bool opens;
                mode_t type;
        } cases[] = {
                { "", O_RDONLY | O_DIRECTORY, true, S_IFDIR },
                { "", O_PATH, true, S_IFDIR },
                { "dir", O_PATH, true, S_IFDIR },
                { "dir/file", O_RDONLY | O_NONBLOCK | O_NOCTTY, true, S_IFREG },
                { "dir/file", O_PATH | O_NONBLOCK, true, S_IFREG }, /* openat2 itself refuses the two together */
                { "dir/missing", O_RDONLY, false, 0 },
                { "dir/file/x", O_RDONLY, false, 0 },
                /* pitfalls 5.3 */
                { "link", O_RDONLY, false, 0 },
                { "link", O_PATH, false, 0 },
                { "link", LINK, true, S_IFLNK },
                { "link/file", LINK, false, 0 },
                { "link/", LINK, false, 0 },
                { "up/root/dir", O_PATH, false, 0 },
                { "slash", O_RDONLY, false, 0 },
                { "slash/etc", LINK, false, 0 },
                { "..", O_PATH, false, 0 },
                { "../root/dir/file", O_RDONLY, false, 0 },
                { "/etc", O_PATH, false, 0 },
        };
        _cleanup_close_ int root = open(at("root"), O_PATH | O_DIRECTORY | O_CLOEXEC);

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_close_ int fd = root_openat(root, cases[i].path, cases[i].flags);
                struct stat st;

                if ((fd >= 0) != cases[i].opens)
                        fail_msg("%s: %d", cases[i].path, fd);
                if (fd < 0)
                        continue;
                assert_int_equal(fstat(fd, &st), 0);
                assert_int_equal(st.st_mode & S_IFMT, cases[i].type);
                assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        }
}

static void test_long_names(void **state) {
        _cleanup_close_ int root = open(at("root"), O_PATH | O_DIRECTORY | O_CLOEXEC);
        char path[10000];

        memset(path, 'a', sizeof(path)); /* pitfalls 6.7: a long name is not many names */
        path[sizeof(path) - 1] = '\0';
        assert_int_equal(root_openat(root, path, O_PATH), -ENAMETOOLONG);
        for (size_t i = 4; i < sizeof(path) - 1; i += 5)
                path[i] = '/';
        assert_int_equal(root_openat(root, path, O_PATH), -ENOENT);
}

static void test_file_systems(void **state) {
        _cleanup_close_ int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);

        assert_false(root_fs(proc)->tells); /* pitfalls 2.4: what is not known to tell is polled */
        assert_false(root_fs(proc)->inodes_stable);
        assert_string_equal(root_fs(proc)->name, "?");
        assert_string_equal(root_fs(-1)->name, "?");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(test_states), TEST(test_identity),   TEST(test_id_equal),
                TEST(test_openat), TEST(test_long_names), TEST(test_file_systems),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
