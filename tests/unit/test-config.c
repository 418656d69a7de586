/* Configuration: each kind of mistake with its exact place and words, what hostile files cost, and what is read. */
#include "util/clock.h"

#include "config-fixture.h"

#define TIMES "expected days and a time such as \"Mon-Fri 08:00-18:00\", \"Sat,Sun\" or \"22:00-06:00\", or default\n"

static const struct {
        const char *daemon, *mapping; /* NULL: DEV, no file */
        const char *want;
} bad[] = {
        /* keys */
        { "transfer: 5\n", NULL, YAML "1:1: transfer: unknown key (did you mean \"transfers\"?)\n" },
        { "xyzzy: 5\n", NULL,
          YAML "1:1: xyzzy: unknown key; expected one of those in azsyncd.yaml(5) for azsyncd.yaml\n" },
        { "# comment\n\n  metrics: {}\n", NULL, YAML "3:3: metrics: not supported yet by this version of azsyncd\n" },
#define RATES "unlimited, a rate such as 20MiB/s, or a weekly timetable"
#define RANGE " (from 1KiB/s to 1TiB/s)\n"
        { "bandwidth: 20MiB\n", NULL, YAML "1:12: bandwidth: \"20MiB\" is not right; expected " RATES RANGE },
        { "bandwidth: 0KiB/s\n", NULL, YAML "1:12: bandwidth: \"0KiB/s\" is not right; expected " RATES RANGE },
        { "bandwidth: 1025GiB/s\n", NULL, YAML "1:12: bandwidth: \"1025GiB/s\" is not right; expected " RATES RANGE },
        { "bandwidth: [1MiB/s]\n", NULL, YAML "1:12: bandwidth: expected " RATES "\n" },
        { NULL, OK "bandwidth: {}\n", MAP "3:12: bandwidth: expected " RATES "\n" },
        { NULL, OK "bandwidth: fast\n", MAP "3:12: bandwidth: \"fast\" is not right; expected " RATES RANGE },
        { NULL, OK "bandwidth:\n  Monday 8-18: 1MiB/s\n  Mon 08:00-25:00: 1MiB/s\n  default: slow\n",
          MAP "4:3: bandwidth: \"Monday 8-18\" is not right; " TIMES MAP
              "5:3: bandwidth: \"Mon 08:00-25:00\" is not right; " TIMES MAP
              "6:12: bandwidth: \"slow\" is not right; expected unlimited, or a rate such as 20MiB/s" RANGE },
        { NULL, OK "bandwidth:\n  Mon: {a: b}\n",
          MAP "4:8: bandwidth: expected unlimited, or a rate such as 20MiB/s\n" },
        { NULL, OK "bandwidth:\n  08:00-08:00: 1MiB/s\n", MAP "4:3: bandwidth: \"08:00-08:00\" is not right; " TIMES },
        { NULL, OK "bandwidth:\n  Sun 22:00-06:00: 1MiB/s\n  Mon: 2MiB/s\n",
          MAP "5:3: bandwidth: \"Mon\" overlaps \"Sun 22:00-06:00\"\n" },
        { NULL, OK "bandwidth:\n  Mon-Fri 08:00-18:00: 1MiB/s\n  17:59-20:00: 2MiB/s\n",
          MAP "5:3: bandwidth: \"17:59-20:00\" overlaps \"Mon-Fri 08:00-18:00\"\n" },
        { "memory: 64M\n", NULL, YAML "1:9: memory: \"64M\" is not right; expected a size such as 64MiB\n" },
        { "memory: 64MiB/s\n", NULL, YAML "1:9: memory: \"64MiB/s\" is not right; expected a size such as 64MiB\n" },
        { "memory: [64MiB]\n", NULL, YAML "1:9: memory: expected a size such as 64MiB, not a list\n" },
        { "memory: 16383KiB\n", NULL, YAML "1:9: memory: 16383KiB is out of range; expected from 16MiB to 64GiB\n" },
        { "memory: 999999999TiB\n", NULL,
          YAML "1:9: memory: 999999999TiB is out of range; expected from 16MiB to 64GiB\n" },
        { "folder: /x\n", NULL, YAML "1:1: folder: unknown key here; it belongs into mappings.d/NAME.yaml\n" },
        { NULL, OK "transfers: 3\n", MAP "3:1: transfers: unknown key here; it belongs into azsyncd.yaml\n" },
        { NULL, "fodler: /x\ncontainer: abc\n",
          MAP "1:1: fodler: unknown key (did you mean \"folder\"?)\n" MAP
              "1:1: folder: missing; expected an absolute path\n" },
        { NULL, OK "tier: hot\n", MAP "3:1: tier: not supported yet by this version of azsyncd\n" },
        { NULL, OK "folder: /y\n", MAP "3:1: folder: this key stands here twice\n" },
        { NULL, "- folder\n", MAP "1:1: mapping: expected keys and values (key: value), one a line\n" },
        { NULL, "just words\n", MAP "1:1: mapping: expected keys and values (key: value), one a line\n" },
        { NULL, "", MAP "1:1: folder: missing: the file is empty; expected folder: and container:\n" },
/* what people get wrong in YAML, in their words */
#define SLIP "not valid YAML: "
#define QUOTES(c) SLIP "a value that begins with " c " wants quotes"
#define GOES_ON                                                                                                      \
        "this goes on in the next line: is a blank missing behind its ':', or that line indented too far? If it is " \
        "meant, put it in quotes\n"
#define PAIR "expected one \"key: value\" a line"
        { NULL, OK "exclude: [*.tmp]\n", MAP "3:12: " QUOTES("'*'") ": \"*.tmp\"\n" },
        { NULL, OK "exclude: [&x.tmp]\n", MAP "3:13: " QUOTES("'&'") "\n" },
        { NULL, OK "exclude:\n- ![a].c\n", MAP "4:4: " QUOTES("'!'") "\n" },
        { NULL, OK "exclude:\n- @a\n", MAP "4:3: " QUOTES("this character") "\n" },
        { NULL, "folder:/x\ncontainer: abc\n", MAP "1:1: " GOES_ON },
        { NULL, "folder: /x: y\ncontainer: abc\n",
          MAP "1:11: " SLIP "this ':' does not belong here; " PAIR
              ", all indented alike, and a value that holds ': ' in "
              "quotes\n" },
        { NULL, OK "deletes\n", MAP "4:1: " SLIP "the line above has no ':'; expected \"key: value\"\n" },
        { NULL, "  folder: /x\ncontainer: abc\n",
          MAP "2:1: " SLIP "indented less than the lines above; " PAIR ", all indented alike\n" },
        { NULL, OK "exclude:\n - a\n- b\n",
          MAP "5:1: " SLIP "not indented as the lines above, or more behind a value that has ended; " PAIR "\n" },
        { NULL, OK "exclude:\n- a\n - b\n", MAP "4:3: " GOES_ON },
        /* values */
        { "transfers: many\n", NULL,
          YAML "1:12: transfers: \"many\" is not right; expected auto, or a number from 1 to 1000\n" },
        { "transfers: 1001\n", NULL,
          YAML "1:12: transfers: \"1001\" is not right; expected auto, or a number from 1 to 1000\n" },
        { "transfers: '5'\n", NULL,
          YAML "1:12: transfers: \"5\" is not right; expected auto, or a number from 1 to 1000\n" },
        { "transfers: [5]\n", NULL, YAML "1:12: transfers: expected auto, or a number from 1 to 1000, not a list\n" },
        { NULL, OK "deletes: miror\n",
          MAP "3:10: deletes: \"miror\" is not right; expected mirror or keep (did you mean \"mirror\"?)\n" },
        { NULL, OK "watch: fanotify\n",
          MAP "3:8: watch: \"fanotify\" is not right; expected auto, inotify or poll (did you mean \"inotify\"?)\n" },
        { NULL, OK "create-container: yes\n",
          MAP "3:19: create-container: \"yes\" is not right; expected true or false\n" },
        { NULL, OK "delete-delay: 5\n",
          MAP "3:15: delete-delay: \"5\" is not right; expected a duration such as 5s\n" },
        { NULL, OK "rescan: 1w\n", MAP "3:9: rescan: \"1w\" is not right; expected a duration such as 1h\n" },
        { NULL, OK "rescan: 1ms\n", MAP "3:9: rescan: 1ms is out of range; expected from 1s to 30d\n" },
        { NULL, OK "rescan: 999999999d\n", MAP "3:9: rescan: 999999999d is out of range; expected from 1s to 30d\n" },
        { NULL, OK "delete-delay: 31d\n", MAP "3:15: delete-delay: 31d is out of range; expected from 0s to 30d\n" },
        { NULL, OK "alert-after: 0s\n", MAP "3:14: alert-after: 0s is out of range; expected from 1s to 365d\n" },
        { NULL, OK "delete-guard: {files: 0, percent: 101, fiels: 5}\n",
          MAP "3:40: fiels: unknown key (did you mean \"files\"?)\n" MAP
              "3:23: files: \"0\" is not right; expected a number from 1 to 1000000000\n" MAP
              "3:35: percent: \"101\" is not right; expected a number from 1 to 100\n" },
        { NULL, OK "delete-guard: {files: 1,000}\n",
          MAP "3:25: 000: unknown key; expected one of those in azsync-mapping(5) for delete-guard\n" },
        { NULL, OK "delete-guard: 5\n", MAP "3:15: delete-guard: expected keys and values (key: value), one a line\n" },
        { NULL, OK "deletes:\n", MAP "3:9: deletes: \"\" is not right; expected mirror or keep\n" },
        { NULL, "FOLDER: /x\ncontainer: abc\n",
          MAP "1:1: FOLDER: unknown key (did you mean \"folder\"?)\n" MAP
              "1:1: folder: missing; expected an absolute path\n" },
        { NULL, OK "rescan: 999999999999999999999h\n",
          MAP "3:9: rescan: \"999999999999999999999h\" is not right; expected a duration such as 1h\n" },
        { NULL, OK "exclude: '*.tmp'\n",
          MAP "3:10: exclude: expected a list of gitignore patterns: [\"*.tmp\", \"/cache/\"]\n" },
        { NULL, OK "exclude:\n  - a\n  - {b: c}\n", MAP "5:5: exclude: expected a list of gitignore patterns\n" },
        { NULL, "folder: photos\ncontainer: abc\n",
          MAP "1:9: folder: \"photos\" is a relative path; expected an absolute path\n" },
        { NULL, "folder: /a/../b\ncontainer: abc\n",
          MAP "1:9: folder: \".\" and \"..\" cannot be part of it; expected an absolute path\n" },
        { NULL, "folder: //\ncontainer: abc\n",
          MAP "1:9: folder: the whole file system cannot be mapped: it holds azsyncd's own state\n" },
        { NULL, "folder: /etc/passwd\ncontainer: abc\n", MAP "1:9: folder: /etc/passwd is not a folder\n" },
        { NULL, "folder: /etc/passwd/x\ncontainer: abc\n", MAP "1:9: folder: /etc/passwd/x is not a folder\n" },
        { NULL, "folder: /x\n", MAP "1:1: container: missing; expected 3 to 63 of a-z, 0-9 and single '-'\n" },
        { NULL, "folder: /no-such/m\ncontainer: Photos\n",
          MAP "2:12: container: \"Photos\" is no container name; expected 3 to 63 of a-z, 0-9 and single '-'\n" },
        { NULL, "folder: /no-such/m\ncontainer: a--b\n",
          MAP "2:12: container: \"a--b\" is no container name; expected 3 to 63 of a-z, 0-9 and single '-'\n" },
        { NULL, OK "prefix: a/%x\n",
          MAP "3:9: prefix: %x is not known; expected %H (host name), %m (machine id) or %%\n" },
        { NULL, OK "prefix: 50%\n",
          MAP "3:9: prefix: % is not known; expected %H (host name), %m (machine id) or %%\n" },
        { NULL, OK "prefix: a//b\n", MAP "3:9: prefix: each name between '/' must be something and not end in '.'\n" },
        { NULL, OK "prefix: a/../b\n",
          MAP "3:9: prefix: each name between '/' must be something and not end in '.'\n" },
        { NULL, OK "prefix: 'a\\b'\n",
          MAP "3:9: prefix: '\\' and some other characters cannot be part of it, nor more than 254 names\n" },
        { NULL, OK "prefix: \"a\\x85b\"\n",
          MAP "3:9: prefix: '\\' and some other characters cannot be part of it, nor more than 254 names\n" },
        { NULL, OK "account: deb\n",
          MAP "3:10: account: azsyncd.yaml has no account \"deb\" (did you mean \"dev\"?)\n" },
        { "", OK, MAP "1:1: account: azsyncd.yaml has no account yet; add one below accounts:\n" },
        { DEV "  b: {connection-string: UseDevelopmentStorage=true}\n", OK,
          MAP "1:1: account: missing; azsyncd.yaml has 2 accounts, so one must be named\n" },
        /* a value that holds what only a terminal would like */
        { NULL, "folder: \"/x\\e[2J\"\ncontainer: abc\n",
          MAP "1:9: folder: holds a control character; expected an absolute path\n" },
        /* accounts */
        { "accounts: 5\n", NULL, YAML "1:11: accounts: expected accounts by name, each with its keys below it\n" },
        { "accounts: {a: 5}\n", OK "account: a\n",
          YAML "1:15: account: expected keys and values (key: value), one a line\n" },
        { "accounts: {a b: {}}\n", NULL,
          YAML "1:12: accounts: \"a b\" is no name; expected 1 to 64 of A-Z a-z 0-9 . _ -\n" },
        { "accounts: {a: {account: contoso}}\n", NULL,
          YAML "1:12: a: auth is missing; expected {method: shared-key, key: SECRET} or {method: sas, sas: SECRET}, or "
               "connection-string\n" },
        { "accounts: {a: {account: contoso, auth: managed-identity}}\n", NULL,
          YAML "1:40: auth: managed-identity is not supported yet by this version of azsyncd\n" },
        { "accounts: {a: {account: contoso, auth: {method: service-principal, tenant: x}}}\n", NULL,
          YAML "1:49: auth: service-principal is not supported yet by this version of azsyncd\n" },
        { "accounts: {a: {account: contoso, auth: {method: shared-kye, key: {env: X}}}}\n", NULL,
          YAML
          "1:49: method: \"shared-kye\" is not right; expected shared-key or sas (did you mean \"shared-key\"?)\n" },
        { "accounts: {a: {account: contoso, auth: {method: sas, key: {env: X}}}}\n", NULL,
          YAML
          "1:40: auth: sas is missing; expected {method: shared-key, key: SECRET} or {method: sas, sas: SECRET}\n" },
        { "accounts: {a: {account: x, connection-string: UseDevelopmentStorage=true}}\n", NULL,
          YAML "1:25: connection-string: it stands for account, endpoint and auth: give it alone\n" },
        /* only what is no secret may stand in a file that anybody reads */
        { "accounts: {a: {connection-string: UseDevelopmentStorage=true;AccountKey=" KEY "}}\n", NULL,
          YAML "1:35: connection-string: UseDevelopmentStorage is a whole account; leave the other parts out\n" },
        { "accounts: {a: {connection-string: UseDevelopmentStorage=true, proxy: 'http://me:" SIG "@x'}}\n", NULL,
          YAML "1:70: proxy: a password may stand here only if the file is readable by its owner alone (chmod 600)\n" },
        { "accounts: {a: {connection-string: UseDevelopmentStorage=maybe}}\n", NULL,
          YAML "1:35: connection-string: UseDevelopmentStorage can only be true\n" },
        /* YAML itself (limits; no alias can make a file larger than it looks) */
        { "a: &x [1]\n", NULL, YAML "1:4: anchors (&name) are not supported; write the value out\n" },
        { "a: *x\n", NULL, YAML "1:4: aliases (*name) are not supported; write the value out\n" },
        { "transfers: !!int 5\n", NULL,
          YAML "1:12: tags (!name) are not supported; leave it out, or quote the text\n" },
        { "%YAML 1.1\n---\na: 1\n", NULL,
          YAML "1:1: directives (%YAML, %TAG) are not supported; leave the line out\n" },
        { "a: 1\n---\nb: 2\n", NULL, YAML "2:1: a second document begins here; a file holds one\n" },
        { "a: 1\n---\n", NULL, YAML "2:1: a second document begins here; a file holds one\n" },
        { "? [a]\n: b\n", NULL, YAML "1:3: a key must be a plain word\n" },
        { "[[[[[[[[[[[[[[[[[[[[\n", NULL, YAML "1:17: nested too deeply\n" },
        { "a:\n  b: \xc3\xa9\xff\n", NULL, YAML "2:7: not a text: this byte is not UTF-8; expected YAML in UTF-8\n" },
        { "a:\n \x01", NULL, YAML "2:2: not a text: a control character; expected YAML in UTF-8\n" },
        { "\xff\xfe"
          "a",
          NULL, YAML "1:1: not a text: this byte is not UTF-8; expected YAML in UTF-8\n" },
        { "accounts:\n\tdev: 1\n", NULL, YAML "2:1: not valid YAML: a tab; expected blanks to indent with\n" },
        { "\ttransfers: 1\n", NULL, YAML "1:1: not valid YAML: a tab; expected blanks to indent with\n" },
        { "transfers: 1\n\ta: 1\n", NULL, YAML "2:1: not valid YAML: a tab; expected blanks to indent with\n" },
        { "a: 'x\n", NULL,
          YAML "2:1: not valid YAML: found unexpected end of stream, while scanning a quoted scalar\n" },
};

static void test_bad(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                put("azsyncd.yaml", bad[i].daemon ? bad[i].daemon : DEV);
                (void) unlink(at("mappings.d/m.yaml"));
                if (bad[i].mapping)
                        put("mappings.d/m.yaml", bad[i].mapping);
                {
                        _cleanup_loaded_ Loaded l = load();

                        assert_report(&l, bad[i].want);
                }
        }
}

/* A secret in the wrong place, and a wrong secret in the right one: load_with() looks for them in the messages. */
static void test_no_secret_shown(void **state) {
        static const char *const texts[] = {
                "accounts: {a: {account: contoso, auth: {method: shared-key, key: " KEY "}}}\n",
                "accounts: {a: {account: contoso, auth: {method: shared-key, key: {file: " KEY "}}}}\n",
                "accounts: {a: {account: contoso, auth: {method: shared-key, key: {file: /" KEY "}}}}\n",
                "accounts: {a: {account: contoso, auth: {method: shared-key, key: {env: " KEY "}}}}\n",
                "accounts: {a: {account: contoso, auth: {method: shared-key, key: {credential: " KEY "}}}}\n",
                "accounts: {a: {account: contoso, auth: {method: shared-key, key: {" KEY ": x}}}}\n",
                "accounts: {a: {account: contoso, auth: " KEY "}}\n",
                "accounts: {a: {account: contoso, auth: {method: " KEY "}}}\n",
                "accounts: {a: {account: " KEY "}}\n",
                "accounts: {a: {account: 'AccountName=a;AccountKey=" KEY "'}}\n",
                "accounts: {a: {endpoint: 'https://x.example.com/?sv=1&sig=" SIG "'}}\n",
                "accounts: {a: {connection-string: 'AccountName=a;AccountKey=" KEY ";EndpointSuffix=x'}}\n",
                "accounts: {'" KEY "': {}}\n",
                "accounts: {a: {proxy: '" KEY "', ca-file: '" KEY "', '" KEY "': 1}}\n",
                "'" KEY "': 1\n",
                "transfers: '" KEY "'\n",
                "accounts: '" KEY "'\n",
                "accounts: {a: {account: contoso, auth: {method: shared-key, key: '" KEY "\n",
        };

        for (unsigned mode = 0; mode < 2; mode++)
                for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                        put_mode("azsyncd.yaml", texts[i], mode ? 0600 : 0644);
                        {
                                _cleanup_loaded_ Loaded l = load();

                                if (l.r >= 0 && !(mode == 1 && (i == 0 || i == 11)))
                                        fail_msg("accepted: %s", texts[i]);
                        }
                }
        put("azsyncd.yaml", DEV);
        put("mappings.d/m.yaml", "folder: '/x/?sig=" SIG "'\ncontainer: 'https://x/y?sp=r&sig=" SIG
                                 "'\naccount: 'AccountKey=" KEY "'\nwatch: 'sig=" SIG "'\nprefix: a/../" SIG "\n");
        {
                _cleanup_loaded_ Loaded l = load();

                assert_int_equal(l.r, -EINVAL);
        }
}

static void test_good(void **state) {
        put("azsyncd.yaml", "accounts:\n  dev: {connection-string: UseDevelopmentStorage=true}\n"
                            "  local: {endpoint: 'http://127.0.0.1:10000/acc/', auth: {method: sas, sas: {env: "
                            "AZSYNC_TEST_SAS}}}\ntransfers: 16\nmemory: 96MiB\nbandwidth: 20MiB/s\n");
        assert_int_equal(setenv("AZSYNC_TEST_SAS", "?sv=1&sig=" SIG "\n", 1), 0);
        put("mappings.d/b.yaml", "folder: //no-such///b/\ncontainer: $web\naccount: local\nprefix: /x/%%/%m/\n"
                                 "exclude: ['*.tmp', '!a.tmp']\ndeletes: keep\ndelete-delay: 500ms\n"
                                 "conflict: overwrite\nwatch: poll\nrescan: 2h\ncreate-container: false\n");
        put("mappings.d/a.yaml", OK "account: dev\n");
        put("mappings.d/.hidden.yaml", "rubbish");
        put("mappings.d/photos.yaml.example", "rubbish");
        put("mappings.d/photos.yml", "rubbish");
        put("mappings.d/a.yaml~", "rubbish");
        make_dir("mappings.d/folder", 0755);
        {
                _cleanup_loaded_ Loaded l = load();
                const MappingConfig *m;

                assert_string_equal(buf_text(&l.report), "");
                assert_int_equal(l.config->n_accounts, 2);
                assert_int_equal(l.config->n_mappings, 2);
                assert_int_equal(l.config->transfers, 16);
                assert_int_equal(l.config->memory, 96 << 20);
                assert_int_equal(l.config->bandwidth.rate, 20 << 20);
                assert_int_equal(l.config->bandwidth.n_spans, 0);
                assert_non_null(strstr(buf_text(&l.config->warnings), "azsyncd.yaml:3:"));
                assert_non_null(strstr(buf_text(&l.config->warnings), "mappings.d:1:1: photos.yml is ignored; "));
                assert_null(strstr(buf_text(&l.config->warnings), SIG));
                assert_string_equal(l.config->mappings[0].name, "a");
                m = config_find(l.config, "a");
                assert_ptr_equal(m->account, &l.config->accounts[0]);
                assert_string_equal(m->folder, "/no-such/m");
                assert_string_equal(m->prefix, "");
                assert_true(m->create_container);
                assert_int_equal(m->delete_delay_ns, 5000000000);
                assert_int_equal(m->rescan_ns, 3600000000000);
                assert_string_equal(m->account->account, "devstoreaccount1");
                m = config_find(l.config, "b");
                assert_string_equal(m->folder, "/no-such/b");
                assert_string_equal(m->container, "$web");
                assert_memory_equal(m->prefix, "x/%/", 4);
                assert_int_equal(strlen(m->prefix), 4 + 32);
                assert_true(ignore_match(m->exclude, "b.tmp", false));
                assert_false(ignore_match(m->exclude, "a.tmp", false));
                assert_string_equal(m->exclude_text, "*.tmp\n!a.tmp\n");
                assert_int_equal(m->deletes, DELETES_KEEP);
                assert_int_equal(m->delete_delay_ns, 500000000);
                assert_int_equal(m->conflict, CONFLICT_OVERWRITE);
                assert_int_equal(m->watch, WATCH_MODE_POLL);
                assert_int_equal(m->rescan_ns, 7200000000000);
                assert_false(m->create_container);
                assert_string_equal(m->account->endpoint, "http://127.0.0.1:10000/acc");
                assert_string_equal(m->account->account, "acc");
                assert_int_equal(m->account->method, AUTH_SAS);
                assert_string_equal(m->account->secret, "sv=1&sig=" SIG); /* no '?', no newline */
                assert_null(config_find(l.config, "c"));
        }
        assert_int_equal(unsetenv("AZSYNC_TEST_SAS"), 0);
}

/* A signature that ends soon is used, and said. */
static void test_expiry(void **state) {
        static const struct {
                int64_t left; /* seconds; 0: at a fixed date long ago */
                const char *words;
        } cases[] = { { 0, ": sas: the shared access signature ended on 2001-09-09; have a new one issued\n" },
                      { 86400, ": sas: the shared access signature ends soon, on " },
                      { 30 * 86400, NULL } };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                int64_t end = cases[i].left ? clock_wall() + cases[i].left * NSEC_PER_SEC
                                            : INT64_C(1000000000) * NSEC_PER_SEC;
                char when[36], text[512];

                clock_format_rfc3339(end, when);
                (void) snprintf(
                        text, sizeof(text),
                        "accounts: {a: {account: contoso, auth: {method: sas, sas: 'se=%.19sZ&sig=" SIG "'}}}\n", when);
                put_mode("azsyncd.yaml", text, 0600);
                {
                        _cleanup_loaded_ Loaded l = load();
                        const char *warnings;

                        assert_int_equal(l.r, 0);
                        warnings = buf_text(&l.config->warnings);
                        assert_null(strstr(warnings, SIG));
                        if (cases[i].words)
                                assert_non_null(strstr(warnings, cases[i].words));
                        else
                                assert_string_equal(warnings, "");
                }
        }
}

/* azure-blob.md 0: smaller limits come with it */
static void test_old_version(void **state) {
        put_mode("azsyncd.yaml",
                 "accounts: {a: {account: contoso, auth: {method: sas, sas: 'sv=2018-03-28&sig=" SIG "'}}}\n", 0600);
        {
                _cleanup_loaded_ Loaded l = load();

                assert_int_equal(l.r, 0);
                assert_null(strstr(buf_text(&l.config->warnings), SIG));
                assert_non_null(strstr(buf_text(&l.config->warnings),
                                       "azsyncd.yaml:1:40: sas: the shared access signature is of a version (sv=) "
                                       "before 2019-12-12"));
        }
}

static void test_guard(void **state) {
        static const struct {
                const char *text;
                unsigned files, percent;
                int64_t alert_after; /* seconds */
        } cases[] = {
                { OK, 1000, 50, 3600 },
                { OK "delete-guard: {files: 5}\n", 5, 50, 3600 },
                { OK "delete-guard: {percent: 100}\nalert-after: 2d\n", 1000, 100, 2 * 86400 },
                { "\xEF\xBB\xBF" OK "delete-guard: {percent: 1, files: 1000000000}\n", 1000000000, 1, 3600 },
        };

        put("azsyncd.yaml", "\xEF\xBB\xBF" DEV); /* as some editors write it */
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                put("mappings.d/m.yaml", cases[i].text);
                {
                        _cleanup_loaded_ Loaded l = load();

                        assert_string_equal(buf_text(&l.report), "");
                        assert_int_equal(l.config->mappings[0].guard_files, cases[i].files);
                        assert_int_equal(l.config->mappings[0].guard_percent, cases[i].percent);
                        assert_int_equal(l.config->mappings[0].alert_after_ns, cases[i].alert_after * NSEC_PER_SEC);
                }
        }
}

static void test_nothing(void **state) {
        for (unsigned i = 0; i < 3; i++) {
                if (i == 1)
                        put("azsyncd.yaml", "# nothing\n---\n");
                else if (i == 2) {
                        put("azsyncd.yaml", "accounts:\n");
                        assert_int_equal(rmdir(at("mappings.d")), 0);
                }
                {
                        _cleanup_loaded_ Loaded l = load();

                        assert_int_equal(l.r, 0);
                        assert_int_equal(l.config->n_mappings, 0);
                }
        }
}

/* 10,001 values; then a megabyte that is one value too long; then as much of what libyaml finds hard. */
static void test_limits(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT((size_t) 1024 * 1024);
        static const char *const hard[] = { "%TAG !a! b\n", "? ", "- ", "{", "a: [\n", "\"", "a: |\n ", "&a ", "!!a " };

        assert_int_equal(buf_puts(&b, "accounts: ["), 0);
        for (unsigned i = 0; i < 10000; i++)
                assert_int_equal(buf_puts(&b, "1,"), 0);
        put("azsyncd.yaml", buf_text(&b));
        {
                _cleanup_loaded_ Loaded l = load();

                assert_report(&l, "@/azsyncd.yaml:1:20006: too much: more than 10,000 values\n");
        }
        buf_clear(&b);
        assert_int_equal(buf_puts(&b, "accounts: "), 0);
        for (unsigned i = 0; i < 70000; i++)
                assert_int_equal(buf_puts(&b, "x"), 0);
        put("azsyncd.yaml", buf_text(&b));
        {
                _cleanup_loaded_ Loaded l = load();

                assert_report(&l, "@/azsyncd.yaml:1:11: this value is larger than 64 KiB\n");
        }
        for (size_t i = 0; i < ELEMENTSOF(hard); i++) {
                buf_clear(&b);
                while (b.size + strlen(hard[i]) <= 1000000)
                        assert_int_equal(buf_puts(&b, hard[i]), 0);
                put("azsyncd.yaml", buf_text(&b));
                {
                        _cleanup_loaded_ Loaded l = load();

                        assert_int_equal(l.r, -EINVAL);
                }
        }
}

static void test_report_is_bounded(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT((size_t) 1024 * 1024);
        _cleanup_loaded_ Loaded l = { 0 };
        unsigned lines = 0;

        for (unsigned i = 0; i < 100; i++)
                assert_int_equal(buf_printf(&b, "zzzzz%u: 1\n", i), 0);
        put("azsyncd.yaml", buf_text(&b));
        put("mappings.d/m.yaml", "also: wrong\n");
        l = load();
        for (const char *p = buf_text(&l.report); *p; p++)
                lines += *p == '\n';
        assert_int_equal(lines, 21);
        assert_non_null(strstr(buf_text(&l.report), "\n... and more\n"));
        assert_non_null(strstr(l.e.text, "azsyncd.yaml:1:1: zzzzz0: "));
        assert_int_equal(l.e.native, 1);
}

/* All files are read before giving up, and one refused account does not make its mappings look wrong. */
static void test_collects(void **state) {
        put("azsyncd.yaml", "accounts: [\n");
        put("mappings.d/a.yaml", OK "account: dev\n");
        put("mappings.d/b.yaml", "folder: b\ncontainer: abc\n");
        put("mappings.d/c.yaml", OK "deletes: x\nrescan: y\n");
        {
                _cleanup_loaded_ Loaded l = load();

                assert_report(&l,
                              "@/azsyncd.yaml:2:1: not valid YAML: did not find expected node content, while parsing a "
                              "flow node\n"
                              "@/mappings.d/b.yaml:1:9: folder: \"b\" is a relative path; expected an absolute path\n"
                              "@/mappings.d/c.yaml:3:10: deletes: \"x\" is not right; expected mirror or keep\n"
                              "@/mappings.d/c.yaml:4:9: rescan: \"y\" is not right; expected a duration such as 1h\n");
        }
}

static void test_schema(void **state) {
        for (size_t i = 0; i < n_config_keys; i++) {
                assert_true(config_keys[i].expects[0] != '\0');
                for (size_t k = 0; k < i; k++)
                        assert_false(strcmp(config_keys[i].where, config_keys[k].where) == 0 &&
                                     strcmp(config_keys[i].key, config_keys[k].key) == 0);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                CONFIG_TEST(test_bad),         CONFIG_TEST(test_no_secret_shown),
                CONFIG_TEST(test_good),        CONFIG_TEST(test_expiry),
                CONFIG_TEST(test_old_version), CONFIG_TEST(test_guard),
                CONFIG_TEST(test_nothing),     CONFIG_TEST(test_limits),
                CONFIG_TEST(test_collects),    CONFIG_TEST(test_report_is_bounded),
                cmocka_unit_test(test_schema),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
