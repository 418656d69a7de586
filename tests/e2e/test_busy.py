"""The file that never rests: a marked copy after ten minutes without one quiet reading, and never "in sync" (pitfalls 4.7,
promise 2). And files that are held open for days (pitfalls 1, 4.8)."""
import contextlib
import mmap
import os

import pytest

from daemon import LIMIT, SLOW, until
from disks import Image
from writers import writer, wrong

MIB = 1 << 20
# Every reading takes so long (at SEEK_HOLE, between the first fstat and the read) that it can never be a quiet one. -D:
# the tracer is a grandchild, so that the process is azsyncd.
LONG_READINGS = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "--seccomp-bpf", "-e", "trace=lseek",
                 "-e", "inject=lseek:delay_exit=400000"]


def busy(blob):
    return blob.get_blob_properties().metadata.get("azsyncdbusy")


@contextlib.contextmanager
def restless(d):
    """`with d:`, each reading a long one."""
    with contextlib.ExitStack() as stack:
        d.start(wrapper=LONG_READINGS)
        stack.push(d)
        yield d


@pytest.mark.parametrize("kind, size, there", [("write", MIB // 4, False), ("chunks", MIB, True),
                                               ("chunks", 9 * MIB, False), ("write", 9 * MIB, True)],
                         ids=["small, new", "small, changed", "by blocks, new", "by blocks, changed"])
def test_never_rests(make, account, folder, equal, kind, size, there):
    """Ten minutes are six seconds here."""
    blob = account.client().get_blob_client("box", "f")
    d = make(speedup=100)
    if there:
        (folder / "f").write_bytes(b"quiet" * 1000)
        with d:
            d.wait_sync()
            assert busy(blob) is None
    with writer(kind, folder / "f", size) as process, restless(d):
        d.until_status(busy=1, state=lambda s: s not in ("idle", "paused"), pending=1, lag_s=lambda s: s > 0)
        assert busy(blob) == "true"
        assert blob.download_blob().readall()[:1], "an empty copy"
        assert d.ctl("wait", "--timeout", "1").rc == 1
        item = d.queue()["f"]
        assert item["state"] == "busy" and "never rests" in item["reason"]
        if there:
            first = blob.get_blob_properties().etag

            def another():  # a writer that the machine holds up in a whole reading makes that a quiet one: without a mark
                now = blob.get_blob_properties()
                return now.etag != first and now.metadata.get("azsyncdbusy") == "true" and d.status()["busy"] == 1
            until(another, what="another marked copy, ten minutes later")
        process.terminate()
        assert process.wait(LIMIT * SLOW) == 0
        d.wait_sync()
        equal()
        assert busy(blob) is None
        assert d.status()["busy"] == 0 and d.queue() == {}


def test_mark_survives_a_restart(make, account, folder, equal):
    blob = account.client().get_blob_client("box", "f")
    d = make(speedup=100)
    with writer("write", folder / "f", MIB):
        with restless(d):
            d.until_status(busy=1)
    with d:  # it rests by now
        d.wait_sync()
        equal()
        assert busy(blob) is None and d.status()["busy"] == 0


def test_truncated_all_the_time(make, account, folder, equal):
    """Nearly every reading finds it shorter than it was. What goes up is a beginning of one version, or is marked."""
    blob = account.client().get_blob_client("box", "f")
    d = make(speedup=100)
    with writer("truncate", folder / "f", 9 * MIB), restless(d):
        seen = {}

        def another():
            if blob.exists():
                got = blob.download_blob()
                data, mark = got.readall(), got.properties.metadata.get("azsyncdbusy")
                seen[got.properties.etag] = mark
                assert mark or wrong("truncate", data, 9 * MIB) is None
            return len(seen) >= 2 and "true" in seen.values()
        until(another, what="two copies, one of them marked")
    with d:
        d.wait_sync()
        equal()
        assert busy(blob) is None


def test_ten_minutes_are_of_readings(make, proxy, folder, equal):
    """A file may have waited for longer than that (paused, offline): it has not been found restless for so long."""
    d = make(port=proxy.port, speedup=50)
    with restless(d):
        d.wait_sync()
        assert d.ctl("pause").rc == 0
        (folder / "f").write_bytes(b"quiet, and waiting")
        d.until_status(lag_s=lambda s: s > 13)
        with writer("chunks", folder / "f", 9 * MIB):
            assert d.ctl("resume").rc == 0
            until(lambda: proxy.count("put-block") >= 3, what="the blocks of the first reading, which is no quiet one")
        d.wait_sync()
        equal()
    assert not [r for r in proxy.requests if "x-ms-meta-azsyncdbusy" in r.headers]


@pytest.mark.parametrize("fstype", ["ext4", "xfs", "btrfs", "tmpfs"])
def test_mapping_held_open(make, tmp_path, equal, fstype):
    """Stores through a mapping that stays: no event at all, so the rescan finds them, by the stamp that the cleaning of
    pages made tell (4.3). On tmpfs no stamp ever tells; CLOSE_WRITE at the end does."""
    with Image(tmp_path / "image", fstype, 300, tmp_path / "disk") as disk:
        folder = disk.mountpoint / "box"
        folder.mkdir()
        path = folder / "mapped"
        path.write_bytes(b"a" * 3 * 4096)
        with make(mapping={"folder": str(folder)}) as d:
            d.wait_sync()
            fd = os.open(path, os.O_RDWR)
            view = mmap.mmap(fd, 3 * 4096)
            os.close(fd)
            for n in range(1, 6 if fstype != "tmpfs" else 1):
                view[4096:4098] = b"%02d" % n  # the first one into a clean page, the others into one that was dirty
                assert d.ctl("rescan").rc == 0
                d.wait_sync()
                equal(folder)
            view[0:4] = b"last"
            view.close()
            d.wait_sync()
            equal(folder)
