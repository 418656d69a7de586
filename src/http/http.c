/* Requests: one easy handle each, taken from a short list of used ones, set up anew for what differs. See http.h; the
 * loop's side is multi.c. */
#include "http/http.h"

#include "http/multi.h"
#include "util/clock.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define HEADERS_ROOM ((size_t) 16 * 1024)
#define LEAST_ANSWER ((size_t) 64 * 1024)
#define CONNECT_TIMEOUT_MS 15000L
#define STALL_DEFAULT (30 * NSEC_PER_SEC)
#define IDLE_KEPT_S 60L /* load balancers forget a connection after minutes (azure-blob.md 4.1) */
#define LIFE_KEPT_S 900L
#define SLOWEST_BYTES 4096u /* per second: what the cap on the whole request allows for */
#define SPARE_HANDLES 64u
#define HEADERS_MAX 40u

struct HttpRequest {
        HttpPool *pool;
        HttpRequest *next, *prev;
        CURL *easy;
        Multi *multi; /* the one it runs on */
        struct curl_slist nodes[HEADERS_MAX];
        Buf arena; /* the header lines */
        Buf headers, body;
        HttpSinkFn sink;
        HttpFn fn;
        void *userdata;
        bool cut; /* the answer passed its ceiling */
        char error[CURL_ERROR_SIZE];
};

struct HttpPool {
        sd_event *loop;
        Multi *multi;
        unsigned max_kept, user_timeout_ms;
        char *ca_file, *proxy, *user_agent;
        int64_t stall_ns;
        HttpRequest *requests;
        CURL *spare[SPARE_HANDLES];
        size_t n_spare;
        Multi *old[8]; /* dropped by http_pool_drop_idle(), still at work */
};

static size_t on_header(char *data, size_t size, size_t n, void *userdata) {
        HttpRequest *r = userdata;

        /* an interim answer (100) or the one before a repeat: only the last block counts */
        if (n >= 5 && memcmp(data, "HTTP/", 5) == 0)
                buf_clear(&r->headers);
        return buf_append(&r->headers, data, size * n) < 0 ? 0 : size * n;
}

static size_t on_body(char *data, size_t size, size_t n, void *userdata) {
        HttpRequest *r = userdata;
        long status = 0;

        (void) curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
        if (r->sink && (status == 200 || status == 206))
                return r->sink(data, size * n, r->userdata) < 0 ? 0 : size * n;
        if (buf_append(&r->body, data, size * n) < 0) {
                r->cut = true;
                return 0;
        }
        return size * n;
}

/* 7.88 takes an int for a long in silence: everything goes through these, which have the type that the option wants. */
static void set_long(CURL *easy, CURLoption option, long value, CURLcode *worst) {
        CURLcode c = curl_easy_setopt(easy, option, value);

        if (c != CURLE_OK)
                *worst = c;
}

static void set_text(CURL *easy, CURLoption option, const char *value, CURLcode *worst) {
        CURLcode c = curl_easy_setopt(easy, option, value);

        if (c != CURLE_OK)
                *worst = c;
}

static void set_pointer(CURL *easy, CURLoption option, void *value, CURLcode *worst) {
        CURLcode c = curl_easy_setopt(easy, option, value);

        if (c != CURLE_OK)
                *worst = c;
}

/* What is the same for every request of the pool. */
static int prepare(HttpPool *p, CURL *easy) {
        CURLcode worst = CURLE_OK;

        set_long(easy, CURLOPT_NOSIGNAL, 1L, &worst);
        set_long(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1, &worst);
        set_long(easy, CURLOPT_PATH_AS_IS, 1L, &worst);
        set_long(easy, CURLOPT_FOLLOWLOCATION, 0L, &worst);
        set_text(easy, CURLOPT_PROTOCOLS_STR, "http,https", &worst);
        set_long(easy, CURLOPT_NETRC, (long) CURL_NETRC_IGNORED, &worst);
        set_text(easy, CURLOPT_PROXY, p->proxy ? p->proxy : "", &worst); /* "": not even the environment's (10.19) */
        set_text(easy, CURLOPT_USERAGENT, p->user_agent, &worst);
        if (p->ca_file)
                set_text(easy, CURLOPT_CAINFO, p->ca_file, &worst);
        set_long(easy, CURLOPT_TCP_KEEPALIVE, 1L, &worst);
        set_long(easy, CURLOPT_TCP_NODELAY, 1L, &worst);
        set_long(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS, &worst);
        set_long(easy, CURLOPT_LOW_SPEED_LIMIT, 1L, &worst);
        set_long(easy, CURLOPT_LOW_SPEED_TIME, (long) MAX(p->stall_ns / NSEC_PER_SEC, INT64_C(1)), &worst);
        set_long(easy, CURLOPT_MAXAGE_CONN, IDLE_KEPT_S, &worst);
        set_long(easy, CURLOPT_MAXLIFETIME_CONN, LIFE_KEPT_S, &worst);
        if (curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header) != CURLE_OK ||
            curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) != CURLE_OK)
                worst = CURLE_UNKNOWN_OPTION;
        return worst == CURLE_OK ? 0 : -EINVAL;
}

static CURL *take_handle(HttpPool *p) {
        CURL *easy;

        if (p->n_spare > 0)
                return p->spare[--p->n_spare];
        easy = curl_easy_init();
        if (easy && prepare(p, easy) < 0) {
                curl_easy_cleanup(easy);
                return NULL;
        }
        return easy;
}

static void give_handle(HttpPool *p, CURL *easy) {
        if (!easy)
                return;
        if (p->n_spare < SPARE_HANDLES)
                p->spare[p->n_spare++] = easy;
        else
                curl_easy_cleanup(easy);
}

static void request_free(HttpRequest *r) {
        HttpPool *p = r->pool;

        if (r->prev)
                r->prev->next = r->next;
        else
                p->requests = r->next;
        if (r->next)
                r->next->prev = r->prev;
        give_handle(p, r->easy);
        if (r->arena.data)
                explicit_bzero(r->arena.data, r->arena.size); /* it held the Authorization line */
        buf_done(&r->arena);
        buf_done(&r->headers);
        buf_done(&r->body);
        free(r);
}

static void drop_old(HttpPool *p) {
        for (size_t i = 0; i < ELEMENTSOF(p->old); i++)
                if (p->old[i] && multi_running(p->old[i]) == 0)
                        p->old[i] = multi_free(p->old[i]);
}

static void on_done(CURL *easy, CURLcode result, void *userdata) {
        HttpPool *p = userdata;
        HttpAnswer answer = { .result = result };
        curl_off_t uploaded = 0;
        long request_size = 0;
        HttpRequest *r = NULL;

        (void) curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **) &r);
        (void) curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &answer.status);
        (void) curl_easy_getinfo(easy, CURLINFO_SIZE_UPLOAD_T, &uploaded);
        (void) curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &request_size);
        if (r->cut && result == CURLE_OK)
                answer.result = CURLE_WRITE_ERROR;
        answer.headers = buf_text(&r->headers);
        answer.body = buf_text(&r->body);
        answer.body_size = r->body.size;
        answer.sent = request_size > 0 || uploaded > 0;
        answer.body_sent = uploaded > 0 ? (uint64_t) uploaded : 0;
        (void) snprintf(answer.error, sizeof(answer.error), "%s",
                        r->error[0]          ? r->error
                        : result != CURLE_OK ? curl_easy_strerror(result)
                                             : "");
        r->multi = NULL;
        r->fn(&answer, r->userdata);
        request_free(r);
        drop_old(p);
}

static int new_multi(HttpPool *p, Multi **ret, Error *e) {
        return multi_new(ret, p->loop, p->max_kept, p->user_timeout_ms, on_done, p, e);
}

int http_pool_new(HttpPool **ret, sd_event *loop, const HttpPoolOptions *options, Error *e) {
        _cleanup_(http_pool_freep) HttpPool *p = NULL;
        int r;

        assert(ret && loop && options);

        p = calloc(1, sizeof(*p));
        if (!p)
                return error_oom(e);
        p->loop = sd_event_ref(loop);
        p->max_kept = MAX(options->max_connections, 1U);
        p->stall_ns = options->stall_ns > 0 ? options->stall_ns : STALL_DEFAULT;
        p->user_timeout_ms = (unsigned) (p->stall_ns / NSEC_PER_MSEC);
        p->user_agent = strdup(options->user_agent ? options->user_agent : "azsyncd");
        p->ca_file = options->ca_file ? strdup(options->ca_file) : NULL;
        p->proxy = options->proxy ? strdup(options->proxy) : NULL;
        if (!p->user_agent || (options->ca_file && !p->ca_file) || (options->proxy && !p->proxy))
                return error_oom(e);
        r = new_multi(p, &p->multi, e);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(p);
        return 0;
}

HttpPool *http_pool_free(HttpPool *p) {
        if (!p)
                return NULL;
        while (p->requests)
                http_cancel(p->requests);
        while (p->n_spare > 0)
                curl_easy_cleanup(p->spare[--p->n_spare]);
        drop_old(p);
        multi_free(p->multi);
        free(p->user_agent);
        free(p->ca_file);
        if (p->proxy)
                explicit_bzero(p->proxy, strlen(p->proxy));
        free(p->proxy);
        (void) sd_event_unref(p->loop);
        free(p);
        return NULL;
}

void http_pool_drop_idle(HttpPool *p) {
        Multi *fresh;

        drop_old(p);
        for (size_t i = 0; i < ELEMENTSOF(p->old); i++) {
                if (p->old[i])
                        continue;
                if (new_multi(p, &fresh, NULL) < 0)
                        return;
                p->old[i] = p->multi; /* what runs on it ends there; its kept connections die with it */
                p->multi = fresh;
                drop_old(p);
                return;
        }
}

static int set_headers(HttpRequest *r, const HttpSend *send) {
        static const char *const quiet[] = { "Accept:", "Expect:" }; /* curl's own, unless the caller has them (10.7) */
        size_t n = 0, offsets[HEADERS_MAX];

        if (send->n_headers + ELEMENTSOF(quiet) + 1 > HEADERS_MAX)
                return -E2BIG;
        for (size_t i = 0; i < send->n_headers; i++) {
                const char *line = send->headers[i];

                if (strpbrk(line, "\r\n")) /* request splitting (6.8) */
                        return -EINVAL;
                offsets[n++] = r->arena.size;
                if (buf_append(&r->arena, line, strlen(line) + 1) < 0)
                        return -ENOMEM;
        }
        for (size_t i = 0; i < ELEMENTSOF(quiet); i++) {
                if (i == 1 && send->expect_continue)
                        continue;
                offsets[n++] = r->arena.size;
                if (buf_append(&r->arena, quiet[i], strlen(quiet[i]) + 1) < 0)
                        return -ENOMEM;
        }
        if (send->body || strcmp(send->method, "PUT") == 0 || strcmp(send->method, "POST") == 0) {
                bool typed = false;

                for (size_t i = 0; i < send->n_headers; i++)
                        typed |= strncasecmp(send->headers[i], "Content-Type:", 13) == 0;
                if (!typed) {
                        offsets[n++] = r->arena.size;
                        if (buf_append(&r->arena, "Content-Type:", 14) < 0)
                                return -ENOMEM;
                }
        }
        for (size_t i = 0; i < n; i++) /* libcurl only reads the list, so its nodes may be ours */
                r->nodes[i] = (struct curl_slist){ .data = r->arena.data + offsets[i],
                                                   .next = i + 1 < n ? &r->nodes[i + 1] : NULL };
        return 0;
}

static int set_up(HttpRequest *r, const HttpSend *send) {
        CURL *easy = r->easy;
        CURLcode worst = CURLE_OK;
        bool head = strcmp(send->method, "HEAD") == 0;
        bool upload = strcmp(send->method, "PUT") == 0 || strcmp(send->method, "POST") == 0;
        int64_t cap_ms =
                60000 + 2 * r->pool->stall_ns / NSEC_PER_MSEC + (int64_t) (send->body_size / SLOWEST_BYTES) * 1000;

        set_text(easy, CURLOPT_URL, send->url, &worst);
        set_pointer(easy, CURLOPT_HTTPHEADER, r->nodes, &worst);
        set_pointer(easy, CURLOPT_PRIVATE, r, &worst);
        set_pointer(easy, CURLOPT_HEADERDATA, r, &worst);
        set_pointer(easy, CURLOPT_WRITEDATA, r, &worst);
        set_pointer(easy, CURLOPT_ERRORBUFFER, r->error, &worst);
        set_long(easy, CURLOPT_TIMEOUT_MS, (long) cap_ms, &worst);
        set_long(easy, CURLOPT_EXPECT_100_TIMEOUT_MS, 1000L, &worst);
        /* header and body in one segment, and exactly as long as declared (10.5): the body is given whole, not by a
         * callback */
        set_long(easy, CURLOPT_NOBODY, 0L, &worst);
        set_long(easy, CURLOPT_HTTPGET, 1L, &worst);
        if (upload) {
                if (curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) send->body_size) != CURLE_OK)
                        worst = CURLE_UNKNOWN_OPTION;
                set_pointer(easy, CURLOPT_POSTFIELDS, (void *) (send->body ? send->body : ""), &worst);
                set_long(easy, CURLOPT_POST, 1L, &worst);
        } else if (head)
                set_long(easy, CURLOPT_NOBODY, 1L, &worst);
        set_text(easy, CURLOPT_CUSTOMREQUEST, head ? NULL : send->method, &worst);
        return worst == CURLE_OK ? 0 : -EINVAL;
}

int http_send(HttpPool *p, const HttpSend *send, HttpRequest **ret) {
        HttpRequest *r;
        int k;

        assert(p && send && send->method && send->url && send->fn);

        r = calloc(1, sizeof(*r));
        if (!r)
                return -ENOMEM;
        r->pool = p;
        r->arena = BUF_INIT(HEADERS_ROOM);
        r->headers = BUF_INIT(HEADERS_ROOM);
        r->body = BUF_INIT(MAX(send->max_answer, LEAST_ANSWER));
        r->sink = send->sink;
        r->fn = send->fn;
        r->userdata = send->userdata;
        r->next = p->requests;
        if (p->requests)
                p->requests->prev = r;
        p->requests = r;
        r->easy = take_handle(p);
        k = r->easy ? set_headers(r, send) : -ENOMEM;
        if (k >= 0)
                k = set_up(r, send);
        if (k >= 0)
                k = multi_start(p->multi, r->easy);
        if (k < 0) {
                request_free(r);
                return k;
        }
        r->multi = p->multi;
        if (ret)
                *ret = r;
        return 0;
}

void http_cancel(HttpRequest *r) {
        if (r->multi)
                multi_stop(r->multi, r->easy);
        request_free(r);
}

uint64_t http_request_sent(const HttpRequest *r) {
        curl_off_t n = 0;

        (void) curl_easy_getinfo(r->easy, CURLINFO_SIZE_UPLOAD_T, &n);
        return n > 0 ? (uint64_t) n : 0;
}

int http_header(const char *headers, const char *name, char *ret, size_t room) {
        size_t length = strlen(name);
        bool found = false;

        for (const char *line = headers; *line;) {
                size_t n = strcspn(line, "\r\n");

                if (n > length && line[length] == ':' && strncasecmp(line, name, length) == 0) {
                        const char *value = line + length + 1;
                        size_t size = n - length - 1;

                        while (size > 0 && (*value == ' ' || *value == '\t')) {
                                value++;
                                size--;
                        }
                        while (size > 0 && (value[size - 1] == ' ' || value[size - 1] == '\t'))
                                size--;
                        if (found && (strlen(ret) != size || memcmp(ret, value, size) != 0))
                                return -EINVAL;
                        if (size >= room)
                                return -ENOSPC;
                        memcpy(ret, value, size);
                        ret[size] = '\0';
                        found = true;
                }
                line += n;
                line += strspn(line, "\r\n");
        }
        return found ? 0 : -ENOENT;
}
