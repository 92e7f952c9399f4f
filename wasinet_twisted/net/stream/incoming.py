"""
Who waits for which bytes: the matching of reads to arrived data, without I/O.

The rules, which L{Incoming} keeps whatever the order of events:

 - every byte is given to exactly one read, in order;
 - at most one read waits, and only while what it asks for isn't there;
 - a failure comes after the bytes that came before it, and is told once; then,
   and at the end of the stream, reads give C{b""} at once;
 - a read that can't be answered, for a limit or a failure, takes nothing; only
   L{IncompleteRead} hands out, as C{partial}, what there was.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from ...errors import IncompleteRead, LimitExceeded
from .wants import Want

# Pieces below so many bytes are joined while they wait: a bytes object of two bytes takes twenty times as many.
_SMALL = 512
# Joined pieces are at most about so long: what has been read of one is let go with its end only.
_JOINED = 16 * 1024


class Incoming:
    """
    What has arrived and has not been read.

    @ivar size: how many bytes that is.
    @ivar waiting: how many bytes the waiting read takes at the most; 0: no such read waits.
    @ivar want: what the waiting read wants, if it isn't whatever there is.
    @ivar ended: will nothing more arrive?
    """

    __slots__ = ("_chunks", "_failure", "_offset", "ended", "size", "waiting", "want")

    def __init__(self) -> None:
        # Made for the first bytes that nobody waits for: most connections never have any.
        # Small ones that have been joined are bytearrays.
        self._chunks: deque[bytes | bytearray] | None = None
        # How much of the first of them has been read.
        self._offset = 0
        self._failure: Exception | None = None
        self.size = 0
        self.waiting = 0
        self.want: Want | None = None
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

    def ask(self, want: Want) -> bytes | None:
        """
        Ask for something particular.

        @return: it; L{None} if the read waits now.
        @raise LimitExceeded: it will never come.
        @raise IncompleteRead: the stream has ended before it.
        @raise Exception: the failure that ended the stream, once.
        """
        want.begin()
        count = want.show(b"")
        for piece in self._pieces():
            if count is not None:
                break
            count = want.show(piece)
        if count is None and self.ended:
            if self._failure is not None:
                return self._atEnd()
            try:
                count = want.atEnd()
            except IncompleteRead as error:
                error.partial = self._take(self.size)
                raise
        if count is None:
            self.want = want
            return None
        return self._take(count)

    def arrived(self, data: bytes) -> bytes | None:
        """
        Bytes have arrived.

        @return: what the waiting read gets of them, if one waits.
        @raise LimitExceeded: it gets nothing, and waits no longer.
        """
        want = self.want
        most, self.waiting = self.waiting, 0
        if most >= len(data) and not self.size:
            return data
        self._keep(data)
        if want is None:
            return self._take(most) if most else None
        try:
            count = want.show(data)
        except LimitExceeded:
            self.want = None
            raise
        if count is None:
            return None
        self.want = None
        return self._take(count)

    def _keep(self, data: bytes) -> None:
        self.size += len(data)
        chunks = self._chunks
        if chunks is None:
            chunks = self._chunks = deque()
        if chunks and len(data) < _SMALL:
            last = chunks[-1]
            if isinstance(last, bytearray):
                if len(last) < _JOINED:
                    last += data
                    return
            elif len(last) < _SMALL:
                joined = bytearray(last)
                joined += data
                chunks[-1] = joined
                return
        chunks.append(data)

    def unread(self, data: bytes) -> None:
        """
        Put C{data} back in front: the next read begins with it.
        """
        if not data:
            return
        if self._chunks is None:
            self._chunks = deque()
        if self._offset:
            self._chunks[0] = self._chunks[0][self._offset :]
            self._offset = 0
        self._chunks.appendleft(data)
        self.size += len(data)

    def cancel(self) -> None:
        """
        No read waits any more; what has arrived stays.
        """
        self.waiting = 0
        self.want = None

    def end(self, failure: Exception | None = None) -> bool:
        """
        Nothing more will arrive.

        @param failure: why, if it is not the regular end. The first one counts.
        @return: was a read waiting? It is to ask again.
        """
        if not self.ended:
            self.ended = True
            self._failure = failure
        waited = self.waiting != 0 or self.want is not None
        self.cancel()
        return waited

    def discard(self) -> None:
        """
        Forget what has arrived: nobody will read it.
        """
        self._chunks = None
        self._offset = 0
        self.size = 0

    def _pieces(self) -> Iterator[bytes]:
        offset = self._offset
        for chunk in self._chunks or ():
            yield bytes(chunk[offset:] if offset else chunk)
            offset = 0

    def _take(self, most: int) -> bytes:
        if not self.size or not most:
            return b""
        chunks, offset = self._chunks, self._offset
        assert chunks
        if len(chunks) == 1 and not offset and self.size <= most:
            self.size = 0
            return bytes(chunks.popleft())
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
