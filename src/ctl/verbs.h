/* What azsyncctl can do: each verb prints its result and returns an exit code of azsyncd/control.h. */
#pragma once

#include "ctl/client.h"

typedef struct Options {
        const char *runtime_dir; /* NULL: the usual places */
        const char *config_dir;  /* the same */
        const char *state_dir;   /* the same; doctor and what writes the configuration */
        bool json;
        bool watch, check;          /* status */
        int64_t timeout_ns;         /* wait; -1: none */
        const char *name, *account; /* add; NULL */
        char **exclude;             /* add: patterns */
        size_t n_exclude;
        char **argv;      /* all that was typed */
        const char *verb; /* as it was typed */
        char **names;     /* what the verb is about: mappings, for most */
        int n_names;
} Options;

int verb_status(const Options *o);
int verb_wait(const Options *o);
int verb_queue(const Options *o);
int verb_change(const Options *o); /* rescan, retry, pause, resume, approve, reject, reload */

/* in azsyncctl-cloud, which elsewhere() becomes */
int elsewhere(const Options *o);
int verb_add(const Options *o);
int verb_edit(const Options *o);
int verb_list(const Options *o);
int verb_remove(const Options *o);
int verb_doctor(const Options *o);

/* --- shared by them --- */

/* Is stdout a terminal that shows colors, and has nobody asked for none? */
bool output_color(void);

/* {"mapping": NAME}, or {} if none was named; NULL: out of memory */
json_t *options_mapping(const Options *o);
/* Says on stderr why it failed, and returns the exit code. */
int complain(const Error *e);
int complain_reply(const Reply *reply);
/* One line of JSON on stdout. */
void print_json(const json_t *value);

/* Connects, calls, and receives one reply. Returns 0, or the exit code after having complained. */
int call_daemon(Client *c, const Options *o, const char *method, json_t *parameters, bool more, int64_t deadline,
                Reply *ret);
