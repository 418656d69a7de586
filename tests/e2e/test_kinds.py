"""Kinds of object (pitfalls 5): what is mirrored, what is named instead, and what must never be opened or followed."""
import fcntl
import os
import pathlib
import shutil
import signal
import socket
import stat
import threading

import pytest

from compare import blob_to_name
from daemon import WITHOUT_POWERS, until
from given import tree

ROOT = os.getuid() == 0


def names(account):
    return {os.fsdecode(blob_to_name(b.name)) for b in account.client().get_container_client("box").list_blobs()}


@pytest.mark.asan
def test_nothing_is_skipped_silently(make, account, folder):
    """L5, pitfalls 5.1, 5.2, 5.5, 5.6: every path is in the cloud, or has a row with its reason, or is beneath one."""
    tree(folder, 5)
    for name in ("shut", "hollow", "d000/deep"):
        (folder / name).mkdir()
    (folder / "shut/inside").write_text("cannot be seen")
    (folder / "secret").write_text("cannot be read")
    (folder / "link").symlink_to("d000")
    (folder / "up").symlink_to("..")
    os.mkfifo(folder / "d000/fifo")
    if ROOT:  # reading this one would block, writing it has effects
        os.mknod(folder / "device", 0o600 | stat.S_IFCHR, os.makedev(5, 0))
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(folder / "socket"))
    with open(folder / "huge", "wb") as f:
        f.truncate(4 * 2**40)
    (folder / ("n" * 250)).mkdir()
    (folder / ("n" * 250) / ("m" * 250) / ("o" * 250)).mkdir(parents=True)
    (folder / ("n" * 250) / ("m" * 250) / ("o" * 250) / ("\u65e5" * 83)).write_text("its name has 1,002 characters")
    for name in ("shut", "secret"):
        (folder / name).chmod(0)
    daemon = make()
    daemon.start(wrapper=WITHOUT_POWERS)
    try:
        daemon.until_status(pending=0, state="failed")
        queue = daemon.queue()
        status = daemon.status()
        daemon.wait_sync(expect=3)  # and never "in sync"
    finally:
        daemon.stop()
        (folder / "shut").chmod(0o700)
    there = names(account)
    for path in sorted(p.relative_to(folder) for p in folder.rglob("*")):
        named = [str(p) for p in (path, *path.parents) if str(p) in queue]
        if path.is_dir() and not path.is_symlink():
            continue
        if (folder / path).is_dir() and not (folder / path).is_symlink() and any((folder / path).iterdir()):
            continue  # a folder is no path of its own, unless it is empty
        assert (str(path) in there) != bool(named), f"{path}: neither in the cloud nor named, or both"
    assert all(item["reason"] for item in queue.values())
    assert all(item["since"] for item in queue.values() if item["state"] == "failed"), queue
    assert "585 GiB" in queue["huge"]["reason"]
    failed = [p for p, item in queue.items() if item["state"] == "failed"]
    assert status["failed"] == len(failed) >= 3 and status["skipped"] == len(queue) - len(failed)


@pytest.mark.asan
def test_leased_file(make, folder, equal):
    """pitfalls 5.1: EWOULDBLOCK of a lease is neither a failure nor a hang: it is said, and tried again."""
    (folder / "leased").write_text("held by somebody")
    (folder / "free").write_text("beside it")
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    fd = os.open(folder / "leased", os.O_RDWR)
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    with make() as d:
        until(lambda: "lease" in d.queue().get("leased", {}).get("reason", ""), what="its reason")
        d.until_status(pending=1, failed=0)
        os.close(fd)
        d.wait_sync()
        equal()


def test_folder_swapped_for_a_link_outside(make, account, folder, tmp_path):
    """pitfalls 5.2, 5.3: whoever may write in the folder must not get at what the daemon may read elsewhere, nor may a
    link make it delete what it leads to (lsyncd #290)."""
    outside = tmp_path / "outside"
    tree(folder, 30)
    tree(outside, 30, size=77)
    stop = threading.Event()

    def swap():
        while not stop.is_set():
            (folder / "d000").rename(folder / "aside")
            (folder / "d000").symlink_to(outside / "d000")
            (folder / "d000").unlink()
            (folder / "aside").rename(folder / "d000")

    swapper = threading.Thread(target=swap)
    with make(mapping={"delete-guard": {"files": 10**6, "percent": 100}}) as d:
        d.wait_sync()
        swapper.start()
        try:
            for n in range(60):
                with open(folder / f"witness{n % 3}", "w") as f:
                    f.write(str(n))
                d.ctl("rescan")
        finally:
            stop.set()
            swapper.join()
        d.wait_sync()
    box = account.client().get_container_client("box")
    sizes = {b.name: b.size for b in box.list_blobs()}
    assert {f"d000/f{n:05d}.txt" for n in range(30)} <= set(sizes)
    assert 77 not in sizes.values(), "a file from outside was uploaded"
    assert len(list((outside / "d000").iterdir())) == 30


@pytest.mark.asan
def test_file_between_folders(make, proxy, folder, equal):
    """pitfalls 5.7: a file where a folder was, and back, with nothing lost on the way: the new ones are confirmed before
    the old name's blob is deleted."""
    (folder / "a").write_text("a file")
    d = make(port=proxy.port)
    with d:
        d.wait_sync()
    (folder / "a").unlink()
    tree(folder / "a", 3)
    (folder / "a/d000/f00000.txt").write_text("a file")
    before = proxy.mark()
    with d:
        d.wait_sync()
        equal()
        verbs = [(r.verb, r.blob) for r in proxy.requests[before:] if r.verb in ("put-blob", "copy", "delete")]
        assert verbs[-1] == ("delete", "a"), verbs
        shutil.rmtree(folder / "a")
        (folder / "a").write_text("a file again")
        d.wait_sync()
        equal()


def test_sparse_file(make, account, folder, equal):
    """pitfalls 5.8: holes are zeros; what counts is the content."""
    with open(folder / "sparse", "wb") as f:
        f.write(b"head")
        f.seek(9 * 2**20)
        f.write(b"middle")
        f.truncate(12 * 2**20)
    assert (folder / "sparse").stat().st_blocks * 512 < 2**20
    with make() as d:
        d.wait_sync()
        equal()
        with open(folder / "sparse", "r+b") as f:
            f.seek(5 * 2**20)
            f.write(b"into a hole")
        d.wait_sync()
        equal()


def test_file_larger_than_can_be_sent(make, folder, equal):
    """pitfalls 5.8: said at once, nothing of it is read, the rest goes on; and it is sent when it has shrunk."""
    tree(folder, 10)
    with open(folder / "huge", "wb") as f:
        f.truncate(4 * 2**40)
    with make() as d:
        status = d.until_status(failed=1, pending=0)
        assert status["files"] == 10 and status["uploaded_bytes"] == 2000
        rss = int((pathlib.Path("/proc") / str(d.pid) / "statm").read_text().split()[1]) * 4096
        assert rss < 2**28
        os.truncate(folder / "huge", 1000)
        d.wait_sync()
        equal()


def test_flash_of_nothing(make, proxy, folder, equal):
    """pitfalls 5.9: an editor truncates, then writes: the empty moment is not sent, however quiet it is."""
    (folder / "edited").write_text("before")
    with make(mapping={"delete-delay": "1h"}, port=proxy.port) as d:
        d.wait_sync()
        before = proxy.mark()
        os.truncate(folder / "edited", 0)
        d.until_status(pending=1, in_flight=[], state="syncing")
        until(lambda: d.queue().get("edited", {}).get("reason"), what="it waits, with a reason")
        with d.still():
            (folder / "edited").write_text("after, longer")
        d.wait_sync()
        equal()
        assert proxy.puts(before) == {"edited": 1} and proxy.body_bytes(before) == len("after, longer")
        d.map("docs", folder=folder, container="box", delete_delay="5s")
        assert d.ctl("reload").rc == 0
        os.truncate(folder / "edited", 0)  # and one that stays empty is sent in the end
        d.wait_sync()
        equal()
        assert proxy.puts(before) == {"edited": 2}
