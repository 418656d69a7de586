/* Promise 3: "in sync" is said only when every change that the kernel had reported before the question is in the cloud.
 * So the question first drains the kernel's queue (a barrier in each watcher) and lets every scan end that was asked
 * for by then, for what they find is as old as the question; then it notes the journal's sequence, and waits until
 * nothing older is left. */
#include "sync/state.h"

#include "util/clock.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

typedef struct Part {
        EngineWait *wait; /* NULL: given up while the barrier was under way, which frees it */
        char *mapping;
        Mapping *asked;    /* whose watcher's barrier is under way; NULL: none is */
        struct Part *next; /* in its barriers */
        int64_t target;    /* the journal's sequence when all of that had come in; 0: not yet */
        uint64_t scans;
        bool failed; /* something was, since then: a folder that cannot be listed hides changes as old as the question
                      */
} Part;

struct EngineWait {
        EngineWait *next;
        Sync *sync;
        Part **parts;
        size_t n;
        EngineWaitFn fn;
        void *userdata;
};

static void part_free(Part *p) {
        if (!p)
                return;
        if (p->asked) { /* the watcher still holds it */
                p->wait = NULL;
                return;
        }
        free(p->mapping);
        free(p);
}

static void part_aim(Part *p) {
        Mapping *m = sync_find(p->wait->sync, p->mapping);

        p->target = 0;
        p->scans = m ? m->scans_asked : 0;
        defer_arm(p->wait->sync->settled);
}

static void on_barrier(void *userdata) {
        Part *p = userdata;
        Part **at = &p->asked->barriers;

        while (*at != p)
                at = &(*at)->next;
        *at = p->next;
        p->asked = NULL;
        if (!p->wait)
                part_free(p);
        else
                part_aim(p);
}

void engine_wait_cancel(EngineWait *wait) {
        EngineWait **at;

        if (!wait)
                return;
        for (at = &wait->sync->waits; *at && *at != wait; at = &(*at)->next)
                ;
        if (*at)
                *at = wait->next;
        for (size_t i = 0; i < wait->n; i++)
                part_free(wait->parts[i]);
        free(wait->parts);
        free(wait);
}

static int wait_add(EngineWait *wait, Mapping *m) {
        Part *p = calloc(1, sizeof(*p));

        if (!p || !(p->mapping = strdup(m->config->name))) {
                free(p);
                return -ENOMEM;
        }
        p->wait = wait;
        wait->parts[wait->n++] = p;
        if (m->watcher && watcher_barrier(m->watcher, on_barrier, p) >= 0) {
                p->asked = m;
                p->next = m->barriers;
                m->barriers = p;
        } else
                part_aim(p);
        return 0;
}

int engine_wait(Engine *engine, const char *const *mappings, size_t n, EngineWaitFn fn, void *userdata,
                EngineWait **ret) {
        Sync *s = &engine->sync;
        EngineWait *wait;
        int r = 0;

        if (s->mounts)
                mounts_ask(s->mounts); /* a disk that came or went before the question may not have been told yet */
        for (size_t i = 0; i < n; i++)
                if (!sync_find(s, mappings[i]))
                        return -ENOENT;
        wait = calloc(1, sizeof(*wait));
        if (!wait)
                return -ENOMEM;
        wait->sync = s;
        wait->fn = fn;
        wait->userdata = userdata;
        wait->parts = calloc(MAX(n > 0 ? n : s->n_mappings, (size_t) 1), sizeof(Part *));
        if (!wait->parts) {
                free(wait);
                return -ENOMEM;
        }
        wait->next = s->waits;
        s->waits = wait;
        for (size_t i = 0; i < (n > 0 ? n : s->n_mappings) && r >= 0; i++)
                r = wait_add(wait, n > 0 ? sync_find(s, mappings[i]) : s->mappings[i]);
        if (r < 0) {
                engine_wait_cancel(wait);
                return r;
        }
        defer_arm(s->settled);
        *ret = wait;
        return 0;
}

typedef enum Progress { PROGRESS_WAIT, PROGRESS_DONE, PROGRESS_HOPELESS } Progress;

static Progress part_check(Part *p, char *why, size_t room) {
        Sync *s = p->wait->sync;
        Mapping *m = sync_find(s, p->mapping);
        const JournalCounts *c;
        int64_t first;

        if (!m) {
                (void) snprintf(why, room, "%s is not mapped any more", p->mapping);
                return PROGRESS_HOPELESS;
        }
        c = journal_counts(s->journal, m->record.id);
        p->failed |= c->state[PATH_FAILED] > 0;
        if (m->record.paused) {
                (void) snprintf(why, room, "%s is paused", p->mapping);
                return PROGRESS_HOPELESS;
        }
        if (m->block != BLOCK_NONE) {
                (void) snprintf(why, room, "%s is blocked: %s", p->mapping, m->why);
                return PROGRESS_HOPELESS;
        }
        if (m->stuck) {
                (void) snprintf(why, room, "%s is blocked: its file system does not answer", p->mapping);
                return PROGRESS_HOPELESS;
        }
        if (account_refused(m->account) && (mapping_pending(m) > 0 || !m->record.contacted)) {
                (void) snprintf(why, room, "%s is blocked: %s", p->mapping, m->account->why.text);
                return PROGRESS_HOPELESS;
        }
        if (p->asked || m->retrying || m->record.decision != 0 || journal_broken(s->journal) || !m->record.contacted ||
            !m->scanned_once || m->record.scan || m->owed || m->scans_done < p->scans) {
                if (!m->record.contacted)
                        p->target = 0; /* what was thought to be confirmed is looked at anew */
                return PROGRESS_WAIT;
        }
        if (p->target == 0) /* what those scans and the listing found has its place in the sequence by now */
                p->target = journal_sequence_last(s->journal);
        if (mapping_pending(m) > 0 && journal_oldest(s->journal, m->record.id, &first, NULL) != 0 && first <= p->target)
                return PROGRESS_WAIT;
        if (c->state[PATH_FAILED] + c->state[PATH_HELD] + c->state[PATH_CONFLICT] > 0) {
                (void) snprintf(why, room, "%s: %llu failed, %llu held, %llu conflicts: see azsyncctl queue %s",
                                p->mapping, (unsigned long long) c->state[PATH_FAILED],
                                (unsigned long long) c->state[PATH_HELD], (unsigned long long) c->state[PATH_CONFLICT],
                                p->mapping);
                return PROGRESS_HOPELESS;
        }
        if (p->failed) {
                p->failed = false;
                part_aim(p);
                return PROGRESS_WAIT;
        }
        return c->busy > 0 ? PROGRESS_WAIT : PROGRESS_DONE;
}

static bool wait_check(EngineWait *wait) {
        Progress all = PROGRESS_DONE;
        char why[768] = "";
        EngineWaitFn fn = wait->fn;
        void *userdata = wait->userdata;

        for (size_t i = 0; i < wait->n; i++) {
                Progress p = part_check(wait->parts[i], why, sizeof(why));

                if (p == PROGRESS_WAIT && all == PROGRESS_DONE)
                        all = p;
                if (p == PROGRESS_HOPELESS) {
                        all = p;
                        break;
                }
        }
        if (all == PROGRESS_WAIT)
                return false;
        engine_wait_cancel(wait);
        fn(all == PROGRESS_DONE ? WAIT_IN_SYNC : WAIT_HOPELESS, why, userdata);
        return true;
}

void waits_check(Sync *s) {
again:
        for (EngineWait *wait = s->waits; wait; wait = wait->next)
                if (wait_check(wait))
                        goto again; /* its callback may have changed the list */
}

void waits_unwatched(Mapping *m) {
        while (m->barriers) {
                Part *p = m->barriers;

                m->barriers = p->next;
                p->asked = NULL;
                if (!p->wait)
                        part_free(p);
        }
}

void waits_restarted(Sync *s, const char *mapping) {
        for (EngineWait *wait = s->waits; wait; wait = wait->next)
                for (size_t i = 0; i < wait->n; i++)
                        if (strcmp(wait->parts[i]->mapping, mapping) == 0)
                                part_aim(wait->parts[i]);
}

void waits_free(Sync *s) {
        while (s->waits)
                engine_wait_cancel(s->waits);
}
