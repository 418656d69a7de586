"""The folder goes away: in every way, while azsyncd runs, while it does not, and while changes and deletions wait.
Nothing is deleted and nothing is sent while it is away, and nothing is sent again when it is back (pitfalls 2.1, 2.2,
2.7, 2.8, 7.1 to 7.5, 7.8)."""
import os
import shutil

import pytest

from daemon import WITHOUT_POWERS, until
from disks import Image
from given import tree
from mounts import clear, mount, umount, umount_idle
from test_guard import empty, names

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs to mount")
FILES, SOME = 60, 5
DELAY = "2m"  # divided by the speed-up


class Way:
    """A folder `at` that can go away and come back."""

    def __init__(self, tmp_path):
        self.at, self.aside = tmp_path / "above/mapped", tmp_path / "aside"
        self.at.mkdir(parents=True)
        self.wrapper, self.disk = (), None

    def open(self):
        pass

    def close(self):
        clear(self.at)


class Disk(Way):
    """The folder is a disk's mount point: what is beneath is empty."""

    def open(self):
        self.disk = Image(self.at.parent.parent / "image", "ext4", 16, self.at).__enter__()
        shutil.rmtree(self.at / "lost+found")

    def away(self):
        umount_idle(self.at)
        self.disk.mounted = False

    def back(self):
        self.disk.mount()

    def close(self):
        clear(self.at)
        self.disk.mounted = False
        self.disk.close()


class Lazily(Disk):
    """No event tells, as long as somebody has a file of it open (2.1)."""

    def away(self):
        self.handle = open(self.at / "kept")
        umount(self.at, "-l")
        self.disk.mounted = False

    def back(self):
        self.handle.close()
        super().back()


class Over(Disk):
    """Another file system is mounted over it; no event tells (2.1). An empty one, as ProtectHome= shows it (2.7)."""

    def away(self):
        assert mount("-t", "tmpfs", "none", self.at)

    def back(self):
        umount_idle(self.at)


class OverWithFiles(Disk):
    def away(self):
        self.aside.mkdir(exist_ok=True)
        (self.aside / "stranger").write_text("not of this disk")
        assert mount("--bind", self.aside, self.at)

    def back(self):
        umount_idle(self.at)


class Renamed(Way):
    def away(self):
        self.at.rename(self.aside)

    def back(self):
        self.aside.rename(self.at)


class Replaced(Renamed):
    """By an empty folder of the same name."""

    def away(self):
        super().away()
        self.at.mkdir()

    def back(self):
        self.at.rmdir()
        super().back()


class Linked(Renamed):
    """By a link that even leads to the same files: whoever can make one can make another (5.3)."""

    def away(self):
        super().away()
        self.at.symlink_to(self.aside)

    def back(self):
        self.at.unlink()
        super().back()


class ParentReplaced(Way):
    def away(self):
        self.at.parent.rename(self.aside)
        self.at.mkdir(parents=True)

    def back(self):
        shutil.rmtree(self.at.parent)
        self.aside.rename(self.at.parent)


class Unreadable(Way):
    """Unknown, never empty (5.5)."""

    def __init__(self, tmp_path):
        super().__init__(tmp_path)
        self.wrapper = WITHOUT_POWERS

    def away(self):
        self.at.chmod(0)

    def back(self):
        self.at.chmod(0o755)

    close = back


WAYS = [Disk, Lazily, Over, OverWithFiles, Renamed, Replaced, Linked, ParentReplaced, Unreadable]
DOWN = [False, True]
# way, while it is down, watch; a sample of them in CI, all of them when `rounds` are asked for (scripts/torture mounts)
WAITING = [(way, down, watch) for way in WAYS for down in DOWN for watch in ("auto", "poll")]
WAITING_SAMPLE = [(Disk, False, "auto"), (Over, True, "auto"), (Replaced, False, "poll"), (Unreadable, True, "poll")]
FULL = bool(os.environ.get("AZSYNC_ROUNDS"))


def told(case):
    return "-".join(case.__name__ if isinstance(case, type) else str(case) for case in case)


@pytest.fixture
def way(request, tmp_path):
    w = request.param(tmp_path)
    try:
        w.open()
        tree(w.at, FILES)
        (w.at / "kept").write_text("is never touched")
        yield w
    finally:
        w.close()


def writes(proxy, since=0):
    return [f"{r.verb} {r.path}" for request in proxy.requests[since:] for r in request.parts or [request]
            if r.method in ("PUT", "DELETE")]


def started(d, way, *more):
    return d.start(*more, wrapper=way.wrapper)


def blocked(d, account, before, proxy, mark):
    d.until_status(state="blocked")
    d.wait_sync(expect=3)
    assert d.ctl("status", "--check").rc == 3
    assert d.status()["held"] == 0 and d.status()["detail"]
    assert names(account) == before
    assert writes(proxy, mark) == []


@pytest.fixture
def daemon(make, way, proxy):
    """delete-delay is some seconds here, so that deletions wait until a test has seen them, on any machine."""
    return make(mappings={"docs": {"folder": str(way.at), "container": "box", "delete-delay": DELAY}}, port=proxy.port)


@pytest.mark.parametrize("down", DOWN, ids=["while it runs", "while it is down"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__, indirect=True)
def test_gone_and_back(daemon, way, account, proxy, equal, down):
    d = started(daemon, way)
    d.wait_sync()
    before, mark = names(account), proxy.mark()
    assert len(before) == FILES + 1
    if down:
        assert d.stop() == 0
    way.away()
    if down and way.wrapper == () and way.at.is_symlink():
        assert d.run().rc == 78  # a path with a link in it is refused when the configuration is read
        way.at.unlink()  # so it is missing for the daemon that starts now, and comes back as a link
        started(d, way)
        way.at.symlink_to(way.aside)
    elif down:
        started(d, way)
    blocked(d, account, before, proxy, mark)
    if not down and not way.at.is_symlink():  # it stays away over a restart
        assert d.stop() == 0
        started(d, way)
        blocked(d, account, before, proxy, mark)
    way.back()
    d.until_status(state="idle", pending=0)
    d.wait_sync()
    assert writes(proxy, mark) == [] and names(account) == before
    (way.at / "new").write_text("it goes on")
    d.wait_sync()
    equal(way.at)
    assert d.stop() == 0


def changes(d, way):
    """Changes and deletions that wait for something: pending, and gone but not yet deleted there."""
    d.wait_sync()
    for n in range(SOME):
        (way.at / f"d000/f{n:05d}.txt").unlink()
    until(lambda: sum("delete-delay" in i["reason"] for i in d.queue().values()) == SOME, what="deletions that wait")
    assert d.ctl("pause").rc == 0
    for n in range(SOME, 2 * SOME):
        (way.at / f"d000/f{n:05d}.txt").write_text("changed")
    d.until_status(pending=2 * SOME)


@pytest.mark.parametrize("way, down, watch", WAITING if FULL else WAITING_SAMPLE, indirect=["way"],
                         ids=map(told, WAITING if FULL else WAITING_SAMPLE))
def test_gone_while_changes_wait(daemon, way, account, proxy, equal, down, watch):
    """7.3: what was decided before is not carried out against what is there now: whoever comes first, a scan, an event,
    or (polled, so that nothing tells of a rename) the look of the deletion itself."""
    d = daemon
    d.map("docs", folder=way.at, container="box", delete_delay=DELAY, watch=watch)
    started(d, way)
    changes(d, way)
    before, mark = names(account), proxy.mark()
    if down:
        assert d.stop() == 0
    way.away()
    if down and way.at.is_symlink():
        way.at.unlink()
    if down:  # nothing that waited waits any longer then
        started(d, way)
    assert d.ctl("resume").rc == 0
    blocked(d, account, before, proxy, mark)
    if down and isinstance(way, Linked):
        way.at.symlink_to(way.aside)
    way.back()
    d.until_status(state="idle", pending=0)
    d.wait_sync()
    equal(way.at)
    assert sorted({w.split()[0] for w in writes(proxy, mark)}) == ["delete", "put-blob"]
    assert len(writes(proxy, mark)) == 2 * SOME and d.status()["held"] == 0
    assert d.stop() == 0


@pytest.mark.parametrize("way", WAYS if FULL else [Disk, Over, Linked, Unreadable], ids=lambda way: way.__name__,
                         indirect=True)
def test_gone_under_once(daemon, way, account, proxy, equal):
    """--once says 3, names the reason, and leaves the cloud alone."""
    def once():
        return daemon.run("--once", wrapper=way.wrapper)

    assert once().rc == 0
    for n in range(SOME):
        (way.at / f"d000/f{n:05d}.txt").unlink()
        (way.at / f"d000/f{n + SOME:05d}.txt").write_text("changed")
    before, mark = names(account), proxy.mark()
    way.away()
    result = once()
    if isinstance(way, Linked):
        assert result.rc == 78 and "symbolic link" in result.err
    else:
        assert result.rc == 3 and "blocked" in result.err, result
    assert names(account) == before and writes(proxy, mark) == []
    way.back()
    assert once().rc == 0
    equal(way.at)
    assert len(writes(proxy, mark)) == 2 * SOME


def test_replaced_and_approved_by_accident_only_holds(make, account, folder, proxy):
    """An empty folder that a person takes for the right one: what was there before is held, not deleted (7.4)."""
    tree(folder, FILES)
    with make(port=proxy.port) as d:
        d.wait_sync()
        before, mark = names(account), proxy.mark()
        folder.rename(folder.with_name("away"))
        folder.mkdir()
        d.until_status(state="blocked")
        until(lambda: d.ctl("approve", "docs").rc == 0)
        d.until_status(state="held", held=FILES)
        assert names(account) == before
        folder.rmdir()
        folder.with_name("away").rename(folder)
        d.until_status(state="blocked")  # the other one was pinned
        until(lambda: d.ctl("approve", "docs").rc == 0)
        d.until_status(state="idle", held=0, pending=0)
        assert names(account) == before and writes(proxy, mark) == []


# --- the same root, but the names are gone ---

def test_emptied_while_deletions_wait(make, account, folder, proxy, equal):
    """7.4: once tripped, every deletion of the window that was not carried out yet is held, the early ones too; the window
    and what is held survive a kill -9; approve carries all of it out."""
    tree(folder, FILES)
    d = make(mapping={"delete-delay": "1h"}, port=proxy.port)
    with d:
        d.wait_sync()
        before, mark = names(account), proxy.mark()
        for n in range(SOME):
            (folder / f"d000/f{n:05d}.txt").unlink()
        until(lambda: sum("delete-delay" in i["reason"] for i in d.queue().values()) == SOME, what="deletions that wait")
        empty(folder)
        d.until_status(held=FILES, state="held")
        assert d.ctl("pause").rc == 0 and d.ctl("resume").rc == 0
        d.kill9()
        assert d.ctl("approve", "docs").rc == 4  # nobody is there to tell
        d.start()
        d.until_status(held=FILES, state="held", pending=0)
        assert names(account) == before and writes(proxy, mark) == []
        assert d.ctl("approve", "docs").rc == 0
        d.wait_sync()
        equal()
        assert names(account) == set()


def test_emptied_under_once(make, account, folder, proxy, equal):
    """Held over as many runs as it takes for a person to come."""
    tree(folder, FILES)
    d = make(port=proxy.port)
    assert d.run("--once").rc == 0
    before, mark = names(account), proxy.mark()
    empty(folder)
    for _ in range(2):
        result = d.run("--once")
        assert result.rc == 3 and "held" in result.err
        assert names(account) == before and writes(proxy, mark) == []
    with d:
        d.until_status(held=FILES)
        assert d.ctl("approve", "docs").rc == 0
        d.wait_sync()
        equal()


def test_restored_before_anybody_came(make, account, folder, proxy, equal):
    """7.5, 7.8: deleted and put back, as a restored backup does: nothing is deleted, and what is the same is not sent."""
    tree(folder, FILES)
    with make(port=proxy.port) as d:
        d.wait_sync()
        before, mark = names(account), proxy.mark()
        (folder / "d000").rename(folder.with_name("backup"))
        d.until_status(held=FILES)
        folder.with_name("backup").rename(folder / "d000")
        d.until_status(held=0, state="idle", pending=0)
        assert names(account) == before and proxy.count("delete", mark) == 0
        assert proxy.body_bytes(mark) == 0
        equal()


def test_mapping_taken_out_and_put_back(make, account, folder, proxy, equal):
    """7.6: what happened to the folder meanwhile is held like anything else, and the mapping's end deleted nothing."""
    tree(folder, FILES)
    with make(port=proxy.port) as d:
        d.wait_sync()
        before, mark = names(account), proxy.mark()
        d.unmap("docs")
        assert d.ctl("reload").rc == 0
        empty(folder)
        d.map("docs", folder=folder, container="box")
        assert d.ctl("reload").rc == 0
        d.until_status(held=FILES)
        assert names(account) == before and proxy.count("delete", mark) == 0
