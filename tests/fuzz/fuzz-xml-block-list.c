/* A block list from a hostile service. Every ID that comes out must be one that can be committed again. */
#include "azure/xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int check(const ListedBlock *block, void *userdata) {
        const char *id = block->id;
        _cleanup_buf_ Buf b = BUF_INIT(1024);

        if (xml_block_list(&b, &id, 1) < 0)
                abort();
        return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        int r = xml_parse_block_list((const char *) data, size, check, NULL, NULL);

        (void) r; /* whatever it says about rubbish is fine */
        return 0;
}
