/* azsyncctl add: from a folder and a URL to a mapping that runs. All is checked before anything is written. */
#include "azsyncd/control.h"
#include "config/compose.h"
#include "config/destination.h"
#include "config/endpoint.h"
#include "config/login.h"
#include "config/yaml.h"
#include "control/json.h"
#include "ctl/ask.h"
#include "ctl/doctor.h"
#include "ctl/folder.h"
#include "ctl/follow.h"
#include "ctl/setup.h"
#include "ctl/text.h"
#include "util/clock.h"
#include "util/path.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define REPORT_MAX ((size_t) 64 * 1024)
#define SECRET_ROOM ((size_t) 64 * 1024)
#define WALK_PATIENCE (5 * NSEC_PER_SEC) /* azsyncd is to begin, whatever is in it */
#define FOLLOW_TIME (10 * NSEC_PER_SEC)
#define EMULATOR "http://127.0.0.1:10000/devstoreaccount1"
#define NOTHING "nothing was changed"

typedef struct Adding {
        const Options *o;
        Where where;
        Change *change;
        Config *now, *next; /* as it is, and with the new mapping */
        char *folder;
        Destination to;
        char name[CONFIG_NAME_MAX + 1], account[CONFIG_NAME_MAX + 1];
        char *secret_file;               /* of a new account; NULL: none is needed */
        char file[CONFIG_NAME_MAX + 32]; /* below config_dir */
        const MappingConfig *mapping;    /* in `next` */
        Doctor doctor;
        bool unreadable; /* something in the folder needs a person */
} Adding;

static void adding_done(Adding *a) {
        if (!a->doctor.stuck) /* else a thread may still look into it */
                config_free(a->next);
        config_free(a->now);
        change_free(a->change);
        destination_done(&a->to);
        free(a->folder);
        free(a->secret_file);
        json_decref(a->doctor.findings.checks);
        (void) sd_event_unref(a->doctor.loop);
}

/* --- what is to be written --- */

static bool name_taken(const char *name, const void *userdata) {
        const Adding *a = userdata;

        return config_find(a->now, name) != NULL;
}

static bool account_taken(const char *name, const void *userdata) {
        const Adding *a = userdata;

        for (size_t i = 0; i < a->now->n_accounts; i++)
                if (strcmp(a->now->accounts[i].name, name) == 0)
                        return true;
        return false;
}

static int find_name(Adding *a) {
        if (!a->o->name)
                compose_name(a->folder, name_taken, a, a->name);
        else if (!setup_good_name(a->o->name))
                return AZSYNC_EXIT_FAILED;
        else if (name_taken(a->o->name, a))
                return setup_fail("there is a mapping %s already: %s -> %s; give this one another --name", a->o->name,
                                  PATH_SHOWN(config_find(a->now, a->o->name)->folder),
                                  PATH_SHOWN(config_find(a->now, a->o->name)->container));
        else
                (void) snprintf(a->name, sizeof(a->name), "%s", a->o->name);
        (void) snprintf(a->file, sizeof(a->file), "mappings.d/%s.yaml", a->name);
        return 0;
}

static int name_account(Adding *a) {
        _cleanup_free_ char *name = NULL;

        if (a->o->account && !config_good_name(a->o->account))
                return setup_fail("\"%s\" is no account's name; expected 1 to 64 of A-Z a-z 0-9 . _ -",
                                  PATH_SHOWN(a->o->account));
        if (a->o->account) {
                (void) snprintf(a->account, sizeof(a->account), "%s", a->o->account);
                return 0;
        }
        name = endpoint_account(a->to.endpoint);
        if (!name)
                return setup_fail("out of memory");
        compose_name(name, account_taken, a, a->account);
        return 0;
}

static int ask_login(const Adding *a, Login *ret) {
        _cleanup_buf_ Buf given = BUF_INIT(SECRET_ROOM);
        char prompt[1024];
        Error e = ERROR_NULL;
        int r;

        (void) snprintf(
                prompt, sizeof(prompt),
                "The account at %s is new.\nIts key, shared access signature or connection string (not shown): ",
                PATH_SHOWN(a->to.endpoint));
        r = ask_secret(&given, prompt, &e);
        if (r >= 0)
                r = login_parse(ret, buf_text(&given), a->to.endpoint, &e);
        if (given.data)
                explicit_bzero(given.data, given.room);
        return r < 0 ? setup_fail("%s", e.text) : 0;
}

/* What a person would have to write. */
static int by_hand(const Adding *a, const AccountText *text, const Error *why) {
        _cleanup_buf_ Buf b = BUF_INIT(16384);

        if (compose_account(&b, text, 2, NULL) < 0)
                return setup_fail("out of memory");
        (void) setup_fail("%s/azsyncd.yaml: %s; " NOTHING
                          ". Write this below its accounts:%s, then add the folder again:",
                          PATH_SHOWN(a->where.config_dir), why->text,
                          text->secret_file ? ", and the secret into a file that its owner alone may read" : "");
        (void) fputs(buf_text(&b), stderr);
        return AZSYNC_EXIT_FAILED;
}

static int put_account(Adding *a, const AccountText *text) {
        _cleanup_buf_ Buf old = BUF_INIT(YAML_FILE_MAX), new = BUF_INIT(YAML_FILE_MAX);
        Error e = ERROR_NULL;
        int r;

        r = change_read(a->change, "azsyncd.yaml", &old, &e);
        if (r >= 0)
                r = compose_add_account(&new, old.data, old.size, text, &e);
        if (r >= 0)
                r = change_put(a->change, "azsyncd.yaml", buf_text(&new), new.size, CHANGE_CONFIG, &e);
        if (old.data)
                explicit_bzero(old.data, old.room);
        if (new.data)
                explicit_bzero(new.data, new.room);
        return r == -ENOTSUP ? by_hand(a, text, &e) : r < 0 ? setup_fail("%s", e.text) : 0;
}

static int name_secret(Adding *a, const char *ending) {
        free(a->secret_file);
        a->secret_file = NULL;
        if (asprintf(&a->secret_file, "%s/%s.%s", a->where.config_dir, a->account, ending) >= 0)
                return 0;
        a->secret_file = NULL;
        return setup_fail("out of memory");
}

static int put_secret(Adding *a, const Login *login) {
        _cleanup_buf_ Buf text = BUF_INIT(SECRET_ROOM + 1);
        const char *name = a->secret_file + strlen(a->where.config_dir) + 1;
        Error e = ERROR_NULL;
        int r = buf_printf(&text, "%s\n", login->secret);

        if (r < 0)
                (void) error_os(&e, -r, "writing %s", name);
        else
                r = change_put(a->change, name, text.data, text.size, CHANGE_SECRET, &e);
        if (text.data)
                explicit_bzero(text.data, text.room);
        return r < 0 ? setup_fail("%s", e.text) : 0;
}

static int add_account(Adding *a) {
        AccountText text = { .name = a->account, .endpoint = a->to.endpoint };
        _cleanup_(login_done) Login login = { 0 };
        int r;

        r = name_account(a);
        if (r != 0)
                return r;
        if (endpoint_same(a->to.endpoint, EMULATOR))
                return put_account(a, &text);
        /* can it be added at all? Nobody is asked for a secret in vain. */
        r = name_secret(a, "key");
        text.secret_file = a->secret_file;
        if (r == 0)
                r = put_account(a, &text);
        change_drop(a->change);
        if (r == 0)
                r = ask_login(a, &login);
        if (r == 0)
                r = name_secret(a, login.method == AUTH_SAS ? "sas" : "key");
        if (r == 0)
                r = put_secret(a, &login);
        if (r != 0)
                return r;
        text.method = login.method;
        text.secret_file = a->secret_file;
        return put_account(a, &text);
}

static int add_mapping(Adding *a) {
        const MappingText text = { .folder = a->folder,
                                   .account = a->account,
                                   .container = a->to.container,
                                   .prefix = a->to.prefix,
                                   .exclude = a->o->exclude,
                                   .n_exclude = a->o->n_exclude };
        _cleanup_buf_ Buf b = BUF_INIT(YAML_FILE_MAX);
        Error e = ERROR_NULL;
        int r;

        r = compose_mapping(&b, &text, &e);
        if (r >= 0)
                r = change_put(a->change, a->file, buf_text(&b), b.size, CHANGE_CONFIG, &e);
        return r < 0 ? setup_fail("%s", e.text) : 0;
}

static int load(const Adding *a, Config **ret, const char *so) {
        _cleanup_buf_ Buf report = BUF_INIT(REPORT_MAX);
        Error e = ERROR_NULL;

        return change_load(a->change, ret, &report, &e) < 0 ? setup_refused(&report, &e, so) : 0;
}

/* The change, as the loader takes it. */
static int compose(Adding *a) {
        Error e = ERROR_NULL;
        int r;

        if (change_new(&a->change, a->where.config_dir, a->where.state_dir, &e) < 0)
                return setup_fail("%s", e.text);
        r = load(a, &a->now, "the configuration has to be put right first (azsyncctl edit); " NOTHING);
        if (r != 0)
                return r;
        if (destination_parse(&a->to, a->o->names[1], a->o->account, a->now, &e) < 0)
                return setup_fail("%s", e.text);
        r = find_name(a);
        if (r != 0)
                return r;
        /* in this order: at no moment a mapping without its account, or an account without its secret */
        if (a->to.known)
                (void) snprintf(a->account, sizeof(a->account), "%s", a->to.known->name);
        else
                r = add_account(a);
        if (r == 0)
                r = add_mapping(a);
        if (r == 0)
                r = load(a, &a->next,
                         a->to.known || a->now->n_accounts != 1
                                 ? "azsyncd would refuse that; " NOTHING
                                 : "azsyncd would refuse that, as there would be a second account: mappings that name "
                                   "none have to (azsyncctl edit); " NOTHING);
        if (r == 0)
                a->mapping = config_find(a->next, a->name);
        return r;
}

/* --- does it work? --- */

/* Whatever would keep all of it from being mirrored stops us; a file that cannot be read does not. 0; else an exit
 * code, and all that was found is said but the result. */
static int examine(Adding *a) {
        json_t *status = setup_status(&a->where);
        Doctor *d = &a->doctor;
        int r;

        *d = (Doctor){ .where = a->where,
                       .uid = geteuid(),
                       .walk_ns = WALK_PATIENCE,
                       .config = a->next,
                       .named = a->mapping,
                       .findings.color = output_color(),
                       .findings.checks = a->o->json ? json_array() : NULL };
        d->where.runtime_dir = NULL;
        rights_find(&d->eyes, (pid_t) json_get_count(status, "pid"), a->where.system && !a->o->config_dir);
        json_decref(status);
        r = sd_event_new(&d->loop);
        if (r < 0 || (a->o->json && !d->findings.checks))
                return setup_fail("%s", strerror(r < 0 ? -r : ENOMEM));
        (void) signal(SIGPIPE, SIG_IGN); /* as http/ asks */
        doctor_account(d, a->mapping->account);
        r = d->findings.n[FOUND_FAIL] > 0;
        if (!r)
                doctor_folder(d, a->mapping);
        a->unreadable = d->findings.n[FOUND_FAIL] > 0;
        return r || d->stuck ? AZSYNC_EXIT_FAILED : 0;
}

/* --- what became of it --- */

static int print_result(Adding *a, const char *result, const char *why, int code) {
        _cleanup_free_ char *url = setup_url(a->mapping);
        json_t *all = json_pack("{s:i, s:s, s:s, s:o, s:o, s:o, s:s, s:o, s:o, s:o}", "version", 1, "result", result,
                                "name", a->name, "file", text_to_json(a->mapping->file), "folder",
                                text_to_json(a->folder), "url", url ? text_to_json(url) : NULL, "account", a->account,
                                "secret_file", a->secret_file ? text_to_json(a->secret_file) : json_null(), "why",
                                text_to_json(why), "checks", json_incref(a->doctor.findings.checks));

        if (!all)
                return setup_fail("out of memory");
        print_json(all);
        json_decref(all);
        return code;
}

static void say_added(const Adding *a) {
        _cleanup_text_ Text t = TEXT_INIT(65536);
        _cleanup_free_ char *url = setup_url(a->mapping);

        text_printf(&t, "%s: added\n  ", a->name);
        text_safe(&t, PATH_SHOWN(a->folder));
        text_puts(&t, " -> ");
        text_safe(&t, url ? PATH_SHOWN(url) : "?");
        text_printf(&t, "\n  in %s", PATH_SHOWN(a->mapping->file));
        if (a->secret_file)
                text_printf(&t, ", the account's secret in %s", PATH_SHOWN(a->secret_file));
        text_puts(&t, "\n");
        (void) fputs(buf_text(&t.buf), stdout);
        (void) fflush(stdout);
}

static const char *start_command(const Adding *a) {
        return a->o->config_dir  ? "start azsyncd with the same --config"
               : a->where.system ? "systemctl enable --now azsyncd"
                                 : "systemctl --user enable --now azsyncd";
}

static int say_progress(Adding *a) {
        static const struct {
                const char *result, *text;
                int code;
        } ends[] = {
                [FOLLOWED_IN_SYNC] = { "in_sync", "in sync", AZSYNC_EXIT_OK },
                [FOLLOWED_GOING_ON] = { "going_on", "still at it; azsyncctl status shows how it goes", AZSYNC_EXIT_OK },
                [FOLLOWED_STUCK] = { "stuck", "needs you", AZSYNC_EXIT_UNSYNCED },
                [FOLLOWED_UNKNOWN] = { "unknown",
                                       "the azsyncd that listens there has another configuration; this one is written, "
                                       "but nobody runs it",
                                       AZSYNC_EXIT_FAILED },
                [FOLLOWED_FAILED] = { "unknown", "azsyncd does not tell how it goes", AZSYNC_EXIT_FAILED },
        };
        bool show = !a->o->json && isatty(STDERR_FILENO);
        _cleanup_text_ Text t = TEXT_INIT(16384);
        char why[1024];
        Followed f = follow(&a->where, a->name, FOLLOW_TIME, show, why, sizeof(why));
        int code = ends[f].code;

        if (f == FOLLOWED_UNKNOWN)
                why[0] = '\0';
        if (a->o->json)
                return print_result(a, ends[f].result, why, code);
        text_printf(&t, "%s: %s%s", a->name, ends[f].text, why[0] ? ": " : "");
        text_safe(&t, why);
        text_puts(&t, f == FOLLOWED_STUCK ? " (azsyncctl status)\n" : "\n");
        (void) fputs(buf_text(&t.buf), stdout);
        return code;
}

static int apply(Adding *a) {
        Told told = TOLD_FAILED;
        int r;

        if (setup_apply(&a->where, a->change, &told) < 0 || told == TOLD_REFUSED)
                return AZSYNC_EXIT_FAILED;
        a->change = change_free(a->change); /* and its lock */
        if (!a->o->json)
                say_added(a);
        if (told == TOLD_DONE)
                r = say_progress(a);
        else if (told == TOLD_FAILED)
                r = a->o->json ? print_result(a, "unknown", "", AZSYNC_EXIT_FAILED) : AZSYNC_EXIT_FAILED;
        else if (a->o->json)
                r = print_result(a, "not_running", "", AZSYNC_EXIT_OK);
        else
                r = printf("azsyncd does not run yet: %s\n", start_command(a)) < 0 ? AZSYNC_EXIT_FAILED
                                                                                   : AZSYNC_EXIT_OK;
        return r == AZSYNC_EXIT_OK && a->unreadable ? AZSYNC_EXIT_UNSYNCED : r;
}

int verb_add(const Options *o) {
        _cleanup_(adding_done) Adding a = { .o = o };
        int r;

        r = where_find(&a.where, o, true);
        if (r == 0)
                r = folder_find(o->names[0], &a.folder);
        if (r == 0)
                r = compose(&a);
        if (r != 0)
                return r;
        r = examine(&a);
        if (r == 0)
                return apply(&a);
        if (o->json && a.doctor.findings.checks)
                return print_result(&a, "refused", "", r);
        return setup_fail("what FAILs has to be put right first; " NOTHING);
}
