"""
A kept connection over which something has come that the reactor hasn't read yet.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from tests.client.servers import body, pool, timed
from tests.processes import PATIENCE
from wasinet_twisted.client import ClientLimits, Response, fetch

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
    """

    def __init__(self, first: bytes, then: bytes, end: bool = False) -> None:
        """
        @param end: does it close after the first?
        """
        self._first, self._then, self._end = first, then, end
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
