"""
Upgrades and tunnels: connections that a handler has taken over, in memory.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from wasinet_twisted.errors import (
    BusyError,
    LocalProtocolError,
)
from wasinet_twisted.http import WasiResponse
from wasinet_twisted.net import WasiTcpConn
from wasinet_twisted.server import Request

from .support import CONTINUE, MemoryServerCase, chunked, get, message, parse, post, uriOf

UPGRADE = ("Connection: Upgrade", "Upgrade: websocket, h2c")


class TakeOverTests(MemoryServerCase):
    def setUp(self) -> None:
        super().setUp()
        self.heard: list[bytes] = []

    async def upgrade(self, request: Request) -> None:
        conn = await request.upgrade("websocket", {"X": "y"})
        await self.talk(conn)

    async def tunnel(self, request: Request) -> None:
        conn = await request.acceptTunnel()
        await self.talk(conn)

    async def talk(self, conn: WasiTcpConn) -> None:
        async with conn:
            while data := await conn.read():
                self.heard.append(data)
                await conn.write(b"heard " + data)
            await conn.write(b"bye")

    def test_upgrade(self) -> None:
        self.serve(self.upgrade)
        peer = self.connect(get("/", *UPGRADE) + b"early")
        head, _, rest = peer.take().partition(b"\r\n\r\n")
        (response,) = parse(head + b"\r\n\r\n")
        self.assertEqual(response.status, 101)
        fields = {name: response.headers[name] for name in ("Upgrade", "Connection", "X")}
        self.assertEqual(fields, {"Upgrade": "websocket", "Connection": "Upgrade", "X": "y"})
        self.assertNotIn("Content-Length", response.headers)
        self.assertEqual(rest, b"heard early")
        peer.send(b"GET / HTTP/1.1\r\n\r\n")
        self.assertEqual(peer.take(), b"heard GET / HTTP/1.1\r\n\r\n")
        peer.end()
        self.assertEqual(peer.take(), b"bye")
        self.assertClosed(peer)

    def test_tunnel(self) -> None:
        self.serve(self.tunnel)
        peer = self.connect(message("CONNECT", "x:1") + b"early")
        head, _, rest = peer.take().partition(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"HTTP/1.1 200 "))
        self.assertNotIn(b"Content-Length", head)
        self.assertNotIn(b"Transfer-Encoding", head)
        self.assertEqual(rest, b"heard early")

    def test_later(self) -> None:
        """
        All that has come in the meantime is the tunnel's: its end as well.
        """

        async def upgrade(request: Request) -> None:
            await self.sleep(5)
            await self.upgrade(request)

        async def tunnel(request: Request) -> None:
            await self.sleep(5)
            await self.tunnel(request)

        for handler, head in ((upgrade, get("/", *UPGRADE)), (tunnel, message("CONNECT", "x:1"))):
            for size in (0, 1, 1_000_000):
                self.heard.clear()
                self.serve(handler)
                peer = self.connect(head)
                peer.conn.write(b"\r" * size)
                peer.end()
                self.advance(5)
                answer = peer.take()
                self.assertEqual(b"".join(self.heard), b"\r" * size)
                self.assertTrue(answer.endswith(b"bye"), answer[-20:])
                self.assertClosed(peer)

    def test_theBodyIsReadFirst(self) -> None:
        self.serve(self.upgrade)
        peer = self.connect(post("/", 10, *UPGRADE, body=b"body"))
        self.assertEqual(peer.take(), b"")
        peer.send(b"body6!" + b"after")
        self.assertTrue(peer.take().endswith(b"heard after"))
        self.serve(self.upgrade)
        peer = self.connect(chunked("/", b"ab", b"", fields=UPGRADE) + b"after")
        self.assertTrue(peer.take().endswith(b"heard after"))

    def test_theBodyOfAnExpectation(self) -> None:
        self.serve(self.upgrade)
        peer = self.connect(post("/", 2, "Expect: 100-continue", *UPGRADE))
        self.assertEqual(peer.take(), CONTINUE)
        peer.send(b"abafter")
        self.assertTrue(peer.take().endswith(b"heard after"))

    def test_errors(self) -> None:
        async def handler(request: Request) -> WasiResponse:
            for protocol in ("http2", "", "websocket\r\nX: y", "h2c, websocket"):
                with self.assertRaises(LocalProtocolError):
                    await request.upgrade(protocol)
            with self.assertRaises(LocalProtocolError):
                await request.acceptTunnel()
            if request.uri == "/offers":
                for headers in ({"A": "b\r\nC: d"}, {"A": "\0"}, {"Content-Length": "5"}):
                    with self.assertRaises(LocalProtocolError):
                        await request.upgrade("websocket", headers)
            else:
                with self.assertRaises(LocalProtocolError):
                    await request.upgrade("websocket")
            return uriOf(request)

        self.serve(handler)
        for sent in (
            get("/1"),
            get("/2", "Upgrade: websocket"),
            get("/3", "Connection: close, upgrades", "Upgrade: websocket"),
            get("/4", "Connection: Upgrade", "Upgrade: websockets"),
            message("GET", "/5", *UPGRADE, version="HTTP/1.0"),
        ):
            self.assertEqual(self.status(self.connect(sent)), 200)
        peer = self.connect(get("/offers", *UPGRADE))
        self.assertEqual(self.status(peer), 200)
        self.assertGoesOn(peer)

    def test_anOfferThatIsNotTaken(self) -> None:
        self.serve(uriOf)
        peer = self.connect(get("/", *UPGRADE) + get("/2"))
        self.assertEqual(len(parse(peer.take())), 2)
        self.assertGoesOn(peer)

    def test_twice(self) -> None:
        async def handler(request: Request) -> None:
            conn = await request.upgrade("websocket")
            with self.assertRaises(LocalProtocolError):
                await request.upgrade("websocket")
            self.assertRaises(LocalProtocolError, request.informational, 103)
            await conn.write(b"fine")

        self.serve(handler)
        peer = self.connect(get("/", *UPGRADE))
        self.assertTrue(peer.take().endswith(b"\r\n\r\nfine"))
        self.assertClosed(peer)

    def test_aResponseAfterIt(self) -> None:
        """
        Is no response.
        """

        async def handler(request: Request) -> WasiResponse:
            await request.upgrade("websocket")
            return WasiResponse(body="no")

        self.serve(handler)
        peer = self.connect(get("/", *UPGRADE))
        self.assertTrue(peer.take().endswith(b"\r\n\r\n"))
        self.assertClosed(peer)

    def test_itFails(self) -> None:
        async def handler(request: Request) -> None:
            await request.upgrade("websocket")
            raise ZeroDivisionError

        self.serve(handler)
        peer = self.connect(get("/", *UPGRADE))
        self.assertReset(peer)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_whileSomebodyElseReads(self) -> None:
        async def handler(request: Request) -> WasiResponse:
            reading = Deferred.fromCoroutine(request.read())
            with self.assertRaises(BusyError):
                await request.upgrade("websocket")
            return WasiResponse(body=await reading)

        self.serve(handler)
        peer = self.connect(post("/", 2, *UPGRADE))
        peer.send(b"ab")
        self.assertEqual(parse(peer.take())[0].body, b"ab")

    def test_thePeerGoesBeforeIt(self) -> None:
        async def handler(request: Request) -> None:
            await self.sleep(5)
            await request.upgrade("websocket")

        self.serve(handler)
        peer = self.connect(get("/", *UPGRADE))
        peer.reset()
        with capturedLogs() as events:
            self.advance(5)
        self.assertEqual({event["log_level"].name for event in events}, {"info"})

    def test_thePeerResetsIt(self) -> None:
        self.serve(self.upgrade)
        peer = self.connect(get("/", *UPGRADE))
        with capturedLogs() as events:
            peer.reset()
        self.assertEqual({event["log_level"].name for event in events}, {"info"})

    def test_aTunnelIsNotMeasured(self) -> None:
        """
        What goes on in it is nothing that HTTP knows of.
        """

        async def handler(request: Request) -> None:
            conn = await request.acceptTunnel()
            conn.write(bytes(100_000))
            await self.sleep(1)
            conn.write(bytes(100_000))
            await conn.readToEnd(10)

        self.serve(handler, bodyGrace=20, responseRate=500)
        peer = self.connect()
        peer.link.toClient.window = 4096
        peer.link.toClient.rate = 20_000
        peer.send(message("CONNECT", "x:1"))
        data = b""
        for _ in range(12):
            data += peer.take()
            self.advance(1)
        self.assertEqual(len((data + peer.take()).partition(b"\r\n\r\n")[2]), 200_000)
        self.advance(100)
        self.assertOpen(peer)
        peer.end()
