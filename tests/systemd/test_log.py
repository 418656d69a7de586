"""What journald has of azsyncd: fields to look for, what a message means, and not too much of it (pitfalls 11.10)."""
import re

import pytest

from daemon import TOP, until
from given import tree
from service import MAPPING

MESSAGES = dict(re.findall(r'#define (MSG_\w+) "([0-9a-f]+)"', (TOP / "include/azsyncd/messages.h").read_text()))


def test_by_mapping_and_priority(service, account, folder):
    """journalctl AZSYNC_MAPPING=photos -p warning: what went wrong with photos, of which file, where and why."""
    service.configure({"photos": MAPPING, "other": {"folder": "/srv/data", "container": "other"}})
    (folder / "sub").mkdir()
    (folder / "sub/a\nb").write_text("mine")
    service.start()
    service.wait_sync()
    box = account.client().get_container_client("box")
    (name,) = [b.name for b in box.list_blobs()]
    box.upload_blob(name, b"theirs", overwrite=True)
    (folder / "sub/a\nb").write_text("mine, later")
    service.until_status(mapping="photos", conflicts=1)
    service.wait_sync("other")
    (record,) = service.records("AZSYNC_MAPPING=photos", "--priority=warning")
    assert record["MESSAGE_ID"] == MESSAGES["MSG_CONFLICT"] and record["PRIORITY"] == "4"
    assert record["AZSYNC_PATH"] == r"sub/a\x0ab" and record["AZSYNC_CONTAINER"] == "box"
    assert record["AZSYNC_ACCOUNT"] == "main" and "changed" in record["AZSYNC_ERROR"]
    assert record["SYSLOG_IDENTIFIER"] == "azsyncd" and record["_SYSTEMD_UNIT"] == "azsyncd.service"
    assert service.records("AZSYNC_MAPPING=other", "--priority=warning") == []


def test_what_the_service_said(service, azurite, account, folder):
    """An answer of the service comes with its number and its own word for it."""
    service.configure({"docs": MAPPING}, auth={"endpoint": account.endpoint(), "auth": {
        "method": "shared-key", "key": azurite.account().key}})
    service.start()
    service.until_status(state="blocked")
    (record,) = service.records("AZSYNC_MAPPING=docs", f"MESSAGE_ID={MESSAGES['MSG_OFFLINE']}")
    assert record["AZSYNC_ERROR_DOMAIN"] == "azure" and record["AZSYNC_ERROR_NATIVE"] == "403"
    assert record["AZSYNC_ERROR_DETAIL"] == "AuthorizationFailure" and int(record["ERRNO"]) > 0
    assert "403" in record["AZSYNC_ERROR"] and account.key not in str(record)


def test_every_record_says_what_it_is(service, installed, folder):
    """A mapping's records have its name, and each record that a person is to act on a MESSAGE_ID with an entry."""
    service.start()
    service.wait_sync()
    service.ctl("pause", "docs")
    service.ctl("resume", "docs")
    service.systemctl("reload", "azsyncd.service")
    service.systemctl("stop", "azsyncd.service")
    pid = service.show("ExecMainPID")
    records = service.records(f"_PID={pid}")
    assert {MESSAGES[n] for n in ("MSG_STARTED", "MSG_MAPPING_LOADED", "MSG_IN_SYNC", "MSG_STOPPING")} <= {
        r.get("MESSAGE_ID") for r in records}
    for record in records:
        assert record["CODE_FILE"].endswith(".c") and record["PRIORITY"] in "34567", record
        if int(record["PRIORITY"]) <= 5:
            assert record["MESSAGE_ID"] in MESSAGES.values(), record
        if re.search(r"\bdocs\b", record["MESSAGE"]):
            assert record["AZSYNC_MAPPING"] == "docs", record


@pytest.mark.parametrize("name", MESSAGES)
def test_catalog(installed, name):
    """journalctl -x has an entry for each message."""
    out = installed.run("journalctl", "--dump-catalog", MESSAGES[name]).out
    assert out.startswith(f"-- {MESSAGES[name]}\nSubject: ") and "Support: " in out


def test_explained(service, installed):
    """journalctl -x: the entry stands below the message."""
    service.start()
    until(lambda: "Subject: azsyncd has started" in installed.run("journalctl", "-x", "-u", "azsyncd").out, what="entry")


def test_many_failures(service, installed, folder):
    """11.10: a thousand files with the same trouble are ten lines and one that says so; another trouble is not lost
    among them; all of them are in status and in the queue."""
    tree(folder, 20)
    for n in range(1000):
        with open(folder / f"huge{n}", "wb") as f:
            f.truncate(4 * 2**40)
    service.start()
    service.until_status(failed=1000, pending=0)
    long = folder.joinpath(*["x" * 200] * 6)
    long.mkdir(parents=True)
    (long / "file").write_text("its blob's name is too long")
    service.until_status(failed=1001, pending=0)
    records = service.records(f"MESSAGE_ID={MESSAGES['MSG_UPLOAD_FAILED']}")
    paths = [r["AZSYNC_PATH"] for r in records if "AZSYNC_PATH" in r]
    assert len([p for p in paths if p.startswith("huge")]) == 10 and len([p for p in paths if p.startswith("x")]) == 1
    (summary,) = [r for r in records if "AZSYNC_PATH" not in r]
    assert "azsyncctl queue docs" in summary["MESSAGE"] and summary["AZSYNC_MAPPING"] == "docs"
    assert "Suppressed" not in service.machine.run("journalctl", "-u", "systemd-journald").out
