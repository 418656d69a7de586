#!/usr/bin/python3
"""Each key of config_keys[] (src/config/schema.c) has an entry in azsyncd.yaml(5) or azsync-mapping(5) and the other way
round; what it expects, and whether it is "not supported yet", is the same in both; each level names the page that has
its keys; the numbers given there are those of the source."""
import re
import sys

from page import TOP, Page

PAGES = Page("azsyncd.yaml.5"), Page("azsync-mapping.5")
# a constant of the source -> what the pages say of it
LIMITS = {
    "src/config/yaml.h": {r"YAML_FILE_MAX \(\(size_t\) 1024 \* 1024\)": "at most 1 MiB"},
    "src/config/yaml.c": {r"NODES_MAX 10000u": "10,000 values", r"DEPTH_MAX 16u": "16 levels",
                          r"SCALAR_MAX \(\(size_t\) 64 \* 1024\)": "a value 64 KiB"},
    "src/config/load.c": {r"MAPPINGS_MAX 1000u": "1,000 mappings", r"ACCOUNTS_MAX 64u": "64 at most"},
    "src/config/secret.h": {r"SECRET_MAX \(\(size_t\) 64 \* 1024\)": "a secret is at most 64 KiB"},
    "src/config/schema.c": {r"COMPLAINTS_MAX 20u": "the first 20 are shown"},
    "src/sync/scans.c": {r"POLL_LEAST \(30 \* NSEC_PER_SEC\)": "every 30 s"},
}
# "key: what is expected (what if it is left out)"
HEAD = re.compile(r"(?P<key>[\w-]+): (?P<value>.*) \((?P<left_out>default: .+|needed.*|not supported yet)\)")


def told():
    """(where, key) -> (page, head, body), of every section "KEYS OF WHERE"."""
    for page in PAGES:
        for section in page.sections:
            if section.startswith("KEYS OF "):
                for head, body in page.entries(section).items():
                    yield (section.removeprefix("KEYS OF ").lower(), head.partition(":")[0]), (page.name, head, body)


def table_of(name):
    return (TOP / "src/config/schema.c").read_text().partition(f"{name}[] = {{")[2].partition("\n};")[0]


def complaints():
    table = table_of("config_keys")
    keys = {(where, key): (expects, built == "true") for where, key, expects, built in
            re.findall(r'\{ "([^"]+)", "([^"]+)",\s*"([^"]*)", (true|false) \}', table)}
    pages, text = dict(told()), " ".join(page.text() for page in PAGES)

    if len(keys) != table.count("{ \"") or not keys:
        yield "src/config/schema.c: config_keys[] is not read rightly by this check"
    levels = {(where, f"docs/man/{page}.5.scd") for where, page in
              re.findall(r'\{ "([^"]+)", "([^"]+)" \}', table_of("levels"))}
    if levels != {(where, page) for (where, _), (page, _, _) in pages.items()}:
        yield "src/config/schema.c: levels[] does not name the pages that have the sections KEYS OF"
    for where, key in sorted(keys.keys() - pages.keys()):
        yield f"docs/man: {key} has no entry under KEYS OF {where.upper()}"
    for where, key in sorted(pages.keys() - keys.keys()):
        yield f"{pages[where, key][0]}: there is no key {key} of {where}"
    for name in sorted(keys.keys() & pages.keys()):
        (expects, built), (page, head, body) = keys[name], pages[name]
        said = HEAD.fullmatch(head)
        if not said or built and not body.strip():
            yield f"{page}: {name[1]} of {name[0]} lacks a value, a default or a meaning"
        elif (said["left_out"] == "not supported yet") == built:
            yield f"{page}: {name[1]} of {name[0]} is {'' if built else 'not '}supported"
        elif not said["value"].startswith(expects):
            yield f"{page}: {name[1]} of {name[0]} expects \"{expects}\", not \"{said['value']}\""
    for file, limits in LIMITS.items():
        for constant, words in limits.items():
            if not re.search("#define " + constant + r"(?!\w)", (TOP / file).read_text()):
                yield f"{file}: no longer has {constant}; see \"{words}\" in docs/man"
            if words not in text:
                yield f"docs/man: neither {PAGES[0].name} nor {PAGES[1].name} says \"{words}\""


if __name__ == "__main__":
    found = list(complaints())
    print("\n".join(found) or "configuration: keys and pages agree")
    sys.exit(1 if found else 0)
