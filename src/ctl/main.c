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
        OPTION_VERSION
};

typedef struct Verb {
        const char *name;
        int least, most;              /* names behind it */
        bool watches, waits, looks;   /* takes --watch and --check; --timeout; --state-dir */
        int (*run)(const Options *o); /* NULL: not built yet */
        const char *usage;
        const char *summary;
        const char *help;
} Verb;

#define MANY 4096

static const Verb verbs[] = {
        { "status", 0, 1, true, false, false, verb_status, "status [--watch | --check] [MAPPING]",
          "what is in the cloud, what is not yet, and what needs you",
          "Shows each mapping: its state, what the cloud holds, what is still to do, what is being sent, since when it "
          "is\n"
          "in sync, and whatever needs a person, with the command that helps.\n\n"
          "  --watch   stays and shows each change; with --json, one object a line\n"
          "  --check   for cron: prints only what needs a person (failed, held, blocked or in conflict) and then "
          "exits\n"
          "            with 3; prints nothing and exits with 0 if nothing does\n" },
        { "wait", 0, MANY, false, true, false, verb_wait, "wait [--timeout SECONDS] [MAPPING...]",
          "until everything that was changed before is in the cloud",
          "Returns when every change that the kernel had reported before is in the cloud. Exits with 0 then, with 1 "
          "when\n"
          "the time is up, and with 3 if waiting cannot help: something failed, is held, blocked, in conflict or "
          "paused.\n\n"
          "  --timeout SECONDS   gives up after that time (a decimal point is fine)\n" },
        { "queue", 0, 1, false, false, false, verb_queue, "queue [MAPPING]",
          "every path that is not in sync, with attempts, next try and reason",
          "Lists pending, failed, held, busy, conflicting and skipped paths. With --json: {\"items\": [...]}, written "
          "as\n"
          "it arrives. Only for root and the user that azsyncd runs as, since it names files.\n" },
        { "rescan", 0, 1, false, false, false, verb_change, "rescan [MAPPING]", "compare the folder with the cloud now",
          "Compares the whole folder with what is known to be in the cloud, now instead of at the next turn. This "
          "finds\n"
          "what no event reports, such as changes made on a network drive from elsewhere.\n" },
        { "retry", 0, 1, false, false, false, verb_change, "retry [MAPPING]", "try again at once what failed or waits",
          "Tries again at once whatever failed or waits for its next try.\n" },
        { "pause", 0, 1, false, false, false, verb_change, "pause [MAPPING]", "send nothing until resumed",
          "Nothing is sent or deleted until azsyncctl resume, also after a restart. Changes are still noted.\n" },
        { "resume", 0, 1, false, false, false, verb_change, "resume [MAPPING]", "go on after pause",
          "Goes on after pause.\n" },
        { "approve", 1, 1, false, false, false, verb_change, "approve MAPPING",
          "let held deletions or a new root go ahead",
          "Lets go ahead what azsyncd holds back until somebody says that it is meant: very many deletions, another\n"
          "folder in the place of the one it knew, or another destination under the same name. Look at azsyncctl "
          "status\n"
          "and azsyncctl queue first.\n" },
        { "reject", 1, 1, false, false, false, verb_change, "reject MAPPING", "drop held deletions",
          "Drops what approve would let go ahead: the cloud keeps what it has.\n" },
        { "reload", 0, 0, false, false, false, verb_change, "reload", "read the configuration again",
          "Reads the configuration again. A bad one is refused whole, each mistake is named, and the one before stays "
          "in\n"
          "force.\n" },
        { "verify", 0, MANY, false, false, false, NULL, "verify MAPPING [--content]", NULL, NULL },
        { "restore", 0, MANY, false, false, false, NULL, "restore MAPPING [PATH...] --to DIR", NULL, NULL },
        { "add", 0, MANY, false, false, false, NULL, "add FOLDER URL", NULL, NULL },
        { "remove", 1, 1, false, false, true, verb_remove, "remove NAME", "take a mapping out of the configuration",
          "Takes the mapping out of the configuration, at once if azsyncd runs. Neither its files nor its blobs are\n"
          "touched; its own file is kept as mappings.d/NAME.yaml.removed. If a mapping of that name is added again,\n"
          "azsyncd goes on with what it knows, and asks first if the destination is another one.\n\n"
          "  --state-dir DIR   where azsyncd keeps its journal, if it was told so (default: /var/lib/azsyncd)\n" },
        { "list", 0, 0, false, false, false, verb_list, "list", "which folders are mapped, and where to",
          "Lists the mappings of the configuration, with and without a running azsyncd: name, folder, URL, and the\n"
          "state if it runs. With --json: {\"version\", \"config\", \"running\", \"mappings\": [{\"name\", \"file\",\n"
          "\"folder\", \"url\", \"account\", \"container\", \"prefix\", \"state\"}]}.\n" },
        { "edit", 0, MANY, false, false, false, NULL, "edit NAME", NULL, NULL },
        { "doctor", 0, 1, false, false, true, verb_doctor, "doctor [MAPPING]",
          "checks rights, limits, clock, endpoint, login, container; what to do",
          "Looks at all that azsyncd needs, and says of each thing in one line how it is and, after \"do:\", what to "
          "do.\n"
          "It runs with your rights, not azsyncd's, with or without a running azsyncd, and changes nothing: no file "
          "is\n"
          "written, no blob is written or deleted. Each folder is walked once, for 30 s at most.\n\n"
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
        Arguments a = { .options = { .timeout_ns = -1, .argv = argv } };
        const Options *o = &a.options;
        const Verb *verb = NULL;

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
        if ((o->watch || o->check) && !verb->watches)
                return usage("--watch and --check belong to status");
        if (o->watch && o->check)
                return usage("--watch and --check exclude each other");
        if (o->timeout_ns >= 0 && !verb->waits)
                return usage("--timeout belongs to wait");
        if (o->state_dir && !verb->looks)
                return usage("--state-dir belongs to doctor");
        if (o->n_names < verb->least)
                return usage("%s needs the name of a mapping", verb->name);
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
