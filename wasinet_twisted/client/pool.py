"""
L{Pool}: connections that are kept for the next request, within bounds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from types import TracebackType
from typing import Any, NamedTuple, Self

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IStreamClientEndpoint

from ..errors import ConnectionClosed, InvalidArgument, LimitExceeded, TimedOut
from ..net.reactors import theReactor
from ..net.stream.lifecycle import CLOSE_TIMEOUT
from ..net.tasks.awaited import Awaited
from .dialing import Dialing, Route
from .limits import DEFAULT_CLIENT_LIMITS, DEFAULT_TIMEOUTS, ClientLimits, Timeouts, timingOf
from .protocol import HttpClientProtocol
from .stale import isStale
from .timings import Timings
from .urls import Origin


class Place:
    """
    The connections of one route.

    @ivar idle: those that are free, the one that was used last at the end.
    @ivar open: how many there are, those that are being made included.
    @ivar waiting: the requests that wait, in their order.
    @ivar timing: what a server is allowed.
    @ivar patience: the shortest of the deadlines that a connection has, in seconds.
    """

    __slots__ = ("_pool", "idle", "open", "patience", "route", "timing", "waiting")

    def __init__(self, pool: Pool, route: Route) -> None:
        self._pool = pool
        self.route = route
        self.timing = pool.timing
        self.patience = pool.timing.shortest
        self.idle: list[HttpClientProtocol] = []
        self.open = 0
        self.waiting: deque[Waiting] = deque()

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


class Waiting(NamedTuple):
    """
    A request that waits: for a connection, or for the right to make one, which is L{None}.
    """

    turn: int
    fired: Awaited[HttpClientProtocol | None]


class Pool:
    """
    Connections of the client, kept open between requests.

        async with Pool() as pool:
            response = await fetch("http://example.org/", pool=pool)

    A request takes the connection to its origin that was used last; if none is
    free, it makes one, within the bounds; else it waits, in order. A connection
    that is free for C{limits.idle} seconds, or that the server has closed, is
    closed.

    For the reactor's thread only.

    @ivar limits: its bounds.
    @ivar timeouts: the deadlines of requests that bring none of their own.
    @ivar timing: the same for one connection.
    @ivar closed: has it been closed?
    """

    def __init__(
        self,
        *,
        limits: ClientLimits = DEFAULT_CLIENT_LIMITS,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        proxy: Any = None,
        caCertificates: Any = None,
        clientCertificate: Any = None,
        endpoint: Callable[[Origin], IStreamClientEndpoint] | None = None,
        observer: Callable[[Any], object] | None = None,
        reactor: Any = None,
    ) -> None:
        """
        @param proxy: through what requests go that name none, as C{fetch} has it.
        @param caCertificates: whom to trust, as L{TlsClient<wasinet_twisted.net.TlsClient>}
            has it; the system's roots by default.
        @param clientCertificate: what to show if a server asks, as L{TlsClient<wasinet_twisted.net.TlsClient>} has it.
        @param endpoint: if given, is asked where an origin is, instead of the
            resolver. Of an C{https} origin, TLS is spoken over what it connects.
        @param observer: is called with the L{Report<wasinet_twisted.client.Report>} of each request when it is over.
        @raise InvalidArgument: one of these can't be used.
        """
        if not isinstance(limits, ClientLimits):
            raise InvalidArgument(f"limits must be ClientLimits, not {limits!r}")
        if not isinstance(timeouts, Timeouts):
            raise InvalidArgument(f"timeouts must be Timeouts, not {timeouts!r}")
        self.limits = limits
        self.timeouts = timeouts
        self.proxy = proxy
        self.observer = observer
        self._reactor: Any = theReactor(reactor)
        self._dialing = Dialing(self._reactor, caCertificates, clientCertificate, endpoint)
        self.timing = timingOf(limits, timeouts)
        self._places: dict[Route, Place] = {}
        # All that are free, the longest first: the values are their places.
        self._free: dict[HttpClientProtocol, Place] = {}
        self._all: set[HttpClientProtocol] = set()
        self._open = 0
        self._turns = 0
        self._waiting = 0
        self.closed = False

    @property
    def reactor(self) -> Any:
        """
        Whose connections they are.
        """
        return self._reactor

    # For requests

    def take(self, route: Route) -> HttpClientProtocol | None:
        """
        Take a free connection.

        @return: L{None} if there is none: see L{wait}.
        """
        place = self._places.get(route)
        if place is None:
            return None
        while place.idle:
            protocol = place.idle.pop()
            del self._free[protocol]
            if protocol.isFree and not isStale(protocol):
                return protocol
            protocol.abort()
        return None

    async def wait(self, route: Route, timeouts: Timeouts, timings: Timings, until: float = inf) -> HttpClientProtocol:
        """
        Take a free connection, make one, or wait for one.

        @raise ConnectionClosed: the pool is closed.
        @raise LimitExceeded: too many wait already.
        @raise TimedOut: not by C{until}.
        """
        self._checkOpen()
        place = self._places.get(route)
        if place is None:
            place = self._places[route] = Place(self, route)
        if place.waiting or not self._mayOpen(place):
            protocol = await self._queue(place, until)
            if protocol is not None:
                return protocol
            # The right to make one has been counted already.
        else:
            self._count(place)
        return await self._dial(place, timeouts, timings, until)

    async def fresh(self, route: Route, timeouts: Timeouts, timings: Timings, until: float = inf) -> HttpClientProtocol:
        """
        Make a connection, or wait for one that is made for this.
        """
        place = self._places.get(route)
        if place is not None and place.idle and not self._mayOpen(place):
            # The server has closed one; this one has been free longer.
            place.idle[0].abort()
        return await self.wait(route, timeouts, timings, until)

    # For places and connections

    def keep(self, place: Place, protocol: HttpClientProtocol) -> None:
        """
        A connection is free: the first that waits gets it.
        """
        while place.waiting:
            waiting = place.waiting.popleft()
            if not waiting.fired.called:
                self._waiting -= 1
                waiting.fired.give(protocol)
                return
        if self.closed or not self.limits.idle:
            protocol.close(CLOSE_TIMEOUT)
            return
        place.idle.append(protocol)
        self._free[protocol] = place
        if len(place.idle) > self.limits.kept:
            place.idle[0].close(CLOSE_TIMEOUT)
        if self._waiting and self._open >= self.limits.connections:
            # Those to other origins wait for its place.
            self._evict()

    def discard(self, place: Place, protocol: HttpClientProtocol) -> None:
        """
        A connection takes no other request.
        """
        if self._free.pop(protocol, None) is not None:
            place.idle.remove(protocol)
        self._discount(place)

    def connected(self, protocol: HttpClientProtocol) -> bool:
        """
        Nobody calls this: connections become the pool's when they have been made.
        """
        return False

    def connectionGone(self, protocol: HttpClientProtocol) -> None:
        """
        A connection is lost.
        """
        self._all.discard(protocol)

    # The bounds

    def _mayOpen(self, place: Place) -> bool:
        if place.open >= self.limits.perOrigin:
            return False
        if self._open < self.limits.connections:
            return True
        if not self._free:
            return False
        self._evict()
        return self._open < self.limits.connections

    def _evict(self) -> None:
        """
        Close the connection that has been free the longest.
        """
        next(iter(self._free)).close(CLOSE_TIMEOUT)

    def _count(self, place: Place) -> None:
        place.open += 1
        self._open += 1

    def _discount(self, place: Place) -> None:
        place.open -= 1
        self._open -= 1
        self._letOpen()
        if not (place.open or place.waiting) and self._places.get(place.route) is place:
            del self._places[place.route]

    def _letOpen(self) -> None:
        """
        There is room: the first that waits and may, makes a connection.
        """
        while self._waiting and not self.closed and self._open < self.limits.connections:
            best: Place | None = None
            for place in self._places.values():
                while place.waiting and place.waiting[0].fired.called:
                    place.waiting.popleft()
                if not place.waiting or place.open >= self.limits.perOrigin:
                    continue
                if best is None or place.waiting[0].turn < best.waiting[0].turn:
                    best = place
            if best is None:
                return
            self._waiting -= 1
            self._count(best)
            best.waiting.popleft().fired.give(None)

    def _queue(self, place: Place, until: float) -> Awaited[HttpClientProtocol | None]:
        if self._waiting >= self.limits.waiting:
            raise LimitExceeded(
                f"{self._waiting} requests wait for a connection already, the bound is {self.limits.waiting}"
            )

        def giveUp(_: Deferred[Any]) -> None:
            self._waiting -= 1
            fired.fail(CancelledError())

        fired: Awaited[HttpClientProtocol | None] = Awaited(giveUp)
        self._turns += 1
        self._waiting += 1
        place.waiting.append(Waiting(self._turns, fired))
        if until != inf:
            self._limit(fired, place, until)
        return fired

    def _limit(self, fired: Awaited[Any], place: Place, until: float) -> None:
        def late() -> None:
            self._waiting -= 1
            fired.fail(
                TimedOut(f"timed out: no connection to {place.route} is free; {place.open} are open, and in use")
            )

        def over(result: Any) -> Any:
            if timer.active():
                timer.cancel()
            return result

        timer = self._reactor.callLater(max(until - self._reactor.seconds(), 0.0), late)
        fired.addBoth(over)

    # Making them

    async def _dial(self, place: Place, timeouts: Timeouts, timings: Timings, until: float) -> HttpClientProtocol:
        counted = True
        try:
            protocol = await self._dialing.dial(place.route, timeouts, timings, until, self)
            self._checkOpen(protocol)
            protocol.keeper = place
            # From now on, discard() discounts it.
            counted = False
            self._all.add(protocol)
            protocol.speak(self._dialing.connection(self.limits, self.timing))
            return protocol
        finally:
            if counted:
                self._discount(place)

    # The end

    def closeFree(self, timeout: float = CLOSE_TIMEOUT) -> Deferred[None]:
        """
        Close the connections that are free; the pool goes on.

        @param timeout: how long a server may take to end its side, in seconds.
        @return: fires when they are gone.
        """
        closing = []
        for protocol in list(self._free):
            closing.append(protocol.whenClosed())
            protocol.close(timeout)
        return DeferredList(closing).addCallback(lambda _: None)

    def close(self, timeout: float = CLOSE_TIMEOUT) -> Deferred[None]:
        """
        Close: free connections at once; those in use are reset, and requests that wait are refused.

        @return: fires when all connections are gone.
        """
        self.closed = True
        places = list(self._places.values())
        for place in places:
            while place.waiting:
                waiting = place.waiting.popleft()
                if not waiting.fired.called:
                    self._waiting -= 1
                    waiting.fired.fail(ConnectionClosed("the pool was closed"))
        self._dialing.cancel()
        closing = []
        for protocol in list(self._all):
            closing.append(protocol.whenClosed())
            if protocol in self._free:
                protocol.close(timeout)
            else:
                protocol.abort()
        done = DeferredList(closing)
        return done.addCallback(lambda _: None)

    def _checkOpen(self, protocol: HttpClientProtocol | None = None) -> None:
        if self.closed:
            if protocol is not None:
                protocol.abort()
            raise ConnectionClosed("the pool is closed")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        free = len(self._free)
        return f"<{type(self).__name__}: {self._open} connections, {free} free, {self._waiting} requests wait>"
