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
#define MIN(a, b)                                  \
        __extension__({                            \
                __auto_type _min_a = (a);          \
                __auto_type _min_b = (b);          \
                _min_a < _min_b ? _min_a : _min_b; \
        })
#define MAX(a, b)                                  \
        __extension__({                            \
                __auto_type _max_a = (a);          \
                __auto_type _max_b = (b);          \
                _max_a > _max_b ? _max_a : _max_b; \
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
