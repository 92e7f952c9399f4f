"""
What the server does when a deadline has passed: what is sent, closed, reset, cancelled, counted and logged; in memory,
by a Clock.

When each passes is shown in C{tests/http/test_serverdeadlines.py}; here are one of each kind, and that the transport
and the handler are looked at.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import capturedLogs

from tests.support import MemoryPeer
from wasinet_twisted.errors import ConnectionClosed, TimedOut
from wasinet_twisted.http import RequestHead, WasiResponse
from wasinet_twisted.net.stream.lifecycle import CLOSE_TIMEOUT
from wasinet_twisted.server import HttpServer, Request
from wasinet_twisted.server.serving import TICK, Handler

from .support import MemoryServerCase, get, parse, post, uriOf


class ExpiryCase(MemoryServerCase):
    """
    @ivar lines: of each line in the access log: the request's target, if it is known, the status, and is it complete?
    """

    def setUp(self) -> None:
        super().setUp()
        self.lines: list[tuple[str | None, int, bool]] = []

    def serve(self, handler: Handler, /, **limits: Any) -> HttpServer:
        server = super().serve(handler, **limits)
        log: Any = self
        server.accessLog = log
        return server

    def answered(
        self, peer: str, request: RequestHead | None, status: int, size: int, seconds: float, complete: bool, *_: Any
    ) -> None:
        """
        What the server calls of an AccessLog's.
        """
        self.lines.append((None if request is None else request.uri, status, complete))

    def stalled(self, *sent: bytes) -> MemoryPeer:
        """
        A peer that has asked, and takes no more than a byte.
        """
        peer = self.connect()
        peer.link.toClient.window = 1
        peer.link.clientTransport.pauseProducing()
        for data in sent:
            peer.send(data)
        return peer

    def takeFor(self, peer: MemoryPeer, seconds: int) -> bytes:
        """
        Let the peer take what comes, second by second.
        """
        data = []
        for _ in range(seconds):
            data.append(peer.take())
            self.advance(1)
        data.append(peer.take())
        return b"".join(data)


class RefusedTests(ExpiryCase):
    """
    Those after which a response is sent.
    """

    def test_aHead(self) -> None:
        """
        From its first byte on, neither from the connection's beginning nor from the latest byte.
        """
        self.serve(uriOf, head=10)
        peer = self.connect()
        self.advance(30)
        for byte in get()[:9]:
            peer.send(bytes((byte,)))
            self.advance(1)
        self.twoSides(1, lambda: self.assertEqual(peer.take(), b""), lambda: self.assertEqual(self.status(peer), 408))
        # The rest of it may still come, before the client reads this.
        peer.send(get()[9:])
        self.assertEqual(peer.take(), b"")
        peer.end()
        self.assertClosed(peer)
        self.assertEqual(self.server.statistics.refusals[408, "too slow"], 1)
        self.assertEqual(self.lines, [(None, 408, True)])

    def test_aBody(self) -> None:
        """
        From when the handler wants it.
        """

        async def handler(request: Request) -> WasiResponse:
            await self.sleep(100)
            return WasiResponse(body=await request.read())

        self.serve(handler, bodyGrace=20)
        peer = self.connect(post("/", 10))
        self.advance(100)
        self.twoSides(20, lambda: self.assertOpen(peer), lambda: self.assertEqual(self.status(peer), 408))
        peer.end()
        self.assertClosed(peer)
        self.assertEqual(self.dropped("slow body"), 1)
        self.assertEqual(self.lines, [("/", 408, True)])

    def test_aBodyWhoseHandlerAnswers(self) -> None:
        async def handler(request: Request) -> WasiResponse:
            try:
                await request.read()
            except TimedOut:
                return WasiResponse(422, body="too slow for me")
            return uriOf(request)

        self.serve(handler, bodyGrace=20)
        peer = self.connect(post("/", 10))
        self.advance(20 + TICK)
        (response,) = parse(peer.take())
        self.assertEqual((response.status, response.body), (422, b"too slow for me"))
        # The rest of the body may still come.
        peer.send(bytes(10))
        self.assertGoesOn(peer)

    def test_aHandler(self) -> None:
        async def handler(request: Request) -> WasiResponse:
            try:
                await self.sleep(100)
            except CancelledError:
                cancelled.append(request.uri)
                raise
            raise AssertionError("it was not cancelled")

        cancelled: list[str] = []
        self.serve(handler, handler=10)
        peer = self.connect(get("/1") + get("/2"))
        self.twoSides(10, lambda: self.assertEqual(peer.take(), b""), lambda: None)
        (response,) = parse(peer.take())
        self.assertEqual((response.status, response.headers["Connection"]), (503, "close"))
        self.assertEqual(cancelled, ["/1"])
        self.assertEqual(self.server.statistics.refusals[503, "handler too slow"], 1)
        self.assertEqual(self.lines, [("/1", 503, True)])

    def test_aHandlerThatGivesADeferred(self) -> None:
        waiting: Deferred[WasiResponse] = Deferred()
        self.serve(lambda request: waiting, handler=10)
        peer = self.connect(get())
        self.advance(10 + TICK)
        self.assertEqual(self.status(peer), 503)

    def test_aHandlerThatAnswersAllTheSame(self) -> None:
        async def handler(request: Request) -> WasiResponse:
            try:
                await self.sleep(100)
            except CancelledError:
                await self.sleep(5)
            return WasiResponse(202)

        self.serve(handler, handler=10)
        peer = self.connect(get())
        self.advance(10 + TICK)
        self.assertEqual(peer.take(), b"")
        self.advance(5)
        self.assertEqual(self.status(peer), 202)
        self.assertOpen(peer)


class EndedTests(ExpiryCase):
    """
    Those after which the connection is closed or reset.
    """

    def test_anIdleConnection(self) -> None:
        self.serve(uriOf, idle=75)
        peer = self.connect()
        self.twoSides(75, lambda: self.assertOpen(peer), lambda: self.assertClosed(peer))
        self.assertEqual(peer.take(), b"")
        self.assertEqual(self.dropped("idle"), 1)
        self.assertEqual(self.lines, [])

    def test_anUnreadBody(self) -> None:
        self.serve(uriOf, bodyGrace=20)
        peer = self.connect(post("/", 2000))
        self.assertEqual(self.status(peer), 200)
        self.twoSides(20, lambda: self.assertOpen(peer), lambda: self.assertClosed(peer))
        self.assertEqual(self.dropped("slow body"), 1)
        self.assertEqual(self.lines, [("/", 200, True)])

    def test_aResponseThatIsNotTaken(self) -> None:
        """
        It has been answered before.
        """
        self.serve(lambda request: WasiResponse(body=bytes(200_000)), bodyGrace=20)
        peer = self.stalled(get())
        self.twoSides(20, lambda: self.assertOpen(peer), lambda: self.assertReset(peer))
        self.assertEqual(self.dropped("slow reader"), 1)
        self.assertEqual(self.server.statistics.abandonedRequests, 0)
        self.assertEqual(self.lines, [("/", 200, True)])

    def test_aSlowReaderWhoseBodyIsWaitedFor(self) -> None:
        """
        A response in pieces that waits for more of the request ends with its connection. That is not its own failure.
        """
        errors: list[BaseException] = []

        def handler(request: Request) -> WasiResponse:
            async def echo() -> AsyncIterator[bytes]:
                yield bytes(200_000)
                try:
                    await request.read()
                except BaseException as error:
                    errors.append(error)
                    raise

            return WasiResponse(body=echo())

        self.serve(handler, bodyGrace=2)
        peer = self.connect(post("/", 1000, body=b"some"))
        peer.stall()
        with capturedLogs() as seen:
            self.advance(2 + 2 * TICK)
        self.assertReset(peer)
        self.assertEqual(self.dropped("slow reader"), 1)
        self.assertNotIn("answered", str(errors))
        self.assertIsInstance(errors[0], ConnectionClosed)
        self.assertEqual([event for event in seen if "log_failure" in event], [])

    def stream(self, request: Request) -> WasiResponse:
        async def pieces() -> AsyncIterator[bytes]:
            try:
                yield b"event"
                yield bytes(200_000)
                await Deferred()
            finally:
                ended.append(self.clock.seconds())

        ended = self.ended = []
        return WasiResponse(body=pieces())

    ended: list[float]

    def test_aStreamThatIsNotTaken(self) -> None:
        """
        What gives its pieces ends.
        """
        self.serve(self.stream, bodyGrace=20)
        peer = self.stalled(get())
        self.twoSides(20, lambda: self.assertEqual(self.ended, []), lambda: self.assertReset(peer))
        self.assertEqual(len(self.ended), 1)
        self.assertEqual(self.dropped("slow reader"), 1)
        self.assertEqual(self.server.statistics.abandonedRequests, 1)
        self.assertEqual(self.lines, [("/", 200, False)])

    def test_aStreamToAClientThatHasEnded(self) -> None:
        self.serve(self.stream, halfClosed=5)
        peer = self.connect(get())
        peer.end()
        peer.take()
        self.twoSides(5, lambda: self.assertEqual(self.ended, []), lambda: self.assertReset(peer))
        self.assertEqual(len(self.ended), 1)
        self.assertEqual(self.dropped("half-closed"), 1)
        self.assertEqual(self.lines, [("/", 200, False)])

    def test_whatIsQueuedWhenTheConnectionCloses(self) -> None:
        self.serve(lambda request: WasiResponse(body=bytes(50_000)))
        peer = self.stalled(get("/", "Connection: close"))
        with capturedLogs() as events:
            self.twoSides(CLOSE_TIMEOUT, lambda: self.assertFalse(peer.gone), lambda: self.assertReset(peer))
        self.assertEqual([event["log_level"].name for event in events], ["warn"])

    def test_whatIsQueuedBeforeLingering(self) -> None:
        """
        Its time is not had once more for closing.
        """
        self.serve(lambda request: WasiResponse(body=bytes(50_000)), unreadBody=0)
        peer = self.stalled(post("/", 10_000))
        with capturedLogs() as events:
            self.twoSides(CLOSE_TIMEOUT, lambda: self.assertFalse(peer.gone), lambda: self.assertReset(peer))
        self.assertEqual([event["log_level"].name for event in events], ["warn"])

    def test_lingering(self) -> None:
        """
        Its two seconds begin when the answer has been sent.
        """
        self.serve(lambda request: WasiResponse(body=bytes(50_000)), lingerSeconds=2, unreadBody=0)
        peer = self.connect()
        peer.link.toClient.window = 4096
        peer.link.toClient.rate = 5000
        peer.send(post("/", 10_000))
        (response,) = parse(self.takeFor(peer, 11))
        self.assertEqual(len(response.body), 50_000)
        self.assertOpen(peer)
        self.advance(2 + TICK)
        self.assertClosed(peer)


class TickTests(ExpiryCase):
    def test_deadlinesAreLookedAtTwiceASecond(self) -> None:
        """
        One that has passed takes effect with the next tick.
        """
        self.serve(uriOf, idle=TICK + 0.1)
        peer = self.connect()
        self.advance(2 * TICK - 0.01)
        self.assertOpen(peer)
        self.advance(0.01)
        self.assertClosed(peer)

    def test_eachConnectionIsLookedAt(self) -> None:
        self.serve(uriOf, idle=10)
        early = self.connect()
        self.advance(5)
        late = self.connect()
        self.advance(5 + TICK)
        self.assertClosed(early)
        self.twoSides(5 - TICK, lambda: self.assertOpen(late), lambda: self.assertClosed(late))


class TakingTests(ExpiryCase):
    """
    What a peer has taken is asked of the transport.
    """

    def test_whatTheKernelTakesIsNotTaken(self) -> None:
        """
        It takes much at once; nobody has earned time by that.
        """
        self.serve(lambda request: WasiResponse(body=bytes(2_000_000)), bodyGrace=CLOSE_TIMEOUT)
        peers = []
        for fields in ((), ("Connection: close",)):
            peer = self.connect()
            peer.link.toClient.window = 1_000_000
            peer.link.clientTransport.pauseProducing()
            peer.send(get("/", *fields))
            peers.append(peer)
        self.advance(CLOSE_TIMEOUT - 0.01)
        self.assertFalse(any(peer.gone for peer in peers))
        self.advance(0.01 + TICK)
        for peer in peers:
            self.assertReset(peer)

    def respond(self, *fields: str, rate: float, window: int) -> MemoryPeer:
        self.serve(lambda request: WasiResponse(body=bytes(200_000)), bodyGrace=20, responseRate=500)
        peer = self.connect()
        peer.link.toClient.window = window
        peer.link.toClient.rate = rate
        peer.send(get("/", *fields))
        return peer

    def test_fastEnough(self) -> None:
        for fields in ((), ("Connection: close",)):
            peer = self.respond(*fields, rate=1000, window=4096)
            (response,) = parse(self.takeFor(peer, 210))
            self.assertEqual(len(response.body), 200_000)
            self.assertFalse(peer.aborted)
            self.assertEqual(peer.gone, bool(fields))

    def test_tooSlow(self) -> None:
        """
        300 bytes a second: after 50 seconds that is 10,000 too few.
        """
        for fields in ((), ("Connection: close",)):
            peer = self.respond(*fields, rate=300, window=1000)
            self.takeFor(peer, 40)
            self.assertFalse(peer.aborted)
            self.takeFor(peer, 50)
            self.assertReset(peer)

    def test_fastEnoughBeforeLingering(self) -> None:
        """
        It takes longer than what is queued may take at least.
        """
        self.serve(lambda request: WasiResponse(body=bytes(45_000)), unreadBody=0, responseRate=500)
        peer = self.connect()
        peer.link.toClient.window = 1000
        peer.link.toClient.rate = 1000
        peer.send(post("/", 10_000))
        (response,) = parse(self.takeFor(peer, 50))
        self.assertEqual(len(response.body), 45_000)
        self.assertClosed(peer)

    def test_aPeerThatTakesItsAnswerIsNotIdle(self) -> None:
        """
        One that comes faster than the least rate, but takes longer than a connection may be idle.
        """
        self.serve(lambda request: WasiResponse(body=bytes(400_000)), idle=10, responseRate=500)
        peer = self.connect()
        peer.link.toClient.window = 4096
        peer.link.toClient.rate = 10_000
        peer.send(get())
        (response,) = parse(self.takeFor(peer, 45))
        self.assertEqual(len(response.body), 400_000)
        self.assertOpen(peer)
        self.assertEqual(self.dropped("idle"), 0)
        self.advance(10 + TICK)
        self.assertClosed(peer)
