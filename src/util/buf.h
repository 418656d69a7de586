/* Growable bytes with a ceiling. Whatever comes from outside is gathered in one of these, so that no peer decides how
 * much memory we use. The bytes are always followed by a NUL that does not count. */
#pragma once

#include "util/macro.h"

typedef struct Buf {
        char *data;     /* NULL until the first byte; else NUL-terminated */
        size_t size;    /* bytes in use */
        size_t room;    /* bytes allocated, the NUL included */
        size_t ceiling; /* `size` never passes this; 0: no byte fits */
} Buf;

#define BUF_INIT(max) ((Buf){ .ceiling = (max) })

/* Each returns 0, -EMSGSIZE if the ceiling would be passed (nothing is added then) or -ENOMEM. */
int buf_append(Buf *b, const void *bytes, size_t size) _must_check_;
int buf_puts(Buf *b, const char *text) _must_check_;
int buf_printf(Buf *b, const char *format, ...) _printf_(2, 3) _must_check_;

void buf_consume(Buf *b, size_t size); /* drops the first `size` bytes (at most all) */
void buf_clear(Buf *b);                /* empties it, keeps the memory */
void buf_done(Buf *b);                 /* frees the memory; the ceiling stays */
const char *buf_text(const Buf *b);    /* never NULL */

#define _cleanup_buf_ _cleanup_(buf_done)
