/* Requests and the pool they wait in. Libcurl's handles cost more to make than a small request costs to send, so each
 * request keeps its handle and its buffers and is used again; only what changes is set.
 *
 * The request's bytes. A body goes in as POSTFIELDS under its real method: header and a body below 64 KiB then leave in
 * one segment (apart, they cost a delayed acknowledgement of the peer: 7 ms), and no callback can get the length wrong
 * (10.5).
 *
 * Repeats. Libcurl sends a request again by itself if a kept connection turns out to be closed before the first byte of
 * an answer (10.4). Once is allowed, since this is the ordinary race with a peer that closes idle connections and every
 * write that matters is conditional; on_start() counts and refuses the rest, and `body_sent` counts both. */
#include "http/http.h"

#include "http/multi.h"
#include "util/clock.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define HEAD_CEILING (16 * 1024)      /* the final answer's header block */
#define HEAD_TOTAL (4 * HEAD_CEILING) /* with 1xx answers before it and trailers after it */
#define BODY_FLOOR (64 * 1024)        /* what any answer may have, and all that an error may have */
#define SPARE_ROOM (64 * 1024)        /* a larger buffer is not kept for the next request */
#define SLOWEST (8 * 1024)            /* bytes per second below which the overall limit ends a request */
#define CONNECT_SECONDS 15
#define KEEP_SECONDS 60 /* load balancers drop an idle connection in silence after some minutes */
#define STARTS_MAX 2

typedef struct RequestList {
        HttpRequest *first, *last;
} RequestList;

struct HttpPool {
        sd_event *loop;
        Multi *multi;      /* for new requests */
        Multi *closing[8]; /* after http_pool_drop_idle(): until their last request ends */
        sd_event_source *idle;
        int64_t idle_since_ns; /* boot time: nothing has run since */
        char *ca_file, *proxy, *user_agent;
        unsigned max_connections, n_running, n_spare;
        int64_t stall_ns;
        RequestList running, waiting, spare;
        bool global, in_callback;
};

struct HttpRequest {
        HttpPool *pool;
        Multi *multi; /* NULL: not running */
        RequestList *list;
        HttpRequest *previous, *next;
        CURL *easy;
        Buf lines;                /* texts of `nodes` */
        struct curl_slist *nodes; /* the request's headers */
        size_t n_nodes;
        char method[16]; /* as the handle has it */

        HttpFn fn;
        HttpSinkFn sink;
        void *userdata;
        uint64_t body_ceiling, body_received;
        Buf head, body; /* the answer */
        size_t head_total;
        bool head_whole;
        long status;
        unsigned starts;     /* times the request was about to be sent */
        long before;         /* request bytes counted before the first: a proxy's CONNECT */
        uint64_t sent_again; /* body bytes of earlier attempts */
        uint64_t sent;       /* of this one */
        char error[CURL_ERROR_SIZE];
};

static void list_append(RequestList *l, HttpRequest *r) {
        assert(!r->list);
        r->list = l;
        r->previous = l->last;
        r->next = NULL;
        if (l->last)
                l->last->next = r;
        else
                l->first = r;
        l->last = r;
}

static void list_remove(HttpRequest *r) {
        RequestList *l = r->list;

        if (!l)
                return;
        if (r->previous)
                r->previous->next = r->next;
        else
                l->first = r->next;
        if (r->next)
                r->next->previous = r->previous;
        else
                l->last = r->previous;
        r->list = NULL;
        r->previous = r->next = NULL;
}

/* curl_easy_setopt() is variadic: an int for a long, or a long for a curl_off_t, goes through in silence and reads
 * garbage on some machines. These take the type the option's number says. */
static bool set_long(CURL *easy, CURLoption option, long value) {
        assert(option < CURLOPTTYPE_OBJECTPOINT);
        return curl_easy_setopt(easy, option, value) == CURLE_OK;
}

static bool set_pointer(CURL *easy, CURLoption option, const void *value) {
        assert(option > CURLOPTTYPE_OBJECTPOINT && option < CURLOPTTYPE_FUNCTIONPOINT);
        return curl_easy_setopt(easy, option, value) == CURLE_OK;
}

static bool set_size(CURL *easy, CURLoption option, uint64_t value) {
        assert(option > CURLOPTTYPE_OFF_T && option < CURLOPTTYPE_BLOB && value <= INT64_MAX);
        return curl_easy_setopt(easy, option, (curl_off_t) value) == CURLE_OK;
}

#define set_function(easy, option, fn) (curl_easy_setopt((easy), (option), (fn)) == CURLE_OK)

static size_t on_head(char *bytes, size_t one, size_t size, void *userdata) {
        HttpRequest *r = userdata;

        if (r->head_total + size > HEAD_TOTAL)
                return 0;
        r->head_total += size;
        if (r->head_whole) {
                if (size < 5 || memcmp(bytes, "HTTP/", 5) != 0 || r->status >= 200)
                        return size; /* a trailer: nothing we use comes in one */
                buf_clear(&r->head); /* that was a 1xx; now comes the answer proper, or the next 1xx */
                r->head_whole = false;
        }
        if (size <= 2 && (bytes[0] == '\r' || bytes[0] == '\n')) {
                r->head_whole = true;
                (void) curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &r->status);
                return size;
        }
        return buf_append(&r->head, bytes, size) < 0 ? 0 : size;
}

static size_t on_body(char *bytes, size_t one, size_t size, void *userdata) {
        HttpRequest *r = userdata;
        uint64_t ceiling = r->status >= 300 ? BODY_FLOOR : r->body_ceiling;

        if (size > ceiling || r->body_received > ceiling - size)
                return 0;
        r->body_received += size;
        if (r->sink && (r->status == 200 || r->status == 206))
                return r->sink(bytes, size, r->userdata) < 0 ? 0 : size;
        r->body.ceiling = (size_t) ceiling;
        return buf_append(&r->body, bytes, size) < 0 ? 0 : size;
}

static int on_start(void *userdata, char *their_ip, char *our_ip, int their_port, int our_port) {
        HttpRequest *r = userdata;

        if (r->starts == 0)
                (void) curl_easy_getinfo(r->easy, CURLINFO_REQUEST_SIZE, &r->before);
        return ++r->starts > STARTS_MAX ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

static int on_progress(void *userdata, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up) {
        HttpRequest *r = userdata;

        if ((uint64_t) up < r->sent) /* libcurl began again */
                r->sent_again += r->sent;
        r->sent = (uint64_t) up;
        return 0;
}

/* What is the same for every request of the pool. */
static bool set_constants(HttpRequest *r) {
        const HttpPool *p = r->pool;
        long stall_s = (long) MAX((p->stall_ns + NSEC_PER_SEC - 1) / NSEC_PER_SEC, (int64_t) 1);
        bool ok = true;

        ok &= set_pointer(r->easy, CURLOPT_PRIVATE, r);
        ok &= set_pointer(r->easy, CURLOPT_ERRORBUFFER, r->error);
        ok &= set_function(r->easy, CURLOPT_HEADERFUNCTION, on_head);
        ok &= set_pointer(r->easy, CURLOPT_HEADERDATA, r);
        ok &= set_function(r->easy, CURLOPT_WRITEFUNCTION, on_body);
        ok &= set_pointer(r->easy, CURLOPT_WRITEDATA, r);
        ok &= set_function(r->easy, CURLOPT_PREREQFUNCTION, on_start);
        ok &= set_pointer(r->easy, CURLOPT_PREREQDATA, r);
        ok &= set_function(r->easy, CURLOPT_XFERINFOFUNCTION, on_progress);
        ok &= set_pointer(r->easy, CURLOPT_XFERINFODATA, r);
        ok &= set_long(r->easy, CURLOPT_NOPROGRESS, 0);

        ok &= set_long(r->easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
        ok &= set_pointer(r->easy, CURLOPT_PROTOCOLS_STR, "http,https");
        ok &= set_long(r->easy, CURLOPT_FOLLOWLOCATION, 0); /* would carry the Authorization elsewhere (10.2) */
        ok &= set_long(r->easy, CURLOPT_PATH_AS_IS, 1);     /* what was signed is what is sent (6.4) */
        ok &= set_long(r->easy, CURLOPT_NETRC, CURL_NETRC_IGNORED);
        ok &= set_pointer(r->easy, CURLOPT_PROXY, p->proxy ? p->proxy : ""); /* "": not the environment's (10.19) */
        ok &= set_pointer(r->easy, CURLOPT_NOPROXY, "");
        ok &= set_long(r->easy, CURLOPT_HEADEROPT, CURLHEADER_SEPARATE);
        ok &= set_long(r->easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1);
        if (p->user_agent)
                ok &= set_pointer(r->easy, CURLOPT_USERAGENT, p->user_agent);

        ok &= set_long(r->easy, CURLOPT_SSL_VERIFYPEER, 1);
        ok &= set_long(r->easy, CURLOPT_SSL_VERIFYHOST, 2);
        ok &= set_long(r->easy, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
        if (p->ca_file)
                ok &= set_pointer(r->easy, CURLOPT_CAINFO, p->ca_file);

        ok &= set_long(r->easy, CURLOPT_NOSIGNAL, 1);
#if LIBCURL_VERSION_NUM >= 0x075700
        ok &= set_long(r->easy, CURLOPT_QUICK_EXIT, 1); /* else ending a request waits for its name look-up: seconds */
#endif
        ok &= set_long(r->easy, CURLOPT_TCP_NODELAY, 1);
        ok &= set_long(r->easy, CURLOPT_TCP_KEEPALIVE, 1);
        ok &= set_long(r->easy, CURLOPT_TCP_KEEPIDLE, 30);
        ok &= set_long(r->easy, CURLOPT_TCP_KEEPINTVL, 15);
        ok &= set_long(r->easy, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
        ok &= set_long(r->easy, CURLOPT_LOW_SPEED_LIMIT, 1); /* bytes per second, over: */
        ok &= set_long(r->easy, CURLOPT_LOW_SPEED_TIME, stall_s);
        ok &= set_long(r->easy, CURLOPT_EXPECT_100_TIMEOUT_MS, 1000);
        ok &= set_long(r->easy, CURLOPT_MAXAGE_CONN, KEEP_SECONDS);
        ok &= set_long(r->easy, CURLOPT_MAXLIFETIME_CONN, 3600);
        return ok;
}

static void request_free(HttpRequest *r) {
        list_remove(r);
        curl_easy_cleanup(r->easy);
        buf_done(&r->lines);
        buf_done(&r->head);
        buf_done(&r->body);
        free(r->nodes);
        free(r);
}
DEFINE_CLEANUP(HttpRequest *, request_free);

static int request_take(HttpPool *p, HttpRequest **ret) {
        _cleanup_(request_freep) HttpRequest *r = p->spare.first;

        if (r) {
                list_remove(r);
                p->n_spare--;
        } else {
                r = calloc(1, sizeof(*r));
                if (!r)
                        return -ENOMEM;
                r->pool = p;
                r->head = BUF_INIT(HEAD_CEILING);
                r->lines = BUF_INIT(HEAD_TOTAL);
                r->easy = curl_easy_init();
                if (!r->easy || !set_constants(r))
                        return -ENOMEM;
        }

        r->head_total = 0;
        r->head_whole = false;
        r->status = 0;
        r->starts = 0;
        r->before = 0;
        r->body_received = r->sent_again = r->sent = 0;
        r->error[0] = '\0';
        *ret = TAKE_PTR(r);
        return 0;
}

static void request_put(HttpRequest *r) {
        HttpPool *p = r->pool;

        list_remove(r);
        if (p->n_spare >= p->max_connections) {
                request_free(r);
                return;
        }
        buf_clear(&r->head);
        buf_clear(&r->lines);
        buf_clear(&r->body);
        if (r->body.room > SPARE_ROOM)
                buf_done(&r->body);
        p->n_spare++;
        list_append(&p->spare, r);
}

/* --- header lines --- */

static bool line_ok(const char *line) {
        const char *colon = strchr(line, ':');

        return colon && colon > line && !strpbrk(line, "\r\n");
}

static bool line_is(const char *line, const char *name) {
        size_t n = strlen(name);

        return strncasecmp(line, name, n) == 0 && line[n] == ':';
}

/* Libcurl takes a list of lines, in which "Name:" means "not this one" and "Name;" means "with an empty value". */
static int set_lines(HttpRequest *r, const HttpSend *send) {
        static const char *const own[] = { "Content-Type", "Accept", "Expect" };
        bool given[ELEMENTSOF(own)] = { false };
        size_t n = 0, at = 0;
        int k;

        if (send->n_headers + ELEMENTSOF(own) > r->n_nodes) {
                size_t room = send->n_headers + ELEMENTSOF(own) + 16;
                struct curl_slist *grown = realloc(r->nodes, room * sizeof(*grown));

                if (!grown)
                        return -ENOMEM;
                r->nodes = grown;
                r->n_nodes = room;
        }

        buf_clear(&r->lines);
        for (size_t i = 0; i < send->n_headers; i++) {
                const char *line = send->headers[i];
                size_t name = strcspn(line, ":");

                if (!line_ok(line))
                        return -EINVAL;
                for (size_t j = 0; j < ELEMENTSOF(own); j++)
                        given[j] |= line_is(line, own[j]);
                if (line[name + 1 + strspn(line + name + 1, " \t")] == '\0')
                        k = buf_printf(&r->lines, "%.*s;", (int) MIN(name, (size_t) HEAD_TOTAL), line);
                else
                        k = buf_puts(&r->lines, line);
                if (k >= 0)
                        k = buf_append(&r->lines, "", 1);
                if (k < 0)
                        return k;
        }
        for (size_t j = 0; j < ELEMENTSOF(own); j++) {
                bool wanted = j == 2 && send->expect_continue;

                if (given[j])
                        continue;
                k = buf_printf(&r->lines, "%s:%s%c", own[j], wanted ? " 100-continue" : "", '\0');
                if (k < 0)
                        return k;
        }

        for (; at < r->lines.size; n++) { /* only now do the texts stay where they are */
                r->nodes[n].data = r->lines.data + at;
                r->nodes[n].next = &r->nodes[n + 1];
                at += strlen(r->lines.data + at) + 1;
        }
        assert(n > 0 || ELEMENTSOF(own) == 0 || send->n_headers > 0);
        if (n > 0)
                r->nodes[n - 1].next = NULL;
        return set_pointer(r->easy, CURLOPT_HTTPHEADER, n > 0 ? r->nodes : NULL) ? 0 : -ENOMEM;
}

/* --- sending --- */

static int set_method(HttpRequest *r, const HttpSend *send) {
        bool is_head = strcmp(send->method, "HEAD") == 0, is_get = strcmp(send->method, "GET") == 0;
        bool has_body = strcmp(send->method, "PUT") == 0 || strcmp(send->method, "POST") == 0;
        bool ok = true;

        if (send->body_size > 0 && !has_body)
                return -EINVAL;
        if (has_body) {
                ok &= set_size(r->easy, CURLOPT_POSTFIELDSIZE_LARGE, send->body_size);
                ok &= set_pointer(r->easy, CURLOPT_POSTFIELDS, send->body_size > 0 ? send->body : "");
        }
        if (strcmp(r->method, send->method) != 0) {
                if (strlen(send->method) >= sizeof(r->method))
                        return -EINVAL;
                r->method[0] = '\0'; /* unknown until all of it is set */
                if (is_head)
                        ok &= set_long(r->easy, CURLOPT_NOBODY, 1);
                else if (!has_body)
                        ok &= set_long(r->easy, CURLOPT_HTTPGET, 1);
                else
                        ok &= set_long(r->easy, CURLOPT_POST, 1);
                ok &= set_pointer(r->easy, CURLOPT_CUSTOMREQUEST, is_head || is_get ? NULL : send->method);
                if (ok)
                        memcpy(r->method, send->method, strlen(send->method) + 1);
        }
        return ok ? 0 : -ENOMEM;
}

static uint64_t cap_ms(const HttpPool *p, const HttpSend *send, uint64_t ceiling) {
        uint64_t bytes = send->body_size, ms;

        if (ceiling == UINT64_MAX)
                return 0; /* a download without a limit: the stall limit alone */
        bytes = bytes > UINT64_MAX - ceiling ? UINT64_MAX : bytes + ceiling;
        ms = bytes / SLOWEST >= UINT64_MAX / 2000 ? UINT64_MAX / 2 : bytes / SLOWEST * 1000;
        ms += CONNECT_SECONDS * 1000 + 2 * (uint64_t) (p->stall_ns / NSEC_PER_MSEC);
        return MIN(ms, (uint64_t) INT32_MAX); /* a long may have 32 bits; 24 days */
}

static bool url_ok(const char *url) {
        for (const char *c = url; *c; c++)
                if (*c <= ' ' || *c == 0x7f)
                        return false;
        return url[0] != '\0';
}

static int request_fill(HttpRequest *r, const HttpSend *send) {
        int k;

        r->fn = send->fn;
        r->sink = send->sink;
        r->userdata = send->userdata;
        r->body_ceiling = send->sink && send->max_answer == 0 ? UINT64_MAX : MAX(send->max_answer, (size_t) BODY_FLOOR);
        k = set_method(r, send);
        if (k >= 0)
                k = set_lines(r, send);
        if (k < 0)
                return k;
        if (!set_pointer(r->easy, CURLOPT_URL, send->url))
                return -ENOMEM;
        if (!set_long(r->easy, CURLOPT_TIMEOUT_MS, (long) cap_ms(r->pool, send, r->body_ceiling)))
                return -EINVAL;
        return 0;
}

static int request_start(HttpRequest *r) {
        HttpPool *p = r->pool;
        int k;

        k = multi_start(p->multi, r->easy);
        if (k < 0)
                return k;
        r->multi = p->multi;
        p->n_running++;
        list_remove(r);
        list_append(&p->running, r);
        return 0;
}

int http_send(HttpPool *p, const HttpSend *send, HttpRequest **ret) {
        _cleanup_(request_freep) HttpRequest *r = NULL;
        int k;

        assert(p && send && send->method && send->url && send->fn);
        assert(send->body || send->body_size == 0);
        assert(send->headers || send->n_headers == 0);

        if (!url_ok(send->url))
                return -EINVAL;
        k = request_take(p, &r);
        if (k >= 0)
                k = request_fill(r, send);
        if (k < 0)
                return k;
        if (p->n_running >= p->max_connections || p->waiting.first)
                list_append(&p->waiting, r); /* here rather than in libcurl, whose time limits would run already */
        else {
                k = request_start(r);
                if (k < 0)
                        return k;
        }

        if (ret)
                *ret = r;
        TAKE_PTR(r);
        return 0;
}

uint64_t http_request_sent(const HttpRequest *r) {
        return r->sent_again + r->sent;
}

/* --- ending --- */

static void tell(HttpRequest *r, CURLcode result) {
        HttpPool *p = r->pool;
        HttpAnswer a = { .result = result,
                         .status = r->head_whole ? r->status : 0,
                         .headers = buf_text(&r->head),
                         .body = buf_text(&r->body),
                         .body_size = r->body.size };
        const char *words = r->error;
        curl_off_t up = 0;
        long size = 0;

        (void) curl_easy_getinfo(r->easy, CURLINFO_SIZE_UPLOAD_T, &up);
        (void) curl_easy_getinfo(r->easy, CURLINFO_REQUEST_SIZE, &size);
        if (r->starts > 0 && (uint64_t) up > r->sent)
                r->sent = (uint64_t) up;
        a.body_sent = r->sent_again + r->sent;
        a.sent = r->starts > 0 && (size > r->before || a.body_sent > 0);

        if (result == CURLE_OK && (!r->head_whole || r->status < 200)) { /* libcurl calls that success (10.1) */
                a.result = CURLE_PARTIAL_FILE;
                words = "the answer ended within its header";
        } else if (result == CURLE_ABORTED_BY_CALLBACK) {
                a.result = CURLE_RECV_ERROR;
                words = "kept connections were closed without an answer";
        }
        if (a.result != CURLE_OK) {
                (void) snprintf(a.error, sizeof(a.error), "%s", words[0] ? words : curl_easy_strerror(a.result));
                for (char *c = a.error; *c; c++) /* a peer may have had a say in it */
                        if (*c < ' ' || *c == 0x7f)
                                *c = '?';
        }
        p->in_callback = true;
        r->fn(&a, r->userdata);
        p->in_callback = false;
}

static void end(HttpRequest *r, CURLcode result);

static void start_waiting(HttpPool *p) {
        while (p->waiting.first && p->n_running < p->max_connections) {
                HttpRequest *r = p->waiting.first;

                if (request_start(r) < 0)
                        end(r, CURLE_OUT_OF_MEMORY);
        }
}

static void went_idle(HttpPool *p) {
        int enabled = SD_EVENT_OFF;

        if (p->n_running > 0)
                return;
        p->idle_since_ns = clock_boot();
        (void) sd_event_source_get_enabled(p->idle, &enabled);
        if (enabled != SD_EVENT_OFF)
                return; /* on_idle() looks at idle_since_ns */
        (void) sd_event_source_set_time(p->idle, (uint64_t) (p->idle_since_ns / NSEC_PER_USEC) + KEEP_SECONDS * 1000000);
        (void) sd_event_source_set_enabled(p->idle, SD_EVENT_ONESHOT);
}

/* Takes the request off its multi's books; the multi that was its last stay is closed. */
static void left_multi(HttpRequest *r) {
        HttpPool *p = r->pool;
        Multi *m = TAKE_PTR(r->multi);

        if (!m)
                return;
        p->n_running--;
        if (m == p->multi || multi_running(m) > 0)
                return;
        for (size_t i = 0; i < ELEMENTSOF(p->closing); i++)
                if (p->closing[i] == m)
                        p->closing[i] = multi_free(m);
}

static void end(HttpRequest *r, CURLcode result) {
        list_remove(r);
        left_multi(r);
        tell(r, result);
        request_put(r);
}

static void on_done(CURL *easy, CURLcode result, void *userdata) {
        HttpPool *p = userdata;
        char *private = NULL;

        (void) curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
        end((HttpRequest *) private, result);
        start_waiting(p);
        went_idle(p);
}

void http_cancel(HttpRequest *r) {
        HttpPool *p = r->pool;

        assert(r->list == &p->running || r->list == &p->waiting);

        if (r->multi)
                multi_stop(r->multi, r->easy);
        list_remove(r);
        left_multi(r);
        request_put(r);
        if (!p->in_callback) /* else on_done() does it */
                start_waiting(p);
        went_idle(p);
}
