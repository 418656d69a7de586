/* A page of List Blobs from a hostile service. What is promised of a blob must hold for each that comes out. */
#include "azure/xml.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int check(const ListedBlob *blob, void *userdata) {
        size_t n = strlen(blob->etag);

        if (!blob->name || blob->name_size == 0 || blob->name[blob->name_size] != '\0')
                abort();
        if (n > 0 && (n < 3 || blob->etag[0] != '"' || blob->etag[n - 1] != '"' || strpbrk(blob->etag, "\r\n ")))
                abort();
        /* some go wrong in the callback */
        return blob->size == 4242 ? -ECANCELED : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *marker = NULL;
        Error e = ERROR_NULL;
        int r = xml_parse_list((const char *) data, size, check, NULL, &marker, &e);

        if ((r == 0) != (marker != NULL))
                abort();
        if (r == -EBADMSG && e.text[0] == '\0')
                abort();
        return 0;
}
