"""
The content codings, each one as a step: coded bytes in, decoded bytes out, never much at a time.

RFC 9110 section 8.4.1, RFC 1950 to 1952 (deflate, gzip), RFC 7932 (br), RFC 8878 and 9659 (zstd).
brotli and zstd are imported when they are first asked for.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Protocol

# What a step gives at a time is at most this; brotli gives in blocks of its own, of which two fit.
PIECE = 256 * 1024
_BROTLI_PIECE = 64 * 1024
# What a step is given at a time. What is left at the end of a gzip member or of a zstd frame is copied: for many small
# ones that would be the square of this.
SLICE = 16 * 1024
# RFC 9659: a zstd window is at most 8 MiB.
_ZSTD_WINDOW_LOG = 23


class Step(Protocol):
    """
    One coding of one body. Its methods raise what the library raises.

    @ivar hungry: does it take input? If not, it has more to give for what it was given.
    @ivar finished: has the coded stream ended, so that nothing may follow?
    @ivar complete: could the body end here? True before the first byte.
    @ivar rest: what it was given and has not used, since a member has ended. The caller that takes the rest empties it.
    @ivar price: what it has done beside decoding, as so many bytes decoded would cost.
    """

    hungry: bool
    finished: bool
    complete: bool
    rest: bytes
    price: int

    def step(self, data: bytes) -> bytes:
        """
        @param data: at most L{SLICE} bytes; none, if it isn't hungry.
        @return: at most L{PIECE} bytes.
        """


class _Members:
    """
    A coding of members, or frames, one after the other, each with a decompressor of its own.
    """

    def __init__(self, make: Callable[[], Any], price: int) -> None:
        """
        @param make: gives a decompressor.
        @param price: of making one.
        """
        self.hungry = True
        self.finished = False
        self.complete = True
        self.rest = b""
        self.price = 0
        self._make = make
        self._price = price
        self._member: Any = None

    def step(self, data: bytes) -> bytes:
        member = self._member
        if member is None:
            member = self._member = self._make()
            self.price += self._price
            self.complete = False
        out, self.hungry = self._decompress(member, data)
        if member.eof:
            self.rest = member.unused_data
            self.hungry = self.complete = True
            self._member = None
        return out

    def _decompress(self, member: Any, data: bytes) -> tuple[bytes, bool]:
        out: bytes = member.decompress(data, PIECE)
        return out, member.needs_input


class _Gzip(_Members):
    """
    gzip: members (RFC 1952 section 2.2), each with its checksum.
    """

    def __init__(self) -> None:
        # A member of no bytes takes 20, and 1 to 3 us.
        super().__init__(_newGzip, 4 * 1024)

    def _decompress(self, member: Any, data: bytes) -> tuple[bytes, bool]:
        return _inflate(member, data)


class _Deflate:
    """
    deflate: a zlib stream, or, as some servers send, one without zlib's header and checksum.
    """

    def __init__(self) -> None:
        self.hungry = True
        self.finished = False
        self.complete = True
        self.rest = b""
        self.price = 0
        self._first = b""
        self._stream: Any = None

    def step(self, data: bytes) -> bytes:
        if self._stream is None:
            data = self._first + data
            if len(data) < 2:
                self._first = data
                self.complete = not data
                return b""
            self.complete = False
            self._stream = zlib.decompressobj(zlib.MAX_WBITS if _isZlib(data) else -zlib.MAX_WBITS)
        out, self.hungry = _inflate(self._stream, data)
        if self._stream.eof:
            self.rest = self._stream.unused_data
            self.hungry = self.finished = self.complete = True
        return out


class _Brotli:
    """
    br: one stream. brotli itself refuses what follows its end.
    """

    def __init__(self) -> None:
        self.hungry = True
        self.finished = False
        self.complete = True
        self.rest = b""
        self.price = 0
        self._stream = _brotli().Decompressor()

    def step(self, data: bytes) -> bytes:
        out: bytes = self._stream.process(data, output_buffer_limit=_BROTLI_PIECE)
        self.complete = self._stream.is_finished()
        # What can_accept_more_data() says is not enough: it may hold decoded bytes for which there was no room.
        self.hungry = self.complete or len(out) < _BROTLI_PIECE
        return out


class _Zstd(_Members):
    """
    zstd: frames, among them those that are skipped (RFC 8878 section 3.1).
    """

    def __init__(self) -> None:
        # A frame of no bytes takes 9, and some 18 us.
        super().__init__(_newZstd, 16 * 1024)


def _inflate(stream: Any, data: bytes) -> tuple[bytes, bool]:
    tail = stream.unconsumed_tail
    out: bytes = stream.decompress(tail + data if tail else data, PIECE)
    # zlib may hold back decoded bytes for which there was no room, even where no input is left.
    return out, len(out) < PIECE


def _newGzip() -> Any:
    return zlib.decompressobj(16 + zlib.MAX_WBITS)


def _isZlib(data: bytes) -> bool:
    """
    Does a stream begin with zlib's header? RFC 1950 section 2.2.

    These two bytes would begin a raw stream with a stored block whose padding is not zero, which no encoder makes.
    """
    return data[0] & 0x0F == 8 and data[0] >> 4 <= 7 and (data[0] << 8 | data[1]) % 31 == 0


@lru_cache(maxsize=1)
def _brotli() -> Any:
    """
    brotli; L{None}: it isn't there, or too old to be told how much to give at a time (before 1.2).
    """
    try:
        import brotli
    except ImportError:
        return None
    return brotli if hasattr(brotli.Decompressor, "can_accept_more_data") else None


@lru_cache(maxsize=1)
def _zstd() -> Any:
    """
    zstd, from Python 3.14 on the standard library's; L{None}: it isn't there.
    """
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
    except ImportError:
        return None
    return zstd


def _newZstd() -> Any:
    zstd = _zstd()
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG})


@lru_cache(maxsize=1)
def available() -> dict[str, Callable[[], Step]]:
    """
    Return the codings that can be decoded, by their names, in lower case.
    """
    found: dict[str, Callable[[], Step]] = {"gzip": _Gzip, "deflate": _Deflate}
    if _brotli() is not None:
        found["br"] = _Brotli
    if _zstd() is not None:
        found["zstd"] = _Zstd
    return found


@lru_cache(maxsize=1)
def faults() -> tuple[type[Exception], ...]:
    """
    Return what steps raise where the coded bytes are not valid.
    """
    brotli, zstd = _brotli(), _zstd()
    return (
        zlib.error,
        *(() if brotli is None else (brotli.error,)),
        *(() if zstd is None else (zstd.ZstdError,)),
    )
