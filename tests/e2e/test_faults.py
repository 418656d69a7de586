"""What the network and the service do to a request, one kind at a time, made by the proxy in front of Azurite (pitfalls
section 10, azure-blob.md 1.11 and 4.3). Each is over some day, so each ends equal: nothing failed, no false conflict,
nothing sent without a condition (the `proxy` fixture sees to that)."""
import base64
import collections
import email.utils
import hashlib
import os
import re
import subprocess
import time

import pytest

from azurite import Azurite
from compare import compare
from daemon import until
from given import tree
from proxy import Alter, Answer, Cut, Delay, Drip, Gate, Mute, Proxy, Reset, Zombie

WRITES = ("put-blob", "put-block", "put-block-list", "copy", "delete", "batch", "set-metadata")
LARGE = 9 * 2**20


def first_of_each(faults, verbs=WRITES):
    """A rule: the first requests of each verb for each blob are hit by `faults` in turn; those after them are not."""
    seen = collections.Counter()

    def rule(request):
        key = (request.verb, request.blob)
        if request.verb not in verbs or seen[key] == len(faults):
            return None
        seen[key] += 1
        return faults[seen[key] - 1]
    rule.seen = seen
    return rule


def every_kind_of_change(folder):
    """What brings every verb about, but for batches."""
    (folder / "d000/f00000.txt").write_text("changed")
    (folder / "d000/f00001.txt").unlink()
    (folder / "d000/f00002.txt").rename(folder / "d000/moved")
    (folder / "d000/f00003.txt").chmod(0o600)
    (folder / "large").write_bytes(b"another large one" * (LARGE // 17))
    (folder / "new").write_text("new")


NOT_OURS = {"x-ms-error-code": None, "x-ms-request-id": None}
HTML = {"Content-Type": "text/html", **NOT_OURS}
FAULTS = {
    "throttled": [Answer(503), Answer(503, headers={"Retry-After": "1"}), Answer(429, "")],
    "errors": [Answer(500, "InternalError"), Answer(500, "OperationTimedOut"), Answer(502, ""), Answer(504, ""),
               Answer(408, "")],
    "cut": [Reset(), Reset(after=True), Cut(10), Cut(120)],
    "not whole": [Alter({"x-ms-request-id": None}), Alter({"ETag": None}), Alter({"ETag": '"0x8D'}),
                  Alter({"x-ms-client-request-id": "not-what-was-asked"})],
    "captive portal": [Answer(200, "", HTML, b"<html>log in</html>"), Answer(404, "", HTML, b"<html>not found</html>"),
                       Answer(302, "", {"Location": "http://127.0.0.1:1/", **NOT_OURS}, b""),
                       Answer(404, "", {**NOT_OURS, "x-ms-request-id": ""}, b"")],
}


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=pytest.mark.asan if kind in ("cut", "captive portal") else ())
                                  for kind in FAULTS])
def test_each_write_is_hit(make, proxy, folder, equal, kind):
    """L4, 10.1, 10.2, 10.4, 10.10: each verb for each blob is hit by each fault of the kind, one after the other; then again
    for changes of all kinds. And by each fault a batch, whose deletions then travel one by one, and are hit as well."""
    tree(folder, 6)
    (folder / "alone").write_text("deleted alone")
    (folder / "large").write_bytes(b"large" * (LARGE // 5))
    together = [folder / f"together{n}" for n in range(len(FAULTS[kind]))]
    for where in together:
        tree(where, 3)
    rule = proxy.rule = first_of_each(FAULTS[kind])
    d = make({"delete-guard": {"files": 100, "percent": 100}}, port=proxy.port, speedup=100)

    def settled():
        d.wait_sync()
        equal()
        status = d.status()
        assert status["failed"] == status["conflicts"] == status["held"] == 0
    with d:
        settled()
        (folder / "alone").unlink()
        settled()
        every_kind_of_change(folder)
        settled()
    for where in together:
        with d:  # another start: a fault may have put an end to batches for a while
            settled()
            where.rename(folder.parent / where.name)  # they are found gone together
            settled()
    assert {verb for verb, _ in rule.seen} == set(WRITES)
    assert rule.seen["delete", "alone"] > 0 and rule.seen["batch", ""] == len(FAULTS[kind])


@pytest.mark.parametrize("kind", FAULTS)
def test_each_question_is_hit(make, proxy, folder, equal, kind):
    """The same for what only asks: an answer that is none does not mean that nothing is there (10.3)."""
    tree(folder, 10)
    with make(port=proxy.port) as d:
        d.wait_sync()
    rule = proxy.rule = first_of_each(FAULTS[kind], ("create-container", "list", "head"))
    before = proxy.mark()
    (folder / "d000/f00000.txt").write_text("changed")
    with make(port=proxy.port, speedup=100) as d:  # a journal of its own: contact, listing, adoption
        d.wait_sync()
        equal()
        assert d.status()["conflicts"] == 0
        lost = first_of_each([Reset(after=True)], ("put-blob",))
        proxy.rule = lambda request: lost(request) or rule(request)
        for n in range(5):
            (folder / f"d000/f{n:05d}.txt").write_text("changed again")
        d.wait_sync()  # each answer was lost, so each is asked for
        equal()
        assert d.status()["conflicts"] == d.status()["failed"] == 0
    assert proxy.puts(before)["d000/f00009.txt"] == 0
    assert {verb for verb, _ in rule.seen} == {"create-container", "list", "head"}


def test_peers_that_stall(make, proxy, folder, equal):
    """10.8: a peer that takes nothing, or answers a byte every 1.5 s, is given up; whatever else is due goes on meanwhile."""
    tree(folder, 6)
    (folder / "large").write_bytes(b"large" * (LARGE // 5))
    seen = {}
    proxy.rule = lambda request: seen.setdefault(request.blob, Drip(1.5) if len(seen) % 2 else Mute()) \
        if request.verb in ("put-blob", "put-block") and request.blob not in seen else None
    with make(port=proxy.port, speedup=100) as d:
        until(lambda: len(seen) == 7, what="all of them stall")
        (folder / "d000/small").write_text("beside them")
        d.wait_sync()
        equal()
        assert d.status()["conflicts"] == 0
    assert {type(fault) for fault in seen.values()} == {Mute, Drip} and len(seen) == 8


@pytest.mark.asan
def test_zombie_write(make, proxy, folder, equal):
    """10.6: the request is given up, newer content is uploaded, then the old request arrives all the same: 412, and the
    newer stays."""
    newer, back, undone, restored = (folder / name for name in ("newer", "back", "undone", "restored"))
    for file in (newer, back, undone, restored):
        file.write_text("first")
    zombies = {("put-blob", "newer"): Zombie(), ("delete", "back"): Zombie(), ("put-blob", "undone"): Zombie(),
               ("delete", "restored"): Zombie()}

    def late(key):
        return next((r for r in proxy.requests if r.fault is zombies[key]), None)
    with make(port=proxy.port, speedup=100) as d:
        d.wait_sync()
        proxy.rule = lambda request, left=dict(zombies): left.pop((request.verb, request.blob), None)
        newer.write_text("second, and late")
        undone.write_text("a mistake")
        back.unlink()
        until(lambda: late(("delete", "back")), what="the first deletion is held")  # or both travel together
        restored.rename(folder.parent / "kept")
        until(lambda: all(late(key) for key in zombies), what="all are held")
        newer.write_text("third")
        back.write_text("back, and other")
        # the blob is as it is to be, and nothing has to be sent; yet the old request is on its way to change it
        undone.write_text("first")
        (folder.parent / "kept").rename(restored)
        d.wait_sync()
        equal()
        for key, zombie in zombies.items():
            zombie.open()
            until(lambda key=key: late(key).status, what="it is delivered")
            assert late(key).status == 412, key
        equal()
        assert d.status()["conflicts"] == 0


def test_zombie_of_a_file_that_is_gone(make, account, proxy, folder):
    """10.6: a new blob's request arrives after its file is gone and the service has said that nothing is there. No
    condition can help; the next full comparison asks what is in the container, and finds it."""
    zombie = Zombie()
    box = account.client().create_container("box")
    with make(port=proxy.port, speedup=5, mapping={"rescan": "30s"}) as d:  # it is looked for during three minutes
        d.wait_sync()
        proxy.rule = lambda request, left=[zombie]: (left.pop() if left else Reset()) if request.verb == "put-blob" else None
        (folder / "file").write_text("short-lived")
        (late,) = until(lambda: [r for r in proxy.requests if r.fault is zombie], what="it is held")
        (folder / "file").unlink()
        late.cut()  # libcurl makes the request again by itself: that one gets nowhere
        d.wait_sync()
        assert list(box.list_blobs()) == []
        zombie.open()
        until(lambda: late.status == 201, what="it has arrived")
        until(lambda: not list(box.list_blobs()), what="it is found")
        assert d.status()["deleted_files"] == 1


@pytest.mark.asan
def test_file_changes_under_its_request(make, proxy, folder, equal):
    """10.5, 8.1-8.3: the file grows, shrinks or goes while its request is on its way: a body is a buffer that was read
    whole, so no length is ever wrong; what is sent is one version of the file, and the next one follows, but not before
    that."""
    gate, large, held = Gate(), b"first" * (LARGE // 5), ("grows", "shrinks", "goes")
    for name in held:
        (folder / name).write_bytes(b"first" * 1000)
    (folder / "large").write_bytes(large)
    proxy.rule = lambda request: gate if request.blob in (*held, "large") and not gate.opened.is_set() else None
    with make(port=proxy.port) as d:
        until(lambda: proxy.count("put-blob") == 3 and proxy.count("put-block"), what="all are held")
        with open(folder / "grows", "ab") as f:
            f.write(b"second" * 10000)
        os.truncate(folder / "shrinks", 10)
        os.truncate(folder / "large", len(large) // 2)
        (folder / "goes").unlink()
        (folder / "beside").write_text("what was heard before this has been looked at when this is there")
        until(lambda: proxy.puts()["beside"], what="another file")

        def at_a_time(name):  # if all this took long it was given up, and asked for anew
            return sum(r.blob == name and not r.given_up for r in proxy.requests)
        until(lambda: all(at_a_time(name) <= 1 for name in held), what="one request for each")
        gate.open()
        d.wait_sync()
        equal()
        assert d.status()["conflicts"] == d.status()["failed"] == 0
    bodies = [r for r in proxy.requests if r.verb.startswith("put")]
    assert bodies and [r for r in bodies if r.status and r.sent != int(r.headers["content-length"])] == []


@pytest.mark.skipif(os.getuid() != 0, reason="needs a network of its own")
def test_network_comes_back(make, folder):
    """10.10: an address is added: whoever waits for a service out of reach tries again now, not when the back-off ends."""
    (folder / "file").write_text("content")
    d = make(speedup=1).start(wrapper=["unshare", "-n"])
    d.until_status(state="offline")

    def told():
        for way in ("down", "up"):
            subprocess.run(["nsenter", "-t", str(d.pid), "-n", "ip", "link", "set", "lo", way], check=True)
        return "the network has changed: tried again" in d.log()
    until(told, what="the daemon is told")  # not at the first time: it has to be waiting for longer than it would anyway
    assert d.stop() == 0


def test_slow_is_not_broken(make, proxy, folder, equal):
    """A service that takes a second for everything is waited for, and each write is made once."""
    tree(folder, 20)
    proxy.rule = lambda request: Delay(1) if request.verb == "put-blob" else None
    with make(port=proxy.port, speedup=1) as d:
        d.wait_sync()
        equal()
    assert set(proxy.puts().values()) == {1}


# --- the credential and the clock ---

def refused(code, **headers):
    return Answer(403, code, headers)


@pytest.mark.asan
def test_clock_is_off(make, proxy, folder, equal):
    """10.11: refused with a Date that is 30 minutes off: said by how much, and signed by the service's clock from then on,
    so that nobody has to do anything."""
    def rule(request):  # as the service: it compares the request's date with its own clock
        sent = email.utils.mktime_tz(email.utils.parsedate_tz(request.headers["x-ms-date"]))
        ours = {"Date": email.utils.formatdate(time.time() + 1800, usegmt=True)}
        return refused("AuthenticationFailed", **ours) if abs(sent - time.time() - 1800) > 900 else Alter(ours)
    (folder / "file").write_text("content")
    proxy.rule = rule
    with make(port=proxy.port) as d:
        d.wait_sync()
        equal()
        log = d.log()
        assert re.search(r"this machine's clock is (29|30) min slow", log), d.tail()
    assert sum(1 for r in proxy.requests if isinstance(r.fault, Answer)) <= 2


@pytest.mark.asan
def test_key_rotated(make, folder, tmp_path):
    """10.13: 403 to everything: `blocked` says why, the queue is kept, nothing is failed; the new key in its file is taken
    by itself while we are refused, and by a reload at any time."""
    key = tmp_path / "key"

    def write_key(path, text):
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(0o600)
    tree(folder, 5)
    with Azurite(tmp_path / "az", location=tmp_path / "az", accounts=1) as service, Proxy(service.port) as proxy:
        account = service.account()
        write_key(key, account.key)
        accounts = {"main": {"account": account.name, "endpoint": account.endpoint(proxy.port),
                             "auth": {"method": "shared-key", "key": {"file": str(key)}}}}
        with make(accounts=accounts, speedup=1) as d:
            d.wait_sync()
            service.stop()
            account.key = base64.b64encode(hashlib.sha512(b"the other key").digest()).decode()
            service.start()
            before = proxy.mark()
            for n in range(5):
                (folder / f"d000/f{n:05d}.txt").write_text("changed")
            status = d.until_status(state="blocked", pending=5, detail=lambda text: "403" in text)
            assert status["failed"] == 0 and "key" in status["detail"]
            d.wait_sync(expect=3)
            (folder / "new").write_text("watched on")
            d.until_status(pending=6)
            assert 0 < proxy.count(since=before) < 20, "a refused account is probed, not stormed"
            write_key(tmp_path / "other", account.key)
            (tmp_path / "other").rename(key)
            d.until_status(state="idle", pending=0)
            assert compare(account.client(), "box", folder) == []
            # the same, mended at the service: nothing tells us but a person
            proxy.rule = lambda request: refused("AuthenticationFailed")
            (folder / "new").write_text("newer")
            d.until_status(state="blocked")
            proxy.rule = None
            d.hangup()
            d.wait_sync()
            assert compare(account.client(), "box", folder) == []
            assert proxy.unconditional() == []


@pytest.mark.asan
def test_sas_expired(make, account, proxy, folder, tmp_path, equal):
    """10.13: an expired SAS blocks in the same way; a new one in its file goes on. No signature is shown."""
    import datetime
    from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas

    def sas(seconds):
        return generate_account_sas(account.name, account.key, ResourceTypes(container=True, object=True),
                                    AccountSasPermissions(read=True, write=True, delete=True, list=True, create=True),
                                    datetime.datetime.utcnow() + datetime.timedelta(seconds=seconds))
    file = tmp_path / "sas"
    file.write_text(sas(-60))
    file.chmod(0o600)
    accounts = {"main": {"endpoint": account.endpoint(proxy.port), "auth": {"method": "sas", "sas": {"file": str(file)}}}}
    tree(folder, 5)
    with make(accounts=accounts) as d:
        d.until_status(state="blocked", pending=5, failed=0, detail=lambda text: "SAS" in text or "key" in text)
        assert "ended on" in d.log()  # told at the start already
        file.write_text(sas(3600))
        d.until_status(state="idle", pending=0)
        d.wait_sync()
        equal()
        assert "sig=" not in d.log() + d.ctl("status", "--json").out


@pytest.mark.asan
@pytest.mark.parametrize("code", ["AuthorizationPermissionMismatch", "AccountIsDisabled", "AuthorizationFailure"])
def test_refused(make, proxy, folder, equal, code):
    """403 of every kind: the account's trouble, not the files'; it goes on when the service thinks better of it."""
    tree(folder, 5)
    bad = [True]
    with make(port=proxy.port) as d:
        d.wait_sync()
        proxy.rule = lambda request: refused(code) if bad[0] else None
        (folder / "d000/f00000.txt").write_text("changed")
        d.until_status(state="blocked", failed=0, pending=1, detail=re.compile(code).search)
        bad[0] = False
        assert d.ctl("retry").rc == 0
        d.wait_sync()
        equal()
