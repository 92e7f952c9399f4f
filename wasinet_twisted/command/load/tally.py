"""
What has come of the requests.
"""

from __future__ import annotations

from collections import Counter

from ...errors import (
    CertificateError,
    ConnectFailed,
    ConnectionClosed,
    HandshakeFailed,
    IncompleteRead,
    ProtocolError,
    TimedOut,
    UnknownHost,
    WasinetError,
)
from .latencies import Latencies

# The first that fits holds, so that each stands before the class that it is a kind of. A connection that takes too long
# to make is a timeout too.
_KINDS: tuple[tuple[type[BaseException], str], ...] = (
    (TimedOut, "timeout"),
    (CertificateError, "TLS"),
    (HandshakeFailed, "TLS"),
    (UnknownHost, "connect"),
    (ConnectFailed, "connect"),
    (IncompleteRead, "incomplete"),
    (ProtocolError, "protocol"),
    (ConnectionClosed, "closed"),
)
# How the report explains them.
EXPLAINED = {
    "connect": "no connection",
    "TLS": "no TLS",
    "timeout": "timed out",
    "closed": "connection closed before the response",
    "incomplete": "response cut",
    "protocol": "malformed response",
    "other": "other",
}
# Those that say that the server can't be reached, as long as it has answered nothing.
UNREACHABLE = frozenset(("connect", "TLS"))


def kindOf(error: BaseException) -> str:
    """
    Return the kind of an error, one of L{EXPLAINED}.
    """
    return next((kind for cls, kind in _KINDS if isinstance(error, cls)), "other")


class Tally:
    """
    What has been counted.

    @ivar latencies: those of all responses, whatever their status.
    @ivar received: bytes of their bodies.
    @ivar statuses: how many responses had which.
    @ivar errors: how many requests got none, by kind.
    @ivar examples: the first error of each kind.
    """

    __slots__ = ("errors", "examples", "latencies", "received", "statuses")

    def __init__(self) -> None:
        self.latencies = Latencies()
        self.received = 0
        self.statuses: Counter[int] = Counter()
        self.errors: Counter[str] = Counter()
        self.examples: dict[str, WasinetError] = {}

    def answered(self, status: int, size: int, seconds: float) -> None:
        """
        Count a response.

        @param size: of its body, in bytes.
        @param seconds: its latency.
        """
        self.latencies.add(seconds)
        self.received += size
        self.statuses[status] += 1

    def failed(self, error: WasinetError) -> None:
        """
        Count a request without a response, or with a part of one.
        """
        kind = kindOf(error)
        self.errors[kind] += 1
        self.examples.setdefault(kind, error)

    @property
    def classes(self) -> dict[str, int]:
        """
        How many responses had a status of each class: C{{"2xx": 200}}.
        """
        found: Counter[str] = Counter()
        for status, count in self.statuses.items():
            found[f"{status // 100}xx"] += count
        return dict(sorted(found.items()))
