#include "ctl/setup.h"

#include "azsyncd/control.h"
#include "config/schema.h"
#include "control/json.h"
#include "control/protocol.h"
#include "ctl/text.h"
#include "util/clock.h"
#include "util/path.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define STATUS_PATIENCE (5 * NSEC_PER_SEC) /* a list without states is better than none */
#define NAMES_MAX 1000u

int setup_fail(const char *format, ...) {
        _cleanup_text_ Text t = TEXT_INIT(16384);
        char text[4096];
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        text_safe(&t, text);
        (void) fprintf(stderr, "azsyncctl: %s\n", buf_text(&t.buf));
        return AZSYNC_EXIT_FAILED;
}

int setup_refused(const Buf *report, const Error *e, const char *so) {
        _cleanup_text_ Text t = TEXT_INIT(262144);

        for (const char *line = report->size > 0 ? buf_text(report) : e->text; *line;) {
                _cleanup_free_ char *one = strndup(line, strcspn(line, "\n"));

                text_safe(&t, one ? one : "out of memory");
                text_puts(&t, "\n");
                line += strcspn(line, "\n");
                line += *line == '\n';
        }
        (void) fprintf(stderr, "%sazsyncctl: %s\n", buf_text(&t.buf), so);
        return AZSYNC_EXIT_FAILED;
}

char *setup_url(const MappingConfig *m) {
        char *ret = NULL;

        return asprintf(&ret, "%s/%s%s%s", m->account->endpoint, m->container, m->prefix[0] ? "/" : "", m->prefix) < 0
                       ? NULL
                       : ret;
}

/* --- the daemon --- */

json_t *setup_status(const Where *w) {
        _cleanup_client_ Client c = CLIENT_INIT;
        _cleanup_reply_ Reply reply = { 0 };
        int r;

        r = client_open(&c, w->runtime_dir, NULL);
        if (r >= 0)
                r = client_send(&c, "Status", json_object(), false, NULL);
        if (r >= 0)
                r = client_receive(&c, clock_boot() + STATUS_PATIENCE, &reply, NULL);
        return r < 0 || reply.error ? NULL : json_incref(reply.parameters);
}

const json_t *setup_mapping(const json_t *status, const char *name) {
        const json_t *list = json_object_get(status, "mappings");

        for (size_t i = 0; i < json_array_size(list); i++)
                if (strcmp(json_get_text(json_array_get(list, i), "name"), name) == 0)
                        return json_array_get(list, i);
        return NULL;
}

static Told reload(const Where *w) {
        _cleanup_client_ Client c = CLIENT_INIT;
        _cleanup_reply_ Reply reply = { 0 };
        Error e = ERROR_NULL;
        int r;

        r = client_open(&c, w->runtime_dir, &e);
        if (r == -ENOENT || r == -ECONNREFUSED)
                return TOLD_NOBODY;
        if (r >= 0)
                r = client_send(&c, "Reload", json_object(), false, &e);
        if (r >= 0)
                r = client_receive(&c, clock_boot() + CLIENT_PATIENCE_NS, &reply, &e);
        if (r < 0) {
                (void) complain(&e);
                return TOLD_FAILED;
        }
        if (reply.error) {
                (void) complain_reply(&reply);
                return strcmp(reply.error, CONTROL_ERROR_RELOAD_FAILED) == 0 ? TOLD_REFUSED : TOLD_FAILED;
        }
        return TOLD_DONE;
}

int setup_apply(const Where *w, Change *c, Told *ret) {
        Error e = ERROR_NULL;

        if (change_commit(c, &e) < 0) {
                (void) setup_fail("%s", e.text);
                return -1;
        }
        *ret = reload(w);
        if (*ret == TOLD_REFUSED && change_undo(c, &e) < 0)
                (void) setup_fail("not all could be taken back: %s", e.text);
        else if (*ret == TOLD_REFUSED)
                (void) setup_fail("so the change was taken back");
        else if (*ret == TOLD_FAILED)
                (void) setup_fail("the change is written, but azsyncd was not told: azsyncctl reload does it");
        return 0;
}

/* --- names --- */

json_t *setup_path(const Where *w, const char *file) {
        _cleanup_free_ char *path = NULL;

        if (asprintf(&path, "%s/%s", w->config_dir, file) >= 0)
                return text_to_json(path);
        path = NULL;
        return NULL;
}

bool setup_good_name(const char *name) {
        if (config_good_name(name))
                return true;
        (void) setup_fail("\"%s\" is no mapping's name; expected 1 to 64 of A-Z a-z 0-9 . _ -", PATH_SHOWN(name));
        return false;
}

int setup_unknown(const Where *w, const char *name) {
        char path[4096], *names[NAMES_MAX];
        const char *meant;
        size_t n = 0;
        DIR *d;

        (void) snprintf(path, sizeof(path), "%s/mappings.d", w->config_dir);
        d = opendir(path);
        for (const struct dirent *entry; d && n < NAMES_MAX && (entry = readdir(d));) {
                size_t size = strlen(entry->d_name);

                if (size > 5 && strcmp(entry->d_name + size - 5, ".yaml") == 0 && entry->d_name[0] != '.' &&
                    (names[n] = strndup(entry->d_name, size - 5)))
                        n++;
        }
        if (d)
                (void) closedir(d);
        meant = nearest(name, (const char *const *) names, n);
        (void) setup_fail("there is no mapping named \"%s\" in %s%s%s%s", PATH_SHOWN(name), PATH_SHOWN(w->config_dir),
                          meant ? " (did you mean \"" : "; azsyncctl list shows them", meant ? meant : "",
                          meant ? "\"?)" : "");
        while (n > 0)
                free(names[--n]);
        return AZSYNC_EXIT_FAILED;
}
