"""
Deadlines on real sockets, when the reactor was held up: C{test_deadlines.py} has the bounds.
"""

from __future__ import annotations

import socket
from contextlib import closing
from typing import Any

import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from tests.processes import PATIENCE
from wasinet_twisted import serve
from wasinet_twisted.http import WasiResponse
from wasinet_twisted.server import ServerLimits
from wasinet_twisted.server.protocol import HttpProtocol

from .support import get

reactor: Any = _reactor


@pytest_twisted.ensureDeferred
async def test_heldUp() -> None:
    """
    A request that has arrived in time is answered, though the reactor reads it only after the deadline: a handler has
    held it up, or another process has had the core.
    """
    server = serve(
        lambda request: WasiResponse(body=request.uri), "tcp:0:interface=127.0.0.1", limits=ServerLimits(idle=500)
    )
    client = socket.create_connection(("127.0.0.1", server.local().port), PATIENCE)
    with closing(client):
        client.sendall(get("/one"))
        assert b"/one" in await deferToThread(client.recv, 1 << 16)
        (protocol,) = server.connections
        assert isinstance(protocol, HttpProtocol)
        while protocol.connection.clock.taking is not None:
            # It is idle when the server's clock has seen that the answer was taken.
            await deferLater(reactor, 0.05)
        # Nothing of this is read, nor is any clock looked at, before the reactor has its next turn: as it is after 1000
        # seconds in which it had none.
        client.sendall(get("/two"))
        protocol.connection.clock.since -= 1000
        assert server._ticking is not None
        server._ticking.reset(0)
        assert b"/two" in await deferToThread(client.recv, 1 << 16)
    await server.drain()
