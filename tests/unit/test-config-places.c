/* Configuration and what it points to: files, folders, the state directory, destinations, secrets. */
#include "config-fixture.h"

/* Files that are none: refused at once, however large, and nothing waits for a FIFO's writer. */
static void test_files(void **state) {
        static const char *const want[] = {
                "@/azsyncd.yaml:1:1: larger than 1 MiB: that is no configuration file\n",
                "@/azsyncd.yaml:1:1: not a regular file\n",
                "@/azsyncd.yaml:1:1: not a regular file\n",
                "@/azsyncd.yaml:1:1: cannot be read: No such file or directory\n",
                "@/azsyncd.yaml:1:1: cannot be read: Permission denied\n",
                "@/mappings.d:1:1: cannot be read: Not a directory\n",
                "@/mappings.d/m.yaml:1:1: not a regular file\n",
                ("@/mappings.d/-m.yaml:1:1: \"-m\" is no mapping name; expected 1 to 64 of A-Z a-z 0-9 . _ - before "
                 ".yaml\n"),
        };

        for (size_t i = 0; i < ELEMENTSOF(want); i++) {
                _cleanup_loaded_ Loaded l = { 0 };

                if (i == 0) {
                        put("azsyncd.yaml", "");
                        assert_int_equal(truncate(at("azsyncd.yaml"), 100000000), 0);
                } else if (i == 1)
                        assert_int_equal(mkfifo(at("azsyncd.yaml"), 0600), 0);
                else if (i == 2)
                        make_dir("azsyncd.yaml", 0755);
                else if (i == 3)
                        assert_int_equal(symlink("nowhere", at("azsyncd.yaml")), 0);
                else if (i == 4) {
                        if (geteuid() == 0) /* root reads it all the same */
                                continue;
                        put_mode("azsyncd.yaml", "", 0);
                } else if (i == 5) {
                        assert_int_equal(rmdir(at("mappings.d")), 0);
                        put("mappings.d", "");
                } else if (i == 6) {
                        assert_int_equal(unlink(at("mappings.d")), 0);
                        make_dir("mappings.d", 0755);
                        make_dir("mappings.d/m.yaml", 0755);
                } else {
                        assert_int_equal(rmdir(at("mappings.d/m.yaml")), 0);
                        put("mappings.d/-m.yaml", "");
                }
                l = load();
                assert_report(&l, want[i]);
                (void) (i == 2 ? rmdir(at("azsyncd.yaml")) : unlink(at("azsyncd.yaml")));
        }
}

static void test_links(void **state) {
        char text[512];

        put("azsyncd.yaml", DEV);
        make_dir("real", 0755);
        make_dir("real/inner", 0755);
        assert_int_equal(symlink("real", at("link")), 0);
        assert_int_equal(symlink("gone", at("dangling")), 0);
        (void) snprintf(text, sizeof(text), "folder: %s/link/inner/missing\ncontainer: abc\n", root);
        put("mappings.d/m.yaml", text);
        {
                _cleanup_loaded_ Loaded l = load();

                assert_report(&l, MAP "1:9: folder: there is a symbolic link in @/link/inner/missing; write the real "
                                      "path: @/real/inner/missing\n");
        }
        (void) snprintf(text, sizeof(text), "folder: %s/dangling/x\ncontainer: abc\n", root);
        put("mappings.d/m.yaml", text);
        {
                _cleanup_loaded_ Loaded l = load();

                assert_report(&l, MAP "1:9: folder: there is a symbolic link in @/dangling/x that leads nowhere; write "
                                      "the real path\n");
        }
        (void) snprintf(text, sizeof(text), "folder: %s/real/inner/missing\ncontainer: abc\n", root);
        put("mappings.d/m.yaml", text);
        {
                _cleanup_loaded_ Loaded l = load();

                assert_int_equal(l.r, 0); /* it waits for the folder */
        }
}

/* pitfalls 1.16: by device and inode, whatever the names say */
static void test_state_directory(void **state) {
        char text[512], state_dir[512];

        put("azsyncd.yaml", DEV);
        make_dir("data", 0755);
        make_dir("data/state", 0755);
        make_dir("other", 0755);
        assert_int_equal(symlink("../data/state", at("other/state")), 0);
        (void) snprintf(text, sizeof(text), "container: abc\nfolder: %s/data\n", root);
        put("mappings.d/m.yaml", text);
        for (unsigned i = 0; i < 6; i++) {
                static const char *const inside[] = { "data",        "data/state",
                                                      "data/state/", "data/state/not/yet",
                                                      "other/state", "other/../other/state/x" };

                (void) snprintf(state_dir, sizeof(state_dir), "%s/%s", root, inside[i]);
                {
                        _cleanup_loaded_ Loaded l = load_with(state_dir);
                        char want[1024];

                        (void) snprintf(want, sizeof(want),
                                        MAP "2:9: folder: @/data holds azsyncd's state directory @/%s: it would watch "
                                            "itself\n",
                                        inside[i]);
                        assert_report(&l, want);
                }
        }
        /* neither is there yet */
        (void) snprintf(text, sizeof(text), "container: abc\nfolder: %s/later\n", root);
        put("mappings.d/m.yaml", text);
        (void) snprintf(state_dir, sizeof(state_dir), "%s/later/state", root);
        {
                _cleanup_loaded_ Loaded l = load_with(state_dir);

                assert_int_equal(l.r, -EINVAL);
        }
        (void) snprintf(text, sizeof(text), "container: abc\nfolder: %s/data\n", root);
        put("mappings.d/m.yaml", text);
        for (unsigned i = 0; i < 3; i++) {
                static const char *const outside[] = { "other", "datastate", "" };

                (void) snprintf(state_dir, sizeof(state_dir), "%s/%s", root, outside[i]);
                {
                        _cleanup_loaded_ Loaded l = load_with(state_dir);

                        assert_int_equal(l.r, 0);
                }
        }
}

#define AT(url) "{endpoint: '" url "', account: acc, auth: {method: sas, sas: {env: AZSYNC_TEST_SAS}}}"

static void test_overlap(void **state) {
        static const struct {
                const char *a, *b; /* what stands after folder: */
                bool overlap;
        } cases[] = {
                { "container: abc\naccount: one\n", "container: abc\naccount: one\n", true },
                { "container: abc\naccount: one\n", "container: abd\naccount: one\n", false },
                { "container: abc\naccount: one\n", "container: abc\naccount: one\nprefix: x\n", true },
                { "container: abc\naccount: one\nprefix: x/y\n", "container: abc\naccount: one\nprefix: x\n", true },
                { "container: abc\naccount: one\nprefix: x/\n", "container: abc\naccount: one\nprefix: /x\n", true },
                { "container: abc\naccount: one\nprefix: xy\n", "container: abc\naccount: one\nprefix: x\n", false },
                { "container: abc\naccount: one\nprefix: x/a\n", "container: abc\naccount: one\nprefix: x/b\n", false },
                /* one place under several names */
                { "container: abc\naccount: one\n", "container: abc\naccount: same\n", true },
                { "container: abc\naccount: one\n", "container: abc\naccount: two\n", false },
                { "container: abc\naccount: one\n", "container: abc\naccount: path\n", false },
        };

        put("azsyncd.yaml",
            "accounts:\n  one: " AT("https://one.example.com") "\n  same: " AT(
                    "HTTPS://One.Example.com:443/") "\n  two: " AT("https://two.example.com") "\n  path: " AT("https://"
                                                                                                              "one."
                                                                                                              "example."
                                                                                                              "com/x") "\n");
        assert_int_equal(setenv("AZSYNC_TEST_SAS", "sig=x", 1), 0);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char text[256];

                (void) snprintf(text, sizeof(text), "folder: /no-such/a\n%s", cases[i].a);
                put("mappings.d/a.yaml", text);
                (void) snprintf(text, sizeof(text), "folder: /no-such/b\n%s", cases[i].b);
                put("mappings.d/b.yaml", text);
                {
                        _cleanup_loaded_ Loaded l = load();

                        if (cases[i].overlap)
                                assert_report(&l, "@/mappings.d/b.yaml:2:12: container: the destination overlaps that "
                                                  "of mapping a; give each its own container or prefix\n");
                        else
                                assert_int_equal(l.r, 0);
                }
        }
        assert_int_equal(unsetenv("AZSYNC_TEST_SAS"), 0);
}

static void test_endpoints(void **state) {
        static const struct {
                const char *url;
                const char *words; /* NULL: accepted */
        } cases[] = {
                { "https://contoso.blob.core.windows.net", NULL },
                { "https://10.1.2.3/contoso", NULL },
                { "http://127.0.0.1:10000/contoso", NULL },
                { "http://127.1.2.3/contoso", NULL },
                { "http://[::1]:10000/contoso", NULL },
                { "http://localhost/contoso", NULL },
                { "http://a.localhost", NULL },
                { "http://contoso.blob.core.windows.net", "plain http" },
                { "http://127.0.0.1.example.com", "plain http" },
                { "http://127.0.0", "plain http" },
                { "http://localhost.example.com", "plain http" },
                { "http://xlocalhost", "plain http" },
                { "http://[::2]/contoso", "plain http" },
                { "http://[::1", "expected https://HOST" },
                { "http://localhost@example.com", "expected https://HOST" },
                { "https://example.com:0", "the port" },
                { "https://example.com:65536", "the port" },
                { "https://example.com:x", "the port" },
                { "https://example.com/?sig=x", "expected https://HOST" },
                { "https://", "begins with https://" },
                { "ftp://example.com", "begins with https://" },
                { "example.com", "begins with https://" },
        };

        assert_int_equal(setenv("AZSYNC_TEST_SAS", "sig=x", 1), 0);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char text[512];

                (void) snprintf(text, sizeof(text),
                                "accounts: {a: {endpoint: '%s', auth: {method: sas, sas: {env: AZSYNC_TEST_SAS}}}}\n",
                                cases[i].url);
                put("azsyncd.yaml", text);
                {
                        _cleanup_loaded_ Loaded l = load();

                        if (cases[i].words ? !strstr(buf_text(&l.report), cases[i].words) : l.r < 0)
                                fail_msg("%s: %s", cases[i].url, buf_text(&l.report));
                        if (cases[i].words)
                                assert_non_null(strstr(buf_text(&l.report), "azsyncd.yaml:1:26: endpoint: "));
                }
        }
        assert_int_equal(unsetenv("AZSYNC_TEST_SAS"), 0);
}

/* pitfalls 11.8 */
static void test_secrets(void **state) {
        static const struct {
                const char *place;
                const char *bytes;
                mode_t mode;
                const char *words; /* NULL: accepted */
        } cases[] = {
                { "{file: %s/key}", KEY, 0600, NULL },
                { "{file: %s/key}", KEY "\n", 0400, NULL },
                { "{file: %s/key}", KEY "\r\n", 0600, NULL },
                { "{file: %s/key}", KEY, 0640, "may be read or written by others" },
                { "{file: %s/key}", KEY, 0602, "may be read or written by others" },
                { "{file: %s/key}", "", 0600, "the secret is empty" },
                { "{file: %s/key}", "\n\n", 0600, "the secret is empty" },
                { "{file: %s/key}", KEY "\n" KEY, 0600, "a line break in the middle" },
                { "{file: %s/key}", "not Base64!", 0600, "it is not Base64" },
                { "{file: %s/none}", KEY, 0600, "No such file" },
                { "{file: %s/mappings.d}", KEY, 0600, "not a regular file" },
                { "{file: %s/fifo}", KEY, 0600, "not a regular file" },
                { "{file: %s/large}", KEY, 0600, "larger than 64 KiB" },
                { "{file: key}", KEY, 0600, "not an absolute path" },
                { "{credential: key}", KEY, 0444, NULL },
                { "{credential: none}", KEY, 0444,
                  "add LoadCredential=none:/PATH to the unit and restart azsyncd, a reload is not enough" },
                { "{credential: ../key}", KEY, 0444, "not the name of a credential" },
                { "{credential: ..}", KEY, 0444, "not the name of a credential" },
                { "{env: AZSYNC_TEST_NONE}", KEY, 0600, "AZSYNC_TEST_NONE is not set" },
                { "{credental: key}", KEY, 0600, "expected credential, file or env" },
                { "{file: %s/key, env: X}", KEY, 0600, "expected {credential: NAME}" },
                { "[x]", KEY, 0600, "expected {credential: NAME}" },
                { KEY, KEY, 0600, "only if the file is readable by its owner alone" },
        };

        assert_int_equal(mkfifo(at("fifo"), 0600), 0);
        put_mode("large", "x", 0600);
        assert_int_equal(truncate(at("large"), 65537), 0);
        assert_int_equal(setenv("CREDENTIALS_DIRECTORY", root, 1), 0);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char place[512], text[1024];
                const char *mark = strstr(cases[i].place, "%s");

                if (mark)
                        (void) snprintf(place, sizeof(place), "%.*s%s%s", (int) (mark - cases[i].place), cases[i].place,
                                        root, mark + 2);
                else
                        (void) snprintf(place, sizeof(place), "%s", cases[i].place);
                (void) snprintf(text, sizeof(text),
                                "accounts: {a: {account: contoso, auth: {method: shared-key, key: %s}}}\n", place);
                put("azsyncd.yaml", text);
                (void) unlink(at("key"));
                put_mode("key", cases[i].bytes, cases[i].mode);
                {
                        _cleanup_loaded_ Loaded l = load();

                        if (cases[i].words ? !strstr(buf_text(&l.report), cases[i].words) : l.r < 0)
                                fail_msg("%s: %s", cases[i].place, buf_text(&l.report));
                        if (!cases[i].words) {
                                assert_string_equal(l.config->accounts[0].secret, KEY);
                                assert_string_equal(l.config->accounts[0].endpoint,
                                                    "https://contoso.blob.core.windows.net");
                        }
                }
        }
        assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
}

static void test_inline_if_private(void **state) {
        static const struct {
                mode_t mode;
                bool good;
        } cases[] = {
                { 0600, true }, { 0400, true }, { 0640, false }, { 0604, false }, { 0644, false }, { 0620, false }
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                (void) unlink(at("azsyncd.yaml"));
                put_mode("azsyncd.yaml",
                         "accounts:\n  a: {connection-string: 'AccountName=contoso;AccountKey=" KEY "'}\n"
                         "  b: {account: contoso, auth: {method: sas, sas: 'sv=1&sig=" SIG "'}}\n",
                         cases[i].mode);
                {
                        _cleanup_loaded_ Loaded l = load();

                        assert_int_equal(l.r, cases[i].good ? 0 : -EINVAL);
                        if (cases[i].good)
                                assert_string_equal(l.config->accounts[0].secret, KEY);
                        else {
                                assert_non_null(strstr(buf_text(&l.report), "azsyncd.yaml:2:26: connection-string: "));
                                assert_non_null(strstr(buf_text(&l.report), "azsyncd.yaml:3:50: sas: "));
                        }
                }
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                CONFIG_TEST(test_files),
                CONFIG_TEST(test_links),
                CONFIG_TEST(test_state_directory),
                CONFIG_TEST(test_overlap),
                CONFIG_TEST(test_endpoints),
                CONFIG_TEST(test_secrets),
                CONFIG_TEST(test_inline_if_private),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
