"""The daemon's life: outages, kills, restarts, pauses, missing folders, two at once, a stop in time."""
import re
import shutil
import socketserver
import sqlite3
import subprocess
import sys
import threading

import pytest

from azurite import Azurite
from compare import compare
from daemon import LIMIT, until
from given import tree
from proxy import Answer, Cut, Gate, Reset


def test_service_stopped_under_changes(make, tmp_path, folder):
    """Without a service under 200 changes: pending is shown, wait times out, equal after it is back; what was confirmed is
    not sent again."""
    tree(folder, 200)
    service = Azurite(tmp_path / "az", location=tmp_path / "az", accounts=1)
    with service:
        account = service.account()
        with make(accounts={"main": {"connection-string": account.connection_string()}}) as d:
            d.wait_sync()
            service.stop()
            for n in range(100):
                (folder / f"d000/f{n:05d}.txt").write_text(f"changed {n}")
            for n in range(50):
                (folder / f"new{n}").write_text(f"new {n}")
            for n in range(100, 130):
                (folder / f"d001/f{n:05d}.txt").unlink()
            for n in range(130, 150):
                (folder / f"d001/f{n:05d}.txt").rename(folder / f"renamed{n}")
            assert d.ctl("wait", "--timeout", "1").rc == 1
            status = d.until_status(state="offline", pending=lambda n: n >= 200)
            assert status["lag_s"] > 0 and status["last_error"]
            tried = d.log().count("not reachable")
            until(lambda: d.log().count("not reachable") >= tried + 5, what="it tries in vain")
            assert d.ctl("wait", "--timeout", "1").rc == 1
            service.start()
            d.wait_sync()
            assert compare(account.client(), "box", folder) == []
            status = d.status()
            assert (status["lag_s"], status["uploaded_files"], status["copied_files"]) == (0, 350, 20)


def confirmed(daemon, copy):
    """The names a journal holds as confirmed; read from a copy, since the daemon's own file is touched by nobody."""
    shutil.copytree(daemon.state, copy)
    (path,) = copy.glob("*.db")
    with sqlite3.connect(path) as db:
        return {bytes(name).decode() for (name,) in db.execute("SELECT name FROM path WHERE etag IS NOT NULL")}


def test_killed_while_uploading(make, proxy, folder, tmp_path, equal):
    """kill -9 ten times while 2,000 files upload: equal, and no file that was confirmed is sent again (pitfalls 8)."""
    tree(folder, 2000)
    daemon = make(port=proxy.port)
    known = set()
    for n in range(10):
        daemon.start()
        before, sent = proxy.mark(), (n + 1) * 150
        until(lambda: sum(proxy.puts().values()) >= sent, what=f"{sent} uploads")
        daemon.kill9()
        again = known & proxy.puts(before).keys()
        assert not again, f"confirmed, yet sent again: {sorted(again)[:5]}"
        now = confirmed(daemon, tmp_path / f"journal{n}")
        assert known <= now, "a kill -9 lost a confirmation"
        known = now
    before = proxy.mark()
    with daemon as d:
        d.wait_sync()
        assert not known & proxy.puts(before).keys()
        equal()
        assert d.status()["conflicts"] == 0
    twice = {name: n for name, n in proxy.puts().items() if n > 1}
    print(f"kills: {sum(proxy.puts().values())} uploads taken for 2,000 files; {len(twice)} of them twice")


def test_killed_while_everything_changes(make, proxy, folder, equal):
    """The same with renames, folder moves, deletes and rewrites under way; no conflict is ever seen in our own work."""
    tree(folder, 300)
    daemon = make(port=proxy.port)
    for n in range(6):
        daemon.start()
        before = proxy.mark()
        (folder / f"d{n % 3:03d}").rename(folder / "moving")
        (folder / "moving").rename(folder / f"d{n % 3:03d}")
        (folder / f"d{(n + 1) % 3:03d}").rename(folder / f"round{n}")
        (folder / f"round{n}").rename(folder / f"d{(n + 1) % 3:03d}")
        for path in sorted(folder.glob("d*/*"))[n * 10:n * 10 + 20]:
            path.write_text(f"round {n}")
        for path in sorted(folder.glob("d*/*"))[-5:]:
            path.unlink()
        (folder / f"d{n % 3:03d}/new{n}").write_text("new")

        def under_way():  # how many there are depends on what it saw of the folders' moves
            sent = len(proxy.requests) - before
            return sent >= 15 + 7 * n or sent >= 15 and daemon.status()["state"] == "idle"
        until(under_way, what="requests under way")
        daemon.kill9()
    with daemon as d:
        d.wait_sync()
        equal()
        assert d.status()["conflicts"] == 0


@pytest.mark.asan
def test_answers_that_were_lost(make, proxy, folder, equal):
    """The service acted, its answer did not come (pitfalls L4, 10.4): resolved by asking, and no conflict with
    ourselves. A 201 cut after its ETag's first half is no success (10.1)."""
    seen = set()

    def once_per_blob(request):
        if request.verb in ("put-blob", "copy", "delete", "batch") and (request.verb, request.blob) not in seen:
            seen.add((request.verb, request.blob))
            return Cut(60) if len(seen) % 2 else Reset(after=True)
        return None
    tree(folder, 12)
    proxy.rule = once_per_blob
    with make(port=proxy.port) as d:
        d.wait_sync()
        equal()
        (folder / "d000/f00000.txt").write_text("changed")
        (folder / "d000/f00001.txt").unlink()
        (folder / "d000/f00002.txt").rename(folder / "moved")
        d.wait_sync()
        equal()
        assert d.status()["conflicts"] == 0
    assert len(seen) > 12


@pytest.mark.asan
def test_service_that_throttles(make, proxy, folder, equal):
    """503 and 500 are answered by patience (pitfalls 10.10); each fault is transient, so nothing is failed."""
    left = [8]

    def some(request):
        if request.method == "PUT" and left[0] > 0:
            left[0] -= 1
            return [Answer(503), Answer(500, "InternalError"), Answer(503, headers={"Retry-After": "1"}),
                    Reset()][left[0] % 4]
        return None
    tree(folder, 20)
    proxy.rule = some
    with make(port=proxy.port) as d:
        d.wait_sync()
        equal()
        assert d.status()["failed"] == 0
    assert left == [0]


@pytest.mark.asan
def test_html_instead_of_an_answer(make, proxy, folder, equal):
    """A captive portal says 200 to everything (pitfalls 10.2): nothing counts as uploaded."""
    portal = [True]
    proxy.rule = lambda request: Answer(200, "x", {"Content-Type": "text/html"}, b"<html>log in</html>") \
        if portal[0] else None
    (folder / "file").write_text("content")
    with make(port=proxy.port) as d:
        assert d.ctl("wait", "--timeout", "2").rc == 1
        assert d.status()["files"] == 0
        portal[0] = False
        d.ctl("retry")
        d.wait_sync()
        equal()


@pytest.mark.asan
def test_pause_survives_a_restart(make, proxy, folder, equal):
    tree(folder, 5)
    daemon = make(port=proxy.port)
    with daemon as d:
        d.wait_sync()
        assert d.ctl("pause", "docs").rc == 0
        (folder / "file").write_text("waits")
        status = d.until_status(state="paused", pending=1)
        assert status["lag_s"] >= 0
        assert d.queue()["file"]["next_try"] is None  # not by itself
        before = proxy.mark()
    with daemon as d:
        d.until_status(state="paused", pending=1)
        assert proxy.count("put-blob", before) == 0
        assert d.ctl("resume", "docs").rc == 0
        d.wait_sync()
        equal()


@pytest.mark.asan
def test_missing_folder_waits(make, folder, tmp_path, equal):
    """No error, no deletion, and no other mapping suffers; it begins when the folder comes (pitfalls 7.1)."""
    tree(folder, 5)
    mappings = {"docs": {"folder": str(folder), "container": "box"},
                "later": {"folder": str(tmp_path / "later"), "container": "later"}}
    with make(mappings=mappings) as d:
        d.wait_sync(LIMIT, "docs")
        status = d.status("later")
        assert status["state"] == "blocked" and status["detail"]
        d.wait_sync(LIMIT, "later", expect=3)
        tree(tmp_path / "later", 5)
        d.until_status(LIMIT, "later", state="idle", files=5)
        d.wait_sync()
        equal(tmp_path / "later", "later")
        equal()


@pytest.mark.asan
def test_vanished_folder_deletes_nothing(make, account, folder, tmp_path, equal):
    """The folder goes away as a whole, while it runs and while it does not (pitfalls 2.2, 7.1)."""
    tree(folder, 10)
    daemon = make()
    with daemon as d:
        d.wait_sync()
        folder.rename(tmp_path / "gone")
        d.until_status(state="blocked")
        d.wait_sync(expect=3)
    with daemon as d:
        d.until_status(state="blocked")
    names = list(account.client().get_container_client("box").list_blobs())
    assert len(names) == 10
    (tmp_path / "gone").rename(folder)
    with daemon as d:
        d.wait_sync()
        equal()


@pytest.mark.asan
def test_two_on_one_state_directory(make, folder):
    """The second one refuses, in words, and harms nothing (pitfalls 9.9)."""
    (folder / "file").write_text("content")
    with make() as d:
        d.wait_sync()
        second = d.run()
        assert second.rc == 1 and second.err.strip()
        (folder / "file").write_text("goes on")
        d.wait_sync()
        assert d.ctl("status").rc == 0


@pytest.mark.asan
def test_stops_in_time(make, proxy, folder, equal):
    """SIGTERM with requests under way that never end: it does not wait for them, exit 0; the rest follows later
    (pitfalls 11.4)."""
    tree(folder, 100)
    gate = Gate()
    proxy.rule = lambda request: gate if request.verb == "put-blob" else None
    daemon = make(port=proxy.port)
    daemon.start()
    until(lambda: proxy.count("put-blob") > 0)
    assert daemon.notifier.has("READY=1")
    notifier = daemon.notifier
    held = proxy.held("put-blob")
    assert daemon.stop() == 0 and held > 0
    assert notifier.has("STOPPING=1")
    proxy.rule = None
    gate.open()
    with daemon as d:
        d.wait_sync()
        equal()


@pytest.mark.asan
def test_once(make, proxy, folder, equal):
    tree(folder, 30)
    d = make(port=proxy.port)
    assert d.run("--once").rc == 0
    equal()
    before = proxy.mark()
    assert d.run("--once").rc == 0
    assert proxy.puts(before) == {}
    (folder / "d000/f00000.txt").unlink()
    (folder / "d000/f00001.txt").write_text("changed")
    deep = folder / "/".join(["n" * 200] * 5)
    deep.mkdir(parents=True)
    (deep / "impossible to store in Azure").write_text("too long a name")
    result = d.run("--once")
    assert result.rc == 3
    assert "impossible" in result.err and "1,024" in result.err
    shutil.rmtree(folder / ("n" * 200))
    assert d.run("--once").rc == 0
    equal()


@pytest.mark.asan
def test_once_gives_up(make, proxy, folder, equal):
    """What the service answers with rubbish is named after some attempts, whether it is to be written or deleted; the
    next run tries it again."""
    tree(folder, 5)
    d = make(port=proxy.port)
    assert d.run("--once").rc == 0
    (folder / "refused").write_text("new")
    (folder / "d000/f00000.txt").unlink()
    (folder / "d000/f00001.txt").write_text("changed")
    proxy.rule = lambda r: Answer(299, "") if r.blob in ("refused", "d000/f00000.txt") and r.method != "HEAD" else None
    result = d.run("--once")
    assert result.rc == 3, result.err
    named = [line for line in result.err.splitlines() if "not synced" in line]
    assert len(named) == 2 and "refused: " in result.err and "d000/f00000.txt: " in result.err
    assert proxy.puts()["d000/f00001.txt"] == 2
    proxy.rule = None
    assert d.run("--once").rc == 0
    equal()


def test_once_behind_a_proxy_that_refuses(make, folder, tmp_path):
    """`proxy` of the account does not let it through: that is named, and not waited for until the end of days."""
    class Refuses(socketserver.StreamRequestHandler):
        def handle(self):
            asked.append(self.rfile.readline())
            self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    (folder / "file").write_text("content")
    asked = []
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Refuses) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        d = make(accounts={"main": {"account": "contoso", "auth": {"method": "shared-key", "key": "a2V5"},
                                    "proxy": f"http://127.0.0.1:{server.server_address[1]}"}})
        result = d.run("--once")
        server.shutdown()
    assert result.rc == 3 and "not synced: docs: offline: " in result.err, result.err
    assert "the proxy does not let us through (CONNECT tunnel failed, response 403): check `proxy`" in result.err
    assert asked == [b"CONNECT contoso.blob.core.windows.net:443 HTTP/1.1\r\n"] * 5


@pytest.mark.asan
@pytest.mark.parametrize("verb", ["create-container", "list"])
def test_once_gives_up_a_container(make, proxy, folder, verb):
    """The container itself is answered for with rubbish, by a captive portal perhaps: said, and left to the next run."""
    (folder / "file").write_text("content")
    d = make(port=proxy.port)
    proxy.rule = lambda r: Answer(299, "") if r.verb == verb else None
    result = d.run("--once")
    assert result.rc == 3, result.err
    assert "captive portal" in result.err and "file: " in result.err
    assert "not synced: docs: offline: " in result.err and proxy.count(verb) == 5
    proxy.rule = None
    assert d.run("--once").rc == 0


LOG = """
import sys, time
with open(sys.argv[1], "ab", buffering=0) as log:
    while True:
        log.write(b".")
        time.sleep(0.001)  # its pace
"""


def test_once_ends_beside_a_log(make, account, folder, equal):
    """A file that grows under each reading is stored as far as it was read, and named: --once comes to its end
    (pitfalls 4.7). What is done right before reading takes a second, so that no reading is a quiet one."""
    tree(folder, 5)
    log = folder / "log"
    log.write_bytes(b"the beginning")
    d = make()
    slowly = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "--seccomp-bpf", "-P", str(log),
              "-e", "trace=sync_file_range", "-e", "inject=sync_file_range:delay_exit=1000000"]
    with subprocess.Popen([sys.executable, "-c", LOG, str(log)]) as writer:
        try:
            until(lambda: log.stat().st_size > 100)
            result = d.run("--once", wrapper=slowly)
        finally:
            writer.kill()
    assert result.rc == 3, result.err
    assert "log: pending: it grew while it was read" in result.err, result.err
    stored = account.client().get_blob_client("box", "log").download_blob().readall()
    assert len(stored) > 100 and log.read_bytes().startswith(stored)
    assert d.run("--once").rc == 0
    equal()


@pytest.mark.asan
def test_container(make, account, proxy, folder, equal):
    """Made at first contact unless told not to; never made again (pitfalls 10.14)."""
    (folder / "file").write_text("content")
    client = account.client()
    with make({"container": "fresh"}, port=proxy.port) as d:
        d.wait_sync()
        equal(container="fresh")
        client.delete_container("fresh")
        (folder / "file").write_text("changed")
        d.until_status(state="blocked")
        d.wait_sync(expect=3)
        assert [c.name for c in client.list_containers()] == []
    with make({"container": "by-hand", "create-container": False}, port=proxy.port) as d:
        d.until_status(state="blocked")
        assert [c.name for c in client.list_containers()] == []
        client.create_container("by-hand")
        assert d.ctl("retry").rc == 0
        d.until_status(state="idle", pending=0)
        d.wait_sync()
        equal(container="by-hand")


@pytest.mark.asan
def test_conflict_on_delete(make, account, folder):
    """Somebody else's newer blob stays when our file goes (pitfalls 7.7)."""
    tree(folder, 3)
    with make() as d:
        d.wait_sync()
        box = account.client().get_container_client("box")
        box.upload_blob("d000/f00000.txt", b"theirs", overwrite=True)
        (folder / "d000/f00000.txt").unlink()
        (folder / "d000/f00001.txt").unlink()
        until(lambda: len(list(box.list_blobs())) == 2, what="the other one deleted")
        d.until_status(pending=0)
        assert box.download_blob("d000/f00000.txt").readall() == b"theirs"


def test_progress_for_systemd(make, folder):
    """11.6: STATUS= is one plain line that says how much is left and how fast it goes, and in the end that it is done."""
    for n in range(30):
        (folder / f"a\n%n \x1b[2J{n}").write_bytes(b"x" * 50_000)
    with make(mapping={"bandwidth": "150KiB/s"}) as d:  # ten seconds
        d.wait_sync()
        until(lambda: d.notifier.has("STATUS=1 folder in sync"), what="in sync")
        lines = list(d.notifier.lines)
    told = [line.removeprefix("STATUS=") for line in lines if line.startswith("STATUS=")]
    assert len(lines) == len(told) + lines.count("READY=1")
    steps = [re.fullmatch(r"0 of 1 folders in sync, (\d+) changes? pending(, 0\.\d MiB/s)?(, comparing)?", line)
             for line in told if "pending" in line]
    left = [int(step[1]) for step in steps if not step[3]]
    assert len(left) > 2 and left == sorted(left, reverse=True) and any(step[2] for step in steps), told
