"""
L{ServerConnection}, one scenario a test, without a reactor: bytes and times are written down, answers compared.

Its deadlines stand in C{test_serverdeadlines.py}.
"""

from __future__ import annotations

from http import HTTPStatus
from math import inf

import pytest

from wasinet_twisted.errors import IncompleteRead, LocalProtocolError, RemoteProtocolError
from wasinet_twisted.http import Data, EndOfMessage, WasiResponse
from wasinet_twisted.http.asks import expectsUnknown
from wasinet_twisted.http.connection import ABORT, CLOSE, KEEP, LINGER
from wasinet_twisted.http.exchange import ASKED, ASKING, CLOSED, IDLE, TUNNEL, UNREAD
from wasinet_twisted.http.timing import Timing

from .connections import CHUNKED, EMPTY, EXPECTS, GET, LAST, POST, UPGRADES, asked, bodyOf, made

# Requests


def test_pipelinedRequestsAreAnsweredOneAfterTheOther() -> None:
    connection = made()
    requests = b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(3))
    request = connection.receive(requests, 0.0)
    seen = []
    while request is not None:
        # It is the present one until its answer is complete.
        assert connection.receive(b"", 0.0) is None
        seen.append(request.uri)
        assert connection.respond(WasiResponse(), 0.0) == EMPTY
        request = connection.receive(b"", 0.0)
    assert (seen, connection.closing, connection.exchange.state) == (["/0", "/1", "/2"], KEEP, IDLE)


def test_bytesThatAreKeptAreLookedAtLater() -> None:
    connection = asked(GET)
    connection.keep(GET, 0.0)
    connection.respond(WasiResponse(), 0.0)
    assert connection.receive(b"", 0.0) is not None


def test_aBodyIsGivenAsItComes() -> None:
    connection = asked(POST % 6 + b"ab")
    assert bodyOf(connection) == b"ab"
    connection.receive(b"cd", 0.0)
    connection.receive(b"ef", 0.0)
    assert connection.exchange.state == ASKING
    assert bodyOf(connection) == b"cdef"
    assert (connection.bodyEnded, connection.exchange.state) == (True, ASKED)


def test_aBodyBehindAnotherOneIsGivenAnew() -> None:
    """
    It comes whole, with its head; how much of the one before has been read doesn't matter to it.
    """
    for readBefore in (True, False):
        connection = asked(POST % 4 + b"ab")
        assert bodyOf(connection) == b"ab"
        assert connection.receive(b"cd", 0.0) is None
        if readBefore:
            assert bodyOf(connection) == b"cd"
        connection.respond(WasiResponse(), 0.0)
        asked(POST % 3 + b"efg", connection)
        assert not connection.bodyEnded
        assert bodyOf(connection) == b"efg"
        assert connection.bodyEnded


def test_trailersComeWithTheEnd() -> None:
    connection = asked(CHUNKED + b"1\r\na\r\n0\r\nT: 1\r\n\r\n")
    assert connection.nextEvent() == Data(b"a")
    end = connection.nextEvent()
    assert isinstance(end, EndOfMessage)
    assert list(end.trailers.items()) == [("T", "1")]
    assert connection.nextEvent() is None


def test_aRequestAfterTheLastOneIsNotParsed() -> None:
    connection = asked(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + GET)
    assert connection.respond(WasiResponse(), 0.0) == LAST
    assert connection.closing is LINGER
    assert connection.receive(GET, 0.0) is None


def test_theBoundOfRequests() -> None:
    connection = asked(GET, made(Timing(requests=2)))
    assert connection.respond(WasiResponse(), 0.0) == EMPTY
    connection.receive(GET, 0.0)
    assert connection.respond(WasiResponse(), 0.0) == LAST
    assert connection.closing is CLOSE


def test_aMalformedRequestIsRefused() -> None:
    connection = made()
    for _ in range(2):
        with pytest.raises(RemoteProtocolError):
            connection.receive(b"GET / HTTP/9.9\r\n\r\n", 0.0)
    head, size = connection.refuse(505, "version", 0.0)
    assert (head[:13], head[-8:], size) == (b"HTTP/1.1 505 ", b"version\n", 8)
    assert (connection.closing, connection.receive(GET, 0.0)) == (LINGER, None)


def test_anExpectationThatNobodyKnowsIsFlagged() -> None:
    def asks(version: bytes, *expectations: bytes) -> bool:
        lines = b"".join(b"Expect: %b\r\n" % each for each in expectations)
        request = made().receive(b"GET / %b\r\nHost: a\r\n%b\r\n" % (version, lines), 0.0)
        assert request is not None
        return expectsUnknown(request._asks, request.version)

    assert asks(b"HTTP/1.1", b"200-ok")
    assert asks(b"HTTP/1.1", b"100-continue", b"100-continue")
    assert not asks(b"HTTP/1.1", b"100-Continue")
    assert not asks(b"HTTP/1.0", b"200-ok")


# Expect


def test_100IsSentToWhoeverWaitsForIt() -> None:
    connection = asked(EXPECTS)
    assert connection.nextEvent() is None
    assert connection.awaitBody(0.0) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert connection.awaitBody(0.0) == b""
    connection.receive(b"hello", 0.0)
    assert bodyOf(connection) == b"hello"
    assert connection.respond(WasiResponse(), 0.0) == EMPTY


def test_no100OnceTheBodyHasBegun() -> None:
    connection = asked(EXPECTS + b"h")
    assert connection.awaitBody(0.0) == b""


def test_no100OnceTheResponseHasBegun() -> None:
    connection = asked(EXPECTS)
    connection.begin(WasiResponse(), 0.0)
    assert connection.awaitBody(0.0) == b""


def test_aClientThatWaitsInVainIsAnsweredAndClosed() -> None:
    connection = asked(EXPECTS)
    assert connection.respond(WasiResponse(), 0.0) == LAST
    assert connection.closing is LINGER


def test_nobodyWaitsForA100WithoutABody() -> None:
    for length in (b"", b"Content-Length: 0\r\n"):
        connection = asked(b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n%b\r\n" % length)
        assert connection.awaitBody(0.0) == b""
        assert connection.respond(WasiResponse(), 0.0) == EMPTY
        assert connection.closing is KEEP


def test_aBodyThatWasNotWaitedWithEndsTheConnectionAllTheSame() -> None:
    """
    The client has sent it with its head, and not been told what becomes of it.
    """
    connection = asked(EXPECTS + b"hello")
    assert connection.respond(WasiResponse(), 0.0) == LAST
    connection = asked(EXPECTS + b"hello")
    assert bodyOf(connection) == b"hello"
    assert connection.respond(WasiResponse(), 0.0) == EMPTY


def test_aHandlerMaySendThe100Itself() -> None:
    connection = asked(EXPECTS)
    assert connection.interim(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert connection.awaitBody(0.0) == b""
    # The client sends the body, so that the connection can go on.
    assert connection.respond(WasiResponse(), 0.0) == EMPTY


def test_aBodyThatTurnsOutEmptyHasComeAllTheSame() -> None:
    """
    Its client waits for nothing; and the two ways to encode agree on whether the connection goes on.
    """
    head = CHUNKED.replace(b"Host: a", b"Host: a\r\nExpect: 100-continue")
    for response in (WasiResponse(), WasiResponse(headers={"Connection": "x"})):
        connection = asked(head)
        connection.receive(b"0\r\n\r\n", 0.0)
        assert isinstance(connection.nextEvent(), EndOfMessage)
        assert b"close" not in connection.respond(response, 0.0)
        assert (connection.closing, connection.exchange.state) == (KEEP, IDLE)


# Answers


@pytest.mark.parametrize("status", [100, 101, HTTPStatus.CONTINUE, HTTPStatus.EARLY_HINTS, True, 600, "200", None])
def test_whatIsNoFinalResponseChangesNothing(status: object) -> None:
    for head in (GET, b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"):
        connection = asked(head)
        with pytest.raises(LocalProtocolError):
            connection.respond(WasiResponse(status), 0.0)  # type: ignore[arg-type]
        with pytest.raises(LocalProtocolError):
            connection.begin(WasiResponse(status), 0.0)  # type: ignore[arg-type]
        assert (connection.exchange.state, connection.closing) == (ASKED, KEEP)
        assert connection.respond(WasiResponse(404), 0.0)


@pytest.mark.parametrize("status", [99, 101, 200, "103", None])
def test_whatIsNoInterimResponse(status: object) -> None:
    with pytest.raises(LocalProtocolError):
        asked(GET).interim(status)  # type: ignore[arg-type]


def test_interimResponses() -> None:
    assert asked(GET).interim(103, {"Link": "x"}) == b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    assert asked(b"GET / HTTP/1.0\r\n\r\n").interim(103) == b""


def test_aBodyInPieces() -> None:
    connection = asked(GET)
    assert connection.begin(WasiResponse(), 0.0).endswith(b"\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert not connection.hasLength
    assert connection.data(b"abc", 0.0) == b"3\r\nabc\r\n"
    assert connection.sent == 3
    assert connection.end(0.0) == b"0\r\n\r\n"
    assert (connection.closing, connection.exchange.state, connection.sent) == (KEEP, IDLE, 0)


def test_piecesHaveToAddUpToTheLength() -> None:
    connection = asked(GET)
    assert not connection.hasLength
    connection.begin(WasiResponse(headers={"Content-Length": "3"}), 0.0)
    assert (connection.data(b"ab", 1.0), connection.hasLength) == (b"ab", True)
    with pytest.raises(LocalProtocolError):
        connection.data(b"cd", 2.0)
    assert (connection.sent, connection.clock.pieceAt) == (2, 1.0)
    with pytest.raises(LocalProtocolError):
        connection.end(2.0)
    connection.data(b"c", 2.0)
    assert connection.end(2.0) == b""
    assert connection.closing is KEEP


def test_aBodyThatIsThereIsNotBegun() -> None:
    connection = asked(GET)
    with pytest.raises(LocalProtocolError):
        connection.begin(WasiResponse(body=b"abc"), 0.0)
    assert connection.exchange.state == ASKED


def test_aBodyInPiecesToHttp10EndsWithTheConnection() -> None:
    connection = asked(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert connection.begin(WasiResponse(), 0.0) == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    assert (connection.data(b"abc", 0.0), connection.end(0.0), connection.closing) == (b"abc", b"", CLOSE)


def test_http10IsNotAnsweredInChunks() -> None:
    """
    RFC 9112 section 6.1.
    """
    response = WasiResponse(headers={"Transfer-Encoding": "chunked"}, body=b"abc")
    connection = asked(b"GET / HTTP/1.0\r\n\r\n")
    with pytest.raises(LocalProtocolError):
        connection.respond(response, 0.0)
    assert b"3\r\nabc\r\n" in asked(GET).respond(response, 0.0)


def test_trailersGoToThoseThatTakeThem() -> None:
    """
    RFC 9110 section 6.5.1.
    """
    takes = GET.replace(b"Host: a", b"Host: a\r\nTE: trailers")
    whole = WasiResponse(headers={"Transfer-Encoding": "chunked"}, body=b"a", trailers={"T": "1"})
    for head, end in ((GET, b"0\r\n\r\n"), (takes, b"0\r\nT: 1\r\n\r\n")):
        assert asked(head).respond(whole, 0.0).endswith(b"\r\n\r\n1\r\na\r\n" + end)
        connection = asked(head)
        connection.begin(WasiResponse(), 0.0)
        assert connection.end(0.0, {"T": "1"}) == end


def test_aHeadIsAnsweredWithoutABody() -> None:
    head = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
    connection = asked(head + head)
    assert connection.respond(WasiResponse(body=b"abc"), 0.0).endswith(b"Content-Length: 3\r\n\r\n")
    connection.receive(b"", 0.0)
    connection.begin(WasiResponse(), 0.0)
    assert (connection.data(b"abc", 0.0), connection.end(0.0), connection.closing) == (b"", b"", KEEP)


# Bodies that nobody reads


def test_anUnreadBodyIsReadToItsEnd() -> None:
    connection = asked(POST % 5 + b"he")
    assert connection.respond(WasiResponse(), 0.0) == EMPTY
    assert connection.exchange.state == UNREAD
    assert connection.receive(b"llo" + GET, 0.0) is not None


@pytest.mark.parametrize(("size", "goesOn"), [(10, True), (11, False)])
def test_howMuchOfAnUnreadBodyIsRead(size: int, goesOn: bool) -> None:
    connection = asked(POST % size, made(Timing(unreadBody=10)))
    assert connection.respond(WasiResponse(), 0.0) == (EMPTY if goesOn else LAST)
    request = connection.receive(bytes(size) + GET, 0.0)
    assert (connection.closing, request is not None) == (KEEP if goesOn else LINGER, goesOn)


@pytest.mark.parametrize(("size", "closing"), [(10, KEEP), (11, LINGER)])
def test_howMuchOfAnUnreadBodyInChunksIsRead(size: int, closing: object) -> None:
    connection = asked(CHUNKED, made(Timing(unreadBody=10)))
    connection.respond(WasiResponse(), 0.0)
    connection.receive(b"1\r\na\r\n" * size, 0.0)
    assert connection.closing is closing


def test_aMalformedUnreadBodyEndsTheConnection() -> None:
    connection = asked(CHUNKED)
    connection.respond(WasiResponse(), 0.0)
    assert connection.receive(b"x\r\n" + GET, 0.0) is None
    assert connection.closing is LINGER


def test_whoeverAnswersAMalformedBodySaysThatItIsTheLastAnswer() -> None:
    connection = asked(CHUNKED + b"x\r\n")
    with pytest.raises(RemoteProtocolError):
        connection.nextEvent()
    assert connection.respond(WasiResponse(), 0.0) == LAST
    assert connection.closing is LINGER


def test_oneByteChunksHaveToTakeTurns() -> None:
    """
    They are cheap to send and dear to read, so that others have their turn.
    """
    connection = asked(CHUNKED)
    connection.respond(WasiResponse(), 0.0)
    assert connection.receive(b"1\r\na\r\n" * 2000 + b"0\r\n\r\n" + GET, 0.0) is None
    turns = 0
    request = None
    while connection.needsTurn:
        turns += 1
        request = connection.receive(b"", 0.0)
    assert (turns, request is not None) == (3, True)


def test_nobodyHasATurnAfterTheEnd() -> None:
    connection = asked(CHUNKED)
    connection.respond(WasiResponse(), 0.0)
    connection.receive(b"1\r\na\r\n" * 2000, 0.0)
    assert connection.needsTurn
    connection.abort()
    assert not connection.needsTurn


# The end


def test_aClientThatHasEndedItsDirectionStillGetsItsAnswer() -> None:
    connection = asked(GET)
    connection.eof(0.0)
    assert connection.receive(b"", 0.0) is None
    assert connection.closing is KEEP
    assert connection.respond(WasiResponse(), 0.0) == EMPTY
    assert connection.receive(b"", 0.0) is None
    assert connection.closing is CLOSE


def test_pipelinedRequestsBeforeTheEndAreAnswered() -> None:
    connection = asked(GET + GET)
    connection.eof(0.0)
    connection.respond(WasiResponse(), 0.0)
    assert connection.receive(b"", 0.0) is not None


def test_anEndInsideAHead() -> None:
    connection = made()
    assert connection.receive(GET[:-1], 0.0) is None
    connection.eof(0.0)
    with pytest.raises(IncompleteRead):
        connection.receive(b"", 0.0)
    connection.refuse(400, "cut", 0.0)
    assert connection.closing is CLOSE


def test_anEndInsideABody() -> None:
    connection = asked(POST % 5 + b"he")
    connection.eof(0.0)
    assert connection.nextEvent() == Data(b"he")
    with pytest.raises(IncompleteRead):
        connection.nextEvent()
    assert connection.respond(WasiResponse(), 0.0) == LAST
    assert connection.closing is CLOSE


def test_anEndInsideAnUnreadBody() -> None:
    connection = asked(POST % 5 + b"he")
    connection.respond(WasiResponse(), 0.0)
    connection.eof(0.0)
    connection.receive(b"", 0.0)
    assert connection.closing is CLOSE


@pytest.mark.parametrize(("size", "closing"), [(10, LINGER), (11, CLOSE)])
def test_lingerUpToSoManyBytes(size: int, closing: object) -> None:
    """
    Those count too that are only kept at first.
    """
    connection = asked(POST % 5, made(Timing(unreadBody=0, lingerBytes=10)))
    connection.respond(WasiResponse(), 0.0)
    for _ in range(size - 5):
        connection.receive(b"x", 0.0)
    connection.keep(b"abcde", 0.0)
    connection.receive(b"", 0.0)
    assert connection.closing is closing


def test_lingerForgetsTheRequest() -> None:
    connection = asked(POST % 10 + b"abc")
    connection.refuse(413, "too large", 0.0)
    assert (connection.closing, connection.request, connection.nextEvent()) == (LINGER, None, None)
    assert not connection.reader.hasUnparsed()
    with pytest.raises(LocalProtocolError):
        connection.respond(WasiResponse(), 0.0)


def test_lingerUntilThePeerEnds() -> None:
    connection = asked(POST % 5, made(Timing(unreadBody=0)))
    connection.respond(WasiResponse(), 0.0)
    connection.eof(1.0)
    assert connection.closing is CLOSE


def test_drain() -> None:
    connection = asked(GET)
    connection.drain(0.0)
    assert connection.respond(WasiResponse(), 0.0) == LAST
    # One that waits for another request closes at once, one that has brought none may just be about to.
    connection = asked(GET)
    connection.respond(WasiResponse(), 0.0)
    connection.drain(0.0)
    assert connection.closing is CLOSE
    connection = made()
    connection.drain(0.0)
    assert (connection.closing, connection.deadline()) == (KEEP, 1.0)
    assert asked(GET, connection).respond(WasiResponse(), 0.0) == LAST


def test_anAbortedResponseIsNotEnded() -> None:
    connection = asked(GET)
    connection.begin(WasiResponse(), 0.0)
    connection.abort()
    with pytest.raises(LocalProtocolError):
        connection.data(b"a", 0.0)
    with pytest.raises(LocalProtocolError):
        connection.end(0.0)
    assert (connection.closing, connection.exchange.state) == (ABORT, CLOSED)


# Tunnels


def test_anUpgradeHandsOverTheRest() -> None:
    connection = asked(UPGRADES + b"rest")
    connection.keep(b" of it", 0.0)
    head, rest = connection.upgrade("Y", {"A": "1"}, 0.0)
    assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert (rest, connection.exchange.state, connection.deadline()) == (b"rest of it", TUNNEL, inf)
    # What comes from now on is not HTTP's, and isn't forgotten in silence.
    with pytest.raises(LocalProtocolError):
        connection.receive(b"x", 0.0)
    with pytest.raises(LocalProtocolError):
        connection.keep(b"x", 0.0)
    assert connection.receive(b"", 0.0) is None


def test_anUpgradeThatWasNotOffered() -> None:
    for head in (GET, UPGRADES, UPGRADES.replace(b"1.1", b"1.0")):
        connection = asked(head)
        with pytest.raises(LocalProtocolError):
            connection.upgrade("z" if head is UPGRADES else "x", (), 0.0)
        assert connection.exchange.state == ASKED


def test_anUpgradeInsideTheRequest() -> None:
    connection = asked(UPGRADES.replace(b"Host: a", b"Host: a\r\nContent-Length: 2"))
    with pytest.raises(LocalProtocolError):
        connection.upgrade("x", (), 0.0)
    connection.receive(b"abrest", 0.0)
    assert bodyOf(connection) == b"ab"
    assert connection.upgrade("x", (), 0.0)[1] == b"rest"


def test_aDeclinedUpgradeIsAnOrdinaryRequest() -> None:
    connection = asked(UPGRADES + GET)
    assert connection.respond(WasiResponse(), 0.0) == EMPTY
    assert connection.receive(b"", 0.0) is not None


def test_aTunnel() -> None:
    head = b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"
    opened = asked(head + b"rest")
    with pytest.raises(LocalProtocolError):
        opened.respond(WasiResponse(), 0.0)
    assert opened.upgrade(None, (), 0.0) == (b"HTTP/1.1 200 OK\r\n\r\n", b"rest")
    declined = asked(head + b"rest")
    assert b"Connection: close" in declined.respond(WasiResponse(403), 0.0)
    assert declined.closing is LINGER
