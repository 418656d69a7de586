/* Nodes -> values. Each refuses what it does not expect, with the schema's words. Pure. */
#pragma once

#include "config/schema.h"

int value_text(ConfigReader *c, const Node *n, const char *where, const char *key, char **ret) _must_check_;
int value_bool(ConfigReader *c, const Node *n, const char *where, const char *key, bool *ret) _must_check_;
/* One of `words`, as its index. */
int value_enum(ConfigReader *c, const Node *n, const char *where, const char *key, const char *const *words,
               size_t n_words, int *ret) _must_check_;
/* 500ms, 5s, 10m, 1h, 2d; within [least, most] ns. */
int value_duration(ConfigReader *c, const Node *n, const char *where, const char *key, int64_t least, int64_t most,
                   int64_t *ret) _must_check_;
/* 64KiB, 8MiB, 1GiB, 2TiB; within [least, most] bytes. */
int value_size(ConfigReader *c, const Node *n, const char *where, const char *key, uint64_t least, uint64_t most,
               uint64_t *ret) _must_check_;
/* The same, with `tail` behind it. */
bool size_parse(const char *text, const char *tail, uint64_t *ret);
int value_number(ConfigReader *c, const Node *n, const char *where, const char *key, unsigned least, unsigned most,
                 unsigned *ret) _must_check_;
