#include "config/connection.h"
#include "config/endpoint.h"
#include "config/parts.h"
#include "config/sas.h"
#include "config/secret.h"
#include "config/value.h"
#include "util/clock.h"
#include "util/encode.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

void account_config_done(AccountConfig *a) {
        free(a->name);
        free(a->account);
        free(a->endpoint);
        a->secret = secret_free(a->secret);
        free(a->secret_file);
        free(a->ca_file);
        if (a->proxy) /* may hold a password */
                explicit_bzero(a->proxy, strlen(a->proxy));
        free(a->proxy);
        *a = (AccountConfig){ 0 };
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
        if (secret_read(c, secret, key, &a->secret, &a->secret_file) < 0)
                return -EINVAL;
        if (a->method == AUTH_SAS && a->secret && a->secret[0] == '?')
                memmove(a->secret, a->secret + 1, strlen(a->secret)); /* its NUL included */
        return 0;
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
                r = secret_read(c, n, "connection-string", &text, &a->secret_file);
        if (r < 0)
                return r;
        if (!text)
                return config_refuse(c, n, "connection-string", "only azsyncd itself can read it");
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

/* Not refused even if it is over: the clock may not be set yet, and the service has the last word. */
static int warn_sas(ConfigReader *c, const Node *n, const char *sas) {
        int64_t end = sas_expiry(sas), left = end - clock_wall();
        char text[36];

        if (sas_old(sas))
                (void) config_warn(c, n, "sas",
                                   "the shared access signature is of a version (sv=) before 2019-12-12, whose smaller "
                                   "limits the service may apply; have a new one issued");
        if (end == 0 || left > INT64_C(7) * 86400 * NSEC_PER_SEC)
                return 0;
        clock_format_rfc3339(end, text);
        return config_warn(c, n, "sas", "the shared access signature %s on %.10s; have a new one issued",
                           left < 0 ? "ended" : "ends soon,", text);
}

static int check_secret(ConfigReader *c, const Node *n, const AccountConfig *a) {
        uint8_t key[256];
        size_t size = 0;
        int r;

        if (!a->secret)
                return 0;
        if (a->method == AUTH_SAS) {
                const char *fault = sas_fault(a->secret);

                return fault ? config_refuse(c, n, "sas", "%s", fault) : warn_sas(c, n, a->secret);
        }
        r = base64_decode(a->secret, strlen(a->secret), key, sizeof(key), &size);
        explicit_bzero(key, sizeof(key));
        return r < 0 || size == 0 ? config_refuse(c, n, "key", "not an account key: it is not Base64") : 0;
}

static int check_name(ConfigReader *c, const Node *n, const char *account) {
        if (strlen(account) > 63 || strspn(account, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(account))
                return config_refuse(c, n, "account", "\"%s\" is no account name; expected 3 to 24 of a-z and 0-9",
                                     strlen(account) > 63 ? "..." : SHOWN(account));
        return 0;
}

int account_read(ConfigReader *c, const Node *name, const Node *map, AccountConfig *ret) {
        const char *key, *fault;
        const Node *n, *place;
        char url[256];
        int r;

        ret->name = strdup(name->text); /* first: mappings look for it even if the rest is refused */
        if (!ret->name)
                return config_refuse(c, name, "accounts", "out of memory");
        r = schema_check(c, map, "account");
        if (map->kind != NODE_MAP)
                return -EINVAL;
        if ((n = node_get(map, "account")) &&
            (value_text(c, n, "account", "account", &ret->account) < 0 || check_name(c, n, ret->account) < 0))
                r = -EINVAL;
        if ((n = node_get(map, "endpoint")) && value_text(c, n, "account", "endpoint", &ret->endpoint) < 0)
                r = -EINVAL;
        if ((n = node_get(map, "ca-file"))) {
                if (value_text(c, n, "account", "ca-file", &ret->ca_file) < 0)
                        r = -EINVAL;
                else if (ret->ca_file[0] != '/' || (!c->text_only && access(ret->ca_file, R_OK) < 0))
                        r = config_refuse(c, n, "ca-file", "%s cannot be read; expected %s", SHOWN_PATH(ret->ca_file),
                                          schema_expects("account", "ca-file"));
        }
        if ((n = node_get(map, "proxy"))) {
                if (value_text(c, n, "account", "proxy", &ret->proxy) < 0)
                        r = -EINVAL;
                else if (strncmp(ret->proxy, "http://", 7) != 0 && strncmp(ret->proxy, "https://", 8) != 0 &&
                         strncmp(ret->proxy, "socks5h://", 10) != 0)
                        r = config_refuse(c, n, "proxy", "expected %s", schema_expects("account", "proxy"));
                else if (strchr(ret->proxy, '@') && !c->file_private)
                        r = config_refuse(c, n, "proxy",
                                          "a password may stand here only if the file is readable by its owner alone "
                                          "(chmod 600)");
        }
        n = node_get(map, "connection-string");
        if (n) {
                const Node *other = node_get(map, "auth");

                other = other ? other : node_get(map, "endpoint");
                other = other ? other : node_get(map, "account");
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
        if (!ret->endpoint)
                return config_refuse(c, name, name->text, "out of memory");
        for (size_t size = strlen(ret->endpoint); size > 0 && ret->endpoint[size - 1] == '/'; size--)
                ret->endpoint[size - 1] = '\0';
        if (!ret->account)
                ret->account = endpoint_account(ret->endpoint);
        if (!ret->account)
                return config_refuse(c, name, name->text, "out of memory");
        key = node_get(map, "connection-string") ? "connection-string" : "endpoint";
        place = node_get(map, key) ? node_get(map, key) : name;
        fault = endpoint_fault(ret->endpoint);
        if (fault)
                return config_refuse(c, place, key, "%s", fault);
        if (ret->account[0] == '\0')
                return config_refuse(c, name, name->text, "account is missing; it cannot be told from the endpoint");
        if (check_name(c, place, ret->account) < 0)
                return -EINVAL;
        return check_secret(c, n, ret);
}
