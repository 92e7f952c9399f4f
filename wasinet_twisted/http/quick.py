"""
The short way through a head: the one that has come whole and holds nothing unusual.

Nearly every head is such a one, and this is where nearly all of the parser's
time goes. So it is short, and it refuses nothing: whatever it doesn't know, it
leaves to L{HeadReader<wasinet_twisted.http.head.HeadReader>}, with nothing
taken. Where it does answer, it answers what the plain way would; tests run
every case both ways.

Two searches and one pattern find the lines; each line that has been seen before
costs one look-up (C{fields.cache}).
"""

from __future__ import annotations

import re
from typing import TypeVar

from ..errors import RemoteProtocolError
from .bytequeue import ByteQueue
from .events import RequestHead, ResponseHead
from .fields import Pair, cache, parseFieldLine
from .framing import CHUNKED, CONTENT_LENGTH, HOST, UNTIL_CLOSE
from .limits import Limits

# CONNECT has rules of its own, so it isn't among them. The target's form is settled by its first character.
_METHODS = {name.encode("ascii"): name for name in ("GET", "POST", "PUT", "HEAD", "DELETE", "PATCH", "OPTIONS")}
_requestLine = re.compile(rb"([A-Z]++) (/[\x21\x22\x24-\x7e]*+) HTTP/1\.1\r\n").match
_statusLine = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9]) ([\t\x20-\x7e]*+)\r\n").match
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
    match = _requestLine(chunk, start, end + 2)
    if match is None:
        # Either there is no end, or no first line that we know.
        return None
    method, target = match.groups()
    name = _METHODS.get(method)
    first = match.end()
    if name is None or first - start > limits.requestLine + 2:
        return None
    pairs: list[Pair] = []
    length = _fields(chunk[first:end].split(b"\r\n"), pairs, limits.fields, True)
    if length is None:
        return None
    queue.skip(end + 4 - start)
    head: _Request = _new(kind)
    head.method = name
    head.uri = target.decode("ascii")
    head.version = "HTTP/1.1"
    head._pairs = pairs
    head._headers = None
    head._length = 0 if length == UNTIL_CLOSE else length
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
    length = _fields(chunk[match.end() : end].split(b"\r\n"), pairs, limits.fields, False)
    if length is None:
        return None
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


def _fields(lines: list[bytes], pairs: list[Pair], most: int, isRequest: bool) -> int | None:
    """
    Read field lines into C{pairs}.

    @return: the body length they give, L{UNTIL_CLOSE} if they give none; or L{None}: ask the plain way.
    """
    if len(lines) > most:
        return None
    length = UNTIL_CLOSE
    hosts = 0
    for line in lines:
        field = _known(line)
        if field is None:
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
            elif length != UNTIL_CLOSE:
                return None
            elif kind == CONTENT_LENGTH:
                length = meaning
            else:
                length = CHUNKED
    return length if hosts == 1 or not isRequest else None
