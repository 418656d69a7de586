"""Files that will not hold still: every blob is one state that its file had (pitfalls 4.2 to 4.8), on four file systems."""
import contextlib
import json
import subprocess

import pytest

from daemon import BUILD, LIMIT, SLOW, until
from disks import KINDS, Image
from writers import writer, wrong

MIB = 1 << 20
TORN = BUILD / "tests/reads/torn"
WHOLE, BLOCKS = 3 * MIB, 9 * MIB  # by one Put Blob, and by blocks


@pytest.fixture
def disk(tmp_path, request):
    """A file system of the kind that the test is parametrized with."""
    with Image(tmp_path / "image", request.param, 700, tmp_path / "disk") as image:
        yield image


each_disk = pytest.mark.parametrize("disk", KINDS, indirect=True)


# --- the reading order itself: src/watch/read.c against writers ---

# kind of writer, pause between two versions in microseconds
WRITERS = {"write": 100_000, "slow": 100_000, "chunks": 100_000, "mmap": 100_000, "truncate": 100_000,
           "rename": 100_000, "append": 500, "direct": 100_000}


def torn(kind, path, size, reads, pause_us, without="", seconds=600):
    done = subprocess.run([TORN, kind, path, str(size), str(reads), str(seconds * SLOW), str(pause_us), without],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=(seconds + LIMIT) * SLOW)
    if done.returncode == 3:
        pytest.skip(done.stderr.strip())
    assert done.returncode in (0, 1), done
    return json.loads(done.stdout)


def torn_at_last(disk, reads, kind, size, *arguments):
    """Without a step of the order some reading is torn sooner or later. How soon is the machine's: asked until then."""
    def found():
        done = torn(kind, disk.mountpoint / "f", size, reads, *arguments, seconds=60)
        print(f"{disk.fstype}: {json.dumps(done)}")
        return done["torn"] > 0
    until(found, what="a torn reading: the step makes no difference")


@each_disk
@pytest.mark.parametrize("kind", WRITERS)
def test_no_accepted_reading_is_torn(disk, kind, rounds):
    """4.4: of what is taken for one consistent state, nothing is torn. A single large O_DIRECT write is the exception:
    it holds the inode's lock together with others, so nothing waits for it (docs/reliability.md)."""
    for size, sample, full in ((4 * MIB, 8, 1000), (16 * MIB if kind == "append" else BLOCKS, 3, 500)):
        accepted, pause = 0, WRITERS[kind] * (1 + 3 * (size == BLOCKS))
        while accepted == 0:  # a slow machine is given longer pauses to read in
            done = torn(kind, disk.mountpoint / "f", size, rounds(sample, full), pause)
            print(f"{disk.fstype}: {json.dumps(done)}")
            accepted, pause = done["accepted"], 4 * pause
            assert kind == "direct" or done["torn"] == 0
            assert pause < 300_000_000, "nothing is ever accepted"


@pytest.mark.timing
@pytest.mark.parametrize("disk", ["ext4", "btrfs", "tmpfs"], indirect=True)
def test_without_seek_hole(disk, rounds):
    """The step matters: without it, a write(2) that waits for its source half way is read as if it were whole. (Not on
    xfs, where read(2) itself waits.)"""
    torn_at_last(disk, rounds(40, 1000), "slow", 4 * MIB, 100_000, "hole")


@pytest.mark.timing
@pytest.mark.parametrize("disk", ["ext4", "btrfs", "xfs"], indirect=True)
def test_without_sync_file_range(disk, rounds):
    """The step matters: without it, stores into dirty pages leave no trace (4.3). (On tmpfs they never do; there the
    second reading is what sees them.)"""
    torn_at_last(disk, rounds(150, 1000), "mmap", 4 * MIB, 0, "sync")


@pytest.mark.parametrize("disk", ["ext4", "xfs", "btrfs"], indirect=True)
def test_later_store_shows(disk, rounds):
    """4.3 (b): a store into a page that was dirty before it was read changes the stamp, so the rescan finds it; without
    the cleaning it does not."""
    done = torn("later", disk.mountpoint / "f", MIB, rounds(50, 5000), 0)
    print(f"{disk.fstype}: {json.dumps(done)}")
    assert done["accepted"] >= rounds(50, 5000) and done["torn"] == 0
    torn_at_last(disk, 20, "later", MIB, 0, "sync")


# --- the daemon ---

FILES = {"write": BLOCKS, "mmap": BLOCKS, "slow": WHOLE, "chunks": WHOLE, "truncate": WHOLE, "rename": WHOLE,
         "append": 16 * MIB}


@each_disk
def test_every_download_is_one_state(disk, make, account, equal, rounds):
    """Files rewritten all the time in seven ways, each downloaded each time that its blob is another one: always one
    state that the file had; and when everything rests, all is equal. The one written by write(2) is asked for most."""
    top = disk.mountpoint / "box"
    top.mkdir()
    seen = {kind: set() for kind in FILES}
    wanted = {kind: rounds(2, 80 if kind == "write" else 8) for kind in FILES}
    if disk.fstype == "tmpfs":
        wanted["mmap"] = 1  # stores tell nobody, and leave no trace there, until the mapping goes (4.3)
    mapping = {"folder": str(top), "rescan": "1m"}  # which is what finds stores elsewhere
    with contextlib.ExitStack() as daemon, contextlib.ExitStack() as writers:
        for kind, size in FILES.items():  # before the daemon: a file that grows to its length is a prefix at first
            writers.enter_context(writer(kind, top / kind, size, 40_000 if kind == "append" else 1_000_000))
        d = daemon.enter_context(make(mapping=mapping, speedup=20))
        box = account.client().get_container_client("box")
        marked = 0

        def look(kind):
            nonlocal marked
            blob = box.get_blob_client(kind)
            if not blob.exists() or blob.get_blob_properties().etag in seen[kind]:
                return
            got = blob.download_blob()
            data = got.readall()
            if got.properties.etag in seen[kind]:
                return
            seen[kind].add(got.properties.etag)
            if "azsyncdbusy" in got.properties.metadata:
                marked += 1
            else:
                assert wrong(kind, data, FILES[kind]) is None, f"{kind}: {wrong(kind, data, FILES[kind])}"

        def enough():
            for kind in FILES:
                look(kind)
            return all(len(seen[kind]) >= wanted[kind] for kind in FILES)
        until(enough, LIMIT + 60 * wanted["write"], f"{wanted}")
        writers.close()
        d.wait_sync()
        equal(top)
        assert d.status()["busy"] == 0
    print(f"{disk.fstype}: {({kind: len(etags) for kind, etags in seen.items()})} states, none torn; {marked} marked")
