"""
One connection of the server, as Twisted sees it: a transport around a L{ServerConnection}.

What HTTP asks for is decided there; here are the transport, back-pressure, and
the turns that others have to have. What answers a request is in C{handling}.
"""

from __future__ import annotations

from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from .._privates import sendDirectly
from ..errors import BusyError, ConnectionClosed, IncompleteRead, NotSupported, RemoteProtocolError, SlowBody
from ..http import ServerConnection
from ..http.connection import ABORT, CLOSE, KEEP, LINGER
from ..http.exchange import IDLE
from ..http.timing import Timing
from ..net.stream.lifecycle import CLOSE_TIMEOUT
from ..net.stream.outgoing import unacknowledged
from ..net.stream.protocol import ConnectionProtocol
from ..net.stream.transportprotocol import TransportProtocol
from ..net.tasks.awaited import IMMEDIATE, Awaited
from .direct import sendsDirectly
from .ends import switched, tunnelEnded
from .handling import Sending, brokenOff, handle, refuse
from .interfaces import Serving
from .request import Request
from .websocket import handlerEnded


class HttpProtocol(TransportProtocol):
    """
    @ivar server: whose connection it is.
    @ivar connection: HTTP's view of it.
    @ivar inFlight: the request that the statistics count as in flight.
    """

    __slots__ = ("_direct", "_puller", "_pumping", "_pumpsLater", "_tunnel", "connection", "inFlight", "server")

    def __init__(self, server: Serving, timing: Timing) -> None:
        super().__init__(server.reactor, server)
        self.server = server
        self.connection: ServerConnection[Request] = ServerConnection(
            server.limits.message, timing, Request, server.reactor.seconds()
        )
        self.inFlight: Request | None = None
        # Is an answer sent from within the write? Are requests being answered, or will they be in the next turn?
        self._direct = self._pumping = self._pumpsLater = False
        # Who waits for more of a body.
        self._puller: Awaited[None] | None = None
        # What has taken over, after an upgrade.
        self._tunnel: ConnectionProtocol | None = None

    # Twisted calls these

    def connectionMade(self) -> None:
        """
        There is a connection.
        """
        self._direct = bool(sendsDirectly(self.transport))
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
        # A turn of the reactor's has begun.
        self._immediate = 0
        connection = self.connection
        if self._pumping or self._pumpsLater or self._writePaused:
            connection.keep(data, self.reactor.seconds())
            if self._puller is not None:
                self._puller.give(None)
        else:
            try:
                request = connection.receive(data, self.reactor.seconds())
            except (RemoteProtocolError, IncompleteRead) as error:
                refuse(self, getattr(error, "statusHint", 400), str(error), None)
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

    def readConnectionLost(self) -> None:
        """
        The peer has ended its direction; it may still want its answers.
        """
        if self._tunnel is not None:
            self._tunnel.readConnectionLost()
        elif not self.closing:
            self.peerFinished = True
            self.connection.eof(self.reactor.seconds())
            if self._puller is not None:
                self._puller.give(None)
            else:
                self.pump()
        super().readConnectionLost()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection is gone.
        """
        if self.lost:
            return
        if self.inFlight is not None:
            brokenOff(self, self.inFlight, self.server.taskOf(self))
        self.connection.abort()
        super().connectionLost(reason)
        if self._tunnel is not None:
            if not self._tunnel.lost:
                self._tunnel.connectionLost(reason)
            tunnelEnded(self, reason)
        if self._puller is not None:
            assert self._broken is not None
            self._puller.fail(self._broken)
        if isinstance(self.server.taskOf(self), Sending):
            # What gives the pieces of its response may wait for the next one for ever.
            self.server.cancel(self)

    def connectionGone(self, protocol: ConnectionProtocol) -> None:
        """
        What has taken over is gone. After startTLS() it alone is told.
        """
        self.connectionLost()

    def connected(self, protocol: ConnectionProtocol) -> bool:
        """
        What has taken over is kept here.
        """
        return True

    def pauseProducing(self) -> None:
        """
        The peer doesn't take what we send.
        """
        super().pauseProducing()
        if self._tunnel is not None:
            self._tunnel.pauseProducing()
        else:
            self.connection.taken(self.untaken(), self.reactor.seconds())

    def resumeProducing(self) -> None:
        """
        It has taken it.
        """
        self.connection.taken(0, self.reactor.seconds())
        super().resumeProducing()
        if self._tunnel is not None:
            self._tunnel.resumeProducing()
        elif not (self.closing or self.lost):
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
                    refuse(self, getattr(error, "statusHint", 400), str(error), None)
                    break
                if request is not None:
                    handle(self, request)
                if connection.needsTurn:
                    self._pumpLater()
                elif request is not None and (connection.reader.arrived.size or connection.finished):
                    continue
                break
            else:
                # Others have their turn.
                self._pumpLater()
        finally:
            self._pumping = False
        if connection.closing is not KEEP:
            self.follow()
        else:
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
        connection, closing = self.connection, self.connection.closing
        if self._puller is not None and connection.request is None and closing is not ABORT:
            self._puller.fail(ConnectionClosed("the request has been answered"))
        if closing is KEEP:
            self._flow()
            if connection.needsTurn:
                self._pumpLater()
            elif connection.reader.arrived.size or connection.finished:
                self.pump()
        elif self._tunnel is None and not (self.closing or self.lost or self._pumping):
            if closing is LINGER:
                self._linger()
            elif closing is CLOSE:
                self.close(CLOSE_TIMEOUT)
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

    # What the request asks of its connection

    async def awaitBody(self) -> None:
        """
        Wait until more of the present request's body has come, or its end.

        @raise TimedOut: it comes too slowly.
        @raise ConnectionClosed: the peer has gone.
        @raise BusyError: somebody else waits for it.
        """
        if self.lost or self.closing:
            raise self._broken or ConnectionClosed(f"the connection with {self.peerName()} is closed")
        if self._puller is not None:
            raise BusyError(f"somebody else reads the body of {self.connection.request!r}")
        connection = self.connection
        self.transmit(connection.awaitBody(self.reactor.seconds()))
        if self._readPaused:
            self._flow()
        puller: Awaited[None] = Awaited()
        self._puller = puller
        try:
            await puller
        finally:
            if self._puller is puller:
                self._puller = None
                if connection.clock.waiting:
                    connection.clock.waitNoMore(self.reactor.seconds())

    def tookBody(self) -> bool:
        """
        Some of the body has been taken: let the peer go on, when that is enough.

        @return: have others to have their turn? A megabyte in chunks of one byte would keep the reactor from it.
        """
        if self._readPaused:
            self._flow()
        self._immediate = (self._immediate + 1) % (IMMEDIATE + 1)
        return self._immediate == 0

    def tunnel(self, request: Request, answer: bytes, rest: bytes) -> ConnectionProtocol:
        """
        HTTP has ended: send the answer that says so, and give the connection to the handler.

        @param rest: what has come behind the request.
        """
        self.transmit(answer)
        switched(self, request)
        self._tunnel = ConnectionProtocol.over(self, rest, self)
        return self._tunnel

    # What is sent

    def transmit(self, data: bytes) -> None:
        """
        Send some bytes, and count them.
        """
        if data:
            self.server.statistics.bytesSent += len(data)
            self.send(data)

    def answer(self, data: bytes) -> None:
        """
        Send a whole response, which has been counted; and go on with what comes next.
        """
        if self._queued:
            self.send(data)
        else:
            # Answers to requests that came together are left to the transport, to go together.
            if not self._direct or self._pumping or not sendDirectly(self.transport, data):
                self.transport.write(data)
            if self._writePaused:
                self._queued += len(data)
        if self._puller is None:
            # While answers follow one another, pump() goes on by itself.
            if self._pumping:
                return
            connection = self.connection
            idle = connection.exchange.state == IDLE and not connection.reader.arrived.size
            if idle and not (self.peerFinished or self._readPaused):
                return
        self.follow()

    def tunnelEnded(self, error: BaseException | None, cancelled: bool) -> bool:
        """
        A handler has ended; was it one that had switched to another protocol?
        """
        if self._tunnel is None:
            return False
        handlerEnded(self._tunnel, self.server.webSockets.get(self), error, cancelled)
        return True

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
        self.connection.drain(self.reactor.seconds())
        self.follow()

    def _linger(self) -> None:
        if self._readPaused:
            self._readPaused = False
            self.transport.resumeProducing()
        try:
            # Each piece that is forgotten leads here again.
            if not self.finished:
                self.finish()
        except NotSupported:
            # Over TLS the answer is all that can be sent first.
            self.connection.sentEnd(self.reactor.seconds())

    def _closeWithin(self, timeout: float) -> None:
        # What the peer takes from now on counts when the clock looks next: to ask the system costs each close 2 us.
        self.connection.close(timeout, self.reactor.seconds())

    def _closeEarlier(self, timeout: float) -> None:
        self.connection.close(timeout, self.reactor.seconds())

    # Time

    def untaken(self) -> int:
        """
        Return how many bytes the peer's system has not acknowledged; of a full transport that doesn't tell, 1.
        """
        return max(unacknowledged(self.transport), int(self._writePaused))

    def failBody(self, error: SlowBody) -> None:
        """
        Tell whoever waits for the body.
        """
        if self._puller is not None:
            self._puller.fail(error)
