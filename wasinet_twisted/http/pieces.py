"""
A body in pieces, joined once.
"""

from __future__ import annotations

# So many pieces in a row are joined to one: a body that comes two bytes at a time would take twenty times its size in
# objects. Each byte is copied twice at the most.
_MANY = 512


class Pieces:
    """
    Collects the pieces of a body.

    @ivar size: how many bytes have been added.
    """

    __slots__ = ("_joined", "_pieces", "size")

    def __init__(self) -> None:
        self.size = 0
        self._pieces: list[bytes] = []
        # How many of them, from the first one on, are joined already.
        self._joined = 0

    def add(self, data: bytes) -> None:
        """
        Add a piece, by reference.
        """
        pieces = self._pieces
        pieces.append(data)
        self.size += len(data)
        if len(pieces) - self._joined >= _MANY:
            pieces[self._joined :] = [b"".join(pieces[self._joined :])]
            self._joined += 1

    def join(self) -> bytes:
        """
        All of it.
        """
        pieces = self._pieces
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
