"""
L{WasiTcpServer}: a listening socket whose connections are awaited.
"""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import Any, Self

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.endpoints import TCP4ServerEndpoint, TCP6ServerEndpoint, serverFromString
from twisted.internet.interfaces import IAddress, IDelayedCall, IListeningPort, IStreamServerEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from ..errors import ConnectionClosed, InvalidArgument, ListenFailed, TimedOut, WasinetError
from .addresses import checkPort, checkTimeout
from .connection import WasiTcpConn, theReactor
from .protocol import ConnectionProtocol
from .writing import again

# How many connections the kernel keeps for us, and how many we keep for accept().
BACKLOG = 1024
WAITING = 128

_WITH_BACKLOG = ("tcp:", "tcp6:", "ssl:", "unix:")


class _AcceptFactory(Factory):
    noisy = False

    def __init__(self, server: WasiTcpServer) -> None:
        self._server = server

    def buildProtocol(self, addr: IAddress | None) -> ConnectionProtocol:
        return ConnectionProtocol(self._server._reactor, self._server._made)


class WasiTcpServer:
    """
    Listens, and gives connections to whoever awaits L{accept}.

        server = WasiTcpServer(8000)
        async for conn in server:
            ensureDeferred(handleClient(conn))

    While 128 connections or more wait for C{accept}, no more are taken from the
    kernel's queue; Twisted takes up to some hundred at a time. For the reactor's
    thread only.
    """

    def __init__(
        self, endpoint: int | str | IStreamServerEndpoint, interface: str = "", *, reactor: Any = None
    ) -> None:
        """
        Start to listen.

        @param endpoint: a port (0: any free one), a Twisted endpoint string such
            as C{"tcp:8000:interface=127.0.0.1"}, or an endpoint object.
        @param interface: with a port, the address to listen on; all IPv4 addresses by default.
        @raise ListenFailed: the endpoint can't be listened on. If that turns
            out only later, C{accept} raises it.
        @raise InvalidArgument: there is no such port, or no such endpoint.
        """
        self._reactor = theReactor(reactor)
        self._name = f"tcp:{endpoint}" if isinstance(endpoint, int) else str(endpoint)
        if interface:
            self._name += f":interface={interface}"
        self._waiting: deque[WasiTcpConn] = deque()
        self._accepts: deque[Deferred[WasiTcpConn]] = deque()
        self._port: IListeningPort | None = None
        self._paused = False
        # Why accept() can't give a connection any more, and whether somebody has been told.
        self._failure: WasinetError | None = None
        self._told = False
        self._listening = self._endpoint(endpoint, interface).listen(_AcceptFactory(self))
        self._listening.addCallbacks(self._started, self._failed)
        if isinstance(self._failure, ListenFailed):
            raise self._failure

    def _endpoint(self, given: int | str | IStreamServerEndpoint, interface: str) -> IStreamServerEndpoint:
        if isinstance(given, int):
            kind = TCP6ServerEndpoint if ":" in interface else TCP4ServerEndpoint
            return kind(self._reactor, checkPort(given), BACKLOG, interface)
        if interface:
            raise InvalidArgument(f"interface={interface!r} goes with a port, not with the endpoint {given!r}")
        if isinstance(given, str):
            return endpointFromString(self._reactor, given)
        if IStreamServerEndpoint.providedBy(given):
            return given
        raise InvalidArgument(f"an endpoint must be a port, an endpoint string or an endpoint, not {given!r}")

    def _started(self, port: IListeningPort) -> None:
        self._port = port
        if self._failure is not None:
            # Closed before it had begun.
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
            self._accepts.popleft().callback(conn)
        else:
            self._waiting.append(conn)
            if len(self._waiting) >= WAITING:
                self._pause(True)

    def _pause(self, paused: bool) -> None:
        # Every stream port of Twisted's has these, though no interface says so; one without them accepts on.
        act = getattr(self._port, "stopReading" if paused else "startReading", None)
        if act is not None and paused != self._paused:
            self._paused = paused
            act()

    def accept(self, timeout: float | None = None) -> Deferred[WasiTcpConn]:
        """
        Wait for the next connection. Several may wait; they are served in order.

        @param timeout: seconds to wait; L{None} waits for ever.
        @raise TimedOut: nobody came. Who comes later waits for the next C{accept}.
        @raise ConnectionClosed: the server is closed.
        @raise ListenFailed: it could not be started.
        """
        checkTimeout(timeout)
        if self._waiting:
            conn = self._waiting.popleft()
            if len(self._waiting) < WAITING // 2:
                self._pause(False)
            return succeed(conn)
        if self._failure is not None:
            if not self._told:
                self._told = True
                return fail(again(self._failure))
            # A loop that goes on in spite of this must not keep the reactor from its turn.
            late: Deferred[WasiTcpConn] = Deferred(lambda _: call.cancel())
            call: IDelayedCall = self._reactor.callLater(0, late.errback, again(self._failure))
            return late
        accepting: Deferred[WasiTcpConn] = Deferred(self._accepts.remove)
        self._accepts.append(accepting)
        if timeout is not None:
            timer: IDelayedCall = self._reactor.callLater(timeout, self._expire, accepting, timeout)
            accepting.addBoth(_stopTimer, timer)
        return accepting

    def _expire(self, accepting: Deferred[WasiTcpConn], timeout: float) -> None:
        self._accepts.remove(accepting)
        accepting.errback(TimedOut(f"timed out: no connection came to {self._name} in {timeout:g} s"))

    def _endAccepts(self) -> None:
        assert self._failure is not None
        while self._accepts:
            self._told = True
            self._accepts.popleft().errback(again(self._failure))

    def local(self) -> IAddress:
        """
        The address listened on; with port 0, this tells the port.

        @raise ConnectionClosed: the server is closed, or hasn't begun to listen.
        """
        if self._port is None or self._failure is not None:
            raise ConnectionClosed(f"{self._name} is not listening")
        return self._port.getHost()

    def close(self) -> Deferred[None]:
        """
        Stop to listen. Waiting C{accept}s raise L{ConnectionClosed}; connections
        that nobody has accepted are reset; those that were accepted go on.

        @return: fires when the socket is closed.
        """
        port, self._port = self._port, None
        done = None if port is None else port.stopListening()
        if self._failure is None:
            self._failure = ConnectionClosed(f"the server on {self._name} is closed")
            self._listening.cancel()
            while self._waiting:
                self._waiting.popleft().abort()
            self._endAccepts()
        closed: Deferred[None] = Deferred()
        if done is None:
            closed.callback(None)
        else:
            done.addBoth(lambda _: closed.callback(None))
        return closed

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


def endpointFromString(reactor: Any, text: str) -> IStreamServerEndpoint:
    """
    The server endpoint that Twisted makes of a string, with our backlog unless it names one.

    @raise InvalidArgument: it is none. Twisted's parsers raise whatever they happen to.
    """
    backlog = f":backlog={BACKLOG}" if text.startswith(_WITH_BACKLOG) and ":backlog=" not in text else ""
    try:
        endpoint: IStreamServerEndpoint = serverFromString(reactor, text + backlog)
        port = getattr(endpoint, "_port", None)
        if isinstance(port, int):
            checkPort(port)
    except Exception as error:
        kind = "" if isinstance(error, InvalidArgument) else f"{type(error).__name__}: "
        raise InvalidArgument(f"no server endpoint: {text!r}: {kind}{error}") from error
    return endpoint


def listenFailed(name: str, error: BaseException | None) -> ListenFailed:
    """
    The one line that says which endpoint can't be listened on, and why.
    """
    cause = getattr(error, "socketError", error)
    failed = ListenFailed(f"can't listen on {name}: {getattr(cause, 'strerror', None) or cause}")
    failed.__cause__ = error
    return failed
