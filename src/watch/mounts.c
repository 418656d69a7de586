#include "watch/mounts.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>

#define TABLE_MAX ((size_t) 16 * 1024 * 1024) /* some 100,000 mounts; whatever is cut off is not watched */

struct Mounts {
        int fd;
        sd_event_source *source;
        MountsFn fn;
        void *userdata;
};

/* mountinfo(5) writes blank, tab, newline and backslash as \ooo. */
static size_t unescape(const char *text, size_t size, char *ret, size_t room) {
        size_t n = 0;

        for (size_t i = 0; i < size && n + 1 < room; i++) {
                if (text[i] == '\\' && i + 3 < size && strspn(text + i + 1, "01234567") >= 3) {
                        ret[n++] = (char) ((text[i + 1] - '0') << 6 | (text[i + 2] - '0') << 3 | (text[i + 3] - '0'));
                        i += 3;
                } else
                        ret[n++] = text[i];
        }
        ret[n] = '\0';
        return n;
}

static bool related(const char *mount, size_t size, const char *folder) {
        size_t n = strlen(folder), common = MIN(size, n);

        if (size == 1) /* "/" is above everything */
                return true;
        return memcmp(mount, folder, common) == 0 && (size == n || (size < n ? folder[size] : mount[n]) == '/');
}

uint64_t mounts_digest(const char *table, const char *folder) {
        uint64_t h = UINT64_C(0xcbf29ce484222325);

        while (*table) {
                size_t line = strcspn(table, "\n");
                const char *at = table, *end = table + line;
                char mount[4096];
                unsigned field = 0;

                for (; at < end && field < 4; at++)
                        field += *at == ' ';
                if (field == 4) {
                        const char *blank = memchr(at, ' ', (size_t) (end - at));
                        size_t size = unescape(at, (size_t) ((blank ? blank : end) - at), mount, sizeof(mount));

                        if (related(mount, size, folder)) /* the whole line: its mount id, root and source */
                                for (const char *p = table; p < end; p++)
                                        h = (h ^ (uint8_t) *p) * UINT64_C(0x100000001b3);
                }
                table = end + (*end == '\n');
        }
        return h;
}

static int read_table(int fd, Buf *ret) {
        char bytes[16384];
        ssize_t n;

        if (lseek(fd, 0, SEEK_SET) < 0)
                return -errno;
        while ((n = read(fd, bytes, sizeof(bytes))) > 0)
                if (buf_append(ret, bytes, (size_t) n) < 0)
                        break;
        return n < 0 ? -errno : 0;
}

void mounts_ask(Mounts *m) {
        _cleanup_buf_ Buf table = BUF_INIT(TABLE_MAX);

        if (read_table(m->fd, &table) >= 0)
                m->fn(&table, m->userdata);
}

static int on_change(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        mounts_ask(userdata);
        return 0;
}

int mounts_new(Mounts **ret, sd_event *loop, MountsFn fn, void *userdata, Error *e) {
        _cleanup_(mounts_freep) Mounts *m = NULL;
        int r;

        assert(ret && loop && fn);

        m = calloc(1, sizeof(*m));
        if (!m)
                return error_oom(e);
        m->fn = fn;
        m->userdata = userdata;
        m->fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
        if (m->fd < 0)
                return error_os(e, errno, "opening /proc/self/mountinfo");
        r = sd_event_add_io(loop, &m->source, m->fd, EPOLLPRI, on_change, m);
        if (r < 0)
                return error_os(e, -r, "watching the mounts");
        *ret = TAKE_PTR(m);
        return 0;
}

Mounts *mounts_free(Mounts *m) {
        if (!m)
                return NULL;
        (void) sd_event_source_disable_unref(m->source);
        closep(&m->fd);
        free(m);
        return NULL;
}
