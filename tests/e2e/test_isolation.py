"""One mapping's trouble is nobody else's (pitfalls 2.6, 11.7, 11.12): a mount that hangs, an account that does not
answer, a mapping with very many rows, each beside a mapping that works while the others are stuck."""
import contextlib
import os
import socket
import sqlite3

import pytest

from daemon import LIMIT, stuck_thread, until
from given import tree
from mounts import Fuse, clear, mount
from proxy import Gate

LARGE = 5 << 20  # sent in blocks


def large(path, size=LARGE):
    """Sparse on purpose: what counts is how it is read."""
    with open(path, "wb") as f:
        f.truncate(size)
        f.write(os.urandom(4096))


@pytest.fixture
def fuse(tmp_path):
    (tmp_path / "backing").mkdir()
    (tmp_path / "fuse").mkdir()
    f = Fuse(tmp_path / "backing", tmp_path / "fuse", tmp_path / "silent")
    if os.geteuid() != 0 or not f.mount():
        pytest.skip("no FUSE here")
    yield f
    f.clear()


@pytest.fixture
def beside(make, fuse, folder, proxy, account):
    """A daemon whose mapping "hung" lies on the FUSE mount and whose mapping "well" does not; one account, unless told
    otherwise."""
    def new(**options):
        mappings = {"hung": {"folder": str(fuse.where), "container": "hung"},
                    "well": {"folder": str(folder), "container": "box"}}
        return make(mappings=mappings, port=proxy.port, **options)
    return new


def fill_while_paused(d, fuse, small=150, big=5):
    """Work that begins the moment the mapping is resumed: more jobs than an account has transfers, and more bytes than
    there is memory."""
    assert d.ctl("pause", "hung").rc == 0
    tree(fuse.where / "new", small)
    for n in range(big):
        large(fuse.where / f"large{n}")
    d.until_status(LIMIT, "hung", pending=lambda n: n >= small + big)


def works(d, folder, equal, number):
    """Everything a healthy mapping does: small files, a large one, a rename, a deletion; and what people ask."""
    tree(folder / f"round{number}", 50)
    large(folder / f"large{number}")
    d.wait_sync(LIMIT, "well")
    (folder / f"large{number}").rename(folder / f"moved{number}")
    (folder / f"round{number}/d000/f00000.txt").unlink()
    d.wait_sync(LIMIT, "well")
    equal()
    d.until_status(LIMIT, "well", state="idle")


@pytest.mark.parametrize("how", ["not taken", "taken"])
def test_hung_mount(beside, fuse, folder, equal, how):
    """2.6, 11.7: the threads of one mapping do not come back. The other one, on the same account, goes on with jobs and
    memory; status names the one; pings come; reload works; and SIGTERM ends it all in time."""
    with beside(speedup=20, env={"WATCHDOG_USEC": "2000000"}) as d:
        tree(folder, 20)
        d.wait_sync()
        fill_while_paused(d, fuse)
        fuse.hang() if how == "not taken" else fuse.flag.touch()
        assert d.ctl("resume", "hung").rc == 0
        works(d, folder, equal, 1)
        # 60 s, divided by the test's speed-up: named, as something a person has to see to, and said once
        status = d.until_status(LIMIT, "hung", state="blocked")
        assert "not answered" in status["detail"] and status["pending"] >= 155
        d.wait_sync(LIMIT, "hung", expect=3)
        assert d.ctl("status", "--check").rc == 3
        # the configuration can be changed, that of the stuck mapping too
        d.map("well", folder=folder, container="box", exclude=["*.tmp"])
        d.map("hung", folder=fuse.where, container="hung", rescan="2h")
        assert d.ctl("reload").rc == 0
        works(d, folder, equal, 2)
        d.hangup()
        # alive: pings come while it is stuck
        d.notifier.forget("WATCHDOG=1")
        until(lambda: d.notifier.lines.count("WATCHDOG=1") >= 2)
        assert d.log().count("has not answered for") <= 2  # once for each time it was loaded
        if how == "taken":  # a thread that the server owes an answer cannot even be killed: only the mount's end helps
            fuse.flag.unlink()
            d.until_status(LIMIT, "hung", state="idle", pending=0)
            d.wait_sync()
            equal(fuse.where, "hung")
        assert d.stop() == 0
        if how == "not taken":
            fuse.go_on()
            d.start()
            d.wait_sync()
            equal(fuse.where, "hung")


def test_reader_that_is_stuck(make, folder, equal):
    """11.7: the loop turns, and the thread that reads the kernel's events does not: as long as there are none it is
    idle; then the watchdog is no longer fed, and the log says why. It takes half a minute, whatever the speed-up."""
    with make(env={"WATCHDOG_USEC": "2000000"}) as d:
        d.wait_sync()
        with stuck_thread(d.pid, "inotify"):
            d.notifier.forget("WATCHDOG=1")
            until(lambda: d.notifier.lines.count("WATCHDOG=1") >= 3)
            (folder / "file").write_text("nobody hears of it")
            until(lambda: "does not read the kernel's events" in d.log())
            d.notifier.catch_up()
            d.notifier.forget("WATCHDOG=1")
            since = d.all_status()["uptime_s"]  # and people are answered
            until(lambda: d.all_status()["uptime_s"] > since + 4)
            assert not d.notifier.has("WATCHDOG=1")
        d.wait_sync()
        equal()
        until(lambda: d.notifier.has("WATCHDOG=1"))


@pytest.fixture
def deaf():
    """A port whose connections are made by the kernel and taken by nobody; soon it does not even make them."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(0)
        yield s.getsockname()[1]


def test_dead_accounts(make, account, proxy, folder, equal, tmp_path, deaf):
    """11.12: accounts that take requests and never answer, that do not even take a connection, that are not there."""
    silent = Gate()
    ports = {"silent": proxy.port, "deaf": deaf, "closed": 1}
    accounts = {"main": {"connection-string": account.connection_string()}}
    mappings = {"well": {"folder": str(folder), "container": "box", "account": "main"}}
    for name, port in ports.items():
        (tmp_path / name).mkdir()
        accounts[name] = {"connection-string": account.connection_string(port)}
        mappings[name] = {"folder": str(tmp_path / name), "container": name, "account": name}
    with make(accounts=accounts, mappings=mappings, settings={"transfers": 64}) as d:
        d.wait_sync(LIMIT, "silent")
        proxy.rule = lambda request: silent
        for name in ports:
            tree(tmp_path / name, 150)
            for n in range(5):
                large(tmp_path / name / f"large{n}")
        d.until_status(LIMIT, "silent", in_flight=lambda flights: len(flights) >= 60)
        works(d, folder, equal, 1)
        d.until_status(LIMIT, "closed", state="offline")
        proxy.rule = None
        silent.open()
        proxy.drop_connections()
        works(d, folder, equal, 2)
        d.wait_sync(LIMIT, "silent")
        equal(tmp_path / "silent", "silent")
        assert d.status("closed")["uploaded_files"] == d.status("deaf")["uploaded_files"] == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a mount")
def test_very_many_failures(make, account, folder, equal, tmp_path, rounds):
    """11.1, 11.10, 11.12: a mapping with a million rows that failed, then with a million that are tried again and again:
    status, queue and verbs answer, the other mapping works, and the log has a few lines of it."""
    many = rounds(100_000, 1_000_000)
    (tmp_path / "many/d").mkdir(parents=True)
    assert mount("-t", "tmpfs", "none", tmp_path / "many/d")  # what is beneath it cannot be looked at (2.5)
    try:
        mappings = {"many": {"folder": str(tmp_path / "many"), "container": "many", "alert-after": "1s"},
                    "well": {"folder": str(folder), "container": "box"}}
        d = make(mappings=mappings)
        with d:
            d.wait_sync()
        (path,) = d.state.glob("*.db")
        with contextlib.closing(sqlite3.connect(path)) as db, db:
            columns = [row[1] for row in db.execute("PRAGMA table_info(path)")]
            values = {name: "0" for name in columns}
            values |= {"mapping": "(SELECT id FROM mapping WHERE name = 'many')", "state": "4", "first": "1", "gen": "1",
                       "name": "CAST(printf('d/%07d', n) AS BLOB)", "reason": "'made up by a test'"}
            values |= dict.fromkeys({"etag", "md5", "ino", "seen_ino", "due_ino"} & values.keys(), "NULL")
            db.execute(f"WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {many}) "
                       f"INSERT INTO path ({', '.join(values)}) SELECT {', '.join(values.values())} FROM c")
        with d:
            d.until_status(LIMIT, "many", failed=many)
            works(d, folder, equal, 1)
            with d.varlink() as v:
                assert len(next(v.more("io.azsync.Queue", mapping="many"))["items"]) > 0
            assert d.ctl("retry", "many").rc == 0
            d.until_status(LIMIT, "many", pending=many)
            works(d, folder, equal, 2)
            assert d.ctl("reload").rc == 0
            assert sum("d/0" in line for line in d.log().splitlines()) < 100
            works(d, folder, equal, 3)
            assert d.status("many")["pending"] == many
    finally:
        clear(tmp_path / "many/d")


def test_hung_mount_holds_memory(beside, fuse, folder, proxy, equal):
    """2.6: it begins to hang in the middle of large files, whose blocks take as much memory as one mapping may have."""
    with beside(speedup=20) as d:
        d.wait_sync()
        gate = Gate()
        proxy.rule = lambda request: gate if request.verb == "put-block" and request.path.startswith("/hung/") else None
        for n in range(5):
            large(fuse.where / f"large{n}", 40 << 20)
        until(lambda: proxy.held("put-block") == 2)  # of 8 MiB: all that large files of one mapping of two may have
        fuse.hang()
        gate.open()  # they go on to their next blocks, and do not come back
        works(d, folder, equal, 1)
        fuse.go_on()
        d.until_status(LIMIT, "hung", state="idle", pending=0)
        equal(fuse.where, "hung")
