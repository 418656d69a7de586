/* What doctor found: one line each, as they come, or all of them as JSON at the end. The names of the checks and the
 * JSON are a contract: docs/reference/doctor.md. */
#pragma once

#include "ctl/text.h"

typedef enum Outcome {
        FOUND_OK,
        FOUND_WARN,    /* works, but should be known or put right */
        FOUND_FAIL,    /* needs a person */
        FOUND_UNKNOWN, /* cannot be told from here */
} Outcome;

/* What a check is about: an account, a mapping, or with neither the machine. */
typedef struct About {
        const char *account, *mapping;
} About;

typedef struct Findings {
        bool color;
        json_t *checks; /* gathered; NULL: printed as they come */
        unsigned n[FOUND_UNKNOWN + 1];
        int r; /* the first failure to gather or print: -ENOMEM, -EMSGSIZE */
} Findings;

/* `advice`: what to do, or "". Both texts may hold what others wrote; they never reach a terminal as they are. */
void finding(Findings *f, Outcome outcome, About about, const char *check, const char *advice, const char *format, ...)
        _printf_(6, 7);
/* "warn photos: folder: what; do: advice\n". Pure. */
void finding_render(Text *t, bool color, Outcome outcome, About about, const char *check, const char *advice,
                    const char *text);
/* {"version", "result", "checks"}; NULL: out of memory. Takes the checks. */
json_t *findings_to_json(Findings *f);
