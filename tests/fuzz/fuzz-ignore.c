/* Patterns, a line each, and behind a NUL the paths to ask about, ended by NULs. Beside what sanitizers see: every
 * path, written as a pattern with each byte escaped, matches itself, and the last pattern decides. How long it takes is
 * bound by the -timeout of the fuzzer: a pattern that is tried again and again costs the scan of every file. */
#include "util/ignore.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
        if (!holds)
                abort();
}

/* "/\a\/\b" for a/b */
static char *escaped(const char *path) {
        char *text = malloc(2 * strlen(path) + 3), *p = text;

        check(text != NULL);
        *p++ = '!';
        *p++ = '/';
        for (; *path; path++) {
                if (*path != '/')
                        *p++ = '\\';
                *p++ = *path;
        }
        *p = '\0';
        return text;
}

static void check_path(const char *const *patterns, size_t n, const char *path) {
        _cleanup_(ignore_freep) Ignore *ignore = NULL;
        _cleanup_free_ char *self = escaped(path);
        bool file, folder;

        check(ignore_new(&ignore) == 0);
        for (size_t i = 0; i < n; i++)
                check(ignore_add(ignore, patterns[i]) == 0);
        file = ignore_match(ignore, path, false);
        folder = ignore_match(ignore, path, true);
        check(!file || ignore_match_deep(ignore, path, false));
        check(!folder || ignore_match_deep(ignore, path, true));
        if (path[strlen(path) - 1] == '\r')
                return; /* taken for a line end of Windows */
        check(ignore_add(ignore, self + 1) == 0 && ignore_match(ignore, path, false));
        check(ignore_add(ignore, self) == 0 && !ignore_match(ignore, path, false) && !ignore_match(ignore, path, true));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = malloc(size + 2);
        const char *patterns[64];
        size_t n = 0, at;

        check(text != NULL);
        memcpy(text, data, size);
        text[size] = text[size + 1] = '\0';
        at = strlen(text) + 1;
        for (char *line = text, *next; *line && n < ELEMENTSOF(patterns); line = next) {
                next = line + strcspn(line, "\n");
                if (*next)
                        *next++ = '\0';
                patterns[n++] = line;
        }
        for (unsigned i = 0; at <= size && i < 8; at += strlen(text + at) + 1, i++)
                if (text[at] && text[at] != '/' && text[at + strlen(text + at) - 1] != '/')
                        check_path(patterns, n, text + at);
        return 0;
}
