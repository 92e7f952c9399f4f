"""
L{WasiTcpServer}: a listening socket whose connections are awaited.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self, cast

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IListeningPort, IStreamServerEndpoint
from twisted.python.failure import Failure

from ...errors import BusyError, ConnectionClosed, InvalidArgument, ListenFailed, TimedOut, WasinetError
from ..addresses import checkTimeout
from ..reactors import theReactor
from ..stream.handle import WasiTcpConn
from ..stream.protocol import ConnectionProtocol
from ..stream.transportprotocol import TransportProtocol
from ..tasks.awaited import Awaited, again, succeedAll
from .endpoints import endpointOf, listenFailed
from .factory import CANCEL_GRACE, HANDSHAKE_TIMEOUT, ConnectionFactory, Handler

# How many connections are kept for accept().
WAITING = 128


class _AcceptFactory(ConnectionFactory):
    """
    Hands connections over, unless it has been given a handler.
    """

    def __init__(self, server: WasiTcpServer, reactor: Any, **bounds: Any) -> None:
        super().__init__(None, reactor=reactor, **bounds)
        self._server = server

    def serve(self, handler: Handler, waiting: Iterable[WasiTcpConn]) -> None:
        """
        From now on, and for those who wait.
        """
        self._handler = handler
        for conn in waiting:
            self.run(conn)

    def connected(self, protocol: TransportProtocol) -> bool:
        if self._handler is not None and self._server._failure is None:
            return super().connected(protocol)
        assert isinstance(protocol, ConnectionProtocol)
        self._server._made(protocol)
        return False


class WasiTcpServer:
    """
    Listens, and gives connections to whoever awaits L{accept}, or runs a handler
    over each with L{serveForever}.

        server = WasiTcpServer(8000)
        async for conn in server:
            ensureDeferred(handleClient(conn))

    While 128 connections wait for C{accept}, no more are taken from the kernel's
    queue. When there are no file descriptors left, accepting pauses. For the
    reactor's thread only.
    """

    def __init__(
        self,
        endpoint: int | str | IStreamServerEndpoint,
        interface: str = "",
        *,
        maxConnections: int | None = None,
        handshakeTimeout: float | None = HANDSHAKE_TIMEOUT,
        reactor: Any = None,
    ) -> None:
        """
        Start to listen.

        @param endpoint: a port (0: any free one), a Twisted endpoint string such
            as C{"tcp:8000:interface=127.0.0.1"}, or an endpoint object.
        @param interface: with a port, the address to listen on; all IPv4 addresses by default.
        @param maxConnections: how many connections may be open at a time; exactly
            so many are accepted, others wait in the kernel's queue of 1,024.
            L{None}: no bound but the descriptors.
        @param handshakeTimeout: how many seconds the TLS handshake of an accepted
            connection may take; then the connection is reset. L{None}: no bound.
        @raise ListenFailed: the endpoint can't be listened on. If that turns
            out only later, C{accept} raises it.
        @raise InvalidArgument: there is no such port, or no such endpoint.
        """
        self._reactor = theReactor(reactor)
        self._name = f"tcp:{endpoint}" if isinstance(endpoint, int) else str(endpoint)
        if interface:
            self._name += f":interface={interface}"
        self._waiting: deque[WasiTcpConn] = deque()
        self._accepts: deque[Awaited[WasiTcpConn]] = deque()
        self._serving: Awaited[None] | None = None
        self._port: IListeningPort | None = None
        # Is the socket being closed, and who waits for that?
        self._stopping = False
        self._closes: list[Awaited[None]] = []
        # Why accept() can't give a connection any more, and whether somebody has been told.
        self._failure: WasinetError | None = None
        self._told = False
        self._factory = _AcceptFactory(
            self, self._reactor, maxConnections=maxConnections, handshakeTimeout=handshakeTimeout
        )
        self._listening = self._factory.listen(endpointOf(self._reactor, endpoint, interface))
        self._listening.addCallbacks(self._started, self._failed)
        if isinstance(self._failure, ListenFailed):
            raise self._failure

    def _started(self, port: IListeningPort) -> None:
        self._port = port
        if self._failure is not None:
            # Closed before it had begun.
            self._factory.gate.detach(port)
            port.stopListening()

    def _failed(self, failure: Failure) -> None:
        if self._failure is not None:
            # Closed before it had begun.
            return
        self._failure = listenFailed(self._name, failure.value)
        self._endAccepts()

    def _made(self, protocol: ConnectionProtocol) -> None:
        conn = WasiTcpConn(protocol)
        if self._failure is not None:
            conn.abort()
        elif self._accepts:
            self._accepts.popleft().give(conn)
        else:
            self._waiting.append(conn)
            if len(self._waiting) >= WAITING:
                self._factory.gate.hold("waiting")

    def accept(self, timeout: float | None = None) -> Deferred[WasiTcpConn]:
        """
        Wait for the next connection. Several may wait; they are served in order.

        @param timeout: seconds to wait; L{None} waits for ever.
        @raise TimedOut: nobody came. Who comes later waits for the next C{accept}.
        @raise ConnectionClosed: the server is closed.
        @raise ListenFailed: it could not be started.
        """
        checkTimeout(timeout)
        if self._serving is not None and self._failure is None:
            raise BusyError(f"accept() while {self._name} is served by serveForever()")
        if self._waiting:
            conn = self._waiting.popleft()
            if len(self._waiting) < WAITING // 2:
                self._factory.gate.release("waiting")
            return succeed(conn)
        if self._failure is not None:
            if not self._told:
                self._told = True
                return fail(again(self._failure))
            # A loop that goes on in spite of this must not keep the reactor from its turn.
            late: Awaited[WasiTcpConn] = Awaited()
            call: IDelayedCall = self._reactor.callLater(0, late.fail, again(self._failure))
            return late.addBoth(_stopTimer, call)

        def cancel(_: object) -> None:
            self._accepts.remove(accepting)
            accepting.fail(CancelledError())

        def expire() -> None:
            self._accepts.remove(accepting)
            accepting.fail(TimedOut(f"timed out: no connection came to {self._name} in {timeout:g} s"))

        accepting: Awaited[WasiTcpConn] = Awaited(cancel)
        self._accepts.append(accepting)
        if timeout is None:
            return accepting
        timer: IDelayedCall = self._reactor.callLater(timeout, expire)
        return accepting.addBoth(_stopTimer, timer)

    def serveForever(self, handler: Handler) -> Deferred[None]:
        """
        Run C{handler(conn)} for each connection, in a task that the server owns,
        as L{ConnectionFactory} has it.

        @return: fires when the server has been closed and all handlers have
            ended. Cancelling it closes the server and cancels the handlers.
        @raise BusyError: somebody waits for C{accept}, or serves already.
        @raise ConnectionClosed: the server is closed.
        @raise ListenFailed: it could not be started.
        """
        if self._failure is None and (self._serving is not None or self._accepts):
            what = "serveForever()" if self._serving is not None else "accept()"
            raise BusyError(f"serveForever() while {what} waits for the connections of {self._name}")
        serving: Awaited[None] = Awaited(self._stopServing)
        if self._failure is not None:
            self._told = True
            serving.fail(again(self._failure))
            return serving
        self._serving = serving
        waiting, self._waiting = self._waiting, deque()
        self._factory.serve(handler, waiting)
        self._factory.gate.release("waiting")
        return serving

    def _stopServing(self, serving: Deferred[Any]) -> None:
        assert isinstance(serving, Awaited)
        serving.fail(CancelledError())
        self.close()
        self._factory.stop(CANCEL_GRACE)

    def _endAccepts(self) -> None:
        assert self._failure is not None
        while self._accepts:
            self._told = True
            self._accepts.popleft().fail(again(self._failure))
        if self._serving is not None and not self._serving.called:
            if isinstance(self._failure, ListenFailed):
                self._serving.fail(again(self._failure))
            else:
                self._factory.whenIdle().addCallback(_giveUnlessCalled, self._serving)

    def local(self) -> IPv4Address | IPv6Address:
        """
        The address listened on; with port 0, C{.port} tells the port.

        On a Unix socket it is a L{UNIXAddress<twisted.internet.address.UNIXAddress>}, which has a C{name} and no port.
        The annotation leaves that out, so that C{server.local().port} needs no cast.

        @raise ConnectionClosed: the server is closed, or hasn't begun to listen.
        """
        if self._port is None or self._failure is not None:
            raise ConnectionClosed(f"{self._name} is not listening")
        return cast(IPv4Address | IPv6Address, self._port.getHost())

    def close(self) -> Deferred[None]:
        """
        Stop to listen. Waiting C{accept}s raise L{ConnectionClosed}; connections
        that nobody has accepted are reset; those that were accepted, and handlers
        that run, go on.

        @return: fires when the socket is closed.
        """
        port, self._port = self._port, None
        closed: Awaited[None] = Awaited()
        self._closes.append(closed)
        if port is not None:
            self._factory.gate.detach(port)
            stopping = port.stopListening()
            if stopping is not None:
                self._stopping = True
                stopping.addBoth(self._stopped)
        if self._failure is None:
            self._failure = ConnectionClosed(f"the server on {self._name} is closed")
            self._listening.cancel()
            while self._waiting:
                self._waiting.popleft().abort()
            self._endAccepts()
        if not self._stopping:
            self._stopped(None)
        return closed

    def _stopped(self, _: object) -> None:
        self._stopping = False
        closes, self._closes = self._closes, []
        succeedAll(closes)

    def drain(self, deadline: float) -> Deferred[None]:
        """
        Close, and let the handlers of L{serveForever} end. Those that still run
        after C{deadline} seconds are cancelled; those that don't heed that are
        closed a second later, and their connections reset.

        @return: fires when all of it is over. Connections that C{accept} has given are their owners'.
        @raise InvalidArgument: C{deadline} is no number of seconds.
        """
        if deadline is None:
            raise InvalidArgument("drain() needs a deadline, in seconds")
        checkTimeout(deadline)
        closed = self.close()
        drained = self._factory.drain(deadline)
        return closed.addCallback(lambda _: drained)

    def __aiter__(self) -> Self:
        """
        C{async for conn in server} accepts until the server is closed.
        """
        return self

    async def __anext__(self) -> WasiTcpConn:
        try:
            return await self.accept()
        except ConnectionClosed:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        """
        C{async with server} closes it at the end.
        """
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} on {self._name}, {'closed' if self._failure else 'listening'}>"


def _stopTimer(result: Any, timer: IDelayedCall) -> Any:
    if timer.active():
        timer.cancel()
    return result


def _giveUnlessCalled(_: object, waiting: Awaited[None]) -> None:
    if not waiting.called:
        waiting.give(None)
