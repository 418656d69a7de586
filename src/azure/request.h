/* One request being put together: headers, query, signature, URL. Used by blob.c only. */
#pragma once

#include "azure/credential.h"
#include "azure/uri.h"
#include "util/buf.h"

#define REQUEST_HEADERS 24u
#define REQUEST_QUERY 8u

typedef struct Request {
        const char *method;
        Buf text; /* header lines and query values, each ended by a NUL; never grows past its ceiling */
        size_t headers[REQUEST_HEADERS]; /* offsets in `text` */
        size_t n_headers;
        size_t query_names[REQUEST_QUERY], query_values[REQUEST_QUERY];
        size_t n_query;
        const char *if_match, *if_none_match, *content_md5, *content_type; /* borrowed */
        uint64_t content_length;
        int failed; /* first error; the adders are no-ops then */
} Request;

void request_init(Request *r, const char *method);
void request_done(Request *r); /* wipes */

void request_header(Request *r, const char *format, ...) _printf_(2, 3); /* "x-ms-name: value" */
void request_query(Request *r, const char *name, const char *value);     /* value decoded */

/* Signs and finishes: `ret_url` is the whole URL, `lines` the headers to send (pointing into `r`), at most
 * REQUEST_HEADERS + 6. */
int request_finish(Request *r, const AzureEndpoint *ep, Credential *credential, const char *container, const char *blob,
                   Buf *ret_url, const char **lines, size_t *ret_n) _must_check_;
