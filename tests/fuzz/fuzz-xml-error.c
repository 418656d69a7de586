/* An error body, perhaps not even XML. */
#include "azure/xml.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char code[64];

        memset(code, 'X', sizeof(code));
        xml_parse_error((const char *) data, size, code);
        for (size_t i = 0; i < sizeof(code); i++) {
                if (code[i] == '\0')
                        return 0;
                if (!((code[i] >= '0' && code[i] <= '9') || (code[i] >= 'A' && code[i] <= 'Z') ||
                      (code[i] >= 'a' && code[i] <= 'z')))
                        abort();
        }
        abort(); /* not terminated */
}
