"""The rows that send a whole folder once: azsyncd --once, azcopy and rclone in turn into the same sink."""
import tools
import trees

FAR = 0.02  # a cloud region's distance


def send(bench, folder, files, size, programs, delay=0.0, md5=False):
    trees.warm(folder, content=True)
    with bench.sink() as sink:
        sink.set(delay_s=delay)
        return bench.interleaved(programs,
                                 lambda tool: tools.run(tool, bench.base / "run", folder, sink, md5, files, size))


def small(bench):
    """10,000 files of 4 KiB, the sink answers at once"""
    return send(bench, trees.small(bench.base), 10_000, 10_000 * 4096, tools.TOOLS)


def small_far(bench):
    """10,000 files of 4 KiB, the sink answers after 20 ms"""
    return send(bench, trees.small(bench.base), 10_000, 10_000 * 4096, tools.TOOLS, delay=FAR)


def big(bench):
    """one file of 1 GiB, with the MD5 of the whole"""
    return send(bench, trees.big(bench.base), 1, 1 << 30, tools.TOOLS, md5=True)


ROWS = {"small": small, "small-far": small_far, "big": big}
