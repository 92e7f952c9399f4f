"""
Each deadline of a L{ServerConnection}, from both sides and exactly: time is a number, nothing waits.

What Twisted's side does when one has passed is shown in C{tests/server/test_deadlines.py}.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nextafter

import pytest

from wasinet_twisted.http import WasiResponse
from wasinet_twisted.http.connection import ABORT, CLOSE, KEEP, LINGER, Expired
from wasinet_twisted.http.timing import FRESH, Timing

from .connections import CHUNKED, EMPTY, EXPECTS, GET, LAST, POST, UPGRADES, Connection, asked, bodyOf, expires, made


def answered(data: bytes, now: float, timing: Timing | None = None) -> Connection:
    """
    Return a connection on which a request has come at 0, and has been answered.
    """
    connection = asked(data, made(timing or Timing()))
    connection.respond(WasiResponse(), now)
    return connection


def streaming(data: bytes, now: float, timing: Timing | None = None, **fields: str) -> Connection:
    """
    Return a connection on which a request has come at 0, and the response to it has begun.
    """
    connection = asked(data, made(timing or Timing()))
    connection.begin(WasiResponse(headers=fields), now)
    return connection


# A head


def test_aHeadHasItsTimeFromItsFirstByteOn() -> None:
    """
    Neither the connection's beginning nor the latest byte counts.
    """
    connection = made(Timing(head=10.0))
    for index in range(9):
        assert connection.receive(GET[index : index + 1], 30.0 + index) is None
    expires(connection, 40.0, Expired.HEAD)


def test_aHeadThatTakesTooLongIsStillToBeRefused() -> None:
    connection = made(Timing(head=10.0))
    connection.receive(GET[:9], 1.0)
    expires(connection, 11.0, Expired.HEAD)
    assert connection.closing is KEEP
    assert connection.refuse(408, "slow", 11.0)[0].startswith(b"HTTP/1.1 408 ")
    assert connection.closing is LINGER


def test_aHeadThatIsCompleteHasNoDeadline() -> None:
    connection = made(Timing(head=10.0))
    connection.receive(GET[:-1], 1.0)
    connection.receive(GET[-1:], 10.9)
    assert (connection.deadline(), connection.respond(WasiResponse(), 99.0)) == (inf, EMPTY)


def test_aHeadIsNotPutOffByWhatIsTaken() -> None:
    connection = made(Timing(head=10.0))
    connection.taken(10, 0.0)
    connection.receive(GET[:5], 1.0)
    connection.taken(0, 5.0)
    expires(connection, 11.0, Expired.HEAD)


def test_eachHeadHasItsTimeAnew() -> None:
    connection = made(Timing(head=10.0))
    for begun in (0.0, 20.0, 40.0):
        assert connection.receive(GET[:5], begun) is None
        assert connection.deadline() == begun + 10.0
        assert connection.receive(GET[5:], begun + 8.0) is not None
        connection.respond(WasiResponse(), begun + 8.0)


def test_aPipelinedHeadHasItsTimeFromTheEndOfTheResponseBefore() -> None:
    """
    Nobody has looked at it before.
    """
    connection = asked(GET + GET[:5], made(Timing(head=10.0)))
    assert connection.deadline() == inf
    connection.respond(WasiResponse(), 50.0)
    assert connection.receive(b"", 50.0) is None
    expires(connection, 60.0, Expired.HEAD)


# Between two requests


def test_anIdleConnectionClosesWithoutItsFirstRequest() -> None:
    connection = made(Timing(idle=75.0), now=100.0)
    expires(connection, 175.0, Expired.IDLE)
    assert connection.closing is CLOSE


@pytest.mark.parametrize("data", [GET, POST % 0])
def test_anIdleConnectionClosesAfterAResponse(data: bytes) -> None:
    connection = answered(data, 60.0, Timing(idle=75.0))
    expires(connection, 135.0, Expired.IDLE)
    assert connection.closing is CLOSE


def test_anIdleConnectionClosesAfterAStream() -> None:
    connection = streaming(GET, 1.0, Timing(idle=75.0))
    connection.end(60.0)
    expires(connection, 135.0, Expired.IDLE)


def test_aConnectionIsNotIdleWhileItsHandlerRuns() -> None:
    assert asked(GET).deadline() == inf


def test_aConnectionIsNotIdleWhileItTakesItsResponse() -> None:
    connection = answered(GET, 0.0, Timing(idle=10.0, bodyGrace=20.0))
    connection.taken(10_000, 0.0)
    assert connection.deadline() == 20.0
    connection.taken(0, 15.0)
    expires(connection, 25.0, Expired.IDLE)


def test_tellingThatNothingWaitsPutsNoDeadlineOff() -> None:
    """
    A caller may tell so as often as it likes.
    """
    idle = made(Timing(idle=75.0))
    idle.taken(0, 50.0)
    assert idle.deadline() == 75.0
    halfClosed = streaming(GET, 0.0, Timing(halfClosed=5.0))
    halfClosed.eof(1.0)
    halfClosed.taken(0, 4.0)
    assert halfClosed.deadline() == 6.0


def test_whichConnectionsAreIdle() -> None:
    """
    They make room when the server is full. The first request of one that is younger than a head may be on its way.
    """
    fresh = made(Timing(head=10.0), now=5.0)
    assert [fresh.isIdle(now) for now in (nextafter(15.0, 0), 15.0)] == [False, True]
    used = answered(GET, 5.0)
    assert used.isIdle(5.0)
    used.taken(1, 5.0)
    assert not used.isIdle(30.0)
    used.taken(0, 30.0)
    assert used.isIdle(30.0)
    used.receive(GET[:5], 30.0)
    assert not used.isIdle(99.0)
    assert not asked(GET).isIdle(99.0)


# A body that somebody waits for


def test_aBodyOfWhichNothingComes() -> None:
    connection = asked(POST % 10, made(Timing(bodyGrace=20.0)))
    connection.awaitBody(1.0)
    expires(connection, 21.0, Expired.BODY)


def test_aBodyHasNoDeadlineWhileNobodyWaitsForIt() -> None:
    connection = asked(POST % 10)
    assert connection.deadline() == inf
    connection.awaitBody(100.0)
    assert connection.deadline() == 120.0
    connection.clock.waitNoMore(101.0)
    assert connection.deadline() == inf


def test_whatComesOfABodyBuysTime() -> None:
    """
    A thousand bytes buy two seconds, and only the time in which somebody waits is spent.
    """
    connection = asked(POST % 5000, made(Timing(bodyGrace=20.0, bodyRate=500.0)))
    connection.awaitBody(1.0)
    connection.receive(bytes(1000), 11.0)
    assert (bodyOf(connection), connection.deadline()) == (bytes(1000), inf)
    connection.awaitBody(50.0)
    expires(connection, 50.0 + 20.0 + 2.0 - 10.0, Expired.BODY)


def fed(bytesPerSecond: int, seconds: int) -> float:
    """
    Let a body come at a steady rate, twice a second, to somebody who always waits for it.

    @return: when that was too slow; C{inf}: it was not.
    """
    connection = asked(POST % 1_000_000, made(Timing(bodyGrace=20.0, bodyRate=500.0)))
    for half in range(1, 2 * seconds):
        connection.awaitBody((half - 1) / 2)
        if connection.deadline() <= half / 2:
            return connection.deadline()
        connection.receive(bytes(bytesPerSecond // 2), half / 2)
        bodyOf(connection)
    return inf


def test_aBodyThatIsFastEnough() -> None:
    assert fed(500, 300) == inf


def test_aBodyThatIsTooSlow() -> None:
    """
    At 400 bytes a second, a fifth of each second is of the grace.
    """
    # The bytes of 97.5 s had bought 78 s.
    assert fed(400, 300) == 98.0


def test_aBodyThatHasBeenTooSlowMayBeAnsweredAndStillCome() -> None:
    connection = asked(POST % 10, made(Timing(bodyGrace=20.0)))
    connection.awaitBody(0.0)
    expires(connection, 20.0, Expired.BODY)
    assert (connection.closing, connection.deadline()) == (KEEP, inf)
    assert connection.respond(WasiResponse(), 20.0) == EMPTY
    assert connection.receive(bytes(10) + GET, 21.0) is not None


@pytest.mark.parametrize("arrives", [Connection.receive, Connection.keep])
def test_bytesEndTheWait(arrives: Callable[[Connection, bytes, float], object]) -> None:
    connection = asked(POST % 10)
    connection.awaitBody(1.0)
    arrives(connection, b"a", 2.0)
    assert (connection.deadline(), connection.clock.waited) == (inf, 1.0)


def test_nobodyWaitsForABodyThatIsComplete() -> None:
    """
    Nor for that of no request: such a wait would never end.
    """
    connection = made()
    assert (connection.awaitBody(50.0), connection.deadline()) == (b"", 75.0)
    asked(POST % 5000 + bytes(5), connection)
    connection.receive(bytes(4995), 1.0)
    assert bodyOf(connection) == bytes(5000)
    assert (connection.awaitBody(50.0), connection.deadline()) == (b"", inf)


def test_nobodyWaitsForABodyThatHasComeWithItsHead() -> None:
    """
    There is nothing to be continued either.
    """
    connection = asked(EXPECTS + b"hello")
    assert (connection.awaitBody(50.0), connection.deadline()) == (b"", inf)
    assert bodyOf(connection) == b"hello"


@pytest.mark.parametrize("data", [POST % 1000, CHUNKED])
def test_theWaitEndsWithTheResponse(data: bytes) -> None:
    """
    What still comes of the body is one that nobody wants.
    """
    connection = asked(data, made(Timing(bodyGrace=20.0)))
    connection.awaitBody(0.0)
    connection.respond(WasiResponse(), 10.0)
    expires(connection, 30.0, Expired.UNREAD)


# A handler


def test_aHandlerHasAsMuchTimeAsItLikes() -> None:
    assert Timing().handler is None
    assert asked(GET).deadline() == inf


def test_aHandlerHasItsTimeFromTheRequestsHeadOn() -> None:
    connection = asked(GET, made(Timing(handler=7.0)), now=60.0)
    expires(connection, 67.0, Expired.HANDLER)


def test_aHandlerIsToldOnceAndMayAnswer() -> None:
    connection = asked(GET, made(Timing(handler=7.0)))
    expires(connection, 7.0, Expired.HANDLER)
    assert (connection.closing, connection.deadline(), connection.expire(99.0)) == (KEEP, inf, None)
    assert connection.respond(WasiResponse(202), 99.0).startswith(b"HTTP/1.1 202 ")
    assert connection.closing is KEEP


def test_eachHandlerHasItsTimeAnew() -> None:
    connection = asked(GET, made(Timing(handler=7.0)))
    connection.expire(7.0)
    connection.respond(WasiResponse(), 8.0)
    asked(GET, connection, now=20.0)
    expires(connection, 27.0, Expired.HANDLER)


def test_waitingForTheBodyIsNotTheHandlersTime() -> None:
    connection = asked(POST % 4, made(Timing(handler=5.0, bodyGrace=20.0)))
    connection.awaitBody(1.0)
    assert connection.deadline() == 21.0
    connection.receive(b"ab", 11.0)
    assert connection.deadline() == 15.0
    bodyOf(connection)
    connection.awaitBody(12.0)
    connection.receive(b"cd", 13.0)
    bodyOf(connection)
    expires(connection, 5.0 + 10.0 + 1.0, Expired.HANDLER)
    # The next request's has its own.
    connection.respond(WasiResponse(), 20.0)
    asked(GET, connection, now=20.0)
    assert connection.deadline() == 25.0


@pytest.mark.parametrize(("waitsAt", "expired"), [(4.9, Expired.BODY), (5.0, Expired.HANDLER)])
def test_whatWaitsForTheBodyTooLate(waitsAt: float, expired: Expired) -> None:
    """
    Whoever waits for the body when its own time is over gets no more of it.
    """
    connection = asked(POST % 4, made(Timing(handler=5.0, bodyGrace=20.0)))
    connection.awaitBody(waitsAt)
    expires(connection, 5.0 if expired is Expired.HANDLER else waitsAt + 20.0, expired)


def test_aResponseThatHasBegunIsNotTheHandlersTime() -> None:
    assert streaming(GET, 1.0, Timing(handler=7.0)).deadline() == inf


# A body that nobody wants


def test_anUnreadBodyHasItsTimeFromTheEndOfTheResponse() -> None:
    connection = answered(POST % 2000, 5.0, Timing(bodyGrace=20.0))
    expires(connection, 25.0, Expired.UNREAD)
    assert connection.closing is CLOSE


def test_whatComesOfAnUnreadBodyBuysTime() -> None:
    connection = answered(POST % 2000, 5.0, Timing(bodyGrace=20.0, bodyRate=500.0))
    connection.receive(bytes(1000), 24.0)
    expires(connection, 27.0, Expired.UNREAD)


def test_whatHasBeenReadOfAnUnreadBodyBuysNoTime() -> None:
    connection = asked(POST % 2000 + bytes(1000), made(Timing(bodyGrace=20.0, bodyRate=500.0)))
    assert bodyOf(connection) == bytes(1000)
    connection.respond(WasiResponse(), 5.0)
    expires(connection, 25.0, Expired.UNREAD)


def test_anUnreadBodyThatComesInTime() -> None:
    connection = answered(POST % 2000, 5.0, Timing(bodyGrace=20.0, idle=75.0))
    connection.receive(bytes(2000), 24.9)
    assert (connection.closing, connection.deadline()) == (KEEP, 24.9 + 75.0)


# A response that the client takes, or does not


def test_aResponseOfWhichNothingIsTaken() -> None:
    connection = answered(GET, 0.0, Timing(bodyGrace=20.0))
    connection.taken(10_000, 1.0)
    connection.taken(10_000, 15.0)
    expires(connection, 21.0, Expired.RESPONSE)
    assert connection.closing is ABORT


def test_whatIsTakenOfAResponseBuysTime() -> None:
    connection = streaming(GET, 0.0, Timing(bodyGrace=20.0, responseRate=500.0))
    connection.taken(10_000, 1.0)
    connection.taken(9_000, 11.0)
    expires(connection, 23.0, Expired.RESPONSE)


def test_whatTheKernelTakesAtOnceBuysNoTime() -> None:
    connection = streaming(GET, 0.0, Timing(bodyGrace=20.0, responseRate=500.0))
    connection.taken(2_000_000, 1.0)
    connection.taken(1_000_000, 1.0)
    expires(connection, 21.0, Expired.RESPONSE)


@pytest.mark.parametrize(("bytesPerSecond", "until"), [(500, inf), (400, 96.0)])
def test_aResponseThatIsTakenSteadily(bytesPerSecond: int, until: float) -> None:
    """
    At 400 bytes a second, a fifth of each second is of the grace.
    """
    connection = streaming(GET, 0.0, Timing(bodyGrace=20.0, responseRate=500.0))
    connection.taken(1_000_000, 0.0)
    for second in range(1, 300):
        if connection.expire(second) is not None:
            assert second == until
            return
        connection.taken(1_000_000 - second * bytesPerSecond, second)
    assert until == inf


def test_aResponseThatHasBeenTakenHasNoDeadline() -> None:
    connection = streaming(GET, 0.0)
    connection.taken(10_000, 1.0)
    connection.taken(0, 20.9)
    assert connection.deadline() == inf
    # The next time is another one.
    connection.taken(10, 100.0)
    assert connection.deadline() == 120.0


def test_aTunnelIsNotMeasured() -> None:
    """
    What goes on in it is nothing that HTTP knows of.
    """
    connection = asked(UPGRADES)
    connection.taken(10_000, 0.0)
    connection.upgrade("x", (), 1.0)
    assert (connection.deadline(), connection.expire(1e9)) == (inf, None)


# A response to a client that has ended its direction


def test_aHalfClosedClientsStreamEndsWithoutPieces() -> None:
    connection = streaming(GET, 0.0, Timing(halfClosed=5.0))
    assert connection.deadline() == inf
    connection.eof(1.0)
    expires(connection, 6.0, Expired.HALF_CLOSED)
    assert connection.closing is ABORT


def test_eachPieceGivesAHalfClosedClientsStreamItsTimeAnew() -> None:
    connection = streaming(GET, 0.0, Timing(halfClosed=5.0))
    connection.eof(1.0)
    for now in (5.0, 9.0, 13.0):
        connection.data(b"a", now)
        assert connection.deadline() == now + 5.0
    expires(connection, 18.0, Expired.HALF_CLOSED)


def test_aStreamThatBeginsAfterTheEndHasItsTimeFromThenOn() -> None:
    connection = asked(GET, made(Timing(halfClosed=5.0)))
    connection.eof(1.0)
    # The handler takes the time it needs.
    assert connection.deadline() == inf
    connection.begin(WasiResponse(), 50.0)
    expires(connection, 55.0, Expired.HALF_CLOSED)


def test_aHalfClosedClientTakesItsTimeForAPiece() -> None:
    """
    While it does, it is there: then only the rate counts.
    """
    connection = streaming(GET, 0.0, Timing(halfClosed=5.0, bodyGrace=20.0))
    connection.eof(1.0)
    connection.taken(1000, 2.0)
    assert connection.deadline() == 22.0
    connection.taken(0, 10.0)
    expires(connection, 15.0, Expired.HALF_CLOSED)


@pytest.mark.parametrize("length", ["0", "2"])
def test_aHalfClosedClientGetsAResponseWithALength(length: str) -> None:
    connection = streaming(GET, 0.0, **{"Content-Length": length})
    connection.eof(1.0)
    assert connection.deadline() == inf


def test_aStreamMayOutliveTheEnd() -> None:
    """
    One does; the next has to say so itself.
    """
    connection = streaming(GET + GET, 0.0, Timing(halfClosed=5.0))
    connection.eof(1.0)
    connection.clock.outlive()
    assert connection.deadline() == inf
    connection.end(50.0)
    connection.receive(b"", 50.0)
    connection.begin(WasiResponse(), 60.0)
    assert connection.deadline() == 65.0


# Lingering


def lingering(timing: Timing) -> Connection:
    """
    Return a connection that has been answered for the last time at 0, amid a body.
    """
    connection = answered(POST % 5, 0.0, timing)
    assert connection.closing is LINGER
    return connection


def test_lingeringBeginsWhenOurDirectionHasEnded() -> None:
    connection = lingering(Timing(unreadBody=0, lingerSeconds=2.0, flush=30.0))
    assert (connection.deadline(), connection.wantsBytes) == (30.0, True)
    connection.sentEnd(1.0)
    expires(connection, 3.0, Expired.LINGER)
    assert (connection.closing, connection.wantsBytes) == (CLOSE, False)
    expires(connection, 33.0, Expired.FLUSH)
    assert (connection.closing, connection.deadline()) == (ABORT, inf)


def test_lingeringIsNotPutOffByWhatComes() -> None:
    connection = lingering(Timing(unreadBody=0, lingerSeconds=2.0))
    connection.sentEnd(1.0)
    connection.receive(b"abc", 2.0)
    connection.keep(b"abc", 2.5)
    assert connection.deadline() == 3.0


def test_aLastResponseThatIsNotTakenIsNotFlushedTwice() -> None:
    """
    Lingering has not begun, so that nothing follows it.
    """
    connection = lingering(Timing(unreadBody=0, flush=30.0))
    connection.taken(10_000, 0.0)
    expires(connection, 30.0, Expired.FLUSH)
    assert connection.closing is ABORT


def test_aLastResponseThatIsBeingTakenHasMoreTime() -> None:
    connection = lingering(Timing(unreadBody=0, flush=30.0, responseRate=500.0, lingerSeconds=2.0))
    connection.taken(10_000, 0.0)
    connection.taken(5_000, 20.0)
    assert connection.deadline() == 40.0
    # What was earned is for sending alone.
    connection.sentEnd(39.0)
    expires(connection, 41.0, Expired.LINGER)


# The end


def test_whatIsQueuedHasItsTimeWhenTheConnectionCloses() -> None:
    connection = asked(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", made(Timing(flush=30.0)))
    assert connection.respond(WasiResponse(), 1.0) == LAST
    connection.taken(10_000, 1.0)
    assert connection.closing is CLOSE
    expires(connection, 31.0, Expired.FLUSH)
    assert (connection.closing, connection.deadline()) == (ABORT, inf)


def test_whatIsTakenWhenTheConnectionClosesBuysTime() -> None:
    connection = made(Timing(responseRate=500.0))
    connection.taken(10_000, 1.0)
    connection.close(20.0, 1.0)
    connection.taken(8_000, 11.0)
    expires(connection, 25.0, Expired.FLUSH)


def test_theEarliestTimeToCloseHolds() -> None:
    connection = made()
    connection.close(20.0, 0.0)
    connection.close(5.0, 1.0)
    connection.close(60.0, 2.0)
    expires(connection, 6.0, Expired.FLUSH)
    assert connection.closing is ABORT


def test_theEndOfOurDirectionIsNoneOfClosing() -> None:
    """
    What is queued has the time that it had.
    """
    connection = made(Timing(lingerSeconds=2.0, responseRate=500.0))
    connection.close(20.0, 0.0)
    connection.taken(1_000, 0.0)
    connection.taken(500, 10.0)
    connection.sentEnd(11.0)
    expires(connection, 21.0, Expired.FLUSH)


def test_closingEndsLingeringWithATimeOfItsOwn() -> None:
    connection = lingering(Timing(unreadBody=0, flush=30.0))
    connection.close(60.0, 1.0)
    assert connection.closing is CLOSE
    expires(connection, 61.0, Expired.FLUSH)


def test_anAbortedConnectionHasNoDeadline() -> None:
    connection = made()
    connection.abort()
    connection.close(5.0, 0.0)
    assert (connection.closing, connection.deadline(), connection.expire(1e9)) == (ABORT, inf, None)


def test_anIdleConnectionThatMakesRoomHasTimeToClose() -> None:
    connection = answered(GET, 5.0, Timing(flush=30.0))
    connection.closeIdle(40.0)
    expires(connection, 70.0, Expired.FLUSH)


# Draining


def test_aDrainLeavesTheFirstRequestAMomentToCome() -> None:
    """
    It may be in the kernel's buffer.
    """
    connection = made(now=5.0)
    connection.drain(5.25)
    expires(connection, 5.0 + FRESH, Expired.IDLE)
    assert connection.closing is CLOSE


def test_aDrainMakesNoDeadlineLater() -> None:
    connection = made(Timing(idle=FRESH / 4), now=5.0)
    connection.drain(5.0)
    assert connection.deadline() == 5.0 + FRESH / 4


def test_aDrainClosesTheIdleAtOnce() -> None:
    connection = answered(GET, 1.0, Timing(flush=30.0))
    connection.drain(10.0)
    assert connection.closing is CLOSE
    expires(connection, 40.0, Expired.FLUSH)


def test_aDrainLeavesARequestThatHasCome() -> None:
    """
    Nobody has looked at it yet.
    """
    connection = answered(GET + GET, 1.0)
    assert not connection.isIdle(99.0)
    connection.drain(10.0)
    connection.closeIdle(10.0)
    assert connection.closing is KEEP
    assert connection.receive(b"", 10.0) is not None
    assert connection.respond(WasiResponse(), 10.0) == LAST


def test_aDrainWaitsForAResponseThatIsBeingTaken() -> None:
    """
    It is queued, and has the time of what is.
    """
    connection = answered(GET, 1.0, Timing(flush=30.0, responseRate=500.0))
    connection.taken(10_000, 1.0)
    connection.drain(10.0)
    connection.taken(9_000, 20.0)
    expires(connection, 42.0, Expired.FLUSH)


def test_aDrainLeavesAHalfReceivedHeadItsDeadline() -> None:
    connection = made(Timing(head=10.0))
    connection.receive(GET[:5], 1.0)
    connection.drain(5.0)
    expires(connection, 11.0, Expired.HEAD)
    connection = made()
    connection.receive(GET[:5], 1.0)
    connection.drain(5.0)
    assert asked(GET[5:], connection).respond(WasiResponse(), 6.0) == LAST


def test_aDrainLeavesAnUnreadBodyItsDeadline() -> None:
    connection = answered(POST % 10, 1.0, Timing(bodyGrace=20.0))
    connection.drain(5.0)
    assert (connection.closing, connection.deadline()) == (KEEP, 21.0)
    connection.receive(bytes(10), 6.0)
    assert connection.closing is CLOSE


def test_aDrainLeavesAHandlerItsDeadline() -> None:
    connection = asked(GET, made(Timing(handler=7.0)))
    connection.drain(5.0)
    expires(connection, 7.0, Expired.HANDLER)
    assert connection.respond(WasiResponse(503), 7.0).startswith(b"HTTP/1.1 503 ")
    assert connection.closing is CLOSE


# A drain that lets idle connections wait for one request more


DRAIN_IDLE = Timing(idle=75.0, drainIdle=3.0)


def test_anIdleConnectionWaitsForOneRequestMoreAtADrain() -> None:
    connection = answered(GET, 1.0, DRAIN_IDLE)
    connection.drain(10.0)
    assert connection.closing is KEEP
    expires(connection, 13.0, Expired.IDLE)
    assert connection.closing is CLOSE


def test_theRequestThatComesMeanwhileIsTheLastOne() -> None:
    connection = answered(GET, 1.0, DRAIN_IDLE)
    connection.drain(10.0)
    assert connection.receive(GET + GET, 12.9) is not None
    assert b"\r\nConnection: close\r\n" in connection.respond(WasiResponse(), 13.5)
    assert connection.closing is not KEEP
    assert connection.receive(b"", 13.5) is None


def test_theHeadOfThatRequestHasItsOwnTime() -> None:
    connection = answered(GET, 1.0, DRAIN_IDLE)
    connection.drain(10.0)
    connection.receive(GET[:5], 12.0)
    expires(connection, 12.0 + Timing().head, Expired.HEAD)


def test_anIdleConnectionWaitsNoLongerThanWithoutADrain() -> None:
    connection = answered(GET, 1.0, DRAIN_IDLE)
    connection.drain(75.0)
    expires(connection, 76.0, Expired.IDLE)


def test_aStreamThatHadBegunLeavesTimeForTheNextRequest() -> None:
    """
    Its head could not say that the connection ends.
    """
    connection = streaming(GET, 1.0, DRAIN_IDLE)
    connection.drain(10.0)
    connection.end(20.0)
    assert connection.closing is KEEP
    expires(connection, 23.0, Expired.IDLE)


def test_aConnectionWithoutARequestWaitsForTheLongerTime() -> None:
    for drainIdle, expected in ((0.25, 5.0 + FRESH), (3.0, 8.5)):
        connection = made(Timing(drainIdle=drainIdle), now=5.0)
        connection.drain(5.5)
        expires(connection, expected, Expired.IDLE)


def test_aSecondDrainPutsNothingOff() -> None:
    connection = answered(GET, 1.0, DRAIN_IDLE)
    connection.drain(10.0)
    connection.drain(12.0)
    expires(connection, 13.0, Expired.IDLE)


def test_anAnswerStillBeingTakenAtADrain() -> None:
    """
    The connection is idle from when it has been taken on.
    """
    connection = answered(GET, 1.0, DRAIN_IDLE)
    connection.taken(100, 1.0)
    connection.drain(2.0)
    connection.taken(0, 8.0)
    expires(connection, 11.0, Expired.IDLE)
