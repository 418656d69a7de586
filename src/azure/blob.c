#include "azure/blob.h"

#include "azure/request.h"
#include "util/clock.h"
#include "util/encode.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#define LIST_PAGE_MAX ((size_t) 16 * 1024 * 1024)  /* pitfalls 10.9 */
#define BLOCK_LIST_MAX ((size_t) 24 * 1024 * 1024) /* 150,000 blocks, both kinds */
#define ERROR_BODY_MAX ((size_t) 64 * 1024)

struct BlobClient {
        AzureEndpoint endpoint;
        Credential *credential;
        HttpPool *http;
        BlobCall *calls;
        uint64_t requests, session;
};

struct BlobCall {
        BlobClient *client;
        BlobCall *next, *prev;
        HttpRequest *http;
        AzureVerb verb;
        BlobFn fn;
        void *userdata;
        XmlListFn each_blob;
        XmlBlockFn each_block;
        Buf body;                          /* a block list on its way */
        char content_md5[BASE64_ROOM(16)]; /* of a Put Blob, to compare with the echo */
        char if_match[BLOB_ETAG_ROOM];
};

int blob_client_new(BlobClient **ret, sd_event *loop, BlobClientOptions *options, Error *e) {
        _cleanup_(blob_client_freep) BlobClient *c = NULL;
        int r;

        assert(ret && loop && options && options->credential);

        c = calloc(1, sizeof(*c));
        if (!c) {
                options->credential = credential_free(options->credential);
                return error_oom(e);
        }
        c->credential = TAKE_PTR(options->credential);
        (void) getrandom(&c->session, sizeof(c->session), GRND_NONBLOCK);
        r = azure_endpoint_init(&c->endpoint, options->endpoint_url, options->account, e);
        if (r >= 0)
                r = http_pool_new(&c->http, loop, &options->http, e);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

BlobClient *blob_client_free(BlobClient *c) {
        if (!c)
                return NULL;
        while (c->calls)
                blob_cancel(c->calls);
        http_pool_free(c->http);
        credential_free(c->credential);
        azure_endpoint_done(&c->endpoint);
        free(c);
        return NULL;
}

void blob_client_set_credential(BlobClient *c, Credential *credential) {
        credential_free(c->credential);
        c->credential = credential;
}

void blob_client_drop_idle(BlobClient *c) {
        http_pool_drop_idle(c->http);
}

uint64_t blob_client_requests(const BlobClient *c) {
        return c->requests;
}

static void call_free(BlobCall *call) {
        if (call->prev)
                call->prev->next = call->next;
        else
                call->client->calls = call->next;
        if (call->next)
                call->next->prev = call->prev;
        buf_done(&call->body);
        free(call);
}

void blob_cancel(BlobCall *call) {
        if (call->http)
                http_cancel(call->http);
        call_free(call);
}

uint64_t blob_call_sent(const BlobCall *call) {
        return call->http ? http_request_sent(call->http) : 0;
}

/* --- answers --- */

static bool etag_is_whole(const char *etag) {
        size_t n = strlen(etag);

        return n > 2 && etag[0] == '"' && etag[n - 1] == '"' && !memchr(etag + 1, '"', n - 2);
}

static int64_t clock_skew(const char *headers, int64_t now) {
        char date[64];
        int64_t there;

        if (http_header(headers, "Date", date, sizeof(date)) < 0 || clock_parse_http(date, &there) < 0)
                return 0;
        return there - now;
}

static void read_metadata(const char *headers, ListedBlob *blob) {
        static const char prefix[] = "x-ms-meta-";

        for (const char *line = headers; *line;) {
                size_t n = strcspn(line, "\r\n");
                const char *colon = memchr(line, ':', n);

                if (colon && strncasecmp(line, prefix, sizeof(prefix) - 1) == 0) {
                        char name[128], value[256];
                        const char *v = colon + 1 + strspn(colon + 1, " \t");

                        if ((size_t) (colon - line) - (sizeof(prefix) - 1) < sizeof(name) && line + n >= v &&
                            (size_t) (line + n - v) < sizeof(value)) {
                                (void) snprintf(name, sizeof(name), "%.*s",
                                                (int) (colon - line - (ptrdiff_t) (sizeof(prefix) - 1)),
                                                line + sizeof(prefix) - 1);
                                (void) snprintf(value, sizeof(value), "%.*s", (int) (line + n - v), v);
                                listed_blob_metadata(blob, name, value);
                        }
                }
                line += n;
                line += strspn(line, "\r\n");
        }
}

static void read_properties(const char *headers, BlobAnswer *answer) {
        ListedBlob *b = &answer->props;
        char text[64];
        size_t n;

        memcpy(b->etag, answer->etag, MIN(sizeof(b->etag), sizeof(answer->etag)));
        if (http_header(headers, "Content-Length", text, sizeof(text)) >= 0)
                b->size = strtoull(text, NULL, 10);
        if (http_header(headers, "Content-MD5", text, sizeof(text)) >= 0)
                b->has_md5 = base64_decode(text, strlen(text), b->md5, sizeof(b->md5), &n) >= 0 && n == sizeof(b->md5);
        (void) http_header(headers, "x-ms-blob-type", b->blob_type, sizeof(b->blob_type));
        (void) http_header(headers, "x-ms-access-tier", b->access_tier, sizeof(b->access_tier));
        b->leased = http_header(headers, "x-ms-lease-state", text, sizeof(text)) >= 0 && strcmp(text, "leased") == 0;
        read_metadata(headers, b);
}

/* The bodies that are more than an error: a listing that is not whole never counts (10.3). */
static void read_body(BlobCall *call, const HttpAnswer *http, BlobAnswer *answer, char **ret_marker) {
        int r = 0;

        if (call->verb == VERB_LIST)
                r = xml_parse_list(http->body, http->body_size, call->each_blob, call->userdata, ret_marker,
                                   &answer->error);
        else if (call->verb == VERB_GET_BLOCK_LIST)
                r = xml_parse_block_list(http->body, http->body_size, call->each_block, call->userdata, &answer->error);
        if (r < 0)
                answer->verdict = VERDICT_RETRY;
}

static void on_answer(const HttpAnswer *http, void *userdata) {
        BlobCall *call = userdata;
        _cleanup_free_ char *marker = NULL;
        int64_t now = clock_wall();
        char code[64] = "", text[BLOB_ETAG_ROOM];
        BlobAnswer answer = { .requested = http->sent || http->status != 0, .body_sent = http->body_sent };
        AnswerInput in = {
                .verb = call->verb,
                .result = http->result,
                .sent = http->sent,
                .status = http->status,
                .code = code,
                .curl_error = http->error,
        };

        call->http = NULL;
        answer.clock_skew_ns = in.clock_skew_ns = clock_skew(http->headers, now);
        if (http_header(http->headers, "x-ms-error-code", code, sizeof(code)) < 0 && http->status >= 300)
                xml_parse_error(http->body, http->body_size, code);
        in.has_request_id = http_header(http->headers, "x-ms-request-id", text, sizeof(text)) >= 0;
        in.has_etag =
                http_header(http->headers, "ETag", answer.etag, sizeof(answer.etag)) >= 0 && etag_is_whole(answer.etag);
        if (call->content_md5[0] && http_header(http->headers, "Content-MD5", text, sizeof(text)) >= 0)
                in.md5_differs = strcmp(text, call->content_md5) != 0;
        answer.retry_after_ns = answer_retry_after(http->headers, now);
        answer.verdict = answer_verdict(&in, &answer.error);
        if (answer.verdict == VERDICT_OK) {
                if (call->verb == VERB_HEAD_BLOB)
                        read_properties(http->headers, &answer);
                if (call->verb == VERB_COPY_BLOB)
                        (void) http_header(http->headers, "x-ms-copy-status", answer.copy_status,
                                           sizeof(answer.copy_status));
                read_body(call, http, &answer, &marker);
        }
        answer.marker = marker ? marker : "";
        call->fn(&answer, call->userdata);
        call_free(call);
}

/* --- requests --- */

static BlobCall *call_new(BlobClient *c, AzureVerb verb, BlobFn fn, void *userdata) {
        BlobCall *call = calloc(1, sizeof(*call));

        if (!call)
                return NULL;
        call->client = c;
        call->verb = verb;
        call->fn = fn;
        call->userdata = userdata;
        call->body = BUF_INIT(BLOCK_LIST_MAX);
        call->next = c->calls;
        if (c->calls)
                c->calls->prev = call;
        c->calls = call;
        return call;
}

static int call_send(BlobCall *call, Request *r, const char *container, const char *blob, const void *body, size_t size,
                     size_t max_answer, BlobCall **ret) {
        BlobClient *c = call->client;
        const char *lines[REQUEST_HEADERS + 6];
        Buf url = BUF_INIT((size_t) 64 * 1024);
        char date[30];
        size_t n = 0;
        int k;

        clock_format_http(clock_wall(), date);
        r->content_length = size;
        request_header(r, "x-ms-client-request-id: %016" PRIx64 "-%" PRIu64, c->session, c->requests);
        request_header(r, "x-ms-date: %s", date);
        request_header(r, "x-ms-version: " AZURE_VERSION);
        k = request_finish(r, &c->endpoint, c->credential, container, blob, &url, lines, &n);
        if (k >= 0) {
                HttpSend send = {
                        .method = r->method,
                        .url = url.data,
                        .headers = lines,
                        .n_headers = n,
                        .body = body,
                        .body_size = size,
                        .max_answer = max_answer,
                        .fn = on_answer,
                        .userdata = call,
                };

                k = http_send(c->http, &send, &call->http);
        }
        secret_wipe(&url);
        request_done(r);
        if (k < 0) {
                call_free(call);
                return k;
        }
        c->requests++;
        if (ret)
                *ret = call;
        return 0;
}

static void add_meta(Request *r, const BlobMeta *meta) {
        if (meta->writer)
                request_header(r, "x-ms-meta-azsyncd: %s", meta->writer);
        request_header(r, "x-ms-meta-azsyncdgen: %" PRIu64, meta->generation);
        if (meta->fuzzy)
                request_header(r, "x-ms-meta-azsyncdbusy: true");
        if (meta->stamp) {
                char mtime[36];

                clock_format_rfc3339(meta->stamp->mtime_ns, mtime);
                request_header(r, "x-ms-meta-mtime: %s", mtime);
                request_header(r, "x-ms-meta-modtime: %" PRId64, meta->stamp->mtime_ns);
                request_header(r, "x-ms-meta-permissions: %" PRIu32, meta->stamp->mode);
                request_header(r, "x-ms-meta-posix_owner: %" PRIu32, meta->stamp->uid);
                request_header(r, "x-ms-meta-posix_group: %" PRIu32, meta->stamp->gid);
        }
        if (meta->tier)
                request_header(r, "x-ms-access-tier: %s", meta->tier);
}

/* Whatever takes a condition has one (pitfalls 10.6). The ETag is copied: the caller's row may change meanwhile. */
static void add_condition(BlobCall *call, Request *r, const BlobCondition *condition) {
        assert(!condition->if_match != !condition->if_absent);

        if (condition->if_match) {
                (void) snprintf(call->if_match, sizeof(call->if_match), "%s", condition->if_match);
                r->if_match = call->if_match;
        } else
                r->if_none_match = "*";
}

int blob_put(BlobClient *c, const char *container, const char *blob, const void *body, size_t size,
             const uint8_t md5[static 16], const char *content_type, const BlobMeta *meta,
             const BlobCondition *condition, BlobFn fn, void *userdata, BlobCall **ret) {
        BlobCall *call = call_new(c, VERB_PUT_BLOB, fn, userdata);
        Request r;

        if (!call)
                return -ENOMEM;
        request_init(&r, "PUT");
        base64_encode(md5, 16, call->content_md5);
        r.content_md5 = call->content_md5;
        request_header(&r, "x-ms-blob-type: BlockBlob");
        request_header(&r, "x-ms-blob-content-type: %s", content_type);
        add_meta(&r, meta);
        add_condition(call, &r, condition);
        return call_send(call, &r, container, blob, body, size, ERROR_BODY_MAX, ret);
}

int blob_put_block(BlobClient *c, const char *container, const char *blob, const char *block_id, const void *body,
                   size_t size, const uint8_t md5[static 16], BlobFn fn, void *userdata, BlobCall **ret) {
        BlobCall *call = call_new(c, VERB_PUT_BLOCK, fn, userdata);
        char text[BASE64_ROOM(16)];
        Request r;

        if (!call)
                return -ENOMEM;
        request_init(&r, "PUT");
        base64_encode(md5, 16, text);
        r.content_md5 = text;
        request_query(&r, "comp", "block");
        request_query(&r, "blockid", block_id);
        return call_send(call, &r, container, blob, body, size, ERROR_BODY_MAX, ret);
}

int blob_put_block_list(BlobClient *c, const char *container, const char *blob, const char *const *ids, size_t n,
                        const uint8_t md5[static 16], const char *content_type, const BlobMeta *meta,
                        const BlobCondition *condition, BlobFn fn, void *userdata, BlobCall **ret) {
        BlobCall *call = call_new(c, VERB_PUT_BLOCK_LIST, fn, userdata);
        char text[BASE64_ROOM(16)];
        Request r;
        int k;

        if (!call)
                return -ENOMEM;
        k = xml_block_list(&call->body, ids, n);
        if (k < 0) {
                call_free(call);
                return k;
        }
        request_init(&r, "PUT");
        base64_encode(md5, 16, text);
        request_query(&r, "comp", "blocklist");
        request_header(&r, "x-ms-blob-content-type: %s", content_type);
        request_header(&r, "x-ms-blob-content-md5: %s", text);
        add_meta(&r, meta);
        add_condition(call, &r, condition);
        return call_send(call, &r, container, blob, call->body.data, call->body.size, ERROR_BODY_MAX, ret);
}

int blob_get_block_list(BlobClient *c, const char *container, const char *blob, XmlBlockFn each, BlobFn fn,
                        void *userdata, BlobCall **ret) {
        BlobCall *call = call_new(c, VERB_GET_BLOCK_LIST, fn, userdata);
        Request r;

        if (!call)
                return -ENOMEM;
        call->each_block = each;
        request_init(&r, "GET");
        request_query(&r, "comp", "blocklist");
        request_query(&r, "blocklisttype", "all");
        return call_send(call, &r, container, blob, NULL, 0, BLOCK_LIST_MAX, ret);
}

int blob_head(BlobClient *c, const char *container, const char *blob, BlobFn fn, void *userdata, BlobCall **ret) {
        BlobCall *call = call_new(c, VERB_HEAD_BLOB, fn, userdata);
        Request r;

        if (!call)
                return -ENOMEM;
        request_init(&r, "HEAD");
        return call_send(call, &r, container, blob, NULL, 0, ERROR_BODY_MAX, ret);
}

int blob_set_metadata(BlobClient *c, const char *container, const char *blob, const BlobMeta *meta,
                      const BlobCondition *condition, BlobFn fn, void *userdata, BlobCall **ret) {
        BlobCall *call = call_new(c, VERB_SET_METADATA, fn, userdata);
        Request r;

        if (!call)
                return -ENOMEM;
        request_init(&r, "PUT");
        request_query(&r, "comp", "metadata");
        add_meta(&r, meta);
        add_condition(call, &r, condition);
        return call_send(call, &r, container, blob, NULL, 0, ERROR_BODY_MAX, ret);
}

int blob_copy(BlobClient *c, const char *container, const char *blob, const char *source_blob, const char *source_etag,
              const BlobMeta *meta, const BlobCondition *condition, BlobFn fn, void *userdata, BlobCall **ret) {
        _cleanup_buf_ Buf source = BUF_INIT((size_t) 16 * 1024);
        BlobCall *call;
        Request r;
        int k;

        if (credential_kind(c->credential) == CREDENTIAL_SAS)
                return -EOPNOTSUPP;
        k = buf_append(&source, c->endpoint.base, strlen(c->endpoint.base) - strlen(c->endpoint.path));
        if (k >= 0)
                k = azure_path(&source, &c->endpoint, container, source_blob);
        if (k < 0)
                return k;
        call = call_new(c, VERB_COPY_BLOB, fn, userdata);
        if (!call)
                return -ENOMEM;
        request_init(&r, "PUT");
        request_header(&r, "x-ms-copy-source: %s", source.data);
        request_header(&r, "x-ms-source-if-match: %s", source_etag);
        add_meta(&r, meta);
        add_condition(call, &r, condition);
        return call_send(call, &r, container, blob, NULL, 0, ERROR_BODY_MAX, ret);
}

int blob_delete(BlobClient *c, const char *container, const char *blob, const char *if_match, BlobFn fn, void *userdata,
                BlobCall **ret) {
        BlobCall *call = call_new(c, VERB_DELETE_BLOB, fn, userdata);
        BlobCondition condition = { .if_match = if_match };
        Request r;

        if (!call)
                return -ENOMEM;
        request_init(&r, "DELETE");
        request_header(&r, "x-ms-delete-snapshots: include");
        add_condition(call, &r, &condition);
        return call_send(call, &r, container, blob, NULL, 0, ERROR_BODY_MAX, ret);
}

int blob_list(BlobClient *c, const char *container, const char *prefix, const char *marker, unsigned max,
              XmlListFn each, BlobFn fn, void *userdata, BlobCall **ret) {
        BlobCall *call = call_new(c, VERB_LIST, fn, userdata);
        char count[16];
        Request r;

        if (!call)
                return -ENOMEM;
        call->each_blob = each;
        request_init(&r, "GET");
        request_query(&r, "restype", "container");
        request_query(&r, "comp", "list");
        request_query(&r, "include", "metadata");
        (void) snprintf(count, sizeof(count), "%u", max);
        request_query(&r, "maxresults", count);
        if (prefix && prefix[0])
                request_query(&r, "prefix", prefix);
        if (marker && marker[0])
                request_query(&r, "marker", marker);
        return call_send(call, &r, container, NULL, NULL, 0, LIST_PAGE_MAX, ret);
}

int blob_create_container(BlobClient *c, const char *container, BlobFn fn, void *userdata, BlobCall **ret) {
        BlobCall *call = call_new(c, VERB_CREATE_CONTAINER, fn, userdata);
        Request r;

        if (!call)
                return -ENOMEM;
        request_init(&r, "PUT");
        request_query(&r, "restype", "container");
        return call_send(call, &r, container, NULL, NULL, 0, ERROR_BODY_MAX, ret);
}
