#include "config/endpoint.h"
#include "config/parts.h"
#include "util/path.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
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
                                (void) snprintf(whole, size + rest + 1, "%s%s", real, folder + strlen(part));
                                *ret = whole;
                                return 0;
                        }
                        if (stat(part, &st) == 0 && !S_ISDIR(st.st_mode))
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

/* The directory itself, or the nearest one above it that exists. */
static int open_nearest(const char *dir) {
        _cleanup_free_ char *at = strdup(dir);

        for (; at;) {
                int fd = open(at, O_PATH | O_DIRECTORY | O_CLOEXEC);
                char *slash;

                if (fd >= 0 || (errno != ENOENT && errno != ENOTDIR))
                        return fd;
                slash = strrchr(at, '/');
                if (!slash)
                        return open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
                slash[slash == at ? 1 : 0] = '\0';
        }
        return -1;
}

/* Is `folder` the state directory or one above it? By device and inode along "..", since names lie: there may be links
 * in them (pitfalls 1.16). A state directory that is still missing cannot be below a folder that exists elsewhere. */
static bool holds(const char *folder, const char *state_dir) {
        _cleanup_close_ int fd = -1;
        struct stat root, st;

        if (path_beneath(state_dir, folder))
                return true;
        if (stat(folder, &root) < 0)
                return false;
        fd = open_nearest(state_dir);
        while (fd >= 0 && fstat(fd, &st) == 0) {
                _cleanup_close_ int up = -1;
                struct stat above;

                if (st.st_dev == root.st_dev && st.st_ino == root.st_ino)
                        return true;
                up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
                if (up < 0 || fstat(up, &above) < 0 || (above.st_dev == st.st_dev && above.st_ino == st.st_ino))
                        return false; /* "/" is its own parent */
                (void) close(fd);
                fd = TAKE_FD(up);
        }
        return false;
}

static bool overlap(const MappingConfig *a, const MappingConfig *b) {
        return endpoint_same(a->account->endpoint, b->account->endpoint) && strcmp(a->container, b->container) == 0 &&
               (path_beneath(a->prefix, b->prefix) || path_beneath(b->prefix, a->prefix));
}

int config_check(ConfigReader *c, const char *state_dir) {
        int r = 0;

        for (size_t i = 0; i < c->config->n_mappings; i++) {
                const MappingConfig *m = &c->config->mappings[i];

                c->file = m->file;
                if (state_dir && holds(m->folder, state_dir))
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
