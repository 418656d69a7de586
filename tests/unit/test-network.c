/* rtnetlink: pitfalls 10.10. In a network of the test's own, where loopback is off at first. */
#include "http/network.h"

#include "patience.h"
#include "util/macro.h"

#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cmocka.h>

static void loopback(bool up) {
        _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct ifreq request = { .ifr_name = "lo", .ifr_flags = up ? IFF_UP : 0 };

        assert_true(fd >= 0);
        assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &request), 0);
}

static void on_news(void *userdata) {
        (*(unsigned *) userdata)++;
}

static void drain(sd_event *loop) {
        while (sd_event_run(loop, 0) > 0)
                ;
}

static void test_news(void **state) {
        _cleanup_(network_freep) Network *n = NULL;
        sd_event *loop = NULL;
        unsigned told = 0;
        Error e = ERROR_NULL;

        if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
                skip();
        assert_true(sd_event_new(&loop) >= 0);
        assert_int_equal(network_new(&n, loop, on_news, &told, &e), 0);
        drain(loop);
        assert_int_equal(told, 0);
        loopback(true); /* addresses and routes come: many messages, told at once */
        while (told == 0)
                assert_true(sd_event_run(loop, PATIENCE) > 0);
        drain(loop);
        told = 0;
        loopback(false); /* what goes is no reason to try again */
        drain(loop);
        assert_int_equal(told, 0);
        loopback(true);
        while (told == 0)
                assert_true(sd_event_run(loop, PATIENCE) > 0);
        /* more than the socket holds: what is lost counts as news */
        drain(loop);
        for (unsigned i = 0; i < 500; i++) {
                loopback(false);
                loopback(true);
        }
        told = 0;
        drain(loop);
        assert_true(told > 0);
        n = network_free(n);
        sd_event_unref(loop);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_news),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
