/* One path's row as a pure value: the file that never rests (pitfalls 4.7, promise 2), and what was seen of it. */
#include "journal/row.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const Stamp stamp = { .size = 9, .mtime_ns = 7 };
static const uint8_t md5[16] = { 1 };

static void changing(Row *row) {
        *row = (Row){ .path = "log", .path_size = 3 };
        row_hint(row, true, 10, 100);
        row_claim(row);
        row_unrest(row, 1000);
}

/* The time counts from the first reading that found it changing, and any quiet one ends it. */
static void test_unrest(void **state) {
        Row row;

        changing(&row);
        row_release(&row, row.gen, 20, true, false, "it changed while it was read");
        row_unrest(&row, 2000);
        assert_int_equal(row.unrest, 1000);
        row_unrest(&row, 500); /* the clock was set back */
        assert_int_equal(row.unrest, 500);
        row_claim(&row);
        row_confirm(&row, row.gen, &stamp, "\"1\"", md5, 100);
        assert_int_equal(row.unrest, 0);

        changing(&row);
        row_confirm(&row, row.gen, &stamp, "\"1\"", md5, 100);
        row_unrest(&row, 3000);
        row_settle(&row, row.gen, &stamp, 100);
        assert_int_equal(row.unrest, 0);
        row_unrest(&row, 3000);
        row_unconfirm(&row);
        assert_int_equal(row.unrest, 0);
}

/* Its blob is gone, and which file is to be stored again is known: unless the last look found none, or another one. */
static void test_unconfirm(void **state) {
        const Stamp file = { .size = 9, .mtime_ns = 7, .ino = 5 }, another = { .ino = 6 };
        Row row;

        changing(&row);
        row_confirm(&row, row.gen, &file, "\"1\"", md5, 100);
        row_unconfirm(&row);
        assert_false(row.confirmed);
        assert_int_equal(row.due_ino, file.ino);

        for (int there = 0; there < 2; there++) {
                changing(&row);
                row_confirm(&row, row.gen, &file, "\"1\"", md5, 100);
                row_hint(&row, true, 80, 200);
                row_saw(&row, there ? &another : NULL);
                row_unconfirm(&row);
                assert_int_equal(row.due_ino, there ? another.ino : 0);
        }
}

/* It stays due, as old as it was, and is not believed by its stamp. */
static void test_mark(void **state) {
        Row row;

        changing(&row);
        row_mark(&row, row.gen, &stamp, "\"1\"", md5, 5000, 77);
        assert_int_equal(row.state, PATH_PENDING);
        assert_int_equal(row.due, 77);
        assert_int_equal(row.first, 100);
        assert_int_equal(row.unrest, 1000);
        assert_int_equal(row.marked, 5000);
        assert_true(row.confirmed && row.has_md5 && row.content && !row.doubt);
        assert_string_equal(row.etag, "\"1\"");
        assert_string_equal(row.reason, ROW_BUSY_REASON);

        row_hint(&row, true, 80, 200); /* a hint does not make it younger */
        assert_int_equal(row.first, 100);
        assert_int_equal(row.marked, 5000);
        row_claim(&row);
        row_confirm(&row, row.gen, &stamp, "\"2\"", md5, 300);
        assert_int_equal(row.state, PATH_CLEAN);
        assert_int_equal(row.marked, 0);
        assert_int_equal(row.first, 0);
        assert_string_equal(row.reason, "");
}

/* A hint that came while the marked copy was sent says when it is due. */
static void test_mark_overtaken(void **state) {
        uint64_t gen;
        Row row;

        changing(&row);
        gen = row.gen;
        row_hint(&row, true, 30, 200);
        row_mark(&row, gen, &stamp, "\"1\"", md5, 5000, 77);
        assert_int_equal(row.state, PATH_PENDING);
        assert_int_equal(row.due, 30);
        assert_int_equal(row.first, 100);
        assert_int_equal(row.marked, 5000);
        assert_true(row.content);
        row_claim(&row); /* quiet, and overtaken once more: no longer marked, and pending */
        gen = row.gen;
        row_hint(&row, true, 40, 400);
        row_confirm(&row, gen, &stamp, "\"2\"", md5, 350);
        assert_int_equal(row.marked, 0);
        assert_int_equal(row.state, PATH_PENDING);
        assert_int_equal(row.first, 350);
}

/* What is still to be stored is known by its file, whatever news come while a look is under way (pitfalls 8), also over
 * one that is confirmed; what is stored is not waited for. */
static void test_seen(void **state) {
        const Stamp other = { .ino = 77, .ctime_ns = 5 };
        uint64_t gen;
        Row row;

        changing(&row);
        row_saw(&row, &other);
        gen = row.gen;
        row_hint(&row, true, 30, 200);
        row_release(&row, gen, 0, true, false, "it changed while it was read");
        assert_int_equal(row.due_ino, 77);
        assert_int_equal(row.seen_ctime, 0);
        row_claim(&row);
        gen = row.gen;
        row_confirm(&row, gen, &stamp, "\"1\"", md5, 300);
        row_hint(&row, true, 40, 400); /* the confirmed file may have been here */
        row_saw(&row, &other);
        row_hint(&row, true, 50, 500);
        assert_int_equal(row.seen_ino, stamp.ino);
        assert_int_equal(row.due_ino, 77);
        row_claim(&row);
        gen = row.gen;
        row_hint(&row, true, 60, 600);
        row_confirm(&row, gen, &other, "\"2\"", md5, 700);
        assert_int_equal(row.state, PATH_PENDING);
        assert_int_equal(row.due_ino, 0);
        row_met(&row, 77);
        assert_int_equal(row.due_ino, 0);
        row_met(&row, 78);
        assert_int_equal(row.due_ino, 78);
        row_claim(&row);
        row_settle(&row, row.gen, &other, 800);
        assert_int_equal(row.due_ino, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_unrest),         cmocka_unit_test(test_unconfirm), cmocka_unit_test(test_mark),
                cmocka_unit_test(test_mark_overtaken), cmocka_unit_test(test_seen),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
