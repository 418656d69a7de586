"""The programs that are compared, each sending one folder into the sink's container and ending; and how one run of
anything is measured: wall time, CPU time of all its processes, peak memory."""
import collections
import os
import pathlib
import subprocess
import time

from daemon import BUILD, Daemon
from sink import ACCOUNT, CONTAINER, KEY

HERE = pathlib.Path(__file__).resolve().parent
AZCOPY = HERE / "azcopy/node_modules/@azure-tools/azcopy-linux/dist/bin/azcopy_linux_amd64"
# GNU time's memory is the program's own; a child of ours would begin with Python's
TIME = ["/usr/bin/time", "-q", "-f", "%M", "-o"]
LIMIT = 1800  # seconds, for any one run

Command = collections.namedtuple("Command", "arguments environment")


def environment(home, **more):
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", **more}


def account(sink):
    return {"main": {"connection-string": f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};"
                                          f"BlobEndpoint={sink.endpoint};"}}


def azsyncd(base, folder, sink, md5):
    daemon = Daemon(base, account(sink), {"bench": {"folder": folder, "container": CONTAINER}}, speedup=None)
    return Command(daemon.arguments("--log-level", "notice", "--once"), daemon.environment())


def azcopy(base, folder, sink, md5):
    target = f"{sink.endpoint}/{CONTAINER}?sv=2021-12-02&ss=b&srt=co&sp=rwdlac&se=2099-01-01T00:00:00Z&sig=AA%3D%3D"
    arguments = [str(AZCOPY), "copy", f"{folder}/*", target, "--recursive", "--from-to=LocalBlob", "--overwrite=true",
                 "--check-length=false", "--log-level=NONE", "--output-level=quiet", "--skip-version-check"]
    return Command(arguments + (["--put-md5"] if md5 else []),
                   environment(base, AZCOPY_LOG_LOCATION=str(base), AZCOPY_JOB_PLAN_LOCATION=str(base),
                               AZCOPY_DISABLE_SYSLOG="true"))


def rclone(base, folder, sink, md5, *more):
    # the emulator's mode is the one that takes a plain http endpoint; an MD5 of each file is its default
    return Command(["rclone", "copy", str(folder), f":azureblob:{CONTAINER}", "--azureblob-use-emulator",
                    f"--azureblob-endpoint={sink.endpoint}", "--config", str(base / "rclone.conf"), *more],
                   environment(base))


def rclone_64(base, folder, sink, md5):
    return rclone(base, folder, sink, md5, "--transfers", "64")


TOOLS = {"azsyncd": azsyncd, "azcopy": azcopy, "rclone": rclone, "rclone-64": rclone_64}


class Measured:
    """A program under way, started through GNU time; `with` ends what still runs."""

    def __init__(self, command, base):
        self.memory, self.log = pathlib.Path(base) / "time", pathlib.Path(base) / "output"
        with open(self.log, "wb") as log:
            self.began = time.monotonic()
            self.process = subprocess.Popen([*TIME, str(self.memory), *command.arguments], env=command.environment,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    @property
    def pid(self):
        """The program's own; GNU time passes no signal on."""
        while True:
            children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            if children:
                return int(children[0])
            if self.process.poll() is not None:
                raise RuntimeError(self.output())

    def output(self):
        return self.log.read_text(errors="replace")[-4000:]

    def end(self, expect=0):
        """Waits for the end: {wall, cpu, rss}: seconds, seconds, MiB."""
        _, status, usage = os.wait4(self.process.pid, 0)
        wall = time.monotonic() - self.began
        self.process.returncode = os.waitstatus_to_exitcode(status)
        if self.process.returncode != expect:
            raise RuntimeError(f"ended with {self.process.returncode}: {self.output()}")
        return {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "rss": int(self.memory.read_text()) / 1024}

    def terminate(self, expect=0):
        os.kill(self.pid, 15)
        return self.end(expect)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.process.returncode is None and self.process.poll() is None:
            os.kill(self.pid, 9)
            self.process.wait()


def make_container(tool, sink):
    if tool == "azcopy":  # which makes none
        subprocess.run(["curl", "-sSf", "-X", "PUT", "-d", "", f"{sink.endpoint}/{CONTAINER}?restype=container"],
                       stdout=subprocess.DEVNULL, check=True)
        sink.reset()


def again(tool, base, folder, sink):
    """Bytes that one tool sends of a folder that it has sent before, or not."""
    sink.reset()
    with Measured(TOOLS[tool](base, folder, sink, True), base) as program:
        program.end()
    return float(sink.counts()["bytes"])


def run(tool, base, folder, sink, md5, files, size):
    """One tool's whole transfer into the empty sink; it counts only if everything arrived."""
    sink.empty()
    command = TOOLS[tool](base, folder, sink, md5)
    make_container(tool, sink)
    cpu = sink.cpu()
    with Measured(command, base) as program:
        result = program.end()
    counts = sink.counts()
    if (counts["blobs"], counts["size"]) != (files, size):
        raise RuntimeError(f"{tool}: {counts['blobs']} blobs of {counts['size']} bytes arrived: {program.output()}")
    # azcopy looks for its end every two seconds only, so what had arrived when is told, too
    return {**result, "arrived": counts["last"] - program.began, "requests": counts, "sink_cpu": sink.cpu() - cpu}


def reference(base, *arguments):
    """A program that does a part of the work alone, to tell how near to the machine's limit the others are."""
    with Measured(Command(arguments, environment(base)), base) as program:
        return program.end()


def versions():
    """{tool: version} of what is there."""
    found = {}
    for name, command in {"azsyncd": [str(BUILD / "src/daemon/azsyncd"), "--version"],
                          "azcopy": [str(AZCOPY), "--version"], "rclone": ["rclone", "version"],
                          "nginx": ["nginx", "-v"], "lsyncd": ["lsyncd", "-version"],
                          "watchman": ["watchman", "--version"]}.items():
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        words = (done.stdout + done.stderr).split("\n", 1)[0].replace("nginx/", "").split()
        found[name] = next((w.lstrip("v") for w in words if w.lstrip("v")[:1].isdigit()), "?")
    return found
