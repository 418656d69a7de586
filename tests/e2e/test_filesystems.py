"""File systems that do not tell of every change, mounts inside the tree, folders that are there twice, disks under
another device number (pitfalls 1.14, 2.3, 2.4, 2.5, 2.6, 4.1, 7.2). 9p, NFS and CIFS want a server that is not here: what
they have in common with FUSE is decided by one table of statfs types (src/watch/root.c, tests/unit/test-root.c)."""
import contextlib
import os
import re
import shutil
import time

import pytest

from daemon import until
from disks import Image, run
from given import tree
from mounts import Fuse, clear, mount, umount_idle
from test_guard import names

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs to mount")


def writes(proxy, since=0):
    return [f"{r.verb} {r.path}" for request in proxy.requests[since:] for r in request.parts or [request]
            if r.method in ("PUT", "DELETE")]


def at_least(count):
    """A file that is looked at between its creation and its content is sent twice."""
    return lambda n: n >= count


@pytest.fixture
def mounted(tmp_path):
    """mounted(what...) mounts, and all of it is taken away in the end."""
    places = []

    def new(*arguments):
        if not mount(*arguments):
            pytest.skip("cannot be mounted here: " + " ".join(map(str, arguments)))
        places.append(arguments[-1])
    yield new
    for place in reversed(places):
        clear(place)


@pytest.fixture
def fuse(tmp_path, folder):
    (tmp_path / "backing").mkdir()
    f = Fuse(tmp_path / "backing", folder)
    if not f.mount():
        pytest.skip("no FUSE here")
    yield f
    f.clear()


@pytest.mark.parametrize("watch", ["auto", "inotify"])
def test_fuse(make, account, fuse, folder, proxy, equal, watch):
    """2.4: what others change behind the mount is found by comparing, and status says that it is done; what is changed
    through the mount comes at once."""
    tree(fuse.backing, 30)
    with make(mapping={"watch": watch}, port=proxy.port) as d:
        d.wait_sync()
        status = d.status()
        assert status["watch"] == "poll" and status["polled_folders"] > 0 and "fuse" in status["detail"]
        assert status["rescan_s"] >= 30  # or twenty times what the walk took
        assert re.search(r"polled, every \d+ (s|min)", d.ctl("status").out)
        (fuse.backing / "d000/f00000.txt").write_text("changed by somebody else")
        (fuse.backing / "d000/f00001.txt").unlink()
        (fuse.backing / "new").mkdir()
        (fuse.backing / "new/file").write_text("made by somebody else")
        (folder / "mine").write_text("through the mount")
        d.until_status(uploaded_files=at_least(33), deleted_files=1, pending=0)
        d.wait_sync()
        equal()
        # 4.1: inode numbers mean nothing here. A rename is an upload, and a remount sends nothing again.
        mark = proxy.mark()
        (folder / "d000/f00002.txt").rename(folder / "renamed")
        d.wait_sync()
        assert d.status()["copied_files"] == 0 and proxy.puts(mark) == {"renamed": 1}
        equal()
        before, mark = names(account), proxy.mark()
        fuse.umount()
        d.until_status(state="blocked")
        assert names(account) == before
        assert fuse.mount()
        d.until_status(state="idle", pending=0)
        d.wait_sync()
        assert writes(proxy, mark) == []
        # its server dies: every call is refused, and that is not absence
        fuse.kill()
        assert d.ctl("rescan", "docs").rc == 0
        d.until_status(state="blocked")
        assert d.ctl("reload").rc == 0
        clear(folder)
        assert fuse.mount()
        d.until_status(state="idle", pending=0)
        assert writes(proxy, mark) == [] and names(account) == before


def test_polling_takes_a_twentieth(make, fuse):
    """2.4: what takes long to walk is walked less often; `rescan` bounds it."""
    tree(fuse.backing, 30)
    with make(mapping={"rescan": "2m"}, speedup=2) as d:
        d.wait_sync()
        fuse.hang()
        assert d.ctl("rescan").rc == 0
        d.until_status(state="scanning")
        hung = time.monotonic()
        until(lambda: time.monotonic() > hung + 2.5, what="the fault itself")
        fuse.go_on()
        d.until_status(state="idle", rescan_s=lambda s: 50 <= s <= 120)


def test_hung_mount_replaced(make, fuse, folder, proxy, equal):
    """2.6: the threads that hang in a mount stay there for ever; the one that takes its place is read by new ones."""
    tree(fuse.backing, 30)
    with make(port=proxy.port, speedup=20) as d:
        d.wait_sync()
        mark = proxy.mark()
        fuse.hang()
        d.until_status(state="blocked")
        assert "not answered" in d.status()["detail"]
        hung, fuse.process = fuse.process, None
        clear(folder)
        try:
            assert fuse.mount()
            d.until_status(state="idle", pending=0)
            with d.still():
                (folder / "new").write_text("seen")
            d.wait_sync()
            equal()
            assert proxy.puts(mark) == {"new": 1}
        finally:
            hung.kill()
            hung.wait()


def test_overlay(make, tmp_path, folder, mounted, proxy, equal):
    """2.3: changes made in the layers give no event. Inode numbers may change, which costs no upload."""
    layers = tmp_path / "layers"
    layers.mkdir()
    mounted("-t", "tmpfs", "none", layers)
    for layer in ("lower", "upper", "work"):
        (layers / layer).mkdir()
    tree(layers / "lower", 20)
    mounted("-t", "overlay", "-o", f"lowerdir={layers}/lower,upperdir={layers}/upper,workdir={layers}/work", "none", folder)
    with make(port=proxy.port) as d:
        d.wait_sync()
        equal()
        assert d.status()["polled_folders"] > 0 and "overlay" in d.status()["detail"]
        mark = proxy.mark()
        (layers / "upper/above").write_text("in the upper layer")
        (layers / "lower/below").write_text("in the lower layer")
        (folder / "d000/f00000.txt").write_text("copied up")
        (folder / "d000/f00001.txt").unlink()
        d.until_status(uploaded_files=at_least(23), deleted_files=1, pending=0)
        d.wait_sync()
        equal()
        assert set(proxy.puts(mark)) == {"above", "below", "d000/f00000.txt"}


@pytest.mark.asan
def test_polled(make, folder, proxy, equal):
    """`watch: poll` finds everything, a rename as a rename."""
    tree(folder, 30)
    with make(mapping={"watch": "poll"}, port=proxy.port) as d:
        d.wait_sync()
        assert d.status()["watch"] == "poll" and d.status()["polled_folders"] > 0
        (folder / "d000/f00000.txt").write_text("changed")
        (folder / "d000/f00001.txt").unlink()
        (folder / "d000/f00002.txt").rename(folder / "moved")
        (folder / "d/e/f").mkdir(parents=True)
        (folder / "d/e/f/new").write_text("new")
        d.until_status(uploaded_files=at_least(32), copied_files=1, deleted_files=2, pending=0)
        d.wait_sync()
        equal()


# --- mounts inside the tree ---

def test_nested_mount(make, account, folder, mounted, proxy, equal):
    """2.5: not looked into, named as skipped; when it comes or goes, nothing is deleted and nothing is sent again."""
    tree(folder, 30)
    (folder / "disk").mkdir()
    mounted("-t", "tmpfs", "none", folder / "disk")
    (folder / "disk/other").write_text("of another file system")
    d = make(mapping={"delete-delay": "30s"}, port=proxy.port)
    with d:
        d.wait_sync()
        before = names(account)
        assert len(before) == 30
        queue = d.queue()
        assert queue["disk"]["state"] == "skipped" and "mounted" in queue["disk"]["reason"]
        clear(folder / "disk")
        d.wait_sync()
        assert names(account) == before
        # one appears over files that are in the cloud, some of which were just deleted or changed
        assert d.ctl("pause").rc == 0
        (folder / "d000/f00000.txt").unlink()
        (folder / "d000/f00001.txt").write_text("changed")
        d.until_status(pending=2)  # else the mount may come before the event is read: docs/reliability.md, known limits
        mounted("-t", "tmpfs", "none", folder / "d000")
        mark = proxy.mark()
        assert d.ctl("resume").rc == 0
        assert d.ctl("rescan").rc == 0
        d.until_status(skipped=lambda n: n >= 1, state="syncing", pending=2)  # unknown until it is gone
    with d:
        d.until_status(skipped=lambda n: n >= 1, state="syncing", pending=2)
        with d.still():
            (folder / "beside").write_text("goes on")
        d.until_status(uploaded_files=at_least(1))
        assert names(account) == before | {"beside"} and writes(proxy, mark) == ["put-blob /box/beside"]
        clear(folder / "d000")
        d.wait_sync()
        equal()
        assert sorted(set(writes(proxy, mark))) == ["delete /box/d000/f00000.txt", "put-blob /box/beside",
                                                    "put-blob /box/d000/f00001.txt"]


def test_subvolume(make, tmp_path, proxy, equal):
    """2.5: a subvolume has a device number and inode numbers of its own, and is no mount: a folder like any other."""
    with Image(tmp_path / "image", "btrfs", 0, tmp_path / "disk") as disk:
        where, sub = disk.mountpoint, disk.mountpoint / "sub"
        tree(where, 10)
        with make({"folder": str(where)}, port=proxy.port) as d:
            d.wait_sync()
            run("btrfs", "subvolume", "create", sub)
            assert os.stat(sub).st_dev != os.stat(where).st_dev
            tree(sub, 10)
            d.wait_sync()
            equal(where)
            numbers = {path.stat().st_ino for path in where.glob("d000/*")}
            twin = next(path for path in sorted(sub.glob("d000/*")) if path.stat().st_ino in numbers)
            twin.write_text("changed; another file has its inode number")
            shutil.move(where / "d000/f00001.txt", sub / "moved")  # a copy: nothing is renamed across subvolumes
            d.wait_sync()
            equal(where)
            status = d.status()
            assert status["skipped"] == status["polled_folders"] == status["copied_files"] == 0


def test_bind_mount_inside(make, account, folder, mounted, proxy, equal):
    """1.14: a folder that is there twice: the second name is a mount, so it is skipped, and changes through it arrive
    under the first."""
    tree(folder / "first", 20)
    (folder / "second").mkdir()
    mounted("--bind", folder / "first", folder / "second")
    with make(port=proxy.port) as d:
        d.wait_sync()
        assert {name.split("/")[0] for name in names(account)} == {"first"}
        assert d.queue()["second"]["state"] == "skipped"
        (folder / "second/d000/f00000.txt").write_text("through the second name")
        (folder / "second/d000/f00001.txt").unlink()
        (folder / "second/new").mkdir()
        (folder / "second/new/file").write_text("made there")
        d.until_status(uploaded_files=at_least(22), deleted_files=1, pending=0)
        d.wait_sync()
        clear(folder / "second")
        d.wait_sync()
        equal()


def test_bind_mount_as_folder(make, account, folder, tmp_path, mounted, proxy, equal):
    """The mapped folder is a bind mount: watched like any other, also for changes under its other name; without the mount
    it is not this folder."""
    tree(tmp_path / "real", 30)
    mounted("--bind", tmp_path / "real", folder)
    with make(port=proxy.port) as d:
        d.wait_sync()
        assert d.status()["watch"] == "inotify" and d.status()["polled_folders"] == 0
        (tmp_path / "real/new").write_text("through the other name")
        d.until_status(uploaded_files=at_least(31))
        d.wait_sync()
        equal()
        before, mark = names(account), proxy.mark()
        umount_idle(folder)
        d.until_status(state="blocked")
        assert names(account) == before
        mounted("--bind", tmp_path / "real", folder)
        d.until_status(state="idle", pending=0)
        assert writes(proxy, mark) == [] and names(account) == before


# --- the same disk, otherwise ---

@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_another_device_number(make, account, tmp_path, proxy, equal, kind):
    """4.1, 7.2: the disk comes back as another device: it is the same one, and nothing is sent again, while it runs and
    after a restart."""
    with contextlib.ExitStack() as decoys, Image(tmp_path / "image", kind, 0, tmp_path / "disk") as disk:
        where = disk.mountpoint
        shutil.rmtree(where / "lost+found", ignore_errors=True)
        tree(where, 30)
        d = make(mappings={"docs": {"folder": str(where), "container": "box"}}, port=proxy.port)
        numbers = [os.stat(where).st_dev]

        def comes_back():
            """As another device. What has none of its own takes the first number that is free: a decoy takes that."""
            decoys.enter_context(Image(None, "tmpfs", 1, tmp_path / f"decoy{len(numbers)}"))
            disk.attach().mount()
            numbers.append(os.stat(where).st_dev)
            assert numbers[-1] != numbers[-2], "the device number is the same: nothing was tested"
        with d:
            d.wait_sync()
            before, mark = names(account), proxy.mark()
            umount_idle(where)
            d.until_status(state="blocked")
            comes_back()
            d.until_status(state="idle", pending=0)
        umount_idle(where)
        comes_back()
        with d:
            d.wait_sync()
            assert d.ctl("rescan").rc == 0
            d.wait_sync()
            assert {r.verb for r in proxy.requests[mark:]} <= {"list"} and names(account) == before
            # another disk in its place is another disk, be it as empty or as full
            umount_idle(where)
            disk.mounted = False
            with Image(tmp_path / "other", kind, 0, where):
                d.until_status(state="blocked", detail=lambda text: "file system" in text)
                assert writes(proxy, mark) == [] and names(account) == before
            disk.mount()
            d.until_status(state="idle", pending=0)
            with d.still():
                (where / "after").write_text("life goes on")
            d.wait_sync()
            assert proxy.puts(mark) == {"after": 1}
            equal(where)
