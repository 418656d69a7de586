/* What a person asks of mappings: to compare, to try again, to pause, and what becomes of what waits for a decision. */
#include "sync/guard.h"

#include "azsyncd/messages.h"
#include "util/clock.h"
#include "util/log.h"

#include <stdio.h>
#include <string.h>

/* What failed or waits is tried at once. */
static int retry_some(Mapping *m, Error *e) {
        static const PathState retried[RETRY_ALL] = { PATH_CONFLICT, PATH_FAILED, PATH_PENDING };
        Journal *j = m->sync->journal;
        int r = 0;

        for (unsigned i = 0; i < MIN((unsigned) m->retrying, ELEMENTSOF(retried)) && r == 0; i++)
                r = journal_release(j, m->record.id, retried[i], journal_sequence(j, clock_wall()), e);
        if (r == 0)
                m->retrying = RETRY_NONE;
        return r;
}

void verbs_carry(Mapping *m) {
        if (m->retrying == RETRY_NONE)
                return;
        (void) retry_some(m, NULL);
        sync_touch(m->sync);
        sync_kick(m->sync);
}

static int nothing_to(const Mapping *m, const char *verb, Error *e) {
        return error_set(e, -ESRCH, ERROR_NONE, 0, "mapping %s: there is nothing to %s%s%s", m->config->name, verb,
                         m->block == BLOCK_NONE ? "" : ": it is blocked: ", m->why);
}

/* Held deletions: approved ones are looked at once more and carried out (7.5); rejected ones end here, their blobs
 * stay. */
static int decide(Mapping *m, bool approve, Error *e) {
        Sync *s = m->sync;
        uint64_t held = journal_counts(s->journal, m->record.id)->state[PATH_HELD];
        int r;

        if (held == 0)
                return nothing_to(m, approve ? "approve" : "reject", e);
        r = guard_decide(m, approve ? DECISION_APPROVE : DECISION_REJECT, e);
        if (r >= 0)
                r = journal_checkpoint(s->journal, e);
        if (r < 0)
                return r;

        LogRecord l = LOG_HERE;
        mapping_fields(&l, m->config);
        log_commit(&l, LOG_NOTICE, MSG_DELETIONS_DECIDED, "%s: %llu held %s %s.", m->config->name,
                   (unsigned long long) held, held == 1 ? "deletion was" : "deletions were",
                   approve ? "approved" : "rejected; what is in the cloud stays");
        return 0;
}

static int reject(Mapping *m, Error *e) {
        int r = decide(m, false, e);

        if (r >= 0)
                mapping_scan(m, ""); /* a folder in their place that cannot be read was told of by no row so far */
        return r;
}

/* All that was mirrored is forgotten, and mirrored to where it is configured for. */
static int approve_destination(Mapping *m, Error *e) {
        Journal *j = m->sync->journal;
        JournalMapping before = m->record;
        int r = journal_wipe(j, m->config->name, &m->record, e);

        if (r >= 0) {
                (void) snprintf(m->record.destination, sizeof(m->record.destination), "%s", m->url);
                m->record.contacted = m->record.met = false;
                m->record.scan = true;
                r = journal_mapping_put(j, &m->record, e);
        }
        if (r >= 0)
                r = journal_take_over(j, &m->record, e);
        if (r >= 0)
                r = journal_commit_durable(j, e);
        if (r >= 0)
                r = journal_checkpoint(j, e);
        if (r < 0) {
                m->record = before;
                return r;
        }
        mapping_unblock(m);
        mapping_scan(m, "");
        return 0;
}

static int approve(Mapping *m, Error *e) {
        switch (m->block) {
        case BLOCK_DESTINATION:
                return approve_destination(m, e);
        case BLOCK_CONTAINER:
        case BLOCK_CONTENTS:
                /* the container may be made, and whatever is not in it is sent; so until that is marked (10.14) */
                m->record.met = m->record.met && m->block == BLOCK_CONTENTS;
                m->record.resend = true;
                mapping_save(m, true);
                mapping_unblock(m);
                contact_again(m);
                return 0;
        case BLOCK_ROOT:
                if (root_id_is_null(&m->other_root)) { /* who means a root means no held deletions */
                        if (!mapping_scanning(m))
                                mapping_scan(m, ""); /* it may be that only a job has met another one so far */
                        return error_set(e, -ESRCH, ERROR_NONE, 0,
                                         "mapping %s: its folder is being looked at, ask again in a moment; so far "
                                         "there is nothing to approve: it is blocked: %s",
                                         m->config->name, m->why);
                }
                /* the one that was seen, not whatever comes to stand there */
                memcpy(m->record.root, &m->other_root, sizeof(m->record.root));
                source_pin(m->source, &m->other_root);
                scanner_pin(m->scanner, &m->other_root);
                m->record.scan = true;
                mapping_save(m, true);
                mapping_scan(m, "");
                return 0;
        default:
                break;
        }
        return decide(m, true, e);
}

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
                m->retrying = RETRY_ALL;
                r = retry_some(m, e);
                m->account->retry_at = 0;
                m->contact_at = 0;
                break;
        case ENGINE_PAUSE:
        case ENGINE_RESUME:
                m->record.paused = verb == ENGINE_PAUSE;
                mapping_save(m, true);
                if (m->record.paused)
                        uploads_stop(m);
                break;
        case ENGINE_APPROVE:
                return approve(m, e);
        case ENGINE_REJECT:
                return reject(m, e);
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
