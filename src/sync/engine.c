/* The daemon's middle: puts configurations in force, gathers writes into transactions, wakes the uploader. See
 * engine.h. */
#include "sync/engine.h"

#include "sync/state.h"

#include "azsyncd/messages.h"
#include "util/backoff.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/thread.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define GROUP_COMMIT (50 * NSEC_PER_MSEC) /* 9.1 */
#define BUSY_JOBS 16u                     /* from here on writes are gathered */
#define TELL_PAUSE (100 * NSEC_PER_MSEC)
#define READER_STUCK (30 * NSEC_PER_SEC)
#define STUCK_AT_END NSEC_PER_SEC /* threads that read are waited for so long when the process ends */
#define ONCE_FAILURES 5u          /* --once gives up on an account after so many in a row */

Mapping *sync_find(const Sync *s, const char *name) {
        for (size_t i = 0; i < s->n_mappings; i++)
                if (strcmp(s->mappings[i]->config->name, name) == 0)
                        return s->mappings[i];
        return NULL;
}

void sync_kick(Sync *s) {
        if (!s->closing)
                defer_arm(s->work);
}

void sync_touch(Sync *s) {
        unsigned jobs = 0;

        if (s->closing)
                return;
        for (size_t i = 0; i < s->n_mappings; i++)
                jobs += s->mappings[i]->n_jobs;
        if (jobs < BUSY_JOBS)
                defer_arm(s->settled);
        else if (timer_get(s->commit) == 0)
                timer_set(s->commit, clock_boot() + GROUP_COMMIT);
}

int sync_commit(Sync *s) {
        int r = s->guard_counted ? journal_commit_durable(s->journal, NULL) : journal_commit(s->journal, NULL);

        s->guard_counted = false;
        for (size_t i = 0; i < s->n_mappings && r >= 0; i++) {
                buf_clear(&s->mappings[i]->told);
                s->mappings[i]->told_more = false;
        }
        return r;
}

/* What failed or waits is tried at once; a million of them not in one turn of the loop. */
static int retry_some(Mapping *m, Error *e) {
        static const PathState retried[] = { PATH_FAILED, PATH_CONFLICT, PATH_PENDING };
        Journal *j = m->sync->journal;
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(retried) && r == 0; i++)
                r = journal_release(j, m->record.id, retried[i], journal_sequence(j, clock_wall()), e);
        m->retrying = r > 0;
        return r;
}

static void retry_more(Sync *s) {
        for (size_t i = 0; i < s->n_mappings; i++) {

                if (!s->mappings[i]->retrying)
                        continue;
                (void) retry_some(s->mappings[i], NULL);
                sync_touch(s);
                sync_kick(s);
        }
}

static void on_work(void *userdata) {
        Sync *s = userdata;
        int64_t now = clock_boot(), next; /* one now for both, or what comes due between them is nobody's */

        retry_more(s);
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
                m->logged_failures = 0;
                if (!m->first_sync) { /* the first time is worth a line; after that status tells */
                        const JournalCounts *c = journal_counts(m->sync->journal, m->record.id);

                        m->first_sync = true;
                        log_field(&l, "AZSYNC_MAPPING=%s", m->config->name);
                        log_commit(&l, LOG_NOTICE, MSG_IN_SYNC, "%s: in sync, %llu files.", m->config->name,
                                   (unsigned long long) c->files);
                }
                mapping_save(m, false);
        }
        m->was_in_sync = in_sync;
}

static bool once_over(const Sync *s, bool *ret_in_sync) {
        bool in_sync = true;

        for (size_t i = 0; i < s->n_mappings; i++) {
                const Mapping *m = s->mappings[i];
                bool given_up = m->record.paused || m->block != BLOCK_NONE ||
                                (m->account->gate != GATE_OPEN &&
                                 (m->account->gate == GATE_DENIED || m->account->failures >= ONCE_FAILURES));

                if (mapping_in_sync(m))
                        continue;
                in_sync = false;
                if (m->stuck)
                        continue; /* for ever, perhaps */
                if (given_up && m->n_jobs == 0 && !mapping_scanning(m))
                        continue;
                if (mapping_pending(m) > 0 || mapping_scanning(m) || !m->record.contacted || !m->scanned_once ||
                    m->n_jobs > 0)
                        return false;
        }
        *ret_in_sync = in_sync;
        return true;
}

static void once_end(Sync *s, bool in_sync) {
        void (*done)(bool, void *) = TAKE_PTR(s->once_done);

        done(in_sync, s->once_data);
}

static void on_settled(void *userdata) {
        Sync *s = userdata;
        bool in_sync;

        timer_stop(s->commit);
        for (size_t i = 0; i < s->n_mappings; i++) {
                note_sync(s->mappings[i]);
                mapping_alert(s->mappings[i]);
                stuck_watch(s->mappings[i]);
        }
        if (sync_commit(s) < 0) {
                if (s->once_done && s->recover_attempts > ONCE_FAILURES)
                        once_end(s, false);
                return;
        }
        waits_check(s);
        if (s->n_listeners > 0 && timer_get(s->tell) == 0)
                timer_set(s->tell, s->told_at + TELL_PAUSE);
        if (s->once_done && once_over(s, &in_sync))
                once_end(s, in_sync);
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

static Mapping *load(Sync *s, const MappingConfig *c, Account *a) {
        Error e = ERROR_NULL;
        Mapping *m;

        if (mapping_new(&m, s, c, a, &e) < 0) {
                LogRecord l = LOG_HERE;

                log_field(&l, "AZSYNC_MAPPING=%s", c->name);
                log_field_error(&l, &e);
                log_commit(&l, LOG_ERR, MSG_UNLOADABLE, "Mapping %s cannot be loaded: %s", c->name, e.text);
                return NULL;
        }
        return m;
}

static void forget(Sync *s, size_t i) {
        memmove(&s->mappings[i], &s->mappings[i + 1], (s->n_mappings - i - 1) * sizeof(*s->mappings));
        s->n_mappings--;
}

void sync_restart(Sync *s, size_t i) {
        Mapping *old = s->mappings[i], *m;
        const MappingConfig *c = old->config;
        Account *a = old->account;
        const Mapping counted = { .uploaded_files = old->uploaded_files,
                                  .uploaded_bytes = old->uploaded_bytes,
                                  .copied_files = old->copied_files,
                                  .deleted_files = old->deleted_files,
                                  .requests = old->requests };
        const Bandwidth *limit = old->throttle.limit; /* the configuration that made it may be an old one */
        uint64_t mounts = old->mounts_seen; /* or the next change of the mounts would pass for the first look */

        mapping_free(old);
        forget(s, i); /* whoever goes through them meanwhile must not meet it */
        m = load(s, c, a);
        if (!m)
                return;
        memmove(&s->mappings[i + 1], &s->mappings[i], (s->n_mappings - i) * sizeof(*s->mappings));
        s->mappings[i] = m;
        s->n_mappings++;
        waits_restarted(s, c->name);
        m->mounts_seen = mounts;
        m->throttle.limit = limit;
        m->uploaded_files = counted.uploaded_files;
        m->uploaded_bytes = counted.uploaded_bytes;
        m->copied_files = counted.copied_files;
        m->deleted_files = counted.deleted_files;
        m->requests = counted.requests;
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
                else if (changed)
                        mapping_scan(m, "");
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

static void unload(Sync *s, size_t i) {
        Mapping *m = s->mappings[i];
        LogRecord l = LOG_HERE;

        log_field(&l, "AZSYNC_MAPPING=%s", m->config->name);
        log_commit(&l, LOG_NOTICE, MSG_MAPPING_UNLOADED, "Mapping %s unloaded; its blobs stay as they are.",
                   m->config->name);
        mapping_free(m);
        forget(s, i);
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

const Config *engine_config(const Engine *engine) {
        return engine->n_configs > 0 ? engine->configs[engine->n_configs - 1] : NULL;
}

bool engine_healthy(const Engine *engine) {
        const Sync *s = &engine->sync;

        for (size_t i = 0; i < s->n_mappings; i++)
                if (s->mappings[i]->watcher && watcher_stuck(s->mappings[i]->watcher) > READER_STUCK)
                        return false;
        return true;
}

/* --- a configuration in force --- */

static Account *find_account(const Sync *s, const char *name, const char *identity) {
        for (size_t i = 0; i < s->n_accounts; i++)
                if (strcmp(s->accounts[i]->name, name) == 0 && strcmp(s->accounts[i]->identity, identity) == 0)
                        return s->accounts[i];
        return NULL;
}

/* Makes every account that is new, without touching the old ones: a failure leaves all as it was. */
static int add_accounts(Sync *s, const Config *config, Error *e) {
        size_t before = s->n_accounts;
        Account **more = reallocarray(s->accounts, before + config->n_accounts + 1, sizeof(*more));

        if (!more)
                return error_oom(e);
        s->accounts = more;
        for (size_t i = 0; i < before; i++)
                s->accounts[i]->keep = false;
        for (size_t i = 0; i < config->n_accounts; i++) {
                _cleanup_free_ char *identity = NULL;
                Account *a;
                int r = 0;

                if (account_identity(&config->accounts[i], &identity) < 0)
                        r = error_oom(e);
                a = r < 0 ? NULL : find_account(s, config->accounts[i].name, identity);
                if (r >= 0 && !a) {
                        r = account_new(&a, s, &config->accounts[i], e);
                        if (r >= 0)
                                s->accounts[s->n_accounts++] = a;
                }
                if (r < 0) {
                        while (s->n_accounts > before)
                                account_free(s->accounts[--s->n_accounts]);
                        return r;
                }
                a->keep = true;
        }
        return 0;
}

static void drop_accounts(Sync *s) {
        for (size_t i = s->n_accounts; i-- > 0;)
                if (!s->accounts[i]->keep) {
                        account_free(s->accounts[i]);
                        s->accounts[i] = s->accounts[--s->n_accounts];
                }
}

static Account *account_of(const Sync *s, const MappingConfig *c) {
        for (size_t i = 0; i < s->n_accounts; i++)
                if (s->accounts[i]->keep && strcmp(s->accounts[i]->name, c->account->name) == 0)
                        return s->accounts[i];
        return NULL;
}

static void drop_mappings(Sync *s, const Config *config) {
        for (size_t i = s->n_mappings; i-- > 0;) {
                Mapping *m = s->mappings[i];
                const MappingConfig *c = config_find(config, m->config->name);
                _cleanup_free_ char *identity = NULL;

                m->keep = c && mapping_identity(c, account_of(s, c)->identity, &identity) >= 0 &&
                          strcmp(identity, m->identity) == 0;
                if (!m->keep)
                        unload(s, i);
        }
}

static void add_mappings(Sync *s, const Config *config) {
        for (size_t i = 0; i < config->n_mappings; i++) {
                const MappingConfig *c = &config->mappings[i];
                Mapping *m = sync_find(s, c->name) ? NULL : load(s, c, account_of(s, c));

                if (!m)
                        continue;
                s->mappings[s->n_mappings++] = m;
                waits_restarted(s, c->name);
        }
}

static int by_name(const void *a, const void *b) {
        return strcmp((*(Mapping *const *) a)->config->name, (*(Mapping *const *) b)->config->name);
}

/* Those of the configuration in force that do not run yet. */
static void load_mappings(Engine *engine) {
        Sync *s = &engine->sync;

        add_mappings(s, engine->configs[engine->n_configs - 1]);
        qsort(s->mappings, s->n_mappings, sizeof(*s->mappings), by_name);
        if (s->mounts)
                mounts_ask(s->mounts);
}

/* Old configurations live as long as a mapping that they made, and was not changed, runs. */
static void drop_configs(Engine *engine) {
        const Sync *s = &engine->sync;

        for (size_t i = engine->n_configs - 1; i-- > 0;) {
                const Config *c = engine->configs[i];
                bool used = false;

                for (size_t k = 0; k < s->n_mappings; k++)
                        used |= s->mappings[k]->config >= c->mappings &&
                                s->mappings[k]->config < c->mappings + c->n_mappings;
                if (!used) {
                        config_free(engine->configs[i]);
                        memmove(&engine->configs[i], &engine->configs[i + 1],
                                (engine->n_configs - i - 1) * sizeof(*engine->configs));
                        engine->n_configs--;
                }
        }
}

int engine_apply(Engine *engine, Config *config, Error *e) {
        Sync *s = &engine->sync;
        Config **configs = reallocarray(engine->configs, engine->n_configs + 1, sizeof(*configs));
        Mapping **mappings = reallocarray(s->mappings, s->n_mappings + config->n_mappings + 1, sizeof(*mappings));
        int r;

        if (configs)
                engine->configs = configs;
        if (mappings)
                s->mappings = mappings;
        s->transfers = account_transfers(config);
        s->memory = config->memory;
        s->transfers_fixed = config->transfers > 0;
        r = configs && mappings ? add_accounts(s, config, e) : error_oom(e);
        if (r < 0) {
                config_free(config);
                return r;
        }
        for (size_t i = 0; i < s->n_accounts; i++) {
                account_set_transfers(s->accounts[i]);
                if (s->accounts[i]->gate != GATE_OPEN)
                        account_woken(s->accounts[i]); /* whoever reloads has mended something */
        }
        engine->configs[engine->n_configs++] = config;
        drop_mappings(s, config);
        load_mappings(engine);
        throttle_apply(s, config);
        drop_accounts(s);
        drop_configs(engine);
        job_memory(s);
        sync_touch(s);
        sync_kick(s);
        return 0;
}

/* --- verbs --- */

static int mapping_do(Sync *s, size_t i, EngineVerb verb, Error *e) {
        Mapping *m = s->mappings[i];
        int r = 0;

        if (journal_broken(s->journal)) { /* what cannot be remembered is not promised */
                if (e)
                        *e = *journal_trouble(s->journal);
                return journal_trouble(s->journal)->code;
        }
        switch (verb) {
        case ENGINE_RESCAN:
                m->scan_not_before = 0;
                contact_again(m); /* the other half of a full comparison: what is in the cloud (10.15) */
                if (m->stuck)
                        sync_restart(s, i);
                else
                        mapping_scan(m, "");
                break;
        case ENGINE_RETRY:
                m->retrying = true;
                r = retry_some(m, e);
                m->account->retry_at = 0;
                m->contact_at = 0;
                break;
        case ENGINE_PAUSE:
        case ENGINE_RESUME:
                m->record.paused = verb == ENGINE_PAUSE;
                mapping_save(m, true);
                break;
        case ENGINE_APPROVE:
                return mapping_approve(m, e);
        case ENGINE_REJECT:
                return mapping_reject(m, e);
        }
        if (r < 0)
                return r;
        sync_touch(s);
        sync_kick(s);
        return 0;
}

int engine_do(Engine *engine, EngineVerb verb, const char *mapping, Error *e) {
        Sync *s = &engine->sync;
        int r = 0;

        if (mapping && !sync_find(s, mapping))
                return error_set(e, -ENOENT, ERROR_NONE, 0, "no mapping is called %s", mapping);
        for (size_t i = s->n_mappings; i-- > 0 && r >= 0;)
                if (!mapping || strcmp(s->mappings[i]->config->name, mapping) == 0)
                        r = mapping_do(s, i, verb, e);
        return r;
}
