/* One call per verb of the blob service (azure-blob.md 1): builds, signs, sends, judges. Asynchronous; each callback
 * comes on the loop exactly once unless cancelled. Retries nothing: sync/job does. Whatever takes a condition is sent
 * with one. The simulator in tests/sim stands in for it. */
#pragma once

#include "azure/answer.h"
#include "azure/batch.h"
#include "azure/credential.h"
#include "azure/properties.h"
#include "azure/uri.h"
#include "azure/xml.h"
#include "http/http.h"
#include "util/stamp.h"

#define AZURE_VERSION "2021-12-02" /* x-ms-version, azure-blob.md 0 */
#define BLOB_ETAG_ROOM 128

typedef struct BlobClient BlobClient;
typedef struct BlobCall BlobCall;

typedef struct BlobClientOptions {
        const char *endpoint_url, *account; /* azure_endpoint_init(); copied */
        Credential *credential;             /* taken */
        HttpPoolOptions http;
} BlobClientOptions;

int blob_client_new(BlobClient **ret, sd_event *loop, BlobClientOptions *options, Error *e) _must_check_;
BlobClient *blob_client_free(BlobClient *c); /* cancels everything; no callback comes after */
DEFINE_CLEANUP(BlobClient *, blob_client_free);
void blob_client_set_credential(BlobClient *c, Credential *credential); /* taken; for what is sent from now on */
void blob_client_drop_idle(BlobClient *c);
void blob_client_limit(BlobClient *c, unsigned requests); /* as http_pool_limit() */
uint64_t blob_client_requests(const BlobClient *c);       /* sent since it was made */

/* What a write carries besides the bytes: see azure-blob.md 5. */
typedef struct BlobMeta {
        const char *writer;  /* metadata azsyncd: writer id */
        uint64_t generation; /* metadata azsyncdgen */
        const Stamp *stamp;  /* mtime, modtime, permissions, posix_owner, posix_group; NULL: none of them */
        bool fuzzy;          /* metadata azsyncdbusy=true (promise 2) */
        const char *tier;    /* NULL: the account's default */
} BlobMeta;

/* Exactly one of the two for every conditional verb. */
typedef struct BlobCondition {
        const char *if_match; /* quoted etag */
        bool if_absent;       /* If-None-Match: * */
} BlobCondition;

typedef struct BlobAnswer {
        AzureVerb verb;
        Verdict verdict;
        int64_t retry_after_ns; /* what the service asked for; 0: nothing */
        int64_t clock_skew_ns;
        char etag[BLOB_ETAG_ROOM]; /* quoted; "" if none */
        uint64_t body_sent;        /* body bytes really sent */
        int64_t latency_ns;        /* as in HttpAnswer */
        bool requested;            /* a request went out: counts in `requests` */
        char copy_status[16];      /* COPY: "success", "pending" */
        ListedBlob props;          /* HEAD: name unset */
        bool versioned;            /* HEAD: the blob has a version id */
        AccountFacts account;      /* ACCOUNT_INFO, SERVICE_PROPERTIES: what each of them knows */
        const char *marker;        /* LIST: of the next page; "" after the last; valid during the callback */
        Error error;               /* unless OK */
} BlobAnswer;
typedef void (*BlobFn)(const BlobAnswer *answer, void *userdata);

/* All: 0 and the callback will come, or a negative errno and it will not. `ret` may be NULL. Strings are copied; a body
 * must stay valid. */
int blob_put(BlobClient *c, const char *container, const char *blob, const void *body, size_t size,
             const uint8_t md5[static 16], const char *content_type, const BlobMeta *meta,
             const BlobCondition *condition, BlobFn fn, void *userdata, BlobCall **ret) _must_check_;
/* By which the service checks a block (pitfalls 10.17). */
typedef struct BlobCheck {
        uint64_t crc64;     /* CRC-64/NVME, chunk/crc64.h */
        const uint8_t *md5; /* 16 bytes: in its place; NULL: none */
} BlobCheck;
int blob_put_block(BlobClient *c, const char *container, const char *blob, const char *block_id, const void *body,
                   size_t size, const BlobCheck *check, BlobFn fn, void *userdata, BlobCall **ret) _must_check_;
int blob_put_block_list(BlobClient *c, const char *container, const char *blob, const char *const *ids, size_t n,
                        const uint8_t md5[static 16], const char *content_type, const BlobMeta *meta,
                        const BlobCondition *condition, BlobFn fn, void *userdata, BlobCall **ret) _must_check_;
/* `each` is called for every block before `fn`. */
int blob_get_block_list(BlobClient *c, const char *container, const char *blob, XmlBlockFn each, BlobFn fn,
                        void *userdata, BlobCall **ret) _must_check_;
int blob_head(BlobClient *c, const char *container, const char *blob, BlobFn fn, void *userdata,
              BlobCall **ret) _must_check_;
int blob_set_metadata(BlobClient *c, const char *container, const char *blob, const BlobMeta *meta,
                      const BlobCondition *condition, BlobFn fn, void *userdata, BlobCall **ret) _must_check_;
/* Server-side copy inside the account; -EOPNOTSUPP with a SAS, whose secret would stand in the copy's properties (1.4).
 */
int blob_copy(BlobClient *c, const char *container, const char *blob, const char *source_blob, const char *source_etag,
              const BlobMeta *meta, const BlobCondition *condition, BlobFn fn, void *userdata,
              BlobCall **ret) _must_check_;
int blob_delete(BlobClient *c, const char *container, const char *blob, const char *if_match, BlobFn fn, void *userdata,
                BlobCall **ret) _must_check_;
/* Deletes as many of the `n` (at most BATCH_MAX) as fit into one request, from the first on, and returns how many
 * those are. If the whole's verdict is OK, `each` was called for every one of them before `fn`, with what blob_delete()
 * would have been told; what the answer does not tell is UNKNOWN. Otherwise it was called for none, and the verdict is
 * that of all. */
typedef struct BlobDeletion {
        const char *blob, *if_match;
} BlobDeletion;
typedef void (*BlobItemFn)(size_t number, const BlobAnswer *answer, void *userdata);
int blob_delete_batch(BlobClient *c, const char *container, const BlobDeletion *items, size_t n, BlobItemFn each,
                      BlobFn fn, void *userdata, BlobCall **ret) _must_check_;
/* One page of at most `max` blobs below `prefix` with metadata; `each` is called for every blob before `fn`. */
int blob_list(BlobClient *c, const char *container, const char *prefix, const char *marker, unsigned max,
              XmlListFn each, BlobFn fn, void *userdata, BlobCall **ret) _must_check_;
int blob_create_container(BlobClient *c, const char *container, BlobFn fn, void *userdata, BlobCall **ret) _must_check_;
int blob_account_info(BlobClient *c, BlobFn fn, void *userdata, BlobCall **ret) _must_check_;
int blob_service_properties(BlobClient *c, BlobFn fn, void *userdata, BlobCall **ret) _must_check_;

void blob_cancel(BlobCall *call); /* its callback does not come; a write's outcome is then unknown */
void blob_call_pace(BlobCall *call, HttpPaceFn pace, void *userdata); /* as http_pace() */
void blob_call_resume(BlobCall *call);                                /* as http_resume() */
uint64_t blob_call_sent(const BlobCall *call);
