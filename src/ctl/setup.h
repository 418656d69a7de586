/* What the verbs share that show and change the configuration: list, add, remove, edit. */
#pragma once

#include "config/change.h"
#include "ctl/where.h"

/* "azsyncctl: ...\n" on stderr, made safe for a terminal. Returns AZSYNC_EXIT_FAILED. */
int setup_fail(const char *format, ...) _printf_(1, 2);

/* A configuration that was refused: every complaint, then `so`. Returns AZSYNC_EXIT_FAILED. */
int setup_refused(const Buf *report, const Error *e, const char *so);

/* "https://contoso.blob.core.windows.net/photos/prefix", as azsyncd shows it; NULL: out of memory. */
char *setup_url(const MappingConfig *m);

/* What the azsyncd there says in Status, and NULL if it does not run or does not tell. */
json_t *setup_status(const Where *w);
/* Of that, the mapping `name`: borrowed, NULL if it is not there. */
const json_t *setup_mapping(const json_t *status, const char *name);

/* Complains that there is no such mapping, and names the most alike. Returns AZSYNC_EXIT_FAILED. */
int setup_unknown(const Where *w, const char *name);

/* The path of a file below the configuration directory; a new reference, NULL: out of memory. */
json_t *setup_path(const Where *w, const char *file);

/* Is it the name of a mapping's file? Complains if not. */
bool setup_good_name(const char *name);

typedef enum Told {
        TOLD_DONE,
        TOLD_NOBODY,  /* no azsyncd runs there */
        TOLD_REFUSED, /* it read the configuration, and refused it */
        TOLD_FAILED,  /* anything else: nobody knows */
} Told;

/* Commits the change, and has the azsyncd there read it; if it refuses, the change is taken back. The last two are
 * complained of. -1: it could not be committed (complained of). */
int setup_apply(const Where *w, Change *c, Told *ret);
