/* What status and queue say of a mapping, gathered when somebody asks. */
#include "sync/state.h"

#include "util/clock.h"
#include "util/path.h"

#include <stdio.h>
#include <string.h>

#define FLIGHTS_SHOWN 64u

static double rate_of(Rate *r, uint64_t bytes) {
        int64_t now = clock_boot(), took = now - r->at;

        if (r->at == 0 || took >= NSEC_PER_SEC) {
                r->value = r->at == 0 || bytes < r->bytes ? 0 : (double) (bytes - r->bytes) * 1e9 / (double) took;
                r->at = now;
                r->bytes = bytes;
        }
        return r->value;
}

static FlightStatus flight_of(const Job *job) {
        FlightStatus f = { .path = job->row.path, .size = job->look == LOOK_REGULAR ? job->stamp.size : 0 };

        f.remaining_s = -1;
        if (job->upload) {
                f.sent = upload_sent(job->upload);
                f.rate = rate_of(upload_rate(job->upload), f.sent);
                if (f.rate > 0)
                        f.remaining_s = f.sent < f.size ? (double) (f.size - f.sent) / f.rate : 0;
        } else if (job->call)
                f.sent = blob_call_sent(job->call);
        return f;
}

/* Nothing can be known of the file system before the first scan. */
static bool polled_whole(const Mapping *m) {
        return !m->sync->once && (!m->watcher || (m->scanned_once && !m->fs_tells));
}

static unsigned polled_folders(const Mapping *m) {
        return polled_whole(m) ? MAX(m->folders, 1U) : m->polled;
}

static const char *watch_of(const Mapping *m) {
        return polled_whole(m) ? "poll" : m->polled > 0 ? "mixed" : "inotify";
}

static const char *detail_of(Mapping *m) {
        const Sync *s = m->sync;

        if (journal_broken(s->journal))
                return journal_trouble(s->journal)->text;
        if (m->block == BLOCK_ROOT && !root_id_is_null(&m->other_root)) {
                (void) snprintf(m->detail, sizeof(m->detail), "%.400s: azsyncctl approve %s mirrors what is there now",
                                m->why, m->config->name);
                return m->detail;
        }
        if (m->block != BLOCK_NONE)
                return m->why;
        if (m->stuck) {
                (void) snprintf(m->detail, sizeof(m->detail),
                                "its file system has not answered for %lld s (is it a mount that hangs?)",
                                (long long) (mapping_stuck(m) / NSEC_PER_SEC));
                return m->detail;
        }
        if (m->account->gate != GATE_OPEN)
                return m->account->why.text;
        if (m->contact_failures > 0)
                return m->contact_why.text;
        if (m->scanned_once && !m->fs_tells && !s->once) {
                (void) snprintf(m->detail, sizeof(m->detail),
                                "this file system (%s) does not tell of every change: the folder is compared now and "
                                "then",
                                m->fs_name);
                return m->detail;
        }
        if (m->polled > 0)
                return "some folders are not watched (limit reached) and are compared now and then";
        return "";
}

static int report(Mapping *m, EngineStatusFn fn, void *userdata) {
        const JournalCounts *c = journal_counts(m->sync->journal, m->record.id);
        FlightStatus flights[FLIGHTS_SHOWN];
        int64_t first, lag = 0;
        size_t n = 0;

        for (const Job *job = m->jobs; job && n < FLIGHTS_SHOWN; job = job->next)
                if (job->call || job->upload || job->batch)
                        flights[n++] = flight_of(job);
        if (mapping_pending(m) > 0 && journal_oldest(m->sync->journal, m->record.id, &first, NULL) > 0)
                lag = MAX(clock_wall() - first, NSEC_PER_MSEC);
        return fn(
                &(MappingStatus){
                        .name = m->config->name,
                        .folder = m->config->folder,
                        .url = m->url,
                        .state = mapping_state(m),
                        .detail = detail_of(m),
                        .files = c->files,
                        .bytes = c->bytes,
                        .pending = mapping_pending(m),
                        .failed = c->state[PATH_FAILED],
                        .held = c->state[PATH_HELD],
                        .busy = c->busy,
                        .conflicts = c->state[PATH_CONFLICT],
                        .skipped = c->state[PATH_SKIPPED],
                        .in_flight = flights,
                        .n_in_flight = n,
                        .lag_s = (double) lag / 1e9,
                        .uploaded_files = m->uploaded_files,
                        .uploaded_bytes = m->uploaded_bytes,
                        .copied_files = m->copied_files,
                        .deleted_files = m->deleted_files,
                        .requests = m->requests,
                        .rate = rate_of(&m->rate, m->uploaded_bytes),
                        .transfers_limit = m->account->pace.limit,
                        .transfers_active = MIN(m->account->in_flight, m->account->pace.limit),
                        .bandwidth = throttle_rate(m),
                        .watch = watch_of(m),
                        .polled_folders = polled_folders(m),
                        .rescan_s = (double) (m->rescan_wait ? m->rescan_wait : m->config->rescan_ns) / 1e9,
                        .last_error = m->last_error,
                        .last_sync_ns = mapping_in_sync(m) ? clock_wall() : m->record.last_sync_ns,
                },
                userdata);
}

int engine_status(Engine *engine, const char *mapping, EngineStatusFn fn, void *userdata) {
        Sync *s = &engine->sync;
        Mapping *one;

        if (mapping) {
                one = sync_find(s, mapping);
                return one ? report(one, fn, userdata) : -ENOENT;
        }
        for (size_t i = 0; i < s->n_mappings; i++) {
                int r = report(s->mappings[i], fn, userdata);

                if (r < 0)
                        return r;
        }
        return 0;
}

typedef struct QueueUser {
        Mapping *mapping;
        EngineQueueFn fn;
        void *userdata;
} QueueUser;

/* What a row need not say, as its state does. */
static const char *reason_of(const Row *row) {
        if (row->state == PATH_HELD)
                return "deleted or emptied here; waits for azsyncctl approve or reject";
        if (row->state == PATH_GONE && row->reason[0] == '\0')
                return "deleted here; waiting for delete-delay";
        return row->reason;
}

static int on_row(const Row *row, void *userdata) {
        QueueUser *u = userdata;
        const Account *a = u->mapping->account;
        bool timed = (row->state == PATH_PENDING || row->state == PATH_GONE) && mapping_runs(u->mapping);
        int64_t due = MAX(row->due, a->gate == GATE_OPEN ? 0 : a->retry_at);
        bool busy = row->marked != 0 && (row->state == PATH_PENDING || row->state == PATH_CLAIMED);

        return u->fn(
                &(QueueItem){
                        .mapping = u->mapping->config->name,
                        .path = row->path,
                        .state = busy ? "busy" : path_state_name(row->state),
                        .reason = busy ? ROW_BUSY_REASON : reason_of(row),
                        .attempts = row->attempts,
                        .first_ns = row->first,
                        .next_ns = timed ? clock_wall() + MAX(due - clock_boot(), INT64_C(0)) : 0,
                },
                u->userdata);
}

int engine_queue(Engine *engine, const char *mapping, const char *after, unsigned limit, EngineQueueFn fn,
                 void *userdata) {
        Mapping *m = sync_find(&engine->sync, mapping);
        QueueUser u = { m, fn, userdata };

        return m ? journal_queue(engine->sync.journal, m->record.id, after, limit, on_row, &u, NULL) : -ENOENT;
}

void engine_summary(const Engine *engine, char *ret, size_t room) {
        const Sync *s = &engine->sync;
        uint64_t pending = 0, failed = 0, attention = 0;
        size_t in_sync = 0, scanning = 0;
        char speed[32] = "";
        double rate = 0;

        for (size_t i = 0; i < s->n_mappings; i++) {
                Mapping *m = s->mappings[i];
                const JournalCounts *c = journal_counts(s->journal, m->record.id);

                pending += mapping_pending(m);
                failed += c->state[PATH_FAILED] + c->state[PATH_CONFLICT] + c->state[PATH_HELD];
                in_sync += mapping_in_sync(m);
                scanning += mapping_scanning(m);
                rate += rate_of(&m->rate, m->uploaded_bytes);
                attention += m->block != BLOCK_NONE || m->stuck || m->account->gate != GATE_OPEN;
        }
        if (rate >= 1024)
                (void) snprintf(speed, sizeof(speed), ", %.1f MiB/s", rate / (1024 * 1024));
        if (s->n_mappings == 0)
                (void) snprintf(ret, room, "Idle: no folder is mapped");
        else if (in_sync == s->n_mappings)
                (void) snprintf(ret, room, "%zu %s in sync", in_sync, in_sync == 1 ? "folder" : "folders");
        else
                (void) snprintf(ret, room, "%zu of %zu folders in sync, %llu %s pending%s%s%s%s", in_sync,
                                s->n_mappings, (unsigned long long) pending, pending == 1 ? "change" : "changes", speed,
                                scanning ? ", comparing" : "", attention ? ", blocked or offline" : "",
                                failed ? ", some need attention: azsyncctl status" : "");
}
