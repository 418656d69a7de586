#include "azure/sign.h"

#include "util/encode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define DATE "Thu, 01 Jan 2026 00:00:00 GMT"
#define VERSION "2021-12-02"

/* The emulator's well-known key: public, not a secret. */
static const char key_text[] =
        "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

static size_t well_known_key(uint8_t ret[static 64]) {
        size_t n = 0;

        assert_int_equal(base64_decode(key_text, strlen(key_text), ret, 64, &n), 0);
        return n;
}

/* azure-blob.md 2.1: all four were accepted by the emulator. The header lines are in no order on purpose. */
static const struct {
        SignInput in;
        const char *string, *signature;
} vectors[] = {
        { { .method = "PUT",
            .ms_headers = (const char *const[]){ "x-ms-version: " VERSION, "x-ms-date: " DATE },
            .n_ms_headers = 2,
            .account = "devstoreaccount1",
            .path = "/devstoreaccount1/vec",
            .query = (const SignQuery[]){ { "restype", "container" } },
            .n_query = 1 },
          "PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:" DATE "\nx-ms-version:" VERSION
          "\n/devstoreaccount1/devstoreaccount1/vec\nrestype:container",
          "Ntq2bjlf01lrMHkzc+XzpCMsMhwiahxUb3qtsflGHrU=" },
        { { .method = "PUT",
            .content_length = 12,
            .content_md5 = "Pz8543xut4RVSbb2g52Mww==",
            .content_type = "text/plain",
            .ms_headers =
                    (const char *const[]){ "x-ms-version:" VERSION, "X-MS-Blob-Type: BlockBlob",
                                           "x-ms-meta-mtime: 2026-01-01T00:00:00.123456789Z", "x-ms-date: " DATE "  " },
            .n_ms_headers = 4,
            .account = "devstoreaccount1",
            .path = "/devstoreaccount1/vec/a%20b/%C3%A9%2B1.txt" },
          "PUT\n\n\n12\nPz8543xut4RVSbb2g52Mww==\ntext/plain\n\n\n\n\n\n\nx-ms-blob-type:BlockBlob\nx-ms-date:" DATE
          "\nx-ms-meta-mtime:2026-01-01T00:00:00.123456789Z\nx-ms-version:" VERSION
          "\n/devstoreaccount1/devstoreaccount1/vec/a%20b/%C3%A9%2B1.txt",
          "AvBnsL2+FjxPvW39jfJd5O65uz01vujpeIlGHf2TnOU=" },
        { { .method = "PUT",
            .content_length = 12,
            .ms_headers = (const char *const[]){ "x-ms-date: " DATE, "x-ms-version: " VERSION },
            .n_ms_headers = 2,
            .account = "devstoreaccount1",
            .path = "/devstoreaccount1/vec/blk",
            .query = (const SignQuery[]){ { "comp", "block" }, { "blockid", "8PHy8/T1" } },
            .n_query = 2 },
          "PUT\n\n\n12\n\n\n\n\n\n\n\n\nx-ms-date:" DATE "\nx-ms-version:" VERSION
          "\n/devstoreaccount1/devstoreaccount1/vec/blk\nblockid:8PHy8/T1\ncomp:block",
          "RCsA+GACQ3ljQkPtce2T/F6gycNaRsEuIRUPWIV0LUs=" },
        { { .method = "GET",
            .ms_headers = (const char *const[]){ "x-ms-date: " DATE, "x-ms-version: " VERSION },
            .n_ms_headers = 2,
            .account = "devstoreaccount1",
            .path = "/devstoreaccount1/vec",
            .query = (const SignQuery[]){ { "restype", "container" },
                                          { "prefix", "a b/" },
                                          { "maxresults", "10" },
                                          { "include", "metadata" },
                                          { "comp", "list" } },
            .n_query = 5 },
          "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:" DATE "\nx-ms-version:" VERSION
          "\n/devstoreaccount1/devstoreaccount1/vec\ncomp:list\ninclude:metadata\nmaxresults:10\nprefix:a b/\nrestype:"
          "container",
          "apYaoSvz1NCY02eU8cpg+mZIbJhuAX9IoNNhSwDZOb4=" },
};

static void test_vectors(void **state) {
        _cleanup_(sign_key_freep) SignKey *prepared = NULL;
        uint8_t key[64];
        size_t key_size = well_known_key(key);

        assert_int_equal(sign_key_new(&prepared, key, key_size), 0);
        for (unsigned round = 0; round < 2; round++) /* a prepared key must not remember */
                for (size_t i = 0; i < ELEMENTSOF(vectors); i++) {
                        _cleanup_buf_ Buf string = BUF_INIT(4096);
                        char signature[45];

                        assert_int_equal(sign_string(&string, &vectors[i].in), 0);
                        assert_string_equal(buf_text(&string), vectors[i].string);
                        assert_int_equal(sign_shared_key(signature, &vectors[i].in, key, key_size), 0);
                        assert_string_equal(signature, vectors[i].signature);
                        memset(signature, 0, sizeof(signature));
                        assert_int_equal(sign_with_key(signature, &vectors[i].in, prepared), 0);
                        assert_string_equal(signature, vectors[i].signature);
                }
}

/* Every line that can be filled, and where it stands. */
static void test_lines(void **state) {
        const SignInput in = {
                .method = "GET",
                .content_length = UINT64_MAX,
                .content_md5 = "md5",
                .content_type = "type",
                .if_match = "\"etag\"",
                .if_none_match = "*",
                .range = "bytes=0-9",
                .ms_headers = (const char *const[]){ "x-ms-empty:", "x-ms-blank:   ", "x-ms-colon:\ta:b c \t" },
                .n_ms_headers = 3,
                .account = "acct",
                .path = "/",
                .query = (const SignQuery[]){ { "x", "2" }, { "comp", "list" }, { "x", "1" }, { "empty", "" } },
                .n_query = 4,
        };
        _cleanup_buf_ Buf string = BUF_INIT(4096);

        assert_int_equal(sign_string(&string, &in), 0);
        assert_string_equal(buf_text(&string),
                            "GET\n\n\n18446744073709551615\nmd5\ntype\n\n\n\"etag\"\n*\n\nbytes=0-9\n"
                            "x-ms-blank:\nx-ms-colon:a:b c\nx-ms-empty:\n/acct/\ncomp:list\nempty:\nx:1,2");
}

/* Each row in the service's order (azure-blob.md 2.1), given in every rotation. */
static const char *const orders[][4] = {
        { "x-ms-meta-foo_bar:1", "x-ms-meta-foo2_bar:1", "x-ms-meta-foob:1", NULL }, /* bytewise: 2, _, b */
        { "x-ms-meta-a:zzz", "x-ms-meta-ab:a", NULL, NULL },                         /* names, not lines */
        { "x-ms-meta-a:1", "x-ms-meta-a_:1", "x-ms-meta-a0:1", "x-ms-meta-aa:1" },
        { "x-ms-meta-_z:1", "x-ms-meta-9a:1", "x-ms-meta-A:1", "x-ms-meta-b:1" }, /* case does not count */
        { "x-ms-ab:1", "x-ms-a-b:1", "x-ms-ac:1", NULL },                         /* '-' breaks ties only */
        { "x-ms-blob-content-md5:1", "x-ms-blob-type:1", "x-ms-client-request-id:1", "x-ms-date:1" },
        { "x-ms-meta-azsyncd:1", "x-ms-meta-azsyncdbusy:1", "x-ms-meta-azsyncdgen:1", "x-ms-meta-modtime:1" },
        { "x-ms-meta-mtime:1", "x-ms-meta-permissions:1", "x-ms-meta-posix_group:1", "x-ms-meta-posix_owner:1" },
        { "x-ms-copy-source:1", "x-ms-source-if-match:1", "x-ms-version:1", NULL },
};

static void test_order(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(orders); i++) {
                size_t n = 0;

                while (n < ELEMENTSOF(orders[i]) && orders[i][n])
                        n++;
                for (size_t turn = 0; turn < 2 * n; turn++) {
                        _cleanup_buf_ Buf string = BUF_INIT(4096);
                        const char *lines[4], *rest;
                        SignInput in = {
                                .method = "GET", .ms_headers = lines, .n_ms_headers = n, .account = "a", .path = "/"
                        };

                        for (size_t k = 0; k < n; k++)
                                lines[turn < n ? k : n - 1 - k] = orders[i][(k + turn) % n];
                        assert_int_equal(sign_string(&string, &in), 0);
                        rest = strstr(buf_text(&string), "x-ms-");
                        for (size_t k = 0; k < n; k++) {
                                assert_non_null(rest);
                                assert_int_equal(strncasecmp(rest, orders[i][k], strlen(orders[i][k])), 0);
                                rest = strchr(rest, '\n') + 1;
                        }
                        assert_string_equal(rest, "/a/");
                }
        }
}

static void test_refused(void **state) {
        static const char *const bad[] = { "x-ms-date", "Content-Type: a", "x-ms-:v", ":", "", " x-ms-date: a" };
        const char *lines[33];
        SignQuery query[17];
        SignInput in = { .method = "GET", .ms_headers = lines, .account = "a", .path = "/", .query = query };
        _cleanup_buf_ Buf string = BUF_INIT(8192);
        uint8_t key[64];
        char signature[45];

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                lines[0] = bad[i];
                in.n_ms_headers = 1;
                assert_int_equal(sign_string(&string, &in), -EINVAL);
                assert_int_equal(sign_shared_key(signature, &in, key, well_known_key(key)), -EINVAL);
        }
        for (size_t i = 0; i < ELEMENTSOF(lines); i++)
                lines[i] = "x-ms-meta-a: b";
        for (size_t i = 0; i < ELEMENTSOF(query); i++)
                query[i] = (SignQuery){ "a", "b" };
        in.n_ms_headers = 32;
        in.n_query = 16;
        assert_int_equal(sign_string(&string, &in), 0);
        in.n_ms_headers = 33;
        assert_int_equal(sign_string(&string, &in), -EINVAL);
        in.n_ms_headers = 32;
        in.n_query = 17;
        assert_int_equal(sign_string(&string, &in), -EINVAL);

        in.n_query = 16;
        string.ceiling = 100;
        buf_clear(&string);
        assert_int_equal(sign_string(&string, &in), -EMSGSIZE);
}

/* Longer than what is gathered at once: the two ways must agree at every length around the edges. */
static void test_long(void **state) {
        static char path[8192];
        uint8_t key[64];
        size_t key_size = well_known_key(key);

        for (size_t n = 900; n < 4200; n += n < 1200 ? 1 : 97) {
                SignInput in = { .method = "GET", .account = "a", .path = path };
                _cleanup_buf_ Buf string = BUF_INIT(16384);
                char one[45], two[45];

                memset(path, 'p', n);
                path[0] = '/';
                path[n] = '\0';
                assert_int_equal(sign_string(&string, &in), 0);
                assert_int_equal(string.size, 3 + 12 + 2 + n);
                assert_int_equal(sign_shared_key(one, &in, key, key_size), 0);
                path[n - 1] = 'q';
                assert_int_equal(sign_shared_key(two, &in, key, key_size), 0);
                assert_string_not_equal(one, two);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_vectors), cmocka_unit_test(test_lines), cmocka_unit_test(test_order),
                cmocka_unit_test(test_refused), cmocka_unit_test(test_long),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
