/* One YAML file -> a small tree of nodes that know their place. Bounded before it is parsed: size, nodes, depth;
 * aliases and anchors are refused, so nothing can be larger than it looks. */
#pragma once

#include "util/buf.h"
#include "util/error.h"

typedef enum NodeKind { NODE_SCALAR, NODE_LIST, NODE_MAP } NodeKind;

typedef struct Node Node;
struct Node {
        NodeKind kind;
        unsigned line, column; /* from 1 */
        unsigned last;         /* the line of its last character; LIST, MAP in braces: of the closing one */
        bool quoted;           /* SCALAR in quotes or a block: a text, never a number, "true" or null */
        char *text;            /* SCALAR, UTF-8, no NUL in it */
        Node **items;          /* LIST: the values. MAP: key, value, key, value ... */
        size_t n;              /* of items */
};

#define YAML_FILE_MAX ((size_t) 1024 * 1024)

/* Reads a regular file of at most YAML_FILE_MAX bytes into `ret`; *ret_private: no group or other may read it. */
int yaml_read_file(Buf *ret, const char *path, bool *ret_private, Error *e) _must_check_;
/* *ret is NULL if the text holds nothing. `file` names it in messages. */
int yaml_parse(Node **ret, const char *file, const char *text, size_t size, Error *e) _must_check_;
Node *node_free(Node *n); /* wipes its texts */
DEFINE_CLEANUP(Node *, node_free);

/* The line where all of it ends. */
unsigned node_last_line(const Node *n) _pure_;

Node *node_get(const Node *map, const char *key); /* NULL */
