"""File systems of one's own: an image file, a loop device, a mount; and always taken down again."""
import functools
import os
import pathlib
import subprocess
import tempfile

import pytest

from daemon import LIMIT

ROOT = [] if os.getuid() == 0 else ["sudo", "-n"]
MKFS = {"ext4": ["mkfs.ext4", "-q", "-F"], "xfs": ["mkfs.xfs", "-q", "-f"], "btrfs": ["mkfs.btrfs", "-q", "-f"]}
KINDS = [*MKFS, "tmpfs"]
SMALLEST_MB = {"ext4": 16, "xfs": 300, "btrfs": 128, "tmpfs": 1}


class DiskError(Exception):
    pass


def run(*command):
    """What it prints; DiskError with what it complains about."""
    try:
        done = subprocess.run([*ROOT, *map(str, command)], stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT)
    except (FileNotFoundError, subprocess.TimeoutExpired) as e:
        raise DiskError(str(e)) from None
    if done.returncode:
        raise DiskError(f"{command[0]}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode().strip()


class Image:
    """`with Image(path, fstype, size_mb, mountpoint) as disk:` is mounted at `disk.mountpoint`, owned by us.

    `path` is the image file, made with mkfs unless it exists already (a copy of another one's); with fstype "tmpfs" it
    is not used. What was there at the end is gone with it, unless `keep`."""

    def __init__(self, path, fstype, size_mb, mountpoint, options="", keep=False):
        self.path, self.fstype, self.options, self.keep = pathlib.Path(path or "/nowhere"), fstype, options, keep
        self.size_mb = max(size_mb, SMALLEST_MB[fstype])
        self.mountpoint = pathlib.Path(mountpoint)
        self.device, self.mounted = None, False

    def __enter__(self):
        why = unusable(self.fstype)
        if why:
            pytest.skip(why)
        try:
            return self.open()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *exc):
        self.close()

    def open(self):
        if self.fstype != "tmpfs" and not self.path.exists():
            with open(self.path, "wb") as f:
                f.truncate(self.size_mb << 20)
            run(*MKFS[self.fstype], self.path)
        return self.mount()

    def close(self):
        if self.mounted:
            try:
                self.unmount()
            except DiskError:  # somebody still has a file of it open
                self.unmount("--lazy")
        self.detach()
        if not self.keep and self.fstype != "tmpfs":
            self.path.unlink(missing_ok=True)

    def attach(self):
        """To a loop device that is free now; a device that it is attached to already is given up afterwards, so that
        the new one is another (st_dev of ext4 and xfs)."""
        before, self.device = self.device, run("losetup", "--find", "--show", self.path)
        if before:
            run("losetup", "--detach", before)
        return self

    def detach(self):
        if self.device:
            device, self.device = self.device, None
            run("losetup", "--detach", device)

    def mount(self):
        self.mountpoint.mkdir(parents=True, exist_ok=True)
        options = ["-o", self.options] if self.options else []
        if self.fstype == "tmpfs":
            run("mount", "-t", "tmpfs", "-o", f"size={self.size_mb}m", *options, "tmpfs", self.mountpoint)
        else:
            if not self.device:
                self.attach()
            run("mount", "-t", self.fstype, *options, self.device, self.mountpoint)
        self.mounted = True
        if ROOT:
            run("chown", f"{os.getuid()}:{os.getgid()}", self.mountpoint)
        return self

    def unmount(self, *options):
        run("umount", *options, self.mountpoint)
        self.mounted = False
        return self


@functools.cache
def unusable(fstype):
    """Why no disk of this kind can be had here; "": it can. Tried, not guessed: containers differ."""
    with tempfile.TemporaryDirectory(prefix="azsync-disk-") as where:
        disk = Image(os.path.join(where, "image"), fstype, 0, os.path.join(where, "mnt"))
        try:
            disk.open()
        except DiskError as e:
            return f"{fstype} cannot be mounted here: {e}"
        finally:
            disk.close()
    return ""
