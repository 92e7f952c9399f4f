"""
What L{benchmarks.parser} found, as a table, as a page and as a chart.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import report

OURS = "wasinet_twisted"
PURE = "wasinet_twisted, pure Python"
_COLUMNS = ("message", "parser", "ns", "min - max", "its time / ours", "ours / its time")
# How many of them aren't numbers.
_TEXTS = 2
_CHART = "Time to parse a request, beside h11 and httptools"
_COLOURS = {OURS: report.OURS, PURE: report.PURE, "h11": report.PEER, "httptools": report.REFERENCE}


def _rows(found: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """
    The table: one row a case and a candidate.
    """
    yield _COLUMNS
    for case in found["cases"]:
        for name, ns in case["ns"].items():
            spread = f"{ns['min']:,.0f} - {ns['max']:,.0f}"
            ratios = ("", "")
            if name != OURS:
                ratios = (f"{case['peerByOurs'][name]:.2f}", f"{case['oursByPeer'][name]:.2f}")
            yield case["name"] if name == OURS else "", name, f"{ns['median']:,.0f}", spread, *ratios


def _goals(found: dict[str, Any]) -> Iterator[str]:
    for case in found["cases"]:
        least, most = case["goals"].values()
        if least is not None:
            ratio = case["peerByOurs"]["h11"]
            told = "reached" if ratio >= least else "not reached"
            yield f"{case['name']}: h11's time at least {least:g} x ours: {ratio:.2f}, {told}"
        if most is not None:
            ratio = case["oursByPeer"]["httptools"]
            told = "reached" if ratio <= most else "not reached"
            yield f"{case['name']}: ours at most {most:g} x httptools': {ratio:.2f}, {told}"


def _versions(found: dict[str, Any]) -> str:
    return ", ".join(f"{name} {number}" for name, number in found["versions"].items())


def _machine(found: dict[str, Any]) -> str:
    core = "not pinned" if found["core"] is None else f"pinned to core {found['core']}"
    return (
        f"{found['date']}, {found['cpu']}, {found['system']}, {core}, {found['python']}, {_versions(found)}; "
        f"{OURS}: {found['speed']}; "
        f"{report.rounds(found)}, {found['clock'].replace('_', ' ')}"
    )


def formatTable(found: dict[str, Any]) -> str:
    """
    The report for a terminal.
    """
    return "\n".join([_machine(found), "", *report.aligned(list(_rows(found)), _TEXTS), "", *_goals(found)])


def body(found: dict[str, Any], picture: str | None) -> list[str]:
    """
    The report as lines of a page.

    @param picture: the chart, as seen from the page.
    """
    lines = [
        "Nanoseconds a message, less is better. All parsers get the same reads and build the same: method, target, the",
        "list of fields, the body. The spread is that of the rounds. How it is done stands in `benchmarks/parser.py`.",
        "",
    ]
    if picture is not None:
        lines += [f"![{_CHART}]({picture})", ""]
    lines += [*report.piped(list(_rows(found)), _TEXTS), ""]
    return [*lines, "What was to be reached:", "", *(f"- {goal}" for goal in _goals(found)), ""]


def formatMarkdown(found: dict[str, Any], picture: str | None) -> str:
    """
    The report as a page of its own.
    """
    return report.page("The parser, measured", found, _machine(found), body(found, picture))


def plot(found: dict[str, Any], path: Path) -> None:
    """
    Draw the bar chart: a panel a case.
    """
    panels = []
    for case in found["cases"]:
        bars = []
        for name, ns in case["ns"].items():
            # In us: the figures stay short.
            figure = {key: ns[key] / 1000 for key in ("median", "min", "max")}
            told = f"{figure['median']:,.1f} µs"
            if name != OURS:
                told += f"  ({case['peerByOurs'][name]:.2f} x ours)"
            bars.append(report.Bar(name, figure, told, _COLOURS[name], name == OURS))
        panels.append(report.Panel(f"{case['name']}  ({_size(case)})", bars))
    caption = (
        "µs a message, less is better; each panel has its own scale; whiskers: the fastest and the slowest round\n"
        f"{_versions(found)}; {found['python']}; {found['cpu']}; {report.rounds(found)}; {found['date']}"
    )
    report.draw(path, _CHART, caption, panels)


def _size(case: dict[str, Any]) -> str:
    reads = "1 read" if case["reads"] == 1 else f"{case['reads']} reads"
    return f"{case['bytes']:,} bytes, {reads}"
