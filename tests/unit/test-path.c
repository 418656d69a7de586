#include "util/path.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct {
        const char *text;
        bool valid;
} utf8_vectors[] = {
        { "", true },
        { "plain", true },
        { "\xc2\x80", true },              /* U+0080, the least of two bytes */
        { "\xdf\xbf", true },              /* U+07FF */
        { "\xe0\xa0\x80", true },          /* U+0800 */
        { "\xed\x9f\xbf", true },          /* U+D7FF */
        { "\xee\x80\x80", true },          /* U+E000 */
        { "\xef\xbf\xbf", true },          /* U+FFFF: a character to UTF-8 */
        { "\xf0\x90\x80\x80", true },      /* U+10000 */
        { "\xf4\x8f\xbf\xbf", true },      /* U+10FFFF */
        { "\x80", false },                 /* continuation alone */
        { "\xc0\x80", false },             /* overlong NUL */
        { "\xc1\xbf", false },             /* overlong DEL */
        { "\xe0\x9f\xbf", false },         /* overlong U+07FF */
        { "\xf0\x8f\xbf\xbf", false },     /* overlong U+FFFF */
        { "\xed\xa0\x80", false },         /* surrogate U+D800 */
        { "\xed\xbf\xbf", false },         /* surrogate U+DFFF */
        { "\xf4\x90\x80\x80", false },     /* U+110000 */
        { "\xf5\x80\x80\x80", false },     /* beyond */
        { "\xf8\x88\x80\x80\x80", false }, /* five bytes */
        { "\xfe", false },
        { "\xff", false },
        { "\xc3", false }, /* cut */
        { "\xe2\x82", false },
        { "\xf0\x9f\x98", false },
        { "\xe2\x28\xa1", false },
        { "ok\xc3\xa9\xff", false },
};

static void test_utf8(void **state) {
        uint32_t c;

        for (size_t i = 0; i < ELEMENTSOF(utf8_vectors); i++)
                assert_int_equal(utf8_valid(utf8_vectors[i].text, strlen(utf8_vectors[i].text)), utf8_vectors[i].valid);
        assert_true(utf8_valid("a\0b", 3));
        assert_int_equal(utf8_char("\xf4\x8f\xbf\xbf", 4, &c), 4);
        assert_int_equal(c, 0x10FFFF);
        assert_int_equal(utf8_char("\xf4\x8f\xbf\xbf", 3, &c), 0);
        assert_int_equal(utf8_char("", 0, &c), 0);
}

/* pitfalls 6.8 */
static const struct {
        const char *path, *shown;
} display_vectors[] = {
        { "", "" },
        { "photos/2026/a b.jpg", "photos/2026/a b.jpg" },
        { "\xc3\xa9t\xc3\xa9/\xe6\x97\xa5\xe6\x9c\xac/\xf0\x9f\x98\x80",
          "\xc3\xa9t\xc3\xa9/\xe6\x97\xa5\xe6\x9c\xac/\xf0\x9f\x98\x80" },
        { "back\\slash", "back\\\\slash" },
        { "\\x41", "\\\\x41" },
        { "x\nMAINPID=1", "x\\x0aMAINPID=1" },
        { "\x1b[2Jgone", "\\x1b[2Jgone" },
        { "\x7f\x01\r\t", "\\x7f\\x01\\x0d\\x09" },
        { "c1\xc2\x9b"
          "31m",
          "c1\\xc2\\x9b31m" },                                                            /* CSI as one C1 control */
        { "gpj.\xe2\x80\xae.exe\xe2\x80\xac", "gpj.\\xe2\\x80\\xae.exe\\xe2\\x80\\xac" }, /* U+202E */
        { "\xe2\x80\xaa\xe2\x81\xa6\xe2\x81\xa9\xe2\x80\xac",
          "\\xe2\\x80\\xaa\\xe2\\x81\\xa6\\xe2\\x81\\xa9\\xe2\\x80\\xac" },
        { "\xe2\x80\x8e\xe2\x80\x8f\xd8\x9c", "\\xe2\\x80\\x8e\\xe2\\x80\\x8f\\xd8\\x9c" }, /* LRM, RLM, ALM */
        { "a\xe2\x80\x8b"
          "b\xef\xbb\xbf",
          "a\\xe2\\x80\\x8bb\\xef\\xbb\\xbf" }, /* zero width, BOM */
        { "a\xe2\x80\xa8"
          "b",
          "a\\xe2\\x80\\xa8b" },                                          /* line separator */
        { "\xc2\xad\xf3\xa0\x81\x81", "\\xc2\\xad\\xf3\\xa0\\x81\\x81" }, /* soft hyphen, tag letter */
        { "latin1-\xe9", "latin1-\\xe9" },
        { "\xed\xa0\x80", "\\xed\\xa0\\x80" },
        { "cut\xe2\x82", "cut\\xe2\\x82" },
        { "\xef\xbf\xbe", "\\xef\\xbf\\xbe" },                      /* U+FFFE */
        { "\xe2\x80\x9b\xe2\x90\x80", "\xe2\x80\x9b\xe2\x90\x80" }, /* our own look-alikes are plain to see */
};

static void test_display(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(display_vectors); i++) {
                const char *path = display_vectors[i].path;

                assert_string_equal(PATH_SHOWN(path), display_vectors[i].shown);
        }
        assert_string_equal(path_display("a\0b", 3, (char[32]){ 0 }, 32), "a\\x00b");
}

/* Every room: NUL-terminated within it, valid UTF-8, whole escapes, and dots exactly if something is missing. */
static void test_display_cut(void **state) {
        static const char path[] = "ab\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xff\\\xe2\x80\xaez\xe2\x80\xac...";
        char whole[128], part[128];
        size_t n;

        (void) path_display(path, strlen(path), whole, sizeof(whole));
        n = strlen(whole);
        for (size_t room = 1; room < sizeof(part); room++) {
                size_t k;

                memset(part, 'X', sizeof(part));
                assert_ptr_equal(path_display(path, strlen(path), part, room), part);
                k = strlen(part);
                assert_true(k < room);
                assert_int_equal(part[room], 'X');
                assert_true(utf8_valid(part, k));
                if (room > n) {
                        assert_string_equal(part, whole);
                        continue;
                }
                assert_memory_equal(part + k - MIN((size_t) 3, k), "...", MIN((size_t) 3, k));
                if (k > 3) {
                        char next = whole[k - 3];

                        assert_memory_equal(part, whole, k - 3);
                        /* the cut stands where a character begins: no half escape, no half backslash pair */
                        assert_true(next != 'x' || whole[k - 4] != '\\');
                }
        }
        assert_string_equal(path_display(path, strlen(path), part, 1), "");
        assert_string_equal(path_display("abcdef", 6, part, 6), "ab...");
        assert_string_equal(path_display("abcdef", 6, part, 7), "abcdef");
        assert_string_equal(path_display("abc\xff", 4, part, 7), "abc...");
        assert_string_equal(path_display("abc\xff", 4, part, 8), "abc\\xff");
}

static void test_beneath(void **state) {
        static const struct {
                const char *path, *folder;
                bool beneath;
        } vectors[] = {
                { "a", "", true },        { "", "", true },     { "a", "a", true },    { "a/b", "a", true },
                { "a/b/c", "a/b", true }, { "ab", "a", false }, { "a", "a/b", false }, { "b/a", "a", false },
                { "a-b/c", "a", false },  { "A", "a", false },  { "", "a", false },
        };

        for (size_t i = 0; i < ELEMENTSOF(vectors); i++)
                assert_int_equal(path_beneath(vectors[i].path, vectors[i].folder), vectors[i].beneath);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_utf8),
                cmocka_unit_test(test_display),
                cmocka_unit_test(test_display_cut),
                cmocka_unit_test(test_beneath),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
