"""
The short way through a head: the one that has come whole and holds nothing unusual.

Nearly every head is such a one, and this is where nearly all of the parser's
time goes. So it is short, and it refuses nothing: whatever it doesn't know, it
leaves to L{HeadReader<wasinet_twisted.http.head.HeadReader>}, with nothing
taken. Where it does answer, it answers what the plain way would; tests run
every case both ways.

One or two searches find the lines; each that has been seen before costs one
look-up (C{fields.cache}).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeVar

from ..errors import RemoteProtocolError
from .bytequeue import ByteQueue
from .events import RequestHead, ResponseHead
from .fields import Pair, cache, parseFieldLine
from .framing import ASKS_MORE, ASKS_NOTHING, CHUNKED, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UNTIL_CLOSE
from .limits import Limits

# CONNECT has rules of its own, so it isn't among them. The target's form is settled by its first character.
_METHODS = frozenset(("GET", "POST", "PUT", "HEAD", "DELETE", "PATCH", "OPTIONS"))
_statusLine = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9]) ([\t\x20-\x7e]*+)\r\n").match
# A long body isn't searched for lines, nor is a short one cut into many.
_MOST_BYTES = 4096
_MOST_LINES = 64
_known = cache.get
_new = object.__new__

_Request = TypeVar("_Request", bound=RequestHead)
_Response = TypeVar("_Response", bound=ResponseHead)


def quickRequest(queue: ByteQueue, limits: Limits, kind: type[_Request]) -> _Request | None:
    """
    Take a request's head.

    @return: L{None}: ask the plain way.
    """
    chunk = queue.chunk
    start = queue.position
    # The empty line must begin within the bound, as the plain way counts.
    end = chunk.find(b"\r\n\r\n", start, start + limits.head + 2)
    if end < 0:
        return None
    # The last line of these is empty; or it is all that there is beyond the bound, which is no line.
    head = _request(iter(chunk[start : end + 2].split(b"\r\n", limits.fields + 1)), limits, kind)
    if head is not None:
        queue.skip(end + 4 - start)
    return head


def wholeRequest(data: bytes, limits: Limits, kind: type[_Request], most: int) -> _Request | None:
    """
    What L{quickRequest} does, for bytes that are one request with its body, and
    nothing else, as those that a client sends and waits: there is no place to
    be remembered, and one search finds all the lines.

    @param most: how long the body may be, in bytes.
    @return: L{None}: ask in another way.
    """
    if len(data) > _MOST_BYTES:
        return None
    lines = iter(data.split(b"\r\n", _MOST_LINES))
    head = _request(lines, limits, kind)
    if head is None:
        return None
    # What follows the empty line. If there is no piece left, there was none: the bytes have ended within the head.
    rest = list(lines)
    if len(rest) == 1:
        body = rest[0]
    elif rest:
        body = b"\r\n".join(rest)
    else:
        return None
    size = len(body)
    if head._length != size or size > most or len(data) - size - 2 > limits.head:
        return None
    head._body = body
    return head


def _request(lines: Iterator[bytes], limits: Limits, kind: type[_Request]) -> _Request | None:
    """
    Make a request's head of its lines, up to the empty one.
    """
    line = next(lines)
    if len(line) > limits.requestLine:
        return None
    try:
        method, target, version = line.decode("ascii").split(" ")
    except ValueError:
        return None
    if (
        method not in _METHODS
        or version != "HTTP/1.1"
        or target[:1] != "/"
        or "#" in target
        or not target.isprintable()
    ):
        return None
    pairs: list[Pair] = []
    found = _fields(lines, pairs)
    if found is None or len(pairs) > limits.fields:
        return None
    length, hosts, asks = found
    if hosts != 1:
        return None
    head: _Request = _new(kind)
    head.method = method
    head.uri = target
    head.version = "HTTP/1.1"
    head._pairs = pairs
    head._headers = None
    head._length = 0 if length == UNTIL_CLOSE else length
    head._asks = asks
    return head


def quickResponse(queue: ByteQueue, limits: Limits, kind: type[_Response]) -> _Response | None:
    """
    Take a response's head, if what it answers is neither HEAD nor CONNECT.

    @return: L{None}: ask the plain way.
    """
    chunk = queue.chunk
    start = queue.position
    end = chunk.find(b"\r\n\r\n", start, start + limits.head + 2)
    match = _statusLine(chunk, start, end + 2)
    if match is None:
        return None
    digits, reason = match.groups()
    pairs: list[Pair] = []
    found = _fields(iter(chunk[match.end() : end + 2].split(b"\r\n", limits.fields)), pairs)
    if found is None or len(pairs) > limits.fields:
        return None
    length = found[0]
    status = int(digits)
    if status == 204 or status == 304:
        length = 0
    queue.skip(end + 4 - start)
    head: _Response = _new(kind)
    head.status = status
    head.reason = reason.decode("ascii")
    head.version = "HTTP/1.1"
    head._pairs = pairs
    head._headers = None
    head._length = length
    return head


def _fields(lines: Iterator[bytes], pairs: list[Pair]) -> tuple[int, int, int] | None:
    """
    Read field lines into C{pairs}, up to the empty one.

    @return: the body length they give, L{UNTIL_CLOSE} if they give none; how
        many Hosts there are; and what is asked of the connection.
        Or L{None}: ask the plain way.
    """
    length = UNTIL_CLOSE
    hosts = 0
    asks = ASKS_NOTHING
    for line in lines:
        field = _known(line)
        if field is None:
            if not line:
                return length, hosts, asks
            try:
                field = parseFieldLine(line)
            except RemoteProtocolError:
                return None
        pair, kind, meaning = field
        pairs.append(pair)
        if kind:
            if kind == HOST:
                # An invalid one counts for two.
                hosts += 2 - meaning
            elif kind > TRANSFER_ENCODING:
                if meaning:
                    asks = meaning if asks == ASKS_NOTHING else ASKS_MORE
            elif length != UNTIL_CLOSE:
                return None
            elif kind == CONTENT_LENGTH:
                length = meaning
            else:
                length = CHUNKED
    return None
