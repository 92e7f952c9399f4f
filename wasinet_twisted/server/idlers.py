"""
The connections that make room for others: those that have been idle longest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from .protocol import HttpProtocol


class Idlers:
    """
    The connections that were idle when somebody looked last, the longest first.
    """

    __slots__ = ("_at", "_looked", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[HttpProtocol] = deque()
        # When somebody looked last; was it in this tick?
        self._at = 0.0
        self._looked = False

    def closeOne(self, served: Iterable[Any], now: float) -> None:
        """
        Close the one that has been idle longest, if there is one.

        @param served: the server's connections, and what else it keeps.
        @param now: the reactor's time, in seconds.
        """
        if not self._close(now) and not self._looked:
            # Once a tick: to look at each connection for each accept would cost more than to serve it.
            self._looked = True
            self._at = now
            idle = [each for each in served if isinstance(each, HttpProtocol) and _isIdle(each, now)]
            self._waiting = deque(sorted(idle, key=_since))
            self._close(now)

    def ticked(self, full: bool) -> None:
        """
        A tick has passed: it may be looked again.

        @param full: has somebody to make room?
        """
        self._looked = False
        if not full:
            self._waiting.clear()

    def _close(self, now: float) -> bool:
        while self._waiting:
            protocol = self._waiting.popleft()
            # One that has served a request meanwhile is not the one that has been idle longest.
            if _since(protocol) <= self._at and _isIdle(protocol, now):
                protocol.connection.closeIdle(now)
                protocol.follow()
                return True
        return False


def _isIdle(protocol: HttpProtocol, now: float) -> bool:
    return not protocol.closing and protocol.connection.isIdle(now)


def _since(protocol: HttpProtocol) -> float:
    return protocol.connection.clock.since
