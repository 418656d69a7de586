/* Content-Type by file name extension: the common types, else application/octet-stream. Text without charset
 * (azure-blob.md 5). Pure. */
#pragma once

const char *mime_from_path(const char *path); /* static */
