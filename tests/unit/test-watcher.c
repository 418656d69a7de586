/* The watcher on real folders. What is asserted is the promise: after a change its path is told, or a folder above it
 * with WATCH_SUBTREE. Whether a barrier comes after all that happened before it is what makes the waiting certain. */
#include "watching.h"

#include <sched.h>
#include <sys/mount.h>

/* The table of pitfalls 1. */
static void test_files(void **state) {
        char other[512];
        int fd;

        begin(&f);
        put("new", "x");
        expect(&f, "new", WATCH_NAME | WATCH_CONTENT | WATCH_CLOSED);
        forget(&f);
        fd = open(at("new"), O_WRONLY | O_CLOEXEC); /* written, and not closed for days */
        assert_int_equal(write(fd, "y", 1), 1);
        expect(&f, "new", WATCH_CONTENT);
        forget(&f);
        assert_int_equal(close(fd), 0);
        expect(&f, "new", WATCH_CONTENT | WATCH_CLOSED);
        forget(&f);
        assert_int_equal(chmod(at("new"), 0600), 0);
        expect(&f, "new", WATCH_ATTRIB);
        forget(&f);
        (void) snprintf(other, sizeof(other), "%s", at("new"));
        assert_int_equal(link(other, at("hard")), 0);
        expect(&f, "hard", WATCH_NAME);
        forget(&f);
        put("temp", "z"); /* an atomic save: no DELETE of the old */
        settle(&f);
        forget(&f);
        move("temp", "new");
        expect(&f, "new", WATCH_NAME | WATCH_CLOSED);
        assert_int_equal(told(&f, "temp"), WATCH_NAME);
        forget(&f);
        assert_int_equal(truncate(at("hard"), 0), 0);
        expect(&f, "hard", WATCH_CONTENT);
        forget(&f);
        assert_int_equal(unlink(at("hard")), 0);
        expect(&f, "hard", WATCH_NAME);
        forget(&f);
        assert_int_equal(symlink("nowhere", at("link")), 0);
        expect(&f, "link", WATCH_NAME);
        forget(&f);
        fd = open(root, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600); /* its final name only gets CREATE */
        if (fd >= 0) {
                char path[64];

                (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
                assert_int_equal(write(fd, "y", 1), 1);
                assert_int_equal(linkat(AT_FDCWD, path, AT_FDCWD, at("final"), AT_SYMLINK_FOLLOW), 0);
                assert_int_equal(close(fd), 0);
                settle(&f);
                assert_true(told(&f, "final") & WATCH_NAME);
        }
        end(&f);
}

static void test_folders(void **state) {
        begin(&f);
        assert_int_equal(mkdir(at("d"), 0755), 0);
        expect(&f, "d", WATCH_SUBTREE);
        forget(&f);
        assert_int_equal(add(&f, "d"), WATCH_ADDED);
        assert_int_equal(add(&f, "d"), WATCH_ADDED); /* again, as each scan does (pitfalls 1.7) */
        assert_int_equal(watcher_watches(f.w), 2);
        put("d/f", "x");
        expect(&f, "d/f", WATCH_NAME | WATCH_CONTENT | WATCH_CLOSED);
        forget(&f);
        assert_int_equal(chmod(at("d"), 0700), 0); /* said by the folder and by its parent: told once (pitfalls 5.5) */
        expect(&f, "d", WATCH_ATTRIB | WATCH_SUBTREE);
        assert_int_equal(f.n, 1);
        forget(&f);
        assert_int_equal(unlink(at("d/f")), 0);
        assert_int_equal(rmdir(at("d")), 0);
        expect(&f, "d", WATCH_SUBTREE);
        assert_int_equal(watcher_watches(f.w), 1); /* IGNORED */
        forget(&f);
        assert_int_equal(chmod(root, 0700), 0); /* the root has no parent that would tell */
        expect(&f, "", WATCH_ATTRIB | WATCH_SUBTREE);
        end(&f);
}

/* A file of the same name came and went before a folder: both are told, apart, since a scan of the folder would not
 * know that bytes are not to be believed (pitfalls 4.3). */
static void test_file_and_folder_of_one_name(void **state) {
        begin(&f);
        put("n", "x");
        assert_int_equal(unlink(at("n")), 0);
        assert_int_equal(mkdir(at("n"), 0755), 0);
        settle(&f);
        assert_int_equal(f.n, 2);
        assert_string_equal(f.news[0].path, "n");
        assert_string_equal(f.news[1].path, "n");
        assert_int_equal(f.news[0].what & WATCH_SUBTREE, 0);
        assert_int_equal(f.news[0].what & WATCH_CONTENT, WATCH_CONTENT);
        assert_int_equal(f.news[1].what, WATCH_SUBTREE);
        end(&f);
}

/* pitfalls 1.4 */
static void test_moved_inside(void **state) {
        begin(&f);
        make_dir("a", 0755);
        make_dir("a/b", 0755);
        make_dir("a/b/c", 0755);
        add_all(&f, (const char *[]){ "a", "a/b", "a/b/c" }, 3);
        settle(&f);
        forget(&f);
        move("a", "z");
        settle(&f);
        assert_int_equal(told(&f, "a"), WATCH_SUBTREE);
        assert_int_equal(told(&f, "z"), WATCH_SUBTREE);
        assert_int_equal(f.n, 2); /* MOVE_SELF says nothing new */
        forget(&f);
        assert_int_equal(add(&f, "z"), WATCH_MOVED);
        assert_int_equal(watcher_watches(f.w), 4);
        put("z/b/c/f", "x"); /* not added again: one update moved all */
        settle(&f);
        assert_true(told(&f, "z/b/c/f") & WATCH_CONTENT);
        watcher_remove(f.w, "a");
        assert_int_equal(watcher_watches(f.w), 4);
        end(&f);
}

/* pitfalls 1.5 */
static void test_moved_out_and_in(void **state) {
        char outside[128];

        begin(&f);
        make_dir("a", 0755);
        make_dir("a/b", 0755);
        add_all(&f, (const char *[]){ "a", "a/b" }, 2);
        settle(&f);
        forget(&f);
        (void) snprintf(outside, sizeof(outside), "%s/outside", top);
        assert_int_equal(rename(at("a"), outside), 0);
        expect(&f, "a", WATCH_SUBTREE);
        watcher_remove(f.w, "a"); /* the scan that was called for found nothing */
        assert_true(watcher_watches(f.w) == 1 && kernel_watches(&f) == 1);
        settle(&f);
        forget(&f);
        (void) snprintf(outside, sizeof(outside), "%s/outside/b/f", top);
        assert_int_equal(close(open(outside, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)), 0);
        settle(&f);
        assert_int_equal(f.n, 0); /* nobody's business any more */

        (void) snprintf(outside, sizeof(outside), "%s/outside", top);
        assert_int_equal(rename(outside, at("in")), 0);
        expect(&f, "in", WATCH_SUBTREE);
        add_all(&f, (const char *[]){ "in", "in/b" }, 2);
        put("in/b/g", "x");
        settle(&f);
        assert_true(told(&f, "in/b/g") & WATCH_CONTENT);
        end(&f);
}

/* pitfalls 1.6: the old watch's IGNORED comes late, and must not take the new one with it. */
static void test_deleted_and_made_again(void **state) {
        begin(&f);
        for (unsigned i = 0; i < 50; i++) {
                make_dir("d", 0755);
                assert_int_equal(add(&f, "d"), WATCH_ADDED);
                assert_int_equal(rmdir(at("d")), 0);
        }
        make_dir("d", 0755);
        assert_int_equal(add(&f, "d"), WATCH_ADDED); /* IGNORED of the fiftieth has not been told yet */
        settle(&f);
        forget(&f);
        assert_int_equal(watcher_watches(f.w), 2);
        put("d/f", "x");
        settle(&f);
        assert_true(told(&f, "d/f") & WATCH_CONTENT);
        end(&f);
}

/* Two folders change places: the branch that stood there goes, and comes again as the walk goes on. */
static void test_exchanged(void **state) {
        char a[512];

        begin(&f);
        make_dir("a", 0755);
        make_dir("a/in a", 0755);
        make_dir("b", 0755);
        make_dir("b/in b", 0755);
        add_all(&f, (const char *[]){ "a", "a/in a", "b", "b/in b" }, 4);
        (void) snprintf(a, sizeof(a), "%s", at("a"));
        if (renameat2(AT_FDCWD, a, AT_FDCWD, at("b"), RENAME_EXCHANGE) < 0)
                skip();
        assert_int_equal(add(&f, "a"), WATCH_MOVED);
        assert_int_equal(add(&f, "a/in b"), WATCH_ADDED);
        assert_int_equal(add(&f, "b"), WATCH_ADDED);
        assert_int_equal(add(&f, "b/in a"), WATCH_ADDED);
        assert_int_equal(watcher_watches(f.w), 5);
        settle(&f);
        forget(&f);
        put("a/in b/f", "x");
        put("b/in a/f", "x");
        settle(&f);
        assert_true(told(&f, "a/in b/f") & WATCH_CONTENT);
        assert_true(told(&f, "b/in a/f") & WATCH_CONTENT);
        end(&f);
}

/* pitfalls 1.7: IGNORED may be lost; what is not there any more is dropped when its parent was listed. */
static void test_keep_only(void **state) {
        static const char *const names[] = { "a-b", "a" }; /* "a-b/" < "a/" */

        begin(&f);
        make_dir("a", 0755);
        make_dir("a-b", 0755);
        make_dir("gone", 0755);
        make_dir("gone/too", 0755);
        add_all(&f, (const char *[]){ "a", "a-b", "gone", "gone/too" }, 4);
        watcher_keep_only(f.w, "", names, ELEMENTSOF(names));
        assert_true(watcher_watches(f.w) == 3 && kernel_watches(&f) == 3);
        settle(&f);
        forget(&f);
        put("a/f", "x");
        put("a-b/f", "x");
        put("gone/too/f", "x");
        settle(&f);
        assert_true(told(&f, "a/f") && told(&f, "a-b/f"));
        assert_int_equal(told(&f, "gone/too/f"), 0);
        watcher_keep_only(f.w, "a", NULL, 0);
        watcher_keep_only(f.w, "unknown", names, ELEMENTSOF(names));
        assert_true(watcher_watches(f.w) == 3 && kernel_watches(&f) == 3);
        watcher_keep_only(f.w, "", NULL, 0);
        assert_true(watcher_watches(f.w) == 1 && kernel_watches(&f) == 1);
        end(&f);
}

static void test_root_moved_and_deleted(void **state) {
        char away[128];

        begin(&f);
        make_dir("d", 0755);
        assert_int_equal(add(&f, "d"), WATCH_ADDED);
        settle(&f);
        forget(&f);
        (void) snprintf(away, sizeof(away), "%s/away", top);
        assert_int_equal(rename(root, away), 0);
        expect(&f, "", WATCH_ROOT);
        forget(&f);
        assert_int_equal(rename(away, root), 0);
        settle(&f);
        forget(&f);
        assert_int_equal(rmdir(at("d")), 0);
        assert_int_equal(rmdir(root), 0);
        settle(&f);
        assert_true(told(&f, "") & WATCH_ROOT);
        assert_int_equal(watcher_watches(f.w), 0);
        end(&f);
}

/* 2.2: of a folder above that is moved the root hears nothing. What is not above any more is let go. */
static void test_above(void **state) {
        _cleanup_close_ int above = open(top, O_PATH | O_DIRECTORY | O_CLOEXEC), other = -1;
        char away[128], beside[128];

        begin(&f);
        settle(&f);
        forget(&f);
        (void) snprintf(away, sizeof(away), "%s-away", top);
        (void) snprintf(beside, sizeof(beside), "%s/beside", top);
        assert_int_equal(rename(top, away), 0);
        assert_int_equal(rename(away, top), 0);
        settle(&f);
        assert_int_equal(f.n, 0); /* it did not know */

        watcher_above(f.w, &above, 1);
        assert_int_equal(rename(top, away), 0);
        expect(&f, "", WATCH_ROOT);
        forget(&f);
        assert_int_equal(rename(away, top), 0);
        expect(&f, "", WATCH_ROOT);
        forget(&f);
        assert_int_equal(mkdir(beside, 0755), 0); /* what happens in it is nobody's business */
        settle(&f);
        assert_int_equal(f.n, 0);

        other = open(beside, O_PATH | O_DIRECTORY | O_CLOEXEC);
        watcher_above(f.w, &other, 1);
        assert_int_equal(kernel_watches(&f), 2);
        assert_int_equal(rename(top, away), 0);
        assert_int_equal(rename(away, top), 0);
        settle(&f);
        assert_int_equal(f.n, 0);
        assert_int_equal(rmdir(beside), 0);
        settle(&f);
        end(&f);
}

/* 2.1; a mount namespace of our own, so that nothing is left behind. */
static void test_unmount(void **state) {
        pid_t pid = fork(); /* before there is any thread */
        int status;

        assert_true(pid >= 0);
        if (pid == 0) {
                if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
                    mount("tmpfs", root, "tmpfs", 0, "") < 0)
                        _exit(77);
                begin(&f);
                for (unsigned i = 0; i < 20; i++) {
                        char name[16];

                        (void) snprintf(name, sizeof(name), "d%u", i);
                        make_dir(name, 0755);
                        assert_int_equal(add(&f, name), WATCH_ADDED);
                }
                settle(&f);
                forget(&f);
                assert_int_equal(umount(root), 0); /* which a watch does not hinder (pitfalls 2.8) */
                settle(&f);
                if (told(&f, "") != (WATCH_ROOT | WATCH_SUBTREE) || f.n > 2 || watcher_watches(f.w) != 0)
                        _exit(1);
                end(&f);
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == 77) {
                print_message("skipped: no right to mount\n");
                skip();
        }
        assert_int_equal(WEXITSTATUS(status), 0);
}

/* pitfalls 1.14: one folder, two paths, one watch descriptor. */
static void test_bind_mount(void **state) {
        pid_t pid = fork();
        int status;

        assert_true(pid >= 0);
        if (pid == 0) {
                char a[512];

                make_dir("a", 0755);
                make_dir("b", 0755);
                (void) snprintf(a, sizeof(a), "%s", at("a"));
                if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
                    mount(a, at("b"), NULL, MS_BIND, NULL) < 0)
                        _exit(77);
                begin(&f);
                if (add(&f, "a") != WATCH_ADDED || add(&f, "b") != WATCH_SHARED || add(&f, "a") != WATCH_ADDED)
                        _exit(1);
                put("b/f", "x");
                settle(&f);
                if (!(told(&f, "a/f") & WATCH_CONTENT) || told(&f, "b/f"))
                        _exit(2);
                end(&f);
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == 77) {
                print_message("skipped: no right to mount\n");
                skip();
        }
        assert_int_equal(WEXITSTATUS(status), 0);
}

static int add_until_limit(int inotify_fd, int folder_fd, uint32_t mask) {
        static unsigned n;

        return n++ < 2 ? (int) n : -ENOSPC;
}

static int add_after_one_more(int inotify_fd, int folder_fd, uint32_t mask) {
        static const int said[] = { 1, 2, -ENOSPC, 3 };
        static unsigned n;

        return said[n++ % ELEMENTSOF(said)];
}

static int add_refused(int inotify_fd, int folder_fd, uint32_t mask) {
        return -EACCES;
}

static void test_limit(void **state) { /* pitfalls 1.12: "No space left on device" is taken for a full disk */
        static const char *const said[] = { "fs.inotify.max_user_watches", "sysctl ", "/etc/sysctl.d/60-azsyncd.conf",
                                            "third", "folder 3" };
        _cleanup_close_ int fd = -1;
        Error e = ERROR_NULL;

        memset(&f, 0, sizeof(f));
        assert_int_equal(sd_event_new(&f.loop), 0);
        assert_int_equal(watcher_new_on(&f.w, f.loop, inotify_init1(IN_NONBLOCK | IN_CLOEXEC), add_until_limit, on_news,
                                        &f, NULL),
                         0);
        fd = open_dir("");
        assert_int_equal(watcher_add(f.w, "", fd, NULL, NULL, &e), WATCH_ADDED);
        assert_int_equal(watcher_add(f.w, "second", fd, NULL, NULL, &e), WATCH_ADDED);
        assert_int_equal(watcher_add(f.w, "third", fd, NULL, NULL, &e), WATCH_LIMIT);
        assert_int_equal(watcher_add(f.w, "third", fd, NULL, NULL, NULL), WATCH_LIMIT);
        assert_int_equal(e.code, -ENOSPC);
        for (size_t i = 0; i < ELEMENTSOF(said); i++)
                assert_non_null(strstr(e.text, said[i]));
        assert_null(strstr(e.text, "No space"));
        assert_int_equal(watcher_watches(f.w), 2);
        end(&f);

        /* the watch of the folder that stood there before is what the new one needs (pitfalls 1.6) */
        assert_int_equal(sd_event_new(&f.loop), 0);
        assert_int_equal(watcher_new_on(&f.w, f.loop, inotify_init1(IN_NONBLOCK | IN_CLOEXEC), add_after_one_more,
                                        on_news, &f, NULL),
                         0);
        assert_int_equal(watcher_add(f.w, "", fd, NULL, NULL, &e), WATCH_ADDED);
        assert_int_equal(watcher_add(f.w, "x", fd, NULL, NULL, &e), WATCH_ADDED);
        assert_int_equal(watcher_add(f.w, "x", fd, NULL, NULL, &e), WATCH_ADDED);
        assert_int_equal(watcher_watches(f.w), 2);
        end(&f);

        assert_int_equal(sd_event_new(&f.loop), 0);
        assert_int_equal(
                watcher_new_on(&f.w, f.loop, inotify_init1(IN_NONBLOCK | IN_CLOEXEC), add_refused, on_news, &f, NULL),
                0);
        assert_int_equal(watcher_add(f.w, "x", fd, NULL, NULL, &e), WATCH_REFUSED);
        assert_int_equal(e.code, -EACCES);
        end(&f);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_unmount), /* these two fork: before any thread */
                TEST(test_bind_mount),
                TEST(test_files),
                TEST(test_folders),
                TEST(test_file_and_folder_of_one_name),
                TEST(test_moved_inside),
                TEST(test_moved_out_and_in),
                TEST(test_deleted_and_made_again),
                TEST(test_exchanged),
                TEST(test_keep_only),
                TEST(test_root_moved_and_deleted),
                TEST(test_above),
                TEST(test_limit),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
