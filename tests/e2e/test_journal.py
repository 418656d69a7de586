"""The journal's disk: full, failing, or not holding what was written (pitfalls section 9). Whatever happens to it: the
daemon lives, says so, deletes nothing on the strength of what it cannot know, and the cloud ends equal to the folder."""
import contextlib
import hashlib
import os
import pathlib
import random
import shutil
import sqlite3
import subprocess

import pytest

from daemon import until
from disks import Image
from given import tree
from proxy import Answer

FULL = "full"
TROUBLE = "Nothing is uploaded or deleted until it can be written again"


def names(account, container="box"):
    return {b.name for b in account.client().get_container_client(container).list_blobs()}


def rewrite(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


class StateDisk:
    """A small disk of its own under --state-dir, and a file that fills it."""

    def __init__(self, stack, tmp_path, state, kind):
        fstype, _, block = kind.partition("-")
        image = tmp_path / "state.img"
        if block:  # 9.2: small blocks are what made SQLite's shared memory file fatal
            with open(image, "wb") as f:
                f.truncate(24 << 20)
            subprocess.run(["mkfs.ext4", "-q", "-F", "-b", block, str(image)], check=True)
        self.disk = stack.enter_context(Image(image, fstype, 24, state))
        state.chmod(0o700)
        self.ballast = state / "ballast"

    def fill(self):
        with open(self.ballast, "ab", buffering=0) as f:
            for size in (1 << 20, 4096, 512, 1):
                with contextlib.suppress(OSError):
                    while True:
                        f.write(bytes(size))
                        os.fsync(f.fileno())

    def free(self):
        self.ballast.unlink()


@pytest.fixture
def state_disk(tmp_path):
    with contextlib.ExitStack() as stack:
        yield lambda daemon, kind: StateDisk(stack, tmp_path, daemon.state, kind)


def processor_ticks(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def check_calm(daemon):
    """It tries again, after ever longer pauses: neither a busy loop nor a line per attempt."""
    before, tries = processor_ticks(daemon.pid), daemon.log().count("journal: ")
    assert daemon.ctl("wait", "--timeout", "4").rc == 1
    assert processor_ticks(daemon.pid) - before < 2 * os.sysconf("SC_CLK_TCK"), "it spins"
    assert daemon.log().count(TROUBLE) - tries < 6, daemon.tail()


@pytest.mark.parametrize("kind", ["tmpfs", "ext4-1024"])
def test_state_disk_full(make, proxy, folder, equal, state_disk, kind, rounds):
    """pitfalls 9.4, 9.2: full under 3,000 changes (a sample: 600), then freed: alive, calm, nothing deleted meanwhile,
    equal in the end."""
    daemon = make(port=proxy.port)
    disk = state_disk(daemon, kind)
    tree(folder, 100)
    with daemon as d:
        d.wait_sync()
        pid = d.pid
        disk.fill()
        before = proxy.mark()
        tree(folder / "new", min(rounds(600, 3000), 3000) - 120)
        for n in range(100):
            rewrite(folder / f"d000/f{n:05d}.txt", f"changed {n}")
        for n in range(20):
            (folder / f"d000/f{n:05d}.txt").unlink()
        status = d.until_status(state="blocked")
        assert "journal" in status["detail"] and FULL in status["detail"], status
        assert d.ctl("status", "--check").rc == 3
        check_calm(d)
        assert proxy.count("delete", before) == 0
        assert d.ctl("pause", "docs").rc == 1  # what cannot be remembered is not promised
        disk.free()
        d.wait_sync()
        assert d.pid == pid
        equal()
        assert d.status()["deleted_files"] == 20 and d.status()["detail"] == ""
        assert d.log().count(TROUBLE) < 12


@pytest.mark.parametrize("kind", ["tmpfs", "ext4-1024"])
def test_state_disk_full_from_the_start(make, folder, equal, state_disk, kind):
    """pitfalls 9.4: with and without a journal on it; status says so, `wait` does not say in sync, --once ends."""
    daemon = make()
    disk = state_disk(daemon, kind)
    tree(folder, 20)
    for first in (True, False):
        disk.fill()
        with daemon as d:
            status = d.until_status(state="blocked")
            assert "journal" in status["detail"] and FULL in status["detail"], status
            assert d.ctl("wait", "--timeout", "1").rc == 1
            rewrite(folder / "meanwhile", f"first {first}")
            if not first:
                (folder / "d000/f00000.txt").unlink()
            disk.free()
            d.wait_sync()
            equal()
    disk.fill()
    rewrite(folder / "meanwhile", "once")
    done = daemon.run("--once")
    assert done.rc == 3 and FULL in done.err and "docs" in done.err, done
    disk.free()
    assert daemon.run("--once").rc == 0
    equal()


def strace(daemon, *inject):
    """Its own child, so that the daemon's process is ours."""
    return ["strace", "-D", "-f", "-qq", "-o", str(daemon.base / "strace"), "-e", "trace=fdatasync,fsync",
            *(option for i in inject for option in ("-e", f"inject={i}"))]


def test_fsync_error(make, folder, equal, rounds):
    """pitfalls 9.5: fatal for the connection: closed, opened, checked, and everything is compared; a decision that could not
    be made durable was not said to be made."""
    daemon = make()
    tree(folder, 50)
    with daemon as d:
        d.wait_sync()
    paused = False
    daemon.start(wrapper=strace(daemon, "fdatasync:error=EIO:when=6+25", "fsync:error=EIO:when=6+25"))
    try:
        for n in range(rounds(12, 100)):
            rewrite(folder / f"d000/f{n % 50:05d}.txt", f"round {n}")
            verb = "resume" if paused else "pause"
            if daemon.ctl(verb, "docs").rc == 0:
                paused = not paused
            else:
                until(lambda: daemon.status()["detail"] == "" or "journal" not in daemon.status()["detail"],
                      what="the journal recovers")
            status = daemon.status()
            assert (status["state"] == "paused") <= paused or "journal" in status["detail"]
        until(lambda: daemon.ctl("resume", "docs").rc == 0)
        daemon.wait_sync()
        equal()
    finally:
        assert daemon.stop() == 0
    assert daemon.log().count("The journal can be written again") > 0, "no fsync failed"
    with daemon as d:
        d.wait_sync()
        equal()


# --- bytes that flip ---

def flip(path, dice, count):
    data = bytearray(path.read_bytes())
    at = sorted(dice.randrange(len(data)) for _ in range(count))
    for n in at:
        data[n] ^= dice.randrange(1, 256)
    path.write_bytes(data)
    return at


@pytest.mark.parametrize("end", ["stopped", "killed"])
def test_flipped_bytes(make, proxy, folder, equal, rounds, seed, end):
    """pitfalls 9.6: bytes flipped at random while it is down, 300 files: equal, at most 5 sent again, none deleted."""
    tree(folder, 300)
    daemon, dice = make(port=proxy.port), random.Random(seed)
    sent, rebuilt, refused = [], 0, 0
    with daemon as d:
        d.wait_sync()
    for number in range(rounds(3, 100)):
        daemon.start()
        daemon.wait_sync()
        if end == "killed":
            for n in range(20):  # something in the log
                rewrite(folder / f"d001/f{100 + n:05d}.txt", f"round {number}")
            daemon.wait_sync()
            daemon.kill9()
        else:
            assert daemon.stop() == 0
        files = [path for path in daemon.state.glob("journal.db*") if not path.name.endswith(("damaged", "damaged-wal"))
                 and path.stat().st_size > 0]
        path, count = dice.choice(sorted(files)), dice.randint(1, 8)
        where, before = flip(path, dice, count), proxy.mark()
        daemon.start(ready=False)
        until(lambda: daemon.notifier.has("READY=1") or daemon.process.poll() is not None)
        if daemon.process.poll() is not None:  # the version became a larger one: a person is asked
            assert "newer azsyncd" in daemon.log()
            refused += 1
            daemon.stop()
            path.unlink()
            daemon.start()
        daemon.wait_sync()
        puts = sum(proxy.puts(before).values())
        assert puts <= 5, (number, path.name, where, proxy.puts(before))
        assert proxy.count("delete", before) == 0, (number, path.name, where)
        equal()
        status = daemon.status()
        assert status["files"] == 300 and not any(status[k] for k in ("held", "conflicts", "failed")), status
        sent.append(puts)
        assert daemon.stop() == 0
    rebuilt = daemon.log().count("The journal was damaged")
    print(f"{end}: {len(sent)} journals, {rebuilt} rebuilt, {refused} refused, {sum(sent)} files sent again in all, "
          f"{max(sent)} at most")


def test_flipped_bytes_and_held_deletions(make, proxy, account, folder, rounds, seed):
    """pitfalls 9.6, 7.5: whatever the damage hits, what was held is not deleted: held by its entry, by the guard, or by doubt."""
    tree(folder, 100)
    daemon, dice = make({"delete-guard": {"files": 2, "percent": 100}}, port=proxy.port), random.Random(seed)
    with daemon as d:
        d.wait_sync()
        for n in range(2):  # the window is full: what follows is held, one by one
            (folder / f"d000/f{n:05d}.txt").unlink()
        d.wait_sync()
        (folder / "d000/f00002.txt").unlink()
        d.until_status(held=1)
    before, kept = names(account), daemon.base / "kept"
    assert len(before) == 98
    shutil.copytree(daemon.state, kept)
    for number in range(rounds(6, 150)):
        shutil.rmtree(daemon.state)
        shutil.copytree(kept, daemon.state)
        where, mark = flip(daemon.state / "journal.db", dice, dice.randint(1, 8)), proxy.mark()
        if number % 6 == 5:
            garbage(daemon.state)
        daemon.start(ready=False)
        until(lambda: daemon.notifier.has("READY=1") or daemon.process.poll() is not None)
        if daemon.process.poll() is None:
            daemon.until_status(pending=0, held=1, state="held")
        assert proxy.count("delete", mark) == 0 and names(account) == before, (number, where, daemon.tail())
        daemon.stop()
    with daemon as d:
        assert d.ctl("approve", "docs").rc == 0
        d.wait_sync()
    assert len(names(account)) == 97


# --- damage ---

def garbage(state):
    (state / "journal.db").write_bytes(b"this is no database at all" * 1000)


def header(state):
    with open(state / "journal.db", "r+b") as f:
        f.write(b"SQLite format 2\0")


def truncated(state):
    os.truncate(state / "journal.db", (state / "journal.db").stat().st_size // 2 // 4096 * 4096)


def zeros(state):
    with open(state / "journal.db", "r+b") as f:
        f.seek(4096)
        f.write(bytes(3 * 4096))


def emptied(state):
    os.truncate(state / "journal.db", 0)


def gone(state):
    (state / "journal.db").unlink()


@pytest.mark.parametrize("how", [garbage, header, truncated, zeros, emptied, gone])
@pytest.mark.parametrize("once", [False, True], ids=["daemon", "once"])
def test_damaged(make, proxy, account, folder, equal, how, once):
    """pitfalls 9.6, 9.7: put aside; rebuilt from tree and listing: what matches is taken over, 0 bytes sent; a blob of ours
    whose file is gone is an ordinary deletion; a stranger's stays."""
    if once and how in (header, zeros, emptied):
        pytest.skip("once is enough")
    tree(folder, 200)
    daemon = make(port=proxy.port)
    with daemon as d:
        d.wait_sync()
    account.client().get_blob_client("box", "stranger").upload_blob(b"not of azsyncd")
    (folder / "d001/f00150.txt").unlink()
    how(daemon.state)
    before = proxy.mark()
    if once:
        done = daemon.run("--once")
        assert done.rc == 0, done
        log = done.err
    else:
        with daemon as d:
            d.wait_sync()
            assert d.status()["files"] == 199
        log = daemon.log()
    assert proxy.puts(before) == {} and proxy.count("copy", before) == 0
    assert proxy.deletions(before) == ["d001/f00150.txt"]
    account.client().get_blob_client("box", "stranger").delete_blob()
    equal()
    if how not in (emptied, gone):
        assert "The journal was damaged" in log and "journal.db.damaged" in log
        assert (daemon.state / "journal.db.damaged").exists()
    assert oct((daemon.state / "journal.db").stat().st_mode & 0o7777) == "0o600"


def listing_pages(account, size):
    """The service's own pages of a listing, by the marker that asks for each."""
    pages, marker = {}, ""

    def keep(response):
        pages[keep.marker] = response.http_response.body()
    container = account.client().get_container_client("box")
    keep.marker = marker
    found = container.list_blobs(include=["metadata"], results_per_page=size, raw_response_hook=keep).by_page()
    for page in found:
        list(page)
        keep.marker = found.continuation_token or ""
    return pages


def test_no_deletion_before_all_is_known(make, proxy, account, folder, equal):
    """pitfalls 9.7: interrupted by kill -9 and by a service that refuses the second page: no deletion until both the scan and
    the whole listing are there."""
    tree(folder, 200)
    daemon = make(port=proxy.port)
    with daemon as d:
        d.wait_sync()
    removed = {f"d001/f{n:05d}.txt" for n in range(150, 170)}
    for name in removed:
        (folder / name).unlink()
    pages, refused = listing_pages(account, 120), [0]
    assert len(pages) == 2

    def rule(request):
        if request.verb != "list":
            return None
        marker = request.query.get("marker", "")
        if marker:
            refused[0] += 1
            return Answer(503)
        return Answer(200, "", body=pages[marker])

    garbage(daemon.state)
    before = proxy.mark()
    for _ in range(3):
        proxy.rule, refused[0] = rule, 0
        daemon.start()
        until(lambda: refused[0] >= 2, what="the second page refused twice")
        assert daemon.status()["state"] != "idle" and daemon.ctl("wait", "--timeout", "1").rc == 1
        daemon.kill9()
    assert proxy.count("delete", before) == 0 and proxy.puts(before) == {}
    proxy.rule = None
    with daemon as d:
        d.wait_sync()
        equal()
    assert set(proxy.deletions(before)) == removed
    assert proxy.puts(before) == {}


def test_damaged_while_it_runs(make, proxy, folder, equal, state_disk):
    """pitfalls 9.5-9.7: the damage shows when it is opened again after other trouble: rebuilt in the same process."""
    daemon = make(port=proxy.port)
    disk = state_disk(daemon, "ext4")
    tree(folder, 200)
    with daemon as d:
        d.wait_sync()
        pid, before = d.pid, proxy.mark()
        disk.fill()
        rewrite(folder / "trouble", "trouble")
        d.until_status(state="blocked")
        for path in (daemon.state / "journal.db", daemon.state / "journal.db-wal"):
            with open(path, "r+b") as f:
                f.write(b"\xa5" * path.stat().st_size)
        disk.free()
        until(lambda: "it is rebuilt" in d.log())
        d.wait_sync()
        assert d.pid == pid and set(proxy.puts(before)) <= {"trouble"} and proxy.count("delete", before) == 0
        assert d.status()["files"] == 201
        equal()


# --- who may have it ---

def test_one_connection(make, folder):
    """pitfalls 9.2, 9.3: it is open once, by nobody else, and nothing of it is mapped: no shared memory, no mmap_size."""
    tree(folder, 20)
    with make() as d:
        d.wait_sync()
        links = [os.readlink(fd) for fd in (pathlib.Path("/proc") / str(d.pid) / "fd").iterdir() if fd.is_symlink()]
        assert sorted(os.path.basename(link) for link in links if link.startswith(f"{d.state}/journal")) == \
            ["journal.db", "journal.db-wal"]
        assert str(d.state) not in (pathlib.Path("/proc") / str(d.pid) / "maps").read_text()
        assert not (d.state / "journal.db-shm").exists()
        with contextlib.closing(sqlite3.connect(d.state / "journal.db", timeout=0)) as db:
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                db.execute("SELECT name FROM path")


def test_somebody_looks_into_it(make, folder, equal):
    """pitfalls 9.8: as long as SQLite's own tools keep it from being opened, it is neither damaged nor rebuilt: azsyncd
    does not start, and says why."""
    rewrite(folder / "file", "content")
    daemon = make()
    with daemon as d:
        d.wait_sync()
    with contextlib.closing(sqlite3.connect(daemon.state / "journal.db", isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
        done = daemon.run()
        assert done.rc == 1 and "locked" in done.err, done
        db.execute("ROLLBACK")
    with daemon as d:
        d.wait_sync()
        equal()
        assert d.status()["uploaded_files"] == 0
    assert not list(daemon.state.glob("*.damaged"))


def test_newer_schema_is_refused(make, folder):
    """pitfalls 9.10: refused in words, and left as it is."""
    rewrite(folder / "file", "content")
    daemon = make()
    with daemon as d:
        d.wait_sync()
    with sqlite3.connect(daemon.state / "journal.db") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    before = hashlib.sha256((daemon.state / "journal.db").read_bytes()).digest()
    for more in ((), ("--once",)):
        done = daemon.run(*more)
        assert done.rc == 1 and "newer azsyncd" in done.err, done
    assert hashlib.sha256((daemon.state / "journal.db").read_bytes()).digest() == before
    assert not list(daemon.state.glob("*.damaged"))


def test_state_directory_read_only(make, folder, state_disk):
    rewrite(folder / "file", "content")
    daemon = make()
    disk = state_disk(daemon, "ext4")
    assert daemon.run("--once").rc == 0
    subprocess.run(["mount", "-o", "remount,ro", str(disk.disk.mountpoint)], check=True)
    done = daemon.run("--once")
    assert done.rc == 1 and "Read-only" in done.err and str(daemon.state) in done.err, done


@pytest.mark.asan
def test_once_beside_a_daemon(make, folder, equal):
    """pitfalls 9.9: the lock is for any azsyncd."""
    rewrite(folder / "file", "content")
    with make() as d:
        d.wait_sync()
        done = d.run("--once")
        assert done.rc == 1 and "another azsyncd" in done.err, done
        rewrite(folder / "file", "goes on")
        d.wait_sync()
        equal()


def on_machine(tmp_path, machine):
    """The same configuration on another machine: only /etc/machine-id differs."""
    path = tmp_path / f"machine-id-{machine}"
    path.write_text(hashlib.md5(machine.encode()).hexdigest() + "\n")
    wrapper = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/machine-id && exec "$@"', str(path)]
    if not os.path.exists("/etc/machine-id") or subprocess.run([*wrapper, "true"], capture_output=True).returncode:
        pytest.skip("no mount namespaces, or no machine id, here")
    return wrapper


def test_two_hosts(make, proxy, account, folder, tmp_path):
    """pitfalls 9.9: two hosts with one configuration: said once, theirs kept, no overwriting in turns."""
    other = tmp_path / "other"
    tree(folder, 20)
    tree(other, 20)
    for n in range(5):
        rewrite(other / f"d000/f{n:05d}.txt", f"of the other host {n}")
    rewrite(folder / "here", "here")
    rewrite(other / "there", "there")
    box = account.client().get_container_client("box")
    one = make(port=proxy.port)
    two = make(port=proxy.port, mappings={"docs": {"folder": str(other), "container": "box"}})
    one.start(wrapper=on_machine(tmp_path, "one"))
    one.wait_sync()
    two.start(wrapper=on_machine(tmp_path, "two"))
    two.until_status(conflicts=5, pending=0)
    two.wait_sync(expect=3)
    said = "were written by another azsyncd"
    assert two.log().count(said) == 1
    assert [box.download_blob(f"d000/f{n:05d}.txt").readall() for n in range(5)] == \
        [(folder / f"d000/f{n:05d}.txt").read_bytes() for n in range(5)]
    before = proxy.mark()
    for n in range(3):  # each writes on in its own copy
        with one.still():
            rewrite(folder / "d000/f00000.txt", f"of the first host, again {n}")
        rewrite(other / "d000/f00000.txt", f"of the other host, again {n}")
        one.wait_sync()
        two.until_status(conflicts=5, pending=0)
    one.ctl("rescan")
    two.ctl("rescan")
    one.wait_sync()
    two.until_status(conflicts=5, pending=0, state="idle")
    assert box.download_blob("d000/f00000.txt").readall() == b"of the first host, again 2"
    assert proxy.puts(before)["d000/f00000.txt"] == 3 and proxy.count("delete", before) == 0
    assert two.log().count(said) == 1 and one.log().count(said) <= 1
    assert {"here", "there"} <= names(account)
    assert one.stop() == 0 and two.stop() == 0
