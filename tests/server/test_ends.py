"""
Each way in which a connection can end, in each state: the statistics add up, and each request has one line in the log.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from tests.support import MemoryPeer
from wasinet_twisted.http import WasiResponse
from wasinet_twisted.server import Request
from wasinet_twisted.tracing import Trace

from .support import MemoryServerCase, chunked, get, message, parse, post

UPGRADE = get("/upgrade", "Connection: upgrade", "Upgrade: echo")


class Log:
    """
    In the place of the access log.

    @ivar lines: the request, the status, and is it complete?
    """

    def __init__(self) -> None:
        self.lines: list[tuple[Request | None, int, bool]] = []

    def answered(
        self,
        peer: str,
        request: Request | None,
        status: int,
        size: int,
        seconds: float,
        complete: bool = True,
        tls: str | None = None,
        trace: Trace | None = None,
    ) -> None:
        self.lines.append((request, status, complete))

    def flush(self) -> None:
        """
        There is nothing to be flushed.
        """


# How far a connection has come: what has been sent on it, and does its peer take nothing?
STATES: dict[str, tuple[list[bytes], bool]] = {
    "nothing": ([], False),
    "a head": ([b"GET / HTTP/1.1\r\nHo"], False),
    "another head": ([get(), b"GET / HTTP/1.1\r\nHo"], False),
    "a body": ([post("/read", 100, body=b"half")], False),
    "a chunked body": ([chunked("/read", b"abc")], False),
    "an expected body": ([post("/read", 100, "Expect: 100-continue")], False),
    "an ignored body": ([post("/", 100, body=b"half")], False),
    "a handler": ([get("/wait")], False),
    "a handler over a body": ([post("/wait", 100, body=b"half")], False),
    "a stubborn handler": ([get("/stubborn")], False),
    "a handler with others behind": ([get() + get("/wait") + get() + get("/wait")], False),
    "interim": ([get("/interim")], False),
    "pieces": ([get("/pieces")], False),
    "pieces until the end": ([message("GET", "/pieces", version="HTTP/1.0")], False),
    "pieces with a length": ([get("/length")], False),
    "pieces with others behind": ([get("/pieces") + get()], False),
    "pieces over a body": ([post("/pieces", 100, body=b"half")], False),
    "pieces for HEAD": ([message("HEAD", "/pieces")], False),
    "a mirror": ([chunked("/mirror", b"abc")], False),
    "an answer": ([get()], False),
    "several answers": ([get() * 3], False),
    "the last answer": ([get("/", "Connection: close")], False),
    "the last answer before others": ([get("/", "Connection: close") + get()], False),
    "an answer that is not taken": ([get("/big")], True),
    "the last answer, not taken": ([get("/big", "Connection: close")], True),
    "pieces that are not taken": ([get("/flood")], True),
    "a refusal": ([b"nonsense\r\n\r\n"], False),
    "a refused body": ([chunked("/read", b"abc") + b"nonsense\r\n"], False),
    "an expectation": ([get("/", "Expect: more")], False),
    "a failure": ([get("/raise")], False),
    "a broken answer": ([get("/breaks")], False),
    "no response": ([get("/none")], False),
    "a tunnel": ([UPGRADE], False),
    "a tunnel that writes": ([get("/flooded", "Connection: upgrade", "Upgrade: echo")], True),
    "a CONNECT": ([message("CONNECT", "x:1")], False),
}


class EndTests(MemoryServerCase):
    def setUp(self) -> None:
        super().setUp()
        self.waiting: list[Deferred[None]] = []
        self.requests: list[Request] = []

    def wait(self) -> Deferred[None]:
        self.waiting.append(Deferred())
        return self.waiting[-1]

    async def pieces(self) -> AsyncIterator[bytes]:
        yield b"ab"
        await self.wait()
        yield b"cd"

    async def flood(self) -> AsyncIterator[bytes]:
        while True:
            yield bytes(100_000)

    async def breaking(self) -> AsyncIterator[bytes]:
        yield b"ab"
        raise LookupError("no")

    async def handle(self, request: Request) -> WasiResponse | None:
        self.requests.append(request)
        path = request.path
        if path in ("/wait", "/interim"):
            if path == "/interim":
                request.informational(103)
            await self.wait()
        if path == "/stubborn":
            try:
                await self.wait()
            except CancelledError:
                await self.wait()
        if path == "/read":
            return WasiResponse(body=await request.read())
        if path == "/pieces":
            return WasiResponse(body=self.pieces())
        if path == "/length":
            return WasiResponse(200, {"Content-Length": "4"}, self.pieces())
        if path == "/mirror":
            return WasiResponse(body=request.stream())
        if path == "/big":
            return WasiResponse(body=bytes(500_000))
        if path == "/flood":
            return WasiResponse(body=self.flood())
        if path == "/breaks":
            return WasiResponse(body=self.breaking())
        if path == "/raise":
            raise LookupError("no")
        if path == "/none":
            return None
        if path in ("/upgrade", "/flooded"):
            conn = await request.upgrade("echo")
            while path == "/flooded":
                await conn.write(bytes(100_000))
            while await conn.read():
                pass
            return None
        return WasiResponse(body=path)

    def goOn(self) -> None:
        for _ in range(10):
            waiting, self.waiting = self.waiting, []
            for each in waiting:
                if not each.called:
                    each.callback(None)
            self.peers[-1].settle()

    def breakDown(self) -> None:
        waiting, self.waiting = self.waiting, []
        for each in waiting:
            if not each.called:
                each.errback(LookupError("no"))
        self.peers[-1].settle()

    def reach(self, state: str) -> tuple[MemoryPeer, Log]:
        self.waiting, self.requests = [], []
        server = self.serve(self.handle, handler=40, bodyGrace=20, idle=30, head=10, drain=60)
        log: Any = Log()
        server.accessLog = log
        sent, stalls = STATES[state]
        peer = self.connect()
        if stalls:
            # The transport finds that out by itself, when it has much to send.
            peer.link.toClient.window = 1
            peer.link.clientTransport.pauseProducing()
        for data in sent:
            peer.send(data)
        return peer, log

    def assertEnded(self, peer: MemoryPeer, log: Log, drained: Deferred[None] | None) -> None:
        """
        All has been told, once.
        """
        self.goOn()
        if drained is not None:
            self.advance(200)
        peer.reset()
        # Whoever is deaf to a reset, since it has had a FIN, has its deadlines.
        self.goOn()
        self.advance(200)
        statistics = self.server.statistics
        self.assertEqual(self.server.tasks, set())
        self.assertEqual((statistics.inFlight, statistics.openConnections), (0, 0))
        self.assertEqual((self.server._open, len(self.server._outlived), len(self.server._served)), (0, 0, 0))
        of = [request for request, _, _ in log.lines if request is not None]
        # One line for each request, none for another, and one for each head that couldn't be read.
        self.assertEqual([id(request) for request in of], [id(request) for request in dict.fromkeys(of)])
        self.assertEqual(len(of), statistics.requests)
        answered, refused = sum(statistics.buckets), sum(statistics.refusals.values())
        # What has switched to another protocol has been answered then, and has its line at its end.
        ended = {id(request): 101 for request in self.requests if "Upgrade" in request.headers}
        ended |= {id(request): 200 for request in self.requests if request.method == "CONNECT"}
        lines = [(status, complete or ended.get(id(request)) == status) for request, status, complete in log.lines]
        brokenOff = sum(not complete for _, complete in lines)
        unread = len(log.lines) - len(of)
        self.assertEqual(brokenOff, statistics.abandonedRequests)
        self.assertEqual(statistics.requests, answered + statistics.abandonedRequests + refused - unread)
        # What the log says is what is counted.
        statuses = [status for status, complete in lines if complete]
        for status in set(statuses):
            self.assertEqual(statistics.statuses[status], statuses.count(status), status)
        self.assertEqual(sum(statistics.statuses), len(statuses))
        if drained is not None:
            self.successResultOf(drained)
        self.flushLoggedErrors()

    def assertAll(self, end: Callable[[MemoryPeer], Deferred[None] | None]) -> None:
        for state in STATES:
            try:
                peer, log = self.reach(state)
                self.assertEnded(peer, log, end(peer))
            except BaseException as error:
                error.add_note(f"in the state: {state}")
                raise

    def test_reset(self) -> None:
        self.assertAll(MemoryPeer.reset)

    def test_fin(self) -> None:
        self.assertAll(MemoryPeer.end)

    def test_finAndThenLongNothing(self) -> None:
        def end(peer: MemoryPeer) -> None:
            peer.end()
            self.advance(300)

        self.assertAll(end)

    def test_slow(self) -> None:
        """
        Nothing happens any more: each has its deadline, if it has one.
        """
        self.assertAll(lambda peer: self.advance(300))

    def test_allIsWell(self) -> None:
        """
        What is waited for comes, and is taken.
        """

        def end(peer: MemoryPeer) -> None:
            self.goOn()
            peer.link.toClient.window = 1 << 20
            self.goOn()

        self.assertAll(end)

    def test_itFails(self) -> None:
        self.assertAll(lambda peer: self.breakDown())

    def test_theHandlerAborts(self) -> None:
        def end(peer: MemoryPeer) -> None:
            for request in self.requests:
                request.conn.abort()
            peer.settle()

        self.assertAll(end)

    def test_theHandlerAbortsAndFails(self) -> None:
        def end(peer: MemoryPeer) -> None:
            for request in self.requests:
                request.conn.abort()
            self.breakDown()

        self.assertAll(end)

    def test_cancelled(self) -> None:
        """
        By the limit of a handler's time, which is also looked at while others' are.
        """
        self.assertAll(lambda peer: self.advance(41))

    def test_malformed(self) -> None:
        self.assertAll(lambda peer: peer.send(b"nonsense\r\n\r\nnonsense\r\n"))

    def test_malformedInTheEnd(self) -> None:
        def end(peer: MemoryPeer) -> None:
            peer.send(b"nonsense\r\n\r\nnonsense\r\n")
            self.goOn()

        self.assertAll(end)

    def test_drainWithoutTime(self) -> None:
        self.assertAll(lambda peer: self.server.drain(0))

    def test_drainInTime(self) -> None:
        def end(peer: MemoryPeer) -> Deferred[None]:
            drained = self.server.drain(30)
            self.advance(1)
            self.goOn()
            return drained

        self.assertAll(end)

    def test_drainRunsOut(self) -> None:
        def end(peer: MemoryPeer) -> Deferred[None]:
            drained = self.server.drain(5)
            self.advance(10)
            return drained

        self.assertAll(end)

    def test_resetWhileItDrains(self) -> None:
        def end(peer: MemoryPeer) -> Deferred[None]:
            drained = self.server.drain(5)
            peer.reset()
            return drained

        self.assertAll(end)

    def test_stop(self) -> None:
        self.assertAll(lambda peer: self.server.stop(2))

    def test_theEarlierOfTwoDeadlines(self) -> None:
        """
        A handler has the connection closed with patience, and then with less.
        """
        for first, second in ((20, 5), (5, 20), (5, None)):
            peer, log = self.reach("pieces that are not taken")
            (request,) = self.requests
            for timeout in (first, second):
                if timeout is not None:
                    request.conn.close(timeout)
            self.twoSides(5, lambda peer=peer: self.assertFalse(peer.gone), lambda peer=peer: self.assertReset(peer))
            self.assertEnded(peer, log, None)

    def test_nothingIsLost(self) -> None:
        """
        The states are what they say: of those whose answers are complete nothing is missing.
        """
        for state, statuses in (("several answers", [200] * 3), ("a refused body", [400]), ("no response", [500])):
            peer, log = self.reach(state)
            self.assertEqual([response.status for response in parse(peer.take())], statuses)
            self.assertEnded(peer, log, None)
