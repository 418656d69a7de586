/* Connection strings; and the same text as an endpoint, as a shared access signature, and as a URL to be shown. Nothing
 * of a refused one may come back in the message, and nothing of a signature in what is shown (pitfalls 11.8). */
#include "azure/uri.h"
#include "config/connection.h"
#include "config/endpoint.h"
#include "config/sas.h"
#include "util/path.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
        if (!holds)
                abort();
}

static void check_connection(const char *text) {
        Connection c = { 0 };
        Error e = ERROR_NULL;
        int r = connection_parse(&c, text, &e);

        check(r >= 0 || (e.text[0] != '\0' && !c.account && !c.endpoint && !c.key && !c.sas));
        check(r < 0 || (c.account && c.endpoint && !c.key != !c.sas));
        if (r >= 0 && c.sas) {
                (void) sas_fault(c.sas);
                check(sas_expiry(c.sas) >= 0);
        }
        connection_done(&c);
}

/* What --check-config accepts, a start does, too. */
static void check_endpoint(const char *text) {
        bool accepted = endpoint_fault(text) == NULL;
        _cleanup_free_ char *account = NULL;
        AzureEndpoint ep = { 0 };
        Error e = ERROR_NULL;
        int r = azure_endpoint_init(&ep, text, "account", &e);

        check(!accepted || r >= 0);
        check(r >= 0 || e.text[0] != '\0');
        account = endpoint_account(text);
        check(account != NULL);
        check(!accepted || endpoint_same(text, text));
        azure_endpoint_done(&ep);
}

static void check_shown(const char *text) {
        char shown[600];

        (void) uri_redact(text, shown, sizeof(shown));
        check(utf8_valid(shown, strlen(shown)) && !strcasestr(shown, "sig="));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = strndup((const char *) data, size);

        check(text != NULL);
        check_connection(text);
        check_endpoint(text);
        check_shown(text);
        (void) sas_fault(text);
        check(sas_expiry(text) >= 0);
        (void) sas_old(text);
        return 0;
}
