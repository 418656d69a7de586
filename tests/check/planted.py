#!/usr/bin/python3
"""Bugs that such daemons have had, planted one by one (tests/sim/planted): each must be found, or the suite that
should have found it proves nothing.

    planted.py [--histories N] [NUMBER...]     NUMBER: only these (01 ... 13)

Everything happens in a copy of the tree, in one build directory of it, so that each bug costs a few files. What is said
of each: who found it, and by which invariant or test."""
import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
PLANTED = "tests/sim/planted"
# who has to find it: the simulator where its boundaries show it, else a unit test
FINDERS = {
    "01": "walk-order",
    "02": "sim",
    "03": "sim",
    "04": "sim",
    "05": "walk",
    "06": "sim",
    "07": "answer",
    "08": "http",
    "09": "tree",
    "10": "sim",
    "11": "sim",
    "12": "sim",
    "13": "blocks",
}
PATIENCE = 3600  # seconds until something hangs: the tree is built anew, maybe on a slow machine that others share


def run(*command, cwd=None):
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, errors="replace", timeout=PATIENCE,
                          check=False)


def target(finder):
    return "tests/sim/sim" if finder == "sim" else f"tests/unit/test-{finder}"


def copy(to):
    """The tree as git sees it, changes included; all of it if this is no clone."""
    listed = run("git", "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard", "-z", cwd=TOP)
    names = listed.stdout.split("\0") if listed.returncode == 0 else [
        str(p.relative_to(TOP)) for p in TOP.rglob("*") if not any(
            part.startswith((".git", "build")) or part == "node_modules" for part in p.relative_to(TOP).parts)]
    for name in names:
        if name and (TOP / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(TOP / name, to / name)


def build(tree, finders):
    made = run("ninja", "-C", "build", *sorted({target(f) for f in finders}), cwd=tree)
    if made.returncode != 0:
        sys.exit(f"planted: does not build:\n{made.stdout[-3000:]}")


def look(tree, finder, histories):
    """Runs the finder. Returns (found, what it said)."""
    if finder == "sim":
        ran = run("build/tests/sim/sim", "--histories", str(histories), "--stop", cwd=tree)
        said = re.search(r"^seed (\d+): ([^:]+): (.*)$", ran.stdout, re.MULTILINE)
        if not said:
            return ran.returncode != 0, ran.stdout.strip() or ran.stderr.strip()[:200]
        ops = re.search(r"that fails so, (\d+) operations", ran.stdout)
        return True, f"seed {said[1]}, {ops[1] if ops else '?'} operations: {said[2]}: {said[3]}"
    ran = run(f"build/tests/unit/test-{finder}", cwd=tree)
    broken = re.findall(r"^\[  FAILED  \] (test\w*)", ran.stdout + ran.stderr, re.MULTILINE)
    return ran.returncode != 0, ", ".join(dict.fromkeys(broken)) or f"exit {ran.returncode}"


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--histories", type=int, default=4000)
    arguments.add_argument("numbers", nargs="*")
    chosen = arguments.parse_args()
    patches = [p for p in sorted((TOP / PLANTED).glob("*.patch")) if not chosen.numbers or p.name[:2] in chosen.numbers]
    finders = [FINDERS[p.name[:2]] for p in patches]
    missed = 0

    with tempfile.TemporaryDirectory(prefix="azsyncd-planted-") as name:
        tree = pathlib.Path(name)
        copy(tree)
        made = run("meson", "setup", "build", "-Dbuildtype=plain", "-Doptimization=1", cwd=tree)
        if made.returncode != 0:
            sys.exit(f"planted: {made.stdout[-2000:]}")
        build(tree, finders)
        for finder in sorted(set(finders)):
            found, said = look(tree, finder, 200)
            if found:
                sys.exit(f"planted: {finder} fails without any of them: {said}")
        for patch, finder in zip(patches, finders):
            start = time.monotonic()
            touched = re.findall(r"^\+\+\+ b/(\S+)", patch.read_text(), re.MULTILINE)
            applied = run("patch", "-p1", "-s", "--no-backup-if-mismatch", "-i", str(patch), cwd=tree)
            if applied.returncode != 0:
                print(f"{patch.stem}: cannot be planted any more: {applied.stdout.strip()}")
                missed += 1
            else:
                build(tree, [finder])
                found, said = look(tree, finder, chosen.histories)
                missed += not found
                print(f"{patch.stem}: {'found' if found else 'MISSED'} by {finder}: {said}"
                      f" ({time.monotonic() - start:.1f} s)", flush=True)
            for file in touched:
                shutil.copy(TOP / file, tree / file)
                (tree / file).touch()
    print(f"{len(patches) - missed} of {len(patches)} planted bugs found")
    return missed > 0 or not patches


if __name__ == "__main__":
    sys.exit(main())
