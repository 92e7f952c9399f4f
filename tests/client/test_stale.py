"""
A kept connection over which something has come that the reactor hasn't read yet.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint
from zope.interface import implementer

from tests.client.servers import body, pool, timed
from tests.processes import PATIENCE
from wasinet_twisted.client import ClientLimits, Response, fetch
from wasinet_twisted.errors import RemoteProtocolError

reactor: Any = _reactor

# All that a transport reads at once.
ONCE = 1 << 16
FORGED = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"


def answer(content: bytes, size: int = 0) -> bytes:
    """
    A response, made longer by a field to C{size} bytes.
    """
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n" % len(content)
    fill = size - len(head) - len(content) - len(b"X: \r\n\r\n")
    return head + b"X: %b\r\n\r\n" % (b"x" * max(fill, 0)) + content


class Origin:
    """
    A server of blocking sockets. Each connection is answered by C{first}, and from the second request on by C{then}.

    @ivar connections: how many have come.
    @ivar spoken: has it sent its greeting?
    """

    def __init__(self, first: bytes, then: bytes, end: bool = False, greeting: bytes = b"") -> None:
        """
        @param end: does it close after the first?
        @param greeting: what it sends before it has read anything.
        """
        self._first, self._then, self._end, self._greeting = first, then, end, greeting
        self.spoken = threading.Event()
        self.connections = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                conn, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            self._threads.append(threading.Thread(target=self._serve, args=[conn]))
            self._threads[-1].start()

    def _serve(self, conn: socket.socket) -> None:
        conn.settimeout(PATIENCE)
        # The client resets what it doesn't trust.
        with conn, suppress(ConnectionError):
            said = self._first
            conn.sendall(self._greeting)
            self.spoken.set()
            while conn.recv(ONCE):
                conn.sendall(said)
                if self._end:
                    return
                said = self._then

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join(PATIENCE)


@implementer(IStreamClientEndpoint)
class Late:
    """
    Tells of a connection only when the server's greeting has come over it.
    """

    def __init__(self, port: int, origin: Origin) -> None:
        self._endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
        self._origin = origin

    def connect(self, factory: Any) -> Deferred[Any]:
        build = factory.buildProtocol

        def late(address: object) -> Any:
            assert self._origin.spoken.wait(PATIENCE)
            time.sleep(0.02)
            self._origin.spoken.clear()
            return build(address)

        factory.buildProtocol = late
        return self._endpoint.connect(factory)


@pytest.fixture
def origins() -> Iterator[Callable[..., Origin]]:
    made: list[Origin] = []

    def make(*arguments: object) -> Origin:
        made.append(Origin(*arguments))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for origin in made:
        origin.close()


# The head's bound is 32 KiB, so most of it is a body.
LONG = answer(b"y" * (ONCE - 100), ONCE)


@timed
async def test_anAnswerNobodyAskedFor(origins: Callable[..., Origin]) -> None:
    """
    It lies in the kernel's buffer when the next request is made, a moment after the last.
    """
    assert len(LONG) == ONCE
    origin = origins(LONG + FORGED, answer(b"good"))
    async with pool() as kept:
        for _ in range(3):
            assert len(await body(origin.url, pool=kept)) == ONCE - 100
    assert origin.connections == 3


@pytest.mark.parametrize("first", [FORGED, b"HTTP/1.1 100 Continue\r\n\r\n", b"220 ready\r\n"])
@timed
async def test_anAnswerBeforeTheRequest(origins: Callable[..., Origin], first: bytes) -> None:
    """
    It lies there when the connection is new, and answers nothing (RFC 9112 section 9.2).
    """
    origin = origins(answer(b"good"), answer(b"good"), False, first)
    async with pool(endpoint=lambda where: Late(where.port, origin)) as kept:
        for _ in range(2):
            with pytest.raises(RemoteProtocolError, match="127.0.0.1:.* has sent something before any request"):
                await fetch(origin.url, pool=kept)
            assert "0 connections" in repr(kept)
    assert origin.connections == 2


@timed
async def test_anAnswerNobodyAskedForAndARequestThatWaits(origins: Callable[..., Origin]) -> None:
    """
    A request that waits for the connection gets it as soon as it is free, but not this one.
    """
    origin = origins(LONG + FORGED, answer(b"good"))
    async with pool(limits=ClientLimits(perOrigin=1)) as kept:
        asked = [fetch(origin.url, pool=kept) for _ in range(3)]
        for each in asked:
            response: Response = await each
            assert len(await response.bytes()) == ONCE - 100
    assert origin.connections == 3


@pytest.mark.parametrize("method", ["GET", "POST"])
@timed
async def test_theEnd(origins: Callable[..., Origin], method: str) -> None:
    """
    It has come while the reactor was busy. Also a request that can't be repeated goes over another connection.
    """
    origin = origins(answer(b"good"), b"", True)
    async with pool() as kept:
        for _ in range(3):
            response = await fetch(origin.url, method=method, pool=kept)
            assert await response.bytes() == b"good"
            time.sleep(0.02)
    assert origin.connections == 3
