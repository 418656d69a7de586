#include "util/jump.h"

#include "util/clock.h"

#include <assert.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>

#define JUMP_LEAST (30 * NSEC_PER_SEC)

struct Jump {
        int fd;
        sd_event_source *source;
        int64_t apart;
        JumpFn fn;
        void *userdata;
};

int64_t jump_judge(int64_t *apart, int64_t wall_ns, int64_t awake_ns) {
        int64_t now = wall_ns - awake_ns, jumped = now - *apart;

        if (jumped <= JUMP_LEAST && jumped >= -JUMP_LEAST)
                return 0; /* kept, so that many small steps add up */
        *apart = now;
        return jumped;
}

static int64_t clock_awake(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts); /* stands still in suspend */
        return (int64_t) ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

/* A timer that never ends, but is cancelled when the wall clock is set, and by a resume, which sets it. */
static int arm(const Jump *j) {
        struct itimerspec never = { .it_value.tv_sec = (time_t) (INT64_MAX / NSEC_PER_SEC) };

        return timerfd_settime(j->fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL);
}

static int on_set(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Jump *j = userdata;
        uint64_t ignored;
        int64_t jumped;

        (void) !read(fd, &ignored, sizeof(ignored)); /* ECANCELED: the clock was set */
        (void) arm(j);
        jumped = jump_judge(&j->apart, clock_wall(), clock_awake());
        if (jumped != 0)
                j->fn(jumped, j->userdata);
        return 0;
}

int jump_new(Jump **ret, sd_event *loop, JumpFn fn, void *userdata, Error *e) {
        _cleanup_(jump_freep) Jump *j = NULL;
        int r;

        assert(ret && loop && fn);

        j = calloc(1, sizeof(*j));
        if (!j)
                return error_oom(e);
        j->fn = fn;
        j->userdata = userdata;
        j->apart = clock_wall() - clock_awake();
        j->fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
        if (j->fd < 0 || arm(j) < 0)
                return error_os(e, errno, "watching the clock");
        r = sd_event_add_io(loop, &j->source, j->fd, EPOLLIN, on_set, j);
        if (r < 0)
                return error_os(e, -r, "watching the clock");
        *ret = TAKE_PTR(j);
        return 0;
}

Jump *jump_free(Jump *j) {
        if (!j)
                return NULL;
        (void) sd_event_source_disable_unref(j->source);
        closep(&j->fd);
        free(j);
        return NULL;
}
