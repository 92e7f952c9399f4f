"""
A connection that one Protocol has begun, and that another one goes on with: as an HTTP connection that is upgraded.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from wasinet_twisted.net import ConnectionClosed, TlsClient, WasiTcpConn
from wasinet_twisted.net.stream.protocol import READ_BUFFER, ConnectionProtocol
from wasinet_twisted.net.stream.transportprotocol import TransportProtocol
from wasinet_twisted.testing import Link


class Carrier(TransportProtocol):
    """
    Keeps what arrives until it is told to hand the connection over, and passes everything on from then on.
    """

    __slots__ = ("arrived", "tunnel")

    def __init__(self, clock: Any) -> None:
        super().__init__(clock)
        self.arrived = b""
        self.tunnel: ConnectionProtocol | None = None

    def upgrade(self, owner: Any = None) -> WasiTcpConn:
        self.tunnel = ConnectionProtocol.over(self, self.arrived, owner)
        return WasiTcpConn(self.tunnel)

    def pause(self) -> None:
        """
        Read no more for now.
        """
        self._readPaused = True
        self.transport.pauseProducing()

    def dataReceived(self, data: bytes) -> None:
        if self.tunnel is None:
            self.arrived += data
        else:
            self.tunnel.dataReceived(data)

    def readConnectionLost(self) -> None:
        super().readConnectionLost()
        if self.tunnel is not None:
            self.tunnel.readConnectionLost()

    def writeConnectionLost(self) -> None:
        super().writeConnectionLost()
        if self.tunnel is not None:
            self.tunnel.writeConnectionLost()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        if self.tunnel is not None:
            self.tunnel.connectionLost(reason)

    def pauseProducing(self) -> None:
        super().pauseProducing()
        if self.tunnel is not None:
            self.tunnel.pauseProducing()

    def resumeProducing(self) -> None:
        super().resumeProducing()
        if self.tunnel is not None:
            self.tunnel.resumeProducing()


class Owner:
    """
    @ivar gone: the Protocols of which it was told.
    """

    def __init__(self) -> None:
        self.gone: list[object] = []

    def connected(self, protocol: object) -> bool:
        raise AssertionError("it is connected already")

    def connectionGone(self, protocol: object) -> None:
        self.gone.append(protocol)


class OverTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.link = Link(Clock(), window=1000)
        self.carrier = Carrier(self.link.clock)
        client = ConnectionProtocol(self.link.clock)
        self.link.beginClient(client)
        self.link.beginServer(self.carrier)
        self.client = WasiTcpConn(client)

    def tearDown(self) -> None:
        self.client.abort()
        self.link.settle()
        self.assertTrue(self.carrier.lost)
        self.assertEqual(self.link.clock.getDelayedCalls(), [])

    def test_bytes(self) -> None:
        """
        None are lost, neither those that have come before.
        """
        self.client.write(b"GET / HTTP/1.1\r\n")
        self.link.settle()
        self.carrier.send(b"101\r\n")
        conn = self.carrier.upgrade()
        self.assertEqual(conn.peer(), self.carrier.peer())
        self.assertEqual(conn.local(), self.carrier.local())
        self.assertEqual(self.link.run(conn.readLine()), b"GET / HTTP/1.1\r\n")
        reading = conn.read()
        self.assertNoResult(reading)
        self.client.write(b"more")
        self.assertEqual(self.link.run(reading), b"more")
        conn.write(b"answer")
        self.assertEqual(self.link.run(self.client.readExactly(11)), b"101\r\nanswer")

    def test_nothingHasCome(self) -> None:
        conn = self.carrier.upgrade()
        reading = conn.read()
        self.client.write(b"x")
        self.assertEqual(self.link.run(reading), b"x")

    def test_flowControl(self) -> None:
        """
        Writes wait for the peer, whether its window was full before or is later.
        """
        for before in (False, True):
            self.setUp()
            if before:
                self.carrier.send(bytes(200_000))
            conn = self.carrier.upgrade()
            writing = conn.write(bytes(200_000))
            self.link.settle()
            self.assertNoResult(writing)
            self.link.run(self.client.readExactly(400_000 if before else 200_000))
            self.link.settle()
            self.successResultOf(writing)
            self.tearDown()

    def test_theBoundOnWhatIsQueued(self) -> None:
        """
        What the first Protocol has queued is below it.
        """
        self.carrier.send(bytes(200_000))
        conn = self.carrier.upgrade()
        self.assertEqual(conn._protocol._queued, 200_000)
        self.assertNoResult(conn.write(b""))

    def test_reading(self) -> None:
        """
        The peer is read from again, if the first Protocol has stopped that, and no faster than it is read.
        """
        self.carrier.pause()
        self.client.write(b"kept")
        self.link.settle()
        self.assertEqual(self.carrier.arrived, b"")
        conn = self.carrier.upgrade()
        self.assertEqual(self.link.run(conn.read()), b"kept")
        writing = self.client.write(bytes(2 * READ_BUFFER + 200_000))
        self.link.settle()
        self.assertNoResult(writing)
        self.link.run(conn.readExactly(2 * READ_BUFFER + 200_000))
        self.link.settle()
        self.successResultOf(writing)

    def test_muchHasCome(self) -> None:
        """
        More than a connection keeps: it is read before any more comes.
        """
        self.client.write(bytes(READ_BUFFER) + b"x")
        self.link.settle()
        self.carrier.pause()
        self.client.write(b"later")
        conn = self.carrier.upgrade()
        self.link.settle()
        self.assertEqual(conn._protocol.unreadBytes(), READ_BUFFER + 1)
        self.link.run(conn.readExactly(READ_BUFFER + 1))
        self.assertEqual(self.link.run(conn.read()), b"later")

    def test_thePeerHasFinished(self) -> None:
        """
        Before or after: the end of the stream comes after what has come.
        """
        self.client.write(b"last")
        self.client.finish()
        self.link.settle()
        conn = self.carrier.upgrade()
        self.assertEqual(self.link.run(conn.read()), b"last")
        self.assertEqual(self.link.run(conn.read()), b"")
        conn.write(b"still")
        self.assertEqual(self.link.run(self.client.read()), b"still")

    def test_thePeerFinishesLater(self) -> None:
        conn = self.carrier.upgrade()
        reading = conn.read()
        self.client.finish()
        self.assertEqual(self.link.run(reading), b"")

    def test_finish(self) -> None:
        conn = self.carrier.upgrade()
        finishing = conn.finish()
        self.assertEqual(self.link.run(self.client.read()), b"")
        self.link.run(finishing)

    def test_close(self) -> None:
        owner = Owner()
        conn = self.carrier.upgrade(owner)
        conn.write(b"last")
        closing = conn.close()
        self.assertEqual(self.link.run(self.client.readToEnd(10)), b"last")
        self.client.close()
        self.link.run(closing)
        self.assertEqual(owner.gone, [conn._protocol])

    def test_theLastReferenceGoes(self) -> None:
        conn = self.carrier.upgrade()
        del conn
        self.assertEqual(self.link.run(self.client.read()), b"")

    def test_lost(self) -> None:
        conn = self.carrier.upgrade()
        reading, gone = conn.read(), conn.whenClosed()
        self.link.lose()
        self.link.settle()
        self.failureResultOf(reading, ConnectionClosed)
        self.successResultOf(gone)

    def test_overTls(self) -> None:
        """
        After a switch to TLS the transport has no other Protocol than the new one; whoever owns it is told of its end.
        """
        owner = Owner()
        conn = self.carrier.upgrade(owner)
        shaking = conn.startTLS(TlsClient("localhost"))
        self.assertEqual(self.link.run(self.client.read())[:2], b"\x16\x03")
        self.link.lose()
        self.link.settle()
        self.failureResultOf(shaking)
        self.assertEqual(owner.gone, [conn._protocol])
        # Its transport has told it nothing.
        self.assertFalse(self.carrier.lost)
        self.carrier.connectionLost()

    def test_itIsClosed(self) -> None:
        self.carrier.close(1.0)
        self.assertRaises(ConnectionClosed, ConnectionProtocol.over, self.carrier)
        self.client.close()
        self.link.settle()
        self.assertTrue(self.carrier.lost)
        self.assertRaises(ConnectionClosed, ConnectionProtocol.over, self.carrier)


class TransportProtocolTests(SynchronousTestCase):
    """
    What any Protocol of ours has, without reads.
    """

    def setUp(self) -> None:
        self.link = Link(Clock(), window=1000)
        self.protocol = Carrier(self.link.clock)
        client = ConnectionProtocol(self.link.clock)
        self.link.beginClient(client)
        self.link.beginServer(self.protocol)
        self.client = WasiTcpConn(client)

    def test_children(self) -> None:
        ended: list[str] = []

        async def child() -> None:
            try:
                await self.protocol.whenClosed()
            finally:
                ended.append("child")

        running = self.protocol.start(child())
        running.addErrback(lambda _: None)
        self.client.abort()
        self.link.settle()
        self.assertEqual(ended, ["child"])

    def test_nothingIsLeftWhenNobodyWaits(self) -> None:
        """
        An idle connection keeps nothing for waiters that it doesn't have any more.
        """
        self.assertIsNone(self.protocol._pending)
        writing = self.protocol.write(bytes(100_000))
        self.link.settle()
        self.assertNoResult(writing)
        self.assertIsNotNone(self.protocol._pending)
        self.link.run(self.client.readExactly(100_000))
        self.link.settle()
        self.successResultOf(writing)
        self.assertIsNone(self.protocol._pending)
        self.client.abort()
        self.link.settle()

    def test_theBaseTakesNoBytes(self) -> None:
        self.assertRaises(NotImplementedError, TransportProtocol(Clock()).dataReceived, b"x")
        self.client.abort()
        self.link.settle()
