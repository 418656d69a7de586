#include "fake-engine.h"

#include <stdio.h>
#include <string.h>

static const FakeMapping *find(Engine *e, const char *name) {
        for (size_t i = 0; i < e->n_mappings; i++)
                if (strcmp(e->mappings[i].name, name) == 0)
                        return &e->mappings[i];
        return NULL;
}

void engine_summary(const Engine *engine, char *ret, size_t room) {
        (void) snprintf(ret, room, "%zu mappings", engine->n_mappings);
}

int engine_status(Engine *engine, const char *mapping, EngineStatusFn fn, void *userdata) {
        static const FlightStatus flight = { .path = "dir/secret", .sent = 1, .size = 2 };

        engine->n_status++;
        if (mapping && !find(engine, mapping))
                return -ENOENT;
        /* backwards, since nothing promises an order */
        for (size_t i = engine->n_mappings; i-- > 0;) {
                const FakeMapping *m = &engine->mappings[i];
                MappingStatus s = {
                        .name = m->name,
                        .folder = "/srv",
                        .url = "https://x/y",
                        .state = "idle",
                        .watch = "inotify",
                        .detail = "",
                        .files = engine->files,
                        .in_flight = &flight,
                        .n_in_flight = 1,
                        .last_error = m->last_error ? m->last_error : "",
                };
                int r = mapping && strcmp(mapping, m->name) != 0 ? 0 : fn(&s, userdata);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int queue_of(const FakeMapping *m, const char *after, unsigned *left, EngineQueueFn fn, void *userdata) {
        unsigned first = after ? (unsigned) strtoul(after, NULL, 10) + 1 : 0;
        _cleanup_free_ char *path = malloc(m->path_size + 16);

        if (!path)
                return -ENOMEM;
        for (unsigned i = first; i<m->items && * left> 0; i++, (*left)--) {
                QueueItem item = { .mapping = m->name, .path = path, .state = "pending", .reason = "because" };
                int n = sprintf(path, "%05u", i), r;

                while ((size_t) n < m->path_size)
                        path[n++] = 'x';
                path[n] = '\0';
                r = fn(&item, userdata);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Goes on with the mappings behind the one asked about, which the interface leaves open. */
int engine_queue(Engine *engine, const char *mapping, const char *after, unsigned limit, EngineQueueFn fn,
                 void *userdata) {
        const FakeMapping *m = find(engine, mapping);
        int r = 0;

        engine->n_queue++;
        if (!m)
                return -ENOENT;
        for (; m < engine->mappings + engine->n_mappings && r == 0; m++, after = NULL)
                r = queue_of(m, after, &limit, fn, userdata);
        return r;
}

int engine_wait(Engine *engine, const char *const *mappings, size_t n, EngineWaitFn fn, void *userdata,
                EngineWait **ret) {
        EngineWait *w = calloc(1, sizeof(*w));

        if (!w)
                return -ENOMEM;
        *w = (EngineWait){ engine, fn, userdata, engine->waits };
        engine->waits = w;
        engine->n_waits++;
        *ret = w;
        return 0;
}

void engine_wait_cancel(EngineWait *wait) {
        if (!wait)
                return;
        for (EngineWait **p = &wait->engine->waits; *p; p = &(*p)->next)
                if (*p == wait) {
                        *p = wait->next;
                        break;
                }
        wait->engine->n_cancelled++;
        free(wait);
}

void fake_answer_waits(Engine *e, WaitResult result, const char *why) {
        while (e->waits) {
                EngineWait *w = e->waits;

                e->waits = w->next;
                w->fn(result, why, w->userdata);
                free(w);
        }
}

int engine_do(Engine *engine, EngineVerb verb, const char *mapping, Error *e) {
        engine->n_verbs++;
        engine->verb = verb;
        (void) snprintf(engine->verb_mapping, sizeof(engine->verb_mapping), "%s", mapping ? mapping : "(all)");
        if (mapping && !find(engine, mapping))
                return error_set(e, -ENOENT, ERROR_OS, ENOENT, "no such mapping");
        if (verb == ENGINE_PAUSE && engine->pause_ends_waits)
                fake_answer_waits(engine, WAIT_HOPELESS, "paused");
        if (engine->verb_result < 0)
                return error_set(e, engine->verb_result, ERROR_OS, -engine->verb_result, "in words");
        return 0;
}

void engine_short(Engine *engine) {
        /* it has no connections to give back */
}

void engine_listen(Engine *engine, void (*fn)(void *userdata), void *userdata) {
        engine->listener = fn;
        engine->listener_data = userdata;
}

void fake_change(Engine *e) {
        e->files++;
        if (e->listener)
                e->listener(e->listener_data);
}
