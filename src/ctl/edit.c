/* azsyncctl edit: an editor on a copy, and what comes out of it is put in force only if it is valid. */
#include "azsyncd/control.h"
#include "config/yaml.h"
#include "control/json.h"
#include "ctl/ask.h"
#include "ctl/setup.h"
#include "ctl/text.h"
#include "util/path.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define REPORT_MAX ((size_t) 64 * 1024)
/* as a shell reads it, with the file as $1 */
#define USUAL_EDITOR                                                                     \
        "for e in editor nano vi; do command -v $e >/dev/null && exec $e \"$1\"; done; " \
        "echo 'azsyncctl: there is no editor; name one in $VISUAL or $EDITOR' >&2; exit 127"

typedef struct Editing {
        Where where;
        Change *change;
        char file[CONFIG_NAME_MAX + 32]; /* below config_dir */
        char dir[3200];                  /* holds the copy and what an editor leaves beside it; "" */
        char copy[3300];
        Buf old, new;
} Editing;

static void wipe(Buf *b) {
        if (b->data)
                explicit_bzero(b->data, b->room);
        buf_done(b);
}

/* A secret may stand in the copy, and so in what an editor leaves. */
static void editing_done(Editing *d) {
        DIR *dir = d->dir[0] ? opendir(d->dir) : NULL;

        for (const struct dirent *entry; dir && (entry = readdir(dir));)
                (void) unlinkat(dirfd(dir), entry->d_name, 0);
        if (dir)
                (void) closedir(dir);
        if (d->dir[0])
                (void) rmdir(d->dir);
        change_free(d->change);
        wipe(&d->old);
        wipe(&d->new);
}

/* In a folder of its own beside azsyncd.yaml, which nobody else may enter; not in /tmp, as there may be secrets in it.
 */
static int make_copy(Editing *d) {
        const char *name = strrchr(d->file, '/');
        _cleanup_close_ int fd = -1;
        char dir[sizeof(d->dir)];
        ssize_t n;

        (void) snprintf(dir, sizeof(dir), "%s/.edit-XXXXXX", d->where.config_dir);
        if (!mkdtemp(dir))
                return setup_fail("making a copy in %s: %s", PATH_SHOWN(d->where.config_dir), strerror(errno));
        memcpy(d->dir, dir, sizeof(dir));
        (void) snprintf(d->copy, sizeof(d->copy), "%s/%s", d->dir, name ? name + 1 : d->file);
        fd = open(d->copy, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
                return setup_fail("%s: %s", PATH_SHOWN(d->copy), strerror(errno));
        n = write(fd, buf_text(&d->old), d->old.size);
        if (n != (ssize_t) d->old.size)
                return setup_fail("%s: %s", PATH_SHOWN(d->copy), n < 0 ? strerror(errno) : "the disk is full");
        return 0;
}

static int run_editor(const char *copy) {
        const char *visual = getenv("VISUAL"), *editor = visual && *visual ? visual : getenv("EDITOR");
        struct sigaction ignore = { .sa_handler = SIG_IGN }, interrupt, quit;
        _cleanup_free_ char *command = NULL;
        int status = 0;
        pid_t child;

        if (!editor || !*editor)
                command = strdup(USUAL_EDITOR);
        else if (asprintf(&command, "%s \"$1\"", editor) < 0)
                command = NULL;
        if (!command)
                return setup_fail("out of memory");
        (void) fflush(NULL);
        (void) sigaction(SIGINT, &ignore, &interrupt); /* they are the editor's */
        (void) sigaction(SIGQUIT, &ignore, &quit);
        child = fork();
        if (child == 0) {
                (void) sigaction(SIGINT, &interrupt, NULL);
                (void) sigaction(SIGQUIT, &quit, NULL);
                (void) execl("/bin/sh", "sh", "-c", command, "azsyncctl", copy, (char *) NULL);
                _exit(127);
        }
        while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
                ;
        (void) sigaction(SIGINT, &interrupt, NULL);
        (void) sigaction(SIGQUIT, &quit, NULL);
        if (child < 0)
                return setup_fail("starting the editor: %s", strerror(errno));
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                return setup_fail("the editor did not end well; nothing was changed");
        return 0;
}

/* Is what was written valid? 1: yes; 0: it is to be edited again; else a negative: it is given up (complained of). */
static int judge(Editing *d) {
        _cleanup_buf_ Buf report = BUF_INIT(REPORT_MAX);
        _cleanup_(config_freep) Config *config = NULL;
        bool terminal = isatty(STDIN_FILENO);
        Error e = ERROR_NULL;
        int r;

        r = change_put(d->change, d->file, buf_text(&d->new), d->new.size, CHANGE_CONFIG, &e);
        if (r < 0) {
                (void) setup_fail("%s", e.text);
                return -1;
        }
        if (change_load(d->change, &config, &report, &e) >= 0) {
                (void) fputs(buf_text(&config->warnings), stderr);
                return 1;
        }
        (void) setup_refused(&report, &e,
                             terminal ? "that would be refused" : "that would be refused; nothing was changed");
        if (!terminal)
                return -1;
        return ask_choice("(e) edit again, (x) leave it as it was: ", "ex") == 'e' ? 0 : -1;
}

/* Until there is something to be put in force. 1: there is; 0: it is as it was; -1: given up. */
static int edit(Editing *d) {
        for (;;) {
                Error e = ERROR_NULL;
                bool hidden;
                int r;

                if (run_editor(d->copy) != 0)
                        return -1;
                buf_clear(&d->new);
                if (yaml_read_file(&d->new, d->copy, &hidden, &e) < 0) {
                        (void) setup_fail("%s", e.text);
                        return -1;
                }
                if (d->new.size == d->old.size && memcmp(buf_text(&d->new), buf_text(&d->old), d->old.size) == 0)
                        return 0;
                r = judge(d);
                if (r != 0)
                        return r;
        }
}

static int say(const Options *o, const Editing *d, bool changed, Told told) {
        json_t *all;

        if (o->json) {
                all = json_pack("{s:i, s:o, s:b, s:b}", "version", 1, "file", setup_path(&d->where, d->file), "changed",
                                changed, "running", changed && told == TOLD_DONE);
                if (!all)
                        return setup_fail("out of memory");
                print_json(all);
                json_decref(all);
        } else
                (void) printf("%s/%s: %s\n", PATH_SHOWN(d->where.config_dir), d->file,
                              !changed              ? "nothing was changed"
                              : told == TOLD_NOBODY ? "changed; azsyncd does not run"
                                                    : "changed, and in force");
        return AZSYNC_EXIT_OK;
}

int verb_edit(const Options *o) {
        _cleanup_(editing_done) Editing d = { .old = BUF_INIT(YAML_FILE_MAX), .new = BUF_INIT(YAML_FILE_MAX) };
        const char *name = o->n_names > 0 ? o->names[0] : NULL;
        Error e = ERROR_NULL;
        Told told = TOLD_FAILED;
        int r;

        if (name && !setup_good_name(name))
                return AZSYNC_EXIT_FAILED;
        r = where_find(&d.where, o, !name);
        if (r != 0)
                return r;
        if (name)
                (void) snprintf(d.file, sizeof(d.file), "mappings.d/%s.yaml", name);
        else
                (void) snprintf(d.file, sizeof(d.file), "azsyncd.yaml");
        r = change_new(&d.change, d.where.config_dir, d.where.state_dir, &e);
        if (r >= 0)
                r = change_read(d.change, d.file, &d.old, &e);
        if (r == 0 && name)
                return setup_unknown(&d.where, name);
        if (r >= 0) /* from now on it must not change behind our back */
                r = change_put(d.change, d.file, buf_text(&d.old), d.old.size, CHANGE_CONFIG, &e);
        if (r < 0)
                return setup_fail("%s", e.text);
        r = make_copy(&d);
        if (r != 0)
                return r;
        r = edit(&d);
        if (r < 0)
                return AZSYNC_EXIT_FAILED;
        if (r == 0)
                return say(o, &d, false, told);
        if (setup_apply(&d.where, d.change, &told) < 0 || told == TOLD_REFUSED || told == TOLD_FAILED)
                return AZSYNC_EXIT_FAILED;
        return say(o, &d, true, told);
}
