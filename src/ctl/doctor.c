/* The order of the questions, and those about the configuration and the daemon. */
#include "ctl/doctor.h"

#include "azsyncd/control.h"
#include "ctl/status.h"
#include "util/clock.h"
#include "util/path.h"
#include "util/workers.h"

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define REPORT_MAX ((size_t) 64 * 1024)
#define WALK_TIME (30 * NSEC_PER_SEC)
#define STUCK_TIME (20 * NSEC_PER_SEC)
#define STEP_USEC UINT64_C(100000)

/* --- configuration --- */

static void say_lines(Doctor *d, Outcome o, const char *advice, const char *text) {
        while (*text) {
                size_t n = strcspn(text, "\n");

                if (n > 0)
                        finding(&d->findings, o, MACHINE, "configuration", advice, "%.*s", (int) n, text);
                text += n + (text[n] == '\n');
        }
}

int doctor_wait(Doctor *d, const bool *done, const _Atomic int64_t *stepped) {
        while (!*done) {
                int r = sd_event_run(d->loop, STEP_USEC);

                if (r < 0)
                        return r;
                if (!*done && clock_boot() - atomic_load(stepped) > clock_policy(STUCK_TIME))
                        return -ETIMEDOUT;
        }
        return 0;
}

/* In a thread: it asks for the real path of each mapped folder, and a mount may hang (pitfalls 2.6). */
typedef struct Loading {
        Work work;
        ConfigPlaces places;
        Config *config;
        Buf report;
        Error error;
        int r;
        bool done;
} Loading;

static void load(Work *work) {
        Loading *l = (Loading *) work;

        l->r = config_load(&l->config, &l->places, &l->report, &l->error);
}

static void loaded(Work *work) {
        ((Loading *) work)->done = true;
}

static void loading_free(Work *work) {
        Loading *l = (Loading *) work;

        config_free(l->config);
        buf_done(&l->report);
        free(l);
}

static void say_configuration(Doctor *d, Loading *l) {
        if (l->r < 0) {
                say_lines(d, FOUND_FAIL, "correct it; azsyncd --check-config reads it again",
                          l->report.size > 0 ? buf_text(&l->report) : l->error.text);
                return;
        }
        d->config = TAKE_PTR(l->config);
        say_lines(d, FOUND_WARN, "", buf_text(&d->config->warnings));
        if (d->config->n_mappings == 0)
                finding(&d->findings, FOUND_WARN, MACHINE, "configuration", "azsyncctl add FOLDER URL",
                        "no folder is mapped in %s", PATH_SHOWN(d->where.config_dir));
        else
                finding(&d->findings, FOUND_OK, MACHINE, "configuration", "", "%s: %zu %s, %zu %s",
                        PATH_SHOWN(d->where.config_dir), d->config->n_accounts,
                        d->config->n_accounts == 1 ? "account" : "accounts", d->config->n_mappings,
                        d->config->n_mappings == 1 ? "mapping" : "mappings");
}

static void read_configuration(Doctor *d) {
        _Atomic int64_t begun = clock_boot();
        Loading *l = calloc(1, sizeof(*l));
        Workers *workers = NULL;
        Error e = ERROR_NULL;

        if (!l || workers_new(&workers, d->loop, 1, &e) < 0) {
                finding(&d->findings, FOUND_UNKNOWN, MACHINE, "configuration", "", "%s", l ? e.text : "out of memory");
                free(l);
                return;
        }
        l->work = (Work){ .run = load, .done = loaded, .drop = loading_free };
        l->places = (ConfigPlaces){ .config_dir = d->where.config_dir, .state_dir = d->where.state_dir };
        l->report = BUF_INIT(REPORT_MAX);
        workers_submit(workers, &l->work);
        if (doctor_wait(d, &l->done, &begun) >= 0) {
                say_configuration(d, l);
                loading_free(&l->work);
        } else {
                d->stuck = true;
                finding(&d->findings, FOUND_FAIL, MACHINE, "configuration",
                        "find the mount that does not answer (df hangs at it), and bring it back or unmount it",
                        "reading it hangs: a folder that it names does not answer");
        }
        workers_free(workers);
}

/* --- the daemon --- */

static int ask_status(Doctor *d, const Options *o, Error *e) {
        _cleanup_client_ Client c = CLIENT_INIT;
        _cleanup_reply_ Reply reply = { 0 };
        struct ucred peer;
        socklen_t size = sizeof(peer);
        int r;

        r = client_open(&c, o->runtime_dir, e);
        if (r < 0)
                return r;
        if (getsockopt(c.fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0) {
                d->uid = peer.uid;
                d->pid = peer.pid;
        }
        r = client_send(&c, "Status", json_object(), false, e);
        if (r >= 0)
                r = client_receive(&c, clock_boot() + clock_policy(STUCK_TIME), &reply, e);
        if (r < 0)
                return r;
        if (reply.error)
                return error_set(e, -EACCES, ERROR_PROTOCOL, 0, "azsyncd does not tell: %s", reply.error);
        d->status = json_incref(reply.parameters);
        return 0;
}

static void say_daemon(Doctor *d, const Options *o) {
        Error e = ERROR_NULL;
        const char *version;
        int r = ask_status(d, o, &e);

        if (r == -ENOENT || r == -ECONNREFUSED) {
                finding(&d->findings, FOUND_WARN, MACHINE, "daemon",
                        "systemctl enable --now azsyncd (journalctl -u azsyncd, if it does not stay)",
                        "it does not run: nothing listens where it would");
                return;
        }
        if (r < 0) {
                finding(&d->findings, r == -EACCES ? FOUND_UNKNOWN : FOUND_FAIL, MACHINE, "daemon",
                        r == -EACCES ? "ask as root" : "journalctl -u azsyncd; systemctl restart azsyncd", "%s",
                        e.text);
                return;
        }
        version = json_get_text(d->status, "version");
        if (strcmp(version, AZSYNCD_VERSION) != 0)
                finding(&d->findings, FOUND_WARN, MACHINE, "daemon", "systemctl restart azsyncd",
                        "version %s runs, this is " AZSYNCD_VERSION, version);
        else
                finding(&d->findings, FOUND_OK, MACHINE, "daemon", "", "version %s runs as uid %u, process %d", version,
                        (unsigned) d->uid, (int) d->pid);
}

/* What it says of the mapping: what needs a person, in the words of status --check. */
static void say_state(Doctor *d, const MappingConfig *m) {
        About about = { .mapping = m->name };
        json_t *list = json_object_get(d->status, "mappings"), *status = NULL, *one;
        _cleanup_text_ Text lines = TEXT_INIT(65536);
        const char *state;

        for (size_t i = 0; i < json_array_size(list) && !status; i++)
                if (strcmp(json_get_text(json_array_get(list, i), "name"), m->name) == 0)
                        status = json_array_get(list, i);
        if (!status) {
                finding(&d->findings, FOUND_WARN, about, "state", "azsyncctl reload",
                        "azsyncd does not know this mapping yet");
                return;
        }
        state = json_get_text(status, "state");
        one = json_pack("{s:[O]}", "mappings", status);
        if (one && status_attention(&lines, one) > 0) {
                size_t skip = strlen(m->name) + strlen(": ");

                for (const char *line = buf_text(&lines.buf); *line;) {
                        size_t n = strcspn(line, "\n");

                        if (n > skip)
                                finding(&d->findings, FOUND_FAIL, about, "state", "", "%.*s", (int) (n - skip),
                                        line + skip);
                        line += n + (line[n] == '\n');
                }
        } else if (strcmp(state, "offline") == 0)
                finding(&d->findings, FOUND_WARN, about, "state", "see to the account", "offline: %s",
                        json_get_text(status, "last_error"));
        else if (strcmp(state, "paused") == 0)
                finding(&d->findings, FOUND_WARN, about, "state", "azsyncctl resume", "paused: nothing is sent");
        else
                finding(&d->findings, FOUND_OK, about, "state", "", "%s, %llu pending", state,
                        (unsigned long long) json_get_count(status, "pending"));
        json_decref(one);
}

/* --- all of it --- */

static bool wanted(const Doctor *d, const MappingConfig *m) {
        return !d->named || m == d->named;
}

static void examine(Doctor *d) {
        doctor_clock(d);
        doctor_files(d);
        doctor_state(d);
        if (!d->config)
                return;
        for (size_t i = 0; i < d->config->n_accounts; i++)
                if (!d->named || d->named->account == &d->config->accounts[i])
                        doctor_account(d, &d->config->accounts[i]);
        for (size_t i = 0; i < d->config->n_mappings; i++) {
                if (!wanted(d, &d->config->mappings[i]))
                        continue;
                doctor_folder(d, &d->config->mappings[i]);
                if (d->status)
                        say_state(d, &d->config->mappings[i]);
        }
        doctor_inotify(d);
}

static int conclude(Doctor *d) {
        if (d->findings.checks) {
                json_t *all = findings_to_json(&d->findings);

                if (all)
                        print_json(all);
                else
                        d->findings.r = -ENOMEM;
                json_decref(all);
        }
        if (d->findings.r < 0) {
                (void) fprintf(stderr, "azsyncctl: %s\n", strerror(-d->findings.r));
                return AZSYNC_EXIT_FAILED;
        }
        return d->findings.n[FOUND_FAIL] > 0 ? AZSYNC_EXIT_UNSYNCED : AZSYNC_EXIT_OK;
}

static int examine_all(const Options *o, bool *ret_stuck) {
        Doctor d = { .uid = geteuid(),
                     .walk_ns = WALK_TIME,
                     .findings.color = output_color(),
                     .findings.checks = o->json ? json_array() : NULL };
        int r = sd_event_new(&d.loop);

        if (r < 0 || (o->json && !d.findings.checks)) {
                (void) fprintf(stderr, "azsyncctl: %s\n", strerror(r < 0 ? -r : ENOMEM));
                return AZSYNC_EXIT_FAILED;
        }
        (void) signal(SIGPIPE, SIG_IGN); /* as http/ asks; a closed stdout is an error of writing then */
        if (where_find(&d.where, o, false) != 0)
                return AZSYNC_EXIT_FAILED;
        read_configuration(&d);
        d.named = d.config && o->n_names > 0 ? config_find(d.config, o->names[0]) : NULL;
        if (d.config && o->n_names > 0 && !d.named) {
                (void) fprintf(stderr, "azsyncctl: there is no mapping named \"%s\" in %s\n", PATH_SHOWN(o->names[0]),
                               PATH_SHOWN(d.where.config_dir));
                json_decref(d.findings.checks);
                r = AZSYNC_EXIT_FAILED;
        } else {
                say_daemon(&d, o);
                rights_find(&d.eyes, d.pid, d.where.system && !o->config_dir);
                examine(&d);
                r = conclude(&d);
        }
        json_decref(d.status);
        (void) sd_event_unref(d.loop);
        if (!d.stuck) /* else a thread may still look into it */
                config_free(d.config);
        *ret_stuck = d.stuck;
        return r;
}

/* A thread that is stuck in the kernel keeps its whole process from ending, even one that is killed, and with it the
 * pipe that somebody reads our output from. So a child looks, and if it is stuck it lets go of the output and says with
 * what we are to exit. */
int verb_doctor(const Options *o) {
        int pipes[2], r;
        uint8_t code = AZSYNC_EXIT_FAILED;
        bool stuck = false;
        ssize_t n;
        pid_t child;

        if (pipe2(pipes, O_CLOEXEC) < 0 || (child = fork()) < 0) {
                (void) fprintf(stderr, "azsyncctl: %s\n", strerror(errno));
                return AZSYNC_EXIT_FAILED;
        }
        if (child == 0) {
                (void) close(pipes[0]);
                r = examine_all(o, &stuck);
                if (!stuck)
                        return r;
                code = (uint8_t) (fflush(stdout) != 0 || ferror(stdout) ? AZSYNC_EXIT_FAILED : r);
                (void) close(STDIN_FILENO);
                (void) close(STDOUT_FILENO);
                (void) close(STDERR_FILENO);
                n = write(pipes[1], &code, 1);
                _exit(n == 1 ? code : AZSYNC_EXIT_FAILED);
        }
        (void) close(pipes[1]);
        do
                n = read(pipes[0], &code, 1);
        while (n < 0 && errno == EINTR);
        (void) close(pipes[0]);
        if (n == 1)
                return code;
        while (waitpid(child, &r, 0) < 0)
                if (errno != EINTR)
                        return AZSYNC_EXIT_FAILED;
        return WIFEXITED(r) ? WEXITSTATUS(r) : AZSYNC_EXIT_FAILED;
}
