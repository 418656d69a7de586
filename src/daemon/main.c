/* azsyncd: arguments, configuration, signals, sd_notify. Everything else is sync/engine and control/server. */
#include "azsyncd/control.h"
#include "azsyncd/messages.h"
#include "config/config.h"
#include "control/server.h"
#include "sync/engine.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/path.h"
#include "util/places.h"
#include "util/timer.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

typedef struct Daemon {
        char config_dir[3072], state_dir[3072], runtime_dir[3072];
        bool once, check_config;
        bool config_named; /* by --config */
        bool config_seen;  /* it was there once */
        LogTarget target;
        int level;
        sd_event *loop;
        Engine *engine;
        Server *server;
        Timer *status;
        Timer *watchdog;
        int64_t watchdog_ns; /* between two pings; 0: nobody wants them */
        bool unhealthy;      /* said */
        bool refused;        /* the last reload was */
        int exit_code;
} Daemon;

static void usage(FILE *out) {
        (void) fputs(
                "Usage: azsyncd [OPTION]...\n"
                "Keeps Azure Blob Storage equal to local folders. One YAML file maps one folder.\n\n"
                "  --config DIR       where azsyncd.yaml and mappings.d/ are (default /etc/azsyncd)\n"
                "  --state-dir DIR    where the journal is kept (default /var/lib/azsyncd)\n"
                "  --runtime-dir DIR  where the control socket is made (default /run/azsyncd)\n"
                "  --once             compare, upload until in sync, exit (for cron and containers)\n"
                "  --check-config     read the configuration, say what is wrong with it, exit\n"
                "  --log-level L      emerg, alert, crit, err, warning, notice, info or debug (default info)\n"
                "  --log-target T     journal, console or auto (default auto)\n"
                "  --version          show the version\n"
                "  --help             show this\n\n"
                "As another user than root the XDG folders are the defaults ($XDG_CONFIG_HOME/azsyncd, ...); under\n"
                "systemd $CONFIGURATION_DIRECTORY, $STATE_DIRECTORY and $RUNTIME_DIRECTORY are.\n\n"
                "Exit: 0 fine; 1 failed; 2 wrong usage; 3 --once: something could not be synced; 78 configuration "
                "refused.\n",
                out);
}

static int wrong(const char *what, const char *value) {
        (void) fprintf(stderr, "azsyncd: %s: %s\nTry azsyncd --help.\n", what, PATH_SHOWN(value));
        return -EINVAL;
}

static int set_dir(char *ret, size_t room, const char *value) {
        _cleanup_free_ char *absolute = NULL;

        if (value[0] == '\0')
                return -EINVAL;
        if (value[0] != '/') {
                _cleanup_free_ char *here = getcwd(NULL, 0);

                if (!here || asprintf(&absolute, "%s/%s", here, value) < 0)
                        return -ENOMEM;
                value = absolute;
        }
        return snprintf(ret, room, "%s", value) < (int) room ? 0 : -ENAMETOOLONG;
}

/* 1: go on; 0: done, all well; negative: wrong usage, said. */
static int parse_arguments(Daemon *d, int argc, char **argv) {
        enum { CONFIG = 256, STATE, RUNTIME, ONCE, CHECK, LEVEL, TARGET, VERSION, HELP };
        static const struct option options[] = {
                { "config", required_argument, NULL, CONFIG },
                { "state-dir", required_argument, NULL, STATE },
                { "runtime-dir", required_argument, NULL, RUNTIME },
                { "once", no_argument, NULL, ONCE },
                { "check-config", no_argument, NULL, CHECK },
                { "log-level", required_argument, NULL, LEVEL },
                { "log-target", required_argument, NULL, TARGET },
                { "version", no_argument, NULL, VERSION },
                { "help", no_argument, NULL, HELP },
                { NULL, 0, NULL, 0 },
        };
        int c;

        while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
                switch (c) {
                case CONFIG:
                        if (set_dir(d->config_dir, sizeof(d->config_dir), optarg) < 0)
                                return wrong("--config: not a usable path", optarg);
                        d->config_named = true;
                        break;
                case STATE:
                        if (set_dir(d->state_dir, sizeof(d->state_dir), optarg) < 0)
                                return wrong("--state-dir: not a usable path", optarg);
                        break;
                case RUNTIME:
                        if (set_dir(d->runtime_dir, sizeof(d->runtime_dir), optarg) < 0)
                                return wrong("--runtime-dir: not a usable path", optarg);
                        break;
                case ONCE:
                        d->once = true;
                        break;
                case CHECK:
                        d->check_config = true;
                        break;
                case LEVEL:
                        d->level = log_level_from_string(optarg);
                        if (d->level < 0)
                                return wrong("--log-level: expected emerg, alert, crit, err, warning, notice, info or "
                                             "debug",
                                             optarg);
                        break;
                case TARGET:
                        if (strcmp(optarg, "journal") == 0)
                                d->target = LOG_TARGET_JOURNAL;
                        else if (strcmp(optarg, "console") == 0)
                                d->target = LOG_TARGET_CONSOLE;
                        else if (strcmp(optarg, "auto") == 0)
                                d->target = LOG_TARGET_AUTO;
                        else
                                return wrong("--log-target: expected journal, console or auto", optarg);
                        break;
                case VERSION:
                        (void) puts("azsyncd " AZSYNCD_VERSION);
                        return 0;
                case HELP:
                        usage(stdout);
                        return 0;
                default:
                        (void) fputs("Try azsyncd --help.\n", stderr);
                        return -EINVAL;
                }
        if (optind < argc)
                return wrong("unexpected argument", argv[optind]);
        return 1;
}

/* Each line of `text` becomes a record of its own. */
static void log_lines(int level, const char *message_id, const char *text) {
        while (*text) {
                size_t n = strcspn(text, "\n");

                if (n > 0) {
                        LogRecord l = LOG_HERE;

                        log_commit(&l, level, message_id, "%.*s", (int) n, text);
                }
                text += n + (text[n] == '\n');
        }
}

static void report_error(Buf *report, const Error *e) {
        if (buf_puts(report, e->text) < 0) /* only if there is no memory: the exit code still tells */
                buf_clear(report);
}

static int load_config(Daemon *d, Config **ret, Buf *report, Error *e) {
        ConfigPlaces places = { .config_dir = d->config_dir, .state_dir = d->state_dir };
        bool there = access(d->config_dir, F_OK) >= 0;
        int r;

        /* A misspelt one would be an empty one, of which --once says that everything is in the cloud, and one that is
         * away for a moment unloads nothing. A daemon may begin without: azsyncctl add makes it. */
        if (d->config_named && !there && (d->once || d->check_config || d->config_seen)) {
                r = -EINVAL;
                (void) error_set(e, r, ERROR_CONFIG, 0,
                                 "%s:1:1: cannot be read: %s; expected the directory that holds azsyncd.yaml",
                                 PATH_SHOWN(d->config_dir), strerror(errno));
        } else
                r = config_load(ret, &places, report, e);
        d->config_seen |= there;
        if (r < 0 && report->size == 0)
                report_error(report, e);
        return r;
}

static void say_config(const Daemon *d, const Config *config) {
        log_lines(LOG_WARNING, MSG_CONFIG_WARNING, buf_text(&config->warnings));
        if (config->n_mappings == 0) {
                LogRecord l = LOG_HERE;

                log_commit(&l, LOG_NOTICE, MSG_NO_MAPPING, "No folder is mapped in %s: azsyncctl add FOLDER URL",
                           d->config_dir);
        }
}

/* --- signals, reload, notify --- */

static void notify_state(Daemon *d, const char *first) {
        char line[256];

        engine_summary(d->engine, line, sizeof(line)); /* holds no names, so no newline (6.8) */
        (void) sd_notifyf(false, "%sSTATUS=%s%s", first, line,
                          d->refused ? "; reload failed, the configuration before stays in force: azsyncctl status"
                                     : "");
}

static void on_status(void *userdata) {
        notify_state(userdata, "");
}

/* Keeps the old configuration whole if the new one is bad (pitfalls 11.5). */
static int daemon_reload(Buf *report, Error *e, void *userdata) {
        Daemon *d = userdata;
        _cleanup_(config_freep) Config *config = NULL;
        int r;

        (void) sd_notifyf(false, "RELOADING=1\nMONOTONIC_USEC=%llu",
                          (unsigned long long) (clock_boot() / NSEC_PER_USEC));
        r = load_config(d, &config, report, e);
        if (r >= 0) {
                say_config(d, config);
                r = engine_apply(d->engine, TAKE_PTR(config), e);
                if (r < 0 && report->size == 0)
                        report_error(report, e);
        }
        if (r < 0) {
                log_lines(LOG_ERR, MSG_CONFIG_REFUSED, buf_text(report));
                LogRecord l = LOG_HERE;
                log_commit(&l, LOG_ERR, MSG_CONFIG_REFUSED,
                           "Reload failed; the configuration in force stays as it was.");
        } else {
                LogRecord l = LOG_HERE;
                log_commit(&l, LOG_NOTICE, MSG_CONFIG_RELOADED, "Configuration reloaded.");
        }
        d->refused = r < 0;
        server_reloaded(d->server, r < 0 ? buf_text(report) : NULL);
        notify_state(d, "READY=1\n");
        return r;
}

static int on_hangup(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata) {
        _cleanup_buf_ Buf report = BUF_INIT((size_t) 64 * 1024);
        Error e = ERROR_NULL;

        (void) daemon_reload(&report, &e, userdata);
        return 0;
}

static void on_secrets(void *userdata) {
        (void) on_hangup(NULL, NULL, userdata);
}

static int on_stop(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata) {
        Daemon *d = userdata;
        LogRecord l = LOG_HERE;

        (void) sd_notify(false, "STOPPING=1\nSTATUS=Stopping");
        log_commit(&l, LOG_NOTICE, MSG_STOPPING, "Stopping; what is not uploaded yet is remembered.");
        return sd_event_exit(d->loop, d->once ? AZSYNC_EXIT_UNSYNCED : AZSYNC_EXIT_OK);
}

static int print_unsynced(const QueueItem *item, void *userdata) {
        unsigned *left = userdata;
        char path[4096]; /* whole, for a script to read: no blob name is longer */

        if (strcmp(item->state, "skipped") == 0)
                return 0;
        (void) path_display(item->path, strlen(item->path), path, sizeof(path));
        (void) fprintf(stderr, "azsyncd: not synced: %s: %s: %s%s%s\n", item->mapping, path, item->state,
                       item->reason[0] ? ": " : "", item->reason);
        return --*left == 0 ? -ECANCELED : 0;
}

static int print_mapping(const MappingStatus *status, void *userdata) {
        unsigned left = 1000; /* the rest is counted below */

        if (status->detail[0])
                (void) fprintf(stderr, "azsyncd: not synced: %s: %s: %s\n", status->name, status->state,
                               status->detail);
        (void) engine_queue(userdata, status->name, NULL, left, print_unsynced, &left);
        if (status->pending + status->failed + status->held + status->conflicts > 1000)
                (void) fprintf(stderr, "azsyncd: ... and more: %s: %" PRIu64 " in all\n", status->name,
                               status->pending + status->failed + status->held + status->conflicts);
        return 0;
}

static void on_once(bool in_sync, void *userdata) {
        Daemon *d = userdata;

        if (!in_sync)
                (void) engine_status(d->engine, NULL, print_mapping, d->engine);
        (void) sd_event_exit(d->loop, in_sync ? AZSYNC_EXIT_OK : AZSYNC_EXIT_UNSYNCED);
}

static void on_changed(void *userdata) {
        Daemon *d = userdata;

        if (timer_get(d->status) == 0)
                timer_set(d->status, clock_boot() + NSEC_PER_SEC);
}

/* The ping says that the loop turns, since it comes from there, and that what the loop depends on gets on too (11.7).
 */
static void on_watchdog(void *userdata) {
        Daemon *d = userdata;
        bool healthy = engine_healthy(d->engine);

        if (healthy)
                (void) sd_notify(false, "WATCHDOG=1");
        else if (!d->unhealthy) {
                LogRecord l = LOG_HERE;

                log_commit(&l, LOG_CRIT, MSG_UNHEALTHY,
                           "A thread does not read the kernel's events any more: waiting for the watchdog's restart.");
        }
        d->unhealthy = !healthy;
        timer_set(d->watchdog, clock_boot() + d->watchdog_ns);
}

static int start_watchdog(Daemon *d, Error *e) {
        uint64_t usec;
        int r;

        if (sd_watchdog_enabled(false, &usec) <= 0)
                return 0;
        r = timer_new(&d->watchdog, d->loop, on_watchdog, d, e);
        if (r < 0)
                return r;
        d->watchdog_ns = MAX((int64_t) (usec / 2) * NSEC_PER_USEC, NSEC_PER_MSEC);
        on_watchdog(d);
        return 0;
}

/* --- start --- */

static void harden(void) {
        struct rlimit limit;

        (void) prctl(PR_SET_DUMPABLE, 0); /* no core with a key in it (11.8) */
        (void) umask(0077);
        if (getrlimit(RLIMIT_NOFILE, &limit) == 0) { /* 11.2 */
                limit.rlim_cur = limit.rlim_max;
                (void) setrlimit(RLIMIT_NOFILE, &limit);
        }
}

static int block_signals(Error *e) {
        sigset_t set;

        (void) sigemptyset(&set);
        (void) sigaddset(&set, SIGTERM);
        (void) sigaddset(&set, SIGINT);
        (void) sigaddset(&set, SIGHUP);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return error_os(e, errno, "blocking signals");
        (void) signal(SIGPIPE, SIG_IGN);
        return 0;
}

static int start(Daemon *d, Config **config, Error *e) {
        EngineOptions options = { .state_dir = d->state_dir,
                                  .once = d->once,
                                  .once_done = d->once ? on_once : NULL,
                                  .reload = on_secrets,
                                  .userdata = d };
        ServerOptions server = { .runtime_dir = d->runtime_dir, .reload = daemon_reload, .userdata = d };
        int r;

        r = block_signals(e);
        if (r >= 0 && (r = sd_event_default(&d->loop)) < 0)
                return error_os(e, -r, "making the event loop");
        if (r >= 0)
                r = sd_event_add_signal(d->loop, NULL, SIGTERM, on_stop, d);
        if (r >= 0)
                r = sd_event_add_signal(d->loop, NULL, SIGINT, on_stop, d);
        if (r >= 0)
                r = sd_event_add_signal(d->loop, NULL, SIGHUP, on_hangup, d);
        if (r < 0)
                return e->code ? r : error_os(e, -r, "handling signals");
        r = timer_new(&d->status, d->loop, on_status, d, e);
        if (r >= 0)
                r = engine_new(&d->engine, d->loop, &options, e);
        server.engine = d->engine;
        if (r >= 0 && !d->once)
                r = server_new(&d->server, d->loop, &server, e);
        if (r < 0)
                return r;
        engine_listen(d->engine, on_changed, d);
        say_config(d, *config);
        r = engine_apply(d->engine, TAKE_PTR(*config), e);
        if (r < 0)
                return r;
        r = start_watchdog(d, e);
        if (r < 0)
                return r;
        notify_state(d, "READY=1\n");
        return 0;
}

/* What systemctl status shows of a start that failed. journald looks up whose record it has when it reads it; on a busy
 * machine this process is gone by then, and journalctl -u has not got its last words. systemd still knows who said
 * this. */
static void notify_failed(const char *why) {
        (void) sd_notifyf(false, "STATUS=Cannot start: %.*s", (int) strcspn(why, "\n"), why);
}

static int run(Daemon *d) {
        _cleanup_(config_freep) Config *config = NULL;
        _cleanup_buf_ Buf report = BUF_INIT((size_t) 64 * 1024);
        Error e = ERROR_NULL;
        int r;

        r = load_config(d, &config, &report, &e);
        if (r < 0) {
                log_lines(LOG_ERR, MSG_CONFIG_REFUSED, buf_text(&report));
                notify_failed(buf_text(&report));
                return AZSYNC_EXIT_CONFIG;
        }
        if (d->check_config) {
                log_lines(LOG_WARNING, MSG_CONFIG_WARNING, buf_text(&config->warnings));
                (void) printf("The configuration in %s is good: %zu %s, %zu %s.\n", d->config_dir, config->n_accounts,
                              config->n_accounts == 1 ? "account" : "accounts", config->n_mappings,
                              config->n_mappings == 1 ? "mapping" : "mappings");
                return AZSYNC_EXIT_OK;
        }
        (void) curl_global_init(CURL_GLOBAL_DEFAULT);
        r = start(d, &config, &e);
        if (r < 0) {
                LogRecord l = LOG_HERE;

                log_field_error(&l, &e);
                log_commit(&l, LOG_ERR, MSG_STOPPING, "Cannot start: %s", e.text);
                notify_failed(e.text);
                return AZSYNC_EXIT_FAILED;
        }
        LogRecord l = LOG_HERE;
        log_commit(&l, LOG_NOTICE, MSG_STARTED, "azsyncd " AZSYNCD_VERSION " started, %zu %s.",
                   engine_config(d->engine)->n_mappings,
                   engine_config(d->engine)->n_mappings == 1 ? "mapping" : "mappings");
        r = sd_event_loop(d->loop);
        return r < 0 ? AZSYNC_EXIT_FAILED : r;
}

int main(int argc, char **argv) {
        Daemon d = { .target = LOG_TARGET_AUTO, .level = LOG_INFO };
        int r;

        place_default(PLACE_CONFIGURATION, geteuid() == 0, d.config_dir, sizeof(d.config_dir));
        place_default(PLACE_STATE, geteuid() == 0, d.state_dir, sizeof(d.state_dir));
        place_default(PLACE_RUNTIME, geteuid() == 0, d.runtime_dir, sizeof(d.runtime_dir));
        r = parse_arguments(&d, argc, argv);
        if (r <= 0)
                return r < 0 ? AZSYNC_EXIT_USAGE : AZSYNC_EXIT_OK;
        log_setup(d.target, d.level);
        harden();
        r = run(&d);

        d.server = server_free(d.server);
        d.engine = engine_free(d.engine);
        timer_free(d.status);
        timer_free(d.watchdog);
        (void) sd_event_unref(d.loop);
        curl_global_cleanup();
        return r;
}
