#include "config/destination.h"

#include "config/endpoint.h"
#include "config/shown.h"
#include "util/encode.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

#define SHAPE "expected https://ACCOUNT.blob.core.windows.net/CONTAINER[/PREFIX]"

void destination_done(Destination *d) {
        free(d->endpoint);
        free(d->container);
        free(d->prefix);
        *d = (Destination){ 0 };
}

static int refuse(Error *e, const char *what) {
        return error_set(e, -EINVAL, ERROR_CONFIG, 0, "%s", what);
}

/* The size of `url` up to and with `n` segments of its path; 0: it has not so many. */
static size_t size_with(const char *url, size_t n) {
        const char *p = strstr(url, "://") + 3;

        p += strcspn(p, "/");
        for (; n > 0; n--) {
                if (*p != '/' || p[1] == '/' || p[1] == '\0')
                        return 0;
                p += 1 + strcspn(p + 1, "/");
        }
        return (size_t) (p - url);
}

static size_t segments(const char *url) {
        const char *p = strstr(url, "://") + 3;
        size_t n = 0;

        for (; *p; p++)
                n += *p == '/';
        return n;
}

/* The account of `config` that `url` lies in, the deepest if there are several. 0: *ret is it, or NULL. */
static int find_known(const char *url, const char *named, const Config *config, const AccountConfig **ret,
                      size_t *ret_size, Error *e) {
        const AccountConfig *other = NULL;

        *ret = NULL;
        *ret_size = 0;
        for (size_t i = 0; i < config->n_accounts; i++) {
                const AccountConfig *a = &config->accounts[i];
                size_t size = size_with(url, segments(a->endpoint));
                _cleanup_free_ char *begin = strndup(url, size);
                bool is_named = named && strcmp(a->name, named) == 0;

                if (!begin)
                        return error_oom(e);
                if (size == 0 || endpoint_fault(begin) || !endpoint_same(begin, a->endpoint)) {
                        if (is_named)
                                return error_set(e, -EINVAL, ERROR_CONFIG, 0,
                                                 "account %s is at %s; the URL is not below that", a->name,
                                                 PATH_SHOWN(a->endpoint));
                        continue;
                }
                if (named && !is_named)
                        continue;
                if (*ret && size == *ret_size)
                        other = a;
                if (!*ret || size > *ret_size) {
                        *ret = a;
                        *ret_size = size;
                        other = NULL;
                }
        }
        if (other)
                return error_set(e, -EINVAL, ERROR_CONFIG, 0,
                                 "the accounts %s and %s are both there; say which one with --account", (*ret)->name,
                                 other->name);
        return 0;
}

static char *decoded(const char *text, size_t size, Error *e) {
        _cleanup_buf_ Buf b = BUF_INIT(4096);
        int r = percent_decode(&b, text, size);

        if (r >= 0 && b.size > 0 && memchr(b.data, '\0', b.size))
                r = -EINVAL;
        if (r == -EINVAL)
                (void) refuse(e, "a '%' in the URL is not followed by two digits that stand for a byte; write %25 for "
                                 "a percent sign");
        else if (r < 0)
                (void) refuse(e, "the URL is too long");
        return r < 0 ? NULL : strdup(buf_text(&b));
}

/* `rest`: "/CONTAINER[/PREFIX]" */
static int split(Destination *d, const char *rest, bool encoded, Error *e) {
        size_t size, left;

        if (*rest != '/' || rest[1] == '\0' || rest[1] == '/')
                return refuse(e, "the container is missing; " SHAPE);
        rest++;
        size = strcspn(rest, "/");
        left = strlen(rest);
        while (left > size && rest[left - 1] == '/')
                left--;
        *e = ERROR_NULL;
        d->container = encoded ? decoded(rest, size, e) : strndup(rest, size);
        if (left > size)
                d->prefix = encoded ? decoded(rest + size + 1, left - size - 1, e)
                                    : strndup(rest + size + 1, left - size - 1);
        else
                d->prefix = strdup("");
        if (d->container && d->prefix)
                return 0;
        return e->code < 0 ? e->code : error_oom(e);
}

/* A user or password before the host; one with a '/' in it does not even look like a part of the host. */
static bool has_user(const char *host) {
        size_t size = strcspn(host, "/?#");
        const char *colon = memchr(host, ':', size);

        if (memchr(host, '@', size))
                return true;
        return colon && host[0] != '[' && colon + 1 + strspn(colon + 1, "0123456789") != host + size &&
               strchr(colon, '@');
}

static int parse_url(Destination *d, const char *url, const char *named, const Config *config, Error *e) {
        const char *host = strstr(url, "://") + 3, *fault;
        size_t size;
        int r;

        if (has_user(host))
                return refuse(e, "a user or password in a URL is not accepted: everybody here can read a command "
                                 "line. Take it as known to others, and leave it out");
        if (strchr(url, '?'))
                return refuse(e, "a '?' and what follows it are not accepted in the URL: everybody here can read a "
                                 "command line. If that was a shared access signature, have a new one issued, leave "
                                 "it out, and give it when it is asked for (%3F stands for a '?' in a name)");
        if (strchr(url, '#'))
                return refuse(e, "a '#' is not accepted in the URL; write %23 if it is part of a name");
        r = find_known(url, named, config, &d->known, &size, e);
        if (r < 0)
                return r;
        if (!d->known) {
                size = size_with(url, endpoint_in_path(url) ? 1 : 0);
                if (size == 0)
                        return refuse(e, "expected URL/ACCOUNT/CONTAINER[/PREFIX] behind an address or localhost");
                d->endpoint = strndup(url, size);
                if (!d->endpoint)
                        return error_oom(e);
                fault = endpoint_fault(d->endpoint);
                if (fault)
                        return error_set(e, -EINVAL, ERROR_CONFIG, 0, "the URL: %s", fault);
        } else if (!(d->endpoint = strdup(d->known->endpoint)))
                return error_oom(e);
        return split(d, url + size, true, e);
}

static int parse_short(Destination *d, const char *text, const char *named, const Config *config, Error *e) {
        size_t size = strcspn(text, "/");

        for (size_t i = 0; i < config->n_accounts; i++) {
                const AccountConfig *a = &config->accounts[i];

                if (strlen(a->name) != size || strncmp(a->name, text, size) != 0)
                        continue;
                if (named && strcmp(named, a->name) != 0)
                        return error_set(e, -EINVAL, ERROR_CONFIG, 0, "account %s or account %s?", a->name,
                                         SHOWN(named));
                d->known = a;
                d->endpoint = strdup(a->endpoint);
                return d->endpoint ? split(d, text + size, false, e) : error_oom(e);
        }
        return refuse(e, "neither a URL nor the name of an account in azsyncd.yaml; " SHAPE);
}

int destination_parse(Destination *ret, const char *text, const char *account, const Config *config, Error *e) {
        bool url = strncasecmp(text, "https://", 8) == 0 || strncasecmp(text, "http://", 7) == 0;
        Destination d = { 0 };
        Error spare;
        int r;

        assert(ret && text && config);

        e = e ? e : &spare;
        if (!url && shown_secret(text)) /* a whole connection string, say */
                r = refuse(e, "that looks like a secret, which everybody here can read in a command line; " SHAPE);
        else
                r = url ? parse_url(&d, text, account, config, e) : parse_short(&d, text, account, config, e);
        if (r < 0)
                destination_done(&d);
        else
                *ret = d;
        return r;
}
