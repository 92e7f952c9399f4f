"""
How many cores, how much memory and how many machines a load takes, and what breaks first.

    python -m benchmarks.capacity --requests 1e6 --connections 3e6 --new 5e4 --tls
    python -m benchmarks.capacity --websockets 1e6 --messages 3e4
    python -m benchmarks.capacity --measure     # what it is computed from, anew, in two minutes; docs/scale.md with it

The figures come from C{benchmarks/capacity.json}, which C{--measure} writes: what a request, a connection, a handshake
and so on cost on the machine that is named there.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .. import command
from ..candidates import ROOT
from ..command import LACKING, say
from ..pingpong import COMPILER, HINT
from ..report import Row, aligned
from ..rounds import lacking
from . import pages
from .measuring import measure, predicted
from .needs import GIB, Load, Machine, Plan

KEPT = ROOT / "benchmarks" / "capacity.json"
PAGE = ROOT / "docs" / "scale.md"
# How far what is predicted of the server's utilisation may be from what was measured a minute later.
_OFF = 0.15
# For how much of the time other programs may have had the cores that a point was measured on.
_WAITED = 0.1


def _number(least: float, most: float = math.inf) -> Any:
    """
    Return what reads a number from an argument.
    """

    def number(text: str) -> float:
        value = float(text)
        if not least <= value <= most or math.isinf(value):
            raise argparse.ArgumentTypeError(
                f"{text} is not a number from {least:g}" + (f" to {most:g}" * (most < math.inf))
            )
        return value

    return number


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="python -m benchmarks.capacity",
        description="Cores, memory and machines for a load, and what breaks first.",
    )
    load = options.add_argument_group("the load, in all")
    for name, default, what in (
        ("requests", 0, "requests a second"),
        ("connections", 0, "open connections, WebSockets not among them"),
        ("new", None, "new connections a second (a sixtieth of those that are open)"),
        ("websockets", 0, "open WebSockets"),
        ("messages", 0, "messages a second of all WebSockets"),
        ("app", 0, "the app's own CPU time a request or message, in us"),
    ):
        told = what if default is None else f"{what} (%(default)s)"
        load.add_argument(f"--{name}", type=_number(0), default=default, metavar="N", help=told)
    load.add_argument("--sent", type=_number(0), default=Load.sent, metavar="BYTES", help="of a response (%(default)s)")
    load.add_argument(
        "--received", type=_number(0), default=Load.received, metavar="BYTES", help="of a request (%(default)s)"
    )
    load.add_argument("--tls", action="store_true", help="the server speaks TLS itself")
    load.add_argument("--proxied", action="store_true", help="behind a balancer, with a PROXY header each connection")
    load.add_argument("--no-log", action="store_true", help="without an access log")
    machine = options.add_argument_group("a machine")
    for name, default, what in (
        ("cores", Machine.cores, "its cores"),
        ("memory", Machine.memory / GIB, "GiB"),
        ("network", Machine.network / 1e9, "Gbit/s"),
        ("disk", Machine.disk / 1e9, "GB for the access log"),
        ("days", Machine.days, "days that the access log is kept"),
    ):
        machine.add_argument(f"--{name}", type=_number(1), default=default, metavar="N", help=f"{what} (%(default)g)")
    machine.add_argument(
        "--busy", type=_number(0.05, 0.95), default=Machine.busy, metavar="PART", help="of a core (%(default)s)"
    )
    measured = options.add_argument_group("what it is computed from")
    measured.add_argument(
        "--inputs", type=Path, default=KEPT, metavar="FILE", help="of --measure (benchmarks/capacity.json)"
    )
    measured.add_argument(
        "--measure", action="store_true", help="measure anew; write that file, docs/scale.md's figures and its chart"
    )
    measured.add_argument(
        "--page", action="store_true", help="write docs/scale.md's figures and its chart from that file"
    )
    measured.add_argument("--seconds", type=_number(0.1, 60), default=1.0, help="how long a run is (%(default)s)")
    measured.add_argument("--json", type=Path, metavar="FILE", help="measure into this file alone")
    return options


def worst(report: dict[str, Any]) -> float:
    """
    Return how far a prediction is from what was measured with a handler that works, as a part of that.
    """
    points = report["queueing"]["points"]
    return max(abs(predicted(report["queueing"], each["rate"]).busy / each["busy"] - 1) for each in points)


def _measure(given: argparse.Namespace, arguments: Sequence[str]) -> int:
    missing = lacking({COMPILER: HINT, "wrk": "apt-get install wrk"})
    if missing is None and given.json is None and find_spec("matplotlib") is None:
        missing = f"matplotlib {LACKING}"
    if missing is not None:
        say(missing)
        return 1
    report = measure(arguments, given.seconds)
    off = worst(report)
    say(f"predicted and measured utilisation differ by {100 * off:.0f} % at the most")
    waited = max(each["waited"] for each in report["queueing"]["points"])
    say(f"other programs had the cores for {100 * waited:.0f} % of the time at the most")
    disturbed = off > _OFF or waited > _WAITED
    if given.json is not None or not disturbed:
        (given.json or given.inputs).write_text(json.dumps(report, indent=1) + "\n")
    if disturbed:
        say(
            f"more than {100 * _OFF:.0f} % or {100 * _WAITED:.0f} %: other programs have disturbed it. Nothing that is "
            "kept was written. Measure again when the machine is quiet."
        )
        return 1
    if given.json is None:
        _publish(report)
    return 0


def _publish(report: dict[str, Any]) -> None:
    pages.plot(report, PAGE.parent / pages.PICTURE)
    PAGE.write_text(pages.renew(PAGE.read_text(encoding="utf-8"), report), encoding="utf-8")


def _amount(value: float, unit: str) -> str:
    return f"{value:,.0f} {unit}".strip() if value >= 100 else f"{value:.3g} {unit}".strip()


def table(plan: Plan, report: dict[str, Any]) -> str:
    """
    Return what a load takes, for a terminal.
    """
    machine = plan.machine
    rows: list[Row] = [
        ("CPU time", f"{plan.seconds:,.2f} cores' all, {plan.cores:,} cores at {100 * machine.busy:.0f} %"),
        ("memory", f"{plan.memory / GIB:,.1f} GiB"),
        ("traffic", f"{plan.network / 1e9:,.2f} Gbit/s"),
        ("access log", f"{plan.log / 1e9:,.0f} GB a day" if plan.load.log else "none"),
        ("machines", f"{plan.machines:,}, because of {plan.bound}; {plan.workers} workers on each"),
    ]
    needs = plan.needs()
    parts: list[Row] = [("on one machine, what is nearest to its bound first", "needed", "by default", "part")]
    parts += [
        (each.name, _amount(each.need, each.unit), _amount(each.has, each.unit), f"{100 * each.part:,.0f} %")
        for each in needs
    ]
    told = [f"{each.name}: {each.breaks}. Set: {each.setting}" for each in needs if each.part > 1]
    measured = f"measured {report['date']} on {report['cpu']}; {pages.costTold(report, machine)}"
    return "\n".join([*aligned(rows, 2), "", *aligned(parts), "", *told, *([""] if told else []), measured])


def main(arguments: Sequence[str]) -> int:
    """
    The command.

    @return: its exit status.
    """
    options = _options()
    given = options.parse_args(arguments)
    if given.measure or given.json is not None:
        return command.endingWell(lambda: _measure(given, arguments))
    if not (given.page or given.requests or given.connections or given.websockets):
        options.error("say what the load is: --requests, --connections, --websockets; or --measure")
    try:
        report = json.loads(given.inputs.read_text())
    except (OSError, ValueError) as error:
        say(f"{given.inputs} can't be read: {error}")
        return 1
    if given.page:
        _publish(report)
        return 0
    load = Load(
        requests=given.requests,
        connections=given.connections,
        new=(given.connections + given.websockets) / 60 if given.new is None else given.new,
        webSockets=given.websockets,
        messages=given.messages,
        tls=given.tls,
        proxied=given.proxied,
        app=given.app,
        sent=given.sent,
        received=given.received,
        log=not given.no_log,
    )
    machine = replace(
        Machine(),
        cores=int(given.cores),
        memory=int(given.memory * GIB),
        network=given.network * 1e9,
        disk=given.disk * 1e9,
        days=int(given.days),
        busy=given.busy,
    )
    print(table(Plan(load, report, machine), report))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
