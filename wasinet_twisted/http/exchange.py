"""
The states of one exchange, a request and its response, and of the connection that carries it.

One table serves both roles: it says what may follow what on a connection, and
not who sends it. The two rules:

 - a state says how far the request is and how far the response is;
 - an event that the table doesn't have in a state is an error of whoever caused
   it, and changes nothing.

Interim responses change no state. A connection has one exchange at a time; when
both messages are complete and the connection goes on, the next one begins in
IDLE. C{docs/exchange.md} shows the table.
"""

from __future__ import annotations

from ..errors import LocalProtocolError
from .framing import isTunnel

# How far are the request and the response?
IDLE = 0  # nothing has come of either
HEAD = 1  # some of the request's head; only who receives it sees this
ASKING = 2  # the request's head, not all of its body; nothing of the response
ASKED = 3  # the whole request; nothing of the response
EARLY = 4  # the response has begun, and the request isn't complete
ANSWERING = 5  # the response has begun, and the request is complete
UNREAD = 6  # the response is complete, and the request isn't; the connection goes on when it is
OVER = 7  # no other exchange follows: what still comes is read and forgotten
TUNNEL = 8  # what follows is no HTTP
CLOSED = 9  # nothing is sent or read any more

STATES = ("IDLE", "HEAD", "ASKING", "ASKED", "EARLY", "ANSWERING", "UNREAD", "OVER", "TUNNEL", "CLOSED")

# What happens.
HEAD_BEGINS = 0
REQUEST = 1
REQUEST_ENDS = 2
RESPONSE = 3
RESPONSE_ENDS = 4
LAST_RESPONSE_ENDS = 5
REFUSED = 6
SWITCHED = 7
CLOSES = 8

EVENTS = (
    "a request's head begins",
    "a request's head is complete",
    "a request ends",
    "a response begins",
    "a response ends",
    "the last response ends",
    "a request is refused",
    "the protocol is switched",
    "the connection closes",
)

TRANSITIONS: dict[tuple[int, int], int] = {
    (IDLE, HEAD_BEGINS): HEAD,
    (IDLE, REQUEST): ASKING,
    (HEAD, REQUEST): ASKING,
    (ASKING, REQUEST_ENDS): ASKED,
    (ASKING, RESPONSE): EARLY,
    (ASKED, RESPONSE): ANSWERING,
    (EARLY, REQUEST_ENDS): ANSWERING,
    (EARLY, RESPONSE_ENDS): UNREAD,
    (EARLY, LAST_RESPONSE_ENDS): OVER,
    (ANSWERING, RESPONSE_ENDS): IDLE,
    (ANSWERING, LAST_RESPONSE_ENDS): OVER,
    (UNREAD, REQUEST_ENDS): IDLE,
    # What follows the last response can't be an exchange any more, so nobody need read it to its end.
    (UNREAD, LAST_RESPONSE_ENDS): OVER,
    # A response that is sent whole instead of what was asked for; nothing after it can be trusted.
    (IDLE, REFUSED): OVER,
    (HEAD, REFUSED): OVER,
    (ASKING, REFUSED): OVER,
    (ASKED, REFUSED): OVER,
    (ASKED, SWITCHED): TUNNEL,
    **{(state, CLOSES): CLOSED for state in (IDLE, HEAD, ASKING, ASKED, EARLY, ANSWERING, UNREAD, OVER, TUNNEL)},
}


class Exchange:
    """
    The states of one connection, from its first exchange to its end.

    @ivar state: one of this module's states.
    @ivar method: the present request's; C{""} before the first.
    @ivar goesOn: may another exchange follow the present one?
    @ivar count: how many requests there have been.
    """

    __slots__ = ("count", "goesOn", "method", "state")

    def __init__(self) -> None:
        self.state = IDLE
        self.method = ""
        self.goesOn = True
        self.count = 0

    def move(self, event: int) -> None:
        """
        Take a step.

        @raise LocalProtocolError: this can't happen now. Nothing has changed.
        """
        following = TRANSITIONS.get((self.state, event))
        if following is None:
            raise LocalProtocolError(f"{EVENTS[event]} in the state {STATES[self.state]} of a connection")
        self.state = following

    def request(self, method: str, goesOn: bool) -> None:
        """
        A request's head is complete.

        @param goesOn: does it let the connection go on?
        """
        self.move(REQUEST)
        self.method = method
        self.goesOn = goesOn
        self.count += 1

    def response(self, goesOn: bool) -> None:
        """
        A final response's head is complete.

        @param goesOn: does it let the connection go on?
        """
        self.move(RESPONSE)
        self.goesOn = self.goesOn and goesOn

    def responseEnds(self) -> None:
        """
        A response is complete.
        """
        self.move(RESPONSE_ENDS if self.goesOn else LAST_RESPONSE_ENDS)

    def switch(self, status: int) -> None:
        """
        A response has come or gone after which nothing is HTTP any more.

        @raise LocalProtocolError: this status doesn't say so, or the request isn't complete.
        """
        if not isTunnel(status, self.method):
            raise LocalProtocolError(f"a {status} to {self.method} opens no tunnel")
        self.move(SWITCHED)

    def isOpen(self) -> bool:
        """
        Is there, or may there be, an exchange?
        """
        return self.state < OVER

    def isRequestComplete(self) -> bool:
        """
        Is there a request, and has all of it come?
        """
        return self.state in (ASKED, ANSWERING)

    def isAnswered(self) -> bool:
        """
        Has the response to the present request begun?
        """
        return self.state not in (HEAD, ASKING, ASKED)
