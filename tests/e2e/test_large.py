"""Large files: only what changed travels, a crash costs what was in flight, and nothing is committed that never was a
file (docs/design.md, "Large files"; pitfalls 10.15-10.18). The sizes of the promise are those of scripts/torture; CI has
smaller files and the same bounds, for what an edit costs does not depend on the size."""
import base64
import os
import random
import threading
import time

import pytest

from daemon import SANITIZED, STEP, until
from proxy import Answer, Delay, Gate

MIB = 1 << 20
EDIT_MOST, APPEND_MOST = 24 * MIB, 12 * MIB
BLOCK_MOST = 8 * MIB  # of files below 100 GiB


@pytest.fixture
def mib():
    """mib(sample, full): a size in bytes; `full` under scripts/torture."""
    return lambda sample, full: (full if os.environ.get("AZSYNC_ROUNDS") == "full" else sample) * MIB


def noise(size, seed=1):
    source = random.Random(seed)
    return b"".join(source.randbytes(min(MIB, size - at)) for at in range(0, size, MIB))


def write_at(path, offset, data):
    with open(path, "r+b") as f:
        f.seek(offset)
        f.write(data)


def append(path, data):
    with open(path, "ab") as f:
        f.write(data)


def insert(path, offset, data, aside):
    """As an editor saves: a new file is moved over the old one."""
    old = path.read_bytes()
    aside.write_bytes(old[:offset] + data + old[offset:])
    os.replace(aside, path)


def blocks(proxy, since=0, status=201):
    return [r for r in proxy.requests[since:] if r.verb == "put-block" and r.status == status]


def ids(requests):
    return [(r.blob, r.query["blockid"]) for r in requests]


class Cost:
    """with Cost(daemon, proxy) as c: a change; it is synced at the end. c.sent: what status says was sent."""

    def __init__(self, daemon, proxy):
        self.daemon, self.proxy = daemon, proxy

    def __enter__(self):
        self.before, self.mark = self.daemon.status(), self.proxy.mark()
        return self

    def __exit__(self, kind, *exc):
        if kind is None:
            self.daemon.wait_sync()
            after = self.daemon.status()
            self.sent, self.copied = (after[key] - self.before[key] for key in ("uploaded_bytes", "copied_files"))
            assert self.sent == self.proxy.body_bytes(self.mark)  # what it says is what went over the line


@pytest.mark.asan
def test_edit_insert_append(make, proxy, folder, tmp_path, equal, mib):
    """At most 24, 24 and 12 MiB; then a cut at the end, and halves that change places."""
    size = mib(48, 200)
    path = folder / "file"
    path.write_bytes(noise(size))
    with make(port=proxy.port) as d:
        d.wait_sync()
        assert size <= d.status()["uploaded_bytes"] < size + MIB
        with Cost(d, proxy) as edit:
            write_at(path, size // 2, noise(MIB, 2))
        with Cost(d, proxy) as inserted:
            insert(path, size // 4, b"8 bytes.", tmp_path / "aside")
        with Cost(d, proxy) as appended:
            append(path, b"fourteen bytes")
        equal()
        assert MIB < edit.sent <= EDIT_MOST and 8 < inserted.sent <= EDIT_MOST and 14 < appended.sent <= APPEND_MOST
        data = path.read_bytes()
        (tmp_path / "aside").write_bytes(data[len(data) // 2:] + data[:len(data) // 2])
        with Cost(d, proxy) as swapped:
            os.replace(tmp_path / "aside", path)
        equal()
        with Cost(d, proxy) as cut:
            os.truncate(path, size // 3)
        equal()
        assert swapped.sent <= 4 * BLOCK_MOST and cut.sent <= APPEND_MOST
        print("bytes sent: edit, insert, append, swap, cut:", edit.sent, inserted.sent, appended.sent, swapped.sent,
              cut.sent)


@pytest.mark.parametrize("written", [True, False], ids=["written", "hole"])
def test_zeros(make, proxy, folder, equal, mib, written):
    """A file of zeros with 1 MiB of data: the data, and one block of zeros."""
    size = mib(128, 1024)
    with open(folder / "zeros", "wb") as f:
        for _ in range(size // MIB if written else 0):
            f.write(bytes(MIB))
        f.truncate(size)
    write_at(folder / "zeros", size // 3, noise(MIB))
    with make(port=proxy.port) as d:
        d.wait_sync()
        equal()
        sent = d.status()["uploaded_bytes"]
        assert MIB < sent <= EDIT_MOST and len(set(ids(blocks(proxy)))) == len(blocks(proxy))
        print("bytes sent:", sent)


def hwm(pid):
    """The most memory that it ever had, in bytes."""
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmHWM"))


def bytes_read(pid):
    with open(f"/proc/{pid}/io") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("rchar"))


@pytest.mark.skipif(SANITIZED, reason="memory is measured")
def test_hole_file(make, account, proxy, folder, mib):
    """100 GiB, of which nothing is there but two words: planned without reading it, in bounded memory, in fewer than
    50,000 blocks, though the MD5 of all of it is made."""
    size = mib(4100, 100 * 1024)
    with open(folder / "hole", "wb") as f:
        f.truncate(size)
    write_at(folder / "hole", size // 2, b"in the middle")
    write_at(folder / "hole", size - 3, b"end")
    with make(port=proxy.port) as d:
        d.wait_sync(3600)
        blob = account.client().get_blob_client("box", "hole")
        committed = blob.get_block_list("committed")[0]
        assert sum(b.size for b in committed) == blob.get_blob_properties().size == size and len(committed) < 50000
        for offset, data in ((0, bytes(9)), (size // 2 - 9, bytes(9) + b"in the middle" + bytes(9)),
                             (size - 9, bytes(6) + b"end")):
            assert blob.download_blob(offset, len(data)).readall() == data
        # the commit names every block
        assert d.status()["uploaded_bytes"] <= EDIT_MOST + 100 * len(committed)
        assert bytes_read(d.pid) < EDIT_MOST, "it reads holes"
        assert hwm(d.pid) < 128 * MIB  # `memory` is 64
        print("blocks:", len(committed), "read:", bytes_read(d.pid), "most memory:", hwm(d.pid))


@pytest.mark.skipif(os.environ.get("AZSYNC_ROUNDS") != "full", reason="110 GiB have to be hashed")
def test_too_many_blocks(make, account, proxy, folder):
    """A file made so that it is cut into more blocks than a blob may have: cut anew, into larger ones."""
    period, words, data = 9 * MIB // 4, 25_010, noise(4096)  # such runs of zeros are blocks, and what is between them
    with open(folder / "words", "wb") as f:
        f.truncate(period * words)
        for n in range(words):
            f.seek(n * period)
            f.write(data)
    with make(port=proxy.port) as d:
        d.wait_sync(3600)
        assert d.status()["failed"] == 0 and d.status()["files"] == 1
    blob = account.client().get_blob_client("box", "words")
    committed = blob.get_block_list("committed")[0]
    assert sum(b.size for b in committed) == blob.get_blob_properties().size == period * words
    assert len(committed) < 50000 and {base64.b64decode(b.id)[1] for b in committed} == {23}  # 8 MiB on average
    for n in (0, words // 2, words - 1):
        assert blob.download_blob(n * period, 5000).readall() == data + bytes(5000 - len(data))
    print("blocks:", len(committed), "bytes sent:", proxy.body_bytes())


@pytest.mark.asan
def test_kills(make, proxy, folder, equal, rounds, seed, mib):
    """kill -9 at random moments of an upload: what the service has is not sent again, and what is, was in flight."""
    size, kills, chance = mib(40, 400), rounds(2, 20), random.Random(seed)
    per_upload, done = min(kills, 5), 0
    proxy.rule = lambda r: Delay(0.2) if r.verb == "put-block" else None  # so that some are in flight
    d = make(port=proxy.port, settings={"memory": "64MiB"})
    while done < kills:
        first = proxy.mark()
        (folder / "file").write_bytes(noise(size, chance.random()))
        for _ in range(per_upload):
            mark, enough = proxy.mark(), chance.randrange(0, size // BLOCK_MOST // per_upload + 1)
            d.start()
            until(lambda: len(blocks(proxy, mark)) >= enough or proxy.count("put-block-list", first))
            time.sleep(chance.random() * 0.05)  # the moment itself
            d.kill9()
            until(proxy.left_alone)
            done += 1
        with d:
            d.wait_sync(600)
            equal()
        staged = ids(blocks(proxy, first))
        assert len(staged) == len(set(staged)), "a block that the service had was sent again"
        again = [r.sent for r in proxy.requests[first:] if r.verb == "put-block" and r.status != 201]
        assert sum(again) <= per_upload * 64 * MIB
        print(f"kill {done}: {len(staged)} blocks taken, {len(again)} cut off, {sum(again) / MIB:.1f} MiB of those")


@pytest.mark.parametrize("loss", ["connections", "service", "stop"])
def test_lost_link(make, proxy, folder, equal, mib, loss):
    """A line that is cut for a while, or a daemon that is stopped, in the first upload of a new file."""
    size = mib(40, 400)
    lost = []

    def rule(request):
        if request.verb != "put-block" or len(blocks(proxy)) < 3 or loss == "stop" or len(lost) >= 6:
            return None
        lost.append(request)
        if loss == "connections":
            proxy.drop_connections()
        return Answer(503, "ServerBusy", {"Retry-After": "1"})

    proxy.rule = rule
    (folder / "file").write_bytes(noise(size))
    d = make(port=proxy.port)
    with d:
        if loss == "stop":
            until(lambda: len(blocks(proxy)) >= 2)
            d.stop()
            until(proxy.left_alone)
            d.start()
        d.wait_sync(600)
        equal()
    staged = ids(blocks(proxy))
    assert len(staged) == len(set(staged)), "a block that the service had was sent again"
    assert len(lost) == (0 if loss == "stop" else 6)


@pytest.mark.asan
def test_rename_then_edit(make, proxy, folder, tmp_path, equal, mib):
    """The copy on the server has the blocks of its source."""
    size = mib(40, 400)
    (folder / "old").write_bytes(noise(size))
    with make(port=proxy.port) as d:
        d.wait_sync()
        with Cost(d, proxy):
            write_at(folder / "old", size // 2, b"delta-uploaded")
        with Cost(d, proxy) as moved:
            os.rename(folder / "old", folder / "new")
        equal()
        assert moved.sent == 0 and moved.copied == 1
        with Cost(d, proxy) as edited:
            write_at(folder / "new", size // 3, noise(MIB, 3))
        equal()
        assert MIB < edited.sent <= EDIT_MOST


def test_touch_and_chmod(make, proxy, folder, equal, mib):
    path = folder / "file"
    path.write_bytes(noise(mib(40, 200)))
    with make(port=proxy.port) as d:
        d.wait_sync()
        for change, verbs in ((lambda: os.utime(path), ["get-block-list", "set-metadata"]),
                              (lambda: path.chmod(0o600), ["set-metadata"])):
            with Cost(d, proxy) as cost:
                change()
            assert [r.verb for r in proxy.requests[cost.mark:]] == verbs
            assert cost.sent < 4096
            equal()


CHANGES = {
    "truncated": lambda path, aside: os.truncate(path, 9 * MIB),
    "emptied": lambda path, aside: os.truncate(path, 0),
    "replaced": lambda path, aside: os.replace(aside, path),
    "rewritten": lambda path, aside: write_at(path, 0, noise(MIB, 5)),
    "other end": lambda path, aside: write_at(path, path.stat().st_size - MIB, noise(MIB, 5)),
    "deleted": lambda path, aside: path.unlink(),
    "now small": lambda path, aside: os.truncate(path, 5),
}


@pytest.mark.parametrize("known", [False, True], ids=["new", "changed"])
@pytest.mark.parametrize("change", sorted(CHANGES))
def test_changed_while_sent(make, account, proxy, folder, tmp_path, equal, change, known):
    """In the middle of its upload, with the first blocks there and its end not read: never committed mixed."""
    size, gate, held = 40 * MIB, Gate(), threading.Event()
    path, aside = folder / "file", tmp_path / "aside"
    aside.write_bytes(noise(24 * MIB, 4))
    d = make({"delete-guard": {"files": 100, "percent": 100}}, port=proxy.port, settings={"memory": "16MiB"})
    if known:
        path.write_bytes(noise(9 * MIB, 3))
        with d:
            d.wait_sync()

    def rule(request):
        if request.verb == "put-block" and len(blocks(proxy, mark)) >= 2 and not gate.opened.is_set():
            held.set()
            return gate
        return None

    mark = proxy.mark()
    proxy.rule = rule
    path.write_bytes(noise(size))
    with d:
        until(held.is_set, what="two blocks are there, and one is held")
        assert proxy.count("put-block-list", mark) == 0
        CHANGES[change](path, aside)
        gate.open()
        d.wait_sync()
        equal()
    if change == "deleted":
        assert proxy.puts(mark)["file"] == 0
        assert not account.client().get_blob_client("box", "file").exists()
    else:
        assert proxy.puts(mark)["file"] == 1, "something else was committed before"


def refuse_crc64(status, code):
    def rule(request):
        if request.verb == "put-block" and "x-ms-content-crc64" in request.headers:
            return Answer(status, code)
        return None
    return rule


@pytest.mark.parametrize("status, code", [(500, "FeatureNotSupported"), (400, "Crc64Mismatch")])
def test_no_crc64(make, proxy, folder, equal, status, code):
    """A service that does not know the checksum, or calls a right one wrong: MD5 from then on, and it is said once."""
    proxy.rule = refuse_crc64(status, code)
    with make(port=proxy.port) as d:
        for n in range(3):
            (folder / f"file {n}").write_bytes(noise(20 * MIB, n))
            d.wait_sync()
        equal()
        assert d.status()["failed"] == 0
        assert d.log().count("refuses CRC64") == 1
    last = [r for r in blocks(proxy) if r.blob == "file 2"]
    assert last and all("content-md5" in r.headers and "x-ms-content-crc64" not in r.headers for r in last)
    assert sum("x-ms-content-crc64" in r.headers for r in proxy.requests if r.blob != "file 0") == 0


def test_checksums(make, proxy, folder, equal):
    """One for each verb, and the service checks it (pitfalls 10.17)."""
    (folder / "file").write_bytes(noise(20 * MIB))
    with make(port=proxy.port) as d:
        d.wait_sync()
        equal()
    assert all("x-ms-content-crc64" in r.headers and "content-md5" not in r.headers for r in blocks(proxy))
    commit = next(r for r in proxy.requests if r.verb == "put-block-list")
    assert "x-ms-blob-content-md5" in commit.headers


def sent_whole(account, name, data):
    account.client().get_blob_client("box", name).upload_blob(data, overwrite=True)


def sent_in_blocks(account, name, data, id_size):
    blob, names = account.client().get_blob_client("box", name), []
    for n in range(0, len(data), 4 * MIB):
        names.append(f"{n:0{id_size}d}")
        blob.stage_block(names[-1], data[n:n + 4 * MIB])
    blob.commit_block_list(names)


def like_rclone(account, name, data):
    sent_in_blocks(account, name, data, 16)


def like_azcopy(account, name, data):
    sent_in_blocks(account, name, data, 36)


@pytest.mark.parametrize("send", [sent_whole, like_rclone, like_azcopy])
def test_blob_of_another_tool(make, account, proxy, folder, equal, send):
    """Whole once, then by delta. Not at all if it bears the MD5 of what is here."""
    size, path = 32 * MIB, folder / "file"
    account.client().create_container("box")
    send(account, "file", noise(size))
    send(account, "same", noise(size, 2))
    path.write_bytes(noise(size, 3))
    (folder / "same").write_bytes(noise(size, 2))
    with make({"conflict": "overwrite"}, port=proxy.port) as d:
        d.wait_sync()
        equal()
        same = send is not sent_whole  # that bears no MD5
        assert {r.blob for r in blocks(proxy)} == ({"file", "same"} if same else {"file"})
        assert 0 <= d.status()["uploaded_bytes"] - (2 if same else 1) * size < MIB
        with Cost(d, proxy) as edit:
            write_at(path, size // 2, b"edited")
        equal()
        assert edit.sent <= EDIT_MOST
        with Cost(d, proxy) as first:
            write_at(folder / "same", size // 2, b"edited")
        with Cost(d, proxy) as second:
            write_at(folder / "same", size // 3, b"edited")
        equal()
        assert (first.sent < EDIT_MOST) == same and second.sent <= EDIT_MOST


def test_small_becomes_large(make, proxy, folder, equal):
    """What was one Put Blob is sent whole once, then by delta."""
    path = folder / "log"
    path.write_bytes(noise(3 * MIB))
    with make(port=proxy.port) as d:
        d.wait_sync()
        append(path, noise(29 * MIB, 2))
        d.wait_sync()
        with Cost(d, proxy) as cost:
            append(path, b"a line\n")
        equal()
        assert cost.sent <= APPEND_MOST


def test_staged_blocks_vanish(make, account, proxy, folder, equal):
    """Between the last block and the commit, another program commits something under that name, and deletes it: what was
    unfinished is gone. It is seen, sent again, and no failure of the file."""
    data, hit = noise(20 * MIB), []

    def rule(request):
        if request.verb == "put-block-list" and not hit:
            hit.append(request)
            blob = account.client().get_blob_client("box", "file")
            blob.stage_block("x" * 32, b"theirs")
            blob.commit_block_list(["x" * 32])
            blob.delete_blob()

    proxy.rule = rule
    (folder / "file").write_bytes(data)
    with make(port=proxy.port) as d:
        d.wait_sync()
        equal()
        assert d.status()["failed"] == d.status()["conflicts"] == 0
    assert [r.status for r in proxy.requests if r.verb == "put-block-list"] == [400, 201]


def test_paused_in_the_middle(make, proxy, folder, equal):
    """What is paused sends nothing more, not even of a file that is under way; the blocks that are there already are not
    sent again."""
    gate, stopped = Gate(), []

    def rule(request):
        if request.verb != "put-block" or stopped:
            return None
        return gate if proxy.count("put-block") > 3 else None

    proxy.rule = rule
    (folder / "large").write_bytes(os.urandom(60 * MIB))
    with make(port=proxy.port) as d:
        until(lambda: len(blocks(proxy)) == 3 and proxy.count("put-block") > 3, what="blocks that are there, and one held")
        assert d.ctl("pause").rc == 0
        d.until_status(state="paused", in_flight=[], pending=1)
        stopped.append(True)
        there, since = ids(blocks(proxy)), len(proxy.requests)
        gate.open()
        assert d.ctl("resume").rc == 0
        d.wait_sync()
        equal()
    assert len(there) == 3
    assert not set(there) & set(ids(blocks(proxy, since)))


def test_rescan_beside_a_large_file(make, account, proxy, folder, equal):
    """A listing waits for what is under way. The way out that docs/reliability.md names: pause and resume."""
    gate, held = Gate(), []

    def rule(request):
        return gate if held and request.verb == "put-block" else None

    proxy.rule = rule
    with make(port=proxy.port) as d:
        d.wait_sync()
        held.append(True)
        (folder / "large").write_bytes(os.urandom(60 * MIB))
        until(lambda: proxy.count("put-block") > 0, what="blocks that are held")
        lists = proxy.count("list")
        assert d.ctl("rescan").rc == 0
        (folder / "small").write_bytes(b"small")
        assert d.ctl("pause").rc == 0
        assert d.ctl("resume").rc == 0
        until(lambda: account.client().get_blob_client("box", "small").exists(), what="what waited")
        assert proxy.count("list") > lists
        held.clear()
        gate.open()
        d.wait_sync()
        equal()


def test_foreign_commit_in_between(make, account, proxy, folder, equal):
    """The blob was replaced by somebody while the daemon was away: its blocks are not there any more."""
    path = folder / "file"
    path.write_bytes(noise(32 * MIB))
    d = make({"conflict": "overwrite"}, port=proxy.port)
    with d:
        d.wait_sync()
    sent_whole(account, "file", b"somebody else's")
    write_at(path, 16 * MIB, b"edited")
    with d:
        d.wait_sync()
        equal()


@pytest.mark.asan
def test_many_with_little_memory(make, proxy, folder, equal):
    """Several large files, with memory for hardly one block: all arrive, and none is far ahead of what it may hold."""
    proxy.rule = lambda r: Delay(0.2) if r.verb == "put-block" else None  # or nothing would come together
    for n in range(5):
        (folder / f"file {n}").write_bytes(noise((10 + 7 * n) * MIB, n))
    for n in range(50):
        (folder / f"small {n}").write_bytes(noise(100_000, n))
    with make(port=proxy.port, settings={"memory": "16MiB"}) as d:
        d.wait_sync()
        equal()
        if not SANITIZED:
            print("most memory:", hwm(d.pid))
            assert hwm(d.pid) < 40 * MIB  # `memory`, and what it is without


@pytest.mark.asan
def test_short_one_need_not_wait(make, proxy, folder, equal):
    """With memory for one large file at a time: a long one gives way to a short one, and goes on where it was."""
    gate, short = Gate(), noise(6 * MIB, 2)

    def rule(request):
        if request.verb != "put-block" or request.blob != "long" or len(blocks(proxy)) < 2:
            return None
        return Delay(0.1) if gate.opened.is_set() else gate
    (folder / "long").write_bytes(noise(160 * MIB))
    proxy.rule = rule
    with make(port=proxy.port, settings={"memory": "16MiB"}) as d:
        until(lambda: proxy.held("put-block") > 0)
        (folder / "short").write_bytes(short)
        gate.open()
        d.wait_sync()
        equal()
    commits = [r.blob for r in proxy.requests if r.verb == "put-block-list"]
    assert commits == ["short", "long"]
    assert len(ids(blocks(proxy))) == len(set(ids(blocks(proxy))))
    # the long one went on, and did not begin anew; the short one may have been met while it was written
    assert sum(r.verb == "get-block-list" and r.blob == "long" for r in proxy.requests) == 1


def test_progress(make, proxy, folder, equal):
    """sent, size, rate and the time that is left, while it is under way: also of what is on the line, for no block is
    confirmed yet."""
    size, gate = 96 * MIB, Gate()
    proxy.rule = lambda r: gate if r.verb == "put-block" else None
    (folder / "file").write_bytes(noise(size))
    with make({"bandwidth": "64KiB/s"}, port=proxy.port) as d:

        def flight():
            now = d.status()["in_flight"]
            return now[0] if now and now[0]["sent"] >= MIB // 8 and now[0]["rate"] > 0 else None
        now = until(flight)
        assert now["path"] == "file" and now["size"] == size and now["sent"] < size and now["remaining_s"] > 0

        def line():
            return next((line for line in d.ctl("status").out.splitlines() if "file" in line and "left" in line), "")
        assert "/s" in until(line)
        d.map("docs", folder=folder, container="box")
        assert d.ctl("reload").rc == 0
        gate.open()
        d.wait_sync()
        equal()
        assert d.status()["in_flight"] == []


@pytest.mark.skipif(SANITIZED, reason="hashing takes as long as it takes")
def test_rest(make, proxy, folder, equal):
    """What took T to read is not read again before 10 T have passed. No MD5 of 100 MiB is made in a tenth of a second,
    so there may be one reading a second at most; each of them asks which blocks are there."""
    path = folder / "file"
    path.write_bytes(noise(100 * MIB))
    with make(port=proxy.port, speedup=0) as d:
        d.wait_sync()
        began, mark = time.monotonic(), proxy.mark()
        for _ in range(200):
            os.utime(path)
            time.sleep(STEP)  # the workload's own pace
        d.wait_sync()
        equal()
        readings = proxy.count("get-block-list", mark)
        assert 1 <= readings <= 1 + (time.monotonic() - began)
