/* The headers of an answer, as a hostile service or a box on the way may send them, through all that reads them to the
 * verdict. The first four bytes are what curl would say: verb, result, status. */
#include "azure/answer.h"
#include "azure/properties.h"
#include "http/http.h"
#include "util/clock.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW (INT64_C(1790000000) * NSEC_PER_SEC)

static void check(bool holds) {
        if (!holds)
                abort();
}

/* A peer chose the code: what is said of it goes to the log and to terminals (pitfalls 6.8). */
static bool printable(const char *text) {
        for (; *text; text++)
                if (*text < ' ' || *text > '~')
                        return false;
        return true;
}

static bool terminated(const char *text, size_t room) {
        return memchr(text, '\0', room) != NULL;
}

static void check_blob(const char *headers) {
        ListedBlob b;

        properties_read(headers, &b);
        check(!b.name && terminated(b.etag, sizeof(b.etag)) && terminated(b.writer, sizeof(b.writer)));
        check(terminated(b.blob_type, sizeof(b.blob_type)) && terminated(b.access_tier, sizeof(b.access_tier)));
        check(terminated(b.mtime, sizeof(b.mtime)) && terminated(b.modtime, sizeof(b.modtime)));
        check(terminated(b.permissions, sizeof(b.permissions)) && terminated(b.owner, sizeof(b.owner)));
        check(!strpbrk(b.etag, "\r\n ") && !strchr(b.writer, '\n'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const CURLcode results[] = { CURLE_OK,          CURLE_PARTIAL_FILE,       CURLE_OPERATION_TIMEDOUT,
                                            CURLE_SEND_ERROR,  CURLE_COULDNT_CONNECT,    CURLE_PEER_FAILED_VERIFICATION,
                                            CURLE_RECV_ERROR,  CURLE_WRITE_ERROR,        CURLE_COULDNT_RESOLVE_HOST,
                                            CURLE_GOT_NOTHING, CURLE_ABORTED_BY_CALLBACK };
        _cleanup_free_ char *headers = NULL;
        char code[64], etag[128], request[64];
        AnswerInput in = { .code = code, .curl_error = "" };
        Error e = ERROR_NULL;
        int64_t wait;
        Verdict v;

        if (size < 4)
                return 0;
        headers = strndup((const char *) data + 4, size - 4);
        check(headers != NULL);
        in.verb = (AzureVerb) (data[0] % (VERB_SERVICE_PROPERTIES + 1));
        in.result = results[data[1] % ELEMENTSOF(results)];
        in.status = data[2] % 6 * 100 + data[3] % 100;
        in.sent = data[1] & 0x80;
        in.md5_differs = data[2] & 0x80;
        if (http_header(headers, "x-ms-error-code", code, sizeof(code)) < 0)
                code[0] = '\0';
        in.has_request_id = http_header(headers, "x-ms-request-id", request, sizeof(request)) >= 0;
        in.has_etag = properties_etag(headers, etag, sizeof(etag));
        check(in.has_etag ? strlen(etag) > 2 && !strpbrk(etag, "\r\n ") : etag[0] == '\0');
        in.clock_skew_ns = properties_clock_skew(headers, NOW);
        wait = answer_retry_after(headers, NOW);
        check(wait >= 0 && wait <= 600 * NSEC_PER_SEC);
        check_blob(headers);

        v = answer_verdict(&in, &e);
        check(verdict_name(v)[0] != '\0');
        check(v == VERDICT_OK || v == VERDICT_UNCHANGED || e.text[0] != '\0');
        check(printable(e.text) && printable(e.detail));
        /* 201 is not enough (pitfalls 10.1), nor is an answer that was cut (10.3) */
        if (v == VERDICT_OK) {
                check(in.result == CURLE_OK && (in.has_request_id || in.code[0] != '\0') && in.status >= 200);
                if (in.verb == VERB_PUT_BLOB || in.verb == VERB_PUT_BLOCK_LIST || in.verb == VERB_COPY_BLOB)
                        check(in.has_etag && in.status >= 201 && in.status <= 202 && !in.md5_differs);
        }
        /* a stranger's 404 is no proof that a blob is gone (L2) */
        if (v == VERDICT_MISSING)
                check(in.status == 404 && (in.has_request_id || in.code[0] != '\0'));
        return 0;
}
