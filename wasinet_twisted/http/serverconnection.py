"""
L{ServerConnection}: one HTTP/1.1 connection of a server, without I/O.

    connection = ServerConnection()
    request = connection.receive(data, now)
    while request is not None:
        send(connection.respond(WasiResponse(body=request.uri), now))
        request = connection.receive(b"", now)

Bytes and the time go in; requests, bytes and a deadline come out; C{closing} says
what becomes of the transport. The caller owns the transport, the clock and what
answers. Each part has one concern: C{exchange} (what may follow what),
C{requestreceiver} (bytes in), C{answers} (bytes out), C{timing} (deadlines).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import TypeVar

from ..errors import LocalProtocolError
from .answers import beginAnswer, checkFinal, interimAnswer, persistence, refusal, switching, wholeAnswer
from .asks import takesTrailers
from .connection import KEEP, Expired
from .events import HeadersLike, RequestHead
from .exchange import ASKED, IDLE, OVER, REFUSED, UNREAD
from .fields import Pair
from .limits import DEFAULT_LIMITS, Limits
from .messages import WasiResponse
from .outgoing import fastResponse
from .requestreceiver import RequestReceiver
from .serverdeadlines import nextDeadline
from .timing import DEFAULT_TIMING, Timing

R = TypeVar("R", bound=RequestHead)


class ServerConnection(RequestReceiver[R]):
    """
    One connection of a server. L{RequestReceiver} is its incoming half; here are the outgoing one, its end, and time.
    """

    __slots__ = ()

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
        super().__init__(limits, timing, requestClass, now)

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
        if request is not None and exchange.state == ASKED and not self._expects:
            goesOn = exchange.goesOn
            line = b"" if goesOn and request.version == "HTTP/1.1" else persistence(request, goesOn)
            encoded = fastResponse(response, request.method, date, line)
            if encoded is not None:
                self.request = None
                self.clock.since = now
                # What the moves below do.
                if goesOn:
                    exchange.state = IDLE
                else:
                    exchange.state = OVER
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

    def end(self, now: float, trailers: HeadersLike = (), piece: bytes = b"") -> bytes:
        """
        End the body that L{begin} has announced.

        @param trailers: left out for a client that doesn't take them, and without chunks.
        @param piece: the last of the body.
        @raise LocalProtocolError: there was less than the Content-Length, or more; a trailer is not valid; or nothing
            has been announced. Nothing has changed: the piece is not part of the body.
        """
        writer, request = self._announced(), self.request
        assert request is not None
        size = writer.size
        try:
            encoded = writer.data(piece) + writer.end(trailers if takesTrailers(request._asks, request.version) else ())
        except Exception:
            # Else what is sent instead would pass for the whole.
            writer.size = size
            raise
        self._responseEnds(now)
        return encoded

    def interim(self, status: int, headers: HeadersLike = ()) -> bytes:
        """
        Send an interim response, such as 103 (RFC 8297).

        @return: what is to be sent; to HTTP/1.0 none is.
        @raise LocalProtocolError: it is none, or the response has begun.
        """
        encoded = interimAnswer(self._toAnswer(), status, headers)
        # After a 100 the client waits no more, and sends the body.
        self._expects = self._expects and status != 100
        return encoded

    def refuse(
        self, status: int, reason: str, now: float, date: bytes = b"", fields: Sequence[Pair] = ()
    ) -> tuple[bytes, int]:
        """
        Answer what can't be served, and nothing after it.

        @param fields: what the response has beside its text.
        @return: what is to be sent, a response of text; and how long its body is.
        @raise LocalProtocolError: the response has begun: only L{abort} is left.
        """
        encoded = refusal(status, reason, "GET" if self.request is None else self.request.method, date, fields)
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
        # A client that waits for a 100 may send the body or not; one that has sent it at once was told nothing either.
        if self._expects or request.method == "CONNECT" or not (self.exchange.goesOn and response.keepAlive):
            return False
        reader = self.reader
        left = request._length - reader.got
        return self.exchange.isRequestComplete() or (not reader.failed and left <= self.clock.timing.unreadBody)

    def _responseEnds(self, now: float) -> None:
        self.exchange.responseEnds()
        self.request = self._writer = None
        self.clock.since = now
        self.clock.waiting = False
        if self.exchange.state == UNREAD:
            self.reader.got = 0
            self._forget(now)
        elif self.exchange.state == OVER:
            self._last(now)
        else:
            self._ready(now)

    # The end

    def drain(self, now: float) -> None:
        """
        Let the present response be the last one, or the next, if a request may be on its way. A connection that waits
        for another one closes, at once or after C{Timing.drainIdle} seconds.
        """
        if not self.draining:
            self.draining = True
            self.clock.drained = now
            # The next request is looked at by what knows of the drain.
            self.clock.count()
        if self.request is not None and not self.exchange.isAnswered():
            self.makeLast()
        if self.exchange.count:
            self._drainIdle(now)

    def isIdle(self, now: float) -> bool:
        """
        The same, and neither is a response still being taken, nor may the first request just be on its way?
        """
        clock = self.clock
        fresh = not self.exchange.count and now - clock.since < clock.timing.head
        return not fresh and clock.taking is None and self.isBetween()

    def _last(self, now: float) -> None:
        """
        No other response follows.
        """
        # The client may still be sending: more than was read, or what follows a malformed body.
        if self.reader.mayHaveMore() and self.clock.finished == inf:
            self._linger(now)
        else:
            self._close(now)

    # Time

    def _expired(self, expired: Expired, now: float) -> None:
        if expired is Expired.BODY:
            self.clock.waitNoMore(now)
        elif expired is Expired.HANDLER:
            self.clock.late = self.clock.touched = True
        elif expired is not Expired.HEAD:
            super()._expired(expired, now)

    def _nextDeadline(self) -> tuple[float, Expired]:
        if self.closing is not KEEP:
            return self._closingDeadline()
        endless = self.finished and self._writer is not None and not self.hasLength
        return nextDeadline(self.clock, self.exchange, self.reader.got, endless)
