/* Why a call failed, in words. Lives on the caller's stack, never allocates; NULL where nobody asks. A function that
 * fails returns a negative errno and fills the Error it was given; callers add context on the way up with
 * error_prefix() and log once, where the failure is handled. */
#pragma once

#include "util/macro.h"

typedef enum ErrorDomain {
        ERROR_NONE,
        ERROR_OS,       /* native: errno */
        ERROR_SQLITE,   /* native: extended SQLite result code */
        ERROR_CURL,     /* native: CURLcode */
        ERROR_AZURE,    /* native: HTTP status; detail: x-ms-error-code */
        ERROR_CONFIG,   /* native: line; text begins with "file:line:column: " */
        ERROR_PROTOCOL, /* a peer broke its protocol; native: 0 */
} ErrorDomain;

typedef struct Error {
        int code;           /* the negative errno the call returned */
        ErrorDomain domain; /* whose number `native` is */
        int native;         /* that domain's own number */
        char detail[64];    /* the service's error code, e.g. "ServerBusy"; "" if none */
        char text[512];     /* for people; UTF-8, already escaped (path_display), never a secret */
} Error;

#define ERROR_NULL ((Error){ 0 })

/* Records why a call fails and returns `code` (negative errno), so that `return error_set(...)` reads well. */
int error_set(Error *e, int code, ErrorDomain domain, int native, const char *format, ...) _printf_(5, 6);

/* The same for a failed system call: `err` is a positive errno; ": strerror" is appended to the text. */
int error_os(Error *e, int err, const char *format, ...) _printf_(3, 4);

/* Puts "context: " before the text; returns `code` unchanged. */
int error_prefix(Error *e, int code, const char *format, ...) _printf_(3, 4);

/* Out of memory, said without allocating. Returns -ENOMEM. */
int error_oom(Error *e);

/* `err`, a positive errno, tells of this process (no descriptor, no memory) and not of what was asked for: ask again
 * soon (pitfalls 11.2). */
bool error_is_shortage(int err) _pure_;

const char *error_domain_name(ErrorDomain domain); /* "os", "sqlite", ... ; static */
