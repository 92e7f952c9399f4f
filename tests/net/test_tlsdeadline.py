"""
How long the TLS handshake of an accepted connection may take, whoever has accepted it.
"""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.endpoints import SSL4ServerEndpoint
from twisted.internet.task import Clock
from twisted.logger import LogLevel, formatEvent, globalLogPublisher
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase

from tests.certificates import Authority
from tests.support import temporaryDirectory
from wasinet_twisted.http import WasiResponse
from wasinet_twisted.net import (
    ConnectionClosed,
    ConnectionFactory,
    InvalidArgument,
    TimedOut,
    TlsClient,
    TlsServer,
    WasiTcpConn,
    WasiTcpServer,
    connect,
    formatAddress,
)
from wasinet_twisted.net.server.proxyprotocol import HEADER_TIMEOUT, ProxiedFactory
from wasinet_twisted.net.stream.protocol import ConnectionProtocol
from wasinet_twisted.server import HttpServer, ServerLimits
from wasinet_twisted.testing import Link

reactor: Any = _reactor

PEER = "192.0.2.1:40000"
PROXIED = "203.0.113.9:40001"
HEADER = b"PROXY TCP4 203.0.113.9 198.51.100.1 40001 443\r\n"


class DeadlineTests(SynchronousTestCase):
    """
    On a clock, in memory.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        directory = temporaryDirectory(self)
        self.authority = Authority(directory)
        self.settings = TlsServer(self.authority.issue("localhost"))
        self.told: list[BaseException] = []
        self.lines: list[str] = []
        globalLogPublisher.addObserver(self._observe)
        self.addCleanup(globalLogPublisher.removeObserver, self._observe)

    def _observe(self, event: Any) -> None:
        if event.get("log_level") in (LogLevel.info, LogLevel.warn):
            self.lines.append(formatEvent(event))

    async def _echo(self, conn: WasiTcpConn) -> None:
        try:
            async for data in conn:
                conn.write(data)
        except ConnectionClosed as error:
            self.told.append(error)

    def factory(self, **options: Any) -> ConnectionFactory:
        return ConnectionFactory(self._echo, reactor=self.clock, **options)

    def secure(self, factory: Any) -> Any:
        """
        What an C{ssl:} endpoint puts before a factory.
        """
        settings: Any = self.settings
        return TLSMemoryBIOFactory(settings, False, factory, self.clock)

    def accept(self, factory: Any) -> None:
        """
        A connection, of which the peer has said nothing yet.
        """
        self.link = Link(self.clock)
        ours = ConnectionProtocol(self.clock)
        self.link.beginClient(ours)
        self.conn = WasiTcpConn(ours)
        self.link.beginServer(factory.buildProtocol(self.link.clientAddress))
        self.link.settle()

    def shakeHands(self) -> None:
        settings = TlsClient("localhost", caCertificates=self.authority.path)
        self.link.run(self.conn.startTLS(settings))

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.link.settle()

    @property
    def aborted(self) -> bool:
        return self.link.serverTransport._aborting

    def assertAbortedAfter(self, seconds: float) -> None:
        self.assertFalse(self.aborted)
        self.advance(seconds - 0.01)
        self.assertFalse(self.aborted)
        self.advance(0.01)
        self.assertTrue(self.aborted)
        self.conn.abort()
        self.link.settle()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_silence(self) -> None:
        """
        Ten seconds. The handler is told, and the log has a line.
        """
        self.accept(self.secure(self.factory()))
        self.assertAbortedAfter(10)
        (told,) = self.told
        late = f"timed out: no TLS with {PEER} in 10 s"
        self.assertEqual(str(told), f"the connection with {PEER} is gone: {late}")
        self.assertIsInstance(told.__cause__, TimedOut)
        self.assertEqual(self.lines, [f"{late}; the connection is reset"])

    def test_aBeginningOnly(self) -> None:
        """
        Bytes that complete no handshake earn no time.
        """
        self.accept(self.secure(self.factory()))
        for byte in b"\x16\x03\x01\x02\x00\x01":
            self.conn.write(bytes([byte]))
            self.advance(1.5)
            self.assertFalse(self.aborted)
        self.assertAbortedAfter(1)

    def test_inTime(self) -> None:
        self.accept(self.secure(self.factory()))
        self.advance(9.99)
        self.shakeHands()
        self.advance(3600)
        self.conn.write(b"still there")
        self.assertEqual(self.link.run(self.conn.read()), b"still there")
        self.assertEqual(self.lines, [])
        self.conn.abort()
        self.link.settle()

    def test_itIsAParameter(self) -> None:
        for given in (3, 20.5):
            self.accept(self.secure(self.factory(handshakeTimeout=given)))
            self.assertAbortedAfter(given)
        self.accept(self.secure(self.factory(handshakeTimeout=None)))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.advance(3600)
        self.assertFalse(self.aborted)
        self.conn.abort()
        self.link.settle()
        with self.assertRaisesRegex(InvalidArgument, "timeout must be a number of seconds, at least 0, not -1"):
            self.factory(handshakeTimeout=-1)

    def test_aPeerThatGoes(self) -> None:
        self.accept(self.secure(self.factory()))
        self.conn.abort()
        self.link.settle()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_whoWaitsForTheHandshake(self) -> None:
        async def handler(conn: WasiTcpConn) -> None:
            with pytest.raises(ConnectionClosed) as told:
                await conn.handshake(timeout=30)
            self.told.append(told.value)

        self.accept(self.secure(ConnectionFactory(handler, reactor=self.clock)))
        self.assertAbortedAfter(10)
        self.assertIsInstance(self.told[0].__cause__, TimedOut)

    def test_whatIsClosedBefore(self) -> None:
        """
        What is queued waits for the handshake; close() gives it no more time.
        """

        async def handler(conn: WasiTcpConn) -> None:
            conn.write(b"hello")
            conn.close()

        self.accept(self.secure(ConnectionFactory(handler, reactor=self.clock)))
        self.assertAbortedAfter(10)

    def test_http(self) -> None:
        limits = ServerLimits(idle=60.0)
        self.accept(self.secure(HttpServer(lambda request: WasiResponse(), limits=limits, reactor=self.clock)))
        self.advance(9.99)
        self.assertFalse(self.aborted)
        self.advance(0.01)
        self.assertTrue(self.aborted)
        self.conn.abort()
        self.advance(1)

    def test_theHeaderByTls(self) -> None:
        """
        C{haproxy:ssl:}: the handshake first, then the header, each with its time.
        """
        self.accept(self.secure(ProxiedFactory(self.factory(handshakeTimeout=3), self.clock)))
        self.assertAbortedAfter(3)
        self.assertEqual(self.lines, [f"no PROXY header from {PEER}: the TLS handshake was not complete after 3 s"])
        for handshake in (3, None):
            self.lines.clear()
            self.accept(self.secure(ProxiedFactory(self.factory(handshakeTimeout=handshake), self.clock)))
            self.advance(2.99)
            self.shakeHands()
            self.assertAbortedAfter(HEADER_TIMEOUT - (2.99 if handshake is None else 0))
            self.assertEqual(self.lines, [f"no PROXY header from {PEER}: it did not come in time"])

    def test_theHeaderInTheClear(self) -> None:
        """
        The handshake's time begins behind the header.
        """
        self.accept(ProxiedFactory(self.secure(self.factory()), self.clock))
        self.advance(9)
        self.conn.write(HEADER)
        self.link.settle()
        self.assertAbortedAfter(10)
        self.assertEqual(self.lines, [f"timed out: no TLS with {PROXIED} in 10 s; the connection is reset"])

    def test_plainConnectionsHaveNone(self) -> None:
        self.accept(self.factory())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.conn.abort()
        self.link.settle()


@pytest_twisted.ensureDeferred
async def test_accepted(tmp_path: Any) -> None:
    """
    On real sockets: what accept() gives, and what serveForever() runs for.
    """
    settings = TlsServer(Authority(tmp_path).issue("localhost"))
    endpoint = SSL4ServerEndpoint(reactor, 0, settings, interface="127.0.0.1")
    server = WasiTcpServer(endpoint, handshakeTimeout=0.1)
    ours = await connect("127.0.0.1", server.local().port)
    theirs = await server.accept(timeout=5)
    with pytest.raises(ConnectionClosed, match=f"no TLS with {formatAddress(theirs.peer())} in 0.1 s"):
        await theirs.read(timeout=5)
    with pytest.raises(ConnectionClosed):
        await ours.read(timeout=5)
    serving = server.serveForever(WasiTcpConn.read)
    ours = await connect("127.0.0.1", server.local().port)
    with pytest.raises(ConnectionClosed):
        await ours.read(timeout=5)
    await server.close()
    await serving
