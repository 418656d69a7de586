"""The chart of docs/performance.md: bars in panels, drawn as SVG text."""
from xml.sax.saxutils import escape

PANELS = [  # row, figure, its title, unit
    ("small", "wall", "10,000 × 4 KiB, answered at once: wall time", "s"),
    ("small", "cpu", "the same: CPU time", "s"),
    ("small-far", "wall", "10,000 × 4 KiB, answered after 20 ms: wall time", "s"),
    ("small-far", "cpu", "the same: CPU time", "s"),
    ("big", "wall", "one file of 1 GiB with its MD5: wall time", "s"),
    ("big", "cpu", "the same: CPU time", "s"),
    ("watch", "wall", "100,000 folders watched: start to ready", "s"),
    ("watch", "rss", "the same: peak memory", "MiB"),
    ("small", "rss", "10,000 × 4 KiB: peak memory", "MiB"),
    ("big", "rss", "one file of 1 GiB: peak memory", "MiB"),
]
WIDTH, LABEL, BAR, STEP, HEAD, GAP = 440, 76, 280, 20, 26, 18
OURS, THEIRS, INK = "#0a66b7", "#9aa5b1", "#1f2933"
CUT = 4  # a bar is never longer than so many times the next one


def text(x, y, words, size=12, weight="normal"):
    return f'<text x="{x}" y="{y}" font-size="{size}" font-weight="{weight}">{escape(words)}</text>'


def panel(x, y, title, values, unit):
    """Bars for {tool: value}; one that dwarfs the rest is cut, and its end left open."""
    rest = sorted(values.values())
    top = (min(rest[-1], CUT * rest[-2]) if len(rest) > 2 else rest[-1]) or 1
    out = [text(x, y + 14, title, weight="bold")]
    for n, (tool, value) in enumerate(values.items()):
        at, cut = y + HEAD + n * STEP, value > top * 1.001
        length = BAR * min(value / top, 1)
        out.append(text(x, at + 12, tool))
        out.append(f'<rect x="{x + LABEL}" y="{at}" width="{max(length, 1):.1f}" height="15" '
                   f'fill="{OURS if tool == "azsyncd" else THEIRS}"/>')
        if cut:
            out.append(f'<path d="M{x + LABEL + BAR - 24} {at - 1}l-5 17h5l5 -17z" fill="#fff"/>')
        digits = 0 if value >= 100 else 1 if value >= 10 else 2
        out.append(text(x + LABEL + max(length, 1) + 5, at + 12, f"{value:,.{digits}f} {unit}"))
    return out


def draw(found):
    """{row: {tool: {figure: value}}} -> the chart as one SVG document."""
    out, y = [], 10
    shown = [(p, {tool: f[p[1]] for tool, f in found[p[0]].items() if p[1] in f}) for p in PANELS if p[0] in found]
    shown = [(p, values) for p, values in shown if values]
    for pair in zip(shown[::2], shown[1::2] + [None] * (len(shown) % 2)):
        pair = [one for one in pair if one]
        for n, ((_, _, title, unit), values) in enumerate(pair):
            out += panel(10 + n * (WIDTH + GAP), y, title, values, unit)
        y += HEAD + GAP + STEP * max(len(values) for _, values in pair)
    width = 10 + 2 * (WIDTH + GAP)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y}" viewBox="0 0 {width} {y}" '
            f'font-family="sans-serif" fill="{INK}">\n<rect width="{width}" height="{y}" fill="#fff"/>\n'
            + "\n".join(out) + "\n</svg>\n")
