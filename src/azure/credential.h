/* What proves who we are to an account. One interface for what never changes (key, SAS) and for what will expire
 * (tokens): azure/blob asks for an authorization per request and reports a refusal. Secrets are wiped when freed. */
#pragma once

#include "azure/sign.h"
#include "util/error.h"

typedef struct Credential Credential;

int credential_new_shared_key(Credential **ret, const char *base64_key,
                              Error *e) _must_check_; /* -EINVAL: not Base64 */
int credential_new_sas(Credential **ret, const char *sas,
                       Error *e) _must_check_; /* with or without '?'; -EINVAL: no sig= */
Credential *credential_free(Credential *c);    /* NULL in, NULL out */
DEFINE_CLEANUP(Credential *, credential_free);

typedef enum CredentialKind { CREDENTIAL_SHARED_KEY, CREDENTIAL_SAS } CredentialKind;
CredentialKind credential_kind(const Credential *c);
/* A SAS whose sv= is before `version` ("2021-12-02"): it would decide the protocol's version. */
bool credential_older_than(const Credential *c, const char *version);

/* Appends what goes into the request: either an "Authorization: ..." line (no line end) to `header`, or
 * "name=value&..." to `query` (the SAS, byte for byte; after a '&' unless `query` is empty or ends in '?' or '&'). The
 * caller wipes what it was given with secret_wipe(). */
int credential_apply(Credential *c, const SignInput *in, Buf *header, Buf *query) _must_check_;

void secret_wipe(Buf *b); /* overwrites the bytes, then buf_done() */

/* What a SAS says of itself, for warnings at load: expiry (wall ns, 0: unknown), permissions ("" unknown), version. */
typedef struct SasFacts {
        int64_t expires_ns;
        char permissions[32];
        char version[16];
        char services[8], resource_types[8]; /* ss, srt: of an account SAS */
        bool account_sas;                    /* may create containers if it has 'c' */
        bool has_policy;                     /* si: a policy of the container may say what se and sp do not */
} SasFacts;
int sas_parse(const char *sas, SasFacts *ret, Error *e) _must_check_;
