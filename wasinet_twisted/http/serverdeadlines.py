"""
Which deadline of a server's connection comes next, in each of its states.
"""

from __future__ import annotations

from math import inf

from .connection import Expired, sooner
from .exchange import ASKED, HEAD, IDLE, TUNNEL, UNREAD, Exchange
from .timing import ServerClock


def nextDeadline(clock: ServerClock, exchange: Exchange, got: int, endless: bool) -> tuple[float, Expired]:
    """
    Return the next deadline of a connection that is not closing, and what it is one for.

    @param exchange: its states.
    @param got: how much of the present body has been handed out, in bytes.
    @param endless: is a response without a length sent to a client that has ended its direction?
    """
    timing, state = clock.timing, exchange.state
    if state == IDLE:
        if clock.taking is not None:
            # A client that still takes the last response is not idle.
            return clock.response(), Expired.RESPONSE
        return clock.idle(fresh=not exchange.count), Expired.IDLE
    if state == TUNNEL:
        return inf, Expired.IDLE
    found = clock.body(got), Expired.BODY
    if state == HEAD:
        found = clock.since + timing.head, Expired.HEAD
    elif state == UNREAD:
        found = clock.since + timing.slowest(got), Expired.UNREAD
    elif state <= ASKED:
        found = sooner(found, (clock.handler(), Expired.HANDLER))
    elif endless:
        found = clock.halfClosed(), Expired.HALF_CLOSED
    return found if clock.taking is None else sooner(found, (clock.response(), Expired.RESPONSE))
