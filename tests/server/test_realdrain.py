"""
A drain of a server that listens on real sockets: nobody who has connected before is reset.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.threads import deferToThread

from tests.processes import PATIENCE
from wasinet_twisted import serve
from wasinet_twisted.server import ServerLimits

from .support import get, parse, uriOf

reactor: Any = _reactor

# More than a batch.
COUNT = 130


def receiveAll(client: socket.socket) -> bytes:
    """
    All until the end of the stream.
    """
    received = b""
    while data := client.recv(65536):
        received += data
    return received


@pytest.mark.parametrize("kind", ["tcp", "unix"])
@pytest_twisted.ensureDeferred
async def test_whoWaitsInTheKernelsQueue(kind: str, tmp_path: Path) -> None:
    """
    They have connected and asked while the server was busy; then it is told to end.
    """
    path = tmp_path / "s"
    endpoint = f"unix:{path}:backlog=500" if kind == "unix" else "tcp:0:interface=127.0.0.1:backlog=500"
    server = serve(uriOf, endpoint)
    address: Any = str(path) if kind == "unix" else ("127.0.0.1", server.local().port)
    clients = []
    # The reactor has no turn here.
    for number in range(COUNT):
        client = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET)
        client.settimeout(PATIENCE)
        client.connect(address)
        client.sendall(get(f"/{number}"))
        clients.append(client)
    drained = server.drain(5)
    for number, client in enumerate(clients):
        with client:
            (response,) = parse(await deferToThread(receiveAll, client))
            assert (response.status, response.body) == (200, b"/%d" % number)
            assert response.headers["Connection"] == "close"
    await drained


@pytest_twisted.ensureDeferred
async def test_thoseBeyondTheBoundAreNotAccepted() -> None:
    """
    A server that is full takes no more for that.
    """
    server = serve(uriOf, "tcp:0:interface=127.0.0.1", limits=ServerLimits(connections=3))
    clients = [socket.create_connection(("127.0.0.1", server.local().port)) for _ in range(5)]
    drained = server.drain(0)
    assert len(server.connections) == 3
    await drained
    for client in clients:
        client.close()
