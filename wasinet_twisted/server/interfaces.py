"""
What the parts of the server know of one another.

Each part is given what it needs, and names it here; so none of them imports
another that imports it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any, Protocol

from ..http import ServerConnection
from ..net.stream.owner import Owner
from ..net.stream.protocol import ConnectionProtocol
from ..net.tasks.awaited import Awaited
from ..net.tasks.task import Task
from .limits import ServerLimits
from .statistics import Statistics

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IAddress


class Carrier(Protocol):
    """
    A connection, as its requests and what answers them need it.
    """

    connection: ServerConnection[Any]
    # What the statistics have in flight: it is counted down where this becomes None, and nowhere else.
    inFlight: Any
    server: Serving
    reactor: Any
    closing: bool
    lost: bool
    # Has the peer ended its direction, or is the connection gone?
    peerFinished: bool
    # The transport, if it is over TLS.
    tls: Any

    def transmit(self, data: bytes) -> None:
        """
        Send some bytes, and count them.
        """

    def answer(self, data: bytes) -> None:
        """
        Send a whole response, which has been counted; and go on with what comes next.
        """

    def write(self, data: bytes) -> Awaited[None]:
        """
        Send some bytes; awaited, wait until the peer has taken enough.
        """

    def follow(self) -> None:
        """
        A response is complete, or the connection's end has been decided.
        """

    def abort(self) -> None:
        """
        Reset the connection.
        """

    def tunnelEnded(self, error: BaseException | None, cancelled: bool) -> bool:
        """
        A handler has ended; was it one that had switched to another protocol?
        """

    async def awaitBody(self) -> None:
        """
        Wait until more of the present request's body has come, or its end.
        """

    def tookBody(self) -> bool:
        """
        Some of the body has been taken. Have others to have their turn?
        """

    def tunnel(self, request: Any, answer: bytes, rest: bytes) -> ConnectionProtocol:
        """
        HTTP has ended: send the answer that says so, and give the connection to the handler.
        """

    def whenPeerFinished(self) -> Deferred[None]:
        """
        Fires when the peer has ended its direction, or is gone.
        """

    def peer(self) -> IAddress:
        """
        The peer's address.
        """

    def local(self) -> IAddress:
        """
        Our address.
        """

    def peerName(self) -> str:
        """
        The peer's address for messages.
        """


class Serving(Owner, Protocol):
    """
    What a connection needs of its server.
    """

    reactor: Any
    context: Context
    handler: Callable[[Any], Any]
    limits: ServerLimits
    statistics: Statistics
    # What is told of each request's end, an L{Ends<wasinet_twisted.server.ends.Ends>}, if anything is.
    ends: Any
    dateLine: bytes
    # Those that are open, by their connections.
    webSockets: dict[Any, Any]
    # Is it about to end?
    draining: bool

    def runs(self, protocol: Any, task: Any) -> None:
        """
        A task of the connection's runs.
        """

    def ran(self, protocol: Any, task: Any) -> None:
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
