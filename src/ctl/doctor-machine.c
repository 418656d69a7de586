/* What the machine gives: the clock, open files, inotify, and the state directory. */
#include "ctl/doctor.h"

#include "util/path.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>

#define FILE_MAX ((size_t) 8 * 1024 * 1024) /* of /proc: an fdinfo with 100,000 watches */
#define QUEUE_DEFAULT 16384u                /* the kernel's; a thread that only drains needs no more (pitfalls 1.9) */
#define SPACE_LEAST ((uint64_t) 16 << 20)   /* below, the journal may not be written any more */
#define SPACE_GOOD ((uint64_t) 256 << 20)
#define INODES_LEAST 16u
/* What azsyncd opens at most: an account's connections, and a mapping's inotify, folders of a walk (32 are kept open),
 * and files being read; and 64 for itself. */
#define FILES_OWN 64u
#define FILES_ACCOUNT (512u + 8u)
#define FILES_MAPPING 40u

/* --- /proc --- */

static int read_file(int dir, const char *path, Buf *ret) {
        _cleanup_close_ int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        char bytes[16384];
        ssize_t n;

        if (fd < 0)
                return -errno;
        while ((n = read(fd, bytes, sizeof(bytes))) > 0)
                if (buf_append(ret, bytes, (size_t) n) < 0)
                        return -ENOMEM;
        return n < 0 ? -errno : 0;
}

/* -1: not there, or no number */
static int64_t read_number(const char *path) {
        _cleanup_buf_ Buf b = BUF_INIT(64);
        char *end;
        int64_t v;

        if (read_file(AT_FDCWD, path, &b) < 0 || b.size == 0)
                return -1;
        v = strtoll(b.data, &end, 10);
        return end == b.data ? -1 : v;
}

/* A limit may stand in the user namespace, too; the smaller one counts. */
static int64_t inotify_limit(const char *system, const char *user) {
        int64_t a = read_number(system), b = read_number(user);

        return a < 0 ? b : b < 0 ? a : MIN(a, b);
}

uint64_t doctor_count_watches(const char *fdinfo) {
        static const char mark[] = "inotify wd:";
        uint64_t n = 0;

        for (const char *line = fdinfo; line; line = strchr(line, '\n')) {
                line += *line == '\n';
                n += strncmp(line, mark, strlen(mark)) == 0;
        }
        return n;
}

static bool process_is_of(int process, uid_t uid) {
        _cleanup_buf_ Buf b = BUF_INIT(65536);
        const char *line;

        if (read_file(process, "status", &b) < 0)
                return false;
        line = strstr(buf_text(&b), "\nUid:");
        return line && strtoul(line + strlen("\nUid:"), NULL, 10) == uid;
}

typedef struct Usage {
        uint64_t watches, instances;
        bool all; /* every process of the user could be looked into */
} Usage;

static void process_usage(int process, Usage *u) {
        _cleanup_close_ int fds = openat(process, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *dir = fds >= 0 ? fdopendir(fds) : NULL;
        const struct dirent *de;

        if (!dir) {
                u->all = false;
                return;
        }
        (void) TAKE_FD(fds);
        while ((de = readdir(dir))) {
                _cleanup_buf_ Buf b = BUF_INIT(FILE_MAX);
                char target[64], path[300];
                ssize_t n = readlinkat(dirfd(dir), de->d_name, target, sizeof(target));

                if (n != (ssize_t) strlen("anon_inode:inotify") ||
                    memcmp(target, "anon_inode:inotify", (size_t) n) != 0)
                        continue;
                u->instances++;
                (void) snprintf(path, sizeof(path), "fdinfo/%s", de->d_name);
                if (read_file(process, path, &b) < 0)
                        u->all = false;
                u->watches += doctor_count_watches(buf_text(&b));
        }
        (void) closedir(dir);
}

/* What the user's other processes take: azsyncd's own watches are counted as what it needs. */
static void usage_of_others(const Doctor *d, Usage *ret) {
        DIR *proc = opendir("/proc");
        const struct dirent *de;

        *ret = (Usage){ .all = proc != NULL };
        while (proc && (de = readdir(proc))) {
                _cleanup_close_ int process = -1;
                pid_t pid = (pid_t) strtol(de->d_name, NULL, 10);

                if (pid <= 0 || pid == d->pid || pid == getpid())
                        continue;
                process = openat(dirfd(proc), de->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC);
                if (process >= 0 && process_is_of(process, d->uid))
                        process_usage(process, ret);
        }
        if (proc)
                (void) closedir(proc);
}

/* --- limits --- */

Outcome doctor_enough(uint64_t need, uint64_t used, uint64_t limit) {
        if (used > limit || need > limit - used)
                return FOUND_FAIL;
        return need > 0 && need + used > limit - limit / 5 ? FOUND_WARN : FOUND_OK;
}

/* A round number with room to grow. */
static uint64_t round_up(uint64_t n) {
        uint64_t r = 8192;

        while (r < n * 2 && r < (uint64_t) 1 << 40)
                r *= 2;
        return r;
}

static void say_limit(Doctor *d, const char *check, const char *what, const char *key, uint64_t need, bool at_least,
                      uint64_t used, bool used_all, int64_t limit) {
        Outcome o;
        char advice[256] = "";

        if (limit < 0) {
                finding(&d->findings, FOUND_UNKNOWN, MACHINE, check, "", "the kernel does not show its limit");
                return;
        }
        o = doctor_enough(need, used, (uint64_t) limit);
        if (o != FOUND_OK)
                (void) snprintf(advice, sizeof(advice),
                                "sysctl %s=%" PRIu64 ", and the same line in /etc/sysctl.d/azsyncd.conf", key,
                                round_up(need + used));
        if (o == FOUND_OK && at_least)
                o = FOUND_UNKNOWN; /* it is enough for those that were counted */
        finding(&d->findings, o, MACHINE, check, advice,
                "%s%" PRIu64 " %s needed, limit %" PRIi64 ", %s%" PRIu64 " taken by other programs of uid %u",
                at_least ? "at least " : "", need, what, limit, used_all ? "" : "at least ", used, (unsigned) d->uid);
}

void doctor_inotify(Doctor *d) {
        int64_t queue = read_number("/proc/sys/fs/inotify/max_queued_events");
        Usage used;

        usage_of_others(d, &used);
        say_limit(d, "watches", d->folders == 1 ? "watch is" : "watches are", "fs.inotify.max_user_watches", d->folders,
                  d->folders_at_least, used.watches, used.all,
                  inotify_limit("/proc/sys/fs/inotify/max_user_watches", "/proc/sys/user/max_inotify_watches"));
        say_limit(d, "instances", d->watched == 1 ? "instance is" : "instances are", "fs.inotify.max_user_instances",
                  d->watched, false, used.instances, used.all,
                  inotify_limit("/proc/sys/fs/inotify/max_user_instances", "/proc/sys/user/max_inotify_instances"));
        if (queue < 0)
                finding(&d->findings, FOUND_UNKNOWN, MACHINE, "event-queue", "", "the kernel does not show its limit");
        else
                finding(&d->findings, queue < QUEUE_DEFAULT ? FOUND_WARN : FOUND_OK, MACHINE, "event-queue",
                        queue < QUEUE_DEFAULT ? "sysctl fs.inotify.max_queued_events=16384, then restart azsyncd: it "
                                                "is read at the start"
                                              : "",
                        "%" PRIi64 " events fit into an inotify queue%s", queue,
                        queue < QUEUE_DEFAULT ? "; one that overflows costs a scan" : "");
}

static int64_t limit_of_process(pid_t pid) {
        static const char mark[] = "\nMax open files";
        _cleanup_buf_ Buf b = BUF_INIT(65536);
        char path[64], hard[24];
        const char *line;

        (void) snprintf(path, sizeof(path), "/proc/%d/limits", (int) pid);
        if (read_file(AT_FDCWD, path, &b) < 0)
                return -1;
        line = strstr(buf_text(&b), mark);
        if (!line || sscanf(line + strlen(mark), "%*s %23s", hard) != 1)
                return -1;
        return strcmp(hard, "unlimited") == 0 ? INT64_MAX : strtoll(hard, NULL, 10);
}

void doctor_files(Doctor *d) {
        uint64_t need = FILES_OWN;
        struct rlimit own;
        int64_t limit = -1;

        for (size_t i = 0; d->config && i < d->config->n_accounts; i++)
                need += d->config->transfers > 0 ? d->config->transfers + 8 : FILES_ACCOUNT;
        need += d->config ? d->config->n_mappings * FILES_MAPPING : 0;
        if (d->pid > 0)
                limit = limit_of_process(d->pid);
        else if (getrlimit(RLIMIT_NOFILE, &own) == 0)
                limit = own.rlim_max == RLIM_INFINITY ? INT64_MAX : (int64_t) own.rlim_max;
        if (limit < 0) {
                finding(&d->findings, FOUND_UNKNOWN, MACHINE, "open-files", "", "azsyncd's limit cannot be seen");
                return;
        }
        finding(&d->findings, need > (uint64_t) limit ? FOUND_FAIL : FOUND_OK, MACHINE, "open-files",
                need > (uint64_t) limit ? "LimitNOFILE=65536 in azsyncd.service (systemctl edit azsyncd), or ulimit -n"
                                        : "",
                "%s may open %" PRIi64 " files, %" PRIu64 " are enough",
                d->pid > 0 ? "azsyncd" : "a program started here", limit, need);
}

void doctor_clock(Doctor *d) {
        struct timex t = { 0 };
        int r = adjtimex(&t);

        if (r < 0)
                finding(&d->findings, FOUND_UNKNOWN, MACHINE, "clock", "", "the kernel does not say: %s",
                        strerror(errno));
        else if (r == TIME_ERROR || (t.status & STA_UNSYNC))
                finding(&d->findings, FOUND_WARN, MACHINE, "clock",
                        "timedatectl set-ntp true (of a container: on its host)",
                        "nothing keeps it right, as far as the kernel knows");
        else
                finding(&d->findings, FOUND_OK, MACHINE, "clock", "", "kept right");
}

/* --- the state directory --- */

static void look_for_damage(Doctor *d, int fd) {
        if (faccessat(fd, "journal.db.damaged", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
                finding(&d->findings, FOUND_WARN, MACHINE, "journal",
                        "look into the system log for what damaged it (a failing disk?), then delete "
                        "journal.db.damaged*",
                        "a damaged journal was put aside and built anew");
}

static void say_journal(Doctor *d, int fd) {
        struct stat st;

        if (fstatat(fd, "journal.db", &st, AT_SYMLINK_NOFOLLOW) == 0)
                finding(&d->findings, FOUND_OK, MACHINE, "journal", "", "there, %.1f MiB",
                        (double) st.st_size / (1 << 20));
        else if (errno == ENOENT)
                finding(&d->findings, d->pid > 0 ? FOUND_WARN : FOUND_OK, MACHINE, "journal",
                        d->pid > 0 ? "name the right directory with --state-dir" : "",
                        "none yet: it is made when azsyncd starts");
        else
                finding(&d->findings, FOUND_UNKNOWN, MACHINE, "journal", "ask as root", "%s", strerror(errno));
        look_for_damage(d, fd);
}

static void say_space(Doctor *d, const struct statvfs *fs, const char *dir) {
        uint64_t left = (uint64_t) fs->f_bavail * fs->f_frsize;
        bool no_inodes = fs->f_files > 0 && fs->f_favail < INODES_LEAST;
        Outcome o = left < SPACE_LEAST || no_inodes ? FOUND_FAIL : left < SPACE_GOOD ? FOUND_WARN : FOUND_OK;

        finding(&d->findings, o, MACHINE, "state-space",
                o == FOUND_OK ? "" : "make room: with a full disk nothing can be recorded, so nothing goes on",
                "%.1f MiB free on the file system of %s%s", (double) left / (1 << 20), PATH_SHOWN(dir),
                no_inodes ? ", but no inodes" : "");
}

void doctor_state(Doctor *d) {
        _cleanup_close_ int fd = open(d->where.state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        struct statvfs fs;
        char advice[128];

        if (fd < 0 && errno == ENOENT) {
                finding(&d->findings, d->pid > 0 ? FOUND_WARN : FOUND_OK, MACHINE, "state-directory",
                        d->pid > 0 ? "name the right one with --state-dir" : "",
                        "%s does not exist; azsyncd makes it when it starts", PATH_SHOWN(d->where.state_dir));
                return;
        }
        if (fd < 0 || fstatvfs(fd, &fs) < 0) {
                finding(&d->findings, errno == EACCES ? FOUND_UNKNOWN : FOUND_FAIL, MACHINE, "state-directory",
                        errno == EACCES ? "ask as root" : "put it right", "%s: %s", PATH_SHOWN(d->where.state_dir),
                        strerror(errno));
                return;
        }
        (void) snprintf(advice, sizeof(advice), "chown it to azsyncd's user, chmod 700");
        if (fs.f_flag & ST_RDONLY)
                finding(&d->findings, FOUND_FAIL, MACHINE, "state-directory",
                        "mount it writable, or name another with --state-dir", "%s is on a read-only file system",
                        PATH_SHOWN(d->where.state_dir));
        else if (d->uid == geteuid() && faccessat(fd, ".", R_OK | W_OK | X_OK, AT_EACCESS) < 0)
                finding(&d->findings, FOUND_FAIL, MACHINE, "state-directory", advice, "%s cannot be written by uid %u",
                        PATH_SHOWN(d->where.state_dir), (unsigned) d->uid);
        else
                finding(&d->findings, FOUND_OK, MACHINE, "state-directory", "", "%s", PATH_SHOWN(d->where.state_dir));
        say_space(d, &fs, d->where.state_dir);
        say_journal(d, fd);
}
