"""A blob is deleted only if its file is proven not to be there, right before (L2, pitfalls 4.11, 4.12, 7.8), and is
counted once (pitfalls 7.4)."""
import pytest

from daemon import until
from given import tree
from proxy import Answer, Gate

CHANGED = Answer(412, "ConditionNotMet")


@pytest.mark.asan
@pytest.mark.parametrize("watch", ["inotify", "poll"])
def test_file_back_while_the_service_is_asked(make, account, folder, equal, proxy, watch):
    """L2, pitfalls 7.8: the file comes back between the DELETE that was refused and the next one, told by an event or
    by nothing."""
    tree(folder, 30)
    gone, gate, asked = folder / "d000/f00007.txt", Gate(), []

    def rule(request):
        if request.blob != "d000/f00007.txt":
            return None
        asked.append(request.verb)
        if asked.count("delete") == 1 and request.verb == "delete":
            return CHANGED
        return gate if request.verb == "head" else None

    with make(mapping={"watch": watch, "rescan": "1s"}, port=proxy.port) as d:
        d.wait_sync()
        proxy.rule = rule
        gone.unlink()
        until(lambda: "head" in asked, what="the daemon asks what stands there")
        gone.write_text("restored from the backup")
        gate.open()
        proxy.rule = None
        d.wait_sync()
        equal()
        assert d.status()["deleted_files"] == 0
        assert proxy.count("delete") == 1 and asked[0] == "delete"


@pytest.mark.asan
def test_a_deletion_that_has_to_be_repeated_counts_once(make, account, folder, equal, proxy):
    """pitfalls 7.4: the brake counts files, not attempts."""
    tree(folder, 60)
    refused = {}

    def rule(request):
        for blob in request.deletions:
            refused[blob] = refused.get(blob, 0) + 1
        return Answer(503) if any(refused[blob] <= 3 for blob in request.deletions) else None

    with make({"delete-guard": {"files": 20, "percent": 100}, "delete-delay": "30s"}, port=proxy.port) as d:
        d.wait_sync()
        proxy.rule = rule
        for n in range(12):
            (folder / f"d000/f{n:05d}.txt").unlink()
        d.wait_sync()
        equal()
        assert d.status()["held"] == 0 and d.status()["deleted_files"] == 12
        assert all(n >= 4 for n in refused.values()) and len(refused) == 12
        # and those that were carried out do count
        with d.still():
            for n in range(12, 21):
                (folder / f"d000/f{n:05d}.txt").unlink()
        d.until_status(held=9)


@pytest.mark.parametrize("how", ["missing", "replaced", "a link"])
def test_root_lost_while_a_deletion_waits(make, account, folder, tmp_path, equal, proxy, how):
    """L2, pitfalls 7.3, 2.2: nobody told that the folder is another one by now (it is polled, and not yet due): the job
    that is to delete finds out."""
    tree(folder, 30)
    away = tmp_path / "away"
    with make(mapping={"watch": "poll", "rescan": "30d", "delete-delay": "100s"}, port=proxy.port) as d:
        d.wait_sync()
        (folder / "d000/f00007.txt").unlink()
        assert d.ctl("rescan").rc == 0
        d.until_status(pending=1, state="syncing")
        folder.rename(away)
        if how == "replaced":
            tree(folder, 3)
        elif how == "a link":
            folder.symlink_to(away)
        d.until_status(state="blocked")
        assert proxy.count("delete") == 0 and d.status()["deleted_files"] == 0
        if how == "a link":
            folder.unlink()
        elif how == "replaced":
            folder.rename(tmp_path / "other")
        away.rename(folder)
        assert d.ctl("rescan").rc == 0
        d.until_status(state="idle", deleted_files=1)
        equal()
