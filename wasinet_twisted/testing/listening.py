"""
A server endpoint in memory, and the clients that connect to it.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import CannotListenError, ConnectingCancelledError, ConnectionRefusedError, NoProtocol
from twisted.internet.interfaces import (
    IDelayedCall,
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.internet.task import Clock
from twisted.logger import Logger
from zope.interface import implementer

from ..errors import ConnectFailed
from ..net.addresses import formatAddress
from ..net.stream.handle import WasiTcpConn
from ..net.stream.protocol import ConnectionProtocol
from .links import CLIENT, SERVER, Link
from .time import Timed
from .wires import WINDOW, Direction

log = Logger()


@implementer(IListeningPort)
class MemoryPort:
    """
    What L{MemoryListener.listen} gives. As Twisted's ports, it has C{stopReading} and C{startReading}; here they are
    exact: after C{stopReading} no connection is made, and those that come wait.
    """

    def __init__(self, listener: MemoryListener, factory: IProtocolFactory) -> None:
        self._listener = listener
        self._factory: Any = factory
        self._backlog: deque[Link] = deque()
        self._reading = False
        self._turn: IDelayedCall | None = None

    def startListening(self) -> None:
        """
        @raise CannotListenError: somebody listens there already.
        """
        if self._listener.port is not None:
            raise CannotListenError(SERVER.host, SERVER.port, OSError("Address already in use"))
        self._listener.port = self
        self._factory.doStart()
        self.startReading()

    def stopListening(self) -> Deferred[None]:
        """
        Connections that wait are reset, later ones refused.

        @return: fires at the clock's next turn.
        """
        stopped: Deferred[None] = Deferred()
        if self._listener.port is not self:
            return succeed(None)
        self._listener.port = None
        self.stopReading()
        while self._backlog:
            self._backlog.popleft().refuse()
        self._listener.clock.callLater(0, self._stopped, stopped)
        return stopped

    def _stopped(self, stopped: Deferred[None]) -> None:
        self._factory.doStop()
        stopped.callback(None)

    def getHost(self) -> IPv4Address:
        return SERVER

    def stopReading(self) -> None:
        """
        Accept no more for now.
        """
        self._reading = False

    def startReading(self) -> None:
        """
        Accept again.
        """
        self._reading = True
        self._wake()

    def arrived(self, link: Link) -> None:
        """
        The kernel has a new connection.
        """
        self._backlog.append(link)
        self._wake()

    def _wake(self) -> None:
        if self._turn is None and self._reading and self._backlog:
            self._turn = self._listener.clock.callLater(0, self._accept)

    def _accept(self) -> None:
        self._turn = None
        # Each connection that is made may stop it.
        while self._reading and self._backlog:
            link = self._backlog.popleft()
            try:
                protocol = self._factory.buildProtocol(link.clientAddress)
                if protocol is not None:
                    link.beginServer(protocol)
                    continue
            except Exception:
                log.failure("a factory failed; its connection is closed")
            link.serverSocket.close()


@implementer(IStreamClientEndpoint)
class MemoryClientEndpoint:
    """
    Connects to a L{MemoryListener}. It takes the listener's delay twice, as a handshake does.
    """

    def __init__(self, listener: MemoryListener) -> None:
        self._listener = listener

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        @return: fires with the protocol, or fails with Twisted's C{ConnectionRefusedError}.
        """
        listener = self._listener
        clock = listener.clock
        made: list[Link] = []
        pending: IDelayedCall

        def cancel(_: Deferred[IProtocol]) -> None:
            pending.cancel()
            for link in made:
                link.toServer.reset()
            connecting.errback(ConnectingCancelledError(SERVER))

        def knock() -> None:
            nonlocal pending
            if listener.port is not None:
                made.append(listener.newLink())
                listener.port.arrived(made[0])
            pending = clock.callLater(listener.delay, answered)

        def answered() -> None:
            if not made:
                connecting.errback(ConnectionRefusedError())
                return
            try:
                protocol = protocolFactory.buildProtocol(SERVER)
                if protocol is None:
                    raise NoProtocol
                made[0].beginClient(protocol)
            except Exception:
                made[0].toServer.reset()
                connecting.errback()
                return
            connecting.callback(protocol)

        connecting: Deferred[IProtocol] = Deferred(cancel)
        pending = clock.callLater(listener.delay, knock)
        return connecting

    def __repr__(self) -> str:
        return f"<{type(self).__name__} to {formatAddress(SERVER)}>"


@implementer(IStreamServerEndpoint)
class MemoryListener(Timed):
    """
    Where a server listens in memory::

        listener = testing.MemoryListener()
        listener.listen(ConnectionFactory(handler, reactor=listener.clock))
        client = listener.connect()

    C{WasiTcpServer(listener, reactor=listener.clock)} works too. Listener and port have the one address 192.0.2.2:8000.

    @ivar clock: the L{Clock}.
    @ivar endpoint: a client endpoint that connects here, for C{net.connect(listener.endpoint, reactor=clock)}.
    @ivar links: what is between the ends of each connection, in the order in which the clients came.
    @ivar delay: how many seconds of latency the connections to come have.
    @ivar port: the port, while somebody listens.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        delay: float = 0.0,
        chunkSize: int | None = None,
        window: int = WINDOW,
        rate: float | None = None,
        halfClose: bool = True,
    ) -> None:
        """
        @param clock: by default a new one.
        @param delay: as all that follow, for each connection; see L{pair<wasinet_twisted.testing.pair>}.
        @raise InvalidArgument: one of them can't be.
        """
        self.clock = Clock() if clock is None else clock
        # So that what can't be is refused here, not at the first client.
        Direction(self.clock, delay, chunkSize, window, rate)
        self.endpoint = MemoryClientEndpoint(self)
        self.links: list[Link] = []
        self.delay = delay
        self.port: MemoryPort | None = None
        self._chunkSize = chunkSize
        self._window = window
        self._rate = rate
        self._halfClose = halfClose

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        Listen. One factory at a time.
        """
        port = MemoryPort(self, protocolFactory)
        try:
            port.startListening()
        except CannotListenError:
            return fail()
        return succeed(port)

    def connect(self) -> WasiTcpConn:
        """
        A new client, connected at once; the server learns of it after the delay.

        @raise ConnectFailed: nobody listens.
        """
        if self.port is None:
            raise ConnectFailed(f"can't connect to {formatAddress(SERVER)}: nobody listens")
        link = self.newLink()
        protocol = ConnectionProtocol(self.clock)
        link.beginClient(protocol)
        self.clock.callLater(self.delay, self._arrive, link)
        return WasiTcpConn(protocol)

    def newLink(self) -> Link:
        """
        One more client, at a port of its own.
        """
        link = Link(
            self.clock,
            delay=self.delay,
            chunkSize=self._chunkSize,
            window=self._window,
            rate=self._rate,
            halfClose=self._halfClose,
            clientAddress=IPv4Address("TCP", CLIENT.host, CLIENT.port + len(self.links)),
        )
        self.links.append(link)
        return link

    def _arrive(self, link: Link) -> None:
        if self.port is None:
            link.refuse()
        else:
            self.port.arrived(link)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {formatAddress(SERVER)}>"
