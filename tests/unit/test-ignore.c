/* Exclusion patterns: a table of what gitignore(5) says, then git itself as the oracle for patterns made at random. */
#include "util/ignore.h"

#include "scratch.h"

#include <sys/wait.h>
#include <time.h>

/* strcat() with an end */
static void add(char *to, size_t room, const char *text) {
        size_t size = strlen(to);

        assert_true(size + strlen(text) < room);
        (void) snprintf(to + size, room - size, "%s", text);
}

static Ignore *make(const char *const *patterns, size_t n) {
        Ignore *ignore = NULL;

        assert_int_equal(ignore_new(&ignore), 0);
        for (size_t i = 0; i < n && patterns[i]; i++)
                assert_int_equal(ignore_add(ignore, patterns[i]), 0);
        return ignore;
}

#define DIR true
#define REG false

static const struct {
        const char *patterns[4];
        const char *path;
        bool folder, want; /* `want`: ignore_match_deep() */
} table[] = {
        { { "*.tmp" }, "a.tmp", REG, true },
        { { "*.tmp" }, "d/a.tmp", REG, true },
        { { "*.tmp" }, "d.tmp/a", REG, true },
        { { "*.tmp" }, ".tmp", REG, true },
        { { "*.tmp" }, "a.tmpx", REG, false },
        { { "/cache/" }, "cache", DIR, true },
        { { "/cache/" }, "cache", REG, false },
        { { "/cache/" }, "cache/x/y", REG, true },
        { { "/cache/" }, "d/cache", DIR, false },
        { { "a/b" }, "a/b", REG, true },
        { { "a/b" }, "x/a/b", REG, false }, /* a slash in the middle anchors */
        { { "a/" }, "x/a", DIR, true },     /* one at the end does not */
        { { "a/*" }, "a/b", REG, true },
        { { "a/*" }, "a", DIR, false },
        { { "/*" }, "a", REG, true },
        { { "a*c" }, "a/c", REG, false },
        { { "a?c" }, "a/c", REG, false },
        { { "x/a[/]c" }, "x/a/c", REG, false },
        { { "**/b" }, "b", REG, true },
        { { "**/b" }, "x/y/b", REG, true },
        { { "a/**" }, "a", DIR, false },
        { { "a/**" }, "a/x/y", REG, true },
        { { "a/**/b" }, "a/b", REG, true },
        { { "a/**/b" }, "a/x/y/b", REG, true },
        { { "a/**/b" }, "ab", REG, false },
        { { "a**b/c" }, "axyb/c", REG, true },
        { { "a**b/c" }, "a/b/c", REG, false },
        { { "**" }, "x/y", REG, true },
        { { "# a" }, "# a", REG, false },
        { { "\\#a" }, "#a", REG, true },
        { { "\\!a" }, "!a", REG, true },
        { { "a  " }, "a", REG, true },
        { { "a\\ " }, "a ", REG, true },
        { { "a\\  " }, "a ", REG, true },
        { { " a" }, " a", REG, true },
        { { "a\t" }, "a", REG, false },
        { { "a\\" }, "a\\", REG, false }, /* a backslash at the end is no pattern */
        { { "\\a" }, "a", REG, true },
        { { "a\\*" }, "ab", REG, false },
        { { "a\\*" }, "a*", REG, true },
        { { "[a-c]x" }, "bx", REG, true },
        { { "[!a-c]x" }, "bx", REG, false },
        { { "[^a-c]x" }, "dx", REG, true },
        { { "[]a]x" }, "]x", REG, true },
        { { "[!]a]x" }, "]x", REG, false },
        { { "[a-]x" }, "-x", REG, true },
        { { "[\\]]x" }, "]x", REG, true },
        { { "[c-a]x" }, "bx", REG, false },
        { { "[a" }, "[a", REG, false },
        { { "[[:alpha:]]x" }, "Qx", REG, true },
        { { "[[:digit:]_]x" }, "_x", REG, true },
        { { "[[:digit:]]x" }, "ax", REG, false },
        { { "[[:nonsense:]]x" }, "nx", REG, false },
        { { "*", "!a" }, "a", REG, false },
        { { "*", "!a" }, "b", REG, true },
        { { "!a", "*" }, "a", REG, true },        /* the last match wins */
        { { "d/", "!d/a" }, "d/a", REG, true },   /* nothing below an excluded folder comes back */
        { { "d/*", "!d/a" }, "d/a", REG, false }, /* but if only what is in it was excluded */
        { { "a\r" }, "a", REG, true },            /* a line that ends in CR LF */
        { { "*\\/b" }, "a/b", REG, true },
        { { "a**\\/b" }, "a/x/b", REG, true },
        { { "x[a/]b" }, "xab", REG, true }, /* a slash in a set anchors, and matches no '/' */
        { { "x[a/]b" }, "d/xab", REG, false },
        /* where git is at odds with gitignore(5), whose stars are ordinary ones here: what precedes the first special
         * character is compared by itself */
        { { "a**/b" }, "a/x/b", REG, true },
        { { "a**/b" }, "ab", REG, true },
        { { "?**/b" }, "a/x/b", REG, false },
        { { "[[:space:]]x" }, "\vx", REG, false }, /* git's own idea of blanks, whatever the locale */
        { { "[[:punct:]]x" }, "~x", REG, true },
        { { "" }, "a", REG, false },
        { { "/" }, "a", DIR, false },
        { { "!" }, "a", REG, false },
        { { "a\xff" }, "a\xff", REG, true }, /* names are bytes */
        { { "?" }, "\xc3\xa9", REG, false }, /* as in git */
};

static void test_table(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_(ignore_freep) Ignore *ignore = make(table[i].patterns, ELEMENTSOF(table[i].patterns));

                if (ignore_match_deep(ignore, table[i].path, table[i].folder) != table[i].want)
                        fail_msg("\"%s\" \"%s\" against \"%s\"", table[i].patterns[0],
                                 table[i].patterns[1] ? table[i].patterns[1] : "", table[i].path);
        }
}

static void test_shallow(void **state) {
        const char *const patterns[] = { "d/", "!e" };
        _cleanup_(ignore_freep) Ignore *ignore = make(patterns, 2);

        assert_true(ignore_match(ignore, "d", true));
        assert_false(ignore_match(ignore, "d/a", false)); /* callers do not descend */
        assert_true(ignore_match_deep(ignore, "d/a", false));
        assert_true(ignore_match_deep(ignore, "x/d/y/a", false));
        assert_false(ignore_match_deep(ignore, "x/dd/y/a", false));
}

/* Each of these takes a matcher with plain backtracking longer than anybody waits; the test's time limit is the check.
 */
static void test_hostile(void **state) {
        static char stars[4096], path[4096], sets[4096], deep[4096];
        const char *patterns[4] = { stars, deep, sets, "**/**/**/**/**/**/**/**/**/**/**/**/a/**/a/**/a/**/nowhere" };
        _cleanup_(ignore_freep) Ignore *ignore = NULL;

        for (size_t i = 0; i + 4 < sizeof(stars); i += 2)
                memcpy(stars + i, "a*", 3);
        add(stars, sizeof(stars), "b");
        for (size_t i = 0; i + 16 < sizeof(deep); i += 5)
                memcpy(deep + i, "**/a/", 6);
        add(deep, sizeof(deep), "b");
        for (size_t i = 0; i + 8 < sizeof(sets); i += 4)
                memcpy(sets + i, "[a]*", 5);
        add(sets, sizeof(sets), "b");
        memset(path, 'a', 4000);
        ignore = make(patterns, 4);
        for (unsigned i = 0; i < 20; i++)
                assert_false(ignore_match_deep(ignore, path, false));
        for (size_t i = 1; i < 4000; i += 2)
                path[i] = '/';
        path[3999] = 'a';
        assert_false(ignore_match_deep(ignore, path, false));
}

static void test_deep_pattern(void **state) {
        char pattern[2048] = "", path[2048] = "";
        const char *patterns[1] = { pattern };
        _cleanup_(ignore_freep) Ignore *ignore = NULL;

        for (unsigned i = 0; i < 250; i++) {
                add(pattern, sizeof(pattern), i % 3 ? "a/" : "**/");
                add(path, sizeof(path), "a/");
        }
        add(pattern, sizeof(pattern), "b");
        add(path, sizeof(path), "b");
        ignore = make(patterns, 1);
        assert_true(ignore_match_deep(ignore, path, false));
        path[strlen(path) - 1] = 'c';
        assert_false(ignore_match_deep(ignore, path, false));
}

/* ---- git as the oracle ---- */

static uint64_t seed;

static unsigned draw(unsigned n) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return (unsigned) (seed >> 33) % n;
}

static void random_pattern(char *ret, size_t room) {
        static const char *const bits[] = {
                "a",        "b",           "ab",     "*",     "**",    "?",       "/",         "/",
                "[ab]",     "[!a]",        "[^b-c]", "\\a",   "\\*",   " ",       "[a-",       "\\",
                "[]a]",     "[[:alpha:]]", "!",      "#",     "***",   "**/",     "/**",       "[a\\]]",
                "[[:x:]]",  "c",           ".",      "-",     "[[:a]", "[a-b-c]", "\\/",       "[/]",
                "[a/]",     "**\\/",       "a**",    "[!/a]", "\\\\",  "]",       "[:alpha:]", "[[:upper:][:digit:]]",
                "[[:]",     "[[::]]",      "[^]",    "[]",    "[]-a]", "[--a]",   "[a-\\z]",   "[a-[:alpha:]]",
                "\xc3\xa9", "[\xc3]",      "/**/"
        };
        unsigned n = 1 + draw(6);

        ret[0] = '\0';
        if (draw(6) == 0)
                add(ret, room, "!");
        for (unsigned i = 0; i < n; i++)
                if (strlen(ret) + 24 < room)
                        add(ret, room, bits[draw(draw(3) ? 9 : ELEMENTSOF(bits))]);
        if (draw(6) == 0)
                add(ret, room, "/");
}

#define PATHS_MAX 400u
static char paths[PATHS_MAX][64];
static bool folders[PATHS_MAX];
static size_t n_paths;

/* Folders and files of all names of this small alphabet, three levels deep in part. */
static void grow(const char *above, unsigned depth) {
        static const char *const names[] = { "a",  "b",  "ab", "aab",  "ba",  "c",        "*",  "a b", "#a",
                                             "!a", "a]", "-a", "ac.b", "a\\", "\xc3\xa9", "Q7", "]" };

        for (size_t i = 0; i < ELEMENTSOF(names) && n_paths < PATHS_MAX; i++) {
                bool folder = depth > 0 && (i < 3 || draw(5) == 0);
                char path[sizeof(paths[0])];

                if (depth < 2 && i >= 3 && draw(2))
                        continue;
                assert_in_range(snprintf(path, sizeof(path), "%s%s%s", above, above[0] ? "/" : "", names[i]), 1,
                                sizeof(path) - 1);
                memcpy(paths[n_paths], path, sizeof(path));
                folders[n_paths++] = folder;
                if (folder) {
                        make_dir(path, 0755);
                        grow(path, depth - 1);
                } else
                        put(path, "");
        }
}

static int run(const char *const argv[], const char *in, const char *out) {
        pid_t pid = fork();
        int status = -1;

        if (pid == 0) {
                int fd0 = open(in, O_RDONLY), fd1 = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600);

                if (chdir(root) < 0 || dup2(fd0, 0) < 0 || dup2(fd1, 1) < 0)
                        _exit(126);
                (void) setenv("GIT_CONFIG_NOSYSTEM", "1", 1);
                (void) setenv("GIT_CONFIG_GLOBAL", "/dev/null", 1);
                (void) unsetenv("GIT_DIR");
                (void) execvp(argv[0], (char *const *) argv);
                _exit(127);
        }
        assert_true(pid > 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_git(void **state) {
        static const char *const init[] = { "git", "init", "-q", ".", NULL };
        static const char *const ask[] = { "git",
                                           "-c",
                                           "core.excludesFile=/dev/null",
                                           "-c",
                                           "core.ignorecase=false",
                                           "check-ignore",
                                           "--no-index",
                                           "--stdin",
                                           "-z",
                                           "-v",
                                           "-n",
                                           NULL };
        const char *given = getenv("AZSYNC_TEST_SEED"), *rounds = getenv("AZSYNC_TEST_ROUNDS");
        unsigned n = rounds ? (unsigned) strtoul(rounds, NULL, 10) : 60;
        char in[128], out[128];
        uint64_t first;

        if (run(init, "/dev/null", "/dev/null") != 0)
                skip(); /* no git here */
        first = given ? strtoull(given, NULL, 10) : (uint64_t) time(NULL) * 1000 + (uint64_t) getpid();
        seed = first;
        print_message("AZSYNC_TEST_SEED=%llu\n", (unsigned long long) first);
        n_paths = 0;
        grow("", 3);
        (void) snprintf(in, sizeof(in), "%s/in", top);
        (void) snprintf(out, sizeof(out), "%s/out", top);
        {
                FILE *f = fopen(in, "we");

                assert_non_null(f);
                for (size_t i = 0; i < n_paths; i++)
                        assert_int_equal(fwrite(paths[i], 1, strlen(paths[i]) + 1, f), strlen(paths[i]) + 1);
                assert_int_equal(fclose(f), 0);
        }
        for (unsigned round = 0; round < n; round++) {
                char patterns[4][96], text[512] = "", *answer = NULL, *p;
                const char *list[4];
                size_t count = 1 + draw(3), size = 0;
                _cleanup_(ignore_freep) Ignore *ignore = NULL;
                ssize_t got;
                FILE *f;

                for (size_t i = 0; i < count; i++) {
                        random_pattern(patterns[i], sizeof(patterns[i]));
                        list[i] = patterns[i];
                        add(text, sizeof(text), patterns[i]);
                        add(text, sizeof(text), "\n");
                }
                put(".gitignore", text);
                ignore = make(list, count);
                assert_in_range(run(ask, in, out), 0, 1);
                f = fopen(out, "re");
                assert_non_null(f);
                got = getdelim(&answer, &size, EOF, f); /* all of it: NULs and no 0xff */
                (void) fclose(f);
                assert_true(got > 0);
                p = answer;
                for (size_t i = 0; i < n_paths; i++) {
                        const char *field[4];
                        bool want;

                        for (unsigned k = 0; k < 4; k++) {
                                assert_true(p < answer + got);
                                field[k] = p;
                                p += strlen(p) + 1;
                        }
                        assert_string_equal(field[3], paths[i]);
                        want = field[2][0] != '\0' && field[2][0] != '!';
                        if (ignore_match_deep(ignore, paths[i], folders[i]) != want)
                                fail_msg("seed %llu: patterns\n%spath \"%s\"%s: git says %s by \"%s\"",
                                         (unsigned long long) first, text, paths[i], folders[i] ? " (folder)" : "",
                                         want ? "ignored" : "kept", field[2]);
                }
                free(answer);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_table),
                cmocka_unit_test(test_shallow),
                cmocka_unit_test(test_hostile),
                cmocka_unit_test(test_deep_pattern),
                TEST(test_git),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
