/* The folder that somebody types behind azsyncctl add: relative, perhaps, or on a mount that hangs. */
#pragma once

/* Its absolute path, without ".", ".." and "//", into `ret` (to be freed). Links in it stay, so that the loader names
 * the real path. 0; else an exit code (complained of): it is no folder, or nobody can tell within a few seconds. */
int folder_find(const char *typed, char **ret);
