"""A folder reaches the cloud and stays equal, whatever kind of change there is."""
import mmap
import os
import shutil
import signal
import socket
import subprocess

import pytest

from daemon import WITHOUT_POWERS, stuck_thread, until
from given import tree
from proxy import Answer

NO_BRAKE = {"delete-guard": {"files": 1000000, "percent": 100}}  # most of the folder goes, and that is meant


def test_headers_and_a_change_of_each_kind(make, proxy, folder, headers, equal):
    """Issue 2's first figure: the machine's own headers, then changed, added, deleted, and a sub-folder renamed."""
    shutil.copytree(headers, folder, dirs_exist_ok=True)
    with make(port=proxy.port) as d:
        d.wait_sync()
        equal()
        before = proxy.mark()
        with d.still():
            (folder / "fs.h").write_text("/* changed */\n")
        d.wait_sync()
        with d.still():
            (folder / "added.h").write_text("/* new */\n")
        d.wait_sync()
        (folder / "acct.h").unlink()
        d.wait_sync()
        equal()
        assert proxy.puts(before) == {"fs.h": 1, "added.h": 1}

        before, status = proxy.mark(), d.status()
        moved = len(list((folder / "netfilter").rglob("*.h")))
        assert moved > 30
        (folder / "netfilter").rename(folder / "renamed")
        d.wait_sync()
        equal()
        assert proxy.body_bytes(before) == 0, "a rename sent bytes"
        after = d.status()
        assert after["uploaded_bytes"] == status["uploaded_bytes"]
        assert after["copied_files"] - status["copied_files"] == moved


@pytest.mark.asan
def test_small_changes(make, proxy, folder, equal):
    tree(folder, 120, per_folder=40)
    with make(port=proxy.port) as d:
        d.wait_sync()
        equal()
        (folder / "d000/f00001.txt").write_text("changed")
        (folder / "new").write_text("new")
        (folder / "empty").touch()
        (folder / "d000/f00002.txt").unlink()
        (folder / "d000/f00003.txt").rename(folder / "moved here")
        (folder / "d001").rename(folder / "d001 renamed")
        shutil.rmtree(folder / "d002")
        d.wait_sync()
        equal()
        status = d.status()
    assert (status["state"], status["pending"], status["lag_s"]) == ("idle", 0, 0)
    assert status["files"] == sum(1 for p in folder.rglob("*") if p.is_file())


@pytest.mark.asan
def test_rename_sends_no_byte(make, proxy, folder, equal):
    """One rule for files, folders and files renamed while nobody looked (pitfalls 1.3, 1.4, 8: copy first)."""
    tree(folder, 60, per_folder=20)
    daemon = make(port=proxy.port)
    with daemon as d:
        d.wait_sync()
        before = proxy.mark()
        (folder / "d000/f00000.txt").rename(folder / "one.txt")
        d.wait_sync()
        (folder / "d001").rename(folder / "d000/inside")
        d.wait_sync()
        (folder / "d000").rename(folder / "outer")
        d.wait_sync()
        equal()
    (folder / "outer").rename(folder / "while down")
    (folder / "one.txt").rename(folder / "two.txt")
    with daemon as d:
        d.wait_sync()
        equal()
    assert proxy.body_bytes(before) == 0
    order = [("copy" if r.verb == "copy" else "delete", name) for r in proxy.requests[before:]
             for name in ([r.blob] if r.verb == "copy" else r.deletions)]
    assert order.index(("copy", "two.txt")) < order.index(("delete", "one.txt"))


@pytest.mark.asan
def test_saves_of_editors_and_builders(make, folder, equal):
    """The table of pitfalls 1: every way a file's content may come about."""
    (folder / "replaced").write_text("old")
    (folder / "truncated").write_text("long content")
    with make() as d:
        d.wait_sync()
        (folder / ".tmp").write_text("atomic save")
        (folder / ".tmp").rename(folder / "replaced")
        os.truncate(folder / "truncated", 4)
        unnamed = os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o600)
        os.write(unnamed, b"had no name")
        here = os.open(".", os.O_PATH)  # with a dir_fd Python calls linkat, the only way to follow this link
        os.link(f"/proc/self/fd/{unnamed}", folder / "linked", src_dir_fd=here, follow_symlinks=True)
        os.close(here)
        os.close(unnamed)
        old = folder / "from a tar"
        old.write_text("mtime goes backwards")
        os.utime(old, (1, 1))
        d.wait_sync()
        equal()


@pytest.mark.asan
def test_file_held_open_is_sent(make, folder, equal):
    """CLOSE_WRITE may never come (pitfalls 1, 4.8)."""
    with make() as d, open(folder / "log", "wb") as held:
        d.wait_sync()
        held.write(b"a line\n")
        held.flush()
        d.wait_sync()
        equal()
        held.write(b"another\n")
        held.flush()
        d.wait_sync()
        equal()


@pytest.mark.asan
def test_store_through_mmap(make, folder, equal):
    """No event at the store, CLOSE_WRITE at munmap (pitfalls 4.3): the same size and, perhaps, the same mtime."""
    path = folder / "mapped"
    path.write_bytes(b"a" * 8192)
    with make() as d:
        d.wait_sync()
        fd = os.open(path, os.O_RDWR)
        view = mmap.mmap(fd, 8192)
        os.close(fd)
        view[0:4] = b"bbbb"
        view.close()
        d.wait_sync()
        equal()


@pytest.mark.asan
def test_folders_made_and_filled_at_once(make, folder, equal):
    """The file is there before the watch is (pitfalls 1.1): nothing may be missed."""
    with make() as d:
        for n in range(150):
            deep = folder / f"a{n}" / "b" / "c"
            deep.mkdir(parents=True)
            (deep / "file").write_text(str(n))
        d.wait_sync()
        equal()


@pytest.mark.asan
def test_folder_moved_out_and_in(make, account, folder, tmp_path, equal):
    """Watches follow the inode (pitfalls 1.5): what happens to a folder that left is nobody's business."""
    tree(folder / "leaves", 30)
    tree(tmp_path / "comes", 30)
    with make(mapping=NO_BRAKE) as d:
        d.wait_sync()
        (folder / "leaves").rename(tmp_path / "left")
        (tmp_path / "comes").rename(folder / "came")
        d.wait_sync()
        equal()
        (tmp_path / "left/d000/f00000.txt").write_text("changed outside")
        (tmp_path / "left/new").write_text("new outside")
        (folder / "came/d000/f00000.txt").write_text("changed inside")
        d.wait_sync()
        equal()
    names = [b.name for b in account.client().get_container_client("box").list_blobs()]
    assert not any(name.startswith("leaves") or "new" in name for name in names)


@pytest.mark.asan
def test_folder_deleted_and_made_again(make, folder, equal):
    """Pitfalls 1.6, 7.8: a new wd under an old name, and deletions that must not hit new files."""
    with make(mapping=NO_BRAKE) as d:
        for n in range(10):
            tree(folder / "again", 20)
            (folder / "again" / f"round{n}").write_text(str(n))
            if n % 3 == 0:
                d.wait_sync()
            shutil.rmtree(folder / "again")
        tree(folder / "again", 20)
        d.wait_sync()
        equal()


@pytest.mark.asan
def test_file_becomes_folder_and_back(make, folder, equal):
    """Pitfalls 5.7."""
    (folder / "a").write_text("a file")
    with make() as d:
        d.wait_sync()
        (folder / "a").unlink()
        (folder / "a").mkdir()
        (folder / "a/b").write_text("now a folder")
        d.wait_sync()
        equal()
        shutil.rmtree(folder / "a")
        (folder / "a").write_text("a file again")
        d.wait_sync()
        equal()


@pytest.mark.asan
def test_hard_links(make, folder, equal):
    """A write through one name sends no event for the other (pitfalls 5.4)."""
    (folder / "sub").mkdir()
    (folder / "one").write_text("first")
    os.link(folder / "one", folder / "sub/two")
    with make() as d:
        d.wait_sync()
        equal()
        (folder / "one").write_text("second, longer")
        d.wait_sync()
        equal()
        with open(folder / "sub/two", "a") as f:
            f.write(", third")
        d.wait_sync()
        equal()


@pytest.mark.asan
def test_hard_links_emptied_while_it_is_down(make, folder, equal):
    """5.4, 5.9: found by the scan under each name: they do not cancel each other's wait."""
    (folder / "one").write_text("first")
    os.link(folder / "one", folder / "two")
    os.link(folder / "one", folder / "three")
    d = make()
    with d:
        d.wait_sync()
    os.truncate(folder / "one", 0)
    with d:
        d.wait_sync()
        equal()


@pytest.mark.asan
def test_hard_links_and_a_moved_folder(make, folder, equal):
    """5.4, 1.4: the write is not reported under any name that is still there; the scan of the new folder finds it."""
    for name in ("here", "there"):
        (folder / name).mkdir()
    (folder / "here/one").write_text("first")
    os.link(folder / "here/one", folder / "there/two")
    with make() as d:
        d.wait_sync()
        os.kill(d.pid, signal.SIGSTOP)
        (folder / "there").rename(folder / "elsewhere")
        (folder / "elsewhere/two").write_text("second, longer")
        os.kill(d.pid, signal.SIGCONT)
        d.wait_sync()
        equal()


@pytest.mark.asan
@pytest.mark.parametrize("content", ["", "other"], ids=["emptied", "written"])
def test_hard_links_all_told(make, folder, equal, content):
    """Events for each of the names at once: they do not wake each other for ever (5.4), nor cancel each other's wait
    when the file was emptied (5.9)."""
    names = [folder / "one", folder / "two", folder / "three"]
    names[0].write_text("first")
    for name in names[1:]:
        os.link(names[0], name)
    with make() as d:
        d.wait_sync()
        os.kill(d.pid, signal.SIGSTOP)
        for name in names:
            name.write_text(content)
        os.kill(d.pid, signal.SIGCONT)
        d.wait_sync()
        equal()


@pytest.mark.asan
def test_hard_links_replaced_unheard(make, folder, proxy, equal):
    """5.4: one name is written to and replaced, and looked at for another reason before those events are read."""
    (folder / "one").write_text("first")
    os.link(folder / "one", folder / "two")
    with make(port=proxy.port) as d:
        d.wait_sync()
        proxy.rule = lambda request: Answer(503) if (request.verb, request.blob) == ("set-metadata", "one") else None
        (folder / "one").chmod(0o600)
        until(lambda: proxy.count("set-metadata") > 1)
        d.until_status(pending=1)
        mark = proxy.mark()
        with stuck_thread(d.pid, "inotify"):
            (folder / "one").write_text("second, longer")
            (folder / "new").write_text("another file")
            (folder / "new").rename(folder / "one")
            proxy.rule = None
            until(lambda: proxy.puts(mark)["one"])
        d.wait_sync()
        equal()


@pytest.mark.asan
def test_skipped_kinds_are_named(make, folder, equal):
    """Symlinks, empty folders and special files: counted, named, no trouble; a FIFO hangs nobody (pitfalls 5.1, 5.6)."""
    (folder / "file").write_text("real")
    (folder / "link").symlink_to("file")
    (folder / "loop").symlink_to(".")
    (folder / "out").symlink_to("/etc")
    (folder / "hollow").mkdir()
    os.mkfifo(folder / "fifo")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(folder / "socket"))
    with make() as d:
        d.wait_sync()
        equal()
        queue = d.queue()
        status = d.status()
    assert {p for p, item in queue.items() if item["state"] == "skipped"} >= {"link", "loop", "out", "fifo", "socket"}
    assert all(item["reason"] for item in queue.values())
    assert status["skipped"] == len(queue) and status["state"] == "idle"
    assert any(p.rstrip("/") == "hollow" for p in queue)


@pytest.mark.asan
def test_unreadable(make, proxy, folder, equal):
    """Named with its reason, never deleted from the cloud, and sent as soon as it may be read (pitfalls 5.5)."""
    tree(folder, 5)
    (folder / "secret").write_text("readable")
    daemon = make(port=proxy.port)
    daemon.start(wrapper=WITHOUT_POWERS)
    try:
        daemon.wait_sync()
        (folder / "secret").write_text("no longer")
        (folder / "secret").chmod(0)
        (folder / "d000").chmod(0)
        daemon.ctl("rescan")
        daemon.until_status(failed=lambda n: n >= 1)
        daemon.wait_sync(expect=3)
        assert all(item["reason"] for item in daemon.queue().values())
        assert any("secret" in path for path in daemon.queue())
        assert proxy.count("delete") == 0
        (folder / "d000").chmod(0o700)
        (folder / "secret").chmod(0o600)
        daemon.wait_sync()
        assert proxy.count("delete") == 0
        equal()
    finally:
        daemon.stop()


@pytest.mark.asan
def test_exclude(make, account, folder, equal):
    """gitignore's rules; and what is excluded later is no deletion (pitfalls 7.6)."""
    for name in ("keep.txt", "a.tmp", "deep/b.tmp", "cache/x", "deep/cache/y", "important.tmp"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(name)
    rules = ["*.tmp", "/cache/", "!important.tmp"]
    excluded = ["a.tmp", "deep/b.tmp", "cache"]
    daemon = make({"exclude": rules})
    with daemon as d:
        d.wait_sync()
        equal(exclude=excluded)
        (folder / "later.tmp").write_text("never sent")
        (folder / "cache/z").write_text("never sent")
        d.wait_sync()
        equal(exclude=[*excluded, "later.tmp"])

        d.map("docs", folder=folder, container="box", exclude=[*rules, "keep.txt"])
        assert d.ctl("reload").rc == 0
        d.wait_sync()
        (folder / "keep.txt").write_text("no longer watched")
        (folder / "deep/new").write_text("a witness")
        d.wait_sync()
    box = account.client().get_container_client("box")
    assert box.download_blob("keep.txt").readall() == b"keep.txt"
    assert box.download_blob("deep/new").readall() == b"a witness"


@pytest.mark.asan
def test_prefix_and_what_lies_beside_it(make, account, folder, equal):
    """%H, and invariant c: nothing outside the prefix changes; a stranger's blob inside it is not ours to delete."""
    client = account.client()
    box = client.create_container("box")
    box.upload_blob("hosts/other/file", b"a neighbour")
    box.upload_blob("file", b"at the top")
    host = socket.gethostname()
    box.upload_blob(f"hosts/{host}/a stranger", b"was here before")
    tree(folder, 10)
    with make({"prefix": "hosts/%H"}) as d:
        d.wait_sync()
        shutil.rmtree(folder / "d000")
        (folder / "file").write_text("ours")
        d.wait_sync()
    names = {b.name for b in box.list_blobs()}
    assert names == {"hosts/other/file", "file", f"hosts/{host}/a stranger", f"hosts/{host}/file"}
    assert box.download_blob("file").readall() == b"at the top"


@pytest.mark.asan
def test_deletes_keep(make, account, folder):
    tree(folder, 10)
    with make({"deletes": "keep"}) as d:
        d.wait_sync()
        (folder / "d000/f00000.txt").unlink()
        (folder / "d000/f00001.txt").rename(folder / "moved")
        d.wait_sync()
        assert d.status()["deleted_files"] == 0
    names = {b.name for b in account.client().get_container_client("box").list_blobs()}
    assert {"d000/f00000.txt", "d000/f00001.txt", "moved"} <= names


@pytest.mark.asan
def test_metadata_follows_without_content(make, proxy, folder, equal):
    """chmod and a new mtime are changes, too: rclone and azcopy restore from them."""
    (folder / "file").write_text("content")
    with make(port=proxy.port) as d:
        d.wait_sync()
        equal()
        (folder / "file").chmod(0o750)
        d.wait_sync()
        equal()
        os.utime(folder / "file", ns=(10**18, 10**18 + 123456789))
        d.wait_sync()
        equal()


@pytest.mark.asan
def test_unchanged_is_not_sent_again(make, proxy, folder, equal):
    """A restart costs no request at all when nothing changed; a rescan that somebody asks for costs a listing."""
    tree(folder, 100)
    daemon = make(port=proxy.port)
    with daemon as d:
        d.wait_sync()
    before = proxy.mark()
    with daemon as d:
        d.wait_sync()
        equal()
        assert len(proxy.requests) == before, [(r.verb, r.path) for r in proxy.requests[before:]]
        assert d.ctl("rescan").rc == 0
        d.wait_sync()
        assert d.status()["files"] == 100
    assert [r.verb for r in proxy.requests[before:]] == ["list"]


def test_content_that_is_there_is_adopted(make, account, proxy, folder, equal):
    """A lost journal costs a listing, not an upload: blobs that match are taken over."""
    tree(folder, 50)
    with make(port=proxy.port) as d:
        d.wait_sync()
    before = proxy.mark()
    with make(port=proxy.port) as d:  # another state directory: nothing is known
        d.wait_sync()
        equal()
    assert proxy.puts(before) == {}


@pytest.mark.parametrize("limit, most, watch", [("watches", 10, "mixed"), ("instances", 0, "poll")])
def test_watch_limit_is_said_and_polled(make, folder, equal, limit, most, watch):
    """Never half-watched in silence (pitfalls 1.12). The limits are per user and name space, so it needs its own."""
    for n in range(40):
        (folder / f"d{n}").mkdir()
        (folder / f"d{n}/file").write_text(str(n))
    daemon = make()
    limited = ["unshare", "-Ur", "sh", "-c", f'echo {most} >/proc/sys/user/max_inotify_{limit} && exec "$@"', "sh"]
    probe = subprocess.run([*limited, "true"], capture_output=True, check=False)
    if probe.returncode != 0:
        pytest.skip("no user name space here")
    daemon.start(wrapper=limited)
    try:
        daemon.wait_sync()
        status = daemon.status()
        assert status["watch"] == watch and status["polled_folders"] > 0
        assert f"max_user_{limit}" in daemon.log()
        (folder / "d39/file").write_text("changed where nobody watches")
        assert daemon.ctl("rescan").rc == 0
        daemon.wait_sync()
        equal(metadata=False)  # owners look different from inside a name space
    finally:
        daemon.stop()
