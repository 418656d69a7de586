#include "util/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int buf_reserve(Buf *b, size_t more) {
        size_t room;
        char *data;

        if (more > b->ceiling || b->size > b->ceiling - more)
                return -EMSGSIZE;
        if (b->size + more + 1 <= b->room)
                return 0;

        room = MAX(b->room * 2, (size_t) 64);
        room = MAX(room, b->size + more + 1);
        data = realloc(b->data, room);
        if (!data)
                return -ENOMEM;
        b->data = data;
        b->room = room;
        return 0;
}

int buf_append(Buf *b, const void *bytes, size_t size) {
        int r;

        assert(b && (bytes || size == 0));

        r = buf_reserve(b, size);
        if (r < 0)
                return r;
        if (size > 0)
                memcpy(b->data + b->size, bytes, size);
        b->size += size;
        b->data[b->size] = '\0';
        return 0;
}

int buf_puts(Buf *b, const char *text) {
        return buf_append(b, text, strlen(text));
}

int buf_printf(Buf *b, const char *format, ...) {
        va_list ap, again;
        int n, r;

        va_start(ap, format);
        va_copy(again, ap);
        n = vsnprintf(NULL, 0, format, ap);
        va_end(ap);
        r = n < 0 ? -EINVAL : buf_reserve(b, (size_t) n);
        if (r >= 0) {
                (void) vsnprintf(b->data + b->size, (size_t) n + 1, format, again);
                b->size += (size_t) n;
        }
        va_end(again);
        return r;
}

void buf_consume(Buf *b, size_t size) {
        size = MIN(size, b->size);
        if (size == 0)
                return;
        memmove(b->data, b->data + size, b->size - size + 1);
        b->size -= size;
}

void buf_clear(Buf *b) {
        b->size = 0;
        if (b->data)
                b->data[0] = '\0';
}

void buf_done(Buf *b) {
        free(b->data);
        b->data = NULL;
        b->size = b->room = 0;
}

const char *buf_text(const Buf *b) {
        return b->data ? b->data : "";
}
