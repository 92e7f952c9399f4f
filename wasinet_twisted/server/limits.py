"""
Every bound and deadline that the server keeps.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from ..errors import InvalidArgument
from ..http import Limits
from ..http.limits import DEFAULT_LIMITS, checkNumbers
from ..http.timing import Timing

_POSITIVE = frozenset(("connections", "requests", "buffered"))
_COUNTS = _POSITIVE | {"unreadBody", "lingerBytes"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """
    Bounds on connections, in seconds, bytes, and bytes a second.

    Deadlines are looked at twice a second, not by a timer for each. How long a
    TLS handshake may take is L{ConnectionFactory<wasinet_twisted.net.ConnectionFactory>}'s affair: 10 seconds.

    @ivar head: how long a request's head may take, from its first byte on (408).
    @ivar idle: how long a connection may wait for its next request.
    @ivar bodyRate: how fast a body must come while the handler waits for it (408) ...
    @ivar bodyGrace: ... after so many seconds of waiting.
    @ivar responseRate: how fast a response must be taken, after the same time
        of grace; a peer that doesn't is reset.
    @ivar handler: how long a handler may take, but for the time in which it
        waits for the body (503); L{None}: as long as it likes.
    @ivar halfClosed: how long a response in pieces without a Content-Length may
        give no piece when the client has ended its direction; then it is reset
        (L{Request.keepAfterDisconnect<wasinet_twisted.server.Request.keepAfterDisconnect>} turns this off).
    @ivar connections: how many may be open at a time; others wait in the
        kernel's queue. One whose peer has gone counts as long as its handler runs.
    @ivar requests: how many a connection may bring; L{None}: any number.
    @ivar drain: how long L{HttpServer.drain<wasinet_twisted.server.HttpServer.drain>} waits for the requests in flight.
    @ivar drainIdle: how long a connection that is idle at a drain stays open. A request that comes meanwhile is
        answered with C{Connection: close}, so a client that sends it just then loses nothing.
    @ivar buffered: how much of what a peer has sent, and nobody has read, is held.
    @ivar unreadBody: how much of a body that the handler left unread is read to
        keep the connection.
    @ivar lingerSeconds: how long a connection that is closed early is read from, ...
    @ivar lingerBytes: ... and how much, so that the peer reads the answer first (RFC 9112 section 9.6).
    @ivar message: the bounds on each request, see L{Limits<wasinet_twisted.http.Limits>}.
    """

    head: float = 10.0
    idle: float = 75.0
    bodyRate: float = 500.0
    bodyGrace: float = 20.0
    responseRate: float = 500.0
    handler: float | None = None
    halfClosed: float = 5.0
    connections: int = 10_000
    requests: int | None = None
    drain: float = 30.0
    drainIdle: float = 0.0
    buffered: int = 256 * 1024
    unreadBody: int = 256 * 1024
    lingerSeconds: float = 2.0
    lingerBytes: int = 64 * 1024 * 1024
    message: Limits = field(default=DEFAULT_LIMITS)

    def __post_init__(self) -> None:
        if not isinstance(self.message, Limits):
            raise InvalidArgument(f"ServerLimits.message must be http.Limits, not {self.message!r}")
        checkNumbers(self, whole=_COUNTS, positive=_POSITIVE)


DEFAULT_SERVER_LIMITS = ServerLimits()


def timingOf(limits: ServerLimits) -> Timing:
    """
    Return what one connection is allowed.
    """
    return Timing(**{each.name: getattr(limits, each.name) for each in fields(Timing) if hasattr(limits, each.name)})
