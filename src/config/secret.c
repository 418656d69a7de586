#include "config/secret.h"

#include "util/path.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

char *secret_free(char *secret) {
        if (secret)
                explicit_bzero(secret, strlen(secret));
        free(secret);
        return NULL;
}

static int take(ConfigReader *c, const Node *n, const char *key, const char *text, size_t size, char **ret) {
        while (size > 0 && (text[size - 1] == '\n' || text[size - 1] == '\r'))
                size--;
        if (size == 0)
                return config_refuse(c, n, key, "the secret is empty");
        for (size_t i = 0; i < size; i++)
                if ((unsigned char) text[i] < 0x20 || text[i] == 0x7f)
                        return config_refuse(c, n, key,
                                             "the secret holds a control character or a line break in the middle");
        *ret = strndup(text, size);
        return *ret ? 0 : config_refuse(c, n, key, "out of memory");
}

static int from_file(ConfigReader *c, const Node *n, const char *key, const char *path, bool strict, char **ret) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        char *bytes;
        struct stat st;
        size_t size = 0;
        ssize_t got;
        int r;

        if (fd < 0 || fstat(fd, &st) < 0)
                return config_refuse(c, n, key, "%s: %s", PATH_SHOWN(path), strerror(errno));
        if (!S_ISREG(st.st_mode))
                return config_refuse(c, n, key, "%s is not a regular file", PATH_SHOWN(path));
        if (strict && (st.st_mode & 0077) != 0)
                return config_refuse(c, n, key, "%s may be read or written by others than its owner: chmod 600 it",
                                     PATH_SHOWN(path));
        if (strict && st.st_uid != 0 && st.st_uid != geteuid())
                return config_refuse(c, n, key, "%s belongs to user %u; expected root or azsyncd's own user",
                                     PATH_SHOWN(path), st.st_uid);
        if ((size_t) st.st_size > SECRET_MAX)
                return config_refuse(c, n, key, "%s is larger than 64 KiB: that is no secret", PATH_SHOWN(path));
        bytes = malloc(SECRET_MAX + 1);
        if (!bytes)
                return config_refuse(c, n, key, "out of memory");
        while (size <= SECRET_MAX && (got = read(fd, bytes + size, SECRET_MAX + 1 - size)) > 0)
                size += (size_t) got;
        r = size > SECRET_MAX ? config_refuse(c, n, key, "%s is larger than 64 KiB", PATH_SHOWN(path))
                              : take(c, n, key, bytes, size, ret);
        explicit_bzero(bytes, SECRET_MAX + 1);
        free(bytes);
        return r;
}

static int from_credential(ConfigReader *c, const Node *n, const char *key, const char *name, char **ret) {
        const char *dir = getenv("CREDENTIALS_DIRECTORY");
        char path[4096];

        if (strchr(name, '/') || name[0] == '.')
                return config_refuse(c, n, key, "\"%.80s\" is no name of a credential", PATH_SHOWN(name));
        if (!dir)
                return config_refuse(
                        c, n, key,
                        "no credentials were handed over; add LoadCredential=%.80s:/path/to/file to the unit",
                        PATH_SHOWN(name));
        if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int) sizeof(path))
                return config_refuse(c, n, key, "the credential's path is too long");
        return from_file(c, n, key, path, false, ret); /* systemd made it, for us alone */
}

int secret_read(ConfigReader *c, const Node *n, const char *key, char **ret) {
        const Node *kind, *value;

        if (n->kind == NODE_SCALAR) {
                if (!c->file_private)
                        return config_refuse(
                                c, n, key,
                                "a secret may stand here only if the file is readable by its owner alone (chmod 600); "
                                "expected {credential: NAME}, {file: PATH} or {env: NAME}");
                return take(c, n, key, n->text, strlen(n->text), ret);
        }
        if (n->kind != NODE_MAP || n->n != 2 || n->items[1]->kind != NODE_SCALAR || n->items[1]->text[0] == '\0')
                return config_refuse(c, n, key, "expected {credential: NAME}, {file: PATH} or {env: NAME}");
        kind = n->items[0];
        value = n->items[1];
        if (strcmp(kind->text, "credential") == 0)
                return from_credential(c, value, key, value->text, ret);
        if (strcmp(kind->text, "file") == 0) {
                if (value->text[0] != '/')
                        return config_refuse(c, value, key, "\"%.80s\" is not an absolute path",
                                             PATH_SHOWN(value->text));
                return from_file(c, value, key, value->text, true, ret);
        }
        if (strcmp(kind->text, "env") == 0) {
                const char *text = getenv(value->text);

                if (!text)
                        return config_refuse(c, value, key, "the environment variable %.80s is not set",
                                             PATH_SHOWN(value->text));
                (void) config_warn(
                        c, value, key,
                        "a secret in the environment can be seen by more than azsyncd; prefer credential or file");
                return take(c, value, key, text, strlen(text), ret);
        }
        return config_refuse(c, kind, key, "unknown place \"%.80s\" for a secret; expected credential, file or env",
                             PATH_SHOWN(kind->text));
}
