#!/usr/bin/python3
"""Includes point down: util < chunk, config, http, journal < watch < azure (util, chunk and http only) < sync < control < daemon, ctl.
Folders of one rank do not see each other. include/azsyncd sees nothing of ours."""
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


if __name__ == "__main__":
    found = list(complaints(TOP))
    print("\n".join(found) or "layers: every include points down")
    sys.exit(1 if found else 0)
