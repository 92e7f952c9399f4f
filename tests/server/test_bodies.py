"""
Bodies of requests: read, streamed, left unread, cut or malformed; in memory.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
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
)
from wasinet_twisted.http import Limits, WasiResponse
from wasinet_twisted.server import Request

from .support import MemoryServerCase, chunked, get, message, parse, post, uriOf


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

    def test_aReadThatIsGivenUp(self) -> None:
        """
        From then on nobody waits for the body: it isn't late, and the time is the handler's.
        """

        async def impatient(request: Request) -> None:
            reading = Deferred.fromCoroutine(request.read())
            self.clock.callLater(1, reading.cancel)
            with contextlib.suppress(CancelledError):
                await reading
            await self.sleep(100)

        self.doing(impatient, handler=30, bodyGrace=5)
        peer = self.connect(post("/", 10, body=b"half"))
        self.twoSides(31, lambda: self.assertEqual(peer.take(), b""), lambda: self.assertEqual(self.status(peer), 503))
        self.assertEqual(self.dropped("slow body"), 0)

    def test_theFirstReadFillsIt(self) -> None:
        """
        Then there is no second one, until the handler wants more.
        """

        async def slowly(request: Request) -> None:
            await self.sleep(1)
            await request.read()

        self.doing(slowly, buffered=1000)
        first = post("/", 6000, body=bytes(3000))
        peer = self.connect(first)
        peer.send(bytes(3000))
        self.assertEqual(self.server.statistics.bytesReceived, len(first))
        self.advance(1)
        self.assertEqual(self.server.statistics.bytesReceived, len(first) + 3000)
        self.assertEqual(self.status(peer), 200)

    def test_whatIsForgottenMakesRoom(self) -> None:
        """
        The first read fills the buffer; the handler answers without the body, whose rest comes then.
        """

        async def ignore(request: Request) -> None:
            await self.sleep(1)

        self.doing(ignore, buffered=1000)
        peer = self.connect(post("/", 6000, body=bytes(3000)), bytes(3000))
        self.advance(1)
        self.assertEqual(self.status(peer), 200)
        self.assertEqual(self.server.statistics.bytesReceived, len(post("/", 6000)) + 6000)
        peer.send(get())
        self.advance(1)
        self.assertEqual(self.status(peer), 200)

    def test_whatComesWhileTheResponseIsNotTaken(self) -> None:
        """
        The reader has it all the same: what waits to be sent is no reason to wait for what has come.
        """

        async def read(request: Request) -> None:
            self.results.append(await request.read())

        async def pieces() -> AsyncIterator[bytes]:
            yield bytes(200_000)

        def handler(request: Request) -> WasiResponse:
            self.results.append(Deferred.fromCoroutine(read(request)))
            return WasiResponse(body=pieces())

        self.serve(handler)
        peer = self.connect()
        peer.link.toClient.window = 4096
        peer.link.clientTransport.pauseProducing()
        peer.send(post("/", 10))
        self.assertEqual(len(self.results), 1)
        peer.send(b"0123456789")
        self.assertEqual(self.results[1:], [b"0123456789"])
        peer.link.clientTransport.resumeProducing()
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


class UnreadBodyTests(MemoryServerCase):
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


class RefusedUploadTests(MemoryServerCase):
    """
    A large upload that is refused on its way is read on, as one that is refused at once, so that its client reads why.
    """

    def test_whatTheHandlerHasReadIsNotCounted(self) -> None:
        async def handler(request: Request) -> WasiResponse:
            size = 0
            async for piece in request.stream():
                size += len(piece)
                if size > 5000:
                    break
            return WasiResponse(413)

        self.serve(handler, lingerBytes=4000, unreadBody=1000)
        peer = self.connect(post("/", 1_000_000, body=bytes(3000)))
        peer.send(bytes(3000))
        self.assertEqual(self.status(peer), 413)
        peer.send(bytes(4000))
        self.assertOpen(peer)
        peer.send(b"x")
        self.assertClosed(peer)

    def test_whatWasForgottenIsNotCounted(self) -> None:
        self.serve(uriOf, lingerBytes=4000, unreadBody=5000)
        peer = self.connect(chunked("/"))
        self.assertEqual(self.status(peer), 200)
        peer.send(b"ffff\r\n" + bytes(5001))
        peer.send(bytes(4000))
        self.assertOpen(peer)
        peer.send(b"x")
        self.assertClosed(peer)
