"""A scan is not a snapshot: a file that is renamed meanwhile is seen twice, or not at all (pitfalls 4.11, 4.12, 5.5)."""
import contextlib
import os
import random
import signal
import subprocess
import sys
import threading

import pytest

from daemon import LIMIT, SLOW, until
from disks import KINDS, Image
from given import tree
from proxy import Answer

FILLERS = 10_000  # so many entries make a listing long enough to be overtaken; excluded, so that they cost no request
# Renames once in about 200 us until SIGTERM, then lets each file rest at its first name.
STORM = """
import itertools, os, signal, sys, time
over = []
signal.signal(signal.SIGTERM, lambda *a: over.append(1))
pairs = [(a, b) for a, b in zip(sys.argv[1::2], sys.argv[2::2])]
here = [0] * len(pairs)
print("ready", flush=True)
for i in itertools.cycle(range(len(pairs))):
    if over and not any(here):
        break
    if not over or here[i]:
        os.rename(pairs[i][here[i]], pairs[i][1 - here[i]])
        here[i] = 1 - here[i]
    time.sleep(0.0001)
"""


@contextlib.contextmanager
def storm(*pairs):
    process = subprocess.Popen([sys.executable, "-c", STORM, *[str(name) for pair in pairs for name in pair]],
                               stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"ready\n"
        yield
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT * SLOW) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


class Witness:
    """Rule of a proxy: at the moment of each DELETE, does another name of the same file stand in the container?"""

    def __init__(self, names, container):
        self.others = {a: b for pair in names for a, b in (pair, pair[::-1])}
        self.container, self.lock = container, threading.Lock()
        self.deletes, self.alone = 0, []

    def __call__(self, request):
        for blob in set(request.deletions) & set(self.others):
            with self.lock:
                self.deletes += 1
                if not self.container.get_blob_client(self.others[blob]).exists():
                    self.alone.append(blob)


@pytest.fixture
def disk(tmp_path, request):
    with Image(tmp_path / "image", request.param, 400, tmp_path / "disk") as image:
        yield image


def crowd(folder):
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        for n in range(FILLERS):
            os.close(os.open(folder / name / f"filler{n:05d}", os.O_CREAT))


@pytest.fixture
def ghosts(disk):
    """Pairs of names; a file stands at the first of each. And what else is there."""
    folder = disk.mountpoint / "box"
    crowd(folder)
    names = [("a/across", "b/across"), ("a/inside", "a/jnside"), ("a/m0", "b/z0"), ("b/back", "a/back")]
    for name, _ in names:
        (folder / name).write_bytes(name.encode() * 1000)
    (folder / "a/still").write_bytes(b"still")
    return folder, names


@pytest.fixture
def daemon_of(ghosts, make, proxy, account):
    """daemon_of(**mapping) -> a daemon in sync with them, and the witness of its deletions from now on."""
    def new(**mapping):
        d = make({"folder": str(ghosts[0]), "exclude": ["filler*"], "delete-guard": {"files": 10**9, "percent": 100},
                  **mapping}, port=proxy.port)
        with d:
            d.wait_sync()
        proxy.rule = Witness(ghosts[1], account.client().get_container_client("box"))
        return d, proxy.rule
    return new


def all_equal(equal, folder):
    equal(folder, exclude=[f"{name}/filler{n:05d}" for name in ("a", "b") for n in range(FILLERS)])


@pytest.mark.parametrize("disk", KINDS, indirect=True)
def test_renamed_all_the_time(disk, ghosts, daemon_of, equal, rounds):
    """Files that exist all the time, renamed between two folders and inside one about every 200 us while scans are
    forced: never a DELETE without the other name being there, and all is equal in the end."""
    folder, names = ghosts
    d, witness = daemon_of()
    with d:
        with storm(*[(folder / a, folder / b) for a, b in names]):
            for _ in range(rounds(3, 100)):
                assert d.ctl("rescan").rc == 0
                until(lambda: d.status()["state"] != "scanning", what="the end of a scan")
        d.wait_sync()
        assert d.status()["failed"] == 0
    assert witness.alone == [], f"{len(witness.alone)} of {witness.deletes} deletions of a file that was there"
    all_equal(equal, folder)
    print(f"{disk.fstype}: {rounds(3, 100)} scans, {witness.deletes} deletions, each with the other name there")


@pytest.mark.parametrize("how", ["poll", "once"])
@pytest.mark.parametrize("disk", ["ext4", "btrfs"], indirect=True)
def test_renamed_unheard(disk, how, ghosts, daemon_of, equal, rounds, seed):
    """Nobody tells of a rename in the middle of a scan, which may have seen neither name: the deletion waits for a scan
    that meets the new one. Listings are slowed down, so that the middle is long."""
    folder, names = ghosts
    d, witness = daemon_of(**({"watch": "poll"} if how == "poll" else {}))
    chance, here, number = random.Random(seed), 0, rounds(5, 50)
    slowly = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "--seccomp-bpf", "-e", "trace=getdents64",
              "-e", "inject=getdents64:delay_exit=10000"]

    def rename():
        for pair in names:
            os.rename(folder / pair[here], folder / pair[1 - here])

    if how == "poll":
        d.start(wrapper=slowly)
    try:
        for _ in range(number):
            later = threading.Timer(chance.uniform(0, 0.5), rename)
            if how == "poll":
                d.wait_sync()
                later.start()
                assert d.ctl("rescan").rc == 0
                d.wait_sync()
            else:
                later.start()
                assert d.run("--once", wrapper=slowly).rc == 0
            later.join()
            here = 1 - here
    finally:
        d.stop()
    assert witness.alone == [], f"{len(witness.alone)} of {witness.deletes} deletions of a file that was there"
    with d:
        d.wait_sync()
        all_equal(equal, folder)
    print(f"{disk.fstype}, {how}: {number} scans, {witness.deletes} deletions, each with the other name there")


def test_new_name_first(make, proxy, account, folder, equal):
    """8: a renamed file whose new name cannot be stored for now keeps its old blob, however often that is tried."""
    (folder / "old").write_bytes(b"precious" * 100)
    d = make(port=proxy.port, speedup=100)
    tries = lambda: sum(r.blob == "new" and r.verb in ("copy", "put-blob") for r in proxy.requests)
    with d:
        d.wait_sync()
        proxy.rule = lambda r: Answer(412, "LeaseIdMissing") if r.blob == "new" and r.method == "PUT" else None
        (folder / "old").rename(folder / "new")
        until(lambda: tries() >= 3, what="three tries")
        assert proxy.count("delete") == 0
        assert account.client().get_blob_client("box", "old").exists()
        proxy.rule = None
        d.wait_sync()
        equal()
        assert proxy.count("delete") == 1


def test_renamed_while_written(make, proxy, account, folder, equal):
    """8, 4.7: renamed by somebody while a program writes to it without a pause, as logs are: the new name cannot be
    stored for now, and the old blob stays until it is."""
    (folder / "old").write_bytes(b"line\n" * 10**6)
    over = threading.Event()

    def write(file):
        while not over.is_set():
            os.pwrite(file, b"other", 5 * chance.randrange(10**6))
    chance = random.Random(1)
    # with this speedup the new name has 10 s to be looked at before the old one's grace is over, at a third of the time
    # after which it is stored all the same
    d = make(mapping={"delete-delay": "200s"}, port=proxy.port, speedup=20)
    with d, open(folder / "old", "r+b") as file:
        d.wait_sync()
        witness = proxy.rule = Witness([("old", "new")], account.client().get_container_client("box"))
        writer = threading.Thread(target=write, args=(file.fileno(),))
        writer.start()
        try:
            (folder / "old").rename(folder / "new")
            until(lambda: witness.deletes or "never rests" in d.queue().get("new", {"reason": ""})["reason"],
                  what="a marked copy")
        finally:
            over.set()
            writer.join()
        d.wait_sync()
        equal()
    assert witness.deletes and witness.alone == []


@pytest.mark.parametrize("error", ["EIO", "ESTALE", "EACCES", "EMFILE"])
def test_listing_that_is_cut(make, proxy, account, folder, equal, error):
    """4.12, 5.5: whatever a listing fails with, at whichever call, it is never the end of a folder: nothing is deleted."""
    tree(folder, 300, per_folder=30)
    d = make(port=proxy.port)
    with d:
        d.wait_sync()
    trace = d.base / "strace"
    for when in (3, 8, 20):  # of each thread; the first two calls of the main one read the configuration
        for more in ("", "+"):
            d.start(wrapper=["strace", "-D", "-f", "-qq", "-o", trace, "--seccomp-bpf", "-e", "trace=getdents64",
                             "-e", f"inject=getdents64:error={error}:when={when}{more}"])
            try:
                until(lambda: "INJECTED" in trace.read_text(), what="a listing that is cut")
                assert d.ctl("rescan").rc == 0
                if not more:  # the next listing is whole
                    d.wait_sync()
            finally:
                d.stop()
    assert proxy.count("delete") == 0
    with d:
        d.wait_sync()
        equal()
    assert proxy.count("delete") == 0
