"""
What the reports of the benchmarks are made of: tables, pages and bar charts.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = tuple[str, ...]

OURS, PURE, PEER, REFERENCE = "#1b6ca8", "#6fa8d6", "#c9803c", "#8a9199"


def spread(values: Sequence[float]) -> dict[str, Any]:
    """
    What the rounds gave.
    """
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "rounds": list(values)}


def by(figure: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """
    A figure divided by another of the same rounds.
    """
    return spread([value / its for value, its in zip(figure["rounds"], other["rounds"], strict=True)])


def span(figure: dict[str, Any], form: str) -> str:
    """
    The least and the most of the rounds.
    """
    return f"{figure['min']:{form}} - {figure['max']:{form}}"


def rounds(report: dict[str, Any]) -> str:
    """
    What a figure is made of.
    """
    return "1 round" if report["rounds"] == 1 else f"median of {report['rounds']} rounds"


def aligned(rows: Sequence[Row], texts: int = 1) -> Iterator[str]:
    """
    A table for a terminal.

    @param rows: the first is its head.
    @param texts: how many columns at the left aren't numbers.
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [
            text.ljust(width) if at < texts else text.rjust(width)
            for at, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def piped(rows: Sequence[Row], texts: int = 1) -> Iterator[str]:
    """
    A table for a page.
    """
    first, *others = rows
    yield f"| {' | '.join(first)} |"
    yield f"| {' | '.join(['---'] * texts + ['---:'] * (len(first) - texts))} |"
    for row in others:
        yield f"| {' | '.join(row)} |"


def page(title: str, report: dict[str, Any], machine: str, body: Sequence[str]) -> str:
    """
    A page that a command writes.

    @param machine: what it ran on.
    """
    lines = [f"# {title}", "", "Written by this command; change nothing by hand:", "", f"    {report['command']}", ""]
    return "\n".join([*lines, f"{machine}.", "", *body]).rstrip("\n") + "\n"


@dataclass(frozen=True)
class Bar:
    """
    @ivar figure: its median, min and max.
    @ivar told: what stands beside it.
    @ivar bold: is it ours?
    """

    name: str
    figure: dict[str, Any]
    told: str
    colour: str
    bold: bool = False


@dataclass(frozen=True)
class Panel:
    """
    Bars with one scale, which begins at zero.
    """

    title: str
    bars: Sequence[Bar]


def draw(path: Path, title: str, caption: str, panels: Sequence[Panel], columns: int = 1) -> None:
    """
    Draw bar charts.

    @param path: its suffix says the format: .png, .svg.
    @param columns: how many panels stand side by side; more than one if all have the same bars.
    """
    with opened() as pyplot:
        _draw(pyplot, path, title, caption, panels, columns)


@contextmanager
def opened() -> Iterator[Any]:
    """
    Lend matplotlib's pyplot, for drawings into files.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    # The same figures give the same file.
    matplotlib.rcParams["svg.hashsalt"] = "wasinet_twisted"
    yield pyplot
    pyplot.close("all")


def saved(figure: Any, path: Path) -> None:
    """
    Write a figure.

    @param path: its suffix says the format: .png, .svg.
    """
    figure.savefig(path, dpi=120, **({"metadata": {"Date": None}} if path.suffix == ".svg" else {}))


def _draw(pyplot: Any, path: Path, title: str, caption: str, panels: Sequence[Panel], columns: int) -> None:
    lines = -(-len(panels) // columns)
    height = (0.34 * max(len(panel.bars) for panel in panels) + 0.7) * lines + 1
    figure, places = pyplot.subplots(
        lines, columns, figsize=(4.5 + 4.5 * columns, height), layout="constrained", squeeze=False
    )
    for at, place in enumerate(places.flat):
        if at < len(panels):
            _drawPanel(place, panels[at], named=at % columns == 0)
        else:
            place.set_visible(False)
    figure.suptitle(title, fontsize=13, fontweight="bold")
    figure.supxlabel(caption, fontsize=9, color="#444444")
    figure.get_layout_engine().set(h_pad=0.09)
    saved(figure, path)


def _drawPanel(place: Any, panel: Panel, named: bool) -> None:
    for row, bar in enumerate(panel.bars):
        middle, least, most = (bar.figure[key] for key in ("median", "min", "max"))
        place.barh(row, middle, height=0.72, color=bar.colour)
        place.errorbar(middle, row, xerr=[[middle - least], [most - middle]], color="#222222", capsize=3, linewidth=1)
        place.annotate(
            bar.told,
            (max(most, middle), row),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            fontweight="bold" if bar.bold else "normal",
        )
    longest = max(bar.figure["max"] for bar in panel.bars)
    place.set_xlim(0, longest * 1.36 or 1)
    place.set_yticks(range(len(panel.bars)), [bar.name if named else "" for bar in panel.bars])
    place.invert_yaxis()
    place.set_title(panel.title, loc="left", fontsize=10.5, fontweight="bold")
    place.tick_params(axis="y", length=0)
    place.tick_params(axis="x", labelsize=8, colors="#555555")
    place.spines[["top", "right", "left"]].set_visible(False)
