"""
A test case for Channels whose tests talk to a real server: browsers, HTTP clients, WebSockets.

    class ChatTests(ChannelsLiveServerTestCase):
        def test_page(self):
            urlopen(self.live_server_url + "/chat/")
"""

from __future__ import annotations

from functools import partial
from typing import Any

from ...errors import NotSupported

try:
    from django.conf import settings
    from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
    from django.core.exceptions import ImproperlyConfigured
    from django.db import connections
    from django.test import TransactionTestCase
    from django.test.utils import modify_settings
except ModuleNotFoundError as error:
    raise NotSupported("the live server case needs Django: pip install django") from error

from .applications import defaultApplication
from .serverprocess import ServerProcess

# How long the server may take to begin and to end, in seconds.
_PATIENCE = 30.0


def _application(wrapper: Any) -> Any:
    # A function of a module: where processes aren't forked, it is sent to the new one by its name.
    app = defaultApplication()
    return app if wrapper is None else wrapper(app)


def _useDatabases(names: dict[str, str]) -> None:
    """
    Have the server use the databases of the tests, also where its process has read the settings anew.

    @param names: for each alias the name of its database.
    """
    for alias, name in names.items():
        settings.DATABASES[alias]["NAME"] = connections[alias].settings_dict["NAME"] = name


class ChannelsLiveServerTestCase(TransactionTestCase):
    """
    Starts the server for the tests of a class, in a process of its own, on a free port.

    It has the names of Channels' own case, which starts daphne: tests move by the import alone. It needs no daphne.

    @cvar host: the name or address that the server listens on and is asked by.
    @cvar ProtocolServerProcess: what serves.
    @cvar serve_static: are static files served?
    @cvar static_wrapper: what serves them.
    """

    host = "localhost"
    ProtocolServerProcess: Any = ServerProcess
    static_wrapper: Any = ASGIStaticFilesHandler
    serve_static = True

    @property
    def live_server_url(self) -> str:
        """
        The server's URL, without a slash at its end.
        """
        return f"http://{self.host}:{self._port}"

    @property
    def live_server_ws_url(self) -> str:
        """
        The same for WebSockets.
        """
        return f"ws://{self.host}:{self._port}"

    @classmethod
    def setUpClass(cls) -> None:
        """
        Start the server.

        @raise ImproperlyConfigured: a database is in memory: another process has another one.
        @raise RuntimeError: the server did not start. The message has the traceback of its process.
        """
        for connection in connections.all():
            if connection.vendor == "sqlite" and connection.is_in_memory_db():
                raise ImproperlyConfigured(
                    f"the database {connection.alias!r} is in memory, where the server's process can't see it: "
                    f'give it a file, DATABASES["{connection.alias}"]["TEST"]["NAME"]'
                )
        super().setUpClass()
        allowed = modify_settings(ALLOWED_HOSTS={"append": cls.host})
        allowed.enable()
        cls.addClassCleanup(allowed.disable)
        process = cls.ProtocolServerProcess(
            cls.host,
            partial(_application, cls.static_wrapper if cls.serve_static else None),
            setup=partial(_useDatabases, {each.alias: each.settings_dict["NAME"] for each in connections.all()}),
        )
        process.start()
        cls.addClassCleanup(_end, process)
        _waitFor(process)
        cls._port = process.port.value


def _waitFor(process: Any) -> None:
    """
    Wait until a process serves.

    @raise RuntimeError: it has ended instead, or takes too long.
    """
    for _ in range(int(_PATIENCE / 0.1)):
        if process.ready.wait(0.1):
            return
        if not process.is_alive():
            break
    if process.is_alive():
        raise RuntimeError(f"the live server is not ready after {_PATIENCE:g} s")
    why = process.errors.get(timeout=1)[1] if process.exitcode == 0 else f"its exit code is {process.exitcode}"
    raise RuntimeError(f"the live server did not start: {why}")


def _end(process: Any) -> None:
    process.terminate()
    process.join(_PATIENCE)
    if process.is_alive():
        process.kill()
        process.join()
