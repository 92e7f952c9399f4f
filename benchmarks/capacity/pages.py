"""
The tables of C{docs/scale.md} and its chart, from what was measured.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..candidates import Failed
from ..report import OURS, PEER, REFERENCE, Row, opened, piped, saved
from .measuring import predicted, requestCost
from .needs import GIB, Machine, Plan, asking, waiting
from .queueing import Cost, Mix, simulate

PICTURE = "scale-latency.svg"
SIZES = (10_000, 1_000_000, 100_000_000)
_CHART = "What a request takes, by how busy its worker is"
_BLOCK = "<!-- {name} -->\n{text}<!-- end of {name} -->"


def _number(value: float, digits: int = 2) -> str:
    """
    Return it with so many digits that say something.
    """
    # From 99.5 on, two digits would be written as 1e+02.
    if value >= 99.5 or value == round(value):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def size(value: float) -> str:
    """
    Return how that many are called.
    """
    for name, unit in ((" M", 1_000_000), (" k", 1000)):
        if value >= unit and value % unit == 0:
            return f"{value / unit:,.0f}{name}"
    return _number(value)


def _inputs(report: dict[str, Any]) -> Iterator[Row]:
    cpu, memory = report["costs"], report["memory"]
    yield ("what", "how it is measured", "cost")
    costs = {
        "request": ("a request, when the worker has all it can do", "50 connections, 8 to 64 bytes there and back"),
        "requestAlone": (
            "a request that comes by itself: the worker is woken for it",
            "one connection, one after the other",
        ),
        "tls": ("a request: TLS adds", "50 connections, beside the same without TLS"),
        "log": ("a request: the access log adds", "beside the same without"),
        "connection": ("a connection: accepting, closing, beside its request", "50 at a time"),
        "connectionAlone": ("a connection that comes by itself", "one after the other"),
        "handshake": ("a TLS handshake: adds to a connection", "TLS 1.3, ECDSA P-256, no resumption"),
        "proxy": ("a PROXY header: adds to a connection", "version 2"),
        "message": ("a WebSocket message of 64 bytes and its echo", "50 connections"),
    }
    for name, (title, how) in costs.items():
        yield (title, how, f"{cpu[name]:,.0f} µs")
    sizes = {
        "connection": ("an idle connection", "3,000 that have had an answer"),
        "tls": ("an idle TLS connection", "1,000 that have had an answer"),
        "webSocket": ("an idle WebSocket", "2,000 that have had an echo"),
        "kernel": ("each connection: the kernel's part", "the sizes of its objects in `/proc/slabinfo`"),
        "tracked": ("each connection where the kernel tracks them", "the same"),
    }
    for name, (title, how) in sizes.items():
        yield (title, how, f"{memory[name]:,.0f} bytes")
    yield ("a worker without connections", "its resident memory", f"{memory['worker'] / (1 << 20):,.0f} MiB")
    yield ("a line of the access log", "combined format, short targets", f"{report['line']} bytes")


def _plans(report: dict[str, Any], load: Callable[..., Any], unit: str) -> Iterator[Row]:
    plans = [Plan(load(count), report) for count in SIZES]
    yield ("", *(f"{size(count)} {unit}" for count in SIZES))
    rows: dict[str, Callable[[Plan], str]] = {
        "cores, at 60 % each": lambda plan: _number(plan.cores),
        "memory": lambda plan: f"{_number(plan.memory / GIB)} GiB",
        "**machines** of 8 cores, 32 GiB, 10 Gbit/s": lambda plan: f"**{_number(plan.machines)}**",
        "that many because of": lambda plan: plan.bound,
        "connections open": lambda plan: _number(plan.load.open),
        "new connections a second": lambda plan: _number(plan.load.new),
        "traffic, Gbit/s": lambda plan: _number(plan.network / 1e9),
        "access log a day": lambda plan: f"{_number(plan.log / 1e9)} GB" if plan.load.log else "none",
        "a worker's connections": lambda plan: _number(plan.load.open / plan.machines / plan.workers),
        "past its default, the worst first": _first,
    }
    for name, of in rows.items():
        yield (name, *(of(plan) for plan in plans))


def _first(plan: Plan) -> str:
    broken = [f"{each.name} ({_number(each.part)} x)" for each in plan.needs() if each.part > 1 and not each.fixed]
    return ", then ".join(broken[:3]) or "nothing"


def _without(report: dict[str, Any]) -> Iterator[Row]:
    """
    Yield how the machines for a million requests a second depend on what is asked of them.
    """
    yield ("1 M requests a second …", "cores", "machines")
    cases: dict[str, dict[str, Any]] = {
        "as above": {},
        "without TLS: a balancer in front speaks it": {"tls": False, "proxied": True},
        "the same, over connections that the balancer keeps": {"tls": False, "connections": 20_000, "new": 0},
        "the same, without an access log": {"tls": False, "connections": 20_000, "new": 0, "log": False},
        "as above, and the app's own 200 µs a request": {"app": 200},
        "as above, and the app's own 2 ms a request": {"app": 2000},
    }
    for name, more in cases.items():
        plan = Plan(asking(1_000_000, **more), report)
        yield (name, _number(plan.cores), _number(plan.machines))


def _latencies(report: dict[str, Any]) -> Iterator[Row]:
    yield ("requests a second", "busy, predicted", "measured", "mean, ms", "measured", "99 %, ms", "measured")
    for point in report["queueing"]["points"]:
        told = predicted(report["queueing"], point["rate"])
        yield (
            f"{point['rate']:,.0f}",
            f"{told.busy:.2f}",
            f"{point['busy']:.2f}",
            *(f"{value * 1e3:.1f}" for value in (told.mean, point["mean"], told.p99, point["p99"])),
        )


def _utilisations(report: dict[str, Any]) -> Iterator[Row]:
    yield ("requests a second, no work", "busy, predicted", "measured", "a request costs")
    for point in report["points"]:
        cost = requestCost(report)
        yield (
            f"{point['rate']:,.0f}",
            f"{cost.busy(point['rate']):.3f}",
            f"{point['busy']:.3f}",
            f"{point['busy'] / point['rate'] * 1e6:.0f} µs",
        )


def blocks(report: dict[str, Any]) -> dict[str, str]:
    """
    Return the page's parts that figures stand in, by their names.
    """
    machine = f"{report['date']}: {report['cpu']}, {report['system']}, {report['python']}, {report['speed']}.\n"
    tables: dict[str, tuple[Iterator[Row], int]] = {
        "requests": (_plans(report, asking, "requests/s"), 1),
        "webSockets": (_plans(report, waiting, "WebSockets"), 1),
        "variants": (_without(report), 1),
        "inputs": (_inputs(report), 2),
        "latencies": (_latencies(report), 0),
        "utilisations": (_utilisations(report), 0),
    }
    found = {name: "\n".join(piped(list(rows), texts)) + "\n" for name, (rows, texts) in tables.items()}
    return {"machine": machine, **found}


def renew(page: str, report: dict[str, Any]) -> str:
    """
    Return the page with its figures anew.

    @raise Failed: a part of it is not there.
    """
    for name, text in blocks(report).items():
        pattern = re.escape(_BLOCK.format(name=name, text="@")).replace("@", ".*?")
        page, count = re.subn(pattern, lambda _, n=name, t=text: _BLOCK.format(name=n, text=t), page, flags=re.DOTALL)
        if count != 1:
            raise Failed(f"the page has {count} parts {name}, and should have one")
    return page


def plot(report: dict[str, Any], path: Path) -> None:
    """
    Draw the chart: a line for each percentile, a dot for each measurement.
    """
    queueing = report["queueing"]
    mix = Mix(queueing["seconds"], queueing["shares"])
    busies = [each / 100 for each in range(5, 96, 3)]
    lines = [predicted(queueing, busy / mix.mean, 60_000) for busy in busies]
    # A worker without variance, to show what the slow kind does to the quick one.
    even = [simulate(busy / mix.mean, Mix([mix.mean], [1.0]), count=60_000) for busy in busies]
    with opened() as pyplot:
        figure, place = pyplot.subplots(figsize=(9, 4.6), layout="constrained")
        for key, told, colour in (("p99", "99 %", PEER), ("p50", "half of them", OURS)):
            place.plot(
                [100 * each for each in busies],
                [1e3 * getattr(each, key) for each in lines],
                color=colour,
                linewidth=2,
                label=f"{told} take at most: predicted",
            )
            place.plot(
                [100 * point["busy"] for point in queueing["points"]],
                [1e3 * point[key] for point in queueing["points"]],
                "o",
                color=colour,
                markersize=7,
                label=f"{told}: measured",
            )
        place.plot(
            [100 * each for each in busies],
            [1e3 * (each.p99 + queueing["apart"]) for each in even],
            color=REFERENCE,
            linewidth=1.5,
            linestyle="--",
            label=f"99 %, if each request took the mean, {1e3 * mix.mean:.2g} ms",
        )
        place.set_yscale("log")
        place.set_xlim(0, 100)
        ticks = [0.5, 1, 2, 5, 10, 20, 50, 100, 200]
        place.set_ylim(0.4, 250)
        place.set_yticks(ticks, [f"{each:g}" for each in ticks])
        place.minorticks_off()
        place.set_xlabel("CPU time of the worker's core that is used, %", fontsize=9.5)
        place.set_ylabel("ms from sent to answered", fontsize=9.5)
        place.grid(axis="y", color="#dddddd", linewidth=0.8)
        place.tick_params(labelsize=8.5, colors="#555555")
        place.spines[["top", "right"]].set_visible(False)
        place.legend(loc="upper left", fontsize=9, frameon=False)
        figure.suptitle(_CHART, fontsize=13, fontweight="bold")
        few, many = (1e3 * each for each in mix.seconds)
        figure.supxlabel(
            f"nine of ten requests take {few:.2g} ms of CPU time, one takes {many:.2g} ms; they come at random times\n"
            f"{report['cpu']}; {report['python']}; {report['date']}",
            fontsize=9,
            color="#444444",
        )
        saved(figure, path)


def costTold(report: dict[str, Any], machine: Machine) -> str:
    """
    Return what a request costs at the utilisation that is planned for, as one line.
    """
    cost: Cost = requestCost(report)
    return f"a request without work costs {cost.at(machine.busy):.1f} µs of CPU time at {100 * machine.busy:.0f} %"
