"""
What counts as taken by the peer: on real sockets, with a peer that reads when it is told.
"""

from __future__ import annotations

import ssl
from contextlib import ExitStack
from pathlib import Path
from socket import AF_INET, SO_RCVBUF, SO_SNDBUF, SOL_SOCKET, socket
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import SSL4ServerEndpoint
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from tests.certificates import Authority
from tests.processes import PATIENCE
from wasinet_twisted.http import WasiResponse
from wasinet_twisted.net import TlsServer
from wasinet_twisted.net.stream.outgoing import unsent
from wasinet_twisted.server import HttpServer, Request
from wasinet_twisted.server.protocol import HttpProtocol

reactor: Any = _reactor

LOCAL = "127.0.0.1"
BODY = bytes(8 << 20)


def sleep(seconds: float) -> Deferred[None]:
    return deferLater(reactor, seconds)


async def settled(protocol: HttpProtocol) -> tuple[int, int]:
    """
    Wait until nothing moves.

    @return: how many bytes the peer hasn't taken, and how many of them our kernel hasn't.
    """
    last = (-1, -1)
    deadline = reactor.seconds() + PATIENCE
    while (now := (protocol.untaken(), unsent(protocol.transport, 0))) != last:
        assert reactor.seconds() < deadline, now
        last = now
        await sleep(0.3)
    return last


@pytest.mark.parametrize("over", ["tcp", "tls"])
@pytest_twisted.ensureDeferred
async def test_whatOurKernelTakesIsNotTaken(over: str, tmp_path: Path) -> None:
    """
    A peer that reads nothing earns no time by the room in our own kernel, and one that reads does.
    """

    def sockets() -> Any:
        (protocol,) = server.connections
        assert isinstance(protocol, HttpProtocol)
        return protocol, protocol.tls.plaintext()[1] if protocol.tls is not None else protocol.transport

    def handler(request: Request) -> WasiResponse:
        sockets()[1].socket.setsockopt(SOL_SOCKET, SO_SNDBUF, 16 << 10)
        return WasiResponse(body=BODY)

    authority = Authority(tmp_path)
    endpoint = SSL4ServerEndpoint(reactor, 0, TlsServer(authority.issue(LOCAL)), interface=LOCAL)
    server = HttpServer(handler)
    await server.listenOn(endpoint if over == "tls" else f"tcp:0:interface={LOCAL}")
    with ExitStack() as stack:
        peer: Any = stack.enter_context(socket(AF_INET))
        peer.settimeout(PATIENCE)
        peer.setsockopt(SOL_SOCKET, SO_RCVBUF, 64 << 10)
        peer.connect((LOCAL, server.local().port))
        if over == "tls":
            context = ssl.create_default_context(cafile=str(authority.path))
            peer = stack.enter_context(await deferToThread(context.wrap_socket, peer, server_hostname=LOCAL))
        peer.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        while not (server.connections and next(iter(server.connections))._writePaused):
            await sleep(0.01)
        protocol, beneath = sockets()
        untaken, waiting = await settled(protocol)
        assert untaken > waiting > 0
        beneath.socket.setsockopt(SOL_SOCKET, SO_SNDBUF, 160 << 10)
        after, waitingAfter = await settled(protocol)
        assert waitingAfter < waiting
        assert after == untaken

        def read(size: int) -> None:
            while size > 0:
                size -= len(peer.recv(1 << 16))

        await deferToThread(read, 1 << 20)
        assert (await settled(protocol))[0] < untaken - (1 << 19)
    protocol.abort()
    await server.drain(0)
