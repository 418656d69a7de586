/* How azsyncctl says things to people: sizes, counts, ages, and whatever the daemon sends, made safe for a terminal.
 * Pure. */
#pragma once

#include "util/buf.h"

#include <jansson.h>

/* A text being written. The first thing that does not fit, or finds no memory, is noted in `r`, and nothing is added
 * after it: the writer asks once, at the end. */
typedef struct Text {
        Buf buf;
        int r; /* 0, -EMSGSIZE, -ENOMEM */
} Text;
#define TEXT_INIT(max) ((Text){ .buf = BUF_INIT(max) })
static inline void text_done(Text *t) {
        buf_done(&t->buf);
}
#define _cleanup_text_ _cleanup_(text_done)

void text_puts(Text *t, const char *text);
void text_printf(Text *t, const char *format, ...) _printf_(2, 3);
/* Text of the daemon. What a terminal would act upon comes out as \xHH; what was escaped already stays as it is. */
void text_safe(Text *t, const char *text);
/* The path of a JSON object that has "path" and, if that is not the name itself, "path_bytes". */
void text_path(Text *t, const json_t *object);
void text_count(Text *t, uint64_t n);                                     /* 12,345 */
void text_things(Text *t, uint64_t n, const char *one, const char *many); /* 1 file, 2 files */
void text_size(Text *t, uint64_t bytes);                                  /* 812 B, 3.2 GiB */
void text_age(Text *t, double seconds);                                   /* 3.2 s, 12 min, 4 days */
void text_time(Text *t, int64_t wall_ns);                                 /* local time */
size_t text_columns(const char *text) _pure_; /* about how many columns it takes: its characters */

/* RFC 3339 as the daemon writes it -> ns since 1970. Returns 0, or -EINVAL. */
int text_parse_time(const char *text, int64_t *ret_wall_ns) _must_check_;

/* Of a JSON object; 0 and "" for what is missing or of another type, so that an older daemon is no trouble. */
uint64_t json_get_count(const json_t *object, const char *key);
double json_get_number(const json_t *object, const char *key);
const char *json_get_text(const json_t *object, const char *key);
