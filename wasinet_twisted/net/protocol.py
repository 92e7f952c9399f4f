"""
Twisted's side of a connection: the Protocol that turns callbacks into awaitables.

The Protocol is private to the room; what users hold is a
L{WasiTcpConn<wasinet_twisted.net.connection.WasiTcpConn>}. The Protocol never
refers to it, so that a connection which nobody holds any more can be closed.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHalfCloseableProtocol,
    IHandshakeListener,
    ILoggingContext,
    IProtocol,
    IReactorTime,
    ITCPTransport,
)
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ..errors import ConnectionClosed, WasinetError
from .children import Child
from .receiving import IMMEDIATE
from .sending import Sending
from .tls import TlsTransport, overTls, startTls
from .tlscontext import TlsClient, TlsServer
from .waiting import Awaited, succeedAll

log = Logger()
T = TypeVar("T")

# The shortest time that close() gives what is queued, in seconds: timed calls run before the sockets in a turn.
_TURN = 0.01

# Every connection that nobody else keeps. One that neither reads nor writes stands in none of the reactor's tables;
# what holds it then may be a cycle of references, and it is to be closed, not collected.
_connections: set[ConnectionProtocol] = set()


@implementer(IProtocol, IHalfCloseableProtocol, ILoggingContext)
class ConnectionProtocol(Sending):
    """
    @ivar factory: Twisted's factories set it.
    @ivar tls: the transport, if it is over TLS.
    """

    __slots__ = ("_children", "_closeTimer", "_closers", "_gone", "_local", "_made", "factory", "tls")

    def __init__(
        self,
        reactor: IReactorTime,
        made: Callable[[ConnectionProtocol], bool] | None = None,
        gone: Callable[[ConnectionProtocol], object] | None = None,
    ) -> None:
        """
        @param made: called with this when the connection is there; says whether
            it is kept there until it is lost.
        @param gone: called with this when it is lost, or could not be made after all.
        """
        super().__init__(reactor)
        self.factory: Any = None
        self.tls: TlsTransport | None = None
        self._made = made
        self._gone = gone
        self._local: IAddress | None = None
        self._closeTimer: IDelayedCall | None = None
        # Made when needed.
        self._closers: list[Awaited[None]] | None = None
        self._children: set[Child[Any]] | None = None

    # Twisted calls these

    def logPrefix(self) -> str:
        """
        What stands before log messages of the transport's.
        """
        return type(self).__name__

    def makeConnection(self, transport: Any) -> None:
        """
        There is a connection.
        """
        self.transport = transport
        self.connectionMade()

    def connectionMade(self) -> None:
        """
        There is a connection.
        """
        transport = self.transport
        self._peer = transport.getPeer()
        if ITCPTransport.providedBy(transport):
            # Small writes are what request and answer are made of; Nagle would hold each second one for 40 ms.
            transport.setTcpNoDelay(True)
        if (tls := overTls(self, transport)) is not None:
            transport = self._goOver(tls)
            # Factories of ours have it, and they only build accepted connections.
            tls.limit(getattr(self.factory, "handshakeTimeout", None))
        transport.registerProducer(self, True)
        kept = self._made is not None and self._made(self)
        if not kept and not self.lost:
            _connections.add(self)

    def readConnectionLost(self) -> None:
        """
        The peer has ended its direction; ours goes on.
        """
        self._endReading(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection is gone.
        """
        _connections.discard(self)
        self.lost = True
        done = reason.check(ConnectionDone) is not None
        handshakes = None
        if self.tls is not None and reason.value is not None:
            self._broken, handshakes = self.tls.lost(reason.value, self._broken)
        if self._broken is None:
            self._broken = ConnectionClosed(f"the connection with {self.peerName()} is gone: {reason.value}")
            self._broken.__cause__ = reason.value
        if self._closeTimer is not None:
            self._closeTimer.cancel()
            self._closeTimer = None
        self._endReading(None if done else self._broken)
        # Closed by us and not reset by anybody: then all that was queued has been sent.
        self._endWriting(flushed=self.closing and done)
        closers, self._closers = self._closers, None
        if handshakes is not None:
            handshakes()
        succeedAll(closers)
        self._cancelChildren()
        if self._gone is not None:
            self._gone(self)

    # The handle calls these

    def start(self, coroutine: Coroutine[Any, Any, T]) -> Deferred[T]:
        """
        See L{WasiTcpConn.start<wasinet_twisted.net.connection.WasiTcpConn.start>}.
        """
        if self.closing or self.lost:
            coroutine.close()
            raise ConnectionClosed(f"start() after the connection with {self.peerName()} was closed")
        if self._children is None:
            self._children = set()
        child = Child(coroutine, self, self._children)
        self._immediate += 1
        if self._immediate > IMMEDIATE:
            # Whoever starts one after the other would keep the reactor from its turn.
            self._immediate = 0
            self.reactor.callLater(0, child.startUnlessCancelled)
        else:
            child.startUnlessCancelled()
        return child.result

    def startTLS(self, settings: TlsClient | TlsServer, done: Awaited[None], timeout: float | None) -> None:
        """
        See L{WasiTcpConn.startTLS<wasinet_twisted.net.connection.WasiTcpConn.startTLS>}.
        """
        if self.lost or self.closing or self.finished or self._incoming.ended:
            raise ConnectionClosed(f"startTLS() after the connection with {self.peerName()} was closed")
        self._goOver(startTls(self, settings, done, timeout))

    def _goOver(self, tls: TlsTransport) -> TlsTransport:
        self.transport = self.tls = tls
        kind = type(self)
        if not isinstance(self, TlsConnectionProtocol):
            if kind not in _overTls:
                _overTls[kind] = type(f"Tls{kind.__name__}", (kind, TlsConnectionProtocol), {"__slots__": ()})
            self.__class__ = _overTls[kind]
        return tls

    def close(self, timeout: float) -> None:
        """
        Send what is queued, then close; reset after C{timeout} seconds if the peer doesn't take it.
        """
        if self.lost:
            return
        timeout = max(timeout, _TURN)
        if self.closing:
            self._closeEarlier(timeout)
            return
        self._stop("closed")
        transport = self.transport
        if self._readPaused:
            # Over TLS the peer has a say in the end; nothing else is heard any more.
            self._readPaused = False
            transport.resumeProducing()
        if not self.finished:
            transport.unregisterProducer()
        self._closeWithin(timeout)
        transport.loseConnection()

    def abort(self) -> None:
        """
        Reset.
        """
        if self.lost:
            return
        if not self.closing:
            self._stop("aborted")
        self.transport.abortConnection()

    def abortFor(self, error: WasinetError) -> None:
        """
        Reset; C{error} is what those who go on with the connection get.
        """
        if self._broken is None:
            self._broken = error
        self.abort()

    def whenClosed(self) -> Deferred[None]:
        """
        Fires with L{None} when the connection is gone, whatever the reason.
        """
        closed: Awaited[None] = Awaited(self._forgetCloser)
        if self.lost:
            self._soon(closed, closed.give, None)
        else:
            if self._closers is None:
                self._closers = []
            self._closers.append(closed)
        return closed

    def wasMade(self) -> bool:
        """
        Has there been a connection?
        """
        return self._peer is not None

    def peer(self) -> IAddress:
        """
        The peer's address.
        """
        assert self._peer is not None
        return self._peer

    def local(self) -> IAddress:
        """
        Our address.

        @raise ConnectionClosed: nobody asked before the connection was gone.
        """
        if self._local is None:
            if self.lost:
                raise ConnectionClosed(f"local() after the connection with {self.peerName()} is gone")
            self._local = self.transport.getHost()
        assert self._local is not None
        return self._local

    def _stop(self, done: str) -> None:
        """
        Our side is done with the connection: its tasks are cancelled; what has
        arrived is forgotten, a waiting read and the next one are told.
        """
        self.closing = True
        if self._broken is None:
            self._broken = ConnectionClosed(f"the connection with {self.peerName()} was {done} by this side")
        self._incoming.discard()
        # First: to those who are cancelled, the end of the connection is no failure.
        self._cancelChildren()
        self._endReading(self._broken)

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

    def killChildren(self) -> None:
        """
        End those who didn't end when they were cancelled.
        """
        for child in list(self._children or ()):
            child.kill()

    def _cancelChildren(self) -> None:
        for child in list(self._children or ()):
            child.connectionEnds(gone=self.lost)

    def _closeEarlier(self, timeout: float) -> None:
        # The earlier of two deadlines holds.
        if self._closeTimer is not None and self.reactor.seconds() + timeout < self._closeTimer.getTime():
            self._closeTimer.reset(timeout)

    def _closeWithin(self, timeout: float) -> None:
        self._closeTimer = self.reactor.callLater(timeout, self._closeExpired)

    def _closeExpired(self) -> None:
        self._closeTimer = None
        also = "" if self.tls is None else ", or didn't answer its close_notify"
        log.warn(
            "{peer} didn't take what was queued before close(){also}; the connection is reset",
            peer=self.peerName(),
            also=also,
        )
        self.abort()

    def _forgetCloser(self, closed: Any) -> None:
        if self._closers is not None and closed in self._closers:
            self._closers.remove(closed)
        closed.fail(CancelledError())


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


# The same for subclasses, made when they are needed.
_overTls: dict[type[ConnectionProtocol], type[ConnectionProtocol]] = {ConnectionProtocol: TlsConnectionProtocol}
