/* What the file system says of a mapped folder. It may be a mount that hangs, and then a configuration has to be read
 * all the same, or nobody could take that mapping out while the daemon runs (pitfalls 2.6). So each question is put in
 * a thread of its own, and one that is not answered within a moment is left open: what acts on the folder follows no
 * link and checks its identity anyway. */
#include "config/parts.h"
#include "util/clock.h"
#include "util/path.h"
#include "util/thread.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define LEAST (100 * NSEC_PER_MSEC) /* for each, however long others took: a disk may be busy */

static int real_path(const char *folder, char **ret) {
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
static bool is_above(const char *folder, const char *state_dir) {
        _cleanup_close_ int fd = -1;
        struct stat root, st;

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

typedef struct Question {
        char *folder, *state_dir;
        char *real;
        int r;
        bool above;
} Question;

static Question *question_free(Question *q) {
        if (q) {
                free(q->folder);
                free(q->state_dir);
                free(q->real);
                free(q);
        }
        return NULL;
}
DEFINE_CLEANUP(Question *, question_free);

static void on_drop(void *userdata) {
        question_free(userdata);
}

static void on_question(void *userdata) {
        Question *q = userdata;

        if (q->state_dir)
                q->above = is_above(q->folder, q->state_dir);
        else
                q->r = real_path(q->folder, &q->real);
}

/* NULL: no answer. */
static Question *ask(ConfigReader *c, const char *folder, const char *state_dir) {
        _cleanup_(question_freep) Question *q = calloc(1, sizeof(*q));
        int64_t left = MAX(c->patience, LEAST);
        bool answered;

        if (!q || !(q->folder = strdup(folder)) || (state_dir && !(q->state_dir = strdup(state_dir))))
                return NULL;
        answered = thread_ask(on_question, on_drop, q, &left);
        c->patience = MIN(c->patience, left);
        if (answered)
                return TAKE_PTR(q);
        q = NULL; /* the thread's */
        return NULL;
}

int folder_real(ConfigReader *c, const char *folder, char **ret) {
        _cleanup_(question_freep) Question *q = ask(c, folder, NULL);

        if (!q)
                return -ETIMEDOUT;
        if (q->real)
                *ret = TAKE_PTR(q->real);
        return q->r;
}

bool folder_holds(ConfigReader *c, const char *folder, const char *state_dir) {
        _cleanup_(question_freep) Question *q = NULL;

        if (path_beneath(state_dir, folder))
                return true;
        q = ask(c, folder, state_dir);
        return q && q->above;
}
