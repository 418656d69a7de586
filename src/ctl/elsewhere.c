/* The verbs that talk to the cloud themselves, or read the configuration, are in a program of their own,
 * azsyncctl-cloud: what it links takes eight times as long to start as azsyncctl, which is called again and again for
 * status and wait. It is the same main(). */
#include "azsyncd/control.h"
#include "ctl/verbs.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#define CLOUD "azsyncctl-cloud"

int elsewhere(const Options *o) {
        char here[PATH_MAX], beside[PATH_MAX + sizeof(CLOUD)];
        ssize_t n = readlink("/proc/self/exe", here, sizeof(here) - 1);
        const char *slash;

        /* not installed: it is where it was built */
        here[MAX(n, (ssize_t) 0)] = '\0';
        slash = strrchr(here, '/');
        if (slash) {
                (void) snprintf(beside, sizeof(beside), "%.*s/" CLOUD, (int) (slash - here), here);
                (void) execv(beside, o->argv);
        }
        (void) execv(AZSYNC_LIBEXEC "/" CLOUD, o->argv);
        (void) fprintf(stderr, "azsyncctl: " AZSYNC_LIBEXEC "/" CLOUD ": %s\n", strerror(errno));
        return AZSYNC_EXIT_FAILED;
}
