"""
Opcodes (RFC 6455 section 11.8), the codes of Close frames (section 7.4), and what a Close frame may have that is sent.
"""

from __future__ import annotations

from ..errors import InvalidArgument
from .limits import LONGEST_REASON

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

NORMAL, GOING_AWAY, PROTOCOL_ERROR, NO_STATUS, ABNORMAL = 1000, 1001, 1002, 1005, 1006
INVALID_DATA, TOO_BIG, INTERNAL_ERROR, SERVICE_RESTART = 1007, 1009, 1011, 1012

_SENDABLE = frozenset((1000, 1001, 1002, 1003, *range(1007, 1015)))


def checkClose(code: int, reason: str) -> None:
    """
    @raise InvalidArgument: a Close frame can't have that code, or that reason.
    """
    if type(code) is not int or not (code in _SENDABLE or 3000 <= code <= 4999):
        raise InvalidArgument(
            "the code of a close must be 1000 to 1003, 1007 to 1014, or 3000 to 4999 (RFC 6455 section 7.4), "
            f"not {code!r}"
        )
    if not isinstance(reason, str):
        raise InvalidArgument(f"the reason of a close must be str, not {type(reason).__name__}")
    try:
        size = len(reason.encode())
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"the reason of a close has no UTF-8: {error}") from None
    if size > LONGEST_REASON:
        raise InvalidArgument(f"the reason of a close has {size} bytes of UTF-8, the bound is {LONGEST_REASON}")


def shortened(reason: str) -> str:
    """
    Return as much of a reason as a Close frame can have.
    """
    return reason.encode()[:LONGEST_REASON].decode(errors="ignore")
