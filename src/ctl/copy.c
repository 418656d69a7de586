#include "ctl/copy.h"

#include "config/yaml.h"
#include "ctl/setup.h"
#include "util/path.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define PREFIX ".edit-" /* the loader passes such names over */

void copy_wipe(Buf *text) {
        if (text->data)
                explicit_bzero(text->data, text->room);
        buf_done(text);
}

int copy_make(Copy *ret, const char *config_dir, const char *file, const Buf *text) {
        const char *slash = strrchr(file, '/');
        _cleanup_close_ int fd = -1;
        char dir[sizeof(ret->dir)];
        ssize_t n;

        (void) snprintf(dir, sizeof(dir), "%s/" PREFIX "XXXXXX", config_dir);
        if (!mkdtemp(dir))
                return setup_fail("making a copy in %s: %s", PATH_SHOWN(config_dir), strerror(errno));
        ret->config_dir = config_dir;
        memcpy(ret->dir, dir, sizeof(dir));
        (void) snprintf(ret->path, sizeof(ret->path), "%s/%s", dir, slash ? slash + 1 : file);
        fd = open(ret->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
                return setup_fail("%s: %s", PATH_SHOWN(ret->path), strerror(errno));
        n = write(fd, buf_text(text), text->size);
        if (n != (ssize_t) text->size)
                return setup_fail("%s: %s", PATH_SHOWN(ret->path), n < 0 ? strerror(errno) : "the disk is full");
        return 0;
}

static bool is_dots(const char *name) {
        return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static void remove_folder(const char *path) {
        DIR *dir = opendir(path);

        for (const struct dirent *entry; dir && (entry = readdir(dir));)
                if (!is_dots(entry->d_name))
                        (void) unlinkat(dirfd(dir), entry->d_name, 0);
        if (dir)
                (void) closedir(dir);
        (void) rmdir(path);
}

static bool read_file(Buf *ret, const char *dir, const char *below, const char *name) {
        char path[4096];
        bool hidden;

        return snprintf(path, sizeof(path), "%s/%s%s", dir, below, name) < (int) sizeof(path) &&
               yaml_read_file(ret, path, &hidden, NULL) >= 0;
}

/* Is it empty, or nothing but what the configuration says anyway? */
static bool is_in_force(const char *config_dir, const char *dir, const char *name) {
        static const char *const places[] = { "", "mappings.d/" };
        _cleanup_(copy_wipe) Buf text = BUF_INIT(YAML_FILE_MAX);
        bool same;

        if (!read_file(&text, dir, "", name))
                return false;
        same = text.size == 0;
        for (size_t i = 0; i < ELEMENTSOF(places) && !same; i++) {
                _cleanup_(copy_wipe) Buf other = BUF_INIT(YAML_FILE_MAX);

                same = read_file(&other, config_dir, places[i], name) && other.size == text.size &&
                       memcmp(other.data, text.data, text.size) == 0;
        }
        return same;
}

/* Removes the folder, unless something would be lost with it: false then. */
static bool remove_idle(const char *config_dir, const char *path) {
        DIR *dir = opendir(path);
        bool idle = dir;

        for (const struct dirent *entry; dir && (entry = readdir(dir));)
                idle = idle && (is_dots(entry->d_name) || is_in_force(config_dir, path, entry->d_name));
        if (dir)
                (void) closedir(dir);
        if (idle)
                remove_folder(path);
        return idle;
}

void copy_remove(Copy *c) {
        if (c->dir[0])
                remove_folder(c->dir);
        c->dir[0] = '\0';
}

void copy_leave(Copy *c) {
        if (c->dir[0] && !remove_idle(c->config_dir, c->dir))
                (void) setup_fail("what was written is kept in %s; take from it what you want, and remove it",
                                  PATH_SHOWN(c->dir));
        c->dir[0] = '\0';
}

void copy_leftovers(const char *config_dir) {
        DIR *dir = opendir(config_dir);
        char path[4096];

        for (const struct dirent *entry; dir && (entry = readdir(dir));)
                if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) == 0 &&
                    snprintf(path, sizeof(path), "%s/%s", config_dir, entry->d_name) < (int) sizeof(path) &&
                    !remove_idle(config_dir, path))
                        (void) setup_fail(
                                "an edit that was cut off has left %s; take from it what you want, and remove it",
                                PATH_SHOWN(path));
        if (dir)
                (void) closedir(dir);
}
