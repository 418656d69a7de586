#!/usr/bin/python3
"""Each MESSAGE_ID of include/azsyncd/messages.h has an entry in systemd/azsyncd.catalog and the other way round; each
has a subject and says what happened and, in a paragraph of its own, what to do; each @FIELD@ in it is set wherever the
message is logged; none is there twice, and none is never used."""
import pathlib
import re
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]


def complaints(top):
    defined = re.findall(r'#define (MSG_\w+)\s+"([0-9a-f]+)"', (top / "include/azsyncd/messages.h").read_text())
    catalog = (top / "systemd/azsyncd.catalog").read_text()
    entries = re.findall(r"^-- (\S+)\n(.*?)(?=^-- |\Z)", catalog, re.MULTILINE | re.DOTALL)
    ids, listed = [i for _, i in defined], [i for i, _ in entries]
    sources = "".join(path.read_text() for path in sorted(top.glob("src/**/*.[ch]")))
    # what sets several fields at once sets them wherever it is called
    for name, body in re.findall(r"void (\w+_fields)\(LogRecord [^{]*\{(.*?)\n\}", sources, re.DOTALL):
        fields = "".join(re.findall(r'"\w+=', body))
        sources = re.sub(rf"(?<!void )\b{name}\(", lambda m, f=fields: f + m.group(), sources)

    for number in sorted({i for i in ids if ids.count(i) > 1} | {i for i in listed if listed.count(i) > 1}):
        yield f"{number} is there twice"
    for name, number in defined:
        if len(number) != 32:
            yield f"{name}: an ID is 32 hex digits"
        if number not in listed:
            yield f"{name}: {number} has no entry in systemd/azsyncd.catalog"
        if not re.search(rf"\b{name}\b", sources):
            yield f"{name} is never logged"
    names = {number: name for name, number in defined}
    for number, text in entries:
        if number not in ids:
            yield f"systemd/azsyncd.catalog: {number} is not in messages.h"
        header, _, body = text.partition("\n\n")
        if not re.search(r"^Subject: \S", header, re.MULTILINE) or "\n\n" not in body.strip():
            yield f"systemd/azsyncd.catalog: {number} lacks a subject, what happened, or what to do"
        for use in re.finditer(rf"\b{names.get(number, number)}\b", sources):
            record = sources[sources.rfind("LOG_HERE", 0, use.start()):use.start()]
            for field in sorted(set(re.findall(r"@(\w+)@", body))):
                if f'"{field}=' not in record:
                    yield f"systemd/azsyncd.catalog: {number} shows {field}, which is not always set"
    if not defined:
        yield "messages.h: no ID found"


if __name__ == "__main__":
    found = list(complaints(TOP))
    print("\n".join(found) or "messages: header and catalog agree")
    sys.exit(1 if found else 0)
