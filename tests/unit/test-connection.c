/* Connection strings, and the endpoints and signatures that come with them or alone. */
#include "config/connection.h"
#include "config/endpoint.h"
#include "config/sas.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define DEV_KEY "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
#define WINDOWS "https://contoso.blob.core.windows.net"

static const struct {
        const char *text;
        const char *account, *endpoint, *key, *sas;
} good[] = {
        { "UseDevelopmentStorage=true", "devstoreaccount1", "http://127.0.0.1:10000/devstoreaccount1", DEV_KEY, NULL },
        { " usedevelopmentstorage = TRUE ; ", "devstoreaccount1", "http://127.0.0.1:10000/devstoreaccount1", DEV_KEY,
          NULL },
        { "UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://proxy", "devstoreaccount1",
          "http://proxy:10000/devstoreaccount1", DEV_KEY, NULL },
        /* the emulator's port, whatever stands there */
        { "UseDevelopmentStorage=true;DevelopmentStorageProxyUri=https://[::1]:8888/x", "devstoreaccount1",
          "https://[::1]:10000/devstoreaccount1", DEV_KEY, NULL },
        { "AccountName=contoso;AccountKey=Zm9v", "contoso", WINDOWS, "Zm9v", NULL },
        /* cut at the first '=' only; order, case, blanks and empty parts do not matter; strangers are ignored */
        { ";;accountkey=Zm9vYg==;QueueEndpoint=https://q; ACCOUNTNAME = contoso ;;", "contoso", WINDOWS,
          "Zm9vYg==", NULL },
        { "DefaultEndpointsProtocol=https;AccountName=contoso;AccountKey=Zm9v;EndpointSuffix=core.chinacloudapi.cn",
          "contoso", "https://contoso.blob.core.chinacloudapi.cn", "Zm9v", NULL },
        { "DefaultEndpointsProtocol=http;AccountName=contoso;AccountKey=Zm9v", "contoso",
          "http://contoso.blob.core.windows.net", "Zm9v", NULL },
        /* BlobEndpoint wins */
        { "AccountName=contoso;AccountKey=Zm9v;EndpointSuffix=x;BlobEndpoint=https://cdn.example.com/base/", "contoso",
          "https://cdn.example.com/base", "Zm9v", NULL },
        { "BlobEndpoint=" WINDOWS "/;SharedAccessSignature=sv=1&sig=a%3D", "contoso", WINDOWS, NULL, "sv=1&sig=a%3D" },
        { "BlobEndpoint=" WINDOWS "/;SharedAccessSignature=?sv=1&sig=a%3D", "contoso", WINDOWS, NULL, "sv=1&sig=a%3D" },
        { "BlobEndpoint=" WINDOWS "/?sv=1&sig=a%3D", "contoso", WINDOWS, NULL, "sv=1&sig=a%3D" },
        { "BlobEndpoint=" WINDOWS "?sv=0&sig=z;SharedAccessSignature=sv=1&sig=a", "contoso", WINDOWS, NULL,
          "sv=1&sig=a" },
        { "AccountName=;AccountKey=;BlobEndpoint=" WINDOWS ";SharedAccessSignature=sig=a", "contoso", WINDOWS, NULL,
          "sig=a" },
        /* without AccountName */
        { "BlobEndpoint=http://127.0.0.1:10000/acc;AccountKey=Zm9v", "acc", "http://127.0.0.1:10000/acc", "Zm9v",
          NULL },
        { "BlobEndpoint=http://[::1]:10000/acc/x;AccountKey=Zm9v", "acc", "http://[::1]:10000/acc/x", "Zm9v", NULL },
        { "BlobEndpoint=http://LocalHost/acc;AccountKey=Zm9v", "acc", "http://LocalHost/acc", "Zm9v", NULL },
        { "BlobEndpoint=http://127.0.0.1:10000;SharedAccessSignature=sig=a", "", "http://127.0.0.1:10000", NULL,
          "sig=a" },
        { "BlobEndpoint=https://Acc-secondary.blob.core.windows.net;AccountKey=Zm9v", "acc",
          "https://Acc-secondary.blob.core.windows.net", "Zm9v", NULL },
        { "BlobEndpoint=https://acc.z12.blob.storage.azure.net;AccountKey=Zm9v", "acc",
          "https://acc.z12.blob.storage.azure.net", "Zm9v", NULL },
};

static void same(const char *got, const char *want) {
        if (want)
                assert_string_equal(got, want);
        else
                assert_null(got);
}

static void test_good(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                Connection c = { 0 };
                Error e = ERROR_NULL;

                if (connection_parse(&c, good[i].text, &e) != 0)
                        fail_msg("%s: %s", good[i].text, e.text);
                same(c.account, good[i].account);
                same(c.endpoint, good[i].endpoint);
                same(c.key, good[i].key);
                same(c.sas, good[i].sas);
                connection_done(&c);
                assert_null(c.key);
        }
}

/* "SeCrEt" stands where the secret does */
static const struct {
        const char *text, *words;
} bad[] = {
        { "", "neither AccountName nor BlobEndpoint is in it" },
        { " ; ;", "neither AccountName nor BlobEndpoint is in it" },
        { "SeCrEt", "a part is not of the form Name=Value" },
        { "AccountName=contoso;SeCrEt", "a part is not of the form Name=Value" },
        { "AccountKey=SeCrEt", "neither AccountName nor BlobEndpoint is in it" },
        { "AccountName=contoso", "it holds neither an AccountKey nor a SharedAccessSignature" },
        { "AccountName=contoso;AccountKey=", "it holds neither an AccountKey nor a SharedAccessSignature" },
        { "AccountName=contoso;AccountKey=SeCrEt;SharedAccessSignature=sig=SeCrEt",
          "it holds both an AccountKey and a SharedAccessSignature; leave one of them out" },
        { "BlobEndpoint=" WINDOWS "/?sig=SeCrEt;AccountKey=SeCrEt",
          "it holds both an AccountKey and a SharedAccessSignature; leave one of them out" },
        { "AccountName=contoso;AccountKey=SeCrEt;accountkey=SeCrEt", "AccountKey stands in it twice" },
        { "UseDevelopmentStorage=false;AccountKey=SeCrEt", "UseDevelopmentStorage can only be true" },
        { "UseDevelopmentStorage=true;AccountKey=SeCrEt",
          "UseDevelopmentStorage is a whole account; leave the other parts out" },
        { "BlobEndpoint=https://x?sig=SeCrEt;UseDevelopmentStorage=true",
          "UseDevelopmentStorage is a whole account; leave the other parts out" },
        { "UseDevelopmentStorage=true;DevelopmentStorageProxyUri=SeCrEt",
          "DevelopmentStorageProxyUri is not a URL such as http://127.0.0.1" },
        { "UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://[::1",
          "DevelopmentStorageProxyUri is not a URL such as http://127.0.0.1" },
        { "UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://:80",
          "DevelopmentStorageProxyUri is not a URL such as http://127.0.0.1" },
};

static void test_bad(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                Connection c = { 0 };
                Error e = ERROR_NULL;

                assert_int_equal(connection_parse(&c, bad[i].text, &e), -EINVAL);
                assert_string_equal(e.text, bad[i].words);
                assert_null(strstr(e.text, "SeCrEt"));
                assert_null(c.account); /* written on success only */
                assert_null(c.key);
        }
}

static void test_long(void **state) {
        static const char *const starts[][2] = {
                { "AccountKey=Zm9v;AccountName=", "the endpoint is too long" },
                { "UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://",
                  "DevelopmentStorageProxyUri is too long" },
        };
        static char text[100000];

        for (size_t i = 0; i < ELEMENTSOF(starts); i++) {
                Connection c = { 0 };
                Error e = ERROR_NULL;

                memset(text, 'a', sizeof(text) - 1);
                for (size_t k = 0; starts[i][0][k]; k++)
                        text[k] = starts[i][0][k];
                assert_int_equal(connection_parse(&c, text, &e), -EINVAL);
                assert_string_equal(e.text, starts[i][1]);
        }
}

#define SHAPE "expected https://HOST[:PORT][/PATH] without user, query or fragment"
#define PORT "the port is not right; expected 1 to 65535"
#define PLAIN "plain http is accepted for this machine (loopback) only; expected https://"

static const struct {
        const char *url, *fault;
} endpoints[] = {
        { "https://contoso.blob.core.windows.net", NULL },
        { "HTTPS://Contoso.blob.core.windows.net:443/a/b.c", NULL },
        { "https://10.0.0.1/x", NULL },
        { "http://127.0.0.1:10000/devstoreaccount1", NULL },
        { "http://127.9.9.9", NULL },
        { "http://[::1]:10000/acc", NULL },
        { "http://localhost:1/acc", NULL },
        { "http://acc.blob.LOCALHOST:1", NULL },
        { "http://example.com", PLAIN },
        { "http://127.0.0.1.example.com", PLAIN },
        { "http://localhost.example.com", PLAIN },
        { "http://notlocalhost", PLAIN },
        { "http://128.0.0.1", PLAIN },
        { "http://[::2]", PLAIN },
        { "", "expected a URL that begins with https://" },
        { "contoso.blob.core.windows.net", "expected a URL that begins with https://" },
        { "ftp://contoso", "expected a URL that begins with https://" },
        { "https://", SHAPE },
        { "https:///x", SHAPE },
        { "https://a b", SHAPE },
        { "https://.a", SHAPE },
        { "https://a..b", SHAPE },
        { "https://a.", SHAPE },
        { "https://[::1", SHAPE },
        { "https://[::1]x", SHAPE },
        { "https://[]", SHAPE },
        { "https://[fe80::1%eth0]", SHAPE },
        { "https://a/..", SHAPE },
        { "https://a/./b", SHAPE },
        { "https://a//b", SHAPE },
        { "https://a/%2e%2e", SHAPE },
        { "https://a/\xc3\xa9", SHAPE },
        { "https://a?sig=x", SHAPE },
        { "https://a/b?sig=x", SHAPE },
        { "https://a/b#c", SHAPE },
        { "https://me@a", SHAPE },
        { "https://me:pw@a", SHAPE },
        { "https://a:", PORT },
        { "https://a:0", PORT },
        { "https://a:65536", PORT },
        { "https://a:123456789/x", PORT },
        { "https://a:1x", PORT },
};

static void test_endpoints(void **state) {
        static char text[2000] = "https://a/";

        for (size_t i = 0; i < ELEMENTSOF(endpoints); i++) {
                const char *fault = endpoint_fault(endpoints[i].url);

                if (!endpoints[i].fault ? fault != NULL : !fault || strcmp(fault, endpoints[i].fault) != 0)
                        fail_msg("%s: %s", endpoints[i].url, fault ? fault : "accepted");
        }
        memset(text + strlen(text), 'a', sizeof(text) - strlen(text) - 1);
        assert_string_equal(endpoint_fault(text), "longer than 1024 characters");

        assert_true(endpoint_same("https://A.example.com", "HTTPS://a.example.com:443"));
        assert_true(endpoint_same("http://[::1]:80/x", "http://[::1]/x"));
        assert_false(endpoint_same("https://a.example.com/x", "https://a.example.com/X"));
        assert_false(endpoint_same("https://a.example.com:80", "https://a.example.com"));
        assert_false(endpoint_same("http://localhost:443", "https://localhost:443"));
        assert_false(endpoint_same("https://a.example.com:4431", "https://a.example.com"));
}

static const struct {
        const char *sas, *fault;
        int64_t expiry; /* seconds */
} sases[] = {
        { "sv=2021-12-02&se=2030-01-01T00%3A00%3A00Z&sp=rwdl&sig=a%2Bb%3D", NULL, 1893456000 },
        { "sig=x&se=2030-01-01T00:00:00Z", NULL, 1893456000 },
        { "sig=x&se=2030-01-01T00:00Z", NULL, 1893456000 },
        { "sig=x&se=2030-01-01", NULL, 1893456000 },
        { "sig=x&se=2030-01-01T00:00:00.1234567Z", NULL, 1893456000 },
        { "sig=x&si=policy", NULL, 0 },
        { "sig=x&se=tomorrow", NULL, 0 },
        { "sig=x&se=2030-01-01T00:00:00%", NULL, 0 },
        { "sig=x&use=2030-01-01", NULL, 0 },
        { "", "no shared access signature: sig= is missing in it", 0 },
        { "sv=1&sig=", "no shared access signature: sig= is missing in it", 0 },
        { "sv=1&xsig=a", "no shared access signature: sig= is missing in it", 0 },
        { "sig=a+b", "a bare '+' in its sig=; expected it as it was issued, with %2B", 0 },
        { "https://x/?sig=a", "a whole URL; expected only what follows its '?'", 0 },
        { "sig=a%2", "its sig= is not one: it is cut or encoded twice", 0 },
        { "sig=a%00", "its sig= is not one: it is cut or encoded twice", 0 },
        { "sig=a b", "a blank, quote or other character that no shared access signature has", 0 },
        { "sig=a\r\nX: y", "a blank, quote or other character that no shared access signature has", 0 },
};

static void test_sas_version(void **state) {
        static const struct {
                const char *sas;
                bool old;
        } cases[] = {
                { "sv=2019-12-11&sig=x", true },
                { "sig=x&sv=2015-04-05", true },
                { "sv=2019-12-12&sig=x", false },
                { "sv=2025-11-05&sig=x", false },
                { "sig=x", false },
                { "sv=&sig=x", false },
                { "sv=2019-12-1&sig=x", false },
                { "sv=2019-12-111&sig=x", false },
                { "sv=2019/12/11&sig=x", false },
                { "sv=201x-12-11&sig=x", false },
                { "xsv=2015-04-05&sig=x", false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                if (sas_old(cases[i].sas) != cases[i].old)
                        fail_msg("%s", cases[i].sas);
}

static void test_sas(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(sases); i++) {
                const char *fault = sas_fault(sases[i].sas);

                if (!sases[i].fault ? fault != NULL : !fault || strcmp(fault, sases[i].fault) != 0)
                        fail_msg("%s: %s", sases[i].sas, fault ? fault : "accepted");
                if (sas_old(sases[i].sas))
                        fail_msg("%s is old", sases[i].sas);
                if (sas_expiry(sases[i].sas) != sases[i].expiry * 1000000000)
                        fail_msg("%s ends %lld", sases[i].sas, (long long) sas_expiry(sases[i].sas));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_good),      cmocka_unit_test(test_bad), cmocka_unit_test(test_long),
                cmocka_unit_test(test_endpoints), cmocka_unit_test(test_sas), cmocka_unit_test(test_sas_version),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
