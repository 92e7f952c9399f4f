"""
What L{benchmarks.http} found, as tables, as a page and as a chart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

OURS = "ours"
_COLUMNS = (
    *("server", "requests/s", "min - max", "CPU us/request", "min - max", "its CPU / ours", "min - max"),
    *("p50 ms", "p99 ms", "core busy", "errors"),
)
_REFERENCE = "handwritten"


def formatRun(run: dict[str, Any]) -> str:
    """
    One run, for the line that tells of it.
    """
    told = (
        f"{run['rate']:8,.0f} requests/s  {run['cpu']:7.1f} us CPU each  "
        f"p50 {run['p50'] / 1000:.1f} ms  p99 {run['p99'] / 1000:.1f} ms"
    )
    errors = _errors(run["errors"])
    return f"{told}  {errors}" if errors else told


def _errors(errors: dict[str, int]) -> str:
    return ", ".join(f"{kind} {count:,}" for kind, count in errors.items() if count)


def _span(figure: dict[str, Any], form: str) -> str:
    return f"{figure['min']:{form}} - {figure['max']:{form}}"


def _rows(report: dict[str, Any], case: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """
    A case's table: one row a candidate.
    """
    for name, found in case["candidates"].items():
        ratio = found.get("cpuByOurs")
        yield (
            report["candidates"][name]["title"],
            f"{found['rate']['median']:,.0f}",
            _span(found["rate"], ",.0f"),
            f"{found['cpu']['median']:.1f}",
            _span(found["cpu"], ".1f"),
            *(("", "") if ratio is None else (f"{ratio['median']:.2f}", _span(ratio, ".2f"))),
            f"{found['p50']['median'] / 1000:.1f}",
            f"{found['p99']['median'] / 1000:.1f}",
            f"{found['busy']['median']:.0%}",
            _errors(found["errors"]) or "0",
        )


def _ratios(report: dict[str, Any]) -> list[tuple[str, ...]]:
    """
    The overview: one row a case, a column a peer; its CPU time divided by ours. No rows if ours isn't there.
    """
    peers = [name for name in report["candidates"] if name != OURS]
    if OURS not in report["candidates"] or not peers:
        return []
    rows: list[tuple[str, ...]] = [("CPU a request, as a multiple of ours", *peers)]
    for case in report["cases"]:
        ratios = [case["candidates"][peer].get("cpuByOurs") for peer in peers]
        rows.append((_title(case), *("" if ratio is None else f"{ratio['median']:.2f}" for ratio in ratios)))
    return rows


def _title(case: dict[str, Any]) -> str:
    deep = f" {case['depth']} deep" if case["depth"] > 1 else ""
    return f"{case['title']}{deep}; {case['connections']} connections"


def _measured(report: dict[str, Any]) -> str:
    rounds = "1 round" if report["rounds"] == 1 else f"median of {report['rounds']} rounds"
    return f"{rounds} of {report['duration']:g} s"


def _machine(report: dict[str, Any]) -> str:
    cores = report["cores"]
    return (
        f"{report['date']}, {report['cpu']}, {report['system']}, the server on core {cores['server']}, "
        f"{report['wrk']} on core {cores['load']}, {report['python']}; {_measured(report)}"
    )


def _versions(report: dict[str, Any]) -> Iterator[str]:
    for candidate in report["candidates"].values():
        yield f"{candidate['title']}: {candidate['versions']}"


def _aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [
            text.rjust(width) if at else text.ljust(width)
            for at, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def _piped(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    first, *others = rows
    yield f"| {' | '.join(first)} |"
    yield f"| --- |{' ---: |' * (len(first) - 1)}"
    for row in others:
        yield f"| {' | '.join(row)} |"


def formatTable(report: dict[str, Any]) -> str:
    """
    The report for a terminal.
    """
    lines = [_machine(report), *_versions(report)]
    for case in report["cases"]:
        lines += ["", _title(case), *_aligned([_COLUMNS, *_rows(report, case)])]
    ratios = _ratios(report)
    if ratios:
        lines += ["", *_aligned(ratios)]
    return "\n".join(lines)


def formatMarkdown(report: dict[str, Any], picture: str | None) -> str:
    """
    The report as a page.

    @param picture: the chart, as seen from the page.
    """
    lines = ["# The HTTP server, measured", ""]
    lines += ["Written by this command; change nothing by hand:", "", f"    {report['command']}", ""]
    lines += [f"{_machine(report)}.", "", *(f"- {version}" for version in _versions(report)), ""]
    lines += [
        "All servers answer the same: a POST with `echo:` and its body, a GET with `path:` and its path. The CPU time",
        "is that of all of the server's processes, user and kernel, divided by the answers. The spread is that of the",
        "rounds; the ratio is taken within each round. A server always has as many requests waiting as there are",
        "connections, so its latency mostly says how many it answers a second. Where its core wasn't fully busy, the",
        "load didn't follow, and CPU time says more than requests/s. How it is done stands in `benchmarks/http.py`.",
        "",
    ]
    if picture is not None:
        lines += [f"![CPU time per request, beside its peers]({picture})", ""]
    ratios = _ratios(report)
    if ratios:
        lines += [*_piped(ratios), ""]
    for case in report["cases"]:
        lines += [f"## {_title(case)}", "", *_piped([_COLUMNS, *_rows(report, case)]), ""]
    return "\n".join(lines)


def _colour(name: str) -> str:
    return {OURS: "#1b6ca8", _REFERENCE: "#8a9199"}.get(name, "#c9803c")


def plot(report: dict[str, Any], path: Path) -> None:
    """
    Draw the bar chart of CPU time: a panel a case, each with its own scale that begins at zero.

    @param path: its suffix says the format: .png, .svg.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    cases = report["cases"]
    names = list(report["candidates"])
    height = (0.34 * len(names) + 0.7) * len(cases) + 1
    figure, panels = pyplot.subplots(len(cases), 1, figsize=(9, height), layout="constrained", squeeze=False)
    for panel, case in zip(panels[:, 0], cases, strict=True):
        for row, name in enumerate(names):
            found = case["candidates"][name]
            middle, least, most = (found["cpu"][key] for key in ("median", "min", "max"))
            panel.barh(row, middle, height=0.72, color=_colour(name))
            panel.errorbar(
                middle, row, xerr=[[middle - least], [most - middle]], color="#222222", capsize=3, linewidth=1
            )
            label = f"{middle:,.1f} µs"
            if "cpuByOurs" in found:
                label += f"  ({found['cpuByOurs']['median']:.2f} x ours)"
            panel.annotate(
                label,
                (max(most, middle), row),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
                fontweight="bold" if name == OURS else "normal",
            )
        longest = max(found["cpu"]["max"] for found in case["candidates"].values())
        panel.set_xlim(0, longest * 1.36 or 1)
        panel.set_yticks(range(len(names)), [report["candidates"][name]["title"] for name in names])
        panel.invert_yaxis()
        panel.set_title(_title(case), loc="left", fontsize=10.5, fontweight="bold")
        panel.tick_params(axis="y", length=0)
        panel.tick_params(axis="x", labelsize=8, colors="#555555")
        panel.spines[["top", "right", "left"]].set_visible(False)
    figure.suptitle("What a request costs the server, beside its peers", fontsize=13, fontweight="bold")
    figure.supxlabel(
        "µs of CPU time a request, less is better; each panel has its own scale; whiskers: the least and the most of\n"
        f"the rounds; {report['cpu']}; {report['python']}; {_measured(report)}; {report['date']}",
        fontsize=9,
        color="#444444",
    )
    figure.get_layout_engine().set(h_pad=0.09)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
