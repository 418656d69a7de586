"""Mounts of a test's own beside the disks of disks.py: one over another, FUSE with a server that can hang. Nothing here
looks into a mount that may hang."""
import contextlib
import os
import pathlib
import signal
import subprocess
import sys

from daemon import LIMIT, until

HERE = pathlib.Path(__file__).resolve().parent


def is_mounted(where):
    """By the kernel's table alone: to ask the mount itself might hang."""
    name = str(where).encode()
    with open("/proc/self/mountinfo", "rb") as table:
        return any(line.split(b" ")[4] == name for line in table)


def mount(*arguments):
    return subprocess.run(["mount", *map(str, arguments)], capture_output=True).returncode == 0


def umount(where, *how):
    subprocess.run(["umount", *how, str(where)], check=True, capture_output=True)


def umount_idle(where):
    """An idle daemon does not pin a mount (2.8); one that is reading does for a moment."""
    until(lambda: subprocess.run(["umount", str(where)], capture_output=True).returncode == 0,
          what="an idle daemon pins the mount (2.8)")


def clear(where):
    while is_mounted(where) and subprocess.run(["umount", "-l", str(where)], capture_output=True).returncode == 0:
        pass


class Fuse:
    """`backing`, shown at `where` by passthrough.py."""

    def __init__(self, backing, where, flag=None):
        self.backing, self.where, self.flag, self.process = backing, where, flag, None

    def mount(self):
        self.process = subprocess.Popen([sys.executable, "-B", str(HERE / "passthrough.py"), str(self.backing),
                                         str(self.where), *([str(self.flag)] if self.flag else [])],
                                        stdin=subprocess.DEVNULL)
        until(lambda: is_mounted(self.where) or self.process.poll() is not None, what="a FUSE mount")
        return self.process.poll() is None

    def hang(self):
        """Questions are not even taken any more."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def umount(self):
        """As it is done by hand, once nobody reads in it; the server ends by itself."""
        umount_idle(self.where)
        self.process.wait(LIMIT)
        self.process = None

    def kill(self):
        """Whoever waits for it gets ENOTCONN."""
        self.process.kill()
        self.process.wait()
        self.process = None

    def clear(self):
        if self.flag:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.flag)
        if self.process:
            self.kill()
        clear(self.where)
