/* azsyncctl: arguments and dispatch. */
#include "azsyncd/control.h"
#include "ctl/verbs.h"
#include "util/clock.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
        OPTION_CONFIG = 256,
        OPTION_RUNTIME_DIR,
        OPTION_STATE_DIR,
        OPTION_JSON,
        OPTION_WATCH,
        OPTION_CHECK,
        OPTION_TIMEOUT,
        OPTION_NAME,
        OPTION_ACCOUNT,
        OPTION_EXCLUDE,
        OPTION_VERSION
};

enum { WATCH = 1, TIMEOUT = 2, STATE_DIR = 4, ADD = 8 };

#ifdef AZSYNC_LIBEXEC /* this is azsyncctl itself: see elsewhere.c */
#define CLOUD(verb) elsewhere
#else
#define CLOUD(verb) verb
#endif

typedef struct Verb {
        const char *name;
        int least, most;              /* names behind it */
        unsigned takes;               /* options that not all verbs have */
        int (*run)(const Options *o); /* NULL: not built yet */
        const char *usage;
        const char *summary;
        const char *help;
} Verb;

#define MANY 4096

static const Verb verbs[] = {
        { "status", 0, 1, WATCH, verb_status, "status [--watch | --check] [MAPPING]",
          "what is in the cloud, what is not yet, and what needs you",
          "Shows each mapping: its state, what the cloud holds, what is still to do, what is being sent, since when it "
          "is\n"
          "in sync, and whatever needs a person, with the command that helps.\n\n"
          "  --watch   stays and shows each change; with --json, one object a line\n"
          "  --check   for cron: prints only what needs a person (failed, held, blocked or in conflict) and then "
          "exits\n"
          "            with 3; prints nothing and exits with 0 if nothing does\n" },
        { "wait", 0, MANY, TIMEOUT, verb_wait, "wait [--timeout SECONDS] [MAPPING...]",
          "until everything that was changed before is in the cloud",
          "Returns when every change that the kernel had reported before is in the cloud. Exits with 0 then, with 1 "
          "when\n"
          "the time is up, and with 3 if waiting cannot help: something failed, is held, blocked, in conflict or "
          "paused.\n\n"
          "  --timeout SECONDS   gives up after that time (a decimal point is fine)\n" },
        { "queue", 0, 1, 0, verb_queue, "queue [MAPPING]",
          "every path that is not in sync, with attempts, next try and reason",
          "Lists pending, failed, held, busy, conflicting and skipped paths. With --json: {\"items\": [...]}, written "
          "as\n"
          "it arrives. Only for root and the user that azsyncd runs as, since it names files.\n" },
        { "rescan", 0, 1, 0, verb_change, "rescan [MAPPING]", "compare the folder with the cloud now",
          "Compares the whole folder with what is known to be in the cloud, now instead of at the next turn. This "
          "finds\n"
          "what no event reports, such as changes made on a network drive from elsewhere.\n" },
        { "retry", 0, 1, 0, verb_change, "retry [MAPPING]", "try again at once what failed or waits",
          "Tries again at once whatever failed or waits for its next try.\n" },
        { "pause", 0, 1, 0, verb_change, "pause [MAPPING]", "send nothing until resumed",
          "Nothing is sent or deleted until azsyncctl resume, also after a restart. Changes are still noted.\n" },
        { "resume", 0, 1, 0, verb_change, "resume [MAPPING]", "go on after pause", "Goes on after pause.\n" },
        { "approve", 1, 1, 0, verb_change, "approve MAPPING", "let held deletions or a new root go ahead",
          "Lets go ahead what azsyncd holds back until somebody says that it is meant: very many deletions, another\n"
          "folder in the place of the one it knew, or another destination under the same name. Look at azsyncctl "
          "status\n"
          "and azsyncctl queue first.\n" },
        { "reject", 1, 1, 0, verb_change, "reject MAPPING", "drop held deletions",
          "Drops what approve would let go ahead: the cloud keeps what it has.\n" },
        { "reload", 0, 0, 0, verb_change, "reload", "read the configuration again",
          "Reads the configuration again. A bad one is refused whole, each mistake is named, and the one before stays "
          "in\n"
          "force.\n" },
        { "verify", 0, MANY, 0, NULL, "verify MAPPING [--content]", NULL, NULL },
        { "restore", 0, MANY, 0, NULL, "restore MAPPING [PATH...] --to DIR", NULL, NULL },
        { "add", 2, 2, STATE_DIR | ADD, CLOUD(verb_add), "add FOLDER URL [--name N] [--account A] [--exclude P]...",
          "mirror a folder into a container from now on",
          "Checks the folder, that the service answers and the login works, and that nothing else goes to the same\n"
          "place; then writes mappings.d/NAME.yaml, and if azsyncd runs, has it begin at once and shows how it goes\n"
          "for 10 seconds at most (Ctrl-C ends only that). If anything fails, nothing is changed.\n\n"
          "URL is https://ACCOUNT.blob.core.windows.net/CONTAINER[/PREFIX], the same at another endpoint,\n"
          "http://127.0.0.1:PORT/ACCOUNT/CONTAINER[/PREFIX] for an emulator, or A/CONTAINER[/PREFIX] with the name of\n"
          "an account in azsyncd.yaml. For an account that is not there yet, the key, shared access signature or\n"
          "connection string is asked for, or read from standard input: never put it into the command line. It is\n"
          "kept in a file of its own beside azsyncd.yaml, which only its owner may read.\n\n"
          "  --name N          the mapping's name (default: the folder's, made unique)\n"
          "  --account A       which account of azsyncd.yaml, if several are at that URL; or the new one's name\n"
          "  --exclude P       what is not mirrored, a pattern as in .gitignore; may be given several times\n"
          "  --state-dir DIR   where azsyncd keeps its journal, if it was told so (default: /var/lib/azsyncd)\n"
          "  --json            {\"version\", \"result\", \"name\", \"file\", \"folder\", \"url\", \"account\", "
          "\"secret_file\",\n"
          "                    \"why\", \"checks\"}; result: in_sync, going_on, stuck, not_running, unknown, "
          "refused\n" },
        { "remove", 1, 1, STATE_DIR, CLOUD(verb_remove), "remove NAME", "take a mapping out of the configuration",
          "Takes the mapping out of the configuration, at once if azsyncd runs. Neither its files nor its blobs are\n"
          "touched; its own file is kept as mappings.d/NAME.yaml.removed. If a mapping of that name is added again,\n"
          "azsyncd goes on with what it knows, and asks first if the destination is another one.\n\n"
          "  --state-dir DIR   where azsyncd keeps its journal, if it was told so (default: /var/lib/azsyncd)\n" },
        { "list", 0, 0, 0, CLOUD(verb_list), "list", "which folders are mapped, and where to",
          "Lists the mappings of the configuration, with and without a running azsyncd: name, folder, URL, and the\n"
          "state if it runs. With --json: {\"version\", \"config\", \"running\", \"mappings\": [{\"name\", \"file\",\n"
          "\"folder\", \"url\", \"account\", \"container\", \"prefix\", \"state\"}]}.\n" },
        { "edit", 0, 1, STATE_DIR, CLOUD(verb_edit), "edit [NAME]", "change a mapping, or azsyncd.yaml, in an editor",
          "Opens mappings.d/NAME.yaml, or azsyncd.yaml without a name, in $VISUAL or $EDITOR: a copy of it, which is\n"
          "put in force only if it is valid. Else each mistake is named, and it can be edited again or left as it\n"
          "was. Owner and mode stay; a running azsyncd takes it at once.\n\n"
          "  --state-dir DIR   where azsyncd keeps its journal, if it was told so (default: /var/lib/azsyncd)\n"
          "  --json            {\"version\", \"file\", \"changed\", \"running\"}\n" },
        { "doctor", 0, 1, STATE_DIR, CLOUD(verb_doctor), "doctor [MAPPING]",
          "checks rights, limits, clock, endpoint, login, container; what to do",
          "Looks at all that azsyncd needs, and says of each thing in one line how it is and, after \"do:\", what to "
          "do.\n"
          "It runs with your rights (as root it looks at folders with azsyncd's), with or without a running azsyncd, "
          "and\n"
          "changes nothing: no file is written, no blob is written or deleted. Each folder is walked once, for 30 s "
          "at\n"
          "most.\n\n"
          "  ok    fine\n"
          "  warn  works, but should be known or put right\n"
          "  FAIL  needs a person: the exit status is 3\n"
          "  ?     cannot be told from here\n\n"
          "  --state-dir DIR   where azsyncd keeps its journal, if it was told so (default: /var/lib/azsyncd)\n"
          "  --json            {\"version\", \"result\", \"checks\": [{\"mapping\", \"account\", \"check\", "
          "\"result\", \"text\",\n"
          "                    \"advice\"}]}\n" },
};

static const Verb *find_verb(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                if (strcmp(name, verbs[i].name) == 0)
                        return &verbs[i];
        return NULL;
}

static int help(const Verb *verb) {
        if (verb) {
                (void) printf(
                        "azsyncctl [OPTION...] %s\n\n%s\nazsyncctl --help shows the options that all verbs have.\n",
                        verb->usage, verb->help);
                return AZSYNC_EXIT_OK;
        }
        (void) printf("azsyncctl [OPTION...] VERB [ARGUMENT...]\n\n"
                      "Talks to azsyncd, which mirrors folders into Azure Blob Storage.\n\nVerbs:\n");
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                if (verbs[i].run)
                        (void) printf("  %-9s %s\n", verbs[i].name, verbs[i].summary);
        (void) printf("\nOptions, before or behind the verb:\n"
                      "  --json             for programs\n"
                      "  --runtime-dir DIR  where azsyncd listens (default: /run/azsyncd; as a plain user\n"
                      "                     $XDG_RUNTIME_DIR/azsyncd first)\n"
                      "  --config DIR       where its configuration is (default: /etc/azsyncd)\n"
                      "  --help             this, or with a verb more about it\n"
                      "  --version          the version\n\n"
                      "Without a mapping's name, a verb is about all mappings.\n\n"
                      "Exit status: 0 fine; 1 failed or timed out; 2 wrong usage; 3 not in sync and waiting does not\n"
                      "help, or something needs a person; 4 no azsyncd to talk to.\n");
        return AZSYNC_EXIT_OK;
}

static int usage(const char *format, ...) _printf_(1, 2);
static int usage(const char *format, ...) {
        va_list ap;

        (void) fputs("azsyncctl: ", stderr);
        va_start(ap, format);
        (void) vfprintf(stderr, format, ap);
        va_end(ap);
        (void) fputs("\nTry azsyncctl --help.\n", stderr);
        return AZSYNC_EXIT_USAGE;
}

static int parse_timeout(const char *text, int64_t *ret) {
        char *end = NULL;
        double seconds;

        errno = 0;
        seconds = strtod(text, &end);
        if (end == text || *end || errno || !(seconds >= 0 && seconds <= 1e9))
                return -EINVAL;
        *ret = (int64_t) (seconds * (double) NSEC_PER_SEC);
        return 0;
}

typedef struct Arguments {
        Options options;
        bool help, version;
        const char *bad_option; /* unknown, or without its value */
        const char *bad_timeout;
} Arguments;

static const struct option long_options[] = {
        { "config", required_argument, NULL, OPTION_CONFIG },
        { "runtime-dir", required_argument, NULL, OPTION_RUNTIME_DIR },
        { "state-dir", required_argument, NULL, OPTION_STATE_DIR },
        { "json", no_argument, NULL, OPTION_JSON },
        { "watch", no_argument, NULL, OPTION_WATCH },
        { "check", no_argument, NULL, OPTION_CHECK },
        { "timeout", required_argument, NULL, OPTION_TIMEOUT },
        { "name", required_argument, NULL, OPTION_NAME },
        { "account", required_argument, NULL, OPTION_ACCOUNT },
        { "exclude", required_argument, NULL, OPTION_EXCLUDE },
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, OPTION_VERSION },
        { 0 },
};

static void parse_options(Arguments *a, int argc, char **argv) {
        int c;

        opterr = 0; /* a verb that is not built yet is told before an option that only it has */
        while ((c = getopt_long(argc, argv, ":h", long_options, NULL)) >= 0)
                switch (c) {
                case OPTION_CONFIG:
                        a->options.config_dir = optarg; /* for verbs that read or write it */
                        break;
                case OPTION_RUNTIME_DIR:
                        a->options.runtime_dir = optarg;
                        break;
                case OPTION_STATE_DIR:
                        a->options.state_dir = optarg;
                        break;
                case OPTION_JSON:
                        a->options.json = true;
                        break;
                case OPTION_WATCH:
                        a->options.watch = true;
                        break;
                case OPTION_CHECK:
                        a->options.check = true;
                        break;
                case OPTION_TIMEOUT:
                        if (parse_timeout(optarg, &a->options.timeout_ns) < 0)
                                a->bad_timeout = optarg;
                        break;
                case OPTION_NAME:
                        a->options.name = optarg;
                        break;
                case OPTION_ACCOUNT:
                        a->options.account = optarg;
                        break;
                case OPTION_EXCLUDE:
                        a->options.exclude[a->options.n_exclude++] = optarg;
                        break;
                case 'h':
                        a->help = true;
                        break;
                case OPTION_VERSION:
                        a->version = true;
                        break;
                default:
                        if (!a->bad_option)
                                a->bad_option = argv[optind - 1];
                        break;
                }
}

static int run(int argc, char **argv) {
        _cleanup_free_ char **exclude = calloc((size_t) argc, sizeof(*exclude)); /* as many as there can be */
        Arguments a = { .options = { .timeout_ns = -1, .argv = argv, .exclude = exclude } };
        const Options *o = &a.options;
        const Verb *verb = NULL;

        if (!exclude)
                return AZSYNC_EXIT_FAILED;
        parse_options(&a, argc, argv);
        if (optind < argc) {
                a.options.verb = argv[optind++];
                a.options.names = argv + optind;
                a.options.n_names = argc - optind;
                verb = find_verb(o->verb);
                if (!verb)
                        return usage("there is no verb \"%s\"", o->verb);
                if (!verb->run)
                        return usage("%s is not supported yet", verb->name);
        }
        if (a.bad_option)
                return usage("option %s is unknown, ambiguous, or its value is missing or unwanted", a.bad_option);
        if (a.help)
                return help(verb);
        if (a.version) {
                (void) printf("azsyncctl %s\n", AZSYNCD_VERSION);
                return AZSYNC_EXIT_OK;
        }
        if (!verb)
                return usage("which verb?");
        if (a.bad_timeout)
                return usage("--timeout takes seconds, not \"%s\"", a.bad_timeout);
        if ((o->watch || o->check) && !(verb->takes & WATCH))
                return usage("--watch and --check belong to status");
        if (o->watch && o->check)
                return usage("--watch and --check exclude each other");
        if (o->timeout_ns >= 0 && !(verb->takes & TIMEOUT))
                return usage("--timeout belongs to wait");
        if (o->state_dir && !(verb->takes & STATE_DIR))
                return usage("%s has no option --state-dir", verb->name);
        if ((o->name || o->account || o->n_exclude > 0) && !(verb->takes & ADD))
                return usage("--name, --account and --exclude belong to add");
        if (o->n_names < verb->least)
                return verb->least == 1 ? usage("%s needs the name of a mapping", verb->name)
                                        : usage("expected azsyncctl %s", verb->usage);
        if (o->n_names > verb->most)
                return usage("too many arguments: azsyncctl %s", verb->usage);
        return verb->run(o);
}

int main(int argc, char **argv) {
        int r = run(argc, argv);

        if (fflush(stdout) != 0 || ferror(stdout)) {
                (void) fprintf(stderr, "azsyncctl: cannot write the output\n");
                return r == AZSYNC_EXIT_OK ? AZSYNC_EXIT_FAILED : r;
        }
        return r;
}
