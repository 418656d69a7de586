/* Exclusion patterns with gitignore(5) semantics (git check-ignore is the oracle of the tests): '#', '!', trailing
 * blanks, '/', '*', '?', '[...]', '**', folders only with a trailing '/', last match wins, and nothing below an
 * excluded folder can be included again. Immutable after ignore_add(); may then be asked from any thread. Pure. */
#pragma once

#include "util/macro.h"

typedef struct Ignore Ignore;

int ignore_new(Ignore **ret) _must_check_;
Ignore *ignore_free(Ignore *ignore);
DEFINE_CLEANUP(Ignore *, ignore_free);

int ignore_add(Ignore *ignore, const char *pattern) _must_check_; /* 0, -ENOMEM */

/* Is `path` (relative to the root, no trailing '/') itself matched? Asks only about this path: callers that walk a tree
 * ask about each folder on the way and do not descend into an ignored one. */
bool ignore_match(const Ignore *ignore, const char *path, bool is_folder);
/* The same for a path out of the blue: also true if any folder above it is ignored. */
bool ignore_match_deep(const Ignore *ignore, const char *path, bool is_folder);
