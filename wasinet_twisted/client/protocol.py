"""
One connection of the client, as Twisted sees it: a transport around a L{ClientConnection}.

It begins as a stream of bytes that is awaited, through which a proxy and TLS
are spoken; then L{HttpClientProtocol.speak} makes it HTTP's. After an upgrade it
is a stream again.

What HTTP asks for is decided in L{ClientConnection}; here are the transport,
backpressure, the waiting caller, and one timer.
"""

from __future__ import annotations

from math import inf
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from ..errors import BusyError, ConnectionClosed, RemoteProtocolError, WasinetError
from ..http import ClientConnection, ResponseHead, WasiRequest
from ..http.connection import ABORT, KEEP
from ..http.exchange import IDLE
from ..net.stream.lifecycle import CLOSE_TIMEOUT
from ..net.stream.outgoing import unacknowledged
from ..net.stream.owner import Owner
from ..net.stream.protocol import ConnectionProtocol
from ..net.tasks.awaited import IMMEDIATE, Awaited, again, turn
from .bodies import Body
from .call import Call
from .deadlines import look
from .interfaces import Keeper
from .receiving import broken, ended, go, pieceOf
from .sending import Sender, notSent


class HttpClientProtocol(ConnectionProtocol):
    """
    @ivar connection: HTTP's view of it; L{None} while it is a stream of bytes.
    @ivar call: the request that is in flight.
    @ivar keeper: where the pool keeps it; L{None} once its end is decided.
    @ivar waiter: what the caller awaits: the head of the response, or the next piece of its body.
    """

    __slots__ = ("_timer", "call", "connection", "keeper", "waiter")

    def __init__(self, reactor: IReactorTime, owner: Owner | None = None) -> None:
        super().__init__(reactor, owner)
        self.connection: ClientConnection | None = None
        self.call: Call | None = None
        self.keeper: Keeper | None = None
        self._timer: IDelayedCall | None = None
        self.waiter: Awaited[Any] | None = None

    def speak(self, connection: ClientConnection) -> None:
        """
        From now on HTTP is spoken.

        @raise RemoteProtocolError: the server has sent something already, which answers nothing.
        @raise ConnectionClosed: the server has closed.
        """
        self.connection = connection
        if (unasked := self._incoming.size) or self.peerFinished or self.lost or self.closing:
            self.abort()
            if unasked:
                raise RemoteProtocolError(f"{self.peerName()} has sent {unasked} bytes before any request")
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
        if self.waiter is not None:
            go(self, connection, now)
        elif connection.closing is not KEEP:
            self.follow()
        if not (self._readPaused or self.closing or connection.wantsBytes):
            self._readPaused = True
            self.transport.pauseProducing()

    def readConnectionLost(self) -> None:
        """
        The peer has ended its direction.
        """
        connection = self.connection
        if connection is not None and not self.closing:
            self.peerFinished = True
            ended(self, connection, self.reactor.seconds())
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
                ended(self, connection, self.reactor.seconds())
            waiter, self.waiter = self.waiter, None
        super().connectionLost(reason)
        self._leave()
        if waiter is not None:
            assert self.call is not None
            self.call.fail(waiter, self._gone())

    def resumeProducing(self) -> None:
        """
        The peer has taken what was sent.
        """
        if self.connection is not None:
            now = self.reactor.seconds()
            self.connection.taken(0, now)
            if not (self.closing or self.lost):
                self.arm(now)
        super().resumeProducing()

    def pauseProducing(self) -> None:
        """
        The peer doesn't take what we send.
        """
        super().pauseProducing()
        if self.connection is not None:
            now = self.reactor.seconds()
            self.connection.taken(self.untaken(), now)
            self.arm(now)

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
        self, call: Call, request: WasiRequest, body: Body, waiter: Awaited[Any] | None = None
    ) -> Awaited[ResponseHead]:
        """
        Send a request.

        @param waiter: what is told of the response, if the caller has it already.
        @return: fires with the head of the final response. Cancelling it resets the connection.
        @raise LocalProtocolError: it can't be sent; nothing has been.
        """
        connection = self.connection
        assert connection is not None
        assert self.keeper is not None
        now = self.reactor.seconds()
        timing = call.timing or self.keeper.timing
        if connection.clock.timing is not timing:
            connection.allow(timing)
        try:
            encoded = connection.begin(request, now) if body.whole is None else connection.request(request, now)
        except Exception:
            # The connection is as free as before. Who takes it next may fail as well, from within this call.
            self.reactor.callLater(0, self.release, now)
            raise
        self.call = call
        call.kept = connection.exchange.count > 1
        if waiter is None:
            waiter = Awaited(self._giveUp)
        self.waiter = waiter
        self.send(encoded)
        if body.whole is None:
            call.sender = Sender(self, connection, body, "expect" in request.headers)
            call.sender.begin()
        timer = self._timer
        if timer is None or call.timing is not None or timer.getTime() > min(now + self.keeper.patience, call.until):
            self.arm(now)
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
        piece = pieceOf(self, connection, self.reactor.seconds())
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
        if self.waiter is not None:
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
        self.waiter = waiter
        self.arm(self.reactor.seconds())
        return await waiter

    def release(self, now: float) -> None:
        """
        Let the pool have the connection for the next request.
        """
        keeper, timer = self.keeper, self._timer
        if keeper is None or not self.isFree:
            return
        if timer is None or timer.getTime() > now + keeper.patience:
            self.arm(now)
        keeper.free(self)

    def follow(self) -> None:
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
        return broken(self.call, self._broken or ConnectionClosed(f"the connection with {self.peerName()} is closed"))

    def _giveUp(self, waiting: Any) -> None:
        """
        Who waited has been cancelled. What still comes would be taken for the answer to the next request.
        """
        self.waiter = None
        self.giveUp()
        waiting.fail(CancelledError())

    def giveUp(self) -> None:
        """
        Nobody wants the response any more.
        """
        self.abort()

    def leaveHttp(self) -> ConnectionProtocol:
        """
        After an upgrade: be a stream of bytes again, which begins with what has come behind the response. The pool
        has nothing to do with it any more.
        """
        connection = self.connection
        assert connection is not None
        rest = connection.takeRest()
        self.connection = self.call = None
        self._stopTimer()
        self._leave()
        owner, self._owner = self._owner, None
        if owner is not None and not self.lost:
            owner.connectionGone(self)
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
                self.arm(self.reactor.seconds())
            return
        waiter, self.waiter = self.waiter, None
        self.abortFor(notSent(self.call, error))
        if waiter is not None:
            waiter.fail(error)

    # The end

    def abort(self) -> None:
        """
        Reset.
        """
        if self.connection is not None:
            self.connection.abort()
        self._leave()
        super().abort()

    def close(self, timeout: float) -> None:
        """
        See L{TransportProtocol.close}.
        """
        self._leave()
        super().close(timeout)
        if self.tls is not None and self.connection is not None:
            self.tls.hangUp()

    # Time

    def arm(self, now: float) -> None:
        """
        Make the timer run at the next deadline, or before.
        """
        assert self.connection is not None
        deadline = self.connection.deadline() if self.call is None else min(self.connection.deadline(), self.call.until)
        # A timer that is early looks again: nearly always the deadline has moved on meanwhile.
        if (timer := self._timer) is not None and timer.getTime() <= deadline:
            return
        self._stopTimer()
        self._timer = None if deadline == inf else self.reactor.callLater(max(deadline - now, 0.0), self._look)

    def _stopTimer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _look(self) -> None:
        self._timer = None
        if self.connection is not None and not (self.lost or self.closing):
            look(self, self.connection, self.reactor.seconds())

    def untaken(self) -> int:
        """
        Return how many bytes the server's system has not acknowledged; of a full transport that doesn't tell, 1.
        """
        return max(unacknowledged(self.transport), int(self._writePaused))

    def failFor(self, error: WasinetError) -> None:
        """
        End the connection, and raise C{error} in the waiting caller.
        """
        waiter, self.waiter = self.waiter, None
        self.abortFor(error)
        if waiter is not None:
            waiter.fail(again(error))
