#include "config/connection.h"

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
        static char text[100000] = "AccountKey=Zm9v;AccountName=";
        Connection c = { 0 };
        Error e = ERROR_NULL;

        memset(text + strlen(text), 'a', sizeof(text) - strlen(text) - 1);
        assert_int_equal(connection_parse(&c, text, &e), -EINVAL);
        assert_string_equal(e.text, "the endpoint is too long");
        memcpy(text, "UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://", 61);
        assert_int_equal(connection_parse(&c, text, &e), -EINVAL);
        assert_string_equal(e.text, "DevelopmentStorageProxyUri is too long");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_good),
                cmocka_unit_test(test_bad),
                cmocka_unit_test(test_long),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
