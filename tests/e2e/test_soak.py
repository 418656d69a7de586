"""Everything at once, for hours under scripts/torture: a workload, a network that fails one request in twenty in seven
ways, kill -9, pauses, reloads, rescans. (pitfalls 8, 10, 11.1, 11.5 and the invariants a, b, d and f of section 12)"""
import pathlib
import random
import time

from daemon import SANITIZED
from honesty import Honesty
from proxy import Answer, Cut, Delay, Reset
from workload import NO_GUARD, Workload

FAULTS = 0.05
FAULT_KINDS = (Answer(503), Answer(500, "InternalError"), Answer(503, headers={"Retry-After": "1"}), Reset(),
               Reset(after=True), Cut(60), Delay(0.2))
RSS_MOST = 128 << 20  # bytes: 64 MiB of data in flight (`memory`), and as much again for all the rest


def rss(daemon):
    """Bytes; 0 if it is down."""
    if not daemon.process:
        return 0
    line = next(x for x in pathlib.Path(f"/proc/{daemon.pid}/status").read_text().splitlines() if x.startswith("VmRSS"))
    return int(line.split()[1]) << 10


class Trouble:
    """What befalls a daemon, by a seed; each kind is counted."""

    def __init__(self, daemon, folder, seed):
        self.daemon, self.folder, self.random = daemon, folder, random.Random(seed)
        self.counts = {}

    def strike(self):
        kind = self.random.choice(("kill", "restart", "pause", "resume", "reload", "rescan", "retry"))
        self.counts[kind] = self.counts.get(kind, 0) + 1
        getattr(self, kind, lambda: self.ask(kind))()

    def ask(self, verb):
        result = self.daemon.ctl(verb, "docs")
        assert result.rc == 0, (verb, result)

    def kill(self):
        self.daemon.kill9()
        self.daemon.start()

    def restart(self):
        assert self.daemon.stop() == 0
        self.daemon.start()

    def reload(self):
        """Another mapping, the old one restarts; or the same."""
        self.daemon.map("docs", folder=self.folder, container="box", **NO_GUARD,
                        rescan=self.random.choice(("1h", "2h")))
        assert self.daemon.ctl("reload").rc == 0


def test_soak(make, account, proxy, folder, equal, seed, rounds):
    """Whenever the workload rests it becomes equal; memory stays flat."""
    chance, faults, client = random.Random(seed), random.Random(seed + 1), account.client()
    proxy.rule = lambda request: faults.choice(FAULT_KINDS) if faults.random() < FAULTS else None
    workload, daemon = Workload(folder, seed), make(NO_GUARD, port=proxy.port)
    trouble, most, rests, requests = Trouble(daemon, folder, seed), 0, 0, 0
    seconds, began = rounds(20, 7200), time.monotonic()
    daemon.start()
    with Honesty(daemon, workload, client, seed) as honesty:
        while time.monotonic() - began < seconds:
            workload.start()
            for _ in range(chance.randrange(2, 6)):
                time.sleep(chance.uniform(0, 1))  # the workload's time
                most = max(most, rss(daemon))
                trouble.strike()
            workload.stop()
            trouble.ask("resume")
            daemon.wait_sync()
            equal()
            most = max(most, rss(daemon))
            harm = workload.harm(workload.blobs(client))
            assert harm == [], "\n".join(harm[:20])
            status = daemon.status()
            assert not any(status[k] for k in ("conflicts", "failed", "held", "pending")), status
            workload.settled()
            assert proxy.unconditional() == []
            requests += proxy.mark()
            del proxy.requests[:]
            rests += 1
    print(f"{seconds} s: {rests} times equal, {workload.sequence} states, {requests} requests, {trouble.counts}, "
          f"at most {most >> 20} MiB resident; {honesty.check()}")
    assert SANITIZED or most < RSS_MOST
    assert daemon.stop() == 0
