"""
The bytes of a file, in pieces.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from ...errors import IncompleteRead
from .opening import Opened
from .ranges import Range

# How much of a file is in memory at a time, for each connection.
PIECE = 128 * 1024


class FilePieces:
    """
    Parts of a file, and what stands between these, as a response's body. It is read in the reactor's thread.
    """

    __slots__ = ("_file", "_name", "_parts", "length")

    def __init__(self, file: Opened, name: str, parts: Sequence[bytes | Range]) -> None:
        """
        @param file: is closed with this.
        @param name: what to call it in an error.
        """
        self._file = file
        self._name = name
        self._parts = parts
        self.length = sum(len(each) if isinstance(each, bytes) else each[1] - each[0] for each in parts)

    def __iter__(self) -> Iterator[bytes]:
        """
        @raise IncompleteRead: the file has become shorter. What was announced can't be sent, and the connection has to
            be reset.
        """
        for part in self._parts:
            if isinstance(part, bytes):
                yield part
                continue
            at, stop = part
            while at < stop:
                data = os.pread(self._file.descriptor, min(PIECE, stop - at), at)
                if not data:
                    raise IncompleteRead(
                        f"{self._name} has become shorter while it was sent: it ends before byte {at}, not {stop}",
                        expected=stop,
                    )
                yield data
                at += len(data)

    def close(self) -> None:
        """
        Close the file.
        """
        self._file.close()
