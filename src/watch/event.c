#include "watch/event.h"

#include "watch/watcher.h"

#include <string.h>
#include <sys/inotify.h>

size_t event_parse(const char *bytes, size_t size, WatchEvent *ret) {
        struct inotify_event head;

        if (size < sizeof(head))
                return 0;
        memcpy(&head, bytes, sizeof(head));
        if (head.len > size - sizeof(head))
                return 0;
        *ret = (WatchEvent){ .wd = head.wd, .mask = head.mask, .name = bytes + sizeof(head) };
        ret->size = head.len > 0 ? strnlen(ret->name, head.len) : 0;
        if (ret->size == 0 || ret->size == head.len) /* none, or not ended: the kernel never does the latter */
                ret->name = "";
        if (ret->size == head.len)
                ret->size = 0;
        return sizeof(head) + head.len;
}

unsigned event_news(uint32_t mask, bool named) {
        unsigned news = 0;

        if (!named) {
                if (mask & IN_UNMOUNT)
                        news |= WATCH_ROOT | WATCH_SUBTREE;
                if (mask & (IN_DELETE_SELF | IN_MOVE_SELF))
                        news |= WATCH_ROOT; /* of the root; elsewhere the parent's event tells */
                return news;
        }
        if (mask & IN_ISDIR) {
                if (mask & (IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE))
                        news |= WATCH_SUBTREE | WATCH_NAME;
                if (mask & IN_ATTRIB) /* a chmod may have opened the whole branch (5.5) */
                        news |= WATCH_SUBTREE | WATCH_ATTRIB;
                return news;
        }
        if (mask & IN_MODIFY)
                news |= WATCH_CONTENT;
        if (mask & IN_CLOSE_WRITE)
                news |= WATCH_CONTENT | WATCH_CLOSED;
        if (mask & (IN_CREATE | IN_DELETE | IN_MOVED_FROM))
                news |= WATCH_NAME;
        if (mask & IN_MOVED_TO)
                news |= WATCH_NAME | WATCH_CLOSED;
        if (mask & IN_ATTRIB)
                news |= WATCH_ATTRIB;
        return news;
}
