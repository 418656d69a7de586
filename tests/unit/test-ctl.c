/* The azsyncctl program (its path is the only argument) against the real server with a fake engine, in a child. */
#include "control/server.h"

#include "azsyncd/control.h"
#include "control/address.h"
#include "fake-engine.h"
#include "patience.h"

#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

static const char *program;

typedef struct Daemon {
        char base[64], dir[80];
        pid_t pid;
} Daemon;

typedef struct Behaviour {
        int wait_answer; /* -1: never */
        int verb_result, reload_result;
        unsigned changes; /* of status, one every turn of the loop */
} Behaviour;

static const FakeMapping mappings[] = {
        { "documents", 1234, 0, "x\033[2Jy: gone" },
        { "photos", 2, 0, NULL },
};

static int on_reload(Buf *report, Error *e, void *userdata) {
        const Behaviour *b = userdata;
        int r = buf_puts(report, "a.yaml:1:2: folder: not \033 absolute\n");

        return r < 0 ? r : b->reload_result;
}

/* Never returns. */
static void serve(const char *dir, Behaviour behaviour, int ready) {
        Engine engine = { .mappings = mappings, .n_mappings = ELEMENTSOF(mappings) };
        ServerOptions o = { .runtime_dir = dir, .engine = &engine, .reload = on_reload, .userdata = &behaviour };
        sd_event *loop = NULL;
        Server *server = NULL;
        Error e = ERROR_NULL;

        engine.verb_result = behaviour.verb_result;
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (sd_event_new(&loop) < 0 || server_new(&server, loop, &o, &e) < 0)
                _exit(1);
        (void) !write(ready, "", 1);
        for (;;) {
                if (sd_event_run(loop, behaviour.changes > 0 ? 10000 : UINT64_MAX) < 0)
                        _exit(1);
                if (behaviour.wait_answer >= 0)
                        fake_answer_waits(&engine, (WaitResult) behaviour.wait_answer, "photos: \033 1 failed");
                if (behaviour.changes > 0)
                        fake_change(&engine);
        }
}

static void daemon_start(Daemon *d, Behaviour behaviour) {
        int ready[2];
        char byte;

        (void) strcpy(d->base, "/tmp/azsync-test-XXXXXX");
        assert_non_null(mkdtemp(d->base));
        (void) snprintf(d->dir, sizeof(d->dir), "%s/run", d->base);
        assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
        d->pid = fork();
        assert_true(d->pid >= 0);
        if (d->pid == 0)
                serve(d->dir, behaviour, ready[1]);
        (void) close(ready[1]);
        assert_int_equal(read(ready[0], &byte, 1), 1);
        (void) close(ready[0]);
}

static void daemon_stop(Daemon *d) {
        char path[256];

        if (d->pid <= 0)
                return;
        (void) kill(d->pid, SIGKILL);
        (void) waitpid(d->pid, NULL, 0);
        (void) snprintf(path, sizeof(path), "%s/%s", d->dir, AZSYNC_SOCKET_NAME);
        (void) unlink(path);
        (void) rmdir(d->dir);
        (void) rmdir(d->base);
}
#define _cleanup_daemon_ _cleanup_(daemon_stop)

typedef struct Output {
        int code;
        char out[1 << 20], err[65536];
} Output;

/* azsyncctl `arguments` (split at blanks), with the daemon's directory if there is one. Ends it after `enough` bytes on
 * stdout (0: lets it end) by `sig`, or by reading no more (0). */
static void run_until(Output *ret, const Daemon *d, const char *arguments, size_t enough, int sig) {
        char *argv[32] = { (char *) program, NULL }, copy[512], *save = NULL;
        size_t n = 1, used[2] = { 0 };
        int out[2], err[2], status;
        struct pollfd fds[2];
        pid_t pid;

        (void) snprintf(copy, sizeof(copy), "%s", arguments);
        if (d) {
                argv[n++] = (char *) "--runtime-dir";
                argv[n++] = (char *) d->dir;
        }
        for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
                argv[n++] = word;
        assert_int_equal(pipe2(out, O_CLOEXEC), 0);
        assert_int_equal(pipe2(err, O_CLOEXEC), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                (void) dup2(out[1], STDOUT_FILENO);
                (void) dup2(err[1], STDERR_FILENO);
                (void) execv(program, argv);
                _exit(127);
        }
        (void) close(out[1]);
        (void) close(err[1]);
        fds[0] = (struct pollfd){ .fd = out[0], .events = POLLIN };
        fds[1] = (struct pollfd){ .fd = err[0], .events = POLLIN };
        while (fds[0].fd >= 0 || fds[1].fd >= 0) {
                assert_true(poll(fds, 2, (int) (PATIENCE_NS / NSEC_PER_MSEC)) > 0);
                for (unsigned i = 0; i < 2; i++) {
                        char *to = i == 0 ? ret->out : ret->err;
                        size_t room = (i == 0 ? sizeof(ret->out) : sizeof(ret->err)) - 1 - used[i];
                        ssize_t k;

                        if (fds[i].fd < 0 || !fds[i].revents)
                                continue;
                        k = read(fds[i].fd, to + used[i], room);
                        if (k <= 0)
                                fds[i].fd = -1;
                        else
                                used[i] += (size_t) k;
                }
                if (enough > 0 && used[0] >= enough)
                        break;
        }
        if (enough > 0)
                (void) kill(pid, sig);
        ret->out[used[0]] = '\0';
        ret->err[used[1]] = '\0';
        (void) close(out[0]);
        (void) close(err[0]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        ret->code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#define NO_ANSWER "azsyncd does not answer"

static Output output; /* large: not for the stack */

static const Output *run(const Daemon *d, const char *arguments) {
        run_until(&output, d, arguments, 0, 0);
        if (strchr(output.out, '\033') || strchr(output.err, '\033'))
                fail_msg("%s: a control byte got through", arguments);
        return &output;
}

/* Azsyncctl gives the daemon 2 s beyond the time that `wait` was given, and the daemon may get no processor for longer
 * than that: its answer is asked for again. */
static const Output *run_until_answered(const Daemon *d, const char *arguments) {
        int64_t end = clock_boot() + PATIENCE_NS;
        const Output *o;

        do
                o = run(d, arguments);
        while (strstr(o->err, NO_ANSWER) && clock_boot() < end);
        return o;
}

static void expect(const Daemon *d, const char *arguments, int code, const char *out, const char *err) {
        const Output *o = strcmp(err, NO_ANSWER) == 0 ? run(d, arguments) : run_until_answered(d, arguments);

        if (o->code != code || !strstr(o->out, out) || !strstr(o->err, err) || (*out == '\0' && o->out[0]) ||
            (*err == '\0' && o->err[0]))
                fail_msg("azsyncctl %s: exit %i\nstdout: %s\nstderr: %s", arguments, o->code, o->out, o->err);
}

static void test_usage(void **state) {
        static const struct {
                const char *arguments;
                int code;
                const char *out, *err;
        } cases[] = {
                { "", 2, "", "which verb?" },
                { "--help", 0, "Exit status:", "" },
                { "status --help", 0, "--check", "" },
                { "--help wait", 0, "--timeout", "" },
                { "--version", 0, "azsyncctl " AZSYNCD_VERSION, "" },
                { "frobnicate", 2, "", "no verb \"frobnicate\"" },
                { "--frobnicate status", 2, "", "--frobnicate" },
                { "status -x", 2, "", "-x" },
                { "status a b", 2, "", "too many arguments: azsyncctl status" },
                { "status --watch --check", 2, "", "exclude each other" },
                { "queue --check", 2, "", "belong to status" },
                { "pause --timeout 5", 2, "", "belongs to wait" },
                { "wait --timeout", 2, "", "--timeout" },
                { "wait --timeout soon", 2, "", "takes seconds" },
                { "wait --timeout -1", 2, "", "takes seconds" },
                { "wait --timeout nan", 2, "", "takes seconds" },
                { "approve", 2, "", "needs the name of a mapping" },
                { "reject", 2, "", "needs the name of a mapping" },
                { "reload photos", 2, "", "too many arguments" },
                { "verify photos --content", 2, "", "verify is not supported yet" },
                { "restore photos --to /x", 2, "", "restore is not supported yet" },
                { "add /srv", 2, "", "expected azsyncctl add FOLDER URL" },
                { "add /srv https://x y", 2, "", "too many arguments: azsyncctl add" },
                { "add /srv --name", 2, "", "--name" },
                { "list --name x", 2, "", "belong to add" },
                { "remove", 2, "", "needs the name of a mapping" },
                { "remove a b", 2, "", "too many arguments: azsyncctl remove" },
                { "list x", 2, "", "too many arguments: azsyncctl list" },
                { "edit a b", 2, "", "too many arguments: azsyncctl edit" },
                { "doctor a b", 2, "", "too many arguments: azsyncctl doctor" },
                { "--help doctor", 0, "--state-dir", "" },
                { "status --state-dir /x", 2, "", "status has no option --state-dir" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                expect(NULL, cases[i].arguments, cases[i].code, cases[i].out, cases[i].err);
}

static void test_no_daemon(void **state) {
        static const char *const all[] = { "status", "wait", "queue", "pause photos", "status --watch", "reload" };
        Daemon none = { .dir = "/nonexistent/azsyncd" };

        for (size_t i = 0; i < ELEMENTSOF(all); i++)
                expect(&none, all[i], 4, "",
                       "no azsyncd is listening on /nonexistent/azsyncd/io.azsync: systemctl start azsyncd");
}

static void test_status(void **state) {
        _cleanup_daemon_ Daemon d = { 0 };
        json_t *m;

        daemon_start(&d, (Behaviour){ .wait_answer = -1 });
        expect(&d, "status", 0, "photos: idle, in sync\n  /srv -> https://x/y\n", "");
        expect(&d, "status documents", 0, "last error    x\\x1b[2Jy: gone\n", "");
        assert_null(strstr(run(&d, "status documents")->out, "photos"));
        expect(&d, "status nope", 1, "", "there is no mapping named \"nope\"");
        expect(&d, "status \xff", 1, "", "there is no mapping named \"\\xff\"");
        expect(&d, "status --check", 0, "", ""); /* cron mails whatever is printed */
        m = json_loads(run(&d, "status --json")->out, 0, NULL);
        assert_int_equal(json_array_size(json_object_get(m, "mappings")), 2);
        json_decref(m);
        m = json_loads(run(&d, "--json status photos --check")->out, 0, NULL);
        assert_int_equal(json_array_size(json_object_get(m, "mappings")), 1);
        json_decref(m);
}

static void test_watch(void **state) {
        _cleanup_daemon_ Daemon d = { 0 };
        const char *line = output.out;

        daemon_start(&d, (Behaviour){ .wait_answer = -1, .changes = 1 });
        run_until(&output, &d, "status --watch photos", 2000, SIGTERM);
        assert_int_equal(output.code, 128 + SIGTERM);
        assert_non_null(strstr(output.out, "\n\nphotos: idle")); /* a block each */
        assert_null(strchr(output.out, '\033'));
        run_until(&output, &d, "--json status --watch", 4000, SIGTERM);
        for (unsigned i = 0; i < 3; i++) { /* a line each */
                char *end = strchr(line, '\n');
                json_t *m;

                assert_non_null(end);
                *end = '\0';
                m = json_loads(line, 0, NULL);
                assert_non_null(m);
                json_decref(m);
                line = end + 1;
        }
}

/* `| head -1`: the next change may be years away. */
static void test_watch_unread(void **state) {
        _cleanup_daemon_ Daemon d = { 0 };

        daemon_start(&d, (Behaviour){ .wait_answer = -1 });
        run_until(&output, &d, "status --watch", 1, 0);
        assert_int_equal(output.code, 128 + SIGPIPE);
        assert_string_equal(output.err, "");
}

static void test_wait(void **state) {
        _cleanup_daemon_ Daemon synced = { 0 }, stuck = { 0 }, slow = { 0 };

        daemon_start(&synced, (Behaviour){ .wait_answer = WAIT_IN_SYNC });
        expect(&synced, "wait", 0, "", "");
        expect(&synced, "wait photos documents --timeout 1000", 0, "", "");
        expect(&synced, "wait --json photos", 0, "{\"result\":\"in_sync\",\"why\":\"\"}", "");
        expect(&synced, "wait photos nope", 1, "", "there is no mapping named \"nope\"");
        daemon_start(&stuck, (Behaviour){ .wait_answer = WAIT_HOPELESS });
        expect(&stuck, "wait", 3, "", "waiting does not help: photos: \\x1b 1 failed");
        daemon_start(&slow, (Behaviour){ .wait_answer = -1 });
        expect(&slow, "wait --timeout 0.01", 1, "", "not in sync yet");
        expect(&slow, "wait --timeout 0 --json", 1, "{\"result\":\"timed_out\",\"why\":\"\"}", "not in sync yet");
}

/* One that is stopped in its tracks is not waited for longer than asked. */
static void test_wait_stuck_daemon(void **state) {
        _cleanup_daemon_ Daemon d = { 0 };

        daemon_start(&d, (Behaviour){ .wait_answer = -1 });
        assert_int_equal(kill(d.pid, SIGSTOP), 0);
        expect(&d, "wait --timeout 0.1", 1, "", NO_ANSWER);
}

static void test_queue(void **state) {
        _cleanup_daemon_ Daemon d = { 0 };
        unsigned lines = 0;
        json_t *m;

        daemon_start(&d, (Behaviour){ .wait_answer = -1 });
        for (const char *p = run(&d, "queue")->out; (p = strchr(p, '\n')); p++)
                lines++;
        assert_int_equal(lines, 1 + 1234 + 2);
        expect(&d, "queue photos", 0, "pending       0  -           00001  because\n", "");
        expect(&d, "queue nope", 1, "", "there is no mapping named \"nope\"");
        m = json_loads(run(&d, "queue --json")->out, 0, NULL);
        assert_int_equal(json_array_size(json_object_get(m, "items")), 1236);
        json_decref(m);
}

static void test_changes(void **state) {
        _cleanup_daemon_ Daemon d = { 0 }, sour = { 0 };

        daemon_start(&d, (Behaviour){ .wait_answer = -1 });
        expect(&d, "pause", 0, "all mappings: paused\n", "");
        expect(&d, "resume photos", 0, "photos: going on\n", "");
        expect(&d, "rescan photos --json", 0, "{}\n", "");
        expect(&d, "retry", 0, "all mappings: trying again\n", "");
        expect(&d, "approve photos", 0, "photos: approved\n", "");
        expect(&d, "reject photos", 0, "photos: rejected\n", "");
        expect(&d, "approve nope", 1, "", "there is no mapping named \"nope\"");
        expect(&d, "reload", 0, "is in force", "warning: a.yaml:1:2: folder: not \\x1b absolute\n");
        daemon_start(&sour, (Behaviour){ .wait_answer = -1, .verb_result = -ESRCH, .reload_result = -EINVAL });
        expect(&sour, "approve photos", 1, "", "azsyncctl: in words\n");
        expect(&sour, "reload", 1, "",
               "a.yaml:1:2: folder: not \\x1b absolute\nazsyncctl: the configuration was refused; the one before "
               "stays");
}

/* It is hung up on before it has asked, and still says why. */
static void test_crowd(void **state) {
        _cleanup_daemon_ Daemon d = { 0 };
        struct sockaddr_un address;
        int fds[SERVER_PEERS_MAX];

        daemon_start(&d, (Behaviour){ .wait_answer = -1 });
        address_make(&address, d.dir, -1);
        for (size_t i = 0; i < SERVER_PEERS_MAX; i++) {
                fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
                assert_int_equal(connect(fds[i], (const struct sockaddr *) &address, sizeof(address)), 0);
        }
        for (unsigned i = 0; i < 20; i++)
                expect(&d, "status", 1, "", "too many clients; try again later");
        for (size_t i = 0; i < SERVER_PEERS_MAX; i++)
                (void) close(fds[i]);
}

int main(int argc, char **argv) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_usage),
                cmocka_unit_test(test_no_daemon),
                cmocka_unit_test(test_status),
                cmocka_unit_test(test_watch),
                cmocka_unit_test(test_watch_unread),
                cmocka_unit_test(test_wait),
                cmocka_unit_test(test_wait_stuck_daemon),
                cmocka_unit_test(test_queue),
                cmocka_unit_test(test_changes),
                cmocka_unit_test(test_crowd),
        };

        if (argc != 2)
                return 2;
        program = argv[1];
        (void) unsetenv("POSIXLY_CORRECT");
        return cmocka_run_group_tests(tests, NULL, NULL);
}
