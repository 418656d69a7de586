"""Another configuration, and another key, without a restart; and a bad one, which changes nothing (pitfalls 10.13, 11.5, 11.8)."""
import json
import re

from daemon import until
from service import CONFIG, MAPPING

KEY = "/etc/azsyncd/key"


def shared_key(account, secret):
    return {"endpoint": account.endpoint(), "auth": {"method": "shared-key", "key": secret}}


def test_good(service, installed, account, folder, equal):
    """A mapping that is added is loaded, one that is taken away is not, and the process stays the same."""
    service.start()
    before = service.main_pid
    installed.run("mkdir", "-p", "/srv/second")
    (installed.path("/srv/second") / "file").write_text("content")
    service.map("second", folder="/srv/second", container="second")
    service.systemctl("reload", "azsyncd.service")
    service.until_status(mapping="second", state="idle", files=1)
    equal(installed.path("/srv/second"), "second")
    installed.path(f"{CONFIG}/mappings.d/second.yaml").unlink()
    service.ctl("reload")
    assert [m["name"] for m in json.loads(service.ctl("status", "--json").out)["mappings"]] == ["docs"]
    assert service.main_pid == before


def test_bad(service, folder, equal):
    """11.5: the old one stays in force whole, and whoever asks is told: exit code, log, status."""
    service.start()
    service.wait_sync()
    before = service.main_pid
    bad = service.map("docs", **MAPPING, foldr="/srv/other")
    done = service.ctl("reload", expect=1)
    assert "docs.yaml:3:1" in done.err and "foldr" in done.err
    until(lambda: "reload failed" in service.show("StatusText"), what="STATUS= says it")
    status = json.loads(service.ctl("status", "--json").out)
    assert "docs.yaml:3:1" in status["reload_failed"]["error"] and "foldr" in service.ctl("status").out
    assert "docs.yaml:3:1" in service.ctl("status", "--check", expect=3).out
    records = [r for r in service.records("PRIORITY=3") if "docs.yaml:3:1" in r["MESSAGE"]]
    assert records and all(r["MESSAGE_ID"] == "6b1c0d5fa7a44a8f8d0e3b6f2a9c4e03" for r in records)
    (folder / "later").write_text("content")
    service.wait_sync()
    equal()
    assert service.main_pid == before and service.show("ActiveState") == "active"
    # put right
    service.configure({"docs": MAPPING})
    service.ctl("reload")
    assert json.loads(service.ctl("status", "--json").out)["reload_failed"] is None
    until(lambda: "reload failed" not in service.show("StatusText"), what="STATUS= is well again")
    assert bad.exists()


def test_bad_by_systemctl(service):
    """systemctl waits for the answer, and passes on that it was no good one."""
    service.start()
    before = service.main_pid
    service.map("docs", **MAPPING, foldr="/srv/other")
    service.systemctl("reload", "azsyncd.service", expect=1)
    assert service.show("ActiveState") == "active" and service.main_pid == before
    service.configure({"docs": MAPPING})
    service.systemctl("reload", "azsyncd.service")


def test_bad_at_the_start(service):
    """It does not get better by itself: no restart after restart, and the log names the place."""
    service.map("docs", **MAPPING, foldr="/srv/other")
    service.systemctl("enable", "--now", "azsyncd.service", expect=1)
    assert service.show("ExecMainStatus") == "78" and service.show("NRestarts") == "0"
    assert service.show("ActiveState") == "failed"
    assert "docs.yaml:3:1" in service.said()


def test_bad_while_the_log_is_late(service):
    """journald asks whose a record is when it comes to read it, and by then the process is gone: the unit's state has the
    reason all the same."""
    service.map("docs", **MAPPING, foldr="/srv/other")
    journald = "systemd-journald.service"
    service.systemctl("kill", "--signal=STOP", journald)
    try:
        service.systemctl("start", "azsyncd.service", expect=1)
    finally:
        service.systemctl("kill", "--signal=CONT", journald)
    assert re.match(r"Cannot start: .*/docs\.yaml:3:1: foldr", service.show("StatusText"))


def test_key_in_a_file(service, installed, azurite, account, folder, equal):
    """A key that was rotated is read by a reload."""
    wrong = azurite.account().key
    installed.write(KEY, wrong, 0o600)
    service.configure({"docs": MAPPING}, auth=shared_key(account, {"file": KEY}))
    (folder / "file").write_text("content")
    service.start()
    service.until_status(state="blocked", pending=1)
    installed.write(KEY, account.key, 0o600)
    service.systemctl("reload", "azsyncd.service")
    service.wait_sync()
    equal()
    assert account.key not in service.log() and wrong not in service.log()


def test_key_as_a_credential(service, installed, azurite, account, folder, equal):
    """11.8: systemd hands a credential over at the start, so a reload does not renew it; a restart does."""
    wrong = azurite.account().key
    installed.write("/root/key", wrong, 0o600)
    service.drop_in("[Service]\nLoadCredential=azure-key:/root/key\n")
    service.configure({"docs": MAPPING}, auth=shared_key(account, {"credential": "azure-key"}))
    (folder / "file").write_text("content")
    service.start()
    service.until_status(state="blocked", pending=1)
    installed.write("/root/key", account.key, 0o600)
    service.restart()
    service.wait_sync()
    equal()
