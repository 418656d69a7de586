#include "config/endpoint.h"
#include "config/parts.h"
#include "util/path.h"

#include <string.h>

static bool overlap(const MappingConfig *a, const MappingConfig *b) {
        return endpoint_same(a->account->endpoint, b->account->endpoint) && strcmp(a->container, b->container) == 0 &&
               (path_beneath(a->prefix, b->prefix) || path_beneath(b->prefix, a->prefix));
}

int config_check(ConfigReader *c, const char *state_dir) {
        int r = 0;

        for (size_t i = 0; i < c->config->n_mappings; i++) {
                const MappingConfig *m = &c->config->mappings[i];

                c->file = m->file;
                if (state_dir && folder_holds(c, m->folder, state_dir))
                        r = config_refuse(c, &c->marks[i].folder, "folder",
                                          "%s holds azsyncd's state directory %s: it would watch itself",
                                          PATH_SHOWN(m->folder), PATH_SHOWN(state_dir));
                for (size_t k = 0; k < i; k++)
                        if (overlap(m, &c->config->mappings[k]))
                                r = config_refuse(c, &c->marks[i].destination, "container",
                                                  "the destination overlaps that of mapping %s; give each its own "
                                                  "container or prefix",
                                                  c->config->mappings[k].name);
        }
        return r;
}
