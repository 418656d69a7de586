"""What the programs say of themselves: --help, read by a program."""
import os
import re
import subprocess

from page import TOP

BUILD = os.environ.get("AZSYNC_BUILD") or next(
    (str(TOP / name) for name in ("build-gcc", "build-clang") if (TOP / name / "src").is_dir()), "build-gcc")
DAEMON, CTL = f"{BUILD}/src/daemon/azsyncd", f"{BUILD}/src/ctl/azsyncctl"


def say(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def planned(verb):
    """Is it a verb that is named in the design and not built yet?"""
    return "not supported yet" in subprocess.run([CTL, verb], capture_output=True, text=True, check=False).stderr


def options(text):
    """The options of a --help: {"--config DIR", ...}"""
    return set(re.findall(r"^  (--[\w-]+(?: [A-Z]+)?)  ", text, re.M))


def exits(text):
    """The exit statuses that a --help names."""
    return set(re.findall(r"(?:: |; )(\d+) ", text.partition("\nExit")[2]))


def verbs():
    """Verb -> its usage and options, of azsyncctl."""
    found = {}
    for verb in re.findall(r"^  ([a-z]+) ", say(CTL, "--help"), re.M):
        text = say(CTL, verb, "--help")
        found[verb] = text.partition("\n")[0].removeprefix("azsyncctl [OPTION...] "), options(text)
    return found
