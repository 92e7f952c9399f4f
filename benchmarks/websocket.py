"""
What a WebSocket message costs a server that sends it back: ours, and its peers.

    python -m benchmarks.websocket [--rounds 5] [--duration 3] [--cases CASE ...] [--candidates NAME ...] [--idle 0]
                                   [--json FILE] [--plot FILE] [--markdown FILE]

How the runs are done stands in C{benchmarks/tcp.py}: the same program in C sends the
messages. Its connections make a handshake that offers no compression, and have one
message in flight each. A message is a masked frame of text. Each echo is compared
with what was sent, byte by byte.

The candidates on asyncio, uvicorn and our ASGI server, run a bare ASGI app that
sends back what comes, but for one of Starlette's.

With C{--idle}, each run of the first case is followed by another process of the same
candidate, which holds so many open WebSockets. Each has had one echo and waits for
the next message. Counted is what the resident memory of the server grows by, divided
by their number. A first fifty warm it up, and are not counted.
"""

from __future__ import annotations

import argparse
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import command
from .candidates import PATIENCE, Candidate, Server, serving
from .pingpong import COMPILER, HINT, Load
from .rounds import ServerBenchmark
from .serverreport import Words, colours
from .websocketpeers import ASGI, AUTOBAHN, CANDIDATES, OURS, STOCK, UVICORN, UVICORN_SANSIO

# How long a warm-up is at most, in seconds; it is no longer than the timed run.
_WARM_UP = 0.5
# How long a server gets to come to rest before its memory is measured, in seconds.
_REST = 0.5
# How many idle connections come before those that are counted.
_FIRST = 50
# Descriptors that the idle connections leave for all else.
_SPARED = 1000

_HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
# A frame of text whose mask is of zeros, and its echo, which nothing but its end ends with.
_SENT, _ECHO, _END = b"\x81\x88\x00\x00\x00\x00aaaaaaaz", b"\x81\x08aaaaaaaz", b"z"


@dataclass(frozen=True)
class Case:
    """
    A kind of load.

    @ivar title: how reports call it.
    @ivar size: of a message's text, in bytes, from 1 to 65535.
    @ivar connections: how many there are.
    """

    title: str
    size: int
    connections: int


CASES = {
    "64b-50": Case("64 B, back and forth", 64, 50),
    "64b-500": Case("64 B, back and forth", 64, 500),
    "4k-50": Case("4 KiB, back and forth", 4096, 50),
}

WORDS = Words(
    title="WebSocket echoes, measured",
    unit="message",
    latency=("µs", 1),
    references={OURS: "ours", ASGI: "our ASGI server's"},
    colours=colours([OURS, STOCK, ASGI, "asgi-starlette"], []),
    growth=("64b-50", "64b-500"),
    chart="What a WebSocket message costs the server, beside its peers",
    about=(
        "All servers send back each message, a frame of text; no compression is offered. “Ours” is a handler of our "
        "server on our reactor. Our ASGI server and uvicorn run the same bare app, Starlette's row aside. The CPU time "
        "is that of all of the server's processes, user and kernel, divided by the messages; the ratios are taken "
        "within each round. The latency mostly says how many messages the server answers a second. An idle WebSocket "
        "has had one echo and waits for the next message: what the server's resident memory grows by for each. How "
        "the runs are done stands in `benchmarks/websocket.py`."
    ),
)

# How many times ours a peer's CPU time a message is to be, at least, for 64 bytes and 50 connections: whose, and the
# peers. uvicorn's default is C{websockets} in older releases, C{websockets-sansio} in newer ones.
_GOALS: dict[str, dict[str, float]] = {
    OURS: {UVICORN: 1.0, UVICORN_SANSIO: 1.0, AUTOBAHN: 5},
    ASGI: {UVICORN: 1.0, UVICORN_SANSIO: 1.0},
}


def _idleCount(text: str) -> int:
    count, most = int(text), command.raiseDescriptors() - _SPARED
    if not 0 <= count <= most:
        raise argparse.ArgumentTypeError(
            f"{count} is not from 0 to {most}: there may be {most + _SPARED} descriptors, and {_SPARED} are kept free"
        )
    return count


def _receive(conn: socket.socket, end: bytes) -> bytes:
    """
    Return what comes, up to and with that end.

    @raise OSError: it doesn't come.
    """
    came = b""
    while not came.endswith(end):
        more = conn.recv(4096)
        if not more:
            raise ConnectionError("the server has ended it")
        came += more
    return came


@contextmanager
def _waiting(server: Server, count: int) -> Iterator[None]:
    """
    Keep so many WebSockets open, each of which has had an echo.

    @raise Failed: a handshake is refused, or what comes back isn't what was sent.
    """
    conns: list[socket.socket] = []
    try:
        for _ in range(count):
            conn = server.connect()
            conns.append(conn)
            conn.settimeout(PATIENCE)
            conn.sendall(_HANDSHAKE)
            if not _receive(conn, b"\r\n\r\n").startswith(b"HTTP/1.1 101 "):
                raise server.failure("the handshake is refused")
            conn.sendall(_SENT)
            if _receive(conn, _END) != _ECHO:
                raise server.failure("what came back isn't what was sent")
        yield
    except OSError as error:
        raise server.failure(f"an idle WebSocket fails: {error}") from error
    finally:
        for conn in conns:
            conn.close()


def idle(server: Server, count: int) -> float:
    """
    Return how many bytes of memory a WebSocket takes that has had an echo and waits for the next message.

    @param server: a fresh one: what earlier connections have left would be taken first.
    @param count: how many are counted.
    @raise Failed: the server doesn't keep them, or doesn't do its work.
    """
    with _waiting(server, _FIRST):
        time.sleep(_REST)
        before = server.resident()
        with _waiting(server, count):
            time.sleep(_REST)
            server.check()
            return (server.resident() - before) / count


class WebSocketBenchmark(ServerBenchmark):
    """
    Messages back and forth, and the memory of WebSockets that wait.
    """

    module = "websocket"
    description = "What a WebSocket message costs a server, beside its peers."
    words = WORDS
    cases = CASES
    candidates = CANDIDATES
    needed = {COMPILER: HINT}  # noqa: RUF012

    def addOptions(self, options: argparse.ArgumentParser) -> None:
        """
        The number of idle WebSockets.
        """
        options.add_argument(
            "--idle",
            type=_idleCount,
            default=0,
            metavar="COUNT",
            help="measure the memory of so many idle WebSockets, in the first case; 0 leaves that out (%(default)s)",
        )

    def connections(self, case: str) -> int:
        """
        How many there are in a case.
        """
        return CASES[case].connections

    def prepare(self, folder: Path, cases: Sequence[str], candidates: dict[str, Candidate], core: int) -> None:
        """
        Compile the load. It checks the handshakes and the echoes of all runs.
        """
        self._load = Load(folder)

    def measure(self, case: str, candidate: Candidate, core: int, duration: float) -> dict[str, Any]:
        """
        One run of one candidate.
        """
        asked = CASES[case]
        with serving(candidate, core) as server:
            taken = self._load.run(
                server, asked.connections, "websocket", asked.size, min(duration, _WARM_UP), duration
            )
        if self.given.idle and case == self.given.cases[0]:
            with serving(candidate, core) as server:
                taken["idle"] = idle(server, self.given.idle)
        return taken

    def load(self) -> str:
        """
        What sends.
        """
        return "load.c"

    def goals(self, cases: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
        """
        What peers take for what ours takes.
        """
        goals = []
        for reference, peers in _GOALS.items():
            for name, least in peers.items():
                found = cases.get("64b-50", {}).get(name, {}).get("cpuBy", {}).get(reference)
                if found is not None:
                    title = CANDIDATES[reference].title
                    text = f"64 B, 50 connections: {CANDIDATES[name].title} by {title} at least {least:g}"
                    goals.append({"text": text, "value": found["median"], "least": least})
        return goals


if __name__ == "__main__":
    raise SystemExit(WebSocketBenchmark().main(sys.argv[1:]))
