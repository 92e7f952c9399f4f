"""
L{ConnectionFactory}: a plain Twisted Factory whose connections are run by a coroutine each.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from .connection import theReactor
from .protocol import ConnectionProtocol
from .tasks import Handler, Task


class ConnectionFactory(Factory):
    """
    Runs C{handler(conn)} for each connection, in a task that the connection owns.

    For any endpoint, service or C{listenTCP}::

        endpoint.listen(ConnectionFactory(handler))

    @ivar tasks: the connections that are open, and what runs over them.
    """

    noisy = False

    def __init__(self, handler: Handler, *, reactor: Any = None) -> None:
        """
        @param handler: an C{async def} that takes a L{WasiTcpConn}.
        """
        self.tasks: dict[ConnectionProtocol, Task] = {}
        self._handler = handler
        self._reactor = theReactor(reactor)

    def buildProtocol(self, addr: IAddress | None) -> ConnectionProtocol:
        """
        Twisted asks for the Protocol of a new connection.
        """
        protocol = ConnectionProtocol(self._reactor, self._made, self._gone)
        protocol.factory = self
        return protocol

    def _made(self, protocol: ConnectionProtocol) -> None:
        task = Task(self._handler, protocol)
        if not protocol.lost:
            self.tasks[protocol] = task

    def _gone(self, protocol: ConnectionProtocol) -> None:
        self.tasks.pop(protocol, None)

    def stop(self, deadline: float) -> Deferred[None]:
        """
        Cancel every handler; what is still open after C{deadline} seconds is reset.

        @return: fires when all connections are gone.
        """
        open = list(self.tasks.items())
        closed = [protocol.whenClosed() for protocol, _ in open]
        for protocol, task in open:
            task.cancel()
            protocol.close(deadline)
        return DeferredList(closed).addCallback(lambda _: None)
