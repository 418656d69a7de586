/* The two parts of a configuration, each read from its node, and what is checked across them. */
#pragma once

#include "config/schema.h"

int account_read(ConfigReader *c, const Node *name, const Node *map, AccountConfig *ret);
void account_config_done(AccountConfig *a);

int mapping_read(ConfigReader *c, const char *name, const Node *map, MappingConfig *ret);
void mapping_config_done(MappingConfig *m);

/* Destinations that overlap, folders that hold the state directory (by device and inode; NULL: not checked). */
int config_check(ConfigReader *c, const char *state_dir);
/* The real path of `folder` as far as it exists; *ret is NULL if `folder` is it. */
int folder_real(const char *folder, char **ret);
