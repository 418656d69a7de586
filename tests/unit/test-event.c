#include "watch/event.h"
#include "watch/watcher.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/inotify.h>

#include <cmocka.h>

static size_t put_event(char *at, int wd, uint32_t mask, const char *name, uint32_t len) {
        struct inotify_event head = { .wd = wd, .mask = mask, .len = len };

        memcpy(at, &head, sizeof(head));
        memset(at + sizeof(head), 0, len);
        memcpy(at + sizeof(head), name, MIN(strlen(name), (size_t) len));
        return sizeof(head) + len;
}

static void test_events_in_a_row(void **state) {
        char bytes[512];
        size_t size = 0, at = 0;
        WatchEvent e;

        size += put_event(bytes + size, 1, IN_CREATE, "a", 16);
        size += put_event(bytes + size, 2, IN_DELETE_SELF, "", 0);
        size += put_event(bytes + size, -1, IN_Q_OVERFLOW, "", 0);
        size += put_event(bytes + size, 3, IN_MOVED_TO | IN_ISDIR, "exactly 15 long", 16);

        at += event_parse(bytes + at, size - at, &e);
        assert_int_equal(e.wd, 1);
        assert_int_equal(e.mask, IN_CREATE);
        assert_string_equal(e.name, "a");
        assert_int_equal(e.size, 1);
        at += event_parse(bytes + at, size - at, &e);
        assert_int_equal(e.wd, 2);
        assert_string_equal(e.name, "");
        assert_int_equal(e.size, 0);
        at += event_parse(bytes + at, size - at, &e); /* 1.9 */
        assert_int_equal(e.wd, -1);
        assert_int_equal(e.mask, IN_Q_OVERFLOW);
        at += event_parse(bytes + at, size - at, &e);
        assert_int_equal(e.wd, 3);
        assert_int_equal(e.size, 15);
        assert_int_equal(at, size);
        assert_int_equal(event_parse(bytes + at, 0, &e), 0);
}

/* Whatever ends in the middle is no event; nothing outside the bytes is read (the sanitizer looks). */
static void test_cut_short(void **state) {
        char whole[64];
        size_t size = put_event(whole, 1, IN_CREATE, "name", 16);

        for (size_t n = 0; n < size; n++) {
                _cleanup_free_ char *bytes = malloc(n + 1);
                WatchEvent e = { .wd = 77 };

                assert_non_null(bytes);
                memcpy(bytes, whole, n);
                assert_int_equal(event_parse(bytes, n, &e), 0);
                assert_int_equal(e.wd, 77);
        }
}

static void test_hostile(void **state) {
        char bytes[64];
        WatchEvent e;
        size_t size;

        size = put_event(bytes, 1, IN_CREATE, "not ended at all", 16); /* the kernel never does that */
        assert_int_equal(event_parse(bytes, size, &e), size);
        assert_string_equal(e.name, "");
        assert_int_equal(e.size, 0);
        (void) put_event(bytes, 1, IN_CREATE, "x", 16);
        memset(bytes + offsetof(struct inotify_event, len), 0xff, sizeof(uint32_t)); /* longer than there is */
        assert_int_equal(event_parse(bytes, sizeof(bytes), &e), 0);
}

static void test_news(void **state) {
        static const struct {
                uint32_t mask;
                bool named;
                unsigned news;
        } cases[] = {
                { IN_CREATE, true, WATCH_NAME },
                { IN_MODIFY, true, WATCH_CONTENT },
                { IN_CLOSE_WRITE, true, WATCH_CONTENT | WATCH_CLOSED },
                { IN_ATTRIB, true, WATCH_ATTRIB },
                { IN_DELETE, true, WATCH_NAME },
                { IN_MOVED_FROM, true, WATCH_NAME },
                { IN_MOVED_TO, true, WATCH_NAME | WATCH_CLOSED }, /* a whole file, saved atomically */
                { IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE, true, WATCH_NAME | WATCH_CONTENT | WATCH_CLOSED },
                { IN_ISDIR | IN_CREATE, true, WATCH_NAME | WATCH_SUBTREE }, /* 1.1 */
                { IN_ISDIR | IN_DELETE, true, WATCH_NAME | WATCH_SUBTREE },
                { IN_ISDIR | IN_MOVED_FROM, true, WATCH_NAME | WATCH_SUBTREE }, /* 1.5 */
                { IN_ISDIR | IN_MOVED_TO, true, WATCH_NAME | WATCH_SUBTREE },
                { IN_ISDIR | IN_ATTRIB, true, WATCH_SUBTREE | WATCH_ATTRIB }, /* 5.5 */
                { IN_DELETE_SELF, false, WATCH_ROOT },
                { IN_MOVE_SELF, false, WATCH_ROOT },
                { IN_UNMOUNT, false, WATCH_ROOT | WATCH_SUBTREE }, /* 2.1 */
                { IN_ISDIR | IN_ATTRIB, false, WATCH_SUBTREE | WATCH_ATTRIB },
                { IN_IGNORED, false, 0 },
                { IN_OPEN | IN_ACCESS, true, 0 },
                { 0, true, 0 },
                { 0, false, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                assert_int_equal(event_news(cases[i].mask, cases[i].named), cases[i].news);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_events_in_a_row),
                cmocka_unit_test(test_cut_short),
                cmocka_unit_test(test_hostile),
                cmocka_unit_test(test_news),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
