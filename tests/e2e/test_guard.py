"""No local accident empties the cloud: root identity and the brake on deletions (pitfalls 5.9 and section 7)."""
import os
import shutil

import pytest

from daemon import WITHOUT_POWERS, until
from given import tree


# Many go at a time: on a slow machine, too, the last one is looked at before the first one's turn has come. Three seconds here.
TOGETHER = {"delete-delay": "30s"}


def names(account, container="box"):
    return {b.name for b in account.client().get_container_client(container).list_blobs()}


def empty(folder):
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.asan
@pytest.mark.parametrize("down", [False, True], ids=["while it runs", "while it is down"])
def test_emptied_folder_is_held(make, account, folder, equal, down):
    """7.2, 7.4, 7.5: the same root, but the names are gone: held, over a restart, until approved; uploads go on."""
    tree(folder, 200)
    d = make(TOGETHER)
    with d:
        d.wait_sync()
        before = names(account)
        if not down:
            with d.still():
                empty(folder)
            d.until_status(held=200, state="held")
    if down:
        empty(folder)
    with d:
        d.until_status(held=200, state="held", pending=0)
        d.wait_sync(expect=3)
        assert d.ctl("status", "--check").rc == 3
        assert names(account) == before
        with d.still():
            (folder / "new").write_text("uploads go on")
        d.until_status(uploaded_files=1, pending=0)
        assert d.status()["held"] == 200
        held = [i for i in d.queue().values() if i["state"] == "held"]
        assert len(held) == 200 and {i["reason"] for i in held} == {"deleted or emptied here; waits for azsyncctl approve or reject"}
        # 7.5: looked at once more when it is released: what is back is not deleted
        (folder / "d000").mkdir()
        (folder / "d000/f00000.txt").write_text("back, but other")
        d.until_status(held=199, pending=0)
        assert d.ctl("approve", "docs").rc == 0
        d.wait_sync()
        equal()
        assert d.status()["deleted_files"] == 199
        assert d.ctl("approve", "docs").rc == 1  # nothing left to approve


@pytest.mark.asan
def test_reject(make, account, folder):
    tree(folder, 60)
    with make(TOGETHER) as d:
        d.wait_sync()
        before = names(account)
        with d.still():
            empty(folder)
        d.until_status(held=60)
        assert d.ctl("reject", "docs").rc == 0
        d.wait_sync()
        assert names(account) == before and d.status()["deleted_files"] == 0
        assert d.ctl("rescan").rc == 0  # which lists the container: those are blobs of ours without a file
        d.wait_sync()
        status = d.status()
        assert (status["held"], status["files"], status["skipped"]) == (0, 0, 60) and names(account) == before
        (folder / "d000").mkdir(exist_ok=True)
        (folder / "d000/f00001.txt").write_text("again")  # a name whose blob was left alone is taken up again
        d.wait_sync()
        assert account.client().get_blob_client("box", "d000/f00001.txt").download_blob().readall() == b"again"
        (folder / "d000/f00001.txt").unlink()  # and is as good as any other from then on
        d.wait_sync()
        assert before - names(account) == {"d000/f00001.txt"}


@pytest.mark.asan
def test_reject_unreadable_instead(make, account, folder):
    """A folder that cannot be read, where a file was whose deletion is rejected: both are told by one row."""
    tree(folder, 60)
    (folder / "doc").write_text("a file")
    daemon = make(TOGETHER)
    daemon.start(wrapper=WITHOUT_POWERS)
    try:
        daemon.wait_sync()
        before = names(account)
        with daemon.still():
            empty(folder)
            (folder / "doc").mkdir()
            (folder / "doc/in").write_text("not to be read yet")
            (folder / "doc").chmod(0)
        daemon.until_status(held=61)
        assert daemon.ctl("reject", "docs").rc == 0
        daemon.until_status(failed=1, held=0)
        assert daemon.queue()["doc"]["state"] == "failed"
        daemon.wait_sync(expect=3)
        assert daemon.ctl("retry").rc == 0  # which finds it so again
        daemon.until_status(failed=1, state="failed")
        (folder / "doc").chmod(0o700)
        daemon.wait_sync()
        assert daemon.status()["failed"] == 0 and names(account) - before == {"doc/in"} and before <= names(account)
    finally:
        (folder / "doc").chmod(0o700)
        daemon.stop()


@pytest.mark.asan
def test_reject_emptied(make, account, folder, equal):
    """5.9: what a person rejected is not carried out by the next scan either, nor after a restart."""
    tree(folder, 40)
    d = make(TOGETHER)
    with d:
        d.wait_sync()
        with d.still():
            for path in folder.glob("*/*"):
                os.truncate(path, 0)
        d.until_status(held=40)
        assert d.ctl("reject", "docs").rc == 0
        assert d.ctl("rescan").rc == 0
        d.wait_sync()
    with d:
        d.wait_sync()
        assert d.status()["uploaded_files"] == 0 and d.status()["held"] == 0
        sizes = {b.size for b in account.client().get_container_client("box").list_blobs()}
        assert sizes == {200}
        tree(folder, 40)
        d.wait_sync()
        equal()


def test_drip(make, account, folder):
    """7.4: over a window, not at once; over restarts; counted by files, one by one."""
    tree(folder, 100)
    d = make(mapping={"delete-guard": {"files": 10, "percent": 100}})
    for batch in range(3):
        with d:
            d.wait_sync()
            for n in range(batch * 3, batch * 3 + 3):
                (folder / f"d000/f{n:05d}.txt").unlink()
                d.until_status(deleted_files=n - batch * 3 + 1)
    with d:
        d.wait_sync()
        (folder / "d000/f00009.txt").unlink()
        d.wait_sync()
        (folder / "d000/f00010.txt").unlink()
        d.until_status(held=1)
    assert len(names(account)) == 90


@pytest.mark.asan
def test_exactly_the_limit(make, account, folder, equal):
    """7.4: onedrive #2487 let two deletions pass a limit of one."""
    tree(folder, 30)
    with make(mapping={"delete-guard": {"files": 2, "percent": 100}}) as d:
        d.wait_sync()
        (folder / "d000/f00000.txt").unlink()
        (folder / "d000/f00001.txt").unlink()
        d.wait_sync()
        equal()
        (folder / "d000/f00002.txt").unlink()
        d.until_status(held=1)
        assert len(names(account)) == 28


@pytest.mark.asan
def test_small_folders_have_no_percentage(make, folder, equal):
    tree(folder, 20)
    with make() as d:
        d.wait_sync()
        empty(folder)
        d.wait_sync()
        equal()


@pytest.mark.asan
def test_moves_are_no_deletions(make, folder, equal, proxy):
    """7.4: a name whose content is confirmed under its new name; online and while it is down."""
    tree(folder, 60)
    d = make(port=proxy.port)
    with d:
        d.wait_sync()
        (folder / "d000").rename(folder / "moved")
        d.wait_sync()
        assert d.status()["copied_files"] == 60 and d.status()["held"] == 0
    (folder / "moved").rename(folder / "again")
    with d:
        d.wait_sync()
        assert d.status()["uploaded_bytes"] == 0 and d.status()["held"] == 0
        equal()


@pytest.mark.asan
def test_emptied_files_count(make, account, folder, equal):
    """5.9: truncation to zero waits like a deletion, and many of them are held."""
    tree(folder, 40)
    with make(TOGETHER) as d:
        d.wait_sync()
        os.truncate(folder / "d000/f00000.txt", 0)
        d.wait_sync()
        equal()
        with d.still():
            for n in range(1, 40):
                os.truncate(folder / f"d000/f{n:05d}.txt", 0)
        d.until_status(held=39)
        container = account.client().get_container_client("box")
        assert sum(1 for b in container.list_blobs() if b.size == 0) == 1
        assert d.ctl("approve", "docs").rc == 0
        d.wait_sync()
        equal()


def test_emptied_in_drips(make, folder):
    """5.9, 7.4: a file that was emptied is a file still, and must not raise the number that the percentage is of."""
    tree(folder, 40)
    with make() as d:
        d.wait_sync()
        for n in range(20):
            os.truncate(folder / f"d000/f{n:05d}.txt", 0)
            if n % 5 == 4:
                d.wait_sync()
        assert d.status()["held"] == 0
        os.truncate(folder / "d000/f00020.txt", 0)
        d.until_status(held=1)
        (folder / "d000/f00021.txt").unlink()
        d.until_status(held=2)


@pytest.mark.asan
def test_no_deletions_by_configuration(make, account, folder):
    """7.6: a changed exclusion and a removed mapping delete nothing."""
    tree(folder, 30)
    with make() as d:
        d.wait_sync()
        before = names(account)
        d.map("docs", folder=str(folder), container="box", exclude=["*.txt"])
        assert d.ctl("reload").rc == 0
        d.wait_sync()
        assert d.status()["files"] == 0
        d.unmap("docs")
        assert d.ctl("reload").rc == 0
        assert names(account) == before


@pytest.mark.asan
def test_replaced_root_is_blocked(make, account, folder):
    """2.2, 7.2: another folder under the same path is not this root; approve takes it."""
    tree(folder, 30)
    with make(TOGETHER) as d:
        d.wait_sync()
        before = names(account)
        folder.rename(folder.with_name("away"))
        d.until_status(state="blocked")
        refused = d.ctl("approve", "docs")
        assert refused.rc == 1 and "nothing to approve: it is blocked" in refused.err and "does not exist" in refused.err
        assert "ask again in a moment" in refused.err  # by then a walk has looked, which it began
        folder.mkdir()
        (folder / "other").write_text("another folder")
        d.until_status(state="blocked", detail=lambda text: "azsyncctl approve docs mirrors what is there" in text)
        d.wait_sync(expect=3)
        assert names(account) == before
        shutil.rmtree(folder)
        folder.with_name("away").rename(folder)
        d.until_status(state="idle")
        assert d.status()["uploaded_files"] == 30  # nothing sent again
        assert names(account) == before
        with d.still():
            shutil.rmtree(folder)
            folder.mkdir()
            (folder / "other").write_text("another folder")
        d.until_status(state="blocked")
        until(lambda: d.ctl("approve", "docs").rc == 0)
        d.until_status(held=30)  # accepted as the root, but thirty files are gone
        assert before <= names(account)


@pytest.mark.asan
def test_mass_overwrite_is_warned_about_once(make, folder, equal):
    """7.4: ransomware: uploaded, since nobody can know, but said loudly, once."""
    tree(folder, 40)
    with make() as d:
        d.wait_sync()
        for n in range(40):
            (folder / f"d000/f{n:05d}.txt").write_bytes(os.urandom(100))
        d.wait_sync()
        for n in range(40):
            (folder / f"d000/f{n:05d}.txt").write_bytes(os.urandom(100))
        d.wait_sync()
        equal()
        assert d.log().count("ransomware") == 1


def test_alert_after(make, folder, proxy):
    """One loud line when the oldest unsynced change is older than alert-after."""
    with make(port=proxy.port, mapping={"alert-after": "5s"}) as d:
        d.wait_sync()
        proxy.stop()
        (folder / "a").write_text("waits")
        until(lambda: "1 change is not in the cloud" in d.log())
        assert d.status()["lag_s"] > 0
        (folder / "b").write_text("waits too")
        d.until_status(pending=2)
        assert d.log().count("not in the cloud") == 1
