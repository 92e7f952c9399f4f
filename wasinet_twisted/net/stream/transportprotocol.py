"""
Twisted's side of a connection, but for what arrives: its life, and what is written to it.

The Protocol is private to the rooms that build on it; what users hold is a
L{WasiTcpConn<wasinet_twisted.net.stream.handle.WasiTcpConn>}. The Protocol never
refers to it, so that a connection which nobody holds any more can be closed.
"""

from __future__ import annotations

from twisted.internet.interfaces import (
    IHalfCloseableDescriptor,
    IHalfCloseableProtocol,
    ILoggingContext,
    IProtocol,
    IPushProducer,
    IReactorTime,
    ISSLTransport,
)
from twisted.logger import Logger
from zope.interface import implementer

from ...errors import ConnectionClosed, LimitExceeded, NotSupported, WasinetError
from ..tasks.awaited import IMMEDIATE, Awaited, Done, again, failAll, succeedAll
from .lifecycle import Lifecycle
from .outgoing import unsent
from .owner import Owner

log = Logger()

# What may wait to be sent by callers who never await their writes.
WRITE_BUFFER = 16 * 1024 * 1024


@implementer(IProtocol, IHalfCloseableProtocol, IPushProducer, ILoggingContext)
class TransportProtocol(Lifecycle):
    """
    A connection that can be written to. A subclass takes what arrives (C{dataReceived}), and is told of its end by
    C{endInput} and C{forgetInput}.
    """

    __slots__ = ("_queued", "_writePaused")

    def __init__(self, reactor: IReactorTime, owner: Owner | None = None) -> None:
        super().__init__(reactor, owner)
        self._writePaused = False
        # How much has been queued since the transport took no more: at least what waits now.
        self._queued = 0

    def dataReceived(self, data: bytes) -> None:
        """
        Bytes have arrived. A subclass takes them.
        """
        raise NotImplementedError(f"{type(self).__name__}.dataReceived()")

    # IPushProducer: the transport tells how the peer takes what we write

    def pauseProducing(self) -> None:
        """
        The transport's buffer is full.
        """
        self._writePaused = True

    def resumeProducing(self) -> None:
        """
        The transport's buffer is empty.
        """
        self._writePaused = False
        self._queued = 0
        if self._pending is not None:
            succeedAll(self._take("writers"))

    def stopProducing(self) -> None:
        """
        The connection is being lost; C{connectionLost} follows.
        """

    # IHalfCloseableProtocol, this direction

    def writeConnectionLost(self) -> None:
        """
        Our direction has been ended, everything before has been sent.
        """
        finishers = self._take("finishers")
        self.resumeProducing()
        succeedAll(finishers)

    # The handle and servers call these

    def write(self, data: bytes) -> Awaited[None]:
        """
        See L{WasiTcpConn.write<wasinet_twisted.net.stream.handle.WasiTcpConn.write>}.
        """
        if not (self.closing or self.finished or self._queued or self.lost):
            # What nearly always is so, in one go.
            self.transport.write(data)
            if not self._writePaused:
                self._immediate += 1
                if self._immediate <= IMMEDIATE and self._broken is None:
                    return Done()
            else:
                self._queued = len(data)
        else:
            self.send(data)
        written: Awaited[None] = Awaited()
        if self._broken is not None:
            self._soon(written, written.failQuietly, again(self._broken))
        elif self._writePaused:
            self._wait("writers", written)
        else:
            self._soon(written, written.give, None)
        return written

    def send(self, data: bytes) -> None:
        """
        L{write}, for those who never await it.
        """
        if self.closing or self.finished:
            done = "closed" if self.closing else "finished"
            raise ConnectionClosed(
                f"write() of {len(data)} bytes after the connection with {self.peerName()} was {done}"
            )
        if not self.lost and not self._overflows(len(data)):
            self.transport.write(data)
            if self._writePaused:
                self._queued += len(data)

    def finish(self) -> Awaited[None]:
        """
        See L{WasiTcpConn.finish<wasinet_twisted.net.stream.handle.WasiTcpConn.finish>}.
        """
        transport = self.transport
        halfCloseable = IHalfCloseableDescriptor.providedBy(transport)
        if not halfCloseable or ISSLTransport.providedBy(transport):
            # A TLS transport passes the request on to TCP, whose end without a close_notify is a truncation.
            raise NotSupported(f"{type(transport).__name__} can't end one direction only")
        done: Awaited[None] = Awaited()
        if self.lost or self.closing:
            raise ConnectionClosed(f"finish() after the connection with {self.peerName()} was closed")
        if self.finished and (self._pending is None or self._pending.finishers is None):
            self._soon(done, done.give, None)
            return done
        self._wait("finishers", done)
        if not self.finished:
            self.finished = True
            # A paused producer would keep the transport from going on after its last byte.
            transport.unregisterProducer()
            transport.loseWriteConnection()
        return done

    def _takeOver(self, carrier: Lifecycle) -> None:
        super()._takeOver(carrier)
        assert isinstance(carrier, TransportProtocol)
        self._writePaused = carrier._writePaused
        self._queued = carrier._queued

    def endOutput(self, failure: WasinetError | None) -> None:
        """
        The connection is gone.
        """
        for waiting in (self._take("writers"), self._take("finishers")):
            if failure is None:
                succeedAll(waiting)
            else:
                failAll(waiting, failure)

    def _overflows(self, size: int) -> bool:
        if not self._queued or self._queued + size <= WRITE_BUFFER:
            return False
        # Only those who don't await get here: await, and the queue is empty again.
        self._queued = unsent(self.transport, self._queued)
        if self._queued + size <= WRITE_BUFFER:
            return False
        self._broken = LimitExceeded(
            f"{self._queued + size} bytes wait to be sent to {self.peerName()}, the bound is {WRITE_BUFFER}"
        )
        log.error("{error}; the connection is reset", error=self._broken)
        self.abort()
        return True
