"""
The soak's chart: memory, descriptors, latencies and rates over time, and what was done to the server meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.report import OURS, PEER, PURE, REFERENCE

from .judging import livesOf
from .ledger import SLICE
from .rules import MIB
from .run import KILL, RENEWAL, ROLL
from .watching import pss

# How what is done to the server is marked.
_MARKS = {
    RENEWAL: ("#2e8b57", "-", "workers are replaced, with a new certificate"),
    ROLL: (REFERENCE, "-", "workers are replaced"),
    KILL: ("#b3273a", ":", "a worker is killed (-9)"),
}
_QUIET = "#555555"
# Slices are drawn at their middle.
_HALF = SLICE / 2


def draw(report: dict[str, Any], path: Path) -> None:
    """
    Draw it.

    @param path: its suffix says the format: .png, .svg.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.lines import Line2D

    # The same figures give the same file.
    matplotlib.rcParams["svg.hashsalt"] = "wasinet_twisted"
    figure, places = pyplot.subplots(2, 2, figsize=(13.5, 7.4), layout="constrained", sharex=True)
    panels = (_memory, _descriptors, _latencies, _rates)
    for place, panel in zip(places.flat, panels, strict=True):
        panel(place, report)
        _finish(place, report)
    for place in places[1]:
        place.set_xlabel("minutes", fontsize=9, color=_QUIET)
    figure.legend(
        handles=[
            Line2D([], [], color=colour, linestyle=style, linewidth=1.3, label=told)
            for name, (colour, style, told) in _MARKS.items()
            if any(event["what"] == name for event in report["events"])
        ],
        loc="outside lower center",
        ncols=len(_MARKS),
        fontsize=9,
        frameon=False,
    )
    total = sum(report["answered"].values())
    figure.suptitle(
        f"{total:,} honest requests beside hostile ones: {report['lost']} lost, "
        f"{report['held']} held by workers that were killed",
        fontsize=13,
        fontweight="bold",
    )
    figure.get_layout_engine().set(h_pad=0.1, w_pad=0.1)
    figure.savefig(path, dpi=120, **({"metadata": {"Date": None}} if path.suffix == ".svg" else {}))
    pyplot.close(figure)


def _line(place: Any, points: Sequence[tuple[float, float]], colour: str, label: str, width: float = 1.5) -> None:
    minutes = [at / 60 for at, _ in points]
    place.plot(minutes, [value for _, value in points], color=colour, label=label, linewidth=width)


def _memory(place: Any, report: dict[str, Any]) -> None:
    place.set_title("Memory, MiB", loc="left", fontsize=10.5, fontweight="bold")
    samples = report["samples"]
    total = [(each["at"], pss(each) / MIB) for each in samples]
    _line(place, total, OURS, "all processes (proportional)")
    for number, life in enumerate(livesOf(samples).values()):
        points = [(at, value / MIB) for at, value in life]
        _line(place, points, PURE, "each worker (resident)" if not number else "_", 1.1)
    _line(place, [(each["at"], each["parent"]["rss"] / MIB) for each in samples], PEER, "the parent (resident)")


def _descriptors(place: Any, report: dict[str, Any]) -> None:
    # Floods of connections come and go within seconds; what is left open lifts what there is at the least.
    window = max(10.0, report["seconds"] / 40)
    title = f"Open descriptors and connections, least of each {window:.0f} seconds"
    place.set_title(title, loc="left", fontsize=10.5, fontweight="bold")
    samples = report["samples"]
    workers = [(each["at"], sum(worker["descriptors"] for worker in each["workers"])) for each in samples]
    _line(place, _least(workers, window), OURS, "descriptors of all workers")
    _line(place, _least([(each["at"], each["open"]) for each in samples], window), PURE, "connections")
    parent = [(each["at"], each["parent"]["descriptors"]) for each in samples]
    _line(place, _least(parent, window), PEER, "descriptors of the parent")


def _least(points: Sequence[tuple[float, float]], window: float) -> list[tuple[float, float]]:
    """
    Return the least value of each C{window} seconds, at its middle.
    """
    found: dict[int, float] = {}
    for at, value in points:
        number = int(at / window)
        found[number] = min(value, found.get(number, value))
    return [((number + 0.5) * window, value) for number, value in sorted(found.items())]


def _latencies(place: Any, report: dict[str, Any]) -> None:
    place.set_title("Latencies, ms, of each 5 seconds", loc="left", fontsize=10.5, fontweight="bold")
    for name, colour, label in (("p99", PEER, "99 %"), ("p50", OURS, "median")):
        _line(place, [(each["at"] + _HALF, each[name]) for each in report["slices"] if each[name]], colour, label)
    place.set_yscale("log")
    place.yaxis.set_major_formatter("{x:g}")


def _rates(place: Any, report: dict[str, Any]) -> None:
    place.set_title("Requests and clients a second", loc="left", fontsize=10.5, fontweight="bold")
    slices = report["slices"]
    for name, colour, label in (
        ("honest", OURS, "honest requests answered"),
        ("hostile", PEER, "hostile clients refused"),
        ("vanished", PURE, "clients that vanish"),
    ):
        _line(place, [(each["at"] + _HALF, each[name]) for each in slices], colour, label)
    held = [(each["at"] + _HALF, each["held"]) for each in slices if each["held"]]
    place.scatter(
        [at / 60 for at, _ in held],
        [value for _, value in held],
        s=14,
        color=_MARKS[KILL][0],
        label="held by a killed worker (number)",
        zorder=3,
    )


def _finish(place: Any, report: dict[str, Any]) -> None:
    if place.get_yscale() == "linear":
        # Room for the legend, above.
        place.set_ylim(0, place.get_ylim()[1] * 1.3)
    else:
        low, high = place.get_ylim()
        place.set_ylim(low, high * (high / low) ** 0.25)
    place.set_xlim(0, report["seconds"] / 60)
    for event in report["events"]:
        colour, style, _ = _MARKS[event["what"]]
        place.axvline(event["at"] / 60, color=colour, linestyle=style, linewidth=0.8, alpha=0.7, zorder=0)
    place.legend(loc="upper left", ncols=2, fontsize=8, frameon=True, framealpha=0.9, edgecolor="none")
    place.tick_params(labelsize=8, colors=_QUIET)
    place.spines[["top", "right"]].set_visible(False)
