"""
The end of a tunnel that has gone over to TLS.
"""

from __future__ import annotations

from typing import Protocol

from ..net.stream.protocol import ConnectionProtocol


class Beneath(Protocol):
    """
    The connection that carried HTTP before.
    """

    transport: object

    def connectionLost(self) -> None:
        """
        The connection is gone.
        """


class TunnelEnd:
    """
    Tells the connection beneath a tunnel that it is gone, where no transport does.

    After C{startTLS} the transport knows the tunnel's Protocol alone. The
    connection beneath would be counted for ever.
    """

    __slots__ = ("_beneath",)

    def __init__(self, beneath: Beneath) -> None:
        self._beneath = beneath

    def connected(self, protocol: ConnectionProtocol) -> bool:
        """
        Never called: the tunnel begins on a connection that is there.
        """
        return True

    def connectionGone(self, protocol: ConnectionProtocol) -> None:
        """
        The tunnel is gone.
        """
        if protocol.transport is not self._beneath.transport:
            self._beneath.connectionLost()
