#include "util/filenews.h"

#include "util/log.h"

#include <assert.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

struct FileNews {
        sd_event *loop;
        sd_event_source *source;
        char *path, *folder;
        struct stat seen;
        FileNewsFn fn;
        void *userdata;
};

bool filenews_ask(FileNews *f) {
        struct stat now = { 0 };
        bool same;

        if (stat(f->path, &now) < 0) /* between two of it */
                return false;
        same = now.st_dev == f->seen.st_dev && now.st_ino == f->seen.st_ino && now.st_size == f->seen.st_size &&
               now.st_mtim.tv_sec == f->seen.st_mtim.tv_sec && now.st_mtim.tv_nsec == f->seen.st_mtim.tv_nsec &&
               now.st_ctim.tv_sec == f->seen.st_ctim.tv_sec && now.st_ctim.tv_nsec == f->seen.st_ctim.tv_nsec;
        f->seen = now;
        return !same;
}

/* Of the folder, for a file that is replaced takes its own watch with it. */
static int on_event(sd_event_source *source, const struct inotify_event *event, void *userdata) {
        FileNews *f = userdata;

        if (filenews_ask(f))
                f->fn(f->userdata);
        return 0;
}

void filenews_watch(FileNews *f, bool on) {
        int r;

        if (!on)
                f->source = sd_event_source_disable_unref(f->source);
        if (!on || f->source)
                return;
        r = sd_event_add_inotify(f->loop, &f->source, f->folder, IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_ATTRIB,
                                 on_event, f);
        if (r < 0) /* it is asked for now and then as well */
                log_debug("%s is not watched: %s", f->folder, strerror(-r));
}

int filenews_new(FileNews **ret, sd_event *loop, const char *path, FileNewsFn fn, void *userdata, Error *e) {
        _cleanup_(filenews_freep) FileNews *f = NULL;
        char *slash;

        assert(ret && loop && path && path[0] == '/' && fn);

        f = calloc(1, sizeof(*f));
        if (!f || !(f->path = strdup(path)) || !(f->folder = strdup(path)))
                return error_oom(e);
        slash = strrchr(f->folder, '/');
        slash[slash == f->folder] = '\0';
        f->loop = sd_event_ref(loop);
        f->fn = fn;
        f->userdata = userdata;
        (void) filenews_ask(f);
        *ret = TAKE_PTR(f);
        return 0;
}

FileNews *filenews_free(FileNews *f) {
        if (!f)
                return NULL;
        (void) sd_event_source_disable_unref(f->source);
        if (f->loop)
                (void) sd_event_unref(f->loop);
        free(f->path);
        free(f->folder);
        free(f);
        return NULL;
}
