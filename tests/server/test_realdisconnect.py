"""
A client that closes is noticed, on real sockets: C{test_disconnect.py} has the bounds.
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from tests.processes import PATIENCE
from tests.support import needsTool
from wasinet_twisted import serve
from wasinet_twisted.http import WasiResponse
from wasinet_twisted.server import HttpServer, Request, ServerLimits

from .support import get

reactor: Any = _reactor


class Events:
    """
    An application: server-sent events, of which there is one and then nothing; and an answer that waits.

    @ivar told: what has been heard of the client, and what has ended.
    """

    def __init__(self) -> None:
        self.told: list[str] = []

    async def pieces(self) -> AsyncIterator[bytes]:
        try:
            yield b"data: 1\n\n"
            await Deferred()
        finally:
            self.told.append("finally")

    async def handle(self, request: Request) -> WasiResponse:
        gone = request.whenDisconnected().addCallback(lambda _: self.told.append("told"))
        if request.path == "/wait":
            await gone
            return WasiResponse(body="so long")
        return WasiResponse(200, {"Content-Type": "text/event-stream"}, self.pieces())


async def until(condition: Callable[[], bool]) -> None:
    """
    Wait for something, within patience.
    """
    began = reactor.seconds()
    while not condition():
        assert reactor.seconds() < began + PATIENCE
        await deferLater(reactor, 0.01)


class Client:
    """
    A plain socket, which doesn't block the reactor.
    """

    def __init__(self, server: HttpServer) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.local().port), PATIENCE)
        self.socket.setblocking(False)
        self.got = b""

    def has(self, text: bytes) -> bool:
        try:
            self.got += self.socket.recv(1 << 16)
        except BlockingIOError:
            return False
        return text in self.got


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.mark.parametrize("way", ["close", "shutdown"])
@pytest_twisted.ensureDeferred
async def test_aSocket(way: str, events: Events) -> None:
    server = serve(events.handle, "tcp:0:interface=127.0.0.1", limits=ServerLimits(halfClosed=0.5))
    client = Client(server)
    try:
        client.socket.send(get("/events"))
        await until(lambda: client.has(b"data: 1"))
        assert events.told == []
        if way == "close":
            client.socket.close()
        else:
            client.socket.shutdown(socket.SHUT_WR)
        await until(lambda: "told" in events.told)
        # The socket is not left in CLOSE-WAIT.
        await until(lambda: server.statistics.openConnections == 0)
        assert events.told == ["told", "finally"]
        assert server.statistics.drops == {"half-closed": 1}
    finally:
        client.socket.close()
        await server.drain(0)


@pytest_twisted.ensureDeferred
async def test_anAnswerForHalfAConnection(events: Events) -> None:
    """
    Who only ends its direction, as C{nc -N} does, gets its answer.
    """
    server = serve(events.handle, "tcp:0:interface=127.0.0.1", limits=ServerLimits(halfClosed=0.5))
    client = Client(server)
    try:
        client.socket.send(get("/wait"))
        client.socket.shutdown(socket.SHUT_WR)
        await until(lambda: client.has(b"\r\n\r\nso long"))
        await until(lambda: server.statistics.openConnections == 0)
    finally:
        client.socket.close()
        await server.drain(0)


@pytest_twisted.ensureDeferred
async def test_curlIsStopped(events: Events) -> None:
    curl = needsTool("curl")
    server = serve(events.handle, "tcp:0:interface=127.0.0.1", limits=ServerLimits(halfClosed=0.5))
    url = f"http://127.0.0.1:{server.local().port}/events"
    process = subprocess.Popen([curl, "-sN", url], stdout=subprocess.DEVNULL)
    try:
        await until(lambda: server.statistics.inFlight == 1)
        process.terminate()
        await until(lambda: "told" in events.told)
        await until(lambda: server.statistics.openConnections == 0)
        assert events.told == ["told", "finally"]
    finally:
        process.kill()
        process.wait()
        await server.drain(0)


@pytest_twisted.ensureDeferred
async def test_aDrainDoesntWaitForThoseThatHaveGone(events: Events) -> None:
    """
    Its deadline is beyond our patience.
    """
    server = serve(events.handle, "tcp:0:interface=127.0.0.1", limits=ServerLimits(halfClosed=0.5))
    client = Client(server)
    client.socket.send(get("/events"))
    await until(lambda: client.has(b"data: 1"))
    client.socket.close()
    over: list[None] = []
    server.drain(10 * PATIENCE).addCallback(over.append)
    await until(lambda: over == [None])
    assert events.told == ["told", "finally"]
