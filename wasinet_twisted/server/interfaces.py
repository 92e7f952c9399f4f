"""
What the parts of the server know of one another.

Each part is given what it needs, and names it here; so none of them imports
another that imports it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from ..http.events import HeadersLike
from ..net import WasiTcpConn
from ..net.tasks.task import Task
from .accesslog import AccessLog
from .limits import ServerLimits
from .statistics import Statistics

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IAddress


class RequestSource(Protocol):
    """
    What a L{Request<wasinet_twisted.server.Request>} needs of its connection.
    """

    server: Serving

    def peer(self) -> IAddress:
        """
        The peer's address.
        """

    async def nextPiece(self, request: Any) -> bytes:
        """
        The next piece of the request's body; C{b""} at its end.
        """

    def informational(self, request: Any, status: int, headers: HeadersLike) -> None:
        """
        Send an interim response.
        """

    async def takeOver(self, request: Any, protocol: str | None, headers: HeadersLike) -> WasiTcpConn:
        """
        Switch to another protocol, or open a tunnel.
        """

    def whenPeerFinished(self) -> Deferred[None]:
        """
        Fires when the peer has ended its direction, or is gone.
        """

    def outliveDisconnect(self, request: Any) -> None:
        """
        Let the response take its time after that.
        """


class Serving(Protocol):
    """
    What a connection needs of its server.
    """

    reactor: Any
    handler: Callable[[Any], Any]
    limits: ServerLimits
    statistics: Statistics
    accessLog: AccessLog | None
    dateLine: bytes

    def runs(self, protocol: Any, task: Task[Any]) -> None:
        """
        A task of the connection's runs.
        """

    def ran(self, protocol: Any, task: Task[Any]) -> None:
        """
        It has ended.
        """

    def cancel(self, protocol: Any) -> None:
        """
        Cancel what runs for the connection.
        """

    def taskOf(self, protocol: Any) -> Task[Any] | None:
        """
        What runs for the connection.
        """
