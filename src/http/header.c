#include "http/http.h"

#include <assert.h>
#include <string.h>

/* The value of the header line at `line`, if it is `name`'s, which has `n` characters; NULL otherwise. */
static const char *value_of(const char *line, size_t size, const char *name, size_t n, size_t *ret_size) {
        size_t end = size;

        if (size <= n || line[n] != ':' || strncasecmp(line, name, n) != 0)
                return NULL;
        for (n++; n < end && (line[n] == ' ' || line[n] == '\t'); n++)
                ;
        while (end > n && (line[end - 1] == ' ' || line[end - 1] == '\t' || line[end - 1] == '\r'))
                end--;
        *ret_size = end - n;
        return line + n;
}

int http_header(const char *headers, const char *name, char *ret, size_t room) {
        const char *found = NULL;
        size_t n, found_size = 0;

        assert(headers && name && name[0] && ret && room > 0);

        n = strlen(name);
        for (const char *line = headers, *next; *line; line = next) {
                const char *value, *end = strchrnul(line, '\n');
                size_t size = 0;

                next = *end ? end + 1 : end;
                value = value_of(line, (size_t) (end - line), name, n, &size);
                if (!value)
                        continue;
                if (*next == ' ' || *next == '\t') /* folded over lines: nobody sends that any more (RFC 9112 5.2) */
                        return -EINVAL;
                if (found && (size != found_size || memcmp(found, value, size) != 0))
                        return -EINVAL;
                found = value;
                found_size = size;
        }
        if (!found)
                return -ENOENT;
        if (found_size >= room)
                return -ENOSPC;
        memcpy(ret, found, found_size);
        ret[found_size] = '\0';
        return 0;
}
