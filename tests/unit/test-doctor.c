#include "ctl/doctor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_enough(void **state) {
        static const struct {
                uint64_t need, used, limit;
                Outcome outcome;
        } rows[] = {
                { 0, 0, 0, FOUND_OK },
                { 0, 100, 100, FOUND_OK },
                { 0, 101, 100, FOUND_FAIL },
                { 1, 0, 0, FOUND_FAIL },
                { 80, 0, 100, FOUND_OK },
                { 81, 0, 100, FOUND_WARN },
                { 100, 0, 100, FOUND_WARN },
                { 101, 0, 100, FOUND_FAIL },
                { 50, 31, 100, FOUND_WARN },
                { 50, 51, 100, FOUND_FAIL },
                { 1, UINT64_MAX, 100, FOUND_FAIL },
                { UINT64_MAX, 1, INT64_MAX, FOUND_FAIL }, /* the sum would overflow */
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                assert_int_equal(doctor_enough(rows[i].need, rows[i].used, rows[i].limit), rows[i].outcome);
}

static void test_watches(void **state) {
        assert_int_equal(doctor_count_watches(""), 0);
        assert_int_equal(doctor_count_watches("pos:\t0\nflags:\t02004000\nmnt_id:\t15\nino:\t1057\n"), 0);
        assert_int_equal(doctor_count_watches("inotify wd:1 ino:2 sdev:3 mask:4\n"), 1);
        assert_int_equal(doctor_count_watches("pos:\t0\nino:\t1057\ninotify wd:2 ino:9e7e sdev:800013 mask:800afce\n"
                                              "inotify wd:1 ino:192627 sdev:800013 mask:800afce\nx inotify wd:3\n"),
                         2);
        assert_int_equal(doctor_count_watches("pos:\t0\ninotify wd:1"), 1);
}

static void test_rights(void **state) {
        static const char status[] = "Name:\tazsyncd Uid:\t7\nUmask:\t0077\nUid:\t1\t2\t3\t104\nGid:\t1\t2\t3\t105\n"
                                     "FDSize:\t64\nGroups:\t4 24 105 \nCapPrm:\t0000000000000000\nCapEff:\t%016x\n";
        Rights r = { 0 };
        char text[512];

        (void) snprintf(text, sizeof(text), status, 4u);
        assert_int_equal(rights_parse(&r, text), 0);
        assert_int_equal(r.uid, 104);
        assert_int_equal(r.gid, 105);
        assert_int_equal(r.n_groups, 3);
        assert_int_equal(r.groups[1], 24);
        assert_true(r.reads_all);
        assert_false(r.other);
        (void) snprintf(text, sizeof(text), status, 1u);
        assert_int_equal(rights_parse(&r, text), 0);
        assert_false(r.reads_all);
        assert_int_equal(rights_parse(&r, ""), -EINVAL);
        assert_int_equal(rights_parse(&r, "Uid:\t1\nGid:\t1\t2\t3\t4\nGroups:\t\nCapEff:\t0\n"), -EINVAL);
}

static void lacks(const char *sas, bool deletes, const char *expected) {
        SasFacts facts;
        char text[256];

        assert_int_equal(sas_parse(sas, &facts, NULL), 0);
        doctor_sas_lacks(&facts, deletes, text, sizeof(text));
        assert_string_equal(text, expected);
}

static void test_sas(void **state) {
        lacks("sp=rcwdl&sr=c&sig=x", true, "");
        lacks("sp=rwdl&sr=c&sig=x", true, ""); /* w makes blobs, too */
        lacks("sp=rwl&sr=c&sig=x", false, "");
        lacks("sp=rcl&sr=c&sig=x", true, "write (w), delete (d)"); /* c does not overwrite */
        lacks("sr=c&sig=x", true, "read (r), write (w), list (l), delete (d)");
        lacks("sp=rwdl&ss=b&srt=co&sig=x", true, "");
        lacks("sp=rwdl&ss=qf&srt=s&sig=x", true, "the blob service (ss=b), containers (srt=c), blobs (srt=o)");
        lacks("sp=rl&ss=b&srt=sc&sig=x", false, "write (w), blobs (srt=o)");
}

static void render(bool color, Outcome o, About about, const char *advice, const char *text, const char *expected) {
        _cleanup_text_ Text t = TEXT_INIT(4096);

        finding_render(&t, color, o, about, "folder", advice, text);
        assert_int_equal(t.r, 0);
        assert_string_equal(buf_text(&t.buf), expected);
}

/* Whatever the texts hold, it is one line and harmless (pitfalls 6.8). */
static void test_lines(void **state) {
        const About photos = { .mapping = "photos" }, main_account = { .account = "main" };

        render(false, FOUND_OK, photos, "", "fine", "ok   photos: folder: fine\n");
        render(false, FOUND_WARN, main_account, "a, then b", "odd", "warn account main: folder: odd; do: a, then b\n");
        render(false, FOUND_FAIL, MACHINE, "x", "bad", "FAIL folder: bad; do: x\n");
        render(false, FOUND_UNKNOWN, MACHINE, "", "?", "?    folder: ?\n");
        render(true, FOUND_FAIL, MACHINE, "", "bad", "\033[1;31mFAIL\033[0m folder: bad\n");
        render(true, FOUND_UNKNOWN, MACHINE, "", "?", "?    folder: ?\n");
        render(false, FOUND_OK, (About){ .mapping = "a\033[2J" }, "b\nok   x: y: z", "c\r\n\xff",
               "ok   a\\x1b[2J: folder: c\\x0d\\x0a\\xff; do: b\\x0aok   x: y: z\n");
}

static void test_json(void **state) {
        Findings f = { .checks = json_array() };
        json_t *all, *one;

        finding(&f, FOUND_OK, (About){ .mapping = "photos" }, "folder", "", "%d files", 7);
        finding(&f, FOUND_UNKNOWN, (About){ .account = "main" }, "soft-delete", "look", "a\n\xff");
        finding(&f, FOUND_WARN, MACHINE, "clock", "", "slow");
        assert_int_equal(f.r, 0);
        assert_int_equal(f.n[FOUND_FAIL], 0);
        all = findings_to_json(&f);
        assert_null(f.checks);
        assert_int_equal(json_integer_value(json_object_get(all, "version")), 1);
        assert_string_equal(json_get_text(all, "result"), "warn");
        assert_int_equal(json_array_size(json_object_get(all, "checks")), 3);
        one = json_array_get(json_object_get(all, "checks"), 0);
        assert_string_equal(json_get_text(one, "mapping"), "photos");
        assert_true(json_is_null(json_object_get(one, "account")));
        assert_string_equal(json_get_text(one, "check"), "folder");
        assert_string_equal(json_get_text(one, "result"), "ok");
        assert_string_equal(json_get_text(one, "text"), "7 files");
        assert_string_equal(json_get_text(one, "advice"), "");
        one = json_array_get(json_object_get(all, "checks"), 1);
        assert_string_equal(json_get_text(one, "result"), "unknown");
        assert_string_equal(json_get_text(one, "account"), "main");
        json_decref(all);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_enough), cmocka_unit_test(test_watches), cmocka_unit_test(test_rights),
                cmocka_unit_test(test_sas),    cmocka_unit_test(test_lines),   cmocka_unit_test(test_json),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
