/* azsyncctl list: what is configured, with and without a daemon. */
#include "azsyncd/control.h"
#include "control/json.h"
#include "ctl/setup.h"
#include "ctl/text.h"
#include "util/path.h"

#include <stdio.h>
#include <string.h>

#define TEXT_MAX ((size_t) 16 << 20)
#define REPORT_MAX ((size_t) 64 * 1024)

static const char *state_of(const json_t *status, const MappingConfig *m) {
        const json_t *mapping = setup_mapping(status, m->name);

        return mapping ? json_get_text(mapping, "state") : "not loaded";
}

static void cell(Text *t, const char *text, size_t width) {
        size_t columns = text_columns(text);

        text_safe(t, text);
        text_printf(t, "%*s", (int) (width > columns ? width - columns : 0) + 2, "");
}

static int print_list(const Where *w, const Config *config, const json_t *status) {
        _cleanup_text_ Text t = TEXT_INIT(TEXT_MAX);
        size_t name = 0, folder = 0;

        if (config->n_mappings == 0)
                text_printf(&t, "no folder is mapped in %s: azsyncctl add FOLDER URL\n", PATH_SHOWN(w->config_dir));
        for (size_t i = 0; i < config->n_mappings; i++) {
                name = MAX(name, text_columns(config->mappings[i].name));
                folder = MAX(folder, text_columns(PATH_SHOWN(config->mappings[i].folder)));
        }
        for (size_t i = 0; i < config->n_mappings; i++) {
                const MappingConfig *m = &config->mappings[i];
                _cleanup_free_ char *url = setup_url(m);

                cell(&t, m->name, name);
                cell(&t, PATH_SHOWN(m->folder), folder);
                text_safe(&t, url ? PATH_SHOWN(url) : "out of memory");
                if (status)
                        text_printf(&t, "  (%s)", state_of(status, m));
                text_puts(&t, "\n");
        }
        if (t.r < 0)
                return setup_fail("%s", strerror(-t.r));
        (void) fputs(buf_text(&t.buf), stdout);
        return AZSYNC_EXIT_OK;
}

static int print_json_list(const Where *w, const Config *config, const json_t *status) {
        json_t *list = json_array(), *all;
        int r = list ? 0 : -1;

        for (size_t i = 0; r == 0 && i < config->n_mappings; i++) {
                const MappingConfig *m = &config->mappings[i];
                _cleanup_free_ char *url = setup_url(m);

                r = json_array_append_new(list,
                                          json_pack("{s:s, s:o, s:o, s:o, s:s, s:s, s:o, s:o}", "name", m->name, "file",
                                                    text_to_json(m->file), "folder", text_to_json(m->folder), "url",
                                                    url ? text_to_json(url) : NULL, "account", m->account->name,
                                                    "container", m->container, "prefix", text_to_json(m->prefix),
                                                    "state", status ? text_to_json(state_of(status, m)) : json_null()));
        }
        all = r == 0 ? json_pack("{s:i, s:o, s:b, s:O}", "version", 1, "config", text_to_json(w->config_dir), "running",
                                 status != NULL, "mappings", list)
                     : NULL;
        json_decref(list);
        if (!all)
                return setup_fail("out of memory");
        print_json(all);
        json_decref(all);
        return AZSYNC_EXIT_OK;
}

int verb_list(const Options *o) {
        _cleanup_buf_ Buf report = BUF_INIT(REPORT_MAX);
        _cleanup_(config_freep) Config *config = NULL;
        Error e = ERROR_NULL;
        ConfigPlaces places;
        json_t *status;
        Where w;
        int r;

        r = where_find(&w, o, false);
        if (r != 0)
                return r;
        places = (ConfigPlaces){ .config_dir = w.config_dir, .secrets_elsewhere = true };
        if (config_load(&config, &places, &report, &e) < 0)
                return setup_refused(&report, &e, "azsyncctl edit corrects a file; what runs now goes on as it is");
        status = setup_status(&w);
        r = o->json ? print_json_list(&w, config, status) : print_list(&w, config, status);
        json_decref(status);
        return r;
}
