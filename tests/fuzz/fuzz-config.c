/* The text of azsyncd.yaml (first byte even) or of a mapping (odd). What is refused must say where. */
#include "config/config.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(config_freep) Config *config = NULL;
        _cleanup_buf_ Buf report = BUF_INIT((size_t) 64 * 1024);
        Error e = ERROR_NULL;
        int r;

        if (size == 0)
                return 0;
        r = config_parse_text(&config, "x.yaml", data[0] % 2 ? "fuzz" : NULL, (const char *) data + 1, size - 1,
                              &report, &e);
        if (r < 0 && (config || e.domain != ERROR_CONFIG || strncmp(e.text, "x.yaml:", 7) != 0 || report.size == 0))
                abort();
        if (r >= 0 && (!config || report.size > 0))
                abort();
        return 0;
}
