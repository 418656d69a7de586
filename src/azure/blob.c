/* Each verb fills the client's one Request, which is signed and handed to the pool within the call; what is kept per
 * call is a BlobCall. Of an answer, only what belongs to the question counts: see on_answer(). */
#include "azure/call.h"

#include "azure/properties.h"
#include "chunk/crc64.h"
#include "util/clock.h"
#include "util/encode.h"
#include "util/log.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define LIST_PAGE_MAX ((size_t) 16 * 1024 * 1024)  /* pitfalls 10.9 */
#define BLOCK_LIST_MAX ((size_t) 24 * 1024 * 1024) /* 150,000 blocks, both kinds */
#define COPY_SOURCE_MAX ((size_t) 2048)            /* azure-blob.md 1.4 */
#define EXPECT_SIZE ((size_t) 1024 * 1024)
#define EXPECT_TIME (60 * NSEC_PER_SEC)
#define CLOCK_TRUSTED (300 * NSEC_PER_SEC)

int blob_client_new(BlobClient **ret, sd_event *loop, BlobClientOptions *options, Error *e) {
        _cleanup_(blob_client_freep) BlobClient *c = NULL;
        int r;

        assert(ret && loop && options && options->credential);

        c = calloc(1, sizeof(*c));
        if (!c) {
                options->credential = credential_free(options->credential);
                return error_oom(e);
        }
        request_init(&c->request);
        c->credential = TAKE_PTR(options->credential);
        c->service_clock_ns = INT64_MIN;
        if (getrandom(&c->session, sizeof(c->session), GRND_NONBLOCK) != (ssize_t) sizeof(c->session))
                c->session = (uint64_t) clock_wall(); /* early in boot; it only tells requests apart */
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
        (void) http_pool_free(c->http);
        (void) credential_free(c->credential);
        azure_endpoint_done(&c->endpoint);
        request_done(&c->request);
        free(c);
        return NULL;
}

void blob_client_set_credential(BlobClient *c, Credential *credential) {
        assert(credential);

        (void) credential_free(c->credential);
        c->credential = credential;
}

void blob_client_drop_idle(BlobClient *c) {
        http_pool_drop_idle(c->http);
}

void blob_client_limit(BlobClient *c, unsigned requests) {
        http_pool_limit(c->http, requests);
}

uint64_t blob_client_requests(const BlobClient *c) {
        return c->requests;
}

void call_free(BlobCall *call) {
        if (call->prev)
                call->prev->next = call->next;
        else
                call->client->calls = call->next;
        if (call->next)
                call->next->prev = call->prev;
        secret_wipe(&call->body); /* the parts of a batch are signed each */
        free(call);
}

void blob_cancel(BlobCall *call) {
        assert(call->http); /* not in its own callback */

        http_cancel(call->http);
        call_free(call);
}

void blob_call_pace(BlobCall *call, HttpPaceFn pace, void *userdata) {
        http_pace(call->http, pace, userdata);
}

void blob_call_resume(BlobCall *call) {
        if (call->http)
                http_resume(call->http);
}

uint64_t blob_call_sent(const BlobCall *call) {
        return call->http ? http_request_sent(call->http) : 0;
}

/* --- answers --- */

/* What to add to our clock for the service to believe the date: nothing, unless ours is minutes off (10.11). It is the
 * boot clock that goes on from what the service said, so setting the wall clock right takes effect at once. */
int64_t call_correction(const BlobClient *c) {
        int64_t off;

        if (c->service_clock_ns == INT64_MIN)
                return 0;
        off = clock_boot() + c->service_clock_ns - clock_wall();
        return off > CLOCK_TRUSTED || -off > CLOCK_TRUSTED ? off : 0;
}

static void client_request_id(char ret[static 40], uint64_t session, uint64_t number) {
        uint8_t bytes[8];

        for (unsigned i = 0; i < sizeof(bytes); i++)
                bytes[i] = (uint8_t) (session >> (56 - 8 * i));
        hex_encode(bytes, sizeof(bytes), ret);
        ret[16] = '-';
        (void) decimal_encode(number, 1, ret + 17);
}

/* Is it from the service, and to this request? The service repeats our id. */
static bool is_to_us(const BlobCall *call, const char *headers) {
        char ours[40], id[1025];
        int r;

        r = http_header(headers, "x-ms-client-request-id", id, sizeof(id));
        client_request_id(ours, call->client->session, call->number);
        if (r != -ENOENT && (r < 0 || strcmp(id, ours) != 0))
                return false;
        return http_header(headers, "x-ms-request-id", id, sizeof(id)) >= 0 && id[0] != '\0';
}

/* Does the answer repeat an MD5 other than that of what we sent? */
static bool echo_differs(const BlobCall *call, const char *headers) {
        char ours[BASE64_ROOM(16)], theirs[64];
        int r;

        if (!call->has_md5)
                return false;
        r = http_header(headers, "Content-MD5", theirs, sizeof(theirs));
        if (r == -ENOENT)
                return false;
        base64_encode(call->md5, sizeof(call->md5), ours);
        return r < 0 || strcmp(ours, theirs) != 0;
}

/* The bodies that are more than an error: a listing that is not whole never counts (10.3). */
static void read_body(BlobCall *call, const HttpAnswer *http, BlobAnswer *answer, char **ret_marker) {
        int r = 0;

        if (call->verb == VERB_LIST)
                r = xml_parse_list(http->body, http->body_size, call->each_blob, call->userdata, ret_marker,
                                   &answer->error);
        else if (call->verb == VERB_GET_BLOCK_LIST)
                r = xml_parse_block_list(http->body, http->body_size, call->each_block, call->userdata, &answer->error);
        else if (call->verb == VERB_SERVICE_PROPERTIES)
                r = xml_parse_retention(http->body, http->body_size, &answer->account.soft_delete_days, &answer->error);
        if (r < 0)
                answer->verdict = VERDICT_RETRY;
}

static void read_details(BlobCall *call, const HttpAnswer *http, BlobAnswer *answer, char **ret_marker) {
        char text[BLOB_ETAG_ROOM];

        if (call->verb == VERB_HEAD_BLOB) {
                properties_read(http->headers, &answer->props);
                answer->versioned = http_header(http->headers, "x-ms-version-id", text, sizeof(text)) != -ENOENT;
        } else if (call->verb == VERB_ACCOUNT_INFO)
                properties_account(http->headers, &answer->account);
        else if (call->verb == VERB_COPY_BLOB &&
                 http_header(http->headers, "x-ms-copy-status", answer->copy_status, sizeof(answer->copy_status)) < 0)
                (void) snprintf(answer->copy_status, sizeof(answer->copy_status), "pending"); /* so it is asked for */
        else
                read_body(call, http, answer, ret_marker);
}

static void learn(BlobClient *c, const BlobAnswer *answer, const AnswerInput *in, int64_t now) {
        if (answer->verdict == VERDICT_BUSY)
                c->busy_until_ns = clock_boot() + EXPECT_TIME;
        if (in->has_request_id && answer->clock_skew_ns != 0)
                c->service_clock_ns = now + answer->clock_skew_ns - clock_boot();
}

static void on_answer(const HttpAnswer *http, void *userdata) {
        BlobCall *call = userdata;
        _cleanup_free_ char *marker = NULL;
        int64_t now = clock_wall();
        char code[64] = "";
        BlobAnswer answer = {
                .verb = call->verb,
                .requested = http->sent || http->status != 0,
                .body_sent = http->body_sent,
                .latency_ns = http->latency_ns,
        };
        AnswerInput in = {
                .verb = call->verb,
                .result = http->result,
                .sent = http->sent,
                .status = http->status,
                .code = code,
                .curl_error = http->error,
        };

        call->http = NULL;
        if (in.result == CURLE_OK && in.status < 300 &&
            http->body_sent < call->body_size) { /* a captive portal (10.2) */
                in.result = CURLE_SEND_ERROR;
                in.curl_error = "answered before it had read the request";
        }
        if (http_header(http->headers, "x-ms-error-code", code, sizeof(code)) < 0) {
                code[0] = '\0';
                if (http->status >= 300)
                        xml_parse_error(http->body, http->body_size, code);
        }
        answer.clock_skew_ns = properties_clock_skew(http->headers, now);
        in.clock_skew_ns = answer.clock_skew_ns != 0 ? answer.clock_skew_ns - call->correction_ns : 0;
        in.has_request_id = is_to_us(call, http->headers);
        in.has_etag = properties_etag(http->headers, answer.etag, sizeof(answer.etag));
        in.md5_differs = echo_differs(call, http->headers);
        if (http->status >= 300)
                answer.retry_after_ns = answer_retry_after(http->headers, now);
        answer.verdict = answer_verdict(&in, &answer.error);
        if (call->verb == VERB_BATCH && in.has_request_id && in.status == 202) /* cut or not */
                batch_read(call, http, &in, &answer);
        learn(call->client, &answer, &in, now);
        if (answer.verdict == VERDICT_OK)
                read_details(call, http, &answer, &marker);
        else
                log_debug("request %016" PRIx64 "-%" PRIu64 ": %s: %s", call->client->session, call->number,
                          verdict_name(answer.verdict), answer.error.text);
        answer.marker = marker ? marker : "";
        call->fn(&answer, call->userdata);
        call_free(call);
}

/* --- requests --- */

BlobCall *call_new(BlobClient *c, AzureVerb verb, const char *method, BlobFn fn, void *userdata) {
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
        request_begin(&c->request, method);
        return call;
}

static int call_submit(BlobCall *call, const char *container, const char *blob, const void *body, size_t size,
                       size_t max_answer) {
        BlobClient *c = call->client;
        Request *r = &c->request;
        HttpSend send;
        char text[40];
        int k;

        call->number = c->requests;
        call->correction_ns = call_correction(c);
        call->body_size = r->content_length = size;
        client_request_id(text, c->session, call->number);
        request_header(r, "x-ms-client-request-id", text);
        clock_format_http(clock_wall() + call->correction_ns, text);
        request_header(r, "x-ms-date", text);
        request_header(r, "x-ms-version", AZURE_VERSION);
        if (credential_older_than(c->credential, AZURE_VERSION)) /* else a SAS decides the protocol's version */
                request_query(r, "api-version", AZURE_VERSION);
        k = request_finish(r, &c->endpoint, c->credential, container, blob);
        if (k < 0)
                return k;
        send = (HttpSend){
                .method = r->method,
                .url = buf_text(&r->url),
                .headers = r->lines,
                .n_headers = r->n_lines,
                .body = body,
                .body_size = size,
                .max_answer = max_answer,
                .expect_continue = size >= EXPECT_SIZE && clock_boot() < c->busy_until_ns,
                .fn = on_answer,
                .userdata = call,
        };
        return http_send(c->http, &send, &call->http);
}

int call_send(BlobCall *call, const char *container, const char *blob, const void *body, size_t size, size_t max_answer,
              BlobCall **ret) {
        BlobClient *c = call->client;
        int r;

        r = call_submit(call, container, blob, body, size, max_answer);
        if (r < 0) {
                call_free(call);
                return r;
        }
        c->requests++;
        if (ret)
                *ret = call;
        return 0;
}

static void add_meta(Request *r, const BlobMeta *meta) {
        char text[36];

        if (meta->writer)
                request_header(r, "x-ms-meta-azsyncd", meta->writer);
        if (meta->fuzzy)
                request_header(r, "x-ms-meta-azsyncdbusy", "true");
        request_header_number(r, "x-ms-meta-azsyncdgen", (int64_t) meta->generation);
        if (!meta->stamp)
                return;
        clock_format_rfc3339(meta->stamp->mtime_ns, text);
        request_header_number(r, "x-ms-meta-modtime", meta->stamp->mtime_ns);
        request_header(r, "x-ms-meta-mtime", text);
        request_header_number(r, "x-ms-meta-permissions", meta->stamp->mode);
        request_header_number(r, "x-ms-meta-posix_group", meta->stamp->gid);
        request_header_number(r, "x-ms-meta-posix_owner", meta->stamp->uid);
}

/* Whatever takes a condition has one (10.6). */
static void add_condition(Request *r, const BlobCondition *condition) {
        assert(condition && !condition->if_match != !condition->if_absent);

        r->if_match = condition->if_match;
        r->if_none_match = condition->if_absent ? "*" : NULL;
}

static void add_md5(BlobCall *call, const uint8_t md5[static 16], char text[static BASE64_ROOM(16)]) {
        memcpy(call->md5, md5, sizeof(call->md5));
        call->has_md5 = true;
        base64_encode(md5, 16, text);
        call->client->request.content_md5 = text;
}

int blob_put(BlobClient *c, const char *container, const char *blob, const void *body, size_t size,
             const uint8_t md5[static 16], const char *content_type, const BlobMeta *meta,
             const BlobCondition *condition, BlobFn fn, void *userdata, BlobCall **ret) {
        BlobCall *call = call_new(c, VERB_PUT_BLOB, "PUT", fn, userdata);
        char text[BASE64_ROOM(16)];
        Request *r = &c->request;

        if (!call)
                return -ENOMEM;
        if (meta->tier)
                request_header(r, "x-ms-access-tier", meta->tier);
        request_header(r, "x-ms-blob-content-type", content_type);
        request_header(r, "x-ms-blob-type", "BlockBlob");
        add_meta(r, meta);
        add_md5(call, md5, text);
        add_condition(r, condition);
        return call_send(call, container, blob, body, size, 0, ret);
}

int blob_put_block(BlobClient *c, const char *container, const char *blob, const char *block_id, const void *body,
                   size_t size, const BlobCheck *check, BlobFn fn, void *userdata, BlobCall **ret) {
        BlobCall *call = call_new(c, VERB_PUT_BLOCK, "PUT", fn, userdata);
        char text[BASE64_ROOM(16)], crc[13];

        if (!call)
                return -ENOMEM;
        if (check->md5)
                add_md5(call, check->md5, text);
        else {
                crc64_text(check->crc64, crc);
                request_header(&c->request, "x-ms-content-crc64", crc);
        }
        request_query(&c->request, "comp", "block");
        request_query(&c->request, "blockid", block_id);
        return call_send(call, container, blob, body, size, 0, ret);
}

int blob_put_block_list(BlobClient *c, const char *container, const char *blob, const char *const *ids, size_t n,
                        const uint8_t md5[static 16], const char *content_type, const BlobMeta *meta,
                        const BlobCondition *condition, BlobFn fn, void *userdata, BlobCall **ret) {
        BlobCall *call = call_new(c, VERB_PUT_BLOCK_LIST, "PUT", fn, userdata);
        char text[BASE64_ROOM(16)];
        Request *r = &c->request;
        int k;

        if (!call)
                return -ENOMEM;
        k = xml_block_list(&call->body, ids, n);
        if (k < 0) {
                call_free(call);
                return k;
        }
        base64_encode(md5, 16, text);
        request_query(r, "comp", "blocklist");
        if (meta->tier)
                request_header(r, "x-ms-access-tier", meta->tier);
        request_header(r, "x-ms-blob-content-md5", text); /* the whole blob's; stored, not checked */
        request_header(r, "x-ms-blob-content-type", content_type);
        add_meta(r, meta);
        add_condition(r, condition);
        return call_send(call, container, blob, call->body.data, call->body.size, 0, ret);
}

int blob_get_block_list(BlobClient *c, const char *container, const char *blob, XmlBlockFn each, BlobFn fn,
                        void *userdata, BlobCall **ret) {
        BlobCall *call = call_new(c, VERB_GET_BLOCK_LIST, "GET", fn, userdata);

        if (!call)
                return -ENOMEM;
        call->each_block = each;
        request_query(&c->request, "comp", "blocklist");
        request_query(&c->request, "blocklisttype", "all");
        return call_send(call, container, blob, NULL, 0, BLOCK_LIST_MAX, ret);
}

int blob_head(BlobClient *c, const char *container, const char *blob, BlobFn fn, void *userdata, BlobCall **ret) {
        BlobCall *call = call_new(c, VERB_HEAD_BLOB, "HEAD", fn, userdata);

        return call ? call_send(call, container, blob, NULL, 0, 0, ret) : -ENOMEM;
}

int blob_set_metadata(BlobClient *c, const char *container, const char *blob, const BlobMeta *meta,
                      const BlobCondition *condition, BlobFn fn, void *userdata, BlobCall **ret) {
        BlobCall *call = call_new(c, VERB_SET_METADATA, "PUT", fn, userdata);

        if (!call)
                return -ENOMEM;
        request_query(&c->request, "comp", "metadata");
        add_meta(&c->request, meta);
        add_condition(&c->request, condition);
        return call_send(call, container, blob, NULL, 0, 0, ret);
}

int blob_copy(BlobClient *c, const char *container, const char *blob, const char *source_blob, const char *source_etag,
              const BlobMeta *meta, const BlobCondition *condition, BlobFn fn, void *userdata, BlobCall **ret) {
        _cleanup_buf_ Buf source = BUF_INIT(COPY_SOURCE_MAX);
        Request *r = &c->request;
        BlobCall *call;
        int k;

        if (credential_kind(c->credential) == CREDENTIAL_SAS)
                return -EOPNOTSUPP;
        k = buf_append(&source, c->endpoint.base, strlen(c->endpoint.base) - strlen(c->endpoint.path));
        if (k >= 0)
                k = azure_path(&source, &c->endpoint, container, source_blob);
        if (k < 0)
                return k == -EMSGSIZE ? -EOPNOTSUPP : k;
        call = call_new(c, VERB_COPY_BLOB, "PUT", fn, userdata);
        if (!call)
                return -ENOMEM;
        if (meta->tier)
                request_header(r, "x-ms-access-tier", meta->tier);
        request_header(r, "x-ms-copy-source", source.data);
        add_meta(r, meta);
        request_header(r, "x-ms-source-if-match", source_etag);
        add_condition(r, condition);
        return call_send(call, container, blob, NULL, 0, 0, ret);
}

int blob_list(BlobClient *c, const char *container, const char *prefix, const char *marker, unsigned max,
              XmlListFn each, BlobFn fn, void *userdata, BlobCall **ret) {
        BlobCall *call = call_new(c, VERB_LIST, "GET", fn, userdata);
        Request *r = &c->request;
        char count[16];

        if (!call)
                return -ENOMEM;
        call->each_blob = each;
        (void) snprintf(count, sizeof(count), "%u", max);
        request_query(r, "restype", "container");
        request_query(r, "comp", "list");
        request_query(r, "include", "metadata");
        request_query(r, "maxresults", count);
        if (prefix && prefix[0])
                request_query(r, "prefix", prefix);
        if (marker && marker[0])
                request_query(r, "marker", marker);
        return call_send(call, container, NULL, NULL, 0, LIST_PAGE_MAX, ret);
}

int blob_create_container(BlobClient *c, const char *container, BlobFn fn, void *userdata, BlobCall **ret) {
        BlobCall *call = call_new(c, VERB_CREATE_CONTAINER, "PUT", fn, userdata);

        if (!call)
                return -ENOMEM;
        request_query(&c->request, "restype", "container");
        return call_send(call, container, NULL, NULL, 0, 0, ret);
}

int blob_account_info(BlobClient *c, BlobFn fn, void *userdata, BlobCall **ret) {
        BlobCall *call = call_new(c, VERB_ACCOUNT_INFO, "GET", fn, userdata);

        if (!call)
                return -ENOMEM;
        request_query(&c->request, "restype", "account");
        request_query(&c->request, "comp", "properties");
        return call_send(call, NULL, NULL, NULL, 0, 0, ret);
}

int blob_service_properties(BlobClient *c, BlobFn fn, void *userdata, BlobCall **ret) {
        BlobCall *call = call_new(c, VERB_SERVICE_PROPERTIES, "GET", fn, userdata);

        if (!call)
                return -ENOMEM;
        request_query(&c->request, "restype", "service");
        request_query(&c->request, "comp", "properties");
        return call_send(call, NULL, NULL, NULL, 0, 0, ret);
}
