#include "control/address.h"

#include "azsyncd/control.h"
#include "util/places.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

void address_make(struct sockaddr_un *ret, const char *dir, int dir_fd) {
        int n;

        *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
        n = snprintf(ret->sun_path, sizeof(ret->sun_path), "%s/%s", dir, AZSYNC_SOCKET_NAME);
        if (n < 0 || (size_t) n >= sizeof(ret->sun_path))
                (void) snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%i/%s", dir_fd,
                                AZSYNC_SOCKET_NAME);
}

/* Is somebody behind the socket file? 1 yes, 0 no (or there is none), negative: it is not a socket, or not ours. */
static int probe(int dir_fd, const struct sockaddr_un *address, const char *dir, Error *e) {
        _cleanup_close_ int fd = -1;
        struct stat st;

        if (fstatat(dir_fd, AZSYNC_SOCKET_NAME, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : error_os(e, errno, "looking at %s/%s", dir, AZSYNC_SOCKET_NAME);
        if (!S_ISSOCK(st.st_mode))
                return error_set(e, -EEXIST, ERROR_OS, EEXIST, "%s/%s is there and is not a socket", dir,
                                 AZSYNC_SOCKET_NAME);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return error_os(e, errno, "making a socket");
        if (connect(fd, (const struct sockaddr *) address, sizeof(*address)) == 0)
                return 1;
        /* EAGAIN: its backlog is full, so it has one */
        return errno == ECONNREFUSED || errno == ENOENT ? 0 : 1;
}

static int listener_bind(int fd, int dir_fd, const char *dir, Error *e) {
        struct sockaddr_un address;
        int r;

        address_make(&address, dir, dir_fd);
        r = probe(dir_fd, &address, dir, e);
        if (r < 0)
                return r;
        if (r > 0)
                return error_set(e, -EADDRINUSE, ERROR_OS, EADDRINUSE, "another azsyncd is running (%s/%s answers)",
                                 dir, AZSYNC_SOCKET_NAME);
        if (unlinkat(dir_fd, AZSYNC_SOCKET_NAME, 0) < 0 && errno != ENOENT)
                return error_os(e, errno, "removing the old %s/%s", dir, AZSYNC_SOCKET_NAME);

        /* The file takes the mode of the unbound socket less the umask: it is never open wider than this, not even for
         * a moment, and no other thread's files feel a changed umask. */
        if (fchmod(fd, 0660) < 0 || bind(fd, (const struct sockaddr *) &address, sizeof(address)) < 0)
                return error_os(e, errno, "making %s/%s", dir, AZSYNC_SOCKET_NAME);
        if (fchmodat(dir_fd, AZSYNC_SOCKET_NAME, 0660, 0) < 0 || listen(fd, SOMAXCONN) < 0) {
                r = error_os(e, errno, "listening on %s/%s", dir, AZSYNC_SOCKET_NAME);
                (void) unlinkat(dir_fd, AZSYNC_SOCKET_NAME, 0);
                return r;
        }
        return 0;
}

int listener_open(Listener *ret, const char *dir, Error *e) {
        _cleanup_close_ int fd = -1, dir_fd = -1;
        int r;

        assert(ret && dir);

        r = place_make(dir, 0755);
        if (r < 0)
                return error_os(e, -r, "making the runtime directory %s", dir);
        dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir_fd < 0)
                return error_os(e, errno, "opening the runtime directory %s", dir);
        /* Two daemons that start at once would both find the socket of a third one dead: the lock goes first. */
        if (flock(dir_fd, LOCK_EX | LOCK_NB) < 0) {
                if (errno == EWOULDBLOCK)
                        return error_set(e, -EADDRINUSE, ERROR_OS, EADDRINUSE,
                                         "another azsyncd is running (it has locked %s)", dir);
                return error_os(e, errno, "locking the runtime directory %s", dir);
        }
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return error_os(e, errno, "making the control socket");
        r = listener_bind(fd, dir_fd, dir, e);
        if (r < 0)
                return r;
        ret->fd = TAKE_FD(fd);
        ret->dir_fd = TAKE_FD(dir_fd);
        return 0;
}

void listener_close(Listener *l) {
        if (l->fd >= 0)
                (void) unlinkat(l->dir_fd, AZSYNC_SOCKET_NAME, 0);
        closep(&l->fd);
        closep(&l->dir_fd);
        *l = LISTENER_INIT;
}
