/* The kernel's table of mounts, with names that whoever may mount has chosen. First the folder, ended by a NUL. A mount
 * at the folder always shows in the number, and one elsewhere never does. */
#include "util/buf.h"
#include "watch/mounts.h"

#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
        if (!holds)
                abort();
}

/* A line for a mount at `point`, as mountinfo(5) writes it. */
static void add_line(Buf *table, const char *point) {
        check(buf_puts(table, "\n9999 1 0:77 / ") == 0);
        for (; *point; point++) {
                char text[8];

                (void) snprintf(text, sizeof(text), strchr(" \t\n\\", *point) ? "\\%03o" : "%c", (uint8_t) *point);
                check(buf_puts(table, text) == 0);
        }
        check(buf_puts(table, " rw,relatime - ext4 /dev/x rw\n") == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_buf_ Buf table = BUF_INIT(1 << 20), folder = BUF_INIT(1 << 20);
        size_t n = strnlen((const char *) data, size);
        uint64_t before;

        if (n == size || n > 1000)
                return 0;
        check(buf_puts(&folder, "/") == 0 && buf_append(&folder, data, n) == 0);
        check(buf_append(&table, data + n + 1, strnlen((const char *) data + n + 1, size - n - 1)) == 0);
        before = mounts_digest(buf_text(&table), buf_text(&folder));
        check(buf_puts(&folder, "-not") == 0);
        add_line(&table, buf_text(&folder)); /* beside it, and beginning like it */
        folder.size -= 4;
        folder.data[folder.size] = '\0';
        check(n == 0 || folder.data[n] == '/' || mounts_digest(buf_text(&table), buf_text(&folder)) == before);
        before = mounts_digest(buf_text(&table), buf_text(&folder));
        add_line(&table, buf_text(&folder));
        check(mounts_digest(buf_text(&table), buf_text(&folder)) != before);
        before = mounts_digest(buf_text(&table), buf_text(&folder));
        check(buf_puts(&folder, "/beneath") == 0);
        add_line(&table, buf_text(&folder));
        folder.size -= strlen("/beneath");
        folder.data[folder.size] = '\0';
        check(mounts_digest(buf_text(&table), buf_text(&folder)) != before);
        return 0;
}
