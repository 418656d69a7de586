"""Writers that never rest, and whether what was read of their files was ever there (tests/reads/writer.c).

Each 64-bit word of their files is (version << 32) + its number in the file."""
import array
import contextlib
import subprocess

from daemon import BUILD, LIMIT, SLOW

WRITE = BUILD / "tests/reads/write"


@contextlib.contextmanager
def writer(kind, path, size, pause_us=0):
    """Writes `path` all the time; its last version is whole, and nothing has it open, when this is left."""
    process = subprocess.Popen([WRITE, kind, path, str(size), str(pause_us)], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"ready\n"
        yield process
        process.terminate()
        assert process.wait(LIMIT * SLOW) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def words(version, begin, end):
    return array.array("Q", range((version << 32) + begin, (version << 32) + end))


def wrong(kind, data, size):
    """What is wrong with this as a state of such a writer's file; None: it was one."""
    whole = array.array("Q", data[:len(data) // 8 * 8])
    n, rest = len(whole), data[len(data) // 8 * 8:]
    version = whole[0] >> 32 if n and kind != "append" else 0
    if kind not in ("append", "truncate") and len(data) != size:
        return f"{len(data)} bytes"
    split = n
    if kind in ("mmap", "chunks"):  # a new beginning, an old rest
        low = next((i for i in range(0, n, 512) if whole[i] >> 32 != version), n)
        split = next((i for i in range(max(low - 512, 0), low) if whole[i] >> 32 != version), low)
    if whole[:split] != words(version, 0, split) or whole[split:] != words(version - 1, split, n):
        return f"begins with version {version}, and is no state of that"
    if rest != words(version, n, n + 1).tobytes()[:len(rest)]:
        return "wrong in its last bytes"
    return None
