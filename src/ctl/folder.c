#include "ctl/folder.h"

#include "ctl/setup.h"
#include "util/clock.h"
#include "util/path.h"
#include "util/thread.h"

#include <fcntl.h>
#include <string.h>

#define PATIENCE (5 * NSEC_PER_SEC)

typedef struct Look {
        char *folder; /* as it was typed; then absolute */
        int err;
} Look;

static void look_done(void *userdata) {
        Look *l = userdata;

        free(l->folder);
        free(l);
}

/* An absolute path without ".", "//" and a '/' at its end; ".." is where the file system says. Links stay, so that the
 * loader names the real path. NULL: errno tells. */
static char *absolute(const char *typed) {
        _cleanup_free_ char *here = typed[0] == '/' ? NULL : getcwd(NULL, 0), *whole = NULL;
        size_t size = 0;

        if ((typed[0] != '/' && !here) || asprintf(&whole, "%s/%s", here ? here : "", typed) < 0)
                return NULL;
        for (const char *p = whole; *p;) {
                size_t n;

                p += strspn(p, "/");
                n = strcspn(p, "/");
                if (n == 2 && p[0] == '.' && p[1] == '.')
                        return realpath(typed, NULL);
                if (n > 0 && !(n == 1 && p[0] == '.')) {
                        whole[size++] = '/';
                        memmove(whole + size, p, n);
                        size += n;
                }
                p += n;
        }
        whole[size == 0 ? 1 : size] = '\0';
        return TAKE_PTR(whole);
}

static void look(void *userdata) {
        Look *l = userdata;
        char *whole = absolute(l->folder);
        _cleanup_close_ int fd = whole ? open(whole, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

        l->err = fd < 0 ? errno : 0;
        if (!whole)
                return;
        free(l->folder);
        l->folder = whole;
}

int folder_find(const char *typed, char **ret) {
        Look *l = calloc(1, sizeof(*l));
        _cleanup_free_ char *folder = NULL;
        int64_t left = PATIENCE;
        int err;

        if (!l || !(l->folder = strdup(typed))) {
                free(l);
                return setup_fail("out of memory");
        }
        if (l->folder[0] == '\0') {
                look_done(l);
                return setup_fail("FOLDER is empty");
        }
        if (!thread_ask(look, look_done, l, &left))
                return setup_fail("%s does not answer: its mount hangs", PATH_SHOWN(typed));
        folder = TAKE_PTR(l->folder);
        err = l->err;
        look_done(l);
        if (err != 0)
                return setup_fail("%s: %s%s", PATH_SHOWN(folder), strerror(err),
                                  err == ENOENT    ? "; make it first, if that is not a slip"
                                  : err == ENOTDIR ? "; expected a folder"
                                  : err == EACCES  ? "; azsyncd must be able to read it"
                                                   : "");
        *ret = TAKE_PTR(folder);
        return 0;
}
