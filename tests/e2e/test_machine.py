"""What the machine gives, and what it is told: few descriptors, notify sockets, log lines (pitfalls 11.2, 11.6, 11.10)."""
import os
import socket

import pytest

from daemon import LIMIT, WITHOUT_POWERS, until
from given import tree
from proxy import Mute


def lines(d):
    """What an administrator sees: the log without its debug lines."""
    return [line for line in d.log().splitlines() if ": debug:" not in line]


@pytest.mark.parametrize("most", [48])
def test_too_few_descriptors(make, folder, equal, most):
    """11.2: EMFILE is transient: fewer connections than transfers, files that cannot be opened just now: later, not
    failed, and never absent."""
    tree(folder, 300)
    with open(folder / "large", "wb") as f:
        f.write(os.urandom(6 << 20))
    d = make()
    d.start(wrapper=["prlimit", f"--nofile={most}:{most}"])
    d.wait_sync()
    status = d.status()
    assert status["failed"] == status["held"] == status["deleted_files"] == 0
    equal()
    (folder / "d000").rename(folder / "moved")
    d.wait_sync()
    equal()
    assert d.stop() == 0


@pytest.mark.asan
def test_abstract_notify_socket(make, folder):
    """11.6: a leading @ is the abstract name space; no socket at all is no error."""
    (folder / "file").write_text("content")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        name = f"azsyncd-test-{os.getpid()}-{folder.parent.name}"
        s.bind(f"\0{name}")
        s.settimeout(LIMIT)
        assert make(env={"NOTIFY_SOCKET": f"@{name}"}).run("--once").rc == 0
        assert "READY=1" in s.recv(65536).decode().split("\n")
    assert make().run("--once").rc == 0


@pytest.mark.asan
def test_log_of_a_dead_network(make, account, folder, proxy):
    """11.10: one line for each change of state, however many files wait and however often it is tried."""
    tree(folder, 500)
    # whoever is slower: there are files left when the network dies
    proxy.rule = lambda request: Mute() if request.verb == "put-blob" and proxy.count("put-blob") > 20 else None
    with make(port=proxy.port, speedup=100) as d:
        until(lambda: proxy.count("put-blob") > 20)
        proxy.stop()
        d.until_status(state="offline")
        tree(folder / "more", 500)
        tried = d.log().count("not reachable")
        d.until_status(pending=lambda n: n > 500)
        until(lambda: d.log().count("not reachable") > tried + 5)
        assert 1 <= sum("Changes are kept" in line for line in lines(d)) <= 2, lines(d)
        assert len(lines(d)) < 30, lines(d)


@pytest.mark.skipif(os.geteuid() != 0 and not WITHOUT_POWERS, reason="needs files that cannot be read")
def test_log_of_many_failures(make, folder):
    """11.10, 11.12: ten of them are named in the log, all of them in the queue; the rest of the folder is not concerned."""
    tree(folder / "closed", 200)
    tree(folder / "open", 50)
    for path in (folder / "closed/d000").iterdir():
        path.chmod(0)
    d = make()
    d.start(wrapper=WITHOUT_POWERS)
    d.until_status(failed=100, pending=0, uploaded_files=150)
    assert sum(item["state"] == "failed" for item in d.queue().values()) == 100
    assert sum("closed/d000" in line for line in lines(d)) == 10
    assert len(lines(d)) < 30, lines(d)
    assert d.stop() == 0
