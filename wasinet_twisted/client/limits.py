"""
Every bound and deadline that the client keeps.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from ..errors import InvalidArgument
from ..http import Limits
from ..http.clientconnection import ClientTiming
from ..http.limits import DEFAULT_LIMITS, checkNumbers
from .decoding import DEFAULT_DECODING_LIMITS, DecodingLimits

# How long free connections that are closed wait for their server to take what was sent, in seconds. Their responses are
# complete: nobody needs those bytes.
FREE_CLOSE_TIMEOUT = 1.0

_COUNTS = frozenset(("connections", "perOrigin", "waiting", "kept", "buffered"))
_POSITIVE = frozenset(("connections", "perOrigin"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """
    How long each phase of a request may take, in seconds; L{None} is no deadline. After it, L{TimedOut} is raised and
    the connection is reset.

    @ivar resolve: to look up the host's name.
    @ivar connect: to connect to one of its addresses; once more, to go through a proxy.
    @ivar tls: the TLS handshake.
    @ivar head: from the end of the request to the head of the response.
    @ivar read: for the next bytes of the response's body, each time that somebody waits for them.
    @ivar total: the whole request, from C{fetch} to the end of the body, redirects and the wait for a connection
        included.
    """

    resolve: float | None = 10.0
    connect: float | None = 30.0
    tls: float | None = 30.0
    head: float | None = 60.0
    read: float | None = 60.0
    total: float | None = None

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if value is not None and (type(value) not in (int, float) or not value >= 0):
                raise InvalidArgument(
                    f"Timeouts.{each.name} must be a number of at least 0, in seconds, or None, not {value!r}"
                )


DEFAULT_TIMEOUTS = Timeouts()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientLimits:
    """
    Bounds on a L{Pool<wasinet_twisted.client.Pool>}'s connections, and on what a server may send.

    @ivar connections: how many connections may be open, to all origins together; more requests wait for one.
    @ivar perOrigin: how many connections may be open to one origin; more requests wait for one.
    @ivar waiting: how many requests may wait for a connection; one more fails with L{LimitExceeded}.
    @ivar kept: how many free connections to one origin are kept.
    @ivar idle: how long a free connection is kept for the next request, in seconds; 0 keeps none.
    @ivar decoding: the bounds on what a coded body decodes to.
    @ivar buffered: how many bytes of a body are held that nobody has read; then the server is held back.
    @ivar requestRate: how fast a server must take a request, in bytes a second, after 20 seconds of grace; else the
        request fails with L{TimedOut}.
    @ivar message: the bounds on each response, see L{Limits<wasinet_twisted.http.Limits>}. C{responseBody} holds for
        C{bytes()}, C{text()} and C{json()}, not for C{stream()}.
    """

    connections: int = 256
    perOrigin: int = 64
    waiting: int = 10_000
    kept: int = 64
    idle: float = 30.0
    decoding: DecodingLimits = field(default=DEFAULT_DECODING_LIMITS)
    buffered: int = 64 * 1024
    requestRate: float = 500.0
    message: Limits = field(default=DEFAULT_LIMITS)

    def __post_init__(self) -> None:
        if not isinstance(self.message, Limits):
            raise InvalidArgument(f"ClientLimits.message must be http.Limits, not {self.message!r}")
        if not isinstance(self.decoding, DecodingLimits):
            raise InvalidArgument(f"ClientLimits.decoding must be DecodingLimits, not {self.decoding!r}")
        checkNumbers(self, whole=_COUNTS, positive=_POSITIVE)


DEFAULT_CLIENT_LIMITS = ClientLimits()


def timingOf(limits: ClientLimits, timeouts: Timeouts) -> ClientTiming:
    """
    Return what the server of one connection is allowed.
    """
    return ClientTiming(
        idle=limits.idle,
        responseRate=limits.requestRate,
        buffered=limits.buffered,
        response=timeouts.head,
        read=timeouts.read,
    )
