#include "config/connection.h"
#include "config/parts.h"
#include "config/secret.h"
#include "config/value.h"
#include "util/encode.h"

#include <arpa/inet.h>
#include <netinet/in.h>
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

/* `host` of `size` bytes, an IPv6 address in its brackets. */
static bool loopback(const char *host, size_t size) {
        struct in6_addr six;
        struct in_addr four;
        char text[80];

        if (size >= sizeof(text))
                return false;
        memcpy(text, host, size);
        text[size] = '\0';
        if (text[0] == '[') {
                text[size - 1] = '\0';
                return inet_pton(AF_INET6, text + 1, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
        }
        if (inet_pton(AF_INET, text, &four) == 1)
                return ntohl(four.s_addr) >> 24 == 127;
        return strcasecmp(text, "localhost") == 0 || (size > 10 && strcasecmp(text + size - 10, ".localhost") == 0);
}

/* The URL itself is never shown: a SAS may hang on it. */
static int check_endpoint(ConfigReader *c, const Node *n, const char *key, const char *url) {
        static const char host_chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
        const char *host, *rest;
        bool plain;
        size_t size;

        plain = strncasecmp(url, "http://", 7) == 0;
        if (!plain && strncasecmp(url, "https://", 8) != 0)
                return config_refuse(c, n, key, "expected a URL that begins with https://");
        host = url + (plain ? 7 : 8);
        if (host[0] == '[') {
                size = 1 + strspn(host + 1, "0123456789abcdefABCDEF:.");
                size = size > 1 && host[size] == ']' ? size + 1 : 0;
        } else
                size = strspn(host, host_chars);
        rest = host + size;
        if (size > 0 && *rest == ':') {
                size_t digits = strspn(rest + 1, "0123456789");
                long port = digits > 0 && digits <= 5 ? strtol(rest + 1, NULL, 10) : 0;

                if (port < 1 || port > 65535)
                        return config_refuse(c, n, key, "the port is not right; expected 1 to 65535");
                rest += 1 + digits;
        }
        if (size == 0 || (*rest != '\0' && *rest != '/') || strpbrk(rest, "@?#\\ %"))
                return config_refuse(c, n, key, "expected https://HOST[:PORT][/PATH] without user, query or fragment");
        if (plain && !loopback(host, size))
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
        if (secret_read(c, secret, key, &a->secret) < 0)
                return -EINVAL;
        if (a->method == AUTH_SAS && a->secret[0] == '?')
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
        size_t size = 0;
        int r;

        if (a->method == AUTH_SAS) {
                if (strstr(a->secret, "://"))
                        return config_refuse(c, n, "sas", "a whole URL; expected only what follows its '?'");
                if (strchr(a->secret, ' '))
                        return config_refuse(c, n, "sas", "there is a blank in it");
                if (strncmp(a->secret, "sig=", 4) != 0 && !strstr(a->secret, "&sig="))
                        return config_refuse(c, n, "sas", "no shared access signature: sig= is missing in it");
                return 0;
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
        const Node *n;
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
                ret->account = connection_account(ret->endpoint);
        if (!ret->account)
                return config_refuse(c, name, name->text, "out of memory");
        if (node_get(map, "connection-string"))
                r = check_endpoint(c, n, "connection-string", ret->endpoint) < 0 ||
                                    (ret->account[0] && check_name(c, n, ret->account) < 0)
                            ? -EINVAL
                            : 0;
        else
                r = check_endpoint(c, node_get(map, "endpoint") ? node_get(map, "endpoint") : name, "endpoint",
                                   ret->endpoint);
        if (r < 0)
                return r;
        /* a name is part of what a key signs */
        if (ret->method == AUTH_SHARED_KEY && ret->account[0] == '\0')
                return config_refuse(c, name, name->text, "account is missing; it cannot be told from the endpoint");
        return check_secret(c, n, ret);
}
