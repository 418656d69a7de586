"""Does the daemon say "in sync" only while it is (promise 3, pitfalls 12, invariant d)?

An observer asks in the background, again and again, in three ways. Each is sound: what it calls a lie is one.

- `wait` beside a running workload: every path must be as it was when the question was put, or newer.
- `wait` while the workload is held still: every path must be as it is.
- `status` then, once all threads of the daemon sleep: it tells what events told, and one that has news does not sleep.
"""
import pathlib
import random
import subprocess
import threading
import time

from daemon import until


class Honesty:
    """with Honesty(daemon, workload, client) as h: ...; h.check() in the end. The daemon may be killed meanwhile; in the
    end it is in sync, and has to say so."""

    def __init__(self, daemon, workload, client, seed=0, patience=2):
        self.daemon, self.workload, self.client = daemon, workload, client
        self.random, self.patience = random.Random(seed), patience
        self.said = {"wait beside": 0, "wait at rest": 0, "status at rest": 0}
        self.asked, self.lies = 0, []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.failure = None

    def _wait(self):
        try:
            return self.daemon.ctl("wait", "--timeout", str(self.patience), timeout=60).rc == 0
        except subprocess.TimeoutExpired:
            return False  # the daemon is stopped

    def _idle(self):
        try:
            status = self.daemon.status()
        except (AssertionError, subprocess.TimeoutExpired):
            return False  # no daemon just now
        return status["state"] == "idle" and status["pending"] == 0 and status["lag_s"] == 0

    def _asleep(self):
        """Each thread sleeps, or will in a moment; looked at twice, for one may have woken another."""
        deadline = time.monotonic() + self.patience
        while time.monotonic() < deadline:
            try:
                tasks = list(pathlib.Path(f"/proc/{self.daemon.pid}/task").iterdir())
                if all((task / "stat").read_text().rpartition(") ")[2][0] == "S" for task in tasks * 2):
                    return True
            except (AttributeError, OSError):
                return False  # no daemon just now, or another one
            time.sleep(0.001)
        return False

    def _judge(self, how, sequence):
        wrong = self.workload.older(self.workload.blobs(self.client), sequence)
        self.said[how] += 1
        self.lies += [f"{time.monotonic():.3f} {how}: {line}" for line in wrong]

    def _ask(self):
        self.asked += 1
        how = self.random.choice(sorted(self.said))
        if how == "wait beside":
            with self.workload.lock:
                sequence = self.workload.sequence
                self.workload.questions.add(sequence)
            try:
                if self._wait():
                    self._judge(how, sequence)
            finally:
                self.workload.questions.discard(sequence)
            return
        with self.workload.lock:
            if how == "wait at rest" and self._wait():
                self._judge(how, self.workload.sequence)
            elif how == "status at rest":
                if self._asleep() and self._idle():
                    self._judge(how, self.workload.sequence)

    def _run(self):
        try:
            while not self.stopping.wait(self.random.expovariate(10)):
                self._ask()
        except Exception as error:  # told in check(), where somebody looks
            self.failure = error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, *exc):
        try:
            if kind is None:  # a machine may be so busy that it was never in sync within `patience` so far
                until(lambda: self.failure or sum(self.said.values()) > 0, what="a word of being in sync")
        finally:
            self.stopping.set()
            self.thread.join()

    def check(self):
        """No lies. (And it did say "in sync", or nothing was tested: __exit__.)"""
        if self.failure:
            raise self.failure
        assert self.lies == [], "\n".join(self.lies[:20])
        return f"asked {self.asked} times, in sync {sum(self.said.values())} times ({self.said}), 0 lies"
