#include "azure/request.h"

#include "util/encode.h"

#include <assert.h>
#include <string.h>

#define TEXT_MAX ((size_t) 64 * 1024)

void request_init(Request *r) {
        *r = (Request){ .text = BUF_INIT(TEXT_MAX),
                        .path = BUF_INIT(TEXT_MAX),
                        .authorization = BUF_INIT(TEXT_MAX),
                        .sas = BUF_INIT(TEXT_MAX),
                        .url = BUF_INIT(TEXT_MAX) };
}

void request_done(Request *r) {
        secret_wipe(&r->text);
        secret_wipe(&r->path);
        secret_wipe(&r->authorization);
        secret_wipe(&r->sas);
        secret_wipe(&r->url);
}

static void forget(Buf *b) {
        if (b->data)
                explicit_bzero(b->data, b->size);
        buf_clear(b);
}

void request_begin(Request *r, const char *method) {
        r->method = method;
        buf_clear(&r->text);
        buf_clear(&r->path);
        forget(&r->authorization);
        forget(&r->sas);
        forget(&r->url); /* a SAS may stand in it */
        r->n_headers = r->n_query = r->n_lines = 0;
        r->if_match = r->if_none_match = r->content_md5 = r->content_type = NULL;
        r->content_length = 0;
        r->failed = 0;
}

static void fail(Request *r, int error) {
        if (r->failed == 0)
                r->failed = error;
}

static bool printable(const char *text) {
        for (; *text; text++)
                if (*text < ' ' || *text > '~')
                        return false;
        return true;
}

/* Appends a piece of text, as it is. Returns where it stands. */
static size_t keep(Request *r, const char *text, size_t size) {
        size_t at = r->text.size;
        int k = buf_append(&r->text, text, size);

        if (k < 0)
                fail(r, k);
        return at;
}

static size_t keep_line(Request *r, const char *name, const char *value) {
        size_t at;

        if (!printable(value))
                fail(r, -EINVAL);
        at = keep(r, name, strlen(name));
        (void) keep(r, ": ", 2);
        (void) keep(r, value, strlen(value) + 1);
        return at;
}

void request_header(Request *r, const char *name, const char *value) {
        if (r->n_headers == REQUEST_MS_HEADERS) {
                fail(r, -E2BIG);
                return;
        }
        r->headers[r->n_headers++] = keep_line(r, name, value);
}

void request_header_number(Request *r, const char *name, int64_t value) {
        char text[24] = "-";

        (void) decimal_encode(value < 0 ? -(uint64_t) value : (uint64_t) value, 1, text + (value < 0));
        request_header(r, name, text);
}

void request_query(Request *r, const char *name, const char *value) {
        if (r->n_query == REQUEST_QUERY) {
                fail(r, -E2BIG);
                return;
        }
        r->query_names[r->n_query] = keep(r, name, strlen(name) + 1);
        r->query_values[r->n_query++] = keep(r, value, strlen(value) + 1);
}

static int sign(Request *r, const AzureEndpoint *ep, Credential *credential) {
        SignQuery query[REQUEST_QUERY];
        SignInput in = {
                .method = r->method,
                .content_length = r->content_length,
                .content_md5 = r->content_md5,
                .content_type = r->content_type,
                .if_match = r->if_match,
                .if_none_match = r->if_none_match,
                .ms_headers = r->lines,
                .n_ms_headers = r->n_headers,
                .account = ep->account,
                .path = buf_text(&r->path),
                .query = query,
                .n_query = r->n_query,
        };

        for (size_t i = 0; i < r->n_query; i++)
                query[i] = (SignQuery){ r->text.data + r->query_names[i], r->text.data + r->query_values[i] };
        for (size_t i = 0; i < r->n_headers; i++)
                r->lines[i] = r->text.data + r->headers[i];
        return credential_apply(credential, &in, &r->authorization, &r->sas);
}

static int write_url(Request *r, const AzureEndpoint *ep) {
        int k = buf_append(&r->url, ep->base, strlen(ep->base) - strlen(ep->path));

        if (k >= 0)
                k = buf_append(&r->url, r->path.data, r->path.size);
        for (size_t i = 0; i < r->n_query && k >= 0; i++) {
                const char *value = r->text.data + r->query_values[i];

                k = buf_append(&r->url, i == 0 ? "?" : "&", 1);
                if (k >= 0)
                        k = buf_puts(&r->url, r->text.data + r->query_names[i]);
                if (k >= 0)
                        k = buf_append(&r->url, "=", 1);
                if (k >= 0)
                        k = percent_encode(&r->url, value, strlen(value), false);
        }
        if (k >= 0 && r->sas.size > 0) { /* after ours, byte for byte (azure-blob.md 2.2) */
                k = buf_append(&r->url, r->n_query > 0 ? "&" : "?", 1);
                if (k >= 0)
                        k = buf_append(&r->url, r->sas.data, r->sas.size);
        }
        return k;
}

/* The lines, x-ms- ones first. Nothing may be added to `text` afterwards: the lines point into it. */
static int write_lines(Request *r) {
        const struct {
                const char *name, *value;
        } plain[] = { { "Content-MD5", r->content_md5 },
                      { "Content-Type", r->content_type },
                      { "If-Match", r->if_match },
                      { "If-None-Match", r->if_none_match } };
        size_t extra[ELEMENTSOF(plain)], n = 0;

        for (size_t i = 0; i < ELEMENTSOF(plain); i++)
                if (plain[i].value)
                        extra[n++] = keep_line(r, plain[i].name, plain[i].value);
        if (r->failed < 0)
                return r->failed;

        r->n_lines = 0;
        for (size_t i = 0; i < r->n_headers; i++)
                r->lines[r->n_lines++] = r->text.data + r->headers[i];
        for (size_t i = 0; i < n; i++)
                r->lines[r->n_lines++] = r->text.data + extra[i];
        if (r->authorization.size > 0)
                r->lines[r->n_lines++] = r->authorization.data;
        return 0;
}

int request_finish(Request *r, const AzureEndpoint *ep, Credential *credential, const char *container,
                   const char *blob) {
        int k;

        assert(r->method && !(r->if_match && r->if_none_match));

        if (r->failed < 0)
                return r->failed;
        k = azure_path(&r->path, ep, container, blob);
        if (k >= 0)
                k = sign(r, ep, credential);
        if (k >= 0)
                k = write_url(r, ep);
        return k < 0 ? k : write_lines(r);
}
