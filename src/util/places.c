#include "util/places.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

void place_default(Place place, bool system, char *ret, size_t room) {
        static const struct {
                const char *variable, *system, *xdg, *below_home;
        } places[] = {
                [PLACE_CONFIGURATION] = { "CONFIGURATION_DIRECTORY", "/etc/azsyncd", "XDG_CONFIG_HOME", ".config" },
                [PLACE_STATE] = { "STATE_DIRECTORY", "/var/lib/azsyncd", "XDG_STATE_HOME", ".local/state" },
                [PLACE_RUNTIME] = { "RUNTIME_DIRECTORY", "/run/azsyncd", "XDG_RUNTIME_DIR", ".cache" },
        };
        const char *value, *base, *home = getenv("HOME");

        assert((size_t) place < ELEMENTSOF(places) && ret);

        value = getenv(places[place].variable);
        base = getenv(places[place].xdg);
        if (value && value[0] == '/')
                (void) snprintf(ret, room, "%.*s", (int) strcspn(value, ":"), value);
        else if (system)
                (void) snprintf(ret, room, "%s", places[place].system);
        else if (base && base[0] == '/')
                (void) snprintf(ret, room, "%s/azsyncd", base);
        else
                (void) snprintf(ret, room, "%s/%s/azsyncd", home && home[0] == '/' ? home : "/nonexistent",
                                places[place].below_home);
}

int place_make(const char *dir, mode_t mode) {
        char above[PATH_MAX];
        size_t size = strlen(dir);

        assert(size > 0);

        if (mkdir(dir, mode) == 0 || errno == EEXIST)
                return 0;
        if (errno != ENOENT || size >= sizeof(above))
                return -errno;
        memcpy(above, dir, size + 1);
        for (char *slash = strchr(above + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                if (mkdir(above, 0700) < 0 && errno != EEXIST)
                        return -errno;
                *slash = '/';
        }
        return mkdir(dir, mode) == 0 || errno == EEXIST ? 0 : -errno;
}
