#include "config/connection.h"

#include "config/endpoint.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define DEV_ACCOUNT "devstoreaccount1"
#define DEV_KEY                                                                                              \
        "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==" /* public \
                                                                                                    */

enum { PROTOCOL, NAME, KEY, SUFFIX, BLOB, SAS, DEV, DEV_PROXY, _PARTS };
static const char *const parts[_PARTS] = {
        "DefaultEndpointsProtocol",
        "AccountName",
        "AccountKey",
        "EndpointSuffix",
        "BlobEndpoint",
        "SharedAccessSignature",
        "UseDevelopmentStorage",
        "DevelopmentStorageProxyUri",
};

static void wipe(char **text) {
        if (*text)
                explicit_bzero(*text, strlen(*text));
        free(*text);
        *text = NULL;
}

void connection_done(Connection *c) {
        wipe(&c->account);
        wipe(&c->endpoint);
        wipe(&c->key);
        wipe(&c->sas);
}

typedef struct Parts {
        char *value[_PARTS];
} Parts;

static void parts_done(Parts *p) {
        for (size_t i = 0; i < _PARTS; i++)
                wipe(&p->value[i]);
}

static int refuse(Error *e, const char *what) {
        return error_set(e, -EINVAL, ERROR_CONFIG, 0, "%s", what);
}

static bool is_blank(char c) {
        return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static char *trimmed(const char *text, size_t size) {
        while (size > 0 && is_blank(*text)) {
                text++;
                size--;
        }
        while (size > 0 && is_blank(text[size - 1]))
                size--;
        return strndup(text, size);
}

static int split(Parts *p, const char *text, Error *e) {
        while (*text) {
                size_t size = strcspn(text, ";");
                const char *equals = memchr(text, '=', size); /* the first: keys and signatures end in more of them */
                _cleanup_free_ char *name = NULL;

                if (!equals) {
                        _cleanup_free_ char *rest = trimmed(text, size);

                        if (!rest)
                                return error_oom(e);
                        if (rest[0])
                                return refuse(e, "a part is not of the form Name=Value");
                } else {
                        name = trimmed(text, (size_t) (equals - text));
                        if (!name)
                                return error_oom(e);
                        for (size_t i = 0; i < _PARTS; i++) {
                                if (strcasecmp(name, parts[i]) != 0)
                                        continue;
                                if (p->value[i])
                                        return error_set(e, -EINVAL, ERROR_CONFIG, 0, "%s stands in it twice",
                                                         parts[i]);
                                p->value[i] = trimmed(equals + 1, size - (size_t) (equals - text) - 1);
                                if (!p->value[i])
                                        return error_oom(e);
                                if (p->value[i][0] == '\0') /* nothing given is not given */
                                        wipe(&p->value[i]);
                        }
                }
                text += size + (text[size] == ';');
        }
        return 0;
}

static int development(Connection *ret, const Parts *p, Error *e) {
        const char *proxy = p->value[DEV_PROXY] ? p->value[DEV_PROXY] : "http://127.0.0.1",
                   *host = strstr(proxy, "://");
        char url[512];
        size_t size;

        if (strcasecmp(p->value[DEV], "true") != 0)
                return refuse(e, "UseDevelopmentStorage can only be true");
        /* what stands beside it would be ignored, and may be a secret in a file that anybody reads */
        if (p->value[NAME] || p->value[KEY] || p->value[BLOB] || p->value[SAS])
                return refuse(e, "UseDevelopmentStorage is a whole account; leave the other parts out");
        if (!host)
                return refuse(e, "DevelopmentStorageProxyUri is not a URL such as http://127.0.0.1");
        host += 3;
        /* scheme and host; the emulator's port, whatever stands there, as the SDKs do it */
        size = (size_t) (host - proxy) + (host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/?#"));
        if (size > strlen(proxy) || size == (size_t) (host - proxy))
                return refuse(e, "DevelopmentStorageProxyUri is not a URL such as http://127.0.0.1");
        if (snprintf(url, sizeof(url), "%.*s:10000/" DEV_ACCOUNT, (int) MIN(size, sizeof(url)), proxy) >=
            (int) sizeof(url))
                return refuse(e, "DevelopmentStorageProxyUri is too long");
        ret->account = strdup(DEV_ACCOUNT);
        ret->endpoint = strdup(url);
        ret->key = strdup(DEV_KEY);
        return ret->account && ret->endpoint && ret->key ? 0 : error_oom(e);
}

static int blob_endpoint(Connection *ret, const Parts *p, Error *e) {
        char *query, url[1024];
        int n;

        if (p->value[BLOB])
                n = snprintf(url, sizeof(url), "%s", p->value[BLOB]);
        else if (p->value[NAME])
                n = snprintf(url, sizeof(url), "%s://%s.blob.%s", p->value[PROTOCOL] ? p->value[PROTOCOL] : "https",
                             p->value[NAME], p->value[SUFFIX] ? p->value[SUFFIX] : "core.windows.net");
        else
                return refuse(e, "neither AccountName nor BlobEndpoint is in it");
        if (n < 0 || (size_t) n >= sizeof(url)) {
                explicit_bzero(url, sizeof(url)); /* a SAS may hang on it */
                return refuse(e, "the endpoint is too long");
        }
        query = strchr(url, '?');
        if (query) {
                bool wanted = !p->value[SAS] && query[1];

                if (wanted)
                        ret->sas = strdup(query + 1);
                explicit_bzero(query, strlen(query));
                if (wanted && !ret->sas)
                        return error_oom(e);
        }
        for (size_t size = strlen(url); size > 0 && url[size - 1] == '/'; size--)
                url[size - 1] = '\0';
        ret->endpoint = strdup(url);
        ret->account = p->value[NAME] ? strdup(p->value[NAME]) : endpoint_account(url);
        return ret->endpoint && ret->account ? 0 : error_oom(e);
}

int connection_parse(Connection *ret, const char *text, Error *e) {
        _cleanup_(parts_done) Parts p = { 0 };
        Connection c = { 0 };
        int r;

        r = split(&p, text, e);
        if (r >= 0 && p.value[DEV])
                r = development(&c, &p, e);
        else if (r >= 0) {
                r = blob_endpoint(&c, &p, e);
                if (r >= 0 && p.value[SAS]) {
                        c.sas = strdup(p.value[SAS] + (p.value[SAS][0] == '?'));
                        r = c.sas ? 0 : error_oom(e);
                }
                if (r >= 0 && p.value[KEY]) {
                        c.key = strdup(p.value[KEY]);
                        r = c.key ? 0 : error_oom(e);
                }
                if (r >= 0 && c.key && c.sas)
                        r = refuse(e, "it holds both an AccountKey and a SharedAccessSignature; leave one of them out");
                if (r >= 0 && !c.key && !c.sas)
                        r = refuse(e, "it holds neither an AccountKey nor a SharedAccessSignature");
        }
        if (r < 0) {
                connection_done(&c);
                return r;
        }
        *ret = c;
        return 0;
}
