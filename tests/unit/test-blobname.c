#include "util/blobname.h"

#include "util/path.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define Q "\xe2\x80\x9b" /* U+201B */

/* docs/reference/blob-names.md, line by line. What rclone also escapes is written as rclone writes it. */
static const struct {
        const char *path, *name;
} vectors[] = {
        { "a", "a" },
        { "photos/2026/a b+c%20#?.jpg", "photos/2026/a b+c%20#?.jpg" },
        { "caf\xc3\xa9/cafe\xcc\x81", "caf\xc3\xa9/cafe\xcc\x81" }, /* pitfalls 6.6: never normalised */
        { ".hidden/..x/a.b", ".hidden/..x/a.b" },
        { "~/\xf0\x9f\x98\x80", "~/\xf0\x9f\x98\x80" },
        { "back\\slash", "back\xef\xbc\xbcslash" }, /* pitfalls 6.3: or two files would be one blob */
        { "tab\there", "tab\xe2\x90\x89here" },
        { "\x01\x1f\x7f", "\xe2\x90\x81\xe2\x90\x9f\xe2\x90\xa1" },
        { "x\ny", "x\xe2\x90\x8ay" },
        { "end.", "end\xef\xbc\x8e" },
        { "a./b", "a\xef\xbc\x8e/b" },
        { "...", "..\xef\xbc\x8e" },
        { ".../..../x", "..\xef\xbc\x8e/...\xef\xbc\x8e/x" },
        { "latin\xe9", "latin" Q "E9" },
        { "cut\xe2\x82/b", "cut" Q "E2" Q "82/b" },
        { "\xed\xa0\x80", Q "ED" Q "A0" Q "80" },                         /* lone surrogate */
        { "\xc0\xaf", Q "C0" Q "AF" },                                    /* overlong '/' */
        { "\xc2\x85", Q "C2" Q "85" },                                    /* C1 control NEL */
        { "\xee\x80\x80\xee\x80\x81", Q "EE" Q "80" Q "80\xee\x80\x81" }, /* U+E000, U+E001 */
        { "\xef\xbf\xbe\xef\xbf\xbf", Q "EF" Q "BF" Q "BE" Q "EF" Q "BF" Q "BF" },
        { "\xef\xb7\x90", Q "EF" Q "B7" Q "90" },            /* U+FDD0 */
        { "\xf0\x9f\xbf\xbe", Q "F0" Q "9F" Q "BF" Q "BE" }, /* U+1FFFE */
        { "\xef\xbf\xbd", "\xef\xbf\xbd" },                  /* U+FFFD is a character like any other */
        /* escape characters in the file name itself */
        { Q, Q Q },
        { Q "41", Q Q "41" },
        { Q Q "x", Q Q Q Q "x" },
        { "\xef\xbc\xbc", Q "\xef\xbc\xbc" },
        { Q "\\", Q Q "\xef\xbc\xbc" },
        { "\xe2\x90\x80", Q "\xe2\x90\x80" }, /* U+2400: would be read as NUL */
        { "\xe2\x90\x89", Q "\xe2\x90\x89" },
        { "\xe2\x90\xa0\xe2\x90\xa1\xe2\x90\xa2", "\xe2\x90\xa0" Q "\xe2\x90\xa1\xe2\x90\xa2" }, /* only U+2421 */
        { "a\xef\xbc\x8e", "a" Q "\xef\xbc\x8e" },
        { "a\xef\xbc\x8e/b", "a" Q "\xef\xbc\x8e/b" },
        { "a\xef\xbc\x8e"
          "b",
          "a\xef\xbc\x8e"
          "b" }, /* only at an end is it read as a dot */
        { "a\xef\xbc\x8e.", "a\xef\xbc\x8e\xef\xbc\x8e" },
        { "a.\xef\xbc\x8e", "a." Q "\xef\xbc\x8e" },
        { Q ".", Q Q "\xef\xbc\x8e" },
        { Q "\xef\xbc\x8e", Q Q Q "\xef\xbc\x8e" },
};

static BlobName map(Buf *ret, const char *prefix, const char *path, size_t size) {
        BlobName verdict = (BlobName) 99;

        buf_clear(ret);
        assert_int_equal(blobname_from_path(ret, prefix, path, size, &verdict), 0);
        return verdict;
}

static void test_vectors(void **state) {
        _cleanup_buf_ Buf name = BUF_INIT(4096), path = BUF_INIT(4096);

        for (size_t i = 0; i < ELEMENTSOF(vectors); i++) {
                assert_int_equal(map(&name, "", vectors[i].path, strlen(vectors[i].path)), BLOB_NAME_OK);
                assert_string_equal(buf_text(&name), vectors[i].name);
                buf_clear(&path);
                assert_int_equal(blobname_to_path(&path, "", name.data, name.size), 0);
                assert_string_equal(buf_text(&path), vectors[i].path);

                assert_int_equal(map(&name, "hosts/h\xc3\xa9", vectors[i].path, strlen(vectors[i].path)), BLOB_NAME_OK);
                assert_memory_equal(name.data, "hosts/h\xc3\xa9/", 10);
                assert_string_equal(name.data + 10, vectors[i].name);
                buf_clear(&path);
                assert_int_equal(blobname_to_path(&path, "hosts/h\xc3\xa9", name.data, name.size), 0);
                assert_string_equal(buf_text(&path), vectors[i].path);
        }
}

/* Blobs that are somebody else's: no file name maps to them. */
static const struct {
        const char *prefix, *name;
} foreign[] = {
        { "", "" },
        { "", "/" },
        { "", "/a" },
        { "", "a/" },
        { "", "a//b" },
        { "", "." },
        { "", ".." },
        { "", "a/./b" },
        { "", "a/../b" },
        { "", "end." },
        { "", "a./b" },
        { "", "a\\b" },
        { "", "a\nb" },
        { "", "a\x7f" },
        { "", "a\xff" },
        { "", "\xc2\x85" },
        { "", "\xee\x80\x80" },
        { "", "\xef\xbf\xbe" },
        { "", Q },
        { "", Q "4" },
        { "", Q "41" }, /* 'A' needs no escape */
        { "", Q "e9" }, /* lower case */
        { "", Q "2F" }, /* '/' */
        { "", Q "00" },
        { "", "\xe2\x90\x80" }, /* NUL */
        { "", Q "C3" Q "A9" },  /* a character that needs none */
        { "", Q "x" },
        { "", Q "\xef\xbc\x8e"
                "b" }, /* quoted where it need not be */
        { "", "\xef\xbc\x8e" },
        { "", ".\xef\xbc\x8e" }, /* "." and ".." */
        { "", "a/.\xef\xbc\x8e/b" },
        { "", Q "\xe2\x90\xa0" },
        { "p", "p" },
        { "p", "p/" },
        { "p", "pa" },
        { "p", "q/a" },
        { "p", "a" },
        { "p/q", "p/a" },
        { "p", "P/a" },
        { "p", "p//a" },
};

static void test_foreign(void **state) {
        _cleanup_buf_ Buf path = BUF_INIT(4096);

        assert_int_equal(buf_puts(&path, "kept"), 0);
        for (size_t i = 0; i < ELEMENTSOF(foreign); i++)
                assert_int_equal(blobname_to_path(&path, foreign[i].prefix, foreign[i].name, strlen(foreign[i].name)),
                                 -EINVAL);
        assert_int_equal(blobname_to_path(&path, "", "a\0b", 3), -EINVAL);
        assert_string_equal(buf_text(&path), "kept");
        assert_int_equal(blobname_to_path(&path, "", "/and", 4), -EINVAL);
}

static void fill(char *ret, size_t room, const char *piece) {
        for (size_t i = 0, n = strlen(piece); i < room; i++)
                ret[i] = piece[i % n];
}

/* pitfalls 6.1: 1,024 UTF-16 units and 254 segments, the prefix counted in. */
static void test_limits(void **state) {
        _cleanup_buf_ Buf name = BUF_INIT(4096), back = BUF_INIT(4096);
        char path[8192];

        memset(path, 'x', sizeof(path));
        assert_int_equal(map(&name, "", path, 1024), BLOB_NAME_OK);
        assert_int_equal(name.size, 1024);
        assert_int_equal(blobname_to_path(&back, "", name.data, name.size), 0);
        assert_int_equal(map(&name, "", path, 1025), BLOB_NAME_TOO_LONG);
        assert_int_equal(blobname_to_path(&back, "", path, 1025), -EINVAL);
        assert_int_equal(map(&name, "", path, sizeof(path)), BLOB_NAME_TOO_LONG);
        assert_int_equal(map(&name, "p/q", path, 1020), BLOB_NAME_OK);
        assert_int_equal(map(&name, "p/q", path, 1021), BLOB_NAME_TOO_LONG);

        fill(path, sizeof(path), "\xc3\xa9"); /* one unit, two bytes */
        assert_int_equal(map(&name, "", path, 2048), BLOB_NAME_OK);
        assert_int_equal(map(&name, "", path, 2050), BLOB_NAME_TOO_LONG);
        assert_int_equal(map(&name, "\xc3\xa9", path, 2044), BLOB_NAME_OK);
        assert_int_equal(map(&name, "\xc3\xa9", path, 2046), BLOB_NAME_TOO_LONG);

        fill(path, sizeof(path), "\xe2\x82\xac"); /* the most bytes a unit can take */
        assert_int_equal(map(&name, "", path, 3072), BLOB_NAME_OK);
        buf_clear(&back);
        assert_int_equal(blobname_to_path(&back, "", name.data, name.size), 0);
        assert_int_equal(back.size, 3072);
        assert_int_equal(map(&name, "", path, 3075), BLOB_NAME_TOO_LONG);

        fill(path, sizeof(path), "\xf0\x9f\x98\x80"); /* a surrogate pair: two units */
        assert_int_equal(map(&name, "", path, 2048), BLOB_NAME_OK);
        assert_int_equal(map(&name, "", path, 2052), BLOB_NAME_TOO_LONG);
        assert_int_equal(map(&name, "\xf0\x9f\x98\x80", path, 2040), BLOB_NAME_OK); /* 2 + 1 + 1,020 */
        assert_int_equal(map(&name, "\xf0\x9f\x98\x80", path, 2044), BLOB_NAME_TOO_LONG);

        memset(path, 0xff, sizeof(path)); /* three units a byte */
        assert_int_equal(map(&name, "", path, 341), BLOB_NAME_OK);
        assert_int_equal(map(&name, "", path, 342), BLOB_NAME_TOO_LONG);

        for (size_t i = 0; i < sizeof(path); i++)
                path[i] = i % 2 ? '/' : 'd';
        assert_int_equal(map(&name, "", path, 2 * 254 - 1), BLOB_NAME_OK);
        assert_int_equal(map(&name, "", path, 2 * 255 - 1), BLOB_NAME_TOO_DEEP);
        assert_int_equal(map(&name, "p/q", path, 2 * 252 - 1), BLOB_NAME_OK);
        assert_int_equal(map(&name, "p/q", path, 2 * 253 - 1), BLOB_NAME_TOO_DEEP);
        assert_int_equal(map(&name, "", path, 4001), BLOB_NAME_TOO_DEEP); /* also too long, met later */
        assert_true(strlen(blobname_verdict_text(BLOB_NAME_TOO_LONG)) > 0);
        assert_string_not_equal(blobname_verdict_text(BLOB_NAME_TOO_LONG), blobname_verdict_text(BLOB_NAME_TOO_DEEP));

        name.ceiling = 10;
        buf_clear(&name);
        assert_int_equal(blobname_from_path(&name, "", "0123456789a", 11, &(BlobName){ 0 }), -EMSGSIZE);
}

/* A folder is too deep when no name of one character fits beneath it (6.7): told the long way. */
static void test_goes_below(void **state) {
        static const char *const characters[] = { "x", "\xc3\xa9", "\xf0\x9f\x98\x80", "\xff", "x/" };
        static const char *const prefixes[] = { "", "p", "hosts/h\xc3\xa9" };
        _cleanup_buf_ Buf name = BUF_INIT(4096);
        unsigned fits = 0, not = 0;

        for (size_t c = 0; c < ELEMENTSOF(characters); c++)
                for (size_t p = 0; p < ELEMENTSOF(prefixes); p++)
                        for (size_t n = 1; n <= 1100; n++) {
                                char path[4500];
                                size_t size = n * strlen(characters[c]);
                                bool below;

                                fill(path, size, characters[c]);
                                if (path[size - 1] == '/')
                                        size--;
                                below = blobname_goes_below(prefixes[p], path, size);
                                memcpy(path + size, "/x", 2);
                                assert_int_equal(below, map(&name, prefixes[p], path, size + 2) == BLOB_NAME_OK);
                                fits += below;
                                not += !below;
                        }
        assert_true(fits > 3000 && not > 3000);
}

/* A repeatable generator: a failure must come again. */
static uint32_t next_random(uint64_t *seed) {
        *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return (uint32_t) (*seed >> 33);
}

/* Pieces that press on every rule, raw bytes among them. */
static const char *const pieces[] = {
        "a",
        ".",
        "..",
        "/",
        "\\",
        "\x01",
        "\x1f",
        "\x7f",
        "\x80",
        "\xc2",
        "\xc2\x80",
        "\xc2\x9f",
        "\xc2\xa0",
        "\xe2",
        "\xe2\x80",
        Q,
        Q,
        "\xe2\x90\x80",
        "\xe2\x90\x81",
        "\xe2\x90\x9f",
        "\xe2\x90\xa0",
        "\xe2\x90\xa1",
        "\xef\xbc\xbc",
        "\xef\xbc\x8e",
        "\xef\xbc\x8e",
        "\xef\xbc",
        "\xee\x80\x80",
        "\xef\xbf\xbe",
        "\xef\xb7\xaf",
        "\xed\xa0\x80",
        "\xf0\x9f\x98\x80",
        "\xf4\x8f\xbf\xbf",
        "\xff",
        "4",
        "1",
        "E",
        "F",
        "2F",
        "00",
        "\xc3\xa9",
        "/",
        "x",
};

static bool valid_path(const char *p, size_t n) {
        size_t start = 0;

        for (size_t i = 0; i <= n; i++) {
                if (i < n && p[i] != '/')
                        continue;
                if (i == start || (i - start == 1 && p[start] == '.') ||
                    (i - start == 2 && memcmp(p + start, "..", 2) == 0))
                        return false;
                start = i + 1;
        }
        return true;
}

static size_t make_path(char *ret, size_t room, uint64_t *seed) {
        for (;;) {
                size_t n = 0, count = 1 + next_random(seed) % 12;
                bool raw = next_random(seed) % 4 == 0;

                for (size_t i = 0; i < count; i++) {
                        const char *piece = pieces[next_random(seed) % ELEMENTSOF(pieces)];

                        if (raw) {
                                ret[n++] = (char) (1 + next_random(seed) % 255);
                                continue;
                        }
                        assert_true(n + strlen(piece) < room);
                        memcpy(ret + n, piece, strlen(piece));
                        n += strlen(piece);
                }
                ret[n] = '\0';
                if (valid_path(ret, n))
                        return n;
        }
}

/* What the service must never be sent (azure-blob.md 1.10), told independently of the code under test. */
static void assert_storable(const char *name, size_t size) {
        assert_true(utf8_valid(name, size));
        for (size_t i = 0, k = 0; i < size; i += k) {
                uint32_t c = 0;

                k = utf8_char(name + i, size - i, &c);
                assert_true(c >= 0x20 && c != 0x7F && c != '\\' && !(c >= 0x80 && c < 0xA0) && c != 0xE000);
                assert_true((c & 0xFFFF) < 0xFFFE && !(c >= 0xFDD0 && c <= 0xFDEF));
                if (c == '.')
                        assert_true(i + 1 < size && name[i + 1] != '/');
                if (c == '/')
                        assert_true(i > 0 && i + 1 < size && name[i + 1] != '/');
        }
}

static bool is_plain(const char *p, size_t n) {
        static const char *const escapes[] = { Q, "\xef\xbc\xbc", "\xe2\x90\xa1", "\\", "\x7f", "\xee\x80\x80" };

        for (size_t i = 0; i < ELEMENTSOF(escapes); i++)
                if (strstr(p, escapes[i]))
                        return false;
        for (size_t i = 0, k = 0; i < n; i += k) {
                uint32_t c = 0;
                bool last;

                k = utf8_char(p + i, n - i, &c);
                if (k == 0)
                        return false;
                last = i + k == n || p[i + k] == '/';
                if (c < 0x20 || (c >= 0x80 && c < 0xA0) || (c >= 0x2400 && c <= 0x241F) || (c & 0xFFFF) >= 0xFFFE ||
                    (c >= 0xFDD0 && c <= 0xFDEF) || (last && (c == '.' || c == 0xFF0E)))
                        return false;
        }
        return true;
}

/* pitfalls 6.2: there and back again, whatever it is. */
static void test_random_paths(void **state) {
        _cleanup_buf_ Buf name = BUF_INIT(4096), back = BUF_INIT(4096);
        uint64_t seed = 20260101;
        unsigned plain = 0;

        for (unsigned i = 0; i < 200000; i++) {
                char path[128];
                size_t n = make_path(path, sizeof(path), &seed);
                const char *prefix = i % 3 == 0 ? "pre/fix" : "";
                size_t skip = i % 3 == 0 ? 8 : 0;

                assert_int_equal(map(&name, prefix, path, n), BLOB_NAME_OK);
                assert_storable(name.data + skip, name.size - skip);
                buf_clear(&back);
                if (blobname_to_path(&back, prefix, name.data, name.size) != 0 || back.size != n ||
                    memcmp(back.data, path, n) != 0)
                        fail_msg("no round trip: %s", PATH_SHOWN(path));
                if (is_plain(path, n)) {
                        plain++;
                        assert_int_equal(name.size - skip, n);
                        assert_memory_equal(name.data + skip, path, n);
                }
        }
        assert_true(plain > 1000); /* the property was really put to the test */
}

/* Every pair of paths of up to three of the sharpest pieces: all blob names differ. A round trip proves as much, but
 * only if the decoder does not lean on the encoder. */
static int compare_names(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

/* pitfalls 6.2: names that are made to meet, if any could. */
static void test_no_two_meet(void **state) {
        static const char *const sharp[] = {
                "a",
                ".",
                "\\",
                Q,
                "\xef\xbc\xbc",
                "\xef\xbc\x8e",
                "\x01",
                "\xe2\x90\x81",
                "\xe2\x90\x80",
                "\x7f",
                "\xe2\x90\xa1",
                "\xff",
                "F",
                "\xe2",
                "\x80",
                "\x9b",
                "\x81",
                "\xc2",
                "/",
        };
        enum { N = ELEMENTSOF(sharp), ALL = N * N * N * N };
        char **names = calloc(ALL, sizeof(*names)), **paths = calloc(ALL, sizeof(*paths));
        size_t count = 0, n_paths = 0;
        _cleanup_buf_ Buf name = BUF_INIT(4096);

        assert_non_null(names);
        assert_non_null(paths);
        for (size_t i = 0; i < ALL; i++) {
                char path[32];
                int n = snprintf(path, sizeof(path), "%s%s%s%s", sharp[i % N], sharp[i / N % N], sharp[i / N / N % N],
                                 sharp[i / N / N / N]);

                if (valid_path(path, (size_t) n))
                        paths[n_paths++] = strdup(path);
        }
        /* different pieces make some paths twice: \xe2\x80\x9b is U+201B */
        qsort(paths, n_paths, sizeof(*paths), compare_names);
        for (size_t i = 0; i < n_paths; i++) {
                if (i > 0 && strcmp(paths[i], paths[i - 1]) == 0)
                        continue;
                assert_int_equal(map(&name, "", paths[i], strlen(paths[i])), BLOB_NAME_OK);
                names[count++] = strdup(name.data);
        }
        qsort(names, count, sizeof(*names), compare_names);
        for (size_t i = 1; i < count; i++)
                assert_string_not_equal(names[i], names[i - 1]);
        assert_true(count > 50000);
        for (size_t i = 0; i < ALL; i++) {
                free(names[i]);
                free(paths[i]);
        }
        free(names);
        free(paths);
}

/* Whatever a listing may hold: refused, or a path that maps to exactly this name. */
static void test_random_names(void **state) {
        _cleanup_buf_ Buf path = BUF_INIT(4096), again = BUF_INIT(4096);
        uint64_t seed = 42;
        unsigned ours = 0;

        for (unsigned i = 0; i < 200000; i++) {
                char name[128];
                size_t n = make_path(name, sizeof(name), &seed);
                int r;

                buf_clear(&path);
                r = blobname_to_path(&path, "", name, n);
                if (r == 0) {
                        ours++;
                        assert_true(valid_path(path.data, path.size));
                        assert_null(memchr(path.data, 0, path.size));
                        assert_int_equal(map(&again, "", path.data, path.size), BLOB_NAME_OK);
                        assert_int_equal(again.size, n);
                        assert_memory_equal(again.data, name, n);
                } else {
                        assert_int_equal(r, -EINVAL);
                        assert_int_equal(path.size, 0);
                }
        }
        assert_true(ours > 1000);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_vectors),      cmocka_unit_test(test_foreign),
                cmocka_unit_test(test_limits),       cmocka_unit_test(test_goes_below),
                cmocka_unit_test(test_random_paths), cmocka_unit_test(test_no_two_meet),
                cmocka_unit_test(test_random_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
