#!/usr/bin/python3
"""The man pages say what the programs say of themselves, no less and no more: options, verbs and exit statuses as --help
has them; environment, signals and fields of the log as the source has them. man(1) has nothing to complain of them. What
any page, or the catalog of messages, tells a reader to type has verbs and options that there are.
$AZSYNC_BUILD: where the programs were built; else build-gcc or build-clang. (Keys: configuration.py.)"""
import os
import pathlib
import re
import subprocess
import sys

import programs
from page import PAGES, TOP, Page
from tree import tracked

DAEMON, CTL = Page("azsyncd.8"), Page("azsyncctl.1")
# azsyncd is the name of a unit, an image and more, too: it is a command where one begins
COMMAND = re.compile(r"((?<![\w./-])azsyncctl|(?:(?<=^)|(?<=&& )|(?<=sudo )|(?<=root  ))azsyncd) ((?:[^\s|;&#)]+ ?)+)")
OF_LIBRARIES = {"NOTIFY_SOCKET", "WATCHDOG_USEC"}  # read by libsystemd


def differences(page, what, told, true):
    for thing in sorted(true - told):
        yield f"{page.name}: {what}: {thing} is missing"
    for thing in sorted(told - true):
        yield f"{page.name}: {what}: there is no {thing}"


def source(pattern, *folders):
    return {word for folder in folders or ["."] for path in sorted((TOP / "src" / folder).rglob("*.[ch]"))
            for word in re.findall(pattern, path.read_text())}


def of_programs():
    daemon, ctl, verbs = programs.say(programs.DAEMON, "--help"), programs.say(programs.CTL, "--help"), programs.verbs()
    common, told = programs.options(ctl), CTL.entries("VERBS")

    yield from differences(DAEMON, "options", set(DAEMON.entries("OPTIONS")), programs.options(daemon))
    yield from differences(CTL, "options", set(CTL.entries("OPTIONS")), common)
    yield from differences(DAEMON, "exit statuses", DAEMON.words("EXIT STATUS"), programs.exits(daemon))
    yield from differences(CTL, "exit statuses", CTL.words("EXIT STATUS"), programs.exits(ctl))
    yield from differences(CTL, "verbs", set(told), {usage for usage, _ in verbs.values()})
    for verb, (usage, options) in sorted(verbs.items()):
        of_page = set(re.findall(r"^\t(\*--.*)$", told.get(usage, ""), re.M))
        yield from differences(CTL, verb, {re.sub(r"[*_]", "", head) for head in of_page},
                               {o for o in options if o.split()[0] not in {c.split()[0] for c in common}})


def of_source():
    read, named = source(r'getenv\("(\w+)"\)'), source(r'"([A-Z][A-Z_]+)"')
    for page, theirs in ((DAEMON, read - source(r'getenv\("(\w+)"\)', "ctl")), (CTL, source(r'getenv\("(\w+)"\)', "ctl"))):
        told = page.words("ENVIRONMENT")
        yield from differences(page, "environment", told, {name for name in theirs if "_TEST_" not in name} |
                               (told & (named | OF_LIBRARIES)))
    yield from differences(DAEMON, "signals", DAEMON.words("SIGNALS"), source(r"sigaddset\(&set, (SIG\w+)\)", "daemon"))
    yield from differences(DAEMON, "fields of the log", DAEMON.words("LOG"), source(r'log_field\(&?l, "([A-Z_]+)='))


def typed(path):
    """What stands in code marks, or of the catalog all of it."""
    text = path.read_text()
    if path.suffix == ".catalog":
        return [text]
    return re.findall(r"```(.*?)```", text, re.S) + re.findall(
        r"`([^`\n]+)`" if path.suffix == ".md" else r"\*(azsync[^*\n]+)\*", re.sub(r"```.*?```", "", text, flags=re.S))


def of_commands():
    verbs = {verb: options for verb, (_, options) in programs.verbs().items()}
    common, daemon = (programs.options(programs.say(program, "--help")) for program in (programs.CTL, programs.DAEMON))
    for path in tracked(TOP):
        if path.suffix not in (".md", ".scd", ".catalog") or "node_modules" in path.parts:
            continue
        for line in "\n".join(typed(path)).splitlines():
            for program, rest in re.findall(COMMAND, line):
                verb = re.match(r"((--\S+ )*)([a-z]+)", rest) if program == "azsyncctl" else None
                known = (daemon if program == "azsyncd" else common) | verbs.get(verb and verb[3], set())
                if verb and verb[3] not in verbs and not programs.planned(verb[3]):
                    yield f"{path.relative_to(TOP)}: azsyncctl has no verb {verb[3]}"
                elif not verb or verb[3] in verbs:
                    for option in sorted(set(re.findall(r"(?<!\S)--[a-z-]+", rest)) - {k.split()[0] for k in known}):
                        yield f"{path.relative_to(TOP)}: \"{program} {rest.strip()}\": there is no {option}"


def of_man():
    ours = {path.name.removesuffix(".scd") for path in PAGES.glob("*.scd")}
    built = set(re.findall(r"'([\w.-]+\.\d)'", (PAGES / "meson.build").read_text()))
    for name in sorted(ours ^ built):
        yield f"docs/man: {name} is either not built or not there"
    for name in sorted(ours):
        text = (PAGES / f"{name}.scd").read_text()
        for other, number in re.findall(r"\*(azsync[\w.-]*)\*\((\d)\)", text):
            if f"{other}.{number}" not in ours:
                yield f"docs/man/{name}.scd: there is no {other}({number})"
        made = subprocess.run(["scdoc"], input=text.encode(), capture_output=True, check=False)
        shown = subprocess.run(["man", "--warnings=w", "-l", "-Tutf8", "-"], input=made.stdout, capture_output=True,
                               env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80"}, check=False)
        for line in (made.stderr + shown.stderr).decode().splitlines():
            yield f"docs/man/{name}.scd: {line}"


if __name__ == "__main__":
    if not pathlib.Path(programs.CTL).exists():
        sys.exit(f"manuals: nothing is built in {programs.BUILD}")
    found = [*of_programs(), *of_source(), *of_commands(), *of_man()]
    print("\n".join(found) or "manuals: programs and pages agree")
    sys.exit(1 if found else 0)
