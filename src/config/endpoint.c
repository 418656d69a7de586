#include "config/endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

#define URL_MAX 1024u
#define HOST_ROOM 256u
#define ALNUM "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

typedef enum Host { HOST_BAD, HOST_NAME, HOST_ADDRESS, HOST_LOCALHOST } Host;

/* What stands between scheme and path, without the port; `loopback` is set for this machine itself. */
static Host host_kind(const char *host, size_t size, bool *ret_loopback) {
        char text[HOST_ROOM];
        struct in6_addr six;
        struct in_addr four;

        *ret_loopback = false;
        if (size == 0 || size >= sizeof(text))
                return HOST_BAD;
        memcpy(text, host, size);
        text[size] = '\0';
        if (text[0] == '[') {
                if (text[size - 1] != ']')
                        return HOST_BAD;
                text[size - 1] = '\0';
                if (inet_pton(AF_INET6, text + 1, &six) != 1)
                        return HOST_BAD;
                *ret_loopback = IN6_IS_ADDR_LOOPBACK(&six);
                return HOST_ADDRESS;
        }
        /* as numbers: 127.0.0.1.example.com is somebody else's host */
        if (inet_pton(AF_INET, text, &four) == 1) {
                *ret_loopback = ntohl(four.s_addr) >> 24 == 127;
                return HOST_ADDRESS;
        }
        for (size_t i = 0; i < size; i++) {
                bool edge = i == 0 || i + 1 == size || text[i - 1] == '.';

                if (!strchr(ALNUM, text[i]) && (edge || !strchr("-._", text[i])))
                        return HOST_BAD;
        }
        *ret_loopback =
                strcasecmp(text, "localhost") == 0 || (size > 10 && strcasecmp(text + size - 10, ".localhost") == 0);
        return strcasecmp(text, "localhost") == 0 ? HOST_LOCALHOST : HOST_NAME;
}

static size_t host_size(const char *host) {
        size_t size = host[0] == '[' ? strcspn(host, "]") : strcspn(host, ":/");

        return size + (host[0] == '[' && host[size] == ']');
}

static bool path_good(const char *path) {
        while (*path == '/') {
                size_t n = strcspn(++path, "/");

                if (n == 0 || strspn(path, ALNUM "-._~$") != n || (n == 1 && path[0] == '.') ||
                    (n == 2 && path[0] == '.' && path[1] == '.'))
                        return false;
                path += n;
        }
        return *path == '\0';
}

const char *endpoint_fault(const char *url) {
        static const char shape[] = "expected https://HOST[:PORT][/PATH] without user, query or fragment";
        bool plain = strncasecmp(url, "http://", 7) == 0, loopback;
        const char *host, *rest;

        if (!plain && strncasecmp(url, "https://", 8) != 0)
                return "expected a URL that begins with https://";
        if (strlen(url) > URL_MAX)
                return "longer than 1024 characters";
        host = url + (plain ? 7 : 8);
        rest = host + host_size(host);
        if (*rest == ':') {
                size_t digits = strspn(++rest, "0123456789");
                long port = digits > 0 && digits <= 5 ? strtol(rest, NULL, 10) : 0;

                if (strpbrk(rest, "@?#"))
                        return shape; /* a password after a user's name is no port */
                if (port < 1 || port > 65535 || (rest[digits] != '\0' && rest[digits] != '/'))
                        return "the port is not right; expected 1 to 65535";
                rest += digits;
        }
        if (host_kind(host, host_size(host), &loopback) == HOST_BAD || !path_good(rest))
                return shape;
        if (plain && !loopback)
                return "plain http is accepted for this machine (loopback) only; expected https://";
        return NULL;
}

bool endpoint_in_path(const char *url) {
        const char *name = strstr(url, "://");
        bool loopback;
        Host kind;

        name = name ? name + 3 : url;
        kind = host_kind(name, host_size(name), &loopback);
        return kind == HOST_ADDRESS || kind == HOST_LOCALHOST;
}

char *endpoint_account(const char *url) {
        static const char second[] = "-secondary"; /* the other location of the same account */
        const char *name = strstr(url, "://");
        bool loopback;
        char *ret;
        size_t n;
        Host kind;

        name = name ? name + 3 : url;
        kind = host_kind(name, host_size(name), &loopback);
        if (kind == HOST_NAME)
                n = strcspn(name, "./:");
        else {
                const char *path = strchr(name, '/');

                name = path ? path + 1 : "";
                n = kind == HOST_BAD ? 0 : strcspn(name, "/");
        }
        if (n >= sizeof(second) && strncmp(name + n - (sizeof(second) - 1), second, sizeof(second) - 1) == 0)
                n -= sizeof(second) - 1;
        ret = strndup(name, n);
        for (char *p = ret; p && *p && kind == HOST_NAME; p++)
                *p = (char) (*p >= 'A' && *p <= 'Z' ? *p + ('a' - 'A') : *p); /* a host's name knows no case */
        return ret;
}

bool endpoint_same(const char *a, const char *b) {
        bool plain = strncasecmp(a, "http:", 5) == 0;
        const char *port = plain ? ":80" : ":443";
        size_t n, m, own = strlen(port);

        if (plain != (strncasecmp(b, "http:", 5) == 0))
                return false;
        a += plain ? 7 : 8;
        b += plain ? 7 : 8;
        n = strcspn(a, "/");
        m = strcspn(b, "/");
        if (strcmp(a + n, b + m) != 0)
                return false;
        if (n > own && memcmp(a + n - own, port, own) == 0)
                n -= own;
        if (m > own && memcmp(b + m - own, port, own) == 0)
                m -= own;
        return n == m && strncasecmp(a, b, n) == 0;
}
