"""
What a head asks of its connection: one record, made once while the head is read, and read by all.

The record is a number whose bits add up over the lines of a list-valued field, so
that no line is looked at twice, however many there are. How long the body is
belongs to the same record; C{framing} decides that.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

# Connection (RFC 9110 section 7.6.1): the members that mean something to us.
CLOSE = 1
KEEP_ALIVE = 2
UPGRADE = 4
# Expect (RFC 9110 section 10.1.1): 100-continue; anything else, or more than one.
CONTINUE = 8
UNKNOWN_EXPECTATION = 16
# There is an Upgrade field (RFC 9110 section 7.8); TE holds "trailers" (RFC 9110 section 10.1.4).
OFFERS = 32
TRAILERS = 64

_CONNECTION = {b"close": CLOSE, b"keep-alive": KEEP_ALIVE, b"upgrade": UPGRADE}

# Names of fields, as they are given, that have been looked at: most messages have the same few. A bounded number of
# bounded ones: all are forgotten when there is no room for another.
MOST_NAMES = 1024
LONGEST_NAME = 64
# Which of this module's fields a name is; b"": none.
_fields: dict[str, bytes] = {}

CONNECTION_FIELD = b"connection"
EXPECT_FIELD = b"expect"
TE_FIELD = b"te"
UPGRADE_FIELD = b"upgrade"


def askedBy(name: bytes, value: bytes) -> int:
    """
    Return what one line of a field asks.

    @param name: one of this module's C{…_FIELD}, lower case.
    @param value: the field's value, of any bytes; only ASCII is compared without case.
    """
    if name == CONNECTION_FIELD:
        asks = 0
        for member in value.lower().split(b","):
            asks |= _CONNECTION.get(member.strip(b" \t"), 0)
        return asks
    if name == EXPECT_FIELD:
        # RFC 9110 section 10.1.1: 100-continue is the only member ever defined.
        return CONTINUE if value.lower() == b"100-continue" else UNKNOWN_EXPECTATION
    if name == TE_FIELD:
        return TRAILERS if any(m.strip(b" \t") == b"trailers" for m in value.lower().split(b",")) else 0
    return OFFERS


def added(asks: int, line: int) -> int:
    """
    Add what one more line asks. A second C{100-continue} is an expectation that nobody knows.
    """
    return asks | line | (asks & line & CONTINUE) << 1


def asksOf(pairs: Iterable[tuple[Any, Any]]) -> int:
    """
    Return what some fields ask, for messages that no parser has read.
    """
    asks = 0
    for name, value in pairs:
        if isinstance(name, str) and isinstance(value, str):
            field = _fields.get(name)
            if field is None:
                field = _learn(name)
            if field:
                asks = added(asks, askedBy(field, value.encode("latin-1", "replace")))
    return asks


def _learn(name: str) -> bytes:
    field = name.lower().encode("latin-1", "replace")
    if field not in FIELDS:
        field = b""
    if len(name) <= LONGEST_NAME:
        if len(_fields) >= MOST_NAMES:
            _fields.clear()
        _fields[name] = field
    return field


FIELDS = frozenset((CONNECTION_FIELD, EXPECT_FIELD, TE_FIELD, UPGRADE_FIELD))


def persists(asks: int, version: str) -> bool:
    """
    Return whether the connection may go on after a message. RFC 9112 section 9.3.

    True in HTTP/1.1 without C{Connection: close}, and in HTTP/1.0 with
    C{Connection: keep-alive} and without C{close}.
    """
    return not asks & CLOSE and (version != "HTTP/1.0" or asks & KEEP_ALIVE != 0)


def expectsContinue(asks: int, version: str) -> bool:
    """
    Return whether the client waits for a 100 before it sends the body. In HTTP/1.0 Expect means nothing.
    """
    return asks & CONTINUE != 0 and version != "HTTP/1.0"


def expectsUnknown(asks: int, version: str) -> bool:
    """
    Return whether a server has to refuse with 417. RFC 9110 section 10.1.1.
    """
    return asks & UNKNOWN_EXPECTATION != 0 and version != "HTTP/1.0"


def offersUpgrade(asks: int, version: str) -> bool:
    """
    Return whether a request offers to switch to another protocol. RFC 9110 section 7.8.
    """
    return asks & UPGRADE != 0 and asks & OFFERS != 0 and version != "HTTP/1.0"


def takesTrailers(asks: int, version: str) -> bool:
    """
    Return whether trailers may be sent in the response. RFC 9110 section 6.5.1.
    """
    return asks & TRAILERS != 0 and version != "HTTP/1.0"
