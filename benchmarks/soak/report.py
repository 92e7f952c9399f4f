"""
What a soak has found: figures, for a terminal, as JSON and as a page.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import Any

from benchmarks import command
from benchmarks import report as pages
from benchmarks.report import Row, aligned, piped

from .judging import livesOf
from .ledger import SLICE
from .rules import MIB, Verdict
from .run import Soak
from .watching import pss

_PARTS = (("its first tenth", 0.0, 0.1), ("up to 30 %", 0.1, 0.3), ("up to 70 %", 0.3, 0.7), ("the rest", 0.7, 1.0))
# A worker that has been started just now has imported nothing yet: how old it is when its memory says something, in
# seconds.
_YOUNG = 5.0

_USED = """
The least and the most of each part of the time. The memory of a worker and of the parent is resident memory. That of
all is proportional: what processes share counts once. Descriptors are those of all workers. Between 30 % and 70 % of
the time workers are replaced: then there are more of them, one that starts, and old ones until their last answer is
given. Latencies are those of short requests, of each 5 seconds, as a client has them that shares the machine.
"""
_DONE = """
Each answer to an honest client was compared, byte for byte. A request is held by a killed worker if its connection was
open to it: the worker is stopped, its connections are listed, then it is killed. A client asks again if its request has
crossed the end of a connection that was idle for longer than a worker that is replaced keeps it.
"""
_RULES = """
The exit status is 1 if one is broken. None depends on the speed of the machine. Memory is compared after a warm-up: the
lower quartile of the last third of a process' life with that of the first third.
"""


def percentile(values: Sequence[float], part: float) -> float | None:
    """
    Return the value that C{part} of all are at most; L{None} of none.
    """
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)] if values else None


def reportOf(
    soak: Soak, verdicts: Sequence[Verdict], given: argparse.Namespace, arguments: Sequence[str]
) -> dict[str, Any]:
    """
    Return all figures, as JSON may hold them.
    """
    ledger = soak.ledger
    every = [seconds for each in ledger.slices.values() for seconds in each.latencies]
    return {
        **command.facts("soak", arguments),
        "server": given.command,
        "seconds": round(soak.took, 1),
        "verdicts": [{"rule": each.rule, "holds": each.holds, "told": each.told} for each in verdicts],
        "answered": dict(sorted(ledger.kinds.items())),
        "others": dict(sorted(ledger.others.items())),
        "lost": ledger.lost,
        "held": ledger.held,
        "losses": ledger.losses,
        "faults": ledger.faults,
        "late": dict(soak.traffic.late),
        "certificates": soak.certificates.checked,
        "latency": {"p50": _milliseconds(every, 0.5), "p99": _milliseconds(every, 0.99)},
        "busy": {"server": _cpu(soak.samples), "load": soak.cpu},
        "descriptors": {"before": soak.base, "after": soak.left},
        "events": soak.events,
        "slices": [
            {
                "at": number * SLICE,
                "p50": _milliseconds(each.latencies, 0.5),
                "p99": _milliseconds(each.latencies, 0.99),
                "honest": each.honest / SLICE,
                "hostile": each.hostile / SLICE,
                "vanished": each.vanished / SLICE,
                "lost": each.lost,
                "held": each.held,
                "late": round(each.late, 3),
            }
            # The last one isn't whole.
            for number, each in sorted(ledger.slices.items())
            if 0 <= number * SLICE <= soak.took - SLICE
        ],
        "samples": soak.samples,
    }


def _milliseconds(values: Sequence[float], part: float) -> float | None:
    found = percentile(values, part)
    return None if found is None else round(found * 1000, 3)


def _cpu(samples: Sequence[dict[str, Any]]) -> float:
    """
    Return the CPU time that all of the server's processes have taken, in seconds a second.
    """

    def total(sample: dict[str, Any]) -> float:
        waiting = (sample["parent"], *sample["templates"])
        workers = sum(each["cpu"] for each in sample["workers"])
        return float(workers + sum(each["cpu"] + each["children"] for each in waiting))

    first, last = samples[0], samples[-1]
    return (total(last) - total(first)) / (last["at"] - first["at"])


def _between(values: Sequence[float], form: str) -> str:
    return f"{min(values):{form}} - {max(values):{form}}" if values else ""


def growth(report: dict[str, Any]) -> list[Row]:
    """
    Return the table of what is used, over the time.
    """
    length = report["seconds"]
    head = ("part of the time", "a worker, MiB", "the parent, MiB", "all, MiB", "descriptors", "median, ms", "99 %, ms")
    rows: list[Row] = [head]
    lives = livesOf(report["samples"]).values()
    aged = [point for life in lives for point in life if point[0] - life[0][0] >= _YOUNG]
    for name, begin, end in _PARTS:
        within = range(int(begin * length), int(end * length))
        taken = [each for each in report["samples"] if int(each["at"]) in within]
        slices = [each for each in report["slices"] if int(each["at"]) in within and each["p50"] is not None]
        rows.append(
            (
                name,
                _between([value / MIB for at, value in aged if int(at) in within], ".1f"),
                _between([each["parent"]["rss"] / MIB for each in taken], ".1f"),
                _between([pss(each) / MIB for each in taken], ".1f"),
                _between([sum(worker["descriptors"] for worker in each["workers"]) for each in taken], "d"),
                _between([each["p50"] for each in slices], ".1f"),
                _between([each["p99"] for each in slices], ".0f"),
            )
        )
    return rows


def counts(report: dict[str, Any]) -> list[Row]:
    """
    Return the table of what was done.
    """
    rows: list[Row] = [("what", "how many")]
    rows += [(f"answered: {kind}", f"{count:,}") for kind, count in report["answered"].items()]
    rows += [(kind, f"{count:,}") for kind, count in report["others"].items()]
    done = Counter(event["what"] for event in report["events"])
    rows += [(f"done to the server: {what}", str(count)) for what, count in sorted(done.items())]
    rows += [
        ("connections that have shown a new certificate", f"{report['certificates']:,}"),
        ("held by a killed worker", str(report["held"])),
        ("lost", str(report["lost"])),
    ]
    return rows


def lead(report: dict[str, Any]) -> str:
    """
    Return what it comes down to, in a sentence or two.
    """
    total = sum(report["answered"].values())
    busy = report["busy"]
    broken = sum(not each["holds"] for each in report["verdicts"])
    return (
        f"{report['seconds']:.0f} seconds of {report['server']} with two workers: {total:,} honest requests answered, "
        f"{report['lost']} lost, {report['held']} held by workers that were killed; "
        f"{'all rules hold' if not broken else f'{broken} rules are broken'}. "
        f"The server took {busy['server']:.0%} of a core, the load {busy['load']:.0%}."
    )


def summary(report: dict[str, Any]) -> Iterator[str]:
    """
    Yield the lines for a terminal.
    """
    yield lead(report)
    yield ""
    yield from aligned(counts(report))
    yield ""
    yield from aligned(growth(report))
    if report["late"]:
        yield ""
        yield f"not started, since this machine was too slow: {report['late']}"
    yield ""
    for each in report["verdicts"]:
        yield str(Verdict(**each))


def page(report: dict[str, Any], chart: str | None) -> str:
    """
    Return the page.
    """
    machine = f"{report['date']}, {report['cpu']}, {report['system']}, {report['python']}, {report['speed']}"
    body = [*wrap(lead(report), 120), ""]
    if chart is not None:
        body += [f"![memory, descriptors, latencies and rates over time]({chart})", ""]
    body += ["## What was used", "", _USED.strip(), "", *piped(growth(report)), ""]
    body += [
        "## What was done",
        "",
        _DONE.strip(),
        "",
        *piped(counts(report)),
        "",
        "## The rules",
        "",
        _RULES.strip(),
        "",
    ]
    rows = [(each["rule"], "yes" if each["holds"] else "**no**", _inline(each["told"])) for each in report["verdicts"]]
    body += piped([("rule", "holds", "found"), *rows], 3)
    return pages.page("A soak", report, machine, body)


def _inline(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
