"""
What an HTTP request costs a server: ours, and its peers.

    python -m benchmarks.http [--rounds 5] [--duration 3] [--cases CASE ...] [--candidates NAME ...] [--connections 50]
                              [--json FILE] [--plot FILE] [--markdown FILE]

Each candidate is a process of its own, started anew for each run and kept on one
core. wrk (Debian's package of that name) sends over loopback from another core,
with all connections in one thread; its requests differ from one another. Before
anything is timed, each candidate's answers to each case are compared with what
they should be, and the first answer of every run is again.

In each round all candidates take turns in each case, another one first in each
round. Figures are the median of the rounds, the spread their minimum and maximum.
A peer's CPU time is divided by ours of the same round, so that what changes from
round to round on the machine disturbs less.

Counted is the CPU time, of user and kernel, that the server's processes take while
wrk runs, divided by the answers that wrk counts. That includes opening the
connections, and up to one batch of requests for each connection that wrk leaves
behind unanswered: well below 1 % of a run of 3 seconds. Time before, such as a
warm-up by the same load, doesn't count. Latencies are those of a server that has
all it can do, from the first byte sent to the last one received; pipelined, that
of a batch.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
import resource
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from .httpload import CASES, Load
from .httppeers import CANDIDATES, Failed, pinnedTo, serving
from .httpreport import OURS, formatMarkdown, formatRun, formatTable, plot
from .parser import cpuModel

# How long a warm-up is at most, in seconds; it is no longer than the timed run. Node compiles what it runs often.
_WARM_UP = 1.0


def say(text: str) -> None:
    """
    Tell how far it is, beside the results.
    """
    print(text, file=sys.stderr, flush=True)


def check(loads: dict[str, Load], candidates: Sequence[str], core: int) -> None:
    """
    See that all candidates answer as they should.

    @raise Failed: one doesn't.
    """
    for name in candidates:
        with serving(CANDIDATES[name], core) as server:
            for load in loads.values():
                load.awaitReady(server)
                load.check(server)
        say(f"{name}: its answers are right")


def measure(load: Load, name: str, core: int, connections: int, duration: float) -> dict[str, Any]:
    """
    One run of one candidate.

    @param duration: seconds.
    @return: requests a second; CPU time a request, in us; the part of its core that was busy; latencies, in us; errors.
    """
    with serving(CANDIDATES[name], core) as server:
        load.awaitReady(server)
        load.send(server, connections, min(duration, _WARM_UP))
        before = server.cpu()
        counted = load.run(server, connections, duration)
        taken = server.cpu() - before
    seconds = counted["us"] / 1e6
    return {
        "rate": counted["requests"] / seconds,
        "cpu": taken * 1e6 / counted["requests"],
        "busy": taken / seconds,
        "p50": counted["p50"],
        "p99": counted["p99"],
        "errors": counted["errors"],
    }


def _spread(values: Sequence[float]) -> dict[str, Any]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "rounds": list(values)}


def summarise(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """
    What the rounds of one case say.

    @param runs: each candidate's.
    """
    ours = runs.get(OURS)
    summary = {}
    for name, taken in runs.items():
        found: dict[str, Any] = {
            key: _spread([run[key] for run in taken]) for key in ("rate", "cpu", "busy", "p50", "p99")
        }
        found["errors"] = {kind: sum(run["errors"][kind] for run in taken) for kind in taken[0]["errors"]}
        # The clock has ticks of 10 ms: a run that is short enough takes none.
        if ours is not None and name != OURS and all(run["cpu"] for run in ours):
            found["cpuByOurs"] = _spread([run["cpu"] / our["cpu"] for run, our in zip(taken, ours, strict=True)])
        summary[name] = found
    return summary


def run(given: argparse.Namespace, candidates: Sequence[str], arguments: Sequence[str]) -> dict[str, Any]:
    """
    Measure everything.

    @param candidates: those that can run here.
    @param arguments: what the command was given, for the record.
    @raise Failed: a candidate doesn't do its work.
    """
    available = sorted(os.sched_getaffinity(0))
    serverCore, loadCore = available[0], available[-1]
    runs: dict[str, dict[str, list[dict[str, Any]]]] = {case: {name: [] for name in candidates} for case in given.cases}
    with tempfile.TemporaryDirectory() as folder, pinnedTo(loadCore):
        loads = {name: Load(name, Path(folder)) for name in given.cases}
        check(loads, candidates, serverCore)
        order = list(candidates)
        for number in range(1, given.rounds + 1):
            for case, load in loads.items():
                for name in order:
                    taken = measure(load, name, serverCore, given.connections, given.duration)
                    runs[case][name].append(taken)
                    say(f"round {number} of {given.rounds}  {case:9}  {name:11}  {formatRun(taken)}")
            order.append(order.pop(0))
    return {
        "command": shlex.join(["python", "-m", "benchmarks.http", *arguments]),
        "date": time.strftime("%Y-%m-%d"),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "candidates": {
            name: {"title": CANDIDATES[name].title, "versions": CANDIDATES[name].versions()} for name in candidates
        },
        "wrk": _wrkVersion(),
        "cpu": cpuModel(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": {"server": serverCore, "load": loadCore},
        "rounds": given.rounds,
        "duration": given.duration,
        "cases": [
            {
                "name": name,
                "title": CASES[name].title,
                "connections": given.connections * CASES[name].factor,
                "depth": CASES[name].depth,
                "candidates": summarise(runs[name]),
            }
            for name in given.cases
        ],
    }


def _wrkVersion() -> str:
    # It prints that beside its usage, and ends with status 1.
    told = subprocess.run(["wrk", "--version"], capture_output=True, text=True)
    found = re.search(r"wrk \S*?(\d[\w.]*)", told.stdout + told.stderr)
    return "wrk" if found is None else f"wrk {found[1]}"


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    options = argparse.ArgumentParser(
        prog="python -m benchmarks.http", description="What an HTTP request costs a server, beside its peers."
    )
    options.add_argument("--rounds", type=int, default=5, help="how many rounds to take the median of (%(default)s)")
    options.add_argument("--duration", type=float, default=3.0, help="how long each run is, in seconds (%(default)s)")
    options.add_argument("--connections", type=int, default=50, help="how many; the case 'many' has 10 x that (50)")
    for option, table in (("--cases", CASES), ("--candidates", CANDIDATES)):
        options.add_argument(
            option, nargs="+", choices=table, default=list(table), metavar="NAME", help=", ".join(table)
        )
    options.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    options.add_argument("--plot", type=Path, metavar="FILE", help="draw a bar chart (.png, .svg); needs matplotlib")
    options.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables as a page")
    given = options.parse_args(arguments)
    if given.rounds < 1:
        options.error("--rounds must be at least 1")
    if not (math.isfinite(given.duration) and 0.1 <= given.duration <= 600):
        options.error("--duration must be from 0.1 to 600")
    # Servers and wrk inherit the limit; some files beside the connections are open anyway.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    most = (hard - 100) // max(CASES[name].factor for name in given.cases)
    if not 1 <= given.connections <= most:
        options.error(f"--connections must be from 1 to {most}: there may be {hard} descriptors")
    # In the table's order, and none twice.
    given.cases = [name for name in CASES if name in given.cases]
    given.candidates = [name for name in CANDIDATES if name in given.candidates]
    return given


def _unable(given: argparse.Namespace) -> str | None:
    """
    Why it can't be measured here; who lacks something learns so before the measuring.
    """
    if not hasattr(os, "sched_setaffinity"):
        return "this needs Linux: a core for the server, another for the load, and /proc"
    if len(os.sched_getaffinity(0)) < 2:
        return "this needs two cores: one for the server, one for the load"
    if shutil.which("wrk") is None:
        return "wrk is missing: apt-get install wrk"
    if given.plot is not None and not find_spec("matplotlib"):
        return "matplotlib is missing: pip install 'wasinet_twisted[bench]'"
    return None


def _end(number: int, _: object) -> NoReturn:
    # An exception, so that what was started is stopped.
    raise SystemExit(128 + number)


def main(arguments: Sequence[str]) -> int:
    """
    The command.

    @return: its exit status.
    """
    given = _parse(arguments)
    unable = _unable(given)
    if unable is not None:
        say(unable)
        return 1
    candidates = []
    for name in given.candidates:
        missing = CANDIDATES[name].missing()
        if missing is None:
            candidates.append(name)
        else:
            say(f"{name} is skipped: {missing}")
    if not candidates:
        say("nothing is left to measure")
        return 1
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, _end)
    # A shell's background jobs ignore it, and would the servers too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        report = run(given, candidates, arguments)
    except Failed as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    print(formatTable(report))
    if given.json is not None:
        given.json.write_text(json.dumps(report, indent=1) + "\n")
    if given.plot is not None:
        plot(report, given.plot)
    if given.markdown is not None:
        picture = None
        if given.plot is not None:
            picture = Path(os.path.relpath(given.plot, given.markdown.parent)).as_posix()
        given.markdown.write_text(formatMarkdown(report, picture), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
