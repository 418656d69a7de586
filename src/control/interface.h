/* The text of the Varlink interfaces, as GetInterfaceDescription gives it out. */
#pragma once

extern const char interface_azsync[];  /* io.azsync */
extern const char interface_service[]; /* org.varlink.service */

/* NULL if we do not have an interface of this name. */
const char *interface_find(const char *name);
