#!/usr/bin/python3
"""Includes point down: util < chunk, config, http, journal < watch < azure (util, chunk and http only) < sync < control < daemon, ctl.
Folders of one rank do not see each other. include/azsyncd sees nothing of ours.

Within src/sync, whose files share one header, calls point down instead."""
import pathlib
import re
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
BELOW = {
    "util": set(),
    "chunk": {"util"},
    "config": {"util"},
    "http": {"util"},
    "journal": {"util"},
    "watch": {"util", "chunk"},
    "azure": {"util", "chunk", "http"},
    "sync": {"util", "chunk", "config", "http", "journal", "watch", "azure"},
    "control": {"util", "config", "http", "journal", "watch", "azure", "sync"},
    "daemon": {"util", "config", "http", "journal", "watch", "azure", "sync", "control"},
    # the tool talks through the socket: it sees neither the engine nor the journal. What its doctor looks at, it looks at
    # with the caller's rights and the daemon's eyes: the same walk (watch), the same requests (azure)
    "ctl": {"util", "config", "http", "watch", "azure", "control"},
}
# the files of src/sync, from above; those of one line do not call each other, unless it is a circle
SYNC = (
    "engine",
    "verbs once recovery",
    "apply",
    "life uploader report",
    "circle: job send outcome rename upload deletions",
    "flight wait",
    "circle: account outside scans contact listing",
    "merge links",
    "guard throttle memory stuck",
    "mapping",
    "jobs complaint sync",
    "plan pace blocks",
)
DEFINED = re.compile(r"^(?!static\b)[A-Za-z_][\w *]*?\b(\w+)\([^;{}]*\)\s*\{", re.MULTILINE)
SILENT = re.compile(r'/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.DOTALL)
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


def complaints(top):
    for path in sorted(top.glob("src/**/*.[ch]")) + sorted(top.glob("include/**/*.h")):
        where = path.relative_to(top)
        layer = where.parts[1] if where.parts[0] == "src" else None
        if layer is not None and layer not in BELOW:
            yield f"{where}: src/{layer} is not a layer of tests/check/layers.py"
            continue
        text = path.read_text()
        for found in INCLUDE.finditer(text):
            line = text.count("\n", 0, found.start(2)) + 1
            quoted, name = found.group(1) == '"', found.group(2)
            target = name.split("/")[0]
            if not quoted and target in BELOW and (top / "src" / name).exists():
                yield f"{where}:{line}: {name} is ours: include it with quotes"
            if not quoted or target == "azsyncd":
                continue
            if "/" not in name or target not in BELOW:
                yield f'{where}:{line}: "{name}": name it from src/, as "LAYER/FILE.h"'
            elif layer is None:
                yield f'{where}:{line}: a public header includes "{name}"'
            elif target != layer and target not in BELOW[layer]:
                yield f'{where}:{line}: {layer} must not see {target} ("{name}")'


def calls_up(top):
    rank = {name: i for i, line in enumerate(SYNC) for name in line.removeprefix("circle: ").split()}
    texts = {path.stem: SILENT.sub(" ", path.read_text()) for path in sorted(top.glob("src/sync/*.c"))}
    home = {name: stem for stem, text in texts.items() for name in DEFINED.findall(text)}
    for stem in sorted(texts.keys() ^ rank.keys()):
        yield f"src/sync/{stem}.c: is it in SYNC of tests/check/layers.py?"
    for stem in sorted(texts.keys() & rank.keys()):
        for name in sorted(set(re.findall(r"\w+", texts[stem])) & home.keys()):
            other = home[name]
            if other == stem or other not in rank or rank[other] > rank[stem]:
                continue
            if rank[other] < rank[stem] or not SYNC[rank[stem]].startswith("circle: "):
                yield f"src/sync/{stem}.c: {stem} must not call {other} ({name})"


if __name__ == "__main__":
    found = [*complaints(TOP), *calls_up(TOP)]
    print("\n".join(found) or "layers: every include, and in src/sync every call, points down")
    sys.exit(1 if found else 0)
