"""Nobody waits for somebody else's bulk: small and fresh changes beside large files and a backlog, mappings beside one
that is limited. And the limits themselves. Only orders of events are asserted: what rates are held is measured by hand,
and in the unit tests by a made-up clock."""
import os

import pytest

from daemon import LIMIT, until
from given import tree
from proxy import Gate

MIB = 1 << 20


@pytest.fixture
def held(proxy):
    """Blocks of large files are held in the proxy until held.open(). If that takes long they are given up, and sent again:
    proxy.held() counts those that wait at a time."""
    gate = Gate()
    proxy.rule = lambda request: gate if request.verb == "put-block" else None
    yield gate
    gate.open()


def large(path, size=9 * MIB):
    path.write_bytes(os.urandom(size))


def small_arrive(proxy, folder, number):
    """Small files, made now, are all confirmed."""
    tree(folder / f"small{number}", 50)
    until(lambda: sum(name.startswith(f"small{number}/") for name in proxy.puts()) == 50, what="small files")


def test_fresh_beside_a_backlog(make, folder, proxy):
    """A change of now does not wait for thousands that came before, not even for those that are tried again at once."""
    tree(folder, 4000, size=1024)
    with make({"bandwidth": "16KiB/s"}, port=proxy.port) as d:  # minutes for all of them
        d.until_status(pending=lambda n: n > 3500, bandwidth=16 << 10)
        assert d.ctl("retry").rc == 0
        (folder / "fresh.txt").write_text("now")
        until(lambda: proxy.puts()["fresh.txt"], what="fresh.txt")
        assert d.status()["pending"] > 1500


@pytest.mark.parametrize("memory, most", [("16MiB", 1), ("1GiB", 4)])
def test_small_beside_large(make, folder, proxy, held, equal, memory, most):
    """Large files hold memory and connections until they are through: half of either, at most."""
    for n in range(12):
        large(folder / f"large{n}", 40 * MIB if n == 0 else 9 * MIB)
    with make(port=proxy.port, settings={"transfers": 8, "memory": memory}) as d:
        until(lambda: proxy.count("put-block") >= most, what="blocks")
        small_arrive(proxy, folder, 1)
        small_arrive(proxy, folder, 2)
        until(lambda: proxy.held("put-block") == most, what="as many as may be, and no more")
        assert proxy.count("put-block-list") == 0
        held.open()
        d.wait_sync()
        equal()


def test_small_beside_hundreds_of_large(make, folder, proxy, held):
    """So many that they cannot even all wait at once: they stay in the journal, and are not asked again and again."""
    for n in range(300):
        with open(folder / f"large{n:03d}", "wb") as f:
            f.truncate(5 * MIB)
    with make(port=proxy.port) as d:
        until(lambda: proxy.count("put-block") > 0, what="blocks")
        small_arrive(proxy, folder, 1)
        small_arrive(proxy, folder, 2)
        assert proxy.count("put-block-list") == 0
        assert d.status()["pending"] >= 300


@pytest.mark.parametrize("size", [9 * MIB, MIB])
def test_beside_a_slow_mapping(make, folder, tmp_path, proxy, equal, size):
    """What one mapping may send slowly keeps no connection, and no memory, from another one of the same account."""
    (tmp_path / "slow").mkdir()
    for n in range(20):
        large(tmp_path / f"slow/large{n}", size)
    mappings = {"slow": {"folder": str(tmp_path / "slow"), "container": "slow", "bandwidth": "4KiB/s"},
                "well": {"folder": str(folder), "container": "box"}}
    with make(mappings=mappings, port=proxy.port, settings={"transfers": 4, "memory": "16MiB"}) as d:
        d.until_status(LIMIT, "slow", pending=20, in_flight=lambda flights: flights)
        tree(folder, 200)
        large(folder / "large", 20 * MIB)
        d.wait_sync(LIMIT, "well")
        equal()
        assert d.status("slow")["pending"] == 20
        assert d.status("slow")["bandwidth"] == 4096 and d.status("well")["bandwidth"] is None
        # nor do small files of its own wait for all of the large ones
        (tmp_path / "slow/small").write_text("small")
        until(lambda: proxy.puts()["small"], what="small")
        assert d.status("slow")["pending"] == 20


def test_new_mapping_beside_a_backlog(make, folder, tmp_path, proxy, equal):
    """Its container is met though another mapping always has more to send than the account's requests at once suffice
    for: whenever one is answered the next is there already."""
    gates, freed = [], []

    def rule(request):
        if freed or request.verb != "put-blob" or not request.path.startswith("/bulk/"):
            return None
        gates.append(Gate())
        return gates[-1]

    proxy.rule = rule
    tree(tmp_path / "bulk", 200)
    tree(folder, 10)
    mapping = {"folder": str(tmp_path / "bulk"), "container": "bulk"}
    with make(mappings={"bulk": mapping}, port=proxy.port, settings={"transfers": 1}) as d:
        until(lambda: gates, what="the backlog is under way")
        d.map("well", folder=folder, container="box")
        assert d.ctl("reload").rc == 0
        for n in range(100):
            gates[n].open()
            until(lambda: len(gates) > n + 1, what="the next one")
            if any(r.path.startswith("/box") for r in proxy.requests):
                break
        else:
            raise AssertionError("the backlog comes first")
        freed.append(True)
        gates[-1].open()
        d.wait_sync(LIMIT, "well")
        equal()


def test_limit_on_reload(make, folder, proxy, equal):
    """A limit is put upon what is under way, and lifted from it, at once."""
    large(folder / "large", 30 * MIB)
    settings = {"bandwidth": "1KiB/s"}
    with make(port=proxy.port, settings=settings) as d:
        d.until_status(in_flight=lambda flights: flights and flights[0]["sent"] > 0, bandwidth=1024)
        assert proxy.body_bytes() < 4 * MIB
        d.map("docs", folder=folder, container="box", bandwidth={"00:00-24:00": "2KiB/s"})
        assert d.ctl("reload").rc == 0
        assert d.status()["bandwidth"] == 1024  # the lower one
        main = (d.config / "azsyncd.yaml").read_text()
        d.write("azsyncd.yaml", main.replace("1KiB/s", "unlimited"))
        assert d.ctl("reload").rc == 0
        assert d.status()["bandwidth"] == 2048 and proxy.count("put-block-list") == 0
        d.map("docs", folder=folder, container="box", bandwidth={"default": "1KiB/s", "Mon-Sun": "unlimited"})
        d.hangup()
        d.wait_sync()
        assert d.status()["bandwidth"] is None
        equal()
        # the mapping went on with what it had: no block was sent twice
        assert proxy.body_bytes() < 31 * MIB


def test_memory_on_reload(make, folder, proxy, held, equal):
    """Less memory holds fewer blocks; more of it is handed out at once."""
    for n in range(12):
        large(folder / f"large{n}")
    with make(port=proxy.port, settings={"memory": "16MiB"}) as d:
        until(lambda: proxy.count("put-block") > 0, what="blocks")
        small_arrive(proxy, folder, 1)
        until(lambda: proxy.held("put-block") == 1, what="half of it, for one block")
        main = (d.config / "azsyncd.yaml").read_text()
        d.write("azsyncd.yaml", main.replace("16MiB", "64MiB"))
        assert d.ctl("reload").rc == 0
        until(lambda: proxy.held("put-block") >= 3, what="more blocks beside the first")
        held.open()
        d.wait_sync()
        equal()
