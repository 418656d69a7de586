/* What the headers of an answer say about a blob, and about the answer itself. Pure. */
#pragma once

#include "azure/xml.h"

/* The ETag header into `ret`, if it is a whole quoted one (10.1); else "" and false. */
bool properties_etag(const char *headers, char *ret, size_t room);

/* The Date header minus `wall_now_ns`; 0 if there is none. */
int64_t properties_clock_skew(const char *headers, int64_t wall_now_ns);

/* What Get Blob Properties answers: size, MD5, type, tier, lease, metadata; `name` stays NULL. */
void properties_read(const char *headers, ListedBlob *ret);
