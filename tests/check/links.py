#!/usr/bin/python3
"""Each link of a Markdown page to another file or heading of the tree leads there, and each file of the tree that a page
names in code marks (`src/...`) exists. Each page below docs/ is linked from docs/README.md."""
import pathlib
import re
import sys

from tree import tracked

TOP = pathlib.Path(__file__).resolve().parents[2]
INDEX = TOP / "docs/README.md"
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]+))?\)")
NAMED = re.compile(r"`((?:src|include|docs|etc|systemd|debian|tests|scripts)/[\w./-]+)[^`]*`")


def without_code(text):
    return re.sub(r"^( *)```.*?^\1```", "", text, flags=re.M | re.S)


def anchors(page):
    """As GitHub makes them of headings."""
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
            for title in re.findall(r"^#+ +(.*?) *$", without_code(page.read_text()), re.M)}


def complaints():
    pages = [path for path in tracked(TOP) if path.suffix == ".md" and "node_modules" not in path.parts]
    linked = set()
    for page in pages:
        where, text = page.relative_to(TOP), without_code(page.read_text())
        for target, anchor in LINK.findall(re.sub(r"`[^`\n]*`", "", text)):
            path = (page.parent / target).resolve() if target else page
            if not path.exists():
                yield f"{where}: {target} is not there"
            elif anchor and anchor not in anchors(path):
                yield f"{where}: {target} has no heading #{anchor}"
            if page == INDEX:
                linked.add(path)
        for name in NAMED.findall(text):
            if not (TOP / name).exists() and "NAME" not in name:
                yield f"{where}: there is no {name}"
    for page in pages:
        if (TOP / "docs") in page.parents and page != INDEX and page not in linked:
            yield f"docs/README.md: {page.relative_to(TOP / 'docs')} is not linked"
    if not linked:
        yield "no link found"


if __name__ == "__main__":
    found = list(complaints())
    print("\n".join(found) or "links: all lead somewhere")
    sys.exit(1 if found else 0)
