/* File data in flight is bounded: a job takes room before it reads, and waits in its mapping's line when there is none.
 *
 * All mappings share SYNC_MEMORY. What a job holds may not come back for hours, because a mount hangs or an account
 * does not answer, and then nobody else may have to wait for it (pitfalls 2.6, 11.12). So one of several mappings gets
 * at most half of it, and each may always have MAPPING_LEAST, whatever the others hold: with k mappings stuck at once
 * the bound is SYNC_MEMORY + k * MAPPING_LEAST. Lines are per mapping and served in turns. */
#include "sync/state.h"

#include <stdlib.h>

#define MAPPING_LEAST SYNC_SMALL_MAX /* one small file of the largest, one block, or 64 files of unknown size */

void job_give_back(Job *job) {
        Mapping *m = job->mapping;

        free(job->buffer);
        job->buffer = NULL;
        m->sync->memory_used -= job->reserved;
        m->memory_used -= job->reserved;
        job->reserved = 0;
}

static void take(Job *job, size_t size) {
        Mapping *m = job->mapping;

        m->sync->memory_used += size;
        m->memory_used += size;
        job->reserved = size;
}

static size_t rest(size_t all, size_t used) {
        return used < all ? all - used : 0;
}

/* How much a job that can use `most` may have now; 0: not even `least`. */
static size_t room(const Mapping *m, size_t least, size_t most) {
        const Sync *s = m->sync;
        size_t share = s->n_mappings > 1 ? SYNC_MEMORY / 2 : SYNC_MEMORY;
        size_t common = MIN(rest(SYNC_MEMORY, s->memory_used), rest(share, m->memory_used));
        size_t own = m->memory_used == 0 ? MAX(MAPPING_LEAST, least) : rest(MAPPING_LEAST, m->memory_used);
        size_t size = MIN(MAX(common, own), most);

        return size < least ? 0 : size;
}

void job_unwait(Job *job) {
        Mapping *m = job->mapping;

        for (Job **at = &m->memory_first; *at; at = &(*at)->next_ready)
                if (*at == job) {
                        *at = job->next_ready;
                        if (!*at)
                                m->memory_last = at;
                        break;
                }
        job->next_ready = NULL;
        job->wanted = 0;
}

bool job_want_memory(Job *job, size_t least, size_t most, void (*resume)(Job *job)) {
        Mapping *m = job->mapping;
        size_t size;

        job_give_back(job);
        least = MIN(MAX(least, (size_t) 4096), SYNC_MEMORY);
        most = MAX(least, most);
        size = m->memory_first ? 0 : room(m, least, most);
        if (size > 0) {
                take(job, size);
                return true;
        }
        job->wanted = least;
        job->wanted_most = most;
        job->resume = resume;
        job->next_ready = NULL;
        *m->memory_last = job;
        m->memory_last = &job->next_ready;
        return false;
}

static bool serve_first(Mapping *m) {
        Job *job = m->memory_first;
        size_t size = job ? room(m, job->wanted, job->wanted_most) : 0;

        if (size == 0)
                return false;
        job_unwait(job);
        take(job, size);
        job->resume(job);
        return true;
}

void job_memory(Sync *s) {
        bool served = true;

        while (served) {
                served = false;
                for (size_t i = 0; i < s->n_mappings; i++)
                        served |= serve_first(s->mappings[(s->turn + i) % s->n_mappings]);
        }
}
