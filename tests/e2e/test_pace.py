"""How many requests are under way at once, as the service sees it (src/sync/pace.c; `transfers`)."""
import itertools
import threading

import pytest

from daemon import LIMIT, until
from given import tree
from proxy import Answer, Gate


@pytest.mark.asan
def test_reload(make, account, folder, proxy, equal):
    """As many as may be, and no more; another number is in force from the reload on, in the account that is at work."""
    tree(folder, 40)
    gate = Gate()
    proxy.rule = lambda request: gate if request.verb == "put-blob" else None
    main = {"main": {"connection-string": account.connection_string(proxy.port)}}
    with make(port=proxy.port, settings={"transfers": 2}) as d:
        for most in (2, 7):
            d.write_config(main, {}, {"transfers": most})
            assert d.ctl("reload").rc == 0
            until(lambda: proxy.held("put-blob") == most)
            d.until_status(transfers={"limit": most, "active": most})
        assert "7 at once, of 7 at most" in d.ctl("status").out
        d.write_config(main, {}, {"transfers": "auto"})
        assert d.ctl("reload").rc == 0
        until(lambda: proxy.held("put-blob") == 16)
        assert d.status()["transfers"]["limit"] == 16
        gate.open()
        d.wait_sync()
        assert d.status()["transfers"]["active"] == 0
        equal()


@pytest.mark.asan
@pytest.mark.parametrize("status", [503, 429])
def test_throttled(make, folder, proxy, equal, status):
    """One round trip of refusals is one halving; what follows under back-off changes nothing."""
    tree(folder, 12)
    together, numbers = threading.Barrier(12), itertools.count()

    def rule(request):
        if request.verb == "put-blob" and next(numbers) < 12:
            together.wait(LIMIT)
            return Answer(status)
        return None
    proxy.rule = rule
    with make(port=proxy.port) as d:
        d.wait_sync()
        assert d.status()["transfers"]["limit"] == 8
        equal()


def test_kept_connections(make, folder, proxy, equal):
    """A peer that closes idle connections costs no file: none fails, none is tried with a back-off."""
    tree(folder, 30)
    with make(port=proxy.port) as d:
        d.wait_sync()
        for i in range(3):
            proxy.drop_connections()
            with d.still():
                for path in folder.rglob("f*"):
                    path.write_text(f"changed {i}")
            d.wait_sync()
        status = d.status()
        assert status["last_error"] == "" and status["uploaded_files"] == 120
        equal()
