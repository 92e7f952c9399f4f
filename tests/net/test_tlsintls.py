"""
TLS inside TLS: what reaches a server by way of a proxy, both by TLS. In memory, both ends ours.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from tests.certificates import Authority
from tests.support import temporaryDirectory
from wasinet_twisted.errors import (
    BusyError,
    CertificateNameMismatch,
    ConnectionClosed,
    HandshakeFailed,
    LimitExceeded,
    NotSupported,
    TimedOut,
    UnreadPlaintext,
)
from wasinet_twisted.net import TlsClient, TlsServer, WasiTcpConn
from wasinet_twisted.net.stream.outgoing import unacknowledged, unsent
from wasinet_twisted.testing import Pair, pair

PROXY, ORIGIN = "proxy.example", "origin.example"
MEBIBYTE = 1 << 20


class TlsInTlsTests(SynchronousTestCase):
    def setUp(self) -> None:
        authority = Authority(temporaryDirectory(self))
        self.clients = {name: TlsClient(name, caCertificates=authority.path) for name in (PROXY, ORIGIN)}
        self.servers = {name: TlsServer(authority.issue(name)) for name in (PROXY, ORIGIN)}

    def connect(self, **options: Any) -> Pair:
        """
        Two ends with TLS between them, the outer one.
        """
        link = pair(**options)
        self.shake(link, PROXY)
        return link

    def shake(self, link: Pair, name: str) -> None:
        shaking = link.server.startTLS(self.servers[name])
        link.run(link.client.startTLS(self.clients[name]))
        link.run(shaking)

    def nested(self, **options: Any) -> Pair:
        link = self.connect(**options)
        self.shake(link, ORIGIN)
        return link

    def end(self, link: Pair) -> None:
        """
        Close both ends; nothing stays.
        """
        closing = link.client.close()
        link.run(link.server.close())
        link.run(closing)
        self.assertEqual([call for call in link.clock.getDelayedCalls() if call.active()], [])

    def test_bothWays(self) -> None:
        """
        However the bytes are cut, and what was written to the proxy's TLS goes first.
        """
        for size in (1, 7, None):
            link = self.connect(chunkSize=size)
            link.client.write("CONNECT")
            self.assertEqual(link.run(link.server.readExactly(7)), b"CONNECT")
            link.server.write("200")
            shaking = link.server.startTLS(self.servers[ORIGIN])
            self.assertEqual(link.run(link.client.readExactly(3)), b"200")
            link.run(link.client.startTLS(self.clients[ORIGIN]))
            link.run(shaking)
            for end, other in ((link.client, link.server), (link.server, link.client)):
                end.write(bytes(range(256)) * 40)
                self.assertEqual(link.run(other.readExactly(10_240)), bytes(range(256)) * 40)
            assert link.server.tls is not None
            assert link.client.tls is not None
            self.assertEqual((link.server.tls.serverName, link.client.tls.version), (ORIGIN, "TLSv1.3"))
            self.end(link)

    def test_threeDeep(self) -> None:
        link = self.nested()
        self.shake(link, PROXY)
        link.client.write("x")
        self.assertEqual(link.run(link.server.read()), b"x")
        self.end(link)

    def test_closed(self) -> None:
        """
        The end is proper, of both: each side reads it as such.
        """
        link = self.nested()
        link.client.write("last")
        closing = link.client.close()
        self.assertEqual(link.run(link.server.readToEnd(10)), b"last")
        link.run(closing)
        link.run(link.server.whenClosed())

    def test_hangUp(self) -> None:
        """
        Neither the proxy nor the server answers the end: a client that has hung up waits for none of the two.
        """
        link = self.nested()
        self.outer(link.server).transport.pauseProducing()
        protocol = link.client._protocol
        protocol.close(30.0)
        protocol.tls.hangUp()
        link.advance(1)
        self.assertTrue(protocol.lost)
        self.outer(link.server).transport.resumeProducing()
        self.assertEqual(link.run(link.server.read()), b"", "the end is proper")
        link.run(link.server.whenClosed())

    def test_aborted(self) -> None:
        link = self.nested()
        link.client.abort()
        with self.assertRaises(ConnectionClosed):
            link.run(link.server.read())
        self.assertEqual(link.run(link.server.read()), b"")
        link.run(link.client.whenClosed())

    def test_cutByTheProxy(self) -> None:
        """
        The proxy's own TLS ends as it should, that of the server behind it doesn't: what came may be cut.
        """
        link = self.nested()
        link.server.write("half")
        self.assertEqual(link.run(link.client.read()), b"half")
        self.outer(link.server)._shutdownTLS()
        with self.assertRaisesRegex(ConnectionClosed, "without TLS's close_notify, and may be cut"):
            link.run(link.client.read())
        link.run(link.server.whenClosed())

    def test_theServersCertificateIsRefused(self) -> None:
        """
        The proxy's was accepted; each is looked at by itself.
        """
        link = self.connect()
        shaking = link.server.startTLS(self.servers[PROXY])
        with self.assertRaisesRegex(CertificateNameMismatch, f"for '{ORIGIN}' was not accepted: it is for {PROXY}"):
            link.run(link.client.startTLS(self.clients[ORIGIN]))
        with self.assertRaises(HandshakeFailed):
            link.run(shaking)
        link.run(link.client.whenClosed())

    def test_theServerSpeaksNoTls(self) -> None:
        link = self.connect()
        shaking = link.client.startTLS(self.clients[ORIGIN])
        link.run(link.server.read())
        link.server.write("HTTP/1.1 400 Bad Request\r\n\r\n")
        with self.assertRaisesRegex(HandshakeFailed, "no TLS with"):
            link.run(shaking)
        link.run(link.server.whenClosed())

    def test_theServerSaysNothing(self) -> None:
        link = self.connect()
        with self.assertRaisesRegex(TimedOut, "in 5 s"):
            link.run(link.client.startTLS(self.clients[ORIGIN], timeout=5))
        self.assertEqual(link.clock.seconds(), 5)
        link.run(link.client.whenClosed())
        link.run(link.server.whenClosed())

    def test_cancelled(self) -> None:
        link = self.connect()
        shaking = link.client.startTLS(self.clients[ORIGIN])
        shaking.addErrback(lambda failure: None)
        link.settle()
        shaking.cancel()
        link.run(link.client.whenClosed())
        link.run(link.server.whenClosed())

    def test_oneHandshakeAtATime(self) -> None:
        link = pair()
        first = link.client.startTLS(self.clients[PROXY])
        with self.assertRaisesRegex(BusyError, "before the handshake with 192.0.2.2:8000 that has begun has ended"):
            link.client.startTLS(self.clients[ORIGIN])
        link.run(link.server.startTLS(self.servers[PROXY]))
        link.run(first)
        self.shake(link, ORIGIN)
        self.end(link)

    def test_whatWasNotReadIsNotTakenOver(self) -> None:
        """
        The proxy could put words into the server's mouth.
        """
        link = self.connect()
        link.server.write("220 welcome")
        link.settle()
        with self.assertRaisesRegex(UnreadPlaintext, "11 bytes have come over the TLS before from 192.0.2.2:8000"):
            link.client.startTLS(self.clients[ORIGIN])
        self.end(link)

    def test_somethingInBetween(self) -> None:
        """
        A wrapper between TLS and the connection would be left out, and never learn of the connection's end.
        """
        link = self.connect()
        tls = self.innermost(link.client)
        tls.wrappedProtocol, own = object(), tls.wrappedProtocol
        with self.assertRaisesRegex(NotSupported, "can't carry another TLS"):
            link.client.startTLS(self.clients[ORIGIN])
        tls.wrappedProtocol = own
        self.end(link)

    def test_flowControl(self) -> None:
        """
        A peer that reads nothing holds back the writer, by way of both; and it goes on when the peer reads.
        """
        link = self.nested()
        for end, other in ((link.client, link.server), (link.server, link.client)):
            writing = end.write(bytes(4 * MEBIBYTE))
            link.settle()
            self.assertNoResult(writing)
            transport = end._protocol.transport
            # Nearly all of it waits, enciphered, in the transport at the bottom.
            self.assertGreater(unsent(transport, 0), 3 * MEBIBYTE)
            self.assertGreater(unacknowledged(transport), 3 * MEBIBYTE)
            self.assertEqual(len(link.run(other.readExactly(4 * MEBIBYTE))), 4 * MEBIBYTE)
            link.run(writing)
            self.assertEqual((unsent(transport, 0), unacknowledged(transport)), (0, 0))
        self.end(link)

    def test_whatWaitsInEitherIsCounted(self) -> None:
        """
        Small writes wait for the others of their turn, first in the inner TLS and then in the outer one.
        """
        link = self.nested()
        transport = link.client._protocol.transport
        link.client.write(bytes(1000))
        self.assertEqual(unacknowledged(transport), 1000)
        self.innermost(link.client)._aggregator.flush()
        # The inner record: the bytes, a header of 5 and a tag of 17 (RFC 8446 section 5.2).
        self.assertEqual(unacknowledged(transport), 1022)
        self.assertEqual(len(link.run(link.server.readExactly(1000))), 1000)
        self.end(link)

    def test_unawaitedWritesAreBounded(self) -> None:
        link = self.nested()
        for _ in range(15):
            link.client.write(bytes(MEBIBYTE))
        with self.assertRaisesRegex(LimitExceeded, "the bound is 16777216"):
            link.run(link.client.write(bytes(2 * MEBIBYTE)))
        link.run(link.client.whenClosed())
        link.run(link.server.whenClosed())

    def test_aStalledReceiverThatEnds(self) -> None:
        """
        Its close_notify, in the inner or in the outer TLS, comes while we are held back. When it takes what is on its
        way, the connection ends; it doesn't stay for ever.
        """
        for which in (self.innermost, self.outer):
            link = self.nested()
            writing = link.client.write(bytes(4 * MEBIBYTE))
            link.settle()
            self.assertNoResult(writing)
            which(link.server)._shutdownTLS()
            link.settle()
            taking: Deferred[None] = ensureDeferred(self.takeAll(link.server))
            link.run(link.client.whenClosed(), atMost=1)
            link.run(taking)
            self.assertTrue(writing.called)
            writing.addErrback(lambda failure: None)

    async def takeAll(self, conn: WasiTcpConn) -> None:
        try:
            while await conn.read():
                pass
        except ConnectionClosed:
            # The outer TLS ended first.
            pass

    def innermost(self, conn: WasiTcpConn) -> Any:
        """
        Twisted's side of the TLS that the connection sees: the inner one, if there are two.
        """
        tls = conn._protocol.tls
        assert tls is not None
        return tls._tls

    def outer(self, conn: WasiTcpConn) -> Any:
        """
        Twisted's side of the TLS that carries it.
        """
        return self.innermost(conn).transport
