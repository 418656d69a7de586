"""The trees that are measured, made once below a folder the user may choose, and kept for the next round or run."""
import contextlib
import fcntl
import os
import pathlib
import shutil
import subprocess

MIB = 1 << 20
INODES, BYTES = 1_500_000, 12 << 30  # what all of them together need


def default_base():
    """The first usual place for temporary files that is large enough."""
    for name in (os.environ.get("TMPDIR"), "/var/tmp", "/tmp"):
        if not name or not os.path.isdir(name):
            continue
        at = os.statvfs(name)
        if at.f_favail >= INODES and at.f_bavail * at.f_frsize >= BYTES:
            return pathlib.Path(name) / f"azsyncd-bench-{os.getuid()}"
    raise SystemExit("no place with a million free inodes and 12 GiB: name one with --dir")


def prepare_base(base):
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    if base.stat().st_uid != os.getuid():
        raise SystemExit(f"{base} belongs to somebody else")
    base.chmod(0o700)
    return base.resolve()


@contextlib.contextmanager
def alone(base):
    """Two measurements at once measure nothing, and some change the trees: the second one waits."""
    with open(base / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("  waiting for another run to end", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def emptied(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def tree(base, name, fill):
    """base/name, made by fill(folder) unless it is there whole."""
    folder, part = base / name, base / f"{name}.part"
    if not folder.exists():
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        fill(part)
        os.sync()
        part.rename(folder)
    return folder


def fill_folder(path, files, size):
    """`files` files in one new folder; each has its own content."""
    os.mkdir(path)
    at = os.open(path, os.O_DIRECTORY)
    content = os.urandom(size)
    for n in range(files):
        fd = os.open(f"file{n:05d}.dat", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=at)
        os.write(fd, b"%016d" % n + content[16:] if size > 16 else content)
        os.close(fd)
    os.close(at)


def folders(count, files, size):
    """A fill: so many folders with so many files each."""
    def fill(folder):
        for n in range(count):
            fill_folder(folder / f"d{n:03d}", files, size)
    return fill


def small(base):
    """10,000 files of 4 KiB in 100 folders."""
    return tree(base, "small", folders(100, 100, 4096))


def big(base):
    """One file of 1 GiB that does not compress and repeats nothing."""
    def fill(folder):
        with open(folder / "file.bin", "wb") as f:
            for _ in range(1024):
                f.write(os.urandom(MIB))
    return tree(base, "big", fill)


def wide(base):
    """100,000 folders with two files each, a hundred of them at the top."""
    def fill(folder):
        for top in range(100):
            fill_folder(folder / f"t{top:02d}", 2, 16)
            for n in range(999):
                fill_folder(folder / f"t{top:02d}" / f"s{n:03d}", 2, 16)
    return tree(base, "wide", fill)


def million(base):
    """1,000,000 files in 1,000 folders."""
    return tree(base, "million", folders(1000, 1000, 16))


def pending(base):
    """200,000 files in 200 folders."""
    return tree(base, "pending", folders(200, 1000, 16))


def warm(folder, content):
    """Brings names and inodes into the kernel's caches, and content if that is read, too."""
    command = ["grep", "-rqs", "--binary-files=text", "-m1", "-e", "never in a tree of random bytes"] if content else \
        ["du", "-s"]
    subprocess.run([*command, str(folder)], stdout=subprocess.DEVNULL, check=False)
