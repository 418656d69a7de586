"""What the figures come to: medians and ratios on the screen, and, as `scripts/bench report`, the generated part of
docs/performance.md with its chart. What stands outside the two marks in that page is written by people."""
import dataclasses
import pathlib
import statistics

import chart

TOP = pathlib.Path(__file__).resolve().parents[2]
PAGE = TOP / "docs/performance.md"
CHART = TOP / "docs/performance.svg"
BEGIN, END = "<!-- figures: scripts/bench report writes what follows -->\n", "<!-- end of figures -->\n"
OTHERS = ("put", "block", "blocklist", "batch", "delete", "head", "list", "metadata", "properties", "get-blocklist")


@dataclasses.dataclass
class Figure:
    """One number of a row beside its target, if it has one; `least`: that is a lower limit."""
    text: str
    limit: float
    value: object  # function of the row's medians
    unit: str = ""
    least: bool = False

    def shown(self, found):
        try:
            value = self.value(found)
        except (KeyError, ZeroDivisionError):
            return f"{self.text} not measured", None
        met = True if self.limit is None else value >= self.limit if self.least else value <= self.limit
        return f"{self.text} {number(value)}{self.unit}".strip(), met

    def target(self):
        if self.limit is None:
            return ""
        return f"{self.text} at {'least' if self.least else 'most'} {self.limit:g}{self.unit}".strip()


def ratio(name, limit):
    return Figure({"wall": "azcopy/azsyncd wall", "cpu": "CPU"}[name], limit,
                  lambda found: found["azcopy"][name] / found["azsyncd"][name], least=True)


def ours(text, name, limit, unit=""):
    return Figure(text, limit, lambda found: found["azsyncd"][name], unit)


def calls(text, limit, kinds):
    return Figure(text, limit, lambda found: sum(found["azsyncd"].get("n " + kind, 0) for kind in kinds))


def sent(tool, change, limit=None):
    return Figure(f"{tool} {change}" if tool != "azsyncd" else change, limit,
                  lambda found: found[tool][f"{change}_bytes"] / 2**20, " MiB")


# row: what is done, and its targets
ROWS = {
    "small": ("10,000 files of 4 KiB, the sink answers at once", [ratio("wall", 4), ratio("cpu", 6)]),
    "small-far": ("the same, it answers after 20 ms", [ratio("wall", 8), ratio("cpu", 6)]),
    "big": ("one file of 1 GiB with the MD5 of the whole", [ratio("wall", 1.4), ratio("cpu", 1.2)]),
    "delta": ("sent of a file of 200 MiB: 1 MiB edited in its middle, 8 bytes inserted at a quarter, 14 appended",
              [sent("azsyncd", "edit", 24), sent("azsyncd", "insert", 24), sent("azsyncd", "append", 12),
               *(sent(tool, change) for tool in ("azcopy", "rclone") for change in ("edit", "insert", "append"))]),
    "watch": ("100,000 folders with 200,000 files watched and compared, nothing changed, warm",
              [ours("", "wall", 2, " s")]),
    "restart": ("1,000,000 files, restart, nothing changed", [ours("", "wall", 4, " s"),
                                                              ours("requests", "requests", 0),
                                                              ours("peak", "rss", 64, " MiB")]),
    "offline": ("200,000 files pending while the service is away", [ours("peak", "rss", 48, " MiB")]),
    "change": ("one change among 200,000 idle files, from close to the sink's answer",
               [ours("median", "median_ms", 10, " ms"), ours("p99", "p99_ms", 40, " ms")]),
    "delete": ("a folder of 10,000 deleted", [ours("requests", "requests", 45)]),
    "rename": ("a folder of 10,000 renamed", [calls("copies", 10_000, ["copy"]), calls("other requests", 45, OTHERS),
                                              calls("bytes of content", 0, ["bytes"])]),
    "idle": ("idle for 60 s", [ours("CPU ticks", "ticks", 0), ours("wake-ups", "wakes", None)]),
}
FILES = {"small": 10_000, "small-far": 10_000, "big": 1}


def medians(runs):
    """{tool: {figure: median}}, in the order of the runs; requests as one figure and by kind ("n put")."""
    figures = {}
    for run in runs:
        of_tool = figures.setdefault(run["tool"], {})
        flat = {name: value for name, value in run.items() if isinstance(value, (int, float)) and name != "round"}
        if "requests" in run:
            flat["requests"] = run["requests"].get("all", 0)
            flat.update((f"n {kind}", value) for kind, value in run["requests"].items() if kind not in ("all", "last"))
        for name, value in flat.items():
            of_tool.setdefault(name, []).append(value)
    return {tool: {name: statistics.median(values) for name, values in of_tool.items()}
            for tool, of_tool in figures.items()}


def number(value):
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def say(runs):
    found = medians(runs)
    own = found.get("azsyncd", {})
    for tool, figures in found.items():
        ratios = [f"{name} x{figures[name] / own[name]:.2f}" for name in ("wall", "cpu", "rss")
                  if tool != "azsyncd" and own.get(name) and name in figures]
        kinds = [f"{name[2:]} {value:,.0f}" for name, value in figures.items()
                 if name.startswith("n ") and name[2:] not in ("blobs", "size", "bytes")]
        print(f"  median {tool:10}", ", ".join(f"{name} {number(value)}" for name, value in figures.items()
                                               if not name.startswith("n ")),
              f" [{', '.join(kinds)}]" if kinds else "", f" ({', '.join(ratios)})" if ratios else "")


# --- the page ---

def targets(found, rounds):
    """`rounds`: {row: how many}."""
    yield "| work | target | measured | rounds | met | command |\n| --- | --- | --- | --- | --- | --- |\n"
    for name, (what, figures) in ROWS.items():
        aim = ", ".join(filter(None, (figure.target() for figure in figures)))
        shown = [figure.shown(found[name]) for figure in figures] if name in found else [("not measured", None)]
        met = "" if None in [m for _, m in shown] else "yes" if all(m for _, m in shown) else "no"
        yield f"| {what} | {aim} | {', '.join(words for words, _ in shown)} | {rounds.get(name, '')} | {met} | `scripts/bench {name}` |\n"


def programs(found):
    yield ("| row | program | wall | CPU | CPU a file | peak memory | requests | a file | sink's CPU |\n"
           "| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
    for name in ROWS:
        for tool, f in found.get(name, {}).items():
            if "wall" not in f and "cpu" not in f:
                continue

            def cell(key, unit, per=1.0):
                return number(f[key] / per) + unit if key in f and per else ""
            files = FILES.get(name, 0)
            yield (f"| {name} | {tool} | {cell('wall', ' s')} | {cell('cpu', ' s')} "
                   f"| {cell('cpu', ' µs', files / 1e6) if files > 1 else ''} | {cell('rss', ' MiB')} "
                   f"| {cell('requests', '')} | {cell('requests', '', files) if files > 1 else ''} "
                   f"| {cell('sink_cpu', ' s')} |\n")


def figures(results):
    found = {name: medians(row["runs"]) for name, row in results["rows"].items() if row["runs"]}
    about, versions = results["machine"], results["machine"]["versions"]
    dates = [row["date"] for row in results["rows"].values()]
    yield (f"Measured {max(dates)} on {about['cores']} cores, {about['memory_gib']} GiB, {about['system']}, Linux "
           f"{about['kernel']}; load before a row at most {max(row['load'] for row in results['rows'].values()):.1f}. "
           "Medians of as many rounds as the row says. ")
    yield ", ".join(f"{name} {version}" for name, version in versions.items()) + ".\n\n"
    yield "![wall time, CPU time and memory of azsyncd and others](performance.svg)\n\n"
    yield from targets(found, {name: len({run["round"] for run in results["rows"][name]["runs"]}) for name in found})
    yield "\n"
    yield from programs(found)
    CHART.write_text(chart.draw(found))


def write(results):
    before, rest = PAGE.read_text().split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(before + BEGIN + "\n" + "".join(figures(results)) + "\n" + END + after)
    print(f"wrote {PAGE.relative_to(TOP)} and {CHART.relative_to(TOP)}")
