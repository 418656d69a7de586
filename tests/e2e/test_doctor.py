"""azsyncctl doctor names what is wrong, and what to do, one line each; it changes nothing, and tells no secret."""
import concurrent.futures
import contextlib
import datetime
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import threading
import time
from email.utils import formatdate

import pytest
from azure.storage.blob import (AccountSasPermissions, ContainerSasPermissions, ResourceTypes, RetentionPolicy,
                                generate_account_sas, generate_container_sas)

from daemon import AZSYNCCTL, LIMIT, SLOW, WITHOUT_POWERS, Result, until
from disks import Image, run
from proxy import Answer

LINE = re.compile(r"(ok  |warn|FAIL|\?   ) (?:(account )?([A-Za-z0-9._-]+): )?([a-z-]+): (.*)")
NAMESPACE = ["unshare", "--user", "--map-root-user"]
WRONG = "d3Jvbmcga2V5IHRoYXQgbm9ib2R5IG11c3Qgc2Vl"


class Findings(list):
    """The checks of --json; `of` picks the ones of a check, by mapping or account."""

    def of(self, check, **about):
        return [c for c in self if c["check"] == check and all(c[key] == value for key, value in about.items())]

    def one(self, check, **about):
        found = self.of(check, **about)
        assert len(found) == 1, (check, about, found)
        return found[0]

    def failed(self):
        return {(c["mapping"] or c["account"], c["check"]) for c in self if c["result"] == "fail"}


def doctor(d, *names, rc=0, wrapper=(), patience=1):
    """Runs it both ways, at the same time, for it may have to wait: text and JSON must say the same. Its patience is the
    real one, unless that is divided: with a tenth of it a slow machine would look like one that hangs."""
    env = {**d.environment(), "AZSYNC_TEST_SPEEDUP": str(patience)}

    def ask(*options):
        done = subprocess.run([*wrapper, str(AZSYNCCTL), "--config", str(d.config), "--runtime-dir", str(d.runtime),
                               "--state-dir", str(d.state), "doctor", *options, *names], env=env,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT * SLOW)
        return Result(done.returncode, done.stdout.decode(), done.stderr.decode())
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        text, as_json = pool.map(lambda options: ask(*options), ((), ("--json",)))
    assert (text.rc, as_json.rc, text.err, as_json.err) == (rc, rc, "", ""), (text, as_json)
    whole = json.loads(as_json.out)
    findings = Findings(whole["checks"])
    assert whole["version"] == 1 and whole["result"] in ("ok", "warn", "fail")
    assert (whole["result"] == "fail") == (rc == 3) == bool(findings.failed())
    lines = [LINE.fullmatch(line) for line in text.out.splitlines()]
    assert all(lines), text.out
    assert [line[4] for line in lines] == [c["check"] for c in findings]
    for finding in findings:
        assert set(finding) == {"mapping", "account", "check", "result", "text", "advice"}
        assert finding["advice"] or finding["result"] in ("ok", "unknown", "warn") or finding["check"] == "state"
    return findings


def sas(account, permissions, resources="sco", hours=2):
    return generate_account_sas(account.name, account.key, ResourceTypes.from_string(resources),
                                AccountSasPermissions.from_string(permissions),
                                datetime.datetime.utcnow() + datetime.timedelta(hours=hours))


def by_sas(account, token, port=None):
    return {"main": {"endpoint": account.endpoint(port), "auth": {"method": "sas", "sas": token}}}


@pytest.mark.asan
def test_all_is_well(make, account, proxy, folder, equal):
    """With a running daemon and without: every check has a line, nothing fails, nothing is written."""
    (folder / "sub").mkdir()
    (folder / "sub" / "file").write_text("content")
    with make(port=proxy.port) as d:
        d.wait_sync()
        mark = proxy.mark()
        found = doctor(d)
        assert {r.method for r in proxy.requests[mark:]} <= {"GET", "HEAD"}
        assert d.status()["state"] == "idle"
        assert found.one("daemon")["result"] == "ok" and str(d.pid) in found.one("daemon")["text"]
        assert found.one("state", mapping="docs")["text"].startswith("idle")
        equal()
    alone = doctor(d)
    assert alone.one("daemon")["result"] == "warn" and "systemctl" in alone.one("daemon")["advice"]
    for findings in (found, alone):
        for check in ("configuration", "state-directory", "journal", "open-files"):
            assert findings.one(check, mapping=None, account=None)["result"] == "ok", check
        assert {c["check"] for c in findings} >= {"clock", "watches", "instances", "event-queue", "state-space"}
        for check in ("endpoint", "login", "clock"):
            assert findings.one(check, account="main")["result"] == "ok", check
        for check in ("container", "rights", "folder", "names", "changes"):
            assert findings.one(check, mapping="docs")["result"] == "ok", check
        assert "1 file, 2 folders" in findings.one("folder")["text"]
        assert findings.one("watches")["text"].startswith("2 watches are needed")
        assert findings.one("instances")["text"].startswith("1 instance is needed")
    assert account.key not in json.dumps([found, alone])


@pytest.mark.asan
def test_wrong_key(make, account, folder):
    """The endpoint answers, the login fails; the key itself is told to nobody."""
    string = account.connection_string().replace(account.key, WRONG)
    d = make(accounts={"main": {"connection-string": string}})
    found = doctor(d, rc=3)
    assert found.failed() == {("main", "login")}
    assert found.one("endpoint")["result"] == "ok" and found.one("container")["result"] == "unknown"
    assert "403" in found.one("login")["text"] and found.one("login")["advice"]
    assert WRONG not in json.dumps(found)


@pytest.mark.asan
@pytest.mark.parametrize("code,word", [("AuthenticationFailed", "key"), ("AuthorizationFailure", "firewall"),
                                       ("AccountIsDisabled", "subscription")])
def test_kinds_of_refusal(make, account, proxy, folder, code, word):
    """A wrong key, a firewall and a disabled account are told apart, as far as the service does."""
    proxy.rule = lambda request: Answer(403, code)
    found = doctor(make(port=proxy.port), rc=3)
    login = found.one("login")
    assert login["result"] == "fail" and word in login["text"] + login["advice"] and code in login["text"]


@pytest.mark.parametrize("skew,outcome", [(-2430, "fail"), (2430, "fail"), (5 * 60, "warn"), (3, "ok")])
def test_clock(make, account, proxy, folder, skew, outcome):
    """The service's Date against ours (pitfalls 10.11); beyond 15 minutes every request is refused."""
    refused = abs(skew) > 15 * 60

    def rule(request):
        date = {"Date": formatdate(time.time() + skew, usegmt=True)}
        if request.query.get("restype") == "account":
            return Answer(403 if refused else 200, "AuthenticationFailed", headers=date)
        return None
    account.client().create_container("box")
    proxy.rule = rule
    found = doctor(make(port=proxy.port), rc=3 if refused else 0)
    clock = found.one("clock", account="main")
    assert clock["result"] == outcome
    if refused:
        assert ("slow" if skew > 0 else "fast") in clock["text"] and found.one("login")["result"] == "fail"
        assert "40 min" in found.one("login")["text"]


@pytest.mark.asan
def test_unreachable(make, account, folder):
    """No such name, nothing on the port, and something that is not the service: three different lines."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        closed = f"http://127.0.0.1:{taken.getsockname()[1]}/acct"
        for endpoint, words in ((closed, "not reachable"), ("https://nowhere.invalid", "name is not found")):
            auth = {"method": "shared-key", "key": account.key}
            d = make(accounts={"main": {"endpoint": endpoint, "account": account.name, "auth": auth}})
            found = doctor(d, rc=3)
            assert found.failed() == {("main", "endpoint")}
            assert words in found.one("endpoint")["text"] and found.one("endpoint")["advice"]
            assert found.one("container")["result"] == "unknown" and not found.of("login")
            assert found.one("folder")["result"] == "ok"


def test_certificate(make, account, folder, tmp_path):
    """A server whose certificate nobody vouches for (10.2); with `ca-file` it is one that answers nonsense."""
    pem = tmp_path / "pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", pem, "-out", pem, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
                   check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)

    def serve(listener):
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                with contextlib.suppress(OSError), context.wrap_socket(client, server_side=True) as tls:
                    tls.recv(65536)
                    tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        config = {"endpoint": f"https://localhost:{listener.getsockname()[1]}", "account": account.name,
                  "auth": {"method": "shared-key", "key": account.key}}
        found = doctor(make(accounts={"main": config}), rc=3).one("endpoint")
        assert "certificate is not accepted" in found["text"] and "ca-file" in found["advice"]
        found = doctor(make(accounts={"main": {**config, "ca-file": str(pem)}}), rc=3).one("endpoint")
        assert "x-ms-request-id" in found["text"]
        listener.shutdown(socket.SHUT_RDWR)


def test_not_the_service(make, account, proxy, folder):
    """A captive portal says 200 to everything (pitfalls 10.2)."""
    proxy.rule = lambda request: Answer(200, "", headers={"x-ms-request-id": "", "Content-Type": "text/html"},
                                        body=b"<html>Welcome</html>")
    found = doctor(make(port=proxy.port), rc=3)
    assert found.failed() == {("main", "endpoint")}


@pytest.mark.parametrize("create", [True, False])
def test_no_container(make, account, folder, create):
    found = doctor(make({"create-container": create}), rc=0 if create else 3)
    container = found.one("container")
    assert container["result"] == ("warn" if create else "fail") and "does not exist" in container["text"]
    assert create or "az storage container create" in container["advice"]
    assert [c.name for c in account.client().list_containers()] == []


@pytest.mark.asan
def test_sas(make, account, folder):
    """What a SAS lacks is named; what it does not let us ask is not guessed; its signature is shown nowhere."""
    service = account.client()
    service.create_container("box")
    service.set_service_properties(delete_retention_policy=RetentionPolicy(enabled=True, days=7))

    def findings(token, rc, **mapping):
        found = doctor(make(mapping, accounts=by_sas(account, token)), rc=rc)
        assert re.search("sig=([^&]+)", token)[1] not in json.dumps(found)
        return found

    whole = findings(sas(account, "rwdlac"), 0)
    assert whole.one("login")["result"] == whole.one("rights")["result"] == "ok"
    assert "listing and reading work" in whole.one("rights")["text"]
    assert whole.one("soft-delete")["result"] == "ok"

    no_delete = findings(sas(account, "rwl"), 3)
    assert no_delete.failed() == {("docs", "rights")} and "delete (d)" in no_delete.one("rights")["text"]
    assert findings(sas(account, "rwl"), 0, deletes="keep").one("rights")["result"] == "ok"

    no_list = findings(sas(account, "rwd"), 3)
    assert no_list.failed() == {("docs", "container"), ("docs", "rights")}
    assert "list (l)" in no_list.one("rights")["text"]

    narrow = findings(sas(account, "rwdl", "co"), 0)  # no srt=s: the service's properties are none of its business
    assert narrow.one("soft-delete")["result"] == "unknown" and "SAS" in narrow.one("soft-delete")["text"]

    of_container = findings(generate_container_sas(
        account.name, "box", account.key, permission=ContainerSasPermissions(read=True, write=True, delete=True, list=True),
        expiry=datetime.datetime.utcnow() + datetime.timedelta(hours=1)), 0)
    assert of_container.one("container")["result"] == of_container.one("rights")["result"] == "ok"

    over = findings(sas(account, "rwdl", hours=-1), 3)
    assert over.failed() == {("main", "login")} and "ended" in over.one("login")["text"]


@pytest.mark.asan
def test_soft_delete(make, account, folder):
    service = account.client()
    service.create_container("box")
    for policy, outcome, words in ((RetentionPolicy(enabled=True, days=7), "ok", "7 days"),
                                   (RetentionPolicy(enabled=False), "warn", "off")):
        service.set_service_properties(delete_retention_policy=policy)
        found = doctor(make()).one("soft-delete")
        assert found["result"] == outcome and words in found["text"]
        assert outcome == "ok" or "--enable-delete-retention" in found["advice"]


def test_versioning(make, account, proxy, folder):
    """Only a blob's own version id tells; without one it stays unknown. Accounts with folders have no versions."""
    container = account.client().create_container("box")
    d = make(port=proxy.port)
    assert doctor(d).one("versioning")["result"] == "unknown"
    container.upload_blob("a blob", b"content")
    unknown = doctor(d).one("versioning")
    assert unknown["result"] == "unknown" and "isVersioningEnabled" in unknown["advice"]

    def rule(request):
        if request.method == "HEAD":
            return Answer(200, "", headers={"ETag": '"0x1"', "x-ms-version-id": "2026-01-01T00:00:00.0000000Z"})
        return None
    proxy.rule = rule
    assert doctor(d).one("versioning")["result"] == "ok"
    proxy.rule = lambda request: Answer(200, "", headers={"x-ms-is-hns-enabled": "true", "x-ms-account-kind": "StorageV2"}
                                        ) if request.query.get("restype") == "account" else None
    found = doctor(d)
    assert "hierarchical" in found.one("versioning")["text"] and "hierarchical" in found.one("login")["text"]


@pytest.mark.asan
@pytest.mark.skipif(not WITHOUT_POWERS, reason="needs root, to be without its powers")
def test_unreadable(make, account, folder):
    """Rights are the caller's: what may not be read is counted, and the first is named, harmlessly (6.8)."""
    account.client().create_container("box")
    secret = os.fsencode(folder) + b"/a\x1b[31msecret\n"
    with open(secret, "w") as f:
        f.write("x")
    os.chmod(secret, 0)
    (folder / "closed").mkdir(mode=0)
    d = make()
    found = doctor(d, rc=3, wrapper=WITHOUT_POWERS)
    text = found.one("folder")["text"]
    assert found.failed() == {("docs", "folder")} and "1 file and 1 folder cannot be read" in text
    assert "a\\x1b[31msecret\\x0a" in text and "\x1b" not in text
    folder.chmod(0)
    found = doctor(d, rc=3, wrapper=WITHOUT_POWERS)
    assert "Permission denied" in found.one("folder")["text"] and "right to read" in found.one("folder")["advice"]
    folder.chmod(0o700)
    assert doctor(d).one("folder")["result"] == "ok"


def test_missing_folder(make, account, folder):
    account.client().create_container("box")
    d = make({"folder": str(folder / "gone")})
    found = doctor(d, rc=3)
    assert found.failed() == {("docs", "folder")} and "does not exist" in found.one("folder")["text"]


@pytest.mark.skipif(subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode != 0,
                    reason="no user namespaces here")
def test_too_few_watches(make, account, folder):
    """The limit of the user namespace counts, too; it can be set here without touching the machine's."""
    account.client().create_container("box")
    for n in range(9):
        (folder / f"d{n}").mkdir()
    d = make()

    def limited(limit, rc):
        inside = f"echo {limit} >/proc/sys/user/max_inotify_watches && exec \"$@\""
        return doctor(d, rc=rc, wrapper=[*NAMESPACE, "sh", "-c", inside, "sh"])
    found = limited(5, 3)
    assert found.failed() == {(None, "watches")}
    watches = found.one("watches")
    assert "10 watches are needed, limit 5" in watches["text"]
    assert "sysctl fs.inotify.max_user_watches=" in watches["advice"]
    assert doctor(d).one("watches")["result"] == "ok"
    assert doctor(make({"watch": "poll"})).one("watches")["text"].startswith("0 watches")


def test_too_few_files(make, account, folder):
    account.client().create_container("box")
    found = doctor(make(), rc=3, wrapper=["prlimit", "--nofile=150:150"])
    assert found.failed() == {(None, "open-files")} and "150 files" in found.one("open-files")["text"]
    assert "LimitNOFILE" in found.one("open-files")["advice"]


def test_state_directory(make, account, folder, tmp_path):
    """Hardly any room, no inodes, read-only, a damaged journal, missing: each in its words."""
    account.client().create_container("box")
    d = make()
    d.state = tmp_path / "small"
    missing = doctor(d)
    assert "does not exist" in missing.one("state-directory")["text"] and not missing.of("state-space")

    def on(size_mb, *failed, options=""):
        with Image(tmp_path / "image", "tmpfs", size_mb, d.state, options) as disk:
            (d.state / "journal.db.damaged").touch()
            if "state-directory" in failed:
                run("mount", "-o", "remount,ro", disk.mountpoint)
            found = doctor(d, rc=3 if failed else 0)
        assert found.failed() == {(None, check) for check in failed}
        assert any("put aside" in c["text"] for c in found.of("journal"))
        return found
    assert on(300).one("state-space")["result"] == "ok"
    assert on(100).one("state-space")["result"] == "warn"
    assert "make room" in on(8, "state-space").one("state-space")["advice"]
    assert "no inodes" in on(300, "state-space", options="nr_inodes=3").one("state-space")["text"]
    assert "read-only" in on(300, "state-directory").one("state-directory")["text"]


@pytest.mark.asan
def test_names(make, account, folder):
    """What no blob can be called is named before anything is sent."""
    account.client().create_container("box")
    deep = folder / "/".join(["n" * 200] * 6)
    deep.mkdir(parents=True)
    (deep / "file").write_text("x")
    (folder / "fine").write_text("x")
    found = doctor(make(), rc=3)
    assert found.failed() == {("docs", "names")} and "1 path is too long" in found.one("names")["text"]


@pytest.mark.asan
def test_bad_configuration(make, folder):
    """Each mistake with its place, as --check-config has it; the machine is looked at all the same."""
    d = make(mappings={})
    d.write("mappings.d/docs.yaml", f"folder: {folder}\naccount: mian\ncontainer: box\nexlude: []\n")
    found = doctor(d, rc=3)
    places = [c["text"] for c in found.of("configuration")]
    assert any(f"{d.config}/mappings.d/docs.yaml:4:1" in text and "exlude" in text for text in places)
    assert found.one("clock") and found.one("state-directory") and not found.of("endpoint")


def test_no_such_mapping(make, account, folder):
    d = make(mappings={name: {"folder": str(folder), "container": name} for name in ("one", "two")})
    for name in ("one", "two"):
        account.client().create_container(name)
    assert d.ctl("doctor", "nonesuch").rc == 1
    assert d.ctl("doctor", "one", "two").rc == 2 and d.ctl("status", "--state-dir", "/x").rc == 2
    assert {c["mapping"] for c in doctor(d, "two")} == {None, "two"}
    assert {c["mapping"] for c in doctor(d)} == {None, "one", "two"}


HANGING = """
import errno, fusepy as fuse, stat, sys, threading
class Hanging(fuse.Operations):
    def getattr(self, path, handle=None):
        if path != "/":
            raise fuse.FuseOSError(errno.ENOENT)
        if "stat" in sys.argv[2:]:
            threading.Event().wait()
        return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2}
    def readdir(self, path, handle):
        threading.Event().wait()
fuse.FUSE(Hanging(), sys.argv[1], foreground=True, attr_timeout=0)
"""


@contextlib.contextmanager
def hanging(folder, *what):
    """A FUSE file system that answers until it is asked for its names, or with "stat" never."""
    process = subprocess.Popen(["/usr/bin/python3", "-c", HANGING, str(folder), *what])
    lifeline = threading.Timer(150 * SLOW, process.kill)  # or whoever is stuck in it can never be killed
    lifeline.start()
    try:
        until(lambda: f" {folder} fuse" in pathlib.Path("/proc/mounts").read_text(), what="the mount")
        yield
    finally:
        lifeline.cancel()
        process.kill()
        process.wait()
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.skipif(os.getuid() != 0 or not os.path.exists("/dev/fuse"), reason="mounts a FUSE file system")
@pytest.mark.parametrize("what,patience,check", [((), 1, "folder"), (("stat",), 1, "folder"),
                                                 (("stat",), 100, "configuration")])
def test_hung_mount(make, account, folder, what, patience, check):
    """A mount that does not answer is named, and hangs nothing else (pitfalls 2.6). Reading the configuration gives up on it
    after two seconds; whoever has less patience than that does not get to the folder."""
    account.client().create_container("box")
    d = make()
    with hanging(folder, *what):
        found = doctor(d, rc=3, patience=patience)
    assert check in {c for _, c in found.failed()} and "hangs" in found.one(check)["text"]
    assert found.one("clock", mapping=None, account=None) and found.one("state-directory")["result"] == "ok"


def test_what_the_daemon_says(make, account, folder):
    """A blocked mapping: its reason is repeated, with the verb that helps."""
    (folder / "file").write_text("content")
    with make() as d:
        d.wait_sync()
        folder.rename(folder.with_name("away"))
        folder.mkdir()
        d.until_status(state="blocked", detail=lambda text: "not the one" in text)
        found = doctor(d, rc=3)
        assert found.failed() == {("docs", "state")}
        assert "not the one" in found.one("state")["text"] and "approve docs" in found.one("state")["text"]


def test_daemon_that_hangs(make, account, folder):
    """Its socket takes the call, and nobody answers."""
    account.client().create_container("box")
    with make() as d:
        d.wait_sync()
        d.process.send_signal(signal.SIGSTOP)
        try:
            found = doctor(d, rc=3)
        finally:
            d.process.send_signal(signal.SIGCONT)
    assert found.failed() == {(None, "daemon")} and "does not answer" in found.one("daemon")["text"]
    assert found.one("container")["result"] == "ok"


def test_nothing_mapped(make):
    d = make(accounts={}, mappings={})
    found = doctor(d)
    assert found.one("configuration")["result"] == "warn" and "azsyncctl add" in found.one("configuration")["advice"]
