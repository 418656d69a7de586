/* azsyncctl edit: an editor on a copy, and what comes out of it is put in force only if it is valid. */
#include "azsyncd/control.h"
#include "config/yaml.h"
#include "control/json.h"
#include "ctl/ask.h"
#include "ctl/copy.h"
#include "ctl/setup.h"
#include "ctl/text.h"
#include "util/path.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define REPORT_MAX ((size_t) 64 * 1024)
/* as a shell reads them, with the file as $1. A plain command takes the shell's place, so that signals reach it. */
#define USUAL_EDITOR                                                                     \
        "for e in editor nano vi; do command -v $e >/dev/null && exec $e \"$1\"; done; " \
        "echo 'azsyncctl: there is no editor; name one in $VISUAL or $EDITOR' >&2; exit 127"

typedef enum Outcome {
        EDITED,   /* and valid */
        SAME,     /* as it was */
        GIVEN_UP, /* what was written is not wanted (complained of) */
        CUT_OFF,  /* by a signal: nobody has said what is wanted (complained of) */
        AGAIN,    /* it is to be put right */
} Outcome;

typedef struct Editing {
        Where where;
        Change *change;
        char file[CONFIG_NAME_MAX + 32]; /* below config_dir */
        Copy copy;
        Buf old, new;
} Editing;

static void editing_done(Editing *d) {
        copy_remove(&d->copy);
        change_free(d->change);
        copy_wipe(&d->old);
        copy_wipe(&d->new);
}

/* --- signals: none ends us before it is settled what becomes of the copy --- */

static const int ending[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };
static volatile sig_atomic_t ended, editor; /* the signal; the process that it is passed on to. 0: none */

static void on_end(int sig) {
        int saved = errno;

        ended = sig;
        if (editor > 0)
                (void) kill(editor, sig);
        errno = saved;
}

static void catch_ends(void) {
        const struct sigaction action = { .sa_handler = on_end }; /* a question at the terminal is over, too */
        struct sigaction before;

        for (size_t i = 0; i < ELEMENTSOF(ending); i++)
                if (sigaction(ending[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN) /* nohup */
                        (void) sigaction(ending[i], &action, NULL);
}

static Outcome cut_off(void) {
        (void) setup_fail("%s; nothing was changed", strsignal(ended));
        return CUT_OFF;
}

/* The child, with `editor` set before a signal can come for it; exec ends the handlers. */
static pid_t start(const char *command, const char *copy, const struct sigaction *interrupt,
                   const struct sigaction *quit) {
        sigset_t all, before;
        pid_t child;

        (void) sigfillset(&all);
        (void) sigprocmask(SIG_BLOCK, &all, &before);
        child = fork();
        if (child == 0) {
                (void) sigaction(SIGINT, interrupt, NULL);
                (void) sigaction(SIGQUIT, quit, NULL);
                (void) sigprocmask(SIG_SETMASK, &before, NULL);
                (void) execl("/bin/sh", "sh", "-c", command, "azsyncctl", copy, (char *) NULL);
                _exit(127);
        }
        editor = child;
        (void) sigprocmask(SIG_SETMASK, &before, NULL);
        return child;
}

/* SAME: it ended well, whatever it did. */
static Outcome run_editor(const char *copy) {
        const char *visual = getenv("VISUAL"), *named = visual && *visual ? visual : getenv("EDITOR");
        const struct sigaction ignore = { .sa_handler = SIG_IGN };
        _cleanup_free_ char *command = NULL;
        struct sigaction interrupt, quit;
        siginfo_t info = { 0 };
        int status = 0;
        pid_t child;

        if (!named || !*named)
                command = strdup(USUAL_EDITOR);
        else if (asprintf(&command, "%s%s \"$1\"", strpbrk(named, "=;&|(){}<>\n") ? "" : "exec ", named) < 0)
                command = NULL;
        if (!command) {
                (void) setup_fail("out of memory");
                return GIVEN_UP;
        }
        (void) fflush(NULL);
        (void) sigaction(SIGINT, &ignore, &interrupt); /* they are the editor's */
        (void) sigaction(SIGQUIT, &ignore, &quit);
        child = start(command, copy, &interrupt, &quit);
        /* its number is its own until it is collected, when nothing is passed on any more */
        while (child > 0 && waitid(P_PID, (id_t) child, &info, WEXITED | WNOWAIT) < 0 && errno == EINTR)
                ;
        editor = 0;
        while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
                ;
        (void) sigaction(SIGINT, &interrupt, NULL);
        (void) sigaction(SIGQUIT, &quit, NULL);
        if (ended)
                return cut_off();
        if (child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
                return SAME;
        (void) setup_fail(child < 0 ? "the editor cannot be started; nothing was changed"
                                    : "the editor did not end well; nothing was changed");
        return child > 0 && WIFSIGNALED(status) ? CUT_OFF : GIVEN_UP;
}

/* Is what was written valid? */
static Outcome judge(Editing *d) {
        _cleanup_buf_ Buf report = BUF_INIT(REPORT_MAX);
        _cleanup_(config_freep) Config *config = NULL;
        bool terminal = isatty(STDIN_FILENO);
        Error e = ERROR_NULL;
        char answer;
        int r;

        r = change_put(d->change, d->file, buf_text(&d->new), d->new.size, CHANGE_CONFIG, &e);
        if (r < 0) {
                (void) setup_fail("%s", e.text);
                return GIVEN_UP;
        }
        if (change_load(d->change, &config, &report, &e) >= 0) {
                (void) fputs(buf_text(&config->warnings), stderr);
                return EDITED;
        }
        (void) setup_refused(&report, &e,
                             terminal ? "that would be refused" : "that would be refused; nothing was changed");
        if (!terminal)
                return GIVEN_UP;
        answer = ask_choice("(e) edit again, (x) leave it as it was: ", "ex");
        return ended ? cut_off() : answer == 'e' ? AGAIN : GIVEN_UP;
}

static Outcome edit(Editing *d) {
        Outcome outcome = AGAIN;
        Error e = ERROR_NULL;
        bool hidden;

        while (outcome == AGAIN) {
                outcome = run_editor(d->copy.path);
                if (outcome != SAME)
                        break;
                buf_clear(&d->new);
                if (yaml_read_file(&d->new, d->copy.path, &hidden, &e) < 0) {
                        (void) setup_fail("%s", e.text);
                        return GIVEN_UP;
                }
                if (d->new.size != d->old.size || memcmp(buf_text(&d->new), buf_text(&d->old), d->old.size) != 0)
                        outcome = judge(d);
        }
        return outcome;
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
        Outcome outcome;
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
        catch_ends();
        copy_leftovers(d.where.config_dir);
        r = copy_make(&d.copy, d.where.config_dir, d.file, &d.old);
        if (r != 0)
                return r;
        outcome = edit(&d);
        if (outcome == SAME)
                return say(o, &d, false, told);
        if (outcome == EDITED && setup_apply(&d.where, d.change, &told) >= 0 && told != TOLD_REFUSED &&
            told != TOLD_FAILED)
                return say(o, &d, true, told);
        if (outcome != GIVEN_UP)
                copy_leave(&d.copy);
        return AZSYNC_EXIT_FAILED;
}
