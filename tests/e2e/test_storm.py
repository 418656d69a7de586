"""More events than the kernel's queue holds (pitfalls 1.9, 1.10): nothing of what was dropped is forgotten."""
import itertools
import os
import pathlib
import random
import shutil
import signal
import subprocess

from daemon import LIMIT, SLOW, until
from given import tree

EVENTS = 36000
QUEUE = int(pathlib.Path("/proc/sys/fs/inotify/max_queued_events").read_text())
OVERFLOW = "more changes than the event queue holds"


def noise(folder, events):
    """Two files take turns, or the kernel would merge the events."""
    names = [folder / "noise 1", folder / "noise 2"]
    for n in range(events):
        os.chmod(names[n % 2], 0o600 if n % 4 < 2 else 0o640)


def changes(folder, chance, number):
    """What the events that are dropped would have told: in every folder, so also where a scan has been already."""
    for where in sorted(p for p in folder.iterdir() if p.is_dir()):
        files = sorted(p for p in where.iterdir() if p.is_file())
        chance.shuffle(files)
        files[0].unlink()
        files[1].rename(where / f"renamed {number}")
        files[2].rename(folder / f"moved {number} {files[2].name}")
        files[3].write_text(f"changed {number}")
        with open(files[4], "ab") as f:
            f.write(b"appended")
        (where / f"new {number}").write_text("new")
        shutil.rmtree(where / f"deep {number - 2}", ignore_errors=True)  # or each walk takes longer than the one before
        (where / f"deep {number}/er").mkdir(parents=True)
        (where / f"deep {number}/er/file").write_text("new")
    first, second = sorted(p for p in folder.iterdir() if p.is_dir())[:2]
    first.rename(folder / f"moved {number}")
    (folder / "noise 3").write_text(f"{number}")
    second.rename(first)


def storm(folder, chance, number, events=EVENTS):
    """The queue is full before the changes are made."""
    assert events > 2 * QUEUE, "this machine's queue is longer than the storm"
    noise(folder, QUEUE + 1000)
    changes(folder, chance, number)
    noise(folder, events - QUEUE - 1000)


def asked_meanwhile(daemon):
    """A `wait` that is put to a daemon that stands still: its answer must be true, too."""
    return subprocess.Popen(daemon.ctl_arguments("wait", "--timeout", str(LIMIT * SLOW)), env=daemon.environment(),
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def start_folder(folder):
    tree(folder, 1000, per_folder=50)  # each storm takes one from each folder
    for n in (1, 2, 3):
        (folder / f"noise {n}").write_text("noise")


def test_overflow(make, folder, equal, seed, rounds):
    chance = random.Random(seed)
    start_folder(folder)
    with make({"delete-guard": {"files": 10**9, "percent": 100}}) as d:
        d.wait_sync()
        for number in range(1, rounds(1, 20) + 1):
            os.kill(d.pid, signal.SIGSTOP)
            waiting = asked_meanwhile(d)
            storm(folder, chance, number)
            os.kill(d.pid, signal.SIGCONT)
            assert waiting.wait() == 0, d.tail()
            equal()
            assert d.log().count(OVERFLOW) >= number, "there was no overflow: nothing was tested"
            status = d.status()
            assert status["state"] == "idle" and not status["conflicts"], status
    print(f"{number} storms of {EVENTS} events and a queue of {QUEUE}: equal each time")


def test_overflow_during_the_rescan(make, folder, equal, seed, rounds):
    """1.10: the scan that an overflow asked for does not settle another one that came while it ran. The walk is slowed
    down by strace; its listings are counted to be in the middle of it."""
    chance = random.Random(seed)
    start_folder(folder)
    d = make({"delete-guard": {"files": 10**9, "percent": 100}})
    trace = d.base / "strace"
    d.start(wrapper=["strace", "-f", "-qq", "-o", trace, "-e", "trace=getdents64",
                     "-e", "inject=getdents64:delay_exit=20000"])
    pid = d.traced_pid
    listings = lambda: trace.read_text().count("getdents64(")
    storms, in_the_middle, wanted = itertools.count(1), 0, rounds(1, 20)
    try:
        d.wait_sync()
        while in_the_middle < wanted:
            os.kill(pid, signal.SIGSTOP)
            before = d.log().count(OVERFLOW)
            storm(folder, chance, next(storms))
            begun = listings()
            os.kill(pid, signal.SIGCONT)
            until(lambda: listings() >= begun + 20, what="the middle of the rescan")
            os.kill(pid, signal.SIGSTOP)
            scanned = listings() - begun
            waiting, number = asked_meanwhile(d), next(storms)
            storm(folder, chance, number)
            os.kill(pid, signal.SIGCONT)
            assert waiting.wait() == 0, d.tail()
            equal()
            assert d.log().count(OVERFLOW) >= before + 2, "there was no second overflow: nothing was tested"
            # on a busy machine it may have been over before this test could stop it
            in_the_middle += scanned < 2 * sum(1 for p in folder.rglob("*") if p.is_dir())
            assert number < 20 * wanted, "the rescan was always over already"
    finally:
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGCONT)
    assert d.process.wait(LIMIT) == 0
    d.process = None
    print(f"{in_the_middle} times two storms, the second in the middle of the rescan: equal each time")
