/* The answer to a batch of deletions, as a hostile service or a box on the way may send it: the first line is its
 * Content-Type, the rest its body. What it says of one blob may never count for another, nor before all of it came. */
#include "azure/batch.h"

#include "azure/answer.h"
#include "http/http.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Told {
        const char *body, *end;
        bool by[BATCH_MAX];
        long status[BATCH_MAX];
        int n;
} Told;

static void check(bool holds) {
        if (!holds)
                abort();
}

static void on_part(const BatchPart *part, void *userdata) {
        Told *told = userdata;
        char code[64];
        AnswerInput in = {
                .verb = VERB_DELETE_BLOB, .sent = true, .status = part->status, .code = code, .has_request_id = true
        };
        Error e = ERROR_NULL;
        Verdict v;

        check(part->number < BATCH_MAX && !told->by[part->number]);
        check(part->status >= 100 && part->status <= 599);
        check(part->body >= told->body && part->body + part->body_size <= told->end);
        told->by[part->number] = true;
        told->status[part->number] = part->status;
        told->n++;
        if (http_header(part->headers, "x-ms-error-code", code, sizeof(code)) < 0)
                code[0] = '\0';
        v = answer_verdict(&in, &e);
        check(v != VERDICT_OK || part->status == 202);
        check(v != VERDICT_MISSING || part->status == 404);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const uint8_t *lf = size > 0 ? memchr(data, '\n', size) : NULL;
        _cleanup_free_ char *type = NULL, *body = NULL;
        Told whole = { 0 }, half = { 0 };
        size_t n;
        int r;

        if (!lf)
                return 0;
        type = strndup((const char *) data, (size_t) (lf - data));
        n = size - (size_t) (lf + 1 - data);
        body = malloc(n + 1);
        check(type && body);
        memcpy(body, lf + 1, n);
        whole.body = half.body = body;
        whole.end = body + n;
        half.end = body + n / 2;
        r = batch_parse(type, body, n, on_part, &whole);
        check(r == -EBADMSG ? whole.n == 0 : r == whole.n);

        /* Of a cut answer nothing else is told, but for a number whose second appearance was cut off. */
        r = batch_parse(type, body, n / 2, on_part, &half);
        check(r == -EBADMSG ? half.n == 0 : r == half.n);
        for (unsigned i = 0; i < BATCH_MAX; i++)
                check(!half.by[i] || !whole.by[i] || half.status[i] == whole.status[i]);
        return 0;
}
