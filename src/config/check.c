#include "config/parts.h"
#include "util/path.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

int folder_real(const char *folder, char **ret) {
        _cleanup_free_ char *part = strdup(folder);
        struct stat st;

        if (!part)
                return -ENOMEM;
        /* the longest part that exists; what is missing below it cannot hold a link */
        for (;;) {
                _cleanup_free_ char *real = realpath(part, NULL);
                char *slash;

                if (real) {
                        if (strcmp(real, part) != 0) {
                                size_t rest = strlen(folder) - strlen(part), size = strlen(real);
                                char *whole = malloc(size + rest + 1);

                                if (!whole)
                                        return -ENOMEM;
                                memcpy(whole, real, size);
                                memcpy(whole + size, folder + strlen(part), rest + 1);
                                *ret = whole;
                                return 0;
                        }
                        if (strcmp(part, folder) == 0 && stat(folder, &st) == 0 && !S_ISDIR(st.st_mode))
                                return -ENOTDIR;
                        return 0;
                }
                if (errno == ELOOP)
                        return -ELOOP;
                if (errno != ENOENT && errno != ENOTDIR)
                        return -errno;
                if (errno == ENOENT && lstat(part, &st) == 0 && S_ISLNK(st.st_mode))
                        return -ELOOP; /* a link to nothing */
                slash = strrchr(part, '/');
                if (!slash || slash == part)
                        return 0;
                *slash = '\0';
        }
}

/* Is `folder` the directory `fd` or one above it? By device and inode, not by name (pitfalls 1.16). */
static bool holds(const char *folder, const char *state_dir) {
        _cleanup_free_ char *at = strdup(state_dir);
        struct stat root, st;

        if (!at || stat(folder, &root) < 0)
                return false;
        for (;;) {
                char *slash;

                if (stat(at, &st) == 0 && st.st_dev == root.st_dev && st.st_ino == root.st_ino)
                        return true;
                slash = strrchr(at, '/');
                if (!slash)
                        return false;
                if (slash == at) {
                        if (at[1] == '\0')
                                return false;
                        at[1] = '\0';
                } else
                        *slash = '\0';
        }
}

static bool overlap(const MappingConfig *a, const MappingConfig *b) {
        const char *x = a->prefix, *y = b->prefix;

        if (strcmp(a->account->endpoint, b->account->endpoint) != 0 || strcmp(a->container, b->container) != 0)
                return false;
        return path_beneath(x, y) || path_beneath(y, x);
}

int config_check(ConfigReader *c, const char *state_dir) {
        int r = 0;

        for (size_t i = 0; i < c->config->n_mappings; i++) {
                const MappingConfig *m = &c->config->mappings[i];

                c->file = m->file;
                if (state_dir && holds(m->folder, state_dir))
                        r = config_refuse(c, NULL, "folder",
                                          "%s holds azsyncd's state directory %s: it would watch itself",
                                          PATH_SHOWN(m->folder), PATH_SHOWN(state_dir));
                for (size_t k = 0; k < i; k++)
                        if (overlap(m, &c->config->mappings[k]))
                                r = config_refuse(c, NULL, "container",
                                                  "the destination overlaps that of mapping %s; give each its own "
                                                  "container or prefix",
                                                  c->config->mappings[k].name);
        }
        return r;
}
