#include "util/ignore.h"

#include <assert.h>
#include <string.h>

/* A pattern becomes tokens that each eat one byte, and stars. To match, it is enough to come back to the last '*' of a
 * segment (one byte more for it), and, once that has met a '/', to the last '**' (one segment more): a later '**' can
 * stand for whatever an earlier star could have taken, and slashes in between line up one to one. So no pattern,
 * however hostile, costs more than about (its length) x (the path's length), and nothing is allocated.
 *
 * Bytes, not characters, as in git: '?' does not match an e with an accent. Where gitignore(5) is silent, what git
 * does is the rule, so that a list of patterns means here what it means there. */
typedef enum TokenKind {
        TOKEN_BYTE,
        TOKEN_ANY,     /* ? */
        TOKEN_SET,     /* [...] */
        TOKEN_STAR,    /* * */
        TOKEN_FOLDERS, /* the two stars and slash of "a/<star><star>/b": nothing, or whole segments */
        TOKEN_REST,    /* two stars at the end, or before an escaped slash: whatever there is */
        TOKEN_END,
} TokenKind;

typedef struct Token {
        uint8_t kind;
        uint8_t byte;
        uint16_t set; /* index into the pattern's sets */
} Token;

typedef struct Set {
        uint64_t bits[4];
} Set;

typedef struct Pattern {
        Token *tokens; /* ended by TOKEN_END */
        size_t n;
        Set *sets;
        size_t n_sets;
        bool negated, folders_only;
        bool name_only; /* no slash in it: asked about the last segment alone */
} Pattern;

struct Ignore {
        Pattern *patterns;
        size_t n;
};

int ignore_new(Ignore **ret) {
        assert(ret);

        *ret = calloc(1, sizeof(**ret));
        return *ret ? 0 : -ENOMEM;
}

static void pattern_done(Pattern *p) {
        free(p->tokens);
        free(p->sets);
}

Ignore *ignore_free(Ignore *ignore) {
        if (!ignore)
                return NULL;
        for (size_t i = 0; i < ignore->n; i++)
                pattern_done(&ignore->patterns[i]);
        free(ignore->patterns);
        free(ignore);
        return NULL;
}

static void set_add(Set *s, unsigned first, unsigned last) {
        for (unsigned c = first; c <= last; c++)
                s->bits[c / 64] |= UINT64_C(1) << (c % 64);
}

static bool set_has(const Set *s, uint8_t c) {
        return s->bits[c / 64] >> (c % 64) & 1;
}

/* [:name:], ASCII whatever the locale; "space" is blank, tab, line feed and carriage return, as in git. */
static bool set_add_class(Set *s, const char *name, size_t size) {
        static const struct {
                const char *name;
                uint8_t ranges[8]; /* first, last ...; no file name holds NUL, so it ends them */
        } classes[] = {
                { "alnum", { '0', '9', 'A', 'Z', 'a', 'z' } },
                { "alpha", { 'A', 'Z', 'a', 'z' } },
                { "blank", { ' ', ' ', '\t', '\t' } },
                { "cntrl", { 0x01, 0x1F, 0x7F, 0x7F } },
                { "digit", { '0', '9' } },
                { "graph", { '!', '~' } },
                { "lower", { 'a', 'z' } },
                { "print", { ' ', '~' } },
                { "punct", { '!', '/', ':', '@', '[', '`', '{', '~' } },
                { "space", { ' ', ' ', '\t', '\n', '\r', '\r' } },
                { "upper", { 'A', 'Z' } },
                { "xdigit", { '0', '9', 'A', 'F', 'a', 'f' } },
        };

        for (size_t i = 0; i < ELEMENTSOF(classes); i++) {
                if (strlen(classes[i].name) != size || memcmp(classes[i].name, name, size) != 0)
                        continue;
                for (size_t k = 0; k < sizeof(classes[i].ranges) && classes[i].ranges[k]; k += 2)
                        set_add(s, classes[i].ranges[k], classes[i].ranges[k + 1]);
                return true;
        }
        return false;
}

/* `p` begins behind '['. Returns the bytes up to and with its ']', or 0 if it is not a whole set. */
static size_t set_parse(const char *p, size_t size, Set *ret) {
        Set s = { 0 };
        bool inverted = size > 0 && (p[0] == '!' || p[0] == '^');
        size_t i = inverted, first = i;
        int last = -1; /* what a '-' would begin a range with */

        for (; i < size && (p[i] != ']' || i == first); i++) {
                uint8_t c = (uint8_t) p[i];

                if (c == '\\') {
                        if (++i == size)
                                return 0;
                        c = (uint8_t) p[i];
                } else if (c == '-' && last >= 0 && i + 1 < size && p[i + 1] != ']') {
                        if (p[++i] == '\\' && ++i == size)
                                return 0;
                        set_add(&s, (unsigned) last, (uint8_t) p[i]);
                        last = -1;
                        continue;
                } else if (c == '[' && i + 1 < size && p[i + 1] == ':') {
                        const char *name = p + i + 2, *end = memchr(name, ']', size - i - 2);

                        if (!end)
                                return 0;
                        if (end > name && end[-1] == ':') {
                                if (!set_add_class(&s, name, (size_t) (end - 1 - name)))
                                        return 0;
                                i = (size_t) (end - p);
                                last = -1;
                                continue;
                        }
                }
                set_add(&s, c, c);
                last = c;
        }
        if (i >= size)
                return 0;
        for (size_t k = 0; inverted && k < ELEMENTSOF(s.bits); k++)
                s.bits[k] = ~s.bits[k];
        s.bits['/' / 64] &= ~(UINT64_C(1) << ('/' % 64));
        *ret = s;
        return i + 1;
}

/* A run of stars at `i`. `*start`: only what begins a segment can be a "**". Returns the bytes eaten. */
static size_t stars(const char *p, size_t size, size_t i, bool start, TokenKind *ret) {
        size_t n = 0, next;

        while (i + n < size && p[i + n] == '*')
                n++;
        next = i + n;
        *ret = TOKEN_STAR;
        if (n < 2 || !start)
                return n;
        if (next == size || (next + 1 < size && p[next] == '\\' && p[next + 1] == '/'))
                *ret = TOKEN_REST;
        else if (p[next] == '/') {
                *ret = TOKEN_FOLDERS;
                n++;
        }
        return n;
}

/* Fills the tokens of `ret`. 0; -ENOMEM; -EINVAL: it can never match anything. */
static int pattern_parse(Pattern *ret, const char *p, size_t size) {
        size_t literal = strcspn(p, "*?[\\"), brackets = 0;

        for (size_t i = 0; i < size; i++)
                brackets += p[i] == '[';
        if (brackets > UINT16_MAX)
                return -EINVAL;
        ret->tokens = calloc(size + 1, sizeof(*ret->tokens));
        ret->sets = calloc(brackets + 1, sizeof(*ret->sets));
        if (!ret->tokens || !ret->sets)
                return -ENOMEM;
        for (size_t i = 0; i < size;) {
                Token t = { .kind = TOKEN_BYTE, .byte = (uint8_t) p[i] };

                if (p[i] == '*') {
                        TokenKind kind;

                        /* git compares what stands before the first special character by itself and hands on the rest,
                         * so that "a**" + "/b" is like "a" + "**" + "/b" there */
                        i += stars(p, size, i, i == 0 || i == literal || p[i - 1] == '/', &kind);
                        t.kind = (uint8_t) kind;
                } else if (p[i] == '[') {
                        size_t n = set_parse(p + i + 1, size - i - 1, &ret->sets[ret->n_sets]);

                        if (n == 0)
                                return -EINVAL;
                        t = (Token){ .kind = TOKEN_SET, .set = (uint16_t) ret->n_sets++ };
                        i += 1 + n;
                } else if (p[i] == '?') {
                        t.kind = TOKEN_ANY;
                        i++;
                } else {
                        if (p[i] == '\\') {
                                if (++i == size)
                                        return -EINVAL;
                                t.byte = (uint8_t) p[i];
                        }
                        i++;
                }
                ret->tokens[ret->n++] = t;
        }
        ret->tokens[ret->n] = (Token){ .kind = TOKEN_END };
        return 0;
}

/* Without trailing blanks, unless the last one is escaped. */
static size_t trimmed(const char *p, size_t size) {
        size_t end = 0;

        for (size_t i = 0; i < size;) {
                if (p[i] == '\\') {
                        i = MIN(i + 2, size);
                        end = i;
                } else if (p[i++] != ' ')
                        end = i;
        }
        return end;
}

int ignore_add(Ignore *ignore, const char *pattern) {
        Pattern p = { 0 }, *more;
        size_t size;
        int r;

        assert(ignore && pattern);

        size = strlen(pattern);
        if (size > 0 && pattern[size - 1] == '\r') /* a file from elsewhere */
                size--;
        if (size == 0 || pattern[0] == '#')
                return 0;
        size = trimmed(pattern, size);
        if (size > 0 && pattern[0] == '!') {
                p.negated = true;
                pattern++;
                size--;
        }
        if (size > 0 && pattern[size - 1] == '/') {
                p.folders_only = true;
                size--;
        }
        p.name_only = !memchr(pattern, '/', size);
        if (size > 0 && pattern[0] == '/') {
                pattern++;
                size--;
        }
        if (size == 0)
                return 0;
        more = reallocarray(ignore->patterns, ignore->n + 1, sizeof(*more));
        if (!more)
                return -ENOMEM;
        ignore->patterns = more;
        r = pattern_parse(&p, pattern, size);
        if (r < 0) {
                pattern_done(&p);
                return r == -EINVAL ? 0 : r; /* as in git: it is there, and matches nothing */
        }
        ignore->patterns[ignore->n++] = p;
        return 0;
}

static bool eats(const Pattern *p, const Token *t, uint8_t c) {
        switch ((TokenKind) t->kind) {
        case TOKEN_BYTE:
                return t->byte == c;
        case TOKEN_ANY:
                return c != '/';
        case TOKEN_SET:
                return set_has(&p->sets[t->set], c);
        default:
                return false;
        }
}

static bool pattern_match(const Pattern *p, const char *path, size_t size) {
        const Token *t = p->tokens, *star = NULL, *folders = NULL;
        size_t i = 0, star_at = 0, folders_at = 0;

        for (;;) {
                if (t->kind == TOKEN_STAR) {
                        star = ++t;
                        star_at = i;
                        continue;
                }
                if (t->kind == TOKEN_FOLDERS || t->kind == TOKEN_REST) {
                        if (t[1].kind == TOKEN_END && t->kind == TOKEN_REST)
                                return true;
                        folders = t++;
                        folders_at = i;
                        star = NULL;
                        if (folders->kind == TOKEN_REST) { /* an escaped slash comes next */
                                const char *slash = memchr(path + i, '/', size - i);

                                if (!slash)
                                        return false;
                                i = folders_at = (size_t) (slash - path);
                        }
                        continue;
                }
                if (i == size && t->kind == TOKEN_END)
                        return true;
                if (i < size && eats(p, t, (uint8_t) path[i])) {
                        t++;
                        i++;
                        continue;
                }
                if (star && star_at < size && path[star_at] != '/') {
                        t = star;
                        i = ++star_at;
                        continue;
                }
                if (folders) {
                        const char *slash;

                        /* REST comes back to the next slash itself, FOLDERS behind it */
                        if (folders->kind == TOKEN_REST)
                                folders_at++;
                        if (folders_at >= size || !(slash = memchr(path + folders_at, '/', size - folders_at)))
                                return false;
                        i = folders_at = (size_t) (slash - path) + (folders->kind == TOKEN_FOLDERS);
                        t = folders + 1;
                        star = NULL;
                        continue;
                }
                return false;
        }
}

static bool ignored(const Ignore *ignore, const char *path, size_t size, bool is_folder) {
        const char *slash = memrchr(path, '/', size), *name = slash ? slash + 1 : path;
        size_t name_size = size - (size_t) (name - path);

        for (size_t i = ignore->n; i-- > 0;) {
                const Pattern *p = &ignore->patterns[i];

                if (p->folders_only && !is_folder)
                        continue;
                if (p->name_only ? pattern_match(p, name, name_size) : pattern_match(p, path, size))
                        return !p->negated;
        }
        return false;
}

bool ignore_match(const Ignore *ignore, const char *path, bool is_folder) {
        assert(ignore && path);

        return ignored(ignore, path, strlen(path), is_folder);
}

bool ignore_match_deep(const Ignore *ignore, const char *path, bool is_folder) {
        assert(ignore && path);

        if (ignore->n == 0)
                return false;
        for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/'))
                if (ignored(ignore, path, (size_t) (slash - path), true))
                        return true;
        return ignored(ignore, path, strlen(path), is_folder);
}
