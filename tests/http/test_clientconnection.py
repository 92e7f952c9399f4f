"""
L{ClientConnection}, one scenario a test, without a reactor.
"""

from __future__ import annotations

from math import inf

import pytest

from wasinet_twisted.errors import IncompleteRead, LocalProtocolError, RemoteProtocolError
from wasinet_twisted.http import ClientConnection, Data, Limits, ResponseHead, WasiRequest
from wasinet_twisted.http.clientconnection import MOST_INTERIM, ClientTiming
from wasinet_twisted.http.connection import ABORT, CLOSE, KEEP, Expired
from wasinet_twisted.http.events import Event
from wasinet_twisted.http.exchange import ASKED, ASKING, CLOSED, TUNNEL, UNREAD

HOST = {"Host": "a"}
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
SWITCHES = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
UPGRADES = {"Host": "a", "Connection": "Upgrade", "Upgrade": "x"}


def asked(method: str = "GET", *, timing: ClientTiming | None = None, **fields: str) -> ClientConnection:
    """
    A connection on which a request has been sent.
    """
    connection = ClientConnection(timing=timing or ClientTiming())
    uri = "a:1" if method == "CONNECT" else "/"
    assert connection.request(WasiRequest(method, uri, {**HOST, **fields}), 0.0)
    return connection


def asking(fields: dict[str, str] | None = None) -> ClientConnection:
    """
    A connection on which a request has been begun.
    """
    connection = ClientConnection()
    assert connection.begin(WasiRequest("POST", "/", fields or HOST), 0.0)
    return connection


def eventsOf(connection: ClientConnection, data: bytes = b"") -> list[Event]:
    """
    All that has come.
    """
    connection.receive(data, 0.0)
    events = []
    while (event := connection.nextEvent(0.0)) is not None:
        events.append(event)
    return events


def kinds(events: list[Event]) -> list[object]:
    """
    The same, short.
    """
    return [
        event.status if isinstance(event, ResponseHead) else event.data if isinstance(event, Data) else "end"
        for event in events
    ]


# Requests


def test_oneRequestAfterTheOther() -> None:
    connection = asked()
    for _ in range(3):
        assert not connection.isFree
        with pytest.raises(LocalProtocolError):
            connection.request(WasiRequest(headers=HOST), 0.0)
        assert kinds(eventsOf(connection, EMPTY)) == [200, "end"]
        assert connection.isFree
        assert connection.request(WasiRequest(headers=HOST), 0.0) == b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def test_aRequestThatCannotBeSentChangesNothing() -> None:
    connection = ClientConnection()
    for request in (WasiRequest(), WasiRequest("a b", headers=HOST), WasiRequest(headers={"Host": "a", "X": "\n"})):
        with pytest.raises(LocalProtocolError):
            connection.request(request, 0.0)
        with pytest.raises(LocalProtocolError):
            connection.begin(request, 0.0)
    assert connection.request(WasiRequest(headers=HOST), 0.0)


def test_aBodyInPieces() -> None:
    connection = ClientConnection()
    head = connection.begin(WasiRequest("POST", "/", HOST), 0.0)
    assert head.endswith(b"\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert (connection.data(b"abc", 0.0), connection.exchange.state) == (b"3\r\nabc\r\n", ASKING)
    assert (connection.end(0.0, {"T": "1"}), connection.exchange.state) == (b"0\r\nT: 1\r\n\r\n", ASKED)
    assert kinds(eventsOf(connection, EMPTY)) == [200, "end"]


def test_piecesHaveToAddUpToTheLength() -> None:
    connection = asking({"Host": "a", "Content-Length": "3"})
    assert connection.data(b"ab", 0.0) == b"ab"
    with pytest.raises(LocalProtocolError):
        connection.data(b"cd", 0.0)
    with pytest.raises(LocalProtocolError):
        connection.end(0.0)
    assert (connection.data(b"c", 0.0), connection.end(0.0)) == (b"c", b"")


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
def test_aConnectHasNoBodyInPieces(version: str) -> None:
    """
    RFC 9110 section 9.3.6.
    """
    request = WasiRequest("CONNECT", "a:1", {"Host": "a:1"}, version=version)
    for begin in (request.encodeHead, lambda: ClientConnection().begin(request, 0.0)):
        with pytest.raises(LocalProtocolError):
            begin()


def test_aResponseMayComeBeforeTheRequestIsComplete() -> None:
    connection = asking()
    assert kinds(eventsOf(connection, EMPTY)) == [200, "end"]
    assert (connection.exchange.state, connection.isFree) == (UNREAD, False)
    assert connection.data(b"a", 0.0)
    assert connection.end(0.0)
    assert connection.isFree


def test_theLastResponseEndsARequestToo() -> None:
    connection = asking()
    assert kinds(eventsOf(connection, EMPTY[:-2] + b"Connection: close\r\n\r\n")) == [200, "end"]
    assert connection.closing is CLOSE
    with pytest.raises(LocalProtocolError):
        connection.data(b"a", 0.0)


# Responses


def test_interimResponsesComeBeforeTheResponse() -> None:
    connection = asking({"Host": "a", "Expect": "100-continue"})
    assert kinds(eventsOf(connection, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 \r\nA: 1\r\n\r\n")) == [100, 103]
    assert connection.exchange.state == ASKING
    connection.end(0.0)
    assert kinds(eventsOf(connection, EMPTY)) == [200, "end"]


@pytest.mark.parametrize("extra", [0, 1])
def test_howManyInterimResponses(extra: int) -> None:
    connection = asked()
    connection.receive(b"HTTP/1.1 102 \r\n\r\n" * (MOST_INTERIM + extra) + EMPTY, 0.0)
    if extra:
        with pytest.raises(RemoteProtocolError):
            eventsOf(connection)
        assert (connection.closing, eventsOf(connection)) == (ABORT, [])
    else:
        assert kinds(eventsOf(connection))[-2:] == [200, "end"]


def test_aHeadHasNoBody() -> None:
    connection = asked("HEAD")
    assert kinds(eventsOf(connection, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")) == [200, "end"]
    assert connection.isFree


@pytest.mark.parametrize("line", [b"HTTP/1.1 200 OK\r\nConnection: close", b"HTTP/1.0 200 OK\r\nX: y"])
def test_theServerEndsTheConnection(line: bytes) -> None:
    connection = asked()
    assert kinds(eventsOf(connection, line + b"\r\nContent-Length: 1\r\n\r\nx")) == [200, b"x", "end"]
    assert (connection.closing, connection.isFree) == (CLOSE, False)


def test_theRequestMaySayThatItIsTheLastOne() -> None:
    connection = asked(Connection="close")
    assert kinds(eventsOf(connection, EMPTY)) == [200, "end"]
    assert connection.closing is CLOSE


def test_aBodyUntilTheEnd() -> None:
    connection = asked()
    assert kinds(eventsOf(connection, b"HTTP/1.1 200 OK\r\n\r\nab")) == [200, b"ab"]
    connection.eof(0.0)
    assert kinds(eventsOf(connection)) == ["end"]
    assert connection.closing is CLOSE


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 2", b"HTTP/1.1 100 \r\n\r\n", EMPTY.replace(b"0", b"3") + b"a"])
def test_anEndInsideAResponse(data: bytes) -> None:
    connection = asked()
    connection.receive(data, 0.0)
    connection.eof(0.0)
    with pytest.raises(IncompleteRead):
        eventsOf(connection)
    assert (connection.closing, eventsOf(connection)) == (ABORT, [])


def test_aMalformedResponseEndsTheConnection() -> None:
    connection = asked()
    with pytest.raises(RemoteProtocolError):
        eventsOf(connection, b"ICY 200 OK\r\n\r\n")
    assert (connection.closing, connection.exchange.state, eventsOf(connection, EMPTY)) == (ABORT, CLOSED, [])


def test_bytesThatAnswerNothingEndTheConnection() -> None:
    """
    RFC 9112 section 9.2: they could be taken for the answer to the next request. It is all the same whether they
    come with the response before or after it.
    """
    together, after, first = asked(), asked(), ClientConnection()
    assert kinds(eventsOf(together, EMPTY + EMPTY)) == [200, "end"]
    assert kinds(eventsOf(after, EMPTY)) == [200, "end"]
    after.receive(EMPTY, 0.0)
    first.receive(EMPTY, 0.0)
    early = asking()
    assert kinds(eventsOf(early, EMPTY + b"H")) == [200, "end"]
    for connection in (together, after, first, early):
        assert (connection.closing, connection.isFree, eventsOf(connection)) == (ABORT, False, [])


def test_anIdleConnectionThatTheServerEnds() -> None:
    connection = asked()
    eventsOf(connection, EMPTY)
    connection.eof(0.0)
    assert (connection.closing, connection.isFree) == (CLOSE, False)


def test_theServerMayEndBeforeTheRequestIsComplete() -> None:
    """
    No other request can be answered, so that none is taken.
    """
    before, after = asking(), asking()
    assert kinds(eventsOf(after, EMPTY)) == [200, "end"]
    after.eof(0.0)
    before.receive(EMPTY, 0.0)
    before.eof(0.0)
    assert kinds(eventsOf(before)) == [200, "end"]
    for connection in (before, after):
        assert (connection.closing, connection.isFree) == (CLOSE, False)


def test_aResponseThatHasComeBeforeTheEndIsGiven() -> None:
    connection = asked()
    connection.receive(EMPTY, 0.0)
    connection.eof(0.0)
    assert kinds(eventsOf(connection)) == [200, "end"]
    assert connection.closing is CLOSE


# Tunnels


def test_anUpgradeHandsOverTheRest() -> None:
    connection = asked(Connection="Upgrade", Upgrade="x")
    assert kinds(eventsOf(connection, SWITCHES + b"re")) == [101]
    assert (connection.exchange.state, connection.closing) == (TUNNEL, KEEP)
    connection.receive(b"st", 0.0)
    assert (connection.takeRest(), connection.takeRest(), connection.deadline()) == (b"rest", b"", inf)


def test_aTunnel() -> None:
    connection = asked("CONNECT", Host="a:1")
    assert kinds(eventsOf(connection, b"HTTP/1.1 200 OK\r\n\r\nrest")) == [200]
    assert connection.takeRest() == b"rest"


def test_aTunnelThatIsDeclined() -> None:
    connection = asked("CONNECT", Host="a:1")
    assert kinds(eventsOf(connection, EMPTY.replace(b"200", b"403"))) == [403, "end"]
    assert connection.closing is CLOSE
    with pytest.raises(LocalProtocolError):
        connection.takeRest()


def test_aSwitchThatNobodyAskedFor() -> None:
    """
    RFC 9110 section 15.2.2.
    """
    for connection in (asked(), asked(Upgrade="x"), asked("CONNECT", Host="a:1")):
        with pytest.raises(RemoteProtocolError):
            eventsOf(connection, SWITCHES)
        assert (connection.closing, connection.exchange.state) == (ABORT, CLOSED)


def test_aSwitchBeforeTheRequestIsComplete() -> None:
    connection = asking(UPGRADES)
    with pytest.raises(RemoteProtocolError):
        eventsOf(connection, SWITCHES)
    assert (connection.closing, connection.exchange.state) == (ABORT, CLOSED)


# Room


def test_howMuchIsHeld() -> None:
    connection = asked(timing=ClientTiming(buffered=100))
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    connection.receive(head + bytes(100 - len(head)), 0.0)
    assert connection.wantsBytes
    connection.receive(b"x", 0.0)
    assert not connection.wantsBytes
    eventsOf(connection)
    assert connection.wantsBytes


def test_aLongHeadIsNotWaitedForInVain() -> None:
    connection = ClientConnection(Limits(), ClientTiming(buffered=10))
    connection.request(WasiRequest(headers=HOST), 0.0)
    assert eventsOf(connection, b"HTTP/1.1 200 OK\r\nContent-") == []
    assert connection.wantsBytes


# Deadlines


def expires(connection: ClientConnection, at: float, expected: Expired) -> None:
    """
    The next deadline, from both sides.
    """
    assert connection.deadline() == at
    assert connection.expire(at - 0.001) is None
    assert connection.expire(at) is expected


def test_theDeadlineOfAnIdleConnection() -> None:
    connection = ClientConnection(timing=ClientTiming(idle=9.0), now=1.0)
    expires(connection, 10.0, Expired.IDLE)
    assert connection.closing is CLOSE
    expires(connection, 40.0, Expired.FLUSH)
    assert (connection.closing, connection.deadline()) == (ABORT, inf)


def test_theDeadlineOfAResponse() -> None:
    connection = ClientConnection(timing=ClientTiming(response=3.0))
    connection.begin(WasiRequest("POST", "/", HOST), 0.0)
    assert connection.deadline() == inf
    connection.end(5.0)
    # Some of its head puts nothing off.
    connection.receive(EMPTY[:20], 7.0)
    expires(connection, 8.0, Expired.HEAD)
    assert connection.closing is ABORT


def test_theDeadlineOfMoreOfAResponse() -> None:
    connection = asked(timing=ClientTiming(read=3.0))
    connection.receive(b"HTTP/1.1 200 OK\r\n\r\n", 1.0)
    connection.nextEvent(1.0)
    connection.receive(b"a", 2.0)
    # Nobody has asked for it, nor for more.
    assert connection.deadline() == inf
    assert connection.nextPiece(3.0) == b"a"
    assert connection.nextPiece(4.0) is None
    expires(connection, 7.0, Expired.BODY)
    assert connection.closing is ABORT


def test_theDeadlineOfARequestThatIsNotTaken() -> None:
    connection = asking()
    connection.data(bytes(1000), 0.0)
    connection.taken(1000, 0.0)
    connection.taken(500, 10.0)
    expires(connection, 21.0, Expired.RESPONSE)
    assert connection.closing is ABORT
