/* A writer as a program: `write KIND PATH SIZE [PAUSE_US]` says "ready" when the first version is there, and ends with
 * a whole version after SIGTERM. */
#include "writer.h"

#include <err.h>
#include <signal.h>
#include <stdio.h>

static void on_term(int number) {
        writer_stop = true;
}

static void ready(void) {
        (void) puts("ready");
        (void) fflush(stdout);
}

int main(int argc, char *argv[]) {
        int kind = argc >= 4 ? writer_kind(argv[1]) : -1;

        if (kind < 0)
                errx(2, "write KIND PATH SIZE [PAUSE_US]");
        (void) signal(SIGTERM, on_term);
        writer_run((WriterKind) kind, argv[2], strtoul(argv[3], NULL, 10),
                   argc > 4 ? (unsigned) strtoul(argv[4], NULL, 10) : 0, ready);
        return 0;
}
