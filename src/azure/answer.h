/* From an HTTP answer to what it means: the table of azure-blob.md 1.11 and pitfalls 10.1-10.10. Pure. */
#pragma once

#include "util/error.h"

#include <curl/curl.h>

typedef enum Verdict {
        VERDICT_OK,
        VERDICT_RETRY,   /* transient, nothing happened: back off. -EMFILE, -ENFILE: no descriptor was left for it */
        VERDICT_BUSY,    /* 429, 503, 500: transient, and lower the concurrency */
        VERDICT_UNKNOWN, /* transport error after sending, a cut or malformed answer: it may have happened (4.3) */
        VERDICT_MISSING, /* 404 BlobNotFound; 404 without a code on a blob */
        VERDICT_CHANGED, /* 409 BlobAlreadyExists, 412 ConditionNotMet, ...: the blob is not what we thought */
        VERDICT_SOURCE_CHANGED, /* copy: its source is gone or changed */
        VERDICT_UNCHANGED,      /* 304 */
        VERDICT_CORRUPTED,      /* Md5Mismatch, Crc64Mismatch: reread and send again */
        VERDICT_CRC_REFUSED,    /* the service does not take x-ms-content-crc64 */
        VERDICT_BLOCKS_GONE,    /* InvalidBlockList: get the block list and send what is missing */
        VERDICT_BLOCKS_FOREIGN, /* InvalidBlobOrBlock, BlockCountExceedsLimit: clear the staging first */
        VERDICT_LEASED,         /* somebody holds a lease: retry in minutes */
        VERDICT_LATER,          /* PendingCopyOperation, BlobBeingRehydrated, ContainerBeingDeleted: retry in minutes */
        VERDICT_SNAPSHOTS,      /* SnapshotsPresent */
        VERDICT_ARCHIVED,       /* BlobArchived: named, never delete-then-put */
        VERDICT_PERMANENT,      /* this path can never be stored like this: name it as failed */
        VERDICT_NO_CONTAINER,   /* ContainerNotFound, ContainerDisabled */
        VERDICT_DENIED,         /* 401/403: the account or mapping is stopped and probed slowly; sub-reason in text */
        VERDICT_CLOCK,          /* 403 and the answer's Date is more than 15 minutes off: text says by how much */
        VERDICT_TLS,            /* certificate not accepted: configuration class */
        VERDICT_OFFLINE,        /* DNS, connect refused/timed out: nothing was sent; the service is not reachable */
} Verdict;

typedef enum AzureVerb {
        VERB_CREATE_CONTAINER,
        VERB_LIST,
        VERB_PUT_BLOB,
        VERB_PUT_BLOCK,
        VERB_PUT_BLOCK_LIST,
        VERB_GET_BLOCK_LIST,
        VERB_HEAD_BLOB,
        VERB_GET_BLOB,
        VERB_SET_METADATA,
        VERB_COPY_BLOB,
        VERB_DELETE_BLOB,
        VERB_BATCH,
        VERB_ACCOUNT_INFO,
        VERB_SERVICE_PROPERTIES,
} AzureVerb;

typedef struct AnswerInput {
        AzureVerb verb;
        CURLcode result;
        bool sent;    /* HttpAnswer.sent */
        int shortage; /* HttpAnswer.shortage */
        long status;
        const char *code;       /* x-ms-error-code or the body's Code; "" if none */
        bool has_request_id;    /* x-ms-request-id was there */
        bool has_etag;          /* a well-formed quoted ETag was there */
        bool md5_differs;       /* an echoed Content-MD5 is not ours */
        int64_t clock_skew_ns;  /* answer's Date minus our wall clock; 0 if there was no Date */
        const char *curl_error; /* curl's words */
} AnswerInput;

/* Returns the verdict and, unless it is OK or UNCHANGED, fills `e` with words for status (what, why, what to do).
 * Success is the expected status of that verb and x-ms-request-id and, where the verb gives one, an ETag (10.1). */
Verdict answer_verdict(const AnswerInput *in, Error *e);
/* Where in the text of such an Error, if nothing was put before it, what to do begins; its end if nothing is said. The
 * text before it ends in ": ". */
const char *answer_hint(const Error *e);
const char *verdict_name(Verdict v); /* "busy", ... for the log and tests; static */

/* retry-after-ms, x-ms-retry-after-ms, Retry-After (seconds or HTTP date): ns from now, 0 if none; at most 10 min. */
int64_t answer_retry_after(const char *headers, int64_t wall_now_ns);
