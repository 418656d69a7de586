#include "ctl/ask.h"

#include <assert.h>
#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>

enum { CONTROL_C = 3, CONTROL_D = 4, BACKSPACE = 8, CONTROL_U = 21, DELETE = 127 };

/* Of what was typed, the last character is taken back: all of its bytes. */
static void take_back(Buf *b) {
        while (b->size > 0 && ((unsigned char) b->data[b->size - 1] & 0xC0) == 0x80)
                b->data[--b->size] = '\0';
        if (b->size > 0)
                b->data[--b->size] = '\0';
}

static int too_long(Error *e) {
        return error_set(e, -EINVAL, ERROR_OS, EINVAL, "that is too long for a key, signature or connection string");
}

/* Byte by byte: a line of the terminal itself ends after 4 KiB. */
static int read_typed(Buf *ret, Error *e) {
        for (;;) {
                unsigned char byte;
                ssize_t n = read(STDIN_FILENO, &byte, 1);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return error_os(e, errno, "reading from the terminal");
                if (n == 0 || byte == '\n' || byte == '\r' || byte == CONTROL_D)
                        return 0;
                if (byte == CONTROL_C)
                        return error_set(e, -ECANCELED, ERROR_OS, ECANCELED, "nothing was changed");
                if (byte == BACKSPACE || byte == DELETE)
                        take_back(ret);
                else if (byte == CONTROL_U)
                        buf_clear(ret);
                else if (buf_append(ret, &byte, 1) < 0)
                        return too_long(e);
        }
}

static int read_all(Buf *ret, Error *e) {
        char bytes[4096];
        ssize_t n;
        int r = 0;

        while (r >= 0 && (n = read(STDIN_FILENO, bytes, sizeof(bytes))) != 0)
                if (n > 0)
                        r = buf_append(ret, bytes, (size_t) n);
                else if (errno != EINTR)
                        r = -errno;
        explicit_bzero(bytes, sizeof(bytes));
        return r == -EMSGSIZE ? too_long(e) : r < 0 ? error_os(e, -r, "reading standard input") : 0;
}

static struct termios before; /* of the terminal */

/* SIGTERM: not without giving the terminal its echo back. */
static void on_end(int sig) {
        (void) tcsetattr(STDIN_FILENO, TCSANOW, &before);
        (void) raise(sig);
}

static int read_hidden(Buf *ret, const char *prompt, Error *e) {
        struct sigaction action = { .sa_handler = on_end, .sa_flags = SA_RESETHAND }, usual;
        struct termios hidden;
        int r;

        if (tcgetattr(STDIN_FILENO, &before) < 0)
                return error_os(e, errno, "asking at the terminal");
        hidden = before;
        /* ISIG too: Ctrl-C and Ctrl-Z would leave the terminal without echo */
        hidden.c_lflag &= ~(tcflag_t) (ECHO | ECHONL | ICANON | ISIG);
        (void) sigaction(SIGTERM, &action, &usual);
        if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden) < 0)
                return error_os(e, errno, "asking at the terminal");
        (void) fputs(prompt, stderr); /* only now: what is typed ahead would be lost */
        (void) fflush(stderr);
        r = read_typed(ret, e);
        (void) tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
        (void) sigaction(SIGTERM, &usual, NULL);
        (void) fputc('\n', stderr);
        return r;
}

int ask_secret(Buf *ret, const char *prompt, Error *e) {
        bool terminal = isatty(STDIN_FILENO);
        int r;

        assert(ret && prompt);

        r = terminal ? read_hidden(ret, prompt, e) : read_all(ret, e);
        if (r < 0)
                return r;
        while (ret->size > 0 && isspace((unsigned char) ret->data[ret->size - 1]))
                ret->data[--ret->size] = '\0';
        if (ret->size == 0)
                return error_set(e, -EINVAL, ERROR_OS, EINVAL,
                                 "its key, shared access signature or connection string is needed: %s",
                                 terminal ? "nothing was typed"
                                          : "at a terminal it is asked for, else it is read from "
                                            "standard input, which is empty");
        if (memchr(ret->data, '\0', ret->size))
                return error_set(e, -EINVAL, ERROR_OS, EINVAL, "what was given is no text: there is a NUL byte in it");
        return 0;
}

char ask_choice(const char *prompt, const char *answers) {
        char line[64];

        for (;;) {
                char first;

                (void) fputs(prompt, stderr);
                (void) fflush(stderr);
                if (!fgets(line, sizeof(line), stdin))
                        return answers[strlen(answers) - 1];
                first = (char) tolower((unsigned char) line[0]);
                if (first && strchr(answers, first) && (line[1] == '\n' || line[1] == '\0'))
                        return first;
        }
}
