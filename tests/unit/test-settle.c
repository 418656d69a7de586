#include "util/clock.h"
#include "watch/settle.h"
#include "watch/watcher.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define S NSEC_PER_SEC
#define MS NSEC_PER_MSEC
#define T0 (1000 * S)

#define WRITTEN (WATCH_CONTENT)
#define CLOSED (WATCH_CONTENT | WATCH_CLOSED)
#define MOVED_TO (WATCH_NAME | WATCH_CLOSED | WATCH_CONTENT)
#define SENT 0x8000U   /* in tables: settle_sent() instead of news */
#define SPEND 0x10000U /* in tables: written, closed and sent as often as that costs nothing */
#define TOOK 0x20000U  /* in tables: settle_took(), `due` ns */
#define ALLOWANCE 40

typedef struct Step {
        int64_t at; /* after T0 */
        unsigned news;
        int64_t due; /* after T0 */
} Step;

/* Each row is one path's life. */
static const struct {
        const char *name;
        Step steps[13];
} lives[] = {
        { "written once, and closed", { { 0, CLOSED, 0 } } },
        { "created, written, closed: one batch", { { 0, WATCH_NAME | CLOSED, 0 } } },
        { "created, written, closed: one by one",
          { { 0, WATCH_NAME, 100 * MS }, { 1 * MS, WRITTEN, 501 * MS }, { 2 * MS, CLOSED, 2 * MS } } },
        { "moved here", { { 0, MOVED_TO, 0 } } },
        { "moved here, as the event alone says", { { 0, WATCH_NAME | WATCH_CLOSED, 0 } } },
        { "linked, or O_TMPFILE: CREATE is all there is", { { 0, WATCH_NAME, 100 * MS } } },
        { "chmod", { { 0, WATCH_ATTRIB, 100 * MS } } },
        { "cp -p: written, stamped, closed",
          { { 0, WATCH_NAME | WRITTEN, 500 * MS }, { 1 * MS, WATCH_ATTRIB, 500 * MS }, { 2 * MS, CLOSED, 2 * MS } } },
        { "deleted", { { 0, WATCH_NAME, 100 * MS } } },
        { "truncated by path: no close ever", { { 0, WRITTEN, 500 * MS } } },
        { "open, and written for 40 s: pushed back, but not beyond 30 s after the first",
          { { 0, WRITTEN, 500 * MS },
            { 400 * MS, WRITTEN, 900 * MS },
            { 10 * S, WRITTEN, 10 * S + 500 * MS },
            { 29 * S + 800 * MS, WRITTEN, 30 * S },
            { 40 * S, WRITTEN, 40 * S } } },
        { "written every second: each round waits longer, up to 30 s",
          { { 0, CLOSED, 0 },
            { 0, SENT, 0 },
            { 0, SPEND, 0 },
            { 1 * S, CLOSED, 1 * S + 500 * MS },
            { 1 * S + 500 * MS, SENT, 0 },
            { 2 * S, CLOSED, 3 * S },
            { 2 * S + 900 * MS, CLOSED, 3 * S },
            { 3 * S, SENT, 0 },
            { 4 * S, CLOSED, 6 * S },
            { 6 * S, SENT, 0 },
            { 7 * S, CLOSED, 11 * S } } },
        { "the same later on",
          { { 0, CLOSED, 0 },
            { 0, SENT, 0 },
            { 0, SPEND, 0 },
            { 1 * S, CLOSED, 1 * S + 500 * MS },
            { 1 * S, SENT, 0 },
            { 2 * S, CLOSED, 3 * S },
            { 2 * S, SENT, 0 },
            { 3 * S, CLOSED, 5 * S },
            { 3 * S, SENT, 0 },
            { 4 * S, CLOSED, 8 * S },
            { 4 * S, SENT, 0 },
            { 5 * S, CLOSED, 13 * S } } },
        { "saved again and again, but not for ever", { { 0, CLOSED, 0 }, { 0, SENT, 0 }, { 1 * S, SPEND, 0 } } },
        { "saved by hand every 5 s",
          { { 0, CLOSED, 0 },
            { 0, SENT, 0 },
            { 5 * S, CLOSED, 5 * S },
            { 5 * S, SENT, 0 },
            { 10 * S, CLOSED, 10 * S } } },
        { "busy, then quiet for long: calm again",
          { { 0, CLOSED, 0 },
            { 0, SENT, 0 },
            { 0, SPEND, 0 },
            { 1 * S, CLOSED, 1 * S + 500 * MS },
            { 2 * S, SENT, 0 },
            { 6 * S, CLOSED, 6 * S } } },
        { "reading it takes 3 s: 30 s of rest, for its bytes; a name that comes or goes is another matter",
          { { 0, CLOSED, 0 },
            { 4 * S, TOOK, 3 * S },
            { 4 * S, SENT, 0 },
            { 5 * S, CLOSED, 34 * S },
            { 6 * S, WRITTEN, 34 * S },
            { 7 * S, WATCH_NAME, 7 * S + 100 * MS },
            { 8 * S, MOVED_TO, 8 * S },
            { 9 * S, WATCH_ATTRIB, 9 * S + 100 * MS },
            { 40 * S, CLOSED, 40 * S } } },
        { "that took minutes: longer than anything else waits; then it is a small file",
          { { 0, TOOK, 200 * S },
            { 1 * S, CLOSED, 2000 * S },
            { 100 * S, CLOSED, 2000 * S },
            { 101 * S, TOOK, 0 },
            { 102 * S, CLOSED, 102 * S } } },
        { "that took no time worth speaking of", { { 0, TOOK, 9 * MS }, { 1 * MS, CLOSED, 1 * MS } } },
        { "that took longer than there is time", { { 0, TOOK, INT64_MAX }, { 1 * MS, WATCH_NAME, 101 * MS } } },
        { "never sent (no network): due at once after the bound, not in the past",
          { { 0, CLOSED, 0 }, { 100 * S, WATCH_NAME, 100 * S }, { 200 * S, WRITTEN, 200 * S } } },
};

static void play(Settle *s, const char *path, const Step *step, size_t n) {
        for (size_t i = 0; i < n && (i == 0 || step[i].at || step[i].news); i++) {
                int64_t due;

                if (step[i].news == SENT) {
                        settle_sent(s, path, T0 + step[i].at);
                        continue;
                }
                if (step[i].news == TOOK) {
                        settle_took(s, path, T0 + step[i].at, step[i].due);
                        continue;
                }
                for (unsigned k = 0; step[i].news == SPEND && k < ALLOWANCE; k++) {
                        assert_int_equal(settle_news(s, path, CLOSED, T0 + step[i].at), T0 + step[i].at);
                        settle_sent(s, path, T0 + step[i].at);
                }
                if (step[i].news == SPEND)
                        continue;
                due = settle_news(s, path, step[i].news, T0 + step[i].at);
                if (due != T0 + step[i].due)
                        fail_msg("%s: step %zu: due at %lld ms, not %lld ms", path, i, (long long) ((due - T0) / MS),
                                 (long long) (step[i].due / MS));
        }
}

static void test_lives(void **state) {
        _cleanup_(settle_freep) Settle *s = NULL;

        assert_int_equal(settle_new(&s, 1000), 0);
        for (size_t i = 0; i < ELEMENTSOF(lives); i++)
                play(s, lives[i].name, lives[i].steps, ELEMENTSOF(lives[i].steps));
}

/* However long it goes on: sent, and not too often (pitfalls 4.8). */
static void test_every_second(void **state) {
        _cleanup_(settle_freep) Settle *s = NULL;
        int64_t due = 0, last = T0, longest = 0;
        unsigned sent = 0;

        assert_int_equal(settle_new(&s, 10), 0);
        for (int64_t now = T0; now < T0 + 3600 * S; now += S / 4) {
                if ((now - T0) % S == 0)
                        due = settle_news(s, "log", CLOSED, now);
                if (due && now >= due) {
                        settle_sent(s, "log", now);
                        longest = MAX(longest, now - last);
                        last = now;
                        due = 0;
                        sent++;
                }
        }
        assert_in_range(sent, 3600 / 31, 3600 / 30 + 8 + ALLOWANCE + 10);
        assert_true(longest <= 31 * S);
}

/* It is a bounded table, and forgetting is harmless: what is forgotten is new. */
static void test_bounded(void **state) {
        _cleanup_(settle_freep) Settle *s = NULL;
        char path[32];

        assert_int_equal(settle_new(&s, 100), 0);
        for (unsigned i = 0; i < 100000; i++) {
                (void) snprintf(path, sizeof(path), "dir/%u", i);
                assert_int_equal(settle_news(s, path, WRITTEN, T0), T0 + 500 * MS);
        }
        /* the newest 100 are known to be open; of the one before them nothing is known */
        for (unsigned i = 100000; i-- > 99900;) {
                (void) snprintf(path, sizeof(path), "dir/%u", i);
                assert_int_equal(settle_news(s, path, WATCH_ATTRIB, T0), T0 + 500 * MS);
        }
        assert_int_equal(settle_news(s, "dir/99899", WATCH_ATTRIB, T0), T0 + 100 * MS);
        /* which pushed out what had no news for longest: now the other end */
        assert_int_equal(settle_news(s, "dir/99999", WATCH_ATTRIB, T0), T0 + 100 * MS);
        for (unsigned i = 99900; i < 99998; i++) {
                (void) snprintf(path, sizeof(path), "dir/%u", i);
                assert_int_equal(settle_news(s, path, WATCH_ATTRIB, T0), T0 + 500 * MS);
        }
}

static void test_one(void **state) {
        _cleanup_(settle_freep) Settle *s = NULL;

        assert_int_equal(settle_new(&s, 1), 0);
        for (int64_t i = 0; i < 1000; i++) {
                assert_int_equal(settle_news(s, i % 2 ? "a" : "b", WRITTEN, T0 + i * MS), T0 + (i + 500) * MS);
                settle_sent(s, "c", T0);
        }
}

static void test_subtree(void **state) {
        _cleanup_(settle_freep) Settle *s = NULL;

        assert_int_equal(settle_new(&s, 1), 0);
        assert_int_equal(settle_news(s, "", WATCH_SUBTREE | WATCH_OVERFLOW, T0), T0);
        assert_int_equal(settle_news(s, "a", WRITTEN, T0), T0 + 500 * MS);
        assert_int_equal(settle_news(s, "d", WATCH_SUBTREE | WATCH_NAME, T0), T0); /* takes no place */
        assert_int_equal(settle_news(s, "a", WATCH_ATTRIB, T0), T0 + 500 * MS);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_lives), cmocka_unit_test(test_every_second), cmocka_unit_test(test_bounded),
                cmocka_unit_test(test_one),   cmocka_unit_test(test_subtree),
        };

        (void) unsetenv("AZSYNC_TEST_SPEEDUP"); /* before the first question for a policy's time */
        return cmocka_run_group_tests(tests, NULL, NULL);
}
