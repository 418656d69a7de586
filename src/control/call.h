/* One request being answered, from the first reply to the last: the methods. Knows the engine, not the socket: replies
 * are put into `out`, one at a time, and the next one is made only when the last one is gone. Embedded in its Peer. */
#pragma once

#include "control/protocol.h"
#include "sync/engine.h"
#include "util/timer.h"

#include <sys/types.h>

/* What the methods work on; one for all peers. */
typedef struct Control {
        Engine *engine;
        int (*reload)(Buf *report, Error *e, void *userdata);
        void *userdata;
        int64_t started_ns; /* boot time */
        int64_t refused_ns; /* wall time at which a reload was refused; 0: the last one was not */
        char refused[512];  /* its first complaint, for display */
        Buf news[2];        /* Status of all mappings, [trusted]: made once for everyone who is told of a change */
} Control;

typedef enum CallState {
        CALL_NONE,  /* nothing is under way */
        CALL_QUEUE, /* more pages to come: call_more() */
        CALL_WATCH, /* Status with `more`: call_more() when it is `dirty` */
        CALL_WAIT,  /* until the engine or the time limit says so, by `ready` */
} CallState;

typedef struct Call {
        Control *control;
        bool trusted; /* root or our own user */
        uid_t uid;
        pid_t pid;
        Buf *out;
        void (*ready)(int r, void *userdata); /* a reply was put into `out` (r = 0) or could not be (negative) */
        void *userdata;

        CallState state;
        bool dirty;       /* CALL_WATCH: something has changed since the last reply */
        char *mapping;    /* of CALL_WATCH and CALL_QUEUE; NULL: all */
        char *at, *after; /* CALL_QUEUE: goes on behind the path `after` of the mapping `at` */
        EngineWait *wait;
        Timer *timer;
} Call;

/* Both return 0 or a negative errno, upon which the peer has to be dropped; what merely goes wrong is a reply. */
int call_start(Call *c, sd_event *loop, const Request *r) _must_check_;
int call_more(Call *c) _must_check_;
void call_stop(Call *c); /* whatever is under way; the call can be started again */

/* After telling every peer of a change: what was made for it is not shown for the next one. */
void control_forget_news(Control *control);
