/* The real engine: its configuration, its starts, its ends of all kinds, and what people ask of it. Also the log, and
 * what little else of the machine it asks for. */
#include "sim.h"

#include "azure/properties.h"
#include "http/network.h"
#include "sync/state.h"
#include "util/jump.h"
#include "util/log.h"

#include <assert.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-id128.h>

bool dead, exit_asked;
Engine *engine;
Settings settings;

static sd_event *loop; /* never runs: it is only passed on */
static char state_dir[64];
static unsigned boot;
static Happening *restart;
static EngineWait *waiting;
static int64_t asked_at;
static bool all_told;
static unsigned steps;

#define STEPS_MAX 1000000u /* a history takes some 10,000 */

static const char *const prefixes[] = { "p", "q/r", "" };

const char *daemon_prefix(void) {
        return prefixes[settings.prefix % ELEMENTSOF(prefixes)];
}

/* --- the machine --- */

int sd_event_exit(sd_event *e, int code) {
        exit_asked = true;
        return 0;
}

int sd_id128_get_machine_app_specific(sd_id128_t app, sd_id128_t *ret) {
        *ret = app;
        return 0;
}

/* Its news would come from the loop. */
int network_new(Network **ret, sd_event *l, NetworkFn fn, void *userdata, Error *e) {
        *ret = NULL;
        return 0;
}

Network *network_free(Network *n) {
        return NULL;
}

int jump_new(Jump **ret, sd_event *l, JumpFn fn, void *userdata, Error *e) {
        *ret = NULL;
        return 0;
}

Jump *jump_free(Jump *j) {
        return NULL;
}

/* A power cut is another boot: the journal must not believe the old one's due times. */
int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...) {
        unsigned mode = 0;
        char name[96];
        va_list ap;

        va_start(ap, flags);
        if (flags & O_CREAT)
                mode = va_arg(ap, unsigned);
        va_end(ap);
        if (disk_marks(path))
                return __real_open64("/dev/null", O_WRONLY | O_CLOEXEC);
        if (strcmp(path, "/proc/sys/kernel/random/boot_id") != 0)
                return __real_open64(path, flags, mode);
        (void) snprintf(name, sizeof(name), "%s/boot%u", state_dir, boot % 8);
        return __real_open64(name, flags, mode);
}

/* What is written in steps takes many of them, with all that may happen in between. */
#define STEP 2u

int __real_journal_carry(Journal *j, JournalMapping *m, unsigned limit, Error *e);
int __wrap_journal_carry(Journal *j, JournalMapping *m, unsigned limit, Error *e);
int __wrap_journal_carry(Journal *j, JournalMapping *m, unsigned limit, Error *e) {
        return __real_journal_carry(j, m, STEP, e);
}

int __real_journal_sweep(Journal *j, unsigned limit, Error *e);
int __wrap_journal_sweep(Journal *j, unsigned limit, Error *e);
int __wrap_journal_sweep(Journal *j, unsigned limit, Error *e) {
        return __real_journal_sweep(j, STEP, e);
}

void log_setup(LogTarget target, int max_level) {
}

int log_level(void) {
        return verbose ? LOG_INFO : -1;
}

void log_field(LogRecord *l, const char *format, ...) {
}

void log_field_error(LogRecord *l, const Error *e) {
}

void log_commit(LogRecord *l, int level, const char *message_id, const char *format, ...) {
        char text[512];
        va_list ap;

        if (!verbose)
                return;
        va_start(ap, format);
        (void) vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        say("log: %s", text);
}

/* --- configuration --- */

static char *text(const char *s) {
        char *copy = strdup(s);

        assert(copy);
        return copy;
}

static Config *config_make(void) {
        Config *c = calloc(1, sizeof(*c));
        AccountConfig *a = calloc(1, sizeof(*a));
        MappingConfig *m = calloc(1, sizeof(*m));

        assert(c && a && m);
        c->accounts = a;
        c->mappings = m;
        c->n_accounts = c->n_mappings = 1;
        c->transfers = settings.transfers;
        c->memory = UINT64_C(64) << 20;
        c->warnings = BUF_INIT(64);
        *a = (AccountConfig){ .name = text("main"),
                              .account = text("contoso"),
                              .endpoint = text("https://contoso.blob.core.windows.net"),
                              .method = settings.sas ? AUTH_SAS : AUTH_SHARED_KEY,
                              .secret = text(settings.sas ? "sv=2021-12-02&sig=c2VjcmV0" : "c2VjcmV0") };
        *m = (MappingConfig){ .name = text("m"),
                              .file = text("m.yaml"),
                              .folder = text("/srv/m"),
                              .account = a,
                              .container = text("c"),
                              .prefix = text(daemon_prefix()),
                              .create_container = settings.create_container,
                              .deletes = settings.keep ? DELETES_KEEP : DELETES_MIRROR,
                              .delete_delay_ns = (5 + 5 * settings.delay) * SECOND,
                              .conflict = settings.overwrite ? CONFLICT_OVERWRITE : CONFLICT_KEEP,
                              .watch = settings.poll ? WATCH_MODE_POLL : WATCH_MODE_AUTO,
                              .rescan_ns = HOUR,
                              .guard_files = settings.guard_files,
                              .guard_percent = 50,
                              .alert_after_ns = HOUR,
                              .bandwidth = { .rate = settings.bandwidth } };
        if (settings.exclude) {
                if (ignore_new(&m->exclude) < 0 || ignore_add(m->exclude, "*.tmp") < 0)
                        abort();
                m->exclude_text = text("*.tmp");
        }
        return c;
}

/* --- starts and ends --- */

static void on_wait_over(WaitResult result, const char *why, void *userdata) {
        waiting = NULL;
        if (dead)
                return;
        SAY("wait: %s %s", result == WAIT_IN_SYNC ? "in sync" : "hopeless:", why);
        if (result == WAIT_IN_SYNC && all_told && kernel_tells_all())
                check_since(asked_at, "wait");
}

void daemon_wait(void) {
        if (!engine || waiting)
                return;
        asked_at = now();
        all_told = kernel_tells_all();
        SAY("person: waits");
        (void) engine_wait(engine, NULL, 0, on_wait_over, NULL, &waiting);
}

static void on_restart(void *data) {
        restart = NULL;
        daemon_start();
}

void daemon_restart_in(int64_t delay) {
        if (!restart && !engine)
                restart = after(delay, on_restart, NULL);
}

void daemon_start(void) {
        EngineOptions options = { .state_dir = state_dir };
        Error e = ERROR_NULL;
        int r;

        if (engine)
                return;
        call_off(restart);
        restart = NULL;
        dead = exit_asked = false;
        SAY("daemon: starts");
        r = engine_new(&engine, loop, &options, &e);
        if (r < 0) {
                SAY("daemon: does not start: %s", e.text);
                engine = NULL;
                if (dead)
                        daemon_crash(false);
                else
                        daemon_restart_in(5 * SECOND);
                return;
        }
        if (engine_apply(engine, config_make(), &e) < 0)
                fail("apply", "the configuration is refused: %s", e.text);
}

static void let_go(void) {
        waiting = NULL;
        engine = engine_free(engine);
}

void daemon_stop(void) {
        if (!engine)
                return;
        SAY("daemon: stops");
        let_go();
        if (dead)
                daemon_crash(false);
}

/* What the process does while it is taken apart is not seen by anybody. */
void daemon_crash(bool power_cut) {
        if (!engine && !dead)
                return;
        disk_kill_at(0, power_cut);
        let_go();
        disk_after_crash();
        dead = false;
        if (disk_was_cut()) {
                boot++;
                clock_reboot();
        }
        daemon_restart_in(SECOND + between(BY_TIME, 0, MINUTE));
}

void daemon_reload(void) {
        Error e = ERROR_NULL;

        if (engine && engine_apply(engine, config_make(), &e) < 0)
                fail("apply", "the configuration is refused: %s", e.text);
}

bool daemon_verb(unsigned verb) {
        static const char *const names[] = { "rescan", "retry", "pause", "resume", "approve", "reject" };
        Error e = ERROR_NULL;
        int r;

        if (!engine)
                return false;
        if (verb == ENGINE_APPROVE)
                check_approved(); /* before it: what is held by now */
        if (verb == ENGINE_REJECT)
                check_rejects();
        r = engine_do(engine, verb, "m", &e);
        if (verb == ENGINE_REJECT)
                check_rejected(r >= 0);
        SAY("person: %s: %s", names[verb], r < 0 ? e.text : "done");
        if (verb == ENGINE_APPROVE && engine->sync.n_mappings > 0) /* whatever root it finds next is the one */
                world.pinned = world.pinned && engine->sync.mappings[0]->record.root[16] != 0;
        return r >= 0;
}

bool daemon_sees_disk(void) {
        return world.mounted == MOUNT_THERE && kernel_mounts_told();
}

void daemon_run(int64_t until) {
        while (!failed() && clock_step(until)) {
                if (++steps > STEPS_MAX)
                        fail("endless", "still busy after %u steps", STEPS_MAX);
                if (dead)
                        daemon_crash(false);
                else if (exit_asked) {
                        SAY("daemon: ends itself");
                        daemon_stop();
                        exit_asked = false;
                        daemon_restart_in(SECOND);
                } else
                        check_idle();
        }
}

void daemon_begin(void) {
        static bool once;

        if (!once) {
                (void) snprintf(state_dir, sizeof(state_dir), "/tmp/azsyncd-sim-XXXXXX");
                if (!mkdtemp(state_dir) || sd_event_new(&loop) < 0 || disk_register() != 0)
                        abort();
                for (unsigned i = 0; i < 8; i++) {
                        char name[96];
                        FILE *f;

                        (void) snprintf(name, sizeof(name), "%s/boot%u", state_dir, i);
                        f = fopen(name, "we");
                        if (!f || fprintf(f, "%u\n", i) < 0 || fclose(f) != 0)
                                abort();
                }
        }
        once = true;
        boot = steps = 0;
        dead = exit_asked = false;
        restart = NULL;
}

void daemon_end(void) {
        call_off(restart);
        restart = NULL;
        let_go();
        dead = false;
}

void daemon_clean_up(void) {
        char name[96];

        for (unsigned i = 0; i < 8; i++) {
                (void) snprintf(name, sizeof(name), "%s/boot%u", state_dir, i);
                (void) unlink(name);
        }
        (void) snprintf(name, sizeof(name), "%s/lock", state_dir);
        (void) unlink(name);
        (void) snprintf(name, sizeof(name), "%s/journal.db", state_dir);
        (void) unlinkat(AT_FDCWD, name, 0); /* of the true disk: unlink() is the simulated one's */
        if (rmdir(state_dir) < 0) {
                perror(state_dir);
                exit(1);
        }
        loop = sd_event_unref(loop);
}
