"""
The bytes that have been appended and not yet been taken, whatever their cuts.

Everything above asks for a line or for so many bytes and gets the same answer
however the bytes arrived. Each byte is searched and copied a bounded number of
times, so a message fed one byte at a time costs a constant a byte.
"""

from __future__ import annotations

from collections import deque


class ByteQueue:
    """
    @ivar chunk: what is being read; what came after it waits in line.
    @ivar position: how much of C{chunk} has been taken.
    @ivar taken: how many bytes have been taken in all.
    @ivar mark: the value of C{taken} where the last line began.
    """

    __slots__ = ("_line", "_rest", "chunk", "mark", "position", "size", "taken")

    def __init__(self) -> None:
        self.taken = 0
        self.mark = 0
        self.clear()

    def clear(self) -> None:
        """
        Forget every byte that has not been taken.
        """
        self.chunk = b""
        self.position = 0
        self.size = 0
        self._rest: deque[bytes] = deque()
        # The beginning of a line whose end has not come. Only it is ever copied twice.
        self._line = bytearray()

    def append(self, data: bytes) -> None:
        """
        Add C{data}, by reference.
        """
        if self.position == len(self.chunk):
            self.chunk = data
            self.position = 0
        elif data:
            self._rest.append(data)
        self.size += len(data)

    def midLine(self) -> bool:
        """
        Has a part of a line been set aside?
        """
        return bool(self._line)

    def startsWith(self, byte: bytes) -> bool:
        """
        Is C{byte} the next one? Only to be asked between lines, with C{size} above 0.
        """
        return self.chunk.startswith(byte, self.position)

    def takeLine(self, most: int) -> bytes | None:
        """
        Take the next line, its LF included.

        @param most: how long the line may be, its line end not counted.
        @return: the line; L{None} while it is incomplete; and, for the caller
            to refuse, C{most + 2} bytes of a line that is longer than that.
            Nothing more than that is ever set aside.
        """
        while True:
            chunk, start, line = self.chunk, self.position, self._line
            room = most + 2 - len(line)
            end = chunk.find(b"\n", start, start + room) + 1
            if not end and len(chunk) - start >= room:
                end = start + room
            if end:
                self.position = end
                piece = chunk[start:end]
                if line:
                    piece = bytes(line) + piece
                    self._line = bytearray()
                self.mark = self.taken
                self.taken += len(piece)
                self.size -= len(piece)
                self._next()
                return piece
            line += chunk[start:]
            self.position = len(chunk)
            if not self._rest:
                self.chunk = b""
                self.position = 0
                # A line that can't be taken begins here, should the stream end or the bound be asked about.
                self.mark = self.taken
                return None
            self._next()

    def take(self, most: int) -> bytes:
        """
        Take up to C{most} bytes: those of one chunk, so that nothing is joined.

        @return: C{b""} if there is nothing.
        """
        chunk, start = self.chunk, self.position
        end = start + most
        if start == 0 and end >= len(chunk):
            self.position = len(chunk)
            piece = chunk
        else:
            piece = chunk[start:end]
            self.position = start + len(piece)
        self.taken += len(piece)
        self.size -= len(piece)
        self._next()
        return piece

    def skip(self, count: int) -> None:
        """
        Take C{count} bytes of C{chunk} that the caller has read itself.
        """
        self.position += count
        self.taken += count
        self.size -= count
        self._next()

    def takeAll(self) -> bytes:
        """
        Take everything.
        """
        everything = b"".join((self._line, memoryview(self.chunk)[self.position :], *self._rest))
        self.taken += len(everything)
        self.clear()
        return everything

    def _next(self) -> None:
        if self.position == len(self.chunk):
            # Let go of it: a chunk may be large, and the buffer may live long.
            self.chunk = self._rest.popleft() if self._rest else b""
            self.position = 0
