/* The same through the workers: answers, buffers, and every way to end. */
#include "patience.h"
#include "scratch.h"
#include "watch/source.h"

#define FIXED(size) ((Cuts){ 64, 64, (size) }) /* blocks of so many bytes, if those are few */

static RootId id_of_root(void) {
        _cleanup_close_ int fd = -1;
        RootId id = { 0 };
        uint64_t mnt;

        assert_int_equal(root_open(root, NULL, &fd, &id, &mnt, NULL, NULL), ROOT_OK);
        return id;
}

typedef struct Got {
        SourceAnswer a;
        char *data;
        unsigned n;
        Source **source; /* to be freed in the callback */
        SourceFile **file;
} Got;

static void got_done(Got *g) {
        free(g->data);
}

static void on_answer(const SourceAnswer *a, void *userdata) {
        Got *g = userdata;

        g->n++;
        g->a = *a;
        free(g->data);
        g->data = source_take_buffer(a);
        assert_null(source_take_buffer(a));
        if (g->file)
                *g->file = source_file_close(*g->file);
        if (g->source)
                *g->source = source_free(*g->source);
}

static void run_until(sd_event *loop, const Got *g, unsigned n) {
        while (g->n < n)
                assert_true(sd_event_run(loop, PATIENCE) > 0);
}

static void sd_event_unref_p(sd_event **e) {
        (void) sd_event_unref(*e);
}

static void test_through_workers(void **state) {
        _cleanup_(sd_event_unref_p) sd_event *loop = NULL;
        _cleanup_(source_freep) Source *s = NULL;
        _cleanup_(source_file_closep) SourceFile *f = NULL;
        _cleanup_(got_done) Got g = { 0 };
        RootId other = id_of_root();
        Error e = ERROR_NULL;

        put("f", "content");
        assert_int_equal(sd_event_new(&loop), 0);
        assert_int_equal(source_new(&s, loop, root, NULL, 2, &e), 0);
        assert_int_equal(source_look(s, "f", on_answer, &g), 0);
        run_until(loop, &g, 1);
        assert_int_equal(g.a.look, LOOK_REGULAR);
        assert_int_equal(g.a.read, SOURCE_UNREAD);
        assert_null(g.data);

        assert_int_equal(source_read(s, "f", 100, on_answer, &g), 0);
        run_until(loop, &g, 2);
        assert_int_equal(g.a.read, SOURCE_WHOLE);
        assert_memory_equal(g.data, "content", 7);

        assert_int_equal(source_file_open(s, "f", on_answer, &g, &f), 0);
        run_until(loop, &g, 3);
        assert_int_equal(g.a.stamp.size, 7);
        assert_int_equal(source_file_read(f, &FIXED(4), false, on_answer, &g), 0);
        run_until(loop, &g, 4);
        assert_memory_equal(g.data, "cont", 4);
        assert_false(g.a.end);
        assert_int_equal(source_file_read(f, &FIXED(4), false, on_answer, &g), 0);
        run_until(loop, &g, 5);
        assert_memory_equal(g.data, "ent", 3);
        assert_true(g.a.end);
        assert_int_equal(source_file_finish(f, on_answer, &g), 0);
        run_until(loop, &g, 6);
        assert_int_equal(g.a.read, SOURCE_WHOLE);
        assert_md5(g.a.md5, "content", 7);
        assert_int_equal(source_stuck(s), 0);

        other.ino++;
        source_pin(s, &other);
        assert_int_equal(source_read(s, "f", 100, on_answer, &g), 0);
        run_until(loop, &g, 7);
        assert_int_equal(g.a.look, LOOK_NO_ROOT);
        assert_int_equal(g.a.root_state, ROOT_REPLACED);
}

/* However it ends, no callback comes after, and nothing leaks (for the sanitizers to see). */
static void test_endings(void **state) {
        put("f", "content");
        for (unsigned i = 0; i < 200; i++) {
                _cleanup_(sd_event_unref_p) sd_event *loop = NULL;
                _cleanup_(source_freep) Source *s = NULL;
                _cleanup_(source_file_closep) SourceFile *f = NULL;
                _cleanup_(got_done) Got g = { 0 };
                unsigned how = i % 5, before;

                assert_int_equal(sd_event_new(&loop), 0);
                assert_int_equal(source_new(&s, loop, root, NULL, 1 + i % 3, NULL), 0);
                assert_int_equal(source_file_open(s, "f", on_answer, &g, &f), 0);
                run_until(loop, &g, 1);
                assert_int_equal(source_file_read(f, &FIXED(4), false, on_answer, &g), 0);
                if (how >= 3) { /* from the callback */
                        g.file = how == 3 ? &f : NULL;
                        g.source = &s;
                        assert_int_equal(source_look(s, "f", on_answer, &g), 0);
                        run_until(loop, &g, 2);
                        assert_int_equal(g.n, 2);
                        assert_null(s);
                        continue;
                }
                for (unsigned k = 0; k < 5; k++)
                        assert_int_equal(source_read(s, "f", 100, on_answer, &g), 0);
                before = g.n;
                if (how == 0) {
                        f = source_file_close(f);
                        run_until(loop, &g, before + 5);
                        assert_int_equal(sd_event_run(loop, 0), 0);
                        assert_int_equal(g.n, before + 5);
                } else if (how == 1) {
                        s = source_free(s);
                        assert_int_equal(g.n, before);
                        f = source_file_close(f);
                } else {
                        f = source_file_close(f);
                        s = source_free(s);
                        assert_int_equal(g.n, before);
                }
        }
}

int main(void) {
        const struct CMUnitTest tests[] = { TEST(test_through_workers), TEST(test_endings) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
