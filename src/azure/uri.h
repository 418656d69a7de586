/* Where an account is, and the URLs of its containers and blobs (azure-blob.md 0, 1.10). Pure. */
#pragma once

#include "util/buf.h"
#include "util/error.h"

typedef struct AzureEndpoint {
        char *base; /* "https://contoso.blob.core.windows.net" or "http://127.0.0.1:10000/devstoreaccount1"; no trailing
                       '/' */
        char *path; /* what stands after the host in it: "" or "/devstoreaccount1" */
        char *account; /* the name in signatures */
} AzureEndpoint;

/* Checks `url` (scheme http only for loopback hosts; no user, query or fragment) and takes it apart. */
int azure_endpoint_init(AzureEndpoint *ret, const char *url, const char *account, Error *e) _must_check_;
void azure_endpoint_done(AzureEndpoint *ep);

/* Appends "/CONTAINER[/BLOB]" as it stands on the wire, base path included: what is both sent and signed. */
int azure_path(Buf *ret, const AzureEndpoint *ep, const char *container, const char *blob) _must_check_;

/* Copies a URL for logs and status with every sig=, and whatever else follows a '?', replaced. Returns ret. */
const char *uri_redact(const char *url, char *ret, size_t room);
