#include "config/connection.h"
#include "config/parts.h"
#include "config/secret.h"
#include "config/value.h"
#include "util/encode.h"
#include "util/path.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

void account_config_done(AccountConfig *a) {
        free(a->name);
        free(a->account);
        free(a->endpoint);
        a->secret = secret_free(a->secret);
        free(a->ca_file);
        if (a->proxy) /* may hold a password */
                explicit_bzero(a->proxy, strlen(a->proxy));
        free(a->proxy);
        *a = (AccountConfig){ 0 };
}

static bool loopback(const char *host) {
        size_t size = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/");

        if (size == 5 && strncmp(host, "[::1]", 5) == 0)
                return true;
        if (strspn(host, "0123456789.") == size && strncmp(host, "127.", 4) == 0)
                return true;
        return (size == 9 && strncasecmp(host, "localhost", 9) == 0) ||
               (size > 10 && strncasecmp(host + size - 10, ".localhost", 10) == 0);
}

static int check_endpoint(ConfigReader *c, const Node *n, const char *key, const char *url) {
        const char *host;

        if (strncmp(url, "https://", 8) == 0)
                host = url + 8;
        else if (strncmp(url, "http://", 7) == 0)
                host = url + 7;
        else
                return config_refuse(c, n, key, "expected a URL that begins with https://");
        if (host[0] == '\0' || host[0] == '/' || strpbrk(host, "@?# \\"))
                return config_refuse(c, n, key, "expected https://HOST[:PORT][/PATH] without user, query or fragment");
        if (url[4] == ':' && !loopback(host))
                return config_refuse(c, n, key,
                                     "plain http is accepted for this machine (loopback) only; expected https://");
        return 0;
}

static int read_auth(ConfigReader *c, const Node *n, AccountConfig *a) {
        static const char *const methods[] = { "shared-key", "sas" };
        static const char *const later[] = { "managed-identity", "service-principal", "workload-identity",
                                             "azure-cli" };
        const Node *method = n->kind == NODE_MAP ? node_get(n, "method") : n, *secret;
        const char *key;
        int which;

        if (method && method->kind == NODE_SCALAR)
                for (size_t i = 0; i < ELEMENTSOF(later); i++)
                        if (strcmp(method->text, later[i]) == 0)
                                return config_refuse(c, method, "auth",
                                                     "%s is not supported yet by this version of azsyncd", later[i]);
        if (n->kind != NODE_MAP)
                return config_refuse(c, n, "auth", "expected %s", schema_expects("account", "auth"));
        if (schema_check(c, n, "auth") < 0)
                return -EINVAL;
        if (!method)
                return config_refuse(c, n, "auth", "method is missing; expected %s", schema_expects("account", "auth"));
        if (value_enum(c, method, "auth", "method", methods, ELEMENTSOF(methods), &which) < 0)
                return -EINVAL;
        a->method = which == 1 ? AUTH_SAS : AUTH_SHARED_KEY;
        key = which == 1 ? "sas" : "key";
        secret = node_get(n, key);
        if (!secret)
                return config_refuse(c, n, "auth", "%s is missing; expected %s", key,
                                     schema_expects("account", "auth"));
        if (node_get(n, which == 1 ? "key" : "sas"))
                return config_refuse(c, n, "auth", "both key and sas are given; method %s wants %s alone",
                                     methods[which], key);
        return secret_read(c, secret, key, &a->secret);
}

static int read_connection(ConfigReader *c, const Node *n, AccountConfig *a) {
        Connection conn = { 0 };
        Error e = ERROR_NULL;
        char *text = NULL;
        int r;

        /* the emulator's well-known account is no secret */
        if (n->kind == NODE_SCALAR && strncasecmp(n->text, "UseDevelopmentStorage", 21) == 0) {
                text = strdup(n->text);
                r = text ? 0 : config_refuse(c, n, "connection-string", "out of memory");
        } else
                r = secret_read(c, n, "connection-string", &text);
        if (r < 0)
                return r;
        r = connection_parse(&conn, text, &e);
        secret_free(text);
        if (r < 0)
                return config_refuse(c, n, "connection-string", "%s", e.text);
        a->method = conn.sas ? AUTH_SAS : AUTH_SHARED_KEY;
        a->secret = conn.sas ? TAKE_PTR(conn.sas) : TAKE_PTR(conn.key);
        free(a->endpoint);
        a->endpoint = TAKE_PTR(conn.endpoint);
        free(a->account);
        a->account = TAKE_PTR(conn.account);
        connection_done(&conn);
        return 0;
}

static int check_secret(ConfigReader *c, const Node *n, const AccountConfig *a) {
        uint8_t key[256];
        size_t size;
        int r;

        if (a->method == AUTH_SAS)
                return strstr(a->secret, "sig=")
                               ? 0
                               : config_refuse(c, n, "sas", "no shared access signature: sig= is missing in it");
        r = base64_decode(a->secret, strlen(a->secret), key, sizeof(key), &size);
        explicit_bzero(key, sizeof(key));
        return r < 0 ? config_refuse(c, n, "key", "not an account key: it is not Base64") : 0;
}

static int check_name(ConfigReader *c, const Node *n, const char *account) {
        if (strlen(account) > 63 || strspn(account, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(account))
                return config_refuse(c, n, "account", "\"%.80s\" is no account name; expected 3 to 24 of a-z and 0-9",
                                     PATH_SHOWN(account));
        return 0;
}

int account_read(ConfigReader *c, const Node *name, const Node *map, AccountConfig *ret) {
        const Node *n;
        char url[256];
        int r = schema_check(c, map, "account");

        if (map->kind != NODE_MAP)
                return -EINVAL;
        ret->name = strdup(name->text);
        if ((n = node_get(map, "account")) &&
            (value_text(c, n, "account", "account", &ret->account) < 0 || check_name(c, n, ret->account) < 0))
                r = -EINVAL;
        if ((n = node_get(map, "endpoint")) && value_text(c, n, "account", "endpoint", &ret->endpoint) < 0)
                r = -EINVAL;
        if ((n = node_get(map, "ca-file"))) {
                if (value_text(c, n, "account", "ca-file", &ret->ca_file) < 0)
                        r = -EINVAL;
                else if (ret->ca_file[0] != '/' || access(ret->ca_file, R_OK) < 0)
                        r = config_refuse(c, n, "ca-file", "%s cannot be read; expected %s", PATH_SHOWN(ret->ca_file),
                                          schema_expects("account", "ca-file"));
        }
        if ((n = node_get(map, "proxy"))) {
                if (value_text(c, n, "account", "proxy", &ret->proxy) < 0)
                        r = -EINVAL;
                else if (strncmp(ret->proxy, "http://", 7) != 0 && strncmp(ret->proxy, "https://", 8) != 0 &&
                         strncmp(ret->proxy, "socks5h://", 10) != 0)
                        r = config_refuse(c, n, "proxy", "expected %s", schema_expects("account", "proxy"));
        }
        n = node_get(map, "connection-string");
        if (n) {
                const Node *other = node_get(map, "auth") ? node_get(map, "auth") : node_get(map, "endpoint");

                if (other)
                        r = config_refuse(c, other, "connection-string",
                                          "it stands for account, endpoint and auth: give it alone");
                else if (read_connection(c, n, ret) < 0)
                        r = -EINVAL;
        } else if ((n = node_get(map, "auth"))) {
                if (read_auth(c, n, ret) < 0)
                        r = -EINVAL;
        } else
                r = config_refuse(c, name, name->text, "auth is missing; expected %s, or connection-string",
                                  schema_expects("account", "auth"));
        if (r < 0)
                return r;

        if (!ret->endpoint && !ret->account)
                return config_refuse(c, name, name->text, "account or endpoint is missing");
        if (!ret->endpoint) {
                (void) snprintf(url, sizeof(url), "https://%s.blob.core.windows.net", ret->account);
                ret->endpoint = strdup(url);
        }
        for (size_t size = strlen(ret->endpoint); size > 0 && ret->endpoint[size - 1] == '/'; size--)
                ret->endpoint[size - 1] = '\0';
        if (!ret->account) {
                const char *host = strstr(ret->endpoint, "://");

                ret->account = host ? strndup(host + 3, strcspn(host + 3, ".:/")) : strdup("");
        }
        if (!ret->name || !ret->endpoint || !ret->account)
                return config_refuse(c, name, name->text, "out of memory");
        if (check_endpoint(c, node_get(map, "endpoint") ? node_get(map, "endpoint") : name, "endpoint", ret->endpoint) <
            0)
                return -EINVAL;
        return check_secret(c, n, ret);
}
