#!/usr/bin/python3
"""Each key of config_keys[] (src/config/schema.c) has a row in docs/reference/configuration.md and the other way round;
what is "not supported yet" is so in both; the numbers given there are those of the source."""
import pathlib
import re
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
PAGE = "docs/reference/configuration.md"
# a constant of the source -> what the page says of it
LIMITS = {
    "src/config/yaml.h": {r"YAML_FILE_MAX \(\(size_t\) 1024 \* 1024\)": "at most 1 MiB"},
    "src/config/yaml.c": {r"NODES_MAX 10000u": "10,000 values", r"DEPTH_MAX 16u": "16 levels",
                          r"SCALAR_MAX \(\(size_t\) 64 \* 1024\)": "a value 64 KiB"},
    "src/config/load.c": {r"MAPPINGS_MAX 1000u": "1,000 mappings", r"ACCOUNTS_MAX 64u": "64 at most"},
    "src/config/secret.h": {r"SECRET_MAX \(\(size_t\) 64 \* 1024\)": "A secret is at most 64 KiB"},
    "src/config/schema.c": {r"COMPLAINTS_MAX 20u": "the first 20 are shown"},
}


def rows(page):
    """(where, key) -> the row's cells, of every table whose head says "key of WHERE"."""
    where, found = None, {}
    for line in page.splitlines():
        head = re.match(r"\| key of ([\w.-]+) \|", line)
        row = re.match(r"\| `([\w-]+)` \|(.*)\|$", line)
        if head:
            where = head[1]
        elif not line.startswith("|"):
            where = None
        elif where and row:
            found[where, row[1]] = [cell.strip() for cell in re.split(r"(?<!\\)\|", row[2])]
    return found


def complaints(top):
    table = (top / "src/config/schema.c").read_text().partition("config_keys[] = {")[2].partition("\n};")[0]
    keys = {(where, key): built == "true" for where, key, built in
            re.findall(r'\{ "([^"]+)", "([^"]+)",\s*"[^"]*", (true|false) \}', table)}
    page = (top / PAGE).read_text()
    told = rows(page)

    if len(keys) != table.count("{ \"") or not keys:
        yield "src/config/schema.c: config_keys[] is not read rightly by this check"
    for where, key in sorted(keys.keys() - told.keys()):
        yield f"{PAGE}: {key} of {where} has no row"
    for where, key in sorted(told.keys() - keys.keys()):
        yield f"{PAGE}: there is no key {key} of {where}"
    for name in sorted(keys.keys() & told.keys()):
        if ("*not supported yet*" == told[name][-1]) == keys[name]:
            yield f"{PAGE}: {name[1]} of {name[0]} is {'' if keys[name] else 'not '}supported"
        if keys[name] and (len(told[name]) != 3 or not all(told[name])):
            yield f"{PAGE}: {name[1]} of {name[0]} lacks a value, a default or a meaning"
    for file, limits in LIMITS.items():
        for constant, words in limits.items():
            if not re.search("#define " + constant + r"(?!\w)", (top / file).read_text()):
                yield f"{file}: no longer has {constant}; see \"{words}\" in {PAGE}"
            if words not in page:
                yield f"{PAGE}: does not say \"{words}\""


if __name__ == "__main__":
    found = list(complaints(TOP))
    print("\n".join(found) or "configuration: keys and page agree")
    sys.exit(1 if found else 0)
