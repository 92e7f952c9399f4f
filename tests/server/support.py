"""
What the tests of the server share: one in memory, whose figures have to add up in the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase

from tests.support import MemoryPeer
from wasinet_twisted.http import Buffer, WasiResponse
from wasinet_twisted.server import HttpServer, Request, ServerLimits
from wasinet_twisted.server.serving import TICK, Handler
from wasinet_twisted.server.statistics import Statistics

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def message(method: str, path: str = "/", *fields: str, body: bytes = b"", version: str = "HTTP/1.1") -> bytes:
    """
    A request as it is on the wire.
    """
    return "\r\n".join((f"{method} {path} {version}", "Host: x", *fields, "", "")).encode("latin-1") + body


def get(path: str = "/", *fields: str) -> bytes:
    return message("GET", path, *fields)


def post(path: str, length: int, *fields: str, body: bytes = b"") -> bytes:
    """
    The head of a request with a body, and as much of that as is given.
    """
    return message("POST", path, f"Content-Length: {length}", *fields, body=body)


def chunked(path: str, *pieces: bytes, fields: tuple[str, ...] = ()) -> bytes:
    """
    A request with a chunked body. With b"" as the last piece it is complete.
    """
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return message("POST", path, "Transfer-Encoding: chunked", *fields, body=body)


def parse(data: bytes, *methods: str, ended: bool = False) -> list[WasiResponse]:
    """
    The responses that C{data} holds, and nothing but them.

    @param methods: what they answer; GET else.
    @param ended: has the stream ended after them?
    """
    buffer = Buffer("response")
    buffer.append(data)
    if ended:
        buffer.eof()
    left = list(methods)
    found = []
    method = left.pop(0) if left else None
    while (response := buffer.parseResponse(method)) is not None:
        found.append(response)
        if response.status >= 200:
            method = left.pop(0) if left else None
    assert len(buffer) == 0, data
    return found


def assertAddsUp(statistics: Statistics) -> None:
    """
    Everything has ended: nothing is open or in flight, and each request has got its answer or has not, once.
    """
    answered = sum(statistics.buckets)
    refused = sum(statistics.refusals.values())
    assert statistics.inFlight == 0, statistics.inFlight
    assert statistics.openConnections == 0, statistics.openConnections
    assert sum(statistics.statuses) == answered + refused
    assert answered + statistics.abandonedRequests <= statistics.requests
    assert statistics.requests <= answered + statistics.abandonedRequests + refused


class MemoryServerCase(SynchronousTestCase):
    """
    A server in memory, by a Clock. In the end all connections are reset, and nothing may be left.

    @ivar server: the latest that L{serve} has made.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.peers: list[MemoryPeer] = []
        self.servers: list[HttpServer] = []

    def tearDown(self) -> None:
        for peer in self.peers:
            peer.reset()
        for server in self.servers:
            self.assertEqual(server.tasks, set())
            assertAddsUp(server.statistics)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    @property
    def server(self) -> HttpServer:
        return self.servers[-1]

    def serve(self, handler: Handler, /, **limits: Any) -> HttpServer:
        self.servers.append(HttpServer(handler, limits=ServerLimits(**limits), reactor=self.clock))
        return self.server

    def connect(self, *sent: bytes, halfClose: bool = True) -> MemoryPeer:
        peer = MemoryPeer(self.server, self.clock, halfClose=halfClose)
        self.peers.append(peer)
        for data in sent:
            peer.send(data)
        return peer

    def sleep(self, seconds: float) -> Deferred[None]:
        return deferLater(self.clock, seconds)

    def advance(self, seconds: float) -> None:
        """
        Let time pass.
        """
        # Any of them has the clock.
        self.peers[0].link.advance(seconds)

    def status(self, peer: MemoryPeer, *methods: str) -> int:
        """
        The status of the one answer.
        """
        (response,) = parse(peer.take(), *methods)
        return response.status

    def dropped(self, reason: str) -> int:
        return self.server.statistics.drops[reason]

    def assertOpen(self, peer: MemoryPeer) -> None:
        self.assertFalse(peer.gone or peer.transport.disconnecting, "closed")

    def assertClosed(self, peer: MemoryPeer) -> None:
        self.assertTrue(peer.gone, "still open")
        self.assertFalse(peer.aborted, "reset, not closed")

    def assertReset(self, peer: MemoryPeer) -> None:
        self.assertTrue(peer.gone, "still open")
        self.assertTrue(peer.aborted, "closed, not reset")

    def assertGoesOn(self, peer: MemoryPeer) -> None:
        """
        The next request on the connection is answered, and with its own answer.
        """
        peer.send(get("/next"))
        (response,) = parse(peer.take())
        self.assertEqual((response.status, response.body), (200, b"/next"))

    def twoSides(self, seconds: float, before: Callable[[], object], after: Callable[[], object]) -> None:
        """
        A deadline in so many seconds: C{before} holds just before it, C{after} after it.
        """
        self.advance(seconds - 0.01)
        before()
        self.advance(0.01 + TICK)
        after()


def uriOf(request: Request) -> WasiResponse:
    """
    A handler: the answer is the request's target.
    """
    return WasiResponse(body=request.uri)
