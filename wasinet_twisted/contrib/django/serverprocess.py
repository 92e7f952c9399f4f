"""
L{ServerProcess}: the server in a process of its own, for tests.
"""

from __future__ import annotations

import multiprocessing
import signal
import socket
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from .reactors import renewReactor
from .serving import STOP_DEADLINE, AppServer

# How long a process that is terminated may go on, in seconds.
_KILL_AFTER = int(4 * STOP_DEADLINE)


class ServerProcess(multiprocessing.Process):
    """
    Serves an app until it is terminated. Channels' own live server case can have it as its C{ProtocolServerProcess}.

    @ivar port: what it listens on, once it is ready.
    @ivar ready: is set when the app is served.
    @ivar errors: has an exception and its traceback as text, if it could not start.
    """

    def __init__(
        self,
        host: str,
        getApplication: Callable[[], Any],
        kwargs: Mapping[str, Any] | None = None,
        setup: Callable[[], object] | None = None,
        teardown: Callable[[], object] | None = None,
        port: int | None = None,
    ) -> None:
        """
        @param getApplication: gives the ASGI app, in the new process.
        @param kwargs: options of L{AsgiApp<wasinet_twisted.asgi.AsgiApp>}.
        @param setup: called in the new process before the app is served.
        @param teardown: called there at its end.
        @param port: by default any free one.
        """
        super().__init__()
        self.host = host
        self.port = multiprocessing.Value("i", port or 0)
        self.ready = multiprocessing.Event()
        self.errors: Any = multiprocessing.Queue()
        self._getApplication = getApplication
        self._options = dict(kwargs or {})
        self._setUp = setup
        self._tearDown = teardown

    def run(self) -> None:
        """
        What the new process does.
        """
        # Ctrl-C goes to all processes of a terminal: the tests' own ends this one.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            self._serve()
        except BaseException as error:
            # Not the exception itself: it need not be one that can be sent to another process.
            self.errors.put((RuntimeError(f"{type(error).__name__}: {error}"), traceback.format_exc()))

    def _serve(self) -> None:
        reactor = renewReactor()
        app = self._getApplication()
        listening = socket.create_server((self.host, self.port.value), backlog=128)
        self.port.value = listening.getsockname()[1]
        server = AppServer(app, listening, reactor, **self._options)

        def terminated(number: int, frame: object) -> None:
            server.stop()
            # An app that never waits keeps the reactor from its turn: the signal's default action ends the process.
            signal.alarm(_KILL_AFTER)

        signal.signal(signal.SIGTERM, terminated)
        if self._setUp is not None:
            self._setUp()
        try:
            server.run(self.ready.set)
        finally:
            if self._tearDown is not None:
                self._tearDown()
