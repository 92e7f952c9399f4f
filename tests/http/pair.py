"""
A server's and a client's connection with a network between them, and what each of them should see.

There is no I/O: bytes in flight are two byte strings, time is a number. Each call of either connection is mirrored in
a model: what has been sent, and how much of that has been seen at the other end.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import inf
from typing import Any

from wasinet_twisted.errors import IncompleteRead
from wasinet_twisted.http import (
    ClientConnection,
    Data,
    EndOfMessage,
    RequestHead,
    ResponseHead,
    ServerConnection,
    WasiRequest,
    WasiResponse,
)
from wasinet_twisted.http.clientconnection import ClientTiming
from wasinet_twisted.http.connection import ABORT, KEEP, LINGER, Expired
from wasinet_twisted.http.exchange import ASKED, HEAD, IDLE, OVER, TRANSITIONS, TUNNEL, Exchange
from wasinet_twisted.http.timing import Timing

Pairs = list[tuple[str, str]]

# The steps of the table, and those that take two at once.
STEPS = {(state, to) for (state, _), to in TRANSITIONS.items()}
STEPS |= {(IDLE, ASKED), (HEAD, ASKED), (ASKED, IDLE), (ASKED, OVER)}


class Watched(Exchange):
    """
    An exchange whose state moves along the table only.
    """

    __slots__ = ("_state",)

    @property
    def state(self) -> int:  # type: ignore[override]
        return self._state

    @state.setter
    def state(self, state: int) -> None:
        if hasattr(self, "_state"):
            assert (self._state, state) in STEPS
        self._state = state


@dataclass
class Asked:
    """
    A request: what the client has sent of it.
    """

    request: WasiRequest
    fields: Pairs
    body: bytes = b""
    trailers: Pairs = field(default_factory=list)
    complete: bool = False

    @property
    def allSent(self) -> bool:
        """
        Is there nothing more to come? With a length the client need not have said so.
        """
        length = self.request.getHeader("Content-Length")
        return self.complete or (length is not None and len(self.body) == int(length))


@dataclass
class Answered:
    """
    A response: what the server has sent of it.
    """

    status: int
    reason: str
    fields: Pairs
    goesOn: bool = True
    body: bytes = b""
    trailers: Pairs = field(default_factory=list)
    complete: bool = False

    @property
    def allSent(self) -> bool:
        """
        As for a request.
        """
        length = dict(self.fields).get("Content-Length")
        return self.complete or (length is not None and len(self.body) == int(length))


class Pair:
    """
    @ivar asked: the latest request that the client has sent.
    @ivar unseen: those that the server has not seen. A HEAD is answered, for the client, by the head of its response;
        so that there may be one while another is present.
    @ivar present: the one that the server has to answer, and as the client has sent it.
    @ivar answering: the response that the server has begun and not ended.
    """

    def __init__(self, timing: Timing, clientTiming: ClientTiming, now: float) -> None:
        self.now = now
        self.server: ServerConnection[RequestHead] = ServerConnection(timing=timing, now=now)
        self.client = ClientConnection(timing=clientTiming, now=now)
        self.server.exchange, self.client.exchange = Watched(), Watched()
        # In flight, and whether the end of the stream is behind it.
        self.toServer, self.toClient = bytearray(), bytearray()
        self.clientEnded = self.serverEnded = False
        # Has the end been delivered?
        self.serverSawEnd = self.clientSawEnd = False
        # Was either side reset, so that what was in flight is lost?
        self.reset = False
        self.asked: Asked | None = None
        self.unseen: deque[Asked] = deque()
        self.present: RequestHead | None = None
        self.presentAsked: Asked | None = None
        self.answering: Answered | None = None
        # How many interim responses there have been to the present request, and whether its client no longer waits for
        # a 100.
        self.interims = 0
        self.continued = False
        # What the server has seen of the present request's body, and whether it is complete.
        self.serverGot = b""
        self.serverGotAll = False
        self.expected: deque[Answered] = deque()
        # What the client sees now, and what it has seen of its body.
        self.seen: Answered | None = None
        self.clientGot = b""
        # What either side has sent in the tunnel, and what the other has got of it.
        self.tunnelUp, self.tunnelDown = b"", b""
        self.gotUp, self.gotDown = b"", b""

    # The transports

    def follow(self) -> None:
        """
        Do what C{closing} says.
        """
        server, client = self.server, self.client
        if server.closing is not KEEP:
            self.serverEnded = True
            if server.closing is not LINGER:
                # Nobody reads any more.
                self.toServer.clear()
            self.present = self.answering = None
        if client.closing is not KEEP:
            self.clientEnded = True
            self.toClient.clear()
        if ABORT in (server.closing, client.closing) and not self.reset:
            self.reset = True
            self.toServer.clear()
            self.toClient.clear()
            server.abort()
            client.abort()
            self.present = self.answering = None

    @property
    def isOver(self) -> bool:
        """
        Is there nothing that could still happen?
        """
        return self.server.closing not in (KEEP, LINGER) and self.client.closing is not KEEP

    def deliverToServer(self, count: int, keep: bool = False) -> None:
        """
        Let so many of the bytes in flight arrive, and the end if there are none.
        """
        data = bytes(self.toServer[:count])
        del self.toServer[:count]
        if self.server.exchange.state == TUNNEL:
            self.gotUp += data
            assert self.tunnelUp.startswith(self.gotUp)
        elif data and keep:
            self.server.keep(data, self.now)
        elif data:
            self.look(data)
        elif self.clientEnded and not self.serverSawEnd and self.server.closing in (KEEP, LINGER):
            self.serverSawEnd = True
            self.server.eof(self.now)
            self.look()
        self.follow()

    def look(self, data: bytes = b"") -> None:
        """
        Let the server take bytes, or the next request.
        """
        server = self.server
        ended = server.closing is not KEEP
        try:
            request = server.receive(data, self.now)
        except IncompleteRead:
            assert self.serverSawEnd
            self.refuse(400)
            return
        if request is not None:
            assert not ended
            self.gotRequest(request)

    def gotRequest(self, request: RequestHead) -> None:
        assert self.present is None
        asked = self.presentAsked = self.unseen.popleft()
        self.interims = 0
        self.continued = False
        sent = asked.request
        assert (request.method, request.uri, request.version) == (sent.method, sent.uri, sent.version)
        assert request.fields() == asked.fields
        self.present = request
        self.serverGot = b""
        self.serverGotAll = False
        if request._body is not None:
            assert request._body == asked.body
            assert asked.allSent

    def readBody(self) -> bool:
        """
        Let the server read one more piece of the present body.

        @return: was there one?
        """
        asked = self.presentAsked
        assert asked is not None
        try:
            event = self.server.nextEvent()
        except IncompleteRead:
            assert self.serverSawEnd
            assert not asked.allSent
            self.cut()
            return False
        if isinstance(event, Data):
            assert not self.serverGotAll
            self.serverGot += event.data
            assert asked.body.startswith(self.serverGot)
        elif isinstance(event, EndOfMessage):
            assert not self.serverGotAll
            assert asked.allSent
            assert self.serverGot == asked.body
            assert list(event.trailers.items()) == asked.trailers
            self.serverGotAll = True
        return event is not None

    def cut(self) -> None:
        """
        The present request will never be complete.
        """
        if self.answering is None:
            self.refuse(400)
        else:
            self.server.abort()
            self.follow()

    def deliverToClient(self, count: int) -> None:
        """
        Let so many of the bytes in flight arrive, and the end if there are none.
        """
        client = self.client
        data = bytes(self.toClient[:count])
        del self.toClient[:count]
        if data:
            client.receive(data, self.now)
        elif self.serverEnded and not self.clientSawEnd and client.closing is KEEP:
            self.clientSawEnd = True
            client.eof(self.now)
        try:
            while (event := client.nextEvent(self.now)) is not None:
                self.gotEvent(event)
        except IncompleteRead:
            assert self.clientSawEnd
            # Only if the server has broken off: what it has sent whole is seen whole.
            assert not self.expected
            assert self.seen is None or not self.seen.allSent
            assert client.closing is ABORT
        if client.exchange.state == TUNNEL:
            self.gotDown += client.takeRest()
            assert self.tunnelDown.startswith(self.gotDown)
        self.follow()

    def gotEvent(self, event: object) -> None:
        if isinstance(event, ResponseHead):
            self.seen = seen = self.expected.popleft()
            self.clientGot = b""
            assert (event.status, event.reason) == (seen.status, seen.reason)
            fields = event.fields()
            assert fields[: len(seen.fields)] == seen.fields
            added = {name for name, _ in fields[len(seen.fields) :]}
            assert added <= {"Content-Length", "Transfer-Encoding", "Connection", "Content-Type", "Upgrade"}
            if self.client.exchange.state != TUNNEL and event.status < 200:
                # There is no end of it.
                self.seen = None
            elif self.client.exchange.state != TUNNEL:
                assert self.client.exchange.goesOn == seen.goesOn
        elif isinstance(event, Data):
            assert self.seen is not None
            self.clientGot += event.data
            assert self.seen.body.startswith(self.clientGot)
        else:
            assert isinstance(event, EndOfMessage)
            seen = self.seen  # type: ignore[assignment]
            assert seen is not None
            assert seen.allSent
            assert self.clientGot == seen.body
            assert list(event.trailers.items()) == seen.trailers
            self.seen = None

    # What the client does

    def request(self, request: WasiRequest) -> None:
        encoded = self.client.request(request, self.now)
        asked = Asked(request, request.framed().fields(), request.body, list(request.trailers.items()), True)
        self._asks(asked)
        self.toServer += encoded

    def beginRequest(self, request: WasiRequest) -> None:
        encoded = self.client.begin(request, self.now)
        fields = request.fields()
        if not {"content-length", "transfer-encoding"} & {name.lower() for name, _ in fields}:
            fields.append(("Transfer-Encoding", "chunked"))
        self._asks(Asked(request, fields))
        self.toServer += encoded

    def _asks(self, asked: Asked) -> None:
        self.asked = asked
        self.unseen.append(asked)

    def requestPiece(self, piece: bytes) -> None:
        assert self.asked is not None
        self.toServer += self.client.data(piece, self.now)
        self.asked.body += piece

    def endRequest(self, trailers: Pairs) -> None:
        assert self.asked is not None
        hasLength = self.client.hasLength
        self.toServer += self.client.end(self.now, trailers)
        self.asked.trailers = [] if hasLength else trailers
        self.asked.complete = True
        self.follow()

    # What the server does

    def respond(self, response: WasiResponse) -> None:
        encoded = self.server.respond(response, self.now)
        self.toClient += encoded
        self._answered(self._expect(encoded, response, response.body, list(response.trailers.items())))

    def beginResponse(self, response: WasiResponse) -> None:
        encoded = self.server.begin(response, self.now)
        self.toClient += encoded
        self.answering = self._expect(encoded, response, b"", [])
        self.answering.complete = self._isHead

    def responsePiece(self, piece: bytes) -> None:
        self.toClient += self.server.data(piece, self.now)
        assert self.answering is not None
        if not self._isHead:
            self.answering.body += piece

    def endResponse(self, trailers: Pairs) -> None:
        hasLength = self.server.hasLength
        encoded = self.server.end(self.now, trailers)
        answering, present = self.answering, self.present
        assert answering is not None
        assert present is not None
        self.toClient += encoded
        if trailers and not hasLength and not self._isHead and (present.getHeader("TE") or "") == "trailers":
            answering.trailers = trailers if present.version == "HTTP/1.1" else []
        self._answered(answering)

    def interim(self, status: int) -> None:
        encoded = self.server.interim(status, {"A": "1"})
        if encoded:
            self._expectInterim(status, [("A", "1")])
        self.toClient += encoded

    def awaitBody(self) -> None:
        # A client that has begun to send the body waits for no 100, even if nothing can be read of it yet.
        self.continued = self.continued or self.server.reader.hasUnparsed()
        encoded = self.server.awaitBody(self.now)
        if encoded:
            self._expectInterim(100, [])
        self.toClient += encoded

    def refuse(self, status: int) -> None:
        response = WasiResponse(status, {"Content-Type": "text/plain; charset=utf-8"})
        self.toClient += self.server.refuse(status, "no", self.now)[0]
        asked = self.presentAsked if self.present is not None else self.unseen.popleft()
        assert asked is not None
        body = b"" if asked.request.method == "HEAD" else b"no\n"
        self.expected.append(Answered(status, response.reason, response.fields(), False, body))
        self._answered(self.expected[-1])

    def upgrade(self, protocol: str | None) -> None:
        encoded, rest = self.server.upgrade(protocol, {"A": "1"}, self.now)
        self.gotUp += rest
        assert self.tunnelUp.startswith(self.gotUp)
        response = WasiResponse(200 if protocol is None else 101)
        self.expected.append(Answered(response.status, response.reason, [("A", "1")], complete=True))
        self.toClient += encoded
        self.present = None

    def expired(self, expired: Expired | None) -> None:
        """
        Do what a deadline of the server's asks for.
        """
        if expired is Expired.HEAD or (expired is Expired.HANDLER and self.answering is None):
            self.refuse(408)
        elif expired is Expired.BODY:
            self.cut()
        self.follow()

    @property
    def _isHead(self) -> bool:
        return self.present is not None and self.present.method == "HEAD"

    def _expect(self, encoded: bytes, response: WasiResponse, body: bytes, trailers: Pairs) -> Answered:
        present = self.present
        assert present is not None
        if self._isHead:
            body, trailers = b"", []
        if present.getHeader("TE") != "trailers" or present.version == "HTTP/1.0":
            trailers = []
        # What the head says: afterwards the server may still change its mind.
        goesOn = b"\r\nConnection: close\r\n" not in encoded.partition(b"\r\n\r\n")[0] + b"\r\n"
        if goesOn:
            assert not self.mustEnd(present, response)
        else:
            assert not self.mustGoOn(present, response)
        answered = Answered(response.status, response.reason, response.fields(), goesOn, body, trailers)
        self.expected.append(answered)
        return answered

    def mustEnd(self, present: RequestHead, response: WasiResponse) -> bool:
        """
        Whatever the bounds are, has the connection to end after this response?
        """
        waits = present.getHeader("Expect") is not None and present.version == "HTTP/1.1"
        begun = present._body is not None or self.serverGot or self.serverGotAll or self.continued
        return not (present.keepAlive and response.keepAlive) or present.method == "CONNECT" or (waits and not begun)

    def mustGoOn(self, present: RequestHead, response: WasiResponse) -> bool:
        """
        Is there nothing because of which it could end?
        """
        server = self.server
        # A body that nobody has read, though a 100 was expected before it, may be another request.
        complete = (present._body is not None and not server._expects) or self.serverGotAll
        bounded = server.draining or server.clock.timing.requests is not None
        # In pieces, if there is no length; a whole response has one, and is not judged here.
        untilClose = present.version == "HTTP/1.0" and response.getHeader("Content-Length") is None
        return complete and not bounded and not untilClose and not self.mustEnd(present, response)

    def _expectInterim(self, status: int, fields: Pairs) -> None:
        self.interims += 1
        self.continued = self.continued or status == 100
        self.expected.append(Answered(status, WasiResponse(status).reason, fields, complete=True))

    def _answered(self, answered: Answered) -> None:
        answered.complete = True
        assert answered.goesOn or self.server.closing is not KEEP
        self.present = self.answering = None
        # After the last response there is another deadline than after others, but never none.
        assert self.server.deadline() < inf
        self.follow()

    def said(self) -> tuple[Any, ...]:
        """
        All that both connections know, comparable: what a refused call leaves as it was.
        """
        server, client = self.server, self.client
        both = [
            (_said(each.exchange), each.closing, each.deadline(), each.sent, each.wantsBytes)
            for each in (server, client)
        ]
        held = server.reader.got, server.reader.arrived.size, len(client._parser)
        return (*both, *held, server.needsTurn, client.isFree)


def _said(exchange: Exchange) -> tuple[Any, ...]:
    return exchange.state, exchange.method, exchange.goesOn, exchange.count
