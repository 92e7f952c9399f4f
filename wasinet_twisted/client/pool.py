"""
L{Pool}: connections that are kept for the next request, within bounds.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from types import TracebackType
from typing import Any, Self

from twisted.internet.defer import CancelledError, Deferred, DeferredList

from ..errors import ConnectionClosed, InvalidArgument, LimitExceeded, TimedOut
from ..net.client.dial import Target as ConnectTarget
from ..net.reactors import theReactor
from ..net.stream.lifecycle import CLOSE_TIMEOUT
from ..net.tasks.awaited import Awaited
from .dialing import Dialing, Route
from .environment import toProxy
from .limits import DEFAULT_CLIENT_LIMITS, DEFAULT_TIMEOUTS, FREE_CLOSE_TIMEOUT, ClientLimits, Timeouts, timingOf
from .places import Place
from .protocol import HttpClientProtocol
from .stale import checkSilent, isStale
from .timings import Timings
from .urls import Origin


class Pool:
    """
    Keep connections open between requests, within bounds.

        async with Pool() as pool:
            response = await fetch("http://example.org/", pool=pool)
            text = await response.text()

    A request takes the free connection to its origin that was used last, else it makes one, else it waits, in order. A
    connection that is free for C{limits.idle} seconds, or that the server has closed, is closed. C{async with},
    L{close} and L{closeFree} are for users, the other methods for the client itself.

    For the reactor's thread only.

    @ivar limits: its L{ClientLimits<wasinet_twisted.client.ClientLimits>}.
    @ivar timeouts: the deadlines of requests that bring none of their own.
    @ivar closed: has it been closed?
    """

    __slots__ = (
        "__weakref__",
        "_all",
        "_dialing",
        "_free",
        "_giving",
        "_open",
        "_places",
        "_reactor",
        "_turns",
        "_waiting",
        "closed",
        "limits",
        "observer",
        "plan",
        "proxy",
        "timeouts",
        "timing",
    )

    def __init__(
        self,
        *,
        limits: ClientLimits = DEFAULT_CLIENT_LIMITS,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        proxy: Any = None,
        caCertificates: Any = None,
        clientCertificate: Any = None,
        endpoint: Callable[[Origin], ConnectTarget] | None = None,
        observer: Callable[[Any], object] | None = None,
        reactor: Any = None,
    ) -> None:
        """
        @param proxy: the proxy of requests that name none, in the forms that C{fetch} takes.
        @param caCertificates: whom to trust, as L{TlsClient<wasinet_twisted.net.TlsClient>} has it; by default the
            system's roots.
        @param clientCertificate: what is shown to a server that asks, as C{TlsClient} has it.
        @param endpoint: returns what connects to an origin (C{scheme}, C{host}, C{port}): an endpoint, or an address as
            L{connect<wasinet_twisted.net.connect>} takes it. For C{https}, TLS is spoken over that, to the origin.
        @param observer: called with the L{Report<wasinet_twisted.client.Report>} of each request that is over.
        @raise InvalidArgument: one of these can't be used.
        """
        for what, given, kind in (("limits", limits, ClientLimits), ("timeouts", timeouts, Timeouts)):
            if not isinstance(given, kind):
                raise InvalidArgument(f"{what} must be {kind.__name__}, not {given!r}")
        self.limits = limits
        self.timeouts = timeouts
        self.proxy = toProxy(proxy)
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
        self.plan: Any = None
        # Is room being given to requests that wait?
        self._giving = False
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
            protocol.close(CLOSE_TIMEOUT)
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
        # A request that begins while others are given room comes after them.
        if place.waiting or self._giving or not self._mayOpen(place):
            protocol = await self._queue(place, until)
            if protocol is not None:
                return protocol
            # The right to make one has been counted already.
        else:
            self._count(place)
        return await self._dial(place, timeouts, timings, until)

    async def fresh(self, route: Route, timeouts: Timeouts, timings: Timings, until: float = inf) -> HttpClientProtocol:
        """
        Make a connection for a request that is repeated, or wait as L{wait} does, but take none that is free now.
        """
        place = self._places.get(route)
        if place is not None and place.idle and not self._mayOpen(place):
            # The server has closed one; this one has been free longer.
            place.idle[0].close(CLOSE_TIMEOUT)
        return await self.wait(route, timeouts, timings, until)

    # For places and connections

    def keep(self, place: Place, protocol: HttpClientProtocol) -> None:
        """
        A connection is free: the first that waits gets it.
        """
        if place.waiting:
            if isStale(protocol):
                # It makes room: the first that waits makes another.
                protocol.abort()
            elif self._isElsewhereFirst(place):
                protocol.close(CLOSE_TIMEOUT)
            else:
                self._waiting -= 1
                place.waiting.popitem(last=False)[1].give(protocol)
            return
        if self.closed or not self.limits.idle:
            protocol.close(CLOSE_TIMEOUT)
            return
        place.idle.append(protocol)
        self._free[protocol] = place
        if len(place.idle) > self.limits.kept:
            place.idle[0].close(CLOSE_TIMEOUT)
        if self._waiting:
            # Those to other origins wait for its place.
            self._letOpen()

    def discard(self, place: Place, protocol: HttpClientProtocol) -> None:
        """
        A connection takes no other request.
        """
        if self._free.pop(protocol, None) is not None:
            place.idle.remove(protocol)
        self._discount(place)

    def connected(self, protocol: HttpClientProtocol) -> bool:
        """
        A connection has been made, on which HTTP is not spoken yet.
        """
        self._all.add(protocol)
        return False

    def connectionGone(self, protocol: HttpClientProtocol) -> None:
        """
        A connection is lost.
        """
        self._all.discard(protocol)

    # The bounds

    def _mayOpen(self, place: Place) -> bool:
        return place.open < self.limits.perOrigin and self._hasRoom()

    def _hasRoom(self) -> bool:
        """
        May one more connection be opened? If there are as many as may be, the one that has been free the longest is
        closed.
        """
        if self._open >= self.limits.connections and self._free:
            next(iter(self._free)).close(CLOSE_TIMEOUT)
        return self._open < self.limits.connections

    def _count(self, place: Place) -> None:
        place.open += 1
        self._open += 1

    def _discount(self, place: Place) -> None:
        place.open -= 1
        self._open -= 1
        self._letOpen()
        self._forget(place)

    def _forget(self, place: Place) -> None:
        """
        Nobody needs a place without connections and requests.
        """
        if not (place.open or place.waiting) and self._places.get(place.route) is place:
            del self._places[place.route]

    def _letOpen(self) -> None:
        """
        There is room: the first that waits and may, makes a connection.
        """
        if self._giving:
            # An attempt has failed at once: the loop below goes on. A call from within it would be one more level of
            # the stack for each that waits.
            return
        self._giving = True
        try:
            while self._waiting and not self.closed:
                place = self._first()
                if place is None or not self._hasRoom():
                    return
                self._waiting -= 1
                self._count(place)
                place.waiting.popitem(last=False)[1].give(None)
        finally:
            self._giving = False

    def _first(self) -> Place | None:
        """
        Return the place of the request that has waited the longest, of those whose origin has room.
        """
        best: Place | None = None
        turn = inf
        for place in self._places.values():
            if place.waiting and place.open < self.limits.perOrigin and (first := next(iter(place.waiting))) < turn:
                best, turn = place, first
        return best

    def _isElsewhereFirst(self, place: Place) -> bool:
        """
        Does a request to another origin wait for room that it can have, and has waited longer than those of C{place}?
        """
        if self._open < self.limits.connections or self._waiting == len(place.waiting):
            return False
        best = self._first()
        return best is not None and next(iter(best.waiting)) < next(iter(place.waiting))

    def _queue(self, place: Place, until: float) -> Awaited[HttpClientProtocol | None]:
        if self._waiting >= self.limits.waiting:
            self._forget(place)
            raise LimitExceeded(
                f"{self._waiting} requests wait for a connection already, the bound is {self.limits.waiting}"
            )
        self._turns += 1
        turn = self._turns

        def giveUp(_: Deferred[Any]) -> None:
            self._leaveQueue(place, turn)
            fired.fail(CancelledError())

        fired: Awaited[HttpClientProtocol | None] = Awaited(giveUp)
        self._waiting += 1
        place.waiting[turn] = fired
        if until != inf:
            self._limit(fired, place, turn, until)
        return fired

    def _leaveQueue(self, place: Place, turn: int) -> None:
        del place.waiting[turn]
        self._waiting -= 1
        self._forget(place)

    def _limit(self, fired: Awaited[Any], place: Place, turn: int, until: float) -> None:
        def late() -> None:
            self._leaveQueue(place, turn)
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
            checkSilent(protocol)
            protocol.speak(self._dialing.connection(self.limits, self.timing))
            return protocol
        finally:
            if counted:
                self._discount(place)

    # The end

    def closeFree(self, timeout: float = FREE_CLOSE_TIMEOUT) -> Deferred[None]:
        """
        Close the connections that are free; the pool goes on.

        @param timeout: as L{close} has it.
        @return: fires when they are gone.
        """
        free = list(self._free)
        gone = DeferredList([protocol.whenClosed() for protocol in free])
        for protocol in free:
            protocol.close(timeout)
        return gone.addCallback(lambda _: None)

    def close(self, timeout: float = FREE_CLOSE_TIMEOUT) -> Deferred[None]:
        """
        Close free connections, reset those in use, and fail requests that wait with L{ConnectionClosed}.

        @param timeout: seconds that servers have to take what free connections have sent; then these are reset, too.
        @return: fires when all connections are gone.
        """
        self.closed = True
        protocols = list(self._all)
        closing = DeferredList([protocol.whenClosed() for protocol in protocols])
        for place in list(self._places.values()):
            while place.waiting:
                self._waiting -= 1
                place.waiting.popitem(last=False)[1].fail(ConnectionClosed("the pool was closed"))
            self._forget(place)
        self._dialing.cancel()
        for protocol in protocols:
            if protocol in self._free:
                protocol.close(timeout)
            else:
                protocol.abort()
        return closing.addCallback(lambda _: None)

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
