"""
In each state of an exchange, and with what else may be the case, which deadline is next: row by row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

import pytest

from wasinet_twisted.http import WasiResponse
from wasinet_twisted.http.connection import ABORT, CLOSE, KEEP, Closing, Expired
from wasinet_twisted.http.exchange import STATES
from wasinet_twisted.http.timing import Timing

from .connections import GET, POST, UPGRADES, Connection, bodyOf, expires, made

# No two of these deadlines fall together, whichever begins when.
EACH = Timing(
    head=10.0, idle=75.0, bodyGrace=20.0, handler=40.0, halfClosed=5.0, flush=30.0, lingerSeconds=2.0, unreadBody=100
)


def fresh(data: bytes = b"", *, drained: bool = False, waits: bool = False, untaken: float | None = None) -> Connection:
    """
    Return a connection that has been made at 0; all that is given has come or been asked for at 1.

    @param waits: does somebody wait for the body, from 2 on?
    @param untaken: since when the client does not take what was sent.
    """
    connection = made(EACH)
    connection.receive(data, 1.0)
    if drained:
        connection.drain(1.0)
    return then(connection, waits=waits, untaken=untaken)


def then(
    connection: Connection, *, waits: bool = False, ended: bool = False, untaken: float | None = None
) -> Connection:
    if waits:
        connection.awaitBody(2.0)
    if ended:
        connection.eof(3.0)
    if untaken is not None:
        connection.taken(1000, untaken)
    return connection


def begun(
    data: bytes, *, waits: bool = False, ended: bool = False, untaken: float | None = None, **fields: str
) -> Connection:
    """
    The same, and its response has begun at 2.
    """
    connection = fresh(data)
    bodyOf(connection)
    connection.begin(WasiResponse(headers=fields), 2.0)
    return then(connection, waits=waits, ended=ended, untaken=untaken)


def complete(data: bytes, *, untaken: float | None = None) -> Connection:
    """
    The same, and its response is complete at 2.
    """
    connection = fresh(data)
    connection.respond(WasiResponse(), 2.0)
    return then(connection, untaken=untaken)


def over(*, sentEnd: bool = False, untaken: float | None = None) -> Connection:
    """
    The same, and no other one follows.
    """
    connection = then(complete(POST % 200), untaken=untaken)
    if sentEnd:
        connection.sentEnd(4.0)
    return connection


def tunnel() -> Connection:
    connection = fresh(UPGRADES)
    connection.upgrade("x", (), 2.0)
    return then(connection, untaken=3.0)


def closed(*, aborted: bool = False) -> Connection:
    connection = fresh()
    if aborted:
        connection.abort()
    else:
        connection.close(6.0, 2.0)
    return connection


@dataclass(frozen=True)
class Row:
    """
    A state, what else is the case in it, and the deadline that is next.

    @ivar after: what C{closing} says once the deadline has passed.
    """

    state: str
    case: str
    connection: Callable[[], Connection]
    at: float
    expired: Expired | None = None
    after: Closing = KEEP


LENGTH = {"Content-Length": "5"}
PART = POST % 100 + b"a"

# What passes, without its family name.
IDLE, UNREAD, RESPONSE, HALF_CLOSED, LINGER, FLUSH, HEAD, BODY, HANDLER = Expired

ROWS = (
    Row("IDLE", "fresh", lambda: fresh(), 75.0, IDLE, CLOSE),
    Row("IDLE", "fresh, draining", lambda: fresh(drained=True), 1.0, IDLE, CLOSE),
    Row("IDLE", "after a response", lambda: complete(GET), 77.0, IDLE, CLOSE),
    Row("IDLE", "not taken", lambda: complete(GET, untaken=60.0), 80.0, RESPONSE, ABORT),
    Row("HEAD", "", lambda: fresh(GET[:5]), 11.0, HEAD),
    Row("HEAD", "draining", lambda: fresh(GET[:5], drained=True), 11.0, HEAD),
    Row("HEAD", "not taken, the head first", lambda: fresh(GET[:5], untaken=-8.0), 11.0, HEAD),
    Row("HEAD", "not taken, this first", lambda: fresh(GET[:5], untaken=-10.0), 10.0, RESPONSE, ABORT),
    Row("ASKING", "nobody waits", lambda: fresh(PART), 41.0, HANDLER),
    Row("ASKING", "somebody waits", lambda: fresh(POST % 100, waits=True), 22.0, BODY),
    Row("ASKING", "not taken, the body first", lambda: fresh(POST % 9, waits=True, untaken=3.0), 22.0, BODY),
    Row("ASKING", "not taken, this first", lambda: fresh(POST % 9, waits=True, untaken=1.0), 21.0, RESPONSE, ABORT),
    Row("ASKED", "", lambda: fresh(GET), 41.0, HANDLER),
    Row("ASKED", "draining", lambda: fresh(GET, drained=True), 41.0, HANDLER),
    Row("ASKED", "the client has ended", lambda: then(fresh(GET), ended=True), 41.0, HANDLER),
    Row("ASKED", "not taken, the handler first", lambda: fresh(GET, untaken=22.0), 41.0, HANDLER),
    Row("ASKED", "not taken, this first", lambda: fresh(GET, untaken=2.0), 22.0, RESPONSE, ABORT),
    Row("EARLY", "nobody waits", lambda: begun(PART), inf),
    Row("EARLY", "somebody waits", lambda: begun(POST % 100, waits=True), 22.0, BODY),
    Row("EARLY", "not taken, the body first", lambda: begun(POST % 9, waits=True, untaken=3.0), 22.0, BODY),
    Row("EARLY", "not taken", lambda: begun(PART, untaken=4.0), 24.0, RESPONSE, ABORT),
    Row("EARLY", "the client has ended", lambda: begun(PART, ended=True), 8.0, HALF_CLOSED, ABORT),
    Row("EARLY", "the client has ended, a length", lambda: begun(PART, ended=True, **LENGTH), inf),
    Row("ANSWERING", "", lambda: begun(GET), inf),
    Row("ANSWERING", "not taken", lambda: begun(GET, untaken=4.0), 24.0, RESPONSE, ABORT),
    Row("ANSWERING", "the client has ended", lambda: begun(GET, ended=True), 8.0, HALF_CLOSED, ABORT),
    Row("ANSWERING", "the client has ended, a length", lambda: begun(GET, ended=True, **LENGTH), inf),
    Row("ANSWERING", "ended, not taken", lambda: begun(GET, ended=True, untaken=4.0), 24.0, RESPONSE, ABORT),
    Row("UNREAD", "", lambda: complete(POST % 100), 22.0, UNREAD, CLOSE),
    Row("UNREAD", "not taken, the body first", lambda: complete(POST % 100, untaken=3.0), 22.0, UNREAD, CLOSE),
    Row("UNREAD", "not taken, this first", lambda: complete(POST % 100, untaken=1.0), 21.0, RESPONSE, ABORT),
    Row("OVER", "", lambda: over(), 32.0, FLUSH, ABORT),
    Row("OVER", "not taken", lambda: over(untaken=2.0), 32.0, FLUSH, ABORT),
    Row("OVER", "our direction has ended", lambda: over(sentEnd=True), 6.0, LINGER, CLOSE),
    Row("TUNNEL", "not taken", lambda: tunnel(), inf),
    Row("CLOSED", "closing", lambda: closed(), 8.0, FLUSH, ABORT),
    Row("CLOSED", "aborted", lambda: closed(aborted=True), inf, None, ABORT),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.state} {row.case}")
def test_theNextDeadline(row: Row) -> None:
    connection = row.connection()
    assert STATES[connection.exchange.state] == row.state
    if row.expired is None:
        assert (connection.deadline(), connection.expire(1e9)) == (inf, None)
    else:
        expires(connection, row.at, row.expired)
    assert connection.closing is row.after


def test_eachStateHasARow() -> None:
    assert {row.state for row in ROWS} == set(STATES)


def test_eachDeadlineHasARow() -> None:
    assert {row.expired for row in ROWS} == {None, *Expired}
