"""Deletions travel together, up to 256 in a request (azure-blob.md 1.7), and each hears what it would have heard alone."""
import itertools
import shutil

import pytest

from daemon import until
from given import tree
from proxy import Answer, Cut, Parts, Reset, Zombie

WIDE = {"delete-guard": {"files": 100000, "percent": 100}}


def names(account, container="box"):
    return {b.name for b in account.client().get_container_client(container).list_blobs()}


def first_batch(fault):
    """A rule: the first batch is hit by `fault`, or what it makes of the request."""
    hit = []

    def rule(request):
        if request.verb != "batch" or hit:
            return None
        hit.append(request)
        return fault(request) if callable(fault) else fault
    rule.hit = hit
    return rule


@pytest.fixture
def mirrored(make, account, proxy, folder, request):
    """A daemon that has mirrored 600 files in a folder that is then deleted, and some that stay."""
    tree(folder / "old", 600)
    tree(folder / "kept", 5)
    d = make(WIDE, port=proxy.port)
    with d:
        d.wait_sync()
        d.mark = proxy.mark()
        yield d


@pytest.mark.timing  # a batch leaves 250 ms after the first look in it, full or not
def test_deleted_folder(mirrored, account, proxy, folder, equal):
    """Nothing is asked for first, and each is deleted once. 600 need three requests; a machine that is held up at the wrong
    moment makes more of them, so the folder comes and goes until it was not."""
    def whole():
        mark, deleted = proxy.mark(), mirrored.status()["deleted_files"]
        with mirrored.still():
            shutil.rmtree(folder / "old")
        mirrored.wait_sync()
        equal()
        assert len(names(account)) == 5 and mirrored.status()["deleted_files"] == deleted + 600
        sent = proxy.requests[mark:]
        assert {r.verb for r in sent} <= {"batch", "delete"}
        assert sorted(proxy.deletions(mark)) == sorted(f"old/d{n // 100:03d}/f{n:05d}.txt" for n in range(600))
        print("deletions in each request:", [len(r.deletions) for r in sent])
        return len(sent) <= 6 and max(len(r.parts) for r in sent) == 256

    def again():
        tree(folder / "old", 600)
        mirrored.wait_sync()
        return whole()
    assert whole() or until(again, what="600 deletions in six requests at most, one of them full")


def test_lone_deletion_is_a_delete(mirrored, proxy, folder, equal):
    (folder / "old/d000/f00000.txt").unlink()
    mirrored.wait_sync()
    equal()
    assert [r.verb for r in proxy.requests[mirrored.mark:]] == ["delete"]


@pytest.mark.asan
def test_changed_by_somebody_meanwhile(mirrored, account, proxy, folder):
    """412 in a part: that blob stays and is named; all others go."""
    blob = "old/d002/f00217.txt"
    account.client().get_blob_client("box", blob).upload_blob(b"somebody else's", overwrite=True)
    with mirrored.still():
        shutil.rmtree(folder / "old")
    mirrored.until_status(conflicts=1, pending=0)
    assert names(account) - {n for n in names(account) if n.startswith("kept/")} == {blob}
    assert account.client().get_blob_client("box", blob).download_blob().readall() == b"somebody else's"
    assert [i["path"] for i in mirrored.queue().values() if i["state"] == "conflict"] == [blob]
    assert mirrored.status()["deleted_files"] == 599


@pytest.mark.parametrize("refusal", [Answer(501, "APINotImplemented"), Answer(400, "InvalidInput"),
                                     Answer(409, "BlobOperationNotSupported"),
                                     Answer(500, "", {"x-ms-error-code": None, "x-ms-request-id": None}, b"")],
                         ids=["501", "400", "409", "500 without a word"])
def test_refused(make, account, proxy, folder, equal, refusal):
    """A service, or a box on the way, that takes no batches: one by one, and batches are not tried each time."""
    tree(folder / "old", 150)
    tree(folder / "kept", 5)
    proxy.rule = lambda request: refusal if request.verb == "batch" else None
    with make(WIDE, port=proxy.port) as d:
        d.wait_sync()
        mark = proxy.mark()
        with d.still():
            shutil.rmtree(folder / "old")
        d.wait_sync()
        equal()
        refused = [r for r in proxy.requests[mark:] if r.verb == "batch"]
        assert 1 <= len(refused) <= 4 and d.status()["deleted_files"] == 150
        if refusal.code:  # nothing was done by it, so nothing has to be asked for
            assert {r.verb for r in proxy.requests[mark:]} == {"batch", "delete"}


TROUBLES = {
    "busy": [(503, "ServerBusy"), (503, "ServerBusy")],
    "unknown": [None, (500, "OperationTimedOut")],
    "leased": [(412, "LeaseIdMissing")],
    "gone": [(404, "BlobNotFound")],
}


@pytest.mark.asan
@pytest.mark.parametrize("acted", [False, True], ids=["nothing happened", "it happened"])
@pytest.mark.parametrize("trouble", sorted(TROUBLES))
def test_parts_that_fail(mirrored, account, proxy, folder, trouble, acted):
    """Each part is its own job's: the others are deleted, those are tried again as after a DELETE of their own."""
    answers = {}

    def rule(request):
        if request.verb != "batch" or answers:
            return None
        answers.update(zip(request.deletions, TROUBLES[trouble]))
        return Parts(answers, acted)
    proxy.rule = rule
    with mirrored.still():
        shutil.rmtree(folder / "old")
    mirrored.wait_sync()
    left = set(answers) if trouble == "gone" and not acted else set()  # what the service says is believed
    assert len(answers) == len(TROUBLES[trouble])
    assert {n for n in names(account) if not n.startswith("kept/")} == left
    assert len(names(account)) == 5 + len(left)


@pytest.mark.asan
@pytest.mark.parametrize("fault", [Reset(), Reset(after=True), Cut(share=0.9), Cut(300)],
                         ids=["lost before", "lost after", "cut", "cut early"])
def test_lost(mirrored, account, proxy, folder, equal, fault):
    """The answer is lost, or only some of it comes: what is not told is asked for, and nothing is left."""
    proxy.rule = first_batch(fault)
    with mirrored.still():
        shutil.rmtree(folder / "old")
    mirrored.wait_sync()
    equal()
    assert proxy.rule.hit and len(names(account)) == 5
    asked = {r.blob for r in proxy.requests[mirrored.mark:] if r.verb == "head"}
    assert asked <= set(proxy.rule.hit[0].deletions)
    if isinstance(fault, Cut):  # what was told is believed, what was not is in doubt
        parts = len(proxy.rule.hit[0].parts)
        told = parts - len(asked)
        assert 0 < told < parts if fault.share else told == 0


def test_denied_part(make, account, proxy, folder):
    """403 in a part is the account's trouble, as after a single DELETE: its gate closes, and says why."""
    tree(folder / "old", 40)
    denied = itertools.count()

    def rule(request):
        if request.verb == "batch" and next(denied) == 0:
            return Parts({name: (403, "AuthorizationPermissionMismatch") for name in request.deletions})
        return Answer(403, "AuthorizationPermissionMismatch") if request.deletions and denied_for_now else None
    denied_for_now = True
    proxy.rule = rule
    with make(WIDE, port=proxy.port) as d:
        d.wait_sync()
        with d.still():
            shutil.rmtree(folder / "old")
        until(lambda: "lacks the right" in d.status()["last_error"], what="the reason in status")
        assert len(names(account)) == 40
        denied_for_now = False
        d.hangup()
        d.wait_sync()
        assert names(account) == set()


def test_late_batch(make, account, proxy, folder, equal):
    """10.6: a batch is given up, the files come back, and then it arrives all the same: each part's condition stops it."""
    tree(folder / "old", 20)
    zombie = Zombie()
    with make(WIDE, port=proxy.port, speedup=100) as d:
        d.wait_sync()
        proxy.rule = first_batch(zombie)
        with d.still():
            shutil.rmtree(folder / "old")
        until(lambda: proxy.rule.hit, what="it is held")
        tree(folder / "old", 20, size=300)
        d.wait_sync()
        zombie.open()
        until(lambda: proxy.rule.hit[0].status == 202, what="it is delivered")
        equal()
        assert len(names(account)) == 20 and len(proxy.rule.hit[0].parts) > 1
