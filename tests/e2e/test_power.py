"""Power cuts (pitfalls section 8, 9.1): folders and state directory lie on an ext4 image, and the image on an xfs. A
reflink of the image at a random moment is what a disk would hold at that moment; ext4 recovers from it. All that was
not synced is lost, in the folders as in the journal, and the cloud is ahead of both."""
import os
import random
import signal
import subprocess
import time
import uuid

import pytest

from compare import compare
from daemon import LIMIT, until
from disks import ROOT, Image
from given import tree
from workload import NO_GUARD, Workload

FILES = 30


class Machine:
    """A disk with two folders and the state directory; cut() takes its power away."""

    def __init__(self, tmp_path, disk):
        self.tmp_path, self.disk, self.boots = tmp_path, disk, 0

    def boot(self):
        """A wrapper for the daemon: the machine was started anew, so its boot id is another one."""
        self.boots += 1
        boot_id = self.tmp_path / "boot_id"
        boot_id.write_text(f"{uuid.uuid4()}\n")
        return [*ROOT, "unshare", "--mount", "sh", "-c",
                'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"', str(boot_id)]

    def snapshot(self):
        """What the disk holds at this moment."""
        cut = self.disk.path.with_name(f"cut{self.boots}.img")
        subprocess.run(["cp", "--reflink=always", self.disk.path, cut], check=True)
        return cut

    def restart(self, cut):
        self.disk.unmount().detach()
        self.disk.path.unlink()
        self.disk.path = cut
        self.disk.mount()


@pytest.fixture
def machine(tmp_path):
    with Image(tmp_path / "xfs.img", "xfs", 600, tmp_path / "xfs") as outer, \
            Image(outer.mountpoint / "disk.img", "ext4", 128, tmp_path / "disk") as disk:
        yield Machine(tmp_path, disk)


def test_power_cuts(make, account, proxy, machine, seed, rounds):
    """Equal with what the cut left of the folder, however far the cloud is ahead of it; what was held stays held, and
    what a person decided stays decided."""
    chance, client, disk = random.Random(seed), account.client(), machine.disk.mountpoint
    for name in ("folder", "guarded", "state"):
        (disk / name).mkdir(mode=0o700)
    workload = Workload(disk / "folder", seed)
    daemon = make(port=proxy.port,
                  mappings={"docs": {"folder": disk / "folder", "container": "box", **NO_GUARD},
                            "guarded": {"folder": disk / "guarded", "container": "guarded"}})
    daemon.state, lost, decisions, wanted = disk / "state", 0, [], rounds(3, 20)
    daemon.start(wrapper=machine.boot())

    def same(container):
        wrong = compare(client, container, disk / {"box": "folder"}.get(container, container))
        assert wrong == [], "\n".join(wrong[:20])

    while len(decisions) < wanted or lost == 0:  # what has reached the disk by then is the kernel's and the machine's
        tree(disk / "guarded", FILES)
        daemon.wait_sync()
        workload.start(pause=0.02)
        decision = chance.choice(("none", "approve", "reject"))
        decide(daemon, disk, decision)
        time.sleep(chance.uniform(0, 1))  # the random moment
        with workload.lock:  # or a state is said and not made when the sequence is read
            cut, sequence = machine.snapshot(), workload.sequence
        daemon.kill9()
        workload.stop()
        until(proxy.left_alone, what="what was under way ends, before a machine could be up again")
        machine.restart(cut)
        before = {path: states[-1][1] for path, states in workload.history.items()}
        workload.reread()
        lost += sum(1 for path, state in before.items() if workload.history[path][-1][1] != state)

        daemon.start(wrapper=machine.boot())
        daemon.wait_sync(LIMIT, "docs")
        same("box")
        harm = workload.harm(workload.blobs(client))
        assert harm == [], "\n".join(harm[:20])
        status = daemon.status("docs")
        assert not any(status[k] for k in ("conflicts", "failed", "held", "pending")), status
        decided(daemon, client, decision)
        decisions.append(decision)
        assert lost > 0 or len(decisions) < 10 * wanted, "the cuts took nothing back: nothing was tested"
    print(f"{len(decisions)} power cuts, {lost} newest states lost on the disk, equal each time; decisions kept: "
          f"{ {d: decisions.count(d) for d in sorted(set(decisions))} }")
    assert daemon.stop() == 0


def decide(daemon, disk, decision):
    """All of `guarded` is deleted, and that reaches the disk before the daemon sees it; held; and decided about."""
    os.kill(daemon.pid, signal.SIGSTOP)
    for path in (disk / "guarded").glob("*/*"):
        path.unlink()
    subprocess.run(["sync", "--file-system", str(disk)], check=True)
    os.kill(daemon.pid, signal.SIGCONT)
    daemon.until_status(mapping="guarded", held=FILES)
    if decision != "none":
        assert daemon.ctl(decision, "guarded").rc == 0


def decided(daemon, client, decision):
    """It is as if there had been no cut; then the next round can begin."""
    names = lambda: len(list(client.get_container_client("guarded").list_blobs()))
    if decision == "none":
        daemon.until_status(mapping="guarded", held=FILES, pending=0)
        assert names() == FILES
        assert daemon.ctl("approve", "guarded").rc == 0
    daemon.wait_sync(LIMIT, "guarded")
    assert names() == (FILES if decision == "reject" else 0)
