#include "azure/uri.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define LONG_LABEL "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
        const char *url, *account; /* given */
        const char *base, *path, *name;
} good[] = {
        { "https://contoso.blob.core.windows.net", NULL, "https://contoso.blob.core.windows.net", "", "contoso" },
        { "https://contoso.blob.core.windows.net/", "", "https://contoso.blob.core.windows.net", "", "contoso" },
        { "HTTPS://contoso.z01.blob.storage.azure.net///", NULL, "https://contoso.z01.blob.storage.azure.net", "",
          "contoso" },
        { "https://contoso-secondary.blob.core.windows.net", NULL, "https://contoso-secondary.blob.core.windows.net",
          "", "contoso" },
        { "https://cdn.example.com", "contoso", "https://cdn.example.com", "", "contoso" },
        { "https://storage.example.com:8443/base/contoso/", "contoso", "https://storage.example.com:8443/base/contoso",
          "/base/contoso", "contoso" },
        { "http://127.0.0.1:10000/devstoreaccount1", NULL, "http://127.0.0.1:10000/devstoreaccount1",
          "/devstoreaccount1", "devstoreaccount1" },
        { "http://127.255.1.2/acc/", NULL, "http://127.255.1.2/acc", "/acc", "acc" },
        { "https://10.1.2.3/acc/more", NULL, "https://10.1.2.3/acc/more", "/acc/more", "acc" },
        { "http://[::1]:10000/acc", NULL, "http://[::1]:10000/acc", "/acc", "acc" },
        { "http://[0:0:0:0:0:0:0:1]/acc", NULL, "http://[0:0:0:0:0:0:0:1]/acc", "/acc", "acc" },
        { "https://[2001:db8::1]/acc", NULL, "https://[2001:db8::1]/acc", "/acc", "acc" },
        { "http://localhost:10000/acc", NULL, "http://localhost:10000/acc", "/acc", "acc" },
        { "http://acc1.blob.localhost:10000", NULL, "http://acc1.blob.localhost:10000", "", "acc1" },
        { "http://LocalHost/acc", NULL, "http://LocalHost/acc", "/acc", "acc" },
        { "https://h:1/x", "a", "https://h:1/x", "/x", "a" },
        { "https://h:65535", NULL, "https://h:65535", "", "h" },
};

static void test_good(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                _cleanup_(azure_endpoint_done) AzureEndpoint ep = { 0 };
                Error e = ERROR_NULL;

                if (azure_endpoint_init(&ep, good[i].url, good[i].account, &e) < 0)
                        fail_msg("%s: %s", good[i].url, e.text);
                assert_string_equal(ep.base, good[i].base);
                assert_string_equal(ep.path, good[i].path);
                assert_string_equal(ep.account, good[i].name);
        }
}

static const char *const bad[] = {
        "",
        "contoso",
        "contoso.blob.core.windows.net",
        "ftp://contoso.blob.core.windows.net",
        "https:/contoso.blob.core.windows.net",
        "https://",
        "https:///path",
        "https://:443",
        "https://-h",
        "https://h..x",
        "https://.h",
        "https://h.",
        "https://h h",
        "https://h\r\nX-Evil: 1",
        "https://h%41",
        "https://h\\x",
        "https://user@contoso.blob.core.windows.net",
        "https://user:pw@contoso.blob.core.windows.net",
        "https://contoso.blob.core.windows.net@evil.example/",
        "https://contoso.blob.core.windows.net?sv=1&sig=secret",
        "https://contoso.blob.core.windows.net/#x",
        "https://h:0",
        "https://h:65536",
        "https://h:99999999999",
        "https://h:",
        "https://h:12a",
        "https://h:-1",
        "https://[::1",
        "https://[]/a",
        "https://[::1]x/a",
        "https://[::1]:/a",
        "https://[fe80::1%25eth0]/a",
        "https://[127.0.0.1]/a",
        "https://::1/a",
        "https://h/a//b",
        "https://h/../b",
        "https://h/./b",
        "https://h/a b",
        "https://h/a%2fb",
        "https://h/a\\b",
        /* plain http is for loopback only, and these only look like it */
        "http://contoso.blob.core.windows.net",
        "http://127.0.0.1.example.com/acc",
        "http://127.1/acc",
        "http://0x7f.0.0.1/acc",
        "http://0177.0.0.1/acc",
        "http://2130706433/acc",
        "http://128.0.0.1/acc",
        "http://localhost.example.com/acc",
        "http://notlocalhost/acc",
        "http://[::2]/acc",
        "http://[::ffff:8.8.8.8]/acc",
        "http://0.0.0.0/acc",
        /* no account to be found */
        "http://127.0.0.1:10000",
        "http://localhost/",
        "https://10.0.0.1",
};

static void test_bad(void **state) {
        char url[4096];
        AzureEndpoint ep = { .base = (char *) "kept" };
        Error e;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                e = ERROR_NULL;
                if (azure_endpoint_init(&ep, bad[i], NULL, &e) != -EINVAL)
                        fail_msg("taken: %s", bad[i]);
                assert_int_equal(e.domain, ERROR_CONFIG);
                assert_true(strlen(e.text) > 0);
                assert_null(strstr(e.text, "secret"));
                assert_null(strstr(e.text, "pw@"));
                assert_null(strchr(e.text, '\n'));
        }
        assert_int_equal(azure_endpoint_init(&ep, "https://h", "a\r\nb", &e), -EINVAL);
        assert_int_equal(azure_endpoint_init(&ep, "https://h", "a/b", &e), -EINVAL);
        assert_int_equal(azure_endpoint_init(&ep, "https://h", "a:b", NULL), -EINVAL);
        memset(url, 'a', sizeof(url));
        memcpy(url, "https://", 8);
        url[sizeof(url) - 1] = '\0';
        assert_int_equal(azure_endpoint_init(&ep, url, NULL, &e), -EINVAL);
        assert_int_equal(
                azure_endpoint_init(
                        &ep, "https://" LONG_LABEL LONG_LABEL LONG_LABEL LONG_LABEL ".blob.core.windows.net", NULL, &e),
                -EINVAL);
        assert_string_equal(ep.base, "kept");
}

static void test_path(void **state) {
        static const struct {
                const char *path, *container, *blob, *wire;
        } rows[] = {
                { "", NULL, NULL, "/" },
                { "/devstoreaccount1", NULL, NULL, "/devstoreaccount1/" },
                { "", "photos", NULL, "/photos" },
                { "/devstoreaccount1", "vec", "a b/\xc3\xa9+1.txt", "/devstoreaccount1/vec/a%20b/%C3%A9%2B1.txt" },
                { "", "$web", "index.html", "/$web/index.html" },
                { "", "c", "100%/#1?x=&y;'(!)*~-._", "/c/100%25/%231%3Fx%3D%26y%3B%27%28%21%29%2A~-._" },
                { "", "c",
                  "\xe2\x80\x9b"
                  "E9",
                  "/c/%E2%80%9BE9" },
                { "", "c", "a\r\nb", "/c/a%0D%0Ab" }, /* pitfalls 6.8 */
                { "", "c?x/y", NULL, "/c%3Fx%2Fy" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                AzureEndpoint ep = { .path = (char *) rows[i].path };
                _cleanup_buf_ Buf b = BUF_INIT(1024);

                assert_int_equal(azure_path(&b, &ep, rows[i].container, rows[i].blob), 0);
                assert_string_equal(buf_text(&b), rows[i].wire);
                buf_clear(&b);
                b.ceiling = strlen(rows[i].wire) - 1;
                assert_int_equal(azure_path(&b, &ep, rows[i].container, rows[i].blob), -EMSGSIZE);
        }
}

static void test_redact(void **state) {
        static const struct {
                const char *url, *shown;
        } rows[] = {
                { "", "" },
                { "https://h/c/b", "https://h/c/b" },
                { "https://h/c/b?sv=1&sig=SECRET&se=2", "https://h/c/b?[redacted]" },
                { "https://h/c?restype=container", "https://h/c?[redacted]" },
                { "https://h/c?", "https://h/c?[redacted]" },
                { "sv=2021-12-02&SIG=SECRET", "sv=2021-12-02&[redacted]" },
                { "https://h/copy/https%3A%2F%2Fh%2Fb%3Fsig%3DSECRET",
                  "https://h/copy/https%3A%2F%2Fh%2Fb%3F[redacted]" },
                { "https://user:SECRET@h/c", "https://h/c" },
                { "https://user:SECRET@x@h/c", "https://h/c" },
                { "https://h/a@b", "https://h/a@b" },
                { "user:SECRET@h", "h" },
                { "https://h/\x1b[2J\xe2\x80\xae\xe2\x80\xac", "https://h/\\x1b[2J\\xe2\\x80\\xae\\xe2\\x80\\xac" },
                { "?sig=SECRET", "?[redacted]" },
        };
        char shown[128];

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                assert_ptr_equal(uri_redact(rows[i].url, shown, sizeof(shown)), shown);
                assert_string_equal(shown, rows[i].shown);
                for (size_t room = 1; room < sizeof(shown);
                     room++) { /* never more than there is room for, nor a secret */
                        memset(shown, 'X', sizeof(shown));
                        (void) uri_redact(rows[i].url, shown, room);
                        assert_true(strlen(shown) < room);
                        assert_null(strstr(shown, "SEC"));
                }
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_good),
                cmocka_unit_test(test_bad),
                cmocka_unit_test(test_path),
                cmocka_unit_test(test_redact),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
