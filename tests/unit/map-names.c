/* The mapping of names for tests/e2e/test_names.py, which knows it from the documentation alone. Each line of stdin is
 * "f HEX" (a path) or "r HEX" (a blob name); each line of stdout the other one in hex, "-" if there is none, or "long"
 * or "deep". The argument is the prefix. */
#include "util/blobname.h"

#include <stdio.h>
#include <string.h>

static size_t unhex(const char *text, char *ret) {
        size_t n = 0;
        unsigned byte;

        for (; sscanf(text, "%2x", &byte) == 1; text += 2)
                ret[n++] = (char) byte;
        return n;
}

static void print_hex(const Buf *b) {
        for (size_t i = 0; i < b->size; i++)
                (void) printf("%02x", (unsigned char) b->data[i]);
}

int main(int argc, char **argv) {
        static char line[65536], bytes[32768];

        while (argc == 2 && fgets(line, sizeof(line), stdin)) {
                _cleanup_buf_ Buf out = BUF_INIT(65536);
                size_t n = unhex(line + 2, bytes);
                BlobName verdict = BLOB_NAME_OK;
                int r;

                if (line[0] == 'f')
                        r = blobname_from_path(&out, argv[1], bytes, n, &verdict);
                else
                        r = blobname_to_path(&out, argv[1], bytes, n);
                if (r < 0 || verdict != BLOB_NAME_OK)
                        (void) fputs(verdict == BLOB_NAME_TOO_LONG   ? "long"
                                     : verdict == BLOB_NAME_TOO_DEEP ? "deep"
                                                                     : "-",
                                     stdout);
                else
                        print_hex(&out);
                (void) putchar('\n');
        }
        return 0;
}
