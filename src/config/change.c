#include "config/change.h"

#include "config/yaml.h"
#include "util/path.h"
#include "util/places.h"

#include <assert.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

#define FILES_MAX 4u
#define MAPPINGS "mappings.d"
#define DAEMON_GROUP "azsyncd" /* systemd/azsyncd.sysusers */

typedef struct File {
        char *path, *old, *new; /* old, new: NULL: no such file */
        size_t old_size, new_size;
        uid_t uid;
        gid_t gid;
        mode_t mode;
        bool secret, written;
} File;

struct Change {
        const char *config_dir, *state_dir;
        int dir_fd;
        struct stat dir;
        bool made_dir, made_mappings, committed;
        File files[FILES_MAX];
        size_t n_files;
};

static void wipe(char **text, size_t size) {
        if (*text)
                explicit_bzero(*text, size);
        free(*text);
        *text = NULL;
}

static void file_done(File *f) {
        wipe(&f->old, f->old_size);
        wipe(&f->new, f->new_size);
        free(f->path);
        *f = (File){ 0 };
}

void change_drop(Change *c) {
        for (size_t i = 0; i < c->n_files; i++)
                file_done(&c->files[i]);
        c->n_files = 0;
}

Change *change_free(Change *c) {
        char path[4096];

        if (!c)
                return NULL;
        change_drop(c);
        if (c->made_mappings && !c->committed &&
            snprintf(path, sizeof(path), "%s/" MAPPINGS, c->config_dir) < (int) sizeof(path))
                (void) rmdir(path);
        if (c->made_dir && !c->committed)
                (void) rmdir(c->config_dir);
        closep(&c->dir_fd);
        free(c);
        return NULL;
}

/* --- directories --- */

/* What is made belongs to whom the directory belongs to, and the daemon may read it. */
static void owner_of_new(const Change *c, uid_t *ret_uid, gid_t *ret_gid) {
        const struct group *group = geteuid() == 0 && c->dir.st_gid == 0 ? getgrnam(DAEMON_GROUP) : NULL;

        *ret_uid = geteuid() == 0 ? c->dir.st_uid : geteuid();
        *ret_gid = group ? group->gr_gid : c->dir.st_gid;
}

static int begin(Change *c, Error *e) {
        mode_t mode = geteuid() == 0 ? 0750 : 0700; /* 0640 of a file is 0750 of a folder */
        char path[4096];
        uid_t uid;
        gid_t gid;
        int r;

        if (snprintf(path, sizeof(path), "%s/" MAPPINGS, c->config_dir) >= (int) sizeof(path))
                return error_set(e, -ENAMETOOLONG, ERROR_OS, ENAMETOOLONG, "the configuration's path is too long");
        c->dir_fd = open(c->config_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (c->dir_fd < 0 && errno == ENOENT) {
                r = place_make(c->config_dir, mode);
                if (r < 0)
                        return error_os(e, -r, "making %s", PATH_SHOWN(c->config_dir));
                c->made_dir = true;
                c->dir_fd = open(c->config_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        }
        if (c->dir_fd < 0 || fstat(c->dir_fd, &c->dir) < 0)
                return error_os(e, errno, "%s", PATH_SHOWN(c->config_dir));
        if (faccessat(c->dir_fd, ".", W_OK, AT_EACCESS) < 0) /* rather than after questions and checks */
                return error_os(e, errno, "changing what is in %s%s", PATH_SHOWN(c->config_dir),
                                geteuid() != 0 && errno == EACCES ? " (as root?)" : "");
        if (flock(c->dir_fd, LOCK_EX | LOCK_NB) < 0)
                return errno == EWOULDBLOCK
                               ? error_set(e, -EBUSY, ERROR_OS, EBUSY,
                                           "another azsyncctl changes %s at this moment; try again when it is done",
                                           PATH_SHOWN(c->config_dir))
                               : error_os(e, errno, "locking %s", PATH_SHOWN(c->config_dir));
        c->made_mappings = mkdir(path, mode) == 0;
        if (!c->made_mappings && errno != EEXIST)
                return error_os(e, errno, "making %s", PATH_SHOWN(path));
        owner_of_new(c, &uid, &gid);
        if (c->made_dir && geteuid() == 0)
                (void) !fchown(c->dir_fd, uid, gid);
        if (c->made_mappings && geteuid() == 0)
                (void) !lchown(path, uid, gid);
        return 0;
}

int change_new(Change **ret, const char *config_dir, const char *state_dir, Error *e) {
        _cleanup_(change_freep) Change *c = calloc(1, sizeof(*c));
        int r;

        assert(ret && config_dir);

        if (!c)
                return error_oom(e);
        c->config_dir = config_dir;
        c->state_dir = state_dir;
        c->dir_fd = -1;
        r = begin(c, e);
        if (r >= 0)
                *ret = TAKE_PTR(c);
        return r;
}

/* --- what is to be --- */

static char *path_of(const Change *c, const char *name, Error *e) {
        char *path = NULL;

        if (asprintf(&path, "%s/%s", c->config_dir, name) < 0) {
                (void) error_oom(e);
                return NULL;
        }
        return path;
}

static int read_path(const char *path, Buf *ret, Error *e) {
        bool hidden;
        int r = yaml_read_file(ret, path, &hidden, e);
        struct stat st;

        return r == -ENOENT && lstat(path, &st) < 0 ? 0 : r < 0 ? r : 1;
}

int change_read(const Change *c, const char *name, Buf *ret, Error *e) {
        _cleanup_free_ char *path = path_of(c, name, e);

        return path ? read_path(path, ret, e) : -ENOMEM;
}

static char *copy(const char *text, size_t size) {
        char *ret = malloc(size + 1);

        if (ret) {
                if (size > 0)
                        memcpy(ret, text, size);
                ret[size] = '\0';
        }
        return ret;
}

/* What is there now, and who shall own the new one. */
static int look(Change *c, File *f, Error *e) {
        _cleanup_buf_ Buf old = BUF_INIT(YAML_FILE_MAX);
        struct stat st;
        int r = read_path(f->path, &old, e);

        if (r < 0)
                return r;
        if (r == 0) {
                owner_of_new(c, &f->uid, &f->gid);
                f->mode = f->secret ? 0600 : 0640;
                return 0;
        }
        f->old = copy(old.data, old.size);
        f->old_size = old.size;
        explicit_bzero(old.data, old.size);
        if (!f->old || lstat(f->path, &st) < 0)
                return f->old ? error_os(e, errno, "%s", PATH_SHOWN(f->path)) : error_oom(e);
        if (f->secret)
                return error_set(e, -EEXIST, ERROR_OS, EEXIST, "%s is there already, and is not replaced",
                                 PATH_SHOWN(f->path));
        if (S_ISLNK(st.st_mode))
                return error_set(e, -ELOOP, ERROR_OS, ELOOP,
                                 "%s is a symbolic link, which is not replaced; change what it leads to, by hand",
                                 PATH_SHOWN(f->path));
        f->uid = st.st_uid;
        f->gid = st.st_gid;
        f->mode = st.st_mode & 07777;
        return 0;
}

static File *find(Change *c, const char *path) {
        for (size_t i = 0; i < c->n_files; i++)
                if (strcmp(c->files[i].path, path) == 0)
                        return &c->files[i];
        return NULL;
}

int change_put(Change *c, const char *name, const char *text, size_t size, ChangeMode mode, Error *e) {
        _cleanup_free_ char *path = path_of(c, name, e);
        File fresh = { .secret = mode == CHANGE_SECRET }, *f;
        int r;

        if (!path)
                return -ENOMEM;
        f = find(c, path);
        if (!f) {
                assert(c->n_files < FILES_MAX);
                fresh.path = TAKE_PTR(path);
                r = look(c, &fresh, e);
                if (r < 0) {
                        file_done(&fresh);
                        return r;
                }
                f = &c->files[c->n_files++];
                *f = fresh;
        }
        wipe(&f->new, f->new_size);
        f->new_size = size;
        f->new = text ? copy(text, size) : NULL;
        return text && !f->new ? error_oom(e) : 0;
}

int change_load(const Change *c, Config **ret, Buf *report, Error *e) {
        ConfigDraft drafts[FILES_MAX];
        const ConfigPlaces places = {
                .config_dir = c->config_dir,
                .state_dir = c->state_dir,
                .drafts = drafts,
                .n_drafts = c->n_files,
                .secrets_elsewhere = true,
        };

        for (size_t i = 0; i < c->n_files; i++) {
                const File *f = &c->files[i];

                drafts[i] = (ConfigDraft){
                        .path = f->path, .text = f->new, .size = f->new_size, .hidden = (f->mode & 0077) == 0
                };
        }
        return config_load(ret, &places, report, e);
}

/* --- on the disk --- */

static int sync_dir_of(const char *path) {
        _cleanup_free_ char *dir = strndup(path, (size_t) (strrchr(path, '/') - path));
        _cleanup_close_ int fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

        return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

/* A hidden name beside `path`, which the loader passes over. */
static char *beside(const char *path) {
        const char *name = strrchr(path, '/') + 1;
        uint64_t random;
        char *ret = NULL;

        if (getrandom(&random, sizeof(random), 0) != sizeof(random) ||
            asprintf(&ret, "%.*s.%s.%016llx", (int) (name - path), path, name, (unsigned long long) random) < 0)
                return NULL;
        return ret;
}

static int fill(int fd, const char *text, size_t size, const File *f, Error *e) {
        for (size_t done = 0; done < size;) {
                ssize_t n = write(fd, text + done, size - done);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return error_os(e, errno, "writing %s", PATH_SHOWN(f->path));
                done += (size_t) n;
        }
        /* a group we are not in: a new file may do without, one that was there may not lose it */
        if (fchown(fd, f->uid, f->gid) < 0 && (f->old || errno != EPERM))
                return error_os(e, errno, "%s would lose its owner", PATH_SHOWN(f->path));
        if (fchmod(fd, f->mode) < 0 || fsync(fd) < 0)
                return error_os(e, errno, "writing %s", PATH_SHOWN(f->path));
        return 0;
}

/* Not every file system has RENAME_NOREPLACE. */
static int rename_fresh(const char *from, const char *to) {
        if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
                return 0;
        return errno == EINVAL && link(from, to) == 0 ? unlink(from) : -1;
}

/* `text` NULL: it goes. `fresh`: nothing may be there. */
static int place(const File *f, const char *text, size_t size, bool fresh, Error *e) {
        _cleanup_free_ char *temporary = NULL;
        _cleanup_close_ int fd = -1;
        int r;

        if (!text)
                return unlink(f->path) < 0 && errno != ENOENT ? error_os(e, errno, "removing %s", PATH_SHOWN(f->path))
                                                              : 0;
        temporary = beside(f->path);
        if (!temporary)
                return error_oom(e);
        fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return error_os(e, errno, "writing %s", PATH_SHOWN(f->path));
        r = fill(fd, text, size, f, e);
        if (r >= 0 && (fresh ? rename_fresh(temporary, f->path) : rename(temporary, f->path)) < 0)
                r = error_os(e, errno, "writing %s", PATH_SHOWN(f->path));
        if (r < 0)
                (void) unlink(temporary);
        return r;
}

static int unchanged(const File *f, Error *e) {
        _cleanup_buf_ Buf now = BUF_INIT(YAML_FILE_MAX);
        int r = read_path(f->path, &now, e);
        bool same =
                r == 0 ? !f->old : f->old && now.size == f->old_size && memcmp(buf_text(&now), f->old, now.size) == 0;

        if (now.data)
                explicit_bzero(now.data, now.size);
        if (r < 0)
                return r;
        return same ? 0
                    : error_set(e, -ESTALE, ERROR_OS, ESTALE, "%s was changed by somebody else meanwhile; try again",
                                PATH_SHOWN(f->path));
}

static int undo(Change *c, Error *e) {
        int r = 0;

        for (size_t i = c->n_files; i-- > 0;) {
                File *f = &c->files[i];

                if (!f->written)
                        continue;
                f->written = false;
                if (place(f, f->old, f->old_size, false, e) < 0 || sync_dir_of(f->path) < 0)
                        r = -EIO;
        }
        c->committed = r < 0;
        return r;
}

static int commit(Change *c, Error *e) {
        int r = 0;

        for (size_t i = 0; r >= 0 && i < c->n_files; i++)
                r = unchanged(&c->files[i], e);
        for (size_t i = 0; r >= 0 && i < c->n_files; i++) {
                File *f = &c->files[i];

                r = place(f, f->new, f->new_size, !f->old, e);
                f->written = r >= 0;
                if (r >= 0)
                        r = sync_dir_of(f->path);
                if (r < 0 && f->written)
                        (void) error_os(e, -r, "writing %s", PATH_SHOWN(f->path));
        }
        c->committed = r >= 0;
        return r;
}

int change_commit(Change *c, Error *e) {
        sigset_t end, before;
        Error why = ERROR_NULL;
        int r;

        (void) sigemptyset(&end);
        (void) sigaddset(&end, SIGINT);
        (void) sigaddset(&end, SIGTERM);
        (void) sigaddset(&end, SIGHUP);
        (void) sigprocmask(SIG_BLOCK, &end, &before);
        r = commit(c, e);
        if (r < 0 && undo(c, &why) < 0)
                (void) error_prefix(e, r, "not all could be taken back (%s)", why.text);
        (void) sigprocmask(SIG_SETMASK, &before, NULL);
        return r;
}

int change_undo(Change *c, Error *e) {
        return undo(c, e);
}
