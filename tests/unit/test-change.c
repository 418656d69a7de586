/* A change of the configuration is tried by the loader before it is made, is made whole, and can be taken back. */
#include "config/change.h"

#include "config-fixture.h"

#include <dirent.h>

static const char mapping[] = "folder: /no-such/m\naccount: dev\ncontainer: abc\n";

static Change *begin(void) {
        Change *c = NULL;
        Error e = ERROR_NULL;

        if (change_new(&c, root, NULL, &e) < 0)
                fail_msg("%s", e.text);
        return c;
}

static void put_change(Change *c, const char *name, const char *text, ChangeMode mode) {
        Error e = ERROR_NULL;

        if (change_put(c, name, text, text ? strlen(text) : 0, mode, &e) < 0)
                fail_msg("%s", e.text);
}

static int try(Change *c, const char *words) {
        _cleanup_buf_ Buf report = BUF_INIT((size_t) 64 * 1024);
        _cleanup_(config_freep) Config *config = NULL;
        Error e = ERROR_NULL;
        int r = change_load(c, &config, &report, &e), n = config ? (int) config->n_mappings : r;

        assert_string_equal(buf_text(&report), words);
        return n;
}

static unsigned entries(const char *dir) {
        DIR *d = opendir(at(dir));
        unsigned n = 0;

        assert_non_null(d);
        while (readdir(d))
                n++;
        closedir(d);
        return n - 2;
}

static void assert_text(const char *name, const char *want) {
        char text[256] = "";
        FILE *f = fopen(at(name), "re");

        if (!want) {
                assert_null(f);
                return;
        }
        assert_non_null(f);
        text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
        fclose(f);
        assert_string_equal(text, want);
}

static mode_t mode_of(const char *name) {
        struct stat st;

        assert_int_equal(stat(at(name), &st), 0);
        return st.st_mode & 07777;
}

static void all_of_it(void **state) {
        _cleanup_(change_freep) Change *c = NULL;
        Error e = ERROR_NULL;
        char accounts[512];

        (void) snprintf(
                accounts, sizeof(accounts),
                "accounts:\n  dev:\n    account: dev\n    auth: {method: shared-key, key: {file: %s/dev.key}}\n", root);
        put_mode("azsyncd.yaml", "transfers: 4\n", 0604);
        c = begin();
        put_change(c, "dev.key", KEY, CHANGE_SECRET);
        put_change(c, "azsyncd.yaml", accounts, CHANGE_CONFIG);
        put_change(c, "mappings.d/m.yaml", mapping, CHANGE_CONFIG);
        assert_int_equal(try(c, ""), 1);
        assert_text("dev.key", NULL); /* nothing yet */
        assert_int_equal(change_commit(c, &e), 0);
        assert_text("dev.key", KEY);
        assert_text("azsyncd.yaml", accounts);
        assert_text("mappings.d/m.yaml", mapping);
        assert_int_equal(mode_of("dev.key"), 0600);
        assert_int_equal(mode_of("azsyncd.yaml"), 0604); /* as it was */
        assert_int_equal(mode_of("mappings.d/m.yaml"), 0640);
        assert_int_equal(change_undo(c, &e), 0);
        assert_text("dev.key", NULL);
        assert_text("azsyncd.yaml", "transfers: 4\n");
        assert_int_equal(mode_of("azsyncd.yaml"), 0604);
        assert_text("mappings.d/m.yaml", NULL);
        assert_int_equal(entries("."), 2); /* no temporary file anywhere */
        assert_int_equal(entries("mappings.d"), 0);
}

static void a_draft_is_judged_where_it_will_be(void **state) {
        _cleanup_(change_freep) Change *c = NULL;
        char words[512];

        put("azsyncd.yaml", DEV);
        put("mappings.d/m.yaml", mapping);
        put("mappings.d/n.yaml", "folder: /no-such/n\ncontainer: other\n");
        c = begin();
        (void) snprintf(words, sizeof(words),
                        "%s/mappings.d/o.yaml:2:1: contaner: unknown key (did you mean \"container\"?)\n"
                        "%s/mappings.d/o.yaml:1:1: container: missing; expected 3 to 63 of a-z, 0-9 and single '-'\n",
                        root, root);
        put_change(c, "mappings.d/o.yaml", "folder: /no-such/o\ncontaner: abd\n", CHANGE_CONFIG);
        assert_int_equal(try(c, words), -EINVAL);
        put_change(c, "mappings.d/o.yaml", "folder: /no-such/o\ncontainer: abd\n", CHANGE_CONFIG);
        assert_int_equal(try(c, ""), 3);
        put_change(c, "mappings.d/m.yaml", NULL, CHANGE_CONFIG);
        assert_int_equal(try(c, ""), 2);
        change_drop(c);
        assert_int_equal(try(c, ""), 2);
        /* the destination of another one */
        (void) snprintf(
                words, sizeof(words),
                "%s/mappings.d/o.yaml:2:12: container: the destination overlaps that of mapping m; give each its "
                "own container or prefix\n",
                root);
        put_change(c, "mappings.d/o.yaml", "folder: /no-such/o\ncontainer: abc\n", CHANGE_CONFIG);
        assert_int_equal(try(c, words), -EINVAL);
}

static void nothing_of_it(void **state) {
        _cleanup_(change_freep) Change *c = NULL;
        Error e = ERROR_NULL;

        put("azsyncd.yaml", DEV);
        c = begin();
        put_change(c, "dev.key", KEY, CHANGE_SECRET);
        put_change(c, "azsyncd.yaml", "", CHANGE_CONFIG);
        put_change(c, "mappings.d/m.yaml", mapping, CHANGE_CONFIG);
        /* the last one cannot be put in its place: what came before it is taken back */
        assert_int_equal(rmdir(at("mappings.d")), 0);
        assert_true(change_commit(c, &e) < 0);
        assert_text("dev.key", NULL);
        assert_text("azsyncd.yaml", DEV);
        assert_int_equal(entries("."), 1);
}

static void not_over_somebody_else(void **state) {
        _cleanup_(change_freep) Change *c = NULL, *second = NULL;
        Error e = ERROR_NULL;

        put("azsyncd.yaml", DEV);
        c = begin();
        assert_int_equal(change_new(&second, root, NULL, &e), -EBUSY);
        assert_non_null(strstr(e.text, "another azsyncctl"));
        put_change(c, "azsyncd.yaml", "", CHANGE_CONFIG);
        put("azsyncd.yaml", "transfers: 8\n");
        assert_int_equal(change_commit(c, &e), -ESTALE);
        assert_text("azsyncd.yaml", "transfers: 8\n");
        change_drop(c);
        put_change(c, "mappings.d/m.yaml", mapping, CHANGE_CONFIG);
        put("mappings.d/m.yaml", OK);
        assert_int_equal(change_commit(c, &e), -ESTALE);
        assert_text("mappings.d/m.yaml", OK);
        /* as long as before, or gone */
        change_drop(c);
        put_change(c, "azsyncd.yaml", "", CHANGE_CONFIG);
        put("azsyncd.yaml", "transfers: 9\n");
        assert_int_equal(change_commit(c, &e), -ESTALE);
        assert_int_equal(unlink(at("azsyncd.yaml")), 0);
        assert_int_equal(change_commit(c, &e), -ESTALE);
        assert_text("azsyncd.yaml", NULL);
        change_drop(c);
        put("azsyncd.yaml", "");
        put_change(c, "mappings.d/m.yaml", mapping, CHANGE_CONFIG);
        /* a secret is never replaced, a link never either */
        put("dev.key", "x");
        assert_int_equal(change_put(c, "dev.key", KEY, strlen(KEY), CHANGE_SECRET, &e), -EEXIST);
        assert_int_equal(unlink(at("azsyncd.yaml")), 0);
        assert_int_equal(symlink("dev.key", at("azsyncd.yaml")), 0);
        assert_int_equal(change_put(c, "azsyncd.yaml", "", 0, CHANGE_CONFIG, &e), -ELOOP);
}

static void a_directory_that_is_not_needed_goes(void **state) {
        Change *c;
        Error e = ERROR_NULL;
        char where[128];

        assert_int_equal(rmdir(at("mappings.d")), 0);
        (void) snprintf(where, sizeof(where), "%s/deep/er", root);
        assert_int_equal(change_new(&c, where, NULL, &e), 0);
        assert_int_equal(entries("deep/er"), 1);
        change_free(c);
        assert_int_equal(entries("deep"), 0);
        assert_int_equal(change_new(&c, where, NULL, &e), 0);
        put_change(c, "mappings.d/m.yaml", mapping, CHANGE_CONFIG);
        assert_int_equal(change_commit(c, &e), 0);
        change_free(c);
        assert_int_equal(entries("deep/er/mappings.d"), 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                CONFIG_TEST(all_of_it),
                CONFIG_TEST(a_draft_is_judged_where_it_will_be),
                CONFIG_TEST(nothing_of_it),
                CONFIG_TEST(not_over_somebody_else),
                CONFIG_TEST(a_directory_that_is_not_needed_goes),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
