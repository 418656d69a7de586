/* sim [--histories N] [--seed N] [--first N] [--steps N] [--jobs N] [--verbose [--row PATH]] [--no-shrink] [--stop]
 *     [--alone]
 *
 * Runs N histories, each decided by its seed, and says what diverged. --seed repeats one exactly; --alone proves that
 * it does: each history once more, in a process of its own. */
#include "sim.h"

#include <assert.h>
#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static struct {
        uint64_t histories, first, seed;
        unsigned steps, jobs;
        bool one, shrinks, stops, alone;
} options = { .histories = 1000, .first = 1, .steps = 60, .jobs = 2, .shrinks = true };

typedef struct Sum {
        uint64_t histories, failures, trace, requests, deletes, first_failed;
} Sum;

static unsigned make(uint64_t seed, Op *ops) {
        clock_begin(seed);
        return ops_make(seed, MIN(options.steps / 2 + below(BY_OPS, options.steps), OPS_MAX), ops);
}

static void report(uint64_t seed, const Result *r) {
        Op ops[OPS_MAX];
        unsigned n = make(seed, ops);
        Result shortest = *r;

        if (options.shrinks)
                n = shrink(seed, ops, n, &shortest);
        printf("seed %" PRIu64 ": %s: %s\n", seed, shortest.kind, shortest.text);
        if (options.shrinks) {
                printf("  the shortest history that fails so, %u operations:\n", n);
                for (unsigned i = 0; i < n; i++)
                        op_print(&ops[i], stdout);
                if (verbose)
                        history_run(seed, ops, n, &shortest);
        }
        (void) fflush(stdout);
}

static void run_range(uint64_t from, uint64_t step, uint64_t end, Sum *sum) {
        for (uint64_t seed = from; seed < end; seed += step) {
                Op ops[OPS_MAX];
                Result r;

                history_run(seed, ops, make(seed, ops), &r);
                sum->histories++;
                sum->trace += r.trace * (seed | 1);
                sum->requests += r.requests;
                sum->deletes += r.deletes;
                if (!r.failed)
                        continue;
                if (sum->failures++ == 0)
                        sum->first_failed = seed;
                if (sum->failures <= 3)
                        report(seed, &r);
                else
                        printf("seed %" PRIu64 ": %s: %s\n", seed, r.kind, r.text);
                (void) fflush(stdout);
                if (options.stops)
                        return;
        }
}

#define JOBS_MAX 16u

/* Each job in a process of its own: whatever a history leaves behind stays in it. */
static int run_all(uint64_t first, uint64_t histories, Sum *total) {
        int fds[JOBS_MAX][2];
        unsigned jobs = MIN(options.jobs, JOBS_MAX);
        int failures = 0;

        for (unsigned i = 0; i < jobs; i++) {
                if (pipe(fds[i]) < 0)
                        return -1;
                (void) fflush(stdout);
                pid_t pid = fork();
                if (pid < 0)
                        return -1;
                if (pid == 0) {
                        Sum sum = { 0 };

                        run_range(first + i, jobs, first + histories, &sum);
                        daemon_clean_up();
                        disk_end();
                        check_end();
                        if (write(fds[i][1], &sum, sizeof(sum)) != (ssize_t) sizeof(sum))
                                _exit(1);
                        exit(0);
                }
                (void) close(fds[i][1]);
        }
        for (unsigned i = 0; i < jobs; i++) {
                Sum sum;
                int status;

                if (read(fds[i][0], &sum, sizeof(sum)) == (ssize_t) sizeof(sum)) {
                        total->histories += sum.histories;
                        total->failures += sum.failures;
                        total->trace += sum.trace;
                        total->requests += sum.requests;
                        total->deletes += sum.deletes;
                } else
                        failures++;
                if (wait(&status) < 0 || status != 0)
                        failures++;
        }
        return failures > 0 ? -1 : 0;
}

static bool same_alone(const Sum *in_a_row) {
        Sum sum = { 0 };
        uint64_t n = MIN(options.jobs, JOBS_MAX);

        for (uint64_t i = 0; i < options.histories; i += n)
                if (run_all(options.first + i, MIN(n, options.histories - i), &sum) < 0)
                        return false;
        if (sum.trace != in_a_row->trace)
                printf("a history is another one when it is alone: trace %016" PRIx64 "\n", sum.trace);
        return sum.trace == in_a_row->trace;
}

static uint64_t number(const char *text) {
        char *end;
        uint64_t n = strtoull(text, &end, 10);

        if (*text == '\0' || *end != '\0') {
                fprintf(stderr, "sim: %s is not a number\n", text);
                exit(2);
        }
        return n;
}

static void parse(int argc, char **argv) {
        static const struct option names[] = {
                { "histories", required_argument, NULL, 'n' },
                { "seed", required_argument, NULL, 's' },
                { "first", required_argument, NULL, 'f' },
                { "steps", required_argument, NULL, 'o' },
                { "jobs", required_argument, NULL, 'j' },
                { "verbose", no_argument, NULL, 'v' },
                { "no-shrink", no_argument, NULL, 'q' },
                { "stop", no_argument, NULL, 'x' },

                { "row", required_argument, NULL, 'r' },
                { "alone", no_argument, NULL, 'a' },
                { 0 },
        };
        int c;

        while ((c = getopt_long(argc, argv, "", names, NULL)) >= 0)
                switch (c) {
                case 'n':
                        options.histories = number(optarg);
                        break;
                case 's':
                        options.seed = number(optarg);
                        options.one = true;
                        break;
                case 'f':
                        options.first = number(optarg);
                        break;
                case 'o':
                        options.steps = MAX((unsigned) number(optarg), 2U);
                        break;
                case 'j':
                        options.jobs = MAX((unsigned) number(optarg), 1U);
                        break;
                case 'v':
                        verbose = true;
                        break;
                case 'x':
                        options.stops = true;
                        break;
                case 'r':
                        watched_row = optarg;
                        break;
                case 'a':
                        options.alone = true;
                        break;
                case 'q':
                        options.shrinks = false;
                        break;
                default:
                        exit(2);
                }
}

/* One thread: no locks. And what a history gives back, the next one takes at once: the kernel would only clear it. */
static void hasten(void) {
        (void) mallopt(M_TRIM_THRESHOLD, 1 << 30);
        (void) mallopt(M_MMAP_THRESHOLD, 32 << 20); /* no more is taken */
        (void) mallopt(M_TOP_PAD, 16 << 20);
        if (memory_register() != SQLITE_OK || sqlite3_config(SQLITE_CONFIG_SINGLETHREAD) != SQLITE_OK ||
            sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0) != SQLITE_OK ||
            sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 1200, 400) != SQLITE_OK)
                abort();
}

int main(int argc, char **argv) {
        Sum sum = { 0 };

        hasten();
        parse(argc, argv);
        if (options.one) {
                Op ops[OPS_MAX];
                Result r;

                history_run(options.seed, ops, make(options.seed, ops), &r);
                printf("seed %" PRIu64 ": trace %016" PRIx64 ", %s\n", options.seed, r.trace,
                       r.failed ? r.text : "no divergence");
                if (r.failed)
                        report(options.seed, &r);
                daemon_clean_up();
                disk_end();
                check_end();
                return r.failed;
        }
        if (run_all(options.first, options.histories, &sum) < 0) {
                printf("a job ended badly\n");
                return 1;
        }
        printf("%" PRIu64 " histories, %" PRIu64 " uploads, %" PRIu64 " deletions, trace %016" PRIx64 ": %" PRIu64
               " divergences\n",
               sum.histories, sum.requests, sum.deletes, sum.trace, sum.failures);
        return sum.failures > 0 || (options.alone && !same_alone(&sum));
}
