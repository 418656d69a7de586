#include "config/login.h"

#include "config/connection.h"
#include "config/endpoint.h"
#include "config/sas.h"
#include "config/secret.h"
#include "util/encode.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

void login_done(Login *l) {
        l->secret = secret_free(l->secret);
}

static int refuse(Error *e, const char *what) {
        return error_set(e, -EINVAL, ERROR_CONFIG, 0, "%s", what);
}

static int from_connection(Login *ret, const char *text, const char *endpoint, Error *e) {
        _cleanup_(connection_done) Connection c = { 0 };
        int r = connection_parse(&c, text, e);

        if (r < 0)
                return error_prefix(e, r, "the connection string");
        /* the emulator's well-known account is the same on whatever port it listens */
        if (!(c.key && strcmp(c.account, "devstoreaccount1") == 0 && endpoint_in_path(endpoint)) &&
            (endpoint_fault(c.endpoint) || !endpoint_same(c.endpoint, endpoint)))
                return refuse(e, "the connection string is that of another account than the URL's");
        ret->method = c.sas ? AUTH_SAS : AUTH_SHARED_KEY;
        ret->secret = c.sas ? TAKE_PTR(c.sas) : TAKE_PTR(c.key);
        return 0;
}

/* `sas`: behind the '?' */
static int from_sas(Login *ret, const char *sas, Error *e) {
        const char *fault = sas_fault(sas);

        if (fault)
                return error_set(e, -EINVAL, ERROR_CONFIG, 0, "the shared access signature: %s", fault);
        ret->method = AUTH_SAS;
        ret->secret = strdup(sas);
        return ret->secret ? 0 : error_oom(e);
}

static int from_url(Login *ret, const char *url, const char *endpoint, Error *e) {
        const char *query = strchr(url, '?');
        size_t size = strlen(endpoint);

        if (!query)
                return refuse(e, "that is a URL without a shared access signature behind a '?'");
        if (strncasecmp(url, endpoint, size) != 0 || !strchr("/?", url[size]))
                return refuse(e, "that is a URL of another account than the one in question");
        return from_sas(ret, query + 1, e);
}

int login_parse(Login *ret, const char *text, const char *endpoint, Error *e) {
        uint8_t key[256];
        size_t size = 0;
        int r;

        assert(ret && text && endpoint);

        if (strncasecmp(text, "https://", 8) == 0 || strncasecmp(text, "http://", 7) == 0)
                return from_url(ret, text, endpoint, e);
        if (text[0] == '?')
                return from_sas(ret, text + 1, e);
        if (strcasestr(text, "AccountKey=") || strcasestr(text, "SharedAccessSignature=") ||
            strcasestr(text, "BlobEndpoint=") || strcasestr(text, "UseDevelopmentStorage="))
                return from_connection(ret, text, endpoint, e);
        if (strchr(text, '&') || strcasestr(text, "sig="))
                return from_sas(ret, text, e);
        r = base64_decode(text, strlen(text), key, sizeof(key), &size);
        explicit_bzero(key, sizeof(key));
        if (r < 0 || size == 0)
                return refuse(e, "neither a key (Base64), nor a shared access signature, nor a connection string");
        ret->method = AUTH_SHARED_KEY;
        ret->secret = strdup(text);
        return ret->secret ? 0 : error_oom(e);
}
