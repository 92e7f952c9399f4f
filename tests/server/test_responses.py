"""
Responses: in pieces, before the final one, and what can't be sent; in memory.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from tests.support import MemoryPeer
from wasinet_twisted.errors import (
    LocalProtocolError,
)
from wasinet_twisted.http import WasiResponse
from wasinet_twisted.server import Request

from .support import MemoryServerCase, get, message, parse, uriOf


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
