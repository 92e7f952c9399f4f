"""
Every bound the parser keeps.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields

from ..errors import InvalidArgument

# As far as bytes can be counted, with room to add some.
MOST = sys.maxsize // 2


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
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) is not int or value < 0:
                raise InvalidArgument(f"Limits.{field.name} must be a whole number of at least 0, not {value!r}")
            if value > MOST:
                raise InvalidArgument(f"Limits.{field.name} must be at most {MOST}, not {value!r}")


DEFAULT_LIMITS = Limits()
