"""A machine that gives no more: descriptors, memory. Both pass, and nothing is lost or left out meanwhile (pitfalls 11)."""
import contextlib
import itertools
import json
import os
import pathlib
import re
import resource
import signal
import time

import pytest

from daemon import until
from given import tree
from proxy import Gate


def limits(pid):
    text = (pathlib.Path("/proc") / str(pid) / "limits").read_text()
    return [int(n) for n in re.search(r"^Max open files\s+(\d+)\s+(\d+)", text, re.MULTILINE).groups()]


def descriptors(pid):
    """All that are open -> whether each is a TCP connection."""
    tcp = {line.split()[9] for line in pathlib.Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]}
    where = pathlib.Path(f"/proc/{pid}/fd")
    return {int(p.name): os.readlink(p)[len("socket:["):-1] in tcp for p in where.iterdir()}


def test_few_descriptors(make, folder, proxy, equal):
    """pitfalls 11.2: the soft limit is raised; when there are no more, work waits and nothing is failed for it."""
    gate = Gate()
    with make(port=proxy.port) as d:
        d.stop()
        d.start(wrapper=["prlimit", "--nofile=20:256"])
        assert limits(d.pid) == [256, 256]
        d.wait_sync()
        # from now on enough for one file and three connections: its blocks, held on their way, want four
        used = descriptors(d.pid)
        resource.prlimit(d.pid, resource.RLIMIT_NOFILE, (len(used) + 1 + 3 - sum(used.values()), 256))
        proxy.rule = lambda request: gate if request.verb == "put-block" else None
        (folder / "large").write_bytes(os.urandom(40 << 20))
        until(lambda: "no file descriptor is left" in d.log(), 300)
        gate.open()
        tree(folder, 400)
        until(lambda: len(proxy.puts()) >= 50, 300, "it goes on with few")
        assert "not reachable" not in d.log()
        resource.prlimit(d.pid, resource.RLIMIT_NOFILE, (256, 256))
        d.wait_sync(300)
        equal()
        assert d.status()["failed"] == 0 and d.status()["deleted_files"] == 0


def lowest_free(pid):
    """The number that the next one would have."""
    taken = descriptors(pid)
    return next(n for n in itertools.count() if n not in taken)


def test_kept_connections(make, folder, proxy):
    """pitfalls 11.2: what connections hold that wait for another request is given back to who asks how things are. They are
    kept for a minute, so a try that took longer than that proves nothing."""
    tree(folder, 100)
    with make(port=proxy.port) as d:
        def given_back():
            (folder / "before").write_text(str(time.monotonic()))
            d.wait_sync()
            began = time.monotonic()
            with contextlib.ExitStack() as stack:
                connections = [n for n, tcp in descriptors(d.pid).items() if tcp]
                while (free := lowest_free(d.pid)) < max(connections, default=0):  # until none is free below a connection
                    stack.enter_context(d.varlink())
                    until(lambda was=free: lowest_free(d.pid) > was)
                soft, hard = resource.prlimit(d.pid, resource.RLIMIT_NOFILE)
                resource.prlimit(d.pid, resource.RLIMIT_NOFILE, (free, hard))
                stack.callback(resource.prlimit, d.pid, resource.RLIMIT_NOFILE, (soft, hard))
                assert d.ctl("status").rc == 0
                took = time.monotonic() - began
                (folder / "more").write_text("more")
                d.wait_sync()
            return connections and took < 50
        until(given_back, what="an answer while connections are kept")


def virtual_size(pid):
    status = (pathlib.Path("/proc") / str(pid) / "status").read_text()
    return int(re.search(r"^VmSize:\s+(\d+) kB", status, re.MULTILINE).group(1)) * 1024


@pytest.mark.timing  # sanitizers take terabytes of addresses: a limit of them means nothing
def test_no_memory(make, folder, equal, rounds):
    """pitfalls 11.3: out of memory it waits, or dies; but never by its own abort() in the middle of a change, and what
    follows is an ordinary start."""
    for n in range(rounds(1, 12)):
        where = folder / f"round{n}"
        where.mkdir()
        starve(make(mapping={"folder": str(where), "container": f"box{n}"}), where, 2 ** (n % 6))
        equal(where, f"box{n}")


def starve(d, folder, room):
    """Works with `room` MiB of addresses more than it has when it is idle."""
    tree(folder, 200)
    d.start()
    d.wait_sync()
    resource.prlimit(d.pid, resource.RLIMIT_AS, (virtual_size(d.pid) + room * 2**20, resource.RLIM_INFINITY))
    (folder / "large").write_bytes(os.urandom(1000) * 20_000)
    tree(folder / "many", 500)
    for n in range(0, 200, 3):
        (folder / f"d{n // 100:03d}/f{n:05d}.txt").write_text("changed")
    def met():
        """The limit; or it is done without. Who asks may meet it, too."""
        if d.process.poll() is not None or "memory" in d.log():
            return True
        told = d.ctl("status", "--json")
        return told.rc == 0 and json.loads(told.out)["mappings"][0]["pending"] == 0
    until(met)
    if d.process.poll() is None:
        resource.prlimit(d.pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    else:
        assert d.process.returncode not in (-signal.SIGABRT, -signal.SIGSEGV, -signal.SIGBUS), d.tail()
        d.stop()
        d.start()
    d.wait_sync()
    assert d.stop() == 0
