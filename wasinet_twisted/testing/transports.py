"""
Twisted's TCP transport, on a socket in memory.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IConsumer,
    IDelayedCall,
    IHalfCloseableDescriptor,
    ILoggingContext,
    IProtocol,
    IPushProducer,
    ITCPTransport,
)
from twisted.internet.task import Clock
from twisted.internet.tcp import Connection
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer_only

from .wires import MemorySocket

log = Logger()


class MemoryTransport(Connection):
    """
    Buffers, producers, the order of a close: all that is inherited. What a reactor does for it is done here, by calls
    on the clock: to look whether the socket is ready, to read, to write, and to say that the connection is gone.
    """

    def __init__(self, clock: Clock, skt: MemorySocket, host: Any, peer: Any) -> None:
        self._reading = False
        self._writing = False
        self._turn: IDelayedCall | None = None
        self._host = host
        self._peerAddress = peer
        # Twisted asks a real socket and a whole reactor, and uses no more of them than these have.
        whole: Any = (skt, None, clock)
        super().__init__(*whole)
        skt.wake = self._wake

    def begin(self, protocol: IProtocol) -> None:
        """
        Connect the protocol.
        """
        self.protocol = protocol
        self.connected = 1
        self.logstr = type(protocol).__name__
        self.startReading()
        protocol.makeConnection(self)

    def getHost(self) -> Any:
        return self._host

    def getPeer(self) -> Any:
        return self._peerAddress

    def startReading(self) -> None:
        self._reading = True
        self._wake()

    def stopReading(self) -> None:
        self._reading = False

    def startWriting(self) -> None:
        self._writing = True
        self._wake()

    def stopWriting(self) -> None:
        self._writing = False

    def _canRead(self) -> bool:
        return self._reading and self._skt().readable()

    def _canWrite(self) -> bool:
        return self._writing and self._skt().writable()

    def _skt(self) -> MemorySocket:
        skt: Any = self.socket
        found: MemorySocket = skt
        return found

    def _wake(self) -> None:
        if self._turn is None and (self._canRead() or self._canWrite()):
            clock: Any = self.reactor
            self._turn = clock.callLater(0, self._takeTurn)

    def _takeTurn(self) -> None:
        """
        What EPollReactor._doReadOrWrite does for a descriptor in one turn.
        """
        self._turn = None
        why: Any = None
        inRead = False
        # Twisted's doWrite has no annotations.
        transport: Any = self
        try:
            if self._canRead():
                inRead = True
                why = transport.doRead()
            if why is None and self._canWrite():
                inRead = False
                why = transport.doWrite()
        except Exception as error:
            log.failure("a protocol failed; its connection is closed")
            why = error
        if why is None:
            self._wake()
            return
        self.stopReading()
        if inRead and isinstance(why, ConnectionDone) and IHalfCloseableDescriptor.providedBy(self):
            self.readConnectionLost(Failure(why))
        else:
            self.stopWriting()
            self.connectionLost(Failure(why))


@implementer_only(ITCPTransport, IConsumer, IPushProducer, ILoggingContext)
class WholeTransport(MemoryTransport):
    """
    Without half-close, as TLS: the end of one direction is the end of both.
    """
