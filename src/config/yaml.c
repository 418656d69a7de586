#include "config/yaml.h"

#include "config/shown.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <yaml.h>

#define NODES_MAX 10000u
#define DEPTH_MAX 16u
#define SCALAR_MAX ((size_t) 64 * 1024)

int yaml_read_file(Buf *ret, const char *path, bool *ret_private, Error *e) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        char bytes[16384];
        struct stat st;
        int r = 0;
        ssize_t n;

        if (fd < 0 || fstat(fd, &st) < 0) {
                int err = errno;

                return error_set(e, -err, ERROR_CONFIG, 0, "%s:1:1: cannot be read: %s", PATH_SHOWN(path),
                                 strerror(err));
        }
        if (!S_ISREG(st.st_mode))
                return error_set(e, -EINVAL, ERROR_CONFIG, 0, "%s:1:1: not a regular file", PATH_SHOWN(path));
        if ((size_t) st.st_size > YAML_FILE_MAX)
                return error_set(e, -EINVAL, ERROR_CONFIG, 0,
                                 "%s:1:1: larger than 1 MiB: that is no configuration file", PATH_SHOWN(path));
        *ret_private = (st.st_mode & 0077) == 0;
        while (r >= 0 && (n = read(fd, bytes, sizeof(bytes))) != 0)
                r = n < 0 ? -errno : buf_append(ret, bytes, (size_t) n);
        explicit_bzero(bytes, sizeof(bytes)); /* on every way out: a secret may stand in the file */
        if (r == -EMSGSIZE)                   /* it grows while it is read */
                return error_set(e, -EINVAL, ERROR_CONFIG, 0, "%s:1:1: larger than 1 MiB", PATH_SHOWN(path));
        if (r < 0)
                return error_set(e, r, ERROR_CONFIG, 0, "%s:1:1: cannot be read: %s", PATH_SHOWN(path), strerror(-r));
        return 0;
}

Node *node_free(Node *n) {
        if (!n)
                return NULL;
        for (size_t i = 0; i < n->n; i++)
                node_free(n->items[i]); /* at most DEPTH_MAX deep */
        free(n->items);
        if (n->text)
                explicit_bzero(n->text, strlen(n->text));
        free(n->text);
        free(n);
        return NULL;
}

unsigned node_last_line(const Node *n) {
        unsigned last = n->last;

        for (size_t i = 0; i < n->n; i++)
                last = MAX(last, node_last_line(n->items[i]));
        return last;
}

Node *node_get(const Node *map, const char *key) {
        if (!map || map->kind != NODE_MAP)
                return NULL;
        for (size_t i = 0; i + 1 < map->n; i += 2)
                if (strcmp(map->items[i]->text, key) == 0)
                        return map->items[i + 1];
        return NULL;
}

typedef struct Parse {
        yaml_parser_t parser;
        const char *file;
        const char *text;
        size_t size;
        unsigned nodes, depth;
        Error *e;
} Parse;

static int refuse(const Parse *p, yaml_mark_t mark, const char *what) {
        (void) error_set(p->e, -EINVAL, ERROR_CONFIG, (int) mark.line + 1, "%s:%zu:%zu: %s", PATH_SHOWN(p->file),
                         mark.line + 1, mark.column + 1, what);
        return -EINVAL;
}

/* libyaml reads ahead, so it could name the place of a bad byte only roughly; and its table of %TAGs is searched from
 * the beginning for each of them, which is quadratic in a megabyte of them. */
static int check_text(const Parse *p, const char *text, size_t size) {
        yaml_mark_t at = { 0 };

        for (size_t i = 0; i < size;) {
                uint32_t code = 0;
                size_t n = utf8_char(text + i, size - i, &code);

                if (n == 0)
                        return refuse(p, at, "not a text: this byte is not UTF-8; expected YAML in UTF-8");
                if ((code < 0x20 && code != '\t' && code != '\n' && code != '\r') || code == 0x7f)
                        return refuse(p, at, "not a text: a control character; expected YAML in UTF-8");
                if (code == '%' && at.column == 0)
                        return refuse(p, at, "directives (%YAML, %TAG) are not supported; leave the line out");
                at.column++;
                if (code == '\n') {
                        at.line++;
                        at.column = 0;
                }
                i += n;
        }
        return 0;
}

/* Is there a tab at `mark`? libyaml's words for the commonest slip of all say nothing about it. */
static bool tab_at(const Parse *p, yaml_mark_t mark) {
        const char *at = p->text, *end = p->text + p->size;

        for (size_t line = 0; at && line < mark.line; line++) {
                at = memchr(at, '\n', (size_t) (end - at));
                at = at ? at + 1 : NULL;
        }
        /* before a tab that is in the way there are only blanks, so a column is a byte */
        return at && (size_t) (end - at) > mark.column && at[mark.column] == '\t';
}

/* The commonest slips, in the words of who made them; `says` is a part of libyaml's. */
static const char *plain_words(const char *problem, const char *context) {
        static const struct {
                const char *says, *means;
        } slips[] = {
                { "while scanning an alias", "a value that begins with '*' wants quotes: \"*.tmp\"" },
                { "while scanning an anchor", "a value that begins with '&' wants quotes" },
                { "while scanning a tag", "a value that begins with '!' wants quotes" },
                { "cannot start any token", "a value that begins with this character wants quotes" },
                { "mapping values are not allowed",
                  "this ':' does not belong here; expected one \"key: value\" a line, all "
                  "indented alike, and a value that holds ': ' in quotes" },
                { "while scanning a simple key", "the line above has no ':'; expected \"key: value\"" },
                { "expected <document start>",
                  "indented less than the lines above; expected one \"key: value\" a line, "
                  "all indented alike" },
                { "expected key",
                  "not indented as the lines above, or more behind a value that has ended; expected one "
                  "\"key: value\" a line" },
        };

        for (size_t i = 0; i < ELEMENTSOF(slips); i++)
                if (strstr(problem, slips[i].says) || strstr(context, slips[i].says))
                        return slips[i].means;
        return NULL;
}

/* libyaml's words hold no text of the file, so no secret. */
static int refuse_syntax(const Parse *p) {
        const yaml_parser_t *y = &p->parser;
        const char *problem = y->problem ? y->problem : "syntax error", *context = y->context ? y->context : "";
        const char *words = plain_words(problem, context);
        yaml_mark_t mark = y->problem_mark;
        char what[200];

        if (y->error == YAML_READER_ERROR) {
                (void) snprintf(what, sizeof(what), "not a text: %s at byte %zu; expected YAML in UTF-8",
                                y->problem ? y->problem : "rubbish", y->problem_offset);
                mark = y->mark;
        } else if (y->error == YAML_SCANNER_ERROR && tab_at(p, mark))
                (void) snprintf(what, sizeof(what), "not valid YAML: a tab; expected blanks to indent with");
        else
                (void) snprintf(what, sizeof(what), "not valid YAML: %s%s%s", words ? words : problem,
                                *context && !words ? ", " : "", words ? "" : context);
        return refuse(p, mark, what);
}

static int next(Parse *p, yaml_event_t *ret) {
        if (!yaml_parser_parse(&p->parser, ret))
                return refuse_syntax(p);
        return 0;
}

static int node_new(Parse *p, Node **ret, NodeKind kind, const yaml_event_t *event) {
        Node *n;

        if (++p->nodes > NODES_MAX)
                return refuse(p, event->start_mark, "too much: more than 10,000 values");
        n = calloc(1, sizeof(*n));
        if (!n) {
                (void) error_oom(p->e);
                return -ENOMEM;
        }
        n->kind = kind;
        n->line = (unsigned) event->start_mark.line + 1;
        n->column = (unsigned) event->start_mark.column + 1;
        n->last = n->line;
        *ret = n;
        return 0;
}

static int node_add(Parse *p, Node *n, Node *item) {
        Node **items = reallocarray(n->items, n->n + 1, sizeof(Node *));

        if (!items) {
                node_free(item);
                return error_oom(p->e);
        }
        n->items = items;
        n->items[n->n++] = item;
        return 0;
}

static int parse_node(Parse *p, const yaml_event_t *event, Node **ret);

static int parse_children(Parse *p, Node *n, yaml_event_type_t last) {
        int r = 0;

        if (++p->depth > DEPTH_MAX)
                return error_set(p->e, -EINVAL, ERROR_CONFIG, (int) n->line, "%s:%u:%u: nested too deeply",
                                 PATH_SHOWN(p->file), n->line, n->column);
        while (r >= 0) {
                yaml_event_t event;
                Node *item = NULL;
                bool end;

                r = next(p, &event);
                if (r < 0)
                        break;
                end = event.type == last;
                if (end && event.end_mark.index > event.start_mark.index) /* a bracket: blocks end in nothing */
                        n->last = (unsigned) event.end_mark.line + 1;
                if (!end)
                        r = parse_node(p, &event, &item);
                if (r >= 0 && !end && n->kind == NODE_MAP && n->n % 2 == 0) {
                        if (item->kind != NODE_SCALAR)
                                r = refuse(p, event.start_mark, "a key must be a plain word");
                        else if (node_get(n, item->text)) {
                                char what[256];

                                (void) snprintf(what, sizeof(what), "%.100s: this key stands here twice",
                                                SHOWN(item->text));
                                r = refuse(p, event.start_mark, what);
                        }
                }
                yaml_event_delete(&event);
                if (end)
                        break;
                if (r < 0) {
                        node_free(item);
                        break;
                }
                r = node_add(p, n, item);
        }
        p->depth--;
        return r;
}

static int parse_scalar(Parse *p, const yaml_event_t *event, Node *n) {
        size_t size = event->data.scalar.length;
        const char *text = (const char *) event->data.scalar.value;

        if (size > SCALAR_MAX)
                return refuse(p, event->start_mark, "this value is larger than 64 KiB");
        if (memchr(text, '\0', size))
                return refuse(p, event->start_mark, "this value holds a NUL character");
        /* "- a" and a line " - b" below it are the one text "a - b" */
        if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && event->end_mark.line > event->start_mark.line)
                return refuse(
                        p, event->start_mark,
                        "this goes on in the next line: is a blank missing behind its ':', or that line indented too "
                        "far? If it is meant, put it in quotes");
        n->text = strndup(text, size);
        n->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
        /* a block ends where the next line begins */
        n->last = (unsigned) event->end_mark.line +
                  (event->end_mark.column > 0 || event->end_mark.line == event->start_mark.line);
        return n->text ? 0 : error_oom(p->e);
}

/* What would give a value another meaning than its text has. */
static int check_plain(const Parse *p, const yaml_event_t *event, const yaml_char_t *anchor, const yaml_char_t *tag) {
        if (anchor)
                return refuse(p, event->start_mark, "anchors (&name) are not supported; write the value out");
        if (tag)
                return refuse(p, event->start_mark, "tags (!name) are not supported; leave it out, or quote the text");
        return 0;
}

static int parse_node(Parse *p, const yaml_event_t *event, Node **ret) {
        _cleanup_(node_freep) Node *n = NULL;
        int r;

        switch (event->type) {
        case YAML_ALIAS_EVENT:
                return refuse(p, event->start_mark, "aliases (*name) are not supported; write the value out");
        case YAML_SCALAR_EVENT:
                r = check_plain(p, event, event->data.scalar.anchor, event->data.scalar.tag);
                if (r >= 0)
                        r = node_new(p, &n, NODE_SCALAR, event);
                if (r >= 0)
                        r = parse_scalar(p, event, n);
                break;
        case YAML_SEQUENCE_START_EVENT:
                r = check_plain(p, event, event->data.sequence_start.anchor, event->data.sequence_start.tag);
                if (r >= 0)
                        r = node_new(p, &n, NODE_LIST, event);
                if (r >= 0)
                        r = parse_children(p, n, YAML_SEQUENCE_END_EVENT);
                break;
        case YAML_MAPPING_START_EVENT:
                r = check_plain(p, event, event->data.mapping_start.anchor, event->data.mapping_start.tag);
                if (r >= 0)
                        r = node_new(p, &n, NODE_MAP, event);
                if (r >= 0)
                        r = parse_children(p, n, YAML_MAPPING_END_EVENT);
                break;
        default:
                r = refuse(p, event->start_mark, "not understood here");
        }
        if (r >= 0)
                *ret = TAKE_PTR(n);
        return r;
}

static int parse_stream(Parse *p, Node **ret) {
        _cleanup_(node_freep) Node *root = NULL;
        bool again = false;
        int r = 0;

        for (;;) {
                yaml_event_t event;
                yaml_event_type_t type;

                r = next(p, &event);
                if (r < 0)
                        return r;
                type = event.type;
                if (type == YAML_DOCUMENT_START_EVENT && again)
                        r = refuse(p, event.start_mark, "a second document begins here; a file holds one");
                else if (type != YAML_STREAM_START_EVENT && type != YAML_STREAM_END_EVENT &&
                         type != YAML_DOCUMENT_START_EVENT && type != YAML_DOCUMENT_END_EVENT) {
                        again = true;
                        r = parse_node(p, &event, &root);
                }
                yaml_event_delete(&event);
                if (r < 0)
                        return r;
                if (type == YAML_STREAM_END_EVENT)
                        break;
        }
        if (root && root->kind == NODE_SCALAR && !root->quoted &&
            (root->text[0] == '\0' || strcmp(root->text, "~") == 0 || strcmp(root->text, "null") == 0))
                root = node_free(root);
        *ret = TAKE_PTR(root);
        return 0;
}

int yaml_parse(Node **ret, const char *file, const char *text, size_t size, Error *e) {
        Parse p = { .file = file, .text = text, .size = size, .e = e };
        int r;

        assert(ret && file && (text || size == 0));

        if (size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) { /* a mark some editors begin a file with */
                text += 3;
                size -= 3;
        }
        r = check_text(&p, text, size);
        if (r < 0)
                return r;
        if (!yaml_parser_initialize(&p.parser))
                return error_oom(e);
        yaml_parser_set_encoding(&p.parser, YAML_UTF8_ENCODING);
        yaml_parser_set_input_string(&p.parser, (const unsigned char *) (text ? text : ""), size);
        r = parse_stream(&p, ret);
        yaml_parser_delete(&p.parser);
        return r;
}
