#include "ctl/status.h"

#include "util/clock.h"

#include <assert.h>
#include <string.h>

#define FLIGHTS_SHOWN 8u
#define BAR_CELLS 20u

#define RED "\033[1;31m"
#define YELLOW "\033[33m"
#define GREEN "\033[32m"
#define CYAN "\033[36m"
#define PLAIN "\033[0m"

static const struct {
        const char *state, *color;
        const char *means; /* "" if the lines below say it better */
} states[] = {
        { "failed", RED, "" },
        { "blocked", RED, "nothing is sent" },
        { "held", RED, "waits for approval" },
        { "paused", YELLOW, "nothing is sent" },
        { "offline", YELLOW, "the service cannot be reached; goes on by itself" },
        { "scanning", CYAN, "comparing the folder with the cloud" },
        { "syncing", CYAN, "" },
        { "idle", GREEN, "in sync" },
};

/* Begins a line; the caller writes the rest. */
static void label(Text *t, const char *name) {
        text_printf(t, "  %-14s", name);
}

/* `advice` with the mapping's name for each @ */
static void advise(Text *t, const char *advice, const char *name) {
        for (; *advice; advice++)
                if (*advice == '@')
                        text_safe(t, name);
                else
                        text_printf(t, "%c", *advice);
        text_puts(t, "\n");
}

static void render_head(Text *t, const json_t *m, bool color) {
        const char *state = json_get_text(m, "state"), *means = "", *paint = "";

        for (size_t i = 0; i < ELEMENTSOF(states); i++)
                if (strcmp(state, states[i].state) == 0) {
                        means = states[i].means;
                        paint = color ? states[i].color : "";
                }
        if (strcmp(state, "idle") == 0 && json_get_count(m, "conflicts") > 0) {
                means = "in conflict";
                paint = color ? YELLOW : "";
        }
        text_safe(t, json_get_text(m, "name"));
        text_printf(t, ": %s", paint);
        text_safe(t, state);
        text_printf(t, "%s%s%s\n  ", *paint ? PLAIN : "", *means ? ", " : "", means);
        text_safe(t, json_get_text(m, "folder"));
        text_puts(t, " -> ");
        text_safe(t, json_get_text(m, "url"));
        text_puts(t, "\n");
}

static void render_text(Text *t, const char *name, const char *text) {
        if (!*text)
                return;
        label(t, name);
        text_safe(t, text);
        text_puts(t, "\n");
}

static void render_stock(Text *t, const json_t *m) {
        label(t, "in the cloud");
        text_things(t, json_get_count(m, "files"), "file", "files");
        text_puts(t, ", ");
        text_size(t, json_get_count(m, "bytes"));
        text_puts(t, "\n");
}

static void render_pending(Text *t, const json_t *m, double old_s) {
        uint64_t pending = json_get_count(m, "pending"), rate = json_get_count(m, "rate");
        uint64_t limit = json_get_count(m, "bandwidth"); /* 0 for null */
        double lag = json_get_number(m, "lag_s");

        if (pending == 0 && !(lag > 0))
                return;
        label(t, "to do");
        text_things(t, pending, "change", "changes");
        if (lag > 0) {
                text_puts(t, ", the oldest ");
                text_age(t, lag + old_s);
                text_puts(t, " old");
        }
        if (rate > 0) {
                text_puts(t, ", ");
                text_size(t, rate);
                text_puts(t, "/s");
        }
        if (limit > 0) {
                text_puts(t, ", limited to ");
                text_size(t, limit);
                text_puts(t, "/s");
        }
        text_puts(t, "\n");
}

/* Of the account, which other mappings may share. */
static void render_transfers(Text *t, const json_t *m) {
        const json_t *transfers = json_object_get(m, "transfers");
        uint64_t active = json_get_count(transfers, "active");

        if (active == 0)
                return;
        label(t, "requests");
        text_count(t, active);
        text_puts(t, " at once, of ");
        text_count(t, json_get_count(transfers, "limit"));
        text_puts(t, " at most\n");
}

static void render_flight(Text *t, const json_t *flight, bool first) {
        uint64_t sent = json_get_count(flight, "sent"), size = json_get_count(flight, "size"),
                 rate = json_get_count(flight, "rate");
        double part = sent < size ? (double) sent / (double) size : 1.0;
        unsigned full = (unsigned) (part * BAR_CELLS);
        char bar[BAR_CELLS + 1];

        for (unsigned i = 0; i < BAR_CELLS; i++)
                bar[i] = i < full ? '#' : '.';
        bar[BAR_CELLS] = '\0';
        label(t, first ? "sending" : "");
        text_printf(t, "[%s] %3u%%  ", bar, (unsigned) (part * 100));
        text_size(t, MIN(sent, size));
        text_puts(t, " of ");
        text_size(t, size);
        text_puts(t, "  ");
        if (rate > 0) {
                text_size(t, rate);
                text_puts(t, "/s  ");
        }
        if (json_is_number(json_object_get(flight, "remaining_s"))) {
                text_age(t, json_get_number(flight, "remaining_s"));
                text_puts(t, " left  ");
        }
        text_path(t, flight);
        text_puts(t, "\n");
}

static void render_flights(Text *t, const json_t *m) {
        json_t *list = json_object_get(m, "in_flight");
        size_t n = json_array_size(list);

        for (size_t i = 0; i < MIN(n, (size_t) FLIGHTS_SHOWN); i++)
                render_flight(t, json_array_get(list, i), i == 0);
        if (n > FLIGHTS_SHOWN) {
                label(t, "");
                text_printf(t, "and %zu more\n", n - FLIGHTS_SHOWN);
        }
}

static void render_work(Text *t, const json_t *m) {
        uint64_t uploaded = json_get_count(m, "uploaded_files"), copied = json_get_count(m, "copied_files"),
                 deleted = json_get_count(m, "deleted_files"), requests = json_get_count(m, "requests");

        if (uploaded == 0 && copied == 0 && deleted == 0 && requests == 0)
                return;
        label(t, "since start");
        text_things(t, uploaded, "file", "files");
        text_puts(t, " uploaded (");
        text_size(t, json_get_count(m, "uploaded_bytes"));
        text_puts(t, "), ");
        text_count(t, copied);
        text_puts(t, " copied, ");
        text_count(t, deleted);
        text_puts(t, " deleted, ");
        text_things(t, requests, "request", "requests");
        text_puts(t, "\n");
}

static void render_last_sync(Text *t, const json_t *m, int64_t now_ns) {
        bool idle = strcmp(json_get_text(m, "state"), "idle") == 0 && !(json_get_number(m, "lag_s") > 0) &&
                    json_get_count(m, "conflicts") == 0;
        int64_t when;

        label(t, "last sync");
        if (text_parse_time(json_get_text(m, "last_sync"), &when) < 0) {
                text_puts(t, "never yet\n");
                return;
        }
        if (idle && now_ns - when < 5 * NSEC_PER_SEC) { /* the daemon says so right now */
                text_puts(t, "now\n");
                return;
        }
        if (idle)
                text_puts(t, "in sync since ");
        text_time(t, when);
        text_puts(t, " (");
        text_age(t, (double) (now_ns - when) / (double) NSEC_PER_SEC);
        text_puts(t, idle ? ")\n" : " ago)\n");
}

/* What is as the configuration wants it, but worth knowing. */
static void render_notes(Text *t, const json_t *m) {
        static const struct {
                const char *key, *one, *many, *tail;
        } notes[] = {
                { "busy", "file never rests", "files never rest", ": a marked copy is sent" },
                { "skipped", "path is skipped", "paths are skipped", " by policy" },
        };
        uint64_t polled = json_get_count(m, "polled_folders");
        double rescan_s = json_get_number(m, "rescan_s");

        for (size_t i = 0; i < ELEMENTSOF(notes); i++) {
                uint64_t n = json_get_count(m, notes[i].key);

                if (n == 0)
                        continue;
                label(t, "note");
                text_things(t, n, notes[i].one, notes[i].many);
                text_printf(t, "%s\n", notes[i].tail);
        }
        if (polled > 0) {
                label(t, "note");
                text_things(t, polled, "folder is polled", "folders are polled");
                text_puts(t, rescan_s > 0 ? ", every " : "");
                if (rescan_s > 0)
                        text_age(t, rescan_s);
                text_puts(t, ": changes are seen later\n");
        }
}

/* What to do about a state that no count explains; NULL if there is none. */
static const char *state_advice(const json_t *m) {
        static const struct {
                const char *state, *count, *advice;
        } advices[] = {
                { "blocked", "", "put right, it goes on by itself" },
                { "held", "held", "if it is meant to be so: azsyncctl approve @, else: azsyncctl reject @" },
                { "failed", "failed", "once it is put right: azsyncctl retry @" },
        };

        for (size_t i = 0; i < ELEMENTSOF(advices); i++)
                if (strcmp(json_get_text(m, "state"), advices[i].state) == 0 &&
                    json_get_count(m, advices[i].count) == 0)
                        return advices[i].advice;
        return NULL;
}

static const char *attention(const StatusStyle *style) {
        return style->color ? "  " RED "attention" PLAIN "     " : "  attention     ";
}

/* `before` begins each line: a label in a block, the mapping's name in a list. Returns the number of lines. */
static int render_attention(Text *t, const json_t *m, const char *before) {
        static const struct {
                const char *key, *one, *many, *advice;
        } counts[] = {
                { "failed", "path cannot be uploaded", "paths cannot be uploaded",
                  "azsyncctl queue @ says why; when it is put right: azsyncctl retry @" },
                { "held", "deletion held", "deletions held",
                  "let them go ahead with azsyncctl approve @, or drop them with azsyncctl reject @" },
                { "conflicts", "blob was changed by someone else", "blobs were changed by someone else",
                  "azsyncctl queue @ names them; theirs is kept until it is deleted, or conflict: overwrite is set, "
                  "and then: azsyncctl retry @" },
        };
        const char *name = json_get_text(m, "name"), *detail = json_get_text(m, "detail"), *advice = state_advice(m);
        int lines = 0;

        if (advice) {
                text_puts(t, before);
                text_safe(t, json_get_text(m, "state"));
                text_puts(t, *detail ? ": " : "");
                text_safe(t, detail);
                text_puts(t, "; ");
                advise(t, advice, name);
                lines++;
        }
        for (size_t i = 0; i < ELEMENTSOF(counts); i++) {
                uint64_t n = json_get_count(m, counts[i].key);

                if (n == 0)
                        continue;
                text_puts(t, before);
                text_things(t, n, counts[i].one, counts[i].many);
                text_puts(t, ": ");
                advise(t, counts[i].advice, name);
                lines++;
        }
        return lines;
}

/* As render_attention(): of the daemon itself. */
static int render_reload(Text *t, const json_t *status, const char *before) {
        const json_t *refusal = json_object_get(status, "reload_failed");
        const char *error = json_get_text(refusal, "error");
        int64_t when;

        if (text_parse_time(json_get_text(refusal, "at"), &when) < 0)
                return 0;
        text_puts(t, before);
        text_puts(t, "reload failed at ");
        text_time(t, when);
        text_puts(t, *error ? ": " : "");
        text_safe(t, error);
        text_puts(t, "; the configuration before stays in force until it is put right: azsyncctl reload\n");
        return 1;
}

static void render_mapping(Text *t, const json_t *m, const StatusStyle *style) {
        render_head(t, m, style->color);
        if (!state_advice(m))
                render_text(t, "detail", json_get_text(m, "detail"));
        render_stock(t, m);
        render_pending(t, m, style->old_s);
        render_transfers(t, m);
        render_flights(t, m);
        render_work(t, m);
        render_last_sync(t, m, style->now_ns);
        render_notes(t, m);
        if (strcmp(json_get_text(m, "last_error"), json_get_text(m, "detail")) != 0)
                render_text(t, "last error", json_get_text(m, "last_error"));
        if (strcmp(json_get_text(m, "state"), "paused") == 0) {
                label(t, "to go on");
                advise(t, "azsyncctl resume @", json_get_text(m, "name"));
        }
        (void) render_attention(t, m, attention(style));
}

void status_render(Text *t, const json_t *status, const StatusStyle *style) {
        json_t *list = json_object_get(status, "mappings");

        assert(t && style);

        if (!style->one) {
                text_puts(t, "azsyncd ");
                text_safe(t, json_get_text(status, "version"));
                text_puts(t, ", running for ");
                text_age(t, json_get_number(status, "uptime_s") + style->old_s);
                text_printf(t, " (pid %llu)\n", (unsigned long long) json_get_count(status, "pid"));
                (void) render_reload(t, status, attention(style));
                if (json_array_size(list) == 0)
                        text_puts(t, "\nNo folder is mapped yet: azsyncctl add FOLDER URL\n");
        }
        for (size_t i = 0; i < json_array_size(list); i++) {
                if (t->buf.size > 0)
                        text_puts(t, "\n");
                render_mapping(t, json_array_get(list, i), style);
        }
}

int status_attention(Text *t, const json_t *status) {
        json_t *list = json_object_get(status, "mappings");
        int lines = render_reload(t, status, "");

        for (size_t i = 0; i < json_array_size(list); i++) {
                _cleanup_text_ Text before = TEXT_INIT(4096);
                json_t *m = json_array_get(list, i);

                text_safe(&before, json_get_text(m, "name"));
                text_puts(&before, ": ");
                lines += render_attention(t, m, buf_text(&before.buf));
        }
        return lines;
}
