#!/usr/bin/python3
"""The state of the source tree: no file of ours beyond 600 lines, no download address in a lock file, no path of
somebody's machine, no stub, every script runs under the shell it names."""
import json
import pathlib
import re
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
LINES = 600
PINNED = {"tests/azurite": "azurite", "tests/bench/azcopy": "@azure-tools/azcopy-linux"}
SOURCE = (".c", ".h", ".py", ".sh", ".build", ".md", "")


def tracked(top):
    """Files of the tree as git sees them, new ones included; everything if this is no clone."""
    listed = subprocess.run(["git", "-c", "safe.directory=*", "-C", str(top), "ls-files", "-co", "--exclude-standard"],
                            capture_output=True, text=True, check=False)
    names = listed.stdout.splitlines() if listed.returncode == 0 else [
        str(p.relative_to(top)) for p in top.rglob("*") if p.is_file() and not any(
            part.startswith((".git", "build")) or part == "node_modules" for part in p.relative_to(top).parts)]
    return [top / name for name in names if (top / name).is_file()]


def complaints(top):
    for path in tracked(top):
        where = path.relative_to(top)
        if path.suffix not in SOURCE or "corpus" in where.parts:
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            yield f"{where}: not UTF-8"
            continue
        lines = text.count("\n")
        if path.suffix in (".c", ".h", ".py") and lines > LINES:
            yield f"{where}: {lines} lines; look for the noun that wants out ({LINES} at most)"
        if path.suffix in (".c", ".h") and re.search(r"\b(TODO|FIXME|XXX)\b", text):
            yield f"{where}: holds a stub"
        if text and not text.endswith("\n"):
            yield f"{where}: no newline at its end"
        if re.search(r"(?<![\w.])/(home|work|Users)/[a-z]+/", text) and "tests" not in where.parts:
            yield f"{where}: names a path of somebody's machine"
        if text.startswith("#!") and "bash" in text.split("\n", 1)[0]:
            bad = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True, check=False)
            if bad.returncode != 0:
                yield f"{where}: {bad.stderr.strip()}"
    for folder, name in PINNED.items():
        yield from lock_complaints(top / folder, folder, name)


def lock_complaints(folder, where, package):
    lock = json.loads((folder / "package-lock.json").read_text())
    for name, entry in lock["packages"].items():
        if "resolved" in entry:
            yield f"{where}: {name} records a download address"
        if name and not entry.get("link") and "integrity" not in entry:
            yield f"{where}: {name} has no checksum"
    pinned = json.loads((folder / "package.json").read_text())["dependencies"][package]
    if lock["packages"][f"node_modules/{package}"]["version"] != pinned:
        yield f"{where}: {package} is not {pinned}"


if __name__ == "__main__":
    found = list(complaints(TOP))
    print("\n".join(found) or "tree: tidy")
    sys.exit(1 if found else 0)
