#!/usr/bin/python3
"""What grows with the number of files: the measured points of docs/scaling.md, one line each. For each tree a first
transfer into the sink; then, with nothing changed, the median of three starts, one periodic comparison, and one
`azsyncctl rescan`, which lists the container. States are in memory, so no disk is measured. Name trees to have only
these: 10k 100k 1M wide (200,000 files in 100,000 folders) deep (100,000, long paths) flat (100,000 in one folder)."""
import functools
import os
import pathlib
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import tools  # noqa: E402
import trees  # noqa: E402
from daemon import AZSYNCCTL  # noqa: E402
from life import Life  # noqa: E402
from sink import Sink, usable_port  # noqa: E402

STARTS = 3
RESCAN, WATCHED = "10s", 14  # seconds: within them one comparison begins and ends, at most a quarter later than 10 s
DEEP = "/".join(["a-folder-with-a-name-of-forty-characters"] * 2)
COLUMNS = ("files", "first: CPU s", "peak MiB", "requests", "journal MB", "bytes a row", "log MB", "start: s", "CPU s",
           "peak MiB", "requests", "comparison: CPU s", "requests", "listing: CPU s", "requests")


def folders(number, files, below=""):
    def fill(folder):
        (folder / below).mkdir(parents=True, exist_ok=True)
        for n in range(number):
            trees.fill_folder(folder / below / f"d{n:03d}", files, 16)
    return fill


TREES = {"10k": lambda base: trees.tree(base, "grow-10k", folders(10, 1000)),
         "100k": lambda base: trees.tree(base, "grow-100k", folders(100, 1000)),
         "1M": trees.million,
         "wide": trees.wide,
         "deep": lambda base: trees.tree(base, "grow-deep", folders(100, 1000, DEEP)),
         "flat": lambda base: trees.tree(base, "grow-flat", folders(1, 100_000))}


def first(life, sink):
    """The first transfer, and the largest that SQLite's log became."""
    log, largest = life.daemon.state / "journal.db-wal", 0
    with tools.Measured(life.command("--once"), life.base) as program:
        while b"\nState:\tZ" not in pathlib.Path(f"/proc/{program.process.pid}/status").read_bytes():
            if log.exists():
                largest = max(largest, log.stat().st_size)
            time.sleep(0.1)
        return {**program.end(), "requests": sink.counts()["all"], "log": largest / 1e6}


def started(life, sink):
    sink.reset()
    with life:
        wall = life.wait() - life.program.began
        cpu, peak = life.ticks() / os.sysconf("SC_CLK_TCK"), life.field("VmHWM") / 1024
        requests = sink.counts().get("all", 0)
        life.end()
    return {"wall": wall, "cpu": cpu, "rss": peak, "requests": requests}


def more(life, sink, act):
    """What the daemon uses and asks for while act(life) lasts, once it is in sync."""
    with life:
        life.wait()
        sink.reset()
        before = life.ticks()
        act(life)
        used = life.ticks() - before
        requests = sink.counts().get("all", 0)
        life.end()
    return {"cpu": used / os.sysconf("SC_CLK_TCK"), "requests": requests}


def listing(life):
    subprocess.run([str(AZSYNCCTL), "--runtime-dir", str(life.daemon.runtime), "rescan"], check=True,
                   stdout=subprocess.DEVNULL)
    life.wait()


def journal(state):
    with sqlite3.connect(f"file:{state}/journal.db?mode=ro&immutable=1", uri=True) as db:
        rows, = db.execute("SELECT count(*) FROM path").fetchone()
    return rows, (state / "journal.db").stat().st_size


def measure(folder, base):
    trees.warm(folder, content=False)
    with Sink(base / "sink", usable_port(0)) as sink:
        make = functools.partial(Life, base / "life", folder, sink)
        sent = first(make(), sink)
        starts = [started(make(), sink) for _ in range(STARTS)]
        start = {key: statistics.median(run[key] for run in starts) for key in starts[0]}
        listed = more(make(), sink, listing)
        compared = more(make(rescan=RESCAN), sink, lambda life: time.sleep(WATCHED))
        rows, size = journal(base / "life/state")
    return (rows, sent["cpu"], sent["rss"], sent["requests"], size / 1e6, size / rows, sent["log"], start["wall"],
            start["cpu"], start["rss"], start["requests"], compared["cpu"], compared["requests"], listed["cpu"],
            listed["requests"])


def main():
    base = trees.prepare_base(trees.default_base())
    print("| tree |", " | ".join(COLUMNS), "|\n" + "| --- " * (len(COLUMNS) + 1) + "|", flush=True)
    with trees.alone(base):
        for name in sys.argv[1:] or TREES:
            folder = TREES[name](base)
            work = pathlib.Path(tempfile.mkdtemp(prefix="azsyncd-grow-", dir="/dev/shm"))
            try:
                figures = measure(folder, work)
            finally:
                shutil.rmtree(work)
            print(f"| {name} |", " | ".join(f"{n:,.0f}" if n >= 100 else f"{n:.2f}" for n in figures), "|", flush=True)


if __name__ == "__main__":
    main()
