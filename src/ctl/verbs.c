#include "ctl/verbs.h"

#include "azsyncd/control.h"
#include "control/json.h"
#include "control/protocol.h"
#include "ctl/text.h"
#include "util/clock.h"

#include <stdio.h>
#include <string.h>

json_t *options_mapping(const Options *o) {
        return o->n_names > 0 ? json_pack("{s:o}", "mapping", text_to_json(o->names[0])) : json_object();
}

int complain(const Error *e) {
        _cleanup_text_ Text t = TEXT_INIT(4096);
        bool nobody = e->code != -ETIMEDOUT && e->code != -EPROTO && e->code != -ENOMEM && e->code != -EMSGSIZE;

        text_safe(&t, e->text);
        (void) fprintf(stderr, "azsyncctl: %s\n", buf_text(&t.buf));
        return nobody ? AZSYNC_EXIT_NO_DAEMON : AZSYNC_EXIT_FAILED;
}

int complain_reply(const Reply *reply) {
        _cleanup_text_ Text t = TEXT_INIT(262144);
        json_t *errors = json_object_get(reply->parameters, "errors");

        if (strcmp(reply->error, CONTROL_ERROR_NO_SUCH_MAPPING) == 0) {
                text_puts(&t, "azsyncctl: there is no mapping named \"");
                text_safe(&t, json_get_text(reply->parameters, "mapping"));
                text_puts(&t, "\"; azsyncctl status lists them\n");
        } else if (strcmp(reply->error, CONTROL_ERROR_RELOAD_FAILED) == 0) {
                for (size_t i = 0; i < json_array_size(errors); i++) {
                        const char *line = json_string_value(json_array_get(errors, i));

                        text_safe(&t, line ? line : "");
                        text_puts(&t, "\n");
                }
                text_puts(&t, "azsyncctl: the configuration was refused; the one before stays in force\n");
        } else {
                const char *message = json_get_text(reply->parameters, "message");

                text_puts(&t, "azsyncctl: ");
                text_safe(&t, *message ? message : reply->error);
                text_puts(&t, "\n");
        }
        (void) fputs(buf_text(&t.buf), stderr);
        return AZSYNC_EXIT_FAILED;
}

void print_json(const json_t *value) {
        (void) json_dumpf(value, stdout, JSON_COMPACT | JSON_REAL_PRECISION(15));
        (void) putchar('\n');
        (void) fflush(stdout);
}

int call_daemon(Client *c, const Options *o, const char *method, json_t *parameters, bool more, int64_t deadline,
                Reply *ret) {
        _cleanup_reply_ Reply reply = { 0 };
        Error e = ERROR_NULL;
        int r;

        r = client_open(c, o->runtime_dir, &e);
        if (r < 0)
                json_decref(parameters);
        else
                r = client_send(c, method, parameters, more, &e);
        if (r >= 0)
                r = client_receive(c, deadline, &reply, &e);
        if (r < 0)
                return complain(&e);
        if (reply.error)
                return complain_reply(&reply);
        *ret = reply;
        reply = (Reply){ 0 };
        return 0;
}

static const struct {
        const char *verb, *method, *done; /* done: with the mapping's name behind it */
} changes[] = {
        { "rescan", "Rescan", "comparing with the cloud" },
        { "retry", "Retry", "trying again" },
        { "pause", "Pause", "paused" },
        { "resume", "Resume", "going on" },
        { "approve", "Approve", "approved" },
        { "reject", "Reject", "rejected" },
        { "reload", "Reload", NULL },
};

int verb_change(const Options *o) {
        _cleanup_client_ Client c = CLIENT_INIT;
        _cleanup_reply_ Reply reply = { 0 };
        json_t *warnings;
        size_t i = 0;
        int r;

        while (i + 1 < ELEMENTSOF(changes) && strcmp(o->verb, changes[i].verb) != 0)
                i++;
        r = call_daemon(&c, o, changes[i].method, options_mapping(o), false, clock_boot() + CLIENT_PATIENCE_NS, &reply);
        if (r != 0)
                return r;
        if (o->json) {
                print_json(reply.parameters);
                return AZSYNC_EXIT_OK;
        }
        if (changes[i].done) {
                (void) printf("%s: %s\n", o->n_names > 0 ? o->names[0] : "all mappings", changes[i].done);
                return AZSYNC_EXIT_OK;
        }
        warnings = json_object_get(reply.parameters, "warnings");
        for (i = 0; i < json_array_size(warnings); i++) {
                _cleanup_text_ Text t = TEXT_INIT(65536);
                const char *line = json_string_value(json_array_get(warnings, i));

                text_safe(&t, line ? line : "");
                (void) fprintf(stderr, "warning: %s\n", buf_text(&t.buf));
        }
        (void) printf("the configuration was read again and is in force\n");
        return AZSYNC_EXIT_OK;
}

int verb_wait(const Options *o) {
        static const int64_t grace_ns = 2 * NSEC_PER_SEC; /* the daemon counts too; this is for one that is stuck */
        int64_t deadline = CLIENT_NO_DEADLINE;
        _cleanup_client_ Client c = CLIENT_INIT;
        _cleanup_reply_ Reply reply = { 0 };
        _cleanup_text_ Text why = TEXT_INIT(65536);
        json_t *parameters = json_object(), *names = json_array();
        const char *result;
        int r = names ? 0 : -1;

        for (int i = 0; r == 0 && i < o->n_names; i++)
                r = json_array_append_new(names, text_to_json(o->names[i]));
        if (r == 0 && o->timeout_ns >= 0) {
                deadline = clock_boot() + o->timeout_ns + grace_ns;
                r = json_object_set_new(parameters, "timeout_s",
                                        json_real((double) o->timeout_ns / (double) NSEC_PER_SEC));
        }
        if (json_object_set_new(parameters, "mappings", names) < 0 || r < 0) {
                json_decref(parameters);
                (void) fprintf(stderr, "azsyncctl: out of memory\n");
                return AZSYNC_EXIT_FAILED;
        }
        r = call_daemon(&c, o, "Wait", parameters, false, deadline, &reply);
        if (r != 0)
                return r;
        if (o->json)
                print_json(reply.parameters);
        result = json_get_text(reply.parameters, "result");
        if (strcmp(result, "in_sync") == 0)
                return AZSYNC_EXIT_OK;
        if (strcmp(result, "stuck") == 0) {
                const char *text = json_get_text(reply.parameters, "why");

                text_safe(&why, *text ? text : "something failed, is held, blocked, in conflict or paused");
                (void) fprintf(stderr, "azsyncctl: waiting does not help: %s (see azsyncctl status)\n",
                               buf_text(&why.buf));
                return AZSYNC_EXIT_UNSYNCED;
        }
        (void) fprintf(stderr, "azsyncctl: not in sync yet; gave up waiting\n");
        return AZSYNC_EXIT_FAILED;
}
