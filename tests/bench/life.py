"""A daemon on one folder: started, waited for, asked, ended; and the journals that are kept for large trees, because
the first transfer of a million files is not what a restart is about."""
import hashlib
import pathlib
import shutil
import time
import urllib.request

from daemon import BUILD, Daemon
from sink import CONTAINER
from tools import LIMIT, Command, Measured, account

FIRST_LIMIT = 3 * 3600


class Life:
    def __init__(self, base, folder, sink, **mapping):
        self.base = pathlib.Path(base)
        self.daemon = Daemon(self.base, account(sink),
                             {"bench": {"folder": folder, "container": CONTAINER, **mapping}}, speedup=None)
        self.program = None

    def command(self, *more):
        return Command(self.daemon.arguments("--log-level", "notice", *more), self.daemon.environment())

    def __enter__(self):
        self.program = Measured(self.command(), self.base)
        return self

    def __exit__(self, *exc):
        self.program.__exit__(*exc)

    def socket(self, limit):
        """A connection to the control socket, as soon as there is one."""
        until = time.monotonic() + 60
        while True:
            try:
                v = self.daemon.varlink()
                v.socket.settimeout(limit)
                return v
            except OSError:
                if time.monotonic() > until or self.program.process.poll() is not None:
                    raise RuntimeError("no daemon: " + self.program.output()) from None
                time.sleep(0.002)

    def wait(self, limit=LIMIT):
        """Until in sync: the moment of the monotonic clock."""
        with self.socket(limit + 60) as v:
            reply = v.call("io.azsync.Wait", timeout_s=limit)
        at = time.monotonic()
        answer = reply.get("parameters", {})
        if answer.get("result") != "in_sync":
            raise RuntimeError(f"not in sync: {reply} {self.program.output()}")
        return at

    def status(self):
        with self.socket(60) as v:
            return v.call("io.azsync.Status")["parameters"]["mappings"][0]

    def field(self, name):
        """A number of /proc/PID/status, summed over the threads for what counts per thread."""
        where = pathlib.Path(f"/proc/{self.program.pid}")
        files = sorted(where.glob("task/*/status")) if name.endswith("switches") else [where / "status"]
        return sum(int(line.split()[1]) for file in files for line in file.read_text().splitlines()
                   if line.startswith(name + ":"))

    def ticks(self):
        fields = pathlib.Path(f"/proc/{self.program.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    def end(self):
        return self.program.terminate()


def create_container(sink):
    request = urllib.request.Request(f"{sink.endpoint}/{CONTAINER}?restype=container", method="PUT")
    urllib.request.urlopen(request).close()


def kept(bench, sink, folder):
    """A state directory whose journal agrees with `folder`; the sink has the container and none of the blobs, which
    nobody asks for. A journal of an earlier run of this build directory is taken if it is still in sync."""
    base = bench.base / f"state-{folder.name}-{hashlib.sha256(str(BUILD).encode()).hexdigest()[:8]}"
    whole = base / "whole"
    # a build with another schema puts the journal aside and sends all of it anew: that is as good as a first transfer
    if whole.exists() and not settled(base, folder, sink) and not settled(base, folder, sink):
        whole.unlink()
    if not whole.exists():
        shutil.rmtree(base, ignore_errors=True)
        sink.empty()
        life = Life(base, folder, sink)
        print(f"  first transfer of {folder.name}, not measured", flush=True)
        with Measured(life.command("--once"), base) as program:
            print(f"  took {program.end()['wall']:.0f} s", flush=True)
        whole.touch()
        settled(base, folder, sink)
    return base


def settled(base, folder, sink):
    """Whether a daemon comes into sync by the journal as it is; that also warms the caches."""
    sink.empty()
    create_container(sink)
    try:
        with Life(base, folder, sink) as life:
            life.wait(LIMIT)
            state = life.status()
            life.end()
    except RuntimeError as e:
        print(f"  not in sync by the journal that was kept: {e}", flush=True)
        return False
    counts = sink.counts()
    if counts["blobs"] * 10 > state["files"] or "list" in counts:
        print(f"  the journal that was kept has been made anew: {counts}", flush=True)
        return False
    return True
