/* What is composed is read back by the real loader, and says what was meant; an account is added to files as people
 * write them, and everything else stays as it was. */
#include "config/compose.h"

#include "config-fixture.h"

static Config *parse(const char *mapping, const Buf *text) {
        _cleanup_buf_ Buf report = BUF_INIT((size_t) 64 * 1024);
        Config *c = NULL;

        if (config_parse_text(&c, "x.yaml", mapping, buf_text(text), text->size, &report, NULL) < 0)
                print_message("%s%s", buf_text(&report), buf_text(text));
        return c;
}

/* pitfalls 11.8: quotes, colons, hashes, line breaks of YAML's own, invisible characters: none changes the meaning */
static void hostile_texts_come_back(void **state) {
        static const char *const names[] = {
                "plain",
                "with blank",
                " leading",
                "trailing ",
                "#hash",
                "a #b",
                "a: b",
                "a:",
                "- a",
                "-",
                "?",
                "? a",
                "!tag",
                "&anchor",
                "*alias",
                "[list]",
                "{map}",
                "a, b",
                "%TAG",
                "@at",
                "`tick",
                "\"",
                "'",
                "''",
                "\\",
                "\\n",
                "a\\",
                "\"quoted\"",
                "|",
                ">",
                "~",
                "null",
                "true",
                "no",
                "1",
                "1.5",
                "0x10",
                "\xC2\x85",
                "\xC2\xA0",
                "\xE2\x80\xA8",
                "\xE2\x80\xA9",
                "a \xE2\x80\xA8 b",
                "\xEF\xBB\xBF",
                "\xEF\xBF\xBE",
                "\xEF\xBF\xBF",
                "\xC2\x80",
                "\xE2\x80\xAE:",
                "\xC3\xA4",
                "\xF0\x9F\x98\x80",
                "\xF4\x8F\xBF\xBF",
                "---",
                "...",
                "key: {value: [x]}",
                "<<",
                "=",
                "$(x)",
                "%H",
                "100%",
        };

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_buf_ Buf b = BUF_INIT(65536);
                char folder[256], prefix[256], exclude[256], *list[] = { exclude, (char[]){ "*.tmp" } };
                const MappingText m = { folder, "main", "box", prefix, list, 2 };
                _cleanup_(config_freep) Config *c = NULL;
                Error e = ERROR_NULL;

                (void) snprintf(folder, sizeof(folder), "/srv/%s", names[i]);
                (void) snprintf(prefix, sizeof(prefix), "%s/x", names[i]);
                (void) snprintf(exclude, sizeof(exclude), "%s", names[i]);
                if (strcmp(names[i], "\\") == 0 || strcmp(names[i], "\\n") == 0 || strcmp(names[i], "a\\") == 0 ||
                    strcmp(names[i], "...") == 0 || (unsigned char) names[i][0] >= 0x80)
                        prefix[0] = '\0'; /* no prefix: the loader says so */
                assert_int_equal(compose_mapping(&b, &m, &e), 0);
                c = parse("m", &b);
                assert_non_null(c);
                assert_string_equal(c->mappings[0].folder, folder);
                assert_string_equal(c->mappings[0].prefix, prefix);
                (void) snprintf(folder, sizeof(folder), "%s\n*.tmp\n", names[i]);
                assert_string_equal(c->mappings[0].exclude_text, folder);
        }
}

static void what_is_no_text_is_refused(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(65536);
        const MappingText m = { "/srv/\xFF", "main", "box", "", NULL, 0 };
        Error e = ERROR_NULL;

        assert_int_equal(compose_mapping(&b, &m, &e), -EINVAL);
        assert_string_equal(e.text, "folder: /srv/\\xff is not UTF-8, which a configuration must be; rename it");
}

#define NEW "https://new.blob.core.windows.net"
static const AccountText account = { "new", NEW, AUTH_SHARED_KEY, "/etc/azsyncd/new.key" };
#define LINES(in) \
        in "new:\n" in "  account: new\n" in "  auth: {method: shared-key, key: {file: /etc/azsyncd/new.key}}\n"

static void accounts_are_added(void **state) {
        static const struct {
                const char *before, *after;
        } cases[] = {
                { "", "accounts:\n" LINES("  ") },
                { "# only a comment\n", "# only a comment\n\naccounts:\n" LINES("  ") },
                { "transfers: 4", "transfers: 4\n\naccounts:\n" LINES("  ") },
                { "accounts:\n", "accounts:\n" LINES("  ") },
                { "accounts: # none yet\nmemory: 64MiB\n", "accounts: # none yet\n" LINES("  ") "memory: 64MiB\n" },
                { "accounts:\n  dev:\n    connection-string: UseDevelopmentStorage=true\n",
                  "accounts:\n  dev:\n    connection-string: UseDevelopmentStorage=true\n" LINES("  ") },
                /* a person's own indentation and comments, in the middle of the file, without a newline at its end */
                { "# ours\naccounts:\n      dev: # here\n        connection-string: UseDevelopmentStorage=true # "
                  "public\n"
                  "        # proxy: none\n\n# the rest\n\ntransfers:   4 # few",
                  "# ours\naccounts:\n      dev: # here\n        connection-string: UseDevelopmentStorage=true # "
                  "public\n"
                  "        # proxy: none\n" LINES("      ") "\n# the rest\n\ntransfers:   4 # few" },
                { "accounts:\n  dev: {connection-string:\n     UseDevelopmentStorage=true\n  }\nmemory: 64MiB\n",
                  "accounts:\n  dev: {connection-string:\n     UseDevelopmentStorage=true\n  }\n" LINES(
                          "  ") "memory: 64MiB\n" },
                { "accounts:\n  dev:\n    connection-string: \"UseDevelopment\\\n     Storage=true\"\n",
                  "accounts:\n  dev:\n    connection-string: \"UseDevelopment\\\n     Storage=true\"\n" LINES("  ") },
                { "accounts:\n  dev:\n    connection-string: |\n      UseDevelopmentStorage=true\n\nmemory: 64MiB\n",
                  NULL },
                { "accounts:\r\n  dev:\r\n    connection-string: UseDevelopmentStorage=true\r\n",
                  "accounts:\r\n  dev:\r\n    connection-string: UseDevelopmentStorage=true\r\n" LINES("  ") },
                { "  transfers: 4\n", "  transfers: 4\n\n  accounts:\n" LINES("    ") },
                { "\xEF\xBB\xBFtransfers: 4\n", "\xEF\xBB\xBFtransfers: 4\n\naccounts:\n" LINES("  ") },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_buf_ Buf b = BUF_INIT(65536);
                Error e = ERROR_NULL;

                assert_int_equal(compose_add_account(&b, cases[i].before, strlen(cases[i].before), &account, &e), 0);
                if (cases[i].after)
                        assert_string_equal(buf_text(&b), cases[i].after);
        }
}

static void what_cannot_be_added_to_is_left_alone(void **state) {
        static const char *const cases[] = {
                "accounts: {dev: {connection-string: UseDevelopmentStorage=true}}\n",
                "{accounts: {}}\n",
                "{transfers: 4}\n",
                "transfers: 4\n...\n",
                "accounts:\n  new:\n    connection-string: UseDevelopmentStorage=true\n", /* there already */
                "accounts: ~\n",
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_buf_ Buf b = BUF_INIT(65536);
                Error e = ERROR_NULL;

                assert_int_equal(compose_add_account(&b, cases[i], strlen(cases[i]), &account, &e), -ENOTSUP);
                assert_true(e.text[0]);
        }
}

static void accounts_by_their_endpoint(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(65536);
        const AccountText local = { "dev", "http://127.0.0.1:1234/devstoreaccount1", AUTH_SAS, "/a b" },
                          emulator = { "emulator", "http://127.0.0.1:10000/devstoreaccount1", AUTH_SHARED_KEY, NULL };
        Error e = ERROR_NULL;

        assert_int_equal(compose_account(&b, &local, 2, &e), 0);
        assert_int_equal(compose_account(&b, &emulator, 0, &e), 0);
        assert_string_equal(buf_text(&b), "  dev:\n    endpoint: \"http://127.0.0.1:1234/devstoreaccount1\"\n"
                                          "    auth: {method: sas, sas: {file: \"/a b\"}}\n"
                                          "emulator:\n  connection-string: UseDevelopmentStorage=true\n");
}

static bool is_taken(const char *name, const void *userdata) {
        const char *const *names = userdata;

        while (*names && strcmp(*names, name) != 0)
                names++;
        return *names;
}

static void names_of_folders(void **state) {
        static const char *const taken[] = { "photos", "photos-2", "folder", NULL };
        static const struct {
                const char *folder, *name;
        } cases[] = {
                { "/srv/data", "data" },
                { "/srv/photos", "photos-3" },
                { "/srv/My Photos (2024)", "My-Photos-2024" },
                { "/srv/.hidden", "hidden" },
                { "/srv/-x", "x" },
                { "/srv/\xC3\xA4\xC3\xB6", "folder-2" },
                { "/srv/a\xC3\xA4z", "a-z" },
                { "/srv/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char name[CONFIG_NAME_MAX + 1];

                compose_name(cases[i].folder, is_taken, taken, name);
                assert_string_equal(name, cases[i].name);
                assert_true(config_good_name(name));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(hostile_texts_come_back),    cmocka_unit_test(what_is_no_text_is_refused),
                cmocka_unit_test(accounts_are_added),         cmocka_unit_test(what_cannot_be_added_to_is_left_alone),
                cmocka_unit_test(accounts_by_their_endpoint), cmocka_unit_test(names_of_folders),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
