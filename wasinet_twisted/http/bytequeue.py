"""
The bytes that have been appended and not yet been taken, whatever their cuts.

Everything above asks for a line or for so many bytes and gets the same answer
however the bytes arrived. Each byte is searched and copied a bounded number of
times, so a message fed one byte at a time costs a constant a byte.
"""

from __future__ import annotations

from collections import deque

# Pieces below so many bytes are joined while they wait: a bytes object of two bytes takes twenty times as many.
_SMALL = 512
# Joined pieces are at most about so long: what has been read of one is let go with its end only.
_JOINED = 16 * 1024


class ByteQueue:
    """
    @ivar chunk: what is being read; what came after it waits in line.
    @ivar position: how much of C{chunk} has been taken.
    @ivar size: how many bytes have not been taken.
    @ivar appended: how many bytes have been appended in all.
    @ivar mark: the value of C{taken} where the last line began.
    """

    __slots__ = ("_line", "_rest", "appended", "chunk", "mark", "position", "size")

    def __init__(self) -> None:
        self.appended = 0
        self.mark = 0
        self.clear()

    @property
    def taken(self) -> int:
        """
        How many bytes have been taken in all.
        """
        return self.appended - self.size

    def clear(self) -> None:
        """
        Forget every byte that has not been taken, as if it had been.
        """
        self.chunk = b""
        self.position = 0
        self.size = 0
        # Those that are joined are bytearrays.
        self._rest: deque[bytes | bytearray] = deque()
        # The beginning of a line whose end has not come. Only it is ever copied twice.
        self._line = bytearray()

    def append(self, data: bytes) -> None:
        """
        Add C{data}, by reference unless it is small and waits behind another that is.
        """
        # What has been read is let go at once, so an empty chunk is one that has been.
        if not self.chunk:
            self.chunk = data
        elif data:
            self._wait(data)
        size = len(data)
        self.size += size
        self.appended += size

    def _wait(self, data: bytes) -> None:
        rest = self._rest
        if rest and len(data) < _SMALL:
            last = rest[-1]
            if isinstance(last, bytearray):
                if len(last) < _JOINED:
                    last += data
                    return
            elif len(last) < _SMALL:
                joined = bytearray(last)
                joined += data
                rest[-1] = joined
                return
        rest.append(data)

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
                self.mark = self.appended - self.size
                self.size -= end - start + len(line)
                self.position = end
                if end == len(chunk):
                    self._nextChunk()
                if not line:
                    return chunk[start:end]
                self._line = bytearray()
                return bytes(line) + chunk[start:end]
            line += chunk[start:]
            self._nextChunk()
            if not self.chunk:
                # A line that can't be taken begins here, should the stream end or the bound be asked about.
                self.mark = self.taken
                return None

    def take(self, most: int) -> bytes:
        """
        Take up to C{most} bytes: those of one chunk, so that nothing is joined.

        @return: C{b""} if there is nothing.
        """
        chunk, start = self.chunk, self.position
        end = start + most
        if end < len(chunk):
            self.size -= most
            self.position = end
            return chunk[start:end]
        self.size -= len(chunk) - start
        self._nextChunk()
        return chunk[start:] if start else chunk

    def skip(self, count: int) -> None:
        """
        Take C{count} bytes of C{chunk} that the caller has read itself.
        """
        self.size -= count
        position = self.position + count
        if position < len(self.chunk):
            self.position = position
        elif self._rest:
            self._nextChunk()
        else:
            # What that does where nothing waits: after nearly every message.
            self.chunk = b""
            self.position = 0

    def passed(self, count: int) -> None:
        """
        C{count} bytes have been taken without having been here.
        """
        self.appended += count

    def takeAll(self) -> bytes:
        """
        Take everything.
        """
        everything = self.peekAll()
        self.clear()
        return everything

    def peekAll(self) -> bytes:
        """
        Look at everything; it stays.
        """
        return b"".join((self._line, memoryview(self.chunk)[self.position :], *self._rest))

    def _nextChunk(self) -> None:
        """
        Let go of a chunk that has been read: it may be large, and the queue may live long.
        """
        self.chunk = bytes(self._rest.popleft()) if self._rest else b""
        self.position = 0
