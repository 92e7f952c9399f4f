"""
Listening on sockets that another process has opened, and that it and others may listen on, too.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IListeningPort

from .._privates import adoptUnixPort
from ..net import ConnectionFactory, WasiTcpConn
from ..net.server.endpoints import BACKLOG
from .listening import Launch, ListeningService

# Those whose sockets are TCP's, whatever is spoken over these.
TCP = ("tcp:", "tcp6:", "ssl:", "haproxy:tcp:", "haproxy:tcp6:", "haproxy:ssl:")

_REACTORS = f"{__package__.partition('.')[0]}.reactor."


def held(
    endpoint: str, launch: Launch, reactor: Any, opened: Callable[[IListeningPort], object] | None = None
) -> ListeningService:
    """
    Return a service that holds a listening socket and accepts nobody: that is for other processes.

    @param opened: called with the port.
    """
    factory = ConnectionFactory(_never, reactor=reactor)
    factory.gate.hold("a worker's")
    return ListeningService(endpoint, factory, launch, announce=opened, reactor=reactor)


async def _never(conn: WasiTcpConn) -> None:
    raise AssertionError("the parent accepts nobody")


class AdoptingReactor:
    """
    A reactor that listens on a socket that is there already, whatever it is asked to listen on, once.

    It takes a copy of the descriptor, and closes the one that it was given: as long as one is open anywhere, the kernel
    accepts connections for it.
    """

    def __init__(self, reactor: Any, descriptor: int) -> None:
        self._reactor = reactor
        self._descriptor = descriptor

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        return self._listen(factory, backlog)

    def listenSSL(self, port: int, factory: Any, contextFactory: Any, backlog: int = 50, interface: str = "") -> Any:
        from twisted.protocols.tls import TLSMemoryBIOFactory

        return self._listen(TLSMemoryBIOFactory(contextFactory, False, factory), backlog)

    def listenUNIX(self, address: Any, factory: Any, backlog: int = 50, mode: int = 0o666, wantPID: int = 0) -> Any:
        return self._listen(factory, backlog)

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: int, factory: Any) -> Any:
        # The endpoint closes what it was given itself.
        return self._listen(factory, BACKLOG, closes=fileDescriptor != self._descriptor)

    def _listen(self, factory: Any, backlog: int, *, closes: bool = True) -> Any:
        port = self._adopt(factory, backlog)
        if closes:
            os.close(self._descriptor)
        return port

    def _adopt(self, factory: Any, backlog: int) -> Any:
        with socket.socket(fileno=os.dup(self._descriptor)) as opened:
            family = opened.family
        if family != socket.AF_UNIX:
            return self._reactor.adoptStreamPort(self._descriptor, family, factory)
        kind = None
        if type(self._reactor).__module__.startswith(_REACTORS):
            from ..reactor.transports import UNIXPort

            kind = UNIXPort
        return adoptUnixPort(kind, self._reactor, self._descriptor, factory, backlog)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)
