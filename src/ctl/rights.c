#include "ctl/rights.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#define UNIT_USER "azsyncd" /* and CAP_DAC_READ_SEARCH: systemd/azsyncd.service.in */

/* At the beginning of a line: a process may call itself what it likes, in the first one. */
static const char *value_of(const char *status, const char *key) {
        const char *at = status;

        while ((at = strstr(at, key)) && at != status && at[-1] != '\n')
                at++;
        return at ? at + strlen(key) : NULL;
}

/* The fourth of four: the one for file systems. */
static int read_fourth(const char *text, unsigned *ret) {
        return text && sscanf(text, "%*u %*u %*u %u", ret) == 1 ? 0 : -EINVAL;
}

int rights_parse(Rights *ret, const char *status) {
        const char *groups = value_of(status, "Groups:"), *caps = value_of(status, "CapEff:");
        unsigned uid, gid;

        if (read_fourth(value_of(status, "Uid:"), &uid) < 0 || read_fourth(value_of(status, "Gid:"), &gid) < 0 ||
            !groups || !caps)
                return -EINVAL;
        *ret = (Rights){ .uid = uid, .gid = gid };
        ret->reads_all = (strtoull(caps, NULL, 16) >> CAP_DAC_READ_SEARCH & 1) ||
                         (strtoull(caps, NULL, 16) >> CAP_DAC_OVERRIDE & 1);
        while (ret->n_groups < RIGHTS_GROUPS) {
                char *end;
                unsigned long group;

                groups += strspn(groups, " \t");
                if (*groups < '0' || *groups > '9')
                        break;
                group = strtoul(groups, &end, 10);
                ret->groups[ret->n_groups++] = (gid_t) group;
                groups = end;
        }
        return 0;
}

static int of_process(Rights *ret, pid_t pid) {
        _cleanup_close_ int fd = -1;
        char path[64], text[8192];
        ssize_t n;

        (void) snprintf(path, sizeof(path), "/proc/%d/status", (int) pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
        if (n < 0)
                return -errno;
        text[n] = '\0';
        return rights_parse(ret, text);
}

void rights_find(Rights *ret, pid_t pid, bool system) {
        const struct passwd *user;

        *ret = (Rights){ .uid = geteuid(), .gid = getegid() };
        if (geteuid() != 0)
                return;
        if (pid > 0)
                (void) of_process(ret, pid);
        else if (system && (user = getpwnam(UNIT_USER)))
                *ret = (Rights){ .uid = user->pw_uid, .gid = user->pw_gid, .reads_all = true };
        ret->other = ret->uid != 0;
}

void rights_take_on(const Rights *r) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct caps[2];

        if (!r->other)
                return;
        /* the libraries' own calls would change every thread */
        (void) syscall(SYS_setgroups, r->n_groups, r->groups);
        (void) syscall(SYS_setfsgid, r->gid);
        (void) syscall(SYS_setfsuid, r->uid); /* with it root's capabilities for files go */
        if (!r->reads_all || syscall(SYS_capget, &header, caps) < 0)
                return;
        caps[0].effective |= caps[0].permitted & (UINT32_C(1) << CAP_DAC_READ_SEARCH);
        (void) syscall(SYS_capset, &header, caps);
}
