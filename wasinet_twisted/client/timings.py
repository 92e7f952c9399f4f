"""
L{Timings}: how long the phases of a request have taken.
"""

from __future__ import annotations


class Timings:
    """
    How long the phases of a request have taken, in seconds; L{None}: there was no such phase, or it isn't over.

    C{resolve}, C{connect} and C{tls} are those of the connection that was made for this request; over a kept
    connection, they are L{None}.

    @ivar resolve: looking up the host's name.
    @ivar connect: connecting, and going through a proxy.
    @ivar tls: the TLS handshake.
    @ivar firstByte: from the beginning, to the first byte of the response. All that stands above is part of it.
    @ivar total: from the beginning, to the end of the response's body.
    """

    __slots__ = ("begun", "connect", "firstByte", "resolve", "tls", "total")

    def __init__(self, begun: float) -> None:
        """
        @param begun: the time on the reactor's clock.
        """
        self.begun = begun
        self.resolve: float | None = None
        self.connect: float | None = None
        self.tls: float | None = None
        self.firstByte: float | None = None
        self.total: float | None = None

    def asDict(self) -> dict[str, float | None]:
        """
        Return the phases by name, in seconds.
        """
        return {name: getattr(self, name) for name in ("resolve", "connect", "tls", "firstByte", "total")}

    def __repr__(self) -> str:
        told = [f"{name} {value * 1000:.1f} ms" for name, value in self.asDict().items() if value is not None]
        return f"<{type(self).__name__} {', '.join(told) or 'nothing yet'}>"
