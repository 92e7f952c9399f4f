"""
Decoding the chunked coding, and its trailers. RFC 9112 section 7.1. Encoding it is in C{outgoing.py}.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .._fast import fastPath
from ..errors import MessageTooLarge, RemoteProtocolError
from . import grammar
from .bytequeue import ByteQueue
from .fields import FieldSection, Pair
from .framing import show
from .limits import Limits

_SIZE_DIGITS = 16
# More chunks than these are left to the decoder.
_FEW_CHUNKS = 16
_plainSize = re.compile(rb"([0-9A-Fa-f]{1,16}+)\r\n").match

# RFC 9110 section 6.5.1: fields that frame, route, authenticate, or say how to read the content are not for
# trailers. Whoever merged them into the head would let a body rewrite it.
_NOT_IN_TRAILERS = frozenset(
    (
        "transfer-encoding", "content-length", "host", "connection", "trailer", "te", "upgrade", "expect",
        "max-forwards", "range", "cache-control", "authorization", "proxy-authorization", "cookie", "set-cookie",
        "content-type", "content-encoding", "content-range",
    )
)  # fmt: skip


def forbiddenInTrailers(name: str) -> bool:
    """
    Is this a field that no trailer section may hold?
    """
    lower = name.lower()
    return lower in _NOT_IN_TRAILERS or lower.startswith("if-")


class ChunkedDecoder:
    """
    Takes a chunked body off a L{ByteQueue}.

    @ivar most: how long the decoded body may be; L{None}: no bound.
    @ivar trailers: the trailer section, once the body is complete; else L{None}.
    """

    __slots__ = (
        "_extensions", "_left", "_limits", "_section", "_total", "_trailerBytes", "_unfolds", "most", "trailers",
    )  # fmt: skip

    def __init__(self, limits: Limits, unfolds: bool) -> None:
        """
        @param unfolds: see L{FieldSection}.
        """
        self.trailers: list[Pair] | None = None
        self.most: int | None = None
        self._limits = limits
        self._total = 0
        self._extensions = 0
        # Of the current chunk, with the CRLF that ends it; 0 when a size line is due.
        self._left = 0
        self._unfolds = unfolds
        # The trailer section, and how much of it has come; None until the last chunk has.
        self._section: FieldSection | None = None
        self._trailerBytes = 0

    def nextData(self, queue: ByteQueue) -> bytes:
        """
        Decode the next piece.

        @return: some of the body, as it was cut; C{b""} while more bytes are
            needed, and when C{trailers} shows that it is complete.
        @raise RemoteProtocolError: it is not valid.
        """
        while queue.size and self.trailers is None:
            left = self._left
            if left > 2:
                data = queue.take(left - 2)
                self._left = left - len(data)
                return data
            if left:
                self._takeChunkEnd(queue)
            elif self._section is None:
                if not self._takeSize(queue):
                    break
            elif not self._takeTrailer(queue, self._section):
                break
        return b""

    def _takeChunkEnd(self, queue: ByteQueue) -> None:
        # The data must end where its size says: parsers that looked on for the next CRLF have been smuggled past.
        expected = b"\r\n"[-self._left :]
        queue.mark = queue.taken
        end = queue.take(self._left)
        if not expected.startswith(end):
            # Which of the two is wrong?
            queue.mark += end[0] == expected[0]
            raise RemoteProtocolError("the data of a chunk is not followed by CRLF (RFC 9112 section 7.1)")
        self._left -= len(end)

    def _takeSize(self, queue: ByteQueue) -> bool:
        room = self._limits.chunkExtensions - self._extensions
        line = queue.takeLine(_SIZE_DIGITS + room)
        if line is None:
            return False
        content = lineContent(line, _SIZE_DIGITS + room, self._tooManyExtensions)
        match = grammar.chunkSize(content)
        end = match.end() if match else 0
        if match is None or end < len(content):
            if len(content) - end > room:
                raise self._tooManyExtensions()
            if match is None or content[end : end + 1].isalnum():
                raise RemoteProtocolError(f"a chunk size must be 1 to {_SIZE_DIGITS} hex digits, not {show(content)}")
            if grammar.chunkExtensions(content, end) is None:
                raise RemoteProtocolError(f"a chunk extension that is none: {show(content[end:])}")
            self._extensions += len(content) - end
        self._beginChunk(int(match[0], 16))
        return True

    def _beginChunk(self, size: int) -> None:
        if not size:
            self._section = FieldSection(self._limits.fields, self._unfolds)
            return
        self._total += size
        if self.most is not None and self._total > self.most:
            raise MessageTooLarge(f"a body of more than {self.most} bytes", statusHint=413)
        self._left = size + 2

    def _tooManyExtensions(self) -> MessageTooLarge:
        bound = self._limits.chunkExtensions
        return MessageTooLarge(f"more than {bound} bytes of chunk extensions")

    def _takeTrailer(self, queue: ByteQueue, section: FieldSection) -> bool:
        # As for a head: with nothing left even an empty line is too long.
        room = max(self._limits.trailers - self._trailerBytes, -1)
        line = queue.takeLine(room)
        if line is None:
            return False
        content = lineContent(line, room, self._tooManyTrailers)
        self._trailerBytes += len(line)
        if not content:
            self.trailers = section.finish()
            return True
        field = section.add(content)
        if field is not None and forbiddenInTrailers(field[0][0]):
            raise RemoteProtocolError(f"the field {field[0][0]} in a trailer section (RFC 9110 section 6.5.1)")
        return True

    def _tooManyTrailers(self) -> MessageTooLarge:
        return MessageTooLarge(f"more than {self._limits.trailers} bytes of trailers", statusHint=431)


@fastPath(
    "http.chunkedBody",
    slow="ChunkedDecoder.nextData",
    why="a body of one chunk that has come whole in 1 us instead of 8",
)
def fastChunkedBody(queue: ByteQueue, most: int) -> bytes | None:
    """
    Take a small chunked body, without extensions and trailers, that has come whole.

    @param most: how long it may be, in bytes.
    @return: L{None}: ask the slow path; nothing has been taken.
    """
    chunk, position = queue.chunk, queue.position
    pieces: list[bytes] = []
    for _ in range(_FEW_CHUNKS):
        match = _plainSize(chunk, position)
        if match is None:
            return None
        size = int(match[1], 16)
        start = match.end()
        end = start + size
        if chunk[end : end + 2] != b"\r\n":
            return None
        if not size:
            queue.skip(end + 2 - queue.position)
            return b"".join(pieces)
        most -= size
        if most < 0:
            return None
        pieces.append(chunk[start:end])
        position = end + 2
    return None


def lineContent(line: bytes, most: int, tooLong: Callable[[], RemoteProtocolError]) -> bytes:
    """
    What stands in a line that L{ByteQueue.takeLine} gave.

    @param most: the bound that was given to it.
    @param tooLong: makes the error for a line longer than that.
    @raise RemoteProtocolError: it is too long or doesn't end with CRLF.
    """
    if line.endswith(b"\r\n"):
        # It is within the bound, else takeLine() would have cut off its end.
        return line[:-2]
    # The limit before the grammar, so that a line in pieces and a whole one are refused alike.
    if len(line.removesuffix(b"\n").removesuffix(b"\r")) > most:
        raise tooLong()
    # RFC 9112 section 2.2 lets a recipient take a bare LF; when some do and some don't, requests are smuggled.
    raise RemoteProtocolError("a line that ends with a bare LF (RFC 9112 section 2.2)")
