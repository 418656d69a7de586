/* Owns every mapping and wires watcher, scanner, journal and uploader; answers what the control socket asks. Lives on
 * the loop's thread; nothing here blocks. Created by daemon/main. */
#pragma once

#include "config/config.h"
#include "util/error.h"

#include <systemd/sd-event.h>

typedef struct Engine Engine;

typedef struct EngineOptions {
        const char *state_dir; /* journal and lock file; made with mode 0700 if it is missing */
        bool once;             /* no watching: scan, drain, then `once_done` */
        void (*once_done)(bool in_sync, void *userdata);
        void (*reload)(
                void *userdata); /* the configuration's secrets have changed: as by SIGHUP; NULL: it waits for one
                                  */
        void *userdata;
} EngineOptions;

int engine_new(Engine **ret, sd_event *loop, const EngineOptions *options, Error *e) _must_check_;
/* Stops within a bounded time: requests under way are aborted, the journal is checkpointed and closed. */
Engine *engine_free(Engine *engine);
DEFINE_CLEANUP(Engine *, engine_free);

/* Puts `config` (taken) in force whole: mappings that are new start, changed ones restart, missing ones stop. */
int engine_apply(Engine *engine, Config *config, Error *e) _must_check_;
const Config *engine_config(const Engine *engine); /* NULL before the first engine_apply() */
/* One line for STATUS= and the system log, e.g. "2 mappings in sync", escaped. */
void engine_summary(const Engine *engine, char *ret, size_t room);
/* For the watchdog, asked from the loop every few seconds: false if a thread that cannot be held up by a file system
 * does not get on, so that a restart would help. One that hangs in a mount is its mapping's own trouble (pitfalls 2.6).
 */
bool engine_healthy(const Engine *engine);
void engine_short(Engine *engine); /* a descriptor was not to be had: those of kept connections are given back */

/* --- what control asks; mapping NULL means all; strings are borrowed until the loop turns --- */

typedef struct FlightStatus {
        const char *path;    /* raw bytes, NUL-terminated */
        uint64_t sent, size; /* bytes; of a large file `sent` counts what need not be sent, too */
        double rate;         /* of a large file: bytes of `sent` per second, of late */
        double remaining_s;  /* at that rate; negative: not known */
} FlightStatus;

typedef struct MappingStatus {
        const char *name, *folder, *url; /* url: of the container and prefix, no secret in it */
        const char *state;               /* failed blocked paused held scanning offline syncing idle */
        const char *detail;    /* why blocked or offline or waiting, for people; "" if there is nothing to say */
        uint64_t files, bytes; /* confirmed in the cloud */
        uint64_t pending, failed, held, busy, conflicts, skipped;
        const FlightStatus *in_flight;
        size_t n_in_flight;
        double lag_s; /* age of the oldest unsynced change; 0 in sync */
        uint64_t uploaded_files, uploaded_bytes, copied_files, deleted_files, requests; /* since process start */
        double rate;                                /* body bytes per second, of late */
        unsigned transfers_limit, transfers_active; /* requests of its account: at most, and now */
        uint64_t bandwidth;                         /* bytes per second that it may have now; 0: no limit */
        const char *watch;       /* inotify poll mixed: what tells of changes; mixed: some folders are polled */
        unsigned polled_folders; /* over the watch limit, or on a file system that does not tell */
        double rescan_s;         /* between full comparisons: `rescan`, or what polling has come to */
        const char *last_error;  /* "" if none */
        int64_t last_sync_ns;    /* wall ns of the last moment in sync; 0: never */
} MappingStatus;
typedef int (*EngineStatusFn)(const MappingStatus *status, void *userdata); /* negative: stop, forwarded */
int engine_status(Engine *engine, const char *mapping, EngineStatusFn fn,
                  void *userdata); /* -ENOENT: no such mapping */

typedef struct QueueItem {
        const char *mapping;
        const char *path;   /* raw bytes, NUL-terminated */
        const char *state;  /* pending failed held busy conflict skipped */
        const char *reason; /* "" if none; for people */
        unsigned attempts;
        int64_t first_ns; /* wall: since when it is unsynced */
        int64_t next_ns;  /* wall: next try; 0: not by itself */
} QueueItem;
typedef int (*EngineQueueFn)(const QueueItem *item, void *userdata);
/* At most `limit` items after (`mapping`, `after`), in order of mapping and path; `after` NULL: from the start. */
int engine_queue(Engine *engine, const char *mapping, const char *after, unsigned limit, EngineQueueFn fn,
                 void *userdata);

typedef enum WaitResult {
        WAIT_IN_SYNC,
        WAIT_HOPELESS /* failed, held, blocked, conflict or paused: exit 3 */
} WaitResult;
typedef struct EngineWait EngineWait;
typedef void (*EngineWaitFn)(WaitResult result, const char *why,
                             void *userdata); /* once, on the loop; never from inside engine_wait() */
/* Promise 3: everything that the kernel had reported before this call is in the cloud. n = 0: all mappings. */
int engine_wait(Engine *engine, const char *const *mappings, size_t n, EngineWaitFn fn, void *userdata,
                EngineWait **ret);
void engine_wait_cancel(EngineWait *wait);

typedef enum EngineVerb {
        ENGINE_RESCAN,
        ENGINE_RETRY,
        ENGINE_PAUSE,
        ENGINE_RESUME,
        ENGINE_APPROVE,
        ENGINE_REJECT
} EngineVerb;
/* 0; -ENOENT: no such mapping; -ESRCH: nothing to approve or reject. `e` says it in words. */
int engine_do(Engine *engine, EngineVerb verb, const char *mapping, Error *e);

/* Called on the loop after anything that status shows has changed, at most ten times a second. A few
 * listeners, each as long-lived as the engine. */
void engine_listen(Engine *engine, void (*fn)(void *userdata), void *userdata);
