/* Deleting blobs: one, or as many as one batch takes (azure-blob.md 1.5, 1.7). Each part of a batch is a request of its
 * own, with its own condition and authorization; so each is made by the client's Request like any other. */
#include "azure/call.h"
#include "util/clock.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PART_TAKES NSEC_PER_SEC /* at most: the service is silent until all parts of a batch are done */

static void begin(Request *r, const char *if_match) {
        assert(if_match && if_match[0]); /* whatever takes a condition has one (10.6) */

        request_header(r, "x-ms-delete-snapshots", "include");
        r->if_match = if_match;
}

int blob_delete(BlobClient *c, const char *container, const char *blob, const char *if_match, BlobFn fn, void *userdata,
                BlobCall **ret) {
        BlobCall *call = call_new(c, VERB_DELETE_BLOB, "DELETE", fn, userdata);

        if (!call)
                return -ENOMEM;
        begin(&c->request, if_match);
        return call_send(call, container, blob, NULL, 0, 0, ret);
}

/* --- a batch --- */

/* A part takes the version of the whole, and has no x-ms-version in what is signed. */
static int add_part(BlobCall *call, const char *boundary, const char *container, const BlobDeletion *item) {
        BlobClient *c = call->client;
        Request *r = &c->request;
        char date[40];
        int k;

        request_begin(r, "DELETE");
        begin(r, item->if_match);
        clock_format_http(clock_wall() + call_correction(c), date);
        request_header(r, "x-ms-date", date);
        k = request_finish(r, &c->endpoint, c->credential, container, item->blob);
        if (k < 0)
                return k;
        return batch_add(&call->body, boundary, call->n_items, r->method,
                         buf_text(&r->url) + strlen(c->endpoint.base) - strlen(c->endpoint.path), r->lines, r->n_lines);
}

int blob_delete_batch(BlobClient *c, const char *container, const BlobDeletion *items, size_t n, BlobItemFn each,
                      BlobFn fn, void *userdata, BlobCall **ret) {
        BlobCall *call = call_new(c, VERB_BATCH, "POST", fn, userdata);
        char boundary[BATCH_BOUNDARY_ROOM], type[BATCH_BOUNDARY_ROOM + 32];
        int k = 0, taken;

        assert(n > 0 && n <= BATCH_MAX);

        if (!call)
                return -ENOMEM;
        call->each_item = each;
        call->body.ceiling = BATCH_BODY_MAX;
        (void) snprintf(boundary, sizeof(boundary), "batch_%016" PRIx64 "-%" PRIu64, c->session, c->requests);
        (void) snprintf(type, sizeof(type), "multipart/mixed; boundary=%s", boundary);
        while (k >= 0 && call->n_items < n) {
                k = add_part(call, boundary, container, &items[call->n_items]);
                call->n_items += k >= 0;
        }
        if (k >= 0 || (k == -EMSGSIZE && call->n_items > 0)) /* what does not fit goes with the next one */
                k = batch_end(&call->body, boundary);
        if (k < 0) {
                call_free(call);
                return k;
        }
        taken = (int) call->n_items;
        call->patience_ns = taken * PART_TAKES;
        request_begin(&c->request, "POST");
        request_query(&c->request, "comp", "batch");
        request_query(&c->request, "restype", "container");
        c->request.content_type = type;
        k = call_send(call, container, NULL, call->body.data, call->body.size, BATCH_ANSWER_MAX, ret);
        return k < 0 ? k : taken;
}

typedef struct Reading {
        BlobCall *call;
        int64_t now, clock_skew_ns;
        bool told[BATCH_MAX];
} Reading;

static void on_part(const BatchPart *part, void *userdata) {
        Reading *reading = userdata;
        BlobCall *call = reading->call;
        BlobAnswer answer = { .verb = VERB_DELETE_BLOB,
                              .retry_after_ns = answer_retry_after(part->headers, reading->now) };
        char code[64] = "";
        AnswerInput in = {
                .verb = VERB_DELETE_BLOB,
                .sent = true,
                .status = part->status,
                .code = code,
                .has_request_id = true, /* the whole has one */
                .clock_skew_ns = reading->clock_skew_ns,
                .curl_error = "",
        };

        if (part->number >= call->n_items)
                return;
        if (http_header(part->headers, "x-ms-error-code", code, sizeof(code)) < 0) {
                code[0] = '\0';
                if (part->status >= 300)
                        xml_parse_error(part->body, part->body_size, code);
        }
        answer.verdict = answer_verdict(&in, &answer.error);
        reading->told[part->number] = true;
        call->each_item(part->number, &answer, call->userdata);
}

void batch_read(BlobCall *call, const HttpAnswer *http, const AnswerInput *in, BlobAnswer *answer) {
        AnswerInput missing = { .verb = VERB_DELETE_BLOB,
                                .result = CURLE_PARTIAL_FILE,
                                .sent = true,
                                .code = "",
                                .curl_error = "the answer to the batch does not tell" };
        Reading reading = { .call = call, .now = clock_wall(), .clock_skew_ns = in->clock_skew_ns };
        BlobAnswer unknown = { .verb = VERB_DELETE_BLOB };
        char type[256];

        if (http_header(http->headers, "Content-Type", type, sizeof(type)) < 0)
                type[0] = '\0';
        if (batch_parse(type, http->body, http->body_size, on_part, &reading) <= 0) {
                if (answer->verdict == VERDICT_OK)
                        answer->verdict = answer_verdict(&missing, &answer->error);
                return;
        }
        unknown.verdict = answer_verdict(&missing, &unknown.error);
        for (unsigned i = 0; i < call->n_items; i++)
                if (!reading.told[i])
                        call->each_item(i, &unknown, call->userdata);
        answer->verdict = VERDICT_OK;
        answer->error = ERROR_NULL;
}
