"""
A server in memory, for tests of HTTP clients.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import DeferredList
from twisted.internet.task import Clock

from ..client import Pool, Response, fetch, webSocket
from ..errors import InvalidArgument
from ..server import HttpServer, ServerLimits, serve
from ..server.limits import DEFAULT_SERVER_LIMITS
from ..server.serving import Handler
from ..websocket import WebSocket
from .listening import MemoryListener
from .time import Timed
from .wires import WINDOW

# What stands before a path. RFC 2606 keeps the name for tests.
ORIGIN = "http://origin.test"


class MemoryOrigin(Timed):
    """
    An HTTP server in memory, and pools whose connections all go there, whatever host a URL names. Requests for C{https}
    go there without TLS, so that code is tested with the URLs that it has; C{response.tls} is L{None}.

        origin = testing.MemoryOrigin(handler)
        response = origin.fetch("/path")
        assert origin.run(response.text()) == "hello"
        origin.close()

    @ivar clock: the L{Clock}.
    @ivar listener: where the server listens; C{listener.links} has what is between the ends of each connection.
    @ivar server: the L{HttpServer<wasinet_twisted.server.HttpServer>}.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        clock: Clock | None = None,
        limits: ServerLimits = DEFAULT_SERVER_LIMITS,
        delay: float = 0.0,
        chunkSize: int | None = None,
        window: int = WINDOW,
        rate: float | None = None,
        halfClose: bool = True,
    ) -> None:
        """
        @param handler: as L{serve<wasinet_twisted.server.serve>} has it.
        @param clock: by default a new one.
        @param limits: the server's.
        @param delay: as all that follow, for each connection; see L{pair<wasinet_twisted.testing.pair>}.
        @raise InvalidArgument: one of them can't be.
        """
        self.listener = MemoryListener(
            clock, delay=delay, chunkSize=chunkSize, window=window, rate=rate, halfClose=halfClose
        )
        self.clock = self.listener.clock
        self.server: HttpServer = serve(handler, self.listener, limits=limits, reactor=self.clock)
        self._pools: list[Pool] = []
        self._shared: Pool | None = None

    def pool(self, **options: Any) -> Pool:
        """
        Return a new pool whose connections go to this server. L{close} closes it.

        @param options: what L{Pool<wasinet_twisted.client.Pool>} takes, but for C{endpoint} and C{reactor}.
        @raise InvalidArgument: one of them can't be.
        """
        for name in ("endpoint", "reactor"):
            if name in options:
                raise InvalidArgument(f"{name}= is set by the origin")
        made = Pool(endpoint=lambda _: self.listener.endpoint, reactor=self.clock, **options)
        made._dialing.inTheClear = True
        self._pools.append(made)
        return made

    def fetch(self, url: Any, *, pool: Pool | None = None, atMost: float = 60.0, **options: Any) -> Response:
        """
        Fetch, and let time pass until there is a response.

        @param url: a URL, or a path of C{http://origin.test}.
        @param pool: by default one that all calls without it share.
        @param atMost: how many seconds of the clock's time it may take.
        @param options: what else L{fetch<wasinet_twisted.client.fetch>} takes.
        @return: the response, whose head has come: C{origin.run(response.bytes())} reads its body.
        @raise AssertionError: there was none in that time.
        @raise WasinetError: what C{fetch} raises.
        """
        if isinstance(url, str) and url.startswith("/"):
            url = ORIGIN + url
        return self.run(fetch(url, pool=pool or self._pool(), **options), atMost)

    def webSocket(self, url: Any, *, pool: Pool | None = None, atMost: float = 60.0, **options: Any) -> WebSocket:
        """
        Open a WebSocket, and let time pass until it is open.

        @param url: a URL, or a path of C{ws://origin.test}.
        @param options: as all others, as L{fetch} has it; what else L{webSocket<wasinet_twisted.client.webSocket>}
            takes.
        @raise WasinetError: what C{webSocket} raises.
        """
        if isinstance(url, str) and url.startswith("/"):
            url = ORIGIN.replace("http", "ws", 1) + url
        return self.run(webSocket(url, pool=pool or self._pool(), **options), atMost)

    def _pool(self) -> Pool:
        if self._shared is None:
            self._shared = self.pool()
        return self._shared

    def close(self) -> None:
        """
        Close the pools, then the server, and let time pass until all is over. Handlers that still run are cancelled.
        """
        self.run(DeferredList([pool.close() for pool in self._pools]))
        self.run(self.server.drain(0))
        # What is still on its way arrives, and what answers that.
        self.advance(4 * self.listener.delay)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {self.listener!r}>"
