"""
How a response goes to the wire: its head with what the server adds, and the framing of a body that comes in pieces.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from email.utils import formatdate
from typing import Any

from ..errors import LocalProtocolError
from ..http import RequestHead, WasiResponse
from ..http.messages import REASONS, Pieces, toBody
from ..http.output import encodeField, encodeFields

# Field lines that have been checked, with the parser's idea of their kind: most responses have the same few fields.
# Bounded: whoever sends ever different ones starts anew.
_lines: dict[tuple[str, str], bytes] = {}
_MOST_LINES = 1024
_LONGEST_LINE = 256
# The fields that say how the connection goes on or how the body is framed, and Date: those take the plain way.
_SPECIAL = frozenset(("connection", "content-length", "transfer-encoding", "date"))
_statusLines: dict[int, tuple[str, bytes]] = {}


def dateLine(now: float) -> bytes:
    """
    The Date field's line (RFC 9110 section 6.6.1).

    @param now: seconds since 1970.
    """
    return f"Date: {formatdate(int(now), usegmt=True)}\r\n".encode("ascii")


def quickResponse(response: WasiResponse, request: RequestHead, date: bytes) -> bytes | None:
    """
    The short way for the response of nearly every request: one with a body that
    is there, whose fields have been seen before, on a connection that goes on.

    It refuses nothing; what it gives is what L{encodeWhole} would give, and
    tests compare the two.

    @return: L{None}: take the plain way.
    """
    body = response._body
    status = response.status
    # 200.0 would be found, but is none.
    known = _statusLines.get(status) if status.__class__ is int else None
    if (
        known is None
        or known[0] != response.reason
        or body.__class__ is not bytes
        or response._trailers
        or response.version != "HTTP/1.1"
        or request.version == "HTTP/1.0"
        or request.method in ("HEAD", "CONNECT")
    ):
        if known is None:
            _learnStatus(response)
        return None
    fields = []
    for pair in response._pairs if response._headers is None else response._headers.items():
        try:
            line = _lines.get(pair)
        except TypeError:
            # It can't be looked up, nor sent.
            return None
        if line is None:
            line = _learn(pair)
            if line is None:
                return None
        fields.append(line)
    return b"%b%b%bContent-Length: %d\r\n\r\n%b" % (known[1], date, b"".join(fields), len(body), body)


def _learnStatus(response: WasiResponse) -> None:
    # The statuses that may have a body whatever the request, and the phrases that everybody knows.
    status, reason = response.status, response.reason
    if type(status) is int and status >= 200 and status not in (204, 205, 304) and reason == REASONS.get(status):
        _statusLines[status] = reason, f"HTTP/1.1 {status} {reason}\r\n".encode("ascii")


def _learn(pair: tuple[str, str]) -> bytes | None:
    """
    Check and remember a field.

    @return: its line; L{None} if it is one for the plain way, which may refuse it.
    """
    name, value = pair
    if not isinstance(name, str) or not isinstance(value, str) or name.lower() in _SPECIAL:
        return None
    try:
        line = encodeField(name, value)
    except LocalProtocolError:
        return None
    if len(line) <= _LONGEST_LINE:
        if len(_lines) >= _MOST_LINES:
            _lines.clear()
        _lines[pair] = line
    return line


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


async def inPieces(pieces: Pieces) -> AsyncGenerator[bytes, None]:
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
