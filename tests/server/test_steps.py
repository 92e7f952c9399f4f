"""
What a peer sends costs no more than so many steps a byte, whatever it is, and twice as much of it twice as much.

A step is a call, of Python or of C. No time is measured.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.support import MemoryPeer
from wasinet_twisted.errors import LocalProtocolError
from wasinet_twisted.http import Limits, WasiResponse
from wasinet_twisted.server import HttpServer, Request, ServerLimits

from .support import message

# What a head may be made of, within the limits.
LINES = 98
HEAD = 32_000


def countSteps(what: Callable[[], object]) -> int:
    """
    Return how many calls there are in C{what}.
    """
    steps = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal steps
        if event in ("call", "c_call"):
            steps += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        what()
    finally:
        sys.setprofile(before)
    return steps


async def whole(request: Request) -> WasiResponse:
    return WasiResponse(body=str(len(await request.read())))


async def streamed(request: Request) -> WasiResponse:
    size = 0
    async for piece in request.stream():
        size += len(piece)
    return WasiResponse(body=str(size))


async def ignored(request: Request) -> WasiResponse:
    return WasiResponse()


async def asked(request: Request) -> WasiResponse:
    """
    All that a handler may ask of a head.
    """
    for _ in range(3):
        _ = request.keepAlive, request.host, request.path, request.query
        for name in ("Connection", "Cookie", "TE", "Accept"):
            request.getHeader(name)
    return WasiResponse()


class StepsCase(SynchronousTestCase):
    def steps(self, handler: Any, sent: bytes, expected: bytes) -> int:
        """
        Return how many steps a server makes for what is sent to it, the connection in memory included.

        @param expected: what the status line holds.
        """
        clock = Clock()
        limits = ServerLimits(unreadBody=1 << 20, message=Limits(chunkExtensions=1 << 16, trailers=1 << 16))
        server = HttpServer(handler, limits=limits, reactor=clock)
        peer = MemoryPeer(server, clock)
        peer.conn.write(sent)
        count = countSteps(peer.settle)
        answer = peer.take()
        self.assertIn(expected, answer.partition(b"\r\n")[0])
        peer.reset()
        return count

    def assertLinear(self, handler: Any, make: Callable[[int], bytes], most: float, expected: bytes = b"200") -> None:
        """
        @param make: gives what is sent, of some size.
        @param most: how many steps there may be for each byte, in the largest.
        """
        nothing = self.steps(handler, make(0), expected)
        small, large = (self.steps(handler, make(size), expected) - nothing for size in (HEAD // 2, HEAD))
        self.assertLess(large, 2.5 * small + 500)
        self.assertLess(large, most * len(make(HEAD)))


class FieldTests(StepsCase):
    def lines(self, name: str, member: str) -> Callable[[int], bytes]:
        """
        As many lines as there may be, of lists of C{member}.
        """

        def make(size: int) -> bytes:
            length = size // LINES
            value = (member * length)[: max(length - len(name) - 4, 0)]
            # Each is another one, so that none is remembered.
            return message("GET", "/", *(f"{name}: {number}{value}x" for number in range(LINES - 1) if size))

        return make

    def oneLine(self, name: str, member: str) -> Callable[[int], bytes]:
        return lambda size: message("GET", "/", f"{name}: x{(member * size)[:size]}x")

    def assertLists(self, name: str, expected: bytes = b"200") -> None:
        for member in (",", ", ", "close,", "a;b=c, ", '"', "trailers,", "keep-alive ,"):
            for make in (self.lines(name, member), self.oneLine(name, member)):
                self.assertLinear(asked, make, 20, expected)

    def test_connection(self) -> None:
        self.assertLists("Connection")

    def test_te(self) -> None:
        self.assertLists("TE")

    def test_upgrade(self) -> None:
        self.assertLists("Upgrade")

    def test_cookie(self) -> None:
        self.assertLists("Cookie")

    def test_accept(self) -> None:
        self.assertLists("Accept")

    def test_expect(self) -> None:
        for make in (self.lines("Expect", ","), self.oneLine("Expect", ",")):
            self.assertLinear(asked, lambda size, make=make: make(size or HEAD // 4), 20, b"417")

    def test_transferEncoding(self) -> None:
        for member in (",", "gzip,"):
            make = self.oneLine("Transfer-Encoding", member)
            self.assertLinear(asked, make, 20, b"400")

    def test_theTarget(self) -> None:
        for member in ("&", "a=b&", "%41", "/"):
            self.assertLinear(
                asked, lambda size, member=member: message("GET", "/?" + (member * size)[: size // 4]), 20
            )

    def test_anUpgrade(self) -> None:
        """
        What is offered is looked through once.
        """

        async def handler(request: Request) -> WasiResponse:
            with self.assertRaises(LocalProtocolError):
                await request.upgrade("nothing like it")
            return WasiResponse()

        def make(size: int) -> bytes:
            return message("GET", "/", "Connection: upgrade", f"Upgrade: x{',' * size}x")

        self.assertLinear(handler, make, 20)

    def test_theAnswersFields(self) -> None:
        """
        What the application answers with is looked at once as well.
        """

        def make(size: int) -> bytes:
            return message("GET", "/" + "x" * (size // 5))

        async def handler(request: Request) -> WasiResponse:
            value = ", " * ((len(request.uri) - 1) * 5 // LINES // 2)
            return WasiResponse(200, [("Connection", f"x{value}{number}") for number in range(LINES)])

        self.assertLinear(handler, make, 100)


class BodyTests(StepsCase):
    HANDLERS = (whole, streamed, ignored)

    def assertBodies(self, make: Callable[[int], bytes], most: float) -> None:
        for handler in self.HANDLERS:
            self.assertLinear(
                handler, lambda size: message("POST", "/", "Transfer-Encoding: chunked") + make(size), most
            )

    def test_tinyChunks(self) -> None:
        self.assertBodies(lambda size: b"1\r\nx\r\n" * (size // 6) + b"0\r\n\r\n", 30)

    def test_tinyChunksWithExtensions(self) -> None:
        self.assertBodies(lambda size: b"1;a=b\r\nx\r\n" * (size // 10) + b"0\r\n\r\n", 30)

    def test_anExtension(self) -> None:
        for member in (b";a", b';a="b"', b" "):
            self.assertBodies(
                lambda size, member=member: b"1" + member * (size // len(member)) + b";a\r\nx\r\n0\r\n\r\n", 10
            )

    def test_trailers(self) -> None:
        for line in (b"a: %b\r\n", b"a-%b:\r\n"):

            def make(size: int, line: bytes = line) -> bytes:
                section = b"".join(
                    line % (b"%d" % number * (size // LINES // 3)) for number in range(LINES if size else 0)
                )
                return b"1\r\nx\r\n0\r\n" + section + b"\r\n"

            self.assertBodies(make, 20)

    def test_emptyLines(self) -> None:
        """
        Those before a request have a bound.
        """
        self.assertLinear(ignored, lambda size: b"\r\n" * size + message("GET"), 1, b"HTTP/1.1")

    def test_pipelined(self) -> None:
        request = message("GET", "/", "Connection: " + "," * 50)
        self.assertLinear(ignored, lambda size: request * (1 + size // len(request)), 10)
