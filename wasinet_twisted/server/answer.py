"""
How a response goes to the wire: its head with what the server adds, and the framing of a body that comes in pieces.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable
from email.utils import formatdate
from typing import Any

from ..errors import LocalProtocolError
from ..http import RequestHead, WasiResponse
from ..http.messages import Pieces, toBody
from ..http.output import encodeFields


class Dates:
    """
    The Date field's line (RFC 9110 section 6.6.1), made once a second.
    """

    __slots__ = ("_line", "_second")

    def __init__(self) -> None:
        self._second = -1
        self._line = b""

    def line(self, now: float) -> bytes:
        """
        @param now: seconds since 1970.
        """
        second = int(now)
        if second != self._second:
            self._second = second
            self._line = f"Date: {formatdate(second, usegmt=True)}\r\n".encode("ascii")
        return self._line


def encodeWhole(response: WasiResponse, request: RequestHead | None, keepAlive: bool, date: bytes) -> bytes:
    """
    A response whose body is there.

    @param request: what it answers; L{None} if that could not be parsed.
    @param keepAlive: does the connection go on?
    @raise LocalProtocolError: it would not parse back.
    """
    method = "GET" if request is None else request.method
    pairs, rest = response._plan(method)
    return _head(response, request, pairs, keepAlive, date) + (b"" if method == "HEAD" else rest)


def encodeBegin(response: WasiResponse, request: RequestHead, keepAlive: bool, date: bytes) -> tuple[bytes, bool]:
    """
    The head of a response whose body comes in pieces.

    @return: the head, and whether the pieces are sent as chunks.
    @raise LocalProtocolError: it would not parse back.
    """
    pairs, framing = response._check()
    if response.status < 200 or response.status in (204, 205, 304):
        raise LocalProtocolError(f"a {response.status} has no body")
    chunked = framing.chunked
    if framing.contentLength is None and not chunked and request.version != "HTTP/1.0":
        pairs.append(("Transfer-Encoding", "chunked"))
        chunked = True
    elif chunked and request.version == "HTTP/1.0":
        raise LocalProtocolError("HTTP/1.0 knows no Transfer-Encoding: chunked; leave the field to the server")
    return _head(response, request, pairs, keepAlive, date), chunked


def lengthOf(response: WasiResponse) -> int | None:
    """
    The Content-Length that a response has been given.
    """
    length = response.headers.get("Content-Length")
    return None if length is None else int(length)


def _head(response: WasiResponse, request: RequestHead | None, pairs: list[Any], keepAlive: bool, date: bytes) -> bytes:
    own = {name.lower() for name, _ in pairs if isinstance(name, str)}
    if "date" in own:
        date = b""
    if not keepAlive:
        if "connection" in own:
            # RFC 9110 section 7.6.1: one more line is one more member of the list.
            own.discard("connection")
        pairs.append(("Connection", "close"))
    elif request is not None and request.version == "HTTP/1.0":
        pairs.append(("Connection", "keep-alive"))
    return b"HTTP/1.1 %d %b\r\n%b%b" % (
        response.status,
        response.reason.encode("latin-1"),
        date,
        encodeFields(pairs),
    )


async def inPieces(pieces: Pieces) -> AsyncIterator[bytes]:
    """
    The pieces of a body, whichever way they come; empty ones are left out. What gives them is closed in the end.

    @raise LocalProtocolError: one is neither bytes nor str.
    """
    try:
        if isinstance(pieces, AsyncIterable):
            async for piece in pieces:
                if data := toBody(piece):
                    yield data
        else:
            assert isinstance(pieces, Iterable)
            for piece in pieces:
                if data := toBody(piece):
                    yield data
    finally:
        await closePieces(pieces)


async def closePieces(pieces: Pieces | None) -> None:
    """
    Tell whatever gives the pieces that no more are wanted.
    """
    for name in ("aclose", "close"):
        close = getattr(pieces, name, None)
        if close is not None:
            closing = close()
            if hasattr(closing, "__await__"):
                await closing
            return
