#include "util/encode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* RFC 4648 section 10, and the account key length that matters in practice is tested by round trip below. */
static const struct {
        const char *plain, *base64;
} base64_vectors[] = {
        { "", "" },
        { "f", "Zg==" },
        { "fo", "Zm8=" },
        { "foo", "Zm9v" },
        { "foob", "Zm9vYg==" },
        { "fooba", "Zm9vYmE=" },
        { "foobar", "Zm9vYmFy" },
        { "\xf0\xf1\xf2\xf3\xf4\xf5", "8PHy8/T1" },
        { "\xfb\xff\xbf", "+/+/" },
};

static void test_base64_vectors(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(base64_vectors); i++) {
                size_t n = strlen(base64_vectors[i].plain), got = 99;
                char text[16];
                uint8_t back[16];

                assert_true(BASE64_ROOM(n) <= sizeof(text));
                base64_encode(base64_vectors[i].plain, n, text);
                assert_string_equal(text, base64_vectors[i].base64);
                assert_int_equal(BASE64_ROOM(n), strlen(text) + 1);
                assert_int_equal(base64_decode(text, strlen(text), back, n, &got), 0);
                assert_int_equal(got, n);
                assert_memory_equal(back, base64_vectors[i].plain, n);
                if (n > 0) {
                        got = 99;
                        assert_int_equal(base64_decode(text, strlen(text), back, n - 1, &got), -ENOSPC);
                        assert_int_equal(got, 99);
                }
        }
}

static void test_base64_refuses(void **state) {
        static const char *const bad[] = {
                "Z",    "Zg",           "Zg=",      "Zg===",   "====", "=Zg=",
                "Z=g=", "Zm9v\n",       "Zm9 ",     " Zm9v",   "Zh==", /* bits that stand for nothing */ "Zm9=",
                "Zm-_", "Zm9vZg==Zg==", "Zg==Zm9v", "Zm9\x80",
        };
        uint8_t out[32];
        size_t n = 99;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                assert_int_equal(base64_decode(bad[i], strlen(bad[i]), out, sizeof(out), &n), -EINVAL);
                assert_int_equal(n, 99);
        }
        assert_int_equal(base64_decode("Zm9\0", 4, out, sizeof(out), &n), -EINVAL);
}

static void test_base64_round_trip(void **state) {
        uint8_t bytes[256], back[256];
        char text[BASE64_ROOM(256)];

        for (size_t i = 0; i < sizeof(bytes); i++)
                bytes[i] = (uint8_t) (i * 167 + 13);
        for (size_t n = 0; n <= sizeof(bytes); n++) {
                size_t got;

                base64_encode(bytes, n, text);
                assert_int_equal(base64_decode(text, strlen(text), back, sizeof(back), &got), 0);
                assert_int_equal(got, n);
                assert_memory_equal(back, bytes, n);
        }
}

static void test_hex(void **state) {
        char text[11];

        hex_encode("\x00\x9f\xa0\xff\x7f", 5, text);
        assert_string_equal(text, "009fa0ff7f");
        hex_encode("", 0, text);
        assert_string_equal(text, "");
}

static const struct {
        const char *plain;
        bool slashes;
        const char *encoded;
} percent_vectors[] = {
        { "", false, "" },
        { "AZaz09-._~", false, "AZaz09-._~" },
        { "a b/\xc3\xa9+1.txt", true, "a%20b/%C3%A9%2B1.txt" }, /* azure-blob.md 2.1 */
        { "a b/\xc3\xa9+1.txt", false, "a%20b%2F%C3%A9%2B1.txt" },
        { "+%?#!'()*&=@:$,;[]\"<>\\^`{|}", true,
          "%2B%25%3F%23%21%27%28%29%2A%26%3D%40%3A%24%2C%3B%5B%5D%22%3C%3E%5C%5E%60%7B%7C%7D" },
        { "\x01\x1f\x7f\x80\xff", true, "%01%1F%7F%80%FF" },
};

static void test_percent_vectors(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(percent_vectors); i++) {
                const char *plain = percent_vectors[i].plain;
                _cleanup_buf_ Buf b = BUF_INIT(1024), back = BUF_INIT(1024);

                assert_int_equal(percent_encode(&b, plain, strlen(plain), percent_vectors[i].slashes), 0);
                assert_string_equal(buf_text(&b), percent_vectors[i].encoded);
                assert_int_equal(percent_decode(&back, buf_text(&b), b.size), 0);
                assert_string_equal(buf_text(&back), plain);
        }
}

static void test_percent_long(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(4096), back = BUF_INIT(4096);
        char bytes[1000];

        for (size_t i = 0; i < sizeof(bytes); i++)
                bytes[i] = (char) i;
        assert_int_equal(percent_encode(&b, bytes, sizeof(bytes), false), 0);
        assert_int_equal(percent_decode(&back, b.data, b.size), 0);
        assert_int_equal(back.size, sizeof(bytes));
        assert_memory_equal(back.data, bytes, sizeof(bytes));

        /* every way in which three chars can meet the end of what is gathered at once */
        for (size_t plain = 0; plain < 400; plain++) {
                memset(bytes, 'a', plain);
                memset(bytes + plain, ' ', 400 - plain);
                buf_clear(&b);
                buf_clear(&back);
                assert_int_equal(percent_encode(&b, bytes, 400, false), 0);
                assert_int_equal(b.size, plain + 3 * (400 - plain));
                assert_int_equal(percent_decode(&back, b.data, b.size), 0);
                assert_memory_equal(back.data, bytes, 400);
        }

        memset(bytes, ' ', sizeof(bytes));
        buf_clear(&b);
        buf_clear(&back);
        assert_int_equal(percent_encode(&b, bytes, sizeof(bytes), false), 0);
        back.ceiling = 999;
        assert_int_equal(percent_decode(&back, b.data, b.size), -EMSGSIZE);
        buf_clear(&b);
        b.ceiling = 500;
        assert_int_equal(percent_encode(&b, bytes, sizeof(bytes), false), -EMSGSIZE);
}

static void test_percent_decode_edges(void **state) {
        static const char *const bad[] = { "%", "a%", "%4", "%4g", "%g4", "%%41", "%-1", "a%0", "% 1", "%0x" };
        _cleanup_buf_ Buf b = BUF_INIT(64);

        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(percent_decode(&b, bad[i], strlen(bad[i])), -EINVAL);
        assert_int_equal(percent_decode(&b, "%41", 2), -EINVAL); /* nothing beyond the size is looked at */
        assert_int_equal(percent_decode(&b, "%41", 1), -EINVAL);
        buf_clear(&b);
        assert_int_equal(percent_decode(&b, "%2f%2F+%00", 10), 0); /* '+' is data (pitfalls 6.4) */
        assert_int_equal(b.size, 4);
        assert_memory_equal(b.data, "//+", 4);
}

static void test_decimal(void **state) {
        static const struct {
                uint64_t number;
                unsigned digits;
                const char *text;
        } rows[] = {
                { 0, 1, "0" },         { 0, 0, "0" },
                { 9, 1, "9" },         { 10, 1, "10" },
                { 7, 2, "07" },        { 0, 4, "0000" },
                { 12345, 4, "12345" }, { 1000000000, 9, "1000000000" },
                { 5, 9, "000000005" }, { UINT64_MAX, 1, "18446744073709551615" },
        };
        char text[24];

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                memset(text, 'x', sizeof(text));
                assert_ptr_equal(decimal_encode(rows[i].number, rows[i].digits, text), text + strlen(rows[i].text));
                assert_string_equal(text, rows[i].text);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_base64_vectors),       cmocka_unit_test(test_base64_refuses),
                cmocka_unit_test(test_base64_round_trip),    cmocka_unit_test(test_hex),
                cmocka_unit_test(test_percent_vectors),      cmocka_unit_test(test_percent_long),
                cmocka_unit_test(test_percent_decode_edges), cmocka_unit_test(test_decimal),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
