/* Bytes as from an inotify descriptor, through the parser into the merged set. */
#include "watch/pending.h"
#include "watch/watcher.h"

#include <limits.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
        if (!holds)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(pending_freep) Pending *p = NULL;
        _cleanup_free_ char *bytes = malloc(size + 1); /* exactly so long: a byte read beyond is seen */
        size_t at = 0, before = 0, events = 0;
        Event e;
        int r;

        check(bytes && pending_new(&p, &(HashSeed){ 5, 6 }) == 0);
        memcpy(bytes, data, size);
        bytes = realloc(bytes, size > 0 ? size : 1);
        check(bytes != NULL);
        while ((r = event_next(bytes, size, &at, &e)) > 0) {
                check(at > before && at <= size);
                before = at;
                events++;
                check(e.what != 0 && e.size <= NAME_MAX && strlen(e.name) == e.size && !strchr(e.name, '/'));
                check(strcmp(e.name, ".") != 0 && strcmp(e.name, "..") != 0);
                check(e.size == 0 || (e.name >= bytes && e.name + e.size < bytes + size));
                pending_add(p, &e);
        }
        check(r == 0 ? at == size : r == -EBADMSG);
        check(pending_count(p) <= events && pending_empty(p) == (events == 0));
        for (size_t i = 0; i < pending_count(p); i++) {
                e = pending_get(p, i);
                check(e.what != 0 && strlen(e.name) == e.size);
                pending_add(p, &e); /* known, all of it, but for what is never merged */
                check((e.what & EVENT_DEAD) || pending_count(p) <= events);
                if (e.what & EVENT_DEAD)
                        break;
        }
        return 0;
}
