/* Trees deeper than any path the kernel takes (pitfalls 6.7): made step by step, and taken apart before the ordinary
 * tear-down meets them. */
#pragma once

#include "scratch.h"

#include <sys/wait.h>

#define DEEP_NAME 240

/* Makes `levels` folders of DEEP_NAME letters, one in the other, in the root. Returns the last one, open, and its path
 * in `path`, which has the room. `each` may be NULL. */
static inline int deep_make(char *path, unsigned levels, void (*each)(const char *path, int fd)) {
        int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        size_t size = 0;

        for (unsigned i = 0; i < levels; i++) {
                int next;

                assert_true(fd >= 0);
                if (size > 0)
                        path[size++] = '/';
                memset(path + size, 'a' + (int) (i % 26), DEEP_NAME);
                path[size + DEEP_NAME] = '\0';
                assert_int_equal(mkdirat(fd, path + size, 0755), 0);
                next = openat(fd, path + size, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                (void) close(fd);
                fd = next;
                size += DEEP_NAME;
                if (each)
                        each(path, fd);
        }
        assert_true(fd >= 0);
        return fd;
}

static inline int tear_down_deep(void **state) {
        pid_t pid = fork();
        int status;

        if (pid == 0) {
                (void) execlp("rm", "rm", "-rf", "--", root, NULL);
                _exit(127);
        }
        if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
                return -1;
        return tear_down(state);
}
