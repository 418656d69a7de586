/* Raw inotify bytes: what the flags mean (pitfalls 1), and bytes that no kernel writes. */
#include "watch/event.h"
#include "watch/watcher.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/inotify.h>

#include <cmocka.h>

static size_t put(char *to, int wd, uint32_t mask, const char *name, size_t padding) {
        size_t length = name ? strlen(name) + padding : 0;
        struct inotify_event head = { .wd = wd, .mask = mask, .len = (uint32_t) length };

        memcpy(to, &head, sizeof(head));
        memset(to + sizeof(head), 0, length);
        if (name)
                memcpy(to + sizeof(head), name, strlen(name) + 1); /* `padding` has room for its end */
        return sizeof(head) + length;
}

static void test_meaning(void **state) {
        static const struct {
                const char *name;
                uint32_t mask;
                unsigned what;
        } cases[] = {
                { "f", IN_CREATE, WATCH_NAME }, /* also a linked O_TMPFILE: there may be no CLOSE_WRITE */
                { "f", IN_MODIFY, WATCH_CONTENT },
                { "f", IN_CLOSE_WRITE, WATCH_CONTENT | WATCH_CLOSED },
                { "f", IN_ATTRIB, WATCH_ATTRIB },
                { "f", IN_MOVED_FROM, WATCH_NAME },
                { "f", IN_MOVED_TO, WATCH_NAME | WATCH_CLOSED },
                { "f", IN_DELETE, WATCH_NAME },
                { "d", IN_CREATE | IN_ISDIR, WATCH_SUBTREE },
                { "d", IN_MOVED_FROM | IN_ISDIR, WATCH_SUBTREE },
                { "d", IN_MOVED_TO | IN_ISDIR, WATCH_SUBTREE },
                { "d", IN_DELETE | IN_ISDIR, WATCH_SUBTREE },
                { "d", IN_ATTRIB | IN_ISDIR, WATCH_ATTRIB | WATCH_SUBTREE }, /* pitfalls 5.5 */
                { NULL, IN_ATTRIB | IN_ISDIR, EVENT_CHANGED },               /* the same change, said by the folder */
                { NULL, IN_DELETE_SELF, EVENT_GONE },
                { NULL, IN_MOVE_SELF, EVENT_MOVED },
                { NULL, IN_UNMOUNT, EVENT_UNMOUNTED },
                { NULL, IN_IGNORED, EVENT_DEAD },
                { NULL, IN_Q_OVERFLOW, WATCH_SUBTREE | WATCH_OVERFLOW },
                { NULL, IN_CREATE, WATCH_SUBTREE }, /* never seen; something in the folder, so all of it */
                { NULL, IN_MODIFY, WATCH_SUBTREE },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char bytes[64];
                size_t size = put(bytes, 7, cases[i].mask, cases[i].name, 3), at = 0;
                Event e;

                assert_int_equal(event_next(bytes, size, &at, &e), 1);
                assert_int_equal(e.wd, 7);
                assert_int_equal(e.what, cases[i].what);
                assert_string_equal(e.name, cases[i].name ? cases[i].name : "");
                assert_int_equal(e.size, strlen(e.name));
                assert_int_equal(at, size);
                assert_int_equal(event_next(bytes, size, &at, &e), 0);
        }
}

static void test_several(void **state) {
        char bytes[256];
        size_t size = 0, at = 0;
        Event e;

        size += put(bytes + size, 1, IN_CREATE, "one", 5);
        size += put(bytes + size, 2, IN_OPEN, "meaningless", 1); /* never asked for: passed over */
        size += put(bytes + size, 2, IN_ACCESS, NULL, 0);
        size += put(bytes + size, 3, IN_IGNORED, NULL, 0);
        size += put(bytes + size, 4, IN_MODIFY, "odd", 2); /* leaves the rest unaligned */
        size += put(bytes + size, 5, IN_MODIFY, "last", 1);

        for (unsigned i = 0; i < 4; i++) {
                static const int wds[] = { 1, 3, 4, 5 };

                assert_int_equal(event_next(bytes, size, &at, &e), 1);
                assert_int_equal(e.wd, wds[i]);
        }
        assert_string_equal(e.name, "last");
        assert_int_equal(event_next(bytes, size, &at, &e), 0);
}

/* What no kernel writes must be noticed: its meaning is lost, and with it that of all behind it. */
static void test_broken(void **state) {
        static const struct {
                const char *name;
                size_t size;
        } names[] = {
                { "unended", 7 }, { "a/b", 4 }, { ".", 2 }, { "..", 3 }, { "/", 2 },
        };
        char bytes[1024];
        Event e;

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                struct inotify_event head = { .wd = 1, .mask = IN_CREATE, .len = (uint32_t) names[i].size };
                size_t at = 0;

                memcpy(bytes, &head, sizeof(head));
                memcpy(bytes + sizeof(head), names[i].name, names[i].size);
                assert_int_equal(event_next(bytes, sizeof(head) + names[i].size, &at, &e), -EBADMSG);
                assert_int_equal(at, 0);
        }
        for (size_t cut = 1; cut < sizeof(struct inotify_event) + 8; cut++) {
                size_t at = 0;

                assert_int_equal(put(bytes, 1, IN_CREATE, "seven..", 1), sizeof(struct inotify_event) + 8);
                assert_int_equal(event_next(bytes, cut, &at, &e), -EBADMSG);
        }
        for (unsigned i = 0; i < 2; i++) { /* longer than any name */
                char name[260];
                size_t at = 0;

                memset(name, 'x', sizeof(name));
                name[i == 0 ? 255 : 256] = '\0';
                assert_int_equal(event_next(bytes, put(bytes, 1, IN_CREATE, name, 1), &at, &e), i == 0 ? 1 : -EBADMSG);
        }
        {
                struct inotify_event head = { .wd = 1, .mask = IN_CREATE, .len = UINT32_MAX };
                size_t at = 0;

                memcpy(bytes, &head, sizeof(head));
                assert_int_equal(event_next(bytes, sizeof(bytes), &at, &e), -EBADMSG);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_meaning),
                cmocka_unit_test(test_several),
                cmocka_unit_test(test_broken),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
