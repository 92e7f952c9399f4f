"""
The PROXY protocol: whom a load balancer speaks for, however its header is cut, and whatever else comes instead.
"""

from __future__ import annotations

import socket
import struct
from typing import Any

import pytest_twisted
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor as _reactor
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol
from twisted.internet.task import Clock
from twisted.logger import LogLevel, formatEvent, globalLogPublisher
from twisted.protocols.haproxy import proxyEndpoint
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from wasinet_twisted.net import ConnectionFactory, WasiTcpConn, WasiTcpServer, connect, formatAddress
from wasinet_twisted.net.server.proxyprotocol import HEADER_TIMEOUT, ProxiedFactory
from wasinet_twisted.testing import Link

reactor: Any = _reactor

V2 = b"\r\n\r\n\0\r\nQUIT\n"
SOURCE, DESTINATION = IPv4Address("TCP", "203.0.113.9", 40001), IPv4Address("TCP", "198.51.100.1", 443)
V1_TCP4 = b"PROXY TCP4 203.0.113.9 198.51.100.1 40001 443\r\n"


def v2(command: int, family: int, addresses: bytes) -> bytes:
    return V2 + bytes([0x20 | command, family]) + struct.pack("!H", len(addresses)) + addresses


INET = socket.inet_aton("203.0.113.9") + socket.inet_aton("198.51.100.1") + struct.pack("!HH", 40001, 443)
INET6 = socket.inet_pton(socket.AF_INET6, "2001:db8::9") * 2 + struct.pack("!HH", 40001, 443)
UNIX = b"/run/a".ljust(108, b"\0") + b"/run/b".ljust(108, b"\0")

# A header, and whom it names.
VALID = [
    (V1_TCP4, SOURCE, DESTINATION),
    (b"PROXY TCP6 2001:db8::9 ::1 1 65535\r\n", IPv6Address("TCP", "2001:db8::9", 1), IPv6Address("TCP", "::1", 65535)),
    (b"PROXY UNKNOWN\r\n", None, None),
    (b"PROXY UNKNOWN " + b"f" * 91 + b"\r\n", None, None),
    (v2(1, 0x11, INET), SOURCE, DESTINATION),
    # With an extension behind the addresses (section 2.2).
    (v2(1, 0x11, INET + b"\x04\x00\x10" + b"x" * 16), SOURCE, DESTINATION),
    (v2(1, 0x21, INET6), IPv6Address("TCP", "2001:db8:0:0:0:0:0:9", 40001), None),
    (v2(1, 0x31, UNIX), UNIXAddress(b"/run/a"), UNIXAddress(b"/run/b")),
    (v2(1, 0, b""), None, None),
    (v2(0, 0, b""), None, None),
    (v2(0, 0x11, INET), None, None),
    (v2(1, 0, bytes(2048)), None, None),
]

INVALID = [
    b"GET / HTTP/1.1\r\n",
    b"\x16\x03\x01",
    b"PROXY\r\n",
    b"proxy TCP4 203.0.113.9 198.51.100.1 40001 443\r\n",
    b"PROXY TCP4 203.0.113.9 198.51.100.1 40001\r\n",
    b"PROXY TCP4 203.0.113.9 198.51.100.1 40001 443 \r\n",
    b"PROXY TCP4  203.0.113.9 198.51.100.1 40001 443\r\n",
    b"PROXY TCP4 203.0.113.9 198.51.100.1 +4001 443\r\n",
    b"PROXY TCP4 203.0.113.9 198.51.100.1 4_1 443\r\n",
    b"PROXY TCP4 203.0.113.9 198.51.100.1 40001 65536\r\n",
    b"PROXY TCP4 203.0.113.256 198.51.100.1 40001 443\r\n",
    b"PROXY TCP4 2001:db8::9 ::1 40001 443\r\n",
    b"PROXY TCP6 203.0.113.9 198.51.100.1 40001 443\r\n",
    b"PROXY TCP6 fe80::1%eth0 ::1 40001 443\r\n",
    b"PROXY TCP5 203.0.113.9 198.51.100.1 40001 443\r\n",
    b"PROXY UNKNOWN\n" + b"x" * 100,
    b"PROXY UNKNOWN " + b"f" * 92 + b"\r\n",
    b"PROXY " + b"x" * 200,
    V2 + b"\x31\x11" + b"\0\0",
    v2(2, 0x11, INET),
    v2(1, 0x41, INET),
    v2(1, 0x13, INET),
    v2(1, 0x11, INET[:-1]),
    v2(1, 0, bytes(2049)),
    V2 + b"\x21\x11\xff\xff",
]


class Balancer:
    """
    A connection whose server's side expects a header.
    """

    def __init__(self, maxConnections: int | None = None) -> None:
        self.clock = Clock()
        self.seen: list[WasiTcpConn] = []
        self.factory = ConnectionFactory(self._handle, maxConnections=maxConnections, reactor=self.clock)
        self.wrapping = ProxiedFactory(self.factory, self.clock)
        self.connect()

    def connect(self) -> None:
        self.link = Link(self.clock)
        self.messages: list[str] = []
        client = ConnectionFactory(self._client, reactor=self.clock)
        self.link.beginClient(client.buildProtocol(None))
        self.protocol: Any = self.wrapping.buildProtocol(self.link.clientAddress)
        self.link.beginServer(self.protocol)

    async def _client(self, conn: WasiTcpConn) -> None:
        self.client = conn
        await conn.whenClosed()

    async def _handle(self, conn: WasiTcpConn) -> None:
        self.seen.append(conn)
        async for data in conn:
            await conn.write(b"echo:" + data)

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            if not self.link.serverTransport.disconnected:
                self.client.write(piece)
            self.link.settle()


class ProxiedTests(SynchronousTestCase):
    def test_interfaces(self) -> None:
        protocol = Balancer().protocol
        self.assertTrue(verifyObject(IProtocol, protocol))
        self.assertTrue(verifyObject(IHalfCloseableProtocol, protocol))

    def test_wholeAndByteByByte(self) -> None:
        for header, source, destination in VALID:
            for pieces in ([header + b"hello"], [bytes([byte]) for byte in header + b"hello"], [header, b"hello"]):
                balancer = Balancer()
                balancer.send(*pieces)
                (conn,) = balancer.seen
                self.assertEqual(conn.peer(), source or balancer.link.clientAddress, header)
                if destination is not None:
                    self.assertEqual(conn.local(), destination)
                expected = b"echo:hello" if len(pieces) < 3 else b"".join(b"echo:%c" % byte for byte in b"hello")
                self.assertEqual(balancer.link.run(balancer.client.readExactly(len(expected))), expected)
                balancer.client.abort()
                balancer.link.settle()
                self.assertEqual(balancer.clock.getDelayedCalls(), [])

    @given(st.sampled_from(VALID), st.lists(st.integers(1, 300), max_size=6))
    def test_inAnyPieces(self, valid: tuple[bytes, Any, Any], cuts: list[int]) -> None:
        header, source, _ = valid
        data, pieces, start = header + b"x", [], 0
        for cut in sorted({*cuts, len(data)}):
            pieces.append(data[start:cut])
            start = cut
        balancer = Balancer()
        balancer.send(*filter(None, pieces))
        self.assertEqual(balancer.seen[0].peer(), source or balancer.link.clientAddress)
        self.assertEqual(balancer.link.run(balancer.client.readExactly(6)), b"echo:x")

    def test_whatIsRefused(self) -> None:
        for data in INVALID:
            for pieces in ([data], [bytes([byte]) for byte in data]):
                messages = self.warnings()
                balancer = Balancer()
                balancer.send(*pieces)
                self.assertTrue(balancer.link.serverTransport.disconnected, data)
                self.assertEqual(balancer.seen, [])
                self.assertEqual(len([each for each in messages if "PROXY header from 192.0.2.1:" in each]), 1)
                self.assertEqual(balancer.clock.getDelayedCalls(), [])

    def warnings(self) -> list[str]:
        messages: list[str] = []

        def observe(event: Any) -> None:
            if event.get("log_level") is LogLevel.warn:
                messages.append(formatEvent(event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        return messages

    def test_aHeaderThatTakesTooLong(self) -> None:
        balancer = Balancer()
        balancer.send(V1_TCP4[:-1])
        balancer.link.advance(HEADER_TIMEOUT - 0.1)
        self.assertFalse(balancer.link.serverTransport.disconnected)
        balancer.link.advance(0.1)
        self.assertTrue(balancer.link.serverTransport.disconnected)

    def test_theStreamEndsInIt(self) -> None:
        balancer = Balancer()
        balancer.send(V1_TCP4[:9])
        balancer.client.finish()
        balancer.link.settle()
        self.assertTrue(balancer.link.serverTransport.disconnected)
        self.assertEqual(balancer.clock.getDelayedCalls(), [])

    def test_halfCloseGoesThrough(self) -> None:
        balancer = Balancer()
        balancer.send(V1_TCP4, b"hello")
        balancer.client.finish()
        self.assertEqual(balancer.link.run(balancer.client.readToEnd(100)), b"echo:hello")
        balancer = Balancer()
        balancer.send(V1_TCP4)
        balancer.link.run(balancer.seen[0].finish())
        self.assertEqual(balancer.link.run(balancer.client.read()), b"")

    def test_flowControlGoesThrough(self) -> None:
        balancer = Balancer()
        balancer.send(V1_TCP4)
        (conn,) = balancer.seen
        writing = conn.write(bytes(1_000_000))
        balancer.link.settle()
        self.assertNoResult(writing)
        received = 0
        while received < 1_000_000:
            received += len(balancer.link.run(balancer.client.read()))
        balancer.link.settle()
        self.successResultOf(writing)

    def test_aHeaderThatComesAfterTheEnd(self) -> None:
        """
        Whoever is still silent when the server stops finds nobody.
        """
        balancer = Balancer()
        self.successResultOf(balancer.factory.drain(1))
        balancer.send(V1_TCP4, b"x")
        self.assertEqual(balancer.seen, [])
        self.assertTrue(balancer.link.serverTransport.disconnected)

    def test_thoseThatAreRefusedDontCount(self) -> None:
        balancer = Balancer(maxConnections=1)
        self.assertFalse(balancer.factory.gate.isOpen())
        balancer.send(b"nonsense")
        self.assertTrue(balancer.factory.gate.isOpen())
        balancer.connect()
        balancer.send(V1_TCP4, b"x")
        self.assertEqual(len(balancer.seen), 1)


@pytest_twisted.ensureDeferred
async def test_endpoints() -> None:
    """
    As a string, and as an object that Twisted made.
    """
    for endpoint in (
        "haproxy:tcp:0:interface=127.0.0.1",
        proxyEndpoint(TCP4ServerEndpoint(reactor, 0, 5, "127.0.0.1")),
    ):
        server = WasiTcpServer(endpoint)
        port = server.local().port
        conn = await connect("127.0.0.1", port)
        await conn.write(V1_TCP4[:20])
        await conn.write(V1_TCP4[20:] + b"hello")
        given = await server.accept(timeout=5)
        assert formatAddress(given.peer()) == "203.0.113.9:40001"
        assert await given.read(timeout=5) == b"hello"
        await given.close()
        await conn.close()
        await server.close()
