"""A man page of docs/man, as its scdoc source has it: for the checks that compare pages with what they are about."""
import pathlib
import re

TOP = pathlib.Path(__file__).resolve().parents[2]
PAGES = TOP / "docs/man"


def plain(text):
    """Without scdoc's marks: scdoc(5), FORMATTING."""
    return re.sub(r"\\(.)|\*|(?<![^\W_])_|_(?![^\W_])", lambda mark: mark[1] or "", text)


class Page:
    def __init__(self, name):
        self.name = f"docs/man/{name}.scd"
        self.sections = {}
        for title, body in re.findall(r"^# ([^\n]*)\n(.*?)(?=^# |\Z)", (PAGES / f"{name}.scd").read_text(), re.M | re.S):
            self.sections[title] = body

    def text(self):
        """All of it in one line, as a reader has it."""
        return " ".join(plain(" ".join(self.sections.values())).split())

    def entries(self, section, depth=0):
        """Head -> body of the section's entries: a line behind an empty one that begins with a mark, and what is indented below."""
        heads, found, before = [], {}, ""
        for line in self.sections.get(section, "").splitlines():
            indent = len(line) - len(line.lstrip("\t"))
            if not before and indent == depth and line.lstrip("\t")[:1] in ("*", "_"):
                heads.append(plain(line.strip()))
                found[heads[-1]] = ""
            elif heads and (indent > depth or not line):
                found[heads[-1]] += line + "\n"
            else:
                heads.clear()
            before = line
        return found

    def words(self, section):
        """The single words that the section's entries are about."""
        return {word for head in self.entries(section) for word in head.split(", ")}
