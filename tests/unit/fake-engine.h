/* An engine that says what a test tells it to: it defines the functions of sync/engine.h that control uses, so that the
 * linker takes no other. */
#pragma once

#include "sync/engine.h"
#include "util/macro.h"

typedef struct FakeMapping {
        const char *name;
        unsigned items;         /* in its queue: paths "00000", "00001", ... */
        size_t path_size;       /* each padded to this many bytes */
        const char *last_error; /* names a file */
} FakeMapping;

struct EngineWait {
        Engine *engine;
        EngineWaitFn fn;
        void *userdata;
        EngineWait *next;
};

struct Engine {
        const FakeMapping *mappings;
        size_t n_mappings;
        uint64_t files; /* shown in Status: a number to change */
        EngineWait *waits;
        unsigned n_status, n_queue, n_waits, n_cancelled;
        EngineVerb verb;
        char verb_mapping[64];
        unsigned n_verbs;
        int verb_result;
        bool pause_ends_waits;
        void (*listener)(void *userdata);
        void *listener_data;
};

void fake_answer_waits(Engine *e, WaitResult result, const char *why);
void fake_change(Engine *e);
