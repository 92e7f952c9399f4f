"""
L{ServerConnection}: one HTTP/1.1 connection of a server, without I/O.

    connection = ServerConnection()
    request = connection.receive(data, now)
    while request is not None:
        send(connection.respond(WasiResponse(body=request.uri), now))
        request = connection.receive(b"", now)

Bytes and the time go in; requests, bytes and a deadline come out; C{closing} says
what becomes of the transport. The caller owns the transport, the clock and
whatever answers. So the same connection runs under Twisted, under asyncio, or in
a test of ten lines.

It is made of parts, each with one concern: C{exchange} (what may follow what),
C{requestreader} (bytes in), C{answers} (bytes out), C{timing} (deadlines).
"""

from __future__ import annotations

from math import inf
from typing import Generic, TypeVar

from ..errors import LocalProtocolError
from .answers import beginAnswer, checkFinal, persistence, refusal, switching, wholeAnswer
from .asks import CLOSE as ASKS_CLOSE
from .asks import CONTINUE, KEEP_ALIVE, expectsContinue, persists, takesTrailers
from .connection import CLOSE, KEEP, LINGER, Connection, Expired, sooner
from .events import Data, EndOfMessage, HeadersLike, RequestHead
from .exchange import (
    ASKED,
    ASKING,
    EARLY,
    HEAD,
    HEAD_BEGINS,
    IDLE,
    LAST_RESPONSE_ENDS,
    OVER,
    REFUSED,
    REQUEST_ENDS,
    TUNNEL,
    UNREAD,
)
from .fasthead import fastWholeRequest
from .framing import isInterim
from .limits import DEFAULT_LIMITS, Limits
from .messages import WasiResponse
from .outgoing import fastResponse
from .requestreader import DONE, MORE, SMALL, STOP, TURN, RequestReader
from .timing import DEFAULT_TIMING, FRESH, ServerClock, Timing

R = TypeVar("R", bound=RequestHead)

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# Those of a head's bits that decide whether the connection goes on, or what comes before the response.
_UNUSUAL = ASKS_CLOSE | KEEP_ALIVE | CONTINUE


class ServerConnection(Connection, Generic[R]):
    """
    @ivar clock: what time means to it; C{started} is when the present request has begun.
    @ivar reader: what has come and has not been taken.
    @ivar request: the present request, until its response is complete.
    @ivar draining: is the present or the next response the last one?
    @ivar needsTurn: is there more to read in what has come? Call C{receive(b"", now)} when others have had their turn.
    """

    __slots__ = (
        "_expects",
        "_limits",
        "_requestClass",
        "clock",
        "draining",
        "needsTurn",
        "reader",
        "request",
    )

    def __init__(
        self,
        limits: Limits = DEFAULT_LIMITS,
        timing: Timing = DEFAULT_TIMING,
        requestClass: type[R] = RequestHead,  # type: ignore[assignment]
        now: float = 0.0,
    ) -> None:
        """
        @param limits: the bounds on each request.
        @param timing: the deadlines, rates and bounds of the connection.
        @param requestClass: a subclass of L{RequestHead}, made without its
            C{__init__}. C{request._body} is the body, if it is small and has come
            with the head, else L{None}; L{nextEvent} gives it in both cases.
        @param now: the time, in seconds, on the clock that all methods are told.
        """
        super().__init__()
        self._limits = limits
        self._requestClass = requestClass
        self.reader = RequestReader(limits)
        self.clock = ServerClock(timing, now)
        # Does the client wait for a 100?
        self._expects = False
        self.request: R | None = None
        self.draining = False
        self.needsTurn = False

    # Its own kind of clock
    clock: ServerClock

    # Bytes in

    def receive(self, data: bytes, now: float) -> R | None:
        """
        Take bytes that have come, if any, and give the next request whose head is complete.

        While a request waits for its response, the bytes are kept: L{nextEvent}
        gives those of its body, and C{receive(b"", now)} the request after it.

        @return: L{None} while there is no other request to be answered.
        @raise RemoteProtocolError: what has come is malformed, or larger than the limits: L{refuse} it.
        @raise IncompleteRead: the peer has ended its direction inside a head; the same.
        """
        exchange, reader = self.exchange, self.reader
        if exchange.state == IDLE and reader.takesWhole():
            # Nearly always it is one request, and nothing before or after it.
            request = fastWholeRequest(data, self._limits, self._requestClass, SMALL)
            if request is not None:
                reader.passed(len(data))
                self._begin(request, now)
                return request
        if exchange.state > UNREAD:
            self._discard(len(data), now)
            return None
        if data:
            reader.append(data)
        if self.clock.waiting and not reader.hungry:
            # Bytes have come, now or with keep().
            self.clock.waitNoMore(now)
        if exchange.state == UNREAD:
            self._forget(now)
        if exchange.state > HEAD:
            return None
        request = reader.nextRequest(self._requestClass)
        if request is not None:
            self._begin(request, now)
        elif self.clock.finished != inf:
            # Nothing else will come.
            self._close(now)
        elif exchange.state == IDLE and reader.hasUnparsed():
            exchange.move(HEAD_BEGINS)
            self.clock.since = now
        return request

    def keep(self, data: bytes) -> None:
        """
        Take bytes that have come, and look at them with the next C{receive}.
        """
        if self.exchange.isOpen():
            self.reader.append(data)
        else:
            self._forgetBytes(len(data))

    def _begin(self, request: R, now: float) -> None:
        self.request = request
        request._trailers = None
        self.reader.got = 0
        clock, exchange = self.clock, self.exchange
        # What its begin() does, which this calls too often.
        clock.started = clock.since = now
        clock.waited = 0.0
        clock.late = clock.outlives = False
        goesOn = not self.draining and exchange.count + 1 != clock.timing.requests
        self._expects = False
        if request._asks & _UNUSUAL or request.version == "HTTP/1.0":
            goesOn = goesOn and persists(request._asks, request.version)
            self._expects = request._body is None and expectsContinue(request._asks, request.version)
        if request._body is None:
            exchange.request(request.method, goesOn)
        else:
            exchange.wholeRequest(request.method, goesOn)

    def _discard(self, size: int, now: float) -> None:
        """
        What still comes after the last response is counted, and forgotten.
        """
        self._forgetBytes(size)
        if self.closing is LINGER and self.reader.got > self.clock.timing.lingerBytes:
            self._close(now)

    def _forgetBytes(self, size: int) -> None:
        if size and self.exchange.state == TUNNEL:
            raise LocalProtocolError(f"{size} bytes that are not HTTP's: they came after an upgrade or in a tunnel")
        self.reader.got += size

    def eof(self, now: float) -> None:
        """
        The peer has ended its direction; it may still want its response. Call C{receive(b"", now)} afterwards.
        """
        self.clock.finished = now
        self.reader.eof()
        if self.closing is LINGER:
            # It has read the response, or never will.
            self._close(now)

    @property
    def wantsBytes(self) -> bool:
        """
        Is there room for what the peer sends? Else its bytes are to be left in the kernel.
        """
        if self.exchange.isOpen():
            return self.reader.wantsBytes(self.clock.timing.buffered)
        return self.closing is not CLOSE

    # The body of the present request

    def nextEvent(self) -> Data | EndOfMessage | None:
        """
        Give the next piece of the present request's body, or its end.

        @return: L{None} while more bytes are needed (then say so, with L{awaitBody}), and after the end.
        @raise RemoteProtocolError: it is malformed.
        @raise IncompleteRead: the peer has ended its direction inside it.
        """
        request = self.request
        if request is None:
            return None
        event = self.reader.nextEvent(request)
        if event is None:
            return None
        # It has begun to come, or is empty: nobody waits for a 100 any more.
        self._expects = False
        if isinstance(event, EndOfMessage):
            if self.exchange.state in (ASKING, EARLY):
                self.exchange.move(REQUEST_ENDS)
            request._trailers = event.trailers
        return event

    def awaitBody(self, now: float) -> bytes:
        """
        Somebody waits for more of the present request's body, until bytes come.

        @return: what is to be sent: C{100 Continue}, if the client waits for it, else C{b""}.
        """
        if self.request is None or self.reader.got < 0:
            return b""
        self.clock.wait(now)
        self.reader.hungry = True
        if self._expects:
            self._expects = False
            if not (self.reader.hasUnparsed() or self.exchange.isAnswered()):
                # RFC 9110 section 10.1.1: not if the body has begun to come.
                return _CONTINUE
        return b""

    def awaitNoMore(self, now: float) -> None:
        """
        Nobody waits for the body any more.
        """
        self.clock.waitNoMore(now)

    @property
    def bodyEnded(self) -> bool:
        """
        Has L{nextEvent} given the end of the present request's body?
        """
        return self.reader.got < 0

    def _forget(self, now: float) -> None:
        """
        Read the rest of a body that nobody has asked for, to come to the next request.
        """
        done = self.reader.forget(self.clock.timing.unreadBody)
        self.needsTurn = done == TURN
        if done == DONE:
            self.exchange.move(REQUEST_ENDS)
            self.clock.since = now
        elif done == STOP or (done == MORE and self.clock.finished != inf):
            self.exchange.move(LAST_RESPONSE_ENDS)
            self._linger(now)

    # Bytes out

    def respond(self, response: WasiResponse, now: float, date: bytes = b"") -> bytes:
        """
        Answer the present request with a response whose body is there.

        @param date: the line of a Date field, CRLF included, or C{b""} (RFC 9110 section 6.6.1).
        @return: what is to be sent.
        @raise LocalProtocolError: there is no request to be answered, or the
            response can't be sent. Nothing has changed: another one may be.
        """
        exchange, request = self.exchange, self.request
        if request is not None and exchange.state == ASKED:
            encoded = fastResponse(response, request.method, date, persistence(request, exchange.goesOn))
            if encoded is not None:
                exchange.wholeResponse()
                self.request = None
                self.clock.since = now
                if exchange.state != IDLE:
                    self._last(now)
                return encoded
        request = self._toAnswer()
        checkFinal(response, request)
        goesOn = self._goesOn(request, response)
        encoded = wholeAnswer(response, request, goesOn, date)
        exchange.response(goesOn)
        self._responseEnds(now)
        return encoded

    def begin(self, response: WasiResponse, now: float, date: bytes = b"") -> bytes:
        """
        Answer the present request with a response whose body comes in pieces: L{data}, then L{end}.

        @return: what is to be sent: the head.
        @raise LocalProtocolError: as L{respond} has it.
        """
        request = self._toAnswer()
        checkFinal(response, request)
        goesOn = self._goesOn(request, response)
        head, self._writer = beginAnswer(response, request, goesOn, date)
        self.exchange.response(goesOn and not self._writer.untilClose)
        self.clock.pieceAt = now
        return head

    def end(self, now: float, trailers: HeadersLike = ()) -> bytes:
        """
        End the body that L{begin} has announced.

        @param trailers: left out for a client that doesn't take them, and without chunks.
        @raise LocalProtocolError: there was less than the Content-Length, a
            trailer is not valid, or nothing has been announced. L{abort} then.
        """
        writer, request = self._announced(), self.request
        assert request is not None
        encoded = writer.end(trailers if takesTrailers(request._asks, request.version) else ())
        self._responseEnds(now)
        return encoded

    def interim(self, status: int, headers: HeadersLike = ()) -> bytes:
        """
        Send an interim response, such as 103 (RFC 8297).

        @return: what is to be sent; to HTTP/1.0 none is.
        @raise LocalProtocolError: it is none, or the response has begun.
        """
        if not isinstance(status, int) or not isInterim(status) or status < 100:
            raise LocalProtocolError(f"an interim response has a status from 100 to 199, but not 101; not {status!r}")
        request = self._toAnswer()
        if request.version == "HTTP/1.0":
            return b""
        encoded = WasiResponse(status, headers).encode()
        if status == 100:
            # The client waits no more, and sends the body.
            self._expects = False
        return encoded

    def refuse(self, status: int, reason: str, now: float, date: bytes = b"") -> tuple[bytes, int]:
        """
        Answer what can't be served, and nothing after it.

        @return: what is to be sent, a response of text; and how long its body is.
        @raise LocalProtocolError: the response has begun: only L{abort} is left.
        """
        encoded = refusal(status, reason, "GET" if self.request is None else self.request.method, date)
        self.exchange.move(REFUSED)
        self._linger(now)
        return encoded

    def upgrade(self, protocol: str | None, headers: HeadersLike, now: float) -> tuple[bytes, bytes]:
        """
        Switch to another protocol, or open the tunnel of a CONNECT. HTTP ends here.

        @param protocol: one that the request offers in its Upgrade field; L{None} for a CONNECT.
        @return: what is to be sent, and what has come behind the request.
        @raise LocalProtocolError: the request doesn't offer that, isn't complete, or has been answered.
        """
        status, encoded = switching(self._toAnswer(), protocol, headers)
        self.exchange.switch(status)
        self.request = None
        return encoded, self.reader.takeRest()

    def _toAnswer(self) -> R:
        request = self.request
        if request is None or self.exchange.isAnswered():
            raise LocalProtocolError("there is no request that waits for its response")
        return request

    def _goesOn(self, request: R, response: WasiResponse) -> bool:
        """
        May the connection go on after this response? RFC 9112 section 9.3.
        """
        return (
            self.exchange.goesOn
            # A client that waits for a 100 in vain may send the body or not.
            and not self._expects
            and request.method != "CONNECT"
            and response.keepAlive
            and (
                self.exchange.isRequestComplete()
                or (not self.reader.failed and request._length - self.reader.got <= self.clock.timing.unreadBody)
            )
        )

    def _responseEnds(self, now: float) -> None:
        exchange, clock = self.exchange, self.clock
        exchange.responseEnds()
        self.request = self._writer = None
        clock.since = now
        clock.waiting = False
        if exchange.state == UNREAD:
            self.reader.got = 0
            self._forget(now)
        elif exchange.state == OVER:
            self._last(now)

    # The end

    def drain(self, now: float) -> None:
        """
        Let the present response be the last one, or the next, if the first
        request may be on its way. A connection that waits for another one closes.
        """
        self.draining = True
        self.makeLast()
        if self.exchange.count:
            self.closeIdle(now)

    def makeLast(self) -> None:
        """
        Let the connection close after the present response.
        """
        self.exchange.goesOn = False

    def isBetween(self) -> bool:
        """
        Does it wait for a request of which nothing has come?
        """
        return self.exchange.state == IDLE and not self.reader.hasUnparsed()

    def isIdle(self, now: float) -> bool:
        """
        The same; but a response that is still being taken, and a first request
        that may just be on its way, are something to wait for.
        """
        clock = self.clock
        if not self.isBetween() or clock.taking is not None:
            return False
        return self.exchange.count > 0 or now - clock.since >= clock.timing.head

    def closeIdle(self, now: float) -> None:
        """
        Close, if it waits for a request of which nothing has come.
        """
        if self.isBetween():
            self._close(now)

    def _last(self, now: float) -> None:
        """
        No other response follows.
        """
        if self.clock.finished == inf and (self.reader.isFull() or self.reader.hasUnparsed() or self.reader.inside):
            self._linger(now)
        else:
            self._close(now)

    def _clear(self) -> None:
        self.request = None
        self.needsTurn = self.clock.waiting = False
        self.reader.clear()

    # Time

    def taken(self, unsent: int, now: float) -> None:
        """
        See L{Connection.taken}.
        """
        self.clock.taken(unsent, now)
        if not unsent and self.exchange.state == IDLE:
            # It was not idle while it took the response.
            self.clock.since = now

    def outliveDisconnect(self) -> None:
        """
        Let the present response take its time, even when the client has ended its direction.
        """
        self.clock.outlives = True

    def _expired(self, expired: Expired, now: float) -> None:
        if expired is Expired.BODY:
            self.clock.waitNoMore(now)
        elif expired is Expired.HANDLER:
            self.clock.late = True
        elif expired is not Expired.HEAD:
            super()._expired(expired, now)

    def _nextDeadline(self) -> tuple[float, Expired]:
        if self.closing is not KEEP:
            return self._closingDeadline()
        clock, state = self.clock, self.exchange.state
        if state == IDLE:
            if clock.taking is not None:
                # Whoever still takes the last response is not idle.
                return clock.response(), Expired.RESPONSE
            return clock.since + (min(FRESH, clock.timing.idle) if self.draining else clock.timing.idle), Expired.IDLE
        if state == TUNNEL:
            return inf, Expired.IDLE
        found = clock.body(self.reader.got), Expired.BODY
        if state == HEAD:
            found = clock.since + clock.timing.head, Expired.HEAD
        elif state == UNREAD:
            found = clock.since + clock.timing.slowest(self.reader.got), Expired.UNREAD
        elif state <= ASKED:
            found = sooner(found, (clock.handler(), Expired.HANDLER))
        elif self.finished and self._writer is not None and not self.hasLength:
            found = clock.halfClosed(), Expired.HALF_CLOSED
        return found if clock.taking is None else sooner(found, (clock.response(), Expired.RESPONSE))
