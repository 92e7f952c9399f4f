"""
How much memory a connection takes that does nothing but wait: ours, and its peers'.

    python -m benchmarks.connections [--count 10000] [--rounds 3] [--candidates NAME ...]
                                     [--json FILE] [--plot FILE] [--markdown FILE]

The candidates are those of C{benchmarks.tcp} and of C{benchmarks.http}. Each is a
process of its own. Every connection has had an answer, an echo of 64 bytes or that
to a browser's GET, and waits for its next message, as connections do that are kept
alive.

Counted is what the resident memory of the server's processes grows by, after a
first thousand connections that warm it up; the kernel's own memory (some KiB for
each socket) is the same for all and not part of it. That nobody has closed a
connection meanwhile is checked.
"""

from __future__ import annotations

import argparse
import os
import random
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import wrap
from typing import Any

from . import command, httppeers, tcppeers
from .candidates import Candidate, Server, pinnedTo, pure, serving
from .command import say
from .httpload import CASES, readAnswer
from .report import PEER, Bar, Panel, Row, aligned, by, draw, page, piped, rounds, span, spread
from .rounds import available
from .serverreport import colours

WARM_UP = 1000
# How long a server gets to come to rest, in seconds.
_REST = 0.3
_CHART = "What an idle connection takes, beside its peers"


def _echo(conn: socket.socket, rng: random.Random) -> bool:
    sent = rng.randbytes(64)
    conn.sendall(sent)
    return conn.recv(len(sent), socket.MSG_WAITALL) == sent


def _get(conn: socket.socket, rng: random.Random) -> bool:
    exchange = CASES["browser"].make(rng)
    conn.sendall(exchange.wire)
    with conn.makefile("rb") as answers:
        return readAnswer(answers) == (200, exchange.body)


@dataclass(frozen=True)
class Kind:
    """
    A kind of connections.

    @ivar exchange: lets one have an answer. Is it the right one?
    @ivar candidates: the first is ours: the others are compared with it.
    @ivar colours: those of bars that aren't an ordinary peer's.
    """

    title: str
    exchange: Callable[[socket.socket, random.Random], bool]
    candidates: dict[str, Candidate]
    colours: dict[str, str]


_ECHOING = {
    name: candidate.given(writes=1, nodelay=1)
    for name, candidate in tcppeers.CANDIDATES.items()
    if name != tcppeers.FLOOR
}
KINDS = {
    "tcp": Kind(
        "TCP connections, each has had an echo",
        _echo,
        _ECHOING,
        colours([tcppeers.OURS, tcppeers.PROTOCOL], [tcppeers.UVLOOP]),
    ),
    "http": Kind(
        "HTTP connections, each has had an answer",
        _get,
        httppeers.CANDIDATES,
        colours([httppeers.OURS, httppeers.STOCK], ["handwritten"]),
    ),
}
CANDIDATES = {name: candidate for kind in KINDS.values() for name, candidate in kind.candidates.items()}


def connect(server: Server, kind: Kind, count: int, rng: random.Random, held: ExitStack) -> list[socket.socket]:
    """
    Open connections that have had an answer each.

    @raise Failed: a wrong one.
    """
    conns = []
    for _ in range(count):
        conn = held.enter_context(server.connect())
        try:
            right = kind.exchange(conn, rng)
        except OSError as error:
            raise server.failure(str(error)) from error
        if not right:
            raise server.failure("gives a wrong answer")
        conns.append(conn)
    return conns


def checkOpen(server: Server, conns: Sequence[socket.socket]) -> None:
    """
    See that nobody has closed them.

    @raise Failed: somebody has.
    """
    for conn in conns:
        conn.setblocking(False)
        try:
            conn.recv(1)
        except BlockingIOError:
            continue
        except OSError:
            pass
        raise server.failure("has ended connections, or sent something more")


def measure(kind: Kind, candidate: Candidate, count: int, core: int) -> float:
    """
    @return: bytes a connection.
    @raise Failed: the candidate doesn't do its work.
    """
    rng = random.Random(count)
    with serving(candidate, core) as server, ExitStack() as held:
        warm = connect(server, kind, WARM_UP, rng, held)
        time.sleep(_REST)
        before = server.resident()
        conns = connect(server, kind, count, rng, held)
        time.sleep(_REST)
        after = server.resident()
        checkOpen(server, warm + conns)
    return (after - before) / count


def run(
    candidates: Sequence[str], count: int, roundCount: int, folder: Path, arguments: Sequence[str]
) -> dict[str, Any]:
    """
    Measure everything.

    @raise Failed: a candidate doesn't do its work.
    """
    cores = sorted(os.sched_getaffinity(0))
    table = {name: CANDIDATES[name].compiled(folder / name) for name in candidates}
    found: dict[str, list[float]] = {name: [] for name in candidates}
    with pinnedTo(cores[-1]):
        for number in range(1, roundCount + 1):
            for kind in KINDS.values():
                for name in command.inOrder(kind.candidates, candidates):
                    taken = measure(kind, table[name], count, cores[0])
                    found[name].append(taken)
                    say(f"round {number} of {roundCount}  {name:16}  {taken:8,.0f} bytes a connection")
    return {
        **command.facts("connections", arguments),
        "count": count,
        "rounds": roundCount,
        "candidates": {
            name: {"title": candidate.title, "versions": candidate.versions()} for name, candidate in table.items()
        },
        "kinds": {
            name: summarise(kind, {peer: found[peer] for peer in command.inOrder(kind.candidates, candidates)})
            for name, kind in KINDS.items()
            if set(kind.candidates) & set(candidates)
        },
    }


def summarise(kind: Kind, found: dict[str, list[float]]) -> dict[str, Any]:
    """
    What the rounds say of one kind.
    """
    ours = next(iter(kind.candidates))
    if ours not in found:
        ours = pure(ours)
    figures = {name: spread(values) for name, values in found.items()}
    return {
        name: {
            "bytes": figure,
            "byOurs": by(figure, figures[ours]) if ours in figures and name != ours else None,
        }
        for name, figure in figures.items()
    }


def _table(report: dict[str, Any], kind: str) -> list[Row]:
    rows: list[Row] = [("server", "bytes a connection", "min - max", "its bytes / ours", "min - max")]
    for name, found in report["kinds"][kind].items():
        ratio = found["byOurs"]
        told = ("", "") if ratio is None else (f"{ratio['median']:.2f}", span(ratio, ".2f"))
        rows.append(
            (
                report["candidates"][name]["title"],
                f"{found['bytes']['median']:,.0f}",
                span(found["bytes"], ",.0f"),
                *told,
            )
        )
    return rows


def _machine(report: dict[str, Any]) -> str:
    return (
        f"{report['date']}, {report['cpu']}, {report['system']}, {report['python']}; {report['count']:,} connections, "
        f"{rounds(report)}"
    )


def formatTable(report: dict[str, Any]) -> str:
    """
    The report for a terminal.
    """
    lines = [_machine(report)]
    for kind in report["kinds"]:
        lines += ["", KINDS[kind].title, *aligned(_table(report, kind))]
    return "\n".join(lines)


def body(report: dict[str, Any], picture: str | None, level: int = 2) -> list[str]:
    """
    The report as lines of a page.

    @param picture: the chart, as seen from the page.
    @param level: that of its headings.
    """
    about = (
        f"What the server's resident memory grows by with {report['count']:,} connections that wait for their next "
        "message, after a first thousand. The kernel's memory isn't part of it. How it is done stands in "
        "`benchmarks/connections.py`."
    )
    lines = [*wrap(about, 120), ""]
    if picture is not None:
        lines += [f"![{_CHART}]({picture})", ""]
    for kind in report["kinds"]:
        lines += [f"{'#' * level} {KINDS[kind].title}", "", *piped(_table(report, kind)), ""]
    return lines


def formatMarkdown(report: dict[str, Any], picture: str | None) -> str:
    """
    The report as a page of its own.
    """
    return page("Idle connections, measured", report, _machine(report), body(report, picture))


def plot(report: dict[str, Any], path: Path) -> None:
    """
    Draw the bar chart: a panel a kind.
    """
    panels = []
    for kind, found in report["kinds"].items():
        bars = []
        for name, figures in found.items():
            told = f"{figures['bytes']['median']:,.0f}"
            if figures["byOurs"] is not None:
                told += f"  ({figures['byOurs']['median']:.2f} x ours)"
            colour = KINDS[kind].colours.get(name, PEER)
            title = report["candidates"][name]["title"]
            bars.append(Bar(title, figures["bytes"], told, colour, figures["byOurs"] is None))
        panels.append(Panel(KINDS[kind].title, bars))
    caption = (
        "bytes of memory a connection, less is better; each panel has its own scale; whiskers: the least and the most\n"
        f"of the rounds; {report['cpu']}; {report['python']}; {rounds(report)}; {report['date']}"
    )
    draw(path, _CHART, caption, panels)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """
    What the command was given.
    """
    options = command.parser("connections", "The memory of idle connections, beside its peers.", 3)
    options.add_argument("--count", type=int, default=10_000, help="connections at a time (%(default)s)")
    command.addNames(options, "--candidates", CANDIDATES)
    given = command.parse(options, arguments)
    most = command.raiseDescriptors() - WARM_UP - 100
    if not 1 <= given.count <= most:
        options.error(f"--count must be from 1 to {most}: there may be {most + WARM_UP + 100} descriptors")
    return given


def unable(given: argparse.Namespace) -> str | None:
    """
    Why it can't be measured here.
    """
    if not hasattr(os, "sched_setaffinity"):
        return "this needs Linux: a core for the server, and /proc"
    return command.undrawable(given)


def main(arguments: Sequence[str]) -> int:
    """
    The command.

    @return: its exit status.
    """
    given = parse(arguments)
    missing = unable(given)
    if missing is not None:
        say(missing)
        return 1
    candidates = available(CANDIDATES, command.inOrder(CANDIDATES, given.candidates))
    if not candidates:
        say("nothing is left to measure")
        return 1

    def work() -> int:
        with TemporaryDirectory() as folder:
            report = run(candidates, given.count, given.rounds, Path(folder), arguments)
        print(formatTable(report))
        command.write(given, report, formatMarkdown, plot)
        return 0

    return command.endingWell(work)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
