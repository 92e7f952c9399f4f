"""
What a load has found, as text with a histogram and as JSON.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Any

from ..ending import shown
from .latencies import Latencies
from .tally import EXPLAINED, Tally

PERCENTILES = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99)
# How many rows a histogram has at the most, beside the one for what is longer.
_ROWS = 12
_EIGHTHS = " ▏▎▍▌▋▊▉"
# Where the figures begin, and how wide a bar is at the least and at the most, in columns.
_INDENT = 12
_NARROW, _WIDE = 10, 50


@dataclass(frozen=True)
class Outcome:
    """
    A load that has ended.

    @ivar seconds: how long it took.
    @ivar rate: how many requests a second were asked for; L{None}: as many as there could be.
    @ivar unanswered: how many requests were in flight at the end.
    @ivar unsent: how many were due and not sent.
    @ivar interrupted: has it ended before its time?
    """

    method: str
    url: str
    connections: int
    seconds: float
    rate: float | None
    tally: Tally
    unanswered: int
    unsent: int
    interrupted: bool


def asJson(outcome: Outcome) -> dict[str, Any]:
    """
    Return all figures: times in seconds, sizes in bytes.
    """
    tally, latencies = outcome.tally, outcome.tally.latencies
    latency: dict[str, Any] | None = None
    if latencies.count:
        latency = {
            "correctedForCoordinatedOmission": outcome.rate is not None,
            "mean": latencies.mean,
            "deviation": latencies.deviation,
            "min": latencies.least,
            "max": latencies.most,
            "percentiles": {f"{percent:g}": latencies.percentile(percent) for percent in PERCENTILES},
            "histogram": [{"from": low, "to": high, "count": count} for low, high, count in histogram(latencies)],
        }
    return {
        "method": outcome.method,
        "url": outcome.url,
        "connections": outcome.connections,
        "rateAsked": outcome.rate,
        "seconds": outcome.seconds,
        "interrupted": outcome.interrupted,
        "requests": latencies.count,
        "requestsPerSecond": _perSecond(latencies.count, outcome),
        "received": tally.received,
        "latency": latency,
        "statuses": {str(status): count for status, count in sorted(tally.statuses.items())},
        "statusClasses": tally.classes,
        "errors": dict(sorted(tally.errors.items())),
        "errorExamples": {kind: str(error) for kind, error in sorted(tally.examples.items())},
        "unanswered": outcome.unanswered,
        "unsent": outcome.unsent,
    }


def asText(outcome: Outcome, width: int = 80, unicode: bool = True) -> str:
    """
    Return the report for a terminal.

    @param width: in columns.
    @param unicode: may it have more than ASCII?
    """
    return "\n".join(_lines(outcome, width, unicode))


def _lines(outcome: Outcome, width: int, unicode: bool) -> Iterator[str]:
    tally, latencies = outcome.tally, outcome.tally.latencies
    connections = "1 connection" if outcome.connections == 1 else f"{outcome.connections:,} connections"
    at = "" if outcome.rate is None else f", {outcome.rate:,g} requests/s asked for"
    interrupted = ", interrupted" if outcome.interrupted else ""
    yield f"{outcome.method} {outcome.url}: {connections}{at}, {outcome.seconds:.1f} s{interrupted}"
    yield ""
    yield _row("requests", f"{latencies.count:,}, {_perSecond(latencies.count, outcome):,.1f} a second")
    yield _row("received", f"{_size(tally.received)}, {_size(_perSecond(tally.received, outcome))} a second")
    if tally.statuses:
        told = (f"{status}: {count:,}" for status, count in sorted(tally.statuses.items()))
        yield _row("statuses", ", ".join(told))
    if outcome.unanswered:
        yield _row("in flight", f"{outcome.unanswered:,} at the end, without an answer")
    if outcome.unsent:
        yield _row("not sent", f"{outcome.unsent:,} that were due at the end: all connections were busy")
    if not tally.errors:
        yield _row("errors", "none")
    for kind, count in tally.errors.most_common():
        yield _row("errors", f"{count:,} {EXPLAINED[kind]}, such as: {_example(tally, kind)}")
    if latencies.count:
        yield ""
        yield from _latencies(outcome, width, unicode)


def _latencies(outcome: Outcome, width: int, unicode: bool) -> Iterator[str]:
    latencies = outcome.tally.latencies
    scale, unit = _unit(latencies.percentile(99), unicode)

    def told(seconds: float) -> str:
        return f"{seconds * scale:,.2f} {unit}"

    corrected = "" if outcome.rate is None else ", from when each request was due (no coordinated omission)"
    yield f"latency{corrected}"
    rows = [("mean", told(latencies.mean)), ("deviation", told(latencies.deviation)), ("least", told(latencies.least))]
    rows += [(f"{percent:g} %", told(latencies.percentile(percent))) for percent in PERCENTILES]
    rows.append(("most", told(latencies.most)))
    columns = max(len(text) for _, text in rows)
    for name, text in rows:
        yield f"  {name:<{_INDENT - 2}}{text:>{columns}}"
    yield ""
    yield from _bars(latencies, scale, unit, width, unicode)


def _bars(latencies: Latencies, scale: float, unit: str, width: int, unicode: bool) -> Iterator[str]:
    found = histogram(latencies)
    digits = _digits((found[0][1] - found[0][0]) * scale)
    bounds = [(f"{low * scale:,.{digits}f}", f"{high * scale:,.{digits}f}") for low, high, _ in found]
    lows, highs = (max(len(bound[side]) for bound in bounds) for side in (0, 1))
    counts = [f"{count:,}" for _, _, count in found]
    wide = max(map(len, counts))
    # Behind the bar: the count, and its part of all.
    room = width - (2 + lows + 3 + highs + 1 + len(unit) + 2) - (2 + wide + 2 + 7)
    room = min(max(room, _NARROW), _WIDE)
    most = max(count for _, _, count in found)
    for (low, high), (_, _, count), text in zip(bounds, found, counts, strict=True):
        part = f"{100 * count / latencies.count:.2f}"
        drawn = bar(count / most * room, unicode)
        yield f"  {low:>{lows}} - {high:>{highs}} {unit}  {drawn:<{room}}  {text:>{wide}}  {part:>5} %"


def bar(columns: float, unicode: bool) -> str:
    """
    Draw a bar, an eighth of a column exactly where that can be drawn. What isn't 0 can be seen.
    """
    if not columns:
        return ""
    if not unicode:
        return "#" * max(round(columns), 1)
    eighths = max(round(columns * 8), 1)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def histogram(latencies: Latencies) -> list[tuple[float, float, int]]:
    """
    Count latencies by ranges of the same width, a round one, up to the 99th percentile; the last range has what is
    longer, where there is such. There must be some.

    @return: for each from when to when it goes, in seconds, and how many there are.
    """
    top = latencies.percentile(99)
    step = niceStep((top - latencies.least) / (_ROWS - 1) or 1e-6)
    # In steps: adding up would add up the errors.
    first, last = floor(latencies.least / step + 1e-9), ceil(top / step - 1e-9)
    edges = [number * step for number in range(first, max(last, first + 1) + 1)]
    counts = latencies.below(edges[1:])
    found = list(zip(edges, edges[1:], counts, strict=False))
    if counts[-1]:
        found.append((edges[-1], max(latencies.most, edges[-1]), counts[-1]))
    return found


def niceStep(least: float) -> float:
    """
    Return the smallest of 1, 2 and 5 times a power of ten that is at least that.
    """
    power = 10.0 ** floor(log10(least))
    return next((factor * power for factor in (1, 2, 5) if factor * power >= least * (1 - 1e-9)), 10 * power)


def _example(tally: Tally, kind: str) -> str:
    return shown(" ".join(str(tally.examples[kind]).split()))


def _row(name: str, text: str) -> str:
    return f"{name:<{_INDENT}}{text}"


def _perSecond(count: float, outcome: Outcome) -> float:
    return count / outcome.seconds if outcome.seconds > 0 else 0.0


def _unit(seconds: float, unicode: bool) -> tuple[float, str]:
    if seconds < 1e-3:
        return 1e6, "µs" if unicode else "us"
    return (1e3, "ms") if seconds < 1 else (1.0, "s")


def _digits(step: float) -> int:
    """
    How many decimals tell the edges of ranges of that width apart.
    """
    return max(ceil(-log10(step) - 1e-9), 0)


def _size(count: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            break
        count /= 1024
    return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
