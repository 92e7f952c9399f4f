"""
What the client does when a deadline of one of its connections may have passed.

C{http.timing} says when that is; the total time of a request is L{Call}'s.
"""

from __future__ import annotations

from typing import Any, Protocol

from ..errors import TimedOut, WasinetError
from ..http import ClientConnection
from ..http.connection import Expired
from .call import Call


class Timed(Protocol):
    """
    A connection, as its deadlines need it.
    """

    call: Call | None

    def arm(self, now: float) -> None:
        """
        Make the timer run at the next deadline, or before.
        """

    def untaken(self) -> int:
        """
        How many bytes has the server not taken of what was sent?
        """

    def follow(self) -> None:
        """
        The end of the connection has been decided.
        """

    def byPeer(self, error: WasinetError) -> WasinetError:
        """
        Mark an error as caused by the server.
        """

    def failFor(self, error: WasinetError) -> None:
        """
        End the connection, and raise C{error} in the waiting caller.
        """


def look(protocol: Timed, connection: ClientConnection, now: float) -> None:
    """
    Look at the deadlines of a connection.
    """
    call = protocol.call
    if connection.clock.taking is not None:
        connection.taken(protocol.untaken(), now)
    if call is not None and now >= call.until:
        error = TimedOut(f"timed out: {call}: not complete in {call.until - call.start():.3g} s")
    else:
        expired = connection.expire(now)
        if expired is None:
            protocol.arm(now)
            return
        if expired is Expired.IDLE:
            protocol.follow()
            return
        error = TimedOut(_late(expired, call, connection.clock.timing))
    protocol.failFor(protocol.byPeer(error))


def _late(expired: Expired, call: Call | None, timing: Any) -> str:
    if expired is Expired.HEAD:
        return f"timed out: {call}: no response in {timing.response:g} s"
    if expired is Expired.BODY:
        return f"timed out: {call}: nothing more of the response's body in {timing.read:g} s"
    return f"timed out: {call}: the server doesn't take the request"
