"""
The server's door to WebSocket: from a request to an open one (RFC 6455 section 4.2).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger
from twisted.python.failure import Failure

from ..errors import ConnectionClosed, InvalidArgument, InvalidHandshake
from ..http import RequestHead
from ..http.asks import offersUpgrade
from ..http.events import HeadersLike, toHeaders
from ..net.stream.lifecycle import CLOSE_TIMEOUT
from ..net.stream.protocol import ConnectionProtocol
from ..net.tasks.hints import withAsyncioHint
from ..websocket.handle import WebSocket
from ..websocket.limits import WebSocketLimits
from ..websocket.needs import needWebsockets

if TYPE_CHECKING:
    from ..websocket.session import Session

log = Logger()


def isWebSocket(request: RequestHead) -> bool:
    """
    Return whether a request asks for a WebSocket. Its handshake may still be no valid one: C{request.webSocket()} says.
    """
    return (
        request.method == "GET"
        and offersUpgrade(request._asks, request.version)
        and "websocket" in _tokens(request, "Upgrade")
    )


async def accept(
    request: Any,
    subprotocols: Iterable[str],
    compression: bool,
    headers: HeadersLike,
    limits: WebSocketLimits,
    origins: Iterable[str] | None,
) -> WebSocket:
    """
    See L{Request.webSocket<wasinet_twisted.server.Request.webSocket>}.
    """
    needWebsockets()
    from ..websocket.handshake import answer, checkSubprotocols
    from ..websocket.session import Session

    names = checkSubprotocols(subprotocols)
    if isinstance(origins, str):
        raise InvalidArgument(f"origins must be a sequence of str, not the str {origins!r}")
    if not isinstance(limits, WebSocketLimits):
        raise InvalidArgument(f"limits must be WebSocketLimits, not {limits!r}")
    extra = list(toHeaders(headers).items())
    for name, _ in extra:
        if name.lower().startswith("sec-websocket-"):
            raise InvalidArgument(f"{name} is the handshake's; subprotocols= and compression= set what it says")
    try:
        _checkAsks(request)
        fields, agreed = answer(
            lambda name: request.headers.getall(name, ()),
            names,
            compression,
            None if origins is None else list(origins),
        )
    except InvalidHandshake as error:
        # Let it pass, and the client is told.
        request._fault = error
        raise
    conn = await request.upgrade("websocket", fields + extra)
    carrier = request._protocol
    session = Session(conn, agreed, True, limits)
    if session.code is None:
        webSockets = carrier.server.webSockets
        webSockets[carrier] = session
        session.onClose = lambda: webSockets.pop(carrier, None)
        ends = carrier.server.ends
        if ends is not None and carrier in ends.tunnels:
            ends.tunnels[carrier].session = session
        if carrier.server.draining:
            drain({carrier: session})
    return WebSocket(session)


def handlerEnded(
    tunnel: ConnectionProtocol, session: Session | None, error: BaseException | None, cancelled: bool
) -> None:
    """
    A handler that has switched to another protocol has returned, or has raised C{error}.

    @param session: its WebSocket, if it has one that is open.
    """
    if cancelled:
        tunnel.abort()
    elif session is None and error is None:
        tunnel.close(CLOSE_TIMEOUT)
    elif session is None:
        assert error is not None
        tunnel.taskFailed("the handler", error)
    elif error is None:
        session.close(1000, "")
    elif isinstance(error, ConnectionClosed) and (session.code is not None or tunnel.lost or tunnel.closing):
        # The handler does not catch the exception that its WebSocket raised: that is nobody's failure.
        log.info("the handler of the WebSocket with {peer} ended: {error}", peer=tunnel.peerName(), error=error)
        if session.code is None:
            # A send() has learned of it first, and nobody receives.
            session.abort()
    else:
        log.failure(
            "the handler of the WebSocket with {peer} failed",
            failure=Failure(withAsyncioHint(error)),
            peer=tunnel.peerName(),
        )
        session.close(1011, "")


def drain(webSockets: dict[Any, Session]) -> None:
    """
    The server is about to end: close each WebSocket with 1012 (Service Restart).
    """
    for session in list(webSockets.values()):
        session.close(1012, "service restart")


def _checkAsks(request: RequestHead) -> None:
    """
    @raise InvalidHandshake: the request is not one for a WebSocket (RFC 6455 section 4.2.1).
    """
    if request.method != "GET":
        raise InvalidHandshake(f"the method of a WebSocket's handshake must be GET, not {request.method}")
    if request.version != "HTTP/1.1":
        raise InvalidHandshake(f"a WebSocket's handshake must be HTTP/1.1, not {request.version}")
    upgrade = _tokens(request, "Upgrade")
    if "websocket" not in upgrade or "upgrade" not in _tokens(request, "Connection"):
        raise InvalidHandshake(
            "this is for WebSocket: Upgrade must have websocket, and Connection Upgrade",
            statusHint=426,
            fields=(("Upgrade", "websocket"), ("Connection", "Upgrade")),
        )


def _tokens(request: RequestHead, name: str) -> list[str]:
    values: Any = request.headers.getall(name, ())
    return [token.strip(" \t").lower() for value in values for token in value.split(",")]
