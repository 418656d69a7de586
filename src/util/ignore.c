#include "util/ignore.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>

/* A pattern is cut at its slashes. Within a segment '*' needs one point to come back to, and over the segments a row of
 * booleans is carried along, so no pattern, however hostile, costs more than (its length) x (the path's length). */
typedef struct Pattern {
        char *text; /* the segments, each ended by NUL */
        size_t n;   /* of them */
        bool negated, folders_only, anchored, never;
} Pattern;

struct Ignore {
        Pattern *patterns;
        size_t n;
};

#define SEGMENTS_MAX 256u

int ignore_new(Ignore **ret) {
        *ret = calloc(1, sizeof(**ret));
        return *ret ? 0 : -ENOMEM;
}

Ignore *ignore_free(Ignore *ignore) {
        if (!ignore)
                return NULL;
        for (size_t i = 0; i < ignore->n; i++)
                free(ignore->patterns[i].text);
        free(ignore->patterns);
        free(ignore);
        return NULL;
}

/* Trailing blanks do not count, unless the last one is escaped. */
static size_t trimmed(const char *p, size_t size) {
        size_t end = 0;

        for (size_t i = 0; i < size;) {
                if (p[i] == '\\' && i + 1 < size) {
                        i += 2;
                        end = i;
                } else if (p[i++] != ' ')
                        end = i;
        }
        return end;
}

int ignore_add(Ignore *ignore, const char *pattern) {
        Pattern p = { 0 }, *more;
        size_t size;

        assert(ignore && pattern);

        if (pattern[0] == '#')
                return 0;
        if (pattern[0] == '!') {
                p.negated = true;
                pattern++;
        }
        size = trimmed(pattern, strlen(pattern));
        if (size > 0 && pattern[size - 1] == '/') {
                p.folders_only = true;
                size--;
        }
        if (size == 0)
                return 0;
        p.anchored = memchr(pattern, '/', size) != NULL;
        if (pattern[0] == '/') {
                pattern++;
                size--;
        }
        p.text = malloc(size + 1);
        if (!p.text)
                return -ENOMEM;
        memcpy(p.text, pattern, size);
        p.text[size] = '\0';
        p.n = 1;
        for (size_t i = 0; i < size; i++)
                if (p.text[i] == '/') {
                        p.text[i] = '\0';
                        p.n++;
                }
        p.never = p.n > SEGMENTS_MAX;
        more = reallocarray(ignore->patterns, ignore->n + 1, sizeof(*more));
        if (!more) {
                free(p.text);
                return -ENOMEM;
        }
        ignore->patterns = more;
        ignore->patterns[ignore->n++] = p;
        return 0;
}

static bool in_class(const char *name, size_t size, unsigned char c) {
        static const struct {
                const char *name;
                int (*is)(int c);
        } classes[] = {
                { "alnum", isalnum }, { "alpha", isalpha }, { "blank", isblank }, { "cntrl", iscntrl },
                { "digit", isdigit }, { "graph", isgraph }, { "lower", islower }, { "print", isprint },
                { "punct", ispunct }, { "space", isspace }, { "upper", isupper }, { "xdigit", isxdigit },
        };

        for (size_t i = 0; i < ELEMENTSOF(classes); i++)
                if (strlen(classes[i].name) == size && memcmp(classes[i].name, name, size) == 0)
                        return c < 0x80 && classes[i].is(c) != 0;
        return false;
}

/* `p` stands behind '['. 1: matches, 0: does not, -1: not a whole set, so the pattern never matches. *ret stands behind
 * ']'. */
static int match_set(const char *p, unsigned char c, const char **ret) {
        bool inverted = *p == '!' || *p == '^', found = false, first = true;
        unsigned char last = 0;

        p += inverted;
        for (;; first = false) {
                unsigned char low = (unsigned char) *p++;

                if (low == '\0')
                        return -1;
                if (low == ']' && !first)
                        break;
                if (low == '\\') {
                        low = (unsigned char) *p++;
                        if (low == '\0')
                                return -1;
                } else if (low == '-' && last && *p && *p != ']') {
                        unsigned char high = (unsigned char) *p++;

                        if (high == '\\') {
                                high = (unsigned char) *p++;
                                if (high == '\0')
                                        return -1;
                        }
                        found |= c >= last && c <= high;
                        last = 0;
                        continue;
                } else if (low == '[' && *p == ':') {
                        const char *end = p + 1;

                        while (*end && *end != ']')
                                end++;
                        if (!*end)
                                return -1;
                        if (end > p + 1 && end[-1] == ':') {
                                found |= in_class(p + 1, (size_t) (end - p) - 2, c);
                                p = end + 1;
                                last = 0;
                                continue;
                        }
                }
                found |= c == low;
                last = low;
        }
        *ret = p;
        return found != inverted;
}

/* One pattern segment against one name. */
static bool match_segment(const char *p, const char *name, size_t size) {
        const char *star = NULL;
        size_t i = 0, star_at = 0;

        for (;;) {
                const char *next = p;
                bool one = false;

                if (*p == '*') {
                        while (*p == '*')
                                p++;
                        star = p;
                        star_at = i;
                        continue;
                }
                if (i == size && *p == '\0')
                        return true;
                if (i < size && *p) {
                        if (*p == '?') {
                                one = true;
                                next = p + 1;
                        } else if (*p == '[') {
                                int r = match_set(p + 1, (unsigned char) name[i], &next);

                                if (r < 0)
                                        return false;
                                one = r > 0;
                        } else if (*p == '\\') {
                                if (p[1] == '\0')
                                        return false;
                                one = p[1] == name[i];
                                next = p + 2;
                        } else {
                                one = *p == name[i];
                                next = p + 1;
                        }
                }
                if (one) {
                        p = next;
                        i++;
                        continue;
                }
                if (!star || star_at >= size)
                        return false;
                p = star; /* one more byte goes to the last star */
                i = ++star_at;
        }
}

static bool is_globstar(const char *segment) {
        return segment[0] == '*' && segment[1] == '*' && segment[strspn(segment, "*")] == '\0';
}

/* All segments against the whole path. reach[k]: the path so far can end before the k-th pattern segment. */
static bool match_path(const Pattern *p, const char *path, size_t length) {
        const char *end = path + length;
        const char *segments[SEGMENTS_MAX];
        bool reach[SEGMENTS_MAX + 1] = { true }, inside[SEGMENTS_MAX] = { false };
        const char *s = p->text;

        for (size_t k = 0; k < p->n; k++) {
                segments[k] = s;
                s += strlen(s) + 1;
                /* "**" before others may stand for nothing; at the end it wants something */
                if (reach[k] && k + 1 < p->n && is_globstar(segments[k]))
                        reach[k + 1] = true;
        }
        while (path < end) {
                const char *slash = memchr(path, '/', (size_t) (end - path));
                size_t size = (size_t) ((slash ? slash : end) - path);
                bool now[SEGMENTS_MAX + 1] = { false };

                for (size_t k = 0; k < p->n; k++) {
                        if (is_globstar(segments[k])) {
                                inside[k] = inside[k] || reach[k];
                                if (inside[k]) {
                                        now[k] = true;
                                        now[k + 1] = true;
                                }
                        } else if (reach[k] && match_segment(segments[k], path, size))
                                now[k + 1] = true;
                        /* a "**" reached now may stand for nothing */
                        if (now[k + 1] && k + 2 < p->n && is_globstar(segments[k + 1]))
                                now[k + 2] = true;
                }
                for (size_t k = 1; k + 1 < p->n; k++)
                        if (now[k] && is_globstar(segments[k]))
                                now[k + 1] = true;
                memcpy(reach, now, (p->n + 1) * sizeof(*reach));
                for (size_t k = 0; k < p->n; k++)
                        inside[k] = is_globstar(segments[k]) && (inside[k] || reach[k]);
                path += size + (slash != NULL);
        }
        return reach[p->n];
}

static bool match(const Pattern *p, const char *path, size_t size, bool is_folder) {
        const char *slash;

        if (p->never || (p->folders_only && !is_folder))
                return false;
        if (p->anchored)
                return match_path(p, path, size);
        slash = memrchr(path, '/', size);
        if (slash) {
                size -= (size_t) (slash + 1 - path);
                path = slash + 1;
        }
        return match_segment(p->text, path, size);
}

static bool ignored(const Ignore *ignore, const char *path, size_t size, bool is_folder) {
        for (size_t i = ignore->n; i-- > 0;)
                if (match(&ignore->patterns[i], path, size, is_folder))
                        return !ignore->patterns[i].negated;
        return false;
}

bool ignore_match(const Ignore *ignore, const char *path, bool is_folder) {
        return ignored(ignore, path, strlen(path), is_folder);
}

bool ignore_match_deep(const Ignore *ignore, const char *path, bool is_folder) {
        const char *slash;

        if (ignore->n == 0)
                return false;
        for (slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/'))
                if (ignored(ignore, path, (size_t) (slash - path), true))
                        return true;
        return ignore_match(ignore, path, is_folder);
}
