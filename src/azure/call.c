/* Each verb fills the client's one Request, which is signed and handed to the pool within the call; what is kept per
 * call is a BlobCall. Of an answer, only what belongs to the question counts: see on_answer(). */
#include "azure/call.h"

#include "azure/properties.h"
#include "util/clock.h"
#include "util/encode.h"
#include "util/log.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

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

/* Is it to another request? The service repeats our id. Then nothing that it says is for us. */
static bool is_to_another(const BlobCall *call, const char *headers) {
        char ours[40], id[1025];
        int r;

        r = http_header(headers, "x-ms-client-request-id", id, sizeof(id));
        client_request_id(ours, call->client->session, call->number);
        return r != -ENOENT && (r < 0 || strcmp(id, ours) != 0);
}

static bool is_from_service(const char *headers) {
        char id[1025];

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

        if (call->verb == VERB_LIST) {
                r = xml_parse_list(http->body, http->body_size, call->each_blob, call->userdata, ret_marker,
                                   &answer->error);
                if (r >= 0 && call->body.size > 0 && strcmp(*ret_marker, call->body.data) == 0)
                        r = error_set(&answer->error, -EBADMSG, ERROR_PROTOCOL, 0,
                                      "the service's listing does not go on: its next page is the one that was asked "
                                      "for");
        } else if (call->verb == VERB_GET_BLOCK_LIST)
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
                .shortage = http->shortage,
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
        if (is_to_another(call, http->headers))
                code[0] = '\0';
        else
                in.has_request_id = is_from_service(http->headers);
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
                .patience_ns = call->patience_ns,
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
