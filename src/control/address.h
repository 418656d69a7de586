/* Where the control socket is. Shared by the server and azsyncctl. */
#pragma once

#include "util/error.h"

#include <sys/socket.h>
#include <sys/un.h>

/* The address of the socket in `dir`, also for a path that is too long for one: `dir_fd` is then used, and has to stay
 * open until connect() or bind() is done. */
void address_make(struct sockaddr_un *ret, const char *dir, int dir_fd);

/* The listening socket, and the lock on its folder that says that we are alive. */
typedef struct Listener {
        int fd, dir_fd;
} Listener;
#define LISTENER_INIT ((Listener){ -1, -1 })

/* Makes `dir` if it is missing. A socket whose daemon is dead is replaced; -EADDRINUSE if it lives. */
int listener_open(Listener *ret, const char *dir, Error *e) _must_check_;
void listener_close(Listener *l); /* removes the socket */
