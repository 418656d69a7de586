#!/usr/bin/python3
"""bash, zsh and fish, asked what may follow, answer what --help says: verbs, options of each, what they take, names of
mappings. Each loads the file itself, from where meson installs it. $AZSYNC_BUILD as in programs.py."""
import os
import pathlib
import pty
import re
import select
import subprocess
import sys
import tempfile
import time

import programs

PATIENCE = 600  # seconds until a shell hangs
BASH = r"""
. /usr/share/bash-completion/bash_completion
line=$1 COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9 COMP_KEY=9
[[ $line != *' ' ]] || line+=.
mapfile -t COMP_WORDS < <(sed 's/=/ = /g; s/  */\n/g' <<<"$line")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
COMP_WORDS[COMP_CWORD]=${COMP_WORDS[COMP_CWORD]%.}
_completion_loader "${COMP_WORDS[0]}" # returns 124: "try again"
[[ $(complete -p "${COMP_WORDS[0]}") =~ -F\ ([^ ]+) ]]
"${BASH_REMATCH[1]}" "${COMP_WORDS[0]}" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\n' "${COMPREPLY[@]}"
"""
# zsh completes in its line editor only, so it runs on a terminal; what would be offered is caught on its way there
ZSH = r"""
PS1= RPS1=
fpath=($SITE $fpath)
autoload -Uz compinit && compinit -u -D
compadd() {
        if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then
                builtin compadd "$@"
                return
        fi
        local -a caught
        builtin compadd -A caught "$@"
        print -rl -- $caught >>$ANSWER.new
        builtin compadd "$@"
}
ask() {
        : >$ANSWER.new
        _main_complete
        compstate[insert]= compstate[list]=
        mv $ANSWER.new $ANSWER
}
zle -C ask list-choices ask
bindkey '^I' ask
: >$ANSWER
"""


class Shells:
    def __init__(self, top):
        self.top, self.answer, self.terminal = top, top / "answer", None
        subprocess.run(["meson", "install", "-C", programs.BUILD, "--no-rebuild", "--destdir", str(top), "--tags",
                        "completion"], check=True, capture_output=True)
        self.share = next(top.glob("**/bash-completion")).parent
        (top / "bin").mkdir()
        for program in (programs.CTL, programs.DAEMON):
            (top / "bin" / pathlib.Path(program).name).symlink_to(program)
        (top / "zsh").mkdir()
        (top / "zsh/.zshrc").write_text(ZSH)
        (top / "zsh/.zshenv").write_text("unsetopt GLOBAL_RCS\n")
        self.env = {"PATH": f"{top}/bin:{os.environ['PATH']}", "HOME": str(top), "LC_ALL": "C.UTF-8", "TERM": "dumb",
                    "XDG_DATA_DIRS": f"{self.share}:/usr/share", "ZDOTDIR": str(top / "zsh"),
                    "SITE": str(self.share / "zsh/site-functions"), "ANSWER": str(self.answer)}

    def run(self, *command):
        done = subprocess.run(command, env=self.env, cwd=self.top, capture_output=True, text=True, timeout=PATIENCE,
                              stdin=subprocess.DEVNULL, check=False)
        return done.stdout.splitlines() + [f"complaint: {line}" for line in done.stderr.splitlines()]

    def bash(self, line):
        return self.run("bash", "--norc", "--noprofile", "-c", BASH, "bash", line)

    def fish(self, line):
        return [found.partition("\t")[0] for found in self.run("fish", "-c", "complete -C $argv[1]", line)]

    def zsh(self, line):
        if self.terminal is None:
            self.pid, self.terminal = pty.fork()
            if self.pid == 0:
                os.chdir(self.top)
                os.execvpe("zsh", ["zsh", "-i"], self.env)
            self.wait()
        os.write(self.terminal, line.encode() + b"\t")
        found = [word.removesuffix("=") for word in self.wait()]
        os.write(self.terminal, b"\x15")
        # where nothing else fits zsh offers options
        return [word for word in found if line.endswith("-") or not word.startswith("--")]

    def close(self):
        if self.terminal is not None:
            os.close(self.terminal)
            os.waitpid(self.pid, 0)

    def wait(self):
        """What zsh has answered; its screen is read meanwhile, or it would stop."""
        end, screen = time.monotonic() + PATIENCE, b""
        while not self.answer.exists():
            if time.monotonic() > end:
                return [f"complaint: no answer; {screen!r}"]
            if select.select([self.terminal], [], [], 0.05)[0]:
                try:
                    screen += os.read(self.terminal, 4096)
                except OSError:
                    return [f"complaint: zsh ended; {screen!r}"]
        found = self.answer.read_text().splitlines()
        self.answer.unlink()
        return found


def questions(config):
    """What is typed -> what must be offered."""
    ctl, daemon = programs.say(programs.CTL, "--help"), programs.say(programs.DAEMON, "--help")
    verbs, names = programs.verbs(), {"photos", "docs.v2"}

    def bare(options):
        return {option.split()[0] for option in options}
    yield "azsyncctl ", set(verbs)
    yield "azsyncctl --json re", {verb for verb in verbs if verb.startswith("re")}
    yield "azsyncctl --", bare(programs.options(ctl))
    for verb, (usage, options) in verbs.items():
        yield f"azsyncctl {verb} --", bare(options | programs.options(ctl))
        if re.search(rf"^{verb}[^A-Z]*(--[a-z]+ [A-Z]+\] )?\[?(MAPPING|NAME)", usage):
            yield f"azsyncctl --config {config} {verb} ", names
            yield f"azsyncctl --config={config} {verb} photos ", names if "..." in usage else set()
    yield "azsyncctl reload ", set()
    yield f"azsyncctl {config / 'none'} -[/ --config {config} ", set()  # what is no verb has nothing behind it
    yield "azsyncd --", bare(programs.options(daemon))
    for option in "log-level", "log-target":
        told = re.search(rf"--{option} [A-Z]+ +(.*) \(", daemon)[1]
        yield f"azsyncd --{option} ", set(re.split(", | or ", told))
    yield f"azsyncd --config {config}/map", {"mappings.d"}
    yield f"azsyncctl add {config}/map", {"mappings.d"}
    yield "azsyncctl wait --timeout ", set()


def asked(shells, line, right):
    for ask in shells.bash, shells.zsh, shells.fish:
        found = {pathlib.PurePath(word).name if "/" in word else word for word in ask(line) if word}
        if found != right:
            yield f"{ask.__name__}: {line!r}: not offered: {sorted(right - found)}; wrong: {sorted(found - right)}"


def complaints(top):
    shells, config = Shells(top), top / "config"
    (config / "mappings.d").mkdir(parents=True)
    for name in ("photos.yaml", "docs.v2.yaml", "photos.yaml.example", ".hidden.yaml", "a b.yaml", "$(touch hacked).yaml",
                 "`touch hacked`.yaml", "-x.yaml"):
        (config / "mappings.d" / name).touch()
    yield from (wrong for line, right in questions(config) for wrong in asked(shells, line, right))
    shells.close()
    if list(top.rglob("hacked")):
        yield "a file's name was run"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        wrong = list(complaints(pathlib.Path(folder)))
    print("\n".join(wrong) or "completions: bash, zsh and fish offer what --help says")
    sys.exit(1 if wrong else 0)
