/* The daemon's middle: gathers writes into transactions, wakes the uploader, tells listeners. See engine.h. */
#include "sync/engine.h"

#include "sync/guard.h"

#include "azsyncd/messages.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/thread.h"

#include <assert.h>

#define TELL_PAUSE (100 * NSEC_PER_MSEC)
#define READER_STUCK (30 * NSEC_PER_SEC)
#define STUCK_AT_END NSEC_PER_SEC /* threads that read are waited for so long when the process ends */

/* What concerns a million rows is not done in one turn of the loop. */
static void carry_on(Sync *s) {
        if (journal_broken(s->journal))
                return; /* until recovery.c kicks */
        for (size_t i = 0; i < s->n_mappings; i++) {
                guard_carry(s->mappings[i]);
                verbs_carry(s->mappings[i]);
        }
        if (journal_sweep(s->journal, JOURNAL_SWEEP_STEP, NULL) > 0) {
                sync_touch(s);
                sync_kick(s);
        }
}

static void on_work(void *userdata) {
        Sync *s = userdata;
        int64_t now = clock_boot(), next; /* one now for both, or what comes due between them is nobody's */

        carry_on(s);
        job_memory(s);
        uploader_run(s, now);
        next = journal_broken(s->journal) ? INT64_MAX : uploader_next(s, now);
        if (next == INT64_MAX)
                timer_stop(s->wake);
        else
                timer_set(s->wake, next);
}

static void note_sync(Mapping *m) {
        bool in_sync = mapping_in_sync(m);

        if (in_sync && !m->was_in_sync) {
                LogRecord l = LOG_HERE;

                m->record.last_sync_ns = clock_wall();
                m->record.suspect = false; /* whatever was to be deleted is, or was decided anew */
                m->said = (LogLimit){ 0 };
                if (!m->first_sync) { /* the first time is worth a line; after that status tells */
                        const JournalCounts *c = journal_counts(m->sync->journal, m->record.id);

                        m->first_sync = true;
                        mapping_fields(&l, m->config);
                        log_commit(&l, LOG_NOTICE, MSG_IN_SYNC, "%s: in sync, %llu %s.", m->config->name,
                                   (unsigned long long) c->files, c->files == 1 ? "file" : "files");
                }
                mapping_save(m, false);
        }
        m->was_in_sync = in_sync;
}

static void on_settled(void *userdata) {
        Sync *s = userdata;
        bool committed;

        timer_stop(s->commit);
        for (size_t i = 0; i < s->n_mappings; i++) {
                note_sync(s->mappings[i]);
                mapping_alert(s->mappings[i]);
                stuck_watch(s->mappings[i]);
        }
        committed = sync_commit(s) >= 0;
        if (committed) {
                waits_check(s);
                if (s->n_listeners > 0 && timer_get(s->tell) == 0)
                        timer_set(s->tell, s->told_at + TELL_PAUSE);
        }
        once_check(s, committed);
}

static void on_tell(void *userdata) {
        Sync *s = userdata;

        s->told_at = clock_boot();
        for (size_t i = 0; i < s->n_listeners; i++)
                s->listeners[i].fn(s->listeners[i].userdata);
}

void engine_listen(Engine *engine, void (*fn)(void *userdata), void *userdata) {
        Sync *s = &engine->sync;

        assert(s->n_listeners < ELEMENTSOF(s->listeners));

        s->listeners[s->n_listeners].fn = fn;
        s->listeners[s->n_listeners++].userdata = userdata;
}

/* A disk came or went. Only mappings that it concerns are looked at, and whole: the walk begins with the root's
 * identity. */
static void on_mounts(const Buf *table, void *userdata) {
        Sync *s = userdata;

        for (size_t i = s->n_mappings; i-- > 0;) {
                Mapping *m = s->mappings[i];
                uint64_t seen = mounts_digest(buf_text(table), m->config->folder);
                bool changed = seen != m->mounts_seen && m->mounts_seen != 0;

                m->mounts_seen = seen;
                if (changed && m->stuck)
                        sync_restart(s, i); /* its threads may be lost in a mount that is no longer there */
                else if (changed) {
                        m->other_root = (RootId){ 0 }; /* nobody approves what may be covered by now */
                        mapping_scan(m, "");
                }
        }
}

int engine_new(Engine **ret, sd_event *loop, const EngineOptions *options, Error *e) {
        _cleanup_(engine_freep) Engine *engine = NULL;
        bool quarantined;
        Sync *s;
        int r;

        assert(ret && loop && options && options->state_dir);

        engine = calloc(1, sizeof(*engine));
        if (!engine)
                return error_oom(e);
        s = &engine->sync;
        s->loop = sd_event_ref(loop);
        s->once = options->once;
        s->once_done = options->once_done;
        s->once_data = options->userdata;
        s->transfers = SYNC_TRANSFERS;
        r = journal_open(&s->journal, options->state_dir, &quarantined, e);
        if (r < 0)
                return r;
        if (quarantined) {
                LogRecord l = LOG_HERE;

                log_commit(&l, LOG_ERR, MSG_JOURNAL_TROUBLE,
                           "The journal was damaged (%s); it is rebuilt from the folders and the containers.",
                           e ? e->text : "");
        }
        r = defer_new(&s->work, loop, on_work, s, e);
        if (r >= 0)
                r = defer_new(&s->settled, loop, on_settled, s, e);
        if (r >= 0)
                r = timer_new(&s->wake, loop, on_work, s, e);
        if (r >= 0)
                r = timer_new(&s->commit, loop, on_settled, s, e);
        if (r >= 0)
                r = recovery_new(s, e);
        if (r >= 0)
                r = timer_new(&s->tell, loop, on_tell, s, e);
        if (r >= 0)
                r = timer_new(&s->throttle, loop, throttle_serve, s, e);
        if (r >= 0 && !s->once && mounts_new(&s->mounts, loop, on_mounts, s, NULL) < 0)
                log_debug("no mountinfo: a missing disk is noticed when something is to be done");
        if (r >= 0 && !s->once)
                r = outside_new(&s->outside, s, options->reload, options->userdata, e);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(engine);
        return 0;
}

Engine *engine_free(Engine *engine) {
        Sync *s;

        if (!engine)
                return NULL;
        s = &engine->sync;
        s->closing = true;
        waits_free(s);
        while (s->n_mappings > 0) {
                mapping_free(s->mappings[s->n_mappings - 1]);
                s->n_mappings--;
        }
        free(s->mappings);
        while (s->n_accounts > 0)
                account_free(s->accounts[--s->n_accounts]);
        free(s->accounts);
        timer_free(s->wake);
        timer_free(s->commit);
        timer_free(s->recover);
        timer_free(s->tell);
        timer_free(s->throttle);
        mounts_free(s->mounts);
        outside_free(s->outside);
        defer_free(s->work);
        defer_free(s->settled);
        threads_wait(STUCK_AT_END);
        journal_close(s->journal);
        while (engine->n_configs > 0)
                config_free(engine->configs[--engine->n_configs]);
        free(engine->configs);
        (void) sd_event_unref(s->loop);
        free(engine);
        return NULL;
}

bool engine_healthy(const Engine *engine) {
        const Sync *s = &engine->sync;

        for (size_t i = 0; i < s->n_mappings; i++)
                if (s->mappings[i]->watcher && watcher_stuck(s->mappings[i]->watcher) > READER_STUCK)
                        return false;
        return true;
}

void engine_short(Engine *engine) {
        accounts_short(&engine->sync);
}
