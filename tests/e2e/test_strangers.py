"""What others do to the blobs that azsyncd keeps: change them, hold leases on them, take snapshots, archive them, leave
unfinished blocks under their names (pitfalls 10.15, 10.16; azure-blob.md 1.2, 1.5, 1.11, 7.5)."""
import base64
import hashlib

import pytest
from azure.storage.blob import BlobBlock

from daemon import until
from given import tree
from proxy import Answer

LARGE, BLOCK = 9 * 2**20, 4 * 2**20


@pytest.mark.asan
def test_twenty_conflicts(make, account, proxy, folder, equal):
    """10.15: 20 blobs overwritten by somebody else, then their files change too: 20 conflicts named, theirs kept, over a
    restart; with `overwrite` ours replace them; nobody else's file is in conflict, ever."""
    tree(folder, 60)
    names = [f"d000/f{n:05d}.txt" for n in range(20)]
    box = account.client().get_container_client("box")
    d = make(port=proxy.port)
    with d:
        d.wait_sync()
        for name in names:
            box.upload_blob(name, b"theirs: " + name.encode(), overwrite=True)
        for n in range(40):
            (folder / f"d000/f{n:05d}.txt").write_text(f"ours: {n}")
        d.until_status(conflicts=20, pending=0, failed=0)
        d.wait_sync(expect=3)
    with d:
        d.until_status(conflicts=20, pending=0)
        conflicts = {path: i for path, i in d.queue().items() if i["state"] == "conflict"}
        assert sorted(conflicts) == names and all("someone else" in i["reason"] for i in conflicts.values())
        assert d.ctl("status", "--check").rc == 3
        for name in names:
            assert box.download_blob(name).readall() == b"theirs: " + name.encode()
        for n in range(20, 40):
            assert box.download_blob(f"d000/f{n:05d}.txt").readall() == b"ours: %d" % n
        d.map("docs", folder=folder, container="box", conflict="overwrite")
        assert d.ctl("reload").rc == 0 and d.ctl("retry").rc == 0
        d.wait_sync()
        equal()
        box.upload_blob(names[0], b"theirs again", overwrite=True)
        (folder / names[0]).write_text("ours again")
        d.wait_sync()
        equal()
        assert d.status()["conflicts"] == 0


@pytest.mark.asan
def test_conflicts_are_settled(make, account, folder, equal):
    """10.15: each way of docs/howto/conflicts.md ends one: theirs is deleted, or taken over, or `overwrite` says so; with
    --once nobody retries."""
    for n in range(4):
        (folder / f"f{n}").write_text("first")
    d = make()
    assert d.run("--once").rc == 0
    box = account.client().get_container_client("box")

    def theirs(*names):
        for name in names:
            box.upload_blob(name, b"theirs", overwrite=True)
            (folder / name).write_text("ours")
    theirs("f0", "f1", "f2")
    result = d.run("--once")
    assert result.rc == 3 and result.err.count(": conflict: ") == 3, result
    box.delete_blob("f0")
    (folder / "f1").write_text("theirs")
    result = d.run("--once")
    assert result.rc == 3 and result.err.count(": conflict: ") == 1 and "f2: conflict" in result.err, result
    with d:
        theirs("f3")
        d.until_status(conflicts=2, pending=0)
        box.delete_blob("f3")
        assert d.ctl("retry").rc == 0
        d.until_status(conflicts=1, pending=0, state="idle")
        assert "idle, in conflict" in d.ctl("status").out
        d.map("docs", folder=folder, container="box", conflict="overwrite")
        assert d.ctl("reload").rc == 0
        d.wait_sync()
        equal()


@pytest.mark.asan
def test_leased_blob(make, account, folder, equal):
    """10.16: somebody holds a lease: named, tried again slowly, nothing failed; once it is released, in sync by itself. Others
    are not held up."""
    tree(folder, 5)
    box = account.client().get_container_client("box")
    with make(speedup=100) as d:
        d.wait_sync()
        changed = box.get_blob_client("d000/f00000.txt").acquire_lease()
        gone = box.get_blob_client("d000/f00001.txt").acquire_lease()
        (folder / "d000/f00000.txt").write_text("changed")
        (folder / "d000/f00001.txt").unlink()
        (folder / "d000/f00002.txt").write_text("not leased")
        until(lambda: box.download_blob("d000/f00002.txt").readall() == b"not leased")
        until(lambda: {path for path, i in d.queue().items() if "lease" in i["reason"]} == {"d000/f00000.txt",
                                                                                          "d000/f00001.txt"})
        assert d.status()["failed"] == 0 and d.ctl("wait", "--timeout", "1").rc == 1
        changed.release()
        gone.release()
        d.wait_sync()
        equal()


@pytest.mark.asan
def test_snapshots(make, account, folder, equal):
    """pitfalls 7.7: a blob with snapshots is replaced and deleted all the same."""
    tree(folder, 3)
    box = account.client().get_container_client("box")
    with make() as d:
        d.wait_sync()
        for n in range(3):
            box.get_blob_client(f"d000/f{n:05d}.txt").create_snapshot()
        (folder / "d000/f00000.txt").write_text("changed")
        (folder / "d000/f00001.txt").unlink()
        (folder / "d000/f00002.txt").rename(folder / "d000/moved")
        d.wait_sync()
        equal()


@pytest.mark.asan
def test_archived(make, proxy, folder, equal):
    """10.16: 409 BlobArchived (the service's; Azurite takes the write): named, never deleted first, no storm of retries."""
    tree(folder, 3)
    with make(port=proxy.port) as d:
        d.wait_sync()
        bad = [True]
        proxy.rule = lambda request: Answer(409, "BlobArchived") if bad[0] and request.verb == "put-blob" else None
        before = proxy.mark()
        with d.still():
            (folder / "d000/f00000.txt").write_text("changed")
        d.until_status(failed=1, pending=0)
        assert "archive" in d.queue()["d000/f00000.txt"]["reason"]
        d.wait_sync(expect=3)
        assert proxy.count(since=before) == 1 and proxy.count("delete") == 0
        bad[0] = False
        assert d.ctl("retry").rc == 0
        d.wait_sync()
        equal()


PERMANENT = {"BlobImmutableDueToPolicy": 409, "InvalidBlobType": 409, "MetadataTooLarge": 400, "InvalidResourceName": 400,
             "RequestBodyTooLarge": 413, "UnsupportedHeader": 400}


@pytest.mark.asan
def test_permanent(make, proxy, folder, equal):
    """10.10, 10.16: what can never succeed is named after one try, and holds nothing else up."""
    for code in PERMANENT:
        (folder / code).write_text("content")
    (folder / "fine").write_text("content")
    proxy.rule = lambda request: Answer(PERMANENT[request.blob], request.blob) \
        if request.verb == "put-blob" and request.blob in PERMANENT else None
    with make(port=proxy.port) as d:
        status = d.until_status(failed=len(PERMANENT), pending=0)
        assert status["files"] == 1
        assert all(code in item["reason"] for code, item in d.queue().items())
        assert proxy.count("put-blob") == len(PERMANENT) + 1
        proxy.rule = None
        assert d.ctl("retry").rc == 0
        d.wait_sync()
        equal()


@pytest.mark.asan
@pytest.mark.parametrize("size", [16, 36, 64], ids=["rclone", "azcopy", "rclone 1.60"])
def test_blocks_left_by_others(make, account, proxy, folder, equal, size):
    """azure-blob.md 7.5: unfinished blocks with ids of another length: ours take on that length, so no blob is ever seen
    that no file was. For large files and small ones, new and known ones."""
    box = account.client().create_container("box")

    def stage(name):
        for n in range(3):
            box.get_blob_client(name).stage_block(f"{n:0{size}d}", b"left over")
        assert len(box.get_blob_client(name).get_block_list("uncommitted")[1]) == 3
    stage("large")
    stage("small")
    (folder / "large").write_bytes(b"large" * (LARGE // 5))
    (folder / "small").write_text("small")
    seen = []
    proxy.rule = lambda request: seen.append([(b.name, b.size) for b in box.list_blobs()]) \
        if request.verb in ("put-block", "put-block-list") else None
    with make(port=proxy.port) as d:
        d.wait_sync()
        equal()
        stage("large")
        (folder / "large").write_bytes(b"other" * (LARGE // 5))
        d.wait_sync()
        equal()
        assert d.status()["failed"] == d.status()["conflicts"] == 0
    assert box.get_blob_client("large").get_block_list("uncommitted")[1] == []
    sizes = {("large", LARGE // 5 * 5), ("small", 5)}
    assert len(seen) > 4 and {blob for blobs in seen for blob in blobs} <= sizes


@pytest.mark.asan
def test_blocks_of_another_memory(make, account, folder, equal):
    """Blocks so large that there is no memory for such any more: the file is cut anew."""
    (folder / "large").write_bytes(b"large" * (LARGE // 5))
    with make() as d:
        d.wait_sync()
        blob = account.client().get_blob_client("box", "large")
        blob.stage_block("\x02\x1a" + 30 * "x", b"left over")  # of 64 MiB, as rules 2 have it
        (folder / "large").write_bytes(b"other" * (LARGE // 5))
        d.wait_sync()
        equal()
        assert {base64.b64decode(block.id)[1] for block in blob.get_block_list("committed")[0]} == {22}


@pytest.mark.asan
def test_blocks_that_cannot_be_joined(make, account, proxy, folder, equal):
    """Ids so short that a hash in them could meet another: named, tried again slowly; goes on when they are gone."""
    box = account.client().create_container("box")
    blob = box.get_blob_client("large")
    blob.stage_block("0001", b"left over")
    (folder / "large").write_bytes(b"large" * (LARGE // 5))
    (folder / "small").write_text("small")
    with make(port=proxy.port) as d:
        until(lambda: "unfinished blocks" in d.queue().get("large", {}).get("reason", ""))
        d.until_status(files=1, failed=0)
        blob.commit_block_list([BlobBlock("0001")])
        blob.delete_blob()
        assert d.ctl("retry").rc == 0
        d.wait_sync()
        equal()


@pytest.mark.asan
def test_blocks_that_vanish(make, account, proxy, folder, equal):
    """400 InvalidBlockList: the commit had succeeded, or the blocks are gone: asked, then sent again, under the ids that are
    hashes of their content (pitfalls 10.18)."""
    left = [2]

    def rule(request):
        if request.verb == "put-block-list" and left[0] > 0:
            left[0] -= 1
            return Answer(400, "InvalidBlockList")
        return None
    proxy.rule = rule
    (folder / "large").write_bytes(b"large" * (LARGE // 5))
    with make(port=proxy.port) as d:
        d.wait_sync()
        equal()
        assert d.status()["failed"] == d.status()["conflicts"] == 0
    assert left == [0] and proxy.count("head") >= 2
    data, at, ids = (folder / "large").read_bytes(), 0, set()
    for block in account.client().get_blob_client("box", "large").get_block_list("committed")[0]:
        digest = hashlib.sha256(data[at:at + block.size]).digest()
        assert base64.b64decode(block.id) == b"\x02\x16" + digest[:30]
        ids.add(block.id)
        at += block.size
    assert at == len(data) and {r.query["blockid"] for r in proxy.requests if r.verb == "put-block"} == ids
