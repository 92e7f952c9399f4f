"""
What programs gain that know nothing of this package, only from its reactors: their CPU time on Twisted's and on ours.

    python -m benchmarks.reactor [--rounds 3] [--seconds 1] [--programs NAME ...]
                                 [--json FILE] [--markdown docs/reactor.md]

Each program (C{peers/programs.py}) is a server and clients that ask it again and
again, as processes of their own on a core each. One side is measured, on each
reactor in turn; the other one runs on ours. Counted is the CPU time, of user and
kernel, for each answer. Figures are the median of the rounds; ratios are those of
the same round. All take some five minutes.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import command
from .candidates import PATIENCE, Candidate, Failed, environment, module, pinnedTo, serving
from .peers.programs import PROGRAMS
from .report import by, piped, span, spread
from .rounds import lacking, twoCores

BEGIN, END = "<!-- benchmark -->\n", "<!-- end of benchmark -->\n"

REACTORS = ("epoll", "wasinet", "asyncio", "wasinet-asyncio")
# The one that all programs run on if they aren't measured.
_OTHER = "wasinet"
# The echo runs on these as well; the last one is no reactor of Twisted's.
_LOOPS = ("uvloop", "wasinet-uvloop", "protocol")
_TITLES = {
    "epoll": "Twisted's epoll reactor",
    "wasinet": "ours",
    "asyncio": "`AsyncioSelectorReactor`",
    "wasinet-asyncio": "ours for asyncio",
    "uvloop": "`AsyncioSelectorReactor` on uvloop's loop",
    "wasinet-uvloop": "ours for asyncio on uvloop's loop",
    "protocol": "no Twisted: a Protocol of uvloop's",
}


def _candidate(program: str, reactor: str, role: str, seconds: float, port: str = "{port}") -> Candidate:
    packages = ("twisted", *getattr(PROGRAMS[program], "packages", ()), *(("uvloop",) if "uvloop" in reactor else ()))
    started = module("benchmarks.peers.programs", reactor, program, role, port, str(seconds))
    if reactor == "protocol":
        packages, started = ("uvloop",), module("benchmarks.peers.tcpasyncio", "uvloop", "protocol", port, "1", "1")
    return Candidate(f"{program} on {reactor}", started, packages)


def measure(program: str, reactor: str, seconds: float) -> float:
    """
    One run.

    @return: the CPU time for each answer, in us.
    @raise Failed: it gives none.
    """
    measured, other = twoCores()
    isClient = getattr(PROGRAMS[program], "client", False)
    serves, asks = (_OTHER, reactor) if isClient else (reactor, _OTHER)
    with serving(_candidate(program, serves, "serve", seconds), other if isClient else measured) as server:
        server.connect().close()
        asking = _candidate(program, asks, "ask", seconds, str(server.port))
        with pinnedTo(measured if isClient else other):
            client = subprocess.Popen(
                asking.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(asking), text=True
            )
        try:
            assert client.stdin is not None
            assert client.stdout is not None
            if not client.stdout.readline():
                raise server.failure("the clients ended")
            before = server.cpu()
            told, _ = client.communicate("\n", timeout=seconds + PATIENCE)
            taken = server.cpu() - before
        except subprocess.TimeoutExpired:
            raise Failed(f"{program} on {reactor}: no end after {seconds + PATIENCE:g} s") from None
        finally:
            client.kill()
            client.wait()
        if not told:
            raise server.failure("the clients ended")
    counted = json.loads(told)
    return float((counted["cpu"] if isClient else taken) * 1e6 / counted["count"])


def rounds(programs: Sequence[str], count: int, seconds: float) -> dict[str, dict[str, Any]]:
    """
    All programs on all reactors, which take turns.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for number in range(count):
        for program in programs:
            reactors = [*REACTORS, *(_LOOPS if program == "echo" else ())]
            start = number % len(reactors)
            for reactor in reactors[start:] + reactors[:start]:
                taken = measure(program, reactor, seconds)
                command.say(f"round {number + 1}: {program} on {reactor}: {taken:.2f} us")
                found.setdefault(program, {}).setdefault(reactor, []).append(taken)
    return {program: {on: spread(each) for on, each in figures.items()} for program, figures in found.items()}


def body(report: dict[str, Any]) -> list[str]:
    """
    The tables.
    """
    rows = [("program", "Twisted's epoll reactor", "ours, of that", "`AsyncioSelectorReactor`", "ours, of that")]
    for program, figures in report["programs"].items():
        row = [PROGRAMS[program].title]
        for stock, ours in (("epoll", "wasinet"), ("asyncio", "wasinet-asyncio")):
            ratio = by(figures[ours], figures[stock])
            row += [f"{figures[stock]['median']:.1f} µs", f"{ratio['median']:.2f} ({span(ratio, '.2f')})"]
        rows.append(tuple(row))
    lines = [
        f"{report['date']}: {report['cpu']}; {report['python']}, {report['versions']}; ours is {report['speed']}.",
        "",
        "CPU time for each answer, with 50 clients; less is better. Measured is the server, of treq the client.",
        "",
        *piped(rows),
    ]
    if "echo" in report["programs"]:
        echo = report["programs"]["echo"]
        rows = [("the echo of 64 bytes on", "CPU time", "of Twisted's epoll reactor")]
        for reactor, title in _TITLES.items():
            ratio = by(echo[reactor], echo["epoll"])
            rows.append((title, f"{echo[reactor]['median']:.1f} µs", f"{ratio['median']:.2f} ({span(ratio, '.2f')})"))
        lines += ["", *piped(rows)]
    return lines


def run(given: argparse.Namespace, programs: Sequence[str], arguments: Sequence[str]) -> int:
    """
    Measure, and write what was asked for.

    @raise Failed: a run gives no figures.
    """
    needed = {name for each in programs for name in _candidate(each, "uvloop", "serve", 1).versions().split(", ")}
    report = {
        **command.facts("reactor", arguments),
        "versions": ", ".join(sorted(needed)),
        "programs": rounds(programs, given.rounds, given.seconds),
    }
    lines = body(report)
    print("\n".join(lines))
    if given.json is not None:
        given.json.write_text(json.dumps(report, indent=1) + "\n")
    if given.markdown is not None:
        text = given.markdown.read_text()
        given.markdown.write_text(_between().sub(lambda _: "\n".join(lines) + "\n", text))
    return 0


def _between() -> re.Pattern[str]:
    return re.compile(f"(?<={re.escape(BEGIN)}).*(?={re.escape(END)})", re.DOTALL)


def main(arguments: Sequence[str]) -> int:
    """
    The command.

    @return: its exit status.
    """
    options = argparse.ArgumentParser(prog="python -m benchmarks.reactor", description="What programs gain from ours.")
    options.add_argument("--rounds", type=int, default=3, help="how many to take the median of (%(default)s)")
    options.add_argument("--seconds", type=float, default=1.0, help="how long a run is (%(default)s)")
    command.addNames(options, "--programs", PROGRAMS)
    options.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    options.add_argument("--markdown", type=Path, metavar="FILE", help="put the tables into this page, in their place")
    given = options.parse_args(arguments)
    if given.rounds < 1 or not 0.05 <= given.seconds <= 600:
        options.error("--rounds must be at least 1, --seconds from 0.05 to 600")
    if given.markdown is not None and not (
        given.markdown.is_file() and len(_between().findall(given.markdown.read_text())) == 1
    ):
        options.error(f"{given.markdown} has no place between {BEGIN.strip()} and {END.strip()}")
    programs = command.inOrder(PROGRAMS, given.programs)
    unable = lacking({})
    for program in programs:
        unable = unable or _candidate(program, "uvloop", "serve", 1).missing()
    if unable is not None:
        command.say(f"benchmarks.reactor: {unable}")
        return 1
    return command.endingWell(lambda: run(given, programs, arguments))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
