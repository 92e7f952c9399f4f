"""
L{AsgiApp}: an ASGI app as a handler.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred, succeed

from ..errors import InvalidArgument
from ..http import WasiResponse
from ..net.addresses import checkTimeout
from ..net.reactors import theReactor
from ..server import Request
from ..server.answering import Answering
from .exchange import HttpExchange
from .interfaces import App
from .lifespan import Lifespan
from .proxies import TrustedProxies
from .running import Runner, runnerFor
from .scope import Scopes

_MODES = ("auto", "on", "off")

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
        @raise InvalidArgument: one of these can't be.
        """
        checkApp(app)
        if lifespan not in _MODES:
            raise InvalidArgument(f"lifespan must be one of {', '.join(_MODES)}, not {lifespan!r}")
        self._app = app
        self._mode = lifespan
        self._scopes = Scopes(rootPath, TrustedProxies(trustedProxies))
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
        exchange = HttpExchange(request, self._runner or self._running())
        exchange.start(self._app, self._scopes.http(request))
        return exchange

    def startup(self) -> Deferred[None]:
        """
        Tell the app that it is to be served. The reactor has to run.

        @return: fires when requests may come.
        @raise StartupFailed: the app says that it can't be served.
        """
        if self._mode == "off":
            return succeed(None)
        self._lifespan = Lifespan(self._app, self._running(), self._reactor, self._mode == "on")
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
