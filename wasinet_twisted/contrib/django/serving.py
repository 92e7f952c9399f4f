"""
L{AppServer}: an ASGI app on a socket, from the reactor's start to its end.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.endpoints import AdoptedStreamServerEndpoint
from twisted.logger import STDLibLogObserver, globalLogBeginner
from twisted.python.failure import Failure

from ...asgi import AsgiApp
from ...server import HttpServer, ServerLimits
from ...server.limits import DEFAULT_SERVER_LIMITS

# How long requests in flight may take when the server stops, and then the app's own shutdown, in seconds. Who stops it
# waits for it: it is for development and for tests.
STOP_DEADLINE = 1.0


class AppServer:
    """
    Runs the reactor, and a server on it.
    """

    def __init__(
        self,
        app: Any,
        listening: socket.socket,
        reactor: Any,
        *,
        limits: ServerLimits = DEFAULT_SERVER_LIMITS,
        **options: Any,
    ) -> None:
        """
        @param app: an ASGI 3 app.
        @param listening: a socket that listens. It is closed at the end.
        @param reactor: one that runs asyncio programs, and does not run yet.
        @param limits: the server's.
        @param options: L{AsgiApp}'s.
        """
        self._app = AsgiApp(app, reactor=reactor, **options)
        self._socket = listening
        self._reactor = reactor
        self._server = HttpServer(self._app, limits=limits, reactor=reactor)
        self._starting: Deferred[None] | None = None
        self._stopping = False
        self._error: BaseException | None = None
        self._ended = threading.Event()

    def run(self, ready: Callable[[], object] | None = None) -> None:
        """
        Serve until L{stop} is called.

        @param ready: called when the app has started and is served.
        @raise StartupFailed: the app's startup failed.
        """
        # To the logging of the project, instead of nowhere.
        globalLogBeginner.beginLoggingTo([STDLibLogObserver()], redirectStandardIO=False)
        # Not callWhenRunning: asyncio's loop runs a little later than the reactor.
        self._reactor.callLater(0, self._begin, ready)
        try:
            self._reactor.run(installSignalHandlers=False)
        finally:
            self._socket.close()
            self._ended.set()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """
        Have it end: from any thread, and from a signal handler.
        """
        self._reactor.callFromThread(self._end)

    def waitForEnd(self, timeout: float) -> bool:
        """
        Wait in another thread until L{run} has returned.

        @param timeout: seconds.
        @return: has it?
        """
        return self._ended.wait(timeout)

    def _begin(self, ready: Callable[[], object] | None) -> None:
        starting = self._starting = ensureDeferred(self._start(ready))
        starting.addErrback(self._failed)

    async def _start(self, ready: Callable[[], object] | None) -> None:
        await self._app.startup()
        family = self._socket.family
        # The endpoint duplicates the descriptor, and closes the one that it was given.
        await self._server.listenOn(AdoptedStreamServerEndpoint(self._reactor, self._socket.detach(), family))
        if ready is not None:
            ready()

    def _failed(self, failure: Failure) -> None:
        if not self._stopping:
            self._error = failure.value
            self._end()

    def _end(self) -> None:
        if not self._stopping:
            self._stopping = True
            ensureDeferred(self._finish())

    async def _finish(self) -> None:
        try:
            await self._server.drain(STOP_DEADLINE)
            await self._app.shutdown(STOP_DEADLINE)
        finally:
            self._reactor.stop()
