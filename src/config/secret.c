#include "config/secret.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* systemd hands credentials over at a start alone */
#define ADD_IT "add LoadCredential=%s:/PATH to the unit and restart azsyncd, a reload is not enough"
#define NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

char *secret_free(char *secret) {
        if (secret)
                explicit_bzero(secret, strlen(secret));
        free(secret);
        return NULL;
}

/* Is it none of our business that we do not get at it? */
static bool elsewhere(const ConfigReader *c) {
        return c->places && c->places->secrets_elsewhere;
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
        const ConfigDraft *draft = config_draft(c, path);
        _cleanup_close_ int fd = draft ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        char *bytes;
        struct stat st;
        size_t size = 0;
        ssize_t got = 0;
        int r;

        if (draft && draft->text)
                return take(c, n, key, draft->text, draft->size, ret);
        if (fd < 0 && !draft && errno == EACCES && elsewhere(c))
                return 0;
        if (fd < 0 || fstat(fd, &st) < 0)
                return config_refuse(c, n, key, "%s: %s", SHOWN_PATH(path), strerror(draft ? ENOENT : errno));
        if (!S_ISREG(st.st_mode))
                return config_refuse(c, n, key, "%s is not a regular file", SHOWN_PATH(path));
        if (strict && (st.st_mode & 0077) != 0)
                return config_refuse(c, n, key, "%s may be read or written by others than its owner: chmod 600 it",
                                     SHOWN_PATH(path));
        if (strict && st.st_uid != 0 && st.st_uid != geteuid())
                return config_refuse(c, n, key, "%s belongs to user %u; expected root or azsyncd's own user",
                                     SHOWN_PATH(path), st.st_uid);
        if ((size_t) st.st_size > SECRET_MAX)
                return config_refuse(c, n, key, "%s is larger than 64 KiB: that is no secret", SHOWN_PATH(path));
        bytes = malloc(SECRET_MAX + 1);
        if (!bytes)
                return config_refuse(c, n, key, "out of memory");
        while (size <= SECRET_MAX && (got = read(fd, bytes + size, SECRET_MAX + 1 - size)) > 0)
                size += (size_t) got;
        if (got < 0) /* half a secret is none */
                r = config_refuse(c, n, key, "%s: %s", SHOWN_PATH(path), strerror(errno));
        else if (size > SECRET_MAX)
                r = config_refuse(c, n, key, "%s is larger than 64 KiB: that is no secret", SHOWN_PATH(path));
        else
                r = take(c, n, key, bytes, size, ret);
        explicit_bzero(bytes, SECRET_MAX + 1);
        free(bytes);
        return r;
}

static int from_credential(ConfigReader *c, const Node *n, const char *key, const char *name, char **ret) {
        const char *dir = getenv("CREDENTIALS_DIRECTORY");
        char path[4096];

        /* a name that is none is not shown: it may be the secret itself */
        if (strlen(name) > 128 || name[0] == '.' || strspn(name, NAME_CHARS "@") != strlen(name))
                return config_refuse(c, n, key,
                                     "not the name of a credential; expected LoadCredential='s: A-Z a-z 0-9 . _ - @");
        if (!dir && elsewhere(c))
                return 0;
        if (!dir)
                return config_refuse(c, n, key,
                                     "no credentials were handed over ($CREDENTIALS_DIRECTORY is not set); " ADD_IT,
                                     SHOWN(name));
        if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int) sizeof(path))
                return config_refuse(c, n, key, "the credential's path is too long");
        if (access(path, F_OK) < 0 && errno == ENOENT)
                return config_refuse(c, n, key, "this credential was not handed over; " ADD_IT, SHOWN(name));
        return from_file(c, n, key, path, false, ret); /* systemd made it, for us alone */
}

int secret_read(ConfigReader *c, const Node *n, const char *key, char **ret, char **ret_file) {
        const Node *kind, *value;

        *ret_file = NULL;

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
                        return config_refuse(c, value, key, "file: not an absolute path; expected {file: /PATH}");
                *ret_file = strdup(value->text);
                return *ret_file ? from_file(c, value, key, value->text, true, ret)
                                 : config_refuse(c, value, key, "out of memory");
        }
        if (strcmp(kind->text, "env") == 0) {
                const char *text;

                if (strlen(value->text) > 64 || strspn(value->text, NAME_CHARS) != strlen(value->text))
                        return config_refuse(c, value, key, "env: not the name of an environment variable");
                text = getenv(value->text);
                if (!text && elsewhere(c))
                        return 0;
                if (!text)
                        return config_refuse(c, value, key, "the environment variable %s is not set",
                                             SHOWN(value->text));
                (void) config_warn(
                        c, value, key,
                        "a secret in the environment can be seen by more than azsyncd; prefer credential or file");
                return take(c, value, key, text, strlen(text), ret);
        }
        return config_refuse(c, kind, key, "unknown place \"%s\" for a secret; expected credential, file or env",
                             SHOWN(kind->text));
}
