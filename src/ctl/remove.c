/* azsyncctl remove: takes a mapping out of the configuration. Neither its files nor its blobs are touched. */
#include "azsyncd/control.h"
#include "config/yaml.h"
#include "control/json.h"
#include "ctl/setup.h"
#include "ctl/text.h"
#include "util/path.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define REMOVED ".removed" /* the loader passes such names over */
#define KEPT_ROOM 160

/* Its file is kept under another name. 0; else an exit code. */
static int put_aside(Change *c, const Where *w, const char *name, char kept[static KEPT_ROOM]) {
        _cleanup_buf_ Buf text = BUF_INIT(YAML_FILE_MAX);
        Error e = ERROR_NULL;
        char file[128];
        int r;

        (void) snprintf(file, sizeof(file), "mappings.d/%s.yaml", name);
        (void) snprintf(kept, KEPT_ROOM, "%s" REMOVED, file);
        r = change_read(c, file, &text, &e);
        if (r == 0)
                return setup_unknown(w, name);
        if (r > 0)
                r = change_put(c, kept, buf_text(&text), text.size, CHANGE_CONFIG, &e);
        if (r >= 0)
                r = change_put(c, file, NULL, 0, CHANGE_CONFIG, &e);
        return r < 0 ? setup_fail("%s", e.text) : 0;
}

static int say(const Options *o, const Where *w, const char *kept, Told told, const json_t *mapping) {
        const char *name = o->names[0], *url = json_get_text(mapping, "url");
        _cleanup_text_ Text t = TEXT_INIT(65536);
        uint64_t blobs = json_get_count(mapping, "files");
        json_t *all;

        if (o->json) {
                all = json_pack("{s:i, s:s, s:o, s:b, s:o, s:o}", "version", 1, "name", name, "kept",
                                setup_path(w, kept), "running", told == TOLD_DONE, "url",
                                mapping ? text_to_json(url) : json_null(), "blobs",
                                mapping ? json_integer((json_int_t) blobs) : json_null());
                if (!all)
                        return setup_fail("out of memory");
                print_json(all);
                json_decref(all);
                return AZSYNC_EXIT_OK;
        }
        text_printf(&t, "%s: removed; ", name);
        if (mapping) {
                text_things(&t, blobs, "blob stays", "blobs stay");
                text_puts(&t, " in ");
                text_safe(&t, url);
        } else
                text_puts(&t, "its blobs stay");
        text_printf(&t, ", and the folder as it is. The mapping is kept as %s/%s\n", PATH_SHOWN(w->config_dir), kept);
        (void) fputs(buf_text(&t.buf), stdout);
        return AZSYNC_EXIT_OK;
}

int verb_remove(const Options *o) {
        _cleanup_(change_freep) Change *c = NULL;
        Error e = ERROR_NULL;
        Told told = TOLD_FAILED;
        char kept[KEPT_ROOM];
        json_t *status;
        Where w;
        int r;

        if (!setup_good_name(o->names[0]))
                return AZSYNC_EXIT_FAILED;
        r = where_find(&w, o, false);
        if (r != 0)
                return r;
        if (change_new(&c, w.config_dir, w.state_dir, &e) < 0)
                return setup_fail("%s", e.text);
        r = put_aside(c, &w, o->names[0], kept);
        if (r != 0)
                return r;
        status = setup_status(&w);
        r = setup_apply(&w, c, &told);
        if (r < 0 || told == TOLD_REFUSED || told == TOLD_FAILED)
                r = AZSYNC_EXIT_FAILED;
        else
                r = say(o, &w, kept, told, setup_mapping(status, o->names[0]));
        json_decref(status);
        return r;
}
