#include "ctl/where.h"

#include "azsyncd/control.h"
#include "util/places.h"

#include <stdio.h>
#include <string.h>

/* What is written is named by its whole path, and keys are found by it. */
static bool put_absolute(char *ret, size_t room, const char *dir) {
        char here[2048];
        size_t size;
        int n;

        if (dir[0] == '/' || !getcwd(here, sizeof(here)))
                n = snprintf(ret, room, "%s", dir);
        else
                n = snprintf(ret, room, "%s/%s", here, dir);
        for (size = strlen(ret); size > 1 && ret[size - 1] == '/'; size--)
                ret[size - 1] = '\0';
        return n >= 0 && (size_t) n < room;
}

/* Where systemd puts what LoadCredential= names, while azsyncd runs: it is told, we are not. */
static void find_credentials(bool system) {
        const char *own = getenv("XDG_RUNTIME_DIR");
        char dir[3072];

        (void) snprintf(dir, sizeof(dir), "%s/credentials/azsyncd.service", system || !own ? "/run" : own);
        if (access(dir, R_OK | X_OK) == 0)
                (void) setenv("CREDENTIALS_DIRECTORY", dir, 0);
}

int where_find(Where *ret, const Options *o, bool make) {
        char usual[3072];
        bool fits = true;

        place_default(PLACE_CONFIGURATION, false, ret->config_dir, sizeof(ret->config_dir));
        place_default(PLACE_CONFIGURATION, true, usual, sizeof(usual));
        ret->system = geteuid() == 0 || (access(ret->config_dir, F_OK) < 0 && (!make || access(usual, W_OK) == 0));
        if (o->config_dir)
                ret->system = geteuid() == 0;
        if (o->config_dir || ret->system)
                fits = put_absolute(ret->config_dir, sizeof(ret->config_dir), o->config_dir ? o->config_dir : usual);
        if (o->state_dir)
                fits = put_absolute(ret->state_dir, sizeof(ret->state_dir), o->state_dir) && fits;
        else
                place_default(PLACE_STATE, ret->system, ret->state_dir, sizeof(ret->state_dir));
        ret->runtime_dir = o->runtime_dir;
        if (!o->runtime_dir && !ret->system) {
                place_default(PLACE_RUNTIME, false, ret->own_runtime, sizeof(ret->own_runtime));
                ret->runtime_dir = ret->own_runtime;
        }
        find_credentials(ret->system);
        if (fits)
                return 0;
        (void) fprintf(stderr, "azsyncctl: the path of a directory is too long\n");
        return AZSYNC_EXIT_FAILED;
}
