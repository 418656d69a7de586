#include "http/network.h"

#include "util/macro.h"

#include <assert.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdalign.h>
#include <sys/epoll.h>
#include <sys/socket.h>

struct Network {
        int fd;
        sd_event_source *source;
        NetworkFn fn;
        void *userdata;
};

static bool is_news(const void *bytes, size_t size) {
        uint32_t left = (uint32_t) size;

        for (const struct nlmsghdr *h = bytes; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left))
                if (h->nlmsg_type == RTM_NEWADDR || h->nlmsg_type == RTM_NEWROUTE)
                        return true;
        return false;
}

static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Network *n = userdata;
        bool news = false;

        for (unsigned i = 0; i < 64; i++) { /* the rest in the next turn */
                alignas(struct nlmsghdr) char bytes[8192];
                ssize_t got = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);

                if (got < 0 && errno == ENOBUFS) { /* so much that some was dropped */
                        news = true;
                        continue;
                }
                if (got <= 0)
                        break;
                news |= is_news(bytes, (size_t) got);
        }
        if (news)
                n->fn(n->userdata);
        return 0;
}

int network_new(Network **ret, sd_event *loop, NetworkFn fn, void *userdata, Error *e) {
        struct sockaddr_nl address = { .nl_family = AF_NETLINK,
                                       .nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
                                                    RTMGRP_IPV6_ROUTE };
        _cleanup_(network_freep) Network *n = NULL;
        int r;

        assert(ret && loop && fn);

        n = calloc(1, sizeof(*n));
        if (!n)
                return error_oom(e);
        n->fn = fn;
        n->userdata = userdata;
        n->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
        if (n->fd < 0 || bind(n->fd, (const struct sockaddr *) &address, sizeof(address)) < 0)
                return error_os(e, errno, "listening to the network's changes");
        r = sd_event_add_io(loop, &n->source, n->fd, EPOLLIN, on_readable, n);
        if (r < 0)
                return error_os(e, -r, "listening to the network's changes");
        *ret = TAKE_PTR(n);
        return 0;
}

Network *network_free(Network *n) {
        if (!n)
                return NULL;
        (void) sd_event_source_disable_unref(n->source);
        closep(&n->fd);
        free(n);
        return NULL;
}
