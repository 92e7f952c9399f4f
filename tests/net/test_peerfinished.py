"""
That the peer has ended its direction is told to those who wait for it, whatever else the connection does.
"""

from __future__ import annotations

import socket
import struct
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import SSL4ServerEndpoint
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase

from tests.certificates import Authority
from wasinet_twisted.net import ConnectionFactory, TlsServer, WasiTcpConn, WasiTcpServer, WasiTlsConn
from wasinet_twisted.net.stream.protocol import READ_BUFFER, ConnectionProtocol
from wasinet_twisted.net.tasks.awaited import IMMEDIATE
from wasinet_twisted.testing import MemoryListener, pair

reactor: Any = _reactor
LOCAL = "127.0.0.1"


class WhenPeerFinishedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.link = pair(window=100_000)
        self.client, self.server = self.link

    def tearDown(self) -> None:
        for conn in self.link:
            conn.abort()
        self.link.settle()
        self.assertEqual(self.link.clock.getDelayedCalls(), [])

    def test_aReadWaits(self) -> None:
        told, reading = self.server.whenPeerFinished(), self.server.read()
        self.link.settle()
        self.assertNoResult(told)
        self.client.finish()
        self.link.settle()
        self.assertIsNone(self.successResultOf(told))
        self.assertEqual(self.successResultOf(reading), b"")
        # Our direction goes on.
        self.server.write(b"still")
        self.assertEqual(self.link.run(self.client.read()), b"still")

    def test_nobodyReads(self) -> None:
        told = self.server.whenPeerFinished()
        self.client.write(b"request")
        self.link.settle()
        self.assertNoResult(told)
        self.client.close()
        self.link.settle()
        self.assertIsNone(self.successResultOf(told))
        # What came before is there to be read.
        self.assertEqual(self.successResultOf(self.server.read()), b"request")
        self.assertEqual(self.successResultOf(self.server.read()), b"")

    def test_readingIsPaused(self) -> None:
        told = self.server.whenPeerFinished()
        self.client.write(bytes(READ_BUFFER + 50_000))
        self.client.finish()
        self.link.settle()
        self.assertNoResult(told)
        self.link.run(self.server.readExactly(READ_BUFFER + 50_000))
        self.link.settle()
        self.assertIsNone(self.successResultOf(told))

    def test_alreadyFinished(self) -> None:
        self.client.finish()
        self.link.settle()
        self.assertIsNone(self.successResultOf(self.server.whenPeerFinished()))
        self.assertNoResult(self.server.whenClosed())

    def test_everybodyIsTold(self) -> None:
        told = [self.server.whenPeerFinished() for _ in range(3)]
        told[1].cancel()
        self.failureResultOf(told[1], CancelledError)
        self.client.finish()
        self.link.settle()
        self.successResultOf(told[0])
        self.successResultOf(told[2])

    def test_aReset(self) -> None:
        """
        The connection is gone: that is no failure of who only wants to know.
        """
        told, gone = self.server.whenPeerFinished(), self.server.whenClosed()
        order: list[str] = []
        told.addCallback(lambda _: order.append("finished"))
        gone.addCallback(lambda _: order.append("closed"))
        self.client.abort()
        self.link.settle()
        self.assertEqual(order, ["finished", "closed"])
        self.assertIsNone(self.successResultOf(self.server.whenPeerFinished()))

    def test_ourSideCloses(self) -> None:
        told = self.server.whenPeerFinished()
        self.server.close()
        self.link.settle()
        self.client.close()
        self.link.settle()
        self.assertIsNone(self.successResultOf(told))

    def test_theTransportHasNoHalfClose(self) -> None:
        link = pair(halfClose=False)
        told = link.server.whenPeerFinished()
        link.client.close()
        link.settle()
        self.assertIsNone(self.successResultOf(told))

    def test_itKeepsNoHandle(self) -> None:
        """
        As C{whenClosed}: whoever only waits for this doesn't use the connection.
        """
        link = pair()
        told = link.server.whenPeerFinished()
        del link.server
        link.settle()
        self.assertEqual(link.run(link.client.read()), b"")
        link.client.close()
        link.settle()
        self.assertIsNone(self.successResultOf(told))

    def test_aQuietStreamEnds(self) -> None:
        """
        What it is for: a handler that sends events, and has none to send.
        """
        ended: list[str] = []

        async def events(conn: WasiTcpConn) -> None:
            try:
                await conn.write(b"first")
                await Deferred()
            finally:
                ended.append("events")

        async def handler(conn: WasiTcpConn) -> None:
            conn.start(events(conn))
            await conn.whenPeerFinished()
            ended.append("handler")

        listener = MemoryListener()
        factory = ConnectionFactory(handler, reactor=listener.clock)
        listener.listen(factory)
        client = listener.connect()
        self.assertEqual(listener.run(client.read()), b"first")
        self.assertEqual(ended, [])
        client.close()
        listener.settle()
        self.assertEqual(ended, ["handler", "events"])
        self.assertEqual(factory.connections, set())

    def test_aLoopYields(self) -> None:
        """
        Once it is true, those who ask over and over let others have their turn.
        """
        self.client.finish()
        self.link.settle()
        rounds = 0

        async def forEver() -> None:
            nonlocal rounds
            while True:
                await self.server.whenPeerFinished()
                rounds += 1

        spinning = self.server.start(forEver())
        self.assertLessEqual(rounds, IMMEDIATE)
        spinning.addErrback(lambda _: None)
        spinning.cancel()

    def test_nothingIsKept(self) -> None:
        protocol: ConnectionProtocol = self.server._protocol
        told = self.server.whenPeerFinished()
        self.client.finish()
        self.link.settle()
        self.successResultOf(told)
        self.assertIsNone(protocol._pending)


# On real sockets


async def accepted() -> tuple[WasiTcpServer, WasiTcpConn, socket.socket]:
    """
    A server, a connection of it, and the client's socket.
    """
    server = WasiTcpServer(0, LOCAL)
    accepting = server.accept(timeout=5)
    client = socket.create_connection((LOCAL, server.local().port), 5)
    return server, await accepting, client


async def within(seconds: float, told: Deferred[None]) -> None:
    # It raises the timeout; the bound is the machine's, not the code's.
    await told.addTimeout(seconds, reactor)


@pytest.mark.parametrize("reads", [True, False])
@pytest_twisted.ensureDeferred
async def test_aSocketThatCloses(reads: bool) -> None:
    """
    It sends a FIN: a real close is no more than that.
    """
    server, conn, client = await accepted()
    client.sendall(b"request")
    assert await conn.read(timeout=5) == b"request"
    told = conn.whenPeerFinished()
    reading = conn.read() if reads else None
    await deferLater(reactor, 0.05)
    assert not told.called
    client.close()
    await within(1, told)
    assert conn._protocol.peerFinished
    if reading is not None:
        assert await reading == b""
    await conn.close()
    await server.close()


@pytest_twisted.ensureDeferred
async def test_aSocketThatClosesWhileReadingIsPaused() -> None:
    server, conn, client = await accepted()
    size = READ_BUFFER + 100_000
    sendAndClose(client, bytes(size))
    told = conn.whenPeerFinished()
    await deferLater(reactor, 0.1)
    assert not told.called
    assert len(await conn.readExactly(size, timeout=5)) == size
    await within(1, told)
    await conn.close()
    await server.close()


def sendAndClose(client: socket.socket, data: bytes) -> None:
    """
    Send and close, without waiting for whoever reads it.
    """
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1024 * 1024)
    client.sendall(data)
    client.close()


@pytest_twisted.ensureDeferred
async def test_aSocketThatResets() -> None:
    server, conn, client = await accepted()
    told = conn.whenPeerFinished()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    await within(1, told)
    await conn.whenClosed()
    await server.close()


@pytest_twisted.ensureDeferred
async def test_overTls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    settings = TlsServer(authority.issue("localhost"))
    server = WasiTcpServer(SSL4ServerEndpoint(reactor, 0, settings, interface=LOCAL))
    connecting = WasiTlsConn.connect("localhost", server.local().port, 5, caCertificates=authority.path)
    conn = await server.accept(timeout=5)
    client = await connecting
    told = conn.whenPeerFinished()
    await client.close()
    await within(1, told)
    await conn.whenClosed()
    await server.close()
