"""
What the pool is to its connections.
"""

from __future__ import annotations

from typing import Any, Protocol

from ..http.clientconnection import ClientTiming


class Keeper(Protocol):
    """
    Where the pool keeps a connection.

    @ivar timing: what the server is allowed, if the request says nothing else.
    @ivar patience: the shortest of its times, in seconds.
    """

    timing: ClientTiming
    patience: float

    def free(self, protocol: Any) -> object:
        """
        The connection can take another request.
        """

    def gone(self, protocol: Any) -> object:
        """
        The connection takes no other request. Called once, when its end is decided.
        """
