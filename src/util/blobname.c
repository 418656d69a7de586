/* The mapping is rclone's encoder for this service (its mask: backslash, control characters, DEL, a trailing period,
 * invalid UTF-8) with one addition: the bytes of characters that Azure refuses are written like bytes that are not
 * UTF-8. Read from left to right, the form is unambiguous, since U+201B never stands there for itself alone:
 *
 *   U+201B U+201B        U+201B
 *   U+201B look-alike    the look-alike itself
 *   U+201B X X           the byte XX
 *   look-alike           what it looks like
 *
 * So decoding undoes encoding for every path, and two paths cannot meet in one blob name. The reverse direction decodes
 * and then encodes again: only a name that comes out byte for byte is one of ours. */
#include "util/blobname.h"

#include "util/path.h"

#include <assert.h>
#include <string.h>

#define QUOTE 0x201BU
#define SYMBOL_NUL 0x2400U     /* + c stands for the control character c */
#define SYMBOL_US 0x241FU      /* the last of them */
#define SYMBOL_DEL 0x2421U     /* DEL */
#define FULL_BACKSLASH 0xFF3CU /* backslash */
#define FULL_STOP 0xFF0EU      /* '.' at the end of a segment; elsewhere itself */

#define MAX_UNITS 1024U   /* UTF-16 code units, the safe reading of "characters" */
#define MAX_SEGMENTS 254U /* separated by '/' */

/* A name under construction. A UTF-16 unit takes at most three bytes of UTF-8, so a name that is not too long fits. */
typedef struct Name {
        char bytes[3 * MAX_UNITS];
        size_t size;
        size_t units;
        size_t segments;
        BlobName verdict;
} Name;

static void name_raw(Name *n, const char *bytes, size_t size, size_t units) {
        if (n->verdict != BLOB_NAME_OK)
                return;
        if (n->units + units > MAX_UNITS) {
                n->verdict = BLOB_NAME_TOO_LONG;
                return;
        }
        assert(n->size + size <= sizeof(n->bytes));
        memcpy(n->bytes + n->size, bytes, size);
        n->size += size;
        n->units += units;
}

static void name_slash(Name *n) {
        name_raw(n, "/", 1, 1);
        if (n->verdict == BLOB_NAME_OK && ++n->segments > MAX_SEGMENTS)
                n->verdict = BLOB_NAME_TOO_DEEP;
}

/* One of the look-alikes, all of which take three bytes. */
static void name_symbol(Name *n, uint32_t c) {
        char utf8[3] = { (char) (0xE0 | c >> 12), (char) (0x80 | (c >> 6 & 0x3F)), (char) (0x80 | (c & 0x3F)) };

        assert(c >= 0x800 && c <= 0xFFFF);
        name_raw(n, utf8, sizeof(utf8), 1);
}

static void name_byte(Name *n, uint8_t byte) {
        static const char digits[] = "0123456789ABCDEF"; /* upper case, as rclone's */
        char hex[2] = { digits[byte >> 4], digits[byte & 15] };

        name_symbol(n, QUOTE);
        name_raw(n, hex, sizeof(hex), sizeof(hex));
}

/* Valid Unicode that the service refuses or that no XML listing can carry (azure-blob.md 1.10). */
static bool is_refused(uint32_t c) {
        return (c >= 0x80 && c <= 0x9F) || c == 0xE000 || (c >= 0xFDD0 && c <= 0xFDEF) || (c & 0xFFFE) == 0xFFFE;
}

/* Would be read as an escape if it stood in a blob name by itself. */
static bool is_symbol(uint32_t c, bool last) {
        return c == QUOTE || (c >= SYMBOL_NUL && c <= SYMBOL_US) || c == SYMBOL_DEL || c == FULL_BACKSLASH ||
               (c == FULL_STOP && last);
}

/* `prefix` is taken as it is: configuration has checked it. */
static void name_prefix(Name *n, const char *prefix) {
        uint32_t c;

        for (size_t i = 0, size = strlen(prefix), k = 0; i < size; i += k) {
                k = MAX(utf8_char(prefix + i, size - i, &c), (size_t) 1);
                if (prefix[i] == '/')
                        name_slash(n);
                else
                        name_raw(n, prefix + i, k, k == 4 ? 2 : 1);
        }
        if (prefix[0] != '\0')
                name_slash(n);
}

static void name_path(Name *n, const char *path, size_t size) {
        for (size_t i = 0, k = 0; i < size && n->verdict == BLOB_NAME_OK; i += k) {
                uint32_t c = 0;
                bool last;

                k = utf8_char(path + i, size - i, &c);
                if (k == 0) {
                        k = 1;
                        name_byte(n, (uint8_t) path[i]);
                        continue;
                }
                last = i + k == size || path[i + k] == '/';
                if (c == '/')
                        name_slash(n);
                else if (c == '\\')
                        name_symbol(n, FULL_BACKSLASH);
                else if (c == '.' && last)
                        name_symbol(n, FULL_STOP);
                else if (c < 0x20)
                        name_symbol(n, SYMBOL_NUL + c);
                else if (c == 0x7F)
                        name_symbol(n, SYMBOL_DEL);
                else if (is_refused(c))
                        for (size_t j = 0; j < k; j++)
                                name_byte(n, (uint8_t) path[i + j]);
                else {
                        if (is_symbol(c, last))
                                name_symbol(n, QUOTE);
                        name_raw(n, path + i, k, k == 4 ? 2 : 1);
                }
        }
}

static void name_make(Name *n, const char *prefix, const char *path, size_t size) {
        n->size = n->units = 0;
        n->segments = 1;
        n->verdict = BLOB_NAME_OK;
        name_prefix(n, prefix);
        name_path(n, path, size);
}

int blobname_from_path(Buf *ret, const char *prefix, const char *path, size_t size, BlobName *ret_verdict) {
        Name n; /* not cleared: 3 KiB, for every request */
        int r;

        assert(ret && prefix && path && size > 0 && ret_verdict);

        name_make(&n, prefix, path, size);
        r = buf_append(ret, n.bytes, n.size);
        if (r < 0)
                return r;
        *ret_verdict = n.verdict;
        return 0;
}

bool blobname_goes_below(const char *prefix, const char *path, size_t size) {
        Name n;

        assert(prefix && path && size > 0);

        /* a byte takes three units at most, and the limit of depth comes later */
        if ((strlen(prefix) + size) * 3 + strlen("//x") <= MAX_UNITS)
                return true;
        name_make(&n, prefix, path, size);
        name_slash(&n);
        name_raw(&n, "x", 1, 1);
        return n.verdict == BLOB_NAME_OK;
}

static int hex_value(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Decodes what follows a quote: *ret_eaten bytes of `text` become *ret_size bytes at `ret`. */
static int decode_quoted(const char *text, size_t size, char *ret, size_t *ret_size, size_t *ret_eaten) {
        uint32_t c;
        size_t k = utf8_char(text, size, &c);
        int high, low;

        if (k > 0 && is_symbol(c, true)) {
                memcpy(ret, text, k);
                *ret_size = *ret_eaten = k;
                return 0;
        }
        high = size >= 2 ? hex_value(text[0]) : -1;
        low = size >= 2 ? hex_value(text[1]) : -1;
        if (high < 0 || low < 0)
                return -EINVAL;
        *ret = (char) (high * 16 + low);
        *ret_size = 1;
        *ret_eaten = 2;
        return 0;
}

/* Undoes name_path(). The result is never longer than `name`. */
static int decode_name(const char *name, size_t size, char *ret, size_t *ret_size) {
        size_t n = 0;

        for (size_t i = 0; i < size;) {
                uint32_t c;
                size_t k = utf8_char(name + i, size - i, &c);
                bool last;

                if (k == 0)
                        return -EINVAL;
                last = i + k == size || name[i + k] == '/';
                if (c == QUOTE) {
                        size_t more, eaten;
                        int r = decode_quoted(name + i + k, size - i - k, ret + n, &more, &eaten);

                        if (r < 0)
                                return r;
                        n += more;
                        i += k + eaten;
                        continue;
                }
                if (is_symbol(c, last)) {
                        ret[n++] = c == FULL_BACKSLASH ? '\\'
                                   : c == FULL_STOP    ? '.'
                                   : c == SYMBOL_DEL   ? 0x7F
                                                       : (char) (c - SYMBOL_NUL);
                } else {
                        memcpy(ret + n, name + i, k);
                        n += k;
                }
                i += k;
        }
        *ret_size = n;
        return 0;
}

/* Is it what a Linux file below a folder can be called? */
static bool is_path(const char *path, size_t size) {
        size_t start = 0;

        for (size_t i = 0; i <= size; i++) {
                if (i < size && path[i] == '\0')
                        return false;
                if (i < size && path[i] != '/')
                        continue;
                if (i == start || (i == start + 1 && path[start] == '.') ||
                    (i == start + 2 && path[start] == '.' && path[start + 1] == '.'))
                        return false;
                start = i + 1;
        }
        return true;
}

int blobname_to_path(Buf *ret, const char *prefix, const char *name, size_t size) {
        char path[3 * MAX_UNITS];
        size_t skip, n;
        Name again;
        int r;

        assert(ret && prefix && name);

        skip = strlen(prefix);
        if (size > sizeof(path) || size <= skip || memcmp(name, prefix, skip) != 0)
                return -EINVAL;
        if (skip > 0 && name[skip++] != '/')
                return -EINVAL;

        r = decode_name(name + skip, size - skip, path, &n);
        if (r < 0)
                return r;
        if (!is_path(path, n))
                return -EINVAL;

        name_make(&again, prefix, path, n);
        if (again.verdict != BLOB_NAME_OK || again.size != size || memcmp(again.bytes, name, size) != 0)
                return -EINVAL;
        return buf_append(ret, path, n);
}

const char *blobname_verdict_text(BlobName verdict) {
        switch (verdict) {
        case BLOB_NAME_OK:
                return "name can be stored";
        case BLOB_NAME_TOO_LONG:
                return "name longer than 1,024 characters with the prefix: shorten it, or the folders above it";
        case BLOB_NAME_TOO_DEEP:
                return "more than 254 folders deep with the prefix: move it further up";
        }
        return "name cannot be stored";
}
