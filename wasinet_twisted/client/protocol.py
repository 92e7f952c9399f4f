"""
One connection of the client, as Twisted sees it: a transport around a L{ClientConnection}.

It begins as a stream of bytes that is awaited, through which a proxy and TLS
are spoken; then L{HttpClientProtocol.speak} makes it HTTP's. After an upgrade it
is a stream again.

What HTTP asks for is decided in L{ClientConnection}; here are the transport,
back-pressure, who waits, and one timer.
"""

from __future__ import annotations

from math import inf
from typing import Any, Protocol

from multidict import CIMultiDict
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from ..errors import (
    BusyError,
    ConnectionClosed,
    IncompleteRead,
    LimitExceeded,
    LocalProtocolError,
    RemoteProtocolError,
    TimedOut,
    WasinetError,
)
from ..http import ClientConnection, ResponseHead, WasiRequest
from ..http.clientconnection import ClientTiming
from ..http.connection import ABORT, KEEP, Expired
from ..http.exchange import IDLE
from ..http.framing import isInterim
from ..net.stream.lifecycle import CLOSE_TIMEOUT
from ..net.stream.outgoing import unacknowledged
from ..net.stream.owner import Owner
from ..net.stream.protocol import ConnectionProtocol
from ..net.tasks.awaited import IMMEDIATE, Awaited, again, turn
from .bodies import Body
from .call import Call
from .sending import Sender


class Keeper(Protocol):
    """
    Where the pool keeps a connection.

    @ivar timing: what the server is allowed, if the request says nothing else.
    @ivar patience: the shortest of its times, in seconds.
    """

    timing: ClientTiming
    patience: float

    def free(self, protocol: HttpClientProtocol) -> object:
        """
        The connection can take another request.
        """

    def gone(self, protocol: HttpClientProtocol) -> object:
        """
        The connection takes no other request. Called once, when its end is decided.
        """


class Waiter(Protocol):
    """
    Who waits for the head of the response, or for the next piece of its body. An C{Awaited} is one.
    """

    def give(self, value: Any) -> None:
        """
        It has come. At the end of the body it is C{b""}.
        """

    def fail(self, error: BaseException) -> None:
        """
        It won't come.
        """


class HttpClientProtocol(ConnectionProtocol):
    """
    @ivar connection: HTTP's view of it; L{None} while it is a stream of bytes.
    @ivar call: the request that is in flight.
    @ivar keeper: where the pool keeps it; L{None} once its end is decided.
    """

    __slots__ = ("_timer", "_waiter", "call", "connection", "keeper")

    def __init__(self, reactor: IReactorTime, owner: Owner | None = None) -> None:
        super().__init__(reactor, owner)
        self.connection: ClientConnection | None = None
        self.call: Call | None = None
        self.keeper: Keeper | None = None
        self._timer: IDelayedCall | None = None
        # Who waits for the head of the response, or for the next piece of its body.
        self._waiter: Waiter | None = None

    def speak(self, connection: ClientConnection) -> None:
        """
        From now on HTTP is spoken.

        @raise RemoteProtocolError: the server has sent something already, which answers nothing.
        @raise ConnectionClosed: the server has closed.
        """
        self.connection = connection
        if self._incoming.size:
            self.abort()
            raise RemoteProtocolError(f"{self.peerName()} has sent {self._incoming.size} bytes before any request")
        if self.peerFinished or self.lost or self.closing:
            self.abort()
            raise ConnectionClosed(f"the connection with {self.peerName()} was closed before any request")

    # Twisted calls these

    def dataReceived(self, data: bytes) -> None:
        """
        Bytes have come.
        """
        connection = self.connection
        if connection is None:
            super().dataReceived(data)
            return
        if self.closing:
            return
        now = self.reactor.seconds()
        self._immediate = 0
        call = self.call
        if call is not None and not call.answered:
            call.answered = True
            call.timings.firstByte = now - call.timings.begun
        connection.receive(data, now)
        if self._waiter is not None:
            self._go(now)
        elif connection.closing is not KEEP:
            self._follow()
        if not (self._readPaused or connection.wantsBytes):
            self._readPaused = True
            self.transport.pauseProducing()

    def readConnectionLost(self) -> None:
        """
        The peer has ended its direction.
        """
        connection = self.connection
        if connection is not None and not self.closing:
            self.peerFinished = True
            self._ended(connection)
            if not (self.closing or self.lost) and self.call is None:
                self.close(CLOSE_TIMEOUT)
        super().readConnectionLost()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection is gone.
        """
        if self.lost:
            return
        connection = self.connection
        self._stopTimer()
        waiter = None
        if connection is not None:
            if not (self.closing or connection.finished) and reason.check(ConnectionDone) is not None:
                # Over TLS, a close_notify. A connection that was cut proves no end of a body (RFC 9112 section 9.8).
                self.peerFinished = True
                self._ended(connection)
            waiter, self._waiter = self._waiter, None
        super().connectionLost(reason)
        self._leave()
        self._stopSending()
        if waiter is not None:
            waiter.fail(self._gone())

    def resumeProducing(self) -> None:
        """
        The peer has taken what was sent.
        """
        if self.connection is not None:
            self.connection.taken(0, self.reactor.seconds())
        super().resumeProducing()

    def pauseProducing(self) -> None:
        """
        The peer doesn't take what we send.
        """
        super().pauseProducing()
        if self.connection is not None:
            now = self.reactor.seconds()
            self.connection.taken(self._untaken(), now)
            self._arm(now)

    # Requests

    @property
    def isFree(self) -> bool:
        """
        Can another request be sent?
        """
        connection = self.connection
        return (
            connection is not None
            and connection.closing is KEEP
            and connection.exchange.state == IDLE
            and not (self.closing or self.lost or self.peerFinished)
        )

    @property
    def isKept(self) -> bool:
        """
        Has there been a request before?
        """
        return self.connection is not None and self.connection.exchange.count > 0

    def ask(
        self, call: Call, request: WasiRequest, body: Body, waiter: Waiter | None = None
    ) -> Waiter | Awaited[ResponseHead]:
        """
        Send a request.

        @param waiter: what is told of the head of the final response; by default, and then it is returned, an
            C{Awaited} whose cancelling resets the connection.
        @raise LocalProtocolError: it can't be sent; nothing has been, and the connection is free.
        """
        connection = self.connection
        assert connection is not None
        assert self.keeper is not None
        now = self.reactor.seconds()
        timing = call.timing or self.keeper.timing
        if connection.clock.timing is not timing:
            connection.allow(timing)
        try:
            if body.whole is None:
                encoded = connection.begin(request, now)
            else:
                encoded = connection.request(request, now)
        except LocalProtocolError:
            if self.isFree:
                self._arm(now)
                self.keeper.free(self)
            raise
        self.call = call
        call.kept = connection.exchange.count > 1
        if waiter is None:
            waiter = Awaited(self._giveUp)
        self._waiter = waiter
        if self._queued:
            self.send(encoded)
        else:
            self.transport.write(encoded)
            if self._writePaused:
                self._queued += len(encoded)
        if body.whole is None:
            call.sender = (body.sender or Sender)(self, connection, body, "expect" in request.headers)
            call.sender.begin()
        timer = self._timer
        if timer is None or call.timing is not None or timer.getTime() > min(now + self.keeper.patience, call.until):
            self._arm(now)
        return waiter

    def nextPiece(self) -> bytes | None:
        """
        Give what is there of the body of the response.

        @return: C{b""} at its end; L{None} if more has to come: see L{awaitPiece}.
        @raise RemoteProtocolError: it is malformed.
        @raise IncompleteRead: it was cut.
        @raise ConnectionClosed: the connection is gone.
        """
        connection = self.connection
        if connection is None or self.call is None:
            raise ConnectionClosed("the response is over")
        piece = self._piece(connection, self.reactor.seconds())
        if self._readPaused and not (self.closing or self.lost) and connection.wantsBytes:
            self._readPaused = False
            if not connection.finished:
                self.transport.resumeProducing()
        if piece is None and (self.lost or self.closing):
            raise again(self._gone())
        return piece

    async def awaitPiece(self) -> bytes:
        """
        Wait for the next piece of the body of the response.

        @return: C{b""} at its end.
        @raise TimedOut: it didn't come in time.
        @raise BusyError: somebody else waits.
        """
        if self._waiter is not None:
            raise BusyError(f"the body of the response to {self.call} is read twice")
        piece = self.nextPiece()
        if piece is not None:
            self._immediate += 1
            if self._immediate > IMMEDIATE:
                # A body in chunks of one byte would keep the reactor from its turn.
                self._immediate = 0
                await turn(self.reactor)
            return piece
        waiter: Awaited[bytes] = Awaited(self._giveUp)
        self.tell(waiter)
        return await waiter

    def tell(self, waiter: Waiter) -> None:
        """
        Tell somebody of the next piece, when L{nextPiece} has given nothing and nobody else waits.
        """
        self._waiter = waiter
        self._arm(self.reactor.seconds())

    def forget(self, waiter: Waiter) -> None:
        """
        Tell somebody nothing any more, and give up.
        """
        if self._waiter is waiter:
            self._waiter = None
        self.giveUp()

    def _head(self, connection: ClientConnection, now: float) -> ResponseHead | None:
        """
        Return the head of the final response.
        """
        while (head := connection.nextEvent(now)) is not None:
            assert isinstance(head, ResponseHead)
            assert self.call is not None
            if not isInterim(head.status):
                self.call.begun = True
                if self.call.sender is not None and head.status >= 300:
                    # The server has decided without the rest of the body: the connection closes after its response
                    # (RFC 9112 section 9.3).
                    connection.makeLast()
                    self.call.sender.stop()
                return head
            if head.status == 100 and self.call.sender is not None:
                self.call.sender.goOn()
            if self.call.interim is not None:
                self.call.interim(head)
        return None

    def _piece(self, connection: ClientConnection, now: float) -> bytes | None:
        """
        Return the next piece of the body.
        """
        try:
            piece = connection.nextPiece(now)
        except (RemoteProtocolError, IncompleteRead):
            self._follow()
            raise
        if piece == b"":
            self._complete(connection, now)
        return piece

    def _go(self, now: float) -> None:
        """
        Tell who waits what has come.
        """
        connection, waiter, call = self.connection, self._waiter, self.call
        assert connection is not None
        assert waiter is not None
        assert call is not None
        found: Any
        try:
            found = self._piece(connection, now) if call.begun else self._head(connection, now)
        except (RemoteProtocolError, IncompleteRead) as error:
            self._waiter = None
            self._follow()
            waiter.fail(error)
            return
        if found is not None:
            if self._waiter is waiter:
                # Who waited for the connection may have taken it already.
                self._waiter = None
            waiter.give(found)

    def _ended(self, connection: ClientConnection) -> None:
        """
        The server has ended its direction, and said so.
        """
        now = self.reactor.seconds()
        connection.eof(now)
        if self._waiter is not None:
            self._go(now)
        elif connection.closing is not KEEP:
            self._follow()

    def _complete(self, connection: ClientConnection, now: float) -> None:
        """
        The response is complete.
        """
        call, self.call = self.call, None
        assert call is not None
        trailers = connection.trailers
        call.trailers = CIMultiDict() if trailers is None else trailers
        call.timings.total = now - call.timings.begun
        if call.sender is not None:
            call.sender.stop()
        keeper = self.keeper
        if keeper is not None and self.isFree:
            timer = self._timer
            if timer is None or timer.getTime() > now + keeper.patience:
                self._arm(now)
            keeper.free(self)
            return
        if connection.closing is KEEP:
            # The request isn't complete, and won't be.
            connection.close(0.0, now)
        self._follow()

    def _follow(self) -> None:
        """
        The end of the connection has been decided.
        """
        connection = self.connection
        self._leave()
        if connection is None or self.closing or self.lost:
            return
        if connection.closing is ABORT:
            self.abort()
        elif connection.closing is not KEEP:
            self.close(CLOSE_TIMEOUT)

    def _leave(self) -> None:
        keeper, self.keeper = self.keeper, None
        if keeper is not None:
            keeper.gone(self)

    def _gone(self) -> WasinetError:
        """
        Return why nothing more comes.
        """
        broken = self._broken or ConnectionClosed(f"the connection with {self.peerName()} is closed")
        if isinstance(broken, TimedOut | LimitExceeded):
            return again(broken)
        error = ConnectionClosed(f"{self.call or 'a request'}: {broken}")
        error.__cause__ = broken
        return error

    def _giveUp(self, waiting: Deferred[Any]) -> None:
        """
        Who waited has been cancelled. What still comes would be taken for the answer to the next request.
        """
        self._waiter = None
        self.giveUp()
        assert isinstance(waiting, Awaited)
        waiting.fail(CancelledError())

    def giveUp(self) -> None:
        """
        Nobody wants the response any more.
        """
        self._leave()
        self.abort()

    def leaveHttp(self) -> ConnectionProtocol:
        """
        After an upgrade: be a stream of bytes again, which begins with what has come behind the response.
        """
        connection = self.connection
        assert connection is not None
        rest = connection.takeRest()
        self.connection = self.call = None
        self._stopTimer()
        if rest:
            self._incoming.arrived(rest)
        if self.peerFinished:
            self.endInput(None)
        self._resumeReading()
        return self

    # Bodies in pieces

    def sent(self, error: Exception | None) -> None:
        """
        The body has been sent, or could not be: then nobody can go on.
        """
        if self.call is not None:
            self.call.sender = None
        if error is None:
            if not (self.closing or self.lost):
                self._arm(self.reactor.seconds())
            return
        waiter, self._waiter = self._waiter, None
        self.abortFor(error if isinstance(error, WasinetError) else _bodyFailed(self, error))
        if waiter is not None:
            waiter.fail(error)

    def _stopSending(self) -> None:
        call = self.call
        if call is not None and call.sender is not None:
            sender, call.sender = call.sender, None
            sender.stop()

    # The end

    def abort(self) -> None:
        """
        Reset.
        """
        if self.connection is not None:
            self.connection.abort()
        self._leave()
        self._stopSending()
        super().abort()

    def close(self, timeout: float) -> None:
        """
        See L{TransportProtocol.close}. Over TLS, the server's close_notify is not waited for (RFC 8446 section 6.1):
        it would say nothing, and some servers never send it.
        """
        self._leave()
        super().close(timeout)
        if self.tls is not None and self.connection is not None and not self.lost:
            beneath = self.tls.beneath()
            if beneath is not None:
                beneath.loseConnection()

    # Time

    def _arm(self, now: float) -> None:
        """
        See to it that the timer runs by the next deadline.
        """
        assert self.connection is not None
        deadline = self.connection.deadline()
        if self.call is not None and self.call.until < deadline:
            deadline = self.call.until
        timer = self._timer
        if timer is not None:
            # A timer that is early looks again: nearly always the deadline has moved on meanwhile.
            if timer.getTime() <= deadline:
                return
            timer.cancel()
        self._timer = None if deadline == inf else self.reactor.callLater(max(deadline - now, 0.0), self._look)

    def _stopTimer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _look(self) -> None:
        """
        A deadline may have passed.
        """
        self._timer = None
        connection, call = self.connection, self.call
        if connection is None or self.lost or self.closing:
            return
        now = self.reactor.seconds()
        if connection.clock.taking is not None:
            connection.taken(self._untaken(), now)
        error: WasinetError | None = None
        if call is not None and now >= call.until:
            error = TimedOut(f"timed out: {call}: not complete in {call.until - call.timings.begun:g} s")
        else:
            expired = connection.expire(now)
            if expired is None:
                self._arm(now)
                return
            if expired is Expired.IDLE:
                self._follow()
                return
            error = TimedOut(self._late(expired, call))
        waiter, self._waiter = self._waiter, None
        self.abortFor(self.byPeer(error))
        if waiter is not None:
            waiter.fail(again(error))

    def _late(self, expired: Expired, call: Call | None) -> str:
        assert self.connection is not None
        timing: Any = self.connection.clock.timing
        if expired is Expired.HEAD:
            return f"timed out: {call}: no response in {timing.response:g} s"
        if expired is Expired.BODY:
            return f"timed out: {call}: nothing more of the response's body in {timing.read:g} s"
        return f"timed out: {call}: the server doesn't take the request"

    def _untaken(self) -> int:
        return max(unacknowledged(self.transport), int(self._writePaused))


def _bodyFailed(protocol: HttpClientProtocol, error: Exception) -> ConnectionClosed:
    closed = ConnectionClosed(f"{protocol.call or 'a request'}: its body could not be sent: {error!r}")
    closed.__cause__ = error
    return closed
