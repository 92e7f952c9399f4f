"""
A plugin of pytest's that puts our server in the place of daphne's in daphne's tests.

The tests send no Host field, and compare what an app is told with what they have sent. RFC 9112 section 3.2 has a
server refuse such requests, and ours does; so the client sends one, and the app isn't told of it. The tests take no
other keys of a scope than they know; those that the specification has as optional, and daphne lacks, are taken out.

The tests' app receives in an endless loop, and relies on daphne's C{receive()} for an end of it: once it has told of
the disconnect, that returns no more. Ours says so again. A server that goes on for a moment after the test would write
into the next test's files: it is killed.
"""

from __future__ import annotations

import asyncio
import http.client
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import daphne.testing
from hypothesis import Phase, settings

# A test that fails need not find out how little it takes: each try starts a server. Both servers get the same requests.
settings.register_profile("suite", phases=[Phase.explicit, Phase.generate], derandomize=True)
settings.load_profile("suite")

HOST = b"added.invalid"


class HostSending(http.client.HTTPConnection):
    """
    Sends a Host field unless the test does.
    """

    def putheader(self, header: Any, *values: Any) -> None:
        """
        See C{HTTPConnection.putheader}.
        """
        name = header if isinstance(header, bytes) else header.encode("latin-1")
        self._hosted = getattr(self, "_hosted", False) or name.lower() == b"host"
        super().putheader(header, *values)

    def endheaders(self, *arguments: Any, **more: Any) -> None:
        """
        See C{HTTPConnection.endheaders}.
        """
        if not getattr(self, "_hosted", False):
            self.putheader(b"Host", HOST)
        super().endheaders(*arguments, **more)


class Adapted:
    """
    Gives a test's app, with what L{HostSending} has added taken from its scope, and with an end of its loop.
    """

    def __init__(self, get_application: Callable[[], Any]) -> None:
        self._get = get_application

    def __call__(self) -> Any:
        """
        Return the app.
        """
        app = self._get()

        async def adapted(scope: dict[str, Any], receive: Any, send: Any) -> None:
            scope["headers"] = [each for each in scope["headers"] if tuple(each) != (b"host", HOST)]
            for optional in ("extensions", "state", *(("http_version",) if scope["type"] == "websocket" else ())):
                scope.pop(optional, None)
            gone = False

            async def receiving() -> Any:
                nonlocal gone
                if gone:
                    await asyncio.Event().wait()
                message = await receive()
                gone = message["type"].endswith(".disconnect")
                return message

            await app(scope, receiving, send)

        return adapted


def process(host: str, get_application: Any, kwargs: dict[str, Any], setup: Any, teardown: Any) -> Any:
    """
    Make what C{daphne.testing.DaphneProcess} makes, with its options in ours.
    """
    from wasinet_twisted.contrib.django.serverprocess import ServerProcess
    from wasinet_twisted.server import ServerLimits
    from wasinet_twisted.websocket import WebSocketLimits

    options: dict[str, Any] = {"lifespan": "off"}
    if "proxy_forwarded_address_header" in kwargs:
        options["trustedProxies"] = ["127.0.0.1"]
    if "http_timeout" in kwargs:
        options["limits"] = replace(ServerLimits(), handler=float(kwargs["http_timeout"]))
    bounds = {
        ours: kwargs[theirs]
        for theirs, ours in (("websocket_max_message_size", "message"), ("websocket_max_frame_size", "frame"))
        if theirs in kwargs
    }
    if bounds:
        options["webSocketLimits"] = WebSocketLimits(**bounds)
    made = ServerProcess(host, Adapted(get_application), options, setup, teardown)
    made.terminate = made.kill  # type: ignore[method-assign]
    return made


# On a busy machine either takes more than the suite's 2 s.
daphne.testing.BaseDaphneTestingInstance.startup_timeout = 20
if os.environ["WASINET_SUITE_SERVER"] == "ours":
    http.client.HTTPConnection = HostSending  # type: ignore[misc]
    daphne.testing.DaphneProcess = process
