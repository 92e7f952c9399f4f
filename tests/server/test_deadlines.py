"""
Deadlines of the server from both sides, streamed bodies in both directions, and take-overs: in memory, by a Clock.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import capturedLogs

from tests.support import MemoryPeer
from wasinet_twisted.errors import (
    BusyError,
    ConnectionClosed,
    ContentError,
    IncompleteRead,
    LocalProtocolError,
    MessageTooLarge,
    RemoteProtocolError,
    TimedOut,
)
from wasinet_twisted.http import Limits, WasiResponse
from wasinet_twisted.http.timing import FRESH
from wasinet_twisted.net import WasiTcpConn
from wasinet_twisted.net.stream.lifecycle import CLOSE_TIMEOUT
from wasinet_twisted.server import Request
from wasinet_twisted.server.serving import TICK

from .support import CONTINUE, MemoryServerCase, chunked, get, message, parse, post, uriOf


class HeadTests(MemoryServerCase):
    def test_fromItsFirstByte(self) -> None:
        """
        Neither from the connection's beginning, nor from the latest byte.
        """
        self.serve(uriOf, head=10)
        peer = self.connect()
        self.advance(30)
        for byte in get()[:9]:
            peer.send(bytes((byte,)))
            self.advance(1)
        self.twoSides(1, lambda: self.assertEqual(peer.take(), b""), lambda: self.assertEqual(self.status(peer), 408))
        peer.end()
        self.assertClosed(peer)

    def test_completedInTime(self) -> None:
        self.serve(uriOf, head=10)
        peer = self.connect(get()[:-1])
        self.advance(9.99)
        peer.send(get()[-1:])
        self.assertEqual(self.status(peer), 200)
        self.advance(20)
        self.assertOpen(peer)

    def test_forEachRequestAnew(self) -> None:
        self.serve(uriOf, head=10)
        peer = self.connect()
        for _ in range(3):
            peer.send(get()[:5])
            self.advance(8)
            peer.send(get()[5:])
            self.assertEqual(self.status(peer), 200)
        peer.send(get()[:5])
        self.twoSides(10, lambda: self.assertOpen(peer), lambda: self.assertEqual(self.status(peer), 408))


class IdleTests(MemoryServerCase):
    def test_beforeTheFirstRequest(self) -> None:
        self.serve(uriOf, idle=75)
        peer = self.connect()
        self.twoSides(75, lambda: self.assertOpen(peer), lambda: self.assertClosed(peer))
        self.assertEqual(peer.take(), b"")
        self.assertEqual(self.dropped("idle"), 1)

    def test_afterAnAnswer(self) -> None:
        self.serve(uriOf, idle=75)
        peer = self.connect()
        self.advance(60)
        peer.send(get())
        self.assertEqual(self.status(peer), 200)
        self.twoSides(75, lambda: self.assertOpen(peer), lambda: self.assertClosed(peer))

    def test_notWhileTheHandlerRuns(self) -> None:
        async def handler(request: Request) -> WasiResponse:
            await self.sleep(300)
            return WasiResponse()

        self.serve(handler, idle=75)
        peer = self.connect(get())
        self.advance(299)
        self.assertOpen(peer)
        self.advance(1)
        self.assertEqual(self.status(peer), 200)

    def test_notWhileThePeerTakesTheAnswer(self) -> None:
        """
        One that comes faster than the least rate, but takes longer than a connection may be idle.
        """
        self.serve(lambda request: WasiResponse(body=bytes(400_000)), idle=10, responseRate=500)
        peer = self.connect()
        peer.link.toClient.window = 4096
        peer.link.toClient.rate = 10_000
        peer.send(get())
        data = b""
        for _ in range(45):
            data += peer.take()
            self.advance(1)
        (response,) = parse(data + peer.take())
        self.assertEqual(len(response.body), 400_000)
        self.assertOpen(peer)
        self.assertEqual(self.dropped("idle"), 0)
        self.advance(10 + TICK)
        self.assertClosed(peer)


class BodyRateTests(MemoryServerCase):
    async def read(self, request: Request) -> WasiResponse:
        return WasiResponse(body=str(len(await request.read())))

    def test_nothingComes(self) -> None:
        self.serve(self.read, bodyGrace=20)
        peer = self.connect(post("/", 10))
        self.twoSides(20, lambda: self.assertOpen(peer), lambda: self.assertEqual(self.status(peer), 408))
        peer.end()
        self.assertClosed(peer)
        self.assertEqual(self.dropped("slow body"), 1)

    def feed(self, bytesPerSecond: int, seconds: int) -> MemoryPeer:
        self.serve(self.read, bodyGrace=20, bodyRate=500)
        peer = self.connect(post("/", 1_000_000))
        for _ in range(seconds * 2):
            self.advance(0.5)
            peer.send(bytes(bytesPerSecond // 2))
        return peer

    def test_fastEnough(self) -> None:
        peer = self.feed(500, 300)
        self.assertOpen(peer)
        self.assertEqual(peer.take(), b"")

    def test_slower(self) -> None:
        """
        400 bytes a second: the grace is used up after some 100 seconds.
        """
        peer = self.feed(400, 97)
        self.assertEqual(peer.take(), b"")
        for _ in range(6):
            self.advance(0.5)
            peer.send(bytes(200))
        self.assertEqual(self.status(peer), 408)

    def test_onlyWhileTheHandlerWaitsForIt(self) -> None:
        async def handler(request: Request) -> WasiResponse:
            await self.sleep(100)
            return await self.read(request)

        self.serve(handler, bodyGrace=20)
        peer = self.connect(post("/", 10))
        self.advance(100)
        self.twoSides(20, lambda: self.assertOpen(peer), lambda: self.assertEqual(self.status(peer), 408))

    def test_theHandlerMayAnswer(self) -> None:
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


class ResponseRateTests(MemoryServerCase):
    def respond(self, body: bytes, *fields: str, window: int = 4096, rate: float | None = None) -> MemoryPeer:
        self.serve(lambda request: WasiResponse(body=body), bodyGrace=20, responseRate=500)
        peer = self.connect()
        peer.link.toClient.window = window
        peer.link.toClient.rate = rate
        peer.send(get("/", *fields))
        return peer

    def takeFor(self, peer: MemoryPeer, seconds: int) -> bytes:
        data = []
        for _ in range(seconds):
            data.append(peer.take())
            self.advance(1)
        data.append(peer.take())
        return b"".join(data)

    def test_nothingIsTaken(self) -> None:
        self.serve(lambda request: WasiResponse(body=bytes(200_000)), bodyGrace=20)
        peer = self.connect()
        peer.link.toClient.window = 1
        peer.link.clientTransport.pauseProducing()
        peer.send(get())
        self.twoSides(20, lambda: self.assertOpen(peer), lambda: self.assertReset(peer))
        self.assertEqual(self.dropped("slow reader"), 1)

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

    def test_fastEnough(self) -> None:
        for fields in ((), ("Connection: close",)):
            peer = self.respond(bytes(200_000), *fields, rate=1000)
            (response,) = parse(self.takeFor(peer, 210))
            self.assertEqual(len(response.body), 200_000)
            self.assertFalse(peer.aborted)
            self.assertEqual(peer.gone, bool(fields))

    def test_tooSlow(self) -> None:
        """
        300 bytes a second: after 50 seconds that is 10,000 too few.
        """
        for fields in ((), ("Connection: close",)):
            peer = self.respond(bytes(200_000), *fields, rate=300, window=1000)
            self.takeFor(peer, 40)
            self.assertFalse(peer.aborted)
            self.takeFor(peer, 50)
            self.assertReset(peer)

    def test_aTunnelIsNotMeasured(self) -> None:
        """
        What goes on in it is nothing that HTTP knows of.
        """

        async def handler(request: Request) -> None:
            conn = await request.acceptTunnel()
            conn.write(bytes(100_000))
            await self.sleep(1)
            conn.write(bytes(100_000))
            await conn.readToEnd(10)

        self.serve(handler, bodyGrace=20, responseRate=500)
        peer = self.connect()
        peer.link.toClient.window = 4096
        peer.link.toClient.rate = 20_000
        peer.send(message("CONNECT", "x:1"))
        self.assertEqual(len(self.takeFor(peer, 12).partition(b"\r\n\r\n")[2]), 200_000)
        self.advance(100)
        self.assertOpen(peer)
        peer.end()


class HandlerLimitTests(MemoryServerCase):
    def test_503AndCancelled(self) -> None:
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

    def test_aDeferred(self) -> None:
        waiting: Deferred[WasiResponse] = Deferred()
        self.serve(lambda request: waiting, handler=10)
        peer = self.connect(get())
        self.advance(10 + TICK)
        self.assertEqual(self.status(peer), 503)

    def test_inTime(self) -> None:
        async def handler(request: Request) -> WasiResponse:
            await self.sleep(9.99)
            return WasiResponse()

        self.serve(handler, handler=10)
        peer = self.connect(get())
        self.advance(20)
        self.assertEqual(self.status(peer), 200)
        self.assertOpen(peer)

    def test_itsOwnAnswerWins(self) -> None:
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

    def test_notWhatHasBegunToBeSent(self) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(10):
                yield b"piece"
                await self.sleep(5)

        self.serve(lambda request: WasiResponse(body=pieces()), handler=10)
        peer = self.connect(get())
        self.advance(60)
        (response,) = parse(peer.take())
        self.assertEqual(response.body, b"piece" * 10)


class UnreadBodyTests(MemoryServerCase):
    def test_tooSlow(self) -> None:
        self.serve(uriOf, bodyGrace=20, bodyRate=500)
        peer = self.connect(post("/", 2000))
        self.assertEqual(self.status(peer), 200)
        self.twoSides(20, lambda: self.assertOpen(peer), lambda: self.assertClosed(peer))
        self.assertEqual(self.dropped("slow body"), 1)

    def test_whatComesCounts(self) -> None:
        self.serve(uriOf, bodyGrace=20, bodyRate=500)
        peer = self.connect(post("/", 2000))
        self.assertEqual(self.status(peer), 200)
        self.advance(19)
        peer.send(bytes(1000))
        self.twoSides(3, lambda: self.assertOpen(peer), lambda: self.assertClosed(peer))

    def test_inTime(self) -> None:
        self.serve(uriOf, bodyGrace=20)
        peer = self.connect(post("/", 2000))
        self.assertEqual(self.status(peer), 200)
        self.advance(19.9)
        peer.send(bytes(2000))
        self.assertGoesOn(peer)

    def test_theBoundByItsLength(self) -> None:
        """
        Within it the rest is read, beyond it the answer says that the connection ends.
        """
        self.serve(uriOf, unreadBody=1000)
        peer = self.connect(post("/", 1000))
        (response,) = parse(peer.take())
        self.assertNotIn("Connection", response.headers)
        peer.send(bytes(1000))
        self.assertGoesOn(peer)
        peer = self.connect(post("/", 1001))
        (response,) = parse(peer.take())
        self.assertEqual(response.headers["Connection"], "close")
        peer.send(bytes(1001) + get("/next"))
        self.assertEqual(peer.take(), b"")
        peer.end()
        self.assertClosed(peer)

    def test_theBoundOfAChunkedOne(self) -> None:
        self.serve(uriOf, unreadBody=1000)
        peer = self.connect(chunked("/"))
        self.assertEqual(self.status(peer), 200)
        peer.send(b"3e8\r\n" + bytes(1000) + b"\r\n0\r\n\r\n")
        self.assertGoesOn(peer)
        peer = self.connect(chunked("/"))
        self.assertEqual(self.status(peer), 200)
        peer.send(b"3e9\r\n" + bytes(1001) + b"\r\n0\r\n\r\n" + get("/next"))
        self.assertEqual(peer.take(), b"")
        peer.end()
        self.assertClosed(peer)

    def test_malformed(self) -> None:
        self.serve(uriOf)
        peer = self.connect(chunked("/"))
        self.assertEqual(self.status(peer), 200)
        peer.send(b"zz\r\n" + get("/next"))
        self.assertEqual(peer.take(), b"")
        peer.end()
        self.assertClosed(peer)

    def test_thePeerEndsInIt(self) -> None:
        self.serve(uriOf)
        for sent in (post("/", 100, body=b"half"), chunked("/", b"half")):
            peer = self.connect(sent)
            self.assertEqual(self.status(peer), 200)
            peer.end()
            self.assertEqual(peer.take(), b"")
            self.assertClosed(peer)


class CloseTests(MemoryServerCase):
    def test_aPeerThatTakesNothing(self) -> None:
        self.serve(lambda request: WasiResponse(body=bytes(50_000)))
        peer = self.connect()
        peer.link.toClient.window = 1
        peer.link.clientTransport.pauseProducing()
        peer.send(get("/", "Connection: close"))
        self.twoSides(CLOSE_TIMEOUT, lambda: self.assertFalse(peer.gone), lambda: self.assertReset(peer))

    def test_lingerAfterTheAnswerHasBeenTaken(self) -> None:
        """
        Its two seconds begin when the answer has been sent.
        """
        self.serve(lambda request: WasiResponse(body=bytes(50_000)), lingerSeconds=2, unreadBody=0)
        peer = self.connect()
        peer.link.toClient.window = 4096
        peer.link.toClient.rate = 5000
        peer.send(post("/", 10_000))
        data = b""
        for _ in range(11):
            data += peer.take()
            self.advance(1)
        data += peer.take()
        self.assertEqual(len(parse(data)[0].body), 50_000)
        self.assertOpen(peer)
        self.advance(2 + TICK)
        self.assertClosed(peer)


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

    def test_waitingForTheBodyIsNotTheHandlersTime(self) -> None:
        async def handler(request: Request) -> WasiResponse:
            await request.read()
            await Deferred()
            return WasiResponse()

        self.serve(handler, handler=5)
        peer = self.connect(post("/", 4, body=b"ab"))
        self.advance(10)
        self.assertFalse(peer.gone)
        peer.send(b"cd")
        self.advance(4.9)
        self.assertEqual(peer.take(), b"")
        self.advance(0.1 + TICK)
        self.assertTrue(peer.take().startswith(b"HTTP/1.1 503 "))
        peer.end()


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

    def test_aHalfReceivedHeadHasItsDeadline(self) -> None:
        server = self.serve(uriOf, head=5)
        peer = self.connect(get()[:9])
        drained = server.drain(30)
        self.advance(5 + TICK)
        self.assertEqual(self.status(peer), 408)
        peer.end()
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


class Pieces:
    """
    Pieces of a body, and what became of them.
    """

    def __init__(self, *pieces: Any) -> None:
        self.given: list[Any] = []
        self.closed = 0
        self._pieces = iter(pieces)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        piece = next(self._pieces)
        if isinstance(piece, Exception):
            raise piece
        self.given.append(piece)
        return piece

    def close(self) -> None:
        self.closed += 1


class AsyncPieces(Pieces):
    __iter__ = None  # type: ignore[assignment]

    def __aiter__(self) -> AsyncPieces:
        return self

    async def __anext__(self) -> Any:
        try:
            piece = next(self)
        except StopIteration:
            raise StopAsyncIteration from None
        if isinstance(piece, Deferred):
            return await piece
        return piece

    async def aclose(self) -> None:
        self.close()


KINDS = (Pieces, AsyncPieces)


class StreamedResponseTests(MemoryServerCase):
    def stream(
        self, pieces: Pieces, *fields: str, method: str = "GET", version: str = "HTTP/1.1", **given: Any
    ) -> MemoryPeer:
        self.serve(lambda request: uriOf(request) if request.uri == "/next" else WasiResponse(body=pieces, **given))
        return self.connect(message(method, "/", *fields, version=version))

    def test_chunked(self) -> None:
        for kind in KINDS:
            pieces = kind(b"one", "two ü", bytearray(b"three"), b"", memoryview(b"four"))
            peer = self.stream(pieces)
            (response,) = parse(peer.take())
            self.assertEqual(response.headers["Transfer-Encoding"], "chunked")
            self.assertEqual(response.body, "onetwo üthreefour".encode())
            self.assertEqual(pieces.closed, 1)
            self.assertGoesOn(peer)

    def test_none(self) -> None:
        for kind in KINDS:
            peer = self.stream(kind())
            self.assertEqual(parse(peer.take())[0].body, b"")
            self.assertGoesOn(peer)

    def test_withALength(self) -> None:
        for kind in KINDS:
            peer = self.stream(kind(b"ab", b"cd"), headers={"Content-Length": "4"})
            (response,) = parse(peer.take())
            self.assertEqual(response.body, b"abcd")
            self.assertNotIn("Transfer-Encoding", response.headers)
            self.assertGoesOn(peer)

    def test_aLengthThatIsNotTheirs(self) -> None:
        """
        Too few or too many: reset, and never a byte more than was said.
        """
        for kind in KINDS:
            for pieces in (kind(b"abc"), kind(b"ab", b"cde")):
                peer = self.stream(pieces, headers={"Content-Length": "4"})
                data = peer.take()
                self.assertLessEqual(len(data.partition(b"\r\n\r\n")[2]), 4)
                self.assertReset(peer)
                self.assertEqual(pieces.closed, 1)
                self.assertEqual(len(self.flushLoggedErrors(LocalProtocolError)), 1)

    def test_failureInTheMiddle(self) -> None:
        for kind in KINDS:
            for bad, error in ((ZeroDivisionError("x"), ZeroDivisionError), (42, LocalProtocolError)):
                pieces = kind(b"begin", bad, b"end")
                peer = self.stream(pieces)
                data = peer.take()
                self.assertNotIn(b"\r\n0\r\n", data)
                self.assertReset(peer)
                self.assertEqual(pieces.closed, 1)
                self.assertEqual(len(self.flushLoggedErrors(error)), 1)

    def test_head(self) -> None:
        """
        The fields of a GET; nothing is asked of the pieces, and they are closed.
        """
        for kind in KINDS:
            for headers in ({}, {"Content-Length": "3"}):
                pieces = kind(b"abc")
                peer = self.stream(pieces, method="HEAD", headers=headers)
                data = peer.take()
                (response,) = parse(data, "HEAD")
                self.assertTrue(data.endswith(b"\r\n\r\n"))
                self.assertEqual(response.headers.get("Content-Length"), headers.get("Content-Length"))
                self.assertEqual((pieces.given, pieces.closed), ([], 1))
                self.assertGoesOn(peer)

    def test_http10(self) -> None:
        """
        The end of the connection is the end of the body, unless it has a length.
        """
        for kind in KINDS:
            for fields in ((), ("Connection: keep-alive",)):
                peer = self.stream(kind(b"ab", b"cd"), *fields, version="HTTP/1.0")
                (response,) = parse(peer.take(), ended=True)
                self.assertEqual((response.body, response.headers["Connection"]), (b"abcd", "close"))
                self.assertNotIn("Transfer-Encoding", response.headers)
                self.assertClosed(peer)
            peer = self.stream(
                kind(b"ab"), "Connection: keep-alive", version="HTTP/1.0", headers={"Content-Length": "2"}
            )
            (response,) = parse(peer.take())
            self.assertEqual((response.body, response.headers["Connection"]), (b"ab", "keep-alive"))
            self.assertGoesOn(peer)

    def test_http10Failure(self) -> None:
        """
        A clean end would make it look complete.
        """
        for kind in KINDS:
            peer = self.stream(kind(b"ab", ZeroDivisionError("x")), version="HTTP/1.0")
            peer.take()
            self.assertReset(peer)
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_trailers(self) -> None:
        """
        Only to those who say that they take them.
        """
        for te, sent in (
            ("TE: trailers", True),
            ("TE: gzip;q=0.5, Trailers", True),
            ("TE: gzip", False),
            ("A: b", False),
        ):
            peer = self.stream(Pieces(b"ab"), te, trailers={"Sum": "1"})
            (response,) = parse(peer.take())
            self.assertEqual(dict(response.trailers), {"Sum": "1"} if sent else {})

    def test_badTrailers(self) -> None:
        for trailers in ({"Sum": "1\r\nEvil: 2"}, {"Content-Length": "5"}):
            peer = self.stream(Pieces(b"ab"), "TE: trailers", trailers=trailers)
            data = peer.take()
            self.assertNotIn(b"Evil", data)
            self.assertReset(peer)
            self.assertEqual(len(self.flushLoggedErrors(LocalProtocolError)), 1)

    def test_whatHasNoBody(self) -> None:
        """
        It is refused before anything is sent, and closed.
        """
        for kind in KINDS:
            for status in (100, 204, 205, 304):
                pieces = kind(b"ab")
                peer = self.stream(pieces, status=status)
                self.assertEqual(self.status(peer), 500)
                self.assertEqual(len(self.flushLoggedErrors(LocalProtocolError)), 1)
                self.assertEqual((pieces.given, pieces.closed), ([], 1))

    def test_tunnelsThatAreNone(self) -> None:
        for kind in KINDS:
            pieces = kind(b"ab")
            self.serve(lambda request, pieces=pieces: WasiResponse(body=pieces))
            peer = self.connect(message("CONNECT", "x:1"))
            self.assertEqual(self.status(peer, "CONNECT"), 501)
            self.assertEqual(pieces.closed, 1)

    def test_aPeerThatStalls(self) -> None:
        """
        No more is asked for than what it takes.
        """
        for kind in KINDS:
            pieces = kind(*[bytes(10_000)] * 200)
            self.serve(lambda request, pieces=pieces: WasiResponse(body=pieces))
            peer = self.connect()
            peer.link.toClient.window = 4096
            peer.link.clientTransport.pauseProducing()
            peer.send(get())
            self.assertLess(len(pieces.given), 12)
            peer.link.clientTransport.resumeProducing()
            (response,) = parse(peer.take())
            self.assertEqual(len(response.body), 2_000_000)

    def test_thePeerGoesWhileItIsSent(self) -> None:
        for kind in KINDS:
            pieces = kind(*[bytes(10_000)] * 200)
            self.serve(lambda request, pieces=pieces: WasiResponse(body=pieces))
            peer = self.connect()
            peer.link.toClient.window = 4096
            peer.link.clientTransport.pauseProducing()
            peer.send(get())
            peer.reset()
            self.assertEqual(pieces.closed, 1)
            self.assertEqual(self.server.statistics.abandonedRequests, 1)

    def test_thePeerGoesWhileNothingIsSent(self) -> None:
        """
        What waits for its next piece, perhaps for ever, is not left waiting.
        """
        pieces = AsyncPieces(b"event", Deferred())
        peer = self.stream(pieces)
        self.assertIn(b"event", peer.take())
        self.assertEqual(pieces.closed, 0)
        peer.reset()
        self.assertEqual(pieces.closed, 1)

    def test_nobodyIsThereAnyMore(self) -> None:
        """
        When the handler gives its response the peer has gone: the pieces are closed, nothing else.
        """
        for kind in KINDS:

            async def handler(request: Request, pieces: Pieces) -> WasiResponse:
                await self.sleep(5)
                return WasiResponse(body=pieces)

            pieces = kind(b"ab")
            self.serve(lambda request, pieces=pieces, handler=handler: handler(request, pieces))
            peer = self.connect(get())
            peer.reset()
            with capturedLogs() as events:
                self.advance(5)
            self.assertEqual((pieces.given, pieces.closed), ([], 1))
            self.assertEqual([event for event in events if event["log_level"].name != "info"], [])

    def test_itAbortsItself(self) -> None:
        """
        It is answered or not, but not both.
        """

        async def pieces(request: Request) -> AsyncIterator[bytes]:
            yield b"ab"
            request.conn.abort()

        self.serve(lambda request: WasiResponse(headers={"Content-Length": "2"}, body=pieces(request)))
        peer = self.connect(get())
        self.assertReset(peer)

    def test_closeFails(self) -> None:
        class Bad(Pieces):
            def close(self) -> None:
                raise ZeroDivisionError

        peer = self.stream(Bad(b"ab"))
        self.assertReset(peer)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_othersHaveTheirTurn(self) -> None:
        """
        Whoever gives pieces without end doesn't keep the reactor.
        """

        def endless() -> Iterator[bytes]:
            nonlocal given
            while True:
                given += 1
                yield b"x"

        def handler(request: Request) -> WasiResponse:
            if request.uri == "/":
                return WasiResponse(body=endless())
            return WasiResponse(body=str(given))

        given = 0
        self.serve(handler)
        peer = self.connect()
        other = self.connect()
        peer.conn.write(get("/"))
        other.conn.write(get("/next"))
        peer.settle()
        (response,) = parse(other.take())
        self.assertLess(int(response.body), 1000)
        self.assertGreater(given, 10_000)


class RequestBodyTests(MemoryServerCase):
    def errors(self, peer: MemoryPeer, *kinds: type[BaseException]) -> None:
        self.assertEqual([type(error) for error in self.raised], list(kinds))

    def setUp(self) -> None:
        super().setUp()
        self.raised: list[BaseException] = []
        self.results: list[Any] = []

    def doing(self, what: Any, **limits: Any) -> None:
        """
        A handler that does something with each request, and lets pass what that raises.
        """

        async def handler(request: Request) -> WasiResponse:
            if request.uri == "/next":
                return uriOf(request)
            try:
                self.results.append(await what(request))
            except Exception as error:
                self.raised.append(error)
                raise
            return WasiResponse()

        self.serve(handler, **limits)

    async def collect(self, request: Request) -> list[bytes]:
        return [piece async for piece in request.stream()]

    def test_streamAsItComes(self) -> None:
        self.doing(self.collect)
        peer = self.connect(chunked("/", b"one"))
        peer.send(b"3\r\ntwo\r\n")
        peer.send(b"0\r\n\r\n")
        self.assertEqual(self.results, [[b"one", b"two"]])
        self.assertEqual(self.status(peer), 200)
        self.assertGoesOn(peer)

    def test_streamHasNoBound(self) -> None:
        self.doing(self.collect, message=Limits(body=10))
        for sent in (post("/", 100_000, body=bytes(100_000)), chunked("/", bytes(100_000), b""), post("/", 0)):
            peer = self.connect(sent)
            self.assertEqual(self.status(peer), 200)
        self.assertEqual([sum(map(len, pieces)) for pieces in self.results], [100_000, 100_000, 0])

    def test_readsBounds(self) -> None:
        async def read(request: Request) -> bytes:
            return await request.read(1000)

        self.doing(read)
        for size, status in ((1000, 200), (1001, 413)):
            for sent in (
                (post("/", size), bytes(size)),
                (post("/", size, body=bytes(size)),),
                (chunked("/", bytes(size), b""),),
                (chunked("/"), b"%x\r\n" % size, bytes(size), b"\r\n0\r\n\r\n"),
            ):
                peer = self.connect(*sent)
                self.assertEqual(self.status(peer), status)
        self.errors(peer, *[MessageTooLarge] * 4)

    def test_twice(self) -> None:
        async def twice(request: Request) -> bytes:
            return await request.read() + await request.read()

        async def both(request: Request) -> bytes:
            return await request.read() + b"".join(await self.collect(request))

        for what in (twice, both):
            self.doing(what)
            for sent in (post("/", 2, body=b"ab"), chunked("/", b"ab", b""), get()):
                peer = self.connect(sent)
                self.assertEqual(self.status(peer), 500)
                self.assertEqual(len(self.flushLoggedErrors(BusyError)), 1)

    def test_malformed(self) -> None:
        for what in (self.collect, lambda request: request.read()):
            self.doing(what)
            peer = self.connect(chunked("/", b"ab"), b"zz\r\n")
            self.assertEqual(self.status(peer), 400)
        self.errors(peer, RemoteProtocolError, RemoteProtocolError)

    def test_malformedAndAnswered(self) -> None:
        """
        By a handler to whom that is no matter; then nothing more is read.
        """

        async def handler(request: Request) -> WasiResponse:
            try:
                await request.read()
            except RemoteProtocolError:
                return WasiResponse(202)
            raise AssertionError

        self.serve(handler)
        peer = self.connect(chunked("/", b"ab") + b"zz\r\n" + get("/next"))
        self.assertEqual(self.status(peer), 202)
        peer.end()
        self.assertClosed(peer)

    def test_thePeerEndsInIt(self) -> None:
        self.doing(self.collect)
        peer = self.connect(post("/", 10, body=b"half"))
        peer.end()
        self.assertEqual(self.status(peer), 400)
        self.errors(peer, IncompleteRead)
        self.assertClosed(peer)

    def test_itEndsBadlyAfterTheAnswerHasBegun(self) -> None:
        """
        The answer is broken off, and nobody is to blame but the peer.
        """

        async def mirror(request: Request) -> WasiResponse:
            return WasiResponse(body=request.stream())

        def malformed(peer: MemoryPeer) -> None:
            peer.send(b"zz\r\n")

        def slow(peer: MemoryPeer) -> None:
            self.advance(30)

        for spoil in (malformed, slow, MemoryPeer.end):
            self.serve(mirror)
            peer = self.connect(chunked("/", b"ab"))
            self.assertIn(b"ab", peer.take())
            with capturedLogs() as events:
                spoil(peer)
            self.assertReset(peer)
            self.assertEqual({event["log_level"].name for event in events}, {"info"})

    def test_thePeerResetsInIt(self) -> None:
        self.doing(self.collect)
        peer = self.connect(post("/", 10, body=b"half"))
        with capturedLogs() as events:
            peer.reset()
        self.errors(peer, ConnectionClosed)
        self.assertEqual({event["log_level"].name for event in events}, {"info"})

    def test_afterTheAnswer(self) -> None:
        """
        What somebody still wants of a body whose request has been answered.
        """

        async def handler(request: Request) -> WasiResponse:
            if request.uri == "/next":
                return uriOf(request)
            requests.append(request)
            return WasiResponse()

        requests: list[Request] = []
        self.serve(handler)
        peer = self.connect(post("/", 10))
        (request,) = requests
        self.assertEqual(self.status(peer), 200)
        self.failureResultOf(Deferred.fromCoroutine(request.read()), ConnectionClosed)
        self.assertRaises(LocalProtocolError, request.informational, 103)
        self.failureResultOf(request.upgrade("x"), LocalProtocolError)
        self.failureResultOf(request.acceptTunnel(), LocalProtocolError)
        self.assertEqual(request.peer.host, "192.0.2.1")
        peer.send(bytes(10))
        self.assertGoesOn(peer)

    def test_answeredWhileSomebodyElseReads(self) -> None:
        """
        The reader is told, and the rest of the body doesn't get stuck with it.
        """

        async def handler(request: Request) -> WasiResponse:
            if request.uri == "/next":
                return uriOf(request)
            reading.append(Deferred.fromCoroutine(request.read()))
            return WasiResponse()

        for sent, rest in ((post("/", 10), bytes(10)), (chunked("/", b"ab"), b"0\r\n\r\n")):
            reading: list[Deferred[bytes]] = []
            self.serve(handler)
            peer = self.connect(sent)
            self.assertEqual(self.status(peer), 200)
            self.failureResultOf(reading[0], ConnectionClosed)
            peer.send(rest)
            self.assertGoesOn(peer)

    def test_refusedWhileSomebodyElseReads(self) -> None:
        async def handler(request: Request) -> WasiResponse:
            reading.append(Deferred.fromCoroutine(request.read()))
            raise ZeroDivisionError

        reading: list[Deferred[bytes]] = []
        self.serve(handler)
        peer = self.connect(post("/", 1_000_000))
        self.assertEqual(self.status(peer), 500)
        self.failureResultOf(reading[0], ConnectionClosed)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_text(self) -> None:
        self.doing(lambda request: request.text())
        for field, body, text in (
            ("A: b", "ü".encode(), "ü"),
            ("Content-Type: text/plain; charset=latin-1", b"\xfc", "ü"),
        ):
            self.connect(post("/", len(body), field, body=body))
            self.assertEqual(self.results.pop(), text)
        for field, body, status in (("A: b", b"\xfc", 400), ("Content-Type: text/plain; charset=klingon", b"x", 415)):
            peer = self.connect(post("/", len(body), field, body=body))
            self.assertEqual(self.status(peer), status)
            self.assertIsInstance(self.raised.pop(), ContentError)

    def test_json(self) -> None:
        self.doing(lambda request: request.json())
        self.connect(post("/", 7, body=b'{"a":1}'))
        self.assertEqual(self.results, [{"a": 1}])
        for body in (b"{", b"", b"\xff", b"[" * 100_000):
            peer = self.connect(post("/", len(body), body=body))
            self.assertEqual(self.status(peer), 400, body[:10])
            self.assertIsInstance(self.raised.pop(), ContentError)

    def test_trailers(self) -> None:
        async def read(request: Request) -> Any:
            await request.read()
            return request.trailers

        self.doing(read)
        self.connect(chunked("/", b"ab") + b"0\r\nSum: 1\r\n\r\n")
        self.assertEqual(dict(self.results[0]), {"Sum": "1"})

    def test_flowControl(self) -> None:
        """
        What the handler doesn't take stays with the peer; when it does, all comes.
        """
        sizes: list[int] = []

        async def slowly(request: Request) -> None:
            await self.sleep(10)
            async for piece in request.stream():
                sizes.append(len(piece))

        self.doing(slowly, buffered=10_000)
        size = 2_000_000
        peer = self.connect(post("/", size, body=bytes(size)))
        (protocol,) = self.server.connections
        self.assertLess(len(protocol.connection.reader.parser), 10_000 + 2 * 64 * 1024)
        self.advance(10)
        peer.settle()
        self.assertEqual(sum(sizes), size)
        self.assertEqual(self.status(peer), 200)

    def test_moreFramingThanAQuarterOfTheBuffer(self) -> None:
        """
        A head, or what frames a chunk, that is incomplete and longer than what reading goes on at.
        """

        async def handler(request: Request) -> WasiResponse:
            await self.sleep(1)
            return WasiResponse(body=await request.read())

        self.serve(handler, buffered=1000)
        first = message("GET", "/2", "A: " + "a" * 3000)
        peer = self.connect(get(), first[:2000])
        self.advance(1)
        peer.send(first[2000:])
        self.advance(1)
        self.assertEqual(len(parse(peer.take())), 2)
        peer = self.connect(chunked("/"), b"2;" + b"a" * 2000)
        self.advance(1)
        peer.send(b"a" * 1000 + b"\r\nab\r\n0\r\n\r\n")
        self.assertEqual(parse(peer.take())[0].body, b"ab")


class ResponseThatIsNoneTests(MemoryServerCase):
    def test_whatCannotBeSent(self) -> None:
        """
        Whatever a handler makes of its response: a 500, logged once, and no connection that goes on.
        """

        def handler(request: Request) -> WasiResponse:
            response = WasiResponse()
            if request.uri != "/good":
                setattr(response, *bad)
            return response

        for bad in (
            *(("status", value) for value in ([], "200", 600, 99, -1, None, 200.0, True)),
            *(("reason", value) for value in (["x"], None, b"OK", "a\r\nb", "\u20ac")),
            *(("_pairs", [("A", value)]) for value in (["x"], None, 5, "a\0", "\u20ac")),
            *(("_pairs", [(value, "b")]) for value in (["x"], None, 5, "a b", "")),
            *(("_pairs", [("Connection", value)]) for value in (["x"], None, 5)),
            ("_body", None),
        ):
            self.serve(handler)
            # The first makes known what is used by the second.
            peer = self.connect(get("/good") + get("/bad") + get("/next"))
            self.assertEqual([response.status for response in parse(peer.take())], [200, 500], bad)
            self.assertEqual(len(self.flushLoggedErrors()), 1)


class InformationalTests(MemoryServerCase):
    def test_before(self) -> None:
        async def handler(request: Request) -> WasiResponse:
            request.informational(103, {"Link": "</style>; rel=preload"})
            await self.sleep(1)
            request.informational(102)
            return WasiResponse(body="done")

        self.serve(handler)
        peer = self.connect(get())
        (early,) = parse(peer.take())
        self.assertEqual((early.status, early.headers["Link"]), (103, "</style>; rel=preload"))
        self.advance(1)
        self.assertEqual([response.status for response in parse(peer.take())], [102, 200])

    def test_notToHttp10(self) -> None:
        def handler(request: Request) -> WasiResponse:
            request.informational(103)
            return WasiResponse()

        self.serve(handler)
        peer = self.connect(message("GET", "/", version="HTTP/1.0"))
        self.assertEqual(self.status(peer), 200)

    def test_others(self) -> None:
        def handler(request: Request) -> WasiResponse:
            for status in (99, 101, 200, 204, 500, -1):
                self.assertRaises(LocalProtocolError, request.informational, status)
            for headers in ({"A": "b\r\nC: d"}, {"A b": "c"}, {"A": "\0"}):
                self.assertRaises(LocalProtocolError, request.informational, 103, headers)
            return WasiResponse()

        self.serve(handler)
        self.assertEqual(self.status(self.connect(get())), 200)

    def test_notAsTheFinalAnswer(self) -> None:
        """
        An interim response instead of the final one would leave the client waiting, and 101 would be a switch that
        nobody has made.
        """
        for status in (100, 101, 102, 103, 199):
            self.serve(lambda request, status=status: WasiResponse(status))
            peer = self.connect(get("/", "Connection: upgrade", "Upgrade: x"))
            self.assertEqual(self.status(peer), 500)
            self.assertEqual(len(self.flushLoggedErrors(LocalProtocolError)), 1)


UPGRADE = ("Connection: Upgrade", "Upgrade: websocket, h2c")


class TakeOverTests(MemoryServerCase):
    def setUp(self) -> None:
        super().setUp()
        self.heard: list[bytes] = []

    async def upgrade(self, request: Request) -> None:
        conn = await request.upgrade("websocket", {"X": "y"})
        await self.talk(conn)

    async def tunnel(self, request: Request) -> None:
        conn = await request.acceptTunnel()
        await self.talk(conn)

    async def talk(self, conn: WasiTcpConn) -> None:
        async with conn:
            while data := await conn.read():
                self.heard.append(data)
                await conn.write(b"heard " + data)
            await conn.write(b"bye")

    def test_upgrade(self) -> None:
        self.serve(self.upgrade)
        peer = self.connect(get("/", *UPGRADE) + b"early")
        head, _, rest = peer.take().partition(b"\r\n\r\n")
        (response,) = parse(head + b"\r\n\r\n")
        self.assertEqual(response.status, 101)
        fields = {name: response.headers[name] for name in ("Upgrade", "Connection", "X")}
        self.assertEqual(fields, {"Upgrade": "websocket", "Connection": "Upgrade", "X": "y"})
        self.assertNotIn("Content-Length", response.headers)
        self.assertEqual(rest, b"heard early")
        peer.send(b"GET / HTTP/1.1\r\n\r\n")
        self.assertEqual(peer.take(), b"heard GET / HTTP/1.1\r\n\r\n")
        peer.end()
        self.assertEqual(peer.take(), b"bye")
        self.assertClosed(peer)

    def test_tunnel(self) -> None:
        self.serve(self.tunnel)
        peer = self.connect(message("CONNECT", "x:1") + b"early")
        head, _, rest = peer.take().partition(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"HTTP/1.1 200 "))
        self.assertNotIn(b"Content-Length", head)
        self.assertNotIn(b"Transfer-Encoding", head)
        self.assertEqual(rest, b"heard early")

    def test_later(self) -> None:
        """
        All that has come in the meantime is the tunnel's: its end as well.
        """

        async def upgrade(request: Request) -> None:
            await self.sleep(5)
            await self.upgrade(request)

        async def tunnel(request: Request) -> None:
            await self.sleep(5)
            await self.tunnel(request)

        for handler, head in ((upgrade, get("/", *UPGRADE)), (tunnel, message("CONNECT", "x:1"))):
            for size in (0, 1, 1_000_000):
                self.heard.clear()
                self.serve(handler)
                peer = self.connect(head)
                peer.conn.write(b"\r" * size)
                peer.end()
                self.advance(5)
                answer = peer.take()
                self.assertEqual(b"".join(self.heard), b"\r" * size)
                self.assertTrue(answer.endswith(b"bye"), answer[-20:])
                self.assertClosed(peer)

    def test_theBodyIsReadFirst(self) -> None:
        self.serve(self.upgrade)
        peer = self.connect(post("/", 10, *UPGRADE, body=b"body"))
        self.assertEqual(peer.take(), b"")
        peer.send(b"body6!" + b"after")
        self.assertTrue(peer.take().endswith(b"heard after"))
        self.serve(self.upgrade)
        peer = self.connect(chunked("/", b"ab", b"", fields=UPGRADE) + b"after")
        self.assertTrue(peer.take().endswith(b"heard after"))

    def test_theBodyOfAnExpectation(self) -> None:
        self.serve(self.upgrade)
        peer = self.connect(post("/", 2, "Expect: 100-continue", *UPGRADE))
        self.assertEqual(peer.take(), CONTINUE)
        peer.send(b"abafter")
        self.assertTrue(peer.take().endswith(b"heard after"))

    def test_errors(self) -> None:
        async def handler(request: Request) -> WasiResponse:
            for protocol in ("http2", "", "websocket\r\nX: y", "h2c, websocket"):
                with self.assertRaises(LocalProtocolError):
                    await request.upgrade(protocol)
            with self.assertRaises(LocalProtocolError):
                await request.acceptTunnel()
            if request.uri == "/offers":
                for headers in ({"A": "b\r\nC: d"}, {"A": "\0"}, {"Content-Length": "5"}):
                    with self.assertRaises(LocalProtocolError):
                        await request.upgrade("websocket", headers)
            else:
                with self.assertRaises(LocalProtocolError):
                    await request.upgrade("websocket")
            return uriOf(request)

        self.serve(handler)
        for sent in (
            get("/1"),
            get("/2", "Upgrade: websocket"),
            get("/3", "Connection: close, upgrades", "Upgrade: websocket"),
            get("/4", "Connection: Upgrade", "Upgrade: websockets"),
            message("GET", "/5", *UPGRADE, version="HTTP/1.0"),
        ):
            self.assertEqual(self.status(self.connect(sent)), 200)
        peer = self.connect(get("/offers", *UPGRADE))
        self.assertEqual(self.status(peer), 200)
        self.assertGoesOn(peer)

    def test_anOfferThatIsNotTaken(self) -> None:
        self.serve(uriOf)
        peer = self.connect(get("/", *UPGRADE) + get("/2"))
        self.assertEqual(len(parse(peer.take())), 2)
        self.assertGoesOn(peer)

    def test_twice(self) -> None:
        async def handler(request: Request) -> None:
            conn = await request.upgrade("websocket")
            with self.assertRaises(LocalProtocolError):
                await request.upgrade("websocket")
            self.assertRaises(LocalProtocolError, request.informational, 103)
            await conn.write(b"fine")

        self.serve(handler)
        peer = self.connect(get("/", *UPGRADE))
        self.assertTrue(peer.take().endswith(b"\r\n\r\nfine"))
        self.assertClosed(peer)

    def test_aResponseAfterIt(self) -> None:
        """
        Is no response.
        """

        async def handler(request: Request) -> WasiResponse:
            await request.upgrade("websocket")
            return WasiResponse(body="no")

        self.serve(handler)
        peer = self.connect(get("/", *UPGRADE))
        self.assertTrue(peer.take().endswith(b"\r\n\r\n"))
        self.assertClosed(peer)

    def test_itFails(self) -> None:
        async def handler(request: Request) -> None:
            await request.upgrade("websocket")
            raise ZeroDivisionError

        self.serve(handler)
        peer = self.connect(get("/", *UPGRADE))
        self.assertReset(peer)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_whileSomebodyElseReads(self) -> None:
        async def handler(request: Request) -> WasiResponse:
            reading = Deferred.fromCoroutine(request.read())
            with self.assertRaises(BusyError):
                await request.upgrade("websocket")
            return WasiResponse(body=await reading)

        self.serve(handler)
        peer = self.connect(post("/", 2, *UPGRADE))
        peer.send(b"ab")
        self.assertEqual(parse(peer.take())[0].body, b"ab")

    def test_thePeerGoesBeforeIt(self) -> None:
        async def handler(request: Request) -> None:
            await self.sleep(5)
            await request.upgrade("websocket")

        self.serve(handler)
        peer = self.connect(get("/", *UPGRADE))
        peer.reset()
        with capturedLogs() as events:
            self.advance(5)
        self.assertEqual({event["log_level"].name for event in events}, {"info"})

    def test_thePeerResetsIt(self) -> None:
        self.serve(self.upgrade)
        peer = self.connect(get("/", *UPGRADE))
        with capturedLogs() as events:
            peer.reset()
        self.assertEqual({event["log_level"].name for event in events}, {"info"})
