/* What watcher.c and watches.c share: the table of watched folders, which the scanner's threads fill and the loop
 * reads. For them alone. */
#pragma once

#include "watch/pending.h"
#include "watch/reader.h"
#include "watch/tree.h"
#include "watch/watcher-on.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct Telling {
        size_t path; /* offset */
        unsigned news;
} Telling;

typedef struct Barrier {
        struct Barrier *next;
        uint64_t number;
        WatcherBarrierFn fn;
        void *userdata;
} Barrier;

struct Watcher {
        atomic_uint refs;
        int inotify_fd; /* open as long as anyone may add to it: the number must not come to mean another instance */
        WatcherAddFn add;
        pthread_mutex_t adding; /* the scanner's threads among themselves; may be held for as long as a mount hangs */
        pthread_mutex_t lock;   /* guards `tree` and `above`; held for memory operations only (2.6) */
        Tree *tree;
        int above[WATCH_ABOVE_MAX]; /* watches of the folders above the root */
        size_t n_above;

        /* the loop's own */
        bool closed;
        int news_fd;
        Reader *reader;
        sd_event_source *on_news, *on_rest;
        WatcherFn fn;
        void *userdata;
        bool news;        /* the reader has something */
        bool busy;        /* `set` is being told */
        Pending *set;     /* from the reader */
        size_t told;      /* entries of `set` */
        uint64_t reached; /* barrier behind `set` */
        bool unmounted;   /* told, in this set */
        Barrier *first, **last;
        Telling *tellings; /* of one step */
        size_t n_tellings;
        char *paths;
        size_t paths_size, paths_room;
        bool lost; /* no memory to tell it all */
};

int watches_add_by_fd(int inotify_fd, int folder_fd, uint32_t mask); /* the kernel's; a WatcherAddFn */
