#include "http/head.h"

#include "http/setopt.h"

#include <assert.h>
#include <string.h>

/* Libcurl takes a list of lines, in which "Name:" means "not this one" and "Name;" means "with an empty value". */
static int add_line(Head *h, const char *line, size_t size, size_t name_size) {
        const char *value = line + name_size + 1;
        int r;

        if (value[strspn(value, " \t")] != '\0')
                return buf_append(&h->lines, line, size + 1);
        r = buf_append(&h->lines, line, name_size);
        return r < 0 ? r : buf_append(&h->lines, ";", 2);
}

/* What libcurl would otherwise add by itself. */
typedef struct OwnLine {
        const char *line;
        size_t name_size;
} OwnLine;

#define OWN_LINE(name, value) ((OwnLine){ name ":" value, sizeof(name) - 1 })

static void add_node(Head *h, size_t *n, const char *line) {
        h->nodes[*n].data = (char *) line; /* libcurl only reads it */
        h->nodes[*n].next = &h->nodes[*n + 1];
        (*n)++;
}

static int set_lines(Head *h, CURL *easy, const HttpSend *send) {
        const OwnLine own[] = { OWN_LINE("Content-Type", ""), OWN_LINE("Accept", ""),
                                send->expect_continue ? OWN_LINE("Expect", " 100-continue") : OWN_LINE("Expect", "") };
        bool given[ELEMENTSOF(own)] = { false };
        size_t n = 0;

        if (send->n_headers + ELEMENTSOF(own) + 1 > h->n_nodes) {
                size_t room = send->n_headers + ELEMENTSOF(own) + 17;
                struct curl_slist *grown = realloc(h->nodes, room * sizeof(*grown));

                if (!grown)
                        return -ENOMEM;
                h->nodes = grown;
                h->n_nodes = room;
        }

        buf_clear(&h->lines);
        for (size_t i = 0; i < send->n_headers; i++) {
                const char *line = send->headers[i];
                size_t size = strlen(line), name = strcspn(line, ":");
                int r;

                if (name == 0 || name == size || memchr(line, '\r', size) || memchr(line, '\n', size))
                        return -EINVAL;
                for (size_t j = 0; j < ELEMENTSOF(own); j++)
                        given[j] |= name == own[j].name_size && strncasecmp(line, own[j].line, name) == 0;
                r = add_line(h, line, size, name);
                if (r < 0)
                        return r;
        }

        if (h->agent)
                add_node(h, &n, h->agent);
        for (size_t at = 0; at < h->lines.size; at += strlen(h->lines.data + at) + 1) /* only now do they stay there */
                add_node(h, &n, h->lines.data + at);
        for (size_t j = 0; j < ELEMENTSOF(own); j++)
                if (!given[j])
                        add_node(h, &n, own[j].line);
        assert(n > 0); /* each of `own` is there or was given */
        h->nodes[n - 1].next = NULL;
        return set_pointer(easy, CURLOPT_HTTPHEADER, h->nodes) ? 0 : -ENOMEM;
}

static bool method_ok(const char *method) {
        size_t n = strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");

        return n > 0 && n < sizeof((Head){ 0 }.method) && method[n] == '\0';
}

static int set_method(Head *h, CURL *easy, const HttpSend *send) {
        bool is_head = strcmp(send->method, "HEAD") == 0, is_get = strcmp(send->method, "GET") == 0;
        bool has_body = strcmp(send->method, "PUT") == 0 || strcmp(send->method, "POST") == 0;
        bool ok = true;

        if (!method_ok(send->method) || (send->body_size > 0 && !has_body))
                return -EINVAL;
        if (has_body) {
                ok &= set_size(easy, CURLOPT_POSTFIELDSIZE_LARGE, send->body_size);
                ok &= set_pointer(easy, CURLOPT_POSTFIELDS,
                                  send->body_size > HTTP_PIECE ? NULL
                                  : send->body_size > 0        ? send->body
                                                               : "");
        }
        if (strcmp(h->method, send->method) != 0) {
                h->method[0] = '\0'; /* unknown until all of it is set */
                if (is_head)
                        ok &= set_long(easy, CURLOPT_NOBODY, 1);
                else if (!has_body)
                        ok &= set_long(easy, CURLOPT_HTTPGET, 1);
                else
                        ok &= set_long(easy, CURLOPT_POST, 1);
                ok &= set_pointer(easy, CURLOPT_CUSTOMREQUEST, is_head || is_get ? NULL : send->method);
                if (ok)
                        memcpy(h->method, send->method, strlen(send->method) + 1);
        }
        return ok ? 0 : -ENOMEM;
}

static bool url_ok(const char *url) {
        for (const char *c = url; *c; c++)
                if ((unsigned char) *c <= ' ' || (unsigned char) *c >= 0x7f)
                        return false;
        return url[0] != '\0';
}

/* "https://host" of a URL that goes on with a path and has no fragment; otherwise 0. */
static size_t origin_of(const char *url) {
        size_t scheme = strcspn(url, ":"), size;

        if (strncmp(url + scheme, "://", 3) != 0)
                return 0;
        size = scheme + 3 + strcspn(url + scheme + 3, "/?#");
        return size > scheme + 3 && url[size] == '/' && !strchr(url + size, '#') ? size : 0;
}

/* Has the handle know the host from now on: taken apart once. */
static int set_origin(Head *h, CURL *easy, const char *url, size_t size) {
        _cleanup_free_ char *origin = strndup(url, size);
        CURLU *parsed = curl_url();

        if (!origin || !parsed || curl_url_set(parsed, CURLUPART_URL, origin, 0) != CURLUE_OK ||
            !set_pointer(easy, CURLOPT_CURLU, parsed)) {
                curl_url_cleanup(parsed);
                return -ENOMEM;
        }
        curl_url_cleanup(h->parsed);
        h->parsed = parsed;
        free(h->origin);
        h->origin = TAKE_PTR(origin);
        h->origin_size = size;
        return 0;
}

/* Libcurl takes a URL apart and puts it together again for each request, which is a good part of what a small one
 * costs. So the handle keeps the host, and the rest is set as the request's target, which libcurl leaves alone. To a
 * proxy that it does not tunnel through, the target is the whole URL: that is best left to libcurl. */
static int set_url(Head *h, CURL *easy, const char *url) {
        size_t size = h->proxied ? 0 : origin_of(url);

        if (size == 0) {
                h->origin_size = 0;
                return set_pointer(easy, CURLOPT_CURLU, NULL) && set_pointer(easy, CURLOPT_URL, url) &&
                                       set_pointer(easy, CURLOPT_REQUEST_TARGET, NULL)
                               ? 0
                               : -ENOMEM;
        }
        if (size != h->origin_size || memcmp(url, h->origin, size) != 0) {
                int r = set_origin(h, easy, url, size);

                if (r < 0)
                        return r;
        }
        return set_pointer(easy, CURLOPT_REQUEST_TARGET, url + size) ? 0 : -ENOMEM;
}

int head_set(Head *h, CURL *easy, const HttpSend *send) {
        int r;

        if (!url_ok(send->url))
                return -EINVAL;
        r = set_method(h, easy, send);
        if (r >= 0)
                r = set_lines(h, easy, send);
        if (r >= 0)
                r = set_url(h, easy, send->url);
        return r;
}

void head_forget(Head *h) {
        if (h->lines.data)
                explicit_bzero(h->lines.data, h->lines.size);
        buf_clear(&h->lines);
}

void head_done(Head *h) {
        head_forget(h);
        buf_done(&h->lines);
        free(TAKE_PTR(h->nodes));
        free(TAKE_PTR(h->origin));
        curl_url_cleanup(TAKE_PTR(h->parsed));
}
