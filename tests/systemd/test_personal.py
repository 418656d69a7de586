"""The unit for personal folders: a user's own systemd, configuration and rights."""
import pytest

from daemon import yaml
from machine import PATIENCE
from service import UNIT

USER, HOME = "alice", "/home/alice"


class Person:
    """Someone whose own systemd runs, without having logged in."""

    def __init__(self, machine):
        self.machine = machine
        machine.run("useradd", "--create-home", USER)
        machine.run("loginctl", "enable-linger", USER)
        self.uid = machine.run("id", "-u", USER).out.strip()
        machine.run("systemctl", "start", f"user@{self.uid}.service")

    def run(self, *command, **options):
        return self.machine.run("setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups", "env", f"HOME={HOME}",
                                f"XDG_RUNTIME_DIR=/run/user/{self.uid}", *command, **options)

    def systemctl(self, *arguments, **options):
        return self.run("systemctl", "--user", *arguments, **options)

    def write(self, name, text, mode=0o644):
        self.run("sh", "-c", 'mkdir -p "$(dirname "$1")" && cat >"$1" && chmod "$2" "$1"', "sh", f"{HOME}/{name}", f"{mode:o}",
                 stdin=text)


@pytest.fixture(scope="module")
def person(installed):
    return Person(installed)


def test_personal(person, installed, account, equal):
    """From a home that has nothing yet to a mirrored folder: everything is in the XDG folders, and nobody else is asked."""
    person.systemctl("enable", "--now", UNIT)
    assert "No folder is mapped" in person.run("azsyncctl", "status").out
    person.write("Documents/file", "content")
    person.write(".config/azsyncd/azsyncd.yaml",
                 yaml({"accounts": {"main": {"connection-string": account.connection_string()}}}), 0o600)
    person.write(".config/azsyncd/mappings.d/docs.yaml", yaml({"folder": f"{HOME}/Documents", "container": "box"}))
    person.systemctl("reload", UNIT)
    person.run("azsyncctl", "wait", "--timeout", PATIENCE)
    equal(installed.path(f"{HOME}/Documents"))
    made = person.run("sh", "-c", 'cd && stat -c "%a %U %n" .config/azsyncd .local/state .local/state/azsyncd/journal.db '
                      '"$XDG_RUNTIME_DIR/azsyncd/io.azsync"').out.splitlines()
    assert made == [f"700 {USER} .config/azsyncd", f"700 {USER} .local/state", f"600 {USER} .local/state/azsyncd/journal.db",
                    f"660 {USER} /run/user/{person.uid}/azsyncd/io.azsync"]
    # a bad one is refused there, too
    person.write(".config/azsyncd/mappings.d/bad.yaml", yaml({"foldr": HOME}))
    person.systemctl("reload", UNIT, expect=1)
    assert "bad.yaml:1:1: foldr" in person.run("azsyncctl", "status", "--check", expect=3).out
    # and the machine's own azsyncd has nothing to do with it
    assert installed.run("systemctl", "is-active", UNIT, expect=3).out.strip() == "inactive"


def test_personal_is_confined(person, installed):
    """As far as a user may confine himself: nothing is gained, and none of the calls that only the powerful need is let through."""
    person.systemctl("start", UNIT)
    pid = person.systemctl("show", "--property", "MainPID", "--value", UNIT).out.strip()
    status = installed.path(f"/proc/{pid}/status").read_text()
    for line in ("NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t0000000000000000"):
        assert line in status, status
