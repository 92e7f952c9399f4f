"""
Twisted's side of a connection, but for what arrives: its life, what is written to it, and the tasks that run for it.

The Protocol is private to the rooms that build on it; what users hold is a
L{WasiTcpConn<wasinet_twisted.net.stream.handle.WasiTcpConn>}. The Protocol never
refers to it, so that a connection which nobody holds any more can be closed.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
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
from twisted.python.failure import Failure
from zope.interface import implementer

from ...errors import ConnectionClosed, LimitExceeded, NotSupported, WasinetError
from ..tasks.awaited import IMMEDIATE, Awaited, Done, again, failAll, succeedAll
from .lifecycle import Lifecycle
from .outgoing import unsent
from .owner import Owner
from .pending import Pending

log = Logger()
T = TypeVar("T")

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
        self.send(data)
        if not self._writePaused and self._broken is None and self._immediate < IMMEDIATE:
            self._immediate += 1
            return Done()
        return self._written()

    def _written(self) -> Awaited[None]:
        """
        Return what a write gives that the transport hasn't simply taken.
        """
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
        if not (self.lost or (self._queued and self._overflows(len(data)))):
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

    # The tasks that run for it

    def start(self, coroutine: Coroutine[Any, Any, T]) -> Deferred[T]:
        """
        See L{WasiTcpConn.start<wasinet_twisted.net.stream.handle.WasiTcpConn.start>}.
        """
        if self.closing or self.lost:
            coroutine.close()
            raise ConnectionClosed(f"start() after the connection with {self.peerName()} was closed")
        pending = self._pending = self._pending or Pending()
        child = pending.newChild(coroutine, self)
        self._immediate += 1
        if self._immediate > IMMEDIATE:
            # Whoever starts one after the other would keep the reactor from its turn.
            self._immediate = 0
            self.reactor.callLater(0, child.startUnlessCancelled)
        else:
            child.startUnlessCancelled()
        return child.result

    def taskFailed(self, what: str, error: BaseException) -> None:
        """
        A task of this connection's has ended with C{error}, and nobody else is
        there to be told: it is logged, once, and the connection reset. A FIN
        would make half an answer look like a whole one.

        The log has one line where the peer has caused C{error}: it was raised by
        a read, a write or the handshake of this very connection. Every other
        error, be it of the same class and of another connection, has its traceback.

        @param what: which task.
        """
        if isinstance(error, ConnectionClosed) and (self.lost or self.closing):
            # It let pass what it had been told, that the connection had ended: that is nobody's failure, not worth a
            # traceback, and what is queued is still to be sent.
            log.info("{what} ended: {error}", what=what, error=error)
            return
        if self.causedByPeer(error):
            log.info(
                "{what} of the connection with {peer} ended: {kind}: {error}",
                what=what,
                peer=self.peerName(),
                kind=type(error).__name__,
                error=error,
            )
            self.abort()
            return
        log.failure(
            "{what} of the connection with {peer} failed", failure=Failure(error), what=what, peer=self.peerName()
        )
        self.abort()

    # Its ends

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
        if self._queued + size <= WRITE_BUFFER:
            return False
        # Only those who don't await get here: await, and the queue is empty again.
        self._queued = unsent(self.transport, self._queued)
        if self._queued + size <= WRITE_BUFFER:
            return False
        self._broken = LimitExceeded(
            f"{self._queued + size} bytes wait to be sent to {self.peerName()}, the bound is {WRITE_BUFFER}"
        )
        self.byPeer(self._broken)
        log.error("{error}; the connection is reset", error=self._broken)
        self.abort()
        return True
