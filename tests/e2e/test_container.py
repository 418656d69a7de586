"""What happens to the container behind azsyncd's back: deleted, back without its blobs, blobs deleted or changed by
somebody else, listings that are cut (pitfalls 10.3, 10.14, 10.15)."""
import re

import pytest

from daemon import until
from given import tree
from proxy import Answer, Cut, Reset


def names(account, container="box"):
    return {b.name for b in account.client().get_container_client(container).list_blobs()}


@pytest.mark.asan
@pytest.mark.parametrize("down", [False, True], ids=["while it runs", "over a restart"])
def test_container_back_empty(make, account, proxy, folder, equal, down):
    """10.14: gone: blocked, and never made again, not by a restart either. Back and empty: the confirmed rows are lies;
    all is sent again, once a person has approved."""
    tree(folder, 30)
    client = account.client()
    d = make(port=proxy.port)
    with d:
        d.wait_sync()
        client.delete_container("box")
        (folder / "d000/f00000.txt").write_text("changed")
        d.until_status(state="blocked", detail=re.compile("is gone.*azsyncctl approve docs").search)
        d.wait_sync(expect=3)
        assert d.ctl("status", "--check").rc == 3
        if not down:
            client.create_container("box")
            d.until_status(state="blocked", detail=re.compile("30 of the 30 files").search)
            assert d.ctl("rescan").rc == 0
    if down:
        with d:
            d.until_status(state="blocked", detail=re.compile("is gone").search)
            (folder / "new").write_text("new")
            until(lambda: proxy.count("list") >= 3, what="it looks now and then")
            assert [c.name for c in client.list_containers()] == []
        client.create_container("box")
    before = proxy.mark()
    with d:
        d.until_status(state="blocked", detail=re.compile("30 of the 30 files").search)
        d.wait_sync(expect=3)
        assert names(account) == set()
        assert d.ctl("approve", "docs").rc == 0
        d.wait_sync()
        equal()
        status = d.status()
        assert status["conflicts"] == status["failed"] == 0
        d.until_status(state="idle")
    assert set(proxy.puts(before).values()) == {1}
    before = proxy.mark()
    with d:  # that is over and done with
        d.wait_sync()
        assert proxy.puts(before) == {} and proxy.count("list", before) == 0


@pytest.mark.asan
def test_container_made_again_when_approved(make, account, proxy, folder, equal):
    """10.14: a person may say it; a crash between that and the first upload forgets nothing."""
    tree(folder, 10)
    client = account.client()
    d = make(port=proxy.port)
    with d:
        d.wait_sync()
        client.delete_container("box")
        assert d.ctl("rescan").rc == 0
        d.until_status(state="blocked")
        proxy.rule = lambda request: Reset()
        assert d.ctl("approve", "docs").rc == 0
        d.kill9()
    proxy.rule = None
    with d:
        d.wait_sync()
        equal()


@pytest.mark.asan
def test_container_swapped_in_silence(make, account, proxy, folder):
    """10.14: deleted and made again between two requests, so no answer ever says so: the first blob that is missed tells."""
    tree(folder, 30)
    client = account.client()
    with make(port=proxy.port) as d:
        d.wait_sync()
        client.delete_container("box")
        client.create_container("box")
        (folder / "d000/f00007.txt").write_text("changed")
        d.until_status(state="blocked", detail=re.compile("29 of the 30 files").search)
        assert names(account) == {"d000/f00007.txt"}


@pytest.mark.asan
def test_container_restored(make, account, proxy, folder, equal):
    """A container that comes back with its blobs goes on by itself, and nothing is sent again."""
    tree(folder, 20)
    with make(port=proxy.port) as d:
        d.wait_sync()
        gone = [True]
        proxy.rule = lambda request: Answer(404, "ContainerNotFound") if gone[0] else None
        (folder / "d000/f00000.txt").write_text("changed")
        d.until_status(state="blocked")
        before = proxy.mark()
        gone[0] = False
        d.until_status(state="idle", pending=0)
        d.wait_sync()
        equal()
        assert proxy.puts(before) == {"d000/f00000.txt": 1}


@pytest.mark.asan
def test_drift(make, account, proxy, folder, equal):
    """10.15: blobs that somebody deleted are sent again and said; changed ones are named, not replaced; what somebody
    else put there is left alone. All of it found by `rescan`, though no file changed."""
    tree(folder, 20)
    box = account.client().get_container_client("box")
    with make(port=proxy.port) as d:
        d.wait_sync()
        before = proxy.mark()
        for n in range(5):
            box.delete_blob(f"d000/f{n:05d}.txt")
        for n in range(5, 8):
            box.upload_blob(f"d000/f{n:05d}.txt", b"theirs", overwrite=True)
        same = (folder / "d000/f00008.txt").read_bytes()
        box.upload_blob("d000/f00008.txt", same, overwrite=True)
        box.upload_blob("strangers", b"theirs")
        assert d.ctl("rescan").rc == 0
        d.wait_sync(expect=3)
        assert {p for p, item in d.queue().items() if item["state"] == "conflict"} == \
            {f"d000/f{n:05d}.txt" for n in range(5, 8)}
        assert "5 blobs were deleted in the cloud" in d.log()
        assert proxy.puts(before) == {f"d000/f{n:05d}.txt": 1 for n in range(5)}  # the same bytes are not sent again
        assert all(box.download_blob(f"d000/f{n:05d}.txt").readall() == b"theirs" for n in range(5, 8))
        assert box.download_blob("strangers").readall() == b"theirs"
        before = proxy.mark()
        assert d.ctl("rescan").rc == 0  # and again: what is settled stays so
        d.wait_sync(expect=3)
        assert proxy.puts(before) == {} and d.status()["conflicts"] == 3


@pytest.mark.asan
@pytest.mark.parametrize("how", ["cut", "no end", "empty answer"])
def test_listing_that_is_cut(make, proxy, folder, equal, how):
    """10.3, L2: an incomplete listing proves nothing: nothing is missing, nothing is sent again."""
    tree(folder, 30)
    with make(port=proxy.port) as d:
        d.wait_sync()
        whole = b'<?xml version="1.0" encoding="utf-8"?><EnumerationResults><Blobs></Blobs><NextMarker/>'
        faults = {"cut": Cut(1500), "no end": Answer(200, "x", {"x-ms-error-code": ""}, whole),
                  "empty answer": Answer(200, "x", {"x-ms-error-code": ""}, b"")}
        bad = [True]
        proxy.rule = lambda request: faults[how] if bad[0] and request.verb == "list" else None
        before = proxy.mark()
        assert d.ctl("rescan").rc == 0
        until(lambda: proxy.count("list", before) >= 3, what="it asks again")
        status = d.status()
        assert status["files"] == 30 and status["state"] != "blocked"
        assert d.ctl("wait", "--timeout", "1").rc == 1  # what is not known is not said to be in sync
        bad[0] = False
        d.wait_sync()
        equal()
        assert proxy.puts(before) == {}
