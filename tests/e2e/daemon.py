"""azsyncd in a `with`: configuration, start, signals, azsyncctl, and what it must never leave behind."""
import collections
import contextlib
import ctypes
import json
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("AZSYNC_BUILD", TOP / "build-gcc")).resolve()
AZSYNCD = BUILD / "src/daemon/azsyncd"
AZSYNCCTL = BUILD / "src/ctl/azsyncctl"
SANITIZED = "asan" in BUILD.name
SLOW = 4 if SANITIZED else 1          # every deadline is stretched by it
LIMIT = 300                           # seconds: what is not there by then hangs, however slow or busy the machine is
STEP = 0.02                           # between two looks at a condition
# root without root's powers: file modes mean what they say
WITHOUT_POWERS = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.getuid() == 0 else []
PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207
WALL = 0x40000000  # to wait for a thread that is no child
SANITIZER_MARKS = ("AddressSanitizer", "LeakSanitizer", "runtime error:", "UndefinedBehaviorSanitizer")

Result = collections.namedtuple("Result", "rc out err")


def until(condition, seconds=LIMIT, what=""):
    """Waits for a true value, and returns it; the deadline is generous because machines are slow and shared."""
    deadline = time.monotonic() + seconds * SLOW
    while True:
        late = time.monotonic() > deadline  # whoever was not let run until then looks once more
        value = condition()
        if value:
            return value
        if late:
            raise AssertionError(f"not within {seconds * SLOW} s: {what or getattr(condition, '__name__', '')}")
        time.sleep(STEP)


@contextlib.contextmanager
def stuck_thread(pid, name):
    """One thread of it stands still as if the kernel did not let it go; the others go on."""
    tid = next(int(task.name) for task in pathlib.Path(f"/proc/{pid}/task").iterdir()
               if (task / "comm").read_text().strip() == name)
    libc = ctypes.CDLL(None)
    if libc.ptrace(PTRACE_SEIZE, tid, None, None) != 0:
        pytest.skip("no ptrace here")
    assert libc.ptrace(PTRACE_INTERRUPT, tid, None, None) == 0
    assert os.waitpid(tid, WALL)[0] == tid
    try:
        yield
    finally:
        assert libc.ptrace(PTRACE_DETACH, tid, None, None) == 0


def yaml(values):
    """JSON is YAML; one key a line so that messages about lines mean something."""
    return "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in values.items())


class Daemon:
    def __init__(self, base, accounts=None, mappings=None, speedup=10, settings=None, env=None):
        self.base = pathlib.Path(base)
        self.config, self.state, self.runtime = (self.base / d for d in ("etc", "state", "run"))
        self.log_file = self.base / "log"
        self.speedup, self.env = speedup, env or {}
        self.process, self.notifier = None, None
        self.unclean = False  # a kill -9 leaves no verdict of a sanitizer
        for folder in (self.base, self.config, self.config / "mappings.d", self.state, self.runtime):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
        self.write_config(accounts or {}, mappings or {}, settings)

    # --- configuration ---

    def write(self, name, text):
        """A file of the configuration directory, readable by its owner alone as inline secrets demand."""
        path = self.config / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(0o600)
        return path

    def write_config(self, accounts, mappings, settings=None):
        self.write("azsyncd.yaml", yaml({**({"accounts": accounts} if accounts else {}), **(settings or {})}))
        for name, mapping in mappings.items():
            self.map(name, **mapping)

    def map(self, name, **keys):
        return self.write(f"mappings.d/{name}.yaml",
                          yaml({key.replace("_", "-"): str(v) if isinstance(v, os.PathLike) else v
                                for key, v in keys.items()}))

    def unmap(self, name):
        (self.config / f"mappings.d/{name}.yaml").unlink()

    # --- the process ---

    def environment(self):
        env = {"PATH": os.environ["PATH"], "HOME": str(self.base), "LANG": "C.UTF-8",
               "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:exitcode=86",
               "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=86"}
        if self.speedup:
            env["AZSYNC_TEST_SPEEDUP"] = str(self.speedup)
        return {**env, **self.env}

    def arguments(self, *more):
        return [str(AZSYNCD), "--config", str(self.config), "--state-dir", str(self.state),
                "--runtime-dir", str(self.runtime), "--log-target", "console", *more]

    def run(self, *more, timeout=LIMIT, wrapper=()):
        """Runs it to its end: --once, --check-config, a bad configuration."""
        done = subprocess.run([*wrapper, *self.arguments(*more)], env=self.environment(), stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=timeout * SLOW)
        result = Result(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
        assert not any(mark in result.err for mark in SANITIZER_MARKS), result.err
        return result

    def start(self, *more, ready=True, wrapper=()):
        assert self.process is None
        self.notifier = Notifier(self.base / "notify")
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen([*wrapper, *self.arguments("--log-level", "debug", *more)],
                                            env={**self.environment(), "NOTIFY_SOCKET": str(self.notifier.path)},
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        if ready:
            until(lambda: self.notifier.has("READY=1") or self.process.poll() is not None, what="READY=1")
            assert self.process.poll() is None, self.tail()
        return self

    @property
    def pid(self):
        return self.process.pid

    @property
    def traced_pid(self):
        """Its own one, when the wrapper is a strace, which stays above it."""
        for task in os.listdir(f"/proc/{self.pid}/task"):
            children = pathlib.Path(f"/proc/{self.pid}/task/{task}/children").read_text().split()
            if children:
                return int(children[0])
        raise AssertionError("there is no child")

    def stop(self, seconds=LIMIT):
        """SIGTERM, and the exit code; -9 and a failure if it does not go in time."""
        if self.process is None:
            return None
        process, self.process = self.process, None
        try:
            if process.poll() is None:
                process.terminate()
            return process.wait(seconds * SLOW)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"no end within {seconds * SLOW} s of SIGTERM\n{self.tail()}") from None
        finally:
            self.notifier.close()

    def kill9(self):
        process, self.process, self.unclean = self.process, None, True
        process.kill()
        process.wait()
        self.notifier.close()

    def hangup(self):
        self.notifier.forget("READY=1")
        self.process.send_signal(signal.SIGHUP)
        until(lambda: self.notifier.has("READY=1"), what="READY=1 after SIGHUP")

    @contextlib.contextmanager
    def still(self):
        """It stands still, and then sees at once whatever was done meanwhile, however long that took. Else it may meet a file
        between open(O_TRUNC) and write(2), and rightly send that, too: counts of requests would be the machine's."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *exc):
        try:
            rc = self.stop()
            if kind is None:
                assert rc in (0, None), f"azsyncd ended with {rc}\n{self.tail()}"
        finally:
            if self.process:
                self.process.kill()
                self.process.wait()
        if kind is None:
            self.check_sanitizers()
        else:
            print(self.tail())

    def check_sanitizers(self):
        log = self.log()
        assert not any(mark in log for mark in SANITIZER_MARKS), log[-8000:]

    def log(self):
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def tail(self, size=4000):
        return f"--- log of azsyncd, the end:\n{self.log()[-size:]}"

    # --- azsyncctl ---

    def ctl_arguments(self, *args):
        return [str(AZSYNCCTL), "--config", str(self.config), "--runtime-dir", str(self.runtime), *args]

    def ctl(self, *args, timeout=LIMIT):
        done = subprocess.run(self.ctl_arguments(*args), env=self.environment(), stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=timeout * SLOW)
        return Result(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))

    def all_status(self):
        result = self.ctl("status", "--json")
        assert result.rc == 0, result
        return json.loads(result.out)

    def status(self, mapping=None):
        """One mapping's part of status --json; the only one if none is named."""
        mappings = self.all_status()["mappings"]
        if mapping is None:
            assert len(mappings) == 1, mappings
            return mappings[0]
        return next(m for m in mappings if m["name"] == mapping)

    def wait_sync(self, timeout=LIMIT, *mappings, expect=0):
        result = self.ctl("wait", "--timeout", str(timeout * SLOW), *mappings, timeout=timeout + LIMIT)
        assert result.rc == expect, f"wait: {result}\n{self.ctl('queue').out[:2000]}\n{self.tail()}"
        return result

    def until_status(self, seconds=LIMIT, mapping=None, **expected):
        """Waits until every named field has its value, or satisfies it if it is a function."""
        last = {}

        def matches():
            last.clear()
            last.update(self.status(mapping))
            return all(want(last[k]) if callable(want) else last[k] == want for k, want in expected.items())
        try:
            until(matches, seconds)
        except AssertionError:
            raise AssertionError(f"never {expected}; last: {last}\n{self.tail()}") from None
        return dict(last)

    # --- the socket, without the tool ---

    def varlink(self):
        return Varlink(self.runtime / "io.azsync")

    def queue(self, mapping=None):
        """Every path that is not in sync: {path as text: item}."""
        items = {}
        with self.varlink() as v:
            for reply in v.more("io.azsync.Queue", mapping=mapping):
                items.update((item["path"], item) for item in reply["items"])
        return items


class Varlink:
    """The protocol by hand: JSON objects, each ended by a NUL byte."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(LIMIT * SLOW)
        self.socket.connect(str(path))
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.socket.close()

    def send(self, raw):
        self.socket.sendall(raw)

    def read(self):
        """The next object, or None if the other end closed."""
        while b"\0" not in self.buffer:
            try:
                piece = self.socket.recv(65536)
            except ConnectionError:
                return None
            if not piece:
                return None
            self.buffer += piece
        raw, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(raw)

    def request(self, method, more=False, **parameters):
        message = {"method": method, "parameters": {k: v for k, v in parameters.items() if v is not None}}
        self.send(json.dumps({**message, **({"more": True} if more else {})}).encode() + b"\0")

    def call(self, method, **parameters):
        self.request(method, **parameters)
        return self.read()

    def more(self, method, **parameters):
        self.request(method, more=True, **parameters)
        while True:
            reply = self.read()
            assert reply and "error" not in reply, reply
            yield reply["parameters"]
            if not reply.get("continues"):
                return


class Notifier:
    """systemd's end of sd_notify. A thread reads it: the kernel queues only few datagrams, then the sender blocks."""

    def __init__(self, path):
        self.path = path
        self.lines, self.lock = [], threading.Lock()
        path.unlink(missing_ok=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while True:
            try:
                message = self.socket.recv(65536)
            except OSError:
                return
            if not message:
                return
            with self.lock:
                self.lines += message.decode(errors="replace").split("\n")

    def has(self, line):
        return line in self.lines

    def forget(self, line):
        with self.lock:  # or the reader adds to what was before, and it is back
            self.lines = [kept for kept in self.lines if kept != line]

    def catch_up(self):
        """What was sent before this has been read when it returns."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"CAUGHT_UP=1", str(self.path))
        until(lambda: self.has("CAUGHT_UP=1"))
        self.forget("CAUGHT_UP=1")

    def close(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()
