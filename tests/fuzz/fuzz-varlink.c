/* Requests of a hostile client, ended by NULs; and the same bytes as a cursor. What is promised of a request must hold
 * for each that is accepted, and each that is refused gets an answer that is valid JSON, or none. */
#include "azsyncd/control.h"
#include "control/json.h"
#include "control/protocol.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_reply(const Buf *reply) {
        json_t *message;

        if (reply->size == 0)
                return;
        if (strlen(reply->data) + 1 != reply->size)
                abort();
        message = json_loadb(reply->data, reply->size - 1, JSON_REJECT_DUPLICATES, NULL);
        if (!json_is_string(json_object_get(message, "error")))
                abort();
        json_decref(message);
}

static void check_request(const Request *r) {
        if (r->oneway && r->more)
                abort();
        if ((r->method == METHOD_APPROVE || r->method == METHOD_REJECT) && !r->mapping)
                abort();
        if (r->method == METHOD_GET_INTERFACE_DESCRIPTION && !r->interface)
                abort();
        if (r->n_mappings > PROTOCOL_NAMES_MAX || r->timeout_s > 1e9)
                abort();
        for (size_t i = 0; i < r->n_mappings; i++)
                if (!r->mappings[i])
                        abort();
}

static void feed_cursor(const char *text) {
        _cleanup_free_ char *mapping = NULL, *path = NULL;
        json_t *again;

        if (cursor_parse(text, &mapping, &path) < 0)
                return;
        again = cursor_to_json(mapping, path);
        if (strcmp(json_string_value(again), text) != 0) /* one cursor, one text */
                abort();
        json_decref(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = malloc(size + 1);
        size_t at = 0;

        if (!text)
                return 0;
        memcpy(text, data, size);
        text[size] = '\0';
        while (at < size) {
                _cleanup_buf_ Buf reply = BUF_INIT(AZSYNC_MESSAGE_MAX);
                _cleanup_request_ Request r = { 0 };
                size_t n = strlen(text + at);
                int k = protocol_parse(&r, text + at, n, &reply);

                if (k == 0)
                        check_request(&r);
                else if (r.message || r.mappings)
                        abort();
                if (k != -EBADMSG && reply.size > 0)
                        abort();
                check_reply(&reply);
                feed_cursor(text + at);
                at += n + 1;
        }
        return 0;
}
