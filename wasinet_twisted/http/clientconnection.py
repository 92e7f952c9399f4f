"""
L{ClientConnection}: one HTTP/1.1 connection of a client, without I/O.

    connection = ClientConnection()
    send(connection.request(WasiRequest("GET", "/", {"Host": "example.org"}), now))
    connection.receive(data, now)
    while (event := connection.nextEvent(now)) is not None:
        ...  # ResponseHead (interim ones too), Data, EndOfMessage

The same states as a server's, from the other end: which request a response
answers is known here, so nobody has to say it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from multidict import CIMultiDict

from ..errors import IncompleteRead, LocalProtocolError, RemoteProtocolError
from .asks import asksOf, offersUpgrade, persists
from .buffer import Buffer
from .connection import ABORT, KEEP, Connection, Expired, sooner
from .events import EndOfMessage, Event, HeadersLike, ResponseHead
from .exchange import (
    ANSWERING,
    ASKED,
    ASKING,
    CLOSED,
    EARLY,
    IDLE,
    OVER,
    REQUEST_ENDS,
    TUNNEL,
    UNREAD,
)
from .framing import UNTIL_CLOSE, isInterim, isTunnel
from .limits import DEFAULT_LIMITS, Limits
from .messages import WasiRequest
from .outgoing import BodyWriter, framePieces
from .timing import Clock, Timing

# RFC 9110 section 15.2 sets no bound to interim responses; a server that sends only these never answers.
MOST_INTERIM = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTiming(Timing):
    """
    What a server is allowed, in seconds, beside what L{Timing} says of a peer
    that doesn't take what is sent, and of an idle connection.

    @ivar response: how long a response may take to begin, from when the server has taken the request; L{None}: any.
    @ivar read: how long the next bytes of a response may take to come, once there is nothing to read before them;
        L{None}: any.
    """

    response: float | None = None
    read: float | None = None

    @property
    def shortest(self) -> float:
        """
        The shortest time after which a connection on which nothing happens has to be looked at, in seconds, as long as
        the server takes what is sent.
        """
        times = (self.idle, self.response, self.read)
        return min(time for time in times if time is not None)


DEFAULT_CLIENT_TIMING = ClientTiming()


class ClientConnection(Connection):
    """
    One request at a time: the next one when the response before is complete and the connection goes on.

    @ivar clock: what time means to it.
    @ivar trailers: the fields behind the last body that L{nextPiece} has given to its end; L{None}: there were none.
    """

    __slots__ = ("_hungry", "_interim", "_offers", "_parser", "_reads", "_timing", "clock", "trailers")

    clock: Clock

    def __init__(
        self, limits: Limits = DEFAULT_LIMITS, timing: ClientTiming = DEFAULT_CLIENT_TIMING, now: float = 0.0
    ) -> None:
        """
        @param limits: the bounds on each response's head; bodies are streamed, and have none.
        @param timing: what the server is allowed.
        @param now: the time, in seconds, on the clock that all methods are told.
        """
        super().__init__()
        self._parser = Buffer("response", limits)
        self._timing = timing
        self._interim = 0
        # Does nothing go on before more bytes come?
        self._hungry = True
        # Does the request offer another protocol?
        self._offers = False
        # When bytes came last.
        self._reads = now
        self.trailers: CIMultiDict[str] | None = None
        self.clock = Clock(timing, now)

    # Requests out

    def allow(self, timing: ClientTiming) -> None:
        """
        From now on let the server have so much time.
        """
        self._timing = self.clock.timing = timing

    def request(self, request: WasiRequest, now: float) -> bytes:
        """
        Send a request whose body is there.

        @return: what is to be sent.
        @raise LocalProtocolError: the one before isn't over, the connection
            takes no other, or the request can't be sent. Nothing has changed.
        """
        self._checkFree()
        encoded = request.encode()
        self._sends(request, now)
        self.exchange.move(REQUEST_ENDS)
        return encoded

    def begin(self, request: WasiRequest, now: float) -> bytes:
        """
        Send a request whose body comes in pieces: C{data}, then L{end}. With
        C{Expect: 100-continue} they had better wait until L{nextEvent} gives a 100, for a second or so.

        @return: what is to be sent: the head.
        @raise LocalProtocolError: as L{request} has it.
        """
        self._checkFree()
        encoded = request.encodeHead()
        pairs, framing = request._check()
        writer = BodyWriter(framePieces(pairs, framing, request.version, isRequest=True))
        self._sends(request, now)
        self._writer = writer
        return encoded

    def end(self, now: float, trailers: HeadersLike = ()) -> bytes:
        """
        End the body that L{begin} has announced.

        @param trailers: sent after a body in chunks only.
        @raise LocalProtocolError: there was less than the Content-Length, a
            trailer is not valid, or nothing has been announced. C{abort} then.
        """
        encoded = self._announced().end(trailers)
        self._writer = None
        self.clock.since = now
        self.exchange.move(REQUEST_ENDS)
        return encoded

    @property
    def isFree(self) -> bool:
        """
        Can another request be sent?
        """
        return self.exchange.state == IDLE and self.closing is KEEP

    def _checkFree(self) -> None:
        if not self.isFree:
            raise LocalProtocolError("a request on a connection that has one in flight, or is over")

    def _sends(self, request: WasiRequest, now: float) -> None:
        asks = asksOf(request.fields() if request._headers is not None else request._pairs)
        self.exchange.request(request.method, persists(asks, request.version) and request.method != "CONNECT")
        self._parser.expectResponse(request.method)
        self._offers = offersUpgrade(asks, request.version)
        self._interim = 0
        self.clock.since = self._reads = now

    # Responses in

    def receive(self, data: bytes, now: float) -> None:
        """
        Take bytes that have come; L{nextEvent} tells what they are.
        """
        if not data or self.closing is not KEEP:
            return
        self._reads = now
        self._hungry = False
        self._parser.append(data)
        if self.exchange.state in (IDLE, UNREAD):
            self._answersNothing()

    def eof(self, now: float) -> None:
        """
        The server has ended its direction. Call L{nextEvent} until it gives nothing.
        """
        self.clock.finished = now
        self._parser.eof()
        if self.exchange.state in (IDLE, UNREAD):
            self._close(now)

    def nextEvent(self, now: float) -> Event | None:
        """
        Give what comes next of the response: a L{ResponseHead}, L{Data},
        L{EndOfMessage}. Of an interim response (1xx, but not 101) only the head is given; another one follows.

        A response may be complete before its request is: the rest of the request
        is to be sent all the same, or the connection to be closed.

        @return: L{None} while more bytes are needed, and after the end.
        @raise RemoteProtocolError: the response is malformed, or there are too
            many interim ones. The connection is over: C{closing} says so.
        @raise IncompleteRead: the server has ended its direction inside it; the same.
        """
        if self.exchange.state not in (ASKING, ASKED, EARLY, ANSWERING):
            return None
        try:
            event = self._parser.nextEvent()
            if isinstance(event, ResponseHead):
                self._head(event, now)
            elif isinstance(event, EndOfMessage):
                return event if self._ends(now) else self.nextEvent(now)
            elif event is None:
                self._waits(now)
                if self.finished:
                    raise IncompleteRead("the server has ended its direction without a response")
        except (RemoteProtocolError, IncompleteRead):
            self._end(ABORT)
            raise
        return event

    def nextPiece(self, now: float) -> bytes | None:
        """
        Give the next piece of the body of the response whose final head L{nextEvent} has given: the same bytes as it
        gives, at less cost.

        @return: C{b""} at the end, then C{trailers} are there; L{None} while more bytes are needed, and after the end.
        @raise RemoteProtocolError: as L{nextEvent} has it.
        @raise IncompleteRead: the same.
        """
        if self.exchange.state not in (ANSWERING, EARLY):
            return None
        parser = self._parser
        message = parser._message
        try:
            piece = parser.nextPiece()
        except (RemoteProtocolError, IncompleteRead):
            self._end(ABORT)
            raise
        if piece:
            return piece
        if piece is None:
            self._waits(now)
            return None
        assert message is not None
        self.trailers = message._trailers
        self._ends(now)
        return b""

    def rest(self) -> None:
        """
        Tell that nobody waits for the next bytes of the body, though L{nextPiece} has given L{None}: they may take any
        time, until it is called again.
        """
        self._hungry = False

    def _waits(self, now: float) -> None:
        if not self._hungry:
            # What the server is given to go on counts from when somebody waits.
            self._hungry = True
            self._reads = now

    def _head(self, head: ResponseHead, now: float) -> None:
        if isInterim(head.status):
            self._interim += 1
            if self._interim > MOST_INTERIM:
                raise RemoteProtocolError(f"more than {MOST_INTERIM} interim responses")
        elif isTunnel(head.status, self.exchange.method):
            # RFC 9110 sections 7.8 and 15.2.2
            if self.exchange.state != ASKED or (head.status == 101 and not self._offers):
                raise RemoteProtocolError(f"a {head.status} to a request that is incomplete or offers no upgrade")
            self.exchange.switch(head.status)
        else:
            goesOn = persists(head._asks, head.version) and head._length != UNTIL_CLOSE
            self.exchange.response(goesOn)
        self.clock.since = now

    def _ends(self, now: float) -> bool:
        """
        A message is complete.

        @return: was it the response? An interim one has no end that anybody need be told.
        """
        exchange = self.exchange
        if exchange.state not in (EARLY, ANSWERING):
            return False
        exchange.responseEnds()
        self.clock.since = now
        if exchange.state == OVER or self.finished:
            self._close(now)
        elif len(self._parser):
            self._answersNothing()
        return True

    def _answersNothing(self) -> None:
        """
        There are bytes behind the last response. RFC 9112 section 9.2: they answer nothing, and could be taken for
        the answer to the next request.
        """
        self._end(ABORT)

    def takeRest(self) -> bytes:
        """
        Give the bytes of a tunnel: what came after a 101, or a 2xx to a CONNECT.

        @raise LocalProtocolError: there is no tunnel.
        """
        if self.exchange.state != TUNNEL:
            raise LocalProtocolError("takeRest() without a tunnel")
        # An end of the message before it, which nobody need be told.
        while not self._parser.isTunnel and self._parser.nextEvent() is not None:
            pass
        return self._parser.takeRest()

    @property
    def wantsBytes(self) -> bool:
        """
        Is there room for what the server sends?
        """
        return self.exchange.state != CLOSED and (self._hungry or len(self._parser) <= self._timing.buffered)

    def _hasUnparsed(self) -> bool:
        return len(self._parser) > 0

    # Time

    def taken(self, unsent: int, now: float) -> None:
        """
        See L{Connection.taken}. The time for a response counts from when the server has taken the request.
        """
        if self.clock.taken(unsent, now) and self.exchange.state in (IDLE, ASKED):
            self.clock.since = now

    def _nextDeadline(self) -> tuple[float, Expired]:
        if self.closing is not KEEP:
            return self._closingDeadline()
        clock, timing, state = self.clock, self._timing, self.exchange.state
        if state == IDLE:
            return clock.since + timing.idle, Expired.IDLE
        found = inf, Expired.HEAD
        if state == ASKED and timing.response is not None and clock.taking is None:
            found = clock.since + timing.response, Expired.HEAD
        elif state in (EARLY, ANSWERING) and timing.read is not None and self._hungry:
            found = self._reads + timing.read, Expired.BODY
        return found if clock.taking is None or state == TUNNEL else sooner(found, (clock.response(), Expired.RESPONSE))

    def _expired(self, expired: Expired, now: float) -> None:
        if expired is Expired.IDLE:
            self._close(now)
        else:
            self._end(ABORT)
