"""
What a large download costs a client, in CPU time and in memory: ours, and its peers.

    python -m benchmarks.download [--size 1024] [--rounds 3] [--candidates NAME ...]
                                  [--json FILE] [--plot FILE] [--markdown FILE]

Each candidate is a process of its own, started anew for each run and kept on one
core. It takes a sparse file of C{--size} MiB from one nginx on another core, piece
by piece as its documentation shows for large bodies, and keeps none of it.

Counted is the CPU time, of user and kernel, from the call to the end of the body,
and by how much the most resident memory that the process had meanwhile exceeds what
it had before. It has taken a body of 64 KiB before, so that all is imported and a
connection is open. For curl, which is a program, the figures are the difference to
one that takes 512 KiB. In each round all candidates take turns, another one
first in each round.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import wrap
from typing import Any

from . import command
from .candidates import pinnedTo, pure
from .clientpeers import DOWNLOADERS, NEEDED, ORIGIN, OURS, STOCK, TREQ_OURS
from .clientruns import answering, run
from .command import say
from .report import PEER, Bar, Panel, Row, aligned, by, draw, page, piped, rounds, span, spread
from .rounds import available, lacking, twoCores
from .serverreport import colours

_MIB = 1024 * 1024
_CHART = "What a large download costs the client, beside its peers"
_COLOURS = colours([OURS, STOCK, TREQ_OURS], ["handwritten", "curl"])
# By how much the memory of ours may grow, in MiB.
_GROWTH = 4
# How slow a download may be, in bytes a second.
_SLOWEST = 20e6


def measure(
    candidates: Sequence[str], size: int, roundCount: int, folder: Path, arguments: Sequence[str]
) -> dict[str, Any]:
    """
    Measure everything.

    @param size: of the file, in MiB.
    @param arguments: what the command was given, for the record.
    @raise Failed: a candidate doesn't do its work.
    """
    cores = twoCores()
    found: dict[str, dict[str, list[float]]] = {name: {"cpu": [], "growth": [], "rate": []} for name in candidates}
    order = list(candidates)
    with pinnedTo(cores[1]), answering(folder, cores[1], size * _MIB) as origin:
        for number in range(1, roundCount + 1):
            for name in order:
                asked = ("download", size * _MIB)
                taken = run(DOWNLOADERS[name], origin, cores[0], asked, size * _MIB / _SLOWEST)
                figures = {"cpu": taken["cpu"], "growth": taken["growth"] / _MIB, "rate": size / taken["seconds"]}
                for key, figure in figures.items():
                    found[name][key].append(figure)
                say(
                    f"round {number} of {roundCount}  {name:16}  {figures['cpu']:6.2f} s CPU  memory "
                    f"{figures['growth']:+6.2f} MiB  {figures['rate']:6,.0f} MiB/s"
                )
            # Nobody always comes after the same one.
            order.append(order.pop(0))
    summary: dict[str, dict[str, Any]] = {
        name: {key: spread(values) for key, values in figures.items()} for name, figures in found.items()
    }
    ours = next((name for name in (OURS, pure(OURS)) if name in summary), None)
    for name, figures in summary.items():
        figures["byOurs"] = None if ours is None or name == ours else by(figures["cpu"], summary[ours]["cpu"])
    return {
        **command.facts("download", arguments),
        "cores": {"client": cores[0], "origin": cores[1]},
        "origin": ORIGIN.versions().removeprefix("nginx version: "),
        "size": size,
        "rounds": roundCount,
        "candidates": {
            name: {
                "title": DOWNLOADERS[name].title,
                "versions": DOWNLOADERS[name].versions(),
                "ours": "wasinet_twisted" in DOWNLOADERS[name].packages,
            }
            for name in candidates
        },
        "found": summary,
    }


def _table(report: dict[str, Any]) -> list[Row]:
    """
    One row a candidate.
    """
    rows: list[Row] = [
        ("client", "CPU s", "min - max", "its CPU / ours", "min - max", "memory +MiB", "min - max", "MiB/s")
    ]
    for name, found in report["found"].items():
        ratio = found["byOurs"]
        rows.append(
            (
                report["candidates"][name]["title"],
                f"{found['cpu']['median']:.2f}",
                span(found["cpu"], ".2f"),
                *(("", "") if ratio is None else (f"{ratio['median']:.2f}", span(ratio, ".2f"))),
                f"{found['growth']['median']:.2f}",
                span(found["growth"], ".2f"),
                f"{found['rate']['median']:,.0f}",
            )
        )
    return rows


def _goals(report: dict[str, Any]) -> list[str]:
    goals = []
    for name, candidate in report["candidates"].items():
        if candidate["ours"]:
            most = report["found"][name]["growth"]["max"]
            told = "reached" if most < _GROWTH else "not reached"
            text = f"{candidate['title']}: memory grows by less than {_GROWTH} MiB in each round"
            goals.append(f"{text}: at most {most:.2f} MiB, {told}")
    return goals


def measured(report: dict[str, Any]) -> str:
    """
    What a figure is made of.
    """
    return f"{rounds(report)}; {report['size']:,} MiB from {report['origin']}"


def _machine(report: dict[str, Any]) -> str:
    cores = report["cores"]
    return (
        f"{report['date']}, {report['cpu']}, {report['system']}, the client on core {cores['client']}, "
        f"the origin on core {cores['origin']}, {report['python']}; {measured(report)}"
    )


def formatTable(report: dict[str, Any]) -> str:
    """
    The report for a terminal.
    """
    return "\n".join([_machine(report), "", *aligned(_table(report)), "", *_goals(report)])


def body(report: dict[str, Any], picture: str | None) -> list[str]:
    """
    The report as lines of a page.

    @param picture: the chart, as seen from the page.
    """
    about = (
        f"Each client takes a body of {report['size']:,} MiB piece by piece, and keeps none of it. Its CPU time is "
        "that of user and kernel; its memory is the most that was resident meanwhile, less what was before. How it is "
        "done stands in `benchmarks/download.py`."
    )
    lines = [*wrap(about, 120), ""]
    if picture is not None:
        lines += [f"![{_CHART}]({picture})", ""]
    lines += [*piped(_table(report)), ""]
    goals = _goals(report)
    return [*lines, "What was to be reached:", "", *(f"- {goal}" for goal in goals), ""] if goals else lines


def formatMarkdown(report: dict[str, Any], picture: str | None) -> str:
    """
    The report as a page of its own.
    """
    return page("Large downloads, measured", report, _machine(report), body(report, picture))


def plot(report: dict[str, Any], path: Path) -> None:
    """
    Draw the bar chart: CPU time, and memory.
    """
    panels = []
    for key, title, unit in (("cpu", "CPU time", "s"), ("growth", "growth of memory", "MiB")):
        bars = []
        for name, found in report["found"].items():
            told = f"{found[key]['median']:,.2f} {unit}"
            if key == "cpu" and found["byOurs"] is not None:
                told += f"  ({found['byOurs']['median']:.2f} x ours)"
            title_ = report["candidates"][name]["title"]
            bars.append(Bar(title_, found[key], told, _COLOURS.get(name, PEER), name == OURS))
        panels.append(Panel(f"{report['size']:,} MiB: {title}", bars))
    caption = (
        "less is better; each panel has its own scale; whiskers: the least and the most of the rounds\n"
        f"{report['cpu']}; {report['python']}; {rounds(report)}; {report['date']}"
    )
    draw(path, _CHART, caption, panels)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """
    What the command was given.
    """
    options = command.parser("download", "A large download, beside its peers.", 3)
    options.add_argument("--size", type=int, default=1024, help="of the body, in MiB (%(default)s)")
    command.addNames(options, "--candidates", DOWNLOADERS)
    given = command.parse(options, arguments)
    if not 1 <= given.size <= 65536:
        options.error("--size must be from 1 to 65536")
    return given


def unable(given: argparse.Namespace) -> str | None:
    """
    Why it can't be measured here.
    """
    return lacking(NEEDED) or command.undrawable(given)


def main(arguments: Sequence[str]) -> int:
    """
    The command.

    @return: its exit status.
    """
    given = parse(arguments)
    missing = unable(given)
    if missing is not None:
        say(missing)
        return 1
    candidates = available(DOWNLOADERS, command.inOrder(DOWNLOADERS, given.candidates))
    if not candidates:
        say("nothing is left to measure")
        return 1

    def work() -> int:
        with TemporaryDirectory() as folder:
            report = measure(candidates, given.size, given.rounds, Path(folder), arguments)
        print(formatTable(report))
        command.write(given, report, formatMarkdown, plot)
        return 0

    return command.endingWell(work)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
