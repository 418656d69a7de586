/* A secret's file that is replaced: pitfalls 10.13. */
#include "util/filenews.h"

#include "patience.h"
#include "util/macro.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char dir[64], file[96], other[96];

static void write_file(const char *path, const char *text) {
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t) strlen(text));
}

static void on_news(void *userdata) {
        (*(unsigned *) userdata)++;
}

static void expect(sd_event *loop, unsigned *told) {
        while (*told == 0)
                assert_true(sd_event_run(loop, PATIENCE) > 0);
        while (sd_event_run(loop, 0) > 0)
                ;
        *told = 0;
}

static void test_ways_to_change(void **state) {
        _cleanup_(filenews_freep) FileNews *f = NULL;
        sd_event *loop = NULL;
        unsigned told = 0;
        Error e = ERROR_NULL;

        write_file(file, "first");
        assert_true(sd_event_new(&loop) >= 0);
        assert_int_equal(filenews_new(&f, loop, file, on_news, &told, &e), 0);
        assert_false(filenews_ask(f));
        write_file(file, "second"); /* nobody watches yet, but asking tells, once */
        assert_true(filenews_ask(f));
        assert_false(filenews_ask(f));

        filenews_watch(f, true);
        filenews_watch(f, true);
        write_file(other, "a stranger beside it");
        while (sd_event_run(loop, 0) > 0)
                ;
        assert_int_equal(told, 0);
        assert_int_equal(rename(other, file), 0); /* as editors and tools do */
        expect(loop, &told);
        write_file(file, "in place");
        expect(loop, &told);
        assert_int_equal(unlink(file), 0); /* between two of it: nothing to read */
        while (sd_event_run(loop, 0) > 0)
                ;
        assert_int_equal(told, 0);
        write_file(other, "linked");
        assert_int_equal(symlink(other, file), 0);
        expect(loop, &told);

        filenews_watch(f, false);
        write_file(file, "not watched");
        assert_int_equal(sd_event_run(loop, 0), 0);
        assert_true(filenews_ask(f));
        f = filenews_free(f);
        sd_event_unref(loop);
}

static int setup(void **state) {
        (void) snprintf(dir, sizeof(dir), "/tmp/azsync-filenews-XXXXXX");
        if (!mkdtemp(dir))
                return -1;
        (void) snprintf(file, sizeof(file), "%s/key", dir);
        (void) snprintf(other, sizeof(other), "%s/other", dir);
        return 0;
}

static int teardown(void **state) {
        (void) unlink(file);
        (void) unlink(other);
        return rmdir(dir);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_ways_to_change, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
