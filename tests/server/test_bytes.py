"""
The bytes on the wire: all are counted, and they are the same whichever path encodes them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from wasinet_twisted.http import WasiResponse, serverconnection
from wasinet_twisted.server import Request, serving

from .support import CONTINUE, MemoryServerCase, chunked, get, message, parse, post


async def pieces(*given: bytes) -> AsyncIterator[bytes]:
    for piece in given:
        yield piece


class CountedTests(MemoryServerCase):
    """
    What the statistics count is what the peer has got and sent.
    """

    def tearDown(self) -> None:
        self.flushLoggedErrors()
        super().tearDown()

    async def handle(self, request: Request) -> WasiResponse | None:
        path = request.path
        if path == "/interim":
            for status in (102, 103):
                request.informational(status, {"Link": "</style.css>"})
        if path == "/read":
            return WasiResponse(body=await request.read())
        if path == "/pieces":
            trailers = {"X-Sum": "1"}
            return WasiResponse(body=pieces(b"a", b"", b"bc" * 5000), trailers=trailers)
        if path == "/length":
            return WasiResponse(200, {"Content-Length": "5"}, pieces(b"ab", b"cde"))
        if path == "/short":
            return WasiResponse(200, {"Content-Length": "5"}, self.stopping())
        if path == "/long":
            return WasiResponse(200, {"Content-Length": "5"}, self.breaking(b"cdef"))
        if path == "/raise":
            raise LookupError("no")
        if path == "/breaks":
            return WasiResponse(body=self.breaking())
        if path == "/none":
            return None
        if path == "/upgrade":
            conn = await request.upgrade("echo")
            await conn.write(b"not HTTP's, and not counted" * 100)
            return None
        if path == "/wait":
            await self.sleep(5)
        return WasiResponse(body=path)

    async def breaking(self, *rest: bytes) -> AsyncIterator[bytes]:
        yield b"ab"
        await self.sleep(1)
        for piece in rest:
            yield piece
        if not rest:
            raise LookupError("no")

    async def stopping(self) -> AsyncIterator[bytes]:
        yield b"ab"
        await self.sleep(1)

    def count(self, *sent: bytes, uncounted: int = 0, seconds: float = 0, **options: Any) -> bytes:
        """
        @param uncounted: so many bytes of what the peer gets are not HTTP's.
        @return: what the peer has got.
        """
        self.serve(self.handle, **{"head": 1, "bodyGrace": 1, "handler": 3, **options})
        peer = self.connect(*sent)
        self.advance(seconds)
        got = peer.take()
        self.assertGreater(len(got), 0)
        statistics = self.server.statistics
        self.assertEqual(statistics.bytesSent, len(got) - uncounted)
        self.assertEqual(statistics.bytesReceived, sum(map(len, sent)))
        return got

    def test_whole(self) -> None:
        self.count(get(), get() * 100, message("HEAD"), message("GET", version="HTTP/1.0"))

    def test_slowPath(self) -> None:
        self.patch(serverconnection, "fastResponse", lambda *_: None)
        self.test_whole()

    def test_interim(self) -> None:
        self.assertIn(b" 103 ", self.count(get("/interim")))

    def test_continue(self) -> None:
        got = self.count(post("/read", 3, "Expect: 100-continue"), b"abc")
        self.assertTrue(got.startswith(CONTINUE))

    def test_chunked(self) -> None:
        got = self.count(chunked("/read", b"abc", b"d"), b"1;ext=1\r\ne\r\n0\r\nA: b\r\n\r\n")
        self.assertTrue(got.endswith(b"abcde"))

    def test_pieces(self) -> None:
        """
        The chunks' framing and the trailers.
        """
        self.assertIn(b"X-Sum", self.count(get("/pieces", "TE: trailers"), get("/pieces")))

    def test_piecesUntilTheEnd(self) -> None:
        self.count(message("GET", "/pieces", version="HTTP/1.0"))

    def test_piecesWithALength(self) -> None:
        self.count(get("/length"), message("HEAD", "/length"), message("HEAD", "/pieces"))

    def test_brokenOff(self) -> None:
        """
        What was sent before.
        """
        for path in ("/short", "/long", "/breaks"):
            got = self.count(get(path))
            self.assertIn(b"200 OK", got)
            self.advance(2)
            self.assertReset(self.peers[-1])
            self.assertEqual(self.server.statistics.bytesSent, len(got))

    def test_failures(self) -> None:
        for path in ("/raise", "/none"):
            self.assertIn(b" 500 ", self.count(get(path)))

    def test_refusals(self) -> None:
        for data, status in (
            (b"nonsense\r\n\r\n", 400),
            (message("CONNECT", "x:1"), 501),
            (message("GET", "/", "Expect: more"), 417),
            (chunked("/read", b"abc") + b"nonsense\r\n", 400),
            (post("/read", 2_000_000), 413),
            (get("/", "A: " + 40_000 * "a"), 431),
        ):
            self.assertIn(b" %d " % status, self.count(data))

    def test_deadlines(self) -> None:
        for data, status in ((b"GET", 408), (post("/read", 3, body=b"a"), 408), (get("/wait"), 503)):
            self.assertIn(b" %d " % status, self.count(data, seconds=4))

    def test_upgrade(self) -> None:
        """
        The 101 is counted, and what follows isn't.
        """
        request = get("/upgrade", "Connection: upgrade", "Upgrade: echo")
        self.assertIn(b" 101 ", self.count(request, uncounted=27 * 100))

    def test_whatComesAfterTheLastAnswer(self) -> None:
        """
        It is read, thrown away, and counted as it comes.
        """
        self.count(get("/", "Connection: close") + get(), b"nonsense" * 1000)
        self.count(b"nonsense\r\n\r\n", bytes(100_000))


class ClosingTests(MemoryServerCase):
    """
    A response after which the connection closes, and others.
    """

    RESPONSES = (
        lambda: WasiResponse(),
        lambda: WasiResponse(404, {"Content-Type": "text/plain", "X-Other": "1"}, "no"),
        lambda: WasiResponse(200, [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")], b"x" * 1000),
        lambda: WasiResponse(200, [("Vary", "Accept")], memoryview(b"abc")),
    )

    def answers(self, make: Any, *requests: bytes) -> list[bytes]:
        self.serve(lambda request: make())
        got = []
        for request in requests:
            peer = self.connect(request)
            got.append(peer.take())
        return got

    def requests(self) -> list[bytes]:
        return [
            message(method, "/", *fields, version=version)
            for method in ("GET", "POST", "HEAD")
            for version in ("HTTP/1.0", "HTTP/1.1")
            for fields in ((), ("Connection: close",), ("Connection: keep-alive",))
        ]

    def test_bothPathsGiveTheSame(self) -> None:
        # The second could change between the two.
        self.patch(serving, "dateLine", lambda now: b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n")
        fastResponse = serverconnection.fastResponse
        fast = []

        def watched(*args: Any) -> bytes | None:
            encoded = fastResponse(*args)
            fast.append(encoded is not None)
            return encoded

        for make in self.RESPONSES:
            self.patch(serverconnection, "fastResponse", watched)
            quick = self.answers(make, *self.requests())
            self.patch(serverconnection, "fastResponse", lambda *_: None)
            self.assertEqual(quick, self.answers(make, *self.requests()))
        if any(fast):
            # It isn't switched off, and then it is the one for most of them, those that close included.
            self.assertGreater(sum(fast), len(fast) // 2)

    def test_theOrder(self) -> None:
        """
        Date, the handler's fields, Content-Length, Connection.
        """
        for path in ("fast", "slow"):
            if path == "slow":
                self.patch(serverconnection, "fastResponse", lambda *_: None)
            (got,) = self.answers(self.RESPONSES[1], get("/", "Connection: close"))
            names = [line.partition(b":")[0] for line in got.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]]
            self.assertEqual(names, [b"Date", b"Content-Type", b"X-Other", b"Content-Length", b"Connection"], path)

    def test_anError(self) -> None:
        """
        A 500 says nothing of why, in a few words of text.
        """

        def handler() -> WasiResponse:
            raise LookupError("hunter2")

        for method, body in (("GET", b"Internal Server Error\n"), ("HEAD", b"")):
            (got,) = self.answers(handler, message(method))
            self.assertEqual(len(self.flushLoggedErrors(LookupError)), 1)
            (response,) = parse(got, method, ended=True)
            self.assertEqual((response.status, response.body), (500, body))
            self.assertEqual(response.headers["Content-Type"], "text/plain")
            self.assertEqual(response.headers["Content-Length"], "22")
            self.assertEqual(response.headers["Connection"], "close")
