/* A secret from a person or a program: typed at the terminal without being shown, or read from standard input. Never
 * from the command line, which everybody can read. */
#pragma once

#include "util/buf.h"
#include "util/error.h"

/* `ret` has the ceiling, and is the caller's to wipe. `prompt` is shown if standard input is a terminal; else all of
 * standard input is read, less line breaks at its end. -EINVAL: nothing was given; -ECANCELED: Ctrl-C. */
int ask_secret(Buf *ret, const char *prompt, Error *e) _must_check_;
/* The one of `answers` (small letters) that a person types after `prompt`; the last of them at the end of the input. */
char ask_choice(const char *prompt, const char *answers);
