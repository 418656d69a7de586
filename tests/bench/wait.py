#!/usr/bin/python3
"""From close() of one small changed file to exit 0 of `azsyncctl wait`, Azurite otherwise idle: milliseconds."""
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from azurite import Azurite  # noqa: E402
from daemon import Daemon  # noqa: E402

CHANGES = 51


def measure(base, service):
    folder = base / "folder"
    folder.mkdir()
    accounts = {"main": {"connection-string": service.account().connection_string()}}
    took = []
    with Daemon(base / "daemon", accounts, {"docs": {"folder": str(folder), "container": "box"}}, speedup=None) as d:
        d.wait_sync()
        for n in range(CHANGES):
            with open(folder / f"file{n % 10}", "wb") as f:
                f.write(b"version %d\n" % n)
            began = time.monotonic()
            done = subprocess.run(d.ctl_arguments("wait", "--timeout", "30"), env=d.environment(), check=False)
            took.append((time.monotonic() - began) * 1000)
            assert done.returncode == 0
    return took


def main():
    with tempfile.TemporaryDirectory() as name:
        base = pathlib.Path(name).resolve()
        (base / "azurite").mkdir()
        with Azurite(base / "azurite") as service:
            took = sorted(measure(base, service))
    print(f"close to exit 0 of wait, {CHANGES} changes: median {statistics.median(took):.1f} ms, "
          f"fastest {took[0]:.1f}, slowest {took[-1]:.1f}")


if __name__ == "__main__":
    main()
