/* libcurl runs out of memory, anywhere, for a moment or for longer: every request ends all the same, with an error or
 * without (pitfalls 11.3). One that never ended would keep its file pending for ever. */
#include "asking.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

static struct {
        unsigned calls, from, count; /* of these allocations `count` fail, beginning with number `from` */
} fault;

static bool fails(void) {
        fault.calls++;
        return fault.calls >= fault.from && fault.calls - fault.from < fault.count;
}

static void *fail_malloc(size_t size) {
        return fails() ? NULL : malloc(size);
}

static void *fail_calloc(size_t n, size_t size) {
        return fails() ? NULL : calloc(n, size);
}

static void *fail_realloc(void *p, size_t size) {
        return fails() ? NULL : realloc(p, size);
}

static char *fail_strdup(const char *text) {
        return fails() ? NULL : strdup(text);
}

#define REQUESTS 4u

#define LOST 42 /* exit codes of a try; what libcurl does to itself is neither */
#define TOO_LATE 43

/* In a child, since libcurl 7.88 can die of it: it goes on using a hash that it has destroyed. That is a kill like any
 * other to us; a request that never ends is not. */
static int try_child(unsigned from, unsigned count, unsigned *ret_calls) {
        static Outcome o[REQUESTS + 1];
        int64_t end = clock_boot() + PATIENCE_NS;

        if (set_up(NULL) < 0)
                return TOO_LATE;
        server_start(&server, peer_ok);
        start_with(&(HttpPoolOptions){ .max_connections = 2, .stall_ns = NSEC_PER_SEC });
        fault.calls = 0;
        fault.from = from;
        fault.count = count;
        for (unsigned i = 0; i < REQUESTS; i++) {
                HttpSend send = { .method = "PUT", .url = url("x"), .body = "12345", .body_size = 5, .fn = note };

                send.userdata = &o[i];
                if (http_send(pool, &send, NULL) < 0) /* then it says so at once */
                        finished++;
        }
        while (finished < REQUESTS) {
                if (clock_boot() > end)
                        return LOST;
                (void) sd_event_run(loop, NSEC_PER_SEC / NSEC_PER_USEC);
        }
        *ret_calls = fault.calls;
        fault.count = 0;
        /* and the pool is as good as before */
        ask(&(HttpSend){ .body = "1", .body_size = 1, .patience_ns = PATIENCE_NS }, &o[REQUESTS]);
        while (finished < REQUESTS + 1) {
                if (clock_boot() > end)
                        return TOO_LATE;
                (void) sd_event_run(loop, NSEC_PER_SEC / NSEC_PER_USEC);
        }
        return o[REQUESTS].result == CURLE_OK ? 0 : TOO_LATE;
}

static unsigned died;

/* Returns how many allocations there were. */
static unsigned try_from(unsigned from, unsigned count) {
        unsigned *calls = mmap(NULL, sizeof(*calls), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), n;
        int status;
        pid_t pid;

        assert_ptr_not_equal(calls, MAP_FAILED);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                (void) signal(SIGFPE, SIG_DFL); /* cmocka has a handler */
                _exit(try_child(from, count, calls));
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFEXITED(status) && (WEXITSTATUS(status) == LOST || WEXITSTATUS(status) == TOO_LATE))
                fail_msg("%u allocations fail from %u on: %s", count, from,
                         WEXITSTATUS(status) == LOST ? "a request never ends" : "the pool is of no use any more");
        died += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
        n = *calls;
        (void) munmap(calls, sizeof(*calls));
        return n;
}

static void every_allocation(void **state) {
        unsigned all = try_from(1, 0), tries = 0;

        assert_true(all > 20);
        for (unsigned from = 1; from <= all; from++, tries++)
                (void) try_from(from, 1);
        for (unsigned from = 1; from <= all; from += 3, tries++)
                (void) try_from(from, 20);
        print_message("%u allocations, %u tries, libcurl died in %u\n", all, tries, died);
        assert_true(died < tries / 10);
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(every_allocation) };

        /* whoever comes first decides; the pool's own initialisation is counted only */
        if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, fail_malloc, free, fail_realloc, fail_strdup, fail_calloc) !=
            CURLE_OK)
                return 1;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
