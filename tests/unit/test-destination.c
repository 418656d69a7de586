/* What a person types as a destination, and what as a login. */
#include "config/destination.h"
#include "config/login.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define BLOB ".blob.core.windows.net"
#define KEY "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"

static AccountConfig accounts[] = {
        { .name = (char[]){ "main" }, .endpoint = (char[]){ "https://contoso" BLOB } },
        { .name = (char[]){ "gate" }, .endpoint = (char[]){ "https://gate.example:8443/storage/box" } },
        { .name = (char[]){ "deep" }, .endpoint = (char[]){ "https://gate.example:8443/storage/box/deep" } },
        { .name = (char[]){ "one" }, .endpoint = (char[]){ "https://twice" BLOB } },
        { .name = (char[]){ "two" }, .endpoint = (char[]){ "https://twice" BLOB } },
};
static const Config config = { .accounts = accounts, .n_accounts = ELEMENTSOF(accounts) };

static void destinations(void **state) {
        static const struct {
                const char *text, *account, *known, *endpoint, *container, *prefix;
        } cases[] = {
                { "https://new" BLOB "/photos", NULL, NULL, "https://new" BLOB, "photos", "" },
                { "https://new" BLOB "/photos/", NULL, NULL, "https://new" BLOB, "photos", "" },
                { "https://new" BLOB "/photos/a/b//", NULL, NULL, "https://new" BLOB, "photos", "a/b" },
                { "https://new" BLOB "/photos/a%20b/%C3%A4+%25H", NULL, NULL, "https://new" BLOB, "photos",
                  "a b/\xC3\xA4+%H" },
                { "https://new" BLOB "/%24web", NULL, NULL, "https://new" BLOB, "$web", "" },
                { "https://contoso" BLOB "/photos", NULL, "main", "https://contoso" BLOB, "photos", "" },
                { "HTTPS://Contoso" BLOB ":443/photos/x", NULL, "main", "https://contoso" BLOB, "photos", "x" },
                { "https://contoso" BLOB "/photos", "second", NULL, "https://contoso" BLOB, "photos", "" },
                { "https://gate.example:8443/storage/box/photos/x", NULL, "gate",
                  "https://gate.example:8443/storage/box", "photos", "x" },
                { "https://gate.example:8443/storage/box/deep/photos", NULL, "deep",
                  "https://gate.example:8443/storage/box/deep", "photos", "" },
                { "https://gate.example/storage/box", NULL, NULL, "https://gate.example", "storage", "box" },
                { "https://twice" BLOB "/photos", "two", "two", "https://twice" BLOB, "photos", "" },
                { "http://127.0.0.1:10000/devstoreaccount1/photos/p", NULL, NULL,
                  "http://127.0.0.1:10000/devstoreaccount1", "photos", "p" },
                { "http://[::1]:10000/devstoreaccount1/photos", NULL, NULL, "http://[::1]:10000/devstoreaccount1",
                  "photos", "" },
                { "http://localhost:10000/devstoreaccount1/photos", NULL, NULL,
                  "http://localhost:10000/devstoreaccount1", "photos", "" },
                { "https://10.1.2.3/acct/photos", NULL, NULL, "https://10.1.2.3/acct", "photos", "" },
                { "https://new" BLOB ":444/photos/@home/a:b", NULL, NULL, "https://new" BLOB ":444", "photos",
                  "@home/a:b" },
                { "main/photos", NULL, "main", "https://contoso" BLOB, "photos", "" },
                { "main/photos/100%/a b/", NULL, "main", "https://contoso" BLOB, "photos", "100%/a b" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Destination d = { 0 };
                Error e = ERROR_NULL;

                assert_int_equal(destination_parse(&d, cases[i].text, cases[i].account, &config, &e), 0);
                if (cases[i].known)
                        assert_string_equal(d.known->name, cases[i].known);
                else
                        assert_null(d.known);
                assert_string_equal(d.endpoint, cases[i].endpoint);
                assert_string_equal(d.container, cases[i].container);
                assert_string_equal(d.prefix, cases[i].prefix);
                destination_done(&d);
        }
}

/* pitfalls 11.8: a secret is refused, and does not come back */
static void what_is_refused(void **state) {
        static const struct {
                const char *text, *account, *words;
        } cases[] = {
                { "https://new" BLOB "/photos?sv=2021&sig=S1gnature", NULL, "everybody here can read a command line" },
                { "https://new" BLOB "?sig=S1gnature", NULL, "everybody here can read a command line" },
                { "https://user:S1gnature@new" BLOB "/photos", NULL, "everybody here can read a command line" },
                { "https://user:a/S1gnature@new" BLOB "/photos", NULL, "everybody here can read a command line" },
                { "DefaultEndpointsProtocol=https;AccountName=n;AccountKey=S1gnature==", NULL, "looks like a secret" },
                { "main/photos/?sig=S1gnature", NULL, "looks like a secret" },
                { "https://new" BLOB "/photos#S1gnature", NULL, "%23" },
                { "https://new" BLOB "/photos/%zz", NULL, "%25" },
                { "https://new" BLOB "/photos/%00", NULL, "%25" },
                { "https://new" BLOB "/photos/%H", NULL, "%25" },
                { "https://new" BLOB, NULL, "the container is missing" },
                { "https://new" BLOB "/", NULL, "the container is missing" },
                { "https://new" BLOB "//photos", NULL, "the container is missing" },
                { "http://new" BLOB "/photos", NULL, "plain http" },
                { "https://new" BLOB ":0/photos", NULL, "the port is not right" },
                { "https:///photos", NULL, "expected https://HOST" },
                { "http://127.0.0.1:10000/photos", NULL, "the container is missing" },
                { "http://127.0.0.1:10000/", NULL, "expected URL/ACCOUNT/CONTAINER" },
                { "https://twice" BLOB "/photos", NULL, "accounts one and two are both there" },
                { "https://new" BLOB "/photos", "main", "account main is at https://contoso" },
                { "nobody/photos", NULL, "neither a URL nor the name of an account" },
                { "main", NULL, "the container is missing" },
                { "main/photos", "one", "account main or account one?" },
                { "ftp://x/y", NULL, "neither a URL" },
                { "", NULL, "neither a URL" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Destination d = { 0 };
                Error e = ERROR_NULL;

                assert_int_equal(destination_parse(&d, cases[i].text, cases[i].account, &config, &e), -EINVAL);
                if (!strstr(e.text, cases[i].words))
                        fail_msg("%s: %s", cases[i].text, e.text);
                assert_null(strstr(e.text, "S1gnature"));
                assert_null(d.endpoint);
        }
}

static void logins(void **state) {
        static const char here[] = "https://new" BLOB, sas[] = "sv=2022-11-02&sig=AAAA%3D";
        static const struct {
                const char *text;
                AuthMethod method;
                const char *secret; /* NULL: refused */
        } cases[] = {
                { KEY, AUTH_SHARED_KEY, KEY },
                { "sv=2022-11-02&sig=AAAA%3D", AUTH_SAS, sas },
                { "?sv=2022-11-02&sig=AAAA%3D", AUTH_SAS, sas },
                { "https://new" BLOB "/?sv=2022-11-02&sig=AAAA%3D", AUTH_SAS, sas },
                { "https://new" BLOB "/photos?sv=2022-11-02&sig=AAAA%3D", AUTH_SAS, sas },
                { "DefaultEndpointsProtocol=https;AccountName=new;AccountKey=" KEY ";EndpointSuffix=core.windows.net",
                  AUTH_SHARED_KEY, KEY },
                { "BlobEndpoint=https://new" BLOB "/;SharedAccessSignature=sv=2022-11-02&sig=AAAA%3D", AUTH_SAS, sas },
                { "AccountName=other;AccountKey=" KEY, AUTH_SHARED_KEY, NULL },
                { "https://other" BLOB "/?sv=2022-11-02&sig=AAAA%3D", AUTH_SAS, NULL },
                { "https://old" BLOB "/?sv=2022-11-02&sig=AAAA%3D", AUTH_SAS, NULL },
                { "https://new" BLOB ".evil/?sv=2022-11-02&sig=AAAA%3D", AUTH_SAS, NULL },
                { "https://new" BLOB "/photos", AUTH_SAS, NULL },
                { "UseDevelopmentStorage=true", AUTH_SHARED_KEY, NULL },
                { "not base 64", AUTH_SHARED_KEY, NULL },
                { "", AUTH_SHARED_KEY, NULL },
                { "sv=2022-11-02&sig=", AUTH_SAS, NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Login l = { 0 };
                Error e = ERROR_NULL;

                assert_int_equal(login_parse(&l, cases[i].text, here, &e), cases[i].secret ? 0 : -EINVAL);
                if (cases[i].secret) {
                        assert_int_equal(l.method, cases[i].method);
                        assert_string_equal(l.secret, cases[i].secret);
                } else {
                        assert_true(e.text[0]);
                        assert_null(strstr(e.text, KEY));
                }
                login_done(&l);
        }
}

static void the_emulator_is_one_account_on_any_port(void **state) {
        Login l = { 0 };
        Error e = ERROR_NULL;

        assert_int_equal(login_parse(&l, "UseDevelopmentStorage=true", "http://127.0.0.1:4321/devstoreaccount1", &e),
                         0);
        assert_int_equal(l.method, AUTH_SHARED_KEY);
        login_done(&l);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(destinations),
                cmocka_unit_test(what_is_refused),
                cmocka_unit_test(logins),
                cmocka_unit_test(the_emulator_is_one_account_on_any_port),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
