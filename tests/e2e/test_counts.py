"""What one small file costs, counted and not timed: a busy machine gives the same figures as a quiet one.

Each figure is the difference of two runs of `azsyncd --once`, on SMALL and on LARGE new files, divided by the files between
them: start and end fall out of it. Of what both together do, only azsyncd's part is counted.

- instructions, allocations, statements, entries: valgrind's callgrind, all threads. Statements are calls of sqlite3_step(),
  entries are rows and index entries that SQLite writes. valgrind's processor has no SHA instructions and its kernel no
  openat2(), so a little more is counted than there is; of what depends on when things happen (turns of the loop, group
  commits) there are some per cent in it.
- calls: system calls by strace, but for those whose number depends on when things happen (TIMING).
- requests: at the proxy. One for each file.
- journal: by how many bytes journal.db grows. How often its pages are written depends on how long everything takes, so
  that (`written`) is told and has no budget.
- wake-ups, ticks: of an idle daemon.

counts.toml has the budgets, and how little the figures move from run to run: so each is measured once.
"""
import collections
import os
import pathlib
import re
import subprocess
import tempfile
import time
import tomllib

import pytest

from daemon import until
from given import tree
from proxy import Proxy

pytestmark = pytest.mark.timing  # sanitizers change what is counted

BUDGETS = tomllib.loads(pathlib.Path(__file__).with_name("counts.toml").read_text())
MOST = {**{name: budget * 1.2 for name, budget in BUDGETS["fifth"].items()},
        **{name: budget + 0.5 for name, budget in BUDGETS["one"].items()}, **BUDGETS["most"]}
SMALL, LARGE = 200, 1000
SIZE = 4096
# a fixed limit: each connection costs some twenty calls, and how many the adaptive one makes depends on latency
SETTINGS = {"transfers": 16}
TIMING = {"epoll_wait", "epoll_ctl", "timerfd_settime", "gettid", "futex", "read", "write", "pwrite64", "fdatasync",
          "brk", "mmap", "munmap", "mprotect", "madvise", "sched_yield", "restart_syscall"}
ALLOCATORS = ("malloc", "calloc", "realloc", "aligned_alloc", "memalign", "posix_memalign")


@pytest.fixture
def within(capsys):
    """within(figures) prints them all, beside the most that each may be, and fails if one is more."""
    def check(figures, note):
        with capsys.disabled():
            print(f"\ncounts: {note}")
            for name, value in figures.items():
                print(f"counts: {name:12} {value:12,.2f}, at most {MOST[name]:12,.2f}")
        over = [f"{name}: {value:,.2f}, at most {MOST[name]:,.2f}" for name, value in figures.items()
                if value > MOST[name]]
        assert over == [], "; ".join(over)
    return check


@pytest.fixture(scope="module")
def trees():
    """{number of files: folder}; not on a tmpfs, where files are read twice."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="azsyncd-counts-") as base:
        folders = {n: pathlib.Path(base) / str(n) for n in (SMALL, LARGE)}
        for n, folder in folders.items():
            tree(folder, n, SIZE)
        yield folders


@pytest.fixture
def once(azurite, make, trees, tmp_path):
    """once(wrapper, count): `azsyncd --once` on each tree below `wrapper` (with OUT for a file) -> Counter of what one
    file costs. count(OUT) -> Counter of what a run cost."""
    def run(n, wrapper, count):
        account, out = azurite.account(), tmp_path / f"out{n}"
        with Proxy(azurite.port) as proxy:
            daemon = make(accounts={"main": {"connection-string": account.connection_string(proxy.port)}},
                          mapping={"folder": str(trees[n])}, settings=SETTINGS, speedup=None)
            done = daemon.run("--once", wrapper=[word.replace("OUT", str(out)) for word in wrapper], timeout=1800)
            assert done.rc == 0 and f"in sync, {n} files" in done.err, done
            return count(out) + collections.Counter(requests=len(proxy.requests),
                                                    journal=(daemon.state / "journal.db").stat().st_size)

    def per_file(wrapper, count):
        small, large = (run(n, wrapper, count) for n in (SMALL, LARGE))
        return collections.Counter({name: (large[name] - small[name]) / (LARGE - SMALL) for name in large})
    return per_file


def profile(path):
    """The calls of each function, and "instructions", of a file of callgrind's."""
    names, found, inside, called = {}, collections.Counter(), None, None

    def name(text):  # "(12) malloc" the first time, "(12)" from then on
        number, _, known = text.partition(" ")
        return names.setdefault(number, known)

    with open(path) as lines:
        for line in lines:
            key, _, value = line.rstrip("\n").partition("=")
            if key == "fn":
                inside = name(value)
            elif key == "cfn":
                called = name(value)
            elif key == "calls" and (inside, called) != ("realloc", "malloc"):  # realloc(NULL) is one allocation
                found[called] += int(value.split()[0])
            elif line.startswith("summary:"):
                found["instructions"] = int(line.split()[1])
    return found


def test_instructions(once, within):
    cost = once(["valgrind", "--quiet", "--tool=callgrind", "--callgrind-out-file=OUT"], profile)
    figures = {
        "instructions": cost["instructions"],
        "allocations": sum(cost[name] for name in ALLOCATORS),
        "statements": cost["sqlite3_step"],
        "entries": cost["sqlite3BtreeInsert"],
    }
    assert all(figures.values()), f"not seen: {figures}"
    within(figures, "per file, by callgrind")


def traced(path):
    """System calls by name, and "written": bytes that SQLite, the only one to use pwrite64(), wrote."""
    text = path.read_text()
    found = collections.Counter(re.findall(r"^\d+ +(\w+)\(", text, re.MULTILINE))
    found["written"] = sum(int(size) for size in re.findall(r"pwrite64.*\) += (\d+)$", text, re.MULTILINE))
    return found


def test_calls(once, within):
    cost = once(["strace", "-f", "-qq", "-o", "OUT"], traced)
    figures = {name: cost.pop(name) for name in ("requests", "journal")}
    written = cost.pop("written")
    figures["calls"] = sum(n for name, n in cost.items() if name not in TIMING)
    named = ", ".join(f"{name} {n:.2f}" for name, n in cost.most_common() if n >= 0.01)
    assert all(figures.values()), f"not seen: {figures}"
    within(figures, f"per file, by strace: written {written:,.0f} bytes; {named}")


def cpu_ticks(pid):
    """utime + stime of the whole process, threads that ended included."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def wake_ups(pid):
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        for line in (task / "status").read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                total += int(line.split()[1])
    return total


def own_mounts():
    """What lets the daemon not hear of mounts that others make meanwhile, where that is allowed."""
    root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    wrapper = ["unshare", *root, "--mount", "--propagation", "private"]
    return wrapper if subprocess.run([*wrapper, "true"], capture_output=True).returncode == 0 else []


def test_idle_means_idle(make, folder, within):
    """500 files are in sync and nothing happens for 20 s. What follows an upload (the last commit, connections that the
    service closes after 5 s) is not idling yet, and comes late on a busy machine: then the next 20 s are as good."""
    tree(folder, 500)
    d = make(speedup=None)
    d.start(wrapper=own_mounts())
    d.wait_sync()
    for _ in range(5):
        ticks, switches, began = cpu_ticks(d.pid), wake_ups(d.pid), time.monotonic()
        until(lambda since=began: time.monotonic() - since >= 20)
        figures = {"ticks": cpu_ticks(d.pid) - ticks, "wake-ups": wake_ups(d.pid) - switches}
        if all(value <= MOST[name] for name, value in figures.items()):
            break
    within(figures, "idle for 20 s")
    assert d.stop() == 0
