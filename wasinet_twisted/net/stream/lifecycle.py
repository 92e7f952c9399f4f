"""
The life of one connection: it is made, it may go over to TLS, either side ends it, and it is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress, IReactorTime, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from ...errors import ConnectionClosed, WasinetError
from ..addresses import formatAddress
from ..tasks.awaited import IMMEDIATE, Awaited, again, succeedAll, unlessCalled
from ..tls.handshakes import listening
from ..tls.transport import TlsTransport, overTls
from .owner import Owner
from .pending import Pending, What

log = Logger()

# How long close() waits for the peer to take what is queued, in seconds.
CLOSE_TIMEOUT = 30.0
# The shortest time that close() gives what is queued, in seconds: timed calls run before the sockets in a turn.
_TURN = 0.01

# Every connection that nobody else keeps. One that neither reads nor writes stands in none of the reactor's tables;
# what holds it then may be a cycle of references, and it is to be closed, not collected.
_connections: set[Lifecycle] = set()


class Lifecycle:
    """
    What a connection's Protocol does that has nothing to do with its bytes. How bytes are sent and what becomes of
    those that arrive is a subclass's affair; it is told of both directions' ends.

    @ivar transport: Twisted's; C{Any}, since each of its interfaces describes a
        part of a transport, none of them all that a connection has.
    @ivar tls: the transport, if it is over TLS.
    @ivar closing: has our side closed or aborted?
    @ivar finished: has our side ended its direction?
    @ivar peerFinished: has the peer ended its direction, or is the connection gone?
    @ivar lost: is the connection gone?
    """

    # There may be ten thousand of these that do nothing but wait.
    __slots__ = (
        "_broken",
        "_immediate",
        "_local",
        "_owner",
        "_peer",
        "_pending",
        "_readPaused",
        "closing",
        "finished",
        "lost",
        "peerFinished",
        "reactor",
        "tls",
        "transport",
    )

    def __init__(self, reactor: IReactorTime, owner: Owner | None = None) -> None:
        """
        @param owner: is told of the connection's beginning and its end.
        """
        self.reactor = reactor
        self.transport: Any = None
        self.tls: TlsTransport | None = None
        self.closing = self.finished = self.peerFinished = self.lost = False
        self._owner = owner
        # None until there is a connection; and until somebody asks.
        self._peer: IAddress | None = None
        self._local: IAddress | None = None
        # The failure that those get who go on with the connection once it is gone.
        self._broken: WasinetError | None = None
        # Has the transport been told to stop reading?
        self._readPaused = False
        # How many awaits in a row have completed at once.
        self._immediate = 0
        self._pending: Pending | None = None

    # For subclasses

    def endInput(self, failure: WasinetError | None) -> None:
        """
        Nothing more will arrive: the peer has ended its direction, our side has closed (then C{closing} is set), or the
        connection is gone (then C{lost} is). Several of these may follow one another.

        @param failure: why, if it isn't the regular end.
        """

    def forgetInput(self) -> None:
        """
        Our side has closed: nobody will read what has arrived.
        """

    def endOutput(self, failure: WasinetError | None) -> None:
        """
        The connection is gone, and nothing more will be sent.

        @param failure: why; L{None} if all that was queued has been sent.
        """

    def byPeer(self, error: WasinetError) -> WasinetError:
        """
        Return C{error}, which the peer has caused. A subclass may mark it, for L{causedByPeer}.
        """
        return error

    def causedByPeer(self, error: BaseException) -> bool:
        """
        Return whether C{error} is marked as caused by this connection's peer.
        """
        return False

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
            # Factories have it, and own accepted connections. An attempt to connect has a timeout of its own.
            tls.limit(getattr(self._owner, "handshakeTimeout", None))
        transport.registerProducer(self, True)
        kept = self._owner is not None and self._owner.connected(self)
        if not kept and not self.lost:
            _connections.add(self)

    def readConnectionLost(self) -> None:
        """
        The peer has ended its direction; ours goes on.
        """
        self.peerFinished = True
        self.endInput(None)
        succeedAll(self._take("peerFinishers"))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection is gone.
        """
        _connections.discard(self)
        self.lost = self.peerFinished = True
        done = reason.type is ConnectionDone or reason.check(ConnectionDone) is not None
        handshakes = None
        if self.tls is not None and reason.value is not None:
            self._broken, handshakes = self.tls.lost(reason.value, self._broken)
        if self._broken is None:
            self._broken = ConnectionClosed(f"the connection with {self.peerName()} is gone: {reason.value}")
            self._broken.__cause__ = reason.value
        if self._pending is not None:
            self._pending.closed()
        self.endInput(None if done else self._broken)
        # Nearly always nobody waits, and no task runs.
        if self._pending is not None:
            # Closed by us and not reset by anybody: then all that was queued has been sent.
            self.endOutput(None if self.closing and done else self._broken)
            peerFinishers, closers = self._take("peerFinishers"), self._take("closers")
            if handshakes is not None:
                handshakes()
            succeedAll(peerFinishers)
            succeedAll(closers)
            self._cancelChildren()
        elif handshakes is not None:
            handshakes()
        if self._owner is not None:
            self._owner.connectionGone(self)

    # The handle and servers call these

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
        return self._when("closers", self.lost)

    def whenPeerFinished(self) -> Deferred[None]:
        """
        See L{WasiTcpConn.whenPeerFinished<wasinet_twisted.net.stream.handle.WasiTcpConn.whenPeerFinished>}.
        """
        return self._when("peerFinishers", self.peerFinished)

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

    def peerName(self) -> str:
        """
        The peer's address for messages.
        """
        return "nobody yet" if self._peer is None else formatAddress(self._peer)

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

    def killChildren(self) -> None:
        """
        End the tasks that didn't end when they were cancelled.
        """
        if self._pending is not None:
            self._pending.killChildren()

    # Those who wait

    def soon(self, waiting: Awaited[None], error: WasinetError | None) -> None:
        """
        Tell somebody, as L{_soon} has it, that all is well, or what is wrong.
        """
        if error is None:
            self._soon(waiting, waiting.give, None)
        else:
            self._soon(waiting, waiting.failQuietly, again(error))

    def _soon(self, waiting: Awaited[Any], tell: Callable[[Any], object], what: object) -> None:
        """
        Tell at once; but now and then only after the reactor's turn, lest a loop keep it from it.
        """
        self._immediate += 1
        if self._immediate > IMMEDIATE:
            self._immediate = 0
            self.reactor.callLater(0, unlessCalled, waiting, tell, what)
        else:
            tell(what)

    def _when(self, what: What, already: bool) -> Awaited[None]:
        waiting: Awaited[None] = Awaited(self._giveUp)
        if already:
            self._soon(waiting, waiting.give, None)
        else:
            self._wait(what, waiting)
        return waiting

    def _wait(self, what: What, waiting: Awaited[None]) -> None:
        if self._pending is None:
            self._pending = Pending()
        self._pending.add(what, waiting)

    def _take(self, what: What) -> list[Awaited[None]] | None:
        pending = self._pending
        if pending is None:
            return None
        waiting = pending.take(what)
        if pending.isEmpty():
            self._pending = None
        return waiting

    def _giveUp(self, waiting: Any) -> None:
        if self._pending is not None:
            self._pending.discard(waiting)
        waiting.fail(CancelledError())

    # Its ends

    def _takeOver(self, carrier: Lifecycle) -> None:
        """
        Go on with a connection that another Protocol has begun.
        """
        self.transport = carrier.transport
        self.tls = carrier.tls
        self.finished = carrier.finished
        self.peerFinished = carrier.peerFinished
        self._peer = carrier._peer
        self._local = carrier._local
        self._readPaused = carrier._readPaused

    def _goOver(self, tls: TlsTransport) -> TlsTransport:
        self.transport = self.tls = tls
        self.__class__ = listening(type(self))
        return tls

    def _stop(self, done: str) -> None:
        """
        Our side is done with the connection: its tasks are cancelled; what has
        arrived is forgotten, a waiting read and the next one are told.
        """
        self.closing = True
        if self._broken is None:
            self._broken = ConnectionClosed(f"the connection with {self.peerName()} was {done} by this side")
        self.forgetInput()
        # First: to those who are cancelled, the end of the connection is no failure.
        self._cancelChildren()
        self.endInput(self._broken)

    def _cancelChildren(self) -> None:
        if self._pending is not None:
            self._pending.cancelChildren(gone=self.lost)

    def _closeEarlier(self, timeout: float) -> None:
        if self._pending is not None:
            self._pending.closeEarlier(self.reactor, timeout)

    def _closeWithin(self, timeout: float) -> None:
        pending = self._pending = self._pending or Pending()
        pending.closeWithin(self.reactor, timeout, self.closeExpired)

    def closeExpired(self) -> None:
        """
        The peer has not taken in time what was queued before the connection closed.
        """
        also = "" if self.tls is None else ", or didn't answer its close_notify"
        log.warn(
            "{peer} didn't take what was queued before close(){also}; the connection is reset",
            peer=self.peerName(),
            also=also,
        )
        self.abort()
