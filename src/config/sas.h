/* Shared access signatures as a person gives them (azure-blob.md 2.2). Pure. */
#pragma once

#include "util/macro.h"

/* What is wrong with `sas` (without '?'), in words that hold nothing of it; NULL: nothing. */
const char *sas_fault(const char *sas);
/* When it ends (se=), in ns since 1970; 0 if it does not say so in a form we know. */
int64_t sas_expiry(const char *sas);
/* Is its version (sv=) one with smaller limits? The service then ignores the version that a request names. */
bool sas_old(const char *sas);
