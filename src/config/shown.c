#include "config/shown.h"

#include <stdio.h>
#include <string.h>

/* At least `least` letters, digits and `others` in a row, with letters of both cases and digits among them: names
 * rarely are like that, random bytes in Base64 nearly always. */
static bool random_run(const char *text, const char *others, size_t least) {
        enum { UPPER = 1, LOWER = 2, DIGIT = 4 };
        unsigned seen = 0;
        size_t size = 0;

        for (; *text; text++) {
                if (*text >= 'A' && *text <= 'Z')
                        seen |= UPPER;
                else if (*text >= 'a' && *text <= 'z')
                        seen |= LOWER;
                else if (*text >= '0' && *text <= '9')
                        seen |= DIGIT;
                else if (!strchr(others, *text)) {
                        seen = 0;
                        size = 0;
                        continue;
                }
                if (++size >= least && seen == (UPPER | LOWER | DIGIT))
                        return true;
        }
        return false;
}

bool shown_secret(const char *text) {
        static const char *const marks[] = { "sig=", "key=", "signature=", "password=", "secret=" };
        const char *scheme = strstr(text, "://");

        for (size_t i = 0; i < ELEMENTSOF(marks); i++)
                if (strcasestr(text, marks[i]))
                        return true;
        if (scheme && strchr(scheme, '@'))
                return true;
        /* an account's key has 88 characters, a signature 44, an application's secret 40; '/' is one of theirs, but
         * paths have it, too */
        return random_run(text, "+=%~", 24) || (text[0] != '/' && random_run(text, "+=%~/", 40));
}

const char *shown(const char *text, char *ret, size_t room) {
        if (!shown_secret(text))
                return path_display(text, strlen(text), ret, room);
        (void) snprintf(ret, room, "(not shown: it may be a secret)");
        return ret;
}
