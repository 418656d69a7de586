/* Small helpers of the language: ownership by scope, arithmetic, arrays. Owns nothing, knows nothing. */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _must_check_ __attribute__((warn_unused_result))
#define _printf_(fmt, args) __attribute__((format(printf, fmt, args)))
#define _pure_ __attribute__((pure))

#define ELEMENTSOF(x) (sizeof(x) / sizeof((x)[0]))
#define PASTE_(a, b) a##b
#define PASTE(a, b) PASTE_(a, b)
/* Names of their own each time, so that one may stand inside another. */
#define MIN(a, b) PICK_(a, b, <, PASTE(_pick_a_, __COUNTER__), PASTE(_pick_b_, __COUNTER__))
#define MAX(a, b) PICK_(a, b, >, PASTE(_pick_a_, __COUNTER__), PASTE(_pick_b_, __COUNTER__))
#define PICK_(a, b, op, x, y)        \
        __extension__({              \
                __auto_type x = (a); \
                __auto_type y = (b); \
                x op y ? x : y;      \
        })

/* Ownership moves by these two, and nowhere else. */
#define TAKE_PTR(p)                       \
        __extension__({                   \
                __auto_type _taken = (p); \
                (p) = NULL;               \
                _taken;                   \
        })
#define TAKE_FD(fd)                   \
        __extension__({               \
                int _taken_fd = (fd); \
                (fd) = -1;            \
                _taken_fd;            \
        })

/* Makes `func##p` for _cleanup_ from a `func` that frees one object. */
#define DEFINE_CLEANUP(type, func)            \
        static inline void func##p(type *p) { \
                if (*p)                       \
                        func(*p);             \
        }                                     \
        struct azsync_semicolon_needed

static inline void freep(void *p) {
        free(*(void **) p);
}
#define _cleanup_free_ _cleanup_(freep)

static inline void closep(int *fd) {
        if (*fd >= 0) {
                int saved = errno;

                (void) close(*fd);
                errno = saved;
        }
}
#define _cleanup_close_ _cleanup_(closep)
