"""
L{Place}: the connections of a pool that go one way, and the requests that wait for one.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Protocol

from twisted.internet.interfaces import IDelayedCall

from ..http.clientconnection import ClientTiming
from ..net.tasks.awaited import Awaited
from .dialing import Route
from .protocol import HttpClientProtocol


class Places(Protocol):
    """
    A pool, as its places need it.

    @ivar timing: what a server is allowed, if the request says nothing else.
    """

    timing: ClientTiming

    def keep(self, place: Place, protocol: HttpClientProtocol) -> None:
        """
        A connection is free.
        """

    def discard(self, place: Place, protocol: HttpClientProtocol) -> None:
        """
        A connection takes no other request.
        """


class Place:
    """
    The connections of one route.

    @ivar idle: those that are free, the one that was used last at the end.
    @ivar open: how many there are, those that are being made included.
    @ivar waiting: the requests that wait, by their turns, in that order: for a connection, or, which is L{None}, for
        the right to make one.
    @ivar timing: what a server is allowed.
    @ivar patience: the shortest of the deadlines that a connection has, in seconds.
    """

    __slots__ = ("_pool", "idle", "open", "patience", "route", "timing", "waiting")

    def __init__(self, pool: Places, route: Route) -> None:
        self._pool = pool
        self.route = route
        self.timing = pool.timing
        self.patience = pool.timing.shortest
        self.idle: list[HttpClientProtocol] = []
        self.open = 0
        # A dict would look through all that have left at its front.
        self.waiting: OrderedDict[int, Awaited[HttpClientProtocol | None]] = OrderedDict()

    def free(self, protocol: HttpClientProtocol) -> None:
        """
        The connection can take another request.
        """
        self._pool.keep(self, protocol)

    def gone(self, protocol: HttpClientProtocol) -> None:
        """
        The connection takes no other request.
        """
        self._pool.discard(self, protocol)


def stopping(result: Any, timer: IDelayedCall) -> Any:
    """
    Pass C{result} on: what the timer limits is over.
    """
    if timer.active():
        timer.cancel()
    return result
