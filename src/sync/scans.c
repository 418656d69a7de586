/* A mapping's scans: which branches are to be compared, one after the other, and what the end of a walk means. */
#include "sync/state.h"

#include "azsyncd/messages.h"
#include "util/backoff.h"
#include "util/blobname.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/path.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define BRANCHES_MAX 256u /* more than these: scan the whole tree instead */
#define POLL_LEAST (30 * NSEC_PER_SEC)

/* In the walker's thread; reads only what never changes. */
static ScanFilter filter(const char *path, size_t size, bool folder, void *userdata) {
        const MappingConfig *c = userdata;

        if (c->exclude && ignore_match(c->exclude, path, folder))
                return SCAN_EXCLUDE;
        /* Each file that cannot be named has a row of its own; a branch so deep that nothing in it can, one for all
         * (6.7). */
        if (folder)
                return blobname_goes_below(c->prefix, path, size) ? SCAN_TAKE : SCAN_TOO_LONG;
        return size > ROW_PATH_MAX ? SCAN_TOO_LONG : SCAN_TAKE;
}

static void branch_drop(Mapping *m, size_t i) {
        free(m->branches[i].path);
        memmove(&m->branches[i], &m->branches[i + 1], (m->n_branches - i - 1) * sizeof(m->branches[0]));
        m->n_branches--;
}

static void scan_next(Mapping *m) {
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
        if (m->running.path[0] == '\0') {
                m->owed |= m->record.scan;
                m->record.scan = false; /* set again by an overflow while it runs, or by a bad end */
        }
        sync_touch(m->sync);
}

void mapping_scan(Mapping *m, const char *branch) {
        Branch *more;
        uint64_t number;
        char *path;

        if (m->n_branches >= BRANCHES_MAX)
                branch = "";
        number = ++m->scans_asked;
        /* one that has not begun and covers this one sees what this one is about */
        for (size_t i = 0; i < m->n_branches; i++)
                if (path_beneath(branch, m->branches[i].path)) {
                        scan_next(m); /* it may have waited for just this call */
                        return;
                }
        /* and those that this one covers are done with it: it is as old as the oldest of them */
        for (size_t i = m->n_branches; i-- > 0;)
                if (path_beneath(m->branches[i].path, branch)) {
                        number = MIN(number, m->branches[i].number);
                        branch_drop(m, i);
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
        m->branches[m->n_branches++] = (Branch){ path, number };
        scan_next(m);
}

static size_t on_seen(const Seen *seen, size_t n, void *userdata) {
        Mapping *m = userdata;

        return m->merge ? merge_seen(m->merge, seen, n) : n;
}

static void say_unwatched(Mapping *m, const ScanEnd *end) {
        if (end->unwatched == m->polled || end->unwatched == 0)
                return;
        LogRecord l = LOG_HERE;
        mapping_fields(&l, m->config);
        log_commit(&l, LOG_WARNING, MSG_WATCH_LIMIT, "%s: %u %s not watched and will be compared now and then: %s",
                   m->config->name, end->unwatched, end->unwatched == 1 ? "folder is" : "folders are", end->error.text);
}

bool mapping_polled(const Mapping *m) {
        return !m->watcher || !m->fs_tells || m->polled > 0;
}

static void rescan_arm(Mapping *m, int64_t took) {
        int64_t wait = m->config->rescan_ns;

        if (m->sync->once)
                return;
        if (mapping_polled(m))
                wait = MIN(wait, MAX(POLL_LEAST,
                                     20 * took)); /* cost-aware: at most a twentieth of the time is spent walking */
        m->rescan_wait = wait;
        timer_set(m->rescan, clock_boot() + clock_policy(backoff_spread(wait, sync_random())));
}

/* The branch is compared. */
static void scan_over(Mapping *m) {
        const ScanEnd *end = &m->ended;
        bool full = m->running.path[0] == '\0';

        /* all that was asked for, up to the oldest that is still in line (one asked for again is in it with its first
         * number) */
        m->scans_done = m->scans_asked;
        for (size_t i = 0; i < m->n_branches; i++)
                m->scans_done = MIN(m->scans_done, m->branches[i].number - 1);
        free(TAKE_PTR(m->running.path));
        m->compared_until = clock_boot();

        if (full && end->complete) {
                m->fs_tells = end->fs_tells;
                m->fs_name = end->fs_name;
                m->folders = end->folders;
                say_unwatched(m, end);
                m->polled = end->unwatched;
                m->scanned_once = true;
                m->record.reread = false; /* it is in the rows now */
                m->owed = m->record.scan;
                m->walked_from = m->scan_started;
                if (m->overflows > 0 && !m->record.scan)
                        m->overflows = 0;
                mapping_save(m, false);
                rescan_arm(m, clock_boot() - m->scan_started);
        } else if (end->complete && end->unwatched > 0 && m->polled == 0) {
                mapping_scan(m, ""); /* it says how many there are, and polls them from now on (1.12) */
        }
        scan_next(m);
        sync_touch(m->sync);
        sync_kick(m->sync);
}

static void on_heard(void *userdata) {
        scan_over(userdata);
}

static bool on_scan_end(const ScanEnd *end, void *userdata) {
        Mapping *m = userdata;
        bool complete = end->complete && end->root_state == ROOT_OK;

        if (m->merge && !merge_end(m->merge, complete))
                return false;
        complete = complete && !(m->merge && merge_failed(m->merge));
        m->merge = merge_free(m->merge);
        /* another walk in line may be due to a disk that came since: what that finds can be approved */
        m->other_root = end->root_state == ROOT_REPLACED && m->n_branches == 0 &&
                                        !root_id_is_null((const RootId *) (const void *) m->record.root)
                                ? end->root_id
                                : (RootId){ 0 };

        if (end->root_state != ROOT_OK && !error_is_shortage(-end->error.code)) {
                m->record.scan = true;
                if (end->root_state == ROOT_MISSING && root_id_is_null((const RootId *) (const void *) m->record.root))
                        mapping_block(m, BLOCK_ROOT, "waiting for the folder %s, which does not exist",
                                      PATH_SHOWN(m->config->folder));
                else
                        mapping_block(m, BLOCK_ROOT, "%s", end->error.text);
        } else if (!complete) {
                if (error_is_shortage(-end->error.code))
                        accounts_short(m->sync);
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
        /* What is replaced by a rename while its folder is listed may be in the listing neither as it was nor as it is
         * (readdir(3) promises neither), and then an event tells of it: the walk is over when the kernel's queue has
         * been emptied of all that came until its end. */
        m->ended = *end;
        m->ended.complete = complete;
        if (!complete || !m->watcher || watcher_barrier(m->watcher, on_heard, m) < 0)
                scan_over(m);
        return true;
}

static void on_rescan(void *userdata) {
        Mapping *m = userdata;

        contact_look_for(m);
        mapping_scan(m, "");
}

static void on_retry(void *userdata) {
        Mapping *m = userdata;

        if (m->block == BLOCK_ROOT || m->record.scan)
                mapping_scan(m, "");
        scan_next(m); /* it may be in line already, and this be the moment that it waited for */
}

int scans_open(Mapping *m, Error *e) {
        ScannerCallbacks callbacks = { .seen = on_seen, .end = on_scan_end };
        ScannerOptions options = {
                .folder = m->config->folder, .watcher = m->watcher, .filter = filter, .filter_data = (void *) m->config
        };
        int r;

        memcpy(&options.pinned, m->record.root, sizeof(options.pinned));
        r = scanner_new(&m->scanner, m->sync->loop, &options, &callbacks, m, e);
        if (r >= 0)
                r = timer_new(&m->rescan, m->sync->loop, on_rescan, m, e);
        if (r >= 0)
                r = timer_new(&m->retry, m->sync->loop, on_retry, m, e);
        return r;
}

void scans_close(Mapping *m) {
        scanner_free(m->scanner);
        timer_free(m->rescan);
        timer_free(m->retry);
        merge_free(m->merge);
        while (m->n_branches > 0)
                branch_drop(m, m->n_branches - 1);
        free(m->branches);
        free(m->running.path);
}
