"""What others see: secrets, permissions, the socket, the status contract, notify messages."""
import json
import os
import pathlib
import re
import socket
import stat

import pytest

from daemon import until
from given import tree

@pytest.mark.asan
def test_secrets(make, account, folder, tmp_path):
    """No key in the log at debug level, in status, argv, or errors; not when it works and not when it is wrong."""
    key_file = tmp_path / "key"
    key_file.write_text(account.key + "\n")
    key_file.chmod(0o600)
    wrong = "d3Jvbmcga2V5IHRoYXQgbm9ib2R5IG11c3Qgc2Vl"
    secrets = [account.key, account.key[:40], wrong]
    (folder / "file").write_text("content")
    accounts = {"main": {"endpoint": account.endpoint(), "account": account.name,
                         "auth": {"method": "shared-key", "key": {"file": str(key_file)}}}}

    def seen(d):
        arguments = pathlib.Path(f"/proc/{d.pid}/cmdline").read_text()
        return d.log() + arguments + "".join(d.ctl(*verb).out + d.ctl(*verb).err for verb in (
            ["status"], ["status", "--json"], ["queue"], ["queue", "--json"], ["reload"]))

    with make(accounts=accounts) as d:
        d.wait_sync()
        output = seen(d)
        key_file.write_text(wrong + "\n")
        assert d.ctl("reload").rc == 0
        (folder / "file").write_text("changed")
        d.until_status(last_error=lambda text: text != "")
        output += seen(d) + json.dumps(d.notifier.lines)
        assert not any(secret in output for secret in secrets)
        assert "Authorization:" not in output and "SharedKey " not in output
        journal = b"".join(p.read_bytes() for p in d.state.iterdir())
        assert not any(secret.encode() in journal for secret in secrets)


@pytest.mark.asan
def test_secrets_in_a_sas(make, account, folder, equal):
    """A SAS works, and its signature is shown nowhere (uri_redact)."""
    from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas
    import datetime
    account.client().create_container("box")
    sas = generate_account_sas(account.name, account.key, ResourceTypes(container=True, object=True),
                               AccountSasPermissions(read=True, write=True, delete=True, list=True, add=True,
                                                     create=True, tag=True),
                               datetime.datetime.utcnow() + datetime.timedelta(hours=2))
    signature = re.search(r"sig=([^&]+)", sas).group(1)
    accounts = {"main": {"endpoint": account.endpoint(), "auth": {"method": "sas", "sas": sas}}}
    (folder / "file").write_text("content")
    (folder / "old").write_text("renamed")
    with make(accounts=accounts) as d:
        d.wait_sync()
        (folder / "old").rename(folder / "new")
        (folder / "file").unlink()
        d.wait_sync()
        equal()
        output = d.log() + d.ctl("status", "--json").out + d.ctl("status").out
    assert signature not in output and signature.replace("%2B", "+").replace("%3D", "=") not in output


@pytest.mark.asan
def test_permissions(make, folder):
    """Socket 0660, journal 0600, state directory closed to others, whatever the umask was (pitfalls 11.9)."""
    (folder / "file").write_text("content")
    daemon = make()
    daemon.state.rmdir()
    old = os.umask(0)
    try:
        daemon.start()
    finally:
        os.umask(old)
    try:
        daemon.wait_sync()
        mode = os.stat(daemon.runtime / "io.azsync").st_mode
        assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o660
        assert stat.S_IMODE(daemon.state.stat().st_mode) == 0o700
        files = list(daemon.state.iterdir())
        assert files and {stat.S_IMODE(p.stat().st_mode) for p in files} == {0o600}
    finally:
        assert daemon.stop() == 0
    assert not (daemon.runtime / "io.azsync").exists()


FIELDS = {"name": str, "folder": str, "url": str, "state": str, "files": int, "bytes": int, "pending": int,
          "in_flight": list, "failed": int, "held": int, "busy": int, "conflicts": int, "skipped": int,
          "lag_s": (int, float), "uploaded_files": int, "uploaded_bytes": int, "copied_files": int,
          "deleted_files": int, "requests": int, "last_error": str}


@pytest.mark.asan
def test_status_contract(make, account, proxy, folder):
    """status --json as design.md has it; counters since the start, body bytes as really sent."""
    tree(folder, 10, size=1000)
    with make(port=proxy.port) as d:
        d.wait_sync()
        whole = d.all_status()
        assert {"version", "pid", "uptime_s", "mappings"} <= whole.keys()
        assert whole["pid"] == d.pid and whole["uptime_s"] > 0
        (status,) = whole["mappings"]
        for field, kind in FIELDS.items():
            assert isinstance(status[field], kind), field
        assert (status["files"], status["bytes"]) == (10, 10000)
        assert (status["uploaded_files"], status["uploaded_bytes"]) == (10, 10000)
        assert status["uploaded_bytes"] == proxy.body_bytes()
        assert status["requests"] == len(proxy.requests)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", status["last_sync"])
        assert status["url"].endswith("/box") and account.key not in status["url"]
        text = d.ctl("status")
        assert text.rc == 0 and "docs" in text.out and "\x1b" not in text.out
        assert d.ctl("status", "docs").rc == 0
        assert d.ctl("status", "nonesuch").rc in (1, 2)
        assert d.ctl("--json", "status").out and d.ctl("status", "--check").rc == 0
        assert d.ctl("queue").rc == 0
        assert d.ctl("--help").rc == 0
        assert json.loads(d.ctl("status", "docs", "--json").out)["mappings"][0]["name"] == "docs"


@pytest.mark.asan
def test_varlink(make, folder):
    """By a raw socket: introspection, errors, garbage, limits, many clients; the daemon lives through all of it."""
    (folder / "file").write_text("content")
    with make() as d:
        d.wait_sync()
        with d.varlink() as v:
            info = v.call("org.varlink.service.GetInfo")["parameters"]
            assert set(info) == {"vendor", "product", "version", "url", "interfaces"}
            for interface in info["interfaces"]:
                text = v.call("org.varlink.service.GetInterfaceDescription", interface=interface)
                assert f"interface {interface}\n" in text["parameters"]["description"]
            assert v.call("io.azsync.Status")["parameters"]["mappings"][0]["name"] == "docs"
            for method, error in (("io.azsync.Nonesuch", "MethodNotFound"), ("nonesuch.X", "InterfaceNotFound")):
                assert v.call(method)["error"] == f"org.varlink.service.{error}"
            assert v.call("io.azsync.Status", mapping="nonesuch")["error"] == "io.azsync.NoSuchMapping"
            assert v.call("io.azsync.Status", mapping=7)["error"] == "org.varlink.service.InvalidParameter"
            v.send(b'{"method":"io.azsync.Status"}\0{"method":"org.varlink.service.GetInfo"}\0')  # two at once
            assert "mappings" in v.read()["parameters"] and "vendor" in v.read()["parameters"]
        for garbage in (b"\0", b"garbage\0", b"[1]\0", b'{"method":3}\0', b"[" * 60000 + b"\0", b"\xff\xfe\0"):
            with d.varlink() as v:
                v.send(garbage)
                reply = v.read()
                assert reply is None or "error" in reply
        with d.varlink() as v:  # beyond the limit of a request: closed, not swallowed
            with pytest.raises(OSError):
                for _ in range(200):
                    v.send(b"x" * 65536)
        many = [d.varlink() for _ in range(30)]
        assert all(v.call("io.azsync.Status")["parameters"] for v in many)
        for v in many:
            v.__exit__()
        assert d.ctl("status").rc == 0


@pytest.mark.asan
def test_live_status(make, folder):
    """`more` streams: again after each change, until the client goes."""
    with make() as d:
        d.wait_sync()
        with d.varlink() as v:
            stream = v.more("io.azsync.Status")
            assert next(stream)["mappings"][0]["files"] == 0
            (folder / "file").write_text("content")
            until(lambda: next(stream)["mappings"][0]["files"] == 1)
        assert d.ctl("status").rc == 0


@pytest.mark.asan
def test_notify(make, folder):
    """READY, STATUS in words, RELOADING with its time; nothing else is told to systemd (pitfalls 11.5, 11.6)."""
    (folder / "file").write_text("content")
    with make() as d:
        d.wait_sync()
        until(lambda: any(line.startswith("STATUS=") and "sync" in line for line in d.notifier.lines))
        d.hangup()
        lines = list(d.notifier.lines)
    assert "RELOADING=1" in lines and any(line.startswith("MONOTONIC_USEC=") for line in lines)
    assert {line.partition("=")[0] for line in lines} <= {"READY", "STATUS", "RELOADING", "MONOTONIC_USEC",
                                                          "STOPPING", "WATCHDOG"}


@pytest.mark.skipif(os.getuid() != 0, reason="needs another user to be")
def test_strangers_may_not_change_anything(make, folder, tmp_path):
    """SO_PEERCRED decides, not the file's mode alone: someone who can reach the socket sees no names, changes nothing."""
    (folder / "file").write_text("content")
    with make() as d:
        d.wait_sync()
        path = d.runtime / "io.azsync"
        for parent in [path.parent, *path.parent.parents]:
            if parent == pathlib.Path("/"):
                break
            os.chmod(parent, os.stat(parent).st_mode | 0o005)
        path.chmod(0o666)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
                with d.varlink() as v:
                    replies = [v.call(f"io.azsync.{verb}").get("error", "") for verb in ("Pause", "Reload", "Queue")]
                os.write(write, json.dumps(replies).encode())
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        os.close(write)
        with os.fdopen(read) as f:
            replies = json.loads(f.read() or "[]")
        assert replies and all(error == "io.azsync.PermissionDenied" for error in replies[:2]), replies
        assert d.status()["state"] == "idle"


def test_gone_client_is_no_trouble(make, proxy, folder):
    """A client that goes in the middle of its answer or of a wait."""
    with make(port=proxy.port) as d:
        for _ in range(20):
            v = d.varlink()
            v.request("io.azsync.Wait")
            v.request("io.azsync.Status", more=True)
            v.socket.shutdown(socket.SHUT_RDWR)
            v.socket.close()
        (folder / "file").write_text("content")
        d.wait_sync()
