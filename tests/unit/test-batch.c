#include "azure/batch.h"

#include "http/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* --- the request: the form of azure-blob.md 1.7, to the byte --- */

static void test_request(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(BATCH_BODY_MAX);
        const char *lines[] = { "x-ms-date: Thu, 01 Jan 2026 00:00:00 GMT", "x-ms-delete-snapshots: include",
                                "If-Match: \"0x8D1\"", "Authorization: SharedKey acct:c2ln" };

        assert_int_equal(batch_add(&b, "X", 0, "DELETE", "/C/a%20b", lines, 4), 0);
        assert_int_equal(batch_add(&b, "X", 255, "DELETE", "/C/c?sv=1&sig=2", lines, 1), 0);
        assert_int_equal(batch_end(&b, "X"), 0);
        assert_string_equal(b.data, "--X\r\n"
                                    "Content-Type: application/http\r\n"
                                    "Content-Transfer-Encoding: binary\r\n"
                                    "Content-ID: 0\r\n"
                                    "\r\n"
                                    "DELETE /C/a%20b HTTP/1.1\r\n"
                                    "x-ms-date: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
                                    "x-ms-delete-snapshots: include\r\n"
                                    "If-Match: \"0x8D1\"\r\n"
                                    "Authorization: SharedKey acct:c2ln\r\n"
                                    "Content-Length: 0\r\n"
                                    "\r\n"
                                    "--X\r\n"
                                    "Content-Type: application/http\r\n"
                                    "Content-Transfer-Encoding: binary\r\n"
                                    "Content-ID: 255\r\n"
                                    "\r\n"
                                    "DELETE /C/c?sv=1&sig=2 HTTP/1.1\r\n"
                                    "x-ms-date: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
                                    "Content-Length: 0\r\n"
                                    "\r\n"
                                    "--X--\r\n");
}

/* What does not fit leaves no trace, and the end always fits. */
static void test_request_ceiling(void **state) {
        _cleanup_buf_ Buf one = BUF_INIT(BATCH_BODY_MAX);
        const size_t end = strlen("--boundary--\r\n");

        assert_int_equal(batch_add(&one, "boundary", 0, "DELETE", "/C/name", NULL, 0), 0);
        for (size_t ceiling = 0; ceiling < 600; ceiling++) {
                _cleanup_buf_ Buf b = BUF_INIT(ceiling);
                size_t before = 0;
                unsigned n = 0;

                while (batch_add(&b, "boundary", n, "DELETE", "/C/name", NULL, 0) >= 0) {
                        before = b.size;
                        n++;
                }
                assert_int_equal(b.size, before);
                assert_true(n == 0 || strlen(b.data) == before);
                assert_int_equal(n, ceiling < end ? 0 : (ceiling - end) / one.size);
                if (n > 0)
                        assert_int_equal(batch_end(&b, "boundary"), 0);
        }
}

/* --- the answer --- */

typedef struct Told {
        unsigned n;
        char text[4096]; /* "number:status:code:body;" */
} Told;

static void on_part(const BatchPart *part, void *userdata) {
        Told *told = userdata;
        size_t used = strlen(told->text);
        char code[64];

        if (http_header(part->headers, "x-ms-error-code", code, sizeof(code)) < 0)
                code[0] = '\0';
        (void) snprintf(told->text + used, sizeof(told->text) - used, "%u:%ld:%s:%.*s;", part->number, part->status,
                        code, (int) part->body_size, part->body);
        told->n++;
}

#define TYPE "multipart/mixed; boundary=batchresponse_1"
#define B "--batchresponse_1\r\n"
#define END "--batchresponse_1--"
#define ID(n) "Content-Type: application/http\r\nContent-ID: " n "\r\n\r\n"
#define GONE "HTTP/1.1 202 Accepted\r\nx-ms-delete-type-permanent: true\r\nx-ms-request-id: 1\r\n\r\n"
#define CHANGED                                                                                          \
        "HTTP/1.1 412 The condition specified using HTTP conditional header(s) is not met.\r\n"          \
        "x-ms-error-code: ConditionNotMet\r\nContent-Length: 9\r\nContent-Type: application/xml\r\n\r\n" \
        "<Error/>\n"

/* clang-format off */
static const struct {
        const char *type, *body;
        int r;
        const char *told;
} answers[] = {
        /* as the service writes it, and as the emulator does: in any order, other headers, no line end at the end */
        { TYPE, B ID("0") GONE "\r\n" B ID("1") CHANGED "\r\n" END "\r\n", 2, "0:202::;1:412:ConditionNotMet:<Error/>\n;" },
        { TYPE, B ID("17") GONE "\r\n" B ID("3") GONE "\r\n" END, 2, "17:202::;3:202::;" },
        { TYPE, B "content-id:9\r\n\r\nHTTP/1.1 404\r\n\r\n\r\n" END, 1, "9:404::;" },
        { "Multipart/Mixed;charset=utf-8; Boundary=\"batchresponse_1\"", B ID("0") GONE "\r\n" END, 1, "0:202::;" },
        /* the empty line after the head may be the one that belongs to the delimiter */
        { TYPE, B ID("0") "HTTP/1.1 202 Accepted\r\nx-ms-error-code: a\r\n\r\n" END, 1, "0:202:a:;" },
        { TYPE, "preamble\r\n" B ID("0") GONE "\r\n" END "\r\nepilogue\r\n" B ID("1") GONE "\r\n" END, 1, "0:202::;" },
        /* line ends of one character, blanks after a delimiter */
        { TYPE, "--batchresponse_1 \t\nContent-ID: 5\n\nHTTP/1.0 202 ok\nx-ms-error-code: a\n\nbody\n" END, 1, "5:202:a:body;" },
        /* cut: only what is followed by a delimiter counts */
        { TYPE, B ID("0") GONE "\r\n" B ID("1") GONE "\r\n", 1, "0:202::;" },
        { TYPE, B ID("0") GONE "\r\n" B, 1, "0:202::;" },
        { TYPE, B ID("0") GONE "\r\n--batchresponse_1", 0, "" },
        { TYPE, B ID("0") GONE "\r\n--batchresponse_1-", 0, "" },
        { TYPE, B ID("0") "HTTP/1.1 20", 0, "" },
        { TYPE, "", 0, "" },
        /* a number that stands there twice tells nothing */
        { TYPE, B ID("0") GONE "\r\n" B ID("0") CHANGED "\r\n" B ID("1") GONE "\r\n" END, 1, "1:202::;" },
        { TYPE, B ID("4") GONE "\r\n" B ID("4") GONE "\r\n" B ID("4") GONE "\r\n" END, 0, "" },
        { TYPE, B "Content-ID: 0\r\nContent-ID: 1\r\n\r\n" GONE "\r\n" END, 0, "" },
        /* no number, or none of ours */
        { TYPE, B "Content-Type: application/http\r\n\r\n" GONE "\r\n" B ID("1") GONE "\r\n" END, 1, "1:202::;" },
        { TYPE, B ID("256") GONE "\r\n" B ID("-1") GONE "\r\n" B ID("01") GONE "\r\n" B ID("4294967296") GONE "\r\n" END, 0, "" },
        { TYPE, B ID("1 2") GONE "\r\n" B ID("") GONE "\r\n" B ID("18446744073709551616") GONE "\r\n" END, 0, "" },
        { TYPE, B ID("255") GONE "\r\n" END, 1, "255:202::;" },
        /* no status */
        { TYPE, B ID("0") "HTTP/1.1 2020 ?\r\n\r\n\r\n" END, 0, "" },
        { TYPE, B ID("0") "HTTP/1.1 099 ?\r\n\r\n\r\n" END, 0, "" },
        { TYPE, B ID("0") "HTTP/2 202 ?\r\n\r\n\r\n" END, 0, "" },
        { TYPE, B ID("0") "HTTP/1.1 \r\n\r\n\r\n" END, 0, "" },
        { TYPE, B ID("0") "<html>202</html>\r\n\r\n\r\n" END, 0, "" },
        { TYPE, B ID("0") END, 0, "" },
        { TYPE, B B B END, 0, "" },
        /* the delimiter's text elsewhere is none; somebody else's boundary is none */
        { TYPE, B ID("0") "HTTP/1.1 202 --batchresponse_1\r\nx: --batchresponse_1\r\n\r\n x--batchresponse_1\r\n--batchresponse_12\r\n" END, 1, "0:202:: x--batchresponse_1\r\n--batchresponse_12;" },
        { TYPE, "--batchresponse_2\r\n" ID("0") GONE "\r\n--batchresponse_2--", 0, "" },
        /* no such answer */
        { "application/xml", B ID("0") GONE "\r\n" END, -EBADMSG, "" },
        { "", B ID("0") GONE "\r\n" END, -EBADMSG, "" },
        { "multipart/mixed", B ID("0") GONE "\r\n" END, -EBADMSG, "" },
        { "multipart/mixed; boundary=", B ID("0") GONE "\r\n" END, -EBADMSG, "" },
        { "multipart/mixed; boundary=\"batchresponse_1", B ID("0") GONE "\r\n" END, -EBADMSG, "" },
        { "multipart/mixed; boundary=12345678901234567890123456789012345678901234567890123456789012345678901", "", -EBADMSG, "" },
};
/* clang-format on */

static void test_answers(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(answers); i++) {
                Told told = { 0 };
                int r = batch_parse(answers[i].type, answers[i].body, strlen(answers[i].body), on_part, &told);

                if (r != answers[i].r || strcmp(told.text, answers[i].told) != 0)
                        fail_msg("answer %zu: %d, \"%s\"", i, r, told.text);
                assert_int_equal(told.n, r > 0 ? r : 0);
        }
}

/* Wherever it is cut, nothing else is told than by the whole, and parts come as their delimiters do. */
static void test_cut_anywhere(void **state) {
        static const char whole[] = B ID("0") GONE "\r\n" B ID("1") CHANGED "\r\n" B ID("2") GONE "\r\n" END "\r\n";
        Told all = { 0 };
        unsigned last = 0;

        assert_int_equal(batch_parse(TYPE, whole, sizeof(whole) - 1, on_part, &all), 3);
        for (size_t size = 0; size < sizeof(whole); size++) {
                char *copy = malloc(size + 1); /* so that reading beyond shows under ASan */
                Told told = { 0 };

                assert_non_null(copy);
                memcpy(copy, whole, size);
                assert_true(batch_parse(TYPE, copy, size, on_part, &told) >= 0);
                assert_memory_equal(told.text, all.text, strlen(told.text));
                assert_true(told.n >= last);
                last = told.n;
                free(copy);
        }
        assert_int_equal(last, 3);
}

/* 256 parts; a head that never ends is dropped, and the next part is read. */
static void test_sizes(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(BATCH_ANSWER_MAX);
        Told told = { 0 };

        for (unsigned n = 0; n < BATCH_MAX; n++)
                assert_int_equal(buf_printf(&b, B ID("%u") GONE "\r\n", n), 0);
        assert_int_equal(buf_puts(&b, END), 0);
        assert_int_equal(batch_parse(TYPE, b.data, b.size, on_part, &told), BATCH_MAX);

        buf_clear(&b);
        assert_int_equal(buf_puts(&b, B ID("0") "HTTP/1.1 202 Accepted\r\n"), 0);
        for (unsigned n = 0; n < 2000; n++)
                assert_int_equal(buf_puts(&b, "x-ms-what: ever\r\n"), 0);
        assert_int_equal(buf_puts(&b, "\r\n" B ID("1") GONE "\r\n" END), 0);
        told = (Told){ 0 };
        assert_int_equal(batch_parse(TYPE, b.data, b.size, on_part, &told), 1);
        assert_string_equal(told.text, "1:202::;");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_request), cmocka_unit_test(test_request_ceiling),
                cmocka_unit_test(test_answers), cmocka_unit_test(test_cut_anywhere),
                cmocka_unit_test(test_sizes),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
