"""
Twisted's side of a connection: the Protocol that turns callbacks into awaitables.

The Protocol is private to the room; what users hold is a
L{WasiTcpConn<wasinet_twisted.net.connection.WasiTcpConn>}. The Protocol never
refers to it, so that a connection which nobody holds any more can be closed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHalfCloseableDescriptor,
    IHalfCloseableProtocol,
    IHandshakeListener,
    IPushProducer,
    IReactorTime,
    ISSLTransport,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ..errors import ConnectionClosed, LimitExceeded, NotSupported, WasinetError
from .addresses import formatAddress
from .receiving import Receiving
from .tls import TlsTransport, overTls, startTls
from .tlscontext import TlsClient, TlsServer
from .writing import Written, failAll, succeedAll

log = Logger()

# What may wait to be sent by callers who never await their writes.
WRITE_BUFFER = 16 * 1024 * 1024
# The shortest time that close() gives what is queued, in seconds: timed calls run before the sockets in a turn.
_TURN = 0.01

# Every connection there is. One that neither reads nor writes stands in none of the reactor's tables; what holds it
# then may be a cycle of references, and it is to be closed, not collected.
_connections: set[ConnectionProtocol] = set()


@implementer(IHalfCloseableProtocol, IPushProducer)
class ConnectionProtocol(Receiving, Protocol):
    """
    @ivar closing: has our side closed or aborted?
    @ivar finished: has our side ended its direction?
    @ivar lost: is the connection gone?
    @ivar tls: the transport, if it is over TLS.
    """

    closing = False
    finished = False
    lost = False
    tls: TlsTransport | None = None
    _peer: IAddress
    _local: IAddress | None = None
    # The failure that awaiting writers get once the connection is gone.
    _broken: WasinetError | None = None
    _writePaused = False
    _queued = 0
    _closeTimer: IDelayedCall | None = None
    # Made when needed.
    _writers: list[Written] | None = None
    _finishers: list[Written] | None = None
    _closers: list[Deferred[None]] | None = None

    def __init__(
        self,
        reactor: IReactorTime,
        made: Callable[[ConnectionProtocol], object],
        gone: Callable[[ConnectionProtocol], object] | None = None,
    ) -> None:
        """
        @param made: called with this when the connection is there.
        @param gone: called with this when it is lost.
        """
        self.reactor = reactor
        self._made = made
        self._gone = gone
        self.beginReading()

    # Twisted calls these

    def connectionMade(self) -> None:
        _connections.add(self)
        transport = self._transport()
        self._peer = transport.getPeer()
        if ITCPTransport.providedBy(transport):
            # Small writes are what request and answer are made of; Nagle would hold each second one for 40 ms.
            transport.setTcpNoDelay(True)
        if (tls := overTls(self, transport)) is not None:
            transport = self._goOver(tls)
        transport.registerProducer(self, True)
        self._made(self)

    def readConnectionLost(self) -> None:
        """
        The peer has ended its direction; ours goes on.
        """
        self._endReading(None)

    def writeConnectionLost(self) -> None:
        """
        Our direction has been ended, everything before has been sent.
        """
        finishers, self._finishers = self._finishers, None
        self.resumeProducing()
        succeedAll(finishers)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        _connections.discard(self)
        self.lost = True
        done = reason.check(ConnectionDone) is not None
        # Closed by us and not reset by anybody: then all that was queued has been sent.
        flushed = self.closing and done
        if self.tls is not None and reason.value is not None:
            self._broken = self.tls.lost(reason.value, self._broken)
        if self._broken is None:
            self._broken = ConnectionClosed(f"the connection with {self.peerName()} is gone: {reason.value}")
            self._broken.__cause__ = reason.value
        if self._closeTimer is not None:
            self._closeTimer.cancel()
            self._closeTimer = None
        self._endReading(None if done else self._broken)
        writers, finishers, closers = self._writers, self._finishers, self._closers
        self._writers = self._finishers = self._closers = None
        for waiting in (writers, finishers):
            if flushed:
                succeedAll(waiting)
            else:
                failAll(waiting, self._broken)
        if self._gone is not None:
            self._gone(self)
        succeedAll(closers)

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
        writers, self._writers = self._writers, None
        succeedAll(writers)

    def stopProducing(self) -> None:
        """
        The connection is being lost; C{connectionLost} follows.
        """

    # The handle calls these

    def write(self, data: bytes) -> Deferred[None]:
        """
        See L{WasiTcpConn.write<wasinet_twisted.net.connection.WasiTcpConn.write>}.
        """
        if self.closing or self.finished:
            done = "closed" if self.closing else "finished"
            raise ConnectionClosed(
                f"write() of {len(data)} bytes after the connection with {self.peerName()} was {done}"
            )
        if not self.lost and not self._overflows(len(data)):
            self._transport().write(data)
            if self._writePaused:
                self._queued += len(data)
        written = Written()
        if self._broken is not None:
            self._soon(written.fail, self._broken)
        elif self._writePaused:
            if self._writers is None:
                self._writers = []
            self._writers.append(written)
        else:
            self._soon(written.callback, None)
        return written

    def _overflows(self, size: int) -> bool:
        if not self._queued or self._queued + size <= WRITE_BUFFER:
            return False
        # Only those who don't await get here: await, and the queue is empty again.
        self._broken = LimitExceeded(
            f"{self._queued + size} bytes wait to be sent to {self.peerName()}, the bound is {WRITE_BUFFER}"
        )
        log.error("{error}; the connection is reset", error=self._broken)
        self.abort()
        return True

    def finish(self) -> Deferred[None]:
        """
        See L{WasiTcpConn.finish<wasinet_twisted.net.connection.WasiTcpConn.finish>}.
        """
        transport = self._transport()
        halfCloseable = IHalfCloseableDescriptor.providedBy(transport)
        if not halfCloseable or ISSLTransport.providedBy(transport):
            # A TLS transport passes the request on to TCP, whose end without a close_notify is a truncation.
            raise NotSupported(f"{type(transport).__name__} can't end one direction only")
        done = Written()
        if self.lost or self.closing:
            raise ConnectionClosed(f"finish() after the connection with {self.peerName()} was closed")
        if self.finished and self._finishers is None:
            done.callback(None)
            return done
        if self._finishers is None:
            self._finishers = []
        self._finishers.append(done)
        if not self.finished:
            self.finished = True
            # A paused producer would keep the transport from going on after its last byte.
            transport.unregisterProducer()
            transport.loseWriteConnection()
        return done

    def startTLS(self, settings: TlsClient | TlsServer, done: Written, timeout: float | None) -> None:
        """
        See L{WasiTcpConn.startTLS<wasinet_twisted.net.connection.WasiTcpConn.startTLS>}.
        """
        if self.lost or self.closing or self.finished or self._incoming.ended:
            raise ConnectionClosed(f"startTLS() after the connection with {self.peerName()} was closed")
        self._goOver(startTls(self, settings, done, timeout))

    def _goOver(self, tls: TlsTransport) -> TlsTransport:
        self.transport = self.tls = tls  # type: ignore[assignment]
        self.__class__ = TlsConnectionProtocol
        return tls

    def close(self, timeout: float) -> None:
        """
        Send what is queued, then close; reset after C{timeout} seconds if the peer doesn't take it.
        """
        if self.lost:
            return
        timeout = max(timeout, _TURN)
        if self.closing:
            # The earlier of two deadlines holds.
            if self._closeTimer is not None and self.reactor.seconds() + timeout < self._closeTimer.getTime():
                self._closeTimer.reset(timeout)
            return
        self._stopReading("closed")
        transport = self._transport()
        if self._readPaused:
            # Over TLS the peer has a say in the end; nothing else is heard any more.
            self._readPaused = False
            transport.resumeProducing()
        if not self.finished:
            transport.unregisterProducer()
        self._closeTimer = self.reactor.callLater(timeout, self._closeExpired)
        transport.loseConnection()

    def abort(self) -> None:
        """
        Reset.
        """
        if self.lost:
            return
        if not self.closing:
            self._stopReading("aborted")
        self._transport().abortConnection()

    def whenClosed(self) -> Deferred[None]:
        """
        Fires with L{None} when the connection is gone, whatever the reason.
        """
        closed: Deferred[None] = Deferred(self._forgetCloser)
        if self.lost:
            closed.callback(None)
        else:
            if self._closers is None:
                self._closers = []
            self._closers.append(closed)
        return closed

    def peer(self) -> IAddress:
        """
        The peer's address.
        """
        return self._peer

    def local(self) -> IAddress:
        """
        Our address.

        @raise ConnectionClosed: nobody asked before the connection was gone.
        """
        if self._local is None:
            if self.lost:
                raise ConnectionClosed(f"local() after the connection with {self.peerName()} is gone")
            self._local = self._transport().getHost()
        return self._local

    def peerName(self) -> str:
        """
        The peer's address for messages.
        """
        return formatAddress(self._peer)

    def _transport(self) -> Any:
        # Twisted's interfaces each describe a part of a transport, none of them all that a connection has.
        return self.transport

    def _stopReading(self, done: str) -> None:
        """
        Our side is done with the connection: what has arrived is forgotten, a waiting read and the next one are told.
        """
        self.closing = True
        if self._broken is None:
            self._broken = ConnectionClosed(f"the connection with {self.peerName()} was {done} by this side")
        self._incoming.discard()
        self._endReading(self._broken)

    def _closeExpired(self) -> None:
        self._closeTimer = None
        also = "" if self.tls is None else ", or didn't answer its close_notify"
        log.warn(
            "{peer} didn't take what was queued before close(){also}; the connection is reset",
            peer=self.peerName(),
            also=also,
        )
        self.abort()

    def _forgetCloser(self, closed: Deferred[None]) -> None:
        if self._closers is not None and closed in self._closers:
            self._closers.remove(closed)


@implementer(IHandshakeListener)
class TlsConnectionProtocol(ConnectionProtocol):
    """
    What a L{ConnectionProtocol} becomes over TLS. It can't provide this from
    the beginning: of the interfaces that a Protocol provides, Twisted's client
    endpoints pass on the last one only, and half-close would be lost.
    """

    __slots__ = ()

    def handshakeCompleted(self) -> None:
        """
        The TLS handshake has ended.
        """
        assert self.tls is not None
        self.tls.handshakeCompleted()
