/* The blocking walk, and all that must not be taken for absence (pitfalls 4.12, 2.5, 5.5). */
#include "walking.h"

#include <limits.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

static size_t filter_calls;

static ScanFilter on_filter(const char *path, size_t size, bool folder, void *userdata) {
        const char *name = strrchr(path, '/');

        name = name ? name + 1 : path;
        filter_calls++;
        assert_int_equal(strlen(path), size);
        if (strcmp(name, "excluded") == 0 || (folder && strcmp(name, "only-folders") == 0))
                return SCAN_EXCLUDE;
        return strcmp(name, "long") == 0 ? SCAN_TOO_LONG : SCAN_TAKE;
}

/* --- kinds --- */

static void test_kinds(void **state) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct stat st;
        ScanEnd end;

        put("file", "four");
        make_dir("empty", 0755);
        make_dir("full", 0755);
        put("full/f", "");
        assert_int_equal(symlink("full", at("link")), 0); /* not followed */
        assert_int_equal(symlink("nowhere", at("dangling")), 0);
        assert_int_equal(mkfifo(at("pipe"), 0600), 0); /* pitfalls 5.1: must not be opened */
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", root);
        assert_int_equal(bind(s, (struct sockaddr *) &address, sizeof(address)), 0);

        end = scan("");
        assert_true(end.complete);
        assert_int_equal(end.folders, 3);
        assert_int_equal(end.unwatched, 0);
        assert_false(root_id_is_null(&end.root_id));
        assert_int_equal(n_got, 7);
        expect("file", SEEN_FILE, false);
        expect("full/f", SEEN_FILE, false);
        expect("empty", SEEN_EMPTY_FOLDER, true);
        expect("link", SEEN_SYMLINK, false);
        expect("dangling", SEEN_SYMLINK, false);
        expect("pipe", SEEN_SPECIAL, false);
        expect("socket", SEEN_SPECIAL, false);
        assert_int_equal(stat(at("file"), &st), 0);
        assert_int_equal(find("file")->stamp.size, 4);
        assert_int_equal(find("file")->stamp.mode, st.st_mode);
        assert_int_equal(find("file")->stamp.mtime_ns, (int64_t) st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec);
        assert_int_equal(find("empty")->stamp.mode, S_IFDIR | 0755);
}

static void test_empty_root(void **state) {
        ScanEnd end = scan("");

        assert_true(end.complete);
        assert_int_equal(n_got, 0); /* the root itself is never reported */
        assert_int_equal(end.folders, 1);
}

static void test_filter(void **state) {
        Walk walk = walk_of();

        walk.filter = on_filter;
        make_dir("excluded", 0755);
        put("excluded/f", "x");
        make_dir("d", 0755);
        put("d/excluded", "x");
        put("d/only-folders", "x");
        put("d/long", "x");
        make_dir("long", 0755);
        put("long/f", "x");
        make_dir("only-folders", 0755);
        filter_calls = 0;
        assert_true(scan_with(&walk, "").complete);
        assert_int_equal(n_got, 6);
        /* nothing beneath what is not taken; folders twice, if other threads do them */
        assert_in_range(filter_calls, 7, WALK_THREADS > 0 ? 10 : 7);
        expect("excluded", SEEN_EXCLUDED, true);
        expect("d/excluded", SEEN_EXCLUDED, false);
        expect("d/only-folders", SEEN_FILE, false);
        expect("d/long", SEEN_TOO_LONG, false);
        expect("long", SEEN_TOO_LONG, true);
        expect("only-folders", SEEN_EXCLUDED, true);

        /* and out of the blue: whoever asks for a branch need not know the filter */
        assert_true(scan_with(&walk, "excluded").complete);
        assert_int_equal(n_got, 1);
        expect("excluded", SEEN_EXCLUDED, true);
        assert_true(scan_with(&walk, "excluded/f").complete);
        assert_int_equal(n_got, 1);
        expect("excluded/f", SEEN_EXCLUDED, true);
        assert_true(scan_with(&walk, "d/excluded").complete);
        expect("d/excluded", SEEN_EXCLUDED, false);
}

/* --- branches --- */

static void test_branches(void **state) {
        static const struct {
                const char *path;
                int n;
                SeenKind first;
        } cases[] = {
                { "d", 2, SEEN_EMPTY_FOLDER },
                { "d/e", 1, SEEN_EMPTY_FOLDER },
                { "d/f", 1, SEEN_FILE },
                { "link", 1, SEEN_SYMLINK },
                { "absent", 0, 0 },
                { "absent/too", 0, 0 },
                { "d/f/beneath a file", 0, 0 },
                { "link/f", 0, 0 }, /* pitfalls 5.3 */
        };

        make_dir("d", 0755);
        make_dir("d/e", 0755);
        put("d/f", "x");
        put("d.txt", "x");
        assert_int_equal(symlink("d", at("link")), 0);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                ScanEnd end = scan(cases[i].path);

                assert_true(end.complete);
                assert_int_equal(n_got, cases[i].n);
                if (n_got > 0)
                        assert_int_equal(got[0].seen.kind, cases[i].first);
        }
}

/* --- what cannot be looked at --- */

static int fail_after, failed_with; /* so many go well, and none after these; negative: all do */

static ssize_t failing_getdents(int fd, void *buffer, size_t room) {
        char path[64], target[512] = "";

        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        assert_true(readlink(path, target, sizeof(target) - 1) > 0);
        if (strstr(target, "/broken") && fail_after >= 0) {
                if (fail_after == 0)
                        return -failed_with;
                fail_after--;
        }
        ssize_t n = syscall(SYS_getdents64, fd, buffer, strstr(target, "/broken") ? 600 : room);
        return n < 0 ? -errno : n;
}

/* pitfalls 4.12: whatever came before the error is discarded, for what came after it would be missing. */
static void test_listing_fails(void **state) {
        static const int errors[] = { EIO, ESTALE, ENOENT, ENOMEM, EACCES };
        Walk walk = walk_of();

        walk.getdents = failing_getdents;
        make_dir("a", 0755); /* so that the other one is done ahead, if there are threads for it */
        put("a/f", "x");
        make_dir("broken", 0755);
        for (unsigned i = 0; i < 50; i++) {
                char name[32];

                (void) snprintf(name, sizeof(name), "broken/file-%u", i);
                put(name, "x");
        }
        put("broken.txt", "x");
        put("z", "x");
        for (size_t i = 0; i < ELEMENTSOF(errors); i++)
                for (int after = 0; after < 3; after++) {
                        ScanEnd end;

                        fail_after = after;
                        failed_with = errors[i];
                        end = scan_with(&walk, "");
                        assert_true(end.complete); /* but for that branch */
                        assert_int_equal(n_got, 4);
                        assert_string_equal(got[1].path, "broken.txt");
                        assert_string_equal(got[2].path, "broken"); /* as "broken/" */
                        expect("broken", SEEN_UNKNOWN, true);
                        assert_int_equal(got[2].seen.error, errors[i]);
                        assert_int_equal(got[2].seen.unreadable, errors[i] == EACCES);
                }
        fail_after = -1;
        assert_true(scan_with(&walk, "").complete);
        assert_int_equal(n_got, 53);
}

static ssize_t deleting_getdents(int fd, void *buffer, size_t room) {
        ssize_t n;

        if (rmdir(at("a/gone")) < 0)
                assert_int_equal(errno, ENOENT);
        n = syscall(SYS_getdents64, fd, buffer, room);
        return n < 0 ? -errno : n;
}

/* Deleted between being opened and being listed: gone like any other, nothing that a person has to hear of. */
static void test_deleted_while_listed(void **state) {
        Walk walk = walk_of();

        walk.getdents = deleting_getdents;
        make_dir("a", 0755);
        put("a/f", "x");
        for (unsigned i = 0; i < 2; i++) {
                make_dir("a/gone", 0755);
                assert_true(scan_with(&walk, i ? "a/gone" : "a").complete);
                assert_int_equal(n_got, i ? 0 : 1);
        }
}

static void test_root_listing_fails(void **state) {
        Walk walk = walk_of();
        ScanEnd end;

        (void) snprintf(root, sizeof(root), "%.60s/broken", top);
        assert_int_equal(mkdir(root, 0755), 0);
        put("f", "x");
        walk.getdents = failing_getdents;
        fail_after = 0;
        failed_with = EIO;
        end = scan_with(&walk, "");
        assert_false(end.complete);
        assert_int_equal(end.root_state, ROOT_UNREADABLE);
        assert_int_equal(end.error.code, -EIO);
        assert_int_equal(n_got, 0);
}

static void test_unreadable(void **state) {
        bool by_root = geteuid() == 0;

        make_dir("closed", 0700);
        put("closed/f", "x");
        make_dir("no-list", 0711);
        put("no-list/f", "x");
        make_dir("no-enter", 0744);
        make_dir("no-enter/d", 0755);
        put("no-enter/f", "x");
        put("unreadable-file", "x"); /* looked at, not opened: reading it is another matter */
        assert_int_equal(chmod(at("unreadable-file"), 0600), 0);
        if (by_root)
                assert_int_equal(seteuid(65534), 0);
        else
                assert_int_equal(chmod(at("closed"), 0) | chmod(at("no-list"), 0111) | chmod(at("no-enter"), 0444), 0);

        assert_true(scan("").complete);
        assert_int_equal(n_got, 5);
        expect("closed", SEEN_UNKNOWN, true);
        expect("no-list", SEEN_UNKNOWN, true);
        expect("no-enter/f", SEEN_UNKNOWN, false);
        expect("no-enter/d", SEEN_UNKNOWN, true);
        for (size_t i = 0; i < n_got; i++)
                assert_int_equal(got[i].seen.unreadable, got[i].seen.kind == SEEN_UNKNOWN);
        expect("unreadable-file", SEEN_FILE, false);

        assert_true(scan("closed/f").complete); /* its parent may not be entered */
        assert_int_equal(n_got, 1);
        expect("closed/f", SEEN_UNKNOWN, true);
        assert_true(got[0].seen.unreadable);
        assert_true(scan("no-list/f").complete); /* may be entered, but not be listed or opened: hence not known */
        assert_int_equal(n_got, 1);
        expect("no-list/f", SEEN_UNKNOWN, true);
        if (by_root)
                assert_int_equal(seteuid(0), 0);
        assert_int_equal(chmod(at("closed"), 0755) | chmod(at("no-list"), 0755) | chmod(at("no-enter"), 0755), 0);
}

/* pitfalls 2.5, 2.1; in a mount namespace of its own, so that nothing is left behind. */
static int mounts(void) {
        char file[512];
        Walk walk = walk_of();

        make_dir("m", 0755);
        make_dir("m-b", 0755);
        put("m-b/f", "x");
        put("m.txt", "x");
        put("f", "x");
        put("other", "y");
        (void) snprintf(file, sizeof(file), "%s", at("other"));
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("tmpfs", at("m"), "tmpfs", 0, "") < 0 || mount(file, at("f"), NULL, MS_BIND, NULL) < 0)
                return 77;
        put("m/inside", "x");
        make_dir("m/d", 0755);
        (void) scan_with(&walk, "");
        assert_int_equal(n_got, 5);
        assert_string_equal(got[0].path, "f");
        expect("f", SEEN_MOUNT, false);
        assert_string_equal(got[1].path, "m-b/f");
        assert_string_equal(got[2].path, "m.txt");
        assert_string_equal(got[3].path, "m");
        expect("m", SEEN_MOUNT, true);
        assert_true(scan("m").complete);
        assert_int_equal(n_got, 1);
        expect("m", SEEN_MOUNT, true);
        assert_true(scan("m/d").complete); /* asked for by an event from before it was mounted over */
        assert_int_equal(n_got, 1);
        expect("m/d", SEEN_MOUNT, true);
        return 0;
}

static void test_mounts(void **state) {
        pid_t pid = fork();
        int status;

        assert_true(pid >= 0);
        if (pid == 0)
                _exit(mounts());
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == 77) {
                print_message("skipped: no right to mount\n");
                skip();
        }
        assert_int_equal(WEXITSTATUS(status), 0);
}

/* --- depth --- */

static void test_deep(void **state) {
        char path[8192] = "", expected[8300];
        int fd = deep_make(path, 30, NULL), file = openat(fd, "f", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        ScanEnd end;

        assert_true(file >= 0);
        assert_int_equal(close(file) | close(fd), 0);
        put("zz-after", "x"); /* the walk comes back to where it was, which it has closed meanwhile */
        end = scan("");
        assert_true(end.complete);
        assert_int_equal(end.folders, 31);
        assert_int_equal(n_got, 2);
        (void) snprintf(expected, sizeof(expected), "%s/f", path);
        assert_string_equal(got[0].path, expected);
        assert_int_equal(got[0].seen.kind, SEEN_FILE);
        assert_true(scan(expected).complete);
        assert_int_equal(n_got, 1);
        assert_string_equal(got[0].path, expected);
        assert_true(scan(path).complete);
        assert_int_equal(n_got, 1);
}

static void test_too_deep(void **state) {
        static char path[16384];
        int fd = deep_make(path, 40, NULL);
        size_t size;

        assert_int_equal(close(fd), 0);
        assert_true(scan("").complete);
        assert_int_equal(n_got, 1); /* one line for the branch */
        size = got[0].seen.size;
        assert_true(size > WALK_PATH_MAX && size <= WALK_PATH_MAX + NAME_MAX + 1);
        assert_memory_equal(got[0].path, path, size);
        assert_int_equal(path[size], '/');
        expect(got[0].path, SEEN_TOO_LONG, true);
        assert_true(scan(path).complete); /* the same, whoever asks for it */
        assert_int_equal(n_got, 1);
        assert_int_equal(got[0].seen.size, size);
        assert_int_equal(got[0].seen.kind, SEEN_TOO_LONG);
}

/* Folders on the way are opened again when the walk comes back to them; all that is beside the way must be seen. */
static void test_many_levels(void **state) {
        int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ScanEnd end;

        for (unsigned i = 0; i < 300; i++) {
                static const char *const files[] = { "a", "d.", "e" };
                int next;

                for (size_t k = 0; k < ELEMENTSOF(files); k++) {
                        next = openat(fd, files[k], O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
                        assert_int_equal(close(next), 0);
                }
                assert_int_equal(mkdirat(fd, "d", 0755), 0);
                next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                assert_int_equal(close(fd), 0);
                fd = next;
        }
        assert_int_equal(close(fd), 0);
        end = scan("");
        assert_true(end.complete);
        assert_int_equal(end.folders, 301);
        assert_int_equal(n_got, 301 * 3 - 2);
        for (size_t i = 1; i < n_got; i++)
                assert_true(strcmp(got[i - 1].path, got[i].path) < 0 || got[i].seen.folder);
}

/* --- roots, ends --- */

static void test_roots(void **state) {
        Walk walk = walk_of();
        ScanEnd end, other;
        char away[128];

        put("f", "x");
        end = scan("");
        walk.pinned = end.root_id;
        assert_true(scan_with(&walk, "").complete);
        assert_int_equal(n_got, 1);
        (void) snprintf(away, sizeof(away), "%s/away", top);
        assert_int_equal(rename(root, away), 0);
        end = scan_with(&walk, "");
        assert_int_equal(end.root_state, ROOT_MISSING);
        assert_false(end.complete);
        assert_int_equal(n_got, 0);
        assert_true(end.error.code < 0 && end.error.text[0] && end.fs_name);
        assert_int_equal(mkdir(root, 0755), 0);
        other = scan_with(&walk, "");
        assert_int_equal(other.root_state, ROOT_REPLACED);
        assert_false(other.complete);
        assert_int_equal(rmdir(root), 0);
        assert_int_equal(rename(away, root), 0);
        assert_true(scan_with(&walk, "").complete);
}

static bool replace_root(const Seen *seen, void *userdata) {
        char away[128];

        (void) snprintf(away, sizeof(away), "%s/away", top);
        assert_int_equal(rename(root, away), 0);
        if (userdata)
                assert_int_equal(mkdir(root, 0755), 0);
        return true;
}

/* pitfalls 2.1: the root was another one, or none, when the walk ended. */
static void test_root_replaced_meanwhile(void **state) {
        for (unsigned i = 0; i < 2; i++) {
                Walk walk = walk_of();
                ScanEnd end;
                char away[128];

                if (i == 0)
                        put("f", "x");
                walk.emit = replace_root;
                walk.userdata = i == 0 ? &walk : NULL;
                end = scan_with(&walk, "");
                assert_false(end.complete);
                assert_int_equal(end.root_state, i == 0 ? ROOT_REPLACED : ROOT_MISSING);
                assert_true(end.error.code < 0);
                (void) snprintf(away, sizeof(away), "%s/away", top);
                if (i == 0)
                        assert_int_equal(rmdir(root), 0);
                assert_int_equal(rename(away, root), 0);
        }
}

static void test_stopped(void **state) {
        for (unsigned i = 0; i < 20; i++) {
                char name[8];

                (void) snprintf(name, sizeof(name), "f%u", i);
                put(name, "x");
        }
        stop_after = 5;
        assert_false(scan("").complete);
        assert_int_equal(n_got, 5);
        stop_after = 0;
        dead = true;
        assert_false(scan("").complete);
        assert_int_equal(n_got, 0);
        dead = false;
        assert_true(scan("").complete);
        assert_int_equal(n_got, 20);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                WALK_TEST(test_mounts),
                WALK_TEST(test_kinds),
                WALK_TEST(test_empty_root),
                WALK_TEST(test_filter),
                WALK_TEST(test_branches),
                WALK_TEST(test_listing_fails),
                WALK_TEST(test_deleted_while_listed),
                WALK_TEST(test_root_listing_fails),
                WALK_TEST(test_unreadable),
                WALK_TEST(test_deep),
                WALK_TEST(test_too_deep),
                WALK_TEST(test_many_levels),
                WALK_TEST(test_roots),
                WALK_TEST(test_root_replaced_meanwhile),
                WALK_TEST(test_stopped),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
