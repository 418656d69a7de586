"""azsyncd as its package installs it, in a booted machine: configuration in /etc/azsyncd, systemctl, azsyncctl, the log."""
import json

from daemon import until, yaml
from machine import PATIENCE, Failed

CONFIG = "/etc/azsyncd"
UNIT = "azsyncd.service"
MAPPING = {"folder": "/srv/data", "container": "box"}


class Service:
    def __init__(self, machine, account):
        self.machine, self.account = machine, account

    # --- configuration ---

    def configure(self, mappings, **settings):
        """The whole of it: one account, whose connection string stands inline, and these mappings."""
        accounts = {"main": settings.pop("auth", {"connection-string": self.account.connection_string()})}
        self.machine.write(f"{CONFIG}/azsyncd.yaml", yaml({"accounts": accounts, **settings}), 0o600)
        for old in self.machine.path(f"{CONFIG}/mappings.d").glob("*.yaml"):
            old.unlink()
        for name, keys in mappings.items():
            self.map(name, **keys)

    def through(self, proxy, **settings):
        """The usual mapping, by way of a proxy."""
        self.configure({"docs": MAPPING}, auth={"connection-string": self.account.connection_string(proxy.port)},
                       **settings)

    def map(self, name, **keys):
        return self.machine.write(f"{CONFIG}/mappings.d/{name}.yaml", yaml(keys))

    def drop_in(self, text, name="test"):
        self.machine.write(f"/etc/systemd/system/{UNIT}.d/{name}.conf", text)
        self.systemctl("daemon-reload")

    # --- systemd ---

    def systemctl(self, *arguments, expect=0):
        return self.machine.run("systemctl", *arguments, expect=expect)

    def start(self):
        self.systemctl("enable", "--now", UNIT)
        return self

    def restart(self):
        self.systemctl("reset-failed", UNIT, expect=None)
        self.systemctl("restart", UNIT)
        return self

    def show(self, name):
        return self.systemctl("show", "--property", name, "--value", UNIT).out.strip()

    @property
    def main_pid(self):
        """As the machine counts; 0 if it does not run."""
        return int(self.show("MainPID"))

    def signal(self, name):
        self.systemctl("kill", "--kill-whom=main", f"--signal={name}", UNIT)

    def until_restarted(self, before):
        """Another main process, up and running."""
        until(lambda: self.show("ActiveState") == "active" and self.main_pid not in (0, before),
              what="another main process")

    # --- azsyncctl ---

    def ctl(self, *arguments, expect=0, timeout=PATIENCE, stdin=""):
        return self.machine.run("azsyncctl", *arguments, expect=expect, timeout=timeout, stdin=stdin)

    def status(self, mapping=None):
        mappings = json.loads(self.ctl("status", "--json").out)["mappings"]
        (found,) = [m for m in mappings if mapping in (None, m["name"])]
        return found

    def until_status(self, mapping=None, **expected):
        """Waits until every named field has its value, or satisfies it if it is a function."""
        last = {}

        def matches():
            try:
                last.update(self.status(mapping))
            except Failed:  # it is not up, or has no such mapping yet
                return False
            return all(want(last[k]) if callable(want) else last[k] == want for k, want in expected.items())
        try:
            until(matches)
        except AssertionError:
            raise AssertionError(f"never {expected}; last: {last}\n{self.log()}") from None
        return dict(last)

    def wait_sync(self, *mappings, seconds=PATIENCE):
        try:
            self.ctl("wait", "--timeout", seconds, *mappings, timeout=seconds + PATIENCE)
        except Failed as e:
            raise AssertionError(f"{e}\n{self.log()}") from None

    # --- the log ---

    def journalctl(self, *arguments):
        """Once journald has written down whatever was sent to it."""
        self.machine.run("journalctl", "--sync")
        return self.machine.run("journalctl", *arguments, expect=None).out

    def records(self, *matches):
        """The unit's records of this boot, as journald has them."""
        lines = self.journalctl("--boot", "--output=json", "--all", f"--unit={UNIT}", *matches)
        return [json.loads(line) for line in lines.splitlines()]

    def said(self):
        """By the main process of the last start. Asked for by its number: of one that has ended already journald may not
        know the unit any more."""
        return self.journalctl("--boot", "--no-pager", f"_PID={self.show('ExecMainPID')}")

    def log(self):
        return self.journalctl("--no-pager", "--lines=60", f"--unit={UNIT}")
