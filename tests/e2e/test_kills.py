"""kill -9 at the n-th system call (L3, pitfalls 8): before and after each write to the journal, each word to the
service, each word from it, whatever stands between two of them."""
import os
import random
import shutil
import signal

import pytest

from daemon import LIMIT, SLOW, until
from proxy import Cut
from workload import LARGE, NO_GUARD

CALLS = ("pwrite64", "fdatasync", "sendto", "write", "connect", "recvfrom")
WHOLE = Cut(1 << 40)  # the answer comes whole, then the connection closes: each request connects anew


def base(where):
    """What the twenty changes are made to; in the cloud before they come."""
    for path in ("edit", "append", "empty", "delete", "rename", "over", "under", "mode", "time", "save", "linked",
                 "become folder", "left", "right", "again", "move/a", "move/b", "move/deep/c", "become file/inner"):
        (where / path).parent.mkdir(parents=True, exist_ok=True)
        (where / path).write_text(f"{path} of {where.name}\n" * 20)
    os.link(where / "linked", where / "other name")
    for path in ("large edit", "large append"):
        (where / path).write_bytes(f"{path} of {where.name}\n".encode() * (LARGE // 20))


def twenty(where):
    """Twenty changes, one of each kind."""
    def edit_in_the_middle():
        with open(where / "large edit", "r+b") as f:
            f.seek(LARGE // 2)
            f.write(b"other bytes")

    def append(path, size):
        with open(where / path, "ab") as f:
            f.write(b"+" * size)

    def atomic_save():
        (where / "save~").write_text("saved")
        os.rename(where / "save~", where / "save")

    def folder_from_file():
        (where / "become folder").unlink()
        (where / "become folder").mkdir()
        (where / "become folder/inner").write_text("a file in a folder that was a file")

    def file_from_folder():
        shutil.rmtree(where / "become file")
        (where / "become file").write_text("a file that was a folder")

    def swap():
        for old, new in (("left", "aside"), ("right", "left"), ("aside", "right")):
            os.rename(where / old, where / new)

    return [
        lambda: (where / "new small").write_text(f"new in {where.name}"),
        lambda: (where / "new large").write_bytes(f"new in {where.name} ".encode() * (LARGE // 15)),
        lambda: (where / "edit").write_text("edited"),
        edit_in_the_middle,
        lambda: append("append", 100),
        lambda: append("large append", 70000),
        lambda: os.truncate(where / "empty", 0),
        lambda: (where / "delete").unlink(),
        lambda: os.rename(where / "rename", where / "renamed"),
        lambda: os.rename(where / "over", where / "under"),
        lambda: os.rename(where / "move", where / "moved"),
        lambda: (where / "mode").chmod(0o600),
        lambda: os.utime(where / "time", ns=(10**18, 10**18)),
        atomic_save,
        lambda: os.link(where / "again", where / "third name"),
        lambda: append("other name", 50),
        folder_from_file,
        file_from_folder,
        lambda: (where / os.fsdecode(b"odd \xff\n.")).write_text("an odd name"),
        swap,
    ]


class Victim:
    """The daemon under strace, which kills it at its n-th `call`: of each thread, for so strace counts."""

    def __init__(self, daemon, call, n):
        self.daemon = daemon
        daemon.start(ready=False, wrapper=["strace", "-f", "-qq", "-o", daemon.base / "strace",
                                           "-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={n}"])

    @property
    def dead(self):
        return self.daemon.process.poll() is not None

    def settled(self):
        """Dead, or started and in sync."""
        if self.dead:
            return True
        return self.daemon.notifier.has("READY=1") and self.daemon.ctl("wait", "--timeout", "5").rc != 1

    def bury(self):
        """Whether it was killed; one that lives is killed now."""
        killed = self.dead
        if not killed:
            os.kill(self.daemon.traced_pid, signal.SIGKILL)
        process, self.daemon.process = self.daemon.process, None
        process.wait(LIMIT * SLOW)
        self.daemon.notifier.close()
        assert not killed or process.returncode == -signal.SIGKILL, (process.returncode, self.daemon.tail())
        return killed


def keep_busy(victim, where, decided):
    """Until it is dead: one change after the other, and a decision now and then, which reaches the disk (fdatasync).
    `decided` takes the decisions that it said yes to."""
    for n in range(400):
        if victim.dead:
            return
        (where / f"more {n % 8}").write_text(f"more {n}")
        for verb in ("pause", "resume"):
            decided += [("asked", verb)]
            if victim.daemon.ctl(verb, "docs").rc != 0:
                until(lambda: victim.dead, what="an end, since it does not answer")
                return
            decided += [("done", verb)]
        until(lambda: victim.dead or victim.daemon.ctl("wait", "--timeout", "5").rc != 1, what="in sync or dead")


@pytest.mark.parametrize("call", CALLS)
def test_killed_at(make, proxy, account, folder, equal, seed, rounds, call):
    """Twenty changes of all kinds, half of them found by the scan at the start, half made after it; then started
    without harm: equal each time, no conflict with itself, and what was decided stays decided."""
    count, killed = rounds(2, 60), 0
    moments = range(1, 61) if count >= 60 else random.Random(seed).sample(range(1, 61), count)
    daemon = make(NO_GUARD, port=proxy.port)
    if call == "connect":
        proxy.rule = lambda request: WHOLE
    with daemon:
        base(folder / "round 1")
        daemon.wait_sync()
    for number, n in enumerate(moments, 1):
        where, decided = folder / f"round {number}", []
        changes = twenty(where)
        for change in changes[::2]:
            change()
        victim = Victim(daemon, call, n)
        until(lambda: victim.dead or daemon.notifier.has("READY=1"), what="ready or dead")
        for change in changes[1::2]:
            change()
        until(victim.settled, what="in sync or dead")
        keep_busy(victim, where, decided)
        assert victim.bury(), f"{call} was not reached {n} times"
        killed += 1
        if n % 2:  # what may have been sent is not what the file holds any more: only our mark tells that it was us
            for name in ("new small", "edit", "append", "renamed", "save", "more 0", "more 1"):
                (where / name).write_text(f"changed again after kill {number}")

        daemon.start()
        if decided:
            paused = daemon.status()["state"] == "paused"
            said = [verb for how, verb in decided if how == "done"][-1:] or ["resume"]
            open_question = decided[-1][0] == "asked"
            assert open_question or paused == (said == ["pause"]), (paused, decided[-2:])
            daemon.ctl("resume", "docs")
        daemon.wait_sync()
        equal()
        status = daemon.status()
        assert not any(status[k] for k in ("conflicts", "failed", "held", "pending")), (n, status)
        shutil.rmtree(where)
        base(folder / f"round {number + 1}")
        daemon.wait_sync()
        assert daemon.stop() == 0
    print(f"{call}: {killed} kills at n = {sorted(moments)[0]}..{sorted(moments)[-1]}, equal each time, 0 conflicts")
