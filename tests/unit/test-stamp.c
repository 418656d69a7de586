/* What tells one state of a file from another (pitfalls 4.1): any difference in any direction, of each field by itself.
 */
#include "util/stamp.h"

#include "util/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const Stamp before = {
        .size = 100, .mtime_ns = 100, .ctime_ns = 100, .btime_ns = 100, .ino = 100, .mode = 100, .uid = 100, .gid = 100
};

static void test_fields(void **state) {
        Stamp now = before;
        const struct {
                const char *name;
                int64_t *number; /* or */
                uint32_t *small;
                bool equal, metadata, moved; /* what is said of two that differ in it alone */
        } fields[] = {
                { "size", (int64_t *) &now.size, NULL, false, true, false },
                { "mtime", &now.mtime_ns, NULL, false, false, false },
                { "ctime", &now.ctime_ns, NULL, false, true, true }, /* a rename sets it (pitfalls 1.3) */
                { "btime", &now.btime_ns, NULL, false, true, false },
                { "inode", (int64_t *) &now.ino, NULL, false, true, false },
                { "mode", NULL, &now.mode, false, false, true },
                { "uid", NULL, &now.uid, false, false, true },
                { "gid", NULL, &now.gid, false, false, true },
                { "links", NULL, &now.nlink, true, true, true },
        };

        for (size_t i = 0; i < ELEMENTSOF(fields); i++)
                for (unsigned value = 99; value <= 101; value += 2) {
                        now = before;
                        if (fields[i].number)
                                *fields[i].number = value;
                        else
                                *fields[i].small = value;
                        if (stamp_equal(&before, &now) != fields[i].equal ||
                            stamp_metadata_equal(&before, &now) != fields[i].metadata ||
                            stamp_moved(&before, &now) != fields[i].moved)
                                fail_msg("%s: %u", fields[i].name, value);
                }
        now = before;
        assert_true(stamp_equal(&before, &now));
        now.ino = 0; /* not stable, or not known: no name says whose file this is */
        assert_false(stamp_moved(&now, &now));
}

static void test_from_statx(void **state) {
        struct statx stx = { .stx_mask = STATX_BTIME,
                             .stx_size = 1,
                             .stx_mtime = { .tv_sec = -1, .tv_nsec = 999999999 },
                             .stx_ctime = { .tv_sec = INT64_C(1) << 40 },
                             .stx_btime = { .tv_sec = 2, .tv_nsec = 3 },
                             .stx_ino = 4,
                             .stx_mode = 5,
                             .stx_uid = 6,
                             .stx_gid = 7,
                             .stx_nlink = 8 };
        const Stamp want = { 1, -1, INT64_MAX, 2 * NSEC_PER_SEC + 3, 4, 5, 6, 7, 8 };
        Stamp got;

        stamp_from_statx(&got, &stx);
        assert_true(stamp_equal(&got, &want));
        assert_int_equal(got.nlink, 8);
        stx.stx_mask = 0;
        stx.stx_mtime.tv_sec = -(INT64_C(1) << 40);
        stamp_from_statx(&got, &stx);
        assert_true(got.mtime_ns == INT64_MIN && got.btime_ns == 0);
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_fields), cmocka_unit_test(test_from_statx) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
