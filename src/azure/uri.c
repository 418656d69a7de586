#include "azure/uri.h"

#include "util/encode.h"
#include "util/path.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define URL_ROOM 1024
#define HOST_ROOM 256

/* The pieces of a URL, pointing into it. */
typedef struct Parts {
        bool tls;
        const char *host; /* without the brackets of an IPv6 address */
        size_t host_size;
        bool literal6;
        const char *authority; /* host and port as they stand there */
        size_t authority_size;
        const char *path; /* trailing slashes cut */
        size_t path_size;
} Parts;

static bool is_alnum(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static int refuse(Error *e, const char *url, const char *why) {
        char shown[PATH_DISPLAY_ROOM];

        return error_set(e, -EINVAL, ERROR_CONFIG, 0, "endpoint %s: %s", uri_redact(url, shown, sizeof(shown)), why);
}

static bool host_valid(const Parts *p) {
        char text[HOST_ROOM];

        if (p->host_size == 0 || p->host_size >= sizeof(text))
                return false;
        if (p->literal6) {
                struct in6_addr address;

                memcpy(text, p->host, p->host_size);
                text[p->host_size] = '\0';
                return inet_pton(AF_INET6, text, &address) == 1;
        }
        for (size_t i = 0; i < p->host_size; i++) {
                bool edge = i == 0 || i + 1 == p->host_size || p->host[i - 1] == '.';

                if (!is_alnum(p->host[i]) && (edge || !strchr("-._", p->host[i])))
                        return false;
        }
        return true;
}

static bool port_valid(const char *text, size_t size) {
        unsigned port = 0;

        if (size == 0 || size > 5)
                return false;
        for (size_t i = 0; i < size; i++) {
                if (text[i] < '0' || text[i] > '9')
                        return false;
                port = port * 10 + (unsigned) (text[i] - '0');
        }
        return port >= 1 && port <= 65535;
}

/* "" or "/a/b": what may stand in a path without changing its meaning on the way. */
static bool base_path_valid(const char *path, size_t size) {
        for (size_t i = 0; i < size; i++) {
                if (path[i] == '/') {
                        size_t n = strcspn(path + i + 1, "/");

                        n = MIN(n, size - i - 1);
                        if (n == 0 || (n == 1 && path[i + 1] == '.') || (n == 2 && strncmp(path + i + 1, "..", 2) == 0))
                                return false;
                } else if (!is_alnum(path[i]) && !strchr("-._~$", path[i])) {
                        return false;
                }
        }
        return true;
}

static const char *split(const char *url, Parts *ret) {
        const char *p = url;
        size_t n;

        if (strlen(url) > URL_ROOM)
                return "longer than a URL may be";
        if (strncasecmp(p, "https://", 8) == 0)
                ret->tls = true, p += 8;
        else if (strncasecmp(p, "http://", 7) == 0)
                ret->tls = false, p += 7;
        else
                return "expected https://HOST";
        if (strpbrk(p, "?#"))
                return "a query or fragment has no place here (a SAS is given as `sas`)";

        n = strcspn(p, "/");
        if (memchr(p, '@', n))
                return "a user name has no place here";
        ret->authority = p;
        ret->authority_size = n;
        ret->path = p + n;
        for (ret->path_size = strlen(p + n); ret->path_size > 0 && ret->path[ret->path_size - 1] == '/';)
                ret->path_size--;

        ret->literal6 = p[0] == '[';
        if (ret->literal6) {
                const char *end = memchr(p, ']', n);

                if (!end)
                        return "the IPv6 address has no ]";
                ret->host = p + 1;
                ret->host_size = (size_t) (end - p) - 1;
                n -= (size_t) (end - p) + 1;
                p = end + 1;
        } else {
                const char *colon = memchr(p, ':', n);

                ret->host = p;
                ret->host_size = colon ? (size_t) (colon - p) : n;
                n -= ret->host_size;
                p += ret->host_size;
        }
        if (!host_valid(ret))
                return "the host is not one";
        if (n > 0 && (p[0] != ':' || !port_valid(p + 1, n - 1)))
                return "the port is not a number from 1 to 65535";
        if (!base_path_valid(ret->path, ret->path_size))
                return "the path is not a plain one";
        return NULL;
}

static bool host_is_address(const Parts *p) {
        char text[HOST_ROOM];
        struct in_addr address;

        if (p->literal6)
                return true;
        memcpy(text, p->host, p->host_size);
        text[p->host_size] = '\0';
        return inet_pton(AF_INET, text, &address) == 1;
}

static bool host_is_localhost(const Parts *p) {
        static const char name[] = "localhost";
        size_t n = sizeof(name) - 1;

        if (p->literal6 || p->host_size < n || strncasecmp(p->host + p->host_size - n, name, n) != 0)
                return false;
        return p->host_size == n || p->host[p->host_size - n - 1] == '.';
}

/* Addresses are compared as numbers: "127.0.0.1.example.com" is somebody else's host. */
static bool host_is_loopback(const Parts *p) {
        char text[HOST_ROOM];
        struct in_addr address;
        struct in6_addr address6;

        if (host_is_localhost(p))
                return true;
        memcpy(text, p->host, p->host_size);
        text[p->host_size] = '\0';
        if (p->literal6)
                return inet_pton(AF_INET6, text, &address6) == 1 && IN6_IS_ADDR_LOOPBACK(&address6);
        return inet_pton(AF_INET, text, &address) == 1 && (ntohl(address.s_addr) >> 24) == 127;
}

/* Where nobody named the account: the first part of the path if the host is an address or localhost itself, else the
 * host's first label, without the "-secondary" of a second location (azure-blob.md 2.1, 2.3). */
static char *guess_account(const Parts *p) {
        static const char second[] = "-secondary";
        const char *name = p->host;
        size_t n;

        if (host_is_address(p) || (host_is_localhost(p) && p->host_size == strlen("localhost"))) {
                name = p->path + (p->path_size > 0);
                n = p->path_size > 0 ? p->path_size - 1 : 0;
                n = MIN(n, strcspn(name, "/"));
        } else {
                n = MIN(p->host_size, strcspn(p->host, "."));
        }
        if (n > strlen(second) && strncmp(name + n - strlen(second), second, strlen(second)) == 0)
                n -= strlen(second);
        return strndup(name, n);
}

int azure_endpoint_init(AzureEndpoint *ret, const char *url, const char *account, Error *e) {
        _cleanup_(azure_endpoint_done) AzureEndpoint ep = { 0 };
        const char *why;
        Parts p;

        assert(ret && url);

        why = split(url, &p);
        if (why)
                return refuse(e, url, why);
        if (!p.tls && !host_is_loopback(&p))
                return refuse(e, url, "plain http is accepted for this machine only: use https");

        ep.account = account && account[0] != '\0' ? strdup(account) : guess_account(&p);
        ep.path = strndup(p.path, p.path_size);
        if (!ep.account || !ep.path)
                return error_oom(e);
        /* it stands in a header line and in paths */
        for (const char *c = ep.account; *c != '\0'; c++)
                if (!is_alnum(*c) && *c != '-' && *c != '_')
                        return refuse(e, url, "the account name may hold letters, digits and '-' only");
        if (ep.account[0] == '\0')
                return refuse(e, url, "the account's name is not in it: give `account` too");
        if (asprintf(&ep.base, "%s://%.*s%s", p.tls ? "https" : "http", (int) p.authority_size, p.authority, ep.path) <
            0) {
                ep.base = NULL; /* undefined after a failure */
                return error_oom(e);
        }
        *ret = (AzureEndpoint){ .base = TAKE_PTR(ep.base), .path = TAKE_PTR(ep.path), .account = TAKE_PTR(ep.account) };
        return 0;
}

void azure_endpoint_done(AzureEndpoint *ep) {
        free(TAKE_PTR(ep->base));
        free(TAKE_PTR(ep->path));
        free(TAKE_PTR(ep->account));
}

int azure_path(Buf *ret, const AzureEndpoint *ep, const char *container, const char *blob) {
        int r;

        assert(ret && ep && (container || !blob));

        r = buf_puts(ret, ep->path);
        if (r >= 0)
                r = buf_puts(ret, "/");
        if (r < 0 || !container)
                return r;
        if (container[0] == '$') { /* $root, $web, $logs: as everybody writes them */
                r = buf_puts(ret, "$");
                container++;
        }
        if (r >= 0)
                r = percent_encode(ret, container, strlen(container), false);
        if (r < 0 || !blob)
                return r;
        r = buf_puts(ret, "/");
        return r < 0 ? r : percent_encode(ret, blob, strlen(blob), true);
}

static size_t show(const char *text, size_t size, char *ret, size_t room) {
        return strlen(path_display(text, size, ret, room));
}

/* Whatever follows a '?' goes, since a SAS signed for a URL is of use to anybody who reads the log. A SAS may also come
 * without the URL, or percent-encoded within another, and somebody may have written a password before the host. */
const char *uri_redact(const char *url, char *ret, size_t room) {
        static const char *const secrets[] = { "sig=", "sig%3d" };
        const char *end, *scheme, *host, *at;
        size_t used = 0;

        assert(url && ret && room > 0);

        end = url + strcspn(url, "?");
        for (size_t i = 0; i < ELEMENTSOF(secrets); i++) {
                const char *sig = strcasestr(url, secrets[i]);

                if (sig && sig < end)
                        end = sig;
        }
        scheme = strstr(url, "://");
        host = scheme && scheme < end ? scheme + 3 : url;
        used += show(url, (size_t) (host - url), ret + used, room - used);
        at = memrchr(host, '@', strcspn(host, "/?#"));
        if (at && at < end)
                host = at + 1;
        used += show(host, (size_t) (end - host), ret + used, room - used);
        if (*end != '\0') {
                const char *note = *end == '?' ? "?[redacted]" : "[redacted]";

                (void) show(note, strlen(note), ret + used, room - used);
        }
        return ret;
}
