"""
L{ConnectionFactory}: a plain Twisted Factory whose connections are run by a coroutine each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IAddress, IDelayedCall, IProtocolNegotiationFactory
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from zope.interface import alsoProvides

from .connection import theReactor
from .protocol import ConnectionProtocol
from .tasks import Handler, Task

log = Logger()

# What a reset takes, after the deadline.
_GRACE = 0.1


class ConnectionFactory(Factory):
    """
    Runs C{handler(conn)} for each connection, in a task that the connection owns.

    For any endpoint, service or C{listenTCP}::

        endpoint.listen(ConnectionFactory(handler))

    @ivar connections: those that are open.
    @ivar tasks: the handlers that run.
    """

    noisy = False

    def __init__(self, handler: Handler, *, alpn: Sequence[str] = (), reactor: Any = None) -> None:
        """
        @param handler: an C{async def} that takes a L{WasiTcpConn}.
        @param alpn: the application protocols to agree to over TLS, such as C{"http/1.1"} (RFC 7301).
        """
        self.connections: set[ConnectionProtocol] = set()
        self.tasks: set[Task] = set()
        self._handler = handler
        self._reactor = theReactor(reactor)
        self._alpn = [name.encode("ascii") for name in alpn]
        if self._alpn:
            # Twisted asks those that provide this, and takes part in ALPN only then.
            alsoProvides(self, IProtocolNegotiationFactory)

    def acceptableProtocols(self) -> list[bytes]:
        """
        Twisted asks for the application protocols, in the order of preference.
        """
        return self._alpn

    def buildProtocol(self, addr: IAddress | None) -> ConnectionProtocol:
        """
        Twisted asks for the Protocol of a new connection.
        """
        protocol = ConnectionProtocol(self._reactor, self._made, self.connections.discard)
        protocol.factory = self
        return protocol

    def _made(self, protocol: ConnectionProtocol) -> None:
        self.connections.add(protocol)
        task = Task(self._handler, protocol)
        if not task.done:
            self.tasks.add(task)
            task.whenDone().addCallback(lambda _: self.tasks.discard(task))

    def stop(self, deadline: float) -> Deferred[None]:
        """
        Cancel every handler and close every connection; what is still open after
        C{deadline} seconds is reset, and what still runs is left behind.

        @return: fires when all is over, or, for handlers that don't end, soon after the deadline.
        """
        waiting = [task.whenDone() for task in self.tasks]
        waiting += [protocol.whenClosed() for protocol in self.connections]
        stopped: Deferred[None] = Deferred()
        timer: IDelayedCall = self._reactor.callLater(deadline + _GRACE, self._giveUp, stopped)

        def over(_: object) -> None:
            if timer.active():
                timer.cancel()
                stopped.callback(None)

        for task in list(self.tasks):
            task.cancel()
        for protocol in list(self.connections):
            protocol.close(deadline)
        DeferredList(waiting).addCallback(over)
        return stopped

    def _giveUp(self, stopped: Deferred[None]) -> None:
        log.warn("{count} handlers still run although they have been cancelled", count=len(self.tasks))
        stopped.callback(None)
