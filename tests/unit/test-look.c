/* What is there, what is proven not to be, and what nobody can tell. */
#include "patience.h"
#include "scratch.h"
#include "watch/look.h"
#include "watch/read.h"
#include "watch/reading.h"

#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define NOBODY 65534
#define RACE_LOOKS 200u /* of each kind */

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

static void make_zoo(void) {
        put("file", "text");
        put("empty", "");
        make_dir("dir", 0755);
        put("dir/file", "inner");
        assert_int_equal(symlink("dir", at("link")), 0);
        assert_int_equal(symlink("nowhere", at("dangling")), 0);
        assert_int_equal(mkfifo(at("fifo"), 0644), 0);
        put("secret", "s");
        assert_int_equal(chmod(at("secret"), 0), 0);
        make_dir("closed", 0755);
        put("closed/file", "x");
        assert_int_equal(chmod(at("closed"), 0), 0);
        make_dir("listless", 0311);
}

static void test_look(void **state) {
        char longest[300];
        const struct {
                const char *path;
                Look look, look_as_nobody;
                SourceRead read; /* of read_whole */
        } cases[] = {
                { "file", LOOK_REGULAR, LOOK_REGULAR, SOURCE_WHOLE },
                { "empty", LOOK_REGULAR, LOOK_REGULAR, SOURCE_WHOLE },
                { "dir/file", LOOK_REGULAR, LOOK_REGULAR, SOURCE_WHOLE },
                { "dir", LOOK_FOLDER, LOOK_FOLDER, SOURCE_UNREAD },
                { "link", LOOK_SYMLINK, LOOK_SYMLINK, SOURCE_UNREAD },
                { "dangling", LOOK_SYMLINK, LOOK_SYMLINK, SOURCE_UNREAD },
                { "fifo", LOOK_SPECIAL, LOOK_SPECIAL,
                  SOURCE_UNREAD }, /* pitfalls 5.1: reading it would block for ever */
                { "missing", LOOK_ABSENT, LOOK_ABSENT, SOURCE_UNREAD },
                { "dir/missing", LOOK_ABSENT, LOOK_ABSENT, SOURCE_UNREAD },
                { "missing/x/y", LOOK_ABSENT, LOOK_ABSENT, SOURCE_UNREAD },
                /* something else in a folder's place proves that nothing is beneath it */
                { "file/x", LOOK_ABSENT, LOOK_ABSENT, SOURCE_UNREAD },
                { "dir/file/x/y", LOOK_ABSENT, LOOK_ABSENT, SOURCE_UNREAD },
                { "link/file", LOOK_ABSENT, LOOK_ABSENT, SOURCE_UNREAD },
                { "fifo/x", LOOK_ABSENT, LOOK_ABSENT, SOURCE_UNREAD },
                /* pitfalls 4.12: what cannot be seen into is not empty */
                { "closed/file", LOOK_REGULAR, LOOK_UNREADABLE, SOURCE_WHOLE },
                { "closed/missing", LOOK_ABSENT, LOOK_UNREADABLE, SOURCE_UNREAD },
                { "listless/missing", LOOK_ABSENT, LOOK_UNREADABLE, SOURCE_UNREAD },
                { longest, LOOK_UNKNOWN, LOOK_UNKNOWN, SOURCE_UNREAD },
        };
        _cleanup_free_ char *data = NULL;

        memset(longest, 'n', sizeof(longest) - 1);
        longest[sizeof(longest) - 1] = '\0';
        make_zoo();
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                SourceAnswer a;

                if (geteuid() == 0) {
                        assert_int_equal(look(cases[i].path).look, cases[i].look);
                        a = whole(cases[i].path, &data);
                        assert_int_equal(a.look, cases[i].look);
                        assert_int_equal(a.read, cases[i].read);
                        assert_int_equal(data != NULL, a.read == SOURCE_WHOLE);
                }
                (void) setfsuid(NOBODY);
                a = look(cases[i].path);
                (void) setfsuid(geteuid());
                assert_int_equal(a.look, cases[i].look_as_nobody);
                assert_int_equal(a.error.code < 0, a.look == LOOK_UNREADABLE || a.look == LOOK_UNKNOWN);
        }
        /* nothing was opened that a peer would notice */
        assert_int_equal(open(at("fifo"), O_WRONLY | O_NONBLOCK | O_CLOEXEC), -1);
        assert_int_equal(errno, ENXIO);
        assert_int_equal(chmod(at("closed"), 0755), 0); /* so that it can be removed */
}

static void test_unreadable_file(void **state) {
        _cleanup_free_ char *data = NULL;
        SourceAnswer a;

        put("secret", "s");
        assert_int_equal(chmod(at("secret"), 0), 0);
        (void) setfsuid(NOBODY);
        a = whole("secret", &data);
        (void) setfsuid(geteuid());
        assert_int_equal(a.look, LOOK_UNREADABLE); /* pitfalls 5.5 */
        assert_int_equal(a.error.code, -EACCES);
        assert_null(data);
}

#define DEEP 60
#define DEEP_NAME 100

/* pitfalls 6.7: beyond PATH_MAX */
static void test_deep(void **state) {
        char name[DEEP_NAME + 1], path[DEEP * (DEEP_NAME + 1) + 6];
        int fds[DEEP + 1];
        char *end = path + sizeof(path) - 6; /* room for "file" and one more */
        _cleanup_free_ char *data = NULL;

        memset(name, 'd', DEEP_NAME);
        name[DEEP_NAME] = '\0';
        memset(path, 'd', sizeof(path));
        fds[0] = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
        for (unsigned i = 0; i < DEEP; i++) {
                assert_int_equal(mkdirat(fds[i], name, 0755), 0);
                fds[i + 1] = openat(fds[i], name, O_PATH | O_DIRECTORY | O_CLOEXEC);
                assert_true(fds[i + 1] >= 0);
                path[(i + 1) * (DEEP_NAME + 1) - 1] = '/';
        }
        closep(&(int){ openat(fds[DEEP], "file", O_CREAT | O_WRONLY | O_CLOEXEC, 0644) });
        memcpy(end, "file", 5);
        assert_true(strlen(path) > PATH_MAX);
        assert_int_equal(whole(path, &data).read, SOURCE_WHOLE);
        memcpy(end, "filex", 6);
        assert_int_equal(look(path).look, LOOK_ABSENT);
        path[(DEEP - 10) * (DEEP_NAME + 1) + 5] = 'x'; /* a folder on the way */
        assert_int_equal(look(path).look, LOOK_ABSENT);

        assert_int_equal(unlinkat(fds[DEEP], "file", 0), 0); /* nftw does not come down here */
        closep(&fds[DEEP]);
        for (unsigned i = DEEP; i-- > 0; closep(&fds[i]))
                assert_int_equal(unlinkat(fds[i], name, AT_REMOVEDIR), 0);
}

static void test_leased(void **state) {
        _cleanup_close_ int fd = -1;
        _cleanup_free_ char *data = NULL;
        SourceAnswer a;

        put("file", "x");
        fd = open(at("file"), O_RDWR | O_CLOEXEC);
        assert_true(signal(SIGIO, SIG_IGN) != SIG_ERR);
        if (fcntl(fd, F_SETLEASE, F_WRLCK) < 0)
                skip();
        a = whole("file", &data);
        assert_int_equal(a.look, LOOK_UNKNOWN); /* pitfalls 5.1: transient, and at once */
        assert_int_equal(a.error.code, -EAGAIN);
        assert_int_equal(look("file").look, LOOK_REGULAR);
}

static RootId id_of_root(void) {
        _cleanup_close_ int fd = -1;
        RootId id = { 0 };
        uint64_t mnt;

        assert_int_equal(root_open(root, NULL, &fd, &id, &mnt, NULL, NULL), ROOT_OK);
        return id;
}

static void test_no_root(void **state) {
        RootId id = id_of_root();
        char away[100];
        SourceAnswer a;

        put("file", "x");
        read_look(root, &id, "missing", &a);
        assert_int_equal(a.look, LOOK_ABSENT);

        (void) snprintf(away, sizeof(away), "%s/away", top);
        assert_int_equal(rename(root, away), 0);
        read_look(root, &id, "file",
                  &a); /* pitfalls 7.1: the folder is gone, so nothing is known about what was in it */
        assert_int_equal(a.look, LOOK_NO_ROOT);
        assert_int_equal(a.root_state, ROOT_MISSING);

        assert_int_equal(symlink(away, root), 0);
        read_look(root, &id, "file", &a);
        assert_int_equal(a.look, LOOK_NO_ROOT);
        assert_int_equal(a.root_state, ROOT_MISSING);
        assert_int_equal(unlink(root), 0);

        assert_int_equal(mkdir(root, 0755), 0);
        read_look(root, &id, "file", &a); /* pitfalls 2.2: another folder in its place */
        assert_int_equal(a.look, LOOK_NO_ROOT);
        assert_int_equal(a.root_state, ROOT_REPLACED);
        assert_true(a.error.text[0] != '\0');

        assert_int_equal(rmdir(root), 0);
        assert_int_equal(rename(away, root), 0);
        read_look(root, &id, "file", &a);
        assert_int_equal(a.look, LOOK_REGULAR);
}

/* pitfalls 4.12: the name is missing in a root that is no longer the root, pinned or not. */
static void test_root_changes_while_looking(void **state) {
        char away[100];
        _cleanup_(look_leave) LookRoot r = LOOK_ROOT_NULL;
        _cleanup_close_ int fd = -1;
        SourceAnswer a = { .look = LOOK_UNKNOWN };
        Glance g;

        assert_true(look_enter(&r, root, &any, &a));
        (void) snprintf(away, sizeof(away), "%s/away", top);
        assert_int_equal(rename(root, away), 0);
        look_at(&r, "file", &a, &fd, &g);
        assert_int_equal(a.look, LOOK_NO_ROOT);
        assert_int_equal(a.root_state, ROOT_MISSING);

        assert_int_equal(mkdir(root, 0755), 0);
        put("file", "x");
        look_at(&r, "file", &a, &fd, &g);
        assert_int_equal(a.look, LOOK_NO_ROOT);
        assert_int_equal(a.root_state, ROOT_REPLACED);
        assert_int_equal(fd, -1);
}

/* In a child of its own, since a mount namespace is the process's. Returns 0, or 77: not possible here. */
static int mounts_child(void) {
        RootId id = id_of_root();
        _cleanup_free_ char *data = NULL;
        SourceAnswer a;

        make_dir("m", 0755);
        make_dir("bind", 0755);
        make_dir("dir", 0755);
        put("dir/file", "x");
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("t", at("m"), "tmpfs", 0, NULL) < 0)
                return 77;
        put("m/file", "x");
        { /* pitfalls 2.5: even on the same file system; st_dev would not tell */
                char dir[512];

                (void) snprintf(dir, sizeof(dir), "%s", at("dir"));
                if (mount(dir, at("bind"), NULL, MS_BIND, NULL) < 0)
                        return 77;
        }
        for (unsigned i = 0; i < 6; i++) {
                const char *paths[] = { "m/file", "m/missing", "m", "bind/file", "bind/missing", "bind" };

                a = whole(paths[i], &data);
                if (a.look != LOOK_UNKNOWN || a.error.code != -EXDEV || data)
                        return 10 + (int) i;
        }
        if (look("dir/file").look != LOOK_REGULAR)
                return 2;
        { /* pitfalls 2.1: the same folder, mounted once more while it is looked at: another root to all that asks for a
             name */
                _cleanup_(look_leave) LookRoot r = LOOK_ROOT_NULL;
                _cleanup_close_ int fd = -1;
                Glance g;

                if (!look_enter(&r, root, &id, &a) || mount(root, root, NULL, MS_BIND, NULL) < 0)
                        return 77;
                look_at(&r, "missing", &a, &fd, &g);
                if (a.look != LOOK_UNKNOWN || a.error.text[0] == '\0')
                        return 4;
        }
        /* pitfalls 2.1: mounted over, and nothing says so but the identity */
        if (mount("t", root, "tmpfs", 0, NULL) < 0)
                return 77;
        read_look(root, &id, "dir/file", &a);
        return a.look == LOOK_NO_ROOT && a.root_state == ROOT_REPLACED ? 0 : 3;
}

static void test_mounts(void **state) {
        int status;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0)
                _exit(mounts_child());
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == 77) {
                print_message("no mount namespace to be had: skipped\n");
                skip();
        }
        assert_int_equal(WEXITSTATUS(status), 0);
}

static void *swapper(void *userdata) {
        const char *const *names = userdata;

        while (!atomic_load(&stop))
                (void) renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE);
        return NULL;
}

/* pitfalls 5.3: a folder that is a link to the outside every other moment. */
static void test_symlink_race(void **state) {
        static char dir[512], link[512];
        static const char *const names[2] = { dir, link };
        char outside[512];
        _cleanup_free_ char *data = NULL;
        int64_t end = clock_boot() + PATIENCE_NS;
        unsigned regular = 0, hidden = 0;
        pthread_t thread;

        (void) snprintf(outside, sizeof(outside), "%s/outside", top);
        assert_int_equal(mkdir(outside, 0755), 0);
        make_dir("d", 0755);
        put("d/f", "inside");
        put("../outside/f", "outside");
        assert_int_equal(symlink(outside, at("l")), 0);
        (void) snprintf(dir, sizeof(dir), "%s", at("d"));
        (void) snprintf(link, sizeof(link), "%s", at("l"));

        atomic_store(&stop, false);
        assert_int_equal(pthread_create(&thread, NULL, swapper, (void *) names), 0);
        while (regular < RACE_LOOKS || hidden < RACE_LOOKS) {
                SourceAnswer a = whole("d/f", &data);

                assert_true(clock_boot() < end);
                if (a.look == LOOK_ABSENT || a.look == LOOK_UNKNOWN) { /* a link is there; or it comes and goes */
                        hidden++;
                        continue;
                }
                assert_int_equal(a.look, LOOK_REGULAR);
                if (data)
                        assert_memory_equal(data, "inside", 6);
                regular++;
        }
        atomic_store(&stop, true);
        (void) pthread_join(thread, NULL);
}

/* All that resolves paths, once more as on a kernel before 5.6 (pitfalls 5.3). What is known of openat2 is known for a
 * process.
 */
static void test_without_openat2(void **state) {
        int status;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                (void) execl("/proc/self/exe", "test-look", "no-openat2", (char *) NULL);
                _exit(127);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == 77) {
                print_message("no seccomp: skipped\n");
                skip();
        }
        assert_int_equal(WEXITSTATUS(status), 0);
}

static bool forbid_openat2(void) {
        struct sock_filter filter[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM), /* as old filters answer; ENOSYS is easier */
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        const struct sock_fprog program = { .len = ELEMENTSOF(filter), .filter = filter };

        return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

int main(int argc, char **argv) {
        const struct CMUnitTest tests[] = {
                TEST(test_look),   TEST(test_unreadable_file), TEST(test_deep),
                TEST(test_leased), TEST(test_no_root),         TEST(test_root_changes_while_looking),
                TEST(test_mounts), TEST(test_symlink_race),
        };
        const struct CMUnitTest again[] = { cmocka_unit_test(test_without_openat2) };
        Error e = ERROR_NULL;

        if (reading_setup(&e) < 0) {
                print_error("%s\n", e.text);
                return 1;
        }
        if (argc > 1)
                return forbid_openat2() ? cmocka_run_group_tests_name("without openat2", tests, NULL, NULL) : 77;
        return cmocka_run_group_tests(tests, NULL, NULL) + cmocka_run_group_tests(again, NULL, NULL);
}
