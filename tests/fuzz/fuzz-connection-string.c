/* Connection strings. Nothing of a refused one may come back in the message. */
#include "config/connection.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *text = strndup((const char *) data, size);
        Connection c = { 0 };
        Error e = ERROR_NULL;
        int r;

        if (!text)
                return 0;
        r = connection_parse(&c, text, &e);
        if (r < 0 && (e.text[0] == '\0' || c.account || c.endpoint || c.key || c.sas))
                abort();
        if (r >= 0 && (!c.account || !c.endpoint || !c.key == !c.sas))
                abort();
        connection_done(&c);
        free(text);
        return 0;
}
