/* The head of a request, as a libcurl handle is told it: method, URL, header lines. Whatever is the same as in the
 * request before is left as it is. Inside of src/http/ only. */
#pragma once

#include "http/http.h"

#define HEAD_LINES_CEILING ((size_t) 64 * 1024)

typedef struct Head {
        Buf lines;                /* texts of `nodes` */
        struct curl_slist *nodes; /* the request's headers */
        size_t n_nodes;
        const char *agent; /* one of them, always the same; NULL: none */
        bool proxied;
        char *origin; /* "https://host", which is then all that the handle has of a URL; NULL: it has the whole */
        size_t origin_size;
        CURLU *parsed;
        char method[16]; /* as the handle has it */
} Head;

/* 0, -EINVAL, -EMSGSIZE, -ENOMEM. A small body goes with the method; `send` may go when the request has ended. */
int head_set(Head *h, CURL *easy, const HttpSend *send) _must_check_;
void head_forget(Head *h); /* wipes the header lines: one of them may be its Authorization */
void head_done(Head *h);   /* when the handle is gone */
