#include "http/http.h"

#include "http/multi.h"
#include "http/transfer.h"
#include "util/clock.h"
#include "util/log.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define IDLE_SECONDS 60 /* without a request: kept connections are closed, so that an idle daemon holds none */

typedef struct RequestList {
        HttpRequest *first, *last;
} RequestList;

struct HttpPool {
        sd_event *loop;
        Multi *multi;
        sd_event_source *idle, *next;
        int64_t idle_since_ns; /* boot time: nothing has run since */
        char *ca_file, *proxy, *agent;
        unsigned max_connections, n_running, n_spare;
        int64_t stall_ns;
        RequestList running, waiting, spare;
        bool in_callback, freeing, global;
};

struct HttpRequest {
        Transfer transfer; /* first: what libcurl knows us by */
        MultiSockets sockets;
        HttpPool *pool;
        RequestList *list;
        HttpRequest *previous, *next;
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

/* --- a request's life: spare -> (waiting ->) running -> callback -> spare --- */

static void request_free(HttpRequest *r) {
        list_remove(r);
        transfer_done(&r->transfer);
        free(r);
}
DEFINE_CLEANUP(HttpRequest *, request_free);

static int request_take(HttpPool *p, HttpRequest **ret) {
        _cleanup_(request_freep) HttpRequest *r = p->spare.last; /* the last one used: it is in the caches */
        TransferOptions options = {
                .ca_file = p->ca_file, .proxy = p->proxy, .agent = p->agent, .stall_ns = p->stall_ns
        };

        if (r) {
                list_remove(r);
                p->n_spare--;
        } else {
                r = calloc(1, sizeof(*r));
                if (!r)
                        return -ENOMEM;
                r->pool = p;
                if (transfer_init(&r->transfer, &options) < 0)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(r);
        return 0;
}

static void request_put(HttpRequest *r) {
        HttpPool *p = r->pool;

        assert(!r->list);

        if (p->n_spare >= p->max_connections) {
                request_free(r);
                return;
        }
        transfer_clear(&r->transfer);
        p->n_spare++;
        list_append(&p->spare, r);
}

static int request_start(HttpRequest *r) {
        HttpPool *p = r->pool;
        int k;

        k = multi_start(p->multi, r->transfer.easy, &r->sockets);
        if (k < 0)
                return k;
        r->transfer.began_at = clock_boot();
        p->n_running++;
        list_remove(r);
        list_append(&p->running, r);
        return 0;
}

static void request_leave(HttpRequest *r) {
        HttpPool *p = r->pool;

        p->n_running -= r->list == &p->running;
        list_remove(r);
}

static void request_end(HttpRequest *r, CURLcode result) {
        HttpPool *p = r->pool;
        HttpAnswer answer;

        request_leave(r);
        transfer_answer(&r->transfer, result, &answer);
        if (result == CURLE_COULDNT_CONNECT)
                answer.shortage = r->sockets.shortage;
        p->in_callback = true;
        r->transfer.fn(&answer, r->transfer.userdata);
        p->in_callback = false;
        request_put(r);
}

/* --- the pool --- */

static void start_waiting(HttpPool *p) {
        while (p->waiting.first && p->n_running < p->max_connections) {
                HttpRequest *r = p->waiting.first;

                if (request_start(r) < 0)
                        request_end(r, CURLE_OUT_OF_MEMORY);
        }
}

static int on_next(sd_event_source *source, void *userdata) {
        start_waiting(userdata);
        return 0;
}

static void note_idle(HttpPool *p) {
        int enabled = SD_EVENT_OFF;

        if (p->n_running > 0)
                return;
        p->idle_since_ns = clock_boot();
        (void) sd_event_source_get_enabled(p->idle, &enabled);
        if (enabled != SD_EVENT_OFF) /* on_idle() looks at idle_since_ns */
                return;
        (void) sd_event_source_set_time(p->idle, (uint64_t) (p->idle_since_ns / NSEC_PER_USEC) +
                                                         IDLE_SECONDS * UINT64_C(1000000));
        (void) sd_event_source_set_enabled(p->idle, SD_EVENT_ONESHOT);
}

static int on_idle(sd_event_source *source, uint64_t usec, void *userdata) {
        HttpPool *p = userdata;
        int64_t due = p->idle_since_ns + IDLE_SECONDS * NSEC_PER_SEC;

        if (p->n_running > 0)
                return 0; /* note_idle() will come */
        if (clock_boot() >= due) {
                http_pool_drop_idle(p);
                return 0;
        }
        (void) sd_event_source_set_time(source, (uint64_t) (due / NSEC_PER_USEC) + 1);
        (void) sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        return 0;
}

static void on_done(CURL *easy, CURLcode result, void *userdata) {
        HttpPool *p = userdata;
        char *known = NULL;

        (void) curl_easy_getinfo(easy, CURLINFO_PRIVATE, &known);
        request_end((HttpRequest *) known, result);
        start_waiting(p);
        note_idle(p);
}

int http_send(HttpPool *p, const HttpSend *send, HttpRequest **ret) {
        _cleanup_(request_freep) HttpRequest *r = NULL;
        int k;

        assert(p && !p->freeing && send && send->method && send->url && send->fn);
        assert(send->body || send->body_size == 0);
        assert(send->headers || send->n_headers == 0);

        k = request_take(p, &r);
        if (k < 0)
                return k;
        k = transfer_prepare(&r->transfer, send);
        if (k < 0)
                return k;
        if (p->n_running >= p->max_connections || p->waiting.first)
                list_append(&p->waiting, r); /* here, not in libcurl, whose time limits would run already */
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

void http_cancel(HttpRequest *r) {
        HttpPool *p = r->pool;

        assert(r->list == &p->running || r->list == &p->waiting);

        if (r->list == &p->running)
                multi_stop(p->multi, r->transfer.easy);
        request_leave(r);
        request_put(r);
        if (p->waiting.first)
                (void) sd_event_source_set_enabled(p->next, SD_EVENT_ONESHOT);
        note_idle(p);
}

void http_pace(HttpRequest *r, HttpPaceFn pace, void *userdata) {
        r->transfer.pace = pace;
        r->transfer.pace_userdata = userdata;
}

void http_resume(HttpRequest *r) {
        transfer_resume(&r->transfer);
}

uint64_t http_request_sent(const HttpRequest *r) {
        return r->transfer.sent_again + r->transfer.sent;
}

void http_pool_limit(HttpPool *p, unsigned max_connections) {
        assert(max_connections > 0);

        p->max_connections = max_connections;
        multi_keep(p->multi, max_connections);
        if (p->waiting.first)
                (void) sd_event_source_set_enabled(p->next, SD_EVENT_ONESHOT);
}

void http_pool_drop_idle(HttpPool *p) {
        multi_drop_kept(p->multi);
}

static int copy_text(char **ret, const char *text) {
        if (!text)
                return 0;
        *ret = strdup(text);
        return *ret ? 0 : -ENOMEM;
}

static int copy_agent(HttpPool *p, const char *name) {
        if (!name)
                return 0;
        if (asprintf(&p->agent, TRANSFER_AGENT "%s", name) < 0) {
                p->agent = NULL;
                return -ENOMEM;
        }
        return 0;
}

static int set_up(HttpPool *p, Error *e) {
        int r;

        r = sd_event_add_time(p->loop, &p->idle, CLOCK_BOOTTIME, 0, 5 * UINT64_C(1000000), on_idle, p);
        if (r >= 0)
                r = sd_event_source_set_enabled(p->idle, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_defer(p->loop, &p->next, on_next, p);
        if (r >= 0)
                r = sd_event_source_set_enabled(p->next, SD_EVENT_OFF);
        if (r < 0)
                return error_os(e, -r, "setting up the connection pool");
        return multi_new(&p->multi, p->loop, p->max_connections, (unsigned) (p->stall_ns / NSEC_PER_MSEC), on_done, p,
                         e);
}

int http_pool_new(HttpPool **ret, sd_event *loop, const HttpPoolOptions *options, Error *e) {
        _cleanup_(http_pool_freep) HttpPool *p = NULL;
        int r;

        assert(ret && loop && options);

        p = calloc(1, sizeof(*p));
        if (!p)
                return error_oom(e);
        p->loop = sd_event_ref(loop);
        p->max_connections = options->max_connections > 0 ? options->max_connections : 16;
        p->stall_ns = options->stall_ns > 0 ? MIN(options->stall_ns, 3600 * NSEC_PER_SEC) : 30 * NSEC_PER_SEC;
        p->global = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK; /* counted; thread-safe since 7.84 */
        if (!p->global || copy_text(&p->ca_file, options->ca_file) < 0 || copy_text(&p->proxy, options->proxy) < 0 ||
            copy_agent(p, options->user_agent) < 0)
                return error_oom(e);
        r = set_up(p, e);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(p);
        return 0;
}

static void list_free(RequestList *l) {
        while (l->first)
                request_free(l->first);
}

HttpPool *http_pool_free(HttpPool *p) {
        if (!p)
                return NULL;
        assert(!p->in_callback);

        p->freeing = true;
        while (p->running.first)
                http_cancel(p->running.first);
        list_free(&p->waiting);
        list_free(&p->spare);
        (void) multi_free(p->multi);
        (void) sd_event_source_disable_unref(p->idle);
        (void) sd_event_source_disable_unref(p->next);
        (void) sd_event_unref(p->loop);
        if (p->global)
                curl_global_cleanup();
        free(p->ca_file);
        if (p->proxy) /* a password may stand in it */
                explicit_bzero(p->proxy, strlen(p->proxy));
        free(p->proxy);
        free(p->agent);
        free(p);
        return NULL;
}
