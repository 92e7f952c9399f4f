"""
The client's side, in memory: beside our own server, and beside one by hand that does what it shouldn't.
"""

from __future__ import annotations

import gc
import re
import zlib
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from wasinet_twisted import testing
from wasinet_twisted.client import Pool, webSocket
from wasinet_twisted.errors import (
    ConnectionClosed,
    IncompleteRead,
    InvalidArgument,
    InvalidHandshake,
    RemoteProtocolError,
    TimedOut,
    WebSocketClosed,
    WebSocketRefused,
)
from wasinet_twisted.http import WasiResponse
from wasinet_twisted.net import ConnectionFactory, WasiTcpConn
from wasinet_twisted.server import Request
from wasinet_twisted.websocket import WebSocket, WebSocketLimits
from wasinet_twisted.websocket.handshake import acceptKey

from .support import ACCEPT, KEY, close, frame, text


def test_acceptKey() -> None:
    assert acceptKey(KEY) == ACCEPT


class ClientCase(SynchronousTestCase):
    def origin(self, handler: Any, **options: Any) -> testing.MemoryOrigin:
        origin = testing.MemoryOrigin(handler, **options)
        self.addCleanup(lambda: self.assertEqual(origin.clock.getDelayedCalls(), []))
        self.addCleanup(origin.close)
        return origin


class EchoTests(ClientCase):
    """
    With our server.
    """

    async def echo(self, request: Request) -> None:
        self.request = request
        ws = await request.webSocket(subprotocols=["b", "a"])
        async for message in ws:
            await ws.send(message)
        self.closed = (ws.closeCode, ws.closeReason)

    def test_messages(self) -> None:
        for compression in (True, False):
            for chunkSize in (None, 1):
                origin = self.origin(self.echo, chunkSize=chunkSize)
                ws = origin.webSocket(
                    "/x?y", subprotocols=["a", "b"], compression=compression, headers={"Origin": "null"}
                )
                self.assertEqual(
                    (ws.subprotocol, self.request.uri, self.request.headers["Origin"]), ("b", "/x?y", "null")
                )
                for message in ("hello", b"bytes", "", b"", "é" * 200, bytes(70_000 if chunkSize is None else 300)):
                    ws.send(message)
                    self.assertEqual(origin.run(ws.receive()), message)
                self.assertEqual(origin.run(ws.ping()), 0.0)
                origin.run(ws.close(4000, "done"))
                self.assertEqual((self.closed, ws.closeCode, ws.closeReason), ((4000, "done"), 4000, "done"))
                self.assertEqual(origin.server.webSockets, {})

    def test_asyncWith(self) -> None:
        origin = self.origin(self.echo)

        async def talk(ending: Exception | None) -> list[str | bytes]:
            pool = origin.pool()
            async with await webSocket("ws://origin.test/", pool=pool) as ws:
                await ws.send("a")
                received = [await ws.receive()]
                if ending is not None:
                    raise ending
            return received

        self.assertEqual(origin.run(Deferred.fromCoroutine(talk(None))), ["a"])
        self.assertEqual(self.closed, (1000, ""))
        self.assertRaises(ZeroDivisionError, origin.run, Deferred.fromCoroutine(talk(ZeroDivisionError())))
        origin.settle()
        self.assertEqual(self.closed, (1011, ""))

    def test_forgotten(self) -> None:
        origin = self.origin(self.echo)
        ws: Any = origin.webSocket("/")
        del ws
        gc.collect()
        testing.settle(origin.clock)
        self.assertEqual(self.closed, (1001, ""))

    def test_receiveCancelled(self) -> None:
        """
        No message is lost.
        """
        origin = self.origin(self.echo)
        ws = origin.webSocket("/")
        waiting = ws.receive()
        waiting.addErrback(lambda _: None)
        waiting.cancel()
        ws.send("a")
        self.assertEqual(origin.run(ws.receive()), "a")
        origin.run(ws.close())

    def test_drain(self) -> None:
        origin = self.origin(self.echo)
        ws = origin.webSocket("/")
        drained = origin.server.drain(5)
        self.assertRaises(WebSocketClosed, origin.run, ws.receive())
        self.assertEqual((ws.closeCode, ws.closeReason), (1012, "service restart"))
        origin.run(drained)

    def test_refused(self) -> None:
        async def handler(request: Request) -> WasiResponse:
            return WasiResponse(403, {"X": "y"}, "no")

        origin = self.origin(handler)
        error = self.assertRaises(WebSocketRefused, origin.webSocket, "/")
        self.assertEqual(error.status, 403)
        self.assertIn(("X", "y"), error.fields)
        self.assertIn("403", str(error))

    def test_arguments(self) -> None:
        origin = self.origin(self.echo)
        for url in ("http://x/", "x", "/", "wss:", "ws://x/#a", "ws://x:99999/", 5):
            self.assertRaises(InvalidArgument, webSocket, url, pool=origin.pool())
        for options in (
            {"subprotocols": "a"},
            {"subprotocols": ["a,b"]},
            {"limits": 5},
            {"headers": {"Connection": "close"}},
            {"headers": {"sec-websocket-key": "x"}},
        ):
            self.assertRaises(InvalidArgument, webSocket, "ws://x/", pool=origin.pool(), **options)
        for wrong in ({"message": 0}, {"queue": 1.5}, {"pingInterval": 0}, {"closeTimeout": None}, {"frame": True}):
            self.assertRaises(InvalidArgument, WebSocketLimits, **wrong)


class ByHandTests(ClientCase):
    """
    With a server by hand.
    """

    def serve(self, *sent: bytes, accept: bool = True, fields: str = "", head: str = "", ends: str = "") -> None:
        """
        Answer with a 101 and what follows, then do nothing, or C{ends}.
        """
        self.conns: list[WasiTcpConn] = []

        async def handle(conn: WasiTcpConn) -> None:
            self.conns.append(conn)
            asked = await conn.readUntil(b"\r\n\r\n")
            found = re.search(rb"Sec-WebSocket-Key: (\S+)", asked)
            assert found is not None
            key = acceptKey(found[1].decode()) if accept else ACCEPT
            plain = f"HTTP/1.1 101 OK\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: {key}\r\n"
            conn.write((head or plain) + fields + "\r\n")
            conn.write(b"".join(sent))
            if ends:
                getattr(conn, ends)()
            self.asked = asked
            self.answered = b""
            async for data in conn:
                self.answered += data

        self.listener = testing.MemoryListener()
        factory = ConnectionFactory(handle, reactor=self.listener.clock)
        self.port = testing.run(self.listener.clock, self.listener.listen(factory))
        self.pool = Pool(endpoint=lambda _: self.listener.endpoint, reactor=self.listener.clock)

    def tearDown(self) -> None:
        for conn in self.conns:
            conn.abort()
        clock = self.listener.clock
        testing.run(clock, self.pool.close())
        self.port.stopListening()
        clock.pump([0] * 5)
        self.assertEqual(clock.getDelayedCalls(), [])

    def open(self, **options: Any) -> WebSocket:
        return testing.run(self.listener.clock, webSocket("ws://x/", pool=self.pool, **options), 100)

    def test_badHandshake(self) -> None:
        """
        RFC 6455 section 4.1: it is said what is wrong.
        """
        for said, options in (
            ("Accept must be", {"accept": False}),
            ("missing", {"head": "HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"}),
            ("h2c", {"head": "HTTP/1.1 101 OK\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n"}),
            ("'a'", {"fields": "Sec-WebSocket-Protocol: a\r\n"}),
            ("more than one", {"fields": "Sec-WebSocket-Protocol: c\r\nSec-WebSocket-Protocol: c\r\n"}),
            ("'x'", {"fields": "Sec-WebSocket-Extensions: x\r\n"}),
            ("nonsense", {"fields": "Sec-WebSocket-Extensions: permessage-deflate; nonsense\r\n"}),
            ("twice", {"fields": "Sec-WebSocket-Extensions: permessage-deflate, permessage-deflate\r\n"}),
            ("no list", {"fields": "Sec-WebSocket-Extensions: ;\r\n"}),
            ("1025", {"fields": f"Sec-WebSocket-Extensions: {'x' * 1025}\r\n"}),
            (
                "has not taken permessage-deflate",
                {"fields": "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=8\r\n"},
            ),
        ):
            self.serve(**options)  # type: ignore[arg-type]
            error = self.assertRaises(InvalidHandshake, self.open, subprotocols=["c"])
            self.assertIn(said, str(error))
            self.tearDown()
        self.serve(fields="Sec-WebSocket-Extensions: permessage-deflate\r\n")
        self.assertRaises(InvalidHandshake, self.open, compression=False)

    def test_noContextTakeover(self) -> None:
        """
        A server may ask for it without an offer (RFC 7692 section 7.1.1.2): each message is compressed on its own.
        """
        self.serve(fields="Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n")
        ws = self.open()
        for _ in range(2):
            ws.send(b"a" * 100)
        self.listener.clock.pump([0] * 5)
        ws.abort()
        sent = self.answered
        for _ in range(2):
            size = sent[1] & 0x7F
            packed = bytes(byte ^ sent[2 + at % 4] for at, byte in enumerate(sent[6 : 6 + size]))
            self.assertEqual(zlib.decompressobj(wbits=-15).decompress(packed + b"\0\0\xff\xff"), b"a" * 100)
            sent = sent[6 + size :]

    def test_cut(self) -> None:
        for ends in ("abort", "close"):
            self.serve(head="HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Up", ends=ends)
            self.assertRaises((ConnectionClosed, IncompleteRead), self.open)
            self.tearDown()
        self.serve(head="HTTP/1.1 101 OK\r\nno field")
        self.assertRaises(RemoteProtocolError, self.open)

    def test_timeout(self) -> None:
        self.serve(head="HTTP/1.1 101 OK\r\nUpgrade: web")
        self.assertRaises(TimedOut, self.open, timeout=3)
        self.assertAlmostEqual(self.listener.clock.seconds(), 3, delta=0.6)

    def test_early(self) -> None:
        """
        What comes with the 101 is received, up to the close.
        """
        self.serve(text("a", masked=False), frame(2, b"b", masked=False), close(1000, masked=False))
        ws = self.open()
        self.assertEqual([testing.run(self.listener.clock, ws.receive()) for _ in range(2)], ["a", b"b"])
        self.assertRaises(WebSocketClosed, testing.run, self.listener.clock, ws.receive())
        # The client waits for the server to close the connection, but not for ever (RFC 6455 section 7.1.1).
        closed = ws.whenClosed()
        self.listener.clock.advance(9.9)
        self.assertNoResult(closed)
        self.listener.clock.pump([0.2, 0.2])
        self.successResultOf(closed)

    def test_masked(self) -> None:
        """
        A server must not mask, and a client must (RFC 6455 section 5.1).
        """
        self.serve(text("a"))
        ws = self.open()
        self.assertRaises(WebSocketClosed, testing.run, self.listener.clock, ws.receive())
        self.assertEqual(ws.closeCode, 1002)
        self.tearDown()
        self.serve()
        ws = self.open()
        masks = set()
        for _ in range(4):
            ws.send(b"payload")
        ws.close()
        self.listener.clock.pump([0] * 5)
        sent = self.answered
        for _ in range(4):
            self.assertEqual(sent[:2], b"\x82\x87")
            masks.add(sent[2:6])
            self.assertEqual(bytes(byte ^ sent[2 + at % 4] for at, byte in enumerate(sent[6:13])), b"payload")
            sent = sent[13:]
        self.assertEqual((len(masks), sent[:2]), (4, b"\x88\x82"))

    def test_vanishes(self) -> None:
        for ends in ("abort", "close"):
            self.serve(text("a", masked=False)[:-1], ends=ends)
            try:
                ws = self.open()
            except ConnectionClosed:
                # The reset has overtaken what came before.
                self.assertEqual(ends, "abort")
            else:
                error = self.assertRaises(WebSocketClosed, testing.run, self.listener.clock, ws.receive())
                self.assertEqual(error.code, 1006)
            self.tearDown()
        self.serve()
