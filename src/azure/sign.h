/* SharedKey: string-to-sign and HMAC (azure-blob.md 2.1). Pure. */
#pragma once

#include "util/buf.h"

typedef struct SignQuery {
        const char *name;  /* lower case */
        const char *value; /* decoded; not encoded */
} SignQuery;

typedef struct SignInput {
        const char *method;
        uint64_t content_length;
        const char *content_md5; /* NULL: not sent; so for the others */
        const char *content_type;
        const char *if_match, *if_none_match;
        const char *range;             /* the Range header */
        const char *const *ms_headers; /* "x-ms-name: value" lines as sent, any order */
        size_t n_ms_headers;           /* at most 32 */
        const char *account;
        const char *path; /* as on the wire, base path included: azure_path() */
        const SignQuery *query;
        size_t n_query; /* at most 16 */
} SignInput;

int sign_string(Buf *ret, const SignInput *in) _must_check_; /* the string-to-sign */
/* Base64 of the HMAC-SHA256 of it under `key` into `ret` (45 bytes). All of these return -EINVAL for more headers or
 * parameters than that, or a header line that is not "x-ms-...:...". */
int sign_shared_key(char ret[static 45], const SignInput *in, const uint8_t *key, size_t key_size) _must_check_;

/* A key made ready once, for many signatures: what of the HMAC depends on the key alone is kept, and signing allocates
 * nothing. One thread at a time. The key itself is wiped when freed. */
typedef struct SignKey SignKey;
int sign_key_new(SignKey **ret, const uint8_t *key, size_t key_size) _must_check_;
SignKey *sign_key_free(SignKey *k);
DEFINE_CLEANUP(SignKey *, sign_key_free);
int sign_with_key(char ret[static 45], const SignInput *in, SignKey *key) _must_check_;
