"""`azsyncctl wait` never says "in sync" while it is not (promise 3), and says it soon. An idle daemon is idle."""
import os
import pathlib

import pytest

from daemon import LIMIT, until
from given import tree
from proxy import Gate


@pytest.mark.asan
def test_wait_means_it(make, account, folder):
    """What was written before the call is in the cloud when it returns, told by the SDK, forty times."""
    tree(folder, 40)  # a file that changes all the time waits longer each time (4.8): forty files, each changed once
    with make() as d:
        d.wait_sync()
        box = account.client().get_container_client("box")
        for n in range(40):
            (folder / f"d000/f{n:05d}.txt").write_text(f"version {n}")
            d.wait_sync()
            assert box.download_blob(f"d000/f{n:05d}.txt").readall() == f"version {n}".encode()


@pytest.mark.asan
def test_wait_times_out(make, proxy, folder):
    gate = Gate()
    proxy.rule = lambda request: gate if request.verb == "put-blob" else None
    with make(port=proxy.port) as d:
        d.wait_sync()
        (folder / "file").write_text("held at the gate")
        result = d.ctl("wait", "--timeout", "1")
        assert result.rc == 1, result
        d.until_status(pending=1, state="syncing", lag_s=lambda s: s > 0,
                       in_flight=lambda files: [f["path"] for f in files] == ["file"])
        gate.open()
        d.wait_sync()
        assert d.status()["lag_s"] == 0


@pytest.mark.asan
def test_wait_that_cannot_end(make, folder):
    """Exit 3: paused, failed; and what is failed is named with its reason."""
    (folder / "fine").write_text("fine")
    with make() as d:
        d.wait_sync()
        assert d.ctl("pause").rc == 0
        d.wait_sync(expect=3)
        assert d.status()["state"] == "paused"
        assert d.ctl("resume").rc == 0
        d.wait_sync()
        deep = folder
        for _ in range(5):
            deep = deep / ("n" * 200)  # 1,004 characters: a folder's own name fits
        deep.mkdir(parents=True)
        (deep / "one too long for Azure").write_text("cannot be stored")
        d.until_status(failed=1)
        d.wait_sync(expect=3)
        assert d.ctl("status", "--check").rc == 3
        assert d.status()["state"] == "failed"
        (item,) = [i for i in d.queue().values() if i["state"] == "failed"]
        assert "1,024" in item["reason"] and item["path"].endswith("one too long for Azure")
        (deep / "one too long for Azure").unlink()
        d.wait_sync()


@pytest.mark.asan
def test_wait_for_some_mappings(make, account, tmp_path):
    """A mapping that is stuck does not keep another from being in sync (pitfalls 11.12)."""
    for name in ("good", "stuck"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    mappings = {name: {"folder": str(tmp_path / name), "container": name} for name in ("good", "stuck")}
    with make(mappings=mappings) as d:
        d.wait_sync()
        assert d.ctl("pause", "stuck").rc == 0
        (tmp_path / "stuck/file").write_text("changed")
        (tmp_path / "good/file").write_text("changed")
        d.wait_sync(LIMIT, "good")
        d.wait_sync(LIMIT, "stuck", expect=3)
        d.wait_sync(expect=3)
    assert account.client().get_container_client("stuck").download_blob("file").readall() == b"stuck"


def test_nobody_to_talk_to(make):
    d = make()
    for verb in ("status", "wait", "queue", "pause", "reload"):
        assert d.ctl(verb).rc == 4, verb
    assert d.ctl("no-such-verb").rc == 2
    assert d.ctl("status", "--no-such-option").rc == 2


@pytest.mark.timing
def test_idle_holds_no_file_open(make, folder):
    """Nothing keeps the disk from being unmounted but inotify, which does not (pitfalls 2.8)."""
    tree(folder, 50)
    with make() as d:
        d.wait_sync()

        def open_below():
            links = []
            for fd in pathlib.Path(f"/proc/{d.pid}/fd").iterdir():
                try:
                    links.append(os.readlink(fd))
                except FileNotFoundError:
                    pass
            return [link for link in links if link.startswith(str(folder))]
        until(lambda: open_below() == [], what="no descriptor below the folder")
        assert os.readlink(f"/proc/{d.pid}/cwd") == "/" or not os.readlink(f"/proc/{d.pid}/cwd").startswith(str(folder))
