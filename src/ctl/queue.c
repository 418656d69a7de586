#include "ctl/queue.h"

#include "azsyncd/control.h"
#include "ctl/verbs.h"
#include "util/clock.h"

#include <stdio.h>
#include <string.h>

#define PATH_COLUMNS_MAX 60u /* longer ones push their reason to the right */
#define PAGE_TEXT_MAX ((size_t) 64 << 20)

static void pad(Text *t, size_t from, size_t columns) {
        size_t used = text_columns(buf_text(&t->buf) + from);

        text_printf(t, "%*s", used < columns ? (int) (columns - used) : 0, "");
}

/* A column, and the gap behind it. */
static void column(Text *t, const char *text, size_t columns) {
        size_t from = t->buf.size;

        text_safe(t, text);
        pad(t, from, columns);
        text_puts(t, "  ");
}

static void column_next_try(Text *t, const json_t *item, int64_t now_ns) {
        size_t from = t->buf.size;
        int64_t when;

        if (text_parse_time(json_get_text(item, "next_try"), &when) < 0) {
                text_puts(t, "-");
        } else if (when <= now_ns) {
                text_puts(t, "now");
        } else {
                text_puts(t, "in ");
                text_age(t, (double) (when - now_ns) / (double) NSEC_PER_SEC);
        }
        pad(t, from, 10);
        text_puts(t, "  ");
}

static void table_begin(Text *t, QueueTable *table, const json_t *items) {
        table->begun = true;
        table->mapping_columns = strlen("MAPPING");
        table->path_columns = strlen("PATH");
        for (size_t i = 0; i < json_array_size(items); i++) {
                json_t *item = json_array_get(items, i);
                _cleanup_text_ Text path = TEXT_INIT(1048576);

                text_path(&path, item);
                table->path_columns = MAX(table->path_columns, text_columns(buf_text(&path.buf)));
                table->mapping_columns = MAX(table->mapping_columns, text_columns(json_get_text(item, "mapping")));
        }
        table->path_columns = MIN(table->path_columns, (size_t) PATH_COLUMNS_MAX);
        text_puts(t, "STATE     TRIES  NEXT TRY    ");
        if (!table->one)
                column(t, "MAPPING", table->mapping_columns);
        column(t, "PATH", table->path_columns);
        text_puts(t, "REASON\n");
}

void queue_render(Text *t, QueueTable *table, const json_t *items) {
        if (!table->begun && json_array_size(items) > 0)
                table_begin(t, table, items);
        for (size_t i = 0; i < json_array_size(items); i++) {
                json_t *item = json_array_get(items, i);
                const char *reason = json_get_text(item, "reason");
                size_t from;

                column(t, json_get_text(item, "state"), 8);
                text_printf(t, "%5llu  ", (unsigned long long) json_get_count(item, "attempts"));
                column_next_try(t, item, table->now_ns);
                if (!table->one)
                        column(t, json_get_text(item, "mapping"), table->mapping_columns);
                from = t->buf.size;
                text_path(t, item);
                if (*reason) {
                        pad(t, from, table->path_columns);
                        text_puts(t, "  ");
                        text_safe(t, reason);
                }
                text_puts(t, "\n");
        }
}

static void print_items(const json_t *items, bool *first) {
        for (size_t i = 0; i < json_array_size(items); i++) {
                (void) fputs(*first ? "\n" : ",\n", stdout);
                *first = false;
                (void) json_dumpf(json_array_get(items, i), stdout, JSON_COMPACT);
        }
}

static json_t *page_parameters(const Options *o, const json_t *after) {
        json_t *parameters = options_mapping(o);

        if (after && json_object_set(parameters, "after", (json_t *) after) < 0) {
                json_decref(parameters);
                return NULL;
        }
        return parameters;
}

/* Page by page, each with a call of its own: a person who reads in a pager takes longer than the daemon waits, and a
 * million paths are never held at once, on either side. */
int verb_queue(const Options *o) {
        QueueTable table = { .one = o->n_names > 0, .now_ns = clock_wall() };
        _cleanup_reply_ Reply last = { 0 };
        bool first = true, more = true;
        int r;

        while (more) {
                _cleanup_client_ Client c = CLIENT_INIT;
                _cleanup_reply_ Reply page = { 0 };
                _cleanup_text_ Text t = TEXT_INIT(PAGE_TEXT_MAX);
                json_t *items;

                r = call_daemon(&c, o, "Queue", page_parameters(o, json_object_get(last.parameters, "next")), false,
                                clock_boot() + CLIENT_PATIENCE_NS, &page);
                if (r != 0)
                        return r;
                items = json_object_get(page.parameters, "items");
                if (o->json) {
                        if (!last.message)
                                (void) fputs("{\"items\":[", stdout);
                        print_items(items, &first);
                } else {
                        queue_render(&t, &table, items);
                        (void) fputs(buf_text(&t.buf), stdout);
                        if (t.r < 0) {
                                (void) fprintf(stderr, "azsyncctl: %s\n", strerror(-t.r));
                                return AZSYNC_EXIT_FAILED;
                        }
                }
                more = json_is_string(json_object_get(page.parameters, "next")) && !ferror(stdout);
                reply_done(&last);
                last = page;
                page = (Reply){ 0 };
        }
        if (o->json)
                (void) puts(first ? "]}" : "\n]}");
        else if (!table.begun)
                (void) puts("Nothing is waiting, failed, held, in conflict or skipped.");
        return AZSYNC_EXIT_OK;
}
