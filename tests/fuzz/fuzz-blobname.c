/* Both directions of the blob-name mapping. The first byte says whether there is a prefix; the rest is taken once as a
 * path and once as a blob's name. */
#include "util/blobname.h"
#include "util/path.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_path(const char *path, size_t size) {
        size_t start = 0;

        if (memchr(path, '\0', size))
                return false;
        for (size_t i = 0; i <= size; i++) {
                if (i < size && path[i] != '/')
                        continue;
                if (i == start || (i - start == 1 && path[start] == '.') ||
                    (i - start == 2 && path[start] == '.' && path[start + 1] == '.'))
                        return false;
                start = i + 1;
        }
        return true;
}

static void check_name(const char *name, size_t size) {
        for (size_t i = 0, k = 0; i < size; i += k) {
                uint32_t c = 0;

                k = utf8_char(name + i, size - i, &c);
                if (k == 0 || c < 0x20 || c == 0x7F || c == '\\' || (c >= 0x80 && c <= 0x9F) || c == 0xE000 ||
                    (c & 0xFFFE) == 0xFFFE || (c >= 0xFDD0 && c <= 0xFDEF))
                        abort();
                if ((c == '.' || c == '/') && (i + 1 == size || name[i + 1] == '/'))
                        abort();
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_buf_ Buf name = BUF_INIT(4096), path = BUF_INIT(4096);
        _cleanup_free_ char *text = NULL;
        const char *prefix;
        BlobName verdict;
        char shown[64];

        if (size < 2)
                return 0;
        prefix = data[0] & 1 ? "pre/fix" : "";
        size--;
        text = malloc(size + 1);
        if (!text)
                return 0;
        memcpy(text, data + 1, size);
        text[size] = '\0';

        (void) path_display(text, size, shown, 1 + data[0] % sizeof(shown));
        if (!utf8_valid(shown, strlen(shown)))
                abort();

        if (is_path(text, size)) {
                if (blobname_from_path(&name, prefix, text, size, &verdict) < 0)
                        abort();
                if (verdict == BLOB_NAME_OK) {
                        check_name(name.data, name.size);
                        if (blobname_to_path(&path, prefix, name.data, name.size) < 0 || path.size != size ||
                            memcmp(path.data, text, size) != 0)
                                abort();
                }
        }

        buf_clear(&name);
        buf_clear(&path);
        if (blobname_to_path(&path, prefix, text, size) == 0) {
                if (!is_path(path.data, path.size) ||
                    blobname_from_path(&name, prefix, path.data, path.size, &verdict) < 0 || verdict != BLOB_NAME_OK ||
                    name.size != size || memcmp(name.data, text, size) != 0)
                        abort();
        }
        return 0;
}
