#include "util/path.h"

#include <assert.h>
#include <string.h>

size_t utf8_char(const char *text, size_t size, uint32_t *ret) {
        const uint8_t *p = (const uint8_t *) text;
        uint32_t c, least;
        size_t n;

        assert((text || size == 0) && ret);

        if (size == 0)
                return 0;
        if (p[0] < 0x80) {
                *ret = p[0];
                return 1;
        }
        if (p[0] >= 0xC2 && p[0] <= 0xDF) {
                n = 2, c = p[0] & 0x1FU, least = 0x80;
        } else if (p[0] >= 0xE0 && p[0] <= 0xEF) {
                n = 3, c = p[0] & 0x0FU, least = 0x800;
        } else if (p[0] >= 0xF0 && p[0] <= 0xF4) {
                n = 4, c = p[0] & 0x07U, least = 0x10000;
        } else {
                return 0;
        }
        if (size < n)
                return 0;
        for (size_t i = 1; i < n; i++) {
                if ((p[i] & 0xC0) != 0x80)
                        return 0;
                c = c << 6 | (p[i] & 0x3FU);
        }
        if (c < least || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
                return 0;
        *ret = c;
        return n;
}

bool utf8_valid(const char *text, size_t size) {
        uint32_t c;

        for (size_t i = 0, n = 0; i < size; i += n) {
                n = utf8_char(text + i, size - i, &c);
                if (n == 0)
                        return false;
        }
        return true;
}

/* What a terminal or a log viewer acts upon or does not show: controls, Unicode's format characters (category Cf: bidi,
 * zero-width, tags), line and paragraph separators, non-characters. A name that holds one could look like another. */
static bool is_hidden(uint32_t c) {
        static const struct {
                uint32_t first, last;
        } ranges[] = {
                { 0x0000, 0x001F },   { 0x007F, 0x009F },   { 0x00AD, 0x00AD },   { 0x034F, 0x034F },
                { 0x0600, 0x0605 },   { 0x061C, 0x061C },   { 0x06DD, 0x06DD },   { 0x070F, 0x070F },
                { 0x0890, 0x0891 },   { 0x08E2, 0x08E2 },   { 0x180B, 0x180F },   { 0x200B, 0x200F },
                { 0x2028, 0x202E },   { 0x2060, 0x206F },   { 0xFDD0, 0xFDEF },   { 0xFEFF, 0xFEFF },
                { 0xFFF0, 0xFFFB },   { 0x110BD, 0x110BD }, { 0x110CD, 0x110CD }, { 0x13430, 0x1343F },
                { 0x1BCA0, 0x1BCA3 }, { 0x1D173, 0x1D17A }, { 0xE0000, 0xE0FFF },
        };

        if ((c & 0xFFFE) == 0xFFFE)
                return true;
        for (size_t i = 0; i < ELEMENTSOF(ranges) && c >= ranges[i].first; i++)
                if (c <= ranges[i].last)
                        return true;
        return false;
}

/* One character of the name in the form it is shown: at most 16 chars (4 bytes as \xHH). Returns the bytes eaten. */
static size_t display_char(const char *path, size_t size, char shown[static 16], size_t *ret_shown) {
        static const char digits[] = "0123456789abcdef";
        uint32_t c;
        size_t n = utf8_char(path, size, &c), k = 0;

        if (n > 0 && c == '\\') {
                shown[k++] = '\\';
                shown[k++] = '\\';
        } else if (n > 0 && !is_hidden(c)) {
                memcpy(shown, path, n);
                k = n;
        } else {
                n = MAX(n, (size_t) 1);
                for (size_t i = 0; i < n; i++) {
                        shown[k++] = '\\';
                        shown[k++] = 'x';
                        shown[k++] = digits[(uint8_t) path[i] >> 4];
                        shown[k++] = digits[(uint8_t) path[i] & 15];
                }
        }
        *ret_shown = k;
        return n;
}

const char *path_display(const char *path, size_t size, char *ret, size_t room) {
        size_t used = 0, cut = 0; /* `cut`: the last end of a whole character that leaves room for the dots */

        assert((path || size == 0) && ret && room > 0);

        for (size_t i = 0; i < size;) {
                char shown[16];
                size_t n, eaten = display_char(path + i, size - i, shown, &n);

                if (used + n >= room) {
                        n = MIN((size_t) 3, room - 1);
                        memcpy(ret + cut, "...", n);
                        ret[cut + n] = '\0';
                        return ret;
                }
                memcpy(ret + used, shown, n);
                used += n;
                i += eaten;
                if (used + 3 < room)
                        cut = used;
        }
        ret[used] = '\0';
        return ret;
}

bool path_beneath(const char *path, const char *folder) {
        size_t n;

        assert(path && folder);

        n = strlen(folder);
        return n == 0 || (strncmp(path, folder, n) == 0 && (path[n] == '\0' || path[n] == '/'));
}
