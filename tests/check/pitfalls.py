#!/usr/bin/python3
"""Every numbered item of the project's list of pitfalls has a test that cites it, or a row in docs/reliability.md that
says why it cannot have one. With --matrix: which test cites which.

A citation is "pitfalls 4.3", or a list or range: "pitfalls 4.3, 4.4", "pitfalls 8.1-8.3". A docstring may begin with the
numbers alone, and the laws are cited as L1. In C a citation belongs to the test it stands above or in, in Python to the
one it stands in.
"""
import collections
import pathlib
import re
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
EXCUSES = "docs/reliability.md"
HEADING = "## Pitfalls without a test"
# section -> how many items it has; 3 has none
SECTIONS = {1: 17, 2: 8, 4: 12, 5: 9, 6: 9, 7: 8, 8: 3, 9: 10, 10: 19, 11: 12, 12: 0}
WHOLE = (1, 8, 12)  # the tables of 1 and 8 and the six invariants are cited by the section's number


def all_items():
    yield from (f"L{n}" for n in range(1, 6))
    for section, count in SECTIONS.items():
        if section in WHOLE:
            yield str(section)
        yield from (f"{section}.{n}" for n in range(1, count + 1))


ITEMS = list(all_items())
NUMBER = r"(?:L[1-5]|\d{1,2}(?:\.\d{1,2})?)"
LIST = re.compile(rf"(?:\bpitfalls |\"\"\")({NUMBER}(?:(?:, and|,| and|-) ?{NUMBER})*)", re.IGNORECASE)
LAW = re.compile(r"\b(L[1-5])\b(?!\d)")  # the laws are known by their letter
BREAK = re.compile(r"\n[ \t]*(?:\*|#|//)?[ \t]*")


def numbers(listed):
    """"4.3, 4.10-4.12" -> 4.3 4.10 4.11 4.12"""
    for first, last in re.findall(rf"({NUMBER})(?:-({NUMBER}))?", listed):
        if not last:
            yield first
            continue
        head, low = re.fullmatch(r"(L|\d+\.)(\d+)", first).groups()
        tail, high = re.fullmatch(r"(L|\d+\.)(\d+)", last).groups()
        assert head == tail, f"{first}-{last}: a range within one section"
        yield from (f"{head}{n}" for n in range(int(low), int(high) + 1))


def test_at(text, at, python):
    """The name of the test that what stands at `at` belongs to; "" if to the file."""
    pattern = re.compile(r"^(?:def|static void) (test_\w+)", re.MULTILINE)
    before = [m for m in pattern.finditer(text, 0, at)]
    after = pattern.search(text, at)
    if python:
        return before[-1].group(1) if before else ""
    line = text.rfind("\n", 0, at) + 1
    if text[line].isspace() and not text.startswith(" *", line):
        return before[-1].group(1) if before else ""
    # a comment at the margin is of what follows at once
    between = text[at:after.start()] if after else "\n}\n"
    return after.group(1) if "\n}\n" not in between and "#include" not in between else ""


def citations(top):
    """number -> {"tests/unit/test-x.c: test_y", ...}"""
    cited = collections.defaultdict(set)
    for path in sorted(top.glob("tests/**/*")):
        where = path.relative_to(top)
        if path.suffix not in (".c", ".h", ".py") or "node_modules" in where.parts or path.name == "pitfalls.py":
            continue
        text = path.read_text()
        # a list may go on in the next line; where each character that is left stood, `kept` knows
        kept, end = [], 0
        for gap in BREAK.finditer(text):
            kept += [*range(end, gap.start()), gap.start()]
            end = gap.end()
        kept += range(end, len(text))
        flat = "".join(" " if text[i] == "\n" else text[i] for i in kept)
        for found in [*LIST.finditer(flat), *LAW.finditer(flat)]:
            for number in numbers(found.group(1)):
                test = test_at(text, kept[found.start()], path.suffix == ".py")
                cited[number].add(f"{where}: {test}".removesuffix(": "))
    return cited


def excuses(top):
    """number -> why not"""
    page = top / EXCUSES
    text = page.read_text() if page.exists() else ""
    _, _, part = text.partition(HEADING)
    part = part.partition("\n## ")[0]
    return {number: why.strip() for listed, why in re.findall(r"^\| ([^|]+) \|([^|]+)\|", part, re.MULTILINE)
            if re.match(NUMBER, listed) for number in numbers(listed)}


def complaints(cited, excused):
    for item in ITEMS:
        if item not in cited and item not in excused:
            yield f"pitfalls {item}: no test cites it, and {EXCUSES} does not say why"
    for number in sorted(excused):
        if number not in ITEMS:
            yield f"{EXCUSES}: there is no pitfall {number}"
        elif number in cited:
            yield f"{EXCUSES}: pitfall {number} has a test: {sorted(cited[number])[0]}"
    for number in sorted(set(cited) - set(ITEMS)):
        if "." in number:
            yield f"{sorted(cited[number])[0]}: there is no pitfall {number}"


if __name__ == "__main__":
    tests, without = citations(TOP), excuses(TOP)
    if "--matrix" in sys.argv[1:]:
        for one in ITEMS:
            print(f"{one:5} {', '.join(sorted(tests.get(one, []))) or '-- ' + without.get(one, 'NOTHING')}")
        sys.exit(0)
    wrong = list(complaints(tests, without))
    print("\n".join(wrong) or f"pitfalls: {len(ITEMS)} items, {len(ITEMS) - len(without)} with a test that cites them")
    sys.exit(1 if wrong else 0)
