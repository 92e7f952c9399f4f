"""
A server's and a client's connection, driven against each other at random: they agree on every message and on what
becomes of the connection, however the bytes are cut, held back, or cut off.

C{pair.py} holds the model, and compares what is seen with what has been sent.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.http.pair import Pair, Pairs
from wasinet_twisted.errors import LocalProtocolError
from wasinet_twisted.http import WasiRequest, WasiResponse
from wasinet_twisted.http.clientconnection import ClientTiming
from wasinet_twisted.http.connection import KEEP, LINGER, Connection, Expired
from wasinet_twisted.http.exchange import ASKED, CLOSED, HEAD, IDLE, TUNNEL
from wasinet_twisted.http.timing import Timing

bodies = st.one_of(st.binary(max_size=40), st.sampled_from([b"", b"0\r\n\r\n", b"x" * 300]))
pieces = st.one_of(st.binary(max_size=30), st.just(b""))
trailers: st.SearchStrategy[Pairs] = st.sampled_from([[], [], [("T", "1")], [("T", "1"), ("T", "2")]])
counts = st.one_of(st.just(1), st.integers(2, 60), st.just(100_000))
timings = st.builds(
    Timing,
    handler=st.sampled_from([None, 15.0]),
    unreadBody=st.sampled_from([0, 20, 1000]),
    lingerBytes=st.sampled_from([0, 50, 1000]),
    buffered=st.sampled_from([0, 20, 1000]),
    requests=st.sampled_from([None, 1, 3]),
    bodyGrace=st.just(5.0),
)
clientTimings = st.builds(
    ClientTiming,
    response=st.sampled_from([None, 12.0]),
    read=st.sampled_from([None, 8.0]),
    buffered=st.sampled_from([0, 1000]),
)


@st.composite
def requests(draw: st.DrawFn, whole: bool) -> WasiRequest:
    """
    Any kind of request, with its body or with one that comes in pieces.
    """
    method = draw(st.sampled_from(["GET", "HEAD", "POST", "POST", "CONNECT"] if whole else ["POST", "PUT", "HEAD"]))
    version = draw(st.sampled_from(["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0"]))
    fields: Pairs = [("Host", "a:1" if method == "CONNECT" else "a")]
    if method == "CONNECT":
        return WasiRequest(method, "a:1", fields, version="HTTP/1.1")
    connection = draw(st.sampled_from([None, None, None, "close", "keep-alive", "Upgrade", "upgrade, close"]))
    if connection is not None:
        fields.append(("Connection", connection))
        if "pgrade" in connection:
            fields.append(("Upgrade", "x"))
    if draw(st.booleans()):
        fields.append(("TE", "trailers"))
    if draw(st.booleans()):
        fields.append(("Expect", "100-continue"))
    body = draw(bodies) if whole and method == "POST" else b""
    after: Pairs = []
    if version == "HTTP/1.1" and method == "POST" and draw(st.booleans()):
        fields.append(("Transfer-Encoding", "chunked"))
        after = draw(trailers) if whole else []
    elif not whole and (version == "HTTP/1.0" or draw(st.booleans())):
        fields.append(("Content-Length", str(draw(st.integers(0, 60)))))
    return WasiRequest(method, draw(st.sampled_from(["/", "/?a", "http://b/c"])), fields, body, version, after)


@st.composite
def responses(draw: st.DrawFn, whole: bool) -> WasiResponse:
    """
    Any kind of final response.
    """
    status = draw(st.sampled_from([200, 404, 500, 204, 304, 205] if whole else [200, 404]))
    fields: Pairs = draw(st.sampled_from([[], [], [("A", "1")], [("Connection", "close")], [("Connection", "x")]]))
    if not whole:
        if draw(st.booleans()):
            fields = [*fields, ("Content-Length", str(draw(st.integers(0, 40))))]
        return WasiResponse(status, fields)
    return WasiResponse(status, fields, draw(bodies) if status not in (204, 304, 205) else b"")


chunkedResponses = st.builds(
    WasiResponse, st.just(200), st.just({"Transfer-Encoding": "chunked"}), bodies, trailers=trailers
)


class Agreement(RuleBasedStateMachine):
    """
    Everything that either side, the network and the clock can do, in any order.
    """

    @initialize(timing=timings, clientTiming=clientTimings)
    def start(self, timing: Timing, clientTiming: ClientTiming) -> None:
        self.timings = timing, clientTiming
        self.pair = Pair(timing, clientTiming, 0.0)

    # What may be called now, as the model has it

    def mayAsk(self) -> bool:
        return self.pair.client.exchange.state == IDLE and self.pair.client.closing is KEEP

    def maySendPieces(self) -> bool:
        pair = self.pair
        return pair.client.closing is KEEP and pair.asked is not None and not pair.asked.complete

    def mayAnswer(self) -> bool:
        return self.pair.present is not None and self.pair.answering is None

    def isAnswering(self) -> bool:
        return self.pair.answering is not None

    def attempt(self, allowed: bool, call: Callable[..., object], *given: Any) -> None:
        """
        Make a call, which is refused, with nothing changed, if it is not allowed.
        """
        before = self.pair.said()
        if allowed:
            call(*given)
        else:
            with pytest.raises(LocalProtocolError):
                call(*given)
            assert self.pair.said() == before

    # The network

    @rule(count=counts, keep=st.booleans())
    def deliverToServer(self, count: int, keep: bool) -> None:
        if self.pair.server.wantsBytes:
            self.pair.deliverToServer(count, keep)

    @rule(count=counts)
    def deliverToClient(self, count: int) -> None:
        self.pair.deliverToClient(count)

    @rule()
    def look(self) -> None:
        if self.pair.server.closing is KEEP and self.pair.server.exchange.state != TUNNEL:
            self.pair.look()
            self.pair.follow()

    @precondition(lambda self: self.pair.client.exchange.state in (ASKED, IDLE))
    @rule(sometimes=st.integers(0, 3))
    def clientEnds(self, sometimes: int) -> None:
        """
        It sends no more, but takes what comes.
        """
        if not sometimes and self.pair.client.exchange.state == ASKED:
            self.pair.clientEnded = True

    @precondition(lambda self: self.pair.isOver or self.pair.server.exchange.state == TUNNEL)
    @rule()
    def connectAnew(self) -> None:
        self.pair = Pair(*self.timings, self.pair.now)

    # The client

    @rule(data=st.data())
    def request(self, data: st.DataObject) -> None:
        if not self.pair.clientEnded:
            self.attempt(self.mayAsk(), self.pair.request, data.draw(requests(True)))

    @rule(data=st.data())
    def beginRequest(self, data: st.DataObject) -> None:
        if not self.pair.clientEnded:
            self.attempt(self.mayAsk(), self.pair.beginRequest, data.draw(requests(False)))

    @precondition(lambda self: self.pair.asked is not None)
    @rule(piece=pieces)
    def requestPiece(self, piece: bytes) -> None:
        asked = self.pair.asked
        assert asked is not None
        length = asked.request.getHeader("Content-Length")
        fits = length is None or len(asked.body + piece) <= int(length)
        self.attempt(self.maySendPieces() and fits, self.pair.requestPiece, piece)

    @precondition(lambda self: self.pair.asked is not None)
    @rule(fields=trailers)
    def endRequest(self, fields: Pairs) -> None:
        asked = self.pair.asked
        assert asked is not None
        length = asked.request.getHeader("Content-Length")
        addsUp = length is None or len(asked.body) == int(length)
        self.attempt(self.maySendPieces() and addsUp, self.pair.endRequest, fields)

    @precondition(lambda self: self.maySendPieces())
    @rule()
    def completeRequest(self) -> None:
        """
        Else lengths would hardly ever add up.
        """
        asked = self.pair.asked
        assert asked is not None
        if (length := asked.request.getHeader("Content-Length")) is not None:
            self.pair.requestPiece(b"y" * (int(length) - len(asked.body)))
        self.pair.endRequest([])

    @precondition(lambda self: self.pair.asked is not None and self.pair.asked.request.method == "CONNECT")
    @rule(piece=pieces)
    def tunnelUp(self, piece: bytes) -> None:
        """
        It may hope that the tunnel is accepted.
        """
        if self.pair.client.exchange.state in (ASKED, TUNNEL) and not self.pair.clientEnded:
            self.pair.tunnelUp += piece
            self.pair.toServer += piece

    @precondition(lambda self: self.maySendPieces())
    @rule(sometimes=st.integers(0, 5))
    def clientBreaksOff(self, sometimes: int) -> None:
        if not sometimes:
            self.pair.client.close(5.0, self.pair.now)
            self.pair.follow()

    # The server

    @rule(waits=st.booleans())
    def readBody(self, waits: bool) -> None:
        if self.pair.present is None:
            assert self.pair.server.nextEvent() is None
        elif not self.pair.readBody() and waits and self.pair.present is not None:
            self.pair.awaitBody()

    @rule(response=st.one_of(responses(True), responses(True), chunkedResponses))
    def respond(self, response: WasiResponse) -> None:
        pair = self.pair
        chunked = response.getHeader("Transfer-Encoding") is not None
        allowed = self.mayAnswer()
        if pair.present is not None:
            allowed = allowed and not (chunked and pair.present.version == "HTTP/1.0")
            allowed = allowed and not (pair.present.method == "CONNECT" and response.status < 300)
        self.attempt(allowed, pair.respond, response)

    @rule(response=responses(False))
    def beginResponse(self, response: WasiResponse) -> None:
        pair = self.pair
        tunnel = pair.present is not None and pair.present.method == "CONNECT" and response.status == 200
        self.attempt(self.mayAnswer() and not tunnel, pair.beginResponse, response)

    @rule(piece=pieces)
    def responsePiece(self, piece: bytes) -> None:
        server = self.pair.server
        fits = not server.hasLength or server.sent + len(piece) <= server._announced().length
        self.attempt(self.isAnswering() and fits, self.pair.responsePiece, piece)

    @rule(fields=trailers, fills=st.booleans())
    def endResponse(self, fields: Pairs, fills: bool) -> None:
        pair, server = self.pair, self.pair.server
        isHead = pair.present is not None and pair.present.method == "HEAD"
        missing = server._announced().length - server.sent if server.hasLength and not isHead else 0
        if fills and missing:
            pair.responsePiece(b"z" * missing)
            missing = 0
        self.attempt(self.isAnswering() and not missing, pair.endResponse, fields)

    @rule(status=st.sampled_from([100, 102, 103, 101, 200]))
    def interim(self, status: int) -> None:
        pair = self.pair
        # A client gives up after ten.
        if pair.expected and len(pair.expected) > 6:
            return
        if pair.client._interim < 3 or not self.mayAnswer():
            self.attempt(self.mayAnswer() and status in (100, 102, 103), pair.interim, status)

    @rule(sometimes=st.integers(0, 3))
    def refuse(self, sometimes: int) -> None:
        pair = self.pair
        allowed = self.mayAnswer() or pair.server.exchange.state == HEAD
        if not (allowed and sometimes) and pair.server.exchange.state != IDLE:
            self.attempt(allowed, pair.refuse, 413)

    @rule(protocol=st.sampled_from(["X", "y", None]))
    def upgrade(self, protocol: str | None) -> None:
        present = self.pair.present
        offered = present is not None and (
            present.method == "CONNECT"
            if protocol is None
            else protocol == "X" and present.getHeader("Upgrade") is not None and present.version == "HTTP/1.1"
        )
        complete = present is not None and (self.pair.serverGotAll or present._body is not None)
        self.attempt(self.mayAnswer() and offered and complete, self.pair.upgrade, protocol)

    @precondition(lambda self: self.pair.server.exchange.state == TUNNEL)
    @rule(piece=pieces)
    def tunnelDown(self, piece: bytes) -> None:
        self.pair.tunnelDown += piece
        self.pair.toClient += piece

    @rule(sometimes=st.integers(0, 3))
    def drain(self, sometimes: int) -> None:
        if not sometimes:
            self.pair.server.drain(self.pair.now)
            self.pair.follow()

    @rule(sometimes=st.integers(0, 5), aborts=st.booleans())
    def serverBreaksOff(self, sometimes: int, aborts: bool) -> None:
        # The end of a response without a length could be taken for its own: only a reset tells.
        writer = self.pair.server._writer
        if sometimes or self.pair.server.exchange.state == TUNNEL:
            return
        if aborts or (writer is not None and writer.untilClose):
            self.pair.server.abort()
        else:
            self.pair.server.close(5.0, self.pair.now)
        self.pair.follow()

    @precondition(lambda self: self.pair.server.closing is LINGER)
    @rule()
    def serverSentEnd(self) -> None:
        self.pair.server.sentEnd(self.pair.now)

    # Time

    @rule(seconds=st.sampled_from([0.01, 1.0, 3.0]))
    def wait(self, seconds: float) -> None:
        self.pair.now += seconds

    @rule(onServer=st.booleans(), unsent=st.sampled_from([0, 1, 500, 5000]))
    def taken(self, onServer: bool, unsent: int) -> None:
        (self.pair.server if onServer else self.pair.client).taken(unsent, self.pair.now)

    @rule(onServer=st.booleans(), reached=st.integers(0, 4))
    def deadline(self, onServer: bool, reached: int) -> None:
        """
        Nothing happens before it; something does when it is reached.
        """
        pair = self.pair
        connection: Connection = pair.server if onServer else pair.client
        deadline = connection.deadline()
        if deadline == inf or (deadline > pair.now and reached):
            before = pair.said()
            assert connection.expire(pair.now if deadline == inf else pair.now + (deadline - pair.now) * 0.9) is None
            assert pair.said() == before
            return
        pair.now = max(pair.now, deadline)
        before = pair.said()
        expired = connection.expire(pair.now)
        assert expired is not None
        if onServer:
            assert expired is Expired.HEAD or pair.said() != before
            pair.expired(expired)
            assert connection.deadline() > pair.now or expired is Expired.BODY
        else:
            assert connection.closing is not KEEP
            assert connection.deadline() > pair.now
            pair.follow()

    # What always holds

    @invariant()
    def nothingAfterTheEnd(self) -> None:
        pair = getattr(self, "pair", None)
        if pair is None:
            return
        for connection in (pair.server, pair.client):
            assert (connection.exchange.state == CLOSED) == (connection.closing not in (KEEP, LINGER))
        if pair.server.closing not in (KEEP, LINGER):
            assert pair.server.receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", pair.now) is None
            assert not pair.server.needsTurn
        if pair.client.closing is not KEEP:
            assert pair.client.nextEvent(pair.now) is None
        # Whoever wants no bytes holds some that can be taken.
        if pair.server.closing is KEEP and not pair.server.wantsBytes:
            assert pair.server.reader.arrived.size

    def progress(self) -> tuple[Any, ...]:
        pair = self.pair
        return pair.said(), len(pair.toServer), len(pair.toClient), pair.serverSawEnd, pair.clientSawEnd

    def teardown(self) -> None:
        """
        Let everything arrive, and be answered: either both go on, and another request works, or both have ended.
        """
        pair = getattr(self, "pair", None)
        if pair is None:
            return
        for _ in range(1000):
            before = self.progress()
            if self.maySendPieces():
                self.completeRequest()
            if pair.server.wantsBytes:
                pair.deliverToServer(100_000)
            self.look()
            if pair.answering is not None:
                self.endResponse([], True)
            elif pair.present is not None:
                while pair.readBody():
                    pass
                if self.mayAnswer():
                    pair.awaitBody()
                    if pair.present is None or pair.serverGotAll or pair.present._body is not None:
                        pair.respond(WasiResponse(404))
            pair.deliverToClient(100_000)
            if before == self.progress():
                break
        else:
            raise AssertionError("it goes on for ever")
        states = pair.server.exchange.state, pair.client.exchange.state
        assert states[0] == states[1]
        assert states[0] in (IDLE, TUNNEL, CLOSED)
        if states[0] == TUNNEL:
            assert (pair.gotUp, pair.gotDown) == (pair.tunnelUp, pair.tunnelDown)
        elif states[0] == IDLE:
            assert (pair.toServer, pair.toClient, list(pair.expected)) == (b"", b"", [])
            pair.request(WasiRequest(headers={"Host": "a"}))
            pair.deliverToServer(100_000)
            pair.respond(WasiResponse())
            pair.deliverToClient(100_000)
            assert (pair.seen, pair.clientGot) == (None, b"")
        else:
            assert pair.isOver


TestAgreement = Agreement.TestCase
TestAgreement.settings = settings(max_examples=150, stateful_step_count=60)
