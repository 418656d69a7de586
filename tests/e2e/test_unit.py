"""What systemd is asked for: enough to read every mapped folder, and no more."""
import configparser
import os
import pathlib
import pwd
import re
import shutil
import subprocess
import tempfile

import pytest

from daemon import AZSYNCD, BUILD, LIMIT, TOP
from given import tree

UNIT = BUILD / "systemd/azsyncd.service"


@pytest.fixture(scope="module")
def service():
    unit = configparser.RawConfigParser(strict=False, delimiters="=")
    unit.optionxform = str
    unit.read(UNIT)
    return unit["Service"]


def test_unit_makes_no_data_vanish(service):
    """pitfalls 2.7: what these hide looks like an emptied folder, and a mount unit must not decide over all mappings."""
    for key in ("PrivateTmp", "DynamicUser", "RequiresMountsFor", "InaccessiblePaths", "TemporaryFileSystem", "PrivateUsers"):
        assert key not in service, key
    # shown as they are; ProtectSystem=strict alone would leave them writable
    assert service["ProtectHome"] == "read-only"
    assert "RequiresMountsFor" not in {line.partition("=")[0] for line in UNIT.read_text().splitlines()}


def test_unit_gives_least_privilege(service):
    """pitfalls 11.8, 11.9, 11.11: a user of its own with one capability; nothing but its state directory is writable."""
    assert service["User"] not in ("root", "0")
    assert service["CapabilityBoundingSet"] == service["AmbientCapabilities"] == "CAP_DAC_READ_SEARCH"
    assert service["NoNewPrivileges"] == "yes" and service["ProtectSystem"] == "strict"
    assert "ReadWritePaths" not in service and service["StateDirectoryMode"] == "0700"
    assert service["RuntimeDirectoryMode"] == "0750" and service["LimitCORE"] == "0"
    assert service["Type"] == "notify" and int(service["WatchdogSec"]) > 0


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze")
@pytest.mark.parametrize("kind", ["--system", "--user"])
def test_unit_is_understood(tmp_path, kind):
    """Every key and value means something to the systemd of this machine."""
    unit = tmp_path / "azsyncd.service"
    made = UNIT if kind == "--system" else UNIT.with_name("azsyncd.user.service")
    unit.write_text(re.sub("^(Exec[A-Za-z]*)=[^ \n]*", rf"\1={AZSYNCD}", made.read_text(), flags=re.MULTILINE)
                    .replace("Documentation=man:azsyncd(8)\n", ""))
    done = subprocess.run(["systemd-analyze", kind, "verify", unit], capture_output=True, text=True, timeout=LIMIT,
                          env=dict(os.environ, XDG_RUNTIME_DIR=str(tmp_path)))
    assert str(unit.name) not in done.stderr, done.stderr


@pytest.fixture
def open_place():
    """A folder that others may pass through: pytest's own are closed."""
    with tempfile.TemporaryDirectory(prefix="azsync-unit-") as name:
        os.chmod(name, 0o755)
        yield pathlib.Path(name)


@pytest.mark.skipif(os.getuid() != 0, reason="needs another user to be")
def test_reads_others_files_by_one_capability(make, open_place, equal):
    """pitfalls 11.11: as an ordinary user with CAP_DAC_READ_SEARCH, what only its owner may read is mirrored, and the
    process can neither write there nor become more."""
    nobody, folder = pwd.getpwnam("nobody"), open_place / "folder"
    tree(folder, 10)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o700 if path.is_dir() else 0o600)
    d = make({"folder": str(folder)}, base=open_place / "daemon")
    for path in [d.base, *d.base.rglob("*")]:
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    before = os.umask(0)  # the notify socket is made by root
    try:
        d.start(wrapper=["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups",
                         "--inh-caps=-all,+dac_read_search", "--ambient-caps=+dac_read_search",
                         "--bounding-set=-all,+dac_read_search", "--no-new-privs"])
    finally:
        os.umask(before)
    try:
        d.wait_sync()
        equal(folder)
        status = (pathlib.Path("/proc") / str(d.pid) / "status").read_text()
        assert re.search(r"^CapEff:\s+0*4$", status, re.MULTILINE), status
        # pitfalls 11.8: no core, no debugger: it is not "dumpable", so what is the user's in /proc is root's
        assert os.stat(f"/proc/{d.pid}/environ").st_uid == 0
        (folder / "later").write_text("of root, closed to others")
        (folder / "later").chmod(0o600)
        d.wait_sync()
        equal(folder)
        assert d.status()["failed"] == 0
    finally:
        assert d.stop() == 0
    assert {p.stat().st_uid for p in folder.rglob("*")} == {0}


def test_failures_are_counted_not_written_out(make, folder):
    """pitfalls 11.10: one cause and many files make few lines; what stands in them is counted in status."""
    for n in range(300):
        (folder / f"{n}").mkdir()
    for n in range(300):  # each too large by itself
        with open(folder / f"{n}/huge", "wb") as f:
            f.truncate(4 * 2**40)
    with make() as d:
        d.until_status(failed=300, pending=0)
        lines = [line for line in d.log().splitlines() if "huge" in line]
        assert 1 <= len(lines) <= 20, len(lines)
        assert len(d.queue()) == 300


def test_overflow_says_what_to_do():
    """pitfalls 1.11: the limit is read when an instance is made, so raising it alone changes nothing."""
    catalog = (TOP / "systemd/azsyncd.catalog").read_text()
    (entry,) = [e for e in catalog.split("\n-- ") if "event queue" in e]
    assert "fs.inotify.max_queued_events" in entry and "restart" in entry
