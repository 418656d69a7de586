"""What every test with systemd is given besides tests/e2e/given.py: a booted Debian with the package installed."""
import os
import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))  # the service, and who compares, are those of the end-to-end tests

import root
from changes import LEAST
from machine import Failed, Machine, why_not
from service import MAPPING, Service

pytest_plugins = ["given"]


@pytest.fixture(scope="session")
def package():
    """The .deb, as scripts/package makes it."""
    path = pathlib.Path(os.environ.get("AZSYNC_DEB", ""))
    assert path.suffix == ".deb" and path.exists(), "AZSYNC_DEB names no package: scripts/test builds it"
    return path


@pytest.fixture(scope="session")
def tarball(package):
    """The root, if one can be booted here; otherwise every test is skipped, and says why."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    made = root.tarball(package)
    try:
        with Machine(made):
            pass
    except (Failed, AssertionError) as e:  # a Debian as it comes: it is not ours that does not boot
        pytest.skip(f"systemd does not boot in a container here: {e}")
    return made


@pytest.fixture(scope="module")
def bare(tarball):
    """A machine without the package; one for each file of tests."""
    with Machine(tarball) as m:
        yield m


@pytest.fixture(scope="module")
def installed(bare, package):
    """A machine with it."""
    install(bare, package)
    return bare


def install(machine, package):
    machine.path("/root/azsyncd.deb").write_bytes(package.read_bytes())
    return machine.run("dpkg", "--install", "/root/azsyncd.deb")


@pytest.fixture
def folder(installed):
    """An empty /srv/data in the machine, as the host sees it."""
    installed.run("sh", "-c", "mkdir -p /srv/data && find /srv/data -mindepth 1 -delete")
    return installed.path("/srv/data")


@pytest.fixture
def service(installed, account, folder):
    """Configured to mirror `folder`, not started; nothing is left of what an earlier test did to it."""
    s = Service(installed, account)
    s.configure({"docs": MAPPING})
    yield s
    s.systemctl("disable", "--now", "azsyncd.service", expect=None)
    installed.run("sh", "-c", "rm -rf /var/lib/azsyncd/* /etc/systemd/system/azsyncd.service.d /etc/azsyncd/mappings.d/*.yaml")
    s.systemctl("daemon-reload")
    s.systemctl("reset-failed", expect=None)


@pytest.fixture
def files():
    """How many a folder has: 100,000 under scripts/torture, or as many as were asked for there; never fewer than what
    Changes needs."""
    asked = os.environ.get("AZSYNC_ROUNDS") or LEAST
    return 100_000 if asked == "full" else max(int(asked), LEAST)
