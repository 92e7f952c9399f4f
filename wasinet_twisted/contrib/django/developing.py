"""
L{DevelopmentServer}: what C{runserver} runs instead of Django's WSGI server.
"""

from __future__ import annotations

import signal
import socket
import threading
from typing import Any

from django.core.management import CommandError

from ...asgi import StartupFailed
from .reactors import asyncioReactor
from .requestlog import RequestLog
from .serving import STOP_DEADLINE, AppServer

# Django's own has a few; browsers open several connections at once.
_BACKLOG = 128

# What runs beside the reloader.
_inThreads: list[AppServer] = []


class DevelopmentServer:
    """
    Stands where C{django.core.management.commands.runserver} makes a
    C{django.core.servers.basehttp.WSGIServer}: it is made with the address, is given the app, and serves.

    With the autoreloader it serves in a thread beside the reloader's, which ends the process when a file has changed,
    or at Ctrl-C.

    @ivar server_port: the port, also where 0 was asked for.
    """

    def __init__(self, address: tuple[str, int], handlerClass: object = None, *, ipv6: bool = False) -> None:
        """
        @param handlerClass: Django's for a request, which isn't used.
        @raise OSError: the address can't be listened on. Django says so in words.
        """
        self._socket = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind(address)
            self._socket.listen(_BACKLOG)
        except BaseException:
            self._socket.close()
            raise
        self.server_port: int = self._socket.getsockname()[1]
        self._app: Any = None

    def set_app(self, app: Any) -> None:
        """
        Name the ASGI app.
        """
        self._app = app

    def serve_forever(self) -> None:
        """
        Serve.

        @raise KeyboardInterrupt: Ctrl-C has ended it. With the autoreloader, L{endInThreads} ends it.
        @raise CommandError: the app's startup failed.
        """
        server = AppServer(RequestLog(self._app), self._socket, asyncioReactor())
        try:
            if threading.current_thread() is threading.main_thread():
                _untilSignalled(server)
            else:
                _inThreads.append(server)
                server.run()
        except StartupFailed as error:
            raise CommandError(str(error)) from error


def _untilSignalled(server: AppServer) -> None:
    """
    Serve until Ctrl-C or SIGTERM. A second one does what it did before.
    """
    signalled: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def handle(number: int, frame: object) -> None:
        signalled.append(number)
        restore()
        server.stop()

    for number, handler in before.items():
        # A shell in the background has SIGINT ignored, which is not ours to change.
        if handler is not signal.SIG_IGN:
            signal.signal(number, handle)
    try:
        server.run()
    finally:
        restore()
    if signal.SIGINT in signalled:
        raise KeyboardInterrupt


def endInThreads() -> None:
    """
    End the server beside the reloader, and let the app have its shutdown: the process is about to end. Not by atexit:
    at that time Python's pools of threads, in which Django runs views, take nothing more.
    """
    for server in _inThreads:
        server.stop()
        server.waitForEnd(3 * STOP_DEADLINE)
