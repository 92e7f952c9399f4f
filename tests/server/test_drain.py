"""
How a server ends, and what it waits for: in memory, by a Clock.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from tests.support import MemoryPeer
from wasinet_twisted.http import WasiResponse
from wasinet_twisted.http.timing import FRESH
from wasinet_twisted.server import HttpServer, Request, Tracing
from wasinet_twisted.server.serving import TICK, Handler

from .support import MemoryServerCase, get, message, parse, post, uriOf


class DrainTests(MemoryServerCase):
    def test_idleOnesCloseAtOnce(self) -> None:
        server = self.serve(uriOf)
        fresh = self.connect()
        used = self.connect(get())
        used.take()
        drained = server.drain(10)
        used.settle()
        self.assertTrue(used.gone)
        # Its first request may be in the kernel's buffer.
        self.assertFalse(fresh.gone)
        fresh.link.advance(FRESH + TICK)
        self.successResultOf(drained)
        self.assertClosed(fresh)
        self.assertClosed(used)
        # Nobody has kept them from a request.
        self.assertEqual(self.dropped("idle"), 0)

    def test_withoutAnyConnection(self) -> None:
        self.successResultOf(self.serve(uriOf).drain())

    def test_halfReceivedOnesAreAnswered(self) -> None:
        async def handler(request: Request) -> WasiResponse:
            return WasiResponse(body=await request.read())

        server = self.serve(handler)
        head = self.connect(get()[:9])
        body = self.connect(post("/", 4, body=b"ab"))
        drained = server.drain(10)
        self.assertNoResult(drained)
        head.send(get()[9:] + get("/more"))
        body.send(b"cd" + get("/more"))
        for peer, expected in ((head, b""), (body, b"abcd")):
            (response,) = parse(peer.take())
            self.assertEqual((response.status, response.body), (200, expected))
            self.assertEqual(response.headers["Connection"], "close")
            peer.end()
            self.assertClosed(peer)
        self.successResultOf(drained)

    def test_thoseInFlightAreAnswered(self) -> None:
        async def handler(request: Request) -> WasiResponse:
            await self.sleep(5)
            return WasiResponse()

        server = self.serve(handler)
        peer = self.connect(get())
        drained = server.drain(10)
        self.advance(5)
        (response,) = parse(peer.take())
        self.assertEqual(response.headers["Connection"], "close")
        self.assertClosed(peer)
        self.successResultOf(drained)

    def streaming(self, request: Request) -> WasiResponse:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"first"
            await self.sleep(5)
            yield b"last"

        return WasiResponse(body=pieces())

    def test_aStreamThatHasBegun(self) -> None:
        """
        It could not say that the connection ends; it ends all the same.
        """
        server = self.serve(self.streaming)
        peer = self.connect(get())
        drained = server.drain(20)
        self.advance(5)
        (response,) = parse(peer.take())
        self.assertEqual(response.body, b"firstlast")
        self.assertClosed(peer)
        self.successResultOf(drained)

    def test_aStreamWithAnotherRequestBehind(self) -> None:
        server = self.serve(self.streaming)
        peer = self.connect(get() + get("/2"))
        drained = server.drain(20)
        self.advance(10)
        _, second = parse(peer.take())
        self.assertEqual(second.headers["Connection"], "close")
        self.assertClosed(peer)
        self.successResultOf(drained)

    def test_anUnreadBody(self) -> None:
        """
        Its answer has been given before: when it has been read, the connection ends.
        """
        server = self.serve(uriOf)
        peer = self.connect(post("/", 10))
        self.assertEqual(self.status(peer), 200)
        drained = server.drain(20)
        peer.send(bytes(10))
        self.assertClosed(peer)
        self.successResultOf(drained)

    def test_anUnreadBodyThatDoesNotCome(self) -> None:
        """
        Its deadline holds, and it counts as ever.
        """
        server = self.serve(uriOf, bodyGrace=20)
        peer = self.connect(post("/", 10))
        self.assertEqual(self.status(peer), 200)
        drained = server.drain(60)
        self.twoSides(20, lambda: self.assertOpen(peer), lambda: self.assertClosed(peer))
        self.assertEqual(self.dropped("slow body"), 1)
        self.successResultOf(drained)

    def test_anAnswerThatIsStillBeingTaken(self) -> None:
        server = self.serve(lambda request: WasiResponse(body=bytes(200_000)))
        peer = self.connect()
        peer.link.toClient.window = 4096
        peer.link.clientTransport.pauseProducing()
        peer.send(get())
        drained = server.drain(20)
        self.assertNoResult(drained)
        peer.link.clientTransport.resumeProducing()
        (response,) = parse(peer.take())
        self.assertEqual(len(response.body), 200_000)
        self.assertClosed(peer)
        self.successResultOf(drained)

    def test_theDeadlineCancels(self) -> None:
        async def handler(request: Request) -> WasiResponse:
            await self.sleep(100)
            raise AssertionError("it was not cancelled")

        server = self.serve(handler)
        peer = self.connect(get())
        drained = server.drain(10)
        self.advance(9.99)
        self.assertOpen(peer)
        self.assertNoResult(drained)
        self.advance(0.01)
        self.assertReset(peer)
        self.successResultOf(drained)

    def test_aStubbornHandler(self) -> None:
        """
        It is closed where it waits, a second after it was cancelled.
        """

        async def handler(request: Request) -> WasiResponse:
            while True:
                try:
                    await self.sleep(100)
                except CancelledError:
                    cancelled.append(request.uri)

        cancelled: list[str] = []
        server = self.serve(handler)
        peer = self.connect(get())
        drained = server.drain(10)
        self.advance(10)
        self.assertEqual(cancelled, ["/"])
        self.assertNoResult(drained)
        self.advance(1.1)
        self.successResultOf(drained)
        self.assertTrue(peer.gone)

    def test_aConnectionThatComesLater(self) -> None:
        """
        Such as one whose PROXY header took its time.
        """
        server = self.serve(uriOf)
        drained = server.drain(10)
        peer = self.connect()
        self.assertTrue(peer.gone)
        self.successResultOf(drained)

    def test_aTunnel(self) -> None:
        async def handler(request: Request) -> None:
            conn = await request.acceptTunnel()
            await conn.readToEnd(10)

        server = self.serve(handler)
        peer = self.connect(message("CONNECT", "x:1"))
        drained = server.drain(10)
        self.advance(9.99)
        self.assertOpen(peer)
        self.advance(0.01)
        self.assertReset(peer)
        self.successResultOf(drained)


class DrainIdleTests(MemoryServerCase):
    """
    C{ServerLimits.drainIdle}: a request that crosses the drain is answered.
    """

    def idle(self, handler: Handler = uriOf, **limits: Any) -> MemoryPeer:
        """
        A connection that has served a request and waits for the next.
        """
        self.serve(handler, drainIdle=3, **limits)
        peer = self.connect(get())
        self.assertEqual(self.status(peer), 200)
        return peer

    def test_anIdleOne(self) -> None:
        peer = self.idle()
        drained = self.server.drain(10)
        self.twoSides(3, lambda: self.assertOpen(peer), lambda: self.assertClosed(peer))
        self.successResultOf(drained)
        self.assertEqual(self.dropped("idle"), 0)

    def test_aRequestThatComesMeanwhile(self) -> None:
        peer = self.idle()
        drained = self.server.drain(10)
        self.advance(2.9)
        peer.send(get("/late"))
        (response,) = parse(peer.take())
        self.assertEqual((response.status, response.body), (200, b"/late"))
        self.assertEqual(response.headers["Connection"], "close")
        self.assertClosed(peer)
        self.successResultOf(drained)

    def test_halfOfAHeadThatComesMeanwhile(self) -> None:
        """
        The rest has the time of a head.
        """
        peer = self.idle()
        drained = self.server.drain(30)
        self.advance(2.9)
        peer.send(get("/late")[:9])
        self.advance(5)
        peer.send(get("/late")[9:])
        (response,) = parse(peer.take())
        self.assertEqual((response.body, response.headers["Connection"]), (b"/late", "close"))
        self.assertClosed(peer)
        self.successResultOf(drained)

    def test_pipelinedOnesThatComeMeanwhile(self) -> None:
        """
        The first is answered, and says that the others are not.
        """
        peer = self.idle()
        drained = self.server.drain(10)
        peer.send(get("/1") + get("/2") + get("/3"))
        (response,) = parse(peer.take())
        self.assertEqual((response.body, response.headers["Connection"]), (b"/1", "close"))
        self.assertEqual(self.server.statistics.requests, 2)
        peer.end()
        self.assertClosed(peer)
        self.successResultOf(drained)

    def test_aStreamThatHadBegun(self) -> None:
        """
        Its client was not told that the connection ends: it may ask once more.
        """
        begun: list[Deferred[None]] = []

        def handler(request: Request) -> WasiResponse:
            async def pieces() -> AsyncIterator[bytes]:
                yield b"first"
                begun.append(Deferred())
                await begun[0]

            return WasiResponse(body=request.uri if begun else pieces())

        server = self.serve(handler, drainIdle=3)
        peer = self.connect(get())
        drained = server.drain(60)
        self.advance(10)
        begun[0].callback(None)
        peer.settle()
        peer.take()
        self.assertOpen(peer)
        self.advance(2.9)
        peer.send(get("/late"))
        (response,) = parse(peer.take())
        self.assertEqual((response.body, response.headers["Connection"]), (b"/late", "close"))
        self.assertClosed(peer)
        self.successResultOf(drained)

    def test_aConnectionThatHasJustCome(self) -> None:
        server = self.serve(uriOf, drainIdle=3)
        peer = self.connect()
        drained = server.drain(10)
        self.twoSides(3, lambda: self.assertOpen(peer), lambda: self.assertClosed(peer))
        self.successResultOf(drained)

    def test_setWhenItBegins(self) -> None:
        """
        For connections that are open, and for those that come before listening stops.
        """
        for tracing in (None, Tracing(trace=False)):
            server = HttpServer(uriOf, tracing=tracing, reactor=self.clock)
            self.servers.append(server)
            before = self.connect(get())
            server.idleAtDrain(3)
            late = self.connect(get())
            before.take()
            late.take()
            drained = server.drain(10)
            self.advance(2.9)
            self.assertOpen(before)
            self.assertOpen(late)
            self.advance(0.1)
            self.assertClosed(before)
            self.assertClosed(late)
            self.successResultOf(drained)

    def test_theEndOfTheDrain(self) -> None:
        """
        Nothing outlives it.
        """
        peer = self.idle()
        drained = self.server.drain(2)
        self.advance(1.99)
        self.assertOpen(peer)
        self.advance(0.01)
        self.assertClosed(peer)
        self.successResultOf(drained)

    def test_theClientEndsItsDirection(self) -> None:
        peer = self.idle()
        drained = self.server.drain(10)
        peer.end()
        self.assertClosed(peer)
        self.successResultOf(drained)

    def test_afterADrainAllIsAsBefore(self) -> None:
        """
        A service may be started anew.
        """
        self.idle()
        self.server.drain(0)
        self.advance(1)
        self.server.begin()
        again = self.connect(get())
        again.take()
        self.assertGoesOn(again)


class BoundTests(MemoryServerCase):
    def test_handlersWhosePeerHasGoneCount(self) -> None:
        """
        Else whoever connects, asks and goes could have any number of them run.
        """
        waiting: list[Deferred[None]] = []

        async def handler(request: Request) -> WasiResponse:
            waiting.append(Deferred())
            await waiting[-1]
            return WasiResponse()

        server = self.serve(handler, connections=2)
        for _ in range(2):
            peer = self.connect(get())
            peer.reset()
        self.assertEqual(len(server.connections), 0)
        self.assertFalse(server.gate.isOpen())
        waiting[0].callback(None)
        self.assertTrue(server.gate.isOpen())
        waiting[1].callback(None)
        self.assertEqual(server._open, 0)
