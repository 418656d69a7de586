#!/usr/bin/python3
"""Runs the rows that are named, several rounds each, the programs by turns, and keeps every figure in a JSON file.
Nothing here passes or fails; a run in which not everything arrived ends it, for it measured nothing."""
import argparse
import datetime
import json
import os
import pathlib
import platform
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import report  # noqa: E402
import sends  # noqa: E402
import stays  # noqa: E402
import tools  # noqa: E402
import trees  # noqa: E402
from sink import Sink, usable_port  # noqa: E402

ROWS = {**sends.ROWS, **stays.ROWS}
ROUNDS = 5


class Bench:
    """What a row needs to know: where things are, and who is to run how often."""

    def __init__(self, options):
        self.base = trees.prepare_base(options.dir or trees.default_base())
        self.rounds, self.only = options.rounds, options.only
        self.versions = tools.versions()

    def sink(self):
        """On the port of the run before, if it is free: journals that are kept know their service by its address."""
        file = self.base / "port"
        port = usable_port(int(file.read_text()) if file.exists() else 0)
        file.write_text(str(port))
        return Sink(self.base / "sink", port)

    def work(self):
        """An empty folder for one run."""
        return trees.emptied(self.base / "run")

    def wanted(self, programs):
        """Those that are to run, and can: npm has azcopy for amd64 alone."""
        there = [name for name in programs if name not in tools.TOOLS or name.split("-")[0] in self.versions]
        return [name for name in there if not self.only or name in self.only]

    def interleaved(self, programs, run):
        """run(name) for each by turns: [{tool, round, ...}]"""
        results = []
        for n in range(self.rounds):
            for tool in self.wanted(programs):
                result = {"tool": tool, "round": n, **run(tool)}
                print(f"  {n + 1} {tool:10}", *(f"{key} {value:.2f}" for key, value in result.items()
                                                if isinstance(value, float)), flush=True)
                results.append(result)
        return results


def machine(versions):
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    kernel = ".".join(platform.release().split("-")[0].split(".")[:2])
    return {"cores": os.cpu_count(), "memory_gib": round(memory), "kernel": kernel,
            "system": platform.freedesktop_os_release().get("PRETTY_NAME", "?"), "versions": versions}


def read(path):
    return json.loads(path.read_text()) if path.exists() else {"rows": {}}


def save(path, results):
    part = path.with_suffix(".part")
    part.write_text(json.dumps(results, indent=1) + "\n")
    part.rename(path)


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW",
                        help=f"one of {', '.join(ROWS)}; all if none is named; or report: write docs/performance.md")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"how often each program runs ({ROUNDS})")
    parser.add_argument("--only", type=lambda text: text.split(","), help="these programs alone: azsyncd,azcopy,...")
    parser.add_argument("--dir", type=pathlib.Path, help="where trees and states are made and kept")
    parser.add_argument("--results", type=pathlib.Path, default=tools.BUILD / "bench.json", help="the JSON file")
    options = parser.parse_args()
    unknown = [row for row in options.rows if row not in ROWS]
    if unknown and options.rows != ["report"]:
        parser.error(f"no row {unknown[0]}")
    return options


def main():
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left running
    if options.rows == ["report"]:
        report.write(read(options.results))
        return
    bench = Bench(options)
    for name in options.rows or ROWS:
        print(f"{name}: {ROWS[name].__doc__}", flush=True)
        with trees.alone(bench.base):
            load = os.getloadavg()[0]
            runs = ROWS[name](bench)
            results = read(options.results)  # now: another run may have added to it
            results["machine"] = machine(bench.versions)
            results["rows"][name] = {"date": datetime.date.today().isoformat(), "load": load, "runs": runs}
            save(options.results, results)
        report.say(runs)


if __name__ == "__main__":
    main()
