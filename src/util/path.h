/* Relative paths of files (bytes without NUL, no leading or trailing '/', no empty, "." or ".." segment) and how they
 * are shown to people. A path is always given with its size; it is also NUL-terminated. Pure. */
#pragma once

#include "util/buf.h"

/* "." of display: appends `path` for a person or a log line: UTF-8 as it is; C0/C1 controls, DEL, bidi and other
 * format controls, and bytes that are not UTF-8 as \xHH; backslash as \\ (pitfalls 6.8). Never fails: cut at the
 * ceiling of `ret` with "..." at the end. */
const char *path_display(const char *path, size_t size, char *ret, size_t room); /* returns ret */
#define PATH_DISPLAY_ROOM 512
#define PATH_SHOWN(path) path_display((path), strlen(path), (char[PATH_DISPLAY_ROOM]){ 0 }, PATH_DISPLAY_ROOM)

bool utf8_valid(const char *text,
                size_t size) _pure_; /* RFC 3629: no surrogates, nothing above U+10FFFF, shortest form */

/* The length of the character at the start of `text` and, in *ret, its code point; 0 if no valid one begins there. */
size_t utf8_char(const char *text, size_t size, uint32_t *ret);

/* Is `path` equal to `folder` or beneath it ("" is above all)? */
bool path_beneath(const char *path, const char *folder) _pure_;
