/* Text forms of bytes and numbers: Base64 (RFC 4648 4), hex, percent-encoding (RFC 3986 2.1), decimal. Pure. Decoders
 * refuse what an encoder would not write (bad padding, blanks), since their input comes from peers and people. */
#pragma once

#include "util/buf.h"

#define BASE64_ROOM(n) ((((n) + 2) / 3) * 4 + 1) /* chars for n bytes, NUL included */

void base64_encode(const void *bytes, size_t size, char *ret); /* ret: BASE64_ROOM(size) */
int base64_decode(const char *text, size_t length, uint8_t *ret, size_t room,
                  size_t *ret_size);                        /* 0; -EINVAL; -ENOSPC */
void hex_encode(const void *bytes, size_t size, char *ret); /* ret: 2 * size + 1, lower case */

/* As snprintf("%0*" PRIu64) does, at a tenth of its cost. `ret`: max(digits, 20) + 1. Returns its end. */
char *decimal_encode(uint64_t number, unsigned digits, char *ret);

/* Appends `size` bytes percent-encoded, all but A-Z a-z 0-9 - . _ ~ and, with `slashes`, '/' (azure-blob.md 1.10). */
int percent_encode(Buf *b, const char *bytes, size_t size, bool slashes) _must_check_;
int percent_decode(Buf *b, const char *text, size_t size) _must_check_; /* -EINVAL on a malformed escape */
