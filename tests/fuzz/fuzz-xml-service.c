/* The answer of Get Blob Service Properties. */
#include "azure/xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Error e = ERROR_NULL;
        int days = -7, r;

        r = xml_parse_retention((const char *) data, size, &days, &e);
        if (r == 0 ? days < -1 || days > 36500 : days != -7 || e.code != r)
                abort();
        return 0;
}
