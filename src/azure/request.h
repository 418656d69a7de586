/* One request being put together: headers, parameters, signature, URL. A BlobClient has one and uses it again, so that
 * nothing is allocated for a small request once the buffers have their size. Inside of src/azure/ only. */
#pragma once

#include "azure/credential.h"
#include "azure/uri.h"
#include "util/buf.h"

#define REQUEST_MS_HEADERS 24 /* x-ms-... */
#define REQUEST_LINES (REQUEST_MS_HEADERS + 6)
#define REQUEST_QUERY 8

typedef struct Request {
        const char *method;
        Buf text; /* header lines, names and values of parameters, each ended by a NUL */
        Buf path, authorization, sas;
        size_t headers[REQUEST_MS_HEADERS]; /* offsets in `text` */
        size_t query_names[REQUEST_QUERY], query_values[REQUEST_QUERY];
        size_t n_headers, n_query;
        const char *if_match, *if_none_match, *content_md5, *content_type; /* the caller's, until request_finish() */
        uint64_t content_length;
        int failed; /* the first failure; what is added after it is dropped */

        /* the outcome, valid until the next request_begin() */
        Buf url;
        const char *lines[REQUEST_LINES];
        size_t n_lines;
} Request;

void request_init(Request *r);
void request_done(Request *r); /* wipes */
void request_begin(Request *r, const char *method);

/* Whatever is not printable ASCII in a value fails the request: -EINVAL (6.8). */
void request_header(Request *r, const char *name, const char *value); /* an x-ms- one */
void request_header_number(Request *r, const char *name, int64_t value);
void request_query(Request *r, const char *name, const char *value); /* decoded */

/* Signs, and sets the outcome. `container` and `blob` may be NULL. */
int request_finish(Request *r, const AzureEndpoint *ep, Credential *credential, const char *container,
                   const char *blob) _must_check_;
