"""
Those who don't take what they have asked for, on real sockets, over TCP and over TLS.

What the kernel takes at once earns a peer no time; C{test_deadlines.py} has the arithmetic.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.endpoints import SSL4ServerEndpoint
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from tests.certificates import Authority
from tests.processes import PATIENCE
from wasinet_twisted.http import WasiResponse
from wasinet_twisted.net import TlsServer
from wasinet_twisted.server import HttpServer, Request, ServerLimits

from .support import assertAddsUp, get

reactor: Any = _reactor

LOCAL = "127.0.0.1"
BODY = bytes(30 << 20)
GRACE = 1.0
LIMITS = ServerLimits(bodyGrace=GRACE, drain=PATIENCE)


async def pieces() -> AsyncIterator[bytes]:
    view = memoryview(BODY)
    for start in range(0, len(view), 1 << 16):
        yield bytes(view[start : start + (1 << 16)])


def whole(request: Request) -> WasiResponse:
    return WasiResponse(body=BODY)


def streamed(request: Request) -> WasiResponse:
    return WasiResponse(body=pieces())


@pytest.fixture(params=["tcp", "tls"])
def certificate(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    """
    The server's, if it has one.
    """
    return Authority(tmp_path).issue(LOCAL) if request.param == "tls" else None


async def serving(handler: Any, certificate: Path | None) -> HttpServer:
    server = HttpServer(handler, limits=LIMITS)
    endpoint: Any = f"tcp:0:interface={LOCAL}"
    if certificate is not None:
        endpoint = SSL4ServerEndpoint(reactor, 0, TlsServer(certificate), interface=LOCAL)
    await server.listenOn(endpoint)
    return server


def connect(port: int, secure: bool) -> socket.socket:
    """
    A client that has asked, and reads nothing by itself.
    """
    client = socket.socket()
    client.settimeout(PATIENCE)
    client.connect((LOCAL, port))
    if secure:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        client = context.wrap_socket(client)
    client.sendall(get())
    return client


@contextmanager
def closed(client: socket.socket) -> Iterator[socket.socket]:
    try:
        yield client
    finally:
        client.close()


@pytest.mark.parametrize("handler", [whole, streamed])
@pytest_twisted.ensureDeferred
async def test_whoNeverReadsIsDropped(handler: Any, certificate: Path | None) -> None:
    """
    After the time of grace, and not much later: nothing has been earned.
    """
    server = await serving(handler, certificate)
    client = await deferToThread(connect, server.local().port, certificate is not None)
    with closed(client):
        while not server.statistics.requests:
            await deferLater(reactor, 0.01)
        began = reactor.seconds()
        while server.statistics.openConnections:
            assert reactor.seconds() < began + PATIENCE
            await deferLater(reactor, 0.05)
        # A megabyte at the least rate would be half an hour.
        assert reactor.seconds() - began > GRACE / 2
    await server.drain(0)
    assertAddsUp(server.statistics)


@pytest.mark.parametrize("handler", [whole, streamed])
@pytest_twisted.ensureDeferred
async def test_whoReadsSteadilyStays(handler: Any, certificate: Path | None) -> None:
    """
    Faster than the least rate, for several times the grace.
    """
    server = await serving(handler, certificate)
    client = await deferToThread(connect, server.local().port, certificate is not None)
    with closed(client):
        began = reactor.seconds()
        got = 0
        while reactor.seconds() < began + 3 * GRACE:
            # At most 16 KiB come at once, in some 400 KB a second.
            got += len(await deferToThread(client.recv, 1 << 14))
            await deferLater(reactor, 0.04)
        assert server.statistics.openConnections == 1
        assert server.statistics.drops == {}
        assert 100_000 < got < len(BODY) // 2
        # It has time enough for all of it.
        while data := await deferToThread(client.recv, 1 << 20):
            got += len(data)
            if got >= len(BODY):
                break
        assert got >= len(BODY)
    await server.drain(0)
    assertAddsUp(server.statistics)
