/* Where an account is, as a person writes it. As strict as what uses it later (azure/uri), so that --check-config sees
 * what a start would. Pure. */
#pragma once

#include "util/macro.h"

/* What is wrong with `url`, in words that hold nothing of it (a SAS may hang on it); NULL: nothing. */
const char *endpoint_fault(const char *url);
/* The account's name as the endpoint has it: the host's first label, or the path's first segment if the host is an
 * address or localhost. "" if it cannot be told, NULL if there is no memory. */
char *endpoint_account(const char *url);
/* Is the account in the path, since the host is an address or localhost? */
bool endpoint_in_path(const char *url);
/* Scheme and host without case, the scheme's own port or none, then the path as it is. Both have no fault. */
bool endpoint_same(const char *a, const char *b);
