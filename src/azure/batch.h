/* The bodies of Blob Batch (azure-blob.md 1.7): a request that holds requests, and the answer that holds their answers.
 * Pure. Of an answer that was cut, or that a stranger wrote, only whole parts are told, each number at most once. */
#pragma once

#include "util/buf.h"

#define BATCH_MAX 256u                              /* parts of one request */
#define BATCH_BODY_MAX ((size_t) 4 * 1024 * 1024)   /* of one request, as the service allows */
#define BATCH_ANSWER_MAX ((size_t) 2 * 1024 * 1024) /* some 700 bytes a part are usual */
#define BATCH_BOUNDARY_ROOM 71                      /* 70 characters (RFC 2046 5.1.1) and NUL */

/* Appends a part without a body: "`method` `target` HTTP/1.1", the header lines, and "Content-Length: 0".
 * -EMSGSIZE: it, and the end of the whole, do not fit below the ceiling; nothing is added then. */
int batch_add(Buf *body, const char *boundary, unsigned number, const char *method, const char *target,
              const char *const *lines, size_t n_lines) _must_check_;
int batch_end(Buf *body, const char *boundary) _must_check_;

typedef struct BatchPart {
        unsigned number;     /* below BATCH_MAX */
        long status;         /* 100 to 599 */
        const char *headers; /* as http_header() takes them */
        const char *body;    /* not NUL-terminated */
        size_t body_size;
} BatchPart;
typedef void (*BatchPartFn)(const BatchPart *part, void *userdata); /* all is valid during the callback only */

/* Calls for every part that is whole and whose number (Content-ID) stands there once. Returns how many that were, or
 * -EBADMSG if `content_type` is not that of such an answer, or -ENOMEM. */
int batch_parse(const char *content_type, const char *body, size_t size, BatchPartFn each, void *userdata) _must_check_;
