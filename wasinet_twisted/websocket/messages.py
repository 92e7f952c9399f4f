"""
Messages that have come and that nobody has received.
"""

from __future__ import annotations

from collections import deque

# While they have less, in bytes, one more is read.
READ_AHEAD = 64 * 1024
# What each counts beside its bytes.
_OVERHEAD = 64


class Messages:
    """
    @ivar held: are there any?
    @ivar full: must no more come until somebody receives?
    """

    __slots__ = ("_most", "_queue", "_size", "full", "held")

    def __init__(self, most: int) -> None:
        """
        @param most: how many are held.
        """
        self._most = most
        # Made for the first: nearly always somebody waits.
        self._queue: deque[str | bytes] | None = None
        self._size = 0
        self.held = self.full = False

    def add(self, message: str | bytes) -> bool:
        """
        One has come.

        @return: C{full}.
        """
        queue = self._queue
        if queue is None:
            queue = self._queue = deque()
        queue.append(message)
        self._size += len(message) + _OVERHEAD
        self.held = True
        self.full = len(queue) >= self._most or self._size >= READ_AHEAD
        return self.full

    def take(self) -> str | bytes:
        """
        Take the first.
        """
        queue = self._queue
        assert queue
        message = queue.popleft()
        self._size -= len(message) + _OVERHEAD
        self.held = bool(queue)
        self.full = len(queue) >= self._most or self._size >= READ_AHEAD
        return message
