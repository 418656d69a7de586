/* mountinfo: pitfalls 2.1. The text is the kernel's; the change is a real mount where we may make one. */
#include "watch/mounts.h"

#include "patience.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include <cmocka.h>

#define ROOT "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
#define SRV "30 22 8:1 / /srv rw - ext4 /dev/sda1 rw\n"
#define OVER "31 30 8:2 / /srv/photos rw - tmpfs none rw\n"
#define INSIDE "32 30 8:3 / /srv/photos/nested rw - ext4 /dev/sdb rw\n"
#define BESIDE "33 30 8:4 / /srv/photos-old rw - ext4 /dev/sdc rw\n"
#define BLANK "34 22 8:5 / /srv/my\\040photos rw - ext4 /dev/sdd rw\n"

static void test_digest(void **state) {
        static const struct {
                const char *before, *after, *folder;
                bool differs;
        } cases[] = {
                { ROOT SRV, ROOT SRV, "/srv/photos", false },
                { ROOT, ROOT SRV, "/srv/photos", true },             /* above: hides it */
                { ROOT SRV, ROOT SRV OVER, "/srv/photos", true },    /* mounted over */
                { ROOT SRV OVER, ROOT SRV, "/srv/photos", true },    /* unmounted, lazily or not */
                { ROOT SRV, ROOT SRV INSIDE, "/srv/photos", true },  /* pitfalls 2.5 */
                { ROOT SRV, ROOT SRV BESIDE, "/srv/photos", false }, /* a name that only begins alike */
                { ROOT, ROOT BLANK, "/srv/my photos", true },        /* names are escaped */
                { ROOT, ROOT BLANK, "/srv/other", false },
                { "", "rubbish", "/srv", false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                bool differs = mounts_digest(cases[i].before, cases[i].folder) !=
                               mounts_digest(cases[i].after, cases[i].folder);

                if (differs != cases[i].differs)
                        fail_msg("case %zu", i);
        }
}

static void on_change(const Buf *table, void *userdata) {
        assert_true(table->size > 0);
        (*(unsigned *) userdata)++;
}

static void test_change_is_told(void **state) {
        char dir[] = "/tmp/azsync-mounts-XXXXXX";
        _cleanup_(mounts_freep) Mounts *m = NULL;
        sd_event *loop = NULL;
        unsigned told = 0;
        Error e = ERROR_NULL;

        assert_non_null(mkdtemp(dir));
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
                (void) rmdir(dir);
                print_message("SKIP: no right to mount here\n");
                skip();
        }
        assert_int_equal(sd_event_new(&loop), 0);
        assert_int_equal(mounts_new(&m, loop, on_change, &told, &e), 0);
        assert_true(sd_event_run(loop, 0) >= 0);
        told = 0; /* the first poll may tell of what was before */
        assert_int_equal(mount("none", dir, "tmpfs", 0, NULL), 0);
        while (told == 0)
                assert_true(sd_event_run(loop, PATIENCE) > 0);
        assert_int_equal(told, 1);
        assert_int_equal(umount2(dir, MNT_DETACH), 0);
        while (told == 1)
                assert_true(sd_event_run(loop, PATIENCE) > 0);
        assert_int_equal(told, 2);
        assert_int_equal(sd_event_run(loop, 0), 0); /* and it is quiet then */
        m = mounts_free(m);
        (void) sd_event_unref(loop);
        (void) rmdir(dir);
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_digest), cmocka_unit_test(test_change_is_told) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
