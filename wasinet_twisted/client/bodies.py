"""
The bodies of requests: what users give, and what is sent.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from ..errors import InvalidArgument

# How much of a file is in memory at a time, in bytes.
PIECE = 64 * 1024


class Body:
    """
    The body of a request.

    @ivar whole: all of it; L{None}: it comes in pieces.
    @ivar length: how many bytes it has; L{None}: nobody knows.
    @ivar contentType: what a Content-Type field says if the caller gives none; L{None}: nothing.
    @ivar replayable: can it be sent once more, for a redirect, or after a kept connection was found closed?
    """

    __slots__ = ("contentType", "length", "replayable", "whole")

    def __init__(self, whole: bytes | None, contentType: str | None = None) -> None:
        self.whole = whole
        self.length = None if whole is None else len(whole)
        self.contentType = contentType
        self.replayable = True

    def pieces(self) -> AsyncIterator[bytes]:
        """
        Begin to send it.

        @return: its pieces, all C{bytes}; another kind of piece raises L{InvalidArgument}.
        """
        raise AssertionError("a body that is there has no pieces")

    def later(self) -> Body:
        """
        Return the same body, which isn't sent with the head: it may wait for a 100 (Continue).
        """
        return _Later(self) if self.whole else self


NO_BODY = Body(b"")


class _Later(Body):
    """
    One that is there, but isn't sent with the head.
    """

    __slots__ = ("_given",)

    def __init__(self, given: Body) -> None:
        super().__init__(None, given.contentType)
        self._given = given.whole or b""
        self.length = len(self._given)

    async def pieces(self) -> AsyncIterator[bytes]:
        given = memoryview(self._given)
        for start in range(0, len(given), PIECE):
            yield bytes(given[start : start + PIECE])


class _Pieces(Body):
    """
    An iterable's, or an asynchronous one's.
    """

    __slots__ = ("_given",)

    def __init__(self, given: Iterable[Any] | AsyncIterable[Any]) -> None:
        super().__init__(None)
        self._given = given
        # What is no iterator can be gone through again.
        self.replayable = isinstance(given, Sequence)

    async def pieces(self) -> AsyncIterator[bytes]:
        if isinstance(self._given, AsyncGenerator):
            # Nobody else ends it where it stands.
            async with aclosing(self._given) as given:
                async for piece in given:
                    yield _toBytes(piece)
        elif isinstance(self._given, AsyncIterable):
            async for piece in self._given:
                yield _toBytes(piece)
        else:
            for piece in self._given:
                yield _toBytes(piece)


class _File(Body):
    """
    A binary file's, from where it stands to its end.
    """

    __slots__ = ("_file", "_start")

    def __init__(self, file: Any) -> None:
        super().__init__(None)
        self._file = file
        try:
            self._start = file.tell()
            end = file.seek(0, os.SEEK_END)
            file.seek(self._start)
            self.length = max(end - self._start, 0)
        except (AttributeError, OSError, ValueError):
            # A pipe: it has no length, and comes once.
            self._start = None
            self.replayable = False

    async def pieces(self) -> AsyncIterator[bytes]:
        left = self.length
        if self._start is not None:
            self._file.seek(self._start)
        # A file that grows is sent as long as it was.
        while piece := self._file.read(PIECE if left is None else min(left, PIECE)):
            if not isinstance(piece, bytes):
                raise InvalidArgument(f"the body is a file that gives {type(piece).__name__}: open it in binary mode")
            if left is not None:
                left -= len(piece)
            yield piece


def toBody(given: Any, asJson: Any = None) -> Body:
    """
    Make a body of what a caller gives.

    @param given: bytes-like; str, which goes as UTF-8; a binary file; an
        iterable or an asynchronous iterable of bytes-like and str.
    @param asJson: what is sent as JSON instead; L{None}: nothing.
    @raise InvalidArgument: both are given, or C{given} is none of these.
    """
    if asJson is not None:
        if given != b"":
            raise InvalidArgument("give body= or json=, not both")
        try:
            encoded = json.dumps(asJson, separators=(",", ":"), allow_nan=False).encode("utf-8")
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidArgument(f"json= can't be sent as JSON: {error}") from error
        return Body(encoded, "application/json")
    if isinstance(given, bytes):
        return Body(given) if given else NO_BODY
    if isinstance(given, str):
        return Body(_toBytes(given), "text/plain;charset=UTF-8")
    if isinstance(given, bytearray | memoryview):
        return Body(bytes(given))
    if isinstance(given, Mapping):
        raise InvalidArgument(f"body= is a {type(given).__name__}; json= sends one as JSON")
    if callable(getattr(given, "read", None)):
        return _File(given)
    if isinstance(given, Iterable | AsyncIterable):
        return _Pieces(given)
    raise InvalidArgument(f"body= must be bytes, str, a binary file or an iterable of bytes, not {given!r}")


def _toBytes(piece: Any) -> bytes:
    if isinstance(piece, bytes):
        return piece
    if isinstance(piece, bytearray | memoryview):
        return bytes(piece)
    if isinstance(piece, str):
        try:
            return piece.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InvalidArgument(f"a body of str that has no UTF-8: {error}") from None
    raise InvalidArgument(f"the pieces of a body must be bytes or str, not {type(piece).__name__}")
