"""
The end of each request, as the access log and its trace are told of it: once, whatever the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from ..http import RequestHead
from .accesslog import AccessLog, peerOf
from .interfaces import Carrier

if TYPE_CHECKING:
    from ..websocket.session import Session
    from .request import Request


class Tunnel:
    """
    A connection that has switched to another protocol, until it ends.

    @ivar session: its WebSocket, if it has become one.
    """

    __slots__ = ("_request", "_status", "session")

    def __init__(self, request: Request, status: int) -> None:
        self._request = request
        self._status = status
        self.session: Session | None = None

    def ended(self, carrier: Carrier, reason: Failure) -> None:
        """
        The connection is gone. What was not closed by a FIN, or, of a WebSocket, without a Close frame, is broken off.
        """
        closed = self.session is None or self.session.code not in (None, _ABNORMAL)
        complete = closed and reason.check(ConnectionDone) is not None
        seconds = carrier.reactor.seconds() - carrier.connection.clock.started
        logAnswer(carrier, self._request, self._status, 0, seconds, complete)


# RFC 6455 section 7.1.5: there was no Close frame.
_ABNORMAL = 1006


class Ends:
    """
    What is told of each request's end. A server that has nothing to tell has none.

    @ivar accessLog: gets a line.
    @ivar tracing: has made each request's trace, which ends; L{None}: they have none.
    @ivar tunnels: what has switched to another protocol, by its connection: its line comes when that has ended.
    """

    __slots__ = ("accessLog", "tracing", "tunnels")

    def __init__(self, accessLog: AccessLog | None, tracing: Any) -> None:
        self.accessLog = accessLog
        self.tracing = tracing
        self.tunnels: dict[Any, Tunnel] = {}


def switched(carrier: Carrier, request: Request) -> None:
    """
    A request has been answered by switching to another protocol.
    """
    carrier.inFlight = None
    server = carrier.server
    status = 200 if request.method == "CONNECT" else 101
    server.statistics.answered(status, carrier.reactor.seconds() - carrier.connection.clock.started, 0)
    if server.ends is not None:
        server.ends.tunnels[carrier] = Tunnel(request, status)


def tunnelEnded(carrier: Carrier, reason: Failure) -> None:
    """
    The connection of what has switched is gone.
    """
    ends = carrier.server.ends
    tunnel = None if ends is None else ends.tunnels.pop(carrier, None)
    if tunnel is not None:
        tunnel.ended(carrier, reason)


def logAnswer(
    carrier: Carrier, request: RequestHead | None, status: int, size: int, seconds: float, complete: bool = True
) -> None:
    """
    Write a line of the access log, and end the request's trace.
    """
    ends = carrier.server.ends
    if ends is None:
        return
    trace: Any = None
    if ends.tracing is not None:
        # Of a head that could not be read the connection has it.
        trace = getattr(carrier.connection if request is None else request, "trace", None)
        if trace is not None:
            trace.ended(status, complete)
    if ends.accessLog is not None:
        info = None if carrier.tls is None else carrier.tls.info
        version = None if info is None else info.version
        ends.accessLog.answered(peerOf(carrier.peer()), request, status, size, seconds, complete, version, trace)
