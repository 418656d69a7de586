#include "control/call.h"

#include "control/interface.h"
#include "control/json.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/path.h"

#include <assert.h>
#include <string.h>

#define PAGE_ITEMS 500u
#define PAGE_BYTES 1048576u /* about; a page always holds one item at least */

/* Even Wait with timeout 0 lets a mapping that is in sync say so: the engine answers only after a turn of the loop. */
#define WAIT_LEAST_NS (50 * NSEC_PER_MSEC)

static void call_end(Call *c) {
        c->state = CALL_NONE;
        c->dirty = false;
        free(TAKE_PTR(c->mapping));
        free(TAKE_PTR(c->at));
        free(TAKE_PTR(c->after));
        c->timer = timer_free(c->timer);
}

void call_stop(Call *c) {
        if (c->wait)
                engine_wait_cancel(TAKE_PTR(c->wait));
        call_end(c);
}

static int fail(Call *c, const char *error, const char *key, const char *text) {
        int r = reply_error_text(c->out, error, key, text); /* before the end: `text` may be c->mapping */

        call_end(c);
        return r;
}

/* A reply that ends the call. One that is too large becomes an error, which is small. */
static int finish(Call *c, json_t *parameters) {
        int r = reply_parameters(c->out, parameters, false);

        call_end(c);
        return r == -EMSGSIZE ? fail(c, CONTROL_ERROR_FAILED, "message", "the answer would be too large") : r;
}

/* --- Status --- */

typedef struct StatusFill {
        json_t *list;
        bool trusted;
} StatusFill;

static int on_status(const MappingStatus *status, void *userdata) {
        StatusFill *f = userdata;

        return json_array_append_new(f->list, mapping_to_json(status, f->trusted)) < 0 ? -ENOMEM : 0;
}

static json_t *refusal_to_json(const Control *control, bool trusted) {
        if (control->refused_ns == 0)
                return json_null();
        return json_pack("{s:o, s:o}", "at", time_to_json(control->refused_ns), "error",
                         text_to_json(trusted ? control->refused : "")); /* may hold what stands in a file */
}

static json_t *status_to_json(Control *control, bool trusted, json_t *mappings) {
        char summary[256] = "";
        double uptime = (double) (clock_boot() - control->started_ns) / (double) NSEC_PER_SEC;

        engine_summary(control->engine, summary, sizeof(summary));
        return json_pack("{s:s, s:i, s:f, s:o, s:o, s:o}", "version", AZSYNCD_VERSION, "pid", (int) getpid(),
                         "uptime_s", (double) (int64_t) (uptime * 1000) / 1000, "summary", text_to_json(summary),
                         "reload_failed", refusal_to_json(control, trusted), "mappings", mappings);
}

/* `shared`: as one of many who are told of the same change. */
static int status_reply(Call *c, bool shared) {
        bool continues = c->state == CALL_WATCH;
        Buf *news = shared && !c->mapping ? &c->control->news[c->trusted] : NULL;
        StatusFill fill = { .trusted = c->trusted };
        int r;

        if (news && news->size > 0)
                return buf_append(c->out, news->data, news->size);
        fill.list = json_array();
        r = fill.list ? engine_status(c->control->engine, c->mapping, on_status, &fill) : -ENOMEM;
        if (r < 0) {
                json_decref(fill.list);
                return r == -ENOENT && c->mapping ? fail(c, CONTROL_ERROR_NO_SUCH_MAPPING, "mapping", c->mapping) : r;
        }
        if (!continues)
                return finish(c, status_to_json(c->control, c->trusted, fill.list));
        r = reply_parameters(news ? news : c->out, status_to_json(c->control, c->trusted, fill.list), true);
        if (r == 0 && news)
                r = buf_append(c->out, news->data, news->size);
        return r == -EMSGSIZE ? fail(c, CONTROL_ERROR_FAILED, "message", "the answer would be too large") : r;
}

void control_forget_news(Control *control) {
        for (size_t i = 0; i < ELEMENTSOF(control->news); i++)
                buf_clear(&control->news[i]);
}

/* --- Wait --- */

static void wait_answer(Call *c, const char *result, const char *why) {
        c->ready(finish(c, json_pack("{s:s, s:o}", "result", result, "why", text_to_json(why))), c->userdata);
}

static void on_wait(WaitResult result, const char *why, void *userdata) {
        Call *c = userdata;

        c->wait = NULL; /* it is called once and gone */
        if (result == WAIT_IN_SYNC)
                wait_answer(c, "in_sync", "");
        else
                wait_answer(c, "stuck", why && c->trusted ? why : ""); /* may hold names of files */
}

static void on_wait_timeout(void *userdata) {
        Call *c = userdata;

        engine_wait_cancel(TAKE_PTR(c->wait));
        wait_answer(c, "timed_out", "");
}

typedef struct KnownNames {
        const Request *request;
        bool *known;
} KnownNames;

static int on_known(const MappingStatus *status, void *userdata) {
        KnownNames *k = userdata;

        for (size_t i = 0; i < k->request->n_mappings; i++)
                if (strcmp(status->name, k->request->mappings[i]) == 0)
                        k->known[i] = true;
        return 0;
}

static int wait_start(Call *c, sd_event *loop, const Request *r) {
        _cleanup_free_ bool *known = calloc(r->n_mappings + 1, sizeof(*known));
        Error e = ERROR_NULL;
        int k;

        if (!known)
                return -ENOMEM;
        if (r->n_mappings > 0) { /* one pass over all, or 1,000 names would cost 1,000 statuses */
                k = engine_status(c->control->engine, NULL, on_known, &(KnownNames){ r, known });
                if (k < 0)
                        return fail(c, CONTROL_ERROR_FAILED, "message", strerror(-k));
        }
        for (size_t i = 0; i < r->n_mappings; i++)
                if (!known[i])
                        return fail(c, CONTROL_ERROR_NO_SUCH_MAPPING, "mapping", r->mappings[i]);
        if (r->oneway)
                return 0;
        if (r->timeout_s >= 0) {
                k = timer_new(&c->timer, loop, on_wait_timeout, c, &e);
                if (k < 0)
                        return fail(c, CONTROL_ERROR_FAILED, "message", e.text);
                timer_set(c->timer,
                          clock_boot() + MAX((int64_t) (r->timeout_s * (double) NSEC_PER_SEC), WAIT_LEAST_NS));
        }
        k = engine_wait(c->control->engine, r->mappings, r->n_mappings, on_wait, c, &c->wait);
        if (k < 0)
                return fail(c, CONTROL_ERROR_FAILED, "message", strerror(-k));
        c->state = CALL_WAIT;
        return 0;
}

/* --- Queue --- */

typedef struct PageFill {
        const char *mapping; /* the one asked about */
        json_t *items;
        size_t bytes;
        char *last; /* path of the last item */
} PageFill;

static int on_item(const QueueItem *item, void *userdata) {
        PageFill *f = userdata;
        _cleanup_free_ char *last = NULL;

        if (strcmp(item->mapping, f->mapping) != 0)
                return -ECANCELED; /* on to the next one by ourselves, so that the cursor stays ours */
        if (f->bytes >= PAGE_BYTES)
                return -E2BIG;
        last = strdup(item->path);
        if (!last || json_array_append_new(f->items, item_to_json(item)) < 0)
                return -ENOMEM;
        /* 6 bytes for one that is escaped and in Base64 */
        f->bytes += 6 * strlen(item->path) + (item->reason ? strlen(item->reason) : 0) + 200;
        free(f->last);
        f->last = TAKE_PTR(last);
        return 0;
}

typedef struct NameList {
        char **names;
        size_t n, room;
} NameList;

static void name_list_done(NameList *l) {
        for (size_t i = 0; i < l->n; i++)
                free(l->names[i]);
        free(l->names);
}

static int name_list_add(NameList *l, const char *name) {
        _cleanup_free_ char *copy = strdup(name);

        if (!copy)
                return -ENOMEM;
        if (l->n == l->room) {
                size_t room = MAX(2 * l->room, (size_t) 16);
                char **names = reallocarray(l->names, room, sizeof(*names));

                if (!names)
                        return -ENOMEM;
                l->names = names;
                l->room = room;
        }
        l->names[l->n++] = TAKE_PTR(copy);
        return 0;
}

static int on_name(const MappingStatus *status, void *userdata) {
        return name_list_add(userdata, status->name);
}

static int compare_names(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

/* The items of one mapping. 1: the page is full; 0: the mapping is through. */
static int page_fill_mapping(Call *c, PageFill *f, const char *name) {
        const char *after = c->at && strcmp(c->at, name) == 0 ? c->after : NULL;
        size_t room = PAGE_ITEMS - json_array_size(f->items);
        int r;

        f->mapping = name;
        free(TAKE_PTR(f->last));
        r = engine_queue(c->control->engine, name, after, (unsigned) room, on_item, f);
        if (r < 0 && r != -E2BIG && r != -ECANCELED)
                return r;
        if (r != -E2BIG && f->bytes < PAGE_BYTES && json_array_size(f->items) < PAGE_ITEMS)
                return 0;
        assert(f->last); /* there was room at the start, so what filled it was an item of this mapping */
        if (!c->at || strcmp(c->at, name) != 0) {
                free(TAKE_PTR(c->at));
                c->at = strdup(name);
                if (!c->at)
                        return -ENOMEM;
        }
        free(c->after);
        c->after = TAKE_PTR(f->last);
        return 1;
}

/* 1: the page is full; 0: that was all; -ENOENT: the mapping asked for is not there. */
static int page_fill(Call *c, PageFill *f) {
        _cleanup_(name_list_done) NameList list = { 0 };
        int r;

        /* afresh for each page: a reload in between must not confuse it */
        r = c->mapping ? name_list_add(&list, c->mapping) : engine_status(c->control->engine, NULL, on_name, &list);
        if (r < 0)
                return r;
        if (list.n > 1)
                qsort(list.names, list.n, sizeof(*list.names), compare_names);
        for (size_t i = 0; i < list.n; i++) {
                if (c->at && strcmp(list.names[i], c->at) < 0)
                        continue;
                r = page_fill_mapping(c, f, list.names[i]);
                if (r > 0 || (r < 0 && (r != -ENOENT || c->mapping)))
                        return r;
        }
        return 0;
}

static int queue_reply(Call *c) {
        PageFill fill = { .items = json_array() };
        json_t *parameters;
        int r;

        r = fill.items ? page_fill(c, &fill) : -ENOMEM;
        free(fill.last);
        if (r < 0) {
                json_decref(fill.items);
                if (r == -ENOENT && c->mapping)
                        return fail(c, CONTROL_ERROR_NO_SUCH_MAPPING, "mapping", c->mapping);
                return fail(c, CONTROL_ERROR_FAILED, "message", strerror(-r));
        }
        parameters = json_pack("{s:o, s:o}", "items", fill.items, "next",
                               r > 0 && c->state == CALL_NONE ? cursor_to_json(c->at, c->after) : json_null());
        if (r == 0 || c->state == CALL_NONE)
                return finish(c, parameters);
        r = reply_parameters(c->out, parameters, true);
        return r == -EMSGSIZE ? fail(c, CONTROL_ERROR_FAILED, "message", "the answer would be too large") : r;
}

static int queue_start(Call *c, const Request *r) {
        int k;

        if (r->oneway)
                return 0;
        if (r->after) {
                k = cursor_parse(r->after, &c->at, &c->after);
                if (k == -ENOMEM)
                        return k;
                if (k < 0 || (r->mapping && strcmp(r->mapping, c->at) != 0))
                        return fail(c, VARLINK_ERROR_INVALID_PARAMETER, "parameter", "after");
        }
        c->state = r->more ? CALL_QUEUE : CALL_NONE;
        return queue_reply(c);
}

/* --- what changes something --- */

static void call_log(const Call *c, const Request *r) {
        LogRecord l = LOG_HERE;

        if (r->mapping)
                log_field(&l, "AZSYNC_MAPPING=%s", PATH_SHOWN(r->mapping));
        log_commit(&l, LOG_INFO, NULL, "%s of %s asked for by uid %u (pid %i)", method_name(r->method),
                   r->method == METHOD_RELOAD ? "the configuration"
                   : r->mapping               ? PATH_SHOWN(r->mapping)
                                              : "all mappings",
                   (unsigned) c->uid, (int) c->pid);
}

static int do_verb(Call *c, const Request *r, EngineVerb verb) {
        Error e = ERROR_NULL;
        int k;

        call_log(c, r);
        k = engine_do(c->control->engine, verb, r->mapping, &e);
        if (k >= 0)
                return finish(c, json_object());
        if (k == -ENOENT && r->mapping)
                return fail(c, CONTROL_ERROR_NO_SUCH_MAPPING, "mapping", r->mapping);
        return fail(c, k == -ESRCH ? CONTROL_ERROR_NOTHING_TO_DO : CONTROL_ERROR_FAILED, "message",
                    e.text[0] ? e.text : strerror(-k));
}

static int do_reload(Call *c, const Request *r) {
        _cleanup_buf_ Buf report = BUF_INIT(65536);
        Error e = ERROR_NULL;
        int k;

        call_log(c, r);
        if (!c->control->reload)
                return fail(c, CONTROL_ERROR_FAILED, "message", "this azsyncd cannot reload");
        k = c->control->reload(&report, &e, c->control->userdata);
        if (k >= 0)
                return finish(c, json_pack("{s:o}", "warnings", lines_to_json(buf_text(&report))));
        return reply_error(c->out, CONTROL_ERROR_RELOAD_FAILED,
                           json_pack("{s:o}", "errors",
                                     lines_to_json(report.size > 0 ? buf_text(&report)
                                                   : e.text[0]     ? e.text
                                                                   : strerror(-k))));
}

static int describe(Call *c, const Request *r) {
        const char *text = interface_find(r->interface);

        if (!text)
                return fail(c, VARLINK_ERROR_INTERFACE_NOT_FOUND, "interface", r->interface);
        return finish(c, json_pack("{s:s}", "description", text));
}

static int call_dispatch(Call *c, sd_event *loop, const Request *r) {
        switch (r->method) {
        case METHOD_GET_INFO:
                return finish(c, info_to_json());
        case METHOD_GET_INTERFACE_DESCRIPTION:
                return describe(c, r);
        case METHOD_STATUS:
                c->state = r->more ? CALL_WATCH : CALL_NONE;
                return status_reply(c, false);
        case METHOD_WAIT:
                return wait_start(c, loop, r);
        case METHOD_QUEUE:
                return queue_start(c, r);
        case METHOD_RESCAN:
                return do_verb(c, r, ENGINE_RESCAN);
        case METHOD_RETRY:
                return do_verb(c, r, ENGINE_RETRY);
        case METHOD_PAUSE:
                return do_verb(c, r, ENGINE_PAUSE);
        case METHOD_RESUME:
                return do_verb(c, r, ENGINE_RESUME);
        case METHOD_APPROVE:
                return do_verb(c, r, ENGINE_APPROVE);
        case METHOD_REJECT:
                return do_verb(c, r, ENGINE_REJECT);
        case METHOD_RELOAD:
                return do_reload(c, r);
        }
        return -EINVAL;
}

int call_start(Call *c, sd_event *loop, const Request *r) {
        int k;

        assert(c && c->control && c->out && c->out->size == 0 && c->state == CALL_NONE && !c->wait);

        if (method_needs_trust(r->method) && !c->trusted) {
                k = fail(c, CONTROL_ERROR_PERMISSION_DENIED, "message",
                         "only root and the user that azsyncd runs as may do this");
        } else {
                if (r->mapping) {
                        c->mapping = strdup(r->mapping);
                        if (!c->mapping)
                                return -ENOMEM;
                }
                k = call_dispatch(c, loop, r);
                if (c->state == CALL_NONE)
                        call_end(c);
        }
        if (r->oneway) /* done, and nobody is told */
                buf_clear(c->out);
        return k;
}

int call_more(Call *c) {
        assert(c && c->control && c->out->size == 0);

        switch (c->state) {
        case CALL_QUEUE:
                return queue_reply(c);
        case CALL_WATCH:
                c->dirty = false;
                return status_reply(c, true);
        case CALL_NONE:
        case CALL_WAIT:
                break;
        }
        return 0;
}
