"""What the figures of a row come to."""
import statistics


def medians(runs):
    """{tool: {figure: median}}, in the order of the runs; requests of all kinds as one figure."""
    figures = {}
    for run in runs:
        of_tool = figures.setdefault(run["tool"], {})
        for name, value in run.items():
            if isinstance(value, (int, float)) and name != "round":
                of_tool.setdefault(name, []).append(value)
        if "requests" in run:
            of_tool.setdefault("requests", []).append(run["requests"].get("all", 0))
    return {tool: {name: statistics.median(values) for name, values in of_tool.items()}
            for tool, of_tool in figures.items()}


def number(value):
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.2f}"


def say(runs):
    found = medians(runs)
    ours = found.get("azsyncd", {})
    for tool, figures in found.items():
        ratios = [f"{name} x{figures[name] / ours[name]:.2f}" for name in ("wall", "cpu", "rss")
                  if tool != "azsyncd" and ours.get(name) and name in figures]
        print(f"  median {tool:10}", ", ".join(f"{name} {number(value)}" for name, value in figures.items()),
              f"  ({', '.join(ratios)})" if ratios else "")
