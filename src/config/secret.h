/* Where a secret is kept -> the secret (pitfalls 11.8). Bounded, never shown, a trailing newline is dropped. */
#pragma once

#include "config/schema.h"

#define SECRET_MAX ((size_t) 64 * 1024)

/* {credential: NAME}, {file: PATH}, {env: NAME}, or the text itself if only the file's owner may read the
 * configuration. The caller wipes and frees it with secret_free(). *ret_file: PATH, which the caller frees; NULL unless
 * it is {file:}. *ret is left alone if the secret is one that only azsyncd gets at, and that is no mistake. */
int secret_read(ConfigReader *c, const Node *n, const char *key, char **ret, char **ret_file) _must_check_;
char *secret_free(char *secret);
