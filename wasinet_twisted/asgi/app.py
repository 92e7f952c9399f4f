"""
L{AsgiApp}: an ASGI app as a handler.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import deferLater
from twisted.logger import Logger

from ..errors import InvalidArgument, NotSupported
from ..http import WasiResponse
from ..net.addresses import checkTimeout
from ..net.reactors import theReactor
from ..server import Request, isWebSocket
from ..server.answering import Answering
from ..websocket.limits import DEFAULT_LIMITS, WebSocketLimits
from ..websocket.needs import needWebsockets
from .exchange import Exchange
from .http import HttpExchange
from .interfaces import App
from .lifespan import Lifespan
from .proxies import TrustedProxies
from .running import Runner, runnerFor
from .scope import Scopes
from .websocket import WebSocketExchange

log = Logger()

MODES = ("auto", "on", "off")

# How long an app's shutdown may take, in seconds.
SHUTDOWN_DEADLINE = 5.0


class AsgiApp:
    """
    Serves an ASGI 3 app: a handler for C{serve} and L{HttpServer<wasinet_twisted.server.HttpServer>}.

        app = AsgiApp(theirs)
        await app.startup()
        server = serve(app, 8080)
        ...
        await server.drain()
        await app.shutdown()

    Where the reactor is asyncio's, each request runs in an asyncio Task of its own, as all apps but the simplest need
    it; else in a task of ours, in which Deferreds can be awaited.
    """

    def __init__(
        self,
        app: App,
        *,
        rootPath: str = "",
        lifespan: str = "auto",
        trustedProxies: Iterable[str] = (),
        webSocketLimits: WebSocketLimits = DEFAULT_LIMITS,
        reactor: Any = None,
    ) -> None:
        """
        @param app: takes a scope, C{receive} and C{send}.
        @param rootPath: where a proxy has mounted the app, such as C{"/shop"}, if it takes that off the path. The app
            finds it as C{root_path}, and at the beginning of C{path}.
        @param lifespan: C{"on"}: an app that takes no part in its lifespan fails; C{"auto"}: it is served without;
            C{"off"}: it is not asked.
        @param trustedProxies: whose X-Forwarded-For and X-Forwarded-Proto are honoured: addresses, networks such as
            C{"10.0.0.0/8"}, C{"unix"} for peers on Unix sockets, C{"*"} for whoever connects.
        @param webSocketLimits: the bounds of each WebSocket. WebSockets need the extra C{ws}.
        @raise InvalidArgument: one of these can't be.
        """
        checkApp(app)
        if lifespan not in MODES:
            raise InvalidArgument(f"lifespan must be one of {', '.join(MODES)}, not {lifespan!r}")
        self._app = app
        self._mode = lifespan
        self._scopes = Scopes(rootPath, TrustedProxies(trustedProxies))
        self._webSocketLimits = webSocketLimits
        # Is the package there that it takes? None: nobody has asked for a WebSocket yet.
        self._webSockets: bool | None = None
        self._reactor: Any = theReactor(reactor)
        # Made when the reactor runs, and asyncio's loop with it.
        self._runner: Runner | None = None
        self._lifespan: Lifespan | None = None

    def __call__(self, request: Request) -> Answering | WasiResponse:
        """
        Answer a request.
        """
        if request.method == "CONNECT":
            return WasiResponse(501, {"Content-Type": "text/plain"}, "CONNECT is not served here\n")
        runner = self._runner or self._running()
        exchange: Exchange
        # Nearly all requests ask nothing of their connection.
        if request._asks and isWebSocket(request) and self._speaksWebSocket():
            exchange = WebSocketExchange(request, runner, self._webSocketLimits)
            exchange.start(self._app, self._scopes.webSocket(request))
        else:
            exchange = HttpExchange(request, runner)
            exchange.start(self._app, self._scopes.http(request))
        return exchange

    def startup(self) -> Deferred[None]:
        """
        Tell the app that it is to be served.

        @return: fires when requests may come.
        @raise StartupFailed: the app says that it can't be served.
        """
        if self._mode == "off":
            return succeed(None)
        try:
            runner = self._running()
        except RuntimeError:
            # asyncio's loop runs a moment later than the reactor says that it runs, and react() calls its function
            # before either.
            return deferLater(self._reactor, 0, self.startup)  # type: ignore[arg-type]
        self._lifespan = Lifespan(self._app, runner, self._reactor, self._mode == "on")
        self._scopes.state = self._lifespan.state
        return self._lifespan.startup()

    def shutdown(self, deadline: float = SHUTDOWN_DEADLINE) -> Deferred[None]:
        """
        Tell the app that no request follows, if it has been told of its startup.

        @param deadline: seconds that it may take; then it is cancelled.
        @return: fires when it has ended, a second after the deadline at the latest.
        """
        checkTimeout(deadline)
        lifespan, self._lifespan = self._lifespan, None
        return succeed(None) if lifespan is None else lifespan.shutdown(deadline)

    def _speaksWebSocket(self) -> bool:
        if self._webSockets is None:
            try:
                needWebsockets()
                self._webSockets = True
            except NotSupported as error:
                self._webSockets = False
                log.warn("requests for WebSockets are answered as those for HTTP: {error}", error=error)
        return self._webSockets

    def _running(self) -> Runner:
        if self._runner is None:
            self._runner = runnerFor(self._reactor)
        return self._runner


def checkApp(app: object) -> None:
    """
    @raise InvalidArgument: it is no ASGI 3 app, as far as its signature tells; it says what else it looks like.
    """
    if not callable(app):
        raise InvalidArgument(f"an ASGI app must be callable, not {app!r:.100}")
    if _takes(app, 3):
        return
    if _takes(app, 1):
        hint = (
            "this one takes a scope alone, as in ASGI 2: asgiref.compatibility.guarantee_single_callable(app) wraps it"
        )
    elif _takes(app, 2):
        hint = "this one takes two, as WSGI's do: asgiref.wsgi.WsgiToAsgi(app) wraps it"
    elif _takes(app, 0):
        hint = "this one takes none: is it a factory, which makes the app?"
    else:
        hint = f"this one is {app!r:.100}"
    raise InvalidArgument(f"an ASGI 3 app takes (scope, receive, send); {hint}")


def _takes(app: Callable[..., Any], count: int) -> bool:
    try:
        signature = inspect.signature(app)
    except (TypeError, ValueError):
        # Some of those written in C tell nothing.
        return count == 3
    try:
        signature.bind(*([None] * count))
    except TypeError:
        return False
    return True
