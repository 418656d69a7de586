"""The table of pitfalls 1, row by row: whatever a program may do to a file arrives, by its events alone, or found by the
scan if it was done while azsyncd was down."""
import ctypes
import errno
import fcntl
import mmap
import os
import shutil
import subprocess
import tarfile

import pytest

from daemon import until
from disks import Image
from given import tree

EVENTS_ALONE = {"rescan": "30d"}  # what a scan would find must not be found by one
FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, FALLOC_COLLAPSE, FALLOC_ZERO = 1, 2, 8, 16
RENAME_EXCHANGE = 2
FICLONE = 0x40049409
OLD = 1_000_000_000  # 2001
libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
libc.renameat2.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)


def fallocate(fd, mode, at, size):
    if libc.fallocate(fd, mode, at, size):
        raise OSError(ctypes.get_errno(), "fallocate")


def exchange(a, b):
    if libc.renameat2(-100, os.fsencode(a), -100, os.fsencode(b), RENAME_EXCHANGE):
        raise OSError(ctypes.get_errno(), "renameat2")


class Hands:
    """The folder, a place outside of it on the same file system, and what is held open until the end."""

    def __init__(self, folder, outside):
        self.folder, self.outside, self.held = folder, outside, []
        outside.mkdir(exist_ok=True)
        (outside / "theirs").write_text("linked into the folder")
        for name in ("truncated", "grown", "allocated", "holed", "zeroed", "collapsed", "copied into", "cloned into",
                     "saved", "one", "two", "file", "older", "unlinked", "deleted", "often", "attributes", "unpacked"):
            (folder / name).write_bytes(name.encode() * 4000)
        for name in ("left", "right"):
            tree(folder / name, 3)
        (folder / "right/d000/only right").write_text("r")

    def open(self, name, flags=os.O_RDWR):
        """Stays open: IN_CLOSE_WRITE must not be needed."""
        self.held.append(os.open(self.folder / name, flags, 0o644))
        return self.held[-1]

    def close(self):
        while self.held:
            os.close(self.held.pop())


def written(h):
    (h.folder / "written").write_text("create, write, close")


def never_closed(h):
    os.write(h.open("log", os.O_CREAT | os.O_WRONLY), b"no CLOSE_WRITE for days")


def unnamed(h):
    """O_TMPFILE, linkat: the final name gets a CREATE, what is written afterwards is told under the name #20."""
    fd = h.open(".", os.O_TMPFILE | os.O_RDWR)
    os.write(fd, b"had no name")
    here = os.open(".", os.O_PATH)  # with a dir_fd Python calls linkat, the only way to follow this link
    os.link(f"/proc/self/fd/{fd}", h.folder / "was unnamed", src_dir_fd=here, follow_symlinks=True)
    os.close(here)
    os.write(fd, b", and goes on being written under none")


def linked(h):
    os.link(h.outside / "theirs", h.folder / "linked")


def truncated_by_path(h):
    os.truncate(h.folder / "truncated", 7)


def grown_by_path(h):
    os.truncate(h.folder / "grown", 100_000)


def allocated(h):
    fallocate(h.open("allocated"), 0, 0, 200_000)


def holed(h):
    fallocate(h.open("holed"), FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, 4096, 8192)


def zeroed(h):
    fallocate(h.open("zeroed"), FALLOC_ZERO | FALLOC_KEEP_SIZE, 4096, 4096)


def collapsed(h):
    fallocate(h.open("collapsed"), FALLOC_COLLAPSE, 4096, 4096)


def copied_by_the_kernel(h):
    source = h.open("one", os.O_RDONLY)
    assert os.copy_file_range(source, h.open("copied into"), 3000, offset_src=0, offset_dst=10) == 3000


def saved_atomically(h):
    """MOVED_TO is the only sign: there is no DELETE of the old name."""
    (h.folder / ".saved.tmp").write_text("as editors save")
    (h.folder / ".saved.tmp").rename(h.folder / "saved")


def exchanged_files(h):
    exchange(h.folder / "one", h.folder / "two")


def exchanged_kinds(h):
    exchange(h.folder / "file", h.folder / "left")


def exchanged_folders(h):
    exchange(h.folder / "left/d000" if (h.folder / "left").is_dir() else h.folder / "file/d000",
             h.folder / "right/d000")


def unlinked_while_open(h):
    """DELETE, then MODIFY under the dead name, which is another file's by then."""
    fd = h.open("unlinked")
    os.unlink(h.folder / "unlinked")
    (h.folder / "unlinked").write_text("a new one of that name")
    os.write(fd, b"into nowhere")


def copied_with_its_time(h):
    """cp -p over a newer file of the same size: mtime goes backwards (azcopy #1086)."""
    source = h.outside / "source"
    source.write_bytes(b"O" * (h.folder / "older").stat().st_size)
    os.utime(source, (OLD, OLD))
    subprocess.run(["cp", "-p", source, h.folder / "older"], check=True)


def unpacked(h):
    archive, source = h.outside / "a.tar", h.outside / "unpacked"
    source.write_bytes(b"T" * (h.folder / "unpacked").stat().st_size)
    os.utime(source, (OLD, OLD))
    with tarfile.open(archive, "w") as tar:
        tar.add(source, "unpacked")
        tar.add(source, "new from a tar")
    subprocess.run(["tar", "-x", "-f", archive, "-C", h.folder], check=True)


def moved_from_elsewhere(h):
    """From another file system, mv is a copy with the old times, and an unlink."""
    shutil.copytree(h.outside, h.folder / "from elsewhere", copy_function=shutil.copy2)


def deleted(h):
    os.unlink(h.folder / "deleted")


def attributes(h):
    os.setxattr(h.folder / "attributes", "user.azsync", b"x")
    os.chmod(h.folder / "attributes", 0o600)
    os.utime(h.folder / "attributes", (OLD, OLD))


def often(h):
    """Equal neighbours are merged in the queue, so nobody may count events (pitfalls 1.17)."""
    fd = h.open("often")
    for n in range(20000):
        os.pwrite(fd, b"%06d" % n, 0)


CHANGES = [written, never_closed, unnamed, linked, truncated_by_path, grown_by_path, allocated, holed, zeroed, collapsed,
           copied_by_the_kernel, saved_atomically, exchanged_files, exchanged_kinds, exchanged_folders,
           unlinked_while_open, deleted, copied_with_its_time, unpacked, moved_from_elsewhere, attributes, often]


def make_change(change, hands):
    try:
        change(hands)
    except OSError as e:
        if e.errno != errno.EOPNOTSUPP:
            raise
        print(f"{change.__name__}: not on this file system")


def test_by_events_alone(make, folder, tmp_path, equal):
    """pitfalls 1.3, 1.17, L1: each row by itself, and what it is held open by is not closed before it has arrived."""
    hands = Hands(folder, tmp_path / "outside")
    try:
        with make(mapping=EVENTS_ALONE) as d:
            d.wait_sync()
            for change in CHANGES:
                make_change(change, hands)
                d.wait_sync()
                try:
                    equal()
                except AssertionError as e:
                    raise AssertionError(f"{change.__name__}: {e}") from None
            assert d.status()["failed"] == 0 and d.status()["held"] == 0
    finally:
        hands.close()


@pytest.mark.asan
@pytest.mark.parametrize("down", [False, True], ids=["at once", "while it is down"])
def test_all_at_once(make, folder, tmp_path, equal, down):
    """pitfalls 1.2, 1.3, L1: all rows together, as events that stand among each other, and with no event at all."""
    hands = Hands(folder, tmp_path / "outside")
    d = make(mapping=EVENTS_ALONE)
    try:
        with d:
            d.wait_sync()
            for change in [] if down else CHANGES:
                make_change(change, hands)
            d.wait_sync()
            equal()
        if down:
            for change in CHANGES:
                make_change(change, hands)
            with d:
                d.wait_sync()
                equal()
    finally:
        hands.close()


def test_reflink_into_a_file(make, tmp_path, equal):
    """FICLONE: a MODIFY, and no byte was written (the table of pitfalls 1). The file keeps its size."""
    with Image(tmp_path / "image", "xfs", 300, tmp_path / "xfs") as disk:
        folder = disk.mountpoint / "folder"
        folder.mkdir()
        (folder / "from").write_bytes(os.urandom(100_000))
        (folder / "into").write_bytes(os.urandom(100_000))
        with make(mapping={"folder": str(folder), **EVENTS_ALONE}) as d:
            d.wait_sync()
            with open(folder / "from", "rb") as source, open(folder / "into", "r+b") as target:
                fcntl.ioctl(target.fileno(), FICLONE, source.fileno())
                d.wait_sync()
                equal(folder)


@pytest.mark.asan
def test_written_from_outside(make, account, folder, tmp_path, equal):
    """pitfalls 4.10: a write through a hard link outside the folder, and a store through an old mapping, send no event
    whatever. The scan finds them, by itself."""
    outside = tmp_path / "outside"
    outside.write_bytes(b"a" * 8192)
    os.link(outside, folder / "inside")
    (folder / "mapped").write_bytes(b"b" * 8192)
    fd = os.open(folder / "mapped", os.O_RDWR)
    view = mmap.mmap(fd, 8192)
    os.close(fd)
    box = account.client().get_container_client("box")
    with make(mapping={"rescan": "1s"}) as d:
        d.wait_sync()
        outside.write_bytes(b"written through the other name")
        view[0:6] = b"stored"
        view.flush()
        until(lambda: box.download_blob("inside").readall() == outside.read_bytes() and
              box.download_blob("mapped").readall()[:6] == b"stored", what="the scan")
        d.wait_sync()
        equal()
        view.close()


def test_stored_under_a_name_in_conflict(make, account, tmp_path):
    """pitfalls 4.3, 5.4: a store into a page that is dirty already moves no stamp, and is told under one name of the
    file; though somebody else has changed the blob of that one, the other name is read, too. A tmpfs cleans no page."""
    with Image(tmp_path / "image", "tmpfs", 64, tmp_path / "tmpfs") as disk:
        folder = disk.mountpoint / "folder"
        folder.mkdir()
        (folder / "one").write_bytes(b"a" * 8192)
        os.link(folder / "one", folder / "two")
        fd = os.open(folder / "one", os.O_RDWR)
        view = mmap.mmap(fd, 8192)
        os.close(fd)
        view[0:6] = b"dirty "
        before = (folder / "one").stat().st_mtime_ns
        box = account.client().get_container_client("box")
        with make(mapping={"folder": str(folder), **EVENTS_ALONE}) as d:
            d.wait_sync()
            box.upload_blob("one", b"theirs", overwrite=True)
            view[0:6] = b"stored"
            view.close()
            assert (folder / "one").stat().st_mtime_ns == before
            d.until_status(conflicts=1, pending=0)
            assert box.download_blob("two").readall()[:6] == b"stored"
            assert box.download_blob("one").readall() == b"theirs"


def test_edited_in_place_while_down(make, folder, equal):
    """pitfalls 4.9: the folder's own mtime does not change, so it must not be passed over."""
    tree(folder, 30, per_folder=10)
    d = make(mapping=EVENTS_ALONE)
    with d:
        d.wait_sync()
    before = (folder / "d001").stat().st_mtime_ns
    with open(folder / "d001/f00015.txt", "r+b") as f:
        f.write(b"edited")
    assert (folder / "d001").stat().st_mtime_ns == before
    with d:
        d.wait_sync()
        equal()
