"""
The incoming half of a server's connection: requests, and the body of the present one.
"""

from __future__ import annotations

from math import inf
from typing import Generic, TypeVar

from multidict import CIMultiDict

from ..errors import LocalProtocolError
from .asks import CLOSE as ASKS_CLOSE
from .asks import CONTINUE, expectsContinue, persists
from .connection import CLOSE, LINGER, Connection
from .events import Data, EndOfMessage, RequestHead
from .exchange import ASKED, ASKING, EARLY, HEAD, HEAD_BEGINS, IDLE, LAST_RESPONSE_ENDS, REQUEST_ENDS, TUNNEL, UNREAD
from .fasthead import fastRequestHead
from .limits import Limits
from .requestreader import DONE, SMALL, STOP, TURN, RequestReader
from .timing import ServerClock, Timing

R = TypeVar("R", bound=RequestHead)

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# Those of a head's bits that decide whether the connection goes on, or what comes before the response.
_UNUSUAL = ASKS_CLOSE | CONTINUE


class RequestReceiver(Connection, Generic[R]):
    """
    What L{ServerConnection<wasinet_twisted.http.ServerConnection>} does with the bytes that come.

    @ivar clock: what time means to it; C{started} is when the present request has begun.
    @ivar reader: what has come and has not been taken.
    @ivar request: the present request, until its response is complete.
    @ivar draining: is the present or the next response the last one?
    @ivar needsTurn: is there more to read in what has come? Call C{receive(b"", now)} when others have had their turn.
    """

    __slots__ = (
        "_expects", "_limits", "_requestClass", "clock", "draining", "needsTurn", "reader", "request",
    )  # fmt: skip

    # Its own kind of clock
    clock: ServerClock

    def __init__(self, limits: Limits, timing: Timing, requestClass: type[R], now: float) -> None:
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
        parser = reader.parser
        found = None
        if exchange.state == IDLE and (parser is None or (parser._open and not reader.arrived.size)):
            # Nearly always it is one request, and nothing before or after it: then nothing has to be kept.
            found = fastRequestHead(data, 0, self._limits, self._requestClass)
        if found is None:
            request = self._next(data, now)
            if request is None:
                return None
        else:
            request, end = found
            size = len(data) - end
            if request._length != size or size > SMALL:
                request = reader.goOnAfter(request, end, data)
            else:
                request._body = data[end:]
                if parser is not None:
                    parser._queue.passed(len(data))
        clock = self.clock
        asks = request._asks
        if request._body is None or asks & CONTINUE or clock.touched or request.version == "HTTP/1.0":
            self._takeUp(request, now)
        else:
            # What that does for nearly all.
            self.request = request
            reader.got = 0
            clock.started = now
            self._expects = False
            exchange.state = ASKED
            exchange.method = request.method
            exchange.goesOn = not asks & ASKS_CLOSE
            exchange.count += 1
        return request

    def _next(self, data: bytes, now: float) -> R | None:
        exchange, reader = self.exchange, self.reader
        if exchange.state > UNREAD:
            self._discard(len(data), now)
            return None
        if data:
            reader.append(data)
            self.clock.waitNoMore(now)
        if exchange.state == UNREAD:
            self._forget(now)
        if exchange.state > HEAD:
            return None
        request = reader.nextRequest(self._requestClass)
        if request is None:
            if self.clock.finished != inf:
                # Nothing else will come.
                self._close(now)
            elif exchange.state == IDLE and reader.hasUnparsed():
                exchange.move(HEAD_BEGINS)
                self.clock.since = now
        return request

    def keep(self, data: bytes, now: float) -> None:
        """
        Take bytes that have come, and look at them with the next L{receive}.
        """
        if self.exchange.isOpen():
            self.reader.append(data)
            self.clock.waitNoMore(now)
        else:
            self._discard(len(data), now)

    def _takeUp(self, request: R, now: float) -> None:
        self.request = request
        self.reader.got = 0
        clock, exchange = self.clock, self.exchange
        clock.begin(now)
        goesOn = not self.draining and exchange.count + 1 != clock.timing.requests
        self._expects = False
        if request._asks & _UNUSUAL or request.version == "HTTP/1.0":
            goesOn = goesOn and persists(request._asks, request.version)
            # What follows such a head may be the body or another request: only who reads it knows.
            self._expects = request._body != b"" and expectsContinue(request._asks, request.version)
        exchange.request(request.method, goesOn)
        if request._body is not None:
            exchange.move(REQUEST_ENDS)

    def _discard(self, size: int, now: float) -> None:
        """
        What still comes after the last response is counted, and forgotten.
        """
        if size and self.exchange.state == TUNNEL:
            raise LocalProtocolError(f"{size} bytes that are not HTTP's: they came after an upgrade or in a tunnel")
        self.reader.got += size
        if self.closing is LINGER and self.reader.got > self.clock.timing.lingerBytes:
            self._close(now)

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
        piece = self.nextPiece()
        if piece is None or request is None:
            return None
        return Data(piece) if piece else EndOfMessage(request._trailers or CIMultiDict())

    def nextPiece(self) -> bytes | None:
        """
        Give the same as bytes; C{b""} is the end.
        """
        request = self.request
        if request is None:
            return None
        piece = self.reader.nextPiece(request)
        if piece is None:
            return None
        # It has begun to come, or is empty: nobody waits for a 100 any more.
        self._expects = False
        if not piece:
            if self.exchange.state in (ASKING, EARLY):
                self.exchange.move(REQUEST_ENDS)
            if request._trailers is None:
                request._trailers = CIMultiDict()
        return piece

    def awaitBody(self, now: float) -> bytes:
        """
        Somebody waits for more of the present request's body, until bytes come.

        @return: what is to be sent: C{100 Continue}, if the client waits for it, else C{b""}.
        """
        request = self.request
        if request is None or request._body is not None or self.bodyEnded:
            # No more of it will come.
            return b""
        self.clock.wait(now)
        self.reader.hungry = True
        expected, self._expects = self._expects, False
        # RFC 9110 section 10.1.1: not if the body has begun to come.
        return _CONTINUE if expected and not (self.reader.hasUnparsed() or self.exchange.isAnswered()) else b""

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
            self._ready(now)
        elif done == STOP:
            self.exchange.move(LAST_RESPONSE_ENDS)
            self._linger(now)

    def _ready(self, now: float) -> None:
        """
        The next request may come.
        """
        self.clock.since = now
        if self.draining:
            self._drainIdle(now)

    def _drainIdle(self, now: float) -> None:
        """
        Nothing is in flight while the server drains: close, unless a request may still come.
        """
        if not self.clock.timing.drainIdle:
            self.closeIdle(now)

    def _hasUnparsed(self) -> bool:
        return self.reader.hasUnparsed()

    def _clear(self) -> None:
        self.request = None
        self.needsTurn = self.clock.waiting = False
        self.reader.clear()
        if self.closing is LINGER:
            # What is forgotten from now on is counted by itself.
            self.reader.got = 0
