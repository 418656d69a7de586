#!/usr/bin/python3
"""What the reading order (pitfalls 4.4) costs on a burst of 10,000 new files: each step on each file system, and the
whole way into Azurite, with the time that the workers waited for a tick."""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from azurite import Azurite  # noqa: E402
from daemon import BUILD, Daemon  # noqa: E402
from disks import KINDS, Image, unusable  # noqa: E402

FILES, SIZE, WORKERS = 10_000, 2000, 2


def steps(base):
    for kind in KINDS:
        if unusable(kind):
            print(unusable(kind))
            continue
        with Image(base / "image", kind, 700, base / "disk") as disk:
            (disk.mountpoint / "box").mkdir()
            print(f"{kind}:", flush=True)
            subprocess.run([BUILD / "tests/bench/reads", disk.mountpoint / "box", str(FILES), str(SIZE), str(WORKERS)],
                           check=True)


def whole_way(base, service):
    folder, waits = base / "folder", base / "waits"
    folder.mkdir()
    accounts = {"main": {"connection-string": service.account().connection_string()}}
    daemon = Daemon(base / "daemon", accounts, {"docs": {"folder": str(folder), "container": "box"}}, speedup=None)
    daemon.start(wrapper=["strace", "-f", "--seccomp-bpf", "-qq", "-e", "trace=nanosleep,clock_nanosleep", "-T",
                          "-o", str(waits)])
    try:
        daemon.wait_sync()
        began = time.monotonic()
        for n in range(FILES):
            with open(folder / f"f{n}", "wb") as f:
                f.write(b"%d " % n * (SIZE // 6))
        written = time.monotonic()
        daemon.wait_sync(600)
        done = time.monotonic()
    finally:
        subprocess.run(["pkill", "-TERM", "-P", str(daemon.pid)], check=False)  # strace passes nothing on
        daemon.process.wait(60)
        daemon.process = None
    took = [float(t) for t in re.findall(r"<([0-9.]+)>$", waits.read_text(), re.M)]
    print(f"{FILES} files into Azurite: written in {written - began:.2f} s, in sync after {done - began:.2f} s; "
          f"{len(took)} waits for a tick, {sum(took):.3f} s in {WORKERS} workers")


def main():
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
        base = pathlib.Path(name).resolve()
        steps(base)
        (base / "azurite").mkdir()
        with Azurite(base / "azurite") as service:
            whole_way(base, service)


if __name__ == "__main__":
    main()
