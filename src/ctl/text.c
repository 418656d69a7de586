#include "ctl/text.h"

#include "util/clock.h"
#include "util/path.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

void text_puts(Text *t, const char *text) {
        if (t->r == 0)
                t->r = buf_puts(&t->buf, text);
}

void text_printf(Text *t, const char *format, ...) {
        char *made = NULL;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&made, format, ap);
        va_end(ap);
        if (n < 0) {
                t->r = t->r < 0 ? t->r : -ENOMEM;
                return;
        }
        text_puts(t, made);
        free(made);
}

static void text_escaped(Text *t, const char *text, size_t size) {
        size_t room = size * 4 + 4; /* each byte as \xHH, and nothing is cut */
        _cleanup_free_ char *shown = malloc(room);

        if (shown)
                text_puts(t, path_display(text, size, shown, room));
        else if (t->r == 0)
                t->r = -ENOMEM;
}

void text_safe(Text *t, const char *text) {
        /* the backslashes are left alone: they are what escaping made */
        while (*text) {
                size_t n = strcspn(text, "\\");

                if (n > 0)
                        text_escaped(t, text, n);
                else
                        text_puts(t, "\\");
                text += MAX(n, (size_t) 1);
        }
}

void text_path(Text *t, const json_t *object) {
        const char *path = json_get_text(object, "path");

        if (json_object_get(object, "path_bytes"))
                text_safe(t, path);
        else
                text_escaped(t, path, strlen(path));
}

void text_count(Text *t, uint64_t n) {
        char digits[24], grouped[32];
        size_t k = 0, size;

        (void) snprintf(digits, sizeof(digits), "%llu", (unsigned long long) n);
        size = strlen(digits);
        for (size_t i = 0; i < size; i++) {
                if (i > 0 && (size - i) % 3 == 0)
                        grouped[k++] = ',';
                grouped[k++] = digits[i];
        }
        grouped[k] = '\0';
        text_puts(t, grouped);
}

void text_things(Text *t, uint64_t n, const char *one, const char *many) {
        text_count(t, n);
        text_printf(t, " %s", n == 1 ? one : many);
}

void text_size(Text *t, uint64_t bytes) {
        static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
        double n = (double) bytes / 1024;
        size_t unit = 0;

        if (bytes < 1024) {
                text_printf(t, "%u B", (unsigned) bytes);
                return;
        }
        while (n >= 1023.5 && unit + 1 < ELEMENTSOF(units)) {
                n /= 1024;
                unit++;
        }
        text_printf(t, "%.*f %s", n < 99.95 ? 1 : 0, n, units[unit]);
}

void text_age(Text *t, double seconds) {
        static const struct {
                double below, unit;
                const char *name;
        } steps[] = {
                { 120, 1, "s" },
                { 2 * 3600.0, 60, "min" },
                { 2 * 86400.0, 3600, "h" },
                { 1e300, 86400, "days" },
        };
        size_t i = 0;

        if (!(seconds > 0)) {
                text_puts(t, "0 s");
                return;
        }
        while (i + 1 < ELEMENTSOF(steps) && seconds >= steps[i].below)
                i++;
        text_printf(t, "%.*f %s", seconds < 9.95 ? 1 : 0, seconds / steps[i].unit, steps[i].name);
}

void text_time(Text *t, int64_t wall_ns) {
        time_t seconds = (time_t) (wall_ns / NSEC_PER_SEC);
        char text[64];
        struct tm tm;

        if (!localtime_r(&seconds, &tm) || strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm) == 0)
                text_puts(t, "?");
        else
                text_puts(t, text);
}

size_t text_columns(const char *text) {
        size_t n = 0;

        for (; *text; text++)
                n += ((unsigned char) *text & 0xC0) != 0x80;
        return n;
}

int text_parse_time(const char *text, int64_t *ret_wall_ns) {
        struct tm tm = { 0 };
        int end = 0, digits = 0;
        int64_t ns = 0;

        if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min,
                   &tm.tm_sec, &end) != 6 ||
            tm.tm_year < 1970 || tm.tm_year > 2261 || tm.tm_mon < 1 || tm.tm_mon > 12)
                return -EINVAL;
        text += end;
        if (*text == '.')
                for (text++; *text >= '0' && *text <= '9' && digits < 9; text++, digits++)
                        ns = ns * 10 + (*text - '0');
        for (; digits < 9; digits++)
                ns *= 10;
        if (strcmp(text, "Z") != 0)
                return -EINVAL;
        tm.tm_year -= 1900;
        tm.tm_mon -= 1;
        *ret_wall_ns = (int64_t) timegm(&tm) * NSEC_PER_SEC + ns;
        return 0;
}

uint64_t json_get_count(const json_t *object, const char *key) {
        json_int_t n = json_integer_value(json_object_get(object, key));

        return n > 0 ? (uint64_t) n : 0;
}

double json_get_number(const json_t *object, const char *key) {
        return json_number_value(json_object_get(object, key));
}

const char *json_get_text(const json_t *object, const char *key) {
        const char *text = json_string_value(json_object_get(object, key));

        return text ? text : "";
}
