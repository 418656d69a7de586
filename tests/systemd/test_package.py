"""The package's life: upgraded while files change, removed, purged (docs/howto/package.md)."""
import re
import subprocess
import threading

import pytest

from changes import LEAST, Changes, check
from conftest import install
from daemon import until
from given import tree
from machine import PATIENCE


@pytest.fixture(scope="module")
def newer(package, tmp_path_factory):
    """The same package, but for a version that is higher."""
    base = tmp_path_factory.mktemp("newer")
    subprocess.run(["dpkg-deb", "--raw-extract", package, base / "tree"], check=True)
    control = base / "tree/DEBIAN/control"
    control.write_text(re.sub(r"(?m)^(Version: .*)$", r"\1+newer", control.read_text()))
    subprocess.run(["dpkg-deb", "-Zgzip", "-z1", "--build", base / "tree", base / "newer.deb"], check=True,
                   capture_output=True)
    return base / "newer.deb"


def version(machine):
    return machine.run("dpkg-query", "-W", "-f", "${Version}", "azsyncd").out


def test_upgrade(installed, service, folder, equal, proxy, newer, package, files):
    """Changes while the old one stops, while none runs, and while the new one starts: only they are sent."""
    # as long as the file is not there, it is an upgrade that takes its time
    service.drop_in("[Service]\nExecStartPre=/bin/sh -c 'until [ -e /srv/go ]; do sleep 0.05; done'\n")
    go = installed.path("/srv/go")
    service.through(proxy)
    tree(folder, files)
    go.touch()
    service.start()
    service.wait_sync(seconds=PATIENCE + files // 10)
    go.unlink()
    old, mark, before = version(installed), proxy.mark(), service.main_pid
    upgrade = threading.Thread(target=install, args=(installed, newer), daemon=True)
    upgrade.start()
    try:
        until(lambda: service.show("ActiveState") == "activating" and service.main_pid == 0, what="the old one's end")
        changes = Changes(folder).make()
    finally:
        go.touch()
        upgrade.join(PATIENCE)
    assert not upgrade.is_alive() and version(installed) == f"{old}+newer"
    assert service.show("ActiveState") == "active" and service.main_pid != before
    service.wait_sync(seconds=PATIENCE + files // 10)
    check(proxy, mark, changes.cost)
    equal(content=files == LEAST)


def test_upgrade_under_load(installed, service, folder, equal, package, newer):
    """Files that come all the time, back and forth between two versions: nothing is lost."""
    service.start()
    ended, made = threading.Event(), 0

    def work():
        for turn in (newer, package):
            install(installed, turn)
        ended.set()
    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    while worker.is_alive() and not ended.wait(0.002):
        name = f"f{made % 1000}"  # the longer an upgrade takes, the more often; there are never more of them
        (folder / name).write_text(f"content {made}")
        if made % 3 == 0:
            (folder / name).rename(folder / f"renamed-{name}")
        made += 1
    assert ended.is_set() and made > 10
    service.wait_sync()
    equal()


def test_upgrade_starts_nothing(installed, service, newer):
    """What a person stopped, or never started, stays so."""
    install(installed, newer)
    assert service.show("ActiveState") == "inactive"
    assert service.systemctl("is-enabled", "azsyncd.service", expect=1).out.strip() == "disabled"


def test_remove_and_purge(installed, service, folder, account, equal, package):
    """Removed: it stops, and what the user wrote stays. Purged: configuration and state go. The cloud is never touched."""
    install(installed, package)
    (folder / "file").write_text("content")
    service.start()
    service.wait_sync()
    installed.run("dpkg", "--remove", "azsyncd")
    assert service.systemctl("is-active", "azsyncd.service", expect=None).out.strip() in ("inactive", "unknown")
    assert installed.run("sh", "-c", "! grep -lx azsyncd /proc/[0-9]*/comm").out == ""
    assert installed.path("/etc/azsyncd/azsyncd.yaml").exists() and installed.path("/var/lib/azsyncd/journal.db").exists()
    # installed again it goes on where it was
    install(installed, package)
    service.start()
    service.wait_sync()
    assert service.status()["uploaded_files"] == 0
    installed.run("dpkg", "--purge", "azsyncd")
    for path in ("/var/lib/azsyncd", "/run/azsyncd", "/usr/bin/azsyncd", "/etc/azsyncd"):
        assert not installed.path(path).exists(), path
    equal()
    assert installed.run("systemctl", "list-units", "--failed", "--quiet", "--no-legend", "azsyncd*").out == ""
