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
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

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
    unreadBody=st.sampled_from([0, 20, 1000, 1000]),
    lingerBytes=st.sampled_from([0, 50, 1000]),
    buffered=st.sampled_from([0, 20, 1000]),
    requests=st.sampled_from([None, None, None, 3]),
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
    usual = "keep-alive" if version == "HTTP/1.0" else None
    connection = draw(st.sampled_from([usual, usual, usual, None, "close", "keep-alive", "Upgrade", "upgrade, close"]))
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
        return (
            self.pair.client.exchange.state == IDLE and self.pair.client.closing is KEEP and not self.pair.clientEnded
        )

    def maySendPieces(self) -> bool:
        pair = self.pair
        return pair.client.closing is KEEP and pair.asked is not None and not pair.asked.complete

    def mayAnswer(self) -> bool:
        return self.pair.present is not None and self.pair.answering is None

    def mayRefuse(self) -> bool:
        return self.mayAnswer() or self.pair.server.exchange.state == HEAD

    def isAnswering(self) -> bool:
        return self.pair.answering is not None

    def mayUpgrade(self) -> str | None:
        """
        To what?
        """
        present = self.pair.present
        if present is None or not self.mayAnswer():
            return None
        if not self.pair.serverGotAll and present._body is None:
            return None
        if present.method == "CONNECT":
            return "CONNECT"
        return "x" if present.getHeader("Upgrade") and present.version == "HTTP/1.1" else None

    def notAllowed(self, draw: st.DataObject) -> None:
        """
        What makes no sense now is refused, and nothing has changed.
        """
        pair = self.pair
        request, response = WasiRequest(headers={"Host": "a"}), WasiResponse(404)
        calls: list[tuple[bool, Callable[[], object]]] = [
            (self.mayAsk() or pair.clientEnded, lambda: pair.client.request(request, pair.now)),
            (self.mayAsk() or pair.clientEnded, lambda: pair.client.begin(request, pair.now)),
            (self.maySendPieces(), lambda: pair.client.data(b"", pair.now)),
            (self.maySendPieces(), lambda: pair.client.end(pair.now)),
            (pair.client.exchange.state == TUNNEL, pair.client.takeRest),
            (self.mayAnswer(), lambda: pair.server.respond(response, pair.now)),
            (self.mayAnswer(), lambda: pair.server.begin(response, pair.now)),
            (self.isAnswering(), lambda: pair.server.data(b"", pair.now)),
            (self.isAnswering(), lambda: pair.server.end(pair.now)),
            (self.mayAnswer(), lambda: pair.server.interim(103)),
            (self.mayRefuse() or pair.server.exchange.state == IDLE, lambda: pair.server.refuse(400, "", pair.now)),
            (self.mayUpgrade() == "x", lambda: pair.server.upgrade("x", (), pair.now)),
        ]
        allowed, made = draw.draw(st.sampled_from(calls))
        if not allowed:
            self.refused(made)

    def refused(self, call: Callable[[], object]) -> None:
        before = self.pair.said()
        with pytest.raises(LocalProtocolError):
            call()
        assert self.pair.said() == before

    @rule(draw=st.data(), who=st.sampled_from("cccc ssssssss uuuuuu dddddd nnn ww ee m".replace(" ", "")))
    def act(self, draw: st.DataObject, who: str) -> None:
        """
        Somebody does something. It is one rule, since Hypothesis leaves out half of a machine's rules in each run:
        without one of these next to nothing would come to pass.
        """
        acts: dict[str, Callable[[st.DataObject], None]] = {
            "c": self.clientActs,
            "s": self.serverActs,
            "n": self.notAllowed,
            "w": self.wait,
            "e": self.deadline,
            "m": self.mishap,
        }
        if who in acts:
            acts[who](draw)
        elif who == "d":
            self.pair.deliverToClient(draw.draw(counts))
        elif self.pair.server.wantsBytes:
            self.pair.deliverToServer(draw.draw(counts), draw.draw(st.booleans()))

    def look(self) -> None:
        if self.pair.server.closing is KEEP and self.pair.server.exchange.state != TUNNEL:
            self.pair.look()
            self.pair.follow()

    def mishap(self, draw: st.DataObject) -> None:
        """
        Now and then something ends.
        """
        pair, server, client = self.pair, self.pair.server, self.pair.client
        what = draw.draw(st.integers(0, 9))
        if what == 0:
            server.drain(pair.now)
        elif what == 1 and self.mayRefuse():
            pair.refuse(413)
        elif what == 2 and client.exchange.state == ASKED:
            # It sends no more, but takes what comes.
            pair.clientEnded = True
        elif what == 3 and self.maySendPieces():
            client.close(5.0, pair.now)
        elif what == 4 and server.exchange.state != TUNNEL:
            server.abort()
        elif (
            what == 5 and server.exchange.state != TUNNEL and (server._writer is None or not server._writer.untilClose)
        ):
            # Without a length the end of the connection could be taken for that of the response: only a reset tells.
            server.close(5.0, pair.now)
        pair.follow()

    # The client

    def clientActs(self, draw: st.DataObject) -> None:
        pair = self.pair
        if pair.isOver or (pair.server.exchange.state == TUNNEL and draw.draw(st.integers(0, 9)) == 0):
            self.pair = Pair(*self.timings, pair.now)
        elif self.mayAsk():
            if draw.draw(st.booleans()):
                pair.request(draw.draw(requests(True)))
            else:
                pair.beginRequest(draw.draw(requests(False)))
        elif self.maySendPieces():
            if draw.draw(st.integers(0, 2)):
                self.requestPiece(draw.draw(pieces))
            else:
                self.endRequest(draw.draw(trailers), draw.draw(st.booleans()))
        elif pair.asked is not None and pair.asked.request.method == "CONNECT":
            self.tunnelUp(draw.draw(pieces))

    def requestPiece(self, piece: bytes) -> None:
        missing = self.missingOfRequest()
        if missing is None or len(piece) <= missing:
            self.pair.requestPiece(piece)
        else:
            self.refused(lambda: self.pair.requestPiece(piece))

    def endRequest(self, fields: Pairs, fills: bool) -> None:
        missing = self.missingOfRequest()
        if missing and not fills:
            self.refused(lambda: self.pair.endRequest(fields))
            return
        if missing:
            self.pair.requestPiece(b"y" * missing)
        self.pair.endRequest(fields)

    def missingOfRequest(self) -> int | None:
        """
        How many bytes, if that is known?
        """
        asked = self.pair.asked
        assert asked is not None
        length = asked.request.getHeader("Content-Length")
        return None if length is None else int(length) - len(asked.body)

    def tunnelUp(self, piece: bytes) -> None:
        """
        It may hope that the tunnel is accepted.
        """
        if self.pair.client.exchange.state in (ASKED, TUNNEL) and not self.pair.clientEnded:
            self.pair.tunnelUp += piece
            self.pair.toServer += piece

    # The server

    def serverActs(self, draw: st.DataObject) -> None:
        pair = self.pair
        if pair.server.exchange.state == TUNNEL:
            self.tunnelDown(draw.draw(pieces))
        elif pair.present is None:
            self.look()
            if pair.server.closing is LINGER and draw.draw(st.booleans()):
                pair.server.sentEnd(pair.now)
        elif draw.draw(st.integers(0, 2)) == 0:
            self.readBody(draw.draw(st.booleans()))
        elif self.isAnswering():
            if draw.draw(st.booleans()):
                self.responsePiece(draw.draw(pieces))
            else:
                self.endResponse(draw.draw(trailers), draw.draw(st.booleans()))
        elif self.mayUpgrade() and draw.draw(st.integers(0, 2)):
            self.upgrade(draw.draw(st.booleans()))
        elif pair.interims < 9 and draw.draw(st.integers(0, 3)) == 0:
            # A client gives up after ten.
            self.interim(draw.draw(st.sampled_from([100, 102, 103, 103, 101, 200])))
        elif draw.draw(st.booleans()):
            self.respond(draw.draw(st.one_of(responses(True), responses(True), chunkedResponses)))
        else:
            self.beginResponse(draw.draw(responses(False)))

    def readBody(self, waits: bool) -> None:
        if not self.pair.readBody() and waits and self.pair.present is not None:
            self.pair.awaitBody()

    def respond(self, response: WasiResponse) -> None:
        present = self.pair.present
        assert present is not None
        chunked = response.getHeader("Transfer-Encoding") is not None
        tunnel = present.method == "CONNECT" and response.status < 300
        if tunnel or (chunked and present.version == "HTTP/1.0"):
            self.refused(lambda: self.pair.respond(response))
        else:
            self.pair.respond(response)

    def beginResponse(self, response: WasiResponse) -> None:
        present = self.pair.present
        assert present is not None
        if present.method == "CONNECT" and response.status == 200:
            self.refused(lambda: self.pair.beginResponse(response))
        else:
            self.pair.beginResponse(response)

    def responsePiece(self, piece: bytes) -> None:
        missing = self.missingOfResponse()
        if missing is None or len(piece) <= missing:
            self.pair.responsePiece(piece)
        else:
            self.refused(lambda: self.pair.responsePiece(piece))

    def endResponse(self, fields: Pairs, fills: bool) -> None:
        pair = self.pair
        assert pair.present is not None
        # Nothing is sent in answer to a HEAD, so that nothing need add up.
        missing = None if pair.present.method == "HEAD" else self.missingOfResponse()
        if missing and not fills:
            self.refused(lambda: pair.endResponse(fields))
            return
        if missing:
            pair.responsePiece(b"z" * missing)
        pair.endResponse(fields)

    def missingOfResponse(self) -> int | None:
        """
        How many bytes, if that is known?
        """
        answering = self.pair.answering
        assert answering is not None
        length = dict(answering.fields).get("Content-Length")
        return None if length is None else int(length) - self.pair.server.sent

    def interim(self, status: int) -> None:
        if status in (100, 102, 103):
            self.pair.interim(status)
        else:
            self.refused(lambda: self.pair.interim(status))

    def upgrade(self, wrong: bool) -> None:
        protocol = None if self.mayUpgrade() == "CONNECT" else "X"
        if wrong:
            self.refused(lambda: self.pair.upgrade("y" if protocol == "X" else "X"))
        self.pair.upgrade(protocol)

    def tunnelDown(self, piece: bytes) -> None:
        self.pair.tunnelDown += piece
        self.pair.toClient += piece

    # Time

    def wait(self, draw: st.DataObject) -> None:
        seconds = draw.draw(st.sampled_from([0.01, 0.5, 3.0]))
        onServer, unsent = draw.draw(st.booleans()), draw.draw(st.sampled_from([0, 0, 1, 500, 5000]))
        self.pair.now += seconds
        (self.pair.server if onServer else self.pair.client).taken(unsent, self.pair.now)

    def deadline(self, draw: st.DataObject) -> None:
        """
        Nothing happens before it; something does when it is reached.
        """
        pair = self.pair
        onServer, waits = draw.draw(st.booleans()), draw.draw(st.integers(0, 4))
        connection: Connection = pair.server if onServer else pair.client
        deadline = connection.deadline()
        before = pair.said()
        if deadline == inf or (deadline > pair.now and waits):
            assert connection.expire(pair.now if deadline == inf else pair.now + (deadline - pair.now) * 0.9) is None
            assert pair.said() == before
            return
        pair.now = max(pair.now, deadline)
        before = pair.said()
        expired = connection.expire(pair.now)
        assert expired is not None
        # A head that takes too long is refused by the caller, everything else changes at once.
        assert pair.said() != before or expired is Expired.HEAD
        if onServer:
            pair.expired(expired)
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
                self.endRequest([], True)
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
