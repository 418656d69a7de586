/* File data in flight is bounded: a job takes room before it reads, and waits in line when there is none. */
#include "sync/state.h"

#include <stdlib.h>

void job_give_back(Job *job) {
        free(job->buffer);
        job->buffer = NULL;
        job->mapping->sync->memory_used -= job->reserved;
        job->reserved = 0;
}

/* Unlinks it from the list of those that wait for memory. */
void job_unwait(Job *job) {
        Sync *s = job->mapping->sync;

        for (Job **at = &s->memory_first; *at; at = &(*at)->next_ready)
                if (*at == job) {
                        *at = job->next_ready;
                        if (!*at)
                                s->memory_last = at;
                        break;
                }
        job->next_ready = NULL;
}

bool job_want_memory(Job *job, size_t size, void (*resume)(Job *job)) {
        Sync *s = job->mapping->sync;

        size = MIN(MAX(size, (size_t) 4096), SYNC_MEMORY);
        s->memory_used -= job->reserved;
        job->reserved = 0;
        if (s->memory_used + size <= SYNC_MEMORY && !s->memory_first) {
                s->memory_used += size;
                job->reserved = size;
                return true;
        }
        job->wanted = size;
        job->resume = resume;
        job->next_ready = NULL;
        *s->memory_last = job;
        s->memory_last = &job->next_ready;
        return false;
}

void job_memory(Sync *s) {
        while (s->memory_first && s->memory_used + s->memory_first->wanted <= SYNC_MEMORY) {
                Job *job = s->memory_first;

                s->memory_first = job->next_ready;
                if (!s->memory_first)
                        s->memory_last = &s->memory_first;
                job->next_ready = NULL;
                s->memory_used += job->wanted;
                job->reserved = job->wanted;
                job->wanted = 0;
                job->resume(job);
        }
}
