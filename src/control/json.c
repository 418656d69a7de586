#include "control/json.h"

#include "azsyncd/control.h"
#include "util/clock.h"
#include "util/encode.h"
#include "util/path.h"

#include <assert.h>
#include <limits.h>
#include <string.h>

/* Whatever a file system holds must come out as valid JSON. */
json_t *text_to_json(const char *bytes) {
        _cleanup_free_ char *shown = NULL;
        size_t size = strlen(bytes);

        if (utf8_valid(bytes, size))
                return json_stringn_nocheck(bytes, size);
        shown = malloc(size * 4 + 4); /* \xHH for each, and room so that nothing is cut */
        return shown ? json_string(path_display(bytes, size, shown, size * 4 + 4)) : NULL;
}

static int set_text(json_t *object, const char *key, const char *bytes) {
        return json_object_set_new_nocheck(object, key, text_to_json(bytes ? bytes : ""));
}

/* A name of the file system: `key`, and `bytes_key` beside it if the text is not the name itself. */
static int set_name(json_t *object, const char *key, const char *bytes_key, const char *name) {
        _cleanup_free_ char *encoded = NULL;
        size_t size = strlen(name);

        if (set_text(object, key, name) < 0)
                return -1;
        if (utf8_valid(name, size))
                return 0;
        encoded = malloc(BASE64_ROOM(size));
        if (!encoded)
                return -1;
        base64_encode(name, size, encoded);
        return json_object_set_new_nocheck(object, bytes_key, json_string(encoded));
}

static json_t *count_to_json(uint64_t n) {
        return json_integer(n > LLONG_MAX ? LLONG_MAX : (json_int_t) n);
}

/* Milliseconds are enough for people, and JSON knows neither infinity nor NaN. */
static json_t *seconds_to_json(double s) {
        return json_real(s > 0 && s < 1e12 ? (double) (int64_t) (s * 1000 + 0.5) / 1000 : 0);
}

json_t *time_to_json(int64_t wall_ns) {
        char text[36];

        if (wall_ns == 0)
                return json_null();
        clock_format_rfc3339(wall_ns, text);
        return json_string(text);
}

json_t *lines_to_json(const char *text) {
        json_t *list = json_array();

        while (list && *text) {
                size_t n = strcspn(text, "\n");
                _cleanup_free_ char *line = strndup(text, n);

                if (!line || (n > 0 && json_array_append_new(list, text_to_json(line)) < 0)) {
                        json_decref(list);
                        return NULL;
                }
                text += n + (text[n] == '\n');
        }
        return list;
}

json_t *info_to_json(void) {
        return json_pack("{s:s, s:s, s:s, s:s, s:[s, s]}", "vendor", "azsyncd", "product", "azsyncd", "version",
                         AZSYNCD_VERSION, "url", "", "interfaces", "org.varlink.service", AZSYNC_INTERFACE);
}

static json_t *rate_to_json(double rate) {
        return count_to_json(rate > 0 && rate < 1e18 ? (uint64_t) rate : 0);
}

static json_t *flights_to_json(const MappingStatus *s, bool trusted) {
        json_t *list = json_array();

        for (size_t i = 0; list && i < s->n_in_flight; i++) {
                json_t *o = json_object();

                if (!o || json_array_append_new(list, o) < 0 ||
                    set_name(o, "path", "path_bytes", trusted ? s->in_flight[i].path : "") < 0 ||
                    json_object_set_new(o, "sent", count_to_json(s->in_flight[i].sent)) < 0 ||
                    json_object_set_new(o, "size", count_to_json(s->in_flight[i].size)) < 0 ||
                    json_object_set_new(o, "rate", rate_to_json(s->in_flight[i].rate)) < 0 ||
                    json_object_set_new(o, "remaining_s",
                                        s->in_flight[i].remaining_s < 0
                                                ? json_null()
                                                : seconds_to_json(s->in_flight[i].remaining_s)) < 0) {
                        json_decref(list);
                        return NULL;
                }
        }
        return list;
}

static json_t *transfers_to_json(const MappingStatus *s) {
        return json_pack("{s:I, s:I}", "limit", (json_int_t) s->transfers_limit, "active",
                         (json_int_t) s->transfers_active);
}

json_t *mapping_to_json(const MappingStatus *s, bool trusted) {
        json_t *o = json_object();
        const struct {
                const char *key;
                json_t *value; /* NULL: memory ran out, which json_object_set_new() refuses */
        } rest[] = {
                { "state", text_to_json(s->state) },
                { "detail", text_to_json(s->detail ? s->detail : "") },
                { "files", count_to_json(s->files) },
                { "bytes", count_to_json(s->bytes) },
                { "pending", count_to_json(s->pending) },
                { "in_flight", flights_to_json(s, trusted) },
                { "failed", count_to_json(s->failed) },
                { "held", count_to_json(s->held) },
                { "busy", count_to_json(s->busy) },
                { "conflicts", count_to_json(s->conflicts) },
                { "skipped", count_to_json(s->skipped) },
                { "lag_s", seconds_to_json(s->lag_s) },
                { "rate", rate_to_json(s->rate) },
                { "bandwidth", s->bandwidth > 0 ? count_to_json(s->bandwidth) : json_null() },
                { "uploaded_files", count_to_json(s->uploaded_files) },
                { "uploaded_bytes", count_to_json(s->uploaded_bytes) },
                { "copied_files", count_to_json(s->copied_files) },
                { "deleted_files", count_to_json(s->deleted_files) },
                { "requests", count_to_json(s->requests) },
                { "transfers", transfers_to_json(s) },
                { "watch", text_to_json(s->watch) },
                { "polled_folders", count_to_json(s->polled_folders) },
                { "rescan_s", seconds_to_json(s->rescan_s) },
                { "last_error", text_to_json(trusted && s->last_error ? s->last_error : "") },
                { "last_sync", time_to_json(s->last_sync_ns) },
        };
        int r;

        r = !o || set_text(o, "name", s->name) < 0 || set_name(o, "folder", "folder_bytes", s->folder) < 0 ||
                            set_text(o, "url", s->url) < 0
                    ? -1
                    : 0;
        for (size_t i = 0; i < ELEMENTSOF(rest); i++)
                if (r < 0)
                        json_decref(rest[i].value);
                else
                        r = json_object_set_new(o, rest[i].key, rest[i].value);
        if (r < 0) {
                json_decref(o);
                return NULL;
        }
        return o;
}

json_t *item_to_json(const QueueItem *item) {
        json_t *o = json_object();

        if (!o || set_text(o, "mapping", item->mapping) < 0 || set_name(o, "path", "path_bytes", item->path) < 0 ||
            set_text(o, "state", item->state) < 0 || set_text(o, "reason", item->reason) < 0 ||
            json_object_set_new(o, "attempts", count_to_json(item->attempts)) < 0 ||
            json_object_set_new(o, "since", time_to_json(item->first_ns)) < 0 ||
            json_object_set_new(o, "next_try", time_to_json(item->next_ns)) < 0) {
                json_decref(o);
                return NULL;
        }
        return o;
}

json_t *cursor_to_json(const char *mapping, const char *path) {
        size_t head = strlen(mapping) + 1, size = head + strlen(path);
        _cleanup_free_ char *both = malloc(size), *text = malloc(BASE64_ROOM(size));

        if (!both || !text)
                return NULL;
        memcpy(both, mapping, head);
        memcpy(both + head, path, size - head);
        base64_encode(both, size, text);
        return json_string(text);
}

int cursor_parse(const char *text, char **ret_mapping, char **ret_path) {
        _cleanup_free_ char *both = NULL, *mapping = NULL, *path = NULL;
        size_t length, size, head;
        int r;

        assert(text && ret_mapping && ret_path);

        length = strlen(text);
        both = calloc(1, length + 1);
        if (!both)
                return -ENOMEM;
        r = base64_decode(text, length, (uint8_t *) both, length, &size);
        if (r < 0)
                return -EINVAL;
        head = strnlen(both, size);
        /* a name, a NUL, a path without one */
        if (head == 0 || head == size || memchr(both + head + 1, '\0', size - head - 1))
                return -EINVAL;
        mapping = strndup(both, head);
        path = strndup(both + head + 1, size - head - 1);
        if (!mapping || !path)
                return -ENOMEM;
        *ret_mapping = TAKE_PTR(mapping);
        *ret_path = TAKE_PTR(path);
        return 0;
}
