#include "ctl/queue.h"
#include "ctl/status.h"
#include "util/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define NOW INT64_C(1767225600000000000) /* 2026-01-01T00:00:00Z */

static json_t *parse(const char *text) {
        json_error_t e;
        json_t *value = json_loads(text, 0, &e);

        if (!value)
                fail_msg("%s", e.text);
        return value;
}

static void expect_text(const Text *t, const char *expected) {
        assert_int_equal(t->r, 0);
        assert_string_equal(buf_text(&t->buf), expected);
}

static void test_numbers(void **state) {
        static const struct {
                uint64_t n;
                const char *count, *size;
        } numbers[] = {
                { 0, "0", "0 B" },
                { 999, "999", "999 B" },
                { 1023, "1,023", "1023 B" },
                { 1024, "1,024", "1.0 KiB" },
                { 102348, "102,348", "99.9 KiB" },
                { 102400, "102,400", "100 KiB" },
                { 1048523, "1,048,523", "1.0 MiB" }, /* never "1024 KiB" */
                { 3435973837, "3,435,973,837", "3.2 GiB" },
                { UINT64_MAX, "18,446,744,073,709,551,615", "16.0 EiB" },
        };
        static const struct {
                double s;
                const char *age;
        } ages[] = {
                { -5, "0 s" },    { 0, "0 s" },       { 0.04, "0.0 s" },    { 3.25, "3.2 s" },
                { 9.96, "10 s" }, { 119, "119 s" },   { 120, "2 min" },     { 7199, "120 min" },
                { 7200, "2 h" },  { 172799, "48 h" }, { 172800, "2 days" }, { 1e9, "11574 days" },
        };

        for (size_t i = 0; i < ELEMENTSOF(numbers); i++) {
                _cleanup_text_ Text count = TEXT_INIT(64), size = TEXT_INIT(64);

                text_count(&count, numbers[i].n);
                expect_text(&count, numbers[i].count);
                text_size(&size, numbers[i].n);
                expect_text(&size, numbers[i].size);
        }
        for (size_t i = 0; i < ELEMENTSOF(ages); i++) {
                _cleanup_text_ Text age = TEXT_INIT(64);

                text_age(&age, ages[i].s);
                expect_text(&age, ages[i].age);
        }
}

static void test_time(void **state) {
        static const char *const bad[] = { "",
                                           "2026",
                                           "2026-01-01T00:00:00",
                                           "2026-01-01T00:00:00+01:00",
                                           "2026-13-01T00:00:00Z",
                                           "1066-10-14T00:00:00Z",
                                           "2026-01-01 00:00:00Z",
                                           "2026-01-01T00:00:00.1234567890Z" };
        int64_t ns = 0;

        assert_int_equal(text_parse_time("2026-01-01T00:00:00Z", &ns), 0);
        assert_true(ns == NOW);
        assert_int_equal(text_parse_time("2026-01-01T00:00:00.000000001Z", &ns), 0);
        assert_true(ns == NOW + 1);
        assert_int_equal(text_parse_time("2026-01-01T00:00:00.5Z", &ns), 0);
        assert_true(ns == NOW + NSEC_PER_SEC / 2);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(text_parse_time(bad[i], &ns), -EINVAL);
}

/* Pitfalls 6.8: nothing that a terminal acts upon, wherever it comes from, and nothing escaped twice. */
static void test_safe(void **state) {
        static const struct {
                const char *text, *safe;
        } texts[] = {
                { "caf\xc3\xa9 \\xff", "caf\xc3\xa9 \\xff" },
                { "\033[2J", "\\x1b[2J" },
                { "a\nb\r", "a\\x0ab\\x0d" },
                { "\xe2\x80\x8b", "\\xe2\\x80\\x8b" }, /* zero width */
                { "\xc2\x9b", "\\xc2\\x9b" },          /* C1: CSI */
                { "\\", "\\" },
                { "", "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                _cleanup_text_ Text t = TEXT_INIT(64);

                text_safe(&t, texts[i].text);
                expect_text(&t, texts[i].safe);
        }
        {
                _cleanup_text_ Text t = TEXT_INIT(64);
                json_t *plain = parse("{\"path\":\"a\\\\b\"}"),
                       *shown = parse("{\"path\":\"\\\\xff\",\"path_bytes\":\"/w==\"}");

                text_path(&t, plain); /* the name has a backslash; it must not look like an escape */
                text_puts(&t, " ");
                text_path(&t, shown);
                expect_text(&t, "a\\\\b \\xff");
                json_decref(plain);
                json_decref(shown);
        }
}

static void test_ceiling(void **state) {
        _cleanup_text_ Text t = TEXT_INIT(4);

        text_puts(&t, "abc");
        text_puts(&t, "defg");
        text_puts(&t, "h"); /* would fit, but then something would be missing before it */
        assert_int_equal(t.r, -EMSGSIZE);
        assert_string_equal(buf_text(&t.buf), "abc");
}

#define REFUSED(why) "{\"reload_failed\":" why ",\"mappings\":[" IDLE "]}"
#define STATUS(mappings) "{\"version\":\"0.1.0\",\"pid\":7,\"uptime_s\":7500.5,\"mappings\":[" mappings "]}"
#define IDLE                                                                                                           \
        "{\"name\":\"photos\",\"folder\":\"/srv/photos\",\"url\":\"https://x/photos\",\"state\":\"idle\",\"detail\":"  \
        "\"\",\"files\":12345,\"bytes\":3435973837,\"pending\":0,\"in_flight\":[],\"failed\":0,\"held\":0,\"busy\":0," \
        "\"conflicts\":0,\"skipped\":0,\"lag_s\":0,\"rate\":0,\"bandwidth\":null,\"uploaded_files\":1,\"uploaded_"     \
        "bytes\":10,"                                                                                                  \
        "\"copied_files\":2,\"deleted_files\":3,\"requests\":4,\"polled_folders\":0,\"last_error\":\"\",\"last_"       \
        "sync\":"                                                                                                      \
        "\"2025-12-31T23:50:00.5Z\"}"
#define BUSY                                                                                                          \
        "{\"name\":\"docs\",\"folder\":\"/srv/d\",\"url\":\"https://x/d\",\"state\":\"failed\",\"detail\":\"\","      \
        "\"files\":1,\"bytes\":0,\"pending\":1200,\"in_flight\":[{\"path\":\"film\\u001b[2J.mp4\",\"sent\":1048576,"  \
        "\"size\":2097152,\"rate\":524288,\"remaining_s\":2.0},{\"path\":\"empty\",\"sent\":0,\"size\":0},{\"path\":" \
        "\"grown\",\"sent\":9,\"size\":8,\"rate\":0,\"remaining_s\":null}],"                                          \
        "\"failed\":1,\"held\":3,\"busy\":1,\"conflicts\":2,\"skipped\":5,\"lag_s\":61,\"rate\":1048576,"             \
        "\"bandwidth\":2097152,"                                                                                      \
        "\"uploaded_files\":0,\"uploaded_bytes\":0,\"copied_files\":0,\"deleted_files\":0,\"requests\":0,"            \
        "\"transfers\":{\"limit\":1024,\"active\":3},"                                                                \
        "\"watch\":\"poll\",\"polled_folders\":9,\"rescan_s\":40.0,\"last_error\":\"a\\\\x0ab: "                      \
        "gone\",\"last_sync\":null}"
#define BLOCKED                                                                                                       \
        "{\"name\":\"old\",\"folder\":\"/srv/o\",\"url\":\"https://x/o\",\"state\":\"blocked\",\"last_error\":\"the " \
        "container has changed\",\"detail\":\"the "                                                                   \
        "container has changed\"}"
#define CONFLICT                                                                                               \
        "{\"name\":\"c\",\"folder\":\"/c\",\"url\":\"https://x/c\",\"state\":\"idle\",\"conflicts\":1,\"last_" \
        "sync\":\"2025-12-31T23:50:00Z\"}"
#define PAUSED "{\"name\":\"p\",\"folder\":\"/p\",\"url\":\"https://x/p\",\"state\":\"paused\"}"
#define HELD_ROOT \
        "{\"name\":\"r\",\"folder\":\"/r\",\"url\":\"https://x/r\",\"state\":\"held\",\"detail\":\"another folder\"}"
#define HELD "{\"name\":\"h\",\"folder\":\"/h\",\"url\":\"https://x/h\",\"state\":\"held\",\"held\":1}"

static void expect_status(const char *status, const StatusStyle *style, const char *expected) {
        _cleanup_text_ Text t = TEXT_INIT(65536);
        json_t *value = parse(status);

        status_render(&t, value, style);
        json_decref(value);
        expect_text(&t, expected);
}

static void test_render(void **state) {
        const StatusStyle plain = { .now_ns = NOW }, now = { .now_ns = NOW - 598 * NSEC_PER_SEC, .one = true },
                          one = { .now_ns = NOW, .one = true }, old = { .now_ns = NOW, .one = true, .old_s = 60 };

        expect_status(STATUS(IDLE), &plain,
                      "azsyncd 0.1.0, running for 2 h (pid 7)\n\n"
                      "photos: idle, in sync\n"
                      "  /srv/photos -> https://x/photos\n"
                      "  in the cloud  12,345 files, 3.2 GiB\n"
                      "  since start   1 file uploaded (10 B), 2 copied, 3 deleted, 4 requests\n"
                      "  last sync     in sync since 2025-12-31 23:50:00 (10 min)\n");
        expect_status(
                STATUS(BUSY), &old,
                "docs: failed\n"
                "  /srv/d -> https://x/d\n"
                "  in the cloud  1 file, 0 B\n"
                "  to do         1,200 changes, the oldest 2 min old, 1.0 MiB/s, limited to 2.0 MiB/s\n"
                "  requests      3 at once, of 1,024 at most\n"
                "  sending       [##########..........]  50%  1.0 MiB of 2.0 MiB  512 KiB/s  2.0 s left  "
                "film\\x1b[2J.mp4\n"
                "                [####################] 100%  0 B of 0 B  empty\n"
                "                [####################] 100%  8 B of 8 B  grown\n"
                "  last sync     never yet\n"
                "  note          1 file never rests: a marked copy is sent\n"
                "  note          5 paths are skipped by policy\n"
                "  note          9 folders are polled, every 40 s: changes are seen later\n"
                "  last error    a\\x0ab: gone\n"
                "  attention     1 path cannot be uploaded: azsyncctl queue docs says why; when it is put right: "
                "azsyncctl retry docs\n"
                "  attention     3 deletions held: let them go ahead with azsyncctl approve docs, or drop them "
                "with azsyncctl reject docs\n"
                "  attention     2 blobs were changed by someone else: azsyncctl queue docs names them; theirs is kept "
                "until it is deleted, or conflict: overwrite is set, and then: azsyncctl retry docs\n");
        expect_status(STATUS(BLOCKED "," PAUSED), &one,
                      "old: blocked, nothing is sent\n"
                      "  /srv/o -> https://x/o\n"
                      "  in the cloud  0 files, 0 B\n"
                      "  last sync     never yet\n"
                      "  attention     blocked: the container has changed; put right, it goes on by itself\n"
                      "\n"
                      "p: paused, nothing is sent\n"
                      "  /p -> https://x/p\n"
                      "  in the cloud  0 files, 0 B\n"
                      "  last sync     never yet\n"
                      "  to go on      azsyncctl resume p\n");
        /* nothing is left to do, and still it is not in sync (10.15) */
        expect_status(
                STATUS(CONFLICT), &one,
                "c: idle, in conflict\n"
                "  /c -> https://x/c\n"
                "  in the cloud  0 files, 0 B\n"
                "  last sync     2025-12-31 23:50:00 (10 min ago)\n"
                "  attention     1 blob was changed by someone else: azsyncctl queue c names them; theirs is kept "
                "until it is deleted, or conflict: overwrite is set, and then: azsyncctl retry c\n");
        expect_status(STATUS(""), &plain,
                      "azsyncd 0.1.0, running for 2 h (pid 7)\n\n"
                      "No folder is mapped yet: azsyncctl add FOLDER URL\n");
        expect_status(STATUS(IDLE), &now,
                      "photos: idle, in sync\n"
                      "  /srv/photos -> https://x/photos\n"
                      "  in the cloud  12,345 files, 3.2 GiB\n"
                      "  since start   1 file uploaded (10 B), 2 copied, 3 deleted, 4 requests\n"
                      "  last sync     now\n");
        expect_status("{}", &one, "");
}

static void test_color(void **state) {
        const StatusStyle colored = { .now_ns = NOW, .one = true, .color = true }, plain = { .one = true };
        _cleanup_text_ Text t = TEXT_INIT(65536), u = TEXT_INIT(65536);
        json_t *value = parse(STATUS(IDLE "," BUSY "," BLOCKED));

        status_render(&t, value, &colored);
        assert_non_null(strstr(buf_text(&t.buf), "photos: \033[32midle\033[0m, in sync\n"));
        assert_non_null(strstr(buf_text(&t.buf), "docs: \033[1;31mfailed\033[0m\n"));
        status_render(&u, value, &plain);
        assert_null(strchr(buf_text(&u.buf), '\033'));
        json_decref(value);
}

static void test_many_flights(void **state) {
        _cleanup_text_ Text t = TEXT_INIT(65536);
        json_t *value = parse(STATUS(IDLE)), *flights;

        flights = json_object_get(json_array_get(json_object_get(value, "mappings"), 0), "in_flight");
        for (unsigned i = 0; i < 20; i++)
                assert_int_equal(json_array_append_new(flights, json_object()), 0);
        status_render(&t, value, &(StatusStyle){ 0 });
        assert_non_null(strstr(buf_text(&t.buf), "\n                and 12 more\n"));
        json_decref(value);
}

/* What --check finds: exit 3 and a line each. */
static void test_attention(void **state) {
        static const struct {
                const char *status;
                int lines;
                const char *text; /* part of it */
        } cases[] = {
                { STATUS(""), 0, "" },
                { STATUS(IDLE), 0, "" },
                { STATUS(PAUSED), 0, "" },
                { STATUS(IDLE "," BUSY), 3, "docs: 3 deletions held: " },
                { STATUS(BLOCKED), 1, "old: blocked: the container has changed; " },
                { STATUS(HELD_ROOT), 1,
                  "r: held: another folder; if it is meant to be so: azsyncctl approve r, else: " },
                { STATUS(HELD), 1, "h: 1 deletion held: " },
                { STATUS("{\"name\":\"f\",\"state\":\"failed\"}"), 1,
                  "f: failed; once it is put right: azsyncctl retry f\n" },
                { STATUS("{\"name\":\"o\",\"state\":\"offline\",\"pending\":9,\"lag_s\":9000}"), 0, "" },
                { REFUSED("{\"at\":\"2026-11-27T14:48:09Z\",\"error\":\"m.yaml:1:1: no\"}"), 1,
                  ": m.yaml:1:1: no; the" },
                { REFUSED("{\"at\":\"2026-11-27T14:48:09Z\",\"error\":\"\"}"), 1, "; the configuration before" },
                { REFUSED("null"), 0, "" },
                { REFUSED("{\"at\":7}"), 0, "" },
                { STATUS("7, null, {\"failed\":\"x\"}"), 0, "" }, /* whatever an odd daemon says */
                { "[]", 0, "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_text_ Text t = TEXT_INIT(65536);
                json_t *value = parse(cases[i].status);

                assert_int_equal(status_attention(&t, value), cases[i].lines);
                assert_int_equal(t.r, 0);
                if (cases[i].lines == 0)
                        assert_int_equal(t.buf.size, 0);
                else if (!strstr(buf_text(&t.buf), cases[i].text))
                        fail_msg("%s", buf_text(&t.buf));
                json_decref(value);
        }
}

static void test_queue(void **state) {
        _cleanup_text_ Text t = TEXT_INIT(65536), u = TEXT_INIT(65536);
        QueueTable all = { .now_ns = NOW }, one = { .now_ns = NOW, .one = true };
        json_t *page =
                parse("[{\"mapping\":\"photos\",\"path\":\"b\xc3\xa4r/x.jpg\",\"state\":\"pending\",\"attempts\":2,"
                      "\"next_try\":\"2026-01-01T00:00:12Z\",\"reason\":\"ServerBusy\"},"
                      "{\"mapping\":\"photos\",\"path\":\"a\\nb\",\"state\":\"failed\",\"attempts\":0,"
                      "\"next_try\":null,\"reason\":\"name\\u001b too long\"},"
                      "{\"mapping\":\"m\",\"path\":\"c\",\"state\":\"conflict\",\"attempts\":12,"
                      "\"next_try\":\"2025-01-01T00:00:00Z\",\"reason\":\"\"}]");

        queue_render(&t, &all, page);
        expect_text(&t, "STATE     TRIES  NEXT TRY    MAPPING  PATH       REASON\n"
                        "pending       2  in 12 s     photos   b\xc3\xa4r/x.jpg  ServerBusy\n"
                        "failed        0  -           photos   a\\x0ab     name\\x1b too long\n"
                        "conflict     12  now         m        c\n");
        queue_render(&u, &one, page);
        queue_render(&u, &one, page); /* the next page: no second heading */
        assert_null(strstr(strstr(buf_text(&u.buf), "STATE") + 1, "STATE"));
        assert_null(strstr(buf_text(&u.buf), "photos"));
        json_decref(page);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_numbers),      cmocka_unit_test(test_time),      cmocka_unit_test(test_safe),
                cmocka_unit_test(test_ceiling),      cmocka_unit_test(test_render),    cmocka_unit_test(test_color),
                cmocka_unit_test(test_many_flights), cmocka_unit_test(test_attention), cmocka_unit_test(test_queue),
        };

        (void) setenv("TZ", "UTC", 1);
        tzset();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
