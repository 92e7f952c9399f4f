"""
The state of one connection of the server, and how it changes.

A connection is IDLE until the first byte of a request, in its HEAD until that
has ended, BUSY while it is answered, and IDLE again. What the handler has left
of a body is UNREAD, and forgotten before the next request. After an answer that
comes early, or is the last one, it may LINGER. TUNNEL is what an upgrade leads
to, and DONE is the end.

           head complete           answered
    IDLE -> HEAD -> BUSY ------------------------> IDLE
                     |  answered, body left
                     +---> UNREAD ---------------> IDLE
                     |  last answer, or refused
                     +---> LINGER ----> DONE
                     +---> TUNNEL

The layers stand on each other, each in a module: this state, the request's body
(C{body}), what is sent (C{responding}), time (C{deadlines}), and Twisted's side
with the requests (C{protocol}).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..http import Buffer
from ..http.bytequeue import ByteQueue
from ..net.protocol import ConnectionProtocol
from ..net.waiting import Awaited
from .accesslog import peerOf
from .request import Request

if TYPE_CHECKING:
    from .serving import HttpServer

# What a connection is at. The first two wait for the peer's next request.
IDLE = 0  # nothing of a request has come
HEAD = 1  # some of its head has
BUSY = 2  # it is being answered
UNREAD = 3  # it has been, and the rest of its body is read and forgotten
LINGER = 4  # our direction has ended; what still comes is forgotten
TUNNEL = 5  # no HTTP any more
DONE = 6  # closing

# What has arrived, while nothing has been kept. Nobody appends to it.
_NOTHING = ByteQueue()


class HttpState(ConnectionProtocol):
    """
    @ivar server: whose connection it is.
    """

    __slots__ = (
        "_arrived",
        "_bodyDone",
        "_bodyGot",
        "_closeBy",
        "_count",
        "_direct",
        "_ended",
        "_expects",
        "_keepAlive",
        "_late",
        "_parser",
        "_phase",
        "_puller",
        "_pumping",
        "_pumpsLater",
        "_request",
        "_since",
        "_started",
        "_unsent",
        "_waited",
        "_writeSince",
        "server",
    )

    def __init__(self, server: HttpServer) -> None:
        super().__init__(server.reactor, *server.told)
        self.server = server
        # Made when there is something to keep: most requests come whole, and many connections never have another kind.
        self._parser: Buffer | None = None
        # What of the buffer has not been taken: asked for its size several times a request, which by way of the buffer
        # would take as long as all else that is asked.
        self._arrived = _NOTHING
        self._phase = IDLE
        # Is an answer sent from within the write?
        self._direct = False
        # When the present phase has begun, and the present request.
        self._since = self._started = server.reactor.seconds()
        self._request: Request | None = None
        self._count = 0
        self._pumping = self._pumpsLater = False
        # Has the peer ended its direction?
        self._ended = False
        # Of the present request: may the connection go on, does the client wait for a 100, has all of the body been
        # taken, how much of it, and for how long has been waited for it?
        self._keepAlive = True
        self._expects = False
        self._bodyDone = True
        self._bodyGot = 0
        self._waited = 0.0
        self._puller: Awaited[None] | None = None
        # Why the handler is being cancelled, if it took too long.
        self._late = False
        # Since when the peer has not taken what we send, and how much that was; -1 if nobody has looked yet.
        self._writeSince = 0.0
        self._unsent = 0
        # Until when a connection that lingers or closes may take; never, where nothing is waited for.
        self._closeBy = math.inf

    @property
    def _buffer(self) -> Buffer:
        """
        What has arrived.
        """
        parser = self._parser
        if parser is None:
            parser = self._parser = Buffer("request", self.server.limits.message)
            self._arrived = parser._queue
        return parser

    def _hasUnparsed(self) -> bool:
        """
        Has something arrived that has not been handed out?
        """
        return self._parser is not None and len(self._parser) > 0

    # The layers above have their own

    def pump(self) -> None:
        """
        Answer what can be answered.
        """
        raise AssertionError

    def closeIdle(self) -> None:
        """
        Close it, if it waits for a request.
        """
        raise AssertionError

    def _peerHost(self) -> str:
        return peerOf(self._peer)
