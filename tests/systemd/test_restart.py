"""Killed, stuck, restarted: what systemd does about it, and that it costs nothing but the changes (pitfalls 8, 11.4, 11.7).

A watchdog waits for 20 s here, twice as long as it takes to be fed: a machine that stands still for a moment is not a
daemon that is stuck. The figures of the full length are in docs/reliability.md.
"""
import time

from changes import LEAST, Changes, check
from daemon import until
from given import tree
from machine import PATIENCE


def test_killed(service, folder, equal):
    """kill -9 while files come: systemd starts it again, and nothing is missing."""
    tree(folder, 200)
    service.start()
    before = service.main_pid
    service.signal("KILL")
    tree(folder / "more", 200)
    service.until_restarted(before)
    service.wait_sync()
    equal()
    assert service.show("NRestarts") == "1"


def test_stuck(service, folder, equal):
    """A process that does not get on is no process: the watchdog ends it, and systemd starts another."""
    service.drop_in("[Service]\nWatchdogSec=20\n")
    tree(folder, 20)
    service.start()
    service.wait_sync()
    before = service.main_pid
    service.signal("STOP")
    tree(folder / "more", 20)
    service.until_restarted(before)
    service.wait_sync()
    equal()
    assert any("watchdog" in r["MESSAGE"].lower() for r in service.records("_PID=1")), service.log()


def test_healthy_is_left_alone(service, folder):
    """The watchdog is fed often enough, also by a daemon that has nothing to do."""
    service.drop_in("[Service]\nWatchdogSec=20\n")
    service.start()
    service.wait_sync()
    fed = service.show("WatchdogTimestampMonotonic")
    until(lambda: int(service.show("WatchdogTimestampMonotonic")) > int(fed) + 20_000_000,
          what="more pings than the first one")
    assert service.show("NRestarts") == "0"


def test_restart_with_much_to_do(service, folder, equal, proxy):
    """11.4: it does not wait for 2,000 uploads, half an hour at this pace, and systemd does not have to kill it; each of
    them is made afterwards."""
    service.drop_in("[Service]\nTimeoutStopSec=120\n")
    service.through(proxy, bandwidth="2KiB/s")
    tree(folder, 2000, size=2000)
    service.start()
    service.until_status(pending=lambda n: n > 1900, uploaded_files=lambda n: n > 0)
    began = time.monotonic()
    service.systemctl("stop", "azsyncd.service")
    print(f"stopped with 2,000 uploads to do: {time.monotonic() - began:.2f} s")
    assert service.show("Result") == "success" and service.show("ExecMainStatus") == "0", service.log()
    before = proxy.puts()
    assert 0 < len(before) < 1900
    mark = proxy.mark()
    service.through(proxy)
    service.start()
    service.wait_sync()
    equal()
    # nothing is sent again of what was confirmed, nor twice of the others; what the stop cut short may have arrived
    after = proxy.puts(mark)
    assert not before.keys() & after.keys() and set(after.values()) == {1}


def test_changes_while_it_was_down(service, folder, equal, proxy, files):
    """Promise 4: what happened meanwhile is found, renames included, and costs no request and no byte more than that."""
    service.through(proxy)
    tree(folder, files)
    service.start()
    service.wait_sync(seconds=PATIENCE + files // 10)
    service.systemctl("stop", "azsyncd.service")
    changes, mark, began = Changes(folder).make(), proxy.mark(), time.monotonic()
    service.start()
    service.wait_sync(seconds=PATIENCE + files // 10)
    print(f"{files} files: in sync {time.monotonic() - began:.2f} s after the start")
    check(proxy, mark, changes.cost)
    equal(content=files == LEAST)
