"""
Who is told of a connection's beginning and end.
"""

from __future__ import annotations

from typing import Any, Protocol


class Owner(Protocol):
    """
    What a connection's Protocol has for an owner: a server's factory, or an attempt to connect.
    """

    def connected(self, protocol: Any) -> bool:
        """
        There is a connection.

        @return: is its Protocol kept here until the connection is lost?
        """

    def connectionGone(self, protocol: Any) -> object:
        """
        The connection is lost, or could not be made after all.
        """
