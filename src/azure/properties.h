/* What the headers of an answer say about a blob or an account, and about the answer itself. Pure. */
#pragma once

#include "azure/xml.h"

/* The ETag header into `ret`, if it is a whole quoted one (10.1); else "" and false. */
bool properties_etag(const char *headers, char *ret, size_t room);

/* The Date header minus `wall_now_ns`; 0 if there is none. */
int64_t properties_clock_skew(const char *headers, int64_t wall_now_ns);

/* What Get Blob Properties answers: size, MD5, type, tier, lease, metadata; `name` stays NULL. */
void properties_read(const char *headers, ListedBlob *ret);

/* What an account says of itself. */
typedef struct AccountFacts {
        char kind[24], sku[24]; /* "StorageV2", "Standard_LRS"; "" if not said */
        bool folders;           /* it has a hierarchical namespace */
        int soft_delete_days;   /* as xml_parse_retention() */
} AccountFacts;

/* What Get Account Information answers: all but the days of soft delete, which become -1. */
void properties_account(const char *headers, AccountFacts *ret);
