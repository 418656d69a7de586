#include "azure/answer.h"

#include "http/http.h"
#include "util/clock.h"
#include "util/path.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define CLOCK_LIMIT (INT64_C(15) * 60 * NSEC_PER_SEC) /* what the service puts up with (10.11) */
#define RETRY_AFTER_MAX (INT64_C(10) * 60 * NSEC_PER_SEC)

#define BIT(verb) (1U << (verb))
#define ALL_VERBS UINT32_MAX
#define READS                                                                                   \
        (BIT(VERB_LIST) | BIT(VERB_GET_BLOCK_LIST) | BIT(VERB_HEAD_BLOB) | BIT(VERB_GET_BLOB) | \
         BIT(VERB_ACCOUNT_INFO) | BIT(VERB_SERVICE_PROPERTIES))
#define ON_BLOBS                                                                                        \
        (BIT(VERB_GET_BLOCK_LIST) | BIT(VERB_HEAD_BLOB) | BIT(VERB_GET_BLOB) | BIT(VERB_SET_METADATA) | \
         BIT(VERB_DELETE_BLOB))
/* These answer with the blob's ETag; what they say counts only with it (10.1). */
#define ETAG_EXPECTED                                                                                   \
        (BIT(VERB_PUT_BLOB) | BIT(VERB_PUT_BLOCK_LIST) | BIT(VERB_SET_METADATA) | BIT(VERB_COPY_BLOB) | \
         BIT(VERB_HEAD_BLOB) | BIT(VERB_GET_BLOB))

static bool is_one_of(AzureVerb verb, uint32_t verbs) {
        return (verbs & BIT(verb)) != 0;
}

/* What the service says by name. The first row that fits counts; a status of 0 fits any, a `code` ending in '*' all
 * that begin so. The words say what is wrong and, after the code, what to do. */
typedef struct CodeRow {
        int status;
        const char *code;
        uint32_t verbs;
        Verdict verdict;
        const char *what, *hint;
} CodeRow;

/* clang-format off */
static const CodeRow code_rows[] = {
        /* the bytes */
        { 400, "Md5Mismatch", ALL_VERBS, VERDICT_CORRUPTED, "the bytes did not arrive as they were sent", "the file is read and sent again" },
        { 400, "Crc64Mismatch", ALL_VERBS, VERDICT_CORRUPTED, "the bytes did not arrive as they were sent", "the file is read and sent again" },
        /* Azurite 3.35 says this for a wrong MD5 (azure-blob.md 3) */
        { 400, "InvalidOperation", BIT(VERB_PUT_BLOB) | BIT(VERB_PUT_BLOCK), VERDICT_CORRUPTED, "the bytes did not arrive as they were sent", "the file is read and sent again" },
        { 500, "FeatureNotSupported", BIT(VERB_PUT_BLOB) | BIT(VERB_PUT_BLOCK), VERDICT_CRC_REFUSED, "the service does not take CRC64 checksums", "MD5 is used instead" },
        /* blocks */
        { 400, "InvalidBlockList", ALL_VERBS, VERDICT_BLOCKS_GONE, "blocks that were sent are no longer there", "the missing ones are sent again" },
        { 400, "InvalidBlobOrBlock", ALL_VERBS, VERDICT_BLOCKS_FOREIGN, "another program has left unfinished blocks under this name", "they are cleared first" },
        { 409, "BlockCountExceedsLimit", ALL_VERBS, VERDICT_BLOCKS_FOREIGN, "too many unfinished blocks under this name", "they are cleared first" },
        /* who we are */
        { 401, "NoAuthenticationInformation", ALL_VERBS, VERDICT_DENIED, "the service saw no credential", "check `auth` of the account, and whether a proxy removes the Authorization header" },
        { 0, "InvalidAuthenticationInfo", ALL_VERBS, VERDICT_DENIED, "the credential is not accepted", "check `auth` of the account; a token may have expired" },
        { 403, "AuthenticationFailed", ALL_VERBS, VERDICT_DENIED, "the account key or SAS is not accepted", "check it: the key may have been rotated, the SAS may have expired (a new credential of systemd needs a restart)" },
        { 403, "AuthorizationFailure", ALL_VERBS, VERDICT_DENIED, "access refused", "check the account's firewall and network rules; the emulator says this for a wrong key" },
        { 403, "AuthorizationSourceIPMismatch", ALL_VERBS, VERDICT_DENIED, "this machine's address is not allowed", "check the address range of the SAS" },
        { 403, "AuthorizationPermissionMismatch", ALL_VERBS, VERDICT_DENIED, "the SAS or role lacks the right", "grant it (role Storage Blob Data Contributor, or sp=rcwdl); a new role takes up to 10 minutes" },
        { 403, "InsufficientAccountPermissions", ALL_VERBS, VERDICT_DENIED, "the SAS or role lacks the right", "grant it (role Storage Blob Data Contributor, or sp=rcwdl); a new role takes up to 10 minutes" },
        { 403, "UnauthorizedBlobOverwrite", ALL_VERBS, VERDICT_DENIED, "the SAS or role may create blobs, but not overwrite them", "grant the right to write (sp=...w)" },
        { 403, "AuthorizationServiceMismatch", ALL_VERBS, VERDICT_DENIED, "the SAS is not for blobs", "make one with ss=b" },
        { 403, "AuthorizationResourceTypeMismatch", ALL_VERBS, VERDICT_DENIED, "the SAS is not for this kind of resource", "make one with srt=co, or give a container that exists" },
        { 403, "AuthorizationProtocolMismatch", ALL_VERBS, VERDICT_DENIED, "the SAS does not allow this protocol", "use https" },
        { 0, "AccountRequiresHttps", ALL_VERBS, VERDICT_DENIED, "the account accepts https only", "use https in the endpoint" },
        { 0, "AccountIsDisabled", ALL_VERBS, VERDICT_DENIED, "the account is disabled", "check the subscription" },
        { 0, "AccountBeingCreated", ALL_VERBS, VERDICT_LATER, "the account is being created", "it is tried again in minutes" },
        { 404, "ResourceNotFound", ALL_VERBS, VERDICT_DENIED, "the account does not exist at this endpoint", "check the account's name and endpoint" },
        { 403, "CannotVerifyCopySource", BIT(VERB_COPY_BLOB), VERDICT_SOURCE_CHANGED, "the blob to copy from cannot be read", "the file is uploaded instead" },
        { 403, "", ALL_VERBS, VERDICT_DENIED, "access refused", "check the rights of the credential and the account's network rules" },
        { 401, "", ALL_VERBS, VERDICT_DENIED, "the credential is not accepted", "check `auth` of the account" },
        { 407, "", ALL_VERBS, VERDICT_DENIED, "the proxy wants a login", "check `proxy` of the account" },
        /* what is there */
        { 404, "ContainerNotFound", ALL_VERBS, VERDICT_NO_CONTAINER, "the container does not exist", "was it deleted? Create it, then approve the mapping" },
        { 0, "ContainerDisabled", ALL_VERBS, VERDICT_NO_CONTAINER, "the container is disabled", "check it in the portal" },
        { 0, "ContainerBeingDeleted", BIT(VERB_CREATE_CONTAINER), VERDICT_LATER, "the container is being deleted", "it is tried again in minutes" },
        { 0, "ContainerBeingDeleted", ALL_VERBS, VERDICT_NO_CONTAINER, "the container is being deleted", "was that meant?" },
        { 409, "ContainerAlreadyExists", BIT(VERB_CREATE_CONTAINER), VERDICT_OK, "", "" },
        { 0, "CannotVerifyCopySource", BIT(VERB_COPY_BLOB), VERDICT_SOURCE_CHANGED, "the blob to copy from cannot be read", "the file is uploaded instead" },
        { 404, "BlobNotFound", BIT(VERB_COPY_BLOB), VERDICT_SOURCE_CHANGED, "the blob to copy from is gone", "the file is uploaded instead" },
        { 404, "SourcePathNotFound", ALL_VERBS, VERDICT_SOURCE_CHANGED, "the blob to copy from is gone", "the file is uploaded instead" },
        { 409, "SourcePathIsBeingDeleted", ALL_VERBS, VERDICT_SOURCE_CHANGED, "the blob to copy from is being deleted", "the file is uploaded instead" },
        { 412, "SourceConditionNotMet", ALL_VERBS, VERDICT_SOURCE_CHANGED, "the blob to copy from has changed", "the file is uploaded instead" },
        { 404, "BlobNotFound", ALL_VERBS, VERDICT_MISSING, "the blob does not exist", "" },
        { 404, "", BIT(VERB_COPY_BLOB), VERDICT_SOURCE_CHANGED, "the blob to copy from is gone", "the file is uploaded instead" },
        { 404, "", ON_BLOBS, VERDICT_MISSING, "the blob does not exist", "" },
        { 409, "BlobAlreadyExists", ALL_VERBS, VERDICT_CHANGED, "the blob exists already", "somebody else may have written it" },
        { 412, "ConditionNotMet", ALL_VERBS, VERDICT_CHANGED, "the blob has changed in the cloud", "somebody else may have written it" },
        { 412, "TargetConditionNotMet", ALL_VERBS, VERDICT_CHANGED, "the blob has changed in the cloud", "somebody else may have written it" },
        { 416, "InvalidRange", ALL_VERBS, VERDICT_CHANGED, "the blob is shorter than it was", "it is read again" },
        { 409, "", ALL_VERBS, VERDICT_CHANGED, "the blob is not in the expected state", "it is looked at again" },
        { 416, "", ALL_VERBS, VERDICT_CHANGED, "the blob is shorter than it was", "it is read again" },
        /* states that pass, or need somebody */
        { 409, "SnapshotsPresent", ALL_VERBS, VERDICT_SNAPSHOTS, "the blob has snapshots", "they are deleted with it" },
        { 409, "PendingCopyOperation", ALL_VERBS, VERDICT_LATER, "a copy to this blob is under way", "it is tried again in minutes" },
        { 409, "BlobBeingRehydrated", ALL_VERBS, VERDICT_LATER, "the blob is being brought back from the archive tier", "it is tried again later; this can take hours" },
        { 409, "BlobArchived", ALL_VERBS, VERDICT_ARCHIVED, "the blob is in the archive tier, where it cannot be replaced", "rehydrate or delete the blob, or exclude the file" },
        { 0, "Lease*", ALL_VERBS, VERDICT_LEASED, "somebody holds a lease on the blob", "it is tried again in minutes; break the lease if its holder is gone" },
        /* never */
        { 409, "BlobImmutable*", ALL_VERBS, VERDICT_PERMANENT, "a retention policy or legal hold protects the blob", "exclude the file, or lift the policy" },
        { 409, "ContainerImmutable*", ALL_VERBS, VERDICT_PERMANENT, "a retention policy or legal hold protects the container", "exclude the file, or lift the policy" },
        { 409, "InvalidBlobType", ALL_VERBS, VERDICT_PERMANENT, "a blob of another type has this name", "delete it, or rename the file" },
        { 409, "BlobOperationNotSupported", ALL_VERBS, VERDICT_PERMANENT, "the account does not offer this operation for the blob", "delete the blob, so that it can be written anew" },
        { 0, "FeatureNotSupportedForAccount", ALL_VERBS, VERDICT_PERMANENT, "the account does not offer this", "check the mapping's `tier` and the kind of account" },
        { 0, "FeatureVersionMismatch", ALL_VERBS, VERDICT_PERMANENT, "the blob needs a newer protocol version", "delete it, or exclude the file" },
        { 0, "BlobUsesCustomerSpecifiedEncryption", ALL_VERBS, VERDICT_PERMANENT, "the blob is encrypted with a key of somebody else's", "delete it, or exclude the file" },
        { 409, "DirectoryIsNotEmpty", ALL_VERBS, VERDICT_PERMANENT, "a folder that is not empty has this name", "remove what is in it" },
        { 409, "Path*", ALL_VERBS, VERDICT_PERMANENT, "a folder has this name in the cloud", "rename the file, or remove the folder there" },
        { 409, "ResourceTypeMismatch", ALL_VERBS, VERDICT_PERMANENT, "a folder has this name in the cloud", "rename the file, or remove the folder there" },
        { 0, "InvalidBlobTier", ALL_VERBS, VERDICT_PERMANENT, "the account does not have this access tier", "check the mapping's `tier`" },
        { 0, "AccessTierNotSupported*", ALL_VERBS, VERDICT_PERMANENT, "the account does not have this access tier", "check the mapping's `tier`" },
        { 0, "BlobAccessTierNotSupported*", ALL_VERBS, VERDICT_PERMANENT, "the account does not have this access tier", "check the mapping's `tier`" },
        { 0, "BlobTierInadequateForContentLength", ALL_VERBS, VERDICT_PERMANENT, "the blob is too large for this access tier", "check the mapping's `tier`" },
        { 400, "InvalidUri", ALL_VERBS, VERDICT_PERMANENT, "the service refuses this name", "rename the file" },
        { 400, "InvalidResourceName", ALL_VERBS, VERDICT_PERMANENT, "the service refuses this name", "rename the file, or check the name of the container" },
        { 400, "OutOfRangeInput", ALL_VERBS, VERDICT_PERMANENT, "the service refuses this name or value", "rename the file, or check the name of the container" },
        { 400, "MetadataTooLarge", ALL_VERBS, VERDICT_PERMANENT, "the file's metadata is too large", "it can hold 8 KiB" },
        { 400, "InvalidMetadata", ALL_VERBS, VERDICT_PERMANENT, "the service refuses the file's metadata", "please report this" },
        { 400, "EmptyMetadataKey", ALL_VERBS, VERDICT_PERMANENT, "the service refuses the file's metadata", "please report this" },
        { 400, "BlockListTooLong", ALL_VERBS, VERDICT_PERMANENT, "the file has too many blocks", "please report this" },
        { 400, "InvalidHeaderValue", ALL_VERBS, VERDICT_PERMANENT, "the service refuses a header", "the server may be too old for this program" },
        { 400, "UnsupportedHeader", ALL_VERBS, VERDICT_PERMANENT, "the service refuses a header", "the server may be too old for this program" },
        { 413, "", ALL_VERBS, VERDICT_PERMANENT, "the request is too large for the service", "the file may be too large" },
        { 413, "*", ALL_VERBS, VERDICT_PERMANENT, "the request is too large for the service", "the file may be too large" },
        { 414, "", ALL_VERBS, VERDICT_PERMANENT, "the name is too long", "shorten it" },
        { 431, "", ALL_VERBS, VERDICT_PERMANENT, "the request's headers are too large", "shorten the file's name" },
        { 411, "*", ALL_VERBS, VERDICT_PERMANENT, "the service wants a length", "please report this" },
        { 501, "*", ALL_VERBS, VERDICT_PERMANENT, "the server does not offer this operation", "it may be too old, or an emulator" },
        /* passing troubles */
        { 500, "OperationTimedOut", READS, VERDICT_BUSY, "the service took too long", "it is tried again" },
        { 0, "OperationTimedOut", ~READS, VERDICT_UNKNOWN, "the service took too long: the write may have happened", "it is looked at, then tried again" },
        { 429, "*", ALL_VERBS, VERDICT_BUSY, "the service is throttling", "it is tried again more slowly" },
        { 503, "*", ALL_VERBS, VERDICT_BUSY, "the service is busy or throttling", "it is tried again more slowly" },
        { 500, "*", ALL_VERBS, VERDICT_BUSY, "the service had an internal error", "it is tried again" },
        { 408, "*", ALL_VERBS, VERDICT_RETRY, "the service waited too long for the request", "it is tried again" },
        /* codes nobody knows */
        { 401, "*", ALL_VERBS, VERDICT_DENIED, "the credential is not accepted", "check `auth` of the account" },
        { 403, "*", ALL_VERBS, VERDICT_DENIED, "access refused", "check the rights of the credential and the account's network rules" },
        { 412, "*", ALL_VERBS, VERDICT_CHANGED, "the blob has changed in the cloud", "somebody else may have written it" },
        { 409, "*", ALL_VERBS, VERDICT_LATER, "the service refuses this for now", "it is tried again in minutes" },
        { 404, "*", ALL_VERBS, VERDICT_RETRY, "the service does not find it", "check the endpoint" },
        { 400, "*", ALL_VERBS, VERDICT_PERMANENT, "the service refuses the request", "please report this" },
        { 405, "*", ALL_VERBS, VERDICT_PERMANENT, "the server does not know this operation", "check the endpoint: is it the blob service?" },
        { 416, "*", ALL_VERBS, VERDICT_CHANGED, "the blob is shorter than it was", "it is read again" },
};

static const struct {
        const char *name;
        int code; /* for Error */
} verdicts[] = {
        [VERDICT_OK] = { "ok", 0 },
        [VERDICT_RETRY] = { "retry", -EAGAIN },
        [VERDICT_BUSY] = { "busy", -EBUSY },
        [VERDICT_UNKNOWN] = { "unknown", -EIO },
        [VERDICT_MISSING] = { "missing", -ENOENT },
        [VERDICT_CHANGED] = { "changed", -ESTALE },
        [VERDICT_SOURCE_CHANGED] = { "source-changed", -ESTALE },
        [VERDICT_UNCHANGED] = { "unchanged", 0 },
        [VERDICT_CORRUPTED] = { "corrupted", -EBADMSG },
        [VERDICT_CRC_REFUSED] = { "crc-refused", -EOPNOTSUPP },
        [VERDICT_BLOCKS_GONE] = { "blocks-gone", -ENODATA },
        [VERDICT_BLOCKS_FOREIGN] = { "blocks-foreign", -EEXIST },
        [VERDICT_LEASED] = { "leased", -EBUSY },
        [VERDICT_LATER] = { "later", -EBUSY },
        [VERDICT_SNAPSHOTS] = { "snapshots", -ENOTEMPTY },
        [VERDICT_ARCHIVED] = { "archived", -EROFS },
        [VERDICT_PERMANENT] = { "permanent", -EINVAL },
        [VERDICT_NO_CONTAINER] = { "no-container", -ENXIO },
        [VERDICT_DENIED] = { "denied", -EACCES },
        [VERDICT_CLOCK] = { "clock", -ETIME },
        [VERDICT_TLS] = { "tls", -EPROTO },
        [VERDICT_OFFLINE] = { "offline", -EHOSTUNREACH },
};
/* clang-format on */

static const char *const verb_words[] = {
        [VERB_CREATE_CONTAINER] = "creating the container",
        [VERB_LIST] = "listing the container",
        [VERB_PUT_BLOB] = "writing the blob",
        [VERB_PUT_BLOCK] = "writing a block",
        [VERB_PUT_BLOCK_LIST] = "committing the blocks",
        [VERB_GET_BLOCK_LIST] = "asking for the blocks",
        [VERB_HEAD_BLOB] = "asking for the blob's properties",
        [VERB_GET_BLOB] = "reading the blob",
        [VERB_SET_METADATA] = "setting the blob's metadata",
        [VERB_COPY_BLOB] = "copying the blob",
        [VERB_DELETE_BLOB] = "deleting the blob",
        [VERB_BATCH] = "deleting blobs",
        [VERB_ACCOUNT_INFO] = "asking about the account",
        [VERB_SERVICE_PROPERTIES] = "asking about the service",
};

const char *verdict_name(Verdict v) {
        return (size_t) v < ELEMENTSOF(verdicts) ? verdicts[v].name : "none";
}

/* The code as it may be shown: a peer wrote it. */
static void code_shown(const char *code, char ret[static 64]) {
        size_t n = 0;

        for (; code[n] != '\0' && n < 63; n++)
                ret[n] = (code[n] >= '0' && code[n] <= '9') || (code[n] >= 'A' && code[n] <= 'Z') ||
                                         (code[n] >= 'a' && code[n] <= 'z')
                                 ? code[n]
                                 : '?';
        ret[n] = '\0';
}

/* "writing the blob: access refused (403 AuthorizationFailure): check ..." */
static Verdict say(const AnswerInput *in, Error *e, Verdict v, const char *what, const char *hint) {
        char code[64];

        code_shown(in->code, code);
        (void) error_set(e, verdicts[v].code, ERROR_AZURE, (int) in->status, "%s: %s (%ld%s%s)%s%s",
                         verb_words[in->verb], what, in->status, code[0] ? " " : "", code, hint[0] ? ": " : "", hint);
        if (e)
                memcpy(e->detail, code, sizeof(code));
        return v;
}

const char *answer_hint(const Error *e) {
        const char *hint = e->text + strlen(e->text);

        /* the last one: what stands in the brackets may be anything, curl's words too */
        for (const char *p = strstr(e->text, "): "); p; p = strstr(p + 1, "): "))
                hint = p + strlen("): ");
        return hint;
}

/* What cannot be relied on: a read is simply repeated, a write may have happened (10.1, L4). */
static Verdict say_unsure(const AnswerInput *in, Error *e, const char *what, const char *hint) {
        return say(in, e, is_one_of(in->verb, READS) ? VERDICT_RETRY : VERDICT_UNKNOWN, what, hint);
}

static Verdict say_curl(const AnswerInput *in, Error *e, Verdict v, const char *what, const char *hint) {
        const char *words = in->curl_error && in->curl_error[0] ? in->curl_error : curl_easy_strerror(in->result);
        char shown[256];

        (void) error_set(e, verdicts[v].code, ERROR_CURL, (int) in->result, "%s: %s (%s)%s%s", verb_words[in->verb],
                         what, path_display(words, strlen(words), shown, sizeof(shown)), hint[0] ? ": " : "", hint);
        return v;
}

/* The transfer itself failed. */
static Verdict judge_transport(const AnswerInput *in, Error *e) {
        if (in->shortage != 0) {
                (void) error_set(e, -in->shortage, ERROR_OS, in->shortage,
                                 "%s: no file descriptor is left for a connection (%s): it is tried again; "
                                 "LimitNOFILE= of azsyncd.service, or sysctl fs.file-max, allows more",
                                 verb_words[in->verb], strerror(in->shortage));
                return VERDICT_RETRY;
        }
        switch (in->result) {
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_ISSUER_ERROR:
        case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
        case CURLE_SSL_INVALIDCERTSTATUS:
                return say_curl(in, e, VERDICT_TLS, "the server's certificate is not accepted",
                                "check `ca-file` and the clock; something on the way may be intercepting TLS");
        case CURLE_SSL_CACERT_BADFILE:
        case CURLE_SSL_CRL_BADFILE:
                return say_curl(in, e, VERDICT_TLS, "the file with the trusted certificates cannot be read",
                                "check `ca-file` of the account");
        case CURLE_SSL_CERTPROBLEM:
        case CURLE_SSL_CLIENTCERT:
        case CURLE_SSL_CIPHER:
        case CURLE_SSL_ENGINE_NOTFOUND:
        case CURLE_SSL_ENGINE_SETFAILED:
        case CURLE_SSL_ENGINE_INITFAILED:
        case CURLE_USE_SSL_FAILED:
                return say_curl(in, e, VERDICT_TLS, "no TLS connection can be made", "check the TLS set-up");
        case CURLE_COULDNT_RESOLVE_HOST:
                return say_curl(in, e, VERDICT_OFFLINE, "the service's name is not found",
                                "no network, or is the account's name right?");
        case CURLE_COULDNT_RESOLVE_PROXY:
                return say_curl(in, e, VERDICT_OFFLINE, "the proxy's name is not found",
                                "check `proxy` of the account");
        case CURLE_PROXY:
                return say_curl(in, e, VERDICT_OFFLINE, "the proxy does not let us through",
                                "check `proxy` of the account");
        case CURLE_COULDNT_CONNECT:
        case CURLE_INTERFACE_FAILED:
        case CURLE_NO_CONNECTION_AVAILABLE:
                return say_curl(in, e, VERDICT_OFFLINE, "the service is not reachable", "it is tried again");
        case CURLE_SSL_CONNECT_ERROR:
                /* before any byte of ours: a cut handshake, or a peer that speaks no TLS */
                return say_curl(in, e, VERDICT_OFFLINE, "the TLS handshake failed",
                                "it is tried again; is something on the way cutting connections?");
        case CURLE_OPERATION_TIMEDOUT:
                if (!in->sent)
                        return say_curl(in, e, VERDICT_OFFLINE, "the service is not reachable", "it is tried again");
                break;
        default:
                break;
        }
        if (!in->sent)
                return say_curl(in, e, VERDICT_RETRY, "the connection failed before anything was sent",
                                "it is tried again");
        if (is_one_of(in->verb, READS))
                return say_curl(in, e, VERDICT_RETRY, "the connection was cut", "it is tried again");
        return say_curl(in, e, VERDICT_UNKNOWN, "the connection was cut: the write may have happened",
                        "it is looked at, then tried again");
}

static long expected_status(AzureVerb verb) {
        switch (verb) {
        case VERB_CREATE_CONTAINER:
        case VERB_PUT_BLOB:
        case VERB_PUT_BLOCK:
        case VERB_PUT_BLOCK_LIST:
                return 201;
        case VERB_COPY_BLOB:
        case VERB_DELETE_BLOB:
        case VERB_BATCH:
                return 202;
        case VERB_LIST:
        case VERB_GET_BLOCK_LIST:
        case VERB_HEAD_BLOB:
        case VERB_GET_BLOB:
        case VERB_SET_METADATA:
        case VERB_ACCOUNT_INFO:
        case VERB_SERVICE_PROPERTIES:
                break;
        }
        return 200;
}

static Verdict judge_success(const AnswerInput *in, Error *e) {
        if (in->status != expected_status(in->verb) && !(in->verb == VERB_GET_BLOB && in->status == 206))
                return say_unsure(in, e, "an answer that the blob service does not give",
                                  "is a captive portal or proxy answering instead?");
        if (!in->has_request_id)
                return say_unsure(in, e, "the answer has no x-ms-request-id",
                                  "it was cut, or a proxy answered instead of the service");
        if (!in->has_etag && is_one_of(in->verb, ETAG_EXPECTED))
                return say_unsure(in, e, "the answer has no ETag", "it was cut");
        if (in->md5_differs && is_one_of(in->verb, READS))
                return say(in, e, VERDICT_CORRUPTED, "the bytes did not arrive as they were sent",
                           "they are read again");
        if (in->md5_differs)
                return say_unsure(in, e, "the service confirms other bytes than were sent",
                                  "it is looked at, then sent again");
        return VERDICT_OK;
}

static Verdict say_clock(const AnswerInput *in, Error *e) {
        int64_t minutes = in->clock_skew_ns / NSEC_PER_SEC / 60;
        char what[96];

        /* the skew is theirs minus ours */
        (void) snprintf(what, sizeof(what), "this machine's clock is %lld min %s",
                        (long long) (minutes < 0 ? -minutes : minutes), in->clock_skew_ns > 0 ? "slow" : "fast");
        return say(in, e, VERDICT_CLOCK, what, "set the clock: the service refuses requests that are 15 min off");
}

/* The codes that a wrong clock may hide behind: the service looks at the date before the rights. */
static bool may_be_clock(const AnswerInput *in) {
        static const char *const codes[] = { "", "AuthenticationFailed", "AuthorizationFailure",
                                             "InvalidAuthenticationInfo" };

        if ((in->status != 401 && in->status != 403) ||
            (in->clock_skew_ns <= CLOCK_LIMIT && in->clock_skew_ns >= -CLOCK_LIMIT))
                return false;
        for (size_t i = 0; i < ELEMENTSOF(codes); i++)
                if (strcmp(in->code, codes[i]) == 0)
                        return true;
        return false;
}

static bool row_fits(const CodeRow *row, const AnswerInput *in) {
        size_t n = strlen(row->code);

        if ((row->status != 0 && row->status != in->status) || !is_one_of(in->verb, row->verbs))
                return false;
        if (n > 0 && row->code[n - 1] == '*')
                return strncmp(row->code, in->code, n - 1) == 0;
        return strcmp(row->code, in->code) == 0;
}

static Verdict judge_failure(const AnswerInput *in, Error *e) {
        /* 407 and size limits are a proxy's or front end's to say; for the rest, only the service's word counts. A
         * stranger's 404 must not mean that the blob is missing. */
        bool ours = in->has_request_id || in->code[0] != '\0' || in->status == 407 || in->status == 411 ||
                    in->status == 413 || in->status == 414 || in->status == 431 || in->status == 429 ||
                    in->status == 503;

        if (!ours)
                return say_unsure(in, e, "an error that is not from the blob service",
                                  "check the endpoint, and what is on the way to it");
        if (may_be_clock(in))
                return say_clock(in, e);
        for (size_t i = 0; i < ELEMENTSOF(code_rows); i++) {
                const CodeRow *row = &code_rows[i];

                if (!row_fits(row, in))
                        continue;
                if (row->verdict == VERDICT_OK)
                        return VERDICT_OK;
                return say(in, e, row->verdict, row->what, row->hint);
        }
        /* 502, 504 and what nobody has heard of: a gateway may have passed the write on */
        return say_unsure(in, e, "the service cannot answer", "it is tried again");
}

Verdict answer_verdict(const AnswerInput *in, Error *e) {
        assert(in && in->code && (size_t) in->verb < ELEMENTSOF(verb_words));

        /* A refusal that came whole counts even if the connection was cut afterwards, as it is when the service does
         * not wait for the rest of a body, or when an error page was longer than we read. */
        if (in->result != CURLE_OK && !(in->status >= 400 && in->has_request_id && in->code[0] != '\0'))
                return judge_transport(in, e);
        if (in->status >= 400 && in->status <= 599)
                return judge_failure(in, e);
        if (in->status == 304 && in->has_request_id && is_one_of(in->verb, READS))
                return VERDICT_UNCHANGED;
        if (in->status >= 300 && in->status <= 399)
                return say_unsure(in, e, "the server sends us elsewhere, which we never follow",
                                  "check the endpoint; a captive portal may be answering instead");
        return judge_success(in, e);
}

/* A count of seconds or milliseconds as ns, at most RETRY_AFTER_MAX; -1: not a number. */
static int64_t parse_count(const char *text, int64_t unit) {
        int64_t v = 0;

        if (*text == '\0')
                return -1;
        for (; *text != '\0'; text++) {
                if (*text < '0' || *text > '9')
                        return -1;
                v = MIN(v * 10 + (*text - '0'), RETRY_AFTER_MAX);
        }
        return v > RETRY_AFTER_MAX / unit ? RETRY_AFTER_MAX : v * unit;
}

int64_t answer_retry_after(const char *headers, int64_t wall_now_ns) {
        static const struct {
                const char *name;
                int64_t unit;
        } rows[] = {
                { "retry-after-ms", NSEC_PER_MSEC },
                { "x-ms-retry-after-ms", NSEC_PER_MSEC },
                { "Retry-After", NSEC_PER_SEC },
        };
        char value[64];
        time_t when;

        assert(headers);

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                int64_t wait = http_header(headers, rows[i].name, value, sizeof(value)) < 0
                                       ? -1
                                       : parse_count(value, rows[i].unit);

                if (wait >= 0)
                        return wait;
        }
        /* curl reads every form of date, and a year like 9999 without overflow */
        when = http_header(headers, "Retry-After", value, sizeof(value)) < 0 ? -1 : curl_getdate(value, NULL);
        if (when < 0 || when <= wall_now_ns / NSEC_PER_SEC)
                return 0;
        if (when - wall_now_ns / NSEC_PER_SEC > RETRY_AFTER_MAX / NSEC_PER_SEC)
                return RETRY_AFTER_MAX;
        return MIN((int64_t) when * NSEC_PER_SEC - wall_now_ns, RETRY_AFTER_MAX);
}
