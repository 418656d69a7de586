/* A mapping from its loading to its end: what it is made of, and what it is woken by. */
#include "sync/state.h"

#include "azsyncd/messages.h"
#include "util/clock.h"
#include "util/encode.h"
#include "util/log.h"
#include "util/path.h"

#include <stdio.h>
#include <string.h>
#include <systemd/sd-id128.h>

#include <openssl/sha.h>

#define WORKERS 2u
#define TOLD_MOST ((size_t) 1024 * 1024)
#define BUSY_PATHS 4096u /* remembered by settle */

/* azsyncd's application id for machine-id(5): ids derived from it tell nothing of the machine */
#define APP_ID SD_ID128_MAKE(3f, 5c, 0b, 8e, a1, 77, 4d, 0c, 9b, 2e, 61, d4, f8, 10, 5a, c3)

static int writer_id(const char *mapping, char ret[static 40]) {
        uint8_t digest[SHA256_DIGEST_LENGTH];
        char machine[SD_ID128_STRING_MAX] = "", text[256];
        sd_id128_t id;

        if (sd_id128_get_machine_app_specific(APP_ID, &id) >= 0)
                (void) sd_id128_to_string(id, machine);
        else if (gethostname(machine, sizeof(machine) - 1) < 0)
                return -errno;
        (void) snprintf(text, sizeof(text), "%s/%s", machine, mapping);
        (void) SHA256((const uint8_t *) text, strlen(text), digest);
        hex_encode(digest, 16, ret);
        return 0;
}

int mapping_identity(const MappingConfig *c, const char *account_identity, char **ret) {
        _cleanup_buf_ Buf b = BUF_INIT(1 << 20);
        int r = buf_printf(&b, "%s\n%s\n%s\n%s\n%i\n%i\n%lli\n%i\n%i\n%lli\n%u\n%u\n%lli\n%s", c->folder,
                           account_identity, c->container, c->prefix, c->create_container, (int) c->deletes,
                           (long long) c->delete_delay_ns, (int) c->conflict, (int) c->watch, (long long) c->rescan_ns,
                           c->guard_files, c->guard_percent, (long long) c->alert_after_ns,
                           c->exclude_text ? c->exclude_text : "");

        if (r < 0)
                return r;
        *ret = TAKE_PTR(b.data);
        return 0;
}

static void destination(const MappingConfig *c, char *ret, size_t room) {
        (void) snprintf(ret, room, "%s/%s%s%s", c->account->endpoint, c->container, c->prefix[0] ? "/" : "", c->prefix);
}

/* --- watching --- */

static void on_news(const char *path, unsigned news, void *userdata) {
        Mapping *m = userdata;

        if (news & WATCH_OVERFLOW) {
                LogRecord l = LOG_HERE;

                m->record.scan = true; /* durable: cleared by a scan that began later and ended whole (1.10) */
                m->overflows++;
                m->scan_not_before = clock_boot() + clock_policy((int64_t) MIN(m->overflows, 30U) * NSEC_PER_SEC);
                mapping_save(m, false);
                mapping_fields(&l, m->config);
                log_commit(&l, LOG_NOTICE, MSG_OVERFLOW,
                           "%s: more changes than the event queue holds; comparing the whole folder.", m->config->name);
        }
        if (news & WATCH_ROOT)
                mapping_scan(m, "");
        if (news & WATCH_SUBTREE) {
                if (path[0] == '\0' || !mapping_excluded(m, path, true))
                        mapping_scan(m, path);
                return;
        }
        if (path[0] == '\0' || mapping_excluded(m, path, false))
                return;
        mapping_hint(m, path, news & WATCH_CONTENT, settle_news(m->settle, path, news, clock_boot()), 0);
}

/* One loud line when something has not reached the cloud for long; again only for another change, and after as long
 * again: of a backlog each change is the oldest for a moment (11.10). */
static void on_alert(void *userdata) {
        Mapping *m = userdata;
        uint64_t pending;
        int64_t first;

        if (journal_oldest(m->sync->journal, m->record.id, &first, NULL) <= 0 || first == m->alerted)
                return;
        if (clock_wall() - first < clock_policy(m->config->alert_after_ns)) {
                mapping_alert(m);
                return;
        }
        m->alerted = first;
        m->alert_next = clock_boot() + clock_policy(m->config->alert_after_ns);
        pending = mapping_pending(m);

        LogRecord l = LOG_HERE;
        mapping_fields(&l, m->config);
        log_commit(&l, LOG_ERR, MSG_UNSYNCED_FOR_LONG,
                   "%s: %llu %s not in the cloud, the oldest for %lld s. See azsyncctl status.", m->config->name,
                   (unsigned long long) pending, pending == 1 ? "change is" : "changes are",
                   (long long) ((clock_wall() - first) / NSEC_PER_SEC));
}

void mapping_alert(Mapping *m) {
        int64_t first;

        if (mapping_pending(m) == 0)
                timer_stop(m->alert);
        else if (timer_get(m->alert) == 0 && journal_oldest(m->sync->journal, m->record.id, &first, NULL) > 0 &&
                 first != m->alerted)
                timer_set(m->alert,
                          MAX(clock_boot() + MAX(clock_policy(m->config->alert_after_ns) - (clock_wall() - first),
                                                 NSEC_PER_MSEC),
                              m->alert_next));
}

/* --- life --- */

static int mapping_open(Mapping *m, Error *e) {
        const MappingConfig *c = m->config;
        Sync *s = m->sync;
        RootId pinned;
        int r;

        memcpy(&pinned, m->record.root, sizeof(pinned));
        r = source_new(&m->source, s->loop, c->folder, &pinned, WORKERS, e);
        if (r >= 0 && !s->once && c->watch != WATCH_MODE_POLL) {
                Error why = ERROR_NULL;

                if (watcher_new(&m->watcher, s->loop, on_news, m, &why) < 0) {
                        /* never half-watched in silence: the whole folder is polled, and status says so (1.12) */
                        LogRecord l = LOG_HERE;

                        mapping_fields(&l, c);
                        log_field_error(&l, &why);
                        log_commit(&l, LOG_WARNING, MSG_WATCH_LIMIT,
                                   "%s: not watched, compared now and then instead: %s", c->name, why.text);
                }
        }
        if (r >= 0)
                r = settle_new(&m->settle, BUSY_PATHS) < 0 ? error_oom(e) : 0;
        if (r >= 0)
                r = timer_new(&m->alert, s->loop, on_alert, m, e);
        if (r >= 0)
                r = timer_new(&m->depart, s->loop, deletions_time, m, e);
        if (r >= 0)
                r = timer_new(&m->stuck_timer, s->loop, stuck_watch, m, e);
        return r < 0 ? r : scans_open(m, e);
}

/* What the journal knows of it. A journal that is out of order is no reason not to be there, and to say so in status.
 */
static int mapping_remember(Mapping *m, Error *e) {
        Journal *j = m->sync->journal;
        int r = journal_mapping(j, m->config->name, &m->record, e);

        if (r >= 0)
                r = journal_unclaim(j, m->record.id, e); /* what an earlier run of it had begun may have happened */
        if (r >= 0)
                r = journal_commit(j, e); /* its number is used from now on: no rollback may take it away */
        if (r < 0 && journal_broken(j)) {
                m->record = (JournalMapping){ .scan = true };
                return 0;
        }
        if (r >= 0 && m->record.damaged) {
                LogRecord l = LOG_HERE;

                mapping_fields(&l, m->config);
                log_commit(
                        &l, LOG_ERR, MSG_JOURNAL_TROUBLE,
                        "%s: its entry in the journal was damaged: the folder and the container are compared anew, and "
                        "until that is over, deletions wait for azsyncctl approve %s.",
                        m->config->name, m->config->name);
        }
        return r;
}

int mapping_new(Mapping **ret, Sync *s, const MappingConfig *config, Account *account, Error *e) {
        _cleanup_(mapping_freep) Mapping *m = NULL;
        char here[sizeof(m->record.destination)];
        int r;

        m = calloc(1, sizeof(*m));
        if (!m)
                return error_oom(e);
        m->sync = s;
        m->config = config;
        m->account = account;
        m->ready_last = &m->ready_first;
        /* with --once, whose runs nobody tells to retry, all that an earlier one has given up (see once.c); else
         * the conflicts that the configuration settles by now */
        m->retrying = s->once ? RETRY_ALL : config->conflict == CONFLICT_OVERWRITE ? RETRY_CONFLICTS : RETRY_NONE;
        throttle_init(&m->throttle, &config->bandwidth);
        s->rates_until = 0;
        for (Line line = LINE_SMALL; line <= LINE_LARGE; line++)
                m->lines[line].last = &m->lines[line].first;
        m->told = BUF_INIT(TOLD_MOST);
        m->fs_name = "?";
        m->fs_tells = true;
        destination(config, here, sizeof(here));
        m->url = strdup(here);
        if (!m->url || mapping_identity(config, account->identity, &m->identity) < 0)
                return error_oom(e);
        r = writer_id(config->name, m->writer);
        if (r < 0)
                return error_os(e, -r, "finding this machine's id");
        r = mapping_remember(m, e);
        if (r >= 0)
                r = mapping_open(m, e);
        if (r < 0)
                return error_prefix(e, r, "mapping %s", config->name);

        m->record.scan = true;
        if (m->record.id == 0)
                ; /* recovery.c starts it anew */
        else if (m->record.destination[0] == '\0') {
                (void) snprintf(m->record.destination, sizeof(m->record.destination), "%s", here);
                mapping_save(m, true);
        } else if (strcmp(m->record.destination, here) != 0)
                mapping_block(m, BLOCK_DESTINATION,
                              "it was mirrored to %s until now and is configured for %s: azsyncctl approve %s accepts "
                              "that and uploads all "
                              "of it there",
                              m->record.destination, here, config->name);
        else
                mapping_save(m, false);
        if (m->record.id != 0 && m->block == BLOCK_NONE && journal_take_over(s->journal, &m->record, NULL) < 0)
                log_debug("%s: who wrote there before it is told when it is loaded again", config->name);
        mapping_scan(m, "");
        sync_kick(s); /* what is left to be written in steps */

        LogRecord l = LOG_HERE;
        mapping_fields(&l, config);
        log_commit(&l, LOG_NOTICE, MSG_MAPPING_LOADED, "Mapping %s loaded: %s -> %s", config->name,
                   PATH_SHOWN(config->folder), m->url);
        *ret = TAKE_PTR(m);
        return 0;
}

Mapping *mapping_free(Mapping *m) {
        if (!m)
                return NULL;
        /* source first: its answers go to jobs */
        m->source = source_free(m->source);
        while (m->jobs)
                job_free(m->jobs);
        deletions_close(m);
        scans_close(m);
        watcher_free(m->watcher);
        waits_unwatched(m);
        settle_free(m->settle);
        timer_free(m->alert);
        timer_free(m->depart);
        timer_free(m->stuck_timer);
        if (m->contact_call) {
                blob_cancel(m->contact_call);
                account_forget(m->account);
        }
        listing_drop(m);
        buf_done(&m->told);
        free(m->identity);
        free(m->url);
        free(m);
        return NULL;
}
