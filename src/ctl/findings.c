#include "ctl/findings.h"

#include "control/json.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LINE_MAX_SIZE ((size_t) 16 * 1024) /* of one line, escaped */

static const struct {
        const char *word, *shown, *color;
} outcomes[] = {
        [FOUND_OK] = { "ok", "ok  ", "\033[32m" },
        [FOUND_WARN] = { "warn", "warn", "\033[33m" },
        [FOUND_FAIL] = { "fail", "FAIL", "\033[1;31m" },
        [FOUND_UNKNOWN] = { "unknown", "?   ", "" },
};

void finding_render(Text *t, bool color, Outcome outcome, About about, const char *check, const char *advice,
                    const char *text) {
        bool paint = color && outcomes[outcome].color[0] != '\0';

        text_printf(t, "%s%s%s ", paint ? outcomes[outcome].color : "", outcomes[outcome].shown,
                    paint ? "\033[0m" : "");
        if (about.account || about.mapping) {
                text_puts(t, about.mapping ? "" : "account ");
                text_safe(t, about.mapping ? about.mapping : about.account);
                text_puts(t, ": ");
        }
        text_printf(t, "%s: ", check);
        text_safe(t, text);
        if (advice[0]) {
                text_puts(t, "; do: ");
                text_safe(t, advice);
        }
        text_puts(t, "\n");
}

static json_t *name_or_null(const char *name) {
        return name ? text_to_json(name) : json_null();
}

static int gather(json_t *checks, Outcome outcome, About about, const char *check, const char *advice,
                  const char *text) {
        json_t *o = json_pack("{s:o, s:o, s:s, s:s, s:o, s:o}", "mapping", name_or_null(about.mapping), "account",
                              name_or_null(about.account), "check", check, "result", outcomes[outcome].word, "text",
                              text_to_json(text), "advice", text_to_json(advice));

        return json_array_append_new(checks, o) < 0 ? -ENOMEM : 0;
}

void finding(Findings *f, Outcome outcome, About about, const char *check, const char *advice, const char *format,
             ...) {
        _cleanup_text_ Text t = TEXT_INIT(LINE_MAX_SIZE);
        char text[2048]; /* cut beyond that: an Error has 512 */
        va_list ap;
        int r;

        assert(f && (size_t) outcome < ELEMENTSOF(outcomes) && check && advice);

        va_start(ap, format);
        (void) vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        f->n[outcome]++;
        if (f->checks)
                r = gather(f->checks, outcome, about, check, advice, text);
        else {
                finding_render(&t, f->color, outcome, about, check, advice, text);
                r = t.r;
                (void) fputs(buf_text(&t.buf), stdout);
                (void) fflush(stdout);
        }
        if (f->r == 0)
                f->r = r;
}

json_t *findings_to_json(Findings *f) {
        Outcome worst = f->n[FOUND_FAIL] > 0 ? FOUND_FAIL : f->n[FOUND_WARN] > 0 ? FOUND_WARN : FOUND_OK;

        return json_pack("{s:i, s:s, s:o}", "version", 1, "result", outcomes[worst].word, "checks",
                         TAKE_PTR(f->checks));
}
