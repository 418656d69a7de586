#include "control/protocol.h"

#include "azsyncd/control.h"
#include "control/interface.h"
#include "control/json.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ROOM 262144
#define CALL(method, parameters) "{\"method\":\"" method "\",\"parameters\":" parameters "}"
#define AZ "io.azsync."
#define SVC "org.varlink.service."
#define REFUSED(error, key, value) "{\"error\":\"" error "\",\"parameters\":{\"" key "\":\"" value "\"}}"

/* What comes back for one message: the method, or the refusal, or nothing at all. */
static const struct {
        const char *message;
        int r;
        Method method;
        const char *refusal;
} requests[] = {
        { CALL(SVC "GetInfo", "{}"), 0, METHOD_GET_INFO, "" },
        { "{\"method\":\"" SVC "GetInfo\"}", 0, METHOD_GET_INFO, "" },
        { " {\"method\" : \"" AZ "Status\", \"parameters\": null, \"more\":null}\n", 0, METHOD_STATUS, "" },
        { CALL(SVC "GetInterfaceDescription", "{\"interface\":\"x\"}"), 0, METHOD_GET_INTERFACE_DESCRIPTION, "" },
        { CALL(AZ "Status", "{\"mapping\":\"photos\"}"), 0, METHOD_STATUS, "" },
        { CALL(AZ "Status", "{\"mapping\":null}"), 0, METHOD_STATUS, "" },
        { CALL(AZ "Wait", "{\"mappings\":[\"a\",\"b\"],\"timeout_s\":1.5}"), 0, METHOD_WAIT, "" },
        { CALL(AZ "Wait", "{\"mappings\":[],\"timeout_s\":0}"), 0, METHOD_WAIT, "" },
        { CALL(AZ "Wait", "{\"mappings\":null,\"timeout_s\":null}"), 0, METHOD_WAIT, "" },
        { CALL(AZ "Queue", "{\"after\":\"eA==\"}"), 0, METHOD_QUEUE, "" },
        { CALL(AZ "Rescan", "{}"), 0, METHOD_RESCAN, "" },
        { CALL(AZ "Retry", "{}"), 0, METHOD_RETRY, "" },
        { CALL(AZ "Pause", "{}"), 0, METHOD_PAUSE, "" },
        { CALL(AZ "Resume", "{}"), 0, METHOD_RESUME, "" },
        { CALL(AZ "Approve", "{\"mapping\":\"a\"}"), 0, METHOD_APPROVE, "" },
        { CALL(AZ "Reject", "{\"mapping\":\"a\"}"), 0, METHOD_REJECT, "" },
        { CALL(AZ "Reload", "{}"), 0, METHOD_RELOAD, "" },

        /* Varlink, but not ours */
        { CALL(AZ "status", "{}"), -EBADMSG, 0, REFUSED(SVC "MethodNotFound", "method", AZ "status") },
        { CALL(AZ "", "{}"), -EBADMSG, 0, REFUSED(SVC "MethodNotFound", "method", AZ) },
        { CALL(SVC "Nothing", "{}"), -EBADMSG, 0, REFUSED(SVC "MethodNotFound", "method", SVC "Nothing") },
        { CALL("io.systemd.Resolve.Now", "{}"), -EBADMSG, 0,
          REFUSED(SVC "InterfaceNotFound", "interface", "io.systemd.Resolve") },
        { CALL("io.azsyn.Status", "{}"), -EBADMSG, 0, REFUSED(SVC "InterfaceNotFound", "interface", "io.azsyn") },
        { CALL(AZ "Status", "{\"maping\":\"a\"}"), -EBADMSG, 0,
          REFUSED(SVC "InvalidParameter", "parameter", "maping") },
        { CALL(AZ "Status", "{\"mapping\":1}"), -EBADMSG, 0, REFUSED(SVC "InvalidParameter", "parameter", "mapping") },
        { CALL(AZ "Status", "{\"after\":\"\"}"), -EBADMSG, 0, REFUSED(SVC "InvalidParameter", "parameter", "after") },
        { CALL(AZ "Approve", "{}"), -EBADMSG, 0, REFUSED(SVC "InvalidParameter", "parameter", "mapping") },
        { CALL(AZ "Approve", "{\"mapping\":null}"), -EBADMSG, 0,
          REFUSED(SVC "InvalidParameter", "parameter", "mapping") },
        { CALL(AZ "Reload", "{\"mapping\":\"a\"}"), -EBADMSG, 0,
          REFUSED(SVC "InvalidParameter", "parameter", "mapping") },
        { CALL(AZ "Wait", "{\"mappings\":[1]}"), -EBADMSG, 0,
          REFUSED(SVC "InvalidParameter", "parameter", "mappings") },
        { CALL(AZ "Wait", "{\"mappings\":\"a\"}"), -EBADMSG, 0,
          REFUSED(SVC "InvalidParameter", "parameter", "mappings") },
        { CALL(AZ "Wait", "{\"timeout_s\":-1}"), -EBADMSG, 0,
          REFUSED(SVC "InvalidParameter", "parameter", "timeout_s") },
        { CALL(AZ "Wait", "{\"timeout_s\":1e300}"), -EBADMSG, 0,
          REFUSED(SVC "InvalidParameter", "parameter", "timeout_s") },
        { CALL(AZ "Wait", "{\"timeout_s\":\"5\"}"), -EBADMSG, 0,
          REFUSED(SVC "InvalidParameter", "parameter", "timeout_s") },
        { CALL(SVC "GetInterfaceDescription", "{}"), -EBADMSG, 0,
          REFUSED(SVC "InvalidParameter", "parameter", "interface") },
        { "{\"method\":\"" AZ "Nope\",\"oneway\":true}", -EBADMSG, 0, "" }, /* oneway: nobody listens */

        /* not Varlink */
        { "", -EPROTO, 0, "" },
        { "{}", -EPROTO, 0, "" },
        { "[]", -EPROTO, 0, "" },
        { "null", -EPROTO, 0, "" },
        { "GET / HTTP/1.1\r\n\r\n", -EPROTO, 0, "" },
        { "{\"method\":1}", -EPROTO, 0, "" },
        { "{\"method\":\"Status\"}", -EPROTO, 0, "" },
        { "{\"method\":\".Status\"}", -EPROTO, 0, "" },
        { CALL(AZ "Status", "[]"), -EPROTO, 0, "" },
        { CALL(AZ "Status", "{}") " x", -EPROTO, 0, "" },
        { CALL(AZ "Status", "{\"mapping\":\"a\",\"mapping\":\"b\"}"), -EPROTO, 0, "" },
        { CALL(AZ "Status", "{\"mapping\":\"\xff\"}"), -EPROTO, 0, "" },      /* not UTF-8 */
        { CALL(AZ "Status", "{\"mapping\":\"a\\u0000b\"}"), -EPROTO, 0, "" }, /* would be cut at the NUL */
        { CALL(AZ "Wait", "{\"timeout_s\":1e999}"), -EPROTO, 0, "" },
        { "{\"method\":\"" AZ "Status\",\"more\":1}", -EPROTO, 0, "" },
        { "{\"method\":\"" AZ "Status\",\"more\":true,\"oneway\":true}", -EPROTO, 0, "" },
        { CALL(AZ "Status", "{\"mapping\":[[[[[[[[]]]]]]]]}"), -EPROTO, 0, "" },
};

static void test_requests(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(requests); i++) {
                _cleanup_buf_ Buf reply = BUF_INIT(ROOM);
                _cleanup_request_ Request r = { 0 };
                int k = protocol_parse(&r, requests[i].message, strlen(requests[i].message), &reply);

                if (k != requests[i].r || strcmp(buf_text(&reply), requests[i].refusal) != 0)
                        fail_msg("%s: %i, %s", requests[i].message, k, buf_text(&reply));
                if (k == 0)
                        assert_int_equal(r.method, requests[i].method);
                else
                        assert_null(r.message);
                if (reply.size > 0) /* framed */
                        assert_int_equal(reply.size, strlen(reply.data) + 1);
        }
}

static void test_parameters(void **state) {
        static const char text[] = "{\"method\":\"io.azsync.Wait\",\"more\":true,\"oneway\":false,"
                                   "\"parameters\":{\"mappings\":[\"b\",\"a\",\"b\"],\"timeout_s\":2}}";
        _cleanup_buf_ Buf reply = BUF_INIT(ROOM);
        _cleanup_request_ Request r = { 0 }, q = { 0 };

        assert_int_equal(protocol_parse(&r, text, strlen(text), &reply), 0);
        assert_int_equal(r.n_mappings, 3);
        assert_string_equal(r.mappings[0], "b");
        assert_string_equal(r.mappings[1], "a");
        assert_true(r.timeout_s == 2.0);
        assert_true(r.more);
        assert_false(r.oneway);

        assert_int_equal(protocol_parse(&q, requests[0].message, strlen(requests[0].message), &reply), 0);
        assert_true(q.timeout_s < 0); /* none given */
        assert_int_equal(reply.size, 0);
}

/* Pitfalls 11.9: nothing a client sends decides how deep we recurse or how much we hold. */
static void test_limits(void **state) {
        _cleanup_buf_ Buf text = BUF_INIT(ROOM), reply = BUF_INIT(ROOM), small = BUF_INIT(16);
        _cleanup_request_ Request r = { 0 };

        for (unsigned i = 0; i < 60000; i++)
                assert_int_equal(buf_puts(&text, "["), 0);
        assert_int_equal(protocol_parse(&r, text.data, text.size, &reply), -EPROTO);

        /* brackets in strings are not nesting */
        buf_clear(&text);
        assert_int_equal(buf_puts(&text, "{\"method\":\"io.azsync.Status\",\"parameters\":{\"mapping\":\"\\\"[[[[[[[[["
                                         "[[[{{{{{{{\"}}"),
                         0);
        assert_int_equal(protocol_parse(&r, text.data, text.size, &reply), 0);
        assert_string_equal(r.mapping, "\"[[[[[[[[[[[[{{{{{{{");
        protocol_done(&r);

        buf_clear(&text);
        assert_int_equal(buf_puts(&text, "{\"method\":\"io.azsync.Wait\",\"parameters\":{\"mappings\":[\"a\""), 0);
        for (unsigned i = 1; i <= PROTOCOL_NAMES_MAX; i++)
                assert_int_equal(buf_puts(&text, ",\"a\""), 0);
        assert_int_equal(buf_puts(&text, "]}}"), 0);
        assert_int_equal(protocol_parse(&r, text.data, text.size, &reply), -EBADMSG);

        buf_clear(&text);
        assert_int_equal(buf_puts(&text, "{\"method\":\"io.azsync.Status\"}"), 0);
        while (text.size <= AZSYNC_REQUEST_MAX)
                assert_int_equal(buf_puts(&text, " "), 0);
        assert_int_equal(protocol_parse(&r, text.data, text.size, &reply), -EPROTO);
        assert_int_equal(protocol_parse(&r, text.data, text.size - 1, &reply), 0);

        /* an answer that does not fit leaves no half of it behind */
        assert_int_equal(buf_puts(&small, "ab"), 0);
        assert_int_equal(reply_error_text(&small, CONTROL_ERROR_FAILED, "message", "x"), -EMSGSIZE);
        assert_string_equal(small.data, "ab");
        assert_int_equal(small.size, 2);
}

static void assert_json(json_t *got, const char *expected) {
        _cleanup_free_ char *text = json_dumps(got, JSON_COMPACT | JSON_REAL_PRECISION(15) | JSON_ENCODE_ANY);

        json_decref(got);
        assert_string_equal(text, expected);
}

#define COUNTS                                                                                                  \
        "\"failed\":1,\"held\":2,\"busy\":3,\"conflicts\":4,\"skipped\":5,\"lag_s\":1.235,\"rate\":1000,"       \
        "\"bandwidth\":2097152,"                                                                                \
        "\"uploaded_files\":6,\"uploaded_bytes\":9223372036854775807,\"copied_files\":8,\"deleted_files\":9,"   \
        "\"requests\":10,\"transfers\":{\"limit\":12,\"active\":13},\"watch\":\"mixed\",\"polled_folders\":11," \
        "\"rescan_s\":30.5,"

/* The format that design.md fixes; names that are not UTF-8 are escaped with their bytes beside them (pitfalls 6.8),
 * and strangers see no names. */
static void test_mapping(void **state) {
        const FlightStatus flights[] = { { "a b\n\xc3\xa9", 1, 2, 5.7, 0.25 }, { "x\xff\\", 3, 4, 0, -1 } };
        MappingStatus s = {
                .name = "photos",
                .folder = "/srv/\xe9",
                .url = "https://x/photos",
                .state = "syncing",
                .detail = "",
                .files = 12,
                .bytes = 34,
                .pending = 56,
                .failed = 1,
                .held = 2,
                .busy = 3,
                .conflicts = 4,
                .skipped = 5,
                .in_flight = flights,
                .n_in_flight = 2,
                .lag_s = 1.23456,
                .uploaded_files = 6,
                .uploaded_bytes = UINT64_MAX,
                .copied_files = 8,
                .deleted_files = 9,
                .requests = 10,
                .rate = 1000.9,
                .transfers_limit = 12,
                .transfers_active = 13,
                .bandwidth = 2 << 20,
                .watch = "mixed",
                .polled_folders = 11,
                .rescan_s = 30.5,
                .last_error = "secret/name: gone",
                .last_sync_ns = INT64_C(1700000000123456789),
        };

        assert_json(
                mapping_to_json(&s, true),
                "{\"name\":\"photos\",\"folder\":\"/srv/\\\\xe9\",\"folder_bytes\":\"L3Nydi/p\",\"url\":\"https://x/"
                "photos\",\"state\":\"syncing\",\"detail\":\"\",\"files\":12,\"bytes\":34,\"pending\":56,"
                "\"in_flight\":[{\"path\":\"a b\\n\xc3\xa9\",\"sent\":1,\"size\":2,\"rate\":5,\"remaining_s\":0.25},"
                "{\"path\":\"x\\\\xff\\\\\\\\\",\"path_bytes\":\"eP9c\",\"sent\":3,\"size\":4,\"rate\":0,"
                "\"remaining_s\":null}]," COUNTS
                "\"last_error\":\"secret/name: gone\",\"last_sync\":\"2023-11-14T22:13:20.123456789Z\"}");
        s.lag_s = NAN;
        s.rate = INFINITY;
        s.bandwidth = 0;
        s.last_sync_ns = 0;
        s.folder = "/srv";
        s.uploaded_bytes = 7;
        assert_json(mapping_to_json(&s, false),
                    "{\"name\":\"photos\",\"folder\":\"/srv\",\"url\":\"https://x/photos\",\"state\":\"syncing\","
                    "\"detail\":\"\",\"files\":12,\"bytes\":34,\"pending\":56,"
                    "\"in_flight\":[{\"path\":\"\",\"sent\":1,\"size\":2,\"rate\":5,\"remaining_s\":0.25},"
                    "{\"path\":\"\",\"sent\":3,\"size\":4,\"rate\":0,\"remaining_s\":null}],"
                    "\"failed\":1,\"held\":2,\"busy\":3,\"conflicts\":4,\"skipped\":5,\"lag_s\":0.0,\"rate\":0,"
                    "\"bandwidth\":null,"
                    "\"uploaded_files\":6,\"uploaded_bytes\":7,\"copied_files\":8,\"deleted_files\":9,\"requests\":10,"
                    "\"transfers\":{\"limit\":12,\"active\":13},\"watch\":\"mixed\",\"polled_folders\":11,\"rescan_s\":"
                    "30.5,\"last_error\":\"\","
                    "\"last_sync\":null}");
}

static void test_item(void **state) {
        const QueueItem item = { "m", "p\xf0\x9f", "failed", "bad \x80 reason", 7, INT64_C(1000000000), 0 };

        assert_json(item_to_json(&item),
                    "{\"mapping\":\"m\",\"path\":\"p\\\\xf0\\\\x9f\",\"path_bytes\":\"cPCf\",\"state\":\"failed\","
                    "\"reason\":\"bad \\\\x80 reason\",\"attempts\":7,\"since\":\"1970-01-01T00:00:01.000000000Z\","
                    "\"next_try\":null}");
        assert_json(lines_to_json("one\n\ntwo\n"), "[\"one\",\"two\"]");
        assert_json(lines_to_json(""), "[]");
}

static void test_replies(void **state) {
        _cleanup_buf_ Buf out = BUF_INIT(ROOM);

        assert_int_equal(reply_parameters(&out, json_object(), false), 0);
        assert_int_equal(reply_parameters(&out, json_pack("{s:f}", "x", 0.1), true), 0);
        assert_int_equal(reply_error_text(&out, "io.azsync.Failed", "message", "\xff"), 0);
        assert_int_equal(reply_parameters(&out, NULL, true), -ENOMEM);
        assert_int_equal(reply_error(&out, "x", NULL), -ENOMEM);
        assert_string_equal(out.data, "{\"parameters\":{}}");
        assert_string_equal(out.data + strlen(out.data) + 1, "{\"parameters\":{\"x\":0.1},\"continues\":true}");
        assert_string_equal(strchr(out.data + strlen(out.data) + 1, '\0') + 1,
                            "{\"error\":\"io.azsync.Failed\",\"parameters\":{\"message\":\"\\\\xff\"}}");
}

static void test_cursor(void **state) {
        static const struct {
                const char *mapping, *path;
        } good[] = { { "photos", "a/b c" }, { "m", "" }, { "m", "\xff\x01\n" } };
        /* "", "ab" without a NUL, NUL first, a second NUL, not Base64 */
        static const char *const bad[] = { "", "YWI=", "AGFi", "YQBiAGM=", "!!!!", "YQBi\n" };

        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                _cleanup_free_ char *mapping = NULL, *path = NULL;
                json_t *text = cursor_to_json(good[i].mapping, good[i].path);

                assert_int_equal(cursor_parse(json_string_value(text), &mapping, &path), 0);
                assert_string_equal(mapping, good[i].mapping);
                assert_string_equal(path, good[i].path);
                json_decref(text);
        }
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                char *mapping = NULL, *path = NULL;

                assert_int_equal(cursor_parse(bad[i], &mapping, &path), -EINVAL);
                assert_null(mapping);
                assert_null(path);
        }
}

/* The interface's text names every method we answer, and no other. */
static void test_interface(void **state) {
        unsigned told = 0, known = 0;

        for (const char *p = interface_azsync; (p = strstr(p, "\nmethod ")); p++)
                told++;
        for (Method m = METHOD_STATUS; m <= METHOD_RELOAD; m++) {
                char line[64];

                (void) snprintf(line, sizeof(line), "\nmethod %s(", method_name(m));
                assert_non_null(strstr(interface_azsync, line));
                known++;
        }
        assert_int_equal(told, known);
        assert_ptr_equal(interface_find("io.azsync"), interface_azsync);
        assert_ptr_equal(interface_find("org.varlink.service"), interface_service);
        assert_null(interface_find("io.azsync.Status"));
        assert_non_null(strstr(interface_azsync, "\ninterface io.azsync\n"));
}

static void test_trust(void **state) {
        static const Method open[] = { METHOD_GET_INFO, METHOD_GET_INTERFACE_DESCRIPTION, METHOD_STATUS, METHOD_WAIT };

        for (Method m = METHOD_GET_INFO; m <= METHOD_RELOAD; m++) {
                bool is_open = false;

                for (size_t i = 0; i < ELEMENTSOF(open); i++)
                        is_open = is_open || m == open[i];
                assert_int_equal(method_needs_trust(m), !is_open);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_requests), cmocka_unit_test(test_parameters), cmocka_unit_test(test_limits),
                cmocka_unit_test(test_mapping),  cmocka_unit_test(test_item),       cmocka_unit_test(test_replies),
                cmocka_unit_test(test_cursor),   cmocka_unit_test(test_interface),  cmocka_unit_test(test_trust),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
