"""
Answers that are cut: by the network, which changes nothing, and by the end of the connection at every byte.
"""

from __future__ import annotations

import gzip
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock

from tests.support import more
from wasinet_twisted.client import ClientLimits, Pool, Timeouts, fetch
from wasinet_twisted.errors import ConnectionClosed, IncompleteRead, WasinetError
from wasinet_twisted.testing import run

from .support import CONTINUE, OK, URL, ClientCase, Outcome, Peer, answer, chunked, head

END = {"FIN": Peer.finish, "close": Peer.close, "RST": Peer.reset}


class CutTests(ClientCase):
    """
    The connection is closed at every byte of an answer.
    """

    def cutAt(self, position: int, reply: bytes, end: str, kept: bool, together: bool) -> tuple[Outcome, Pool]:
        """
        @param kept: is it the answer to the first request of its connection, or to the second?
        @param together: does the end come with the bytes, or after somebody has read them?
        """
        self.listen()
        pool = self.pool()
        if kept:
            self.fetch(OK, pool=pool)
        reading = self.whole(pool=pool, method="POST")
        self.peers[0].send(reply[:position])
        if not together or end == "RST":
            # A reset would overtake them.
            self.settle()
        END[end](self.peers[0])
        self.settle()
        self.assertFalse(reading.pending, f"nobody is told of {end} at {position}")
        return reading, pool

    def everywhere(self, reply: bytes, whole: bytes, untilClose: bool = False) -> None:
        headEnds = reply.index(b"\r\n\r\n") + 4
        for end in END:
            for kept in (False, True):
                for together in (False, True):
                    for position in range(len(reply) + 1):
                        self.pools.clear()
                        reading, pool = self.cutAt(position, reply, end, kept, together)
                        where = (end, kept, together, position)
                        if position == len(reply) and not (untilClose and end == "RST"):
                            self.assertEqual(reading.value, whole, where)
                        elif untilClose and position >= headEnds and end != "RST":
                            self.assertEqual(reading.value, reply[headEnds:position], where)
                        else:
                            self.assertIsInstance(reading.error, (IncompleteRead, ConnectionClosed), where)
                        self.assertEqual(len(self.peers), 1, where)
                        self.advance(0.1)
                        self.assertEverythingIsGone(pool)

    def test_byLength(self) -> None:
        self.everywhere(answer(b"body", "X: y"), b"body")

    def test_chunked(self) -> None:
        self.everywhere(chunked(b"bo", b"dy", trailers=b"X: y\r\n"), b"body")

    def test_untilClose(self) -> None:
        self.everywhere(head("X: y") + b"body", b"body", untilClose=True)

    def test_withoutABody(self) -> None:
        self.everywhere(head(status="204 No Content"), b"")

    def test_afterAnInterimOne(self) -> None:
        self.everywhere(CONTINUE + answer(b"body"), b"body")


def inPieces(reply: bytes, cuts: list[int], method: str = "GET", kept: bool = False) -> Any:
    """
    What a fetch makes of a reply that comes in pieces, and of its connection before the server closes that.

    @param kept: does it come over a connection that has been used before?
    """
    case = ClientCase()
    case.setUp()
    pool = case.pool()
    if kept:
        case.fetch(OK, pool=pool)
    found: list[Any] = []

    async def read() -> None:
        response = await fetch(URL, pool=pool, method=method)
        found.extend((response.status, response.reason, response.version, list(response.headers.items())))
        found.append(await response.bytes())
        found.append(None if response.trailers is None else list(response.trailers.items()))

    reading = Outcome(ensureDeferred(read()))
    case.settle()
    peer = case.peers[0]
    positions = sorted({min(cut, len(reply)) for cut in cuts} | {0, len(reply)})
    for begin, end in pairwise(positions):
        peer.send(reply[begin:end])
        case.settle()
    state = repr(pool)
    peer.close()
    case.settle()
    found.append((type(reading.error), str(reading.error)))
    case.tearDown()
    return found, state


REPLIES = (
    answer(b"body", "X: y"),
    chunked(b"bo", b"d" * 300, trailers=b"X: y\r\n"),
    head("X: y") + b"body" * 50,
    CONTINUE,
    CONTINUE * 3 + answer(b"body"),
    answer(gzip.compress(b"body" * 100), "Content-Encoding: gzip"),
    answer(b"first") + answer(b"second"),
    head("Transfer-Encoding: chunked") + b"2\r\nbo\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
    answer(b"body", "Connection: close"),
    answer(b"body", version="HTTP/1.0"),
    answer(b"body", "Connection: keep-alive", version="HTTP/1.0"),
    answer(b"", "Connection: upgrade", "Upgrade: x", status="101 Switching"),
    answer(b"", status="204 No Content"),
    head(status="204 No Content"),
    head("Content-Length: 4", status="304 Not Modified"),
    answer(b"", "Location: ftp://x/", status="302 Found"),
    answer(b"body", status="417 Expectation Failed"),
    answer(b"", "Set-Cookie: a", "Set-Cookie: b", "Date: x"),
)
METHODS = ("GET", "HEAD", "OPTIONS", "POST")


@settings(max_examples=more(100, 20))
@given(st.sampled_from(REPLIES), st.lists(st.integers(0, 400), max_size=12), st.sampled_from(METHODS), st.booleans())
def test_cutsDontMatter(reply: bytes, cuts: list[int], method: str, kept: bool) -> None:
    """
    However a reply is cut, the same comes of it, and of its connection.
    """
    assert inPieces(reply, cuts, method, kept) == inPieces(reply, [], method)


def test_keptOrNew() -> None:
    """
    Over a connection that was used before, a reply that comes whole makes no task, and may be read in C.
    """
    for reply in REPLIES:
        for method in METHODS:
            assert inPieces(reply, [], method, kept=True) == inPieces(reply, [], method), (method, reply)


@settings(max_examples=more(60, 20))
@given(st.binary(max_size=60), st.sampled_from(REPLIES), st.integers(0, 400), st.integers(0, 3))
def test_noise(noise: bytes, reply: bytes, at: int, removed: int) -> None:
    """
    Whatever a server sends, there is a response or an error, and nothing is left.
    """
    at = min(at, len(reply))
    reply = reply[:at] + noise + reply[at + removed :]
    clock = Clock()
    case = ClientCase()
    case.setUp()
    case.clock = clock
    case.listen()
    pool = Pool(
        limits=ClientLimits(), endpoint=lambda _: case.listener.endpoint, reactor=clock, timeouts=Timeouts(total=5)
    )

    async def whole() -> None:
        try:
            async with await fetch("http://origin.test/", pool=pool) as response:
                await response.bytes()
        except WasinetError:
            pass

    fetching = ensureDeferred(whole())
    case.settle()
    case.peers[0].send(reply)
    run(clock, fetching)
    run(clock, pool.close())
    case.assertEverythingIsGone(pool)
    for peer in case._everyPeer:
        if peer.reason is None:
            peer.close()
    case.advance(10)
    assert clock.getDelayedCalls() == []
