"""
What a soak has found: figures, for a terminal, as JSON and as a page.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks import command
from benchmarks import report as pages
from benchmarks.report import Row, aligned, piped

from .ledger import SLICE
from .rules import MIB, Verdict
from .run import Soak


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
        parent = sample["parent"]
        return float(parent["cpu"] + parent["children"] + sum(each["cpu"] for each in sample["workers"]))

    first, last = samples[0], samples[-1]
    return (total(last) - total(first)) / (last["at"] - first["at"])


def _over(samples: Sequence[dict[str, Any]], begin: float, end: float) -> list[dict[str, Any]]:
    length = samples[-1]["at"]
    return [each for each in samples if begin * length <= each["at"] <= end * length]


def _between(values: Sequence[float], form: str) -> str:
    return f"{min(values):{form}} - {max(values):{form}}"


def growth(report: dict[str, Any]) -> list[Row]:
    """
    Return the table of what is used, over the time.
    """
    rows: list[Row] = [
        ("part of the time", "workers, MiB", "parent, MiB", "all, PSS, MiB", "descriptors", "p50, ms", "p99, ms")
    ]
    for name, begin, end in (
        ("the first tenth", 0, 0.1),
        ("up to 30 %", 0.1, 0.3),
        ("up to 70 %", 0.3, 0.7),
        ("the rest", 0.7, 1),
    ):
        taken = _over(report["samples"], begin, end)
        length = report["seconds"]
        slices = [each for each in report["slices"] if begin * length <= each["at"] < end * length and each["p50"]]
        rows.append(
            (
                name,
                _between([worker["rss"] / MIB for each in taken for worker in each["workers"]], ".1f"),
                _between([each["parent"]["rss"] / MIB for each in taken], ".1f"),
                _between([_pss(each) / MIB for each in taken], ".1f"),
                _between([sum(worker["descriptors"] for worker in each["workers"]) for each in taken], "d"),
                _between([each["p50"] for each in slices], ".1f") if slices else "",
                _between([each["p99"] for each in slices], ".0f") if slices else "",
            )
        )
    return rows


def _pss(sample: dict[str, Any]) -> float:
    return float(sample["parent"]["pss"] + sum(each["pss"] for each in sample["workers"]))


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
    machine = f"{report['cpu']}, {report['system']}, {report['python']}, {report['date']}"
    body = [lead(report), ""]
    if chart is not None:
        body += [f"![what is used, and what is answered, over time]({chart})", ""]
    body += ["## What was done", "", *piped(counts(report)), ""]
    body += [
        "## What was used",
        "",
        "The least and the most of each part of the time. Memory is resident memory of one",
        "",
    ]
    body += [*piped(growth(report)), "", "## The rules", ""]
    body += [
        *piped(
            [
                ("rule", "holds", "found"),
                *(
                    (each["rule"], "yes" if each["holds"] else "**no**", each["told"].replace("\n", " "))
                    for each in report["verdicts"]
                ),
            ],
            3,
        )
    ]
    return pages.page("Soak", report, machine, body)
