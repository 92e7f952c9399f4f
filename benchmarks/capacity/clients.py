"""
The clients of L{measuring}: in Python, since the server's CPU time alone counts.
"""

from __future__ import annotations

import random
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..candidates import Server

REQUEST = b"GET /articles/12345 HTTP/1.1\r\nHost: www.example.com\r\nAccept: */*\r\n\r\n"
LAST = REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
# What they are answered with.
_BODY = b"path:/articles/12345"
# That, and what a handler answers that has worked.
_ENDS = (b"\r\n\r\n" + _BODY, b"\r\n\r\ndone")
# PROXY, version 2: TCP over IPv4, from 192.0.2.1:4711 to 192.0.2.2:443.
PROXY = b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + bytes([192, 0, 2, 1, 192, 0, 2, 2]) + b"\x12\x67\x01\xbb"
# What has a handler work, see benchmarks.peers.working.
WORK = b"GET /%d HTTP/1.1\r\nHost: www.example.com\r\n\r\n"
# How long nothing may come, in seconds, before the open loop gives up.
_STALL = 10.0
# How much waiting for cores says that other programs disturb, and how often something is tried then.
_DISTURBED = 0.03
_TRIES = 3

Open = Callable[[Server], socket.socket]


def opening(context: ssl.SSLContext | None = None, header: bytes = b"") -> Open:
    """
    Return what opens a connection.

    @param context: TLS is spoken with it.
    @param header: what comes first.
    """

    def connect(server: Server) -> socket.socket:
        conn = server.connect()
        if header:
            conn.sendall(header)
        return conn if context is None else context.wrap_socket(conn, server_hostname="localhost")

    return connect


def _receive(server: Server, conn: socket.socket) -> None:
    """
    Take one answer.

    @raise Failed: it is a wrong one.
    """
    came = b""
    while not came.endswith(_BODY) and (more := conn.recv(65536)):
        came += more
    if not came.startswith(b"HTTP/1.1 200 ") or came.count(b"\r\n\r\n") != 1:
        raise server.failure(f"answered {came[:80]!r}")


def closing(server: Server, connect: Open, count: int) -> float:
    """
    Ask over a new connection each, one after the other.

    @return: the server's CPU time for each, in us.
    @raise Failed: the server doesn't do its work.
    """
    # The first ones warm it up.
    for number in range(-(count // 10) - 1, count):
        if number == 0:
            before = server.cpu()
        with connect(server) as conn:
            conn.sendall(LAST)
            _receive(server, conn)
            if conn.recv(1):
                raise server.failure("goes on after its last answer")
    return (server.cpu() - before) * 1e6 / count


@contextmanager
def kept(server: Server, connect: Open, count: int) -> Iterator[list[socket.socket]]:
    """
    Open connections that have had an answer each, and wait for their next request.

    @raise Failed: the server doesn't do its work.
    """
    with ExitStack() as held:
        conns = []
        for _ in range(count):
            conn = held.enter_context(connect(server))
            conn.sendall(REQUEST)
            _receive(server, conn)
            conns.append(conn)
        yield conns


def asking(server: Server, conns: Sequence[socket.socket], seconds: float) -> float:
    """
    Ask over all connections at once, again and again.

    @return: the server's CPU time a request, in us.
    @raise Failed: the server doesn't do its work.
    """
    count, before, until = 0, server.cpu(), time.monotonic() + seconds
    while not count or time.monotonic() < until:
        for conn in conns:
            conn.sendall(REQUEST)
        for conn in conns:
            _receive(server, conn)
        count += len(conns)
    return (server.cpu() - before) * 1e6 / count


def working(server: Server, work: int, seconds: float) -> float:
    """
    Have the handler work without a pause: of two connections one always waits.

    @return: the server's CPU time a request, in seconds.
    @raise Failed: the server doesn't do its work.
    """
    request, count = WORK % work, 0
    with server.connect() as one, server.connect() as other:
        one.sendall(request)
        before, until = server.cpu(), time.monotonic() + seconds
        while time.monotonic() < until:
            other.sendall(request)
            if not one.recv(65536).endswith(_ENDS):
                raise server.failure("gives a wrong answer")
            one, other = other, one
            count += 1
        one.recv(65536)
    return (server.cpu() - before) / count


def idle(server: Server, connect: Open, first: int, count: int, rest: float) -> float:
    """
    Return how many bytes of the server's memory a connection takes that waits for its next request.

    @param first: so many come before those that are counted.
    @param rest: how long the server has to come to rest, in seconds.
    @raise Failed: the server doesn't do its work.
    """
    with kept(server, connect, first):
        time.sleep(rest)
        before = server.resident()
        with kept(server, connect, count):
            time.sleep(rest)
            return (server.resident() - before) / count


@dataclass(frozen=True)
class Taken:
    """
    What an open loop has measured.

    @ivar rate: answers a second.
    @ivar busy: the part of its core that the server had busy.
    @ivar waited: as a part of the time, how long the server and the load were kept from their cores by other programs.
    @ivar latencies: that of each request, in seconds.
    """

    rate: float
    busy: float
    waited: float
    latencies: list[float]

    @property
    def cost(self) -> float:
        """
        The server's CPU time a request, in seconds.
        """
        return self.busy / self.rate


def _queued(server: Server) -> float:
    """
    Return how long the server and this process have waited for their cores, in seconds. 0: this system doesn't tell.
    """
    try:
        return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) for pid in (server.pid, "self")) / 1e9
    except (OSError, IndexError):
        return 0.0


def leastDisturbed(measure: Callable[[], Taken]) -> Taken:
    """
    Measure again, twice at the most, while other programs need the cores; return what they have disturbed least.
    """
    found: list[Taken] = []
    while len(found) < _TRIES and (not found or found[-1].waited > _DISTURBED):
        found.append(measure())
    return min(found, key=lambda each: each.waited)


def openLoop(server: Server, rate: float, seconds: float, requests: Sequence[bytes], shares: Sequence[float]) -> Taken:
    """
    Send requests at random times, each over a connection that waits for none, however long the others take.

    @param requests: the kinds of them.
    @param shares: how large a part of all each kind is.
    @raise Failed: the server doesn't do its work.
    """
    rng = random.Random(f"{rate} {seconds}")
    due = [0.0]
    while due[-1] < seconds:
        due.append(due[-1] + rng.expovariate(rate))
    wires = rng.choices(requests, shares, k=len(due))
    free: list[socket.socket] = []
    sent: dict[int, tuple[socket.socket, float]] = {}
    found: list[float] = []
    with ExitStack() as held:
        poller = held.enter_context(select.epoll())

        def connect() -> socket.socket:
            conn = held.enter_context(server.connect())
            poller.register(conn, select.EPOLLIN)
            return conn

        free += [connect() for _ in range(50)]
        before, queued, began = server.cpu(), _queued(server), time.perf_counter()
        at = 0
        while at < len(due) or sent:
            now = time.perf_counter() - began
            while at < len(due) and due[at] <= now:
                conn = free.pop() if free else connect()
                sent[conn.fileno()] = conn, time.perf_counter()
                conn.sendall(wires[at])
                at += 1
            # epoll's own timeout is in ms; that of select on its descriptor isn't.
            wait = max(0.0, due[at] - now) if at < len(due) else _STALL
            if not select.select([poller], [], [], wait)[0]:
                if at == len(due):
                    raise server.failure(f"gave no answer for {_STALL:g} s")
                continue
            for descriptor, _ in poller.poll(0):
                conn, since = sent.pop(descriptor)
                answer = conn.recv(65536)
                found.append(time.perf_counter() - since)
                if not answer.startswith(b"HTTP/1.1 200 ") or not answer.endswith(_ENDS):
                    raise server.failure(f"answered {answer[:80]!r}")
                free.append(conn)
        taken = time.perf_counter() - began
        waited = (_queued(server) - queued) / taken
        return Taken(len(found) / taken, (server.cpu() - before) / taken, waited, found)
