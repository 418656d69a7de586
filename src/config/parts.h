/* The two parts of a configuration, each read from its node, and what is checked across them. */
#pragma once

#include "config/schema.h"

int account_read(ConfigReader *c, const Node *name, const Node *map, AccountConfig *ret);
void account_config_done(AccountConfig *a);

/* Where a mapping says what is checked across mappings. */
typedef struct MappingMarks {
        Node folder, destination; /* only line and column are set */
} MappingMarks;

int bandwidth_read(ConfigReader *c, const Node *n, const char *where, Bandwidth *ret); /* free ret->spans anyway */

int mapping_read(ConfigReader *c, const char *name, const Node *map, MappingConfig *ret, MappingMarks *ret_marks);
void mapping_config_done(MappingConfig *m);

/* Destinations that overlap, folders that hold the state directory (by device and inode; NULL: not checked). */
int config_check(ConfigReader *c, const char *state_dir);

/* folder.c: what may take its time. Sets *ret to the real path of `folder` as far as it exists, and leaves it alone if
 * `folder` is that already. -ENOTDIR: some part of it is no folder; -ELOOP: a link in it leads nowhere; -ETIMEDOUT: its
 * file system does not answer. */
int folder_real(ConfigReader *c, const char *folder, char **ret);
/* Is `folder` the state directory or one above it, under whatever name? */
bool folder_holds(ConfigReader *c, const char *folder, const char *state_dir);
