#include "azure/answer.h"

#include "util/clock.h"
#include "util/path.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* What was there of a proper answer. */
enum { NONE = 0, ID = 1, ETAG = 2, WRONG_MD5 = 4, SENT = 8, ALL = ID | ETAG | SENT };

#define MIN_NS (60 * NSEC_PER_SEC)

static const struct {
        AzureVerb verb;
        CURLcode result;
        long status;
        const char *code;
        unsigned there;
        Verdict verdict;
        const char *words; /* must stand in the text */
} rows[] = {
        /* clang-format off */
        /* pitfalls 10.1: success is the verb's own status, a request id and, where there is one, an ETag */
        { VERB_CREATE_CONTAINER, CURLE_OK, 201, "", ALL, VERDICT_OK, NULL },
        { VERB_LIST, CURLE_OK, 200, "", SENT | ID, VERDICT_OK, NULL },
        { VERB_PUT_BLOB, CURLE_OK, 201, "", ALL, VERDICT_OK, NULL },
        { VERB_PUT_BLOCK, CURLE_OK, 201, "", SENT | ID, VERDICT_OK, NULL },
        { VERB_PUT_BLOCK_LIST, CURLE_OK, 201, "", ALL, VERDICT_OK, NULL },
        { VERB_GET_BLOCK_LIST, CURLE_OK, 200, "", SENT | ID, VERDICT_OK, NULL }, /* no ETag before the first commit */
        { VERB_HEAD_BLOB, CURLE_OK, 200, "", ALL, VERDICT_OK, NULL },
        { VERB_GET_BLOB, CURLE_OK, 200, "", ALL, VERDICT_OK, NULL },
        { VERB_GET_BLOB, CURLE_OK, 206, "", ALL, VERDICT_OK, NULL },
        { VERB_SET_METADATA, CURLE_OK, 200, "", ALL, VERDICT_OK, NULL },
        { VERB_COPY_BLOB, CURLE_OK, 202, "", ALL, VERDICT_OK, NULL },
        { VERB_DELETE_BLOB, CURLE_OK, 202, "", SENT | ID, VERDICT_OK, NULL },
        { VERB_BATCH, CURLE_OK, 202, "", SENT | ID, VERDICT_OK, NULL },
        { VERB_ACCOUNT_INFO, CURLE_OK, 200, "", SENT | ID, VERDICT_OK, NULL },
        { VERB_SERVICE_PROPERTIES, CURLE_OK, 200, "", SENT | ID, VERDICT_OK, NULL },
        /* ... cut after the status line or in the ETag, which curl calls a success */
        { VERB_PUT_BLOB, CURLE_OK, 201, "", SENT, VERDICT_UNKNOWN, "x-ms-request-id" },
        { VERB_PUT_BLOB, CURLE_OK, 201, "", SENT | ID, VERDICT_UNKNOWN, "ETag" },
        { VERB_PUT_BLOCK_LIST, CURLE_OK, 201, "", SENT | ID, VERDICT_UNKNOWN, "ETag" },
        { VERB_SET_METADATA, CURLE_OK, 200, "", SENT | ID, VERDICT_UNKNOWN, "ETag" },
        { VERB_COPY_BLOB, CURLE_OK, 202, "", SENT | ID, VERDICT_UNKNOWN, "ETag" },
        { VERB_PUT_BLOCK, CURLE_OK, 201, "", SENT, VERDICT_UNKNOWN, "x-ms-request-id" },
        { VERB_DELETE_BLOB, CURLE_OK, 202, "", SENT, VERDICT_UNKNOWN, "x-ms-request-id" },
        { VERB_CREATE_CONTAINER, CURLE_OK, 201, "", SENT, VERDICT_UNKNOWN, "x-ms-request-id" },
        { VERB_BATCH, CURLE_OK, 202, "", SENT, VERDICT_UNKNOWN, "x-ms-request-id" },
        { VERB_HEAD_BLOB, CURLE_OK, 200, "", SENT | ID, VERDICT_RETRY, "ETag" },
        { VERB_GET_BLOB, CURLE_OK, 206, "", SENT | ID, VERDICT_RETRY, "ETag" },
        { VERB_LIST, CURLE_OK, 200, "", SENT, VERDICT_RETRY, "x-ms-request-id" },
        /* ... an echoed MD5 that is not ours */
        { VERB_PUT_BLOB, CURLE_OK, 201, "", ALL | WRONG_MD5, VERDICT_UNKNOWN, "other bytes" },
        { VERB_PUT_BLOCK, CURLE_OK, 201, "", SENT | ID | WRONG_MD5, VERDICT_UNKNOWN, "other bytes" },
        { VERB_GET_BLOB, CURLE_OK, 200, "", ALL | WRONG_MD5, VERDICT_CORRUPTED, "did not arrive" },
        /* pitfalls 10.2: captive portals, wrong statuses, redirects */
        { VERB_PUT_BLOB, CURLE_OK, 200, "", SENT, VERDICT_UNKNOWN, "captive portal" },
        { VERB_PUT_BLOB, CURLE_OK, 200, "", ALL, VERDICT_UNKNOWN, "captive portal" },
        { VERB_PUT_BLOB, CURLE_OK, 202, "", ALL, VERDICT_UNKNOWN, "captive portal" },
        { VERB_PUT_BLOCK, CURLE_OK, 200, "", SENT | ID, VERDICT_UNKNOWN, "captive portal" },
        { VERB_DELETE_BLOB, CURLE_OK, 200, "", SENT | ID, VERDICT_UNKNOWN, "captive portal" },
        { VERB_COPY_BLOB, CURLE_OK, 201, "", ALL, VERDICT_UNKNOWN, "captive portal" },
        { VERB_PUT_BLOB, CURLE_OK, 206, "", ALL, VERDICT_UNKNOWN, "captive portal" },
        { VERB_LIST, CURLE_OK, 204, "", SENT | ID, VERDICT_RETRY, "captive portal" },
        { VERB_HEAD_BLOB, CURLE_OK, 206, "", ALL, VERDICT_RETRY, "captive portal" },
        { VERB_PUT_BLOB, CURLE_OK, 0, "", SENT, VERDICT_UNKNOWN, "" },
        { VERB_PUT_BLOB, CURLE_OK, 100, "", SENT, VERDICT_UNKNOWN, "" },
        { VERB_PUT_BLOB, CURLE_OK, 999, "", ALL, VERDICT_UNKNOWN, "" },
        { VERB_PUT_BLOB, CURLE_OK, 301, "", SENT, VERDICT_UNKNOWN, "never follow" },
        { VERB_PUT_BLOB, CURLE_OK, 307, "", ALL, VERDICT_UNKNOWN, "never follow" },
        { VERB_HEAD_BLOB, CURLE_OK, 302, "", SENT, VERDICT_RETRY, "never follow" },
        { VERB_LIST, CURLE_OK, 308, "", SENT, VERDICT_RETRY, "never follow" },
        /* conditional reads */
        { VERB_GET_BLOB, CURLE_OK, 304, "", SENT | ID, VERDICT_UNCHANGED, NULL },
        { VERB_HEAD_BLOB, CURLE_OK, 304, "ConditionNotMet", SENT | ID, VERDICT_UNCHANGED, NULL },
        { VERB_HEAD_BLOB, CURLE_OK, 304, "", SENT, VERDICT_RETRY, "never follow" },
        { VERB_PUT_BLOB, CURLE_OK, 304, "", ALL, VERDICT_UNKNOWN, "never follow" },

        /* pitfalls 10.10: nothing was sent */
        { VERB_PUT_BLOB, CURLE_COULDNT_RESOLVE_HOST, 0, "", NONE, VERDICT_OFFLINE, "name" },
        { VERB_LIST, CURLE_COULDNT_RESOLVE_HOST, 0, "", NONE, VERDICT_OFFLINE, "name" },
        { VERB_PUT_BLOB, CURLE_COULDNT_RESOLVE_PROXY, 0, "", NONE, VERDICT_OFFLINE, "proxy" },
        { VERB_PUT_BLOB, CURLE_PROXY, 0, "", NONE, VERDICT_OFFLINE, "proxy" },
        { VERB_PUT_BLOB, CURLE_COULDNT_CONNECT, 0, "", NONE, VERDICT_OFFLINE, "reachable" },
        { VERB_PUT_BLOB, CURLE_OPERATION_TIMEDOUT, 0, "", NONE, VERDICT_OFFLINE, "reachable" },
        { VERB_GET_BLOB, CURLE_OPERATION_TIMEDOUT, 0, "", NONE, VERDICT_OFFLINE, "reachable" },
        { VERB_PUT_BLOB, CURLE_SSL_CONNECT_ERROR, 0, "", NONE, VERDICT_OFFLINE, "handshake" },
        { VERB_PUT_BLOB, CURLE_SEND_ERROR, 0, "", NONE, VERDICT_RETRY, "before anything" },
        { VERB_DELETE_BLOB, CURLE_RECV_ERROR, 0, "", NONE, VERDICT_RETRY, "before anything" },
        { VERB_PUT_BLOB, CURLE_OUT_OF_MEMORY, 0, "", NONE, VERDICT_RETRY, "before anything" },
        { VERB_PUT_BLOB, CURLE_URL_MALFORMAT, 0, "", NONE, VERDICT_RETRY, "before anything" },
        /* ... something was: a write may have happened, a read is simply repeated */
        { VERB_PUT_BLOB, CURLE_OPERATION_TIMEDOUT, 0, "", SENT, VERDICT_UNKNOWN, "may have happened" },
        { VERB_PUT_BLOB, CURLE_GOT_NOTHING, 0, "", SENT, VERDICT_UNKNOWN, "may have happened" },
        { VERB_PUT_BLOB, CURLE_SEND_ERROR, 0, "", SENT, VERDICT_UNKNOWN, "may have happened" },
        { VERB_PUT_BLOB, CURLE_RECV_ERROR, 201, "", ALL, VERDICT_UNKNOWN, "may have happened" },
        { VERB_PUT_BLOB, CURLE_SEND_FAIL_REWIND, 0, "", SENT, VERDICT_UNKNOWN, "may have happened" }, /* pitfalls 10.4 */
        { VERB_PUT_BLOB, CURLE_ABORTED_BY_CALLBACK, 0, "", SENT, VERDICT_UNKNOWN, "may have happened" }, /* pitfalls 10.5 */
        { VERB_PUT_BLOCK, CURLE_RECV_ERROR, 0, "", SENT, VERDICT_UNKNOWN, "may have happened" },
        { VERB_PUT_BLOCK_LIST, CURLE_RECV_ERROR, 0, "", SENT, VERDICT_UNKNOWN, "may have happened" },
        { VERB_SET_METADATA, CURLE_RECV_ERROR, 0, "", SENT, VERDICT_UNKNOWN, "may have happened" },
        { VERB_COPY_BLOB, CURLE_RECV_ERROR, 0, "", SENT, VERDICT_UNKNOWN, "may have happened" },
        { VERB_DELETE_BLOB, CURLE_RECV_ERROR, 0, "", SENT, VERDICT_UNKNOWN, "may have happened" },
        { VERB_BATCH, CURLE_PARTIAL_FILE, 202, "", SENT | ID, VERDICT_UNKNOWN, "may have happened" },
        { VERB_CREATE_CONTAINER, CURLE_RECV_ERROR, 0, "", SENT, VERDICT_UNKNOWN, "may have happened" },
        { VERB_LIST, CURLE_PARTIAL_FILE, 200, "", SENT | ID, VERDICT_RETRY, "cut" }, /* pitfalls 10.3 */
        { VERB_LIST, CURLE_WRITE_ERROR, 200, "", SENT | ID, VERDICT_RETRY, "cut" },  /* pitfalls 10.9 */
        { VERB_GET_BLOCK_LIST, CURLE_RECV_ERROR, 0, "", SENT, VERDICT_RETRY, "cut" },
        { VERB_HEAD_BLOB, CURLE_OPERATION_TIMEDOUT, 0, "", SENT, VERDICT_RETRY, "cut" },
        { VERB_GET_BLOB, CURLE_PARTIAL_FILE, 200, "", ALL, VERDICT_RETRY, "cut" },
        { VERB_PUT_BLOB, CURLE_SSL_CONNECT_ERROR, 0, "", SENT, VERDICT_OFFLINE, "handshake" },
        /* ... but a refusal that had come whole stands, though the body was still being sent or its page was long */
        { VERB_PUT_BLOB, CURLE_SEND_ERROR, 403, "AuthenticationFailed", SENT | ID, VERDICT_DENIED, "key" },
        { VERB_PUT_BLOB, CURLE_WRITE_ERROR, 503, "ServerBusy", SENT | ID, VERDICT_BUSY, "busy" },
        { VERB_PUT_BLOB, CURLE_RECV_ERROR, 412, "ConditionNotMet", SENT | ID, VERDICT_CHANGED, "changed" },
        { VERB_PUT_BLOB, CURLE_RECV_ERROR, 412, "", SENT | ID, VERDICT_UNKNOWN, "may have happened" },
        { VERB_PUT_BLOB, CURLE_RECV_ERROR, 412, "ConditionNotMet", SENT, VERDICT_UNKNOWN, "may have happened" },
        { VERB_HEAD_BLOB, CURLE_RECV_ERROR, 404, "", SENT, VERDICT_RETRY, "cut" },
        /* pitfalls 10.2: TLS */
        { VERB_PUT_BLOB, CURLE_PEER_FAILED_VERIFICATION, 0, "", NONE, VERDICT_TLS, "certificate" },
        { VERB_LIST, CURLE_PEER_FAILED_VERIFICATION, 0, "", NONE, VERDICT_TLS, "ca-file" },
        { VERB_PUT_BLOB, CURLE_SSL_CACERT_BADFILE, 0, "", NONE, VERDICT_TLS, "ca-file" },
        { VERB_PUT_BLOB, CURLE_SSL_ISSUER_ERROR, 0, "", NONE, VERDICT_TLS, "certificate" },
        { VERB_PUT_BLOB, CURLE_SSL_INVALIDCERTSTATUS, 0, "", NONE, VERDICT_TLS, "certificate" },
        { VERB_PUT_BLOB, CURLE_SSL_CERTPROBLEM, 0, "", NONE, VERDICT_TLS, "TLS" },
        { VERB_PUT_BLOB, CURLE_SSL_CIPHER, 0, "", NONE, VERDICT_TLS, "TLS" },

        /* azure-blob.md 1.11, line by line. Transient: */
        { VERB_PUT_BLOB, CURLE_OK, 408, "", SENT | ID, VERDICT_RETRY, "(408)" },
        { VERB_PUT_BLOB, CURLE_OK, 429, "", SENT, VERDICT_BUSY, "throttling" },
        { VERB_PUT_BLOB, CURLE_OK, 429, "TooManyRequests", SENT | ID, VERDICT_BUSY, "throttling" },
        { VERB_PUT_BLOB, CURLE_OK, 500, "InternalError", SENT | ID, VERDICT_BUSY, "internal error" },
        { VERB_PUT_BLOB, CURLE_OK, 503, "ServerBusy", SENT | ID, VERDICT_BUSY, "(503 ServerBusy)" },
        { VERB_PUT_BLOB, CURLE_OK, 503, "", SENT, VERDICT_BUSY, "busy" },
        { VERB_LIST, CURLE_OK, 503, "ServerBusy", SENT | ID, VERDICT_BUSY, "busy" },
        { VERB_PUT_BLOB, CURLE_OK, 502, "", SENT, VERDICT_UNKNOWN, "(502)" },
        { VERB_PUT_BLOB, CURLE_OK, 502, "", SENT | ID, VERDICT_UNKNOWN, "(502)" },
        { VERB_PUT_BLOB, CURLE_OK, 504, "", SENT | ID, VERDICT_UNKNOWN, "(504)" },
        { VERB_LIST, CURLE_OK, 502, "", SENT, VERDICT_RETRY, "(502)" },
        { VERB_HEAD_BLOB, CURLE_OK, 504, "", SENT | ID, VERDICT_RETRY, "(504)" },
        { VERB_PUT_BLOB, CURLE_OK, 500, "OperationTimedOut", SENT | ID, VERDICT_UNKNOWN, "may have happened" },
        { VERB_PUT_BLOCK_LIST, CURLE_OK, 503, "OperationTimedOut", SENT | ID, VERDICT_UNKNOWN, "may have happened" },
        { VERB_LIST, CURLE_OK, 500, "OperationTimedOut", SENT | ID, VERDICT_BUSY, "too long" },
        /* integrity (pitfalls 10.17) */
        { VERB_PUT_BLOB, CURLE_OK, 400, "Md5Mismatch", SENT | ID, VERDICT_CORRUPTED, "sent again" },
        { VERB_PUT_BLOCK, CURLE_OK, 400, "Md5Mismatch", SENT | ID, VERDICT_CORRUPTED, "sent again" },
        { VERB_PUT_BLOCK, CURLE_OK, 400, "Crc64Mismatch", SENT | ID, VERDICT_CORRUPTED, "sent again" },
        { VERB_PUT_BLOB, CURLE_OK, 400, "InvalidOperation", SENT | ID, VERDICT_CORRUPTED, "sent again" }, /* Azurite */
        { VERB_PUT_BLOCK, CURLE_OK, 400, "InvalidOperation", SENT | ID, VERDICT_CORRUPTED, "sent again" },
        { VERB_SET_METADATA, CURLE_OK, 400, "InvalidOperation", SENT | ID, VERDICT_PERMANENT, "refuses" },
        { VERB_PUT_BLOCK, CURLE_OK, 500, "FeatureNotSupported", SENT | ID, VERDICT_CRC_REFUSED, "CRC64" },
        { VERB_LIST, CURLE_OK, 500, "FeatureNotSupported", SENT | ID, VERDICT_BUSY, "" },
        { VERB_PUT_BLOB, CURLE_OK, 400, "InvalidMd5", SENT | ID, VERDICT_PERMANENT, "refuses" },
        /* blocks (pitfalls 10.18) */
        { VERB_PUT_BLOCK_LIST, CURLE_OK, 400, "InvalidBlockList", SENT | ID, VERDICT_BLOCKS_GONE, "blocks" },
        { VERB_PUT_BLOCK, CURLE_OK, 400, "InvalidBlobOrBlock", SENT | ID, VERDICT_BLOCKS_FOREIGN, "unfinished blocks" },
        { VERB_PUT_BLOCK, CURLE_OK, 409, "BlockCountExceedsLimit", SENT | ID, VERDICT_BLOCKS_FOREIGN, "unfinished blocks" },
        { VERB_PUT_BLOCK_LIST, CURLE_OK, 400, "BlockListTooLong", SENT | ID, VERDICT_PERMANENT, "too many blocks" },
        /* permanent for the path */
        { VERB_PUT_BLOB, CURLE_OK, 400, "InvalidUri", SENT | ID, VERDICT_PERMANENT, "rename" },
        { VERB_PUT_BLOB, CURLE_OK, 400, "InvalidResourceName", SENT | ID, VERDICT_PERMANENT, "rename" },
        { VERB_PUT_BLOB, CURLE_OK, 400, "OutOfRangeInput", SENT | ID, VERDICT_PERMANENT, "rename" },
        { VERB_PUT_BLOB, CURLE_OK, 400, "InvalidHeaderValue", SENT | ID, VERDICT_PERMANENT, "header" },
        { VERB_PUT_BLOB, CURLE_OK, 400, "UnsupportedHeader", SENT | ID, VERDICT_PERMANENT, "header" },
        { VERB_PUT_BLOB, CURLE_OK, 400, "InvalidMetadata", SENT | ID, VERDICT_PERMANENT, "metadata" },
        { VERB_PUT_BLOB, CURLE_OK, 400, "EmptyMetadataKey", SENT | ID, VERDICT_PERMANENT, "metadata" },
        { VERB_SET_METADATA, CURLE_OK, 400, "MetadataTooLarge", SENT | ID, VERDICT_PERMANENT, "8 KiB" },
        { VERB_PUT_BLOB, CURLE_OK, 400, "NeverHeardOf", SENT | ID, VERDICT_PERMANENT, "400 NeverHeardOf" },
        { VERB_PUT_BLOB, CURLE_OK, 400, "", SENT | ID, VERDICT_PERMANENT, "(400)" },
        { VERB_PUT_BLOB, CURLE_OK, 411, "MissingContentLengthHeader", SENT | ID, VERDICT_PERMANENT, "length" },
        { VERB_PUT_BLOB, CURLE_OK, 413, "RequestBodyTooLarge", SENT | ID, VERDICT_PERMANENT, "too large" },
        { VERB_PUT_BLOB, CURLE_OK, 413, "", SENT, VERDICT_PERMANENT, "too large" },
        { VERB_PUT_BLOB, CURLE_OK, 414, "", SENT, VERDICT_PERMANENT, "shorten" },
        { VERB_PUT_BLOB, CURLE_OK, 431, "", SENT, VERDICT_PERMANENT, "shorten" },
        { VERB_BATCH, CURLE_OK, 400, "ExceedsMaxBatchRequestCount", SENT | ID, VERDICT_PERMANENT, "refuses" },
        { VERB_BATCH, CURLE_OK, 501, "APINotImplemented", SENT | ID, VERDICT_PERMANENT, "emulator" },
        { VERB_PUT_BLOB, CURLE_OK, 405, "UnsupportedHttpVerb", SENT | ID, VERDICT_PERMANENT, "endpoint" },
        /* who we are (pitfalls 10.13) */
        { VERB_PUT_BLOB, CURLE_OK, 401, "InvalidAuthenticationInfo", SENT | ID, VERDICT_DENIED, "token" },
        { VERB_PUT_BLOB, CURLE_OK, 400, "InvalidAuthenticationInfo", SENT | ID, VERDICT_DENIED, "auth" },
        { VERB_PUT_BLOB, CURLE_OK, 401, "NoAuthenticationInformation", SENT | ID, VERDICT_DENIED, "credential" },
        { VERB_PUT_BLOB, CURLE_OK, 401, "", SENT | ID, VERDICT_DENIED, "auth" },
        { VERB_PUT_BLOB, CURLE_OK, 403, "AuthenticationFailed", SENT | ID, VERDICT_DENIED, "rotated" },
        { VERB_HEAD_BLOB, CURLE_OK, 403, "AuthenticationFailed", SENT | ID, VERDICT_DENIED, "rotated" },
        { VERB_PUT_BLOB, CURLE_OK, 403, "AuthorizationFailure", SENT | ID, VERDICT_DENIED, "firewall" }, /* Azurite: key */
        { VERB_PUT_BLOB, CURLE_OK, 403, "AuthorizationSourceIPMismatch", SENT | ID, VERDICT_DENIED, "address" },
        { VERB_PUT_BLOB, CURLE_OK, 403, "AuthorizationPermissionMismatch", SENT | ID, VERDICT_DENIED, "10 minutes" },
        { VERB_DELETE_BLOB, CURLE_OK, 403, "InsufficientAccountPermissions", SENT | ID, VERDICT_DENIED, "deleting the blob" },
        { VERB_PUT_BLOB, CURLE_OK, 403, "AuthorizationServiceMismatch", SENT | ID, VERDICT_DENIED, "ss=b" },
        { VERB_CREATE_CONTAINER, CURLE_OK, 403, "AuthorizationResourceTypeMismatch", SENT | ID, VERDICT_DENIED, "srt" },
        { VERB_PUT_BLOB, CURLE_OK, 403, "AuthorizationProtocolMismatch", SENT | ID, VERDICT_DENIED, "https" },
        { VERB_PUT_BLOB, CURLE_OK, 403, "UnauthorizedBlobOverwrite", SENT | ID, VERDICT_DENIED, "overwrite" },
        { VERB_PUT_BLOB, CURLE_OK, 403, "AccountIsDisabled", SENT | ID, VERDICT_DENIED, "disabled" },
        { VERB_PUT_BLOB, CURLE_OK, 403, "", SENT | ID, VERDICT_DENIED, "refused" },
        { VERB_PUT_BLOB, CURLE_OK, 403, "NeverHeardOf", SENT | ID, VERDICT_DENIED, "refused" },
        { VERB_PUT_BLOB, CURLE_OK, 400, "AccountRequiresHttps", SENT | ID, VERDICT_DENIED, "https" },
        { VERB_LIST, CURLE_OK, 404, "ResourceNotFound", SENT | ID, VERDICT_DENIED, "account" }, /* Azurite: no account */
        { VERB_PUT_BLOB, CURLE_OK, 407, "", SENT, VERDICT_DENIED, "proxy" },
        /* pitfalls 10.14: the container */
        { VERB_LIST, CURLE_OK, 404, "ContainerNotFound", SENT | ID, VERDICT_NO_CONTAINER, "container" },
        { VERB_PUT_BLOB, CURLE_OK, 404, "ContainerNotFound", SENT | ID, VERDICT_NO_CONTAINER, "container" },
        { VERB_CREATE_CONTAINER, CURLE_OK, 404, "ContainerNotFound", SENT | ID, VERDICT_NO_CONTAINER, "container" },
        { VERB_HEAD_BLOB, CURLE_OK, 404, "ContainerNotFound", SENT | ID, VERDICT_NO_CONTAINER, "container" },
        { VERB_PUT_BLOB, CURLE_OK, 409, "ContainerDisabled", SENT | ID, VERDICT_NO_CONTAINER, "disabled" },
        { VERB_PUT_BLOB, CURLE_OK, 409, "ContainerBeingDeleted", SENT | ID, VERDICT_NO_CONTAINER, "being deleted" },
        { VERB_CREATE_CONTAINER, CURLE_OK, 409, "ContainerBeingDeleted", SENT | ID, VERDICT_LATER, "being deleted" },
        { VERB_CREATE_CONTAINER, CURLE_OK, 409, "ContainerAlreadyExists", SENT | ID, VERDICT_OK, NULL },
        { VERB_PUT_BLOB, CURLE_OK, 409, "ContainerAlreadyExists", SENT | ID, VERDICT_LATER, "" },
        { VERB_CREATE_CONTAINER, CURLE_OK, 409, "AccountBeingCreated", SENT | ID, VERDICT_LATER, "account" },
        /* the blob */
        { VERB_DELETE_BLOB, CURLE_OK, 404, "BlobNotFound", SENT | ID, VERDICT_MISSING, "does not exist" },
        { VERB_SET_METADATA, CURLE_OK, 404, "BlobNotFound", SENT | ID, VERDICT_MISSING, "does not exist" },
        { VERB_HEAD_BLOB, CURLE_OK, 404, "BlobNotFound", SENT | ID, VERDICT_MISSING, "does not exist" },
        { VERB_HEAD_BLOB, CURLE_OK, 404, "", SENT | ID, VERDICT_MISSING, "does not exist" },
        { VERB_DELETE_BLOB, CURLE_OK, 404, "", SENT | ID, VERDICT_MISSING, "does not exist" },
        { VERB_GET_BLOCK_LIST, CURLE_OK, 404, "BlobNotFound", SENT | ID, VERDICT_MISSING, "does not exist" },
        { VERB_COPY_BLOB, CURLE_OK, 404, "BlobNotFound", SENT | ID, VERDICT_SOURCE_CHANGED, "uploaded instead" },
        { VERB_COPY_BLOB, CURLE_OK, 404, "CannotVerifyCopySource", SENT | ID, VERDICT_SOURCE_CHANGED, "uploaded instead" },
        { VERB_COPY_BLOB, CURLE_OK, 403, "CannotVerifyCopySource", SENT | ID, VERDICT_SOURCE_CHANGED, "uploaded instead" },
        { VERB_COPY_BLOB, CURLE_OK, 412, "SourceConditionNotMet", SENT | ID, VERDICT_SOURCE_CHANGED, "uploaded instead" },
        { VERB_COPY_BLOB, CURLE_OK, 409, "BlobAlreadyExists", SENT | ID, VERDICT_CHANGED, "exists" },
        { VERB_PUT_BLOB, CURLE_OK, 404, "", SENT | ID, VERDICT_RETRY, "endpoint" },
        { VERB_LIST, CURLE_OK, 404, "", SENT | ID, VERDICT_RETRY, "endpoint" },
        /* ... a stranger's 404 says nothing about our blob */
        { VERB_HEAD_BLOB, CURLE_OK, 404, "", SENT, VERDICT_RETRY, "not from the blob service" },
        { VERB_DELETE_BLOB, CURLE_OK, 404, "", SENT, VERDICT_UNKNOWN, "not from the blob service" },
        { VERB_LIST, CURLE_OK, 404, "", SENT, VERDICT_RETRY, "not from the blob service" },
        { VERB_PUT_BLOB, CURLE_OK, 403, "", SENT, VERDICT_UNKNOWN, "not from the blob service" },
        { VERB_PUT_BLOB, CURLE_OK, 412, "", SENT, VERDICT_UNKNOWN, "not from the blob service" },
        { VERB_PUT_BLOB, CURLE_OK, 400, "", SENT, VERDICT_UNKNOWN, "not from the blob service" },
        { VERB_PUT_BLOB, CURLE_OK, 500, "", SENT, VERDICT_UNKNOWN, "not from the blob service" },
        /* pitfalls 10.15: somebody else's */
        { VERB_PUT_BLOB, CURLE_OK, 409, "BlobAlreadyExists", SENT | ID, VERDICT_CHANGED, "somebody else" },
        { VERB_PUT_BLOCK_LIST, CURLE_OK, 412, "ConditionNotMet", SENT | ID, VERDICT_CHANGED, "somebody else" },
        { VERB_DELETE_BLOB, CURLE_OK, 412, "ConditionNotMet", SENT | ID, VERDICT_CHANGED, "somebody else" },
        { VERB_COPY_BLOB, CURLE_OK, 412, "TargetConditionNotMet", SENT | ID, VERDICT_CHANGED, "somebody else" },
        { VERB_HEAD_BLOB, CURLE_OK, 412, "", SENT | ID, VERDICT_CHANGED, "somebody else" },
        { VERB_PUT_BLOB, CURLE_OK, 412, "NeverHeardOf", SENT | ID, VERDICT_CHANGED, "somebody else" },
        { VERB_PUT_BLOB, CURLE_OK, 409, "NeverHeardOf", SENT | ID, VERDICT_LATER, "409 NeverHeardOf" },
        { VERB_PUT_BLOB, CURLE_OK, 409, "", SENT | ID, VERDICT_CHANGED, "" },
        { VERB_GET_BLOB, CURLE_OK, 416, "InvalidRange", SENT | ID, VERDICT_CHANGED, "shorter" },
        /* pitfalls 10.16: states that pass, or need somebody */
        { VERB_DELETE_BLOB, CURLE_OK, 409, "SnapshotsPresent", SENT | ID, VERDICT_SNAPSHOTS, "snapshots" },
        { VERB_PUT_BLOB, CURLE_OK, 409, "PendingCopyOperation", SENT | ID, VERDICT_LATER, "copy" },
        { VERB_PUT_BLOB, CURLE_OK, 409, "BlobBeingRehydrated", SENT | ID, VERDICT_LATER, "archive" },
        { VERB_PUT_BLOB, CURLE_OK, 409, "BlobArchived", SENT | ID, VERDICT_ARCHIVED, "rehydrate" },
        { VERB_PUT_BLOCK, CURLE_OK, 409, "BlobArchived", SENT | ID, VERDICT_ARCHIVED, "rehydrate" },
        { VERB_PUT_BLOB, CURLE_OK, 412, "LeaseIdMissing", SENT | ID, VERDICT_LEASED, "lease" },
        { VERB_PUT_BLOB, CURLE_OK, 409, "LeaseIdMismatchWithBlobOperation", SENT | ID, VERDICT_LEASED, "lease" },
        { VERB_DELETE_BLOB, CURLE_OK, 409, "LeaseAlreadyPresent", SENT | ID, VERDICT_LEASED, "lease" },
        { VERB_PUT_BLOB, CURLE_OK, 409, "BlobImmutableDueToPolicy", SENT | ID, VERDICT_PERMANENT, "policy" },
        { VERB_DELETE_BLOB, CURLE_OK, 409, "BlobImmutableDueToLegalHold", SENT | ID, VERDICT_PERMANENT, "legal hold" },
        { VERB_PUT_BLOB, CURLE_OK, 409, "InvalidBlobType", SENT | ID, VERDICT_PERMANENT, "another type" },
        { VERB_PUT_BLOCK, CURLE_OK, 409, "BlobOperationNotSupported", SENT | ID, VERDICT_PERMANENT, "written anew" },
        { VERB_PUT_BLOB, CURLE_OK, 409, "FeatureNotSupportedForAccount", SENT | ID, VERDICT_PERMANENT, "tier" },
        { VERB_PUT_BLOB, CURLE_OK, 409, "FeatureVersionMismatch", SENT | ID, VERDICT_PERMANENT, "version" },
        { VERB_DELETE_BLOB, CURLE_OK, 409, "DirectoryIsNotEmpty", SENT | ID, VERDICT_PERMANENT, "folder" }, /* azure-blob.md 1.9 */
        { VERB_PUT_BLOB, CURLE_OK, 409, "PathAlreadyExists", SENT | ID, VERDICT_PERMANENT, "folder" },
        { VERB_PUT_BLOB, CURLE_OK, 400, "InvalidBlobTier", SENT | ID, VERDICT_PERMANENT, "tier" },
        /* clang-format on */
};

static Verdict judge(size_t i, int64_t skew, Error *e) {
        const AnswerInput in = {
                .verb = rows[i].verb,
                .result = rows[i].result,
                .sent = rows[i].there & SENT,
                .status = rows[i].status,
                .code = rows[i].code,
                .has_request_id = rows[i].there & ID,
                .has_etag = rows[i].there & ETAG,
                .md5_differs = rows[i].there & WRONG_MD5,
                .clock_skew_ns = skew,
                .curl_error = NULL,
        };

        return answer_verdict(&in, e);
}

static void test_table(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Error e = ERROR_NULL;
                Verdict v = judge(i, 0, &e);

                if (v != rows[i].verdict)
                        fail_msg("row %zu (verb %d, curl %d, status %ld, code %s): %s", i, (int) rows[i].verb,
                                 (int) rows[i].result, rows[i].status, rows[i].code, verdict_name(v));
                assert_int_equal(judge(i, 0, NULL), v);
                if (!rows[i].words) {
                        assert_int_equal(e.code, 0);
                        assert_string_equal(e.text, "");
                        continue;
                }
                if (!strstr(e.text, rows[i].words))
                        fail_msg("row %zu: \"%s\" does not say \"%s\"", i, e.text, rows[i].words);
                assert_true(e.code < 0);
                if (e.domain == ERROR_AZURE) {
                        assert_int_equal(e.native, rows[i].status);
                        assert_string_equal(e.detail, rows[i].code);
                        assert_true(rows[i].code[0] == '\0' || strstr(e.text, rows[i].code));
                } else {
                        assert_int_equal(e.domain, ERROR_CURL);
                        assert_int_equal(e.native, rows[i].result);
                }
        }
}

/* pitfalls 10.11: the same 403 means the clock if the answer's Date is far from ours; small differences and other
 * refusals do not.
 */
static void test_clock(void **state) {
        static const struct {
                long status;
                const char *code;
                int64_t skew;
                Verdict verdict;
                const char *words;
        } clocks[] = {
                { 403, "AuthenticationFailed", 37 * MIN_NS, VERDICT_CLOCK, "37 min slow" },
                { 403, "AuthenticationFailed", -37 * MIN_NS, VERDICT_CLOCK, "37 min fast" },
                { 403, "AuthorizationFailure", 37 * MIN_NS, VERDICT_CLOCK, "37 min slow" },
                { 403, "", 16 * MIN_NS, VERDICT_CLOCK, "16 min slow" },
                { 401, "InvalidAuthenticationInfo", -16 * MIN_NS, VERDICT_CLOCK, "16 min fast" },
                { 403, "AuthenticationFailed", 15 * MIN_NS, VERDICT_DENIED, "rotated" },
                { 403, "AuthenticationFailed", -15 * MIN_NS, VERDICT_DENIED, "rotated" },
                { 403, "AuthenticationFailed", INT64_MAX, VERDICT_CLOCK, "slow" },
                { 403, "AuthenticationFailed", INT64_MIN, VERDICT_CLOCK, "fast" },
                { 403, "AuthorizationPermissionMismatch", 37 * MIN_NS, VERDICT_DENIED, "right" },
                { 403, "AccountIsDisabled", 37 * MIN_NS, VERDICT_DENIED, "disabled" },
                { 412, "ConditionNotMet", 37 * MIN_NS, VERDICT_CHANGED, "" },
                { 503, "ServerBusy", 37 * MIN_NS, VERDICT_BUSY, "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(clocks); i++) {
                const AnswerInput in = { .verb = VERB_PUT_BLOB,
                                         .sent = true,
                                         .status = clocks[i].status,
                                         .code = clocks[i].code,
                                         .has_request_id = true,
                                         .clock_skew_ns = clocks[i].skew };
                Error e = ERROR_NULL;

                assert_int_equal(answer_verdict(&in, &e), clocks[i].verdict);
                assert_non_null(strstr(e.text, clocks[i].words));
        }
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) /* a success is one whatever the clock says */
                if (rows[i].verdict == VERDICT_OK)
                        assert_int_equal(judge(i, 37 * MIN_NS, NULL), VERDICT_OK);
}

/* What to do is shown apart by azsyncctl doctor, whatever curl's words hold. */
static void test_hint(void **state) {
        AnswerInput in = { .verb = VERB_LIST, .sent = true, .status = 403, .code = "AccountIsDisabled" };
        Error e = ERROR_NULL;

        (void) answer_verdict(&in, &e);
        assert_string_equal(answer_hint(&e), "check the subscription");
        in = (AnswerInput){ .verb = VERB_LIST, .code = "", .result = CURLE_COULDNT_RESOLVE_HOST };
        in.curl_error = "Could not resolve host (again): odd): x";
        (void) answer_verdict(&in, &e);
        assert_string_equal(answer_hint(&e), "no network, or is the account's name right?");
        in = (AnswerInput){ .verb = VERB_HEAD_BLOB, .status = 404, .code = "BlobNotFound" };
        (void) answer_verdict(&in, &e);
        assert_ptr_equal(answer_hint(&e), e.text + strlen(e.text));
}

/* pitfalls 11.2: it is this machine's trouble, not the service's. */
static void test_shortage(void **state) {
        AnswerInput in = {
                .verb = VERB_PUT_BLOB, .result = CURLE_COULDNT_CONNECT, .shortage = EMFILE, .code = "", .curl_error = ""
        };
        Error e = ERROR_NULL;

        assert_int_equal(answer_verdict(&in, &e), VERDICT_RETRY);
        assert_int_equal(e.code, -EMFILE);
        assert_non_null(strstr(e.text, "no file descriptor is left"));
        assert_null(strstr(e.text, "reachable"));
        assert_non_null(strstr(answer_hint(&e), "LimitNOFILE="));
}

/* Codes and words of a peer are shown, so they must be harmless. */
static void test_hostile_words(void **state) {
        char code[300], words[2000];
        AnswerInput in = {
                .verb = VERB_PUT_BLOB, .sent = true, .status = 400, .code = "a\n\x1b[2J\xff<b>", .has_request_id = true
        };
        Error e = ERROR_NULL;

        assert_int_equal(answer_verdict(&in, &e), VERDICT_PERMANENT);
        assert_string_equal(e.detail, "a???2J??b?");
        memset(code, 'A', sizeof(code));
        code[sizeof(code) - 1] = '\0';
        in.code = code;
        assert_int_equal(answer_verdict(&in, &e), VERDICT_PERMANENT);
        assert_int_equal(strlen(e.detail), 63);

        memset(words, '\x1b', sizeof(words));
        words[sizeof(words) - 1] = '\0';
        in.code = "";
        in.result = CURLE_RECV_ERROR;
        in.status = 0;
        in.curl_error = words;
        assert_int_equal(answer_verdict(&in, &e), VERDICT_UNKNOWN);
        assert_null(strchr(e.text, '\x1b'));
        assert_non_null(strstr(e.text, "looked at")); /* the advice is not pushed out */
        in.curl_error = "Connection reset by peer";
        assert_int_equal(answer_verdict(&in, &e), VERDICT_UNKNOWN);
        assert_non_null(strstr(e.text, "(Connection reset by peer)"));
}

/* Whatever comes: a verdict, words, and never a success by accident. */
static void test_every_status(void **state) {
        static const char *const codes[] = { "", "X", "BlobNotFound", "ConditionNotMet", "ServerBusy" };

        for (int verb = VERB_CREATE_CONTAINER; verb <= VERB_SERVICE_PROPERTIES; verb++)
                for (long status = -1; status < 1000; status++)
                        for (size_t c = 0; c < ELEMENTSOF(codes); c++) {
                                AnswerInput in = { .verb = (AzureVerb) verb,
                                                   .sent = true,
                                                   .status = status,
                                                   .code = codes[c],
                                                   .has_request_id = true };
                                Error e = ERROR_NULL;
                                Verdict v = answer_verdict(&in, &e);

                                assert_string_not_equal(verdict_name(v), "none");
                                if (v == VERDICT_OK)
                                        assert_true(status >= 200 && status <= 206);
                                else if (v != VERDICT_UNCHANGED)
                                        assert_true(e.text[0] != '\0' && e.code < 0 &&
                                                    utf8_valid(e.text, strlen(e.text)));
                        }
        assert_string_equal(verdict_name((Verdict) 99), "none");
        for (int v = VERDICT_OK; v <= VERDICT_OFFLINE; v++)
                for (int w = VERDICT_OK; w < v; w++)
                        assert_string_not_equal(verdict_name((Verdict) v), verdict_name((Verdict) w));
}

#define NOW (INT64_C(1767225600) * NSEC_PER_SEC) /* Thu, 01 Jan 2026 00:00:00 GMT */
#define HEAD "HTTP/1.1 503 Busy\r\nServer: x\r\n"

static void test_retry_after(void **state) {
        static const struct {
                const char *headers;
                int64_t wait;
        } waits[] = {
                { "", 0 },
                { HEAD "\r\n", 0 },
                { HEAD "Retry-After: 7\r\n\r\n", 7 * NSEC_PER_SEC },
                { HEAD "retry-after:7\r\n\r\n", 7 * NSEC_PER_SEC },
                { HEAD "Retry-After: 0\r\n\r\n", 0 },
                { HEAD "Retry-After-Ms: 250\r\n\r\n", 250 * NSEC_PER_MSEC },
                { HEAD "x-ms-retry-after-ms: 250\r\nRetry-After: 9\r\n\r\n", 250 * NSEC_PER_MSEC },
                { HEAD "Retry-After: 9\r\nx-ms-retry-after-ms: 300\r\nretry-after-ms: 200\r\n\r\n",
                  200 * NSEC_PER_MSEC },
                { HEAD "retry-after-ms: soon\r\nRetry-After: 9\r\n\r\n", 9 * NSEC_PER_SEC },
                { HEAD "Retry-After: 600\r\n\r\n", 600 * NSEC_PER_SEC },
                { HEAD "Retry-After: 601\r\n\r\n", 600 * NSEC_PER_SEC },
                { HEAD "Retry-After: 99999999999999999999999999999999\r\n\r\n", 600 * NSEC_PER_SEC },
                { HEAD "retry-after-ms: 18446744073709551616\r\n\r\n", 600 * NSEC_PER_SEC },
                { HEAD "retry-after-ms: 600001\r\n\r\n", 600 * NSEC_PER_SEC },
                { HEAD "retry-after-ms: 599999\r\n\r\n", 599999 * NSEC_PER_MSEC },
                { HEAD "Retry-After: -5\r\n\r\n", 0 },
                { HEAD "Retry-After: 5.5\r\n\r\n", 0 },
                { HEAD "Retry-After: 0x10\r\n\r\n", 0 },
                { HEAD "Retry-After: \r\n\r\n", 0 },
                { HEAD "Retry-After: soon\r\n\r\n", 0 },
                { HEAD "Retry-After: Thu, 01 Jan 2026 00:00:30 GMT\r\n\r\n", 30 * NSEC_PER_SEC },
                { HEAD "Retry-After: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n", 0 },
                { HEAD "Retry-After: Wed, 31 Dec 2025 23:00:00 GMT\r\n\r\n", 0 },
                { HEAD "Retry-After: Thu, 01 Jan 2026 09:00:00 GMT\r\n\r\n", 600 * NSEC_PER_SEC },
                { HEAD "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT\r\n\r\n", 600 * NSEC_PER_SEC },
                { HEAD "Retry-After: Thu, 99 Foo 2026 99:99:99 GMT\r\n\r\n", 0 },
                { HEAD "X-Retry-After: 7\r\n\r\n", 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(waits); i++)
                if (answer_retry_after(waits[i].headers, NOW) != waits[i].wait)
                        fail_msg("%s: %lld", waits[i].headers, (long long) answer_retry_after(waits[i].headers, NOW));
        /* half a second into the second of our clock */
        assert_int_equal(
                answer_retry_after(HEAD "Retry-After: Thu, 01 Jan 2026 00:10:00 GMT\r\n\r\n", NOW + NSEC_PER_SEC / 2),
                600 * NSEC_PER_SEC - NSEC_PER_SEC / 2);
        /* clocks that are far off, in either direction */
        assert_int_equal(answer_retry_after(HEAD "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT\r\n\r\n", INT64_MIN),
                         600 * NSEC_PER_SEC);
        assert_int_equal(answer_retry_after(HEAD "Retry-After: Thu, 01 Jan 2026 00:00:30 GMT\r\n\r\n", INT64_MAX), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_table),         cmocka_unit_test(test_clock),
                cmocka_unit_test(test_hint),          cmocka_unit_test(test_shortage),
                cmocka_unit_test(test_hostile_words), cmocka_unit_test(test_every_status),
                cmocka_unit_test(test_retry_after),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
