"""
How much of what was written has not reached the peer's system: on real sockets, with a peer that reads when it is told.
"""

from __future__ import annotations

import ssl
import struct
from collections.abc import Callable
from fcntl import ioctl
from pathlib import Path
from socket import AF_UNIX, create_connection, socket
from termios import FIONREAD
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import SSL4ServerEndpoint, UNIXServerEndpoint
from twisted.internet.task import deferLater
from twisted.internet.testing import StringTransport
from twisted.internet.threads import deferToThread

from tests.certificates import Authority
from tests.processes import PATIENCE
from wasinet_twisted.net import TlsServer, WasiTcpConn, WasiTcpServer
from wasinet_twisted.net.stream.outgoing import unacknowledged, unsent
from wasinet_twisted.testing import pair

reactor: Any = _reactor

LOCAL = "127.0.0.1"
TOTAL = 8 << 20
# TLS 1.3 adds 22 bytes to each record of 16 KiB, and the handshake's last messages have some as well.
MOST_TLS = TOTAL + TOTAL // 16384 * 22 + 4096


def sleep(seconds: float) -> Deferred[None]:
    return deferLater(reactor, seconds)


def left(conn: WasiTcpConn) -> int:
    return unacknowledged(conn._protocol.transport)


def unread(peer: socket) -> int:
    """
    How many bytes the peer's kernel has for it.
    """
    count: int = struct.unpack("i", ioctl(peer.fileno(), FIONREAD, bytes(4)))[0]
    return count


async def until(holds: Callable[[], bool], what: Callable[[], object]) -> None:
    deadline = reactor.seconds() + PATIENCE
    while not holds():
        assert reactor.seconds() < deadline, what()
        await sleep(0.01)


async def stuck(conn: WasiTcpConn) -> None:
    """
    Wait until the kernel takes no more.
    """
    last = -1
    while (now := unsent(conn._protocol.transport, 0)) != last:
        last = now
        await sleep(0.3)


def drain(peer: Any, total: int) -> int:
    count = 0
    while count < total and (data := peer.recv(1 << 20)):
        count += len(data)
    return count


@pytest_twisted.ensureDeferred
async def test_tcp() -> None:
    """
    To the byte: what was written, without what the peer's kernel has.
    """
    server = WasiTcpServer(0, LOCAL)
    with create_connection((LOCAL, server.local().port), PATIENCE) as peer:
        conn = await server.accept(timeout=5)
        assert left(conn) == 0
        conn.write(b"x")
        await until(lambda: unread(peer) == 1 and left(conn) == 0, lambda: left(conn))
        conn.write(bytes(TOTAL - 1))
        await stuck(conn)
        await until(lambda: left(conn) + unread(peer) == TOTAL, lambda: (left(conn), unread(peer)))
        # The kernel's own queue is part of it.
        assert left(conn) > unsent(conn._protocol.transport, 0) > 0
        assert await deferToThread(drain, peer, TOTAL) == TOTAL
        await until(lambda: left(conn) == 0, lambda: left(conn))
        # The FIN is a byte more until the peer has it.
        await conn.finish()
        await until(lambda: left(conn) == 0, lambda: left(conn))
    await conn.close()
    assert left(conn) == 0
    await server.close()


@pytest_twisted.ensureDeferred
async def test_unix(tmp_path: Path) -> None:
    """
    What the peer has not read, and a little more.
    """
    path = str(tmp_path / "socket")
    server = WasiTcpServer(UNIXServerEndpoint(reactor, path))
    await sleep(0)
    with socket(AF_UNIX) as peer:
        peer.settimeout(PATIENCE)
        peer.connect(path)
        conn = await server.accept(timeout=5)
        assert left(conn) == 0
        conn.write(b"x")
        await until(lambda: unread(peer) == 1, lambda: unread(peer))
        # Its kernel has it, but that is ours.
        assert 1 <= left(conn) < 8192
        conn.write(bytes(TOTAL - 1))
        await stuck(conn)
        assert unread(peer) > 0
        assert TOTAL <= left(conn) < 2 * TOTAL
        assert await deferToThread(drain, peer, TOTAL) == TOTAL
        await until(lambda: left(conn) == 0, lambda: left(conn))
    await conn.close()
    await server.close()


@pytest_twisted.ensureDeferred
async def test_tls(tmp_path: Path) -> None:
    """
    In the turn in which it was written, before the handshake, and on the wire.
    """
    authority = Authority(tmp_path)
    settings = TlsServer(authority.issue(LOCAL))
    server = WasiTcpServer(SSL4ServerEndpoint(reactor, 0, settings, interface=LOCAL))
    context = ssl.create_default_context(cafile=str(authority.path))
    with create_connection((LOCAL, server.local().port), PATIENCE) as raw:
        conn = await server.accept(timeout=5)
        conn.write(bytes(1000))
        assert left(conn) == 1000
        await sleep(0.05)
        assert left(conn) == 1000
        peer = await deferToThread(context.wrap_socket, raw, server_hostname=LOCAL)
        with peer:
            await conn.handshake()
            await until(lambda: left(conn) == 0, lambda: left(conn))
            assert unread(peer) >= 1000
            # Small writes wait for the others of the turn.
            conn.write(bytes(10_000))
            assert left(conn) == 10_000
            conn.write(bytes(TOTAL - 11_000))
            assert left(conn) > TOTAL // 2
            await stuck(conn)
            await until(lambda: TOTAL <= left(conn) + unread(peer) <= MOST_TLS, lambda: (left(conn), unread(peer)))
            assert left(conn) > unsent(conn._protocol.transport, 0) > 0
            assert await deferToThread(drain, peer, TOTAL) == TOTAL
            await until(lambda: left(conn) == 0, lambda: left(conn))
    conn.abort()
    await conn.whenClosed()
    # Of a connection that is gone it tells what the transport was left with.
    assert left(conn) == unsent(conn._protocol.transport.plaintext()[1], 0)
    await server.close()


@pytest.mark.reactorless
def test_inMemory() -> None:
    """
    Without a socket of the kernel's, it is what the transport says, if it says anything.
    """
    link = pair(window=1000)
    link.server._protocol.transport.stopReading()
    link.client.write(bytes(5000))
    link.settle()
    transport = link.client._protocol.transport
    assert unacknowledged(transport) == unsent(transport, 0) == 4000
    link.client.abort()
    link.server.abort()
    link.settle()
    assert unacknowledged(transport) == unsent(transport, 0)
    assert unacknowledged(StringTransport()) == unacknowledged(None) == 0
