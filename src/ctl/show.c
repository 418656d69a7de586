/* azsyncctl status: once, as a check, or live. */
#include "azsyncd/control.h"
#include "ctl/status.h"
#include "ctl/verbs.h"
#include "util/clock.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define TEXT_MAX ((size_t) 64 << 20)

/* What is on the terminal now. */
typedef struct Screen {
        bool live;      /* stdout is a terminal that can move its cursor */
        unsigned lines; /* of the last picture, above the cursor */
} Screen;

static bool terminal_moves(void) {
        const char *term = getenv("TERM");

        return isatty(STDOUT_FILENO) && term && *term && strcmp(term, "dumb") != 0;
}

bool output_color(void) {
        const char *no_color = getenv("NO_COLOR");

        return terminal_moves() && !(no_color && *no_color);
}

static StatusStyle style_now(const Options *o) {
        return (StatusStyle){
                .color = output_color(),
                .one = o->n_names > 0,
                .now_ns = clock_wall(),
        };
}

static int print_text(const Text *t) {
        if (t->r < 0) {
                (void) fprintf(stderr, "azsyncctl: %s\n", strerror(-t->r));
                return AZSYNC_EXIT_FAILED;
        }
        (void) fputs(buf_text(&t->buf), stdout);
        (void) fflush(stdout);
        return AZSYNC_EXIT_OK;
}

/* The new picture over the old one, as much of it as fits. Lines are not wrapped while it is drawn, so that each takes
 * one row; what is longer than the terminal is wide is cut there. */
static int screen_draw(Screen *s, const Text *picture) {
        _cleanup_text_ Text t = TEXT_INIT(2 * TEXT_MAX);
        const char *text = buf_text(&picture->buf);
        struct winsize size = { 0 };
        unsigned room, lines = 0;

        room = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 2 ? size.ws_row - 1U : 23U;
        text_puts(&t, "\033[?7l\r");
        if (s->lines > 0)
                text_printf(&t, "\033[%uA", MIN(s->lines, room)); /* the terminal may have shrunk */
        while (*text) {
                int n = (int) strcspn(text, "\n");

                if (lines + 1 == room && text[n] == '\n' && text[n + 1]) {
                        text_puts(&t, "(more does not fit here)\033[K\n");
                        lines++;
                        break;
                }
                text_printf(&t, "%.*s\033[K\n", n, text);
                lines++;
                text += n + (text[n] == '\n');
        }
        text_puts(&t, "\033[J\033[?7h");
        s->lines = lines;
        return print_text(&t);
}

static int show(const Options *o, Screen *screen, const json_t *status, double old_s) {
        _cleanup_text_ Text t = TEXT_INIT(TEXT_MAX);
        StatusStyle style = style_now(o);

        if (o->json) {
                print_json(status);
                return AZSYNC_EXIT_OK;
        }
        style.old_s = old_s;
        status_render(&t, status, &style);
        if (t.r == 0 && screen && screen->live)
                return screen_draw(screen, &t);
        if (screen)
                text_puts(&t, "\n");
        return print_text(&t);
}

static int check(const Options *o, const json_t *status) {
        _cleanup_text_ Text t = TEXT_INIT(TEXT_MAX);
        int lines = status_attention(&t, status);

        if (o->json)
                print_json(status);
        else if (print_text(&t) != AZSYNC_EXIT_OK)
                return AZSYNC_EXIT_FAILED;
        return lines > 0 ? AZSYNC_EXIT_UNSYNCED : AZSYNC_EXIT_OK;
}

/* The next state, and if that is all a terminal needs, the latest of those that have come. */
static int next_status(Client *c, const Screen *screen, int64_t deadline, Reply *ret, Error *e) {
        int r;

        c->output = STDOUT_FILENO; /* `| head -1` ends with its line, not with the next change */
        r = client_receive(c, deadline, ret, e);
        for (; r == 0 && screen->live; r = client_receive(c, deadline, ret, e)) {
                client_peek(c);
                if (ret->error || !client_pending(c))
                        break;
                reply_done(ret);
        }
        return r;
}

static int watch(const Options *o) {
        Screen screen = { .live = !o->json && terminal_moves() };
        _cleanup_client_ Client c = CLIENT_INIT;
        _cleanup_reply_ Reply now = { 0 };
        int64_t since = clock_boot();
        bool lost = false;
        int r;

        r = call_daemon(&c, o, "Status", options_mapping(o), true, clock_boot() + CLIENT_PATIENCE_NS, &now);
        while (r == 0) {
                _cleanup_reply_ Reply next = { 0 };
                Error e = ERROR_NULL;

                if (show(o, &screen, now.parameters, (double) (clock_boot() - since) / (double) NSEC_PER_SEC) !=
                            AZSYNC_EXIT_OK ||
                    ferror(stdout))
                        return AZSYNC_EXIT_FAILED;
                /* on a terminal, ages are seen to grow */
                r = next_status(&c, &screen, screen.live ? clock_boot() + NSEC_PER_SEC : CLIENT_NO_DEADLINE, &next, &e);
                if (r == -ETIMEDOUT) {
                        r = 0;
                        continue;
                }
                if (r == -EPIPE) {
                        (void) raise(SIGPIPE); /* as writing to it does */
                        return AZSYNC_EXIT_FAILED;
                }
                if (r == -ECONNRESET && !lost) { /* it hangs up on who does not read for long: ^Z, or a pager */
                        lost = true;
                        client_close(&c);
                        r = call_daemon(&c, o, "Status", options_mapping(o), true, clock_boot() + CLIENT_PATIENCE_NS,
                                        &next);
                        if (r != 0)
                                return r;
                } else if (r < 0) {
                        return complain(&e);
                } else {
                        lost = false;
                }
                if (next.error)
                        return complain_reply(&next);
                reply_done(&now);
                now = next;
                next = (Reply){ 0 };
                since = clock_boot();
        }
        return r;
}

int verb_status(const Options *o) {
        _cleanup_client_ Client c = CLIENT_INIT;
        _cleanup_reply_ Reply reply = { 0 };
        int r;

        if (o->watch)
                return watch(o);
        r = call_daemon(&c, o, "Status", options_mapping(o), false, clock_boot() + CLIENT_PATIENCE_NS, &reply);
        if (r != 0)
                return r;
        return o->check ? check(o, reply.parameters) : show(o, NULL, reply.parameters, 0);
}
