#include "config/value.h"

#include "util/clock.h"

#include <stdio.h>
#include <string.h>

static int expected(ConfigReader *c, const Node *n, const char *where, const char *key) {
        if (n->kind != NODE_SCALAR)
                return config_refuse(c, n, key, "expected %s, not a %s", schema_expects(where, key),
                                     n->kind == NODE_LIST ? "list" : "group of keys");
        return config_refuse(c, n, key, "\"%s\" is not right; expected %s", SHOWN(n->text), schema_expects(where, key));
}

int value_text(ConfigReader *c, const Node *n, const char *where, const char *key, char **ret) {
        if (n->kind != NODE_SCALAR || n->text[0] == '\0')
                return expected(c, n, where, key);
        for (const char *p = n->text; *p; p++)
                if ((unsigned char) *p < 0x20 || *p == 0x7f)
                        return config_refuse(c, n, key, "holds a control character; expected %s",
                                             schema_expects(where, key));
        *ret = strdup(n->text);
        return *ret ? 0 : config_refuse(c, n, key, "out of memory");
}

int value_bool(ConfigReader *c, const Node *n, const char *where, const char *key, bool *ret) {
        if (n->kind != NODE_SCALAR || n->quoted)
                return expected(c, n, where, key);
        if (strcmp(n->text, "true") == 0)
                *ret = true;
        else if (strcmp(n->text, "false") == 0)
                *ret = false;
        else
                return expected(c, n, where, key);
        return 0;
}

int value_enum(ConfigReader *c, const Node *n, const char *where, const char *key, const char *const *words,
               size_t n_words, int *ret) {
        const char *meant;

        if (n->kind != NODE_SCALAR)
                return expected(c, n, where, key);
        for (size_t i = 0; i < n_words; i++)
                if (strcmp(n->text, words[i]) == 0) {
                        *ret = (int) i;
                        return 0;
                }
        meant = nearest(n->text, words, n_words);
        if (!meant)
                return expected(c, n, where, key);
        return config_refuse(c, n, key, "\"%s\" is not right; expected %s (did you mean \"%s\"?)", SHOWN(n->text),
                             schema_expects(where, key), meant);
}

static const struct {
        const char *unit;
        int64_t ns;
} units[] = { { "d", 86400 * NSEC_PER_SEC },
              { "h", 3600 * NSEC_PER_SEC },
              { "m", 60 * NSEC_PER_SEC },
              { "s", NSEC_PER_SEC },
              { "ms", NSEC_PER_MSEC } };

/* As a person would write it: in the largest unit that does so without a fraction. */
static const char *duration_shown(int64_t ns, char ret[static 24]) {
        size_t i = ns == 0 ? 3 : 0;

        while (i + 1 < ELEMENTSOF(units) && ns % units[i].ns != 0)
                i++;
        (void) snprintf(ret, 24, "%lld%s", (long long) (ns / units[i].ns), units[i].unit);
        return ret;
}

int value_duration(ConfigReader *c, const Node *n, const char *where, const char *key, int64_t least, int64_t most,
                   int64_t *ret) {
        char from[24], to[24];
        size_t digits;

        if (n->kind != NODE_SCALAR)
                return expected(c, n, where, key);
        digits = strspn(n->text, "0123456789");
        if (digits == 0 || digits > 9)
                return expected(c, n, where, key);
        for (size_t i = 0; i < ELEMENTSOF(units); i++)
                if (strcmp(n->text + digits, units[i].unit) == 0) {
                        int64_t number = (int64_t) strtol(n->text, NULL, 10), value;

                        /* nine digits of days are more ns than there are */
                        value = number > INT64_MAX / units[i].ns ? INT64_MAX : number * units[i].ns;
                        if (value < least || value > most)
                                return config_refuse(c, n, key, "%s is out of range; expected from %s to %s", n->text,
                                                     duration_shown(least, from), duration_shown(most, to));
                        *ret = value;
                        return 0;
                }
        return expected(c, n, where, key);
}

static const struct {
        const char *unit;
        unsigned shift;
} sizes[] = { { "TiB", 40 }, { "GiB", 30 }, { "MiB", 20 }, { "KiB", 10 } };

static const char *size_shown(uint64_t bytes, char ret[static 24]) {
        size_t i = 0;

        while (i + 1 < ELEMENTSOF(sizes) && bytes % (UINT64_C(1) << sizes[i].shift) != 0)
                i++;
        (void) snprintf(ret, 24, "%llu%s", (unsigned long long) (bytes >> sizes[i].shift), sizes[i].unit);
        return ret;
}

bool size_parse(const char *text, const char *tail, uint64_t *ret) {
        size_t digits = strspn(text, "0123456789");

        if (digits == 0 || digits > 9)
                return false;
        for (size_t i = 0; i < ELEMENTSOF(sizes); i++)
                if (strncmp(text + digits, sizes[i].unit, 3) == 0 && strcmp(text + digits + 3, tail) == 0) {
                        uint64_t number = strtoul(text, NULL, 10);

                        *ret = number > UINT64_MAX >> sizes[i].shift ? UINT64_MAX : number << sizes[i].shift;
                        return true;
                }
        return false;
}

int value_size(ConfigReader *c, const Node *n, const char *where, const char *key, uint64_t least, uint64_t most,
               uint64_t *ret) {
        char from[24], to[24];
        uint64_t value;

        if (n->kind != NODE_SCALAR || !size_parse(n->text, "", &value))
                return expected(c, n, where, key);
        if (value < least || value > most)
                return config_refuse(c, n, key, "%s is out of range; expected from %s to %s", n->text,
                                     size_shown(least, from), size_shown(most, to));
        *ret = value;
        return 0;
}

int value_number(ConfigReader *c, const Node *n, const char *where, const char *key, unsigned least, unsigned most,
                 unsigned *ret) {
        size_t digits;
        long long value;

        if (n->kind != NODE_SCALAR || n->quoted)
                return expected(c, n, where, key);
        digits = strspn(n->text, "0123456789");
        value = digits > 0 && digits <= 10 && n->text[digits] == '\0' ? strtoll(n->text, NULL, 10) : -1;
        if (value < least || value > most)
                return expected(c, n, where, key);
        *ret = (unsigned) value;
        return 0;
}
