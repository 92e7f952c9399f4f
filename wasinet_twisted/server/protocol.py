"""
One connection of the server, as Twisted sees it: a transport around a L{ServerConnection}.

What HTTP asks for is decided there; here are the transport, back-pressure, and
the turns that others have to have. What answers a request is in C{handling}.
"""

from __future__ import annotations

from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..errors import (
    BusyError,
    ConnectionClosed,
    IncompleteRead,
    LocalProtocolError,
    NotSupported,
    RemoteProtocolError,
    SlowBody,
)
from ..http import Data, EndOfMessage, ServerConnection
from ..http.answers import checkOffer
from ..http.connection import ABORT, CLOSE, KEEP, LINGER, Expired
from ..http.events import HeadersLike
from ..http.exchange import TUNNEL
from ..http.timing import Timing
from ..net import WasiTcpConn
from ..net.stream.handle import CLOSE_TIMEOUT
from ..net.stream.outgoing import unacknowledged
from ..net.stream.protocol import ConnectionProtocol
from ..net.stream.transportprotocol import TransportProtocol
from ..net.tasks.awaited import IMMEDIATE, Awaited
from .direct import sendDirectly, sendsDirectly
from .handling import Sending, failed, handle
from .interfaces import Serving
from .request import Request

log = Logger()

# What the statistics are told of those that are refused: few and fixed words.
_REASONS = {
    408: "too slow",
    413: "body too large",
    414: "target too long",
    417: "unknown expectation",
    431: "head too large",
    501: "not served",
    503: "handler too slow",
    505: "version",
}


class HttpProtocol(TransportProtocol):
    """
    @ivar server: whose connection it is.
    @ivar connection: HTTP's view of it.
    """

    __slots__ = ("_direct", "_puller", "_pumping", "_pumpsLater", "_tunnel", "connection", "server")

    def __init__(self, server: Serving, timing: Timing) -> None:
        super().__init__(server.reactor, server)
        self.server = server
        self.connection: ServerConnection[Request] = ServerConnection(
            server.limits.message, timing, Request, server.reactor.seconds()
        )
        # Is an answer sent from within the write?
        self._direct = False
        # Are requests being answered one after the other, and will they be in the next turn?
        self._pumping = self._pumpsLater = False
        # Who waits for more of a body.
        self._puller: Awaited[None] | None = None
        # What has taken over, after an upgrade.
        self._tunnel: ConnectionProtocol | None = None

    # Twisted calls these

    def connectionMade(self) -> None:
        """
        There is a connection.
        """
        self._direct = sendsDirectly(self.transport)
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        """
        Bytes have come.
        """
        if self._tunnel is not None:
            self._tunnel.dataReceived(data)
            return
        if self.closing:
            return
        self.server.statistics.bytesReceived += len(data)
        connection = self.connection
        if self._pumping or self._pumpsLater or self._writePaused:
            connection.keep(data)
        else:
            try:
                request = connection.receive(data, self.reactor.seconds())
            except (RemoteProtocolError, IncompleteRead) as error:
                self._refuseMalformed(error)
                return
            if request is not None:
                handle(self, request)
                if not connection.reader.arrived.size:
                    return
            elif self._puller is not None:
                self._puller.give(None)
                return
            elif connection.closing is not KEEP:
                self.follow()
                return
            elif connection.needsTurn:
                self._pumpLater()
        if not (self._readPaused or self._tunnel is not None or connection.wantsBytes):
            self._readPaused = True
            self.transport.pauseProducing()

    def peerFinished(self) -> None:
        """
        The peer has ended its direction; it may still want its answers.
        """
        if self._tunnel is not None:
            self._tunnel.readConnectionLost()
            return
        if self.closing:
            return
        self.connection.eof(self.reactor.seconds())
        if self._puller is not None:
            self._puller.give(None)
        elif self.connection.closing is not KEEP:
            self.follow()
        else:
            self.pump()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection is gone.
        """
        connection = self.connection
        request, answered = connection.request, connection.exchange.isAnswered()
        sent = connection.sent
        connection.abort()
        if request is not None:
            self._brokenOff(request, sent if answered else None)
        super().connectionLost(reason)
        if self._tunnel is not None:
            self._tunnel.connectionLost(reason)
        if self._puller is not None:
            assert self._broken is not None
            self._puller.fail(self._broken)
        if request is not None and answered:
            # What gives the pieces of its response may wait for the next one for ever.
            self.server.cancel(self)

    def pauseProducing(self) -> None:
        """
        The peer doesn't take what we send.
        """
        super().pauseProducing()
        self.connection.taken(max(unacknowledged(self.transport), 1), self.reactor.seconds())

    def resumeProducing(self) -> None:
        """
        It has taken it.
        """
        if not self.lost:
            self.connection.taken(0, self.reactor.seconds())
        super().resumeProducing()
        if self._tunnel is None and not self.closing:
            self.pump()

    def writeConnectionLost(self) -> None:
        """
        Our direction has been ended, and everything before has been sent.
        """
        super().writeConnectionLost()
        if self._tunnel is not None:
            self._tunnel.writeConnectionLost()
        else:
            self.connection.sentEnd(self.reactor.seconds())

    # Requests, one after the other

    def pump(self) -> None:
        """
        Answer what can be answered, one request after the other.
        """
        if self._pumping or self._pumpsLater or self._tunnel is not None:
            return
        connection = self.connection
        self._pumping = True
        try:
            for _ in range(IMMEDIATE):
                if self._writePaused or self.closing or self.lost or connection.closing is not KEEP:
                    break
                try:
                    request = connection.receive(b"", self.reactor.seconds())
                except (RemoteProtocolError, IncompleteRead) as error:
                    self._refuseMalformed(error)
                    return
                if request is None:
                    if connection.needsTurn:
                        self._pumpLater()
                    break
                handle(self, request)
                if not connection.reader.arrived.size and not connection.finished:
                    break
            else:
                # Others have their turn.
                self._pumpLater()
        finally:
            self._pumping = False
        if connection.closing is not KEEP:
            self.follow()
        elif self._readPaused:
            self._flow()

    def _pumpLater(self) -> None:
        if not self._pumpsLater:
            self._pumpsLater = True
            self.reactor.callLater(0, self._pumpAgain)

    def _pumpAgain(self) -> None:
        self._pumpsLater = False
        self.pump()

    def follow(self) -> None:
        """
        A response is complete, or the connection's end has been decided: what comes next?
        """
        connection = self.connection
        closing = connection.closing
        if closing is KEEP:
            if self._readPaused:
                self._flow()
            if connection.reader.arrived.size or connection.finished or connection.needsTurn:
                self.pump()
        elif self._tunnel is None and not (self.closing or self.lost or self._pumping):
            if closing is CLOSE:
                self.close(CLOSE_TIMEOUT)
            elif closing is LINGER:
                self._linger()
            else:
                self.abort()

    def _flow(self) -> None:
        """
        Let the peer go on when enough of what it has sent has been taken.
        """
        if self._readPaused and self.connection.wantsBytes:
            self._readPaused = False
            if not (self.connection.finished or self.closing or self.lost):
                self.transport.resumeProducing()

    # The body of the present request

    async def nextPiece(self, request: Request) -> bytes:
        """
        The next piece of the body.

        @return: C{b""} at its end.
        @raise RemoteProtocolError: it is malformed.
        @raise IncompleteRead: the peer has ended its direction inside it.
        @raise TimedOut: it comes too slowly.
        @raise ConnectionClosed: the peer has gone.
        """
        connection = self.connection
        while True:
            if connection.request is not request:
                raise ConnectionClosed(f"{request!r} has been answered, or its connection is gone")
            try:
                event = connection.nextEvent()
            except (RemoteProtocolError, IncompleteRead) as error:
                request._fault = error
                raise
            if isinstance(event, Data):
                self._flow()
                self._immediate += 1
                if self._immediate > IMMEDIATE:
                    # A megabyte in chunks of one byte would keep the reactor from its turn.
                    self._immediate = 0
                    turn: Awaited[None] = Awaited()
                    self.reactor.callLater(0, _giveUnlessCalled, turn)
                    await turn
                return event.data
            if isinstance(event, EndOfMessage) or connection.bodyEnded:
                self._flow()
                return b""
            await self._moreBody(request)

    async def _moreBody(self, request: Request) -> None:
        if self.lost or self.closing:
            raise self._broken or ConnectionClosed(f"the connection with {self.peerName()} is closed")
        if self._puller is not None:
            raise BusyError(f"somebody else reads the body of {request!r}")
        if continues := self.connection.awaitBody(self.reactor.seconds()):
            self.transmit(continues)
        self._flow()
        puller: Awaited[None] = Awaited()
        self._puller = puller
        try:
            await puller
        finally:
            if self._puller is puller:
                self._puller = None
                self.connection.awaitNoMore(self.reactor.seconds())

    def outliveDisconnect(self, request: Request) -> None:
        """
        See L{Request.keepAfterDisconnect}.
        """
        if self.connection.request is request:
            self.connection.outliveDisconnect()

    # What is sent

    def transmit(self, data: bytes) -> None:
        """
        Send some bytes, and count them.
        """
        if data:
            self.server.statistics.bytesSent += len(data)
            self.send(data)

    def transmitAnswer(self, data: bytes) -> None:
        """
        Send a response, which the statistics count with all else.
        """
        if self._queued:
            self.send(data)
            return
        # Answers to requests that came together are left to the transport, to go together.
        if not self._direct or self._pumping or not sendDirectly(self.transport, data):
            self.transport.write(data)
        if self._writePaused:
            self._queued += len(data)

    def informational(self, request: Request, status: int, headers: HeadersLike) -> None:
        """
        See L{Request.informational}.
        """
        self._isWaiting(request)
        self.transmit(self.connection.interim(status, headers))

    async def takeOver(self, request: Request, protocol: str | None, headers: HeadersLike) -> WasiTcpConn:
        """
        See L{Request.upgrade} and L{Request.acceptTunnel}.
        """
        self._isWaiting(request)
        checkOffer(request, protocol)
        while await self.nextPiece(request):
            pass
        self._isWaiting(request)
        connection = self.connection
        now = self.reactor.seconds()
        encoded, rest = connection.upgrade(protocol, headers, now)
        self.transmit(encoded)
        status = 200 if protocol is None else 101
        self.server.statistics.answered(status, now - connection.clock.started, 0)
        self.logAnswer(request, status, 0)
        tunnel = self._tunnel = ConnectionProtocol.over(self)
        if rest:
            tunnel.dataReceived(rest)
        if connection.finished:
            tunnel.readConnectionLost()
        return WasiTcpConn(tunnel)

    def _isWaiting(self, request: Request) -> None:
        if self.connection.request is not request or self.connection.exchange.isAnswered():
            raise LocalProtocolError(f"{request!r} has been answered")

    def tunnelEnded(self, error: BaseException | None, cancelled: bool) -> bool:
        """
        A handler has ended; was it one that had switched to another protocol?
        """
        if self._tunnel is None:
            return False
        if error is None:
            self._tunnel.close(CLOSE_TIMEOUT)
        elif cancelled:
            self._tunnel.abort()
        else:
            self._tunnel.taskFailed("the handler", error)
        return True

    def _refuseMalformed(self, error: RemoteProtocolError | IncompleteRead) -> None:
        self.refuse(getattr(error, "statusHint", 400), str(error), None)

    def refuse(self, status: int, reason: str, request: Request | None) -> None:
        """
        Answer with an error and close, but see to it that the peer can read the answer.

        @param request: what is refused; L{None} if its head could not be read.
        """
        if self.lost or self.closing:
            return
        server = self.server
        try:
            encoded, size = self.connection.refuse(status, reason, self.reactor.seconds(), server.dateLine)
        except LocalProtocolError:
            self.abort()
            return
        self.transmit(encoded)
        if request is not None:
            # It has been counted, and is counted as a refusal instead of an answer.
            server.statistics.inFlight -= 1
        server.statistics.refused(status, _REASONS.get(status, "malformed"))
        self.logAnswer(request, status, size)
        if self._puller is not None:
            self._puller.fail(ConnectionClosed(f"{request!r} has been answered"))
        self.follow()

    def _brokenOff(self, request: Request, sent: int | None) -> None:
        """
        The connection is gone before the response was complete.

        @param sent: how much of the response's body has been sent; L{None}: not even its head.
        """
        self.server.statistics.abandoned()
        task = self.server.taskOf(self)
        status = task.status if isinstance(task, Sending) and sent is not None else 499
        self.logAnswer(request, status, sent or 0, complete=False)

    def logAnswer(self, request: Request | None, status: int, size: int, complete: bool = True) -> None:
        """
        Write a line of the access log.
        """
        accessLog = self.server.accessLog
        if accessLog is not None:
            accessLog.answered(getattr(self._peer, "host", None) or "-", request, status, size)

    # The end

    def close(self, timeout: float) -> None:
        """
        See L{TransportProtocol.close}.
        """
        if self._tunnel is not None:
            self._tunnel.close(timeout)
        else:
            super().close(timeout)

    def drain(self) -> None:
        """
        The server is about to end: no other request after the present one.
        """
        if self._tunnel is None:
            self.connection.drain(self.reactor.seconds())
            self.follow()

    def closeIdle(self) -> None:
        """
        Close it, if it waits for a request of which nothing has come.
        """
        self.connection.closeIdle(self.reactor.seconds())
        self.follow()

    def isBetween(self) -> bool:
        """
        Has nothing of a request come since the last one?
        """
        return self.closing or self.connection.isBetween()

    def isIdle(self) -> bool:
        """
        Does it wait for a request of which nothing has come?
        """
        return not self.closing and self.connection.isIdle(self.reactor.seconds())

    def idleSince(self) -> float:
        """
        Since when, if it does.
        """
        return self.connection.clock.since

    def _linger(self) -> None:
        if self._readPaused:
            self._readPaused = False
            self.transport.resumeProducing()
        try:
            self.finish()
        except NotSupported:
            # Over TLS the answer is all that can be sent first.
            self.connection.sentEnd(self.reactor.seconds())

    def _closeWithin(self, timeout: float) -> None:
        now = self.reactor.seconds()
        self.connection.close(timeout, now)
        self.connection.taken(unacknowledged(self.transport), now)

    def _closeEarlier(self, timeout: float) -> None:
        self.connection.close(timeout, self.reactor.seconds())

    # Time

    def tick(self, now: float) -> None:
        """
        Look at the deadlines.
        """
        connection = self.connection
        if self._writePaused or connection.closing is not KEEP:
            if connection.exchange.state == TUNNEL:
                return
            connection.taken(unacknowledged(self.transport), now)
        expired = connection.expire(now)
        if expired is not None:
            self._expired(expired)

    def _expired(self, expired: Expired) -> None:
        statistics = self.server.statistics
        if expired is Expired.HEAD:
            self.refuse(408, "the head took too long", None)
        elif expired is Expired.BODY:
            statistics.dropped("slow body")
            if self._puller is not None:
                got = self.connection.reader.got
                waited = self.connection.clock.waited
                self._puller.fail(SlowBody(f"timed out: {got} bytes of a body in {waited:.0f} s"))
        elif expired is Expired.HANDLER:
            self.server.cancel(self)
        elif expired is Expired.FLUSH:
            self._closeExpired()
        else:
            if expired is Expired.RESPONSE:
                statistics.dropped("slow reader")
            elif expired is Expired.UNREAD:
                statistics.dropped("slow body")
            elif expired is Expired.HALF_CLOSED:
                statistics.dropped("half-closed")
            elif expired is Expired.IDLE and not self.connection.draining:
                statistics.dropped("idle")
            self.follow()


def _giveUnlessCalled(turn: Awaited[None]) -> None:
    if not turn.called:
        turn.give(None)
