"""
What the server does when a deadline of one of its connections has passed.

C{http.timing} says when that is; the server's clock looks twice a second.
"""

from __future__ import annotations

from typing import Protocol

from ..errors import SlowBody
from ..http.connection import KEEP, Expired
from ..http.exchange import TUNNEL
from .handling import refuse
from .interfaces import Carrier

# What the statistics call a connection that is closed without an answer: few and fixed words.
_DROPPED = {
    Expired.IDLE: "idle",
    Expired.UNREAD: "slow body",
    Expired.RESPONSE: "slow reader",
    Expired.HALF_CLOSED: "half-closed",
}


class Ticked(Carrier, Protocol):
    """
    A connection, as its deadlines need it.
    """

    def untaken(self) -> int:
        """
        How many bytes has the peer not taken of what was sent?
        """

    def failBody(self, error: SlowBody) -> None:
        """
        Tell whoever waits for the body.
        """

    def closeExpired(self) -> None:
        """
        The peer has not taken what was queued before the connection closed.
        """


def tick(protocol: Ticked, now: float) -> None:
    """
    Look at the deadlines of a connection.
    """
    connection = protocol.connection
    if connection.exchange.state == TUNNEL:
        return
    if connection.clock.taking is not None or connection.closing is not KEEP:
        connection.taken(protocol.untaken(), now)
    expired = connection.expire(now)
    if expired is None:
        return
    statistics = protocol.server.statistics
    if expired in _DROPPED and not (expired is Expired.IDLE and connection.draining):
        statistics.dropped(_DROPPED[expired])
    if expired is Expired.HEAD:
        refuse(protocol, 408, "the head took too long", None)
    elif expired is Expired.BODY:
        statistics.dropped("slow body")
        got, waited = connection.reader.got, connection.clock.waited
        protocol.failBody(SlowBody(f"timed out: {got} bytes of a body in {waited:.0f} s"))
    elif expired is Expired.HANDLER:
        protocol.server.cancel(protocol)
    elif expired is Expired.FLUSH:
        protocol.closeExpired()
    else:
        protocol.follow()
