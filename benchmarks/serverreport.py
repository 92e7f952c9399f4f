"""
What the benchmarks of servers and of clients found, as tables, as a page and as a chart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Any

from .candidates import pure
from .report import OURS, PEER, PURE, REFERENCE, Bar, Panel, Row, aligned, by, draw, page, piped, rounds, span

# Below it, something else than the server's core is what limits.
_FULL = 0.95
_NOTE = (
    "\\*: the {measured}'s core wasn't fully busy, so that the rate and the latency tell of what it waited for: a "
    "delayed acknowledgement, the {load}, or the other processes of the machine. CPU time says more there."
)


@dataclass(frozen=True)
class Words:
    """
    How a benchmark is told of.

    @ivar title: its page's.
    @ivar unit: what a client gets an answer for.
    @ivar latency: the unit of latencies, and how many us it has.
    @ivar references: the candidates that all others are compared with, ours first, and how a table's head calls them.
    @ivar colours: those of bars that aren't an ordinary peer's.
    @ivar growth: cases that differ in the number of connections only.
    @ivar chart: the chart's title.
    @ivar about: what a reader has to know.
    @ivar measured: what the candidates are.
    @ivar load: what is on the other core.
    """

    title: str
    unit: str
    latency: tuple[str, float]
    references: dict[str, str]
    colours: dict[str, str]
    growth: tuple[str, ...]
    chart: str
    about: str
    measured: str = "server"
    load: str = "load"

    def among(self, names: Iterable[str]) -> dict[str, str]:
        """
        Return those of the references that are there. Where the compiled form of one isn't, its pure form takes its
        place.
        """
        there = set(names)
        forms = ((name if name in there else pure(name), title) for name, title in self.references.items())
        return {name: title for name, title in forms if name in there}

    def oursAmong(self, names: Iterable[str]) -> str | None:
        """
        Return whom the peers are compared with in the first place; L{None}: neither form of it is there.
        """
        ours = next(iter(self.references))
        return next((name for name in self.among(names) if name in (ours, pure(ours))), None)


def colours(ours: Sequence[str], reference: Sequence[str]) -> dict[str, str]:
    """
    The colours of bars.
    """
    return {**dict.fromkeys(ours, OURS), **dict.fromkeys(map(pure, ours), PURE), **dict.fromkeys(reference, REFERENCE)}


def _errors(errors: dict[str, int]) -> str:
    return ", ".join(f"{kind} {count:,}" for kind, count in errors.items() if count)


def formatRun(run: dict[str, Any], words: Words) -> str:
    """
    One run, for the line that tells of it.
    """
    name, us = words.latency
    told = (
        f"{run['rate']:8,.0f} {words.unit}s/s  {run['cpu']:7.1f} us CPU each  p50 {run['p50'] / us:,.1f} {name}  "
        f"p99 {run['p99'] / us:,.1f} {name}  core {run['busy']:.0%} busy, {words.load}'s {run['loadBusy']:.0%}"
    )
    if "idle" in run:
        told += f"  idle {run['idle']:,.0f} bytes"
    errors = _errors(run.get("errors", {}))
    return f"{told}  {errors}" if errors else told


def _busy(case: dict[str, Any], found: dict[str, Any]) -> str:
    busy = found["busy"]["median"]
    return f"{busy:.0%} *" if case["connections"] > 1 and busy < _FULL else f"{busy:.0%}"


def _table(report: dict[str, Any], words: Words, case: dict[str, Any]) -> Iterator[Row]:
    """
    A case's table: one row a candidate.
    """
    told = words.among(case["candidates"])
    withErrors, withIdle = (any(key in found for found in case["candidates"].values()) for key in ("errors", "idle"))
    name, us = words.latency
    head = [words.measured, f"{words.unit}s/s", "min - max", f"CPU us/{words.unit}", "min - max"]
    for reference in told:
        head += [f"its CPU / {told[reference]}", "min - max"]
    head += [f"p50 {name}", f"p99 {name}", "core busy", f"{words.load} busy"]
    if withIdle:
        head += ["an idle one, bytes", "min - max"]
    yield (*head, "errors") if withErrors else tuple(head)
    form = ",.1f" if us > 1 else ",.0f"
    for candidate, found in case["candidates"].items():
        row = [report["candidates"][candidate]["title"], f"{found['rate']['median']:,.0f}", span(found["rate"], ",.0f")]
        row += [f"{found['cpu']['median']:.1f}", span(found["cpu"], ".1f")]
        for reference in told:
            ratio = found["cpuBy"].get(reference)
            row += ["", ""] if ratio is None else [f"{ratio['median']:.2f}", span(ratio, ".2f")]
        row += [format(found[key]["median"] / us, form) for key in ("p50", "p99")]
        row += [_busy(case, found), f"{found['loadBusy']['median']:.0%}"]
        if withIdle:
            row += [f"{found['idle']['median']:,.0f}", span(found["idle"], ",.0f")]
        yield (*row, _errors(found["errors"]) or "0") if withErrors else tuple(row)


def _overview(report: dict[str, Any], words: Words) -> list[Row]:
    """
    CPU time of all, as a multiple of ours: one row a candidate, a column a case. No rows if ours isn't there.
    """
    ours = words.oursAmong(report["candidates"])
    if ours is None or len(report["candidates"]) == 1:
        return []
    rows: list[Row] = [("its CPU / ours", *(case["name"] for case in report["cases"]))]
    for name, candidate in report["candidates"].items():
        row = [candidate["title"]]
        for case in report["cases"]:
            found = case["candidates"].get(name, {"cpuBy": {}})
            ratio = found["cpuBy"].get(ours)
            mine = f"{found['cpu']['median']:.1f} µs" if name == ours else ""
            row.append(mine if ratio is None else f"{ratio['median']:.2f}")
        rows.append(tuple(row))
    return rows


def _growth(report: dict[str, Any], words: Words) -> list[Row]:
    """
    What connections cost that there are more of: one row a candidate. No rows if there is nothing to compare.
    """
    cases = [case for case in report["cases"] if case["name"] in words.growth]
    if len(cases) < 2:
        return []
    counts = [f"{case['connections']:,}" for case in cases]
    rows: list[Row] = [(f"CPU us/{words.unit}, by connections", *counts, f"at {counts[-1]} / at {counts[0]}")]
    for name, candidate in report["candidates"].items():
        found = [case["candidates"][name]["cpu"] for case in cases]
        ratio = by(found[-1], found[0])["median"]
        rows.append((candidate["title"], *(f"{cpu['median']:.1f}" for cpu in found), f"{ratio:.2f}"))
    return rows


def caseTitle(case: dict[str, Any]) -> str:
    """
    How a case is called, with its figures.
    """
    connections = "1 connection" if case["connections"] == 1 else f"{case['connections']:,} connections"
    return f"{case['title']}; {connections}"


def measured(report: dict[str, Any]) -> str:
    """
    What a figure is made of.
    """
    return f"{rounds(report)} of {report['duration']:g} s"


def _machine(report: dict[str, Any], words: Words) -> str:
    cores = report["cores"]
    return (
        f"{report['date']}, {report['cpu']}, {report['system']}, the {words.measured} on core {cores['server']}, "
        f"{report['load']} on core {cores['load']}, {report['python']}; {measured(report)}"
    )


def versions(report: dict[str, Any]) -> list[str]:
    """
    What each candidate consists of.
    """
    return [f"{candidate['title']}: {candidate['versions']}" for candidate in report["candidates"].values()]


def _goals(report: dict[str, Any]) -> list[str]:
    goals = []
    for goal in report["goals"]:
        reached = goal.get("least", goal["value"]) <= goal["value"] <= goal.get("most", goal["value"])
        goals.append(f"{goal['text']}: {goal['value']:.3f}, {'reached' if reached else 'not reached'}")
    return goals


def formatTable(report: dict[str, Any], words: Words) -> str:
    """
    The report for a terminal.
    """
    lines = [_machine(report, words), *versions(report)]
    for case in report["cases"]:
        lines += ["", f"{case['name']}: {caseTitle(case)}", *aligned(list(_table(report, words, case)))]
    for rows in (_overview(report, words), _growth(report, words)):
        if rows:
            lines += ["", *aligned(rows)]
    goals = _goals(report)
    return "\n".join([*lines, "", *goals] if goals else lines)


def body(report: dict[str, Any], words: Words, picture: str | None, level: int = 2) -> list[str]:
    """
    The report as lines of a page.

    @param picture: the chart, as seen from the page.
    @param level: that of its headings.
    """
    lines = [*wrap(words.about, 120), "", *wrap(_NOTE.format(measured=words.measured, load=words.load), 120), ""]
    if picture is not None:
        lines += [f"![{words.chart}]({picture})", ""]
    for rows in (_overview(report, words), _growth(report, words)):
        if rows:
            lines += [*piped(rows), ""]
    goals = _goals(report)
    if goals:
        lines += ["What was to be reached:", "", *(f"- {goal}" for goal in goals), ""]
    for case in report["cases"]:
        lines += [f"{'#' * level} {case['name']}: {caseTitle(case)}", "", *piped(list(_table(report, words, case))), ""]
    return lines


def formatMarkdown(report: dict[str, Any], words: Words, picture: str | None) -> str:
    """
    The report as a page of its own.
    """
    told = [*(f"- {version}" for version in versions(report)), ""]
    return page(words.title, report, _machine(report, words), [*told, *body(report, words, picture)])


def _panel(report: dict[str, Any], words: Words, case: dict[str, Any], key: str) -> Panel:
    """
    @param key: C{"cpu"} or C{"p50"}.
    """
    bars = []
    name, us = ("µs", 1) if key == "cpu" else words.latency
    reference = words.oursAmong(case["candidates"])
    ours = None if reference is None else case["candidates"][reference]
    for candidate, found in case["candidates"].items():
        figure = {bound: found[key][bound] / us for bound in ("median", "min", "max")}
        told = f"{figure['median']:,.1f} {name}"
        if ours is not None and found is not ours:
            told += f"  ({by(found[key], ours[key])['median']:.2f} x ours)"
        title, colour = report["candidates"][candidate]["title"], words.colours.get(candidate, PEER)
        bars.append(Bar(title, figure, told, colour, candidate == reference))
    return Panel(f"{caseTitle(case)}\n{'CPU time' if key == 'cpu' else 'median latency'}", bars)


def plot(report: dict[str, Any], words: Words, path: Path) -> None:
    """
    Draw the bar chart: a panel for all that each case is drawn for.
    """
    panels = [_panel(report, words, case, key) for case in report["cases"] for key in case["drawn"]]
    caption = (
        f"CPU time a {words.unit}, or its latency; less is better; each panel has its own scale; whiskers: the least\n"
        f"and the most of the rounds; {report['cpu']}; {report['python']}; {measured(report)}; {report['date']}"
    )
    draw(path, words.chart, caption, panels, columns=2 if len(panels) > 2 else 1)
