"""
Who waits for which bytes: the matching of reads to arrived data, without I/O.

The rules, which L{Incoming} keeps whatever the order of events:

 - every byte is given to exactly one read, in order;
 - at most one read waits, and only while nothing is there for it;
 - a failure comes after the bytes that came before it, and is told once; then,
   and at the end of the stream, reads give C{b""} at once.
"""

from __future__ import annotations

from collections import deque


class Incoming:
    """
    What has arrived and has not been read.

    @ivar size: how many bytes that is.
    @ivar waiting: how many bytes the waiting read takes at the most; 0: no read waits.
    @ivar ended: will nothing more arrive?
    """

    __slots__ = ("_chunks", "_failure", "_offset", "ended", "size", "waiting")

    def __init__(self) -> None:
        # Made for the first bytes that nobody waits for: most connections never have any.
        self._chunks: deque[bytes] | None = None
        # How much of the first of them has been read.
        self._offset = 0
        self._failure: Exception | None = None
        self.size = 0
        self.waiting = 0
        self.ended = False

    def read(self, most: int) -> bytes | None:
        """
        Ask for up to C{most} bytes.

        @return: bytes; C{b""} at the end of the stream; L{None} if the read waits now.
        @raise Exception: the failure that ended the stream, once.
        """
        if self.size:
            return self._take(most)
        if self.ended:
            return self._atEnd()
        self.waiting = most
        return None

    def arrived(self, data: bytes) -> bytes | None:
        """
        Bytes have arrived.

        @return: what the waiting read gets of them, if one waits.
        """
        most, self.waiting = self.waiting, 0
        if most >= len(data) and not self.size:
            return data
        if self._chunks is None:
            self._chunks = deque()
        self._chunks.append(data)
        self.size += len(data)
        return self._take(most) if most else None

    def end(self, failure: Exception | None = None) -> bool:
        """
        Nothing more will arrive.

        @param failure: why, if it is not the regular end. The first one counts.
        @return: was a read waiting? It is to call L{read} again.
        """
        if not self.ended:
            self.ended = True
            self._failure = failure
        waited, self.waiting = self.waiting != 0, 0
        return waited

    def discard(self) -> None:
        """
        Forget what has arrived: nobody will read it.
        """
        self._chunks = None
        self._offset = 0
        self.size = 0

    def _take(self, most: int) -> bytes:
        chunks, offset = self._chunks, self._offset
        assert chunks
        if len(chunks) == 1 and not offset and self.size <= most:
            self.size = 0
            return chunks.popleft()
        taken = []
        left = most
        while chunks and left:
            chunk = chunks[0]
            piece = chunk[offset : offset + left]
            taken.append(piece)
            left -= len(piece)
            offset += len(piece)
            if offset == len(chunk):
                chunks.popleft()
                offset = 0
        self._offset = offset
        self.size -= most - left
        return b"".join(taken)

    def _atEnd(self) -> bytes:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        return b""
