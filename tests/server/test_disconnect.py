"""
A client that closes is noticed: its FIN is told to the handler, and ends a response that could otherwise last for ever.

The time is a Clock's. C{test_realdisconnect.py} does it with sockets.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from twisted.internet.defer import Deferred

from tests.support import MemoryPeer
from wasinet_twisted.http import WasiResponse
from wasinet_twisted.server import Request

from .support import MemoryServerCase, get, message, parse, post


class ToldTests(MemoryServerCase):
    """
    C{request.whenDisconnected()}: only told, and nothing is broken off.
    """

    def setUp(self) -> None:
        super().setUp()
        self.told: list[object] = []
        self.answers: list[Deferred[WasiResponse]] = []

    def wait(self, request: Request) -> Deferred[WasiResponse]:
        request.whenDisconnected().addBoth(self.told.append)
        self.answers.append(Deferred())
        return self.answers[-1]

    def test_atTheEnd(self) -> None:
        """
        A handler that has not answered yet is told, runs on for as long as it likes, and its answer is sent.
        """
        self.serve(self.wait, idle=1000)
        peer = self.connect(get("/a"))
        self.advance(50)
        self.assertEqual(self.told, [])
        peer.end()
        self.assertEqual(self.told, [None])
        self.advance(50)
        self.assertOpen(peer)
        self.answers[0].callback(WasiResponse(body="late"))
        peer.settle()
        (response,) = parse(peer.take())
        self.assertEqual(response.body, b"late")
        self.assertClosed(peer)

    def test_atAReset(self) -> None:
        self.serve(self.wait)
        self.connect(get()).reset()
        self.assertEqual(self.told, [None])
        self.answers[0].callback(WasiResponse())

    def test_afterTheFact(self) -> None:
        """
        It fires at once when it is asked for too late.
        """
        self.serve(self.wait)
        waiting: list[Request] = []
        self.server.handler = lambda request: waiting.append(request) or self.wait(request)
        peer = self.connect(get())
        peer.end()
        waiting[0].whenDisconnected().addBoth(self.told.append)
        peer.settle()
        self.assertEqual(self.told, [None, None])
        self.answers[0].callback(WasiResponse())

    def test_byTheConnection(self) -> None:
        """
        C{conn.whenPeerFinished()} is the same.
        """

        def wait(request: Request) -> Deferred[WasiResponse]:
            request.conn.whenPeerFinished().addBoth(self.told.append)
            self.answers.append(Deferred())
            return self.answers[-1]

        self.serve(wait)
        peer = self.connect(get())
        self.assertEqual(self.told, [])
        peer.end()
        self.assertEqual(self.told, [None])
        self.answers[0].callback(WasiResponse())

    def test_inABodyThatNobodyReads(self) -> None:
        """
        The client has gone in the midst of it.
        """
        self.serve(self.wait)
        peer = self.connect(post("/", 100, body=b"x" * 40))
        peer.end()
        self.assertEqual(self.told, [None])
        self.answers[0].callback(WasiResponse(body="so what"))
        peer.settle()
        self.assertEqual(self.status(peer), 200)

    def test_whileReadingIsPaused(self) -> None:
        """
        More has come than is held: the FIN is behind it, and is seen when reading goes on.
        """

        async def handle(request: Request) -> WasiResponse:
            request.whenDisconnected().addBoth(self.told.append)
            go: Deferred[WasiResponse] = Deferred()
            self.answers.append(go)
            await go
            return WasiResponse(body=str(len(await request.read())))

        self.serve(handle, buffered=1000)
        peer = self.connect(post("/", 200_000, body=bytes(200_000)))
        peer.end()
        self.assertEqual(self.told, [])
        self.answers[0].callback(WasiResponse())
        peer.settle()
        (response,) = parse(peer.take())
        self.assertEqual(response.body, b"200000")
        self.assertEqual(self.told, [None])

    def test_withoutHalfClose(self) -> None:
        """
        As over TLS: the end is the end of both directions.
        """
        self.serve(self.wait)
        self.connect(get(), halfClose=False).end()
        self.assertEqual(self.told, [None])
        self.answers[0].callback(WasiResponse())


class HalfClosedTests(MemoryServerCase):
    """
    C{ServerLimits.halfClosed}: pieces without a Content-Length.
    """

    def setUp(self) -> None:
        super().setUp()
        self.ended: list[str] = []
        self.next: Deferred[bytes] = Deferred()
        self.requests: list[Request] = []
        self.fields: dict[str, str] = {}

    async def pieces(self) -> AsyncIterator[bytes]:
        try:
            while True:
                yield await self.next
        finally:
            self.ended.append("finally")

    def give(self, piece: bytes) -> None:
        going, self.next = self.next, Deferred()
        going.callback(piece)
        self.peers[-1].settle()

    def stream(self, request: Request) -> WasiResponse:
        self.requests.append(request)
        return WasiResponse(200, self.fields, self.pieces())

    def begun(self, data: bytes, **limits: float) -> MemoryPeer:
        self.serve(self.stream, **limits)
        peer = self.connect(data)
        self.advance(100)
        self.assertOpen(peer)
        return peer

    def assertOn(self, peer: MemoryPeer) -> None:
        self.assertOpen(peer)
        self.assertEqual(self.ended, [])

    def assertOver(self, peer: MemoryPeer) -> None:
        """
        It has been reset, so that nobody takes the half for the whole; the generator is closed.
        """
        self.assertReset(peer)
        self.assertEqual(self.ended, ["finally"])
        self.assertEqual(self.server.tasks, set())
        self.assertEqual(self.dropped("half-closed"), 1)
        self.assertEqual(self.server.statistics.abandonedRequests, 1)

    def assertBound(self, data: bytes, seconds: float) -> None:
        peer = self.begun(data, halfClosed=seconds)
        peer.end()
        self.twoSides(seconds, lambda: self.assertOn(peer), lambda: self.assertOver(peer))

    def test_chunked(self) -> None:
        self.assertBound(get(), 2.5)

    def test_http10(self) -> None:
        self.assertBound(message("GET", version="HTTP/1.0"), 7)

    def test_theDefault(self) -> None:
        peer = self.begun(get())
        peer.end()
        self.twoSides(5, lambda: self.assertOn(peer), lambda: self.assertOver(peer))

    def test_eachPieceStartsItAnew(self) -> None:
        peer = self.begun(get(), halfClosed=3)
        peer.end()
        for _ in range(10):
            self.advance(2.9)
            self.give(b"event")
        self.assertOn(peer)
        self.assertEqual(peer.take().count(b"event"), 10)
        self.twoSides(3, lambda: self.assertOn(peer), lambda: self.assertOver(peer))

    def test_theEndOfThePiecesInTime(self) -> None:
        """
        A half-closed client gets its whole answer.
        """

        async def brief() -> AsyncIterator[bytes]:
            yield await self.next
            yield await self.next

        self.serve(lambda request: WasiResponse(body=brief()))
        peer = self.connect(get())
        peer.end()
        self.advance(4)
        self.give(b"one")
        self.advance(4)
        self.give(b"two")
        (response,) = parse(peer.take())
        self.assertEqual(response.body, b"onetwo")
        self.assertClosed(peer)

    def test_aContentLengthTakesItsTime(self) -> None:
        """
        Its end is known: only told.
        """

        async def brief() -> AsyncIterator[bytes]:
            yield await self.next
            yield await self.next

        self.serve(lambda request: WasiResponse(200, {"Content-Length": "6"}, brief()), halfClosed=1)
        peer = self.connect(get())
        peer.end()
        for piece in (b"one", b"two"):
            self.advance(100)
            self.assertOn(peer)
            self.give(piece)
        (response,) = parse(peer.take())
        self.assertEqual(response.body, b"onetwo")
        self.assertClosed(peer)

    def assertKept(self, peer: MemoryPeer) -> None:
        self.advance(1000)
        self.assertOn(peer)
        self.give(b"late")
        self.assertIn(b"late", peer.take())
        # A reset after a FIN is heard at the next piece.
        peer.reset()
        self.give(b"later")
        self.assertEqual(self.ended, ["finally"])

    def test_keepAfterDisconnect(self) -> None:
        peer = self.begun(get(), halfClosed=1)
        self.requests[0].keepAfterDisconnect()
        peer.end()
        self.assertKept(peer)

    def test_keepAfterDisconnectInTime(self) -> None:
        """
        It may be asked for after the FIN.
        """
        peer = self.begun(get(), halfClosed=1)
        peer.end()
        self.advance(0.9)
        self.requests[0].keepAfterDisconnect()
        self.assertKept(peer)

    def test_keepAfterDisconnectIsForOneRequest(self) -> None:
        """
        The next one on the connection has its own.
        """

        async def once() -> AsyncIterator[bytes]:
            yield b"one"

        def handle(request: Request) -> WasiResponse:
            if request.uri == "/first":
                request.keepAfterDisconnect()
                return WasiResponse(body=once())
            self.requests[0].keepAfterDisconnect()
            return self.stream(request)

        def remember(request: Request) -> WasiResponse:
            self.requests.append(request)
            return handle(request)

        self.serve(remember, halfClosed=1)
        peer = self.connect(get("/first"))
        peer.take()
        peer.send(get("/second"))
        peer.end()
        self.twoSides(1, lambda: self.assertOn(peer), lambda: self.assertOver(peer))

    def test_pipelinedBeforeTheEnd(self) -> None:
        """
        The FIN came before the response began.
        """
        self.serve(self.stream, halfClosed=2)
        answers: list[Deferred[WasiResponse]] = []
        self.server.handler = lambda request: (
            self.stream(request) if request.uri == "/stream" else answers.append(Deferred()) or answers[-1]
        )
        peer = self.connect(get("/wait") + get("/stream"))
        peer.end()
        self.advance(60)
        self.assertOn(peer)
        answers[0].callback(WasiResponse(body="first"))
        self.twoSides(2, lambda: self.assertOn(peer), lambda: self.assertOver(peer))
        self.assertIn(b"first", peer.take())

    def test_inTheMidstOfARequest(self) -> None:
        """
        The response has begun before the body had come, and the rest of that never does.
        """
        peer = self.begun(post("/", 100, body=b"half"), halfClosed=2)
        peer.end()
        self.twoSides(2, lambda: self.assertOn(peer), lambda: self.assertOver(peer))

    def test_aPeerThatTakesNothing(self) -> None:
        """
        The time in which the peer doesn't take what is there is not the generator's; it has its own bound.
        """
        peer = self.begun(get(), halfClosed=1, bodyGrace=6)
        peer.stall()
        self.give(b"x" * 1000)
        peer.end()
        self.advance(5)
        self.assertOpen(peer)
        peer.flow()
        self.twoSides(1, lambda: self.assertOn(peer), lambda: self.assertOver(peer))

    def test_aDrainNeedNotWait(self) -> None:
        """
        SIGTERM doesn't wait for its deadline.
        """
        peer = self.begun(get())
        peer.end()
        over = self.server.drain(30)
        self.twoSides(5, lambda: self.assertNoResult(over), lambda: self.successResultOf(over))
        self.assertOver(peer)

    def test_zeroEndsAtOnce(self) -> None:
        peer = self.begun(get(), halfClosed=0)
        peer.end()
        self.advance(0.5)
        self.assertOver(peer)
