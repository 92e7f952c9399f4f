"""
What the tests of a server's connection share: requests as bytes, and a connection on which they have come.
"""

from __future__ import annotations

from math import inf, nextafter

from wasinet_twisted.http import Data, RequestHead, ServerConnection
from wasinet_twisted.http.connection import Expired
from wasinet_twisted.http.timing import DEFAULT_TIMING, Timing

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
EXPECTS = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
UPGRADES = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x, y\r\n\r\n"
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
LAST = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


Connection = ServerConnection[RequestHead]


def made(timing: Timing = DEFAULT_TIMING, now: float = 0.0) -> Connection:
    return ServerConnection(timing=timing, now=now)


def asked(data: bytes, connection: Connection | None = None, now: float = 0.0) -> Connection:
    """
    Return a connection on which a request has come.
    """
    connection = connection or made()
    assert connection.receive(data, now) is not None
    return connection


def bodyOf(connection: Connection) -> bytes:
    """
    Return all of the present body that has come.
    """
    pieces = []
    while isinstance(event := connection.nextEvent(), Data):
        pieces.append(event.data)
    return b"".join(pieces)


def expires(connection: Connection, at: float, expected: Expired) -> None:
    """
    Check the next deadline from both sides: at the last moment before it nothing happens.
    """
    before = connection.closing
    assert connection.deadline() == at
    assert connection.expire(nextafter(at, -inf)) is None
    assert connection.closing is before
    assert connection.expire(at) is expected
