/* A configuration is put in force: accounts and mappings that it does not change go on, others are made, or end. What
 * runs keeps the configuration that it was made from. */
#include "sync/state.h"

#include "azsyncd/messages.h"
#include "util/log.h"

#include <string.h>

const Config *engine_config(const Engine *engine) {
        return engine->n_configs > 0 ? engine->configs[engine->n_configs - 1] : NULL;
}

static Mapping *load(Sync *s, const MappingConfig *c, Account *a) {
        Error e = ERROR_NULL;
        Mapping *m;

        if (mapping_new(&m, s, c, a, &e) < 0) {
                LogRecord l = LOG_HERE;

                mapping_fields(&l, c);
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

/* The i-th begins anew, as `c` says. NULL: it is gone. */
static Mapping *replace(Sync *s, size_t i, const MappingConfig *c, Account *a) {
        Mapping *old = s->mappings[i], *m;
        bool same = strcmp(old->config->folder, c->folder) == 0;
        const Mapping counted = { .uploaded_files = old->uploaded_files,
                                  .uploaded_bytes = old->uploaded_bytes,
                                  .copied_files = old->copied_files,
                                  .deleted_files = old->deleted_files,
                                  .requests = old->requests };
        uint64_t mounts = same ? old->mounts_seen : 0; /* 0: the next change of the mounts passes for the first look */
        Buf told = old->told;                          /* what was not committed may never be */
        bool told_more = old->told_more;

        old->told = BUF_INIT(0);
        mapping_free(old);
        forget(s, i); /* whoever goes through them meanwhile must not meet it */
        m = load(s, c, a);
        if (!m) {
                buf_done(&told);
                return NULL;
        }
        memmove(&s->mappings[i + 1], &s->mappings[i], (s->n_mappings - i) * sizeof(*s->mappings));
        s->mappings[i] = m;
        s->n_mappings++;
        waits_restarted(s, c->name);
        m->mounts_seen = mounts;
        m->uploaded_files = counted.uploaded_files;
        m->uploaded_bytes = counted.uploaded_bytes;
        m->copied_files = counted.copied_files;
        m->deleted_files = counted.deleted_files;
        m->requests = counted.requests;
        if (same) {
                m->told = told;
                m->told_more = told_more;
                mapping_tell_again(m);
        } else
                buf_done(&told);
        mapping_save(m, false);
        return m;
}

void sync_restart(Sync *s, size_t i) {
        const Mapping *old = s->mappings[i];
        const Bandwidth *limit = old->throttle.limit; /* the configuration that made it may be an old one */
        Mapping *m = replace(s, i, old->config, old->account);

        if (m)
                m->throttle.limit = limit;
}

static void unload(Sync *s, size_t i) {
        Mapping *m = s->mappings[i];
        LogRecord l = LOG_HERE;

        mapping_fields(&l, m->config);
        log_commit(&l, LOG_NOTICE, MSG_MAPPING_UNLOADED, "Mapping %s unloaded; its blobs stay as they are.",
                   m->config->name);
        mapping_free(m);
        forget(s, i);
}

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
        for (size_t i = s->n_mappings; i-- > 0;)
                if (!config_find(config, s->mappings[i]->config->name))
                        unload(s, i);
}

static void change_mappings(Sync *s, const Config *config) {
        for (size_t i = s->n_mappings; i-- > 0;) {
                const MappingConfig *c = config_find(config, s->mappings[i]->config->name);
                Account *a = account_of(s, c);
                _cleanup_free_ char *identity = NULL;

                /* another account may be the same under another name: the old one is about to go */
                if (a != s->mappings[i]->account || mapping_identity(c, a->identity, &identity) < 0 ||
                    strcmp(identity, s->mappings[i]->identity) != 0)
                        (void) replace(s, i, c, a);
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

                for (size_t k = 0; k < s->n_mappings && c->n_mappings > 0; k++)
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
        change_mappings(s, config);
        load_mappings(engine);
        throttle_apply(s, config);
        drop_accounts(s);
        drop_configs(engine);
        job_memory(s);
        sync_touch(s);
        sync_kick(s);
        return 0;
}
