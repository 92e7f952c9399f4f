"""
What L{benchmarks.parser} found, as a table, as a page and as a chart.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

OURS = "wasinet_twisted"
_COLUMNS = ("message", "parser", "ns", "min - max", "its time / ours", "ours / its time")
_COLOURS = {OURS: "#1b6ca8", "h11": "#c9803c", "httptools": "#8a9199"}


def _rows(report: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """
    The table: one row a case and a candidate.
    """
    for case in report["cases"]:
        for name, ns in case["ns"].items():
            spread = f"{ns['min']:,.0f} - {ns['max']:,.0f}"
            ratios = ("", "")
            if name != OURS:
                ratios = (f"{case['peerByOurs'][name]:.2f}", f"{case['oursByPeer'][name]:.2f}")
            yield case["name"] if name == OURS else "", name, f"{ns['median']:,.0f}", spread, *ratios


def _goals(report: dict[str, Any]) -> Iterator[str]:
    for case in report["cases"]:
        least, most = case["goals"].values()
        if least is not None:
            ratio = case["peerByOurs"]["h11"]
            told = "reached" if ratio >= least else "not reached"
            yield f"{case['name']}: h11's time at least {least:g} x ours: {ratio:.2f}, {told}"
        if most is not None:
            ratio = case["oursByPeer"]["httptools"]
            told = "reached" if ratio <= most else "not reached"
            yield f"{case['name']}: ours at most {most:g} x httptools': {ratio:.2f}, {told}"


def _machine(report: dict[str, Any]) -> str:
    core = "not pinned" if report["core"] is None else f"pinned to core {report['core']}"
    versions = ", ".join(f"{name} {number}" for name, number in report["versions"].items())
    return (
        f"{report['date']}, {report['cpu']}, {report['system']}, {core}, {report['python']}, {versions}; "
        f"median of {report['rounds']} rounds, {report['clock'].replace('_', ' ')}"
    )


def formatTable(report: dict[str, Any]) -> str:
    """
    The report for a terminal.
    """
    rows = [_COLUMNS, *_rows(report)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    lines = []
    for row in rows:
        cells = [
            text.ljust(width) if at < 2 else text.rjust(width)
            for at, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join([_machine(report), "", *lines, "", *_goals(report)])


def formatMarkdown(report: dict[str, Any], picture: str | None) -> str:
    """
    The report as a page.

    @param picture: the chart, as seen from the page.
    """
    lines = ["# The parser, measured", ""]
    lines += ["Written by this command; change nothing by hand:", "", f"    {report['command']}", ""]
    lines += [f"{_machine(report)}.", ""]
    lines += [
        "Nanoseconds a message, less is better. All parsers get the same reads and build the same: method, target, the",
        "list of fields, the body. The spread is that of the rounds. How it is done stands in `benchmarks/parser.py`.",
        "",
    ]
    if picture is not None:
        lines += [f"![Time per message, beside h11 and httptools]({picture})", ""]
    lines += [f"| {' | '.join(_COLUMNS)} |", "| --- | --- | ---: | ---: | ---: | ---: |"]
    lines += [f"| {' | '.join(row)} |" for row in _rows(report)]
    lines += ["", "What was to be reached:", "", *(f"- {goal}" for goal in _goals(report))]
    return "\n".join(lines) + "\n"


def plot(report: dict[str, Any], path: Path) -> None:
    """
    Draw the bar chart: a panel a case, each with its own scale that begins at zero.

    @param path: its suffix says the format: .png, .svg.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    cases = report["cases"]
    figure, panels = pyplot.subplots(len(cases), 1, figsize=(9, 1.55 * len(cases) + 1), layout="constrained")
    for panel, case in zip(panels, cases, strict=True):
        names = list(case["ns"])
        for row, name in enumerate(names):
            # In us: the figures stay short.
            middle, least, most = (case["ns"][name][key] / 1000 for key in ("median", "min", "max"))
            panel.barh(row, middle, height=0.72, color=_COLOURS[name])
            panel.errorbar(
                middle, row, xerr=[[middle - least], [most - middle]], color="#222222", capsize=3, linewidth=1
            )
            label = f"{middle:,.1f} µs"
            if name != OURS:
                label += f"  ({case['peerByOurs'][name]:.2f} x ours)"
            panel.annotate(
                label,
                (max(most, middle), row),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
                fontweight="bold" if name == OURS else "normal",
            )
        longest = max(ns["max"] for ns in case["ns"].values()) / 1000
        panel.set_xlim(0, longest * 1.28)
        panel.set_yticks(range(len(names)), names)
        panel.invert_yaxis()
        panel.set_title(f"{case['name']}  ({_size(case)})", loc="left", fontsize=10.5, fontweight="bold")
        panel.tick_params(axis="y", length=0)
        panel.tick_params(axis="x", labelsize=8, colors="#555555")
        panel.spines[["top", "right", "left"]].set_visible(False)
    figure.suptitle("Time to parse a request, beside h11 and httptools", fontsize=13, fontweight="bold")
    versions = ", ".join(f"{name} {number}" for name, number in report["versions"].items())
    figure.supxlabel(
        "µs a message, less is better; each panel has its own scale; whiskers: the fastest and the slowest round\n"
        f"{versions}; {report['python']}; {report['cpu']}; median of {report['rounds']} rounds; {report['date']}",
        fontsize=9,
        color="#444444",
    )
    figure.get_layout_engine().set(h_pad=0.09)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _size(case: dict[str, Any]) -> str:
    reads = "1 read" if case["reads"] == 1 else f"{case['reads']} reads"
    return f"{case['bytes']:,} bytes, {reads}"
