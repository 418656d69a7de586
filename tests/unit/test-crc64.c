/* azure-blob.md section 3 has the vectors; pitfalls 10.17. */
#include "chunk/crc64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_vectors(void **state) {
        static const struct {
                const char *bytes, *text;
        } vectors[] = {
                { "", "AAAAAAAAAAA=" },
                { "Hello Azure!", "DtjZpL9/o8c=" },
                { "hello world", "vo7q9sPVKY0=" },
        };
        char text[13];

        assert_int_equal(crc64(0, "123456789", 9), UINT64_C(0xae8b14860a799888));
        for (size_t i = 0; i < ELEMENTSOF(vectors); i++) {
                crc64_text(crc64(0, vectors[i].bytes, strlen(vectors[i].bytes)), text);
                assert_string_equal(text, vectors[i].text);
        }
}

/* Both ways, all lengths around the lanes, all alignments, in one piece and in two. */
static void test_both_ways(void **state) {
        static uint8_t data[1024];

        for (size_t i = 0; i < sizeof(data); i++)
                data[i] = (uint8_t) (i * i * 31 + i / 7);
        for (size_t size = 0; size < 700; size++) {
                const uint8_t *from = data + size % 17;
                uint64_t expect = crc64_by_table(0, from, size), half;

                assert_int_equal(crc64(0, from, size), expect);
                half = crc64(0, from, size / 3);
                assert_int_equal(crc64(half, from + size / 3, size - size / 3), expect);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_vectors), cmocka_unit_test(test_both_ways) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
