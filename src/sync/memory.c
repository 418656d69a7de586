/* File data in flight is bounded: a job takes room before it reads, and waits in a line of its mapping when there is
 * none.
 *
 * All mappings share `memory`. What a job holds may not come back for hours, because a mount hangs, an account does not
 * answer, or a file has 500 GB, and then nobody else may have to wait for it (pitfalls 2.6, 11.12). So one of several
 * mappings gets at most half of it; large files, which hold theirs until they are sent, get at most half of that, and
 * wait in a line of their own; and each line may always have LINE_LEAST, whatever the others hold: with k lines stuck
 * at once the bound is memory + k * LINE_LEAST. Lines are served in turns.
 *
 * In the line of large files one that has less than a quarter to read goes before a longer one, or 5 MiB would wait for
 * 500 GB; but before each of them not for ever. upload.c gives way to it. */
#include "sync/state.h"

#include <stdlib.h>

#define OVERTAKEN_MOST 64u
#define LINE_LEAST SYNC_SMALL_MAX /* one small file of the largest, one block, or 64 files of unknown size */

void job_give_back(Job *job) {
        Mapping *m = job->mapping;

        free(job->buffer);
        job->buffer = NULL;
        if (job->reserved == 0)
                return;
        m->sync->memory_used[job->line] -= job->reserved;
        m->lines[job->line].used -= job->reserved;
        if (job->line == LINE_LARGE)
                m->account->n_large--;
        job->reserved = 0;
}

static void take(Job *job, size_t size) {
        Mapping *m = job->mapping;

        m->sync->memory_used[job->line] += size;
        m->lines[job->line].used += size;
        if (job->line == LINE_LARGE)
                m->account->n_large++;
        job->reserved = size;
}

static size_t rest(size_t all, size_t used) {
        return used < all ? all - used : 0;
}

/* How much a job that can use `most` may have now; 0: not even `least`. */
static size_t room(const Mapping *m, Line line, size_t least, size_t most) {
        const Sync *s = m->sync;
        size_t share = s->n_mappings > 1 ? s->memory / 2 : s->memory;
        size_t common = MIN(rest(s->memory, s->memory_used[LINE_SMALL] + s->memory_used[LINE_LARGE]),
                            rest(share, m->lines[LINE_SMALL].used + m->lines[LINE_LARGE].used));
        size_t used = m->lines[line].used, own = used == 0 ? MAX(LINE_LEAST, least) : rest(LINE_LEAST, used), size;

        if (line == LINE_LARGE) {
                common = MIN(common, MIN(rest(s->memory / 2, s->memory_used[line]), rest(share / 2, used)));
                /* nor all of the account's connections, which a slow one or a limit may make last */
                if (used > 0 && m->account->n_large >= m->account->pace.limit / 2)
                        return 0;
        }
        size = MIN(MAX(common, own), most);
        return size < least ? 0 : size;
}

void job_unwait(Job *job) {
        MemoryLine *l = &job->mapping->lines[job->line];

        for (Job **at = &l->first; *at; at = &(*at)->next_ready)
                if (*at == job) {
                        *at = job->next_ready;
                        if (!*at)
                                l->last = at;
                        break;
                }
        job->next_ready = NULL;
        job->wanted = 0;
}

static bool goes_before(const Job *job, const Job *other) {
        if (job->line == LINE_SMALL || other->overtaken >= OVERTAKEN_MOST)
                return false;
        if (job->left < job->stamp.size) /* it has given way, and has the file open: to no other than to shorter ones */
                return other->left >= job->left / LARGE_SHORTER;
        return other->left / LARGE_SHORTER > job->left;
}

static void stand_in_line(MemoryLine *l, Job *job) {
        Job **place = &l->first;

        for (Job **at = &l->first; *at; at = &(*at)->next_ready)
                if (!goes_before(job, *at))
                        place = &(*at)->next_ready;
        job->overtaken = 0;
        job->next_ready = *place;
        *place = job;
        for (Job *behind = job->next_ready; behind; behind = behind->next_ready)
                behind->overtaken++;
        if (!job->next_ready)
                l->last = &job->next_ready;
}

bool job_want_memory(Job *job, Line line, size_t least, size_t most, void (*resume)(Job *job)) {
        MemoryLine *l = &job->mapping->lines[line];
        size_t size;

        job_give_back(job);
        job->line = line;
        least = MAX(least, (size_t) 4096);
        most = MAX(least, most);
        size = l->first ? 0 : room(job->mapping, line, least, most);
        if (size > 0) {
                take(job, size);
                return true;
        }
        job->wanted = least;
        job->wanted_most = most;
        job->resume = resume;
        stand_in_line(l, job);
        sync_kick(job->mapping->sync); /* what it has just given back may be what somebody before it waits for */
        return false;
}

static bool serve_first(Mapping *m, Line line) {
        Job *job = m->lines[line].first;
        size_t size = job ? room(m, line, job->wanted, job->wanted_most) : 0;

        if (size == 0)
                return false;
        job_unwait(job);
        take(job, size);
        job->resume(job);
        return true;
}

void job_memory(Sync *s) {
        bool served = !s->serving; /* a job that is resumed may end at once, and comes here */

        while (served) {
                s->serving = true;
                served = false;
                for (size_t i = 0; i < s->n_mappings; i++)
                        for (Line line = LINE_SMALL; line <= LINE_LARGE; line++)
                                served |= serve_first(s->mappings[(s->turn + i) % s->n_mappings], line);
                s->serving = false;
        }
}
