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

from ..errors import RemoteProtocolError
from .bytequeue import ByteQueue
from .fields import Pair, cache, parseFieldLine
from .framing import CHUNKED, CONTENT_LENGTH, HOST, UNTIL_CLOSE
from .limits import Limits

# CONNECT has rules of its own, so it isn't among them. The target's form is settled by its first character.
_METHODS = {name.encode("ascii"): name for name in ("GET", "POST", "PUT", "HEAD", "DELETE", "PATCH", "OPTIONS")}
_requestLine = re.compile(rb"([A-Z]+) (/[\x21\x22\x24-\x7e]*+) HTTP/1\.1").fullmatch
_statusLine = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9]) ([\t\x20-\x7e]*+)").fullmatch


def quickRequest(queue: ByteQueue, limits: Limits) -> tuple[str, str, list[Pair], int] | None:
    """
    Take a request's head.

    @return: method, target, fields, body length; or L{None}: ask the plain way.
    """
    chunk = queue.chunk
    start = queue.position
    # The empty line must begin within the bound, as the plain way counts.
    end = chunk.find(b"\r\n\r\n", start, start + limits.head + 2)
    if end < 0:
        return None
    lines = chunk[start:end].split(b"\r\n")
    match = _requestLine(lines[0])
    if match is None or len(lines) > limits.fields or len(lines[0]) > limits.requestLine:
        return None
    method, target = match.groups()
    name = _METHODS.get(method)
    if name is None:
        return None
    found = _fields(lines)
    if found is None:
        return None
    pairs, length, host = found
    if not host:
        return None
    queue.skip(end + 4 - start)
    return name, target.decode("ascii"), pairs, 0 if length is None else length


def quickResponse(queue: ByteQueue, limits: Limits) -> tuple[int, str, list[Pair], int] | None:
    """
    Take a response's head, if what it answers is neither HEAD nor CONNECT.

    @return: status, reason, fields, body length; or L{None}: ask the plain way.
    """
    chunk = queue.chunk
    start = queue.position
    end = chunk.find(b"\r\n\r\n", start, start + limits.head + 2)
    if end < 0:
        return None
    lines = chunk[start:end].split(b"\r\n")
    match = _statusLine(lines[0])
    if match is None or len(lines) > limits.fields:
        return None
    digits, reason = match.groups()
    found = _fields(lines)
    if found is None:
        return None
    pairs, length, _ = found
    status = int(digits)
    if status == 204 or status == 304:
        length = 0
    queue.skip(end + 4 - start)
    return status, reason.decode("ascii"), pairs, UNTIL_CLOSE if length is None else length


def _fields(lines: list[bytes]) -> tuple[list[Pair], int | None, bool] | None:
    """
    Read the field lines after the first line.

    @return: the fields, the body length or L{None} if they don't say, and
        whether there is a Host; or L{None}: ask the plain way.
    """
    pairs: list[Pair] = []
    length: int | None = None
    host = False
    known = cache.get
    del lines[0]
    for line in lines:
        field = known(line)
        if field is None:
            try:
                field = parseFieldLine(line)
            except RemoteProtocolError:
                return None
        pair, kind, meaning = field
        pairs.append(pair)
        if kind:
            if kind == HOST:
                if host:
                    return None
                host = True
            elif length is not None:
                return None
            elif kind == CONTENT_LENGTH:
                length = meaning
            else:
                length = CHUNKED
    return pairs, length, host
