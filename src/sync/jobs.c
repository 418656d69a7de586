/* Which job is about a path, a source or a file, found without walking all of them: several thousand may be there when
 * a folder is deleted, and each claim asks. */
#include "sync/state.h"

#include <string.h>

static uint64_t hash_path(const char *path) {
        uint64_t h = UINT64_C(0xCBF29CE484222325); /* FNV-1a; who chooses names can only slow their own mapping down */

        for (; *path; path++)
                h = (h ^ (uint8_t) *path) * UINT64_C(0x100000001B3);
        return h;
}

static Job **bucket(const Mapping *m, JobKey key, uint64_t hash) {
        hash ^= hash >> 32;
        hash *= UINT64_C(0x9E3779B97F4A7C15); /* inodes are numbered in a row, or by their place on the disk */
        return (Job **) &m->jobs_by[key][hash >> (64 - JOB_BUCKET_BITS)];
}

static void add(Job *job, JobKey key, uint64_t hash) {
        Job **at = bucket(job->mapping, key, hash);

        job->keys[key].hash = hash;
        job->keys[key].there = true;
        job->keys[key].next = *at;
        *at = job;
}

static void drop(Job *job, JobKey key) {
        Job **at;

        if (!job->keys[key].there)
                return;
        at = bucket(job->mapping, key, job->keys[key].hash);
        while (*at != job)
                at = &(*at)->keys[key].next;
        *at = job->keys[key].next;
        job->keys[key].there = false;
}

static void add_inode(Job *job) {
        if (job->row.seen_ino != 0)
                add(job, JOB_INODE, job->row.seen_ino);
}

void jobs_add(Job *job) {
        add(job, JOB_PATH, hash_path(job->row.path));
        add_inode(job);
}

void jobs_remove(Job *job) {
        drop(job, JOB_PATH);
        drop(job, JOB_INODE);
        (void) jobs_set_source(job, NULL);
}

bool jobs_set_source(Job *job, const char *path) {
        char *copy = path ? strdup(path) : NULL;

        if (path && !copy)
                return false;
        job->mapping->n_copying += (copy != NULL);
        job->mapping->n_copying -= (job->source_path != NULL);
        drop(job, JOB_SOURCE);
        free(job->source_path);
        job->source_path = copy;
        if (copy)
                add(job, JOB_SOURCE, hash_path(copy));
        return true;
}

void jobs_saw(Job *job, const Stamp *stamp) {
        drop(job, JOB_INODE);
        row_saw(&job->row, stamp);
        add_inode(job);
}

Job *jobs_at(const Mapping *m, const char *path) {
        Job *job = *bucket(m, JOB_PATH, hash_path(path));

        while (job && strcmp(job->row.path, path) != 0)
                job = job->keys[JOB_PATH].next;
        return job;
}

bool jobs_busy_with(const Mapping *m, const char *path) {
        const Job *job = *bucket(m, JOB_SOURCE, hash_path(path));

        while (job && strcmp(job->source_path, path) != 0)
                job = job->keys[JOB_SOURCE].next;
        return job || jobs_at(m, path);
}

const Job *jobs_of_inode(const Mapping *m, uint64_t ino, const Job *last) {
        const Job *job = last ? last->keys[JOB_INODE].next : *bucket(m, JOB_INODE, ino);

        while (job && job->row.seen_ino != ino)
                job = job->keys[JOB_INODE].next;
        return job;
}

bool jobs_inode_due(const Mapping *m, uint64_t ino) {
        const Job *job = NULL;

        while ((job = jobs_of_inode(m, ino, job)))
                if (job->row.due_ino == ino)
                        return true;
        return false;
}
