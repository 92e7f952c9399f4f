"""
What each layer of ours takes, without the kernel: the sockets are not real, the rest is.

    python -m benchmarks.layers [--rounds 60] [--json FILE]

Each figure is the least of many rounds: what is left when the machine disturbs
nothing and all caches are warm. A server with many connections pays more for the
same, since what it touches is never all in the processor's caches. Requests differ
from one another.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from contextvars import copy_context
from pathlib import Path
from select import EPOLLIN
from types import SimpleNamespace
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock

from wasinet_twisted.http import Buffer, ServerConnection, WasiResponse
from wasinet_twisted.http.exchange import IDLE
from wasinet_twisted.http.outgoing import fastResponse
from wasinet_twisted.net import ConnectionFactory, WasiTcpConn
from wasinet_twisted.reactor.epoll import EPollReactor
from wasinet_twisted.reactor.transports import Server
from wasinet_twisted.server.dates import dateLine
from wasinet_twisted.server.limits import ServerLimits
from wasinet_twisted.server.request import Request
from wasinet_twisted.server.serving import HttpServer
from wasinet_twisted.server.statistics import Statistics

from . import command
from .httpload import CASES
from .peers.ours import handler

# How often a thing is done in a round.
_COUNT = 500
_MESSAGE = bytes(range(64))


class Nowhere:
    """
    A transport that sends nothing.
    """

    dataBuffer = b""
    offset = 0
    _tempDataLen = 0

    def getPeer(self) -> IPv4Address:
        """
        Somebody.
        """
        return IPv4Address("TCP", "127.0.0.1", 1)

    getHost = getPeer

    def ignore(self, *_: object) -> None:
        """
        Whatever is asked for.
        """

    write = registerProducer = unregisterProducer = pauseProducing = resumeProducing = ignore
    loseConnection = abortConnection = ignore


def least(rounds: int, do: Callable[[], object], count: int) -> float:
    """
    How long C{do} takes for one of its C{count} things, in us.
    """
    best = float("inf")
    for _ in range(rounds):
        before = time.perf_counter()
        do()
        best = min(best, time.perf_counter() - before)
    return best / count * 1e6


def timesOver(do: Callable[[], object]) -> Callable[[], None]:
    """
    The same, often.
    """

    def often() -> None:
        for _ in range(_COUNT):
            do()

    return often


def reactorTurn() -> tuple[Callable[[], None], int]:
    """
    A turn of the reactor with fifty connections that echo.
    """
    count = 50
    reactor = EPollReactor()
    epoll = SimpleNamespace(register=_nothing, modify=_nothing, unregister=_nothing)
    reactor._poller.close()
    reactor._poller = epoll

    class Echo(Protocol):
        def dataReceived(self, data: bytes) -> None:
            self.transport.write(data)  # type: ignore[union-attr]

    for number in range(count):
        # Functions in C, as a socket's are.
        socket: Any = SimpleNamespace(
            recv={Server.bufferSize: _MESSAGE}.get, send=len, setblocking=_nothing, fileno=lambda number=number: number
        )
        protocol = Echo()
        protocol.makeConnection(Server(socket, protocol, ("127.0.0.1", 1), None, number, reactor))  # type: ignore[arg-type]
    epoll.poll = lambda timeout, most: [(number, EPOLLIN) for number in range(count)]
    return lambda: reactor.doPoll(0), count


def _nothing(*_: object) -> None:
    pass


async def _echo(conn: WasiTcpConn) -> None:
    while data := await conn.read():
        conn.write(data)


def measure(rounds: int) -> dict[str, float]:
    """
    Everything.

    @return: what, and how many us it takes.
    """
    found: dict[str, float] = {}

    def add(what: str, do: Callable[[], object], count: int = _COUNT) -> None:
        found[what] = least(rounds, do, count)
        command.say(f"{what:58}  {found[what]:5.2f} us")

    add("reactor: an event, read, written, sent", *reactorTurn())
    factory = ConnectionFactory(_echo, reactor=Clock())
    protocol = factory.buildProtocol(None)
    protocol.makeConnection(Nowhere())
    add("net: an awaited read and a write", timesOver(lambda: protocol.dataReceived(_MESSAGE)))

    server = HttpServer(handler, limits=ServerLimits(), reactor=Clock())
    date = dateLine(time.time())
    for case, title in (("post", "POST, 3 fields"), ("browser", "GET, 12 fields")):
        rng = random.Random(case)
        wires = [CASES[case].make(rng).wire for _ in range(_COUNT)]
        buffer = Buffer("request")

        def parse(wires: Sequence[bytes] = wires, buffer: Buffer = buffer) -> None:
            for wire in wires:
                buffer.append(wire)
                buffer.parseRequest()

        machine = ServerConnection(requestClass=Request)

        def whole(wires: Sequence[bytes] = wires, machine: ServerConnection[Request] = machine) -> None:
            for wire in wires:
                # As if the one before had been answered.
                machine.exchange.state = IDLE
                machine.receive(wire, 0.0)

        connection = server.buildProtocol(None)
        connection.makeConnection(Nowhere())

        def serve(wires: Sequence[bytes] = wires, connection: Any = connection) -> None:
            for wire in wires:
                connection.dataReceived(wire)

        add(f"http: {title}: appended and parsed", parse)
        add(f"http: {title}: read as the server does", whole)
        add(f"server: {title}: from bytes to bytes", serve)

    fields = {"Content-Type": "text/plain"}
    response = WasiResponse(headers=fields, body=_MESSAGE)
    statistics = Statistics()

    async def empty() -> None:
        return

    def handle() -> None:
        # contextlib.suppress() would take longer than that.
        try:  # noqa: SIM105
            copy_context().run(empty().send, None)
        except StopIteration:
            pass

    def count() -> None:
        statistics.requests += 1
        statistics.answered(200, 0.0001, 100)

    add("  of this: a response made", timesOver(lambda: WasiResponse(headers=fields, body=_MESSAGE)))
    add("  of this: a response encoded", timesOver(lambda: fastResponse(response, "POST", date, b"")))
    add("  of this: a coroutine run in a context of its own", timesOver(handle))
    add("  of this: statistics", timesOver(count))
    return found


def main(arguments: Sequence[str]) -> int:
    """
    The command.

    @return: its exit status.
    """
    options = argparse.ArgumentParser(
        prog="python -m benchmarks.layers", description="What each layer takes, without the kernel."
    )
    options.add_argument("--rounds", type=int, default=60, help="how many rounds to take the least of (%(default)s)")
    options.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    given = options.parse_args(arguments)
    if given.rounds < 1:
        options.error("--rounds must be at least 1")
    found = measure(given.rounds)
    if given.json is not None:
        given.json.write_text(json.dumps({**command.facts("layers", arguments), "us": found}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
