"""
A plugin of pytest's for uvicorn's tests of its protocols. With uvicorn, they run with httptools and websockets-sansio;
with ours, these two classes and C{uvicorn.Server} are replaced.

C{test_http.py} drives a protocol without a socket: ours gets a connection in memory, on a Clock. C{test_websocket.py}
starts servers in the loop of its tests: ours runs on a reactor on the same loop.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

import pytest

# The parameters of the suite's fixtures that are run.
CHOSEN = {"http_protocol_cls": "httptools_impl", "ws_protocol_cls": "websockets_sansio_impl"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """
    Leave out the suite's other parsers.
    """

    def chosen(item: Any) -> bool:
        params = item.callspec.params if hasattr(item, "callspec") else {}
        return all(word in params[name] for name, word in CHOSEN.items() if name in params)

    config.hook.pytest_deselected(items=[each for each in items if not chosen(each)])
    items[:] = [each for each in items if chosen(each)]


if os.environ["WASINET_SUITE_SERVER"] == "ours":
    import uvicorn
    import uvicorn.server
    from uvicorn.protocols.http import httptools_impl
    from uvicorn.server import ServerState

    from wasinet_twisted.reactor.asyncio import install

    class Loop(asyncio.SelectorEventLoop):
        """
        The loop of all tests: a reactor keeps its own for ever.
        """

        def close(self) -> None:
            """
            Nothing.
            """

        async def shutdown_default_executor(self, *arguments: Any) -> None:
            """
            Nothing: it would refuse to begin anew.
            """

    class Policy(asyncio.DefaultEventLoopPolicy):
        """
        Gives it to each test.
        """

        def new_event_loop(self) -> asyncio.AbstractEventLoop:
            """
            Return it.
            """
            return loop

    loop = Loop()
    asyncio.set_event_loop_policy(Policy())
    reactor = install(loop)
    reactor.startRunning(installSignalHandlers=False)

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IHalfCloseableProtocol
    from twisted.internet.protocol import Protocol
    from twisted.internet.task import Clock
    from zope.interface import implementer

    from wasinet_twisted.asgi import AsgiApp
    from wasinet_twisted.server import HttpServer, ServerLimits
    from wasinet_twisted.testing.links import CLIENT, Link
    from wasinet_twisted.testing.time import advance, settle
    from wasinet_twisted.websocket import WebSocketLimits

    def asgiApp(config: Any, app: Any, on: Any, lifespan: str) -> AsgiApp:
        """
        Return an app of ours, with the settings that uvicorn's configuration has for it.
        """
        limits = WebSocketLimits(
            message=config.ws_max_size,
            frame=config.ws_max_size,
            pingInterval=config.ws_ping_interval or None,
            pingTimeout=config.ws_ping_timeout or None,
        )
        return AsgiApp(app, rootPath=config.root_path, lifespan=lifespan, webSocketLimits=limits, reactor=on)

    class Server:
        """
        What the tests know of C{uvicorn.Server}.
        """

        def __init__(self, config: Any) -> None:
            self.config = config
            self.started = self.should_exit = False
            self.server_state = ServerState()
            self._ended = False

        async def serve(self, sockets: Any = None) -> None:
            """
            Serve until this is cancelled, or C{should_exit} is set.
            """
            config = self.config
            if not config.loaded:
                config.load()
            self._app = asgiApp(config, config.loaded_app, reactor, config.lifespan)
            await self._app.startup().asFuture(loop)
            self._server = HttpServer(self._app, limits=ServerLimits(), reactor=reactor)
            await self._server.listenOn(f"tcp:{config.port}:interface=127.0.0.1").asFuture(loop)
            self.started = True
            while not self.should_exit:
                await asyncio.sleep(0.05)
            await self.shutdown()

        async def shutdown(self, sockets: Any = None) -> None:
            """
            End it.
            """
            if not self._ended:
                self._ended = True
                await self._server.drain(1.0).asFuture(loop)
                # As uvicorn does. The client in the same loop has to see the end of its connection too.
                await asyncio.sleep(0.1)
                await self._app.shutdown(1.0).asFuture(loop)

        def run(self, sockets: Any = None) -> None:
            """
            Serve in a thread whose tests don't run the loop.
            """
            asyncio.run(self.serve(sockets))

    uvicorn.Server = uvicorn.server.Server = Server  # type: ignore[misc,assignment]

    @implementer(IHalfCloseableProtocol)
    class Client(Protocol):
        """
        The other end: what it gets is what the test's transport has been given.
        """

        def __init__(self, mock: Any) -> None:
            self._mock = mock

        def dataReceived(self, data: bytes) -> None:
            """
            See C{IProtocol}.
            """
            self._mock.buffer += data

        def readConnectionLost(self) -> None:
            """
            The server has ended its direction: for the test it closes.
            """
            self._mock.closed = True

        def writeConnectionLost(self) -> None:
            """
            See C{IHalfCloseableProtocol}.
            """

        def connectionLost(self, reason: Any = None) -> None:
            """
            See C{IProtocol}.
            """
            self._mock.closed = True

    class Turns:
        """
        What the tests know of a loop: each call of the app waits until it is its turn.
        """

        def __init__(self, clock: Clock, then: Callable[[], None]) -> None:
            self._clock = clock
            self._then = then
            self._waiting: list[Deferred[None]] = []

        async def turn(self) -> None:
            """
            Wait for it.
            """
            waiting: Deferred[None] = Deferred()
            self._waiting.append(waiting)
            await waiting

        async def run_one(self) -> None:
            """
            Let the app run that waits longest.
            """
            if self._waiting:
                self._waiting.pop(0).callback(None)
            self._then()

        def run_later(self, with_delay: float) -> None:
            """
            Let time pass.
            """
            advance(self._clock, with_delay)
            self._then()

    class Connection:
        """
        What the tests know of uvicorn's protocol: a connection in memory to a server of ours.
        """

        def __init__(self, config: Any, server_state: Any, app_state: dict[str, Any], _loop: Any = None) -> None:
            if not config.loaded:
                config.load()
            self._theirs = config.loaded_app
            self._clock = Clock()
            self.loop = Turns(self._clock, self._settle)
            self._app = asgiApp(config, self._call, self._clock, "off")
            self._app._scopes.state = app_state
            self._server = HttpServer(
                self._app,
                # Uvicorn's bound: a test sends more than that.
                limits=ServerLimits(idle=float(config.timeout_keep_alive), buffered=64 * 1024),
                reactor=self._clock,
            )
            self._link = Link(self._clock)
            self.scope: dict[str, Any] = {}

        async def _call(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
            self.scope = scope
            await self.loop.turn()
            return await self._theirs(scope, receive, send)

        def connection_made(self, transport: Any) -> None:
            """
            Connect.
            """
            self.transport = transport
            self._link.beginClient(Client(transport))
            protocol = self._server.buildProtocol(CLIENT)
            assert protocol is not None
            self._link.beginServer(protocol)
            self._settle()

        def data_received(self, data: bytes) -> None:
            """
            Send to the server.
            """
            self._link.clientTransport.write(data)
            self._settle()

        def eof_received(self) -> None:
            """
            End the client's direction.
            """
            self._link.clientTransport.loseWriteConnection()
            self._settle()

        def connection_lost(self, reason: Any) -> None:
            """
            Break the connection.
            """
            self._link.lose()
            self._settle()

        def shutdown(self) -> None:
            """
            Have the server end.
            """
            self._server.drain()
            self._settle()

        @property
        def timeout_keep_alive_task(self) -> object:
            """
            What closes the connection when it is idle for long: something, while it is idle.
            """
            connections = list(self._server.connections)
            return object() if connections and connections[0].connection.isBetween() else None

        def _settle(self) -> None:
            settle(self._clock)
            self.transport.read_paused = not self._link.serverTransport._reading

    httptools_impl.HttpToolsProtocol = Connection  # type: ignore[misc,assignment]
