#include "watch/event.h"

#include "watch/watcher.h"

#include <assert.h>
#include <limits.h>
#include <string.h>
#include <sys/inotify.h>

static_assert((int) WATCH_ROOT < (int) EVENT_GONE, "both share one word");

#define NAMES (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO)

static unsigned news_of_folder(uint32_t mask) {
        unsigned news = 0;

        if (mask & NAMES)
                news |= WATCH_SUBTREE;
        if (mask & IN_ATTRIB) /* the whole branch may have become readable, or unreadable (pitfalls 5.5) */
                news |= WATCH_ATTRIB | WATCH_SUBTREE;
        return news;
}

static unsigned news_of_other(uint32_t mask) {
        unsigned news = 0;

        if (mask & IN_MODIFY)
                news |= WATCH_CONTENT;
        if (mask & IN_CLOSE_WRITE)
                news |= WATCH_CONTENT | WATCH_CLOSED;
        if (mask & NAMES)
                news |= WATCH_NAME;
        if (mask & IN_MOVED_TO) /* the bytes are what they were under the old name */
                news |= WATCH_CLOSED;
        if (mask & IN_ATTRIB)
                news |= WATCH_ATTRIB;
        return news;
}

static unsigned what_of(uint32_t mask, bool named) {
        unsigned what = 0;

        if (mask & IN_Q_OVERFLOW)
                return WATCH_SUBTREE | WATCH_OVERFLOW;
        if (mask & IN_DELETE_SELF)
                what |= EVENT_GONE;
        if (mask & IN_MOVE_SELF)
                what |= EVENT_MOVED;
        if (mask & IN_UNMOUNT)
                what |= EVENT_UNMOUNTED;
        if (mask & IN_IGNORED)
                what |= EVENT_DEAD;
        if (named)
                return what | (mask & IN_ISDIR ? news_of_folder(mask) : news_of_other(mask));
        if (mask & IN_ATTRIB)
                what |= EVENT_CHANGED;
        if (mask & (NAMES | IN_MODIFY | IN_CLOSE_WRITE)) /* of a child, but of which? The kernel always says. */
                what |= WATCH_SUBTREE;
        return what;
}

int event_next(const char *bytes, size_t size, size_t *at, Event *ret) {
        assert(bytes && at && *at <= size && ret);

        while (*at < size) {
                struct inotify_event head;
                const char *name = "";
                size_t length = 0;
                unsigned what;

                if (size - *at < sizeof(head))
                        return -EBADMSG;
                memcpy(&head, bytes + *at, sizeof(head)); /* `bytes` need not be aligned */
                if (head.len > size - *at - sizeof(head))
                        return -EBADMSG;
                if (head.len > 0) {
                        name = bytes + *at + sizeof(head);
                        length = strnlen(name, head.len);
                        if (length == head.len || length > NAME_MAX || memchr(name, '/', length) ||
                            strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
                                return -EBADMSG;
                }
                *at += sizeof(head) + head.len;
                what = what_of(head.mask, length > 0);
                if (what == 0)
                        continue;
                *ret = (Event){ .wd = head.wd, .what = what, .name = name, .size = length };
                return 1;
        }
        return 0;
}
