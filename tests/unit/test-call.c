/* What of an answer counts: whose it is, and whether a listing goes on. */
#include "asking.h"
#include "azure/blob.h"

static const struct {
        AzureVerb verb;
        const char *id; /* x-ms-client-request-id; NULL: none, "": ours */
        const char *status, *code;
        Verdict verdict;
} answers[] = {
        { VERB_HEAD_BLOB, "", "404 No", "BlobNotFound", VERDICT_MISSING },
        { VERB_HEAD_BLOB, NULL, "404 No", "BlobNotFound", VERDICT_MISSING },
        { VERB_DELETE_BLOB, "", "412 No", "ConditionNotMet", VERDICT_CHANGED },
        { VERB_DELETE_BLOB, "", "202 Yes", "", VERDICT_OK },
        /* of a connection on which an answer too many has come (pitfalls 10.1) */
        { VERB_HEAD_BLOB, "other", "404 No", "BlobNotFound", VERDICT_RETRY },
        { VERB_HEAD_BLOB, "other", "404 No", "", VERDICT_RETRY },
        { VERB_HEAD_BLOB, "other", "404 No", "ContainerNotFound", VERDICT_RETRY },
        { VERB_DELETE_BLOB, "other", "404 No", "BlobNotFound", VERDICT_UNKNOWN },
        { VERB_DELETE_BLOB, "other", "412 No", "ConditionNotMet", VERDICT_UNKNOWN },
        { VERB_DELETE_BLOB, "other", "403 No", "AuthenticationFailed", VERDICT_UNKNOWN },
        { VERB_DELETE_BLOB, "other", "202 Yes", "", VERDICT_UNKNOWN },
};

static size_t now; /* in `answers` */

static bool play(Peer *p) {
        const char *line = strcasestr(p->data, "x-ms-client-request-id: "), *id = answers[now].id;
        char text[1024], ours[64] = "";

        if (line)
                (void) sscanf(line, "%*s %63[^\r]", ours);
        (void) snprintf(text, sizeof(text),
                        "HTTP/1.1 %s\r\nx-ms-request-id: 1\r\n%s%s%s%s%s%sContent-Length: 0\r\n\r\n",
                        answers[now].status, id ? "x-ms-client-request-id: " : "",
                        id && !id[0] ? ours
                        : id         ? id
                                     : "",
                        id ? "\r\n" : "", answers[now].code[0] ? "x-ms-error-code: " : "", answers[now].code,
                        answers[now].code[0] ? "\r\n" : "");
        return peer_say(p, text);
}

static void on_answer(const BlobAnswer *answer, void *userdata) {
        *(Verdict *) userdata = answer->verdict;
        finished++;
}

static BlobClient *make_client(void) {
        BlobClientOptions options = { .endpoint_url = url("account"), .account = "account" };
        BlobClient *client = NULL;
        Error e = ERROR_NULL;

        assert_int_equal(credential_new_shared_key(&options.credential, "a2V5", &e), 0);
        assert_int_equal(blob_client_new(&client, loop, &options, &e), 0);
        return client;
}

static void whose_answer(void **state) {
        _cleanup_(blob_client_freep) BlobClient *client = NULL;

        server_start(&server, play);
        client = make_client();
        for (now = 0; now < ELEMENTSOF(answers); now++) {
                Verdict verdict = VERDICT_OK;
                int r = answers[now].verb == VERB_HEAD_BLOB
                                ? blob_head(client, "container", "blob", on_answer, &verdict, NULL)
                                : blob_delete(client, "container", "blob", "\"1\"", on_answer, &verdict, NULL);

                assert_int_equal(r, 0);
                run_until((unsigned) now + 1);
                assert_string_equal(verdict_name(verdict), verdict_name(answers[now].verdict));
        }
}

/* --- a listing that does not go on --- */

static const struct {
        const char *sent, *next;
        Verdict verdict;
} pages[] = {
        { NULL, "", VERDICT_OK },  { NULL, "b", VERDICT_OK },   { "b", "", VERDICT_OK },
        { "b", "bb", VERDICT_OK }, { "b", "b", VERDICT_RETRY },
};

static bool play_page(Peer *p) {
        char body[256], text[512];

        (void) snprintf(body, sizeof(body),
                        "<EnumerationResults><Blobs/><NextMarker>%s</NextMarker></EnumerationResults>",
                        pages[now].next);
        (void) snprintf(text, sizeof(text), "HTTP/1.1 200 Yes\r\nx-ms-request-id: 1\r\nContent-Length: %zu\r\n\r\n%s",
                        strlen(body), body);
        return peer_say(p, text);
}

static int on_blob(const ListedBlob *blob, void *userdata) {
        fail();
        return 0;
}

static void next_page(void **state) {
        _cleanup_(blob_client_freep) BlobClient *client = NULL;

        server_start(&server, play_page);
        client = make_client();
        for (now = 0; now < ELEMENTSOF(pages); now++) {
                Verdict verdict = VERDICT_OK;

                assert_int_equal(
                        blob_list(client, "container", "", pages[now].sent, 10, on_blob, on_answer, &verdict, NULL), 0);
                run_until((unsigned) now + 1);
                assert_string_equal(verdict_name(verdict), verdict_name(pages[now].verdict));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(whose_answer, set_up, tear_down),
                cmocka_unit_test_setup_teardown(next_page, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
