"""From the package to the cloud: the first minutes of a user, and the next morning."""
import re
import time

from daemon import until
from service import MAPPING


def status_line(service):
    """As systemctl shows it to a person."""
    out = service.systemctl("status", "--no-pager", "azsyncd.service", expect=None).out
    found = re.search(r'Status: "(.*)"', out)
    return found.group(1) if found else ""


def test_first_start(service, account, folder, equal):
    """The unit of the package as it is: enabled, started, and the file is there."""
    (folder / "file").write_text("content")
    service.start()
    box = account.client().get_container_client("box")
    until(lambda: box.exists() and [b.name for b in box.list_blobs()] == ["file"], what="the file in the container")
    service.wait_sync()
    equal()
    assert service.show("ActiveState") == "active" and service.show("NRestarts") == "0"


def test_first_use(service, account, folder, equal):
    """What a person types: azsyncctl add, which asks for the key of an account that is new, then systemctl enable --now."""
    service.machine.run("sh", "-c", "rm -f /etc/azsyncd/*.yaml /etc/azsyncd/mappings.d/*.yaml")
    (folder / "file").write_text("content")
    service.ctl("add", "/srv/data", f"{account.endpoint()}/box", stdin=account.key)
    box = account.client().get_container_client("box")
    began = time.monotonic()
    service.start()
    until(lambda: box.exists() and [b.name for b in box.list_blobs()] == ["file"], what="the file in the container")
    print(f"in the container {time.monotonic() - began:.2f} s after systemctl enable --now was typed")
    service.wait_sync()
    equal()
    until(lambda: status_line(service) == "1 folder in sync", what="in sync")


def test_nothing_mapped(service):
    """A package that was just installed and started is no failure: it says what to do."""
    service.configure({})
    service.start()
    until(lambda: service.show("StatusText") == "Idle: no folder is mapped", what="STATUS=")
    assert "azsyncctl add" in service.said()


def test_status_line(service, folder):
    """pitfalls 11.6: what systemctl status says is true, while there is something to do, and when it is done."""
    service.configure({"docs": MAPPING}, bandwidth="1KiB/s")
    for n in range(200):  # minutes, at this pace
        (folder / f"file{n}").write_bytes(b"x" * 2000)
    service.start()
    until(lambda: re.fullmatch(r"0 of 1 folders in sync, (\d+) changes? pending.*", status_line(service)), what="pending")
    service.configure({"docs": MAPPING})
    service.systemctl("reload", "azsyncd.service")
    service.wait_sync()
    until(lambda: status_line(service) == "1 folder in sync", what="in sync")


def test_boot(service, installed, folder, equal):
    """Enabled once, it comes up with the machine."""
    kept = installed.path("/srv/kept")
    kept.mkdir(exist_ok=True)
    service.configure({"docs": {"folder": "/srv/kept", "container": "box"}})
    (kept / "file").write_text("content")
    service.start()
    service.wait_sync()
    installed.reboot()
    kept = installed.path("/srv/kept")
    later = installed.path("/srv/later")  # written elsewhere: nobody sees it empty, however long this takes
    later.write_text("content")
    later.rename(kept / "later")
    service.wait_sync()
    equal(kept)
    assert service.status()["uploaded_files"] == 1  # what was confirmed is not sent again
