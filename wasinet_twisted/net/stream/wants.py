"""
What a read may ask for, when it isn't just whatever there is: so many bytes, a line, all up to a separator.
"""

from __future__ import annotations

from ...errors import IncompleteRead, LimitExceeded


class Want:
    """
    What a read asks for, when it isn't just whatever there is.

    It is shown the bytes one piece after the other, each once, so that waiting
    for much costs no more than its size.
    """

    __slots__ = ("seen",)

    def begin(self) -> None:
        """
        Forget what has been shown: it will be shown again.
        """
        self.seen = 0

    def show(self, piece: bytes) -> int | None:
        """
        Look at the next piece.

        @return: how many bytes, from the first one on, are what was asked for; L{None}: not yet.
        @raise LimitExceeded: they will never be.
        """
        raise AssertionError("each kind has its own")

    def atEnd(self) -> int:
        """
        There are no more bytes than have been shown.

        @return: how many of them are what was asked for.
        @raise IncompleteRead: they aren't; its C{partial} is for the caller to fill.
        """
        raise IncompleteRead(f"the stream ended after {self.seen} bytes")


class Exactly(Want):
    """
    So many bytes.
    """

    __slots__ = ("_size",)

    def __init__(self, size: int) -> None:
        self._size = size

    def show(self, piece: bytes) -> int | None:
        self.seen += len(piece)
        return self._size if self.seen >= self._size else None

    def atEnd(self) -> int:
        size = self._size
        raise IncompleteRead(f"the stream ended after {self.seen} of {size} bytes", expected=size)


class Until(Want):
    """
    All up to a separator, which is included.
    """

    __slots__ = ("_most", "_separator", "_tail")

    def __init__(self, separator: bytes, most: int) -> None:
        self._separator = separator
        self._most = most

    def begin(self) -> None:
        super().begin()
        # The end of what was shown, in which a separator may have begun.
        self._tail = b""

    def show(self, piece: bytes) -> int | None:
        separator, most = self._separator, self._most
        before = self.seen - len(self._tail)
        looked = self._tail + piece if self._tail else piece
        found = looked.find(separator)
        self.seen += len(piece)
        end = before + found + len(separator)
        if found >= 0 and end <= most:
            return end
        if found >= 0 or self.seen >= most:
            raise LimitExceeded(f"no {separator!r} within {most} bytes")
        self._tail = looked[-(len(separator) - 1) :] if len(separator) > 1 else b""
        return None

    def atEnd(self) -> int:
        raise IncompleteRead(f"the stream ended after {self.seen} bytes without {self._separator!r}")


class Line(Until):
    """
    A line, its LF included; the last one may have none.
    """

    __slots__ = ()

    def __init__(self, most: int) -> None:
        super().__init__(b"\n", most)

    def atEnd(self) -> int:
        return self.seen


class ToEnd(Want):
    """
    All there will be.
    """

    __slots__ = ("_most",)

    def __init__(self, most: int) -> None:
        self._most = most

    def show(self, piece: bytes) -> int | None:
        self.seen += len(piece)
        if self.seen > self._most:
            raise LimitExceeded(f"more than {self._most} bytes before the end of the stream")
        return None

    def atEnd(self) -> int:
        return self.seen
