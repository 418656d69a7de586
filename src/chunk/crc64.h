/* CRC-64/NVME, which the service checks a block by (x-ms-content-crc64; azure-blob.md section 3). Uses the carry-less
 * multiplication of the processor where there is one; the result is the same. */
#pragma once

#include "util/macro.h"

/* `crc`: 0 at first, then what came out of the bytes before. */
uint64_t crc64(uint64_t crc, const void *data, size_t size);
uint64_t crc64_by_table(uint64_t crc, const void *data, size_t size); /* what crc64() falls back to; for tests */
/* As the header wants it: Base64 of the 8 bytes, the lowest first; 12 characters and a NUL. */
void crc64_text(uint64_t crc, char ret[static 13]);
