#include "azure/request.h"

#include "util/encode.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TEXT_MAX ((size_t) 64 * 1024)

void request_init(Request *r, const char *method) {
        *r = (Request){ .method = method, .text = BUF_INIT(TEXT_MAX) };
}

void request_done(Request *r) {
        secret_wipe(&r->text);
}

static size_t keep(Request *r, const char *text) {
        size_t at = r->text.size;
        int k = buf_append(&r->text, text, strlen(text) + 1);

        if (k < 0 && r->failed == 0)
                r->failed = k;
        return at;
}

void request_header(Request *r, const char *format, ...) {
        size_t at = r->text.size;
        char line[4096];
        va_list ap;
        int n;

        va_start(ap, format);
        n = vsnprintf(line, sizeof(line), format, ap);
        va_end(ap);
        if (r->failed < 0)
                return;
        if (n < 0 || (size_t) n >= sizeof(line) || r->n_headers == REQUEST_HEADERS || strpbrk(line, "\r\n")) {
                r->failed = -EINVAL;
                return;
        }
        at = keep(r, line);
        r->headers[r->n_headers++] = at;
}

void request_query(Request *r, const char *name, const char *value) {
        if (r->failed < 0)
                return;
        assert(r->n_query < REQUEST_QUERY);
        r->query_names[r->n_query] = keep(r, name);
        r->query_values[r->n_query++] = keep(r, value);
}

static int write_url(Request *r, const AzureEndpoint *ep, const char *path, Buf *url) {
        int k = buf_append(url, ep->base, strlen(ep->base) - strlen(ep->path));

        if (k >= 0)
                k = buf_puts(url, path);
        for (size_t i = 0; i < r->n_query && k >= 0; i++) {
                const char *value = r->text.data + r->query_values[i];

                k = buf_puts(url, i == 0 ? "?" : "&");
                if (k >= 0)
                        k = buf_puts(url, r->text.data + r->query_names[i]);
                if (k >= 0)
                        k = buf_puts(url, "=");
                if (k >= 0)
                        k = percent_encode(url, value, strlen(value), false);
        }
        return k;
}

int request_finish(Request *r, const AzureEndpoint *ep, Credential *credential, const char *container, const char *blob,
                   Buf *ret_url, const char **lines, size_t *ret_n) {
        _cleanup_buf_ Buf path = BUF_INIT(TEXT_MAX);
        Buf header = BUF_INIT(TEXT_MAX), query = BUF_INIT(TEXT_MAX);
        SignQuery sign_query[REQUEST_QUERY];
        size_t n = 0, n_ms = 0;
        SignInput in;
        int k;

        if (r->failed < 0)
                return r->failed;
        k = azure_path(&path, ep, container, blob);
        if (k < 0)
                return k;
        for (size_t i = 0; i < r->n_query; i++)
                sign_query[i] = (SignQuery){ r->text.data + r->query_names[i], r->text.data + r->query_values[i] };
        for (size_t i = 0; i < r->n_headers; i++)
                lines[n_ms++] = r->text.data + r->headers[i];
        in = (SignInput){
                .method = r->method,
                .content_length = r->content_length,
                .content_md5 = r->content_md5,
                .content_type = r->content_type,
                .if_match = r->if_match,
                .if_none_match = r->if_none_match,
                .ms_headers = lines,
                .n_ms_headers = n_ms,
                .account = ep->account,
                .path = path.data,
                .query = sign_query,
                .n_query = r->n_query,
        };
        k = credential_apply(credential, &in, &header, &query);
        if (k >= 0)
                k = write_url(r, ep, path.data, ret_url);
        if (k >= 0 && query.size > 0) {
                k = buf_puts(ret_url, r->n_query > 0 ? "&" : "?");
                if (k >= 0)
                        k = buf_puts(ret_url, query.data);
        }
        if (k >= 0) {
                /* what the signature covers beside x-ms-*; offsets first, since `text` may move while it grows */
                size_t extra[6], n_extra = 0, at;

                at = r->n_headers;
                if (r->content_md5)
                        request_header(r, "Content-MD5: %s", r->content_md5);
                if (r->content_type)
                        request_header(r, "Content-Type: %s", r->content_type);
                if (r->if_match)
                        request_header(r, "If-Match: %s", r->if_match);
                if (r->if_none_match)
                        request_header(r, "If-None-Match: %s", r->if_none_match);
                if (header.size > 0)
                        request_header(r, "%s", header.data);
                for (; at < r->n_headers; at++)
                        extra[n_extra++] = r->headers[at];
                k = r->failed;
                for (size_t i = 0; i < n_ms; i++)
                        lines[n++] = r->text.data + r->headers[i];
                for (size_t i = 0; i < n_extra; i++)
                        lines[n++] = r->text.data + extra[i];
        }
        secret_wipe(&header);
        secret_wipe(&query);
        if (k < 0)
                return k;
        *ret_n = n;
        return 0;
}
