"""
L{HttpServer} and L{serve}: listening, draining, and the clock that all connections share.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from dataclasses import replace
from typing import Any, cast

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IListeningPort, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from .. import _speed
from .._fast import fastLines
from ..errors import ConnectionClosed, InvalidArgument
from ..http import WasiResponse
from ..net import ConnectionFactory
from ..net.addresses import checkTimeout
from ..net.reactors import theReactor
from ..net.server.endpoints import endpointOf, listenFailed
from ..net.stream.transportprotocol import TransportProtocol
from .accesslog import AccessLog
from .answering import Answering
from .dates import dateLine
from .deadlines import tick
from .ends import Ends
from .idlers import Idlers
from .limits import DEFAULT_SERVER_LIMITS, ServerLimits, timingOf
from .protocol import HttpProtocol
from .request import Request
from .statistics import Statistics
from .tracing import TracedConnection, Tracing
from .urls import urlOf
from .websocket import drain as drainWebSockets

log = Logger()

Handler = Callable[[Request], WasiResponse | Answering | Awaitable[WasiResponse | None]]

# How often deadlines are looked at, in seconds.
TICK = 0.5


def announceHttp(port: IListeningPort) -> None:
    """
    Say in the log that HTTP is served on C{port}.
    """
    log.info("listening on {url}", url=urlOf(port, "http"))


class HttpServer(ConnectionFactory):
    """
    An HTTP/1.1 server: a Twisted Factory for any endpoint, and what its connections share.

    @ivar limits: its bounds.
    @ivar statistics: what it has done.
    @ivar draining: is it about to end?
    @ivar ports: what it listens on.
    @ivar ends: what is told of each request's end; L{None}: nothing is.
    """

    # What each request asks for.
    __slots__ = ("context", "dateLine", "ends", "handler", "limits", "statistics", "webSockets")

    def __init__(
        self,
        handler: Handler,
        *,
        limits: ServerLimits = DEFAULT_SERVER_LIMITS,
        accessLog: AccessLog | None = None,
        tracing: Tracing | None = None,
        reactor: Any = None,
    ) -> None:
        """
        @param handler: takes a L{Request} and gives the response: an C{async
            def}, a plain function, or one that gives a Deferred.
        @param accessLog: is told of each answer. A drain flushes it; closing it is up to the caller.
        @param tracing: gives requests ids and traces; by default that of the handler, if
            C{wasinet_twisted.contrib.otel.traced} has made that.
        """
        if not callable(handler):
            raise InvalidArgument(f"handler must be a function that takes a request, not {handler!r}")
        self.reactor = theReactor(reactor)
        super().__init__(None, maxConnections=limits.connections, alpn=["http/1.1"], reactor=self.reactor)
        if tracing is None and isinstance(given := getattr(handler, "tracing", None), Tracing):
            tracing = given
        self.handler: Handler = handler
        # Of which each call of the handler gets a copy (PEP 567).
        self.context = copy_context()
        self.limits = limits
        self.ends: Ends | None = None
        if accessLog is not None or tracing is not None:
            self.ends = Ends(accessLog, tracing)
        if tracing is not None:
            trace(self, tracing)
        self.statistics = Statistics()
        self.webSockets: dict[Any, Any] = {}
        self.draining = False
        self.ports: list[IListeningPort] = []
        # The Date field's line; it is made anew with each tick.
        self.dateLine = b""
        self._ticking: IDelayedCall | None = None
        self._timing = timingOf(limits)
        # Connections whose peer has gone and whose handler still runs. They count as open until it ends: who connects,
        # asks and goes could have any number of handlers run otherwise.
        self._outlived: set[TransportProtocol] = set()
        self._idlers = Idlers()

    def newProtocol(self) -> TransportProtocol:
        """
        The Protocol of a new connection.
        """
        return HttpProtocol(self, self._timing)

    @property
    def accessLog(self) -> AccessLog | None:
        """
        What is told of each answer.
        """
        return None if self.ends is None else self.ends.accessLog

    @accessLog.setter
    def accessLog(self, log: AccessLog | None) -> None:
        if self.ends is not None:
            self.ends.accessLog = log
        elif log is not None:
            self.ends = Ends(log, None)

    def connected(self, protocol: TransportProtocol) -> bool:
        """
        A connection is there.
        """
        self.statistics.opened()
        if self._stopping:
            # Its PROXY header has come late.
            protocol.abort()
            return False
        self.keep(protocol, None)
        if self._ticking is None:
            self.dateLine = dateLine(time.time())
            self._ticking = self.reactor.callLater(TICK, self._tick)
        return True

    def connectionGone(self, protocol: TransportProtocol) -> None:
        """
        A connection is gone, or could not be made.
        """
        if protocol.wasMade():
            self.statistics.closed()
        if self.taskOf(protocol) is not None:
            self._outlived.add(protocol)
        super().connectionGone(protocol)

    def isFull(self) -> bool:
        """
        Are there as many connections as may be, or handlers of some that have gone?
        """
        return self._open + len(self._outlived) >= self.limits.connections

    def idle(self) -> None:
        """
        No connection is open, and no handler runs.
        """
        if self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None

    def runs(self, protocol: TransportProtocol, task: Any) -> None:
        """
        A handler waits for something.
        """
        before: Any = self._served.get(protocol)
        if isinstance(before, Answering) and not before.done:
            # It has answered and goes on, while its connection serves the next request: it is kept apart, and counts as
            # a connection does.
            self.keep(before, before)  # type: ignore[arg-type]
            self._outlived.add(before)  # type: ignore[arg-type]
            self.keep(protocol, task)
            if self.count(0):
                # One connection could have any number of them go on otherwise: it is to be closed.
                assert isinstance(protocol, HttpProtocol)
                protocol.drain()
        else:
            self.keep(protocol, task)

    def ran(self, protocol: TransportProtocol, task: Any) -> None:
        """
        It has ended.
        """
        if task in self._outlived:
            protocol = task
        self.release(protocol, task)
        if protocol in self._outlived and self.taskOf(protocol) is None:
            self._outlived.discard(protocol)
            self.count(0)

    def cancel(self, protocol: TransportProtocol) -> None:
        """
        Cancel what runs for a connection.
        """
        task = self.taskOf(protocol)
        if task is not None:
            task.cancel()

    def full(self) -> None:
        """
        There are as many connections as may be: the one that has been idle longest makes room.
        """
        self._idlers.closeOne(self._served, self.reactor.seconds())

    def begin(self) -> None:
        """
        Serve anew after a drain.
        """
        self.draining = self._stopping = False

    def busy(self) -> int:
        """
        How many connections have a request in flight, or half of one.
        """
        connections = [each for each in self.connections if isinstance(each, HttpProtocol)]
        return sum(not (each.closing or each.connection.isBetween()) for each in connections)

    def _tick(self) -> None:
        # The reactor calls this before it reads. When a handler has held it up, or the system has, a request may have
        # arrived within its deadline and not be read yet: that comes first.
        self._ticking = self.reactor.callLater(0, self._look)

    def _look(self) -> None:
        self._ticking = self.reactor.callLater(TICK, self._tick)
        self.dateLine = dateLine(time.time())
        now = self.reactor.seconds()
        for protocol in self.connections:
            assert isinstance(protocol, HttpProtocol)
            tick(protocol, now)
        full = self.isFull()
        self._idlers.ticked(full)
        if full:
            # When the last of them came, none may have been idle.
            self.full()

    # Listening

    def listenOn(self, endpoint: int | str | IStreamServerEndpoint) -> Deferred[IListeningPort]:
        """
        Listen on an endpoint as well.

        @param endpoint: a port, a Twisted endpoint string, or an endpoint.
        @return: fires with the port.
        @raise ListenFailed: it can't be listened on.
        @raise InvalidArgument: it is none.
        """
        name = f"tcp:{endpoint}" if isinstance(endpoint, int) else str(endpoint)

        def listening(port: IListeningPort) -> IListeningPort:
            self.ports.append(port)
            announceHttp(port)
            return port

        def failed(failure: Failure) -> Failure:
            raise listenFailed(name, failure.value)

        return self.listen(endpointOf(self.reactor, endpoint)).addCallbacks(listening, failed)

    def local(self) -> IPv4Address | IPv6Address:
        """
        The address of the first port; with port 0, C{.port} tells the port.

        On a Unix socket it is a L{UNIXAddress<twisted.internet.address.UNIXAddress>}, which has a C{name} and no port.
        The annotation leaves that out, so that C{server.local().port} needs no cast.

        @raise ConnectionClosed: it listens on none.
        """
        if not self.ports:
            raise ConnectionClosed("the server is not listening")
        return cast(IPv4Address | IPv6Address, self.ports[0].getHost())

    def close(self) -> Deferred[None]:
        """
        Stop listening. Connections go on, also those that were waiting to be accepted.

        @return: fires when the sockets are closed.
        """
        ports, self.ports = self.ports, []
        stopping = []
        for port in ports:
            self.gate.takeQueued(port)
            self.gate.detach(port)
            stopped = port.stopListening()
            if stopped is not None:
                stopping.append(stopped)
        return DeferredList(stopping, consumeErrors=True).addCallback(lambda _: None)

    def idleAtDrain(self, seconds: float) -> None:
        """
        Set another C{ServerLimits.drainIdle}, also for the connections that are open.
        """
        self.limits = replace(self.limits, drainIdle=seconds)
        self._timing = timingOf(self.limits)
        for protocol in self.connections:
            assert isinstance(protocol, HttpProtocol)
            protocol.connection.clock.timing = self._timing

    def drain(self, deadline: float | None = None) -> Deferred[None]:
        """
        Stop listening, close the connections that are idle (with C{ServerLimits.drainIdle}: after that time, unless a
        request comes), and let the requests in flight be answered, also half-received ones, with C{Connection: close}.
        WebSockets are closed with 1012. What is left after C{deadline} seconds is cancelled and reset.

        @param deadline: C{ServerLimits.drain} by default.
        @return: fires when all is over, and the access log has been flushed. A log whose file is stalled is waited for
            by one second at most.
        """
        checkTimeout(deadline)
        self.draining = True
        closed = self.close()
        for protocol in self.connections:
            assert isinstance(protocol, HttpProtocol)
            protocol.drain()
        drainWebSockets(self.webSockets)
        drained = super().drain(self.limits.drain if deadline is None else deadline)
        return closed.addCallback(lambda _: drained).addCallback(lambda _: self._flushLog())

    def _flushLog(self) -> Deferred[None] | None:
        return None if self.accessLog is None else self.accessLog.flush()


def trace(server: HttpServer, tracing: Tracing) -> None:
    """
    Give the requests of a server ids and traces. Only such a server has any of that on its paths.
    """

    def newProtocol() -> TransportProtocol:
        # Of now: a drain may have other bounds.
        timing = server._timing
        protocol = HttpProtocol(server, timing)
        protocol.connection = TracedConnection(server.limits.message, timing, server.reactor.seconds(), tracing)
        return protocol

    server.handler = tracing.around(server.handler)
    server.newProtocol = newProtocol  # type: ignore[method-assign]


def serve(
    handler: Handler,
    endpoint: int | str | IStreamServerEndpoint,
    *,
    limits: ServerLimits = DEFAULT_SERVER_LIMITS,
    accessLog: AccessLog | None = None,
    tracing: Tracing | None = None,
    reactor: Any = None,
) -> HttpServer:
    """
    Serve HTTP.

        server = serve(handler, 8080)

    @param handler: takes a L{Request} and gives a L{WasiResponse}; an C{async
        def}, a plain function, or one that gives a Deferred.
    @param endpoint: a port (0: any free one), a Twisted endpoint string, or an endpoint.
    @param accessLog: as L{HttpServer} has it.
    @param tracing: as L{HttpServer} has it.
    @return: the server: C{server.local()}, C{await server.drain()}, C{server.statistics}.
    @raise ListenFailed: the endpoint can't be listened on. If that turns out only later, it is logged.
    @raise InvalidArgument: there is no such endpoint.
    """
    server = HttpServer(handler, limits=limits, accessLog=accessLog, tracing=tracing, reactor=reactor)
    failures: list[BaseException] = []
    early = True

    def failed(failure: Failure) -> Any:
        if not early:
            return failure
        assert failure.value is not None
        failures.append(failure.value)
        return None

    server.listenOn(endpoint).addErrback(failed)
    early = False
    if failures:
        raise failures[0]
    return server


fastLines(
    "server.request",
    slow="HttpProtocol.dataReceived and pump, handling.handle and handled, Request.read, WasiResponse.__init__",
    why="compiled only; without the kernel, a small POST: 1.4 us instead of 5.4",
)
_speed.install("_lives")
# The twins do themselves what these fast paths do. They remember how the classes are, so that others come before.
_speed.install("_serve", "server.request", "http.requestHead", "http.response")
# Once more: it remembers how the classes are when all twins are in place.
_speed.install("_lives")
