#include "config/compose.h"

#include "config/endpoint.h"
#include "config/yaml.h"
#include "util/path.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define PLAIN LETTERS "0123456789._-"

/* --- scalars --- */

/* Text that means itself in any YAML reader, in braces too. Words such as `on` mean something else in some, and numbers
 * might. */
static bool is_plain(const char *text) {
        static const char *const words[] = { "true", "false", "yes", "no", "on", "off", "null", "y", "n" };

        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                if (strcasecmp(text, words[i]) == 0)
                        return false;
        return text[0] && strchr(LETTERS "/", text[0]) && strspn(text, PLAIN "/") == strlen(text);
}

/* What libyaml would not take, or not give back, and what a person would not see: controls, line breaks of every kind,
 * format controls, noncharacters. */
static bool is_unseen(uint32_t code) {
        return code < 0x20 || (code >= 0x7f && code <= 0xa0) || code == 0xad || code == 0x61c || code == 0x180e ||
               (code >= 0x2000 && code <= 0x200f) || (code >= 0x2028 && code <= 0x202f) ||
               (code >= 0x205f && code <= 0x206f) || code == 0x3000 || (code >= 0xe000 && code <= 0xf8ff) ||
               code == 0xfeff || (code >= 0xfff0 && code <= 0xffff) || code >= 0xe0000;
}

static int put_quoted(Buf *b, const char *text) {
        int r = buf_puts(b, "\"");

        for (size_t size = strlen(text); r >= 0 && size > 0;) {
                uint32_t code;
                size_t n = utf8_char(text, size, &code);

                if (n == 0)
                        return -EILSEQ;
                if (code == '"' || code == '\\')
                        r = buf_printf(b, "\\%c", (char) code);
                else if (is_unseen(code))
                        r = buf_printf(b, code > 0xffff ? "\\U%08x" : "\\u%04x", (unsigned) code);
                else
                        r = buf_append(b, text, n);
                text += n;
                size -= n;
        }
        return r < 0 ? r : buf_puts(b, "\"");
}

static int put_text(Buf *b, const char *what, const char *text, Error *e) {
        int r = is_plain(text) ? buf_puts(b, text) : put_quoted(b, text);

        if (r == -EILSEQ)
                return error_set(e, -EINVAL, ERROR_CONFIG, 0,
                                 "%s: %s is not UTF-8, which a configuration must be; rename it", what,
                                 PATH_SHOWN(text));
        return r == -ENOMEM ? error_oom(e) : r < 0 ? error_set(e, r, ERROR_CONFIG, 0, "%s: too long", what) : 0;
}

static int put(Buf *b, const char *text, Error *e) {
        int r = buf_puts(b, text);

        return r == -ENOMEM ? error_oom(e) : r < 0 ? error_set(e, r, ERROR_CONFIG, 0, "too long") : 0;
}

static int put_line(Buf *b, const char *key, const char *text, Error *e) {
        int r = put(b, key, e);

        if (r >= 0)
                r = put(b, ": ", e);
        if (r >= 0)
                r = put_text(b, key, text, e);
        return r < 0 ? r : put(b, "\n", e);
}

/* --- a mapping --- */

int compose_mapping(Buf *ret, const MappingText *m, Error *e) {
        _cleanup_buf_ Buf prefix = BUF_INIT(8192);
        int r;

        assert(ret && m);

        for (const char *p = m->prefix; *p; p++) /* %H and %m would mean something */
                if (buf_puts(&prefix, *p == '%' ? "%%" : (char[]){ *p, '\0' }) < 0)
                        return error_set(e, -EINVAL, ERROR_CONFIG, 0, "prefix: too long");
        r = put(ret, "# written by azsyncctl add; azsyncctl edit changes it\n", e);
        if (r >= 0)
                r = put_line(ret, "folder", m->folder, e);
        if (r >= 0)
                r = put_line(ret, "account", m->account, e);
        if (r >= 0)
                r = put_line(ret, "container", m->container, e);
        if (r >= 0 && prefix.size > 0)
                r = put_line(ret, "prefix", buf_text(&prefix), e);
        if (r >= 0 && m->n_exclude > 0)
                r = put(ret, "exclude:\n", e);
        for (size_t i = 0; r >= 0 && i < m->n_exclude; i++) {
                r = put(ret, "  - ", e);
                if (r >= 0)
                        r = put_text(ret, "exclude", m->exclude[i], e);
                if (r >= 0)
                        r = put(ret, "\n", e);
        }
        return r;
}

/* --- an account --- */

int compose_account(Buf *ret, const AccountText *a, size_t indent, Error *e) {
        _cleanup_free_ char *name = endpoint_account(a->endpoint);
        _cleanup_buf_ Buf file = BUF_INIT(16384);
        char usual[128];
        int r, blanks = (int) indent;

        if (!name)
                return error_oom(e);
        if (a->secret_file) {
                r = put_text(&file, "file", a->secret_file, e);
                if (r < 0)
                        return r;
        }
        (void) snprintf(usual, sizeof(usual), "https://%.63s.blob.core.windows.net", name);
        if (!a->secret_file)
                r = buf_printf(ret, "%*s%s:\n%*s  connection-string: UseDevelopmentStorage=true\n", blanks, "", a->name,
                               blanks, "");
        else if (strcmp(a->endpoint, usual) == 0)
                r = buf_printf(ret, "%*s%s:\n%*s  account: %s\n", blanks, "", a->name, blanks, "", name);
        else /* an endpoint has no character that quotes would mind */
                r = buf_printf(ret, "%*s%s:\n%*s  endpoint: \"%s\"\n", blanks, "", a->name, blanks, "", a->endpoint);
        if (r >= 0 && a->secret_file)
                r = buf_printf(ret, "%*s  auth: {method: %s, %s: {file: %s}}\n", blanks, "",
                               a->method == AUTH_SAS ? "sas" : "shared-key", a->method == AUTH_SAS ? "sas" : "key",
                               buf_text(&file));
        return r == -ENOMEM ? error_oom(e) : r < 0 ? error_set(e, r, ERROR_CONFIG, 0, "azsyncd.yaml: too long") : 0;
}

static bool same(const Node *a, const Node *b) {
        bool equal;

        if (!a || !b)
                return a == b;
        equal = a->kind == b->kind && a->quoted == b->quoted && a->n == b->n && !a->text == !b->text &&
                (!a->text || strcmp(a->text, b->text) == 0);
        for (size_t i = 0; equal && i < a->n; i++)
                equal = same(a->items[i], b->items[i]);
        return equal;
}

static bool is_empty(const Node *n) {
        return n->kind == NODE_SCALAR && !n->quoted && n->text[0] == '\0';
}

/* Does `now` say what `old` says, and of accounts one more, at the end? */
static bool one_more(const Node *old, const Node *now, const char *name) {
        const Node *before = old ? node_get(old, "accounts") : NULL, *after = now ? node_get(now, "accounts") : NULL;
        size_t n = old ? old->n : 0, accounts = before && !is_empty(before) ? before->n : 0;

        if (!after || now->n != n + (before ? 0 : 2) || after->kind != NODE_MAP || after->n != accounts + 2 ||
            strcmp(after->items[accounts]->text, name) != 0)
                return false;
        for (size_t i = 0; i < n; i++)
                if (old->items[i] != before && !same(old->items[i], now->items[i]))
                        return false;
        for (size_t i = 0; i < accounts; i++)
                if (!same(before->items[i], after->items[i]))
                        return false;
        return true;
}

/* The offset of line `line` (from 1), or `size` if there are not so many. */
static size_t line_at(const char *text, size_t size, unsigned line) {
        size_t at = 0;

        while (--line > 0 && at < size) {
                const char *end = memchr(text + at, '\n', size - at);

                at = end ? (size_t) (end - text) + 1 : size;
        }
        return at;
}

/* `at` is behind the last account: comments that go on there, further in than accounts' names are, are about it. */
static size_t after_comments(const char *text, size_t size, size_t at, size_t column) {
        for (size_t next = at; next < size;) {
                size_t blanks = strspn(text + next, " "), line = strcspn(text + next, "\n");
                char first = text[next + blanks];

                if (first != '#' && first != '\n' && first != '\r')
                        break;
                next += line + (text[next + line] == '\n');
                if (first == '#' && blanks + 1 > column)
                        at = next;
        }
        return at;
}

int compose_add_account(Buf *ret, const char *text, size_t size, const AccountText *a, Error *e) {
        _cleanup_(node_freep) Node *old = NULL, *now = NULL;
        _cleanup_buf_ Buf in = BUF_INIT(YAML_FILE_MAX);
        size_t at = size, column = 1, begin = ret->size;
        const Node *accounts;
        bool append;
        int r;

        assert(ret && (text || size == 0) && a);

        text = text ? text : "";
        r = yaml_parse(&old, "azsyncd.yaml", text, size, e);
        if (r < 0)
                return r;
        accounts = old ? node_get(old, "accounts") : NULL;
        append = !accounts;
        if (append)
                column = old && old->n > 0 ? old->items[0]->column : 1;
        else if (accounts->kind == NODE_MAP && accounts->n > 0) {
                column = accounts->items[0]->column;
                at = after_comments(text, size, line_at(text, size, node_last_line(accounts) + 1), column);
        } else {
                column = old->items[0]->column + 2;
                at = line_at(text, size, accounts->line + 1);
        }
        if (append) /* a line of its own before it, unless it is the first */
                r = buf_printf(&in, "%s%*saccounts:\n", size > 0 ? "\n" : "", (int) column - 1, "");
        if (r >= 0)
                r = compose_account(&in, a, column - 1 + (append ? 2 : 0), e);
        if (r >= 0)
                r = buf_append(ret, text, at);
        if (r >= 0 && at > 0 && text[at - 1] != '\n')
                r = buf_puts(ret, "\n");
        if (r >= 0)
                r = buf_append(ret, in.data, in.size);
        if (r >= 0)
                r = buf_append(ret, text + at, size - at);
        if (r < 0)
                return error_set(e, -ENOTSUP, ERROR_CONFIG, 0, "it would become too long");
        /* whatever the file looks like, this is what counts */
        if (yaml_parse(&now, "azsyncd.yaml", ret->data + begin, ret->size - begin, NULL) < 0 ||
            !one_more(old, now, a->name))
                return error_set(e, -ENOTSUP, ERROR_CONFIG, 0,
                                 "it is written in a way that nothing can be added to safely");
        return 0;
}

/* --- names --- */

void compose_name(const char *folder, bool (*taken)(const char *name, const void *userdata), const void *userdata,
                  char ret[static CONFIG_NAME_MAX + 1]) {
        const char *slash = strrchr(folder, '/'), *p = slash ? slash + 1 : folder;
        char base[CONFIG_NAME_MAX - 4]; /* room for "-1000" */
        size_t n = 0;

        for (; *p && n < sizeof(base) - 1; p++) {
                bool good = strchr(PLAIN, *p);

                if (n == 0 && (!good || *p == '.' || *p == '-'))
                        continue;
                if (good)
                        base[n++] = *p;
                else if (base[n - 1] != '-')
                        base[n++] = '-';
        }
        while (n > 0 && base[n - 1] == '-')
                n--;
        base[n] = '\0';
        (void) snprintf(ret, CONFIG_NAME_MAX + 1, "%s", n > 0 ? base : "folder");
        for (unsigned i = 2; taken(ret, userdata) && i <= 1001; i++) /* there are 1,000 mappings at most */
                (void) snprintf(ret, CONFIG_NAME_MAX + 1, "%s-%u", n > 0 ? base : "folder", i);
}
