/* One mapping: its watcher, its scans, what blocks it, and the marks that news leave in the journal. */
#include "sync/state.h"

#include "azsyncd/messages.h"
#include "util/clock.h"
#include "util/encode.h"
#include "util/log.h"
#include "util/path.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <systemd/sd-id128.h>

#include <openssl/sha.h>

#define WORKERS 2u
#define BUSY_PATHS 4096u  /* remembered by settle */
#define BRANCHES_MAX 256u /* more than these: scan the whole tree instead */
#define ROOT_RETRY (5 * NSEC_PER_SEC)
#define POLL_LEAST (30 * NSEC_PER_SEC)
#define BRANCH_MAX 4096u /* bytes of a folder's path: no blob name has so many, whatever they are */

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
        int r = buf_printf(&b, "%s\n%s\n%s\n%s\n%i\n%i\n%lli\n%i\n%i\n%lli\n%s", c->folder, account_identity,
                           c->container, c->prefix, c->create_container, (int) c->deletes,
                           (long long) c->delete_delay_ns, (int) c->conflict, (int) c->watch, (long long) c->rescan_ns,
                           c->exclude_text ? c->exclude_text : "");

        if (r < 0)
                return r;
        *ret = TAKE_PTR(b.data);
        return 0;
}

static void destination(const MappingConfig *c, char *ret, size_t room) {
        (void) snprintf(ret, room, "%s/%s%s%s", c->account->endpoint, c->container, c->prefix[0] ? "/" : "", c->prefix);
}

void mapping_save(Mapping *m, bool durable) {
        Sync *s = m->sync;
        Error e = ERROR_NULL;
        int r = journal_mapping_put(s->journal, &m->record, &e);

        if (r >= 0 && durable)
                r = journal_commit_durable(s->journal, &e);
        (void) sync_journal(s, r, &e);
        sync_touch(s);
}

void mapping_note_error(Mapping *m, const char *text) {
        (void) snprintf(m->last_error, sizeof(m->last_error), "%s", text);
}

void mapping_block(Mapping *m, Block block, const char *format, ...) {
        char why[sizeof(m->why)];
        va_list ap;
        bool said;

        va_start(ap, format);
        (void) vsnprintf(why, sizeof(why), format, ap);
        va_end(ap);
        said = m->block == block && strcmp(m->why, why) == 0;
        m->block = block;
        (void) snprintf(m->why, sizeof(m->why), "%s", why);
        if (block == BLOCK_ROOT)
                timer_set(m->retry, clock_boot() + clock_policy(ROOT_RETRY));
        if (!said) {
                LogRecord l = LOG_HERE;

                log_field(&l, "AZSYNC_MAPPING=%s", m->config->name);
                log_field(&l, "AZSYNC_ERROR=%s", why);
                log_commit(&l, LOG_WARNING, MSG_MAPPING_BLOCKED,
                           "%s: blocked: %s. Nothing is uploaded or deleted meanwhile.", m->config->name, why);
                mapping_note_error(m, why);
        }
        sync_touch(m->sync);
}

void mapping_unblock(Mapping *m) {
        if (m->block == BLOCK_NONE)
                return;
        m->block = BLOCK_NONE;
        m->why[0] = '\0';

        LogRecord l = LOG_HERE;
        log_field(&l, "AZSYNC_MAPPING=%s", m->config->name);
        log_commit(&l, LOG_NOTICE, MSG_MAPPING_RESUMED, "%s: goes on.", m->config->name);
        sync_touch(m->sync);
        sync_kick(m->sync);
}

bool mapping_runs(const Mapping *m) {
        return !m->record.paused && m->block == BLOCK_NONE;
}

bool mapping_excluded(const Mapping *m, const char *path, bool folder) {
        return m->config->exclude && ignore_match_deep(m->config->exclude, path, folder);
}

uint64_t mapping_pending(const Mapping *m) {
        const JournalCounts *c = journal_counts(m->sync->journal, m->record.id);

        return c->state[PATH_PENDING] + c->state[PATH_CLAIMED] + c->state[PATH_GONE];
}

bool mapping_scanning(const Mapping *m) {
        return m->running.path || m->n_branches > 0;
}

bool mapping_in_sync(const Mapping *m) {
        const JournalCounts *c = journal_counts(m->sync->journal, m->record.id);

        return mapping_runs(m) && m->record.contacted && m->scanned_once && !m->record.scan && !mapping_scanning(m) &&
               !journal_broken(m->sync->journal) && c->busy == 0 && mapping_pending(m) == 0 &&
               c->state[PATH_FAILED] == 0 && c->state[PATH_HELD] == 0 && c->state[PATH_CONFLICT] == 0;
}

const char *mapping_state(Mapping *m) {
        const JournalCounts *c = journal_counts(m->sync->journal, m->record.id);
        bool work = mapping_pending(m) > 0 || !m->record.contacted;

        if (c->state[PATH_FAILED] > 0)
                return "failed";
        if (m->block != BLOCK_NONE || (m->account->gate == GATE_DENIED && work))
                return "blocked";
        if (m->record.paused)
                return "paused";
        if (c->state[PATH_HELD] > 0)
                return "held";
        if (mapping_scanning(m) || m->record.scan)
                return "scanning";
        if (m->account->gate == GATE_OFFLINE && work)
                return "offline";
        return work || c->busy > 0 ? "syncing" : "idle";
}

/* --- marks --- */

/* A folder that was listed as empty is not any more. */
static void hint_parent(Mapping *m, const char *path) {
        const char *slash = strrchr(path, '/');
        Error e = ERROR_NULL;
        Row row;

        if (!slash || slash == path)
                return;
        if (journal_get(m->sync->journal, m->record.id, path, (size_t) (slash - path), &row, &e) > 0 &&
            row.state == PATH_SKIPPED) {
                row_hint(&row, false, clock_boot(), journal_sequence(m->sync->journal, clock_wall()));
                (void) sync_journal(m->sync, journal_put(m->sync->journal, m->record.id, &row, &e), &e);
        }
}

void mapping_hint(Mapping *m, const char *path, bool content, int64_t due) {
        Sync *s = m->sync;
        Error e = ERROR_NULL;
        Row row;
        int r;

        r = journal_get(s->journal, m->record.id, path, strlen(path), &row, &e);
        if (r == -ENAMETOOLONG)
                return; /* the scanner has named the branch */
        if (r == 0)
                hint_parent(m, path);
        if (r >= 0) {
                row_hint(&row, content, due, journal_sequence(s->journal, clock_wall()));
                r = journal_put(s->journal, m->record.id, &row, &e);
        }
        (void) sync_journal(s, r, &e);
        sync_touch(s);
        sync_kick(s);
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
                log_field(&l, "AZSYNC_MAPPING=%s", m->config->name);
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
        mapping_hint(m, path, news & WATCH_CONTENT, settle_news(m->settle, path, news, clock_boot()));
}

/* In the walker's thread; reads only what never changes. */
static ScanFilter filter(const char *path, size_t size, bool folder, void *userdata) {
        const MappingConfig *c = userdata;

        if (c->exclude && ignore_match(c->exclude, path, folder))
                return SCAN_EXCLUDE;
        /* Each file that cannot be named has a row of its own; a branch so deep that nothing in it can, one for all
         * (6.7). */
        return size > (folder ? BRANCH_MAX : ROW_PATH_MAX) ? SCAN_TOO_LONG : SCAN_TAKE;
}

/* --- scanning --- */

static void branch_drop(Mapping *m, size_t i) {
        free(m->branches[i].path);
        memmove(&m->branches[i], &m->branches[i + 1], (m->n_branches - i - 1) * sizeof(m->branches[0]));
        m->n_branches--;
}

void mapping_scan(Mapping *m, const char *branch) {
        Branch *more;
        char *path;

        if (m->n_branches >= BRANCHES_MAX)
                branch = "";
        m->scans_asked++;
        /* whatever is asked for and covered by this one need not be done twice */
        for (size_t i = m->n_branches; i-- > 0;)
                if (path_beneath(m->branches[i].path, branch))
                        branch_drop(m, i);
                else if (path_beneath(branch, m->branches[i].path)) {
                        m->branches[i].number = m->scans_asked;
                        return;
                }
        path = strdup(branch);
        more = reallocarray(m->branches, m->n_branches + 1, sizeof(*more));
        if (more)
                m->branches = more;
        if (!path || !more) {
                free(path);
                m->record.scan = true; /* not forgotten: the next scan is of the whole tree */
                return;
        }
        m->branches[m->n_branches++] = (Branch){ path, m->scans_asked };
        mapping_scan_next(m);
}

void mapping_scan_next(Mapping *m) {
        int64_t now = clock_boot();

        if (m->running.path || m->n_branches == 0 || !m->scanner || scanner_busy(m->scanner) ||
            journal_broken(m->sync->journal))
                return;
        if (now < m->scan_not_before) {
                if (timer_get(m->retry) == 0 || timer_get(m->retry) > m->scan_not_before)
                        timer_set(m->retry, m->scan_not_before);
                return;
        }
        m->merge = merge_new(m, m->branches[0].path);
        if (!m->merge || scanner_start(m->scanner, m->branches[0].path) < 0) {
                m->merge = merge_free(m->merge);
                timer_set(m->retry, now + NSEC_PER_SEC);
                return;
        }
        m->running = m->branches[0];
        m->branches[0].path = NULL;
        branch_drop(m, 0);
        m->scan_started = now;
        if (m->running.path[0] == '\0')
                m->record.scan = false; /* set again by an overflow while it runs, or by a bad end */
        sync_touch(m->sync);
}

static void on_seen(const Seen *seen, size_t n, void *userdata) {
        Mapping *m = userdata;

        if (m->merge)
                merge_seen(m->merge, seen, n);
}

static void say_unwatched(Mapping *m, const ScanEnd *end) {
        if (end->unwatched == m->polled || end->unwatched == 0)
                return;
        LogRecord l = LOG_HERE;
        log_field(&l, "AZSYNC_MAPPING=%s", m->config->name);
        log_commit(&l, LOG_WARNING, MSG_WATCH_LIMIT,
                   "%s: %u folders are not watched and will be compared now and then: %s", m->config->name,
                   end->unwatched, end->error.text);
}

static void rescan_arm(Mapping *m, int64_t took) {
        int64_t wait = m->config->rescan_ns;
        uint32_t random = 0;

        if (m->sync->once)
                return;
        if (!m->watcher || !m->fs_tells || m->polled > 0)
                wait = MIN(wait, MAX(POLL_LEAST,
                                     20 * took)); /* cost-aware: at most a twentieth of the time is spent walking */
        (void) getrandom(&random, sizeof(random), GRND_NONBLOCK);
        wait = wait / 4 * 3 + (int64_t) ((double) (wait / 2) * ((double) random / UINT32_MAX)); /* 3/4 .. 5/4 (4.10) */
        timer_set(m->rescan, clock_boot() + clock_policy(wait));
}

static void on_scan_end(const ScanEnd *end, void *userdata) {
        Mapping *m = userdata;
        bool full = m->running.path && m->running.path[0] == '\0';
        bool complete = end->complete && end->root_state == ROOT_OK;

        if (m->merge) {
                merge_end(m->merge, complete);
                m->merge = merge_free(m->merge);
        }
        m->scans_done = MAX(m->scans_done, m->running.number);
        free(TAKE_PTR(m->running.path));

        if (end->root_state != ROOT_OK) {
                m->record.scan = true;
                if (end->root_state == ROOT_MISSING && root_id_is_null((const RootId *) (const void *) m->record.root))
                        mapping_block(m, BLOCK_ROOT, "waiting for the folder %s, which does not exist",
                                      PATH_SHOWN(m->config->folder));
                else
                        mapping_block(m, BLOCK_ROOT, "%s", end->error.text);
        } else if (!complete) {
                m->record.scan = true;
                timer_set(m->retry, clock_boot() + clock_policy(ROOT_RETRY));
        } else {
                if (root_id_is_null((const RootId *) (const void *) m->record.root)) {
                        static_assert(sizeof(RootId) == sizeof(m->record.root),
                                      "the journal keeps the root's identity whole");
                        memcpy(m->record.root, &end->root_id, sizeof(m->record.root));
                        source_pin(m->source, &end->root_id);
                        scanner_pin(m->scanner, &end->root_id);
                        mapping_save(m, true);
                }
                if (m->block == BLOCK_ROOT)
                        mapping_unblock(m);
        }
        if (full && complete) {
                m->fs_tells = end->fs_tells;
                m->fs_name = end->fs_name;
                m->folders = end->folders;
                say_unwatched(m, end);
                m->polled = end->unwatched;
                m->scanned_once = true;
                if (m->overflows > 0 && !m->record.scan)
                        m->overflows = 0;
                mapping_save(m, false);
                rescan_arm(m, clock_boot() - m->scan_started);
        }
        mapping_scan_next(m);
        sync_touch(m->sync);
        sync_kick(m->sync);
}

static void on_rescan(void *userdata) {
        mapping_scan(userdata, "");
}

static void on_retry(void *userdata) {
        Mapping *m = userdata;

        if (m->block == BLOCK_ROOT || m->record.scan)
                mapping_scan(m, "");
        else
                mapping_scan_next(m);
}

/* --- life --- */

static int mapping_open(Mapping *m, Error *e) {
        const MappingConfig *c = m->config;
        ScannerCallbacks callbacks = { .seen = on_seen, .end = on_scan_end };
        ScannerOptions options = { .folder = c->folder, .filter = filter, .filter_data = (void *) c };
        Sync *s = m->sync;
        int r;

        memcpy(&options.pinned, m->record.root, sizeof(options.pinned));
        r = source_new(&m->source, s->loop, c->folder, &options.pinned, WORKERS, e);
        if (r >= 0 && !s->once && c->watch != WATCH_MODE_POLL) {
                Error why = ERROR_NULL;

                if (watcher_new(&m->watcher, s->loop, on_news, m, &why) < 0) {
                        /* never half-watched in silence: the whole folder is polled, and status says so (1.12) */
                        LogRecord l = LOG_HERE;

                        log_field(&l, "AZSYNC_MAPPING=%s", c->name);
                        log_field_error(&l, &why);
                        log_commit(&l, LOG_WARNING, MSG_WATCH_LIMIT,
                                   "%s: not watched, compared now and then instead: %s", c->name, why.text);
                }
        }
        options.watcher = m->watcher;
        if (r >= 0)
                r = scanner_new(&m->scanner, s->loop, &options, &callbacks, m, e);
        if (r >= 0)
                r = settle_new(&m->settle, BUSY_PATHS) < 0 ? error_oom(e) : 0;
        if (r >= 0)
                r = timer_new(&m->rescan, s->loop, on_rescan, m, e);
        if (r >= 0)
                r = timer_new(&m->retry, s->loop, on_retry, m, e);
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
        m->fs_name = "?";
        m->fs_tells = true;
        destination(config, here, sizeof(here));
        m->url = strdup(here);
        if (!m->url || mapping_identity(config, account->identity, &m->identity) < 0)
                return error_oom(e);
        r = writer_id(config->name, m->writer);
        if (r < 0)
                return error_os(e, -r, "finding this machine's id");
        r = journal_mapping(s->journal, config->name, &m->record, e);
        if (r >= 0)
                r = journal_unclaim(s->journal, m->record.id,
                                    e); /* what an earlier run of it had begun may have happened */
        if (r >= 0)
                r = mapping_open(m, e);
        if (r < 0)
                return error_prefix(e, r, "mapping %s", config->name);

        m->record.scan = true;
        if (m->record.destination[0] == '\0') {
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
        mapping_scan(m, "");

        LogRecord l = LOG_HERE;
        log_field(&l, "AZSYNC_MAPPING=%s", config->name);
        log_field(&l, "AZSYNC_CONTAINER=%s", config->container);
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
        scanner_free(m->scanner);
        watcher_free(m->watcher);
        settle_free(m->settle);
        timer_free(m->rescan);
        timer_free(m->retry);
        merge_free(m->merge);
        while (m->n_branches > 0)
                branch_drop(m, m->n_branches - 1);
        free(m->branches);
        free(m->running.path);
        if (m->contact_call) {
                blob_cancel(m->contact_call);
                m->account->in_flight--;
        }
        free(m->list_marker);
        free(m->identity);
        free(m->url);
        free(m);
        return NULL;
}

int mapping_approve(Mapping *m, Error *e) {
        Sync *s = m->sync;
        int r = 0;

        if (m->block == BLOCK_DESTINATION) {
                r = journal_wipe(s->journal, m->record.id, e);
                if (r < 0)
                        return sync_journal(s, r, e);
                (void) snprintf(m->record.destination, sizeof(m->record.destination), "%s", m->url);
                m->record.contacted = false;
        } else if (m->block == BLOCK_ROOT && !root_id_is_null((const RootId *) (const void *) m->record.root)) {
                memset(m->record.root, 0, sizeof(m->record.root));
                source_pin(m->source, &(RootId){ 0 });
                scanner_pin(m->scanner, &(RootId){ 0 });
        } else
                return error_set(e, -ESRCH, ERROR_NONE, 0, "mapping %s: there is nothing to approve", m->config->name);
        m->record.scan = true;
        mapping_save(m, true);
        if (m->block == BLOCK_DESTINATION)
                mapping_unblock(m);
        mapping_scan(m, "");
        return 0;
}
