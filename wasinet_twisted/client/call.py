"""
L{Call}: one request that is in flight.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

from multidict import CIMultiDict

from ..http import ClientConnection, ResponseHead
from ..http.clientconnection import ClientTiming
from ..http.framing import isInterim
from ..net.tasks.awaited import Awaited
from .sending import Sender
from .timings import Timings


class Call:
    """
    One request on a connection, and what has come of its response.

    @ivar where: the URL, for messages.
    @ivar method: the request's.
    @ivar until: when all of it must be over, on the reactor's clock; C{math.inf}: never.
    @ivar timings: how long the phases take.
    @ivar interim: called with the head of each interim response.
    @ivar timing: what the server is allowed; L{None}: what the pool allows.
    @ivar kept: has it been sent over a connection that had been used before?
    @ivar answered: have bytes of a response come?
    @ivar begun: has the head of the final response come?
    @ivar sender: what sends a body in pieces.
    @ivar trailers: those of the response; L{None}: there are none, or it is not complete.
    """

    __slots__ = (
        "answered",
        "begun",
        "interim",
        "kept",
        "method",
        "sender",
        "timing",
        "timings",
        "trailers",
        "until",
        "where",
    )

    def __init__(
        self,
        where: object,
        method: str,
        timings: Timings,
        until: float = inf,
        interim: Callable[[ResponseHead], object] | None = None,
        timing: ClientTiming | None = None,
    ) -> None:
        self.where = where
        self.timing = timing
        self.method = method
        self.timings = timings
        self.until = until
        self.interim = interim
        self.answered = self.begun = self.kept = False
        self.sender: Sender | None = None
        self.trailers: CIMultiDict[str] | None = None

    def respond(self, protocol: Any, head: ResponseHead) -> Any:
        """
        Return what the waiting caller is given when the head of the final response has come; L{None}: something else
        answers the caller.

        @param protocol: the connection, which holds the rest of the response.
        """
        return head

    def start(self) -> float:
        """
        Return from when C{until} counts, on the reactor's clock.
        """
        return self.timings.begun

    def fail(self, waiter: Awaited[Any], error: Exception) -> None:
        """
        There is no response. Tell the waiting caller, unless something else does.
        """
        waiter.fail(error)

    def __str__(self) -> str:
        return f"{self.method} {self.where}"


def headOf(call: Call, connection: ClientConnection, now: float) -> ResponseHead | None:
    """
    Return the head of the final response; L{None} while more bytes are needed.

    @raise RemoteProtocolError: the response is malformed.
    @raise IncompleteRead: it was cut.
    """
    while (head := connection.nextEvent(now)) is not None:
        assert isinstance(head, ResponseHead)
        sender = call.sender
        if not isInterim(head.status):
            call.begun = True
            if sender is not None and head.status >= 300:
                # The server has decided without the rest of the body: the connection closes after its response
                # (RFC 9112 section 9.3).
                connection.makeLast()
                sender.stop()
            return head
        if head.status == 100 and sender is not None:
            sender.goOn()
        if call.interim is not None:
            call.interim(head)
    return None
