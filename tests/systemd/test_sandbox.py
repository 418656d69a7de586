"""What the unit's sandbox lets azsyncd see: all that is mapped, wherever it is, as it is now; and nothing to write to
(pitfalls 2.7, 2.8, 11.11)."""
import re

import pytest

from daemon import until
from given import tree
from service import MAPPING


def test_exposure(installed):
    """systemd's own verdict on the unit: 0 is safe, 10 is not."""
    out = installed.run("systemd-analyze", "security", "--no-pager", "azsyncd.service", expect=None).out
    print(out.splitlines()[-1])
    assert float(re.search(r"exposure level for azsyncd\.service: ([0-9.]+)", out).group(1)) <= 1.8, out


@pytest.mark.parametrize("where", ["/home/somebody/photos", "/tmp/mapped", "/var/tmp/mapped", "/root/mapped", "/opt/mapped"])
def test_reads(service, installed, account, equal, where):
    """2.7: what a sandbox hides looks emptied. Nothing is hidden, not even what its owner alone may read."""
    installed.run("useradd", "--create-home", "somebody", expect=None)
    at = installed.path(where)
    at.mkdir(mode=0o700, parents=True)
    service.configure({"docs": {"folder": where, "container": "box"}})
    tree(at, 10)
    (at / "closed").write_text("for its owner")
    (at / "closed").chmod(0o600)
    service.start()
    service.wait_sync()
    (at / "later").write_text("an event told of it")
    service.wait_sync()
    equal(at)
    assert service.status()["failed"] == 0


def test_writes_nowhere(service, installed):
    """11.11: but to its own two directories. Tried as the process itself: its user, in its view of the mounts."""
    service.start()
    pid = service.main_pid
    uid = installed.path(f"/proc/{pid}").stat().st_uid
    assert uid != 0 and re.search(r"^CapEff:\s+0*4$", installed.path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    script = 'for d; do if touch "$d/x" 2>/dev/null; then echo "$d"; rm "$d/x"; fi; done'
    out = installed.run("nsenter", "-t", pid, "-m", "setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "sh",
                        "-c", script, "sh", "/", "/etc/azsyncd", "/srv/data", "/home", "/var/lib", "/usr", "/var/lib/azsyncd",
                        "/run/azsyncd").out
    assert out.split() == ["/var/lib/azsyncd", "/run/azsyncd"]
    # nor could it as root, but for its configuration: the mounts are read-only
    out = installed.run("nsenter", "-t", pid, "-m", "sh", "-c", script, "sh", "/", "/srv/data", "/home", "/usr", "/boot").out
    assert out.split() == []


def let_go(installed, *unmount):
    """azsyncd looks into what is mounted now and then, and does not stay there."""
    until(lambda: installed.run(*unmount, expect=None).rc == 0, what=" ".join(unmount))


@pytest.fixture
def disk(installed):
    """A mount point, /srv/disk, and its mount unit, whose file system is a tmpfs."""
    installed.write("/etc/systemd/system/srv-disk.mount", "[Mount]\nWhat=tmpfs\nWhere=/srv/disk\nType=tmpfs\n")
    installed.run("systemctl", "daemon-reload")
    yield installed.path("/srv/disk")
    installed.run("systemctl", "stop", "srv-disk.mount", expect=None)


def test_disk_that_comes_and_goes(service, installed, disk, equal):
    """2.7, 2.8: a disk that is mounted after the start is seen, in the sandbox, too; an idle daemon does not keep it from
    being unmounted, and nothing is deleted then; nor does its mount unit decide over azsyncd."""
    service.configure({"docs": MAPPING, "disk": {"folder": "/srv/disk", "container": "disk"}})
    service.start()
    service.until_status(mapping="docs", state="idle")
    service.until_status(mapping="disk", state="blocked")  # there is no such folder
    before = service.main_pid
    installed.run("systemctl", "start", "srv-disk.mount")
    tree(disk, 20)
    service.until_status(mapping="disk", state="idle", files=20)
    (disk / "later").write_text("an event told of it")
    service.wait_sync("disk")
    equal(disk, "disk")
    let_go(installed, "systemctl", "stop", "srv-disk.mount")
    assert not (disk / "later").exists()
    service.until_status(mapping="disk", state="blocked", files=21, deleted_files=0)
    service.until_status(mapping="docs", state="idle")
    assert service.main_pid == before and service.show("ActiveState") == "active"


def test_disk_is_let_go(service, installed, disk, equal):
    """2.8: also out of the view of the mounts that the sandbox is: the file system itself is gone, not only its name."""
    installed.run("systemctl", "start", "srv-disk.mount")
    tree(disk, 20)
    service.configure({"disk": {"folder": "/srv/disk", "container": "disk"}})
    service.start()
    service.wait_sync()
    pid = service.main_pid
    assert "/srv/disk" in installed.path(f"/proc/{pid}/mountinfo").read_text()
    let_go(installed, "systemctl", "stop", "srv-disk.mount")
    until(lambda: "/srv/disk" not in installed.path(f"/proc/{pid}/mountinfo").read_text(), what="unmounted there, too")
    # the same disk again is another file system here (a tmpfs keeps nothing): nobody takes it for the old one
    installed.run("systemctl", "start", "srv-disk.mount")
    service.until_status(state="blocked", files=20, deleted_files=0)


def test_home_is_mounted_later(service, installed, equal):
    """2.1, 2.7: what is mounted over /home itself, where ProtectHome= has a hand, is seen, and so is its end."""
    at = installed.path("/home/somebody/mounted-over")
    at.mkdir(parents=True)
    service.configure({"docs": {"folder": "/home/somebody/mounted-over", "container": "box"}})
    tree(at, 10)
    service.start()
    service.until_status(state="idle", files=10)
    installed.run("mount", "-t", "tmpfs", "later", "/home")
    try:
        service.until_status(state="blocked", files=10)
        installed.run("mkdir", "-p", "/home/somebody/mounted-over")
        installed.run("azsyncctl", "rescan", expect=None)
        service.until_status(state="blocked", files=10, deleted_files=0)
    finally:
        let_go(installed, "umount", "/home")
    service.until_status(state="idle", files=10)
    (at / "later").write_text("an event told of it")
    service.wait_sync()
    equal(at)
    assert service.status()["deleted_files"] == 0
