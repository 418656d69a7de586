/* Every key that a person may write, what it expects, and whether it is built. Errors about nodes are made here, so
 * that all of them read alike: "file:line:column: key: what is wrong". */
#pragma once

#include "config/config.h"
#include "config/shown.h"
#include "config/yaml.h"

/* What the pieces of a configuration are read with. */
typedef struct ConfigReader {
        const char *file;
        bool file_private;     /* nobody but its owner may read the file */
        bool text_only;        /* config_parse_text(): no file but secrets is looked at, accounts are not looked up */
        bool accounts_unknown; /* azsyncd.yaml was refused: what a mapping says of accounts cannot be judged */
        const ConfigPlaces *places; /* NULL if text_only */
        int64_t patience;           /* ns that folders' file systems may still take to answer */
        struct MappingMarks *marks; /* one per mapping, for what is checked across mappings */
        Config *config;
        Buf *report; /* every complaint, a line each */
        unsigned complaints;
        Error *first;
} ConfigReader;

/* What is to be read in the place of the file `path`; NULL: the file itself. */
const ConfigDraft *config_draft(const ConfigReader *c, const char *path) _pure_;

/* Notes a complaint about `key` at `node` (NULL: the file's beginning). Always returns -EINVAL. */
int config_refuse(ConfigReader *c, const Node *node, const char *key, const char *format, ...) _printf_(4, 5);
int config_warn(ConfigReader *c, const Node *node, const char *key, const char *format, ...) _printf_(4, 5);
int config_note(ConfigReader *c, const Error *e); /* a complaint that has its place already */

/* Checks the keys of `map` against the table; unknown and unbuilt ones are refused. 0, or -EINVAL with all of them
 * noted. */
int schema_check(ConfigReader *c, const Node *map, const char *where);
const char *schema_expects(const char *where, const char *key);

/* The most alike of `known` to `word`, if it is alike enough to be meant; else NULL. */
const char *nearest(const char *word, const char *const *known, size_t n);
