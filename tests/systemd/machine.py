"""A Debian booted by systemd in a container (systemd-nspawn), of which nothing is left when it ends, however it ends.

Its root is a tmpfs that a tarball is unpacked into, in a mount namespace that only it has; the kernel ends it with us. It
shares the host's network, so it reaches what listens on loopback.
"""
import collections
import contextlib
import os
import pathlib
import secrets
import shutil
import signal
import subprocess
import tempfile

from daemon import until

NEEDED = ("systemd-nspawn", "mmdebstrap", "unshare", "nsenter", "setpriv")
NSPAWN = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--console=pipe"]
PATIENCE = 900  # seconds until something hangs: a machine that others share may be twenty times slower
STOP_LIMIT = 120  # then it is killed, which harms nobody
# $1: control groups to go into; $2: where the root is mounted; $3: what is unpacked there, or nothing
ENTER = """set -e
for group in $1; do echo $$ >"$group/cgroup.procs"; done
mount --make-rprivate / 2>/dev/null || true # in a chroot / is no mount point
mkdir -p /run/systemd/nspawn
mount -t tmpfs azsyncd-tests /run/systemd/nspawn
if [ -n "$3" ]; then
        mount -t tmpfs -o mode=0755 azsyncd-tests "$2"
        tar -x --numeric-owner -f "$3" -C "$2"
fi
shift 3
status=133
while [ $status = 133 ]; do # how nspawn says that it was rebooted
        status=0
        setpriv --pdeathsig KILL "$@" || status=$?
done
exit $status
"""
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/root",
               "DEBIAN_FRONTEND": "noninteractive", "SYSTEMD_PAGER": "", "SYSTEMD_COLORS": "0", "TERM": "dumb"}

Result = collections.namedtuple("Result", "rc out err")


class Failed(Exception):
    """A command in the machine ended otherwise than expected."""


def group_parents():
    """Where systemd keeps its control groups (version 2, and version 1's name=systemd): the folders of our own ones."""
    ours = dict(line.split(":", 2)[1:] for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines())
    seen = set()  # they may be mounted more than once, as for a chroot
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.split(" ", 2)
        root, where = fields.split(" ")[3:5]
        key = "" if kind == "cgroup2" else "name=systemd"
        if kind in ("cgroup", "cgroup2") and key in ours and (not key or key in options.split(",")):
            path = pathlib.Path(os.path.normpath(f"{where}/{os.path.relpath(ours[key], root)}"))
            with contextlib.suppress(OSError):  # a mount that hides another
                status = path.stat()
                if (status.st_dev, status.st_ino) not in seen:
                    seen.add((status.st_dev, status.st_ino))
                    yield path


@contextlib.contextmanager
def control_groups(name):
    """Some of its own, so that two machines do not share one; with whatever is made below them they go at the end."""
    made = [parent / name for parent in group_parents()]
    try:
        for group in made:
            group.mkdir()
        yield made
    finally:
        for group in made:
            for below, _, _ in os.walk(group, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(below)


def inside(groups, where, tarball, command):
    """The command line that runs `command` where nobody sees its mounts."""
    return ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "unchanged", "sh", "-c", ENTER, "sh",
            " ".join(map(str, groups)), str(where), str(tarball or ""), *command]


def why_not():
    """Why no container can run here, or "". Tried with this machine's own /usr, which takes no time."""
    if os.getuid() != 0:
        return "needs root"
    missing = [tool for tool in NEEDED if not shutil.which(tool)]
    if missing:
        return f"{', '.join(missing)} missing"
    try:
        with control_groups(f"azsyncd-probe-{secrets.token_hex(4)}") as groups:
            done = subprocess.run(inside(groups, "", None, [*NSPAWN, "--machine=azsyncd-probe", "-D", "/",
                                                            "--volatile=yes", "--as-pid2", "true"]),
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as e:
        return f"systemd-nspawn does not run here: {e}"
    return "" if done.returncode == 0 else f"systemd-nspawn does not run here: {(done.stderr.split(chr(10)) + [''])[0]}"


def child(pid, comm):
    """The first process of that name that `pid` has started; 0: there is none."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for number in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            if pathlib.Path(f"/proc/{number}/comm").read_text().strip() == comm:
                return int(number)
    return 0


class Machine:
    def __init__(self, tarball):
        self.tarball = tarball
        self.process, self.console = None, None
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exc):
        self.stop()

    def start(self):
        name = f"azsyncd-{secrets.token_hex(4)}"
        base = pathlib.Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix=f"{name}-")))
        root, self.console = base / "root", base / "console"
        root.mkdir()
        groups = self.stack.enter_context(control_groups(name))
        command = [*NSPAWN, f"--machine={name}", f"--directory={root}", "--boot"]
        with open(self.console, "wb") as log:
            self.process = subprocess.Popen(inside(groups, root, self.tarball, command), stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        self.wait_booted()

    def wait_booted(self):
        def booted():
            if self.process.poll() is not None:
                raise Failed(f"the container ended with {self.process.returncode}: {self.log()}")
            return self.init and self.run("systemctl", "is-system-running", expect=None).out.strip() in (
                "running", "degraded")
        until(booted, PATIENCE, "booted")

    @property
    def nspawn(self):
        return child(self.process.pid, "systemd-nspawn")

    @property
    def init(self):
        """The host's number of its process 1; 0 while there is none."""
        return child(self.nspawn, "systemd")

    def path(self, name):
        """A file of the machine, as the host sees it."""
        return pathlib.Path(f"/proc/{self.init}/root") / name.lstrip("/")

    def log(self):
        return self.console.read_text(errors="replace")[-4000:]

    def command(self, *command):
        """What to execute on the host to have `command` run in the machine."""
        return ["nsenter", "--target", str(self.init), "--all", "--", *map(str, command)]

    def run(self, *command, expect=0, timeout=PATIENCE, stdin=""):
        """expect: the exit code it has to have; None: any."""
        done = subprocess.run(self.command(*command), input=stdin.encode(), capture_output=True, timeout=timeout,
                              env=ENVIRONMENT)
        result = Result(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
        if expect is not None and result.rc != expect:
            raise Failed(f"{' '.join(map(str, command))}: {result.rc}, not {expect}\n{result.out}{result.err}")
        return result

    def write(self, name, text, mode=0o644):
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def reboot(self):
        before = self.init
        self.run("systemctl", "reboot", expect=None)
        until(lambda: self.init not in (0, before), PATIENCE, "another process 1")
        self.wait_booted()

    def stop(self):
        try:
            if self.process and self.process.poll() is None:
                try:
                    os.kill(self.nspawn or self.process.pid, signal.SIGTERM)  # nspawn asks systemd to halt
                    self.process.wait(STOP_LIMIT)
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    self.process.kill()
                    self.process.wait()
        finally:
            self.process = None
            self.stack.close()
