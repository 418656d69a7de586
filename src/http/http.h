/* HTTP/1.1 requests over a pool of kept connections: curl multi driven by sd-event. Knows no Azure. Never follows a
 * redirect, never uses HTTP/2, never reads proxies from the environment, always verifies TLS. Everything a peer may
 * send is bounded (pitfalls 10.9). One pool per account, so that accounts do not share fate. Names are looked up by
 * libcurl's threads, so nothing here waits. The process must ignore SIGPIPE. */
#pragma once

#include "util/buf.h"
#include "util/error.h"

#include <curl/curl.h>
#include <systemd/sd-event.h>

typedef struct HttpPool HttpPool;
typedef struct HttpRequest HttpRequest;

typedef struct HttpPoolOptions {
        const char *ca_file;      /* NULL: the system's; copied */
        const char *proxy;        /* NULL: none; copied */
        unsigned max_connections; /* at first; requests beyond wait their turn in the pool (default 16 if 0) */
        const char *user_agent;   /* copied */
        int64_t stall_ns;         /* no byte moves for so long: failed (default 30 s if 0) */
} HttpPoolOptions;

/* What came back. Valid only during the callback. */
typedef struct HttpAnswer {
        CURLcode result; /* CURLE_OK: a whole answer was received. One without a length is whole when the peer closes */
        long status;     /* 0 if none arrived */
        const char *headers; /* raw header block, NUL-terminated; use http_header() */
        const char *body;    /* NUL-terminated; cut answers have result CURLE_WRITE_ERROR */
        size_t body_size;
        bool sent; /* at least one byte of the request may have reached the peer: a failed write's outcome is unknown */
        int shortage;       /* EMFILE, ENFILE: CURLE_COULDNT_CONNECT for want of a descriptor of ours; else 0 */
        uint64_t body_sent; /* body bytes really handed to the network, repeats included */
        int64_t latency_ns; /* from the request's first byte sent to the answer's first; 0: not known */
        char error[CURL_ERROR_SIZE]; /* curl's words, "" if none; no URL or secret in it */
} HttpAnswer;

typedef void (*HttpFn)(const HttpAnswer *answer, void *userdata); /* on the loop; may start and cancel other
                                                                         requests, but not free the pool */
/* A download's bytes as they come, for status 200 and 206; a negative return aborts. Starts and cancels nothing. */
typedef int (*HttpSinkFn)(const char *bytes, size_t size, void *userdata);

typedef struct HttpSend {
        const char *method; /* "PUT", ... */
        const char *url;    /* whole, encoded; sent as it is (CURLOPT_PATH_AS_IS); copied */
        const char *const
                *headers; /* "Name: value" lines, `n_headers` of them; copied. CR or LF in one: -EINVAL (6.8) */
        size_t n_headers;
        const void *body; /* NULL or `body_size` bytes that stay valid until the callback or cancel */
        size_t body_size;
        int64_t patience_ns; /* beyond the pool's stall_ns, for what is the work of many requests; 0: none */
        size_t max_answer; /* ceiling of the answer's body in bytes, at least 64 KiB is used; with `sink`, 0 is none */
        HttpSinkFn sink;   /* NULL: gather into HttpAnswer.body */
        bool expect_continue; /* wait 1 s for 100-continue before a large body (10.7) */
        HttpFn fn;
        void *userdata;
} HttpSend;

int http_pool_new(HttpPool **ret, sd_event *loop, const HttpPoolOptions *options, Error *e) _must_check_;
HttpPool *http_pool_free(HttpPool *p); /* cancels what is under way; no callback comes after */
DEFINE_CLEANUP(HttpPool *, http_pool_free);
void http_pool_drop_idle(HttpPool *p); /* closes kept connections: after a suspend, a changed network (10.8, 10.12) */
void http_pool_limit(HttpPool *p, unsigned max_connections); /* from now on; what runs beyond it ends as it would */

int http_send(HttpPool *p, const HttpSend *send, HttpRequest **ret) _must_check_; /* `ret` may be NULL */
void http_cancel(HttpRequest *r); /* its callback does not come; not allowed inside its own callback */
/* How much of a body leaves, and when: `pace` is asked before each piece of one above HTTP_PIECE, for at most `size`
 * bytes. 0: none yet; http_resume() has it asked again. Called from the loop; starts and cancels nothing. The time in
 * which a body waits so counts for no time limit. */
#define HTTP_PIECE ((size_t) 64 * 1024)
typedef size_t (*HttpPaceFn)(size_t size, void *userdata);
void http_pace(HttpRequest *r, HttpPaceFn pace, void *userdata); /* right after http_send() */
void http_resume(HttpRequest *r);                 /* not from a callback of libcurl's, as HttpPaceFn is */
uint64_t http_request_sent(const HttpRequest *r); /* body bytes sent so far, for progress */

/* The value of a header, without regard to the name's case, blanks trimmed, into `ret` (cut never: -ENOSPC). 0,
 * -ENOENT, -EINVAL if it stands there twice with different values. */
int http_header(const char *headers, const char *name, char *ret, size_t room);
