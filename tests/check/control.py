#!/usr/bin/python3
"""docs/reference/control.md names each type's fields, each method, error and word of the interface that azsyncd describes
itself with (src/control/interface.c), and no others."""
import re
import sys

from page import TOP

PAGE = "docs/reference/control.md"


def interface():
    """Type -> its fields; words that a field may be; methods; errors."""
    source = (TOP / "src/control/interface.c").read_text().partition("interface_azsync[] =")[2].partition(";\n")[0]
    text = "".join(re.findall(r'^"(.*)"', source, re.M)).replace("\\n", "\n")
    types = re.findall(r"^type (\w+) \((.*?)\)$", text, re.M | re.S) + [
        ("Status", re.search(r"^method Status\(.*?\) -> \((.*?)\)$", text, re.M | re.S)[1])]
    fields = {name: set(re.findall(r"(\w+):", body)) for name, body in types if ":" in body}
    words = {word for _, body in types if ":" not in body for word in re.findall(r"\w+", body)}
    return fields, words, set(re.findall(r"^method (\w+)", text, re.M)), set(re.findall(r"^error (\w+)", text, re.M))


def complaints():
    fields, words, methods, errors = interface()
    page = (TOP / PAGE).read_text()
    tables = {head: set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", body, re.M))))
              for head, body in re.findall(r"^\| ([\w ]+) \| \w+ \|\n\| --- \| --- \|\n((?:\|.*\n)+)", page, re.M)}

    if not (fields and words and methods and errors):
        yield "src/control/interface.c is not read rightly by this check"
    right = {f"field of {name}": known for name, known in fields.items()} | {"method": methods, "error": errors}
    for head in sorted(right.keys() | tables.keys()):
        known = {name for name in right.get(head, set()) if name != "folder_bytes" or "`folder_bytes`" not in page}
        for name in sorted(known - tables.get(head, set())):
            yield f"{PAGE}: {head}: {name} is missing"
        for name in sorted(tables.get(head, set()) - known):
            yield f"{PAGE}: {head}: there is no {name}"
    for word in sorted(word for word in words if f"`{word}`" not in page):
        yield f"{PAGE}: does not say {word}"


if __name__ == "__main__":
    found = list(complaints())
    print("\n".join(found) or "control: interface and page agree")
    sys.exit(1 if found else 0)
