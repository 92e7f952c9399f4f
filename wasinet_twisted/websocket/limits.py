"""
Every bound and deadline of a WebSocket.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from ..errors import InvalidArgument

_SIZES = frozenset(("message", "frame", "queue"))
# A Close frame's reason, and the payload of each control frame (RFC 6455 section 5.5), in bytes.
LONGEST_REASON = 123
LONGEST_CONTROL = 125


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSocketLimits:
    """
    Bounds in bytes, in messages, and in seconds.

    @ivar message: how long a message from the peer may be, in bytes, after decompression; a longer one closes the
        WebSocket with 1009.
    @ivar frame: how long one of its frames may be, in bytes, before and after decompression (1009).
    @ivar queue: how many messages that nobody has received are held; then the peer is held back. It is held back
        sooner if they have more than 64 KiB.
    @ivar pingInterval: after so many seconds without a byte from the peer, or up to twice as many, a ping is sent;
        L{None}: none is.
    @ivar pingTimeout: how long the peer may take to answer a ping, in seconds; then the WebSocket is closed with 1011,
        and the connection reset; L{None}: as long as it likes.
    @ivar closeTimeout: how long the peer may take to answer a Close frame and to end the connection, in seconds; then
        the connection is reset.
    """

    message: int = 1024 * 1024
    frame: int = 1024 * 1024
    queue: int = 16
    pingInterval: float | None = 20.0
    pingTimeout: float | None = 20.0
    closeTimeout: float = 10.0

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name in _SIZES:
                if type(value) is not int or value < 1:
                    raise InvalidArgument(
                        f"WebSocketLimits.{each.name} must be a whole number of at least 1, not {value!r}"
                    )
            elif value is None and each.name != "closeTimeout":
                continue
            elif type(value) not in (int, float) or not 0 < value < float("inf"):
                raise InvalidArgument(
                    f"WebSocketLimits.{each.name} must be a number above 0, in seconds, not {value!r}"
                )


DEFAULT_LIMITS = WebSocketLimits()
