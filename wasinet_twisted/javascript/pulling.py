"""
L{Pull}: a body, piece by piece, for a script that asks for one piece after the other.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from twisted.internet.defer import Deferred, ensureDeferred

from ..errors import BusyError
from .guestinterface import Sign, Value


class Pull:
    """
    Gives the pieces of an asynchronous iterator. Between two pieces nothing is read ahead: the peer has to wait.
    """

    __slots__ = ("_pieces", "_pulling")

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self._pulling = False

    def next(self) -> Deferred[bytes | None]:
        """
        Take the next piece.

        @return: fires with L{None} at the end of the body.
        @raise BusyError: the piece before has not come yet.
        """
        if self._pulling:
            raise BusyError("the body is being read")
        return ensureDeferred(self._next())

    async def _next(self) -> bytes | None:
        self._pulling = True
        try:
            async for piece in self._pieces:
                return piece
            return None
        finally:
            self._pulling = False


def orEnd(piece: bytes | None) -> Value:
    """
    Return what a script gets: the piece, or JavaScript's null at the end.
    """
    return Sign.NULL if piece is None else piece
