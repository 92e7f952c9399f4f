"""
Every bound the parser keeps.
"""

from __future__ import annotations

import sys
from collections.abc import Set
from dataclasses import dataclass, fields
from typing import Any

from ..errors import InvalidArgument

# As far as bytes can be counted, with room to add some.
MOST = sys.maxsize // 2


def checkNumbers(bounds: Any, whole: Set[str], positive: Set[str] = frozenset()) -> None:
    """
    Look at the numbers of a dataclass of bounds. Where the default is L{None}, that is allowed; what is no number by
    default is somebody else's to look at.

    @param whole: the names of those that are counts.
    @param positive: the names of those that are at least 1, and not 0.
    @raise InvalidArgument: one is not valid.
    """
    for each in fields(bounds):
        value = getattr(bounds, each.name)
        if not isinstance(each.default, int | float | None) or (value is None and each.default is None):
            continue
        kind, types = ("whole number", (int,)) if each.name in whole else ("number", (int, float))
        least = 1 if each.name in positive else 0
        if type(value) not in types or not value >= least:
            raise InvalidArgument(
                f"{type(bounds).__name__}.{each.name} must be a {kind} of at least {least}, not {value!r}"
            )
        if type(value) is int and value > MOST:
            raise InvalidArgument(f"{type(bounds).__name__}.{each.name} must be at most {MOST}, not {value!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    Bounds on one message, in bytes unless said otherwise. A message exactly
    as large as its bound is accepted. They are counted over the message's
    bytes, so that the same message gets the same answer however it was cut.

    The defaults are those of the servers that stand on the internet: nginx
    and Apache take 8 KiB of request line, Apache and Node some 100 fields.

    @ivar requestLine: the request line without its CRLF (414).
    @ivar head: from the message's first byte to the CRLF that ends its last
        field line, which is included, as are empty lines in front (431).
    @ivar fields: how many field lines a head or a trailer section may have (431).
    @ivar body: a request's body, where L{Buffer.parseRequest} collects it
        (413). Streamed bodies have no bound.
    @ivar responseBody: the same for L{Buffer.parseResponse}.
    @ivar chunkExtensions: all chunk extensions of one message (400).
    @ivar trailers: the trailer section, with the CRLFs of its lines (431).
    @ivar emptyLines: how many empty lines may stand before a request (400).
    """

    requestLine: int = 8 * 1024
    head: int = 32 * 1024
    fields: int = 100
    body: int = 1024 * 1024
    responseBody: int = 64 * 1024 * 1024
    chunkExtensions: int = 4 * 1024
    trailers: int = 8 * 1024
    emptyLines: int = 4

    def __post_init__(self) -> None:
        checkNumbers(self, whole={each.name for each in fields(self)})


DEFAULT_LIMITS = Limits()
