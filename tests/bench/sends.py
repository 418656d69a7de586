"""The rows that send a whole folder once: azsyncd --once, azcopy and rclone in turn into the same sink."""
import os

import tools
import trees

FAR = 0.02  # a cloud region's distance


def send(bench, folder, files, size, delay=0.0, md5=False, reference=()):
    """`reference`: a command that does a part of the work alone."""
    def run(tool):
        if reference and tool == reference[0]:
            return tools.reference(bench.work(), *reference)
        return tools.run(tool, bench.work(), folder, sink, md5, files, size)

    trees.warm(folder, content=True)
    with bench.sink() as sink:
        sink.set(delay_s=delay)
        return bench.interleaved([*tools.TOOLS, *reference[:1]], run)


def small(bench):
    """10,000 files of 4 KiB, the sink answers at once"""
    return send(bench, trees.small(bench.base), 10_000, 10_000 * 4096)


def small_far(bench):
    """10,000 files of 4 KiB, the sink answers after 20 ms"""
    return send(bench, trees.small(bench.base), 10_000, 10_000 * 4096, delay=FAR)


def big(bench):
    """one file of 1 GiB, with the MD5 of the whole"""
    folder = trees.big(bench.base)
    return send(bench, folder, 1, 1 << 30, md5=True, reference=("md5sum", str(folder / "file.bin")))


def delta(bench):
    """bytes sent of a file of 200 MiB: at first; 1 MiB edited in its middle; 8 bytes inserted at a quarter; 14 appended"""
    folder = trees.emptied(bench.base / "delta")
    file, size = folder / "file.bin", 200 * trees.MIB

    def edit():
        with open(file, "r+b") as f:
            f.seek(size // 2)
            f.write(os.urandom(trees.MIB))

    def insert():
        data = file.read_bytes()
        file.write_bytes(data[:size // 4] + b"8 bytes." + data[size // 4:])

    def append():
        with open(file, "ab") as f:
            f.write(b"fourteen bytes")

    def run(tool):
        base, sent = bench.work(), {}
        sink.empty()
        tools.make_container(tool, sink)
        file.write_bytes(os.urandom(size))
        for name, change in {"first": lambda: None, "edit": edit, "insert": insert, "append": append}.items():
            change()
            sent[f"{name}_bytes"] = tools.again(tool, base, folder, sink)
        return sent

    with bench.sink() as sink:
        return bench.interleaved(tools.TOOLS, run)


ROWS = {"small": small, "small-far": small_far, "big": big, "delta": delta}
