"""
L{webSocket}: open a WebSocket, as a client (RFC 6455 section 4.1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred

from ..errors import InvalidArgument, WebSocketRefused
from ..http.events import HeadersLike, toHeaders
from ..http.fields import Pair
from ..websocket.handle import WebSocket
from ..websocket.limits import DEFAULT_LIMITS, WebSocketLimits
from ..websocket.needs import needWebsockets
from .bodies import NO_BODY
from .environment import toProxy
from .fetching import checkWays, poolAndTimeouts
from .limits import Timeouts
from .planning import Plan
from .pool import Pool
from .response import Response
from .traced import begin
from .urls import Origin, Target, parseUrl

_scheme = re.compile(r"(ws|wss)(?=:)", re.IGNORECASE)
_HTTP = {"ws": "http", "wss": "https"}
_OURS = frozenset(("connection", "upgrade"))


def webSocket(
    url: Any,
    *,
    subprotocols: Iterable[str] = (),
    compression: bool = True,
    headers: HeadersLike = (),
    limits: WebSocketLimits = DEFAULT_LIMITS,
    timeout: float | Timeouts | None = None,
    pool: Pool | None = None,
    proxy: Any = None,
    unixSocket: str | None = None,
    reactor: Any = None,
) -> Deferred[WebSocket]:
    """
    Open a WebSocket.

        async with await webSocket("wss://example.org/chat", timeout=10) as ws:
            await ws.send("hello")
            async for message in ws:
                print(message)

    Redirects are not followed.

    @param url: a C{ws} or C{wss} URL, as L{fetch<wasinet_twisted.client.fetch>} has C{http} and C{https}.
    @param subprotocols: those that are offered, the preferred one first; C{ws.subprotocol} is what the server chose.
    @param compression: offer permessage-deflate (RFC 7692).
    @param headers: further fields of the request, such as Origin or Cookie.
    @param limits: its L{WebSocketLimits<wasinet_twisted.websocket.WebSocketLimits>}.
    @param timeout: seconds for the whole handshake; or L{Timeouts<wasinet_twisted.client.Timeouts>}. By default the
        pool's.
    @param pool: whose certificates, proxy, timeouts and bounds hold for the handshake. Once it is open, a WebSocket is
        none of the pool's: it isn't counted, and stays open when the pool closes.
    @param proxy: as C{fetch} has it.
    @param unixSocket: as C{fetch} has it.
    @param reactor: as C{fetch} has it.
    @return: fires with the L{WebSocket<wasinet_twisted.websocket.WebSocket>}. Cancelling it resets the connection.
    @raise InvalidArgument: one of the arguments can't be used.
    @raise NotSupported: the extra C{ws} is missing.
    @raise WebSocketRefused: the server has answered with another status than 101.
    @raise InvalidHandshake: the server's 101 is not valid; the message says why.
    @raise WasinetError: what C{fetch} raises else.
    """
    needWebsockets()
    from ..websocket.handshake import ask, checkSubprotocols, newKey

    names = checkSubprotocols(subprotocols)
    if not isinstance(limits, WebSocketLimits):
        raise InvalidArgument(f"limits must be WebSocketLimits, not {limits!r}")
    key = newKey()
    fields = _fieldsOf(headers) + ask(key, names, compression)
    pool, timeouts = poolAndTimeouts(pool, reactor, timeout)
    checkWays(unixSocket, proxy)
    target = parseUrl(_toHttp(url))
    if target.origin.scheme == "http":
        # RFC 6455 section 4.1: a proxy is asked for a tunnel, in the clear, too; most would take Upgrade for theirs.
        origin = Origin("ws", target.origin.host, target.origin.port)
        target = Target(origin, target.path, target.host, None, target.userinfo)
    plan = Plan(pool, timeouts, 0, toProxy(proxy), unixSocket, False, None)
    fetching = begin(plan, target, "GET", fields, NO_BODY, False)
    return ensureDeferred(_open(fetching, key, names, compression, limits))


async def _open(
    fetching: Deferred[Response], key: str, names: tuple[str, ...], compression: bool, limits: WebSocketLimits
) -> WebSocket:
    from ..websocket.handshake import check
    from ..websocket.session import Session

    async with await fetching as response:
        if response.status != 101:
            raise WebSocketRefused(
                f"{response.url} opens no WebSocket: the server has answered {response.status}",
                status=response.status,
                fields=tuple(response.headers.items()),
            )
        agreed = check(key, names, compression, lambda name: response.headers.getall(name, ()))
        return WebSocket(Session(response.upgrade(), agreed, False, limits))


def _toHttp(url: Any) -> str:
    """
    @raise InvalidArgument: this is no C{ws} or C{wss} URL.
    """
    text = str(url)
    scheme = _scheme.match(text)
    if scheme is None:
        raise InvalidArgument(f"the URL of a WebSocket begins with ws:// or wss://, unlike {text.partition(':')[0]!r}")
    if "#" in text:
        # RFC 6455 section 3.
        raise InvalidArgument("the URL of a WebSocket has no fragment: a # is written %23")
    return _HTTP[scheme[0].lower()] + text[scheme.end() :]


def _fieldsOf(headers: HeadersLike) -> list[Pair]:
    """
    @raise InvalidArgument: one of them is the handshake's own.
    """
    fields = list(toHeaders(headers).items()) if headers else []
    for name, _ in fields:
        if name.lower() in _OURS or name.lower().startswith("sec-websocket-"):
            raise InvalidArgument(f"headers has {name}, which is the handshake's own")
    return fields
